# SPDX-License-Identifier: Apache-2.0
"""How wide membranes must be, and with how many bits behind the point, for a converted network.

Two things round in a neuron. The leak u - (u >>> a) rounds up, so that a positive membrane below
2^a never leaks: thresholds must be far above 2^a membrane steps (`THRESHOLD_RATIO`). And membranes
are limited to what their bits hold: the limit must be far beyond any threshold.
"""

import numpy as np

from golden_model import Layer
from golden_model.fixed_point import bits_needed
from hw.config import AcceleratorConfig
from model_zoo.exchange.scales import layer_bounds

__all__ = ["THRESHOLD_RATIO", "Part", "membrane_fields"]

THRESHOLD_RATIO = 128
"""Thresholds over 2^a, of the leak u - (u >>> a), that a conversion makes room for.

The leak rounds up: half a membrane step a time step on average, as if each neuron were driven by
that much more. Beside the drive that just reaches the threshold, threshold / 2^a, it is 0.4 %.
"""

_MOST_FRAC, _MOST_BITS = 16, 32  # what AcceleratorConfig takes
_HEADROOM = 64  # thresholds; membranes wider than that are not made for worst cases


class Part:
    """A layer in both worlds, in weight steps of each neuron.

    Attributes
    ----------
    active : numpy.ndarray
        `[n]`, neurons that have weights.
    threshold : numpy.ndarray
        `[n]`, real.
    least, most : numpy.ndarray
        `[n]`, the worst cases of the membrane.
    """

    def __init__(self, config, number, real, decay, rounded):
        self.number, self.real, self.decay, self.rounded = number, real, decay, rounded
        self.active = ~rounded.silent
        self.threshold = real.threshold / rounded.scale
        sums = layer_bounds(config, number, rounded)[-1]
        self.sums = np.maximum(np.abs(sums.least), np.abs(sums.most))
        gain = decay.steps
        self.least = sums.least * gain
        subtract = real.reset == "subtract"
        self.most = sums.most * gain if subtract else sums.most + self.threshold

    def made(self, frac):
        """The golden model's layer."""
        real, rounded = self.real, self.rounded
        return Layer(
            w_in=rounded.w_in,
            w_rec=rounded.w_rec,
            threshold=self.integer_threshold(frac),
            decay_shift=self.decay.shift,
            decay_form=self.decay.form,
            reset=real.reset,
            input_shift=rounded.input_shift,
            bias=rounded.bias,
        )

    def integer_threshold(self, frac):
        """Least integer membrane that spikes, `[n]`: membranes are integers, nothing is lost."""
        real = self.threshold * 2.0**frac
        # 12 digits: a threshold on the grid that arithmetic moved by an ulp is on the grid.
        near = np.rint(real)
        real = np.where(np.isclose(real, near, rtol=1e-12, atol=0), near, real)
        least = np.floor(real) + 1 if self.real.strict else np.maximum(np.ceil(real), 1)
        return np.minimum(least, 2.0**62).astype(np.int64)

    @property
    def dead_zone(self):
        """Membrane steps below which a positive membrane does not leak: 2^a, or 1."""
        return 2**self.decay.shift if self.decay.form == "leak" else 1

    def ratio(self, frac):
        """The least threshold over the dead zone, in real numbers; infinite without weights."""
        values = self.threshold[self.active]
        return float(values.min() * 2**frac / self.dead_zone) if len(values) else np.inf

    def bits(self, frac):
        """membrane_bits with which no membrane is ever limited."""
        ends = self.least.min(), self.most.max(), self.integer_threshold(frac).max() / 2**frac
        rounding = self.dead_zone + 2
        return max(bits_needed(int(end * 2**frac + np.copysign(rounding, end))) for end in ends)

    def headroom(self, bits, frac):
        """Where membranes are limited, in thresholds of the neuron with the largest."""
        return 2.0 ** (bits - 1 - frac) / float(self.threshold.max())


def membrane_fields(parts, fields):
    """membrane_frac and membrane_bits that keep what rounds and limits a membrane far away."""
    default = AcceleratorConfig.__dataclass_fields__
    frac = least = fields.get("membrane_frac", default["membrane_frac"].default)
    if "membrane_frac" not in fields:
        while frac < _MOST_FRAC and min(p.ratio(frac) for p in parts) < THRESHOLD_RATIO:
            frac += 1

    def bits(frac):
        thresholds = max(int(part.integer_threshold(frac).max()) for part in parts)
        room = bits_needed(_HEADROOM * thresholds)
        return max(bits_needed(thresholds), min(room, max(p.bits(frac) for p in parts)), frac + 2)

    most = fields.get("membrane_bits", _MOST_BITS)
    while frac > least and bits(frac) > most:
        frac -= 1
    wide = max(default["membrane_bits"].default, min(bits(frac), _MOST_BITS))
    return {"membrane_frac": frac, "membrane_bits": fields.get("membrane_bits", wide)}
