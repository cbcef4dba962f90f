# SPDX-License-Identifier: Apache-2.0
"""How much of a network is left after conversion: it runs in real numbers and in integers.

Both see the same features. What is compared are spikes, membranes and outputs as they come:
one spike that differs changes what follows it, in both directions, so spikes of a recurrent
network drift apart; their number and the outputs say whether it is still the same network.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["RealRun", "compare", "describe", "membrane_steps"]


@dataclass(frozen=True, eq=False)
class RealRun:
    """What a network computes in real numbers.

    Attributes
    ----------
    spikes : list of numpy.ndarray
        One array `[frames, T, n]` per layer, 0 or 1.
    membranes : list of numpy.ndarray
        One array `[frames, T, n]` per layer, after the time step. Where a neuron spiked, membranes
        are not compared: some tools reset a time step later.
    outputs : numpy.ndarray
        `[readouts, n_output]`, summed over the time steps of a frame.
    """

    spikes: list[np.ndarray]
    membranes: list[np.ndarray]
    outputs: np.ndarray


def membrane_steps(network):
    """The real value of a membrane step of a converted network, one array `[n]` per layer."""
    layers = network.header["conversion"]["layers"]
    return [np.array(layer["membrane_steps"]) for layer in layers]


def compare(network, features, real, steps, readout_step, readout_bias=0.0):
    """The integers beside the real numbers.

    Parameters
    ----------
    network : golden_model.Network
    features : numpy.ndarray
        `[frames, n_input]`, int8.
    real : RealRun
        What the same features give in real numbers.
    steps : list of numpy.ndarray
        The real value of a membrane step, one array `[n]` per layer.
    readout_step : float
        Real value of one step of a logit.
    readout_bias : numpy.ndarray or float
        What the host adds to the logits, in steps.

    Returns
    -------
    dict
        JSON-able: `frames`, `time_steps`, per layer in `layers` the number of spikes in both
        (`spikes_real`, `spikes_hardware`), the share of equal (frame, step, neuron) bits
        (`spikes_equal`), the share of spikes in both among those in either (`spikes_shared`, None
        without spikes), the first frame with a spike that differs (`first_difference`), and
        `membrane_error`, the root mean square difference of membranes in thresholds, where neither
        spiked; in `readout` the root mean square error over that of the real outputs, and how
        often the largest output is the same (`same_answer`).
    """
    result = network.run(features)
    layers = []
    for number, (layer, mine, membranes) in enumerate(
        zip(network.layers, result.spikes, result.membranes, strict=True)
    ):
        theirs = real.spikes[number].astype(bool)
        mine = mine.astype(bool)
        either = int((mine | theirs).sum())
        different = (mine != theirs).any(axis=(1, 2))
        quiet = ~(mine | theirs) & layer.w_in.any(axis=0)
        threshold = layer.threshold * steps[number]
        off = (membranes * steps[number] - real.membranes[number]) / threshold
        layers.append(
            {
                "spikes_real": int(theirs.sum()),
                "spikes_hardware": int(mine.sum()),
                "spikes_equal": float((mine == theirs).mean()),
                "spikes_shared": float((mine & theirs).sum() / either) if either else None,
                "first_difference": int(different.argmax()) if different.any() else None,
                "membrane_error": _root_mean_square(off[quiet]),
            }
        )
    outputs = (result.logits + readout_bias) * readout_step
    size = _root_mean_square(real.outputs)
    error = _root_mean_square(outputs - real.outputs)
    same = outputs.argmax(axis=-1) == real.outputs.argmax(axis=-1)
    return {
        "frames": len(features),
        "time_steps": network.config.time_steps,
        "layers": layers,
        "readout": {
            "error": error / size if size else error,
            "same_answer": float(same.mean()) if same.size else None,
        },
    }


def _root_mean_square(values):
    return float(np.sqrt(np.square(values).mean())) if values.size else 0.0


def describe(figures):
    """Lines of text of what `compare` found."""
    lines = [f"real numbers beside integers, {figures['frames']:,} frames"]
    for number, layer in enumerate(figures["layers"]):
        shared = layer["spikes_shared"]
        lines.append(
            f"layer {number}: {layer['spikes_real']:,} spikes in real numbers, "
            f"{layer['spikes_hardware']:,} in hardware, {layer['spikes_equal']:.1%} of all bits "
            f"equal, {'no spikes' if shared is None else f'{shared:.0%} of spikes'} shared, "
            f"membranes off by {layer['membrane_error']:.3f} thresholds"
        )
    readout = figures["readout"]
    lines.append(
        f"readout: error {readout['error']:.1%}, the same answer in "
        f"{readout['same_answer']:.1%} of frames"
    )
    return "\n".join(lines)
