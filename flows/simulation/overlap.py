# SPDX-License-Identifier: Apache-2.0
"""Cycles that phases would save if they overlapped or were joined, counted on frames.

None of it is built: these are the figures behind the decisions in docs/schedule.md. They are for
layers of one tile.
"""

from dataclasses import dataclass

import numpy as np

from golden_model import Densities
from hw.config import AcceleratorConfig
from hw.schedule import Phase, PhaseKind, Schedule, Work

__all__ = ["Savings", "drawn_spikes", "savings"]

_COPY = 2  # clocks from a layer's last sum to its first LIF slot that reads a copy of the sums


@dataclass(frozen=True)
class Savings:
    """Mean cycles of a frame that each change would save.

    Attributes
    ----------
    lif_under_recurrent
        The LIF slots of a layer, reading a copy of the sums, while the PE sets are at the next
        layer's rows for spikes of the frame before.
    lif_under_input
        At most: those of the last layer, and the WAIT behind them, while the PE sets are at the
        next frame's features.
    joined
        Passes of RECURRENT and FEEDFORWARD with the same work as one phase, in which a bank that
        is through with the first matrix goes on with the second.
    together
        `lif_under_recurrent` and `joined` in one machine: less than their sum where a bank has few
        rows for old spikes, because it gets early to those for new ones.
    """

    lif_under_recurrent: float
    lif_under_input: float
    joined: float
    together: float


def savings(config: AcceleratorConfig, spikes: list[np.ndarray]) -> Savings:
    """What changes of a machine would save on the spikes of an utterance.

    Parameters
    ----------
    spikes
        Of each layer [frames, T, n], as `Network.run` returns them.
    """
    before = [np.concatenate([np.zeros_like(s[:1]), s[:-1]]) for s in spikes]
    under_recurrent = joined = together = 0.0
    lif = config.time_steps * config.parts
    for block in Schedule(config).blocks:
        works: dict[Work, list[np.ndarray]] = {}
        for phase in block.phases:
            if phase.kind in (PhaseKind.RECURRENT, PhaseKind.FEEDFORWARD):
                old = phase.kind is PhaseKind.RECURRENT
                source = (before if old else spikes)[phase.source_layer]
                works.setdefault(phase.work, []).append(_queues(phase, source))
        if len(next(iter(works.values()), [])) < 2:
            continue  # no matrix that reads old spikes stands before one that reads new ones
        saved = sum(sum(map(_slots, passes)) - _slots(sum(passes)) for passes in works.values())
        old, new = next(iter(works.values()))
        # No row for new spikes before they are there; a queue without any has nothing to wait for.
        early = _slots(np.where(new > 0, np.maximum(old, lif + _COPY) + new, old))
        under_recurrent += float(np.clip(_slots(old) - _COPY, 0, lif).mean())
        joined += float(saved.mean())
        together += float((saved + np.maximum(0, lif + _slots(old + new) - early)).mean())
    return Savings(under_recurrent, lif + 1.0, joined, together)


def _queues(phase: Phase, spikes: np.ndarray) -> np.ndarray:
    """Inputs that a phase issues, [queues, frames]: a queue for each bank if both serve at once."""
    banks = _by_bank(phase.work, spikes)
    if phase.fetch.side_by_side:
        return banks
    return banks.sum(axis=0, keepdims=True)


def _slots(queues: np.ndarray) -> np.ndarray:
    """Slots of a phase, [frames]."""
    return np.maximum(1, queues.max(axis=0))


def _by_bank(work: Work, spikes: np.ndarray) -> np.ndarray:
    """Inputs of each bank that a phase issues, [2, frames]."""
    first, last = spikes[:, 0] > 0, spikes[:, -1] > 0
    only = first & ~last, last & ~first
    if work in (Work.STRAIGHT, Work.CROSSED):
        flip = work is Work.CROSSED
        return np.stack([only[b ^ flip][:, b::2].sum(axis=1) for b in range(2)])
    issued = {
        Work.ALL: np.ones_like(first),
        Work.SPIKES: first,
        Work.UNION: first | last,
        Work.COMMON: first & last,
    }[work]
    return np.stack([issued[:, b::2].sum(axis=1) for b in range(2)])


def drawn_spikes(
    config: AcceleratorConfig, densities: Densities, frames: int, seed: int = 1
) -> list[np.ndarray]:
    """Independent random spikes of given densities, as `savings` takes them."""
    rng = np.random.default_rng(seed)
    layers = []
    for neurons in config.hidden:
        drawn = rng.random((frames, neurons))
        if config.time_steps == 1:
            steps = [drawn < densities.spikes]
        else:
            both, one = densities.both, densities.one
            steps = [
                drawn < both + one,
                (drawn < both) | ((drawn >= both + one) & (drawn < both + 2 * one)),
            ]
        layers.append(np.stack(steps, axis=1).astype(np.uint8))
    return layers
