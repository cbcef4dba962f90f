# SPDX-License-Identifier: Apache-2.0
"""The schedule as data: the phase table of a frame and the memory map, both from the configuration.

One table drives the sequencer, the memory images, the cycle model and the documentation; nothing
counts rows a second time. Plain Python: no HDL, no numpy. See docs/architecture.md.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property

from hw.config import AcceleratorConfig

__all__ = ["Block", "Issue", "MemoryShape", "Phase", "PhaseKind", "Schedule", "Work", "half"]


class PhaseKind(enum.Enum):
    """What a phase does with its cycles."""

    INPUT = "input"  # features times w_in of layer 0, two nibbles side by side
    LOAD = "load"  # both nibble sums of a part of a tile, rounded and shifted, back into acc
    RECURRENT = "recurrent"  # the layer's own spikes of the frame before times w_rec
    FEEDFORWARD = "feedforward"  # spikes of the layer before times w_in
    LIF = "lif"  # one time step of the neurons of one part of a tile
    WAIT = "wait"  # one empty cycle: the spikes just computed reach the spike registers
    READOUT = "readout"  # spikes of the last layer times w_out


class Issue(enum.Enum):
    """How the two banks get their rows."""

    NONE = "none"  # no row: LOAD, LIF, WAIT take one cycle
    FEATURES = "features"  # Type A: set bits of the features, one bank
    JOINT = "joint"  # one input a cycle, lowest first, for both PE sets
    SPLIT = "split"  # bank b takes the inputs of parity b, each at its own pace


class Work(enum.Enum):
    """Which inputs of a spike phase are issued."""

    NONE = "none"
    ALL = "all"  # Type D: every row
    SPIKES = "spikes"  # Type B: the nonzero spikes of the one time step
    UNION = "union"  # Type C: inputs that spike in either time step; both: shift 1
    SERIAL = "serial"  # the nonzero spikes of time step 0, then those of time step 1


@dataclass(frozen=True)
class Phase:
    """One entry of the phase table.

    Attributes
    ----------
    layer : the hidden layer it works for; n_layers for the readout.
    memory : "input", "hidden", "readout" or "" for none.
    base, stride : first row of tile 0 and rows from one tile (readout: pair) to the next, per bank.
    n_source : inputs of the matrix.
    source_layer : layer whose spikes are the operand; -1 for none (features).
    first : whether the accumulators start from 0 here.
    step : time step of an LIF phase.
    part : the part of the tile that a LOAD or LIF phase is for.
    dense_rows : row reads of this phase if nothing were skipped, both banks together.
    """

    kind: PhaseKind
    layer: int
    issue: Issue = Issue.NONE
    work: Work = Work.NONE
    memory: str = ""
    base: int = 0
    stride: int = 0
    n_source: int = 0
    source_layer: int = -1
    first: bool = False
    step: int = 0
    part: int = 0
    dense_rows: int = 0


@dataclass(frozen=True)
class MemoryShape:
    """Rows per bank (0: the memory does not exist) and banks of a weight memory."""

    rows: int
    banks: int


@dataclass(frozen=True)
class Block:
    """Consecutive phases, run once for each tile before the next block begins."""

    first_phase: int
    phases: tuple[Phase, ...]
    tiles: int
    readout: bool


class Schedule:
    """Phase table and memory map of a configuration.

    Attributes
    ----------
    blocks : the blocks of a frame in order; those with `readout` set are left out on frames
        without readout (readout_every > 1).
    phases : all phases of all blocks, flat; the index is the value of the `phase` register, and
        `idle` = len(phases) is its value between frames.
    memories : {"input", "hidden", "readout"} to MemoryShape.
    pairs : pairs of readout tiles; `odd_tile` : whether a last single tile follows.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.matrix_base: dict[tuple[str, int], int] = {}
        hidden_rows = 0
        for layer, neurons in enumerate(config.hidden):
            matrices = [("w_in", config.n_source(layer))] if layer else []
            if config.recurrent[layer]:
                matrices.append(("w_rec", neurons))
            for name, n_source in matrices:
                self.matrix_base[name, layer] = hidden_rows
                hidden_rows += config.tiles(layer) * half(n_source)
        last = config.hidden[-1]
        self.pairs, odd = divmod(config.output_tiles, 2)
        self.odd_tile = bool(odd)
        self.odd_base = self.pairs * last
        input_rows = config.tiles(0) * config.n_input
        self.memories = {
            "input": MemoryShape(-(-input_rows // 16) * 16, 1),
            "hidden": MemoryShape(hidden_rows, 2),
            "readout": MemoryShape(self.odd_base + (half(last) if odd else 0), 2),
        }
        self.blocks = tuple(self._make_blocks())

    def _hidden(self, kind: PhaseKind, layer: int, *, first: bool) -> Phase:
        config = self.config
        recurrent = kind is PhaseKind.RECURRENT
        n_source = config.hidden[layer] if recurrent else config.n_source(layer)
        return Phase(
            kind,
            layer,
            Issue.JOINT if config.time_steps == 2 else Issue.SPLIT,
            Work.ALL if config.time_steps == 2 else Work.SPIKES,
            "hidden",
            self.matrix_base["w_rec" if recurrent else "w_in", layer],
            half(n_source),
            n_source,
            layer if recurrent else layer - 1,
            first,
            dense_rows=n_source,
        )

    def _readout(self, issue: Issue, base: int) -> Phase:
        config = self.config
        n_source = config.hidden[-1]
        if config.time_steps == 1:
            work = Work.SPIKES
        else:
            work = Work.UNION if config.merge_readout else Work.SERIAL
        passes = 2 if work is Work.SERIAL else 1
        return Phase(
            PhaseKind.READOUT,
            config.n_layers,
            issue,
            work,
            "readout",
            base,
            n_source,
            n_source,
            config.n_layers - 1,
            True,
            dense_rows=passes * n_source * (2 if issue is Issue.JOINT else 1),
        )

    def _make_blocks(self) -> list[Block]:
        config = self.config
        blocks: list[Block] = []

        def add(phases: list[Phase], tiles: int, *, readout: bool = False) -> None:
            first_phase = sum(len(block.phases) for block in blocks)
            blocks.append(Block(first_phase, tuple(phases), tiles, readout))

        for layer in range(config.n_layers):
            if layer == 0:
                phases = [
                    Phase(
                        PhaseKind.INPUT,
                        0,
                        Issue.FEATURES,
                        memory="input",
                        stride=config.n_input,
                        n_source=config.n_input,
                        first=True,
                        dense_rows=config.n_input,
                    ),
                    *(Phase(PhaseKind.LOAD, 0, part=p) for p in range(config.parts)),
                ]
                if config.recurrent[0]:
                    phases.append(self._hidden(PhaseKind.RECURRENT, 0, first=False))
            elif config.recurrent[layer]:
                # Recurrent first: it reads old spikes, so the new ones of the layer before have
                # time to reach their registers and no cycle is lost.
                phases = [
                    self._hidden(PhaseKind.RECURRENT, layer, first=True),
                    self._hidden(PhaseKind.FEEDFORWARD, layer, first=False),
                ]
            else:
                add([Phase(PhaseKind.WAIT, layer)], 1)
                phases = [self._hidden(PhaseKind.FEEDFORWARD, layer, first=True)]
            phases += [
                Phase(PhaseKind.LIF, layer, step=k, part=p)
                for k in range(config.time_steps)
                for p in range(config.parts)
            ]
            add(phases, config.tiles(layer))
        add([Phase(PhaseKind.WAIT, config.n_layers)], 1)
        if self.pairs:
            add([self._readout(Issue.JOINT, 0)], self.pairs, readout=True)
        if self.odd_tile:
            add([self._readout(Issue.SPLIT, self.odd_base)], 1, readout=True)
        return blocks

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        return tuple(phase for block in self.blocks for phase in block.phases)

    @property
    def idle(self) -> int:
        """Value of the phase register between frames."""
        return len(self.phases)

    # ---- readout groups: a pair of tiles, or the odd last tile ---------------------------

    @property
    def groups(self) -> int:
        """Captures into the output buffer per readout: pairs, and the odd tile if there is one."""
        return self.pairs + self.odd_tile

    def group_outputs(self, group: int) -> int:
        """Outputs that a readout group really has (the last may have fewer than its lanes)."""
        return min(2 * self.config.lanes, self.config.n_output - group * 2 * self.config.lanes)

    def group_beats(self, group: int) -> int:
        """Output beats of a readout group."""
        return -(-self.group_outputs(group) // self.config.output_lanes)

    # ---- memory map ----------------------------------------------------------------------

    def input_row(self, tile: int, i: int) -> int:
        """Row of feature i for a tile of layer 0, in the input memory."""
        return tile * self.config.n_input + i

    def hidden_row(self, matrix: str, layer: int, tile: int, i: int) -> tuple[int, int]:
        """(bank, row) of input i of a layer's "w_in" (layer > 0) or "w_rec" for a tile."""
        n_source = self.config.hidden[layer] if matrix == "w_rec" else self.config.n_source(layer)
        return i & 1, self.matrix_base[matrix, layer] + tile * half(n_source) + (i >> 1)

    def readout_row(self, tile: int, i: int) -> tuple[int, int]:
        """(bank, row) of input i for a tile of the readout."""
        if tile == 2 * self.pairs:  # the odd last tile: both banks, by input parity
            return i & 1, self.odd_base + (i >> 1)
        return tile & 1, (tile >> 1) * self.config.hidden[-1] + i


def half(n: int) -> int:
    """Rows that n inputs take in each of two banks, split by input parity."""
    return -(-n // 2)
