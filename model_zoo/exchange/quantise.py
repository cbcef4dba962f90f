# SPDX-License-Identifier: Apache-2.0
"""Networks in real numbers to the hardware's integers, after training and without data.

What other tools trained comes here as `RealLayer`s; what leaves is a `golden_model.Network`. Each
layer has one weight scale s, which `w_in` and `w_rec` share (in layer 0 `w_in` has
s / 2^input_shift). Of all scales tried, the one with the least weight error whose sums fit the
accumulators is taken. The method, its limits and measured errors: docs/bring-your-own-network.md.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from golden_model import Layer, Network
from golden_model.fixed_point import bits_needed
from hw.config import AcceleratorConfig
from hw.errors import PlosiveError

__all__ = ["DECAY_TOLERANCE", "ConversionError", "RealLayer", "nearest_decay", "quantise"]

DECAY_TOLERANCE = 0.05
"""Largest relative distance between a decay asked for and the hardware's, unless told `nearest`."""

_LEAST, _MOST = -8, 7
# -7 to 7, as `model_zoo` trains, so that a converted network can be trained on; -8 only where
# weights are on a grid that has it.
_LEASTS = (-_MOST, _LEAST)
_SHAPE_FIELDS = ("n_input", "hidden", "recurrent", "n_output")
# Scales around the one that puts the largest weight at 7: from a third of it, which clips the
# tail, to four times it, which leaves integers -2 to 2.
_SCALE_STEPS = 2.0 ** (np.arange(-26, 33) / 16)
_WIDEST_ACC = 32


class ConversionError(PlosiveError, ValueError):
    """A network that the hardware cannot run: one line with place, field, value and rule."""


@dataclass(frozen=True, eq=False)
class RealLayer:
    """One LIF layer in real numbers, v' = beta v + x @ w_in + s @ w_rec.

    Attributes
    ----------
    name : str
        What the user calls it; it begins every message.
    w_in : numpy.ndarray
        `[n_source, n]`.
    w_rec : numpy.ndarray or None
        `[n, n]`, of the layer's own spikes.
    threshold : numpy.ndarray
        `[n]`, in the unit of `w_rec`.
    beta : float
        Decay per time step.
    reset : str
        "zero" or "subtract".
    strict : bool
        A neuron spikes when its membrane is above the threshold; otherwise at or above.
    late_subtract : bool
        The threshold is subtracted one time step after the spike and is not subject to that
        step's decay (snnTorch's `reset_delay=True`).
    """

    name: str
    w_in: np.ndarray
    w_rec: np.ndarray | None
    threshold: np.ndarray
    beta: float
    reset: str = "zero"
    strict: bool = True
    late_subtract: bool = False


def nearest_decay(beta, max_shift):
    """The hardware's decay that is nearest to `beta`.

    Parameters
    ----------
    beta : float
    max_shift : int
        Largest decay shift.

    Returns
    -------
    decay_shift : int
    decay_form : str
        "leak" (1 - 2^-shift) or "scale" (2^-shift); "leak" for one half, which both have.
    value : float
    """
    shifts = range(1, max_shift + 1)
    found = [(a, "leak", 1 - 2.0**-a) for a in shifts] + [(a, "scale", 2.0**-a) for a in shifts]
    return min(found, key=lambda decay: abs(decay[2] - beta))


def quantise(
    layers, w_out, *, fields=None, input_scale=1.0, nearest=False, header=None, readout_bias=None
):
    """The integers of a network in real numbers.

    Parameters
    ----------
    layers : list of RealLayer
        First to last; `w_in` of the first is per unit of a feature as the network was trained.
    w_out : numpy.ndarray or None
        Readout `[n of the last layer, n_output]`; None if the last layer's spikes are the outputs.
    fields : dict, optional
        Fields of `AcceleratorConfig` that the layers do not give: time_steps, acc_bits, lanes ...
    input_scale : float
        Value, as the network was trained, of one step of the int8 features.
    nearest : bool
        Take the nearest decay however far it is.
    header : dict, optional
        Goes into the network's, beside `scales` and `conversion`.
    readout_bias : numpy.ndarray, optional
        `[n_output]`; the hardware has none, so it goes into the header for the host to add.

    Returns
    -------
    golden_model.Network

    Raises
    ------
    ConversionError
        The hardware cannot run it.
    ConfigError
        A field breaks its rule.
    """
    if not layers:
        raise ConversionError("the network has no LIF layer: the hardware needs one to 16")
    if not (np.isfinite(input_scale) and input_scale > 0):
        raise ConversionError(f"input_scale is {input_scale!r}: it must be a positive number")
    last = layers[-1]
    if w_out is None:
        w_out = np.eye(len(last.threshold))
    layers = [_checked(layer) for layer in layers]
    w_out = _finite("readout", "weight", w_out)
    decays = []
    fields = dict(fields or {})
    config = _config(layers, w_out, fields)
    for number, layer in enumerate(layers):
        decay = _decay(layer, config.max_decay_shift, nearest)
        layers[number] = _folded(layer, decay[2], config.time_steps)
        decays.append(decay)
    config = _config(layers, w_out, fields)  # a folded reset makes a plain layer recurrent
    layers[0] = dataclasses.replace(layers[0], w_in=layers[0].w_in * input_scale)
    integers, scales, report = [], [], []
    for number, (layer, decay) in enumerate(zip(layers, decays, strict=True)):
        chosen, scale, about = _choose(config, number, layer, decay)
        integers.append(chosen)
        scales.append(scale)
        report.append(about)
    readout, out_scale, out_report = _choose_readout(config, w_out)
    found = {
        "scales": {
            "input": float(input_scale),
            "layers": [float(scale) / 2**config.membrane_frac for scale in scales],
            "readout": float(out_scale),
        },
        "conversion": {
            "method": "post-training, one scale a layer of least weight error, no data",
            "layers": report,
            "readout": out_report,
        },
    }
    if readout_bias is not None and np.any(readout_bias):
        bias = _finite("readout", "bias", readout_bias)
        found["readout_bias"] = [float(value) / out_scale for value in bias]
    return Network(config, integers, readout, {**(header or {}), **found})


# ---- what is asked of the real network -------------------------------------------------------


def _finite(place, name, values):
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ConversionError(f"{place}: {name} has a value that is not finite")
    return array


def _checked(layer):
    w_in = _finite(layer.name, "weight", layer.w_in)
    n = w_in.shape[1]
    w_rec = layer.w_rec
    if w_rec is not None:
        w_rec = _finite(layer.name, "recurrent weight", w_rec)
        if w_rec.shape != (n, n):
            raise ConversionError(
                f"{layer.name}: recurrent weight has shape {w_rec.shape}: it must be {(n, n)}"
            )
    threshold = np.broadcast_to(_finite(layer.name, "threshold", layer.threshold), (n,))
    if (threshold <= 0).any():
        neuron = int((threshold <= 0).argmax())
        raise ConversionError(
            f"{layer.name}, neuron {neuron}: threshold is {threshold[neuron]:g}: "
            "it must be positive"
        )
    return dataclasses.replace(layer, w_in=w_in, w_rec=w_rec, threshold=threshold)


def _config(layers, w_out, fields):
    """The configuration of these layers, with lanes for the widest of them."""
    for name in fields:
        if name in _SHAPE_FIELDS:
            raise ConversionError(f"{name} is given: it follows from the network, leave it out")
    hidden = [layer.w_in.shape[1] for layer in layers]
    lanes = 8
    while lanes < min(max(hidden), 128):
        lanes *= 2
    lanes = fields.get("lanes", lanes)
    shape = {
        "n_input": layers[0].w_in.shape[0],
        "hidden": hidden,
        "recurrent": [layer.w_rec is not None for layer in layers],
        "n_output": w_out.shape[1],
        "time_steps": 1,
        "lanes": lanes,
        "output_lanes": min(16, 2 * lanes) if isinstance(lanes, int) else 16,
    }
    return AcceleratorConfig.from_dict({**shape, **fields})


def _decay(layer, max_shift, nearest):
    if not 0 <= layer.beta <= 1:
        raise ConversionError(f"{layer.name}: decay beta is {layer.beta:g}: it must be 0 to 1")
    decay = nearest_decay(layer.beta, max_shift)
    distance = abs(decay[2] - layer.beta)
    if distance > DECAY_TOLERANCE * layer.beta and not nearest:
        raise ConversionError(
            f"{layer.name}: decay beta is {layer.beta:.6g}: the hardware has 1 - 2^-a and 2^-a, "
            f"a = 1 to {max_shift}, and the nearest, {decay[2]:g}, is more than "
            f"{DECAY_TOLERANCE:.0%} away: train with it, or accept it (nearest)"
        )
    return decay


def _folded(layer, beta, time_steps):
    """The layer with a reset in the same time step.

    U' = beta U + i - theta s, with s the spikes of the step before, is the same as
    v' = beta (v - theta s) + i - (1 - beta) theta s: the reset of the hardware, and a weight of
    -(1 - beta) theta from each neuron to itself.
    """
    if not layer.late_subtract:
        return layer
    if time_steps != 1:
        raise ConversionError(
            f"{layer.name}: its reset acts one time step late: with time_steps {time_steps} the "
            "hardware has no equal for that: train with reset_delay=False"
        )
    n = len(layer.threshold)
    w_rec = np.zeros((n, n)) if layer.w_rec is None else layer.w_rec
    return dataclasses.replace(layer, w_rec=w_rec - np.diag((1 - beta) * layer.threshold))


# ---- scales ----------------------------------------------------------------------------------


def _rounded(weights, scale, least):
    return np.clip(np.rint(weights / scale), least, _MOST)


def _error(weights, scale, least):
    """Squared error of a matrix over its squared norm; 0 for a matrix of zeros."""
    norm = np.square(weights).sum()
    if not norm:
        return 0.0
    error = np.square(_rounded(weights, scale, least) * scale - weights).sum() / norm
    return round(float(error), 12)  # what is on a grid but for the last bits is on it


def _candidates(*matrices):
    """Scales worth trying: around the largest weight of each matrix, and those of 4-bit grids."""
    found = set()
    for matrix in matrices:
        top = np.abs(matrix).max(initial=0)
        if top > 0:
            found.update(top / 7 * _SCALE_STEPS)
            found.update(top / np.arange(1, 9))  # weights on a grid already: no error at all
    return sorted(found)


def _choose(config, number, layer, decay):
    """Integers of a layer, the value of one of its weight steps, and what was done."""
    w_rec = layer.w_rec if layer.w_rec is not None else np.zeros((0, 0))
    least, tried = _ranked(lambda least: _layer_scales(config, number, layer, w_rec, least))
    limit = 2 ** (config.membrane_bits - 1) - 1
    first_refusal = None
    narrowest = None
    for rank, (_, shift, negative, parts) in enumerate(tried):
        scale = -negative
        if layer.late_subtract and (np.diagonal(w_rec) / scale).min() < least - 0.5:
            first_refusal = first_refusal or _refused_diagonal(layer, w_rec, scale, least)
            continue
        threshold = _threshold(layer, scale, config.membrane_frac)
        if threshold.max() > limit:
            first_refusal = first_refusal or _refused_threshold(config, layer, threshold)
            continue
        made = Layer(
            w_in=_rounded(layer.w_in, scale * 2.0**-shift, least).astype(np.int8),
            w_rec=None if layer.w_rec is None else _rounded(w_rec, scale, least).astype(np.int8),
            threshold=threshold,
            decay_shift=decay[0],
            decay_form=decay[1],
            reset=layer.reset,
            input_shift=shift,
        )
        bits = _layer_bits(config, number, made)
        if bits <= config.acc_bits:
            about = {
                "name": layer.name,
                "scale": float(scale),
                "input_shift": shift,
                "beta": layer.beta,
                "beta_taken": decay[2],
                "error_w_in": round(float(np.sqrt(parts[0])), 4),
                "error_w_rec": round(float(np.sqrt(parts[1])), 4),
                "least_error_taken": rank == 0,
                "late_subtract_folded": layer.late_subtract,
            }
            return made, scale, about
        narrowest = min(narrowest or (bits, shift, scale), (bits, shift, scale))
        first_refusal = first_refusal or (
            f"{layer.name}: at its best scale, {scale:.4g} a weight step, its sums need acc_bits "
            f"{bits} and the configuration has {config.acc_bits}"
        )
    coarser = (
        f"; of the {len(tried)} scales tried, {narrowest[2]:.4g} needs least, {narrowest[0]}: set "
        f"acc_bits to that, or train smaller weights"
        if narrowest is not None
        else ""
    )
    raise ConversionError(first_refusal + coarser)


def _ranked(scales):
    """The least integer to use and what `scales(least)` tried with it, best first."""
    for least in _LEASTS:
        # Of equal errors the smaller shift, which rounds less, then the coarser scale, which
        # finds the integers of a network that was on a grid.
        tried = sorted(scales(least))
        if least == _LEASTS[0]:
            first = least, tried
        if tried[0][0] == 0:
            return least, tried
    return first


def _layer_scales(config, number, layer, w_rec, least):
    """(error, input shift, minus scale, errors of w_in and w_rec) of scales worth trying."""
    errors = {}

    def error(which, matrix, scale):
        # Scales of w_in at different shifts coincide; their errors are computed once.
        key = which, round(float(np.log2(scale)), 9)
        if key not in errors:
            errors[key] = _error(matrix, scale, least)
        return errors[key]

    for shift in range(config.max_input_shift + 1) if number == 0 else (0,):
        # Neither matrix: any scale is exact, this one puts the threshold at 16 steps.
        some = _candidates(layer.w_in * 2.0**shift, w_rec) or [float(layer.threshold.mean()) / 16]
        for scale in some:
            parts = (
                error("w_in", layer.w_in, scale * 2.0**-shift),
                error("w_rec", w_rec, scale),
            )
            yield sum(parts), shift, -scale, parts


def _threshold(layer, scale, frac):
    """Least integer membrane that spikes, `[n]`: membranes are integers, so nothing is lost."""
    real = layer.threshold / scale * 2.0**frac
    # 12 digits: a threshold on the grid that arithmetic moved by an ulp is on the grid.
    near = np.rint(real)
    real = np.where(np.isclose(real, near, rtol=1e-12, atol=0), near, real)
    least = np.floor(real) + 1 if layer.strict else np.ceil(real)
    return np.minimum(least, 2.0**62).astype(np.int64)


def _refused_threshold(config, layer, threshold):
    neuron = int(threshold.argmax())
    return (
        f"{layer.name}, neuron {neuron}: threshold is {layer.threshold[neuron]:.6g}, "
        f"{threshold[neuron]} in membrane steps at the best weight scale: it must be at most "
        f"{2 ** (config.membrane_bits - 1) - 1} (membrane_bits {config.membrane_bits})"
    )


def _refused_diagonal(layer, w_rec, scale, least):
    steps = (np.diagonal(w_rec) / scale).min()
    return (
        f"{layer.name}: its late reset becomes a weight of {steps:.1f} steps from a neuron to "
        f"itself: it must be at least {least}: train with reset_delay=False"
    )


def _layer_bits(config, number, layer):
    """acc_bits that the sums of one layer need, by the golden model's own bounds."""
    wide = config.replace(acc_bits=_WIDEST_ACC)
    layers = [
        Layer(
            np.zeros((config.n_source(i), n), np.int8),
            np.zeros((n, n), np.int8) if config.recurrent[i] else None,
            1,
            1,
        )
        for i, n in enumerate(config.hidden)
    ]
    layers[number] = layer
    zeros = np.zeros((config.hidden[-1], config.n_output), np.int8)
    return Network(wide, layers, zeros).acc_bits_needed


def _choose_readout(config, w_out):
    """Integers of the readout, the value of one step of a logit, and what was done."""
    some = _candidates(w_out) or [1.0]
    least, tried = _ranked(lambda least: [(_error(w_out, s, least), -s) for s in some])
    bits_of = []
    for rank, (error, negative_scale) in enumerate(tried):
        scale = -negative_scale
        made = _rounded(w_out, scale, least).astype(np.int8)
        positive = np.maximum(made, 0).sum(axis=0, dtype=np.int64).max()
        negative = np.minimum(made, 0).sum(axis=0, dtype=np.int64).min()
        steps = config.time_steps
        bits = max(bits_needed(steps * int(positive)), bits_needed(steps * int(negative)))
        if bits <= config.acc_bits:
            about = {
                "scale": float(scale),
                "error": round(float(np.sqrt(error)), 4),
                "least_error_taken": rank == 0,
            }
            return made, scale, about
        bits_of.append(bits)
    raise ConversionError(
        f"readout: at its best scale, {-tried[0][1]:.4g} a weight step, its sums need acc_bits "
        f"{bits_of[0]} and the configuration has {config.acc_bits}; of the {len(tried)} scales "
        f"tried the least need is {min(bits_of)}: set acc_bits to that"
    )
