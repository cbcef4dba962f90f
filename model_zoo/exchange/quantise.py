# SPDX-License-Identifier: Apache-2.0
"""Networks in real numbers to the hardware's integers, after training and without data.

What other tools trained comes here as `RealLayer`s; what leaves is a `golden_model.Network` whose
header says what is exact, what is approximated and by how much. Decays: `decay`; weights:
`scales`; here the formats of the numbers, and what all of it costs. The method, its limits and
measured errors: docs/bring-your-own-network.md.
"""

import dataclasses
import warnings
from dataclasses import dataclass

import numpy as np

from golden_model import Network
from hw.config import AcceleratorConfig
from model_zoo.exchange.account import account, percent
from model_zoo.exchange.decay import choose_decay
from model_zoo.exchange.errors import ConversionError, ConversionWarning
from model_zoo.exchange.formats import Part, membrane_fields
from model_zoo.exchange.scales import choose_readout, choose_scales

__all__ = ["RealLayer", "quantise", "warn"]

_LEAST_RATIO = 8  # refused below, unless the fields are the user's own
_LOW_RATIO = 64  # warned of below
_SHAPE_FIELDS = ("n_input", "hidden", "recurrent", "bias", "n_output")
_MOST_BITS, _MOST_SHIFT = 32, 15  # what AcceleratorConfig takes
_NOISE = 1e-6  # of float32, in a decay


@dataclass(frozen=True, eq=False)
class RealLayer:
    """One LIF layer in real numbers, v' = beta v + x @ w_in + s @ w_rec + bias.

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
    beta : float or numpy.ndarray
        Decay per time step, of all neurons or `[n]`.
    reset : str
        "zero" or "subtract".
    strict : bool
        A neuron spikes when its membrane is above the threshold; otherwise at or above.
    late_subtract : bool
        The threshold is subtracted one time step after the spike and is not subject to that
        step's decay (snnTorch's `reset_delay=True`).
    help_ : str
        What else may be wrong where its decay is refused; it ends the message.
    bias : numpy.ndarray or None
        `[n]`, in the unit of `w_rec`; None or all 0 costs the hardware nothing.
    """

    name: str
    w_in: np.ndarray
    w_rec: np.ndarray | None
    threshold: np.ndarray
    beta: float | np.ndarray
    reset: str = "zero"
    strict: bool = True
    late_subtract: bool = False
    help_: str = ""
    bias: np.ndarray | None = None


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
    if w_out is None:
        w_out = np.eye(len(layers[-1].threshold))
    layers = [_checked(layer) for layer in layers]
    w_out, readout_bias = _checked_readout(w_out, readout_bias)
    fields = dict(fields or {})
    config = _config(layers, w_out, fields)
    most_shift = fields.get("max_decay_shift", _MOST_SHIFT)
    chosen = [
        choose_decay(layer.name, layer.beta, most_shift, nearest=nearest, help_=layer.help_)
        for layer in layers
    ]
    layers = [
        _folded(layer, decay.beta, config.time_steps)
        for layer, decay in zip(layers, chosen, strict=True)
    ]
    longest = max(decay.shift for decay in chosen)
    shifts = {"max_decay_shift": max(config.max_decay_shift, longest)}
    config = _config(layers, w_out, {**shifts, **fields})  # a folded reset makes a layer recurrent
    layers[0] = dataclasses.replace(layers[0], w_in=layers[0].w_in * input_scale)
    parts = _rounded(config, layers, chosen, fields)
    config = config.replace(**membrane_fields(parts, fields))
    frac = config.membrane_frac
    readout, out_scale, out_report = choose_readout(config, w_out)
    about = account(config, parts, out_report)
    _refuse_low_ratio(parts, about, fields, nearest)
    found = {
        "scales": {"input": float(input_scale), "readout": float(out_scale)},
        "conversion": about,
    }
    if readout_bias is not None and np.any(readout_bias):
        found["readout_bias"] = [float(value) / out_scale for value in readout_bias]
    integers = [part.made(frac) for part in parts]
    return Network(config, integers, readout, {**(header or {}), **found})


def warn(network, stacklevel=3):
    """Warn of what a conversion did that makes another network, as its header says.

    Parameters
    ----------
    network : golden_model.Network
    stacklevel : int
        See `warnings.warn`.
    """
    for text in network.header["conversion"]["warnings"]:
        warnings.warn(text, ConversionWarning, stacklevel=stacklevel)


# ---- what is asked of the real network -------------------------------------------------------


def _finite(place, name, values):
    array = np.asarray(values, dtype=np.float64)
    wrong = ~np.isfinite(array)
    if wrong.any():
        where = [int(index) for index in np.argwhere(wrong)[0]]
        raise ConversionError(
            f"{place}: {name}{where} is {array[tuple(where)]}: it must be a finite number"
        )
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
    beta = np.broadcast_to(_finite(layer.name, "decay beta", layer.beta), (n,))
    beta = np.where((beta < 0) & (beta > -_NOISE), 0.0, beta)
    bias = _finite(layer.name, "bias", np.zeros(n) if layer.bias is None else layer.bias)
    if bias.shape != (n,):
        raise ConversionError(f"{layer.name}: bias has shape {bias.shape}: it must be {(n,)}")
    return dataclasses.replace(
        layer, w_in=w_in, w_rec=w_rec, threshold=threshold, beta=beta, bias=bias
    )


def _checked_readout(w_out, bias):
    w_out = _finite("readout", "weight", w_out)
    if bias is not None:
        bias = _finite("readout", "bias", bias)
        if bias.shape != (w_out.shape[1],):
            raise ConversionError(
                f"readout: bias has shape {bias.shape}: it must be ({w_out.shape[1]},)"
            )
    return w_out, bias


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
        "bias": [bool(layer.bias.any()) for layer in layers],
        "n_output": w_out.shape[1],
        "time_steps": 1,
        "lanes": lanes,
        "output_lanes": min(16, 2 * lanes) if isinstance(lanes, int) else 16,
    }
    return AcceleratorConfig.from_dict({**shape, **fields})


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


def _rounded(config, layers, decays, fields):
    """The layers in both worlds: each with its decay and its integer weights."""
    held = 2.0 ** (fields.get("membrane_bits", _MOST_BITS) - 1) - 2
    rounded = [
        choose_scales(config, number, layer, decay.beta, held / 2**config.membrane_frac)
        for number, (layer, decay) in enumerate(zip(layers, decays, strict=True))
    ]
    return [
        Part(config, number, *three)
        for number, three in enumerate(zip(layers, decays, rounded, strict=True))
    ]


def _refuse_low_ratio(parts, about, fields, nearest):
    """Refuse a leak that rounds the network away, or warn where that was asked for."""
    for part, layer in zip(parts, about["layers"], strict=True):
        ratio = layer["threshold_ratio"]
        if ratio is None or ratio >= _LOW_RATIO:
            continue
        text = (
            f"{layer['name']}: the least threshold is {ratio:.3g} times 2^a, a = "
            f"{part.decay.shift}: a positive membrane below 2^a never leaks, and rounding drives "
            f"each neuron with up to {percent(1 / ratio)} of what just reaches its threshold"
        )
        own = {"membrane_frac", "membrane_bits"} & set(fields)
        if ratio < _LEAST_RATIO and not own and not nearest:
            raise ConversionError(
                f"{text}: it must be at least {_LEAST_RATIO} times: train with a "
                "shorter time constant"
            )
        about["warnings"].append(
            f"{text}: {'leave out or raise ' + ' and '.join(sorted(own)) if own else 'measure it'}"
        )
