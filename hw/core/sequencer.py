# SPDX-License-Identifier: Apache-2.0
"""The sequencer: walks the phase table, one slot a cycle, with the front ends' help (stage F)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.front_end import FeatureFrontEnd, SpikeFrontEnd, spike_positions
from hw.schedule import Fetch, Phase, PhaseKind, Schedule, Work

__all__ = [
    "Operation",
    "RowMemoryId",
    "RowReads",
    "Sequencer",
    "address",
    "slot_layout",
    "spike_layout",
]


class Operation(enum.Enum, shape=2):
    """What a slot does in stage X."""

    NONE = 0
    MAC = 1
    LOAD = 2
    LIF = 3


class RowMemoryId(enum.Enum, shape=2):
    """The weight memory of a MAC slot."""

    INPUT = 0
    HIDDEN = 1
    READOUT = 2


_MEMORY_ID = {
    "input": RowMemoryId.INPUT,
    "hidden": RowMemoryId.HIDDEN,
    "readout": RowMemoryId.READOUT,
}


def address(rows: int) -> range:
    """Shape of a row address; as in `RowMemory`, at least one bit."""
    return range(max(2, rows))


def slot_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of the control word that travels from F to X (docs/architecture.md, "X")."""
    return data.StructLayout(
        {
            "op": Operation,
            "first": 1,
            "enable": 2,
            "shift": data.ArrayLayout(2, 2),
            "negate": 2 if config.signed_digits else 1,
            "memory": RowMemoryId,
            "bank": 1,
            "layer": range(max(2, config.n_layers)),
            "tile": range(max(2, config.most_tiles)),
            "step": 1,
            "part": range(max(2, config.parts)),
            "capture": 1,
            "capture_last": 1,
            "end": 1,
        }
    )


def spike_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of the spike registers: per layer (`l0`, `l1`, ...) an array over time steps."""
    return data.StructLayout(
        {
            f"l{layer}": data.ArrayLayout(n, config.time_steps)
            for layer, n in enumerate(config.hidden)
        }
    )


class RowReads(NamedTuple):
    """What F asks of the banks of a weight memory in this cycle.

    Attributes
    ----------
    read
        One bit for each bank: read a row. 0 in a stall.
    row
        For each bank, that row.
    """

    read: Value
    row: Sequence[Value]


class Sequencer(wiring.Component):
    """Registers `phase`, `tile`, `pointer`, `taken` and the frame flags; issues the slots of F.

    Attributes
    ----------
    stall
        In, hold everything.
    features, spikes
        In, the operands.
    frame_ready, frame_start, frame_end
        In, a frame is in the feature buffer, and its flags.
    features_done
        Out, the last feature of the frame has been used (at this edge).
    launch, launch_start
        Out, the next frame is launched at this edge; and starts an utterance.
    slot
        Out, the control word for X.
    input_read, input_row, hidden_read[2], ...
        Out, row reads of this cycle (0 in a stall).
    state_read, state_row
        Out, the membrane and threshold row to fetch (folded machines).
    idle
        Out, between frames.
    phase_last, frame_last
        Out, the slot is the last of its phase, of its frame (0 in a stall).
    dense_rows
        Out, rows that the phase would read without skipping.
    start, end
        Out, flags of the running frame.
    reads
        The row reads of each weight memory, by its name: the outputs above, bank by bank.
    """

    def __init__(self, config: AcceleratorConfig, schedule: Schedule) -> None:
        self._config = config
        self._schedule = schedule
        memories = schedule.memories
        self._tiles = max(block.tiles for block in schedule.blocks)
        ports = {
            "stall": In(1),
            "features": In(data.ArrayLayout(signed(8), config.n_input)),
            "spikes": In(spike_layout(config)),
            "frame_ready": In(1),
            "frame_start": In(1),
            "frame_end": In(1),
            "features_done": Out(1),
            "launch": Out(1),
            "launch_start": Out(1),
            "slot": Out(slot_layout(config)),
            "input_read": Out(1),
            "input_row": Out(address(memories["input"].rows)),
            "hidden_read": Out(2),
            "hidden_row": Out(data.ArrayLayout(address(memories["hidden"].rows), 2)),
            "readout_read": Out(2),
            "readout_row": Out(data.ArrayLayout(address(memories["readout"].rows), 2)),
            "state_read": Out(1),
            "state_row": Out(address(config.state_rows)),
            "idle": Out(1),
            "phase_last": Out(1),
            "frame_last": Out(1),
            "dense_rows": Out(range(1 + schedule.most_dense_rows)),
            "phase": Out(range(schedule.idle + 1), init=schedule.idle),
            "tile": Out(range(max(2, self._tiles))),
            "pointer": Out(data.ArrayLayout(range(1 + self._positions()), 2)),
            "taken": Out(data.ArrayLayout(4, 2)),
            "start": Out(1),
            "end": Out(1),
            "fresh": Out(1, init=1),
            "frame_index": Out(range(max(2, config.readout_every))),
        }
        super().__init__(ports)
        self._run = ~self.stall  # nothing is read in a stall
        self.reads = {
            "input": RowReads(self.input_read, [self.input_row]),
            "hidden": RowReads(self.hidden_read, self.hidden_row),
            "readout": RowReads(self.readout_read, self.readout_row),
        }

    # ---- what the phase table asks of the front ends -------------------------------------

    def _works(self) -> tuple[Work, ...]:
        phases = self._schedule.phases
        return tuple(w for w in Work if w is not Work.NONE and any(p.work is w for p in phases))

    def _source_neurons(self) -> int:
        return max(p.n_source for p in self._schedule.phases if p.source_layer >= 0)

    def _positions(self) -> int:
        config = self._config
        spikes = spike_positions(self._works(), self._source_neurons(), config.hidden[-1])
        return max(spikes, config.n_input)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        schedule = self._schedule
        config = self._config
        phases = schedule.phases

        m.submodules.feature_front_end = feature_end = FeatureFrontEnd(config)
        m.submodules.spike_front_end = spike_end = SpikeFrontEnd(
            config, self._works(), self._source_neurons(), config.hidden[-1]
        )
        m.d.comb += [
            self.idle.eq(self.phase == schedule.idle),
            feature_end.features.eq(self.features),
            feature_end.pointer.eq(self.pointer[0]),
            feature_end.taken.eq(self.taken),
            *(spike_end.pointer[b].eq(self.pointer[b]) for b in range(2)),
        ]

        # First slot of a phase: nothing has moved yet.
        fresh_phase = Signal()
        m.d.comb += fresh_phase.eq(~(Value.cast(self.pointer).any() | Value.cast(self.taken).any()))

        last = Signal()  # of the phase
        go = Signal()  # a slot is issued
        m.d.comb += [
            go.eq(~self.idle & ~self.stall),
            self.phase_last.eq(go & last),
        ]
        next_phase = Signal.like(self.phase)
        next_tile = Signal.like(self.tile)
        with m.Switch(self.phase):
            for index, phase in enumerate(phases):
                with m.Case(index):
                    self._phase_controls(m, phase, feature_end, spike_end, fresh_phase, last)
            with m.Default():  # idle
                m.d.comb += last.eq(0)
        self._next_phase(m, next_phase, next_tile)

        with m.If(go):
            with m.If(last):
                m.d.sync += [
                    self.phase.eq(next_phase),
                    self.tile.eq(next_tile),
                    self.pointer.eq(0),
                    self.taken.eq(0),
                ]
            with m.Else():
                for b in range(2):
                    m.d.sync += self.pointer[b].eq(spike_end.pointer_next[b])
                with m.If(self._in_phase(lambda p: p.fetch is Fetch.FEATURES)):
                    m.d.sync += [
                        self.pointer[0].eq(feature_end.pointer_next),
                        self.pointer[1].eq(0),
                        self.taken.eq(feature_end.taken_next),
                    ]
        self._launch(m, next_phase)
        return m

    def _in_phase(self, predicate) -> Value:
        """Whether the phase is one of those that satisfy the predicate."""
        matches = [self.phase == i for i, p in enumerate(self._schedule.phases) if predicate(p)]
        result = matches[0]
        for match in matches[1:]:
            result = result | match
        return result

    def _phase_controls(
        self,
        m: Module,
        phase: Phase,
        feature_end: FeatureFrontEnd,
        spike_end: SpikeFrontEnd,
        fresh_phase: Signal,
        last: Signal,
    ) -> None:
        """What F does in a phase: the slot, the rows that it reads, and whether it is the last."""
        slot = self.slot
        m.d.comb += [
            last.eq(1),
            self.dense_rows.eq(phase.dense_rows),
        ]
        if phase.fetch is not Fetch.NONE:
            m.d.comb += [
                slot.op.eq(Operation.MAC),
                slot.memory.eq(_MEMORY_ID[phase.memory]),
                slot.first.eq(fresh_phase if phase.first else 0),
            ]
        if phase.kind is PhaseKind.INPUT:
            self._issue_feature(m, phase, feature_end, last)
        elif phase.kind is PhaseKind.LOAD:
            m.d.comb += [slot.op.eq(Operation.LOAD), slot.part.eq(phase.part)]
        elif phase.kind is PhaseKind.MERGE:
            m.d.comb += [slot.op.eq(Operation.LOAD), slot.part.eq(phase.part), slot.step.eq(1)]
        elif phase.kind is PhaseKind.LIF:
            self._issue_neurons(m, phase)
        elif phase.kind is PhaseKind.BIAS:
            self._issue_bias(m, phase)
        elif phase.fetch is not Fetch.NONE:
            self._search_spikes(m, phase, spike_end, last)
            if phase.kind is PhaseKind.READOUT:
                self._capture(m, phase, spike_end)
            issue = {
                Fetch.BROADCAST: self._issue_broadcast,
                Fetch.PAIR: self._issue_pair,
                Fetch.SPLIT: self._issue_split,
                Fetch.CROSSED: self._issue_crossed,
            }[phase.fetch]
            issue(m, phase, spike_end)

    def _first_row(self, phase: Phase) -> Value | int:
        """The first row of the phase's matrix for the tile."""
        return phase.base + self.tile * phase.stride if phase.stride else phase.base

    def _issue_feature(
        self, m: Module, phase: Phase, feature_end: FeatureFrontEnd, last: Signal
    ) -> None:
        """INPUT: the next digits of a feature, and its row with the first of them."""
        config, slot, run = self._config, self.slot, self._run
        m.d.comb += [
            slot.enable.eq(feature_end.enable),
            slot.shift.eq(feature_end.shift),
            slot.negate.eq(feature_end.negate),
            self.input_read.eq(feature_end.read & run),
            self.input_row.eq(self._first_row(phase) + feature_end.index),
            last.eq(feature_end.last),
            self.features_done.eq(feature_end.last & run & (self.tile == config.tiles(0) - 1)),
        ]

    def _issue_neurons(self, m: Module, phase: Phase) -> None:
        """LIF: a part of the tile's neurons; before the first, F fetches their state."""
        slot, run = self.slot, self._run
        m.d.comb += [
            slot.op.eq(Operation.LIF),
            slot.layer.eq(phase.layer),
            slot.tile.eq(self.tile),
            slot.step.eq(phase.step),
            slot.part.eq(phase.part),
            self.state_read.eq(run if phase.step == phase.part == 0 else 0),
            self.state_row.eq(self._config.first_tile(phase.layer) + self.tile),
        ]

    def _issue_bias(self, m: Module, phase: Phase) -> None:
        """BIAS: the rows of both banks, each for its set, or that of one bank for both sets."""
        slot, run = self.slot, self._run
        reads, rows = self.reads[phase.memory]
        split = phase.fetch is Fetch.SPLIT
        m.d.comb += [
            slot.enable.eq(3),
            slot.bank.eq(phase.part),
            *(slot.shift[b].eq(3 if (b if split else phase.part) else 0) for b in range(2)),
            *(reads[b].eq(run if split or phase.part == b else 0) for b in range(2)),
            *(rows[b].eq(self._first_row(phase)) for b in range(2)),
        ]

    def _search_spikes(
        self, m: Module, phase: Phase, spike_end: SpikeFrontEnd, last: Signal
    ) -> None:
        """Give the spike front end the operand of the phase, and say how it is to search it."""
        neurons = len(spike_end.exists)
        m.d.comb += [
            spike_end.spikes[k].eq(self.spikes[f"l{phase.source_layer}"][k])
            for k in range(self._config.time_steps)
        ]
        m.d.comb += [
            spike_end.exists.eq((1 << min(phase.n_source, neurons)) - 1),
            spike_end.work.eq(spike_end.works.index(phase.work)),
            spike_end.joint.eq(phase.fetch in (Fetch.BROADCAST, Fetch.PAIR)),
            last.eq(spike_end.last),
        ]

    def _capture(self, m: Module, phase: Phase, spike_end: SpikeFrontEnd) -> None:
        """READOUT: with the last slot of a group, its sums are due for the output buffer."""
        slot = self.slot
        m.d.comb += [
            slot.capture.eq(spike_end.last),
            slot.capture_last.eq(spike_end.last & self._readout_group_last(phase)),
            slot.end.eq(spike_end.last & self.end),
        ]

    def _issue_broadcast(self, m: Module, phase: Phase, spike_end: SpikeFrontEnd) -> None:
        """One row for both sets, each of which takes it if the input spikes in its time step."""
        slot, run = self.slot, self._run
        reads, rows = self.reads[phase.memory]
        served_odd = spike_end.serve[1]
        m.d.comb += [
            slot.bank.eq(served_odd),
            slot.enable.eq(Mux(served_odd, spike_end.spike[1], spike_end.spike[0])),
            reads.eq(spike_end.serve & run.replicate(2)),
            *(rows[b].eq(self._first_row(phase) + spike_end.index[b]) for b in range(2)),
        ]

    def _issue_pair(self, m: Module, phase: Phase, spike_end: SpikeFrontEnd) -> None:
        """The same input in both banks, a row for each set."""
        slot, run = self.slot, self._run
        reads, rows = self.reads[phase.memory]
        served_odd, served = spike_end.serve[1], spike_end.serve.any()
        index = Mux(served_odd, spike_end.index[1], spike_end.index[0])
        spike = Mux(served_odd, spike_end.spike[1], spike_end.spike[0])
        both = (phase.work is Work.UNION) & spike.all()
        row = self._first_row(phase)
        m.d.comb += [
            slot.enable.eq(served.replicate(2)),
            *(slot.shift[b].eq(served & both) for b in range(2)),
            reads.eq((served & run).replicate(2)),
            *(rows[b].eq(row + (index << 1) + served_odd) for b in range(2)),
        ]

    def _issue_split(self, m: Module, phase: Phase, spike_end: SpikeFrontEnd) -> None:
        """Each bank and its set their own input."""
        slot, run = self.slot, self._run
        reads, rows = self.reads[phase.memory]
        m.d.comb += [
            slot.enable.eq(spike_end.serve),
            reads.eq(spike_end.serve & run.replicate(2)),
            *(rows[b].eq(self._first_row(phase) + spike_end.index[b]) for b in range(2)),
        ]
        if phase.work is Work.UNION:
            m.d.comb += [slot.shift[b].eq(spike_end.spike[b].all()) for b in range(2)]

    def _issue_crossed(self, m: Module, phase: Phase, spike_end: SpikeFrontEnd) -> None:
        """Each bank its own input, for the other bank's set."""
        slot, run = self.slot, self._run
        reads, rows = self.reads[phase.memory]
        m.d.comb += [
            slot.bank.eq(1),
            slot.enable.eq(Cat(spike_end.serve[1], spike_end.serve[0])),
            reads.eq(spike_end.serve & run.replicate(2)),
            *(rows[b].eq(self._first_row(phase) + spike_end.index[b]) for b in range(2)),
        ]

    def _readout_group_last(self, phase: Phase) -> Value | int:
        """Whether the group of this readout phase is the frame's last."""
        if phase.fetch is Fetch.SPLIT:
            return 1
        return 0 if self._schedule.odd_tile else self.tile == self._schedule.pairs - 1

    def _next_phase(self, m: Module, next_phase: Signal, next_tile: Signal) -> None:
        """Where the table goes on after the current phase; idle after the frame."""
        schedule = self._schedule
        readout_due = self.frame_index == 0
        blocks = schedule.blocks
        with m.Switch(self.phase):
            for number, block in enumerate(blocks):
                final = block.first_phase + len(block.phases) - 1
                for index in range(block.first_phase, final):
                    with m.Case(index):
                        m.d.comb += [next_phase.eq(index + 1), next_tile.eq(self.tile)]
                with m.Case(final):
                    following = blocks[number + 1] if number + 1 < len(blocks) else None
                    if following is None:
                        after: Value | int = schedule.idle
                    elif following.readout and not block.readout:
                        after = Mux(readout_due, following.first_phase, schedule.idle)
                    else:
                        after = following.first_phase
                    with m.If(self.tile == block.tiles - 1):
                        m.d.comb += next_phase.eq(after)
                    with m.Else():
                        m.d.comb += [
                            next_phase.eq(block.first_phase),
                            next_tile.eq(self.tile + 1),
                        ]
            with m.Default():
                m.d.comb += next_phase.eq(schedule.idle)

    def _launch(self, m: Module, next_phase: Signal) -> None:
        """The next frame follows in the very next cycle, if it is there."""
        schedule = self._schedule
        m.d.comb += [
            self.frame_last.eq(self.phase_last & (next_phase == schedule.idle)),
            self.launch.eq(self.frame_ready & (self.idle | self.frame_last)),
            self.launch_start.eq(self.launch & (self.frame_start | self.fresh)),
        ]
        with m.If(self.launch):
            m.d.sync += [
                self.phase.eq(0),
                self.tile.eq(0),
                self.fresh.eq(0),
                self.start.eq(self.launch_start),
                self.end.eq(self.frame_end),
            ]
            if self._config.readout_every > 1:
                with m.If(self.launch_start | (self.frame_index == self._config.readout_every - 1)):
                    m.d.sync += self.frame_index.eq(0)
                with m.Else():
                    m.d.sync += self.frame_index.eq(self.frame_index + 1)
