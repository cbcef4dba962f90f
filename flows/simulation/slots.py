# SPDX-License-Identifier: Apache-2.0
"""What each clock of a frame does, read out of the cycle model's trace."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np

from golden_model import CycleModel, Network, cycle_laws
from hw.config import AcceleratorConfig
from hw.schedule import Fetch, Phase, PhaseKind

__all__ = ["Addition", "Read", "Slot", "frame_slots"]


@dataclass(frozen=True)
class Read:
    """A row that a bank is asked for.

    Attributes
    ----------
    memory
        "input", "hidden" or "readout".
    bank, row
        Where it is.
    input
        The input of the phase's matrix whose weights it holds; None if it is a row of a bias.
    """

    memory: str
    bank: int
    row: int
    input: int | None


@dataclass(frozen=True)
class Addition:
    """What a PE set adds: a row, shifted, with its sign.

    Attributes
    ----------
    read
        Where the row came from; in an INPUT phase it may be held from slots before.
    place
        The power of two that it is multiplied with.
    negative
        Whether it is subtracted.
    """

    read: Read
    place: int
    negative: bool


@dataclass(frozen=True)
class Slot:
    """A clock of a frame.

    Attributes
    ----------
    phase
        What it belongs to.
    tile
        The tile, or pair of tiles, that it is for.
    reads
        Rows asked for in this clock.
    additions
        What each PE set adds because of it, one clock later; None for nothing.
    stall
        Whether the machine holds.
    """

    phase: Phase
    tile: int
    reads: tuple[Read, ...] = ()
    additions: tuple[Addition | None, Addition | None] = (None, None)
    stall: bool = False


def frame_slots(
    config: AcceleratorConfig, network: Network, features: np.ndarray, frame: int
) -> list[Slot]:
    """The clocks of one frame of an utterance, in order.

    Parameters
    ----------
    features
        int8 [frames, n_input]; they come as fast as the machine takes them, and logits are taken
        at once.
    frame
        Which of the frames.
    """
    model = CycleModel(config, network)
    totals = cycle_laws(config, features, network.run(features).spikes).total
    before, clocks = int(totals[:frame].sum()), int(totals[frame])
    slots = []
    held: dict[int, Read] = {}  # the row that each PE set was given last
    for state, following in islice(_busy(model, features), before, before + clocks):
        phase = model.schedule.phases[state["phase"]]
        if state["stall"]:
            slots.append(Slot(phase, state["tile"], stall=True))
            continue
        reads = _reads(state, phase)
        slots.append(Slot(phase, state["tile"], reads, _additions(following, phase, reads, held)))
    return slots


_State = dict[str, Any]


def _busy(model: CycleModel, features: np.ndarray) -> Iterator[tuple[_State, _State]]:
    """The trace of each clock in which F is not idle, with that of the clock after."""
    idle = model.schedule.idle
    return (pair for pair in pairwise(model.run(features)) if pair[0]["phase"] != idle)


def _reads(state: _State, phase: Phase) -> tuple[Read, ...]:
    """The rows that F asks for in a clock."""
    if not phase.memory:
        return ()
    asked, rows = state[f"{phase.memory}_read"], state[f"{phase.memory}_row"]
    banks = range(2) if np.ndim(asked) else (None,)
    reads = []
    for bank in banks:
        if asked if bank is None else asked[bank]:
            row = int(rows if bank is None else rows[bank])
            place = row - phase.base - state["tile"] * phase.stride
            reads.append(Read(phase.memory, bank or 0, row, _input_of(phase, bank or 0, place)))
    return tuple(reads)


def _input_of(phase: Phase, bank: int, place: int) -> int | None:
    """The input whose row stands so many rows behind the first of a tile."""
    if phase.kind is PhaseKind.BIAS:
        return None
    by_parity = phase.fetch in (Fetch.BROADCAST, Fetch.SPLIT, Fetch.CROSSED)
    return 2 * place + bank if by_parity else place


def _additions(
    state: _State, phase: Phase, reads: tuple[Read, ...], held: dict[int, Read]
) -> tuple[Addition | None, Addition | None]:
    """What the PE sets add in the clock after, by what X is told."""
    banks = {read.bank: read for read in reads}
    for b in range(2):
        if phase.fetch in (Fetch.FEATURES, Fetch.BROADCAST):
            taken = reads[0] if reads else None
        else:
            taken = banks.get(1 - b if phase.fetch is Fetch.CROSSED else b)
        if taken is not None:
            held[b] = taken
    negates = state["x_negate"]  # of both sets, or of set 1 if no other subtracts
    negative = negates if np.ndim(negates) else (0, negates)
    additions = []
    for b in range(2):
        if not phase.memory or not state["x_enable"][b]:
            additions.append(None)
            continue
        high = 4 if b and phase.kind is PhaseKind.INPUT else 0  # set 1 has the high nibble
        place = int(state["x_shift"][b]) + high
        additions.append(Addition(held[b], place, bool(negative[b])))
    return additions[0], additions[1]
