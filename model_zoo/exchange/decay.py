# SPDX-License-Identifier: Apache-2.0
"""Which decays the hardware has, and which of them may stand for a trained one.

What a neuron does with a constant drive I is settled by 1 - beta: its membrane tends to
I / (1 - beta) with a time constant of 1 / (1 - beta) time steps. So decays are compared by the
relative error of 1 - beta; beta itself says little (0.95 and 0.9375 differ by 1.3 %, their gains
and time constants by 25 %).
"""

from dataclasses import dataclass

import numpy as np

from model_zoo.exchange.errors import ConversionError

__all__ = ["DECAY_TOLERANCE", "Decay", "choose_decay", "decays", "nearest_decay"]

DECAY_TOLERANCE = 0.01
"""Largest relative error of 1 - beta, unless told `nearest`.

A neuron driven 10 % above its rheobase then still spikes within 5 % as often.
"""


@dataclass(frozen=True, order=True)
class Decay:
    """One decay of the hardware.

    Attributes
    ----------
    beta : float
    shift : int
        a of 1 - 2^-a or 2^-a.
    form : str
        "leak" (1 - 2^-a) or "scale" (2^-a); "leak" for one half, which both have.
    """

    beta: float
    shift: int
    form: str

    @property
    def steps(self):
        """Its time constant, 1 / (1 - beta), in time steps."""
        return 1 / (1 - self.beta)

    def error(self, beta):
        """Relative error of 1 - beta where this decay stands for `beta`; signed."""
        with np.errstate(divide="ignore"):
            return (1 - self.beta) / (1 - np.asarray(beta, float)) - 1


def decays(max_shift):
    """Every decay of hardware with that `max_decay_shift`, smallest first."""
    shifts = range(1, max_shift + 1)
    leaks = [Decay(1 - 2.0**-a, a, "leak") for a in shifts]
    return sorted(leaks + [Decay(2.0**-a, a, "scale") for a in shifts if a > 1])


def nearest_decay(beta, max_shift):
    """The decay of the hardware whose 1 - beta is nearest, in proportion.

    Parameters
    ----------
    beta : float or numpy.ndarray
        The decay wanted; of several, the one whose worst error is least is taken.
    max_shift : int
        Largest decay shift.

    Returns
    -------
    Decay
    """
    return min(decays(max_shift), key=lambda decay: _distance(decay, beta))


def _distance(decay, beta):
    """How far the time constants are apart: the logarithm of their ratio, the worst of all."""
    lost = np.maximum(1 - np.asarray(beta, float), 1e-12)  # no leak: the longest is the nearest
    return float(np.abs(np.log((1 - decay.beta) / lost)).max())


def choose_decay(name, beta, max_shift, *, nearest, help_=""):
    """The decay that stands for those of a layer.

    Parameters
    ----------
    name : str
        The layer; it begins the message.
    beta : numpy.ndarray
        `[n]`.
    max_shift : int
    nearest : bool
        Take the nearest however far it is.
    help_ : str
        What else may be wrong, for the message.

    Returns
    -------
    Decay

    Raises
    ------
    ConversionError
        None is within `DECAY_TOLERANCE`; the message names the two nearest.
    """
    wrong = ~((beta >= 0) & (beta <= 1))
    if wrong.any():
        neuron = int(wrong.argmax())
        raise ConversionError(
            f"{name}, neuron {neuron}: decay beta is {beta[neuron]:g}: it must be 0 to 1{help_}"
        )
    decay = nearest_decay(beta, max_shift)
    if nearest or np.abs(decay.error(beta)).max() <= DECAY_TOLERANCE:
        return decay
    spread = beta.max() - beta.min() > 1e-6
    worst = float(beta[np.abs(decay.error(beta)).argmax()])
    known = decays(max_shift)
    below = [d for d in known if d.beta <= worst][-1:]
    above = [d for d in known if d.beta > worst][:1]
    choices = " and ".join(
        f"{d.beta:.6g} ({_number(d.steps)} steps, 1 - beta {_off(d, worst)})"
        for d in (*below, *above)
    )
    what = f"decay beta is {_beta(worst)}"
    if spread:
        what = f"decay beta is {_beta(beta.min())} to {_beta(beta.max())}, of which {_beta(worst)}"
        what += " is farthest from any that would do for all: the layer has one decay"
    raise ConversionError(
        f"{name}: {what}, a time constant of {_number(_steps(worst))} time steps: the hardware has "
        f"1 - 2^-a and 2^-a, a = 1 to {max_shift}, the nearest {choices}, and 1 - beta must be "
        f"within {DECAY_TOLERANCE:.0%}: train with a decay of the hardware, or take the nearest "
        f"with nearest (--nearest){help_}"
    )


def _beta(value):
    return f"{value:.6g}" if abs(1 - value) > 1e-5 or value == 1 else f"1 - {1 - value:.3g}"


def _steps(beta):
    return 1 / (1 - beta) if beta < 1 else np.inf


def _number(steps):
    return "infinitely many" if np.isinf(steps) else f"{steps:,.6g}"


def _off(decay, beta):
    error = float(decay.error(beta))
    return f"{error:+.0%}" if abs(error) < 10 else f"{error + 1:.3g} times too large"
