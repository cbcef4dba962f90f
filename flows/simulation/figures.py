# SPDX-License-Identifier: Apache-2.0
"""Figures of frames and of simulations: cycles by phase, row reads, sparsity, latency."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flows.figures import Figures, inline, optional
from golden_model import FrameCycles
from hw.config import AcceleratorConfig

__all__ = [
    "PHASES",
    "CycleFigures",
    "CyclesPerFrame",
    "Latency",
    "LayerSparsity",
    "SimulatedNetlist",
    "SimulationFigures",
    "Sparsity",
    "cycle_figures",
    "laws_counters",
    "silent_layers",
    "sparsity",
]

PHASES = ("input", "hidden", "lif", "readout", "overhead", "stalls")
"""The parts that make up the cycles of a frame."""


@dataclass(frozen=True, kw_only=True)
class CyclesPerFrame(Figures):
    """Cycles of a frame.

    Attributes
    ----------
    mean
        Over the frames, or expected.
    max
        The largest; None if expected.
    before_overhead
        Expected, without overhead and stalls; None if counted.
    """

    mean: float
    max: int | None = optional()
    before_overhead: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class CycleFigures(Figures):
    """Cycles and memory traffic of a frame; means over frames, or expected.

    Attributes
    ----------
    cycles_per_frame
        Cycles of a frame in all.
    phases
        Cycles of each phase of `PHASES`.
    hidden_matrices
        Cycles of each matrix that is multiplied in the hidden phase; None if expected.
    row_reads
        Rows read from each memory: "input", "hidden", "readout".
    hidden_row_reads_if
        Rows read from the hidden memory under other schedules: "parallel", "serial",
        "serial_skipping", "union_skipping".
    """

    cycles_per_frame: CyclesPerFrame
    phases: dict[str, float]
    hidden_matrices: dict[str, float] | None = optional()
    row_reads: dict[str, float]
    hidden_row_reads_if: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class LayerSparsity(Figures):
    """Shares of zero spikes of a layer.

    Attributes
    ----------
    layer
        Number of the layer.
    time_steps
        Share of each time step.
    union, intersection
        Shares of neurons that spike in no time step of a frame, and not in all of them.
    """

    layer: int
    time_steps: list[float]
    union: float
    intersection: float


@dataclass(frozen=True, kw_only=True)
class Sparsity(Figures):
    """Shares of zeros: in the bits of the features, and in the spikes of each layer."""

    input_zero_bits: float
    layers: list[LayerSparsity]


@dataclass(frozen=True, kw_only=True)
class Latency(Figures):
    """Clocks from a frame's last feature to one of its logits.

    Attributes
    ----------
    frame_0
        Latency of the first frame, which finds the machine idle; None if each is taken alone.
    mean, max
        Mean and largest latency over the frames.
    """

    frame_0: int | None = optional()
    mean: float
    max: int


@dataclass(frozen=True, kw_only=True)
class SimulatedNetlist(Figures):
    """The netlist that ran in place of the Verilog."""

    pdk: str
    file: str


@dataclass(frozen=True, kw_only=True)
class SimulationFigures(Figures):
    """A simulation compared with the golden model.

    Attributes
    ----------
    passed
        Whether nothing differed.
    check
        "trace" or "outputs".
    frames, clocks
        How many were simulated.
    compared_clocks, compared_bits
        How much was compared of all state; 0 unless it was.
    compared_beats
        How many beats of logits were compared.
    mismatches
        How many of these differed.
    messages
        The first differences, a line each.
    warnings
        What the run cannot prove, a line each.
    cycles
        Cycles and traffic by the laws.
    counters, counters_by_laws
        Totals of the run, by the counter's name.
    counters_equal
        Whether the two are.
    latency
        Latency of the "first_logit" and of the "last_logit"; empty if there was none.
    sparsity
        Shares of zeros in features and spikes.
    wall_s, clocks_per_s
        How long it took, and how fast it was.
    seed
        Seed of the random power-up state.
    configuration_hash, network_hash
        Hashes of the hardware.
    waves
        The waveform; None if there is none.
    netlist
        None unless it ran in place of the Verilog.
    """

    passed: bool
    check: str
    frames: int
    clocks: int
    compared_clocks: int
    compared_bits: int
    compared_beats: int
    mismatches: int
    messages: list[str]
    warnings: list[str]
    cycles: CycleFigures = inline()
    counters: dict[str, int]
    counters_by_laws: dict[str, int]
    counters_equal: bool
    latency: dict[str, Latency]
    sparsity: Sparsity
    wall_s: float
    clocks_per_s: int
    seed: int
    configuration_hash: str
    network_hash: str
    waves: str | None
    netlist: SimulatedNetlist | None = optional()

    @property
    def unequal_counters(self) -> int:
        """How many counters differ from the laws."""
        laws = self.counters_by_laws
        return sum(self.counters[name] != value for name, value in laws.items())


def cycle_figures(laws: FrameCycles) -> CycleFigures:
    """Cycles and row reads of a frame, means over the frames (and the largest total)."""
    return CycleFigures(
        cycles_per_frame=CyclesPerFrame(mean=_mean(laws.total), max=int(laws.total.max())),
        phases={phase: _mean(getattr(laws, phase)) for phase in PHASES},
        hidden_matrices={
            f"{matrix} of layer {layer}": _mean(cycles)
            for (matrix, layer), cycles in laws.hidden_matrices.items()
        },
        row_reads={
            name: _mean(getattr(laws, f"{name}_rows")) for name in ("input", "hidden", "readout")
        },
        hidden_row_reads_if={way: _mean(rows) for way, rows in laws.hidden_rows_if.items()},
    )


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values))


def laws_counters(laws: FrameCycles, config: AcceleratorConfig) -> dict[str, int]:
    """What the hardware's counters show after these frames, by the laws."""
    totals = {
        "cycles": laws.total,
        "stalls": laws.stalls,
        "frames": np.ones_like(laws.total),
        "input_rows": laws.input_rows,
        "hidden_rows": laws.hidden_rows,
        "readout_rows": laws.readout_rows,
        "pe_operations": laws.pe_operations,
        "skipped_rows": laws.skipped_rows,
    }
    return {name: int(v.sum()) % (1 << config.counter_bits) for name, v in totals.items()}


def sparsity(features: np.ndarray, spikes: Sequence[np.ndarray]) -> Sparsity:
    """Shares of zeros in features and spikes.

    Parameters
    ----------
    features
        int8 [frames, n_input].
    spikes
        One array [frames, T, n] per layer.
    """
    return Sparsity(
        input_zero_bits=1 - float(np.unpackbits(features.view(np.uint8)).mean()),
        layers=[
            LayerSparsity(
                layer=layer,
                time_steps=[1 - float(s[:, k].mean()) for k in range(s.shape[1])],
                union=1 - float(s.max(axis=1).mean()),
                intersection=1 - float(s.min(axis=1).mean()),
            )
            for layer, s in enumerate(spikes)
        ],
    )


def silent_layers(spikes: list[np.ndarray]) -> list[str]:
    """A line for each layer and time step that never or always spikes."""
    lines = []
    for layer, s in enumerate(spikes):
        for k in range(s.shape[1]):
            rate = s[:, k].mean()
            if rate in (0, 1):
                what = "never" if rate == 0 else "always"
                lines.append(
                    f"layer {layer}, time step {k}, {what} spikes: this run proves little about it"
                )
    return lines
