# SPDX-License-Identifier: Apache-2.0
"""Figures of frames from the cycle laws: cycles by phase, row reads, counters, sparsity."""

from typing import Any

import numpy as np

from golden_model import FrameCycles
from hw.config import AcceleratorConfig

__all__ = ["PHASES", "cycle_figures", "ladder", "laws_counters", "silent_layers", "sparsity"]

PHASES = ("input", "hidden", "lif", "readout", "overhead", "stalls")
"""The parts that make up the cycles of a frame."""


def cycle_figures(laws: FrameCycles) -> dict[str, Any]:
    """Cycles and row reads of a frame, means over the frames (and the largest total)."""
    return {
        "cycles_per_frame": {"mean": _mean(laws.total), "max": int(laws.total.max())},
        "phases": {phase: _mean(getattr(laws, phase)) for phase in PHASES},
        "hidden_matrices": {
            f"{matrix} of layer {layer}": _mean(cycles)
            for (matrix, layer), cycles in laws.hidden_matrices.items()
        },
        "row_reads": {
            name: _mean(getattr(laws, f"{name}_rows")) for name in ("input", "hidden", "readout")
        },
        "hidden_row_reads_if": {way: _mean(rows) for way, rows in laws.hidden_rows_if.items()},
    }


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


def sparsity(features: np.ndarray, spikes: list[np.ndarray]) -> dict[str, Any]:
    """Share of zeros: in the bits of the features, and in the spikes of each layer.

    "union" and "intersection" are of the spikes in any and in all time steps of a frame.

    Parameters
    ----------
    features
        int8 [frames, n_input].
    spikes
        Per layer [frames, T, n].
    """
    return {
        "input_zero_bits": 1 - float(np.unpackbits(features.view(np.uint8)).mean()),
        "layers": [
            {
                "layer": layer,
                "time_steps": [1 - float(s[:, k].mean()) for k in range(s.shape[1])],
                "union": 1 - float(s.max(axis=1).mean()),
                "intersection": 1 - float(s.min(axis=1).mean()),
            }
            for layer, s in enumerate(spikes)
        ],
    }


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


def ladder(figures: dict[str, Any]) -> list[tuple[str, str, int]]:
    """The exact comparisons of a demo: what, how much of it, and how much differed."""
    run, torch = figures["simulation"], figures["torch"]
    rows = []
    if torch is not None:
        rows.append(
            (
                "torch, 4-bit weights = golden model",
                f"{torch['compared_values']:,} spikes, membranes, logits",
                torch["mismatches"],
            )
        )
    rows.append(
        (
            "golden model = Verilog, all state",
            f"{run['compared_clocks']:,} clocks, {run['compared_bits']:,} bits",
            run["mismatches"],
        )
    )
    unequal = sum(run["counters"][name] != value for name, value in run["counters_by_laws"].items())
    rows.append(("cycle laws = counters", f"{len(run['counters'])} counters", unequal))
    return rows
