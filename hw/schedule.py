# SPDX-License-Identifier: Apache-2.0
"""The schedule as data: a frame's phase table, the memory map, and the list of all memories.

Everything here follows from the configuration. The sequencer, the memory images, the cycle model
and the documentation all use this one table, so that nothing counts rows a second time. It is plain
Python, without HDL or numpy. See docs/architecture.md.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property

from hw.config import AcceleratorConfig

__all__ = [
    "WEIGHT_WORD_BITS",
    "Block",
    "Fetch",
    "MemoryShape",
    "Phase",
    "PhaseKind",
    "Schedule",
    "WeightMemory",
    "Work",
    "half",
    "machine_memories",
    "memory_banks",
]

WEIGHT_WORD_BITS = 32
"""Bits of a word of the weight port, and so of what one write enable of a weight memory covers."""


class PhaseKind(enum.Enum):
    """What a phase does with its cycles."""

    INPUT = "input"  # features times w_in of layer 0, both halves side by side
    LOAD = "load"  # the sums of both halves, of a part of a tile, rounded and shifted, back
    MERGE = "merge"  # the sum of both sets of a part of a tile, back into both
    RECURRENT = "recurrent"  # the layer's own spikes of the frame before times w_rec
    FEEDFORWARD = "feedforward"  # spikes of the layer before times w_in
    BIAS = "bias"  # the layer's bias, from a row of each bank: that of bank 1 counts eightfold
    LIF = "lif"  # one time step of the neurons of one part of a tile
    WAIT = "wait"  # one empty cycle: the spikes just computed reach the spike registers
    READOUT = "readout"  # spikes of the last layer times w_out


class Fetch(enum.Enum):
    """How a slot's rows come from the banks of a memory to the two PE sets."""

    NONE = "none"  # no rows: LOAD, MERGE, LIF and WAIT
    FEATURES = "features"  # one bank: a feature's row serves both sets until its digits are used up
    BROADCAST = "broadcast"  # one input, from the bank of its parity: both sets take that row
    PAIR = "pair"  # one input, from both banks: each set takes the row of its own bank
    SPLIT = "split"  # an input from each bank, of that bank's parity: each set takes its own
    CROSSED = "crossed"  # likewise, but each set takes the other's

    @property
    def rows(self) -> int:
        """Rows that are read for an issued input."""
        return {Fetch.NONE: 0, Fetch.PAIR: 2}.get(self, 1)

    @property
    def side_by_side(self) -> bool:
        """Whether a slot may serve two inputs, one from each bank."""
        return self in (Fetch.SPLIT, Fetch.CROSSED)


class Work(enum.Enum):
    """Which inputs of a spike phase are issued, whatever way their rows are fetched."""

    NONE = "none"  # the phase reads no spikes
    ALL = "all"  # Type D: every input
    SPIKES = "spikes"  # Type B: the inputs that spike in the only time step
    UNION = "union"  # Type C: the inputs that spike in either time step
    SERIAL = "serial"  # the inputs that spike in time step 0, then those of time step 1
    COMMON = "common"  # the inputs that spike in both time steps
    STRAIGHT = "straight"  # of bank b, the inputs that spike in time step b only
    CROSSED = "crossed"  # of bank b, the inputs that spike in time step 1 - b only

    @property
    def passes(self) -> int:
        """How often the inputs are gone through."""
        return 2 if self is Work.SERIAL else 1

    @property
    def goes_on(self) -> bool:
        """Whether a phase before has begun with the same inputs."""
        return self in (Work.STRAIGHT, Work.CROSSED)


@dataclass(frozen=True)
class Phase:
    """One entry of the phase table.

    Attributes
    ----------
    kind
        What the phase does.
    layer
        The hidden layer that it works for; n_layers for the readout.
    fetch
        How its rows reach the PE sets.
    work
        Which of its inputs are issued.
    memory
        "input", "hidden" or "readout"; "" if it reads no rows.
    base
        The first row of tile 0, in each bank.
    stride
        Rows from one tile (readout: from one pair of tiles) to the next, in each bank.
    n_source
        Inputs of the matrix.
    source_layer
        The layer whose spikes are the operand; -1 if there is none.
    first
        Whether the accumulators start from 0 here.
    step
        The time step of an LIF phase.
    part
        The part of the tile that a LOAD, MERGE or LIF phase is for; the bank of a broadcast BIAS.
    dense_rows
        Rows that the phase would read if nothing were skipped, both banks together. Of the phases
        that share a matrix's inputs, the first has all of them.
    """

    kind: PhaseKind
    layer: int
    fetch: Fetch = Fetch.NONE
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
class WeightMemory:
    """A weight memory as the memory map sees it: its banks, and the rows of each that hold weights.

    Attributes
    ----------
    rows
        Rows of each bank; 0 if the machine does not have this memory.
    banks
        How many banks it has.
    """

    rows: int
    banks: int


@dataclass(frozen=True)
class MemoryShape:
    """A memory as it is built: one bank, one Verilog module.

    Attributes
    ----------
    name
        The module's name, such as "plosive_hidden_memory_0".
    rows
        Rows of the memory; at least 2, so that an address has at least one bit.
    bits
        The width of a row.
    word_bits
        Bits that one write enable covers; a row's last word may be shorter.
    writable
        False for a ROM, which has no write port.
    """

    name: str
    rows: int
    bits: int
    word_bits: int
    writable: bool = True

    @property
    def words(self) -> int:
        """Words of a row, each with a write enable of its own."""
        return -(-self.bits // self.word_bits)

    @property
    def row_width(self) -> int:
        """Bits of an address."""
        return (self.rows - 1).bit_length()


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
    blocks
        The blocks of a frame in order. Those with `readout` set are left out on frames without a
        readout (readout_every > 1).
    memories
        "input", "hidden" and "readout" to their `WeightMemory`.
    matrix_base
        (matrix, layer), such as ("w_rec", 0), to the first row of the matrix in the hidden memory;
        ("bias", 0) to that of the bias, with a row for each tile.
    pairs
        Pairs of readout tiles.
    odd_tile
        Whether a single last tile follows the pairs.
    odd_base
        First row of the odd tile in the readout memory.
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
            if config.has_bias(layer):
                self.matrix_base["bias", layer] = hidden_rows
                hidden_rows += config.tiles(layer)
        last = config.hidden[-1]
        self.pairs, odd = divmod(config.output_tiles, 2)
        self.odd_tile = bool(odd)
        self.odd_base = self.pairs * last
        input_rows = config.tiles(0) * config.n_input
        self.memories = {
            "input": WeightMemory(-(-input_rows // 16) * 16, 1),
            "hidden": WeightMemory(hidden_rows, 2),
            "readout": WeightMemory(self.odd_base + (half(last) if odd else 0), 2),
        }
        self.blocks = tuple(self._make_blocks())

    def _hidden(self, *kinds: PhaseKind, layer: int, first: bool) -> list[Phase]:
        """The phases of a layer's hidden matrices and bias; with `first`, they begin at 0."""
        config = self.config
        if config.merges:
            first_work, fetch = Work.COMMON, Fetch.SPLIT
        elif config.time_steps == 1:
            first_work, fetch = Work.SPIKES, Fetch.SPLIT
        else:
            first_work = Work.UNION if config.hidden_work == "union" else Work.ALL
            fetch = Fetch.BROADCAST
        phases = [
            self._matrix(kind, layer, fetch, first_work, first=first and kind is kinds[0])
            for kind in kinds
        ]
        phases += self._bias(layer)
        if config.merges and phases:
            phases += [Phase(PhaseKind.MERGE, layer, part=p) for p in range(config.parts)]
            for kind in kinds:
                phases += [
                    self._matrix(kind, layer, Fetch.SPLIT, Work.STRAIGHT),
                    self._matrix(kind, layer, Fetch.CROSSED, Work.CROSSED),
                ]
        return phases

    def _bias(self, layer: int) -> list[Phase]:
        """The phases of a layer's bias, which come before the sets' sums are joined."""
        config = self.config
        if not config.has_bias(layer):
            return []
        rows = {"memory": "hidden", "base": self.matrix_base["bias", layer], "stride": 1}
        if config.time_steps == 1 or config.merges:
            return [Phase(PhaseKind.BIAS, layer, Fetch.SPLIT, **rows, dense_rows=2)]
        return [
            Phase(PhaseKind.BIAS, layer, Fetch.BROADCAST, **rows, part=bank, dense_rows=1)
            for bank in range(2)
        ]

    def _matrix(
        self, kind: PhaseKind, layer: int, fetch: Fetch, work: Work, *, first: bool = False
    ) -> Phase:
        config = self.config
        recurrent = kind is PhaseKind.RECURRENT
        n_source = config.hidden[layer] if recurrent else config.n_source(layer)
        return Phase(
            kind,
            layer,
            fetch,
            work,
            "hidden",
            self.matrix_base["w_rec" if recurrent else "w_in", layer],
            half(n_source),
            n_source,
            layer if recurrent else layer - 1,
            first,
            dense_rows=0 if work.goes_on else fetch.rows * n_source,
        )

    def _readout(self, fetch: Fetch, base: int) -> Phase:
        config = self.config
        n_source = config.hidden[-1]
        if config.time_steps == 1:
            work = Work.SPIKES
        else:
            work = Work.UNION if config.merge_readout else Work.SERIAL
        return Phase(
            PhaseKind.READOUT,
            config.n_layers,
            fetch,
            work,
            "readout",
            base,
            n_source,
            n_source,
            config.n_layers - 1,
            True,
            dense_rows=work.passes * fetch.rows * n_source,
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
                        Fetch.FEATURES,
                        memory="input",
                        stride=config.n_input,
                        n_source=config.n_input,
                        first=True,
                        dense_rows=config.n_input,
                    ),
                    *(Phase(PhaseKind.LOAD, 0, part=p) for p in range(config.parts)),
                ]
                kinds = [PhaseKind.RECURRENT] if config.recurrent[0] else []
                phases += self._hidden(*kinds, layer=0, first=False)
            elif config.recurrent[layer]:
                # Recurrent first: it reads old spikes, so the new ones of the layer before have
                # time to reach their registers and no cycle is lost.
                phases = self._hidden(
                    PhaseKind.RECURRENT, PhaseKind.FEEDFORWARD, layer=layer, first=True
                )
            else:
                add([Phase(PhaseKind.WAIT, layer)], 1)
                phases = self._hidden(PhaseKind.FEEDFORWARD, layer=layer, first=True)
            phases += [
                Phase(PhaseKind.LIF, layer, step=k, part=p)
                for k in range(config.time_steps)
                for p in range(config.parts)
            ]
            add(phases, config.tiles(layer))
        add([Phase(PhaseKind.WAIT, config.n_layers)], 1)
        if self.pairs:
            add([self._readout(Fetch.PAIR, 0)], self.pairs, readout=True)
        if self.odd_tile:
            add([self._readout(Fetch.SPLIT, self.odd_base)], 1, readout=True)
        return blocks

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """All phases of all blocks; an index into it is a value of the `phase` register."""
        return tuple(phase for block in self.blocks for phase in block.phases)

    @property
    def idle(self) -> int:
        """Value of the phase register between frames."""
        return len(self.phases)

    @property
    def most_dense_rows(self) -> int:
        """The largest `dense_rows` of any phase."""
        return max(phase.dense_rows for phase in self.phases)

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

    def bias_row(self, layer: int, tile: int) -> int:
        """Row of a tile's bias, in both banks of the hidden memory."""
        return self.matrix_base["bias", layer] + tile

    def readout_row(self, tile: int, i: int) -> tuple[int, int]:
        """(bank, row) of input i for a tile of the readout."""
        if tile == 2 * self.pairs:  # the odd last tile: both banks, by input parity
            return i & 1, self.odd_base + (i >> 1)
        return tile & 1, (tile >> 1) * self.config.hidden[-1] + i


def memory_banks(
    config: AcceleratorConfig, *, constant: bool = False
) -> dict[str, tuple[MemoryShape, ...]]:
    """Every memory of a machine, in the order of its Verilog: name to banks.

    The weight memories "input", "hidden" and "readout" are there if they have rows; "membrane" and
    "threshold", with a row for each tile, only in a folded machine. An unfolded one keeps both in
    registers.

    Parameters
    ----------
    config
        The machine.
    constant
        Whether the network is built in: weights and thresholds are then ROMs.
    """

    def banks(
        memory: str, rows: int, count: int, bits: int, word_bits: int, *, writable: bool
    ) -> tuple[MemoryShape, ...]:
        return tuple(
            MemoryShape(
                f"plosive_{memory}_memory" + (f"_{bank}" if count > 1 else ""),
                max(2, rows),
                bits,
                min(word_bits, bits),
                writable,
            )
            for bank in range(count)
        )

    memories = {
        name: banks(
            *(name, memory.rows, memory.banks, config.row_bits, WEIGHT_WORD_BITS),
            writable=not constant,
        )
        for name, memory in Schedule(config).memories.items()
        if memory.rows
    }
    if config.folded:
        # A part of a tile's membranes is written at once, but each threshold by itself.
        bits = config.membrane_bits
        rows, lanes = config.state_rows, config.lanes
        part = config.neuron_lanes * bits
        memories["membrane"] = banks("membrane", rows, 1, lanes * bits, part, writable=True)
        bits = config.threshold_bits
        memories["threshold"] = banks(
            "threshold", rows, 1, lanes * bits, bits, writable=not constant
        )
    return memories


def machine_memories(
    config: AcceleratorConfig, *, constant: bool = False
) -> tuple[MemoryShape, ...]:
    """Every memory of a machine, bank by bank; the parameters are those of `memory_banks`."""
    banks = memory_banks(config, constant=constant).values()
    return tuple(shape for memory in banks for shape in memory)


def half(n: int) -> int:
    """Rows that n inputs take in each of two banks, split by input parity."""
    return -(-n // 2)
