# SPDX-License-Identifier: Apache-2.0
"""What of a converted network is exact, what is approximated and by how much, in those words."""

import numpy as np

from model_zoo.exchange.decay import DECAY_TOLERANCE

__all__ = ["account", "percent"]

_NOISE = 1e-6  # of float32


def account(config, parts, readout):
    """The header's `conversion`."""
    about = {
        "method": "post-training, one scale a neuron of least weight error, no data",
        "layers": [_layer_report(config, part) for part in parts],
        "readout": readout,
        "exact": [],
        "approximated": [],
        "warnings": [],
    }
    for part, layer in zip(parts, about["layers"], strict=True):
        _in_words(config, part, layer, about)
    put = about["approximated"] if readout["error"] else about["exact"]
    put.append(f"readout: weights{_by(readout['error'])}")
    if not readout["least_error_taken"]:
        about["approximated"].append(
            "readout: weights, coarser than they would be with wider sums (acc_bits is "
            f"{config.acc_bits})"
        )
    return about


def _layer_report(config, part):
    real, rounded, decay = part.real, part.rounded, part.decay
    frac, scale = config.membrane_frac, rounded.scale
    off_in = rounded.w_in * scale * 2.0**-rounded.input_shift - real.w_in
    w_rec = real.w_rec if real.w_rec is not None else np.zeros((0, len(scale)))
    off_rec = (rounded.w_rec * scale if real.w_rec is not None else w_rec) - w_rec
    off_bias = (0 if rounded.bias is None else rounded.bias * scale) - real.bias
    keep = part.active
    total = np.sqrt(_squares(off_in) + _squares(off_rec))
    norm = np.sqrt(_squares(real.w_in) + _squares(w_rec))
    worst = float((total / np.where(norm, norm, 1))[keep].max(initial=0))
    betas = [float(real.beta.min()), float(real.beta.max())]
    ratio = part.ratio(frac)
    return {
        "name": real.name,
        "scale": [float(scale[keep].min(initial=np.inf)), float(scale[keep].max(initial=0))]
        if keep.any()
        else None,
        "membrane_steps": [float(step) / 2**frac for step in scale],
        "input_shift": rounded.input_shift,
        "beta": betas,
        "beta_taken": decay.beta,
        "steps": [None if beta == 1 else 1 / (1 - beta) for beta in betas],
        "steps_taken": decay.steps,
        "error_w_in": _relative(off_in[:, keep], real.w_in[:, keep]),
        "error_w_rec": _relative(off_rec[:, keep], w_rec[:, keep]),
        "error_worst_neuron": round(worst, 4) if worst > 1e-6 else 0.0,
        "least_error_taken": not rounded.coarsened.any(),
        "neurons_coarsened": int(rounded.coarsened.sum()),
        "neurons_silent": int(rounded.silent.sum()),
        "threshold_ratio": ratio if np.isfinite(ratio) else None,
        "error_bias": round(float((np.abs(off_bias) / real.threshold)[keep].max(initial=0)), 4),
        "membrane_bound": _bound(part, off_in, off_rec, off_bias, frac),
        "clamp": part.headroom(config.membrane_bits, frac)
        if part.bits(frac) > config.membrane_bits
        else None,
        "late_subtract_folded": real.late_subtract,
    }


def _squares(matrix):
    return np.square(matrix).sum(axis=0)


def _relative(off, weights):
    top = np.abs(weights).max(initial=0)
    if not top:
        return 0.0
    error = np.linalg.norm(off / top) / np.linalg.norm(weights / top)
    return round(float(error), 4) if error > 1e-6 else 0.0


def _bound(part, off_in, off_rec, off_bias, frac):
    """How far membranes can ever be from the real ones, in thresholds: the worst neuron's.

    As long as no spike differs, the inputs are the same and no membrane is limited. What each
    time step adds is the error of the stimulus in its worst case and one membrane step of rounding
    (two where a threshold is subtracted); what was added before decays. A threshold is rounded by
    one membrane step at most, so the first spike that differs is one whose real membrane is this
    near its threshold.
    """
    real, rounded, decay = part.real, part.rounded, part.decay
    step = rounded.scale / 2.0**frac
    added = np.abs(off_in).sum(axis=0) * (1 if part.number else 128) + np.abs(off_rec).sum(axis=0)
    added = added + np.abs(off_bias)
    if rounded.input_shift:
        added = added + rounded.scale / 2
    added = added + step * (2 if real.reset == "subtract" else 1)
    w_rec = real.w_rec if real.w_rec is not None else np.zeros((0, len(step)))
    stimulus = np.abs(real.w_in).sum(axis=0) * (1 if part.number else 128)
    stimulus = stimulus + np.abs(w_rec).sum(axis=0) + np.abs(real.bias)
    off = np.abs(decay.beta - real.beta)
    most = np.where(off > 0, stimulus * np.minimum(1 / np.maximum(1 - real.beta, 1e-12), 1e12), 0)
    added = added + off * np.maximum(most, real.threshold)
    bound = (added * decay.steps + step) / real.threshold
    return float(bound[part.active].max(initial=0))


def percent(share, sign=""):
    """A share as text."""
    return f"{100 * share:{sign}.3g} %"


def _by(error):
    return f" by {percent(error)} of their norm" if error else ""


def _in_words(config, part, layer, about):
    """Append to `exact`, `approximated` and `warnings` what one layer has of each."""
    _weights(layer, about)
    _bias(part, layer, about)
    _decay(part, layer, about)
    _input_sums(part, layer, about)
    _leak(part, layer, about)
    _range(config, layer, about)
    _neurons(config, layer, about)


def _weights(layer, about):
    """How far weights are from the real ones."""
    name = layer["name"]
    worst = layer["error_worst_neuron"]
    if worst:
        kinds = [("w_in", layer["error_w_in"]), ("w_rec", layer["error_w_rec"])]
        each = ", ".join(f"{kind}{_by(error)}" for kind, error in kinds if error)
        about["approximated"].append(
            f"{name}: weights, {each} (the worst neuron's by {percent(worst)})"
        )
    else:
        about["exact"].append(f"{name}: weights")


def _bias(part, layer, about):
    """How far biases are from the real ones."""
    if part.rounded.bias is None:
        return
    error = layer["error_bias"]
    text = f" by up to {percent(error)} of the threshold" if error else ""
    about["approximated" if error else "exact"].append(f"{layer['name']}: bias{text}")


def _decay(part, layer, about):
    """How far the time constant is from the real one."""
    name = layer["name"]
    error = part.decay.error(part.real.beta)
    off = float(error[np.abs(error).argmax()])
    steps, taken = layer["steps"][int(abs(error[0]) < abs(off))], layer["steps_taken"]
    steps = layer["steps"][0] if layer["steps"][0] == layer["steps"][1] else steps
    shown = "infinitely many" if steps is None else f"{steps:.6g}"
    if abs(off) <= _NOISE * max(1, taken):
        about["exact"].append(f"{name}: decay, a time constant of {taken:.6g} time steps")
    else:
        text = (
            f"{name}: decay, a time constant of {shown} time steps as {taken:.6g}, "
            f"1 - beta by {percent(off, '+')}"
        )
        about["approximated"].append(text)
        if abs(off) > DECAY_TOLERANCE:
            about["warnings"].append(
                f"{text}: the nearest that the hardware has was asked for, and it is another "
                "network: measure what it does"
            )


def _input_sums(part, layer, about):
    """What the input shift rounds."""
    name = layer["name"]
    if layer["input_shift"]:
        half = 0.5 / float(part.threshold[part.active].min())
        about["approximated"].append(
            f"{name}: input sums, rounded by up to half a weight step (input_shift "
            f"{layer['input_shift']}), {percent(half)} of the least threshold"
        )


def _leak(part, layer, about):
    """What the leak's shift rounds."""
    name = layer["name"]
    ratio = layer["threshold_ratio"]
    if ratio is not None and part.decay.form == "leak":
        about["approximated"].append(
            f"{name}: leak, rounded up by less than a membrane step a time step, as a drive of up "
            f"to {percent(1 / ratio)} of what just reaches the threshold (threshold / 2^a is "
            f"{ratio:.4g})"
        )
    elif ratio is not None:
        about["approximated"].append(
            f"{name}: leak, rounded down by less than a membrane step a time step, "
            f"{percent(1 / ratio)} of the least threshold"
        )


def _range(config, layer, about):
    """Whether membranes can be limited."""
    name = layer["name"]
    if layer["clamp"] is None:
        about["exact"].append(f"{name}: range of membranes")
    else:
        about["approximated"].append(
            f"{name}: membranes, limited to {layer['clamp']:.3g} thresholds either way "
            f"(membrane_bits {config.membrane_bits}), which worst cases exceed"
        )
    if layer["clamp"] is not None and layer["clamp"] < 4:
        about["warnings"].append(
            f"{name}: membranes are limited to {layer['clamp']:.2g} thresholds either way: raise "
            "membrane_bits"
        )


def _neurons(config, layer, about):
    """Neurons with coarser weights than they might have, and with none."""
    name = layer["name"]
    if layer["neurons_coarsened"]:
        about["approximated"].append(
            f"{name}: {layer['neurons_coarsened']} neurons have coarser weights than they would "
            f"with wider sums (acc_bits is {config.acc_bits})"
        )
    if layer["neurons_silent"]:
        about["exact"].append(
            f"{name}: {layer['neurons_silent']} neurons that no input lifts to their thresholds "
            "have weights of 0"
        )
