# SPDX-License-Identifier: Apache-2.0
"""What a network costs: its size, and the accumulations that real spikes ask for.

Both are counted as the reference does (arXiv 2503.21337), so that they can stand beside its
figures: 2.79 MB and 145.8 MMAC/s before compression, 0.1 MB and 13.86 MMAC/s after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from golden_model import Network
from golden_model.digits import digit_counts
from hw.config import AcceleratorConfig
from hw.schedule import Schedule
from model_zoo.speech.features import FRAME_SECONDS

if TYPE_CHECKING:
    from model_zoo.scoring.score import Outputs

__all__ = ["Operations", "dense_mmac_per_s", "file_megabytes", "megabytes", "memory_megabytes"]


def megabytes(weights: Iterable[np.ndarray], weight_bits: int) -> float:
    """Size of the weights that are not zero, MB (1e6 bytes), without any index.

    Parameters
    ----------
    weights
        Matrices of a network. Of a file's integers, what training rounded to zero is left out
        beside what was pruned.
    weight_bits
        32 for a float network.
    """
    return sum(int(np.count_nonzero(w)) for w in weights) * weight_bits / 8 / 1e6


def file_megabytes(network: Network) -> float:
    """Size of a `golden_model.Network`, see `megabytes`."""
    weights = [w for layer in network.layers for w in (layer.w_in, layer.w_rec) if w is not None]
    return megabytes([*weights, network.w_out], network.config.weight_bits)


def memory_megabytes(config: AcceleratorConfig) -> float:
    """What the machine's weight memories hold, MB: all rows of all banks, zeros and all."""
    rows = sum(memory.rows * memory.banks for memory in Schedule(config).memories.values())
    return rows * config.lanes * config.weight_bits / 8 / 1e6


def dense_mmac_per_s(config: AcceleratorConfig) -> float:
    """Accumulations a second of the machine's network with nothing skipped, in millions.

    Every bit of the features once a frame, every neuron in every time step, every weight. For
    40-256-256-1920 and two time steps that is the reference's baseline, 145.8.
    """
    inputs = config.n_input * config.input_bits * config.hidden[0]
    step = config.hidden[-1] * config.n_output / config.readout_every
    for layer, neurons in enumerate(config.hidden):
        step += neurons * ((layer and config.n_source(layer)) + config.recurrent[layer] * neurons)
    return (inputs + config.time_steps * step) / FRAME_SECONDS / 1e6


class Operations:
    """Accumulations of a network, counted on what it computes.

    A digit of a feature that is not 0, or a spike, adds one weight to each neuron that it reaches
    by a weight that is not 0. Zero weights are left out because the reference's complexity leaves
    pruned ones out; the PEs do add them (`pe_operations` of the cycle laws). The input sum is
    formed once a frame; where the time steps are merged, a neuron that spikes in both is added
    once. Biases, which the reference does not have, are not counted.

    Parameters
    ----------
    layers
        `w_in` `[n_source, n]` and `w_rec` `[n, n]` of each layer; numbers of any type.
    w_out
        `[n, n_output]`.
    merged
        Whether the readout merges the time steps.
    readout_every
        Frames from one readout to the next.
    merged_hidden
        Whether the hidden layers merge them, too.
    input_digits
        The digits of a feature, as in a configuration; "bits" is the reference's count.
    """

    def __init__(
        self,
        layers: Iterable[tuple[np.ndarray, np.ndarray | None]],
        w_out: np.ndarray,
        merged: bool = True,
        readout_every: int = 1,
        merged_hidden: bool = False,
        input_digits: str = "bits",
    ) -> None:
        self._reached = [
            tuple(None if w is None else np.count_nonzero(w, axis=1) for w in pair)
            for pair in layers
        ]
        self._outputs = np.count_nonzero(w_out, axis=1)
        self._merged, self._every = merged, readout_every
        self._merged_hidden = merged_hidden
        self._digits = digit_counts(input_digits).sum(axis=-1)  # of every feature
        self._total = self._frames = 0

    @classmethod
    def of(cls, network: Network, *, as_scheduled: bool = False) -> Operations:
        """Those of a network; with `as_scheduled`, as its machine adds them up.

        The count without it is the network's own, the same on every machine.
        """
        config = network.config
        return cls(
            [(layer.w_in, layer.w_rec) for layer in network.layers],
            network.w_out,
            merged=config.merge_readout and config.time_steps == 2,
            readout_every=config.readout_every,
            merged_hidden=as_scheduled and config.merges,
            input_digits=config.input_digits if as_scheduled else "bits",
        )

    def add(self, output: Outputs) -> None:
        """Count an utterance, a `score.Outputs` of a network with spikes."""
        work = self._digits[np.ascontiguousarray(output.features).view(np.uint8)].sum(axis=0)
        for layer, (w_in, w_rec) in zip(output.spikes, self._reached, strict=True):
            self._total += int(work @ w_in)
            work = _times(layer, self._merged_hidden)
            if w_rec is not None:
                # The last frame's spikes are added in no frame.
                self._total += int(_times(layer[:-1], self._merged_hidden) @ w_rec)
        self._total += int(_times(output.spikes[-1][:: self._every], self._merged) @ self._outputs)
        self._frames += len(output.features)

    def mmac_per_s(self) -> float:
        """Accumulations per second of speech, in millions."""
        return self._total / self._frames / FRAME_SECONDS / 1e6


def _times(spikes: np.ndarray, merged: bool) -> np.ndarray:
    """How often each neuron is added, `[n]`, for spikes `[frames, T, n]`."""
    if merged:
        spikes = spikes.any(axis=1, keepdims=True)
    return spikes.sum(axis=(0, 1), dtype=np.int64)
