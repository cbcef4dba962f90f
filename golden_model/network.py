# SPDX-License-Identifier: Apache-2.0
"""The network in integers: its parameters, and what it computes frame by frame.

Functional level of the golden model, written from the equations of docs/numerics.md and with their
names. What the machine does in each clock is in `golden_model.cycle`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from golden_model.digits import half_ranges
from golden_model.errors import NetworkError, NetworkFileError
from golden_model.files import network_file
from golden_model.fixed_point import bits_needed, round_shift, signed_range
from golden_model.layer import DECAY_FORMS, RESETS, Layer, product, run_layer, sign_sums
from golden_model.random_network import draw
from hw.config import AcceleratorConfig

__all__ = ["Network", "Result", "SumBound", "checked_features"]


@dataclass(frozen=True, eq=False)
class Result:
    """What a network computes; `...` is the batch dimension, if the features had one.

    Attributes
    ----------
    logits
        [..., readouts, n_output] int32; readout r is that of frame r * readout_every.
    spikes
        Per layer [..., frames, T, n] uint8, 0 or 1.
    membranes
        Per layer [..., frames, T, n] int32 or int64, after the time step.
    """

    logits: np.ndarray
    spikes: list[np.ndarray]
    membranes: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class SumBound:
    """One sum that must fit acc_bits, and the extremes that inputs can drive it to.

    Attributes
    ----------
    place, unit
        What it belongs to: "layer 0" and "neuron", or "readout" and "output".
    name
        Which sum.
    least, most
        Per neuron or output [n], int64; both are reached by some input.
    """

    place: str
    unit: str
    name: str
    least: np.ndarray
    most: np.ndarray


class Network:
    """A network of L >= 1 LIF layers and a readout, checked when it is made.

    Parameters
    ----------
    config
        Shapes and number formats.
    layers
        One `Layer` each; arrays are copied, thresholds broadcast.
    w_out
        [n of the last layer, n_output] int4 weights of the readout.
    header
        Free JSON-able information that travels with the file (scales, labels, licence ...).

    Raises
    ------
    NetworkError
        A shape, a type, a weight, a threshold, a shift or a word is wrong, or a sum
        does not fit acc_bits; the message names layer, neuron, value, rule and what would do.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        layers: list[Layer] | tuple[Layer, ...],
        w_out: np.ndarray,
        header: dict[str, Any] | None = None,
    ) -> None:
        self.config = config
        if len(layers) != config.n_layers:
            raise NetworkError(
                f"layers has {len(layers)} entries: the configuration has {config.n_layers} layers"
            )
        self.layers = tuple(
            _checked_layer(config, index, layer) for index, layer in enumerate(layers)
        )
        self.w_out = _weights(
            "readout", "output", "w_out", w_out, (config.hidden[-1], config.n_output)
        )
        self.header = dict(header or {})
        self._check_sums()

    # ---- do the accumulators hold every sum? ---------------------------------------------

    def sum_bounds(self) -> list[SumBound]:
        """Every sum that docs/numerics.md bounds, with its worst cases over all inputs.

        With inputs between -x and y a sum reaches y P + x N at most and -(x P + y N) at least:
        each input can take the value that pushes in the direction of its weight. What the halves of
        a feature can be depends on its digits (`input_digits`).
        """
        sums = []
        for index, layer in enumerate(self.layers):
            place = f"layer {index}"
            positive, negative = sign_sums(layer.w_in)
            if index == 0:
                half = "digit" if self.config.signed_digits else "nibble"
                ranges = half_ranges(self.config.input_digits)
                for name, (least, most) in zip(("low", "high"), ranges, strict=True):
                    bounds = (
                        least * positive - most * negative,
                        most * positive - least * negative,
                    )
                    sums.append(SumBound(place, "neuron", f"{name}-{half} sum", *bounds))
                term = -(128 * positive + 127 * negative), 127 * positive + 128 * negative
                least, most = (round_shift(bound, layer.input_shift) for bound in term)
            else:
                least, most = -negative, positive
            if layer.w_rec is not None:
                positive, negative = sign_sums(layer.w_rec)
                least, most = least - negative, most + positive
            if layer.bias is not None:
                least, most = least + layer.bias, most + layer.bias
            sums.append(SumBound(place, "neuron", "layer sum", least, most))
        positive, negative = sign_sums(self.w_out)
        steps = self.config.time_steps
        sums.append(
            SumBound("readout", "output", "readout sum", -steps * negative, steps * positive)
        )
        return sums

    @property
    def acc_bits_needed(self) -> int:
        """Least acc_bits with which every sum of this network fits."""
        return max(
            max(bits_needed(int(total.least.min())), bits_needed(int(total.most.max())))
            for total in self.sum_bounds()
        )

    def _check_sums(self) -> None:
        least, most = signed_range(self.config.acc_bits)
        for total in self.sum_bounds():
            for bound, limit, wrong in (
                (total.most, most, total.most > most),
                (total.least, least, total.least < least),
            ):
                if wrong.any():
                    column = int(wrong.argmax())
                    raise NetworkError(
                        f"{total.place}, {total.unit} {column}: the {total.name} can reach "
                        f"{bound[column]}, beyond {limit} of acc_bits {self.config.acc_bits}: "
                        f"acc_bits {self.acc_bits_needed} would be enough for this network"
                    )

    # ---- making and keeping --------------------------------------------------------------

    @classmethod
    def load(cls, path: str | os.PathLike[str], expect: AcceleratorConfig | None = None) -> Network:
        """The network of a file; with `expect`, for that hardware.

        Raises
        ------
        NetworkFileError
            The file is missing or wrong, or is for another network hash than
            `expect`'s (the message names the fields that differ). The message has the path.
        """
        config, parameters, tensors, header = network_file.read(path, expect)
        layers = [
            Layer(
                tensors[f"layers.{index}.w_in"],
                tensors.get(f"layers.{index}.w_rec"),
                tensors[f"layers.{index}.threshold"],
                bias=tensors.get(f"layers.{index}.bias"),
                **values,
            )
            for index, values in enumerate(parameters)
        ]
        try:
            return cls(config, layers, tensors["w_out"], header)
        except NetworkError as error:
            raise NetworkFileError(f"{path}: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a .safetensors file, whole or not at all, always the same bytes.

        Raises
        ------
        NetworkFileError
            The header is not JSON-able, or the file cannot be written.
        """
        tensors = {"w_out": self.w_out}
        parameters = []
        for index, layer in enumerate(self.layers):
            tensors[f"layers.{index}.w_in"] = layer.w_in
            if layer.w_rec is not None:
                tensors[f"layers.{index}.w_rec"] = layer.w_rec
            if layer.bias is not None:
                tensors[f"layers.{index}.bias"] = layer.bias
            tensors[f"layers.{index}.threshold"] = layer.threshold
            parameters.append(
                {name: getattr(layer, name) for name in network_file.LAYER_PARAMETERS}
            )
        network_file.write(path, self.config, parameters, tensors, self.header)

    @classmethod
    def random(cls, config: AcceleratorConfig, seed: int) -> Network:
        """A random network that fits, each of whose layers spikes at 20 to 60 % (see `draw`)."""
        layers, w_out = draw(config, seed)
        return cls(config, layers, w_out, {"provenance": f"random, seed {seed}"})

    def on(self, config: AcceleratorConfig) -> Network:
        """The same network for a machine with other lanes, schedule options, shifts or trace.

        Raises
        ------
        NetworkError
            The machine is for other shapes or formats, its shifts are too small, or a sum of its
            digits does not fit.
        """
        if differences := network_file.differing_fields(self.config, config):
            raise NetworkError(f"the network is for another machine: {differences}")
        return Network(config, self.layers, self.w_out, self.header)

    # ---- what it computes ----------------------------------------------------------------

    def run(self, features: np.ndarray) -> Result:
        """Run whole utterances from a zero state.

        Parameters
        ----------
        features
            [frames, n_input] or [batch, frames, n_input], int8 or integers of its range.

        Raises
        ------
        ValueError
            The features have another shape, type or range.
        """
        x = checked_features(self.config, features)
        batched = x.ndim == 3
        # Time first: each frame of the batch is then one contiguous block.
        x = np.ascontiguousarray(np.moveaxis(x if batched else x[np.newaxis], 0, 1))
        layer0 = self.layers[0]
        a = round_shift(product(x, layer0.w_in), layer0.input_shift)
        stimulus = a[:, np.newaxis]  # [frames, 1, batch, n]: the same for every time step
        spikes, membranes = [], []
        for index, layer in enumerate(self.layers):
            if index:
                stimulus = product(spikes[-1], layer.w_in)  # [frames, T, batch, n]
            s, u = run_layer(self.config, layer, stimulus)
            spikes.append(s)
            membranes.append(u)
        merged = spikes[-1][:: self.config.readout_every].sum(axis=1, dtype=np.uint8)
        y = product(merged, self.w_out)
        return Result(
            _batch_first(y, batched),
            [_batch_first(s, batched) for s in spikes],
            [_batch_first(u, batched) for u in membranes],
        )


def _batch_first(values: np.ndarray, batched: bool) -> np.ndarray:
    """[frames, ..., batch, n] to [batch, frames, ..., n], or to [frames, ..., n]."""
    return np.moveaxis(values, -2, 0) if batched else values[..., 0, :]


# ---- checks ------------------------------------------------------------------------------


def checked_features(config: AcceleratorConfig, features: np.ndarray) -> np.ndarray:
    x = np.asarray(features)
    if x.ndim not in (2, 3) or x.shape[-1] != config.n_input:
        raise ValueError(
            f"features have shape {x.shape}: it must be [frames, {config.n_input}] or "
            f"[batch, frames, {config.n_input}]"
        )
    if not np.issubdtype(x.dtype, np.integer):
        raise ValueError(f"features have dtype {x.dtype}: it must be an integer type")
    if x.dtype != np.int8:
        if x.size and (x.min() < -128 or x.max() > 127):
            raise ValueError(
                f"features reach from {x.min()} to {x.max()}: they must be -128 to 127"
            )
        x = x.astype(np.int8)
    return x


def _integers(place: str, name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise NetworkError(f"{place}: {name} has dtype {array.dtype}: it must be an integer type")
    return array


def _weights(place: str, unit: str, name: str, values: Any, shape: tuple[int, int]) -> np.ndarray:
    """A checked, read-only int8 copy of a weight matrix."""
    array = _integers(place, name, values)
    if array.shape != shape:
        raise NetworkError(f"{place}: {name} has shape {array.shape}: it must be {shape}")
    wrong = (array < -8) | (array > 7)
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        raise NetworkError(
            f"{place}, {unit} {column}: {name}[{row}] is {array[row, column]}: "
            "a weight must be -8 to 7"
        )
    array = array.astype(np.int8)
    array.flags.writeable = False
    return array


def _shift(place: str, name: str, value: Any, least: int, most: int) -> int:
    integral = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integral or not least <= value <= most:
        raise NetworkError(
            f"{place}: {name} is {value!r}: it must be an integer, {least} to {most}"
        )
    return int(value)


def _checked_layer(config: AcceleratorConfig, index: int, layer: Layer) -> Layer:
    place = f"layer {index}"
    neurons = config.hidden[index]
    w_in = _weights(place, "neuron", "w_in", layer.w_in, (config.n_source(index), neurons))
    w_rec = None
    if config.recurrent[index]:
        if layer.w_rec is None:
            raise NetworkError(f"{place}: w_rec is missing: the layer is recurrent")
        w_rec = _weights(place, "neuron", "w_rec", layer.w_rec, (neurons, neurons))
    elif layer.w_rec is not None:
        raise NetworkError(f"{place}: w_rec is given: the layer is not recurrent")
    threshold = _integers(place, "threshold", layer.threshold)
    if threshold.shape not in ((), (neurons,)):
        raise NetworkError(
            f"{place}: threshold has shape {threshold.shape}: it must be ({neurons},) or ()"
        )
    threshold = np.broadcast_to(threshold, (neurons,))
    most = signed_range(config.membrane_bits)[1]
    wrong = (threshold < 1) | (threshold > most)
    if wrong.any():
        neuron = int(wrong.argmax())
        raise NetworkError(
            f"{place}, neuron {neuron}: threshold is {threshold[neuron]}: it must be 1 to {most}"
        )
    threshold = threshold.astype(np.int32)
    threshold.flags.writeable = False
    bias = _bias(place, config.has_bias(index), layer.bias, neurons)
    for name, words in (("decay_form", DECAY_FORMS), ("reset", RESETS)):
        value = getattr(layer, name)
        if value not in words:
            raise NetworkError(
                f"{place}: {name} is {value!r}: it must be {words[0]!r} or {words[1]!r}"
            )
    decay_shift = _shift(place, "decay_shift", layer.decay_shift, 1, config.max_decay_shift)
    if index and layer.input_shift != 0:
        raise NetworkError(
            f"{place}: input_shift is {layer.input_shift!r}: only layer 0 has one, it must be 0"
        )
    input_shift = _shift(place, "input_shift", layer.input_shift, 0, config.max_input_shift)
    return Layer(
        w_in, w_rec, threshold, decay_shift, layer.decay_form, layer.reset, input_shift, bias
    )


def _bias(place: str, wanted: bool, values: Any, neurons: int) -> np.ndarray | None:
    """A checked, read-only int8 copy of a bias, or None."""
    if not wanted:
        if values is not None:
            raise NetworkError(f"{place}: bias is given: the layer has none in the configuration")
        return None
    if values is None:
        raise NetworkError(f"{place}: bias is missing: the configuration has one for the layer")
    array = _integers(place, "bias", values)
    if array.shape != (neurons,):
        raise NetworkError(f"{place}: bias has shape {array.shape}: it must be ({neurons},)")
    wrong = (array < -72) | (array > 63)
    if wrong.any():
        neuron = int(wrong.argmax())
        raise NetworkError(
            f"{place}, neuron {neuron}: bias is {array[neuron]}: it must be -72 to 63"
        )
    array = array.astype(np.int8)
    array.flags.writeable = False
    return array
