# SPDX-License-Identifier: Apache-2.0
"""Cycles that no schedule of two PE sets can do without, whatever it skips and overlaps.

A PE set adds one row a cycle. A frame asks for one addition for each digit of a feature that is
not 0, in the form with the fewest, for each hidden row whose input spikes in any time step, for
each such row of the readout, and for the two rows of a bias: what both time steps share can be
added once. Each row comes from one bank of two, so the banks are never a tighter bound than the PE
sets.
"""

from dataclasses import dataclass

import numpy as np

from golden_model import Densities
from golden_model.digits import digit_counts, value_shares
from hw.config import AcceleratorConfig

__all__ = ["LeastCycles", "expected_least_cycles", "least_cycles"]

# Of every feature, as uint8. No form with the digits -1, 0 and 1 has fewer than the non-adjacent.
_FEWEST_DIGITS = digit_counts("naf").sum(axis=-1)


@dataclass(frozen=True)
class LeastCycles:
    """The fewest cycles in which two PE sets can add the rows of a frame, by part."""

    input: float
    hidden: float
    readout: float

    @property
    def total(self) -> float:
        return self.input + self.hidden + self.readout


def expected_least_cycles(config: AcceleratorConfig, densities: Densities) -> LeastCycles:
    """Expected for independent random bits and spikes; with readout_every, the mean of frames."""
    spiking = densities.union if config.time_steps == 2 else densities.spikes
    layers = [neurons * spiking for neurons in config.hidden]
    digits = config.n_input * float(value_shares(densities.input_bits) @ _FEWEST_DIGITS)
    return _least(config, digits, layers, layers, layers[-1])


def least_cycles(
    config: AcceleratorConfig, features: np.ndarray, spikes: list[np.ndarray]
) -> LeastCycles:
    """The mean over the frames of an utterance.

    Parameters
    ----------
    features
        int8 [frames, n_input].
    spikes
        Of each layer [frames, T, n], as `Network.run` returns them.
    """
    frames = len(features)
    spiking = [s.any(axis=1) for s in spikes]
    return _least(
        config,
        float(_FEWEST_DIGITS[features.view(np.uint8)].sum()) / frames,
        [float(s.sum()) / frames for s in spiking],
        [float(s[:-1].sum()) / frames for s in spiking],  # the last frame's are added in no frame
        float(spiking[-1][:: config.readout_every].sum(axis=1).mean()),
    )


def _least(
    config: AcceleratorConfig,
    digits: float,
    spiking: list[float],
    before: list[float],
    read: float,
) -> LeastCycles:
    """From counts of a frame: digits, inputs that spike now, in the frame before, at a readout."""
    hidden = 0.0
    for layer in range(config.n_layers):
        inputs = (spiking[layer - 1] if layer else 0) + config.recurrent[layer] * before[layer]
        hidden += config.tiles(layer) * (inputs + 2 * config.has_bias(layer))
    readout = config.output_tiles * read / config.readout_every
    return LeastCycles(config.tiles(0) * digits / 2, hidden / 2, readout / 2)
