# SPDX-License-Identifier: Apache-2.0
"""The accelerator core: memories, both pipeline stages and the streams, put together.

See docs/architecture.md; the names of the trace are those of its table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from amaranth.hdl import Elaboratable, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import AcceleratorConfig
from hw.core.choose import choose
from hw.core.counters import COUNTERS, Counters, counters_layout
from hw.core.memory import MemoryInstance
from hw.core.neurons import LayerParameters, Neurons
from hw.core.pe import PESet
from hw.core.sequencer import Operation, RowMemoryId, Sequencer, slot_layout
from hw.core.stream_buffers import FeatureBuffer, OutputBuffer, feature_beat, logit_beat
from hw.core.trace import Trace, Traced, TracedMemory, TraceField
from hw.core.weight_port import Region, WeightPort, weight_request
from hw.schedule import WEIGHT_WORD_BITS, PhaseKind, Schedule, memory_banks

__all__ = ["Contents", "Core"]


@dataclass(frozen=True)
class Contents:
    """What a network puts into the machine: rows per memory bank, thresholds and parameters.

    Attributes
    ----------
    rows
        {"input": [bank 0], "hidden": [bank 0, bank 1], "readout": [...]}, rows as integers.
    thresholds
        [tiles of all layers][lanes].
    parameters
        One for each layer.
    """

    rows: dict[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    thresholds: Sequence[Sequence[int]] | None = None
    parameters: Sequence[LayerParameters] | None = None


class Core(wiring.Component):
    """The accelerator with stream interfaces.

    Parameters
    ----------
    config
        Configuration of the core.
    contents
        Initial contents of memories, thresholds and parameters; None leaves them to the host.
    bake
        Whether to build the contents in: ROMs and constants, without a weight port. This needs
        `contents`.

    Attributes
    ----------
    features
        In, stream of `feature_beat`.
    logits
        Out, stream of `logit_beat`.
    weights, weight_data
        The weight port (not with `bake`): requests in, read words out.
    clear_counters
        In, sets all counters to 0.
    counters
        Out, the counters, as in `counters_layout`.
    busy
        Out, a frame is buffered or running, or logits wait. While it is low the counters are exact.
    trace_state
        Out, a snapshot of all state at the last clock edge; only with `config.trace`.
    trace_fields
        The fields of `trace_state`, a list; empty without `config.trace`.
    """

    def __init__(
        self, config: AcceleratorConfig, contents: Contents | None = None, *, bake: bool = False
    ) -> None:
        if bake and contents is None:
            raise ValueError("bake is True: it needs the contents of a network")
        self.config = config
        self.schedule = schedule = Schedule(config)
        self._bake = bake
        self._build_parts(contents or Contents())
        ports = {
            "features": In(stream.Signature(feature_beat(config))),
            "logits": Out(stream.Signature(logit_beat(config))),
            "clear_counters": In(1),
            "counters": Out(counters_layout(config)),
            "busy": Out(1),
        }
        if not bake:
            ports |= {
                "weights": In(stream.Signature(weight_request(config, schedule))),
                "weight_data": Out(stream.Signature(WEIGHT_WORD_BITS)),
            }
        self.trace_fields: list[TraceField] = []
        if config.trace:
            self._trace = Trace([*self._traced()])
            self.trace_fields = self._trace.fields
            ports["trace_state"] = Out(self._trace.bits)
        super().__init__(ports)

    def _build_parts(self, contents: Contents) -> None:
        config, schedule = self.config, self.schedule
        self.feature_buffer = FeatureBuffer(config)
        self.sequencer = Sequencer(config, schedule)
        # A LOAD clears set 1 where a MERGE follows.
        self._load_clears = any(p.kind is PhaseKind.MERGE and p.layer == 0 for p in schedule.phases)
        self.pe_sets = [
            PESet(
                config,
                negates=b == 1 or config.signed_digits,
                clears=b == 1 and self._load_clears,
            )
            for b in range(2)
        ]
        self.neurons = Neurons(
            config,
            parameters=contents.parameters,
            thresholds=contents.thresholds,
            constant=self._bake,
        )
        self.output_buffer = OutputBuffer(config, schedule)
        self.performance = Counters(config, schedule)
        self.memories: dict[str, list[MemoryInstance]] = {}
        for name, banks in memory_banks(config, constant=self._bake).items():
            if name in schedule.memories:
                rows = contents.rows.get(name) or [None] * len(banks)
                self.memories[name] = [
                    MemoryInstance(shape, init=init)
                    for shape, init in zip(banks, rows, strict=True)
                ]
        # Stage X, and the capture that follows it.
        self.x = Signal(slot_layout(config), name="x")
        self.capture = Signal()
        self.capture_last = Signal()
        self.capture_end = Signal()

    @property
    def memory_instances(self) -> list[MemoryInstance]:
        """All memories, each a module of its own beside the core's."""
        weights = [bank for banks in self.memories.values() for bank in banks]
        return weights + self.neurons.memories

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.feature_buffer = feature_buffer = self.feature_buffer
        m.submodules.sequencer = sequencer = self.sequencer
        m.submodules.neurons = neurons = self.neurons
        m.submodules.output_buffer = output_buffer = self.output_buffer
        m.submodules.counters = counters = self.performance
        for b, pe_set in enumerate(self.pe_sets):
            m.submodules[f"pe_set_{b}"] = pe_set
        for name, banks in self.memories.items():
            for bank, row_memory in enumerate(banks):
                suffix = f"_{bank}" if len(banks) > 1 else ""
                m.submodules[f"{name}_memory{suffix}"] = row_memory

        connect(m, flipped(self.features), feature_buffer.stream)
        connect(m, output_buffer.stream, flipped(self.logits))
        stall = output_buffer.stall
        x = self.x
        m.d.comb += [
            feature_buffer.done.eq(sequencer.features_done),
            sequencer.stall.eq(stall),
            sequencer.features.eq(feature_buffer.features),
            sequencer.spikes.eq(neurons.spikes),
            sequencer.frame_ready.eq(feature_buffer.full),
            sequencer.frame_start.eq(feature_buffer.next_start),
            sequencer.frame_end.eq(feature_buffer.next_end),
            neurons.slot.eq(x),
            neurons.execute.eq(~stall),
            neurons.start.eq(sequencer.start),
            neurons.clear.eq(sequencer.launch_start),
            neurons.state_row.eq(sequencer.state_row),
            neurons.state_read.eq(sequencer.state_read),
            output_buffer.capture.eq(self.capture),
            output_buffer.capture_last.eq(self.capture_last),
            output_buffer.capture_end.eq(self.capture_end),
            self.busy.eq(
                feature_buffer.full
                | ~sequencer.idle
                | (x.op != Operation.NONE)
                | self.capture
                | output_buffer.stream.valid
                | counters.counting
            ),
        ]
        with m.If(~stall):
            m.d.sync += [
                x.eq(sequencer.slot),
                self.capture.eq(x.capture),
                self.capture_last.eq(x.capture_last),
                self.capture_end.eq(x.end),
            ]
        self._execute(m, stall)
        self._count(m, counters, stall)
        self._connect_memories(m)
        if self.config.trace:
            m.submodules.trace = self._trace
            m.d.comb += self.trace_state.eq(self._trace.snapshot)
        return m

    # ---- stage X -------------------------------------------------------------------------

    def _execute(self, m: Module, stall: Value) -> None:
        config, x = self.config, self.x
        rows = {name: [bank.data for bank in banks] for name, banks in self.memories.items()}
        hidden = x.memory == RowMemoryId.HIDDEN
        load = (x.op == Operation.LOAD) & ~stall
        for b, pe_set in enumerate(self.pe_sets):
            sources = [(x.memory == RowMemoryId.INPUT, rows["input"][0])]
            if "hidden" in rows and config.time_steps == 2:
                # One row for both time steps; or one for each, and then each of its own bank, and
                # in a crossed phase of the other.
                banks = rows["hidden"][::-1] if b and config.merges else rows["hidden"]
                sources += [(hidden & (x.bank == bank), row) for bank, row in enumerate(banks)]
            elif "hidden" in rows:
                sources.append((hidden, rows["hidden"][b]))
            sources.append((x.memory == RowMemoryId.READOUT, rows["readout"][b]))
            m.d.comb += [
                pe_set.weights.eq(choose(*sources)),
                pe_set.execute.eq((x.op == Operation.MAC) & ~stall),
                pe_set.first.eq(x.first),
                pe_set.enable.eq(x.enable[b]),
                pe_set.shift.eq(x.shift[b]),
                pe_set.load.eq(Mux(load, 1 << x.part, 0)),
                self.neurons.acc[b].eq(pe_set.acc),
                self.output_buffer.acc[b].eq(pe_set.acc),
            ]
            if b == 0 or config.time_steps == 2:  # T = 1: set 1 starts at 0
                m.d.comb += [
                    pe_set.load_value.eq(self.neurons.load_value),
                    pe_set.load_round.eq(self.neurons.load_round),
                ]
        if config.signed_digits:
            m.d.comb += [pe_set.negate.eq(x.negate[b]) for b, pe_set in enumerate(self.pe_sets)]
        else:
            m.d.comb += self.pe_sets[1].negate.eq(x.negate)
        if self._load_clears:
            m.d.comb += self.pe_sets[1].clear.eq(x.step == 0)

    def _count(self, m: Module, counters: Counters, stall: Value) -> None:
        sequencer = self.sequencer
        m.d.comb += [
            counters.clear.eq(self.clear_counters),
            counters.running.eq(~sequencer.idle),
            counters.stall.eq(stall),
            counters.frame_last.eq(sequencer.frame_last),
            counters.phase_last.eq(sequencer.phase_last),
            counters.input_rows.eq(sequencer.input_read),
            counters.hidden_rows.eq(sequencer.hidden_read),
            counters.readout_rows.eq(sequencer.readout_read),
            counters.pe_operations.eq(Mux(stall, 0, sequencer.slot.enable)),
            counters.dense_rows.eq(sequencer.dense_rows),
            self.counters.eq(counters.values),
        ]

    # ---- memories and the weight port ----------------------------------------------------

    def _connect_memories(self, m: Module) -> None:
        """The rows that F reads and, unless the network is built in, the weight port."""
        sequencer, neurons = self.sequencer, self.neurons
        banks = [
            (bank, sequencer.reads[name].read[b], sequencer.reads[name].row[b])
            for name, row_memories in self.memories.items()
            for b, bank in enumerate(row_memories)
        ]
        if self._bake:
            for bank, read, row in banks:
                m.d.comb += [bank.read.eq(read), bank.row.eq(row)]
            return

        widths = [bank.shape.word_bits for bank, _, _ in banks]
        widths.append(len(neurons.threshold_data))
        widths.append(len(neurons.parameter_data.as_value()))
        m.submodules.weight_port = port = WeightPort(self.config, self.schedule, widths)
        connect(m, flipped(self.weights), port.requests)
        connect(m, port.answers, flipped(self.weight_data))
        m.d.comb += port.idle.eq(
            sequencer.idle
            & ~self.feature_buffer.full
            & (self.x.op == Operation.NONE)
            & ~self.capture
        )
        *bank_regions, _, _ = port.sizes  # thresholds and parameters are the last two
        for region, (bank, read, row) in zip(bank_regions, banks, strict=True):
            access = port.access(region)
            m.d.comb += [
                bank.row.eq(Mux(access.select, port.row, row)),
                bank.read.eq(read | access.read),
                bank.write.eq(access.write_words),
                bank.write_data.eq(port.write_data.replicate(bank.shape.words)),
                access.data.eq(bank.data.word_select(port.read_word, bank.shape.word_bits)),
            ]
        threshold = port.access(Region.THRESHOLD)
        parameter = port.access(Region.PARAMETER)
        m.d.comb += [
            neurons.threshold_row.eq(port.row),
            neurons.threshold_lane.eq(port.read_word),
            neurons.threshold_read.eq(threshold.read),
            neurons.threshold_write.eq(threshold.write_words),
            neurons.threshold_write_data.eq(port.write_data),
            threshold.data.eq(neurons.threshold_data),
            neurons.parameter_write.eq(parameter.write),
            neurons.parameter_write_data.eq(port.write_data),
            parameter.data.eq(neurons.parameter_data),
        ]
        # A parameter is read in the cycle after its request, so its layer is held.
        parameter_layer = Signal.like(neurons.parameter_layer)
        with m.If(parameter.select):
            m.d.sync += parameter_layer.eq(port.row)
        m.d.comb += neurons.parameter_layer.eq(Mux(parameter.select, port.row, parameter_layer))

    # ---- the trace -----------------------------------------------------------------------

    def _traced(self) -> Iterator[Traced | TracedMemory]:
        """What the trace port shows: the table of docs/architecture.md, "The trace", in order."""
        sequencer, outputs, x = self.sequencer, self.output_buffer, self.x
        for name in ("phase", "tile", "pointer", "taken"):
            yield Traced(name, getattr(sequencer, name))
        yield Traced("stall", outputs.stall)
        lanes = data.ArrayLayout(signed(self.config.weight_bits), self.config.lanes)
        for name, banks in self.memories.items():
            yield TracedMemory(name, banks, sequencer.reads[name].read, lanes)
        for name in ("op", "first", "negate", "memory", "bank", "layer", "tile", "step", "part"):
            bits = (2,) if name == "negate" and self.config.signed_digits else None
            yield Traced(f"x_{name}", Value.cast(x[name]), bits)
        for name in ("capture", "capture_last", "end"):
            yield Traced(f"x_{name}", x[name])
        yield Traced("x_enable", x.enable, (2,))
        yield Traced("x_shift", x.shift)
        for name in ("capture", "capture_last", "capture_end"):
            yield Traced(name, getattr(self, name))
        yield from self._traced_neurons()
        yield Traced("features", self.feature_buffer.features)
        for name in ("count", "full", "next_start", "next_end"):
            yield Traced(name, getattr(self.feature_buffer, name))
        for name in ("start", "end", "fresh", "frame_index"):
            yield Traced(name, getattr(sequencer, name))
        valid, beat = outputs.stream.valid, outputs.stream.payload
        yield Traced("out_valid", valid)
        yield Traced("out_beat", outputs.beat)
        yield Traced("out_last_group", outputs.last_group)
        yield Traced("out_end", outputs.end)
        yield Traced("out_data", outputs.data)
        logits = beat.logits
        yield Traced("beat_logits", data.View(logits.shape(), Mux(valid, logits.as_value(), 0)))
        yield Traced("beat_last", valid & beat.last)
        yield Traced("beat_end", valid & beat.end)
        for name in COUNTERS:
            yield Traced(f"counter_{name}", self.performance.values[name])

    def _traced_neurons(self) -> Iterator[Traced]:
        """Accumulators, membranes and spikes."""
        config, neurons = self.config, self.neurons
        yield Traced("acc", neurons.acc)
        if config.folded:
            if config.time_steps == 2:
                yield Traced("membrane_work", neurons.membrane_work)
            write, part = neurons.membrane_write, neurons.membrane_write_data
            yield Traced("membrane_write", write)
            yield Traced("membrane_row", Mux(write, neurons.membrane_write_row, 0))
            yield Traced("membrane_data", data.View(part.shape(), Mux(write, part.as_value(), 0)))
            held = neurons.held_layout
            bits = (held.length, Shape.cast(held.elem_shape).width)
            yield Traced("held", neurons.held.as_value(), bits)
        else:
            yield Traced("membranes", neurons.membranes)
        for layer, n in enumerate(config.hidden):
            spikes = neurons.spikes[f"l{layer}"].as_value()
            yield Traced(f"spikes_{layer}", spikes, (config.time_steps, n))
