# SPDX-License-Identifier: Apache-2.0
"""The shell around the core: registers and their windows behind the control bus, and streams.

What stands in front of it is an adapter of the control bus: AXI4-Lite (`hw.shell.ip_top`) or a
serial line (`hw.shell.serial_bridge`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from amaranth.hdl import (
    Cat,
    Const,
    Elaboratable,
    Module,
    Mux,
    ResetInserter,
    Signal,
    Value,
    unsigned,
)
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import AcceleratorConfig
from hw.core.core import Contents, Core
from hw.core.counters import COUNTERS
from hw.core.memory import MemoryInstance
from hw.core.weight_port import Region, regions
from hw.shell.bus import ADDRESS_BITS, BUS_WORD_BITS, ControlBus
from hw.shell.features import FeatureWords, feature_input
from hw.shell.registers import (
    CONSTANTS,
    COUNTER_REGISTERS,
    IRQ_SOURCES,
    REGISTERS,
    constant_values,
    register,
)
from hw.shell.results import Results, result_beat

__all__ = ["Shell", "build_hash", "most_best"]

_MOST_BEST = 64
_DEPTHS = tuple(1 << bits for bits in range(1, 16))
_INDEX_BITS = (len(REGISTERS) - 1).bit_length()


def most_best(config: AcceleratorConfig) -> int:
    """The longest best-N list that can be built."""
    return min(_MOST_BEST, config.n_output)


def build_hash(contents: Contents | None, *, bake: bool = False, best: int = 0) -> int:
    """The word of BUILD_HASH: of the initial contents and the options, 0 without contents."""
    if contents is None:
        return 0
    parameters = [asdict(layer) for layer in contents.parameters or ()]
    text = json.dumps(
        [contents.rows, contents.thresholds, parameters, bake, best], sort_keys=True, default=list
    )
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) or 1


class Shell(wiring.Component):
    """The core with registers: all that a host needs is on the control bus.

    An access takes two clocks, plus what FEATURES may wait (at most four) and WEIGHT_DATA is read
    (three). No access waits for the machine.

    Parameters
    ----------
    config, contents, bake
        Passed on to the core.
    best
        Entries of the best-N list; with 0 none is built.
    streams
        Whether to build the streams; without them, registers carry features and results.
    result_depth
        Words of results that can wait for the host, a power of two.

    Attributes
    ----------
    config, best
        The parameters of these names.
    core
        The core.
    memory_instances
        The core's memories, each a module of its own.
    constants
        Words of the constant registers, by name.
    bus
        In, a `ControlBus`.
    features
        In, stream of `feature_input`. It exists only with `streams`, and takes features only while
        MODE.source is streams.
    results
        Out, stream of `result_beat`, under the same conditions. A soft reset withdraws a beat.
    irq
        Out, one of the states enabled in IRQ_ENABLE holds.
    busy, error
        Out, bits of STATUS.
    soft_reset
        Out, high for one clock when the host asks for a soft reset.

    Raises
    ------
    ValueError
        `best` or `result_depth` is out of range.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        contents: Contents | None = None,
        *,
        bake: bool = False,
        best: int = 0,
        streams: bool = True,
        result_depth: int = 16,
    ) -> None:
        if not 0 <= best <= most_best(config):
            raise ValueError(f"best is {best!r}: it must be 0 to {most_best(config)}")
        if result_depth not in _DEPTHS:
            raise ValueError(
                f"result_depth is {result_depth!r}: it must be a power of two, "
                f"{_DEPTHS[0]} to {_DEPTHS[-1]}"
            )
        self.config = config
        self.best = best
        self.core = Core(config, contents, bake=bake)
        self._machine = _Machine(self.core, bake, best, streams, result_depth)
        self.constants = constant_values(
            config,
            baked=bake,
            streams=streams,
            best=best,
            result_depth=result_depth,
            build_hash=build_hash(contents, bake=bake, best=best),
        )
        ports = {
            "bus": In(ControlBus()),
            "irq": Out(1),
            "busy": Out(1),
            "error": Out(1),
            "soft_reset": Out(1),
        }
        super().__init__(ports | _stream_ports(config, streams))

    @property
    def memory_instances(self) -> list[MemoryInstance]:
        return self.core.memory_instances

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        machine = self._machine
        m.submodules.machine = ResetInserter({"sync": self.soft_reset})(machine)
        m.submodules.constants = words = memory.Memory(
            shape=unsigned(BUS_WORD_BITS),
            depth=len(CONSTANTS),
            init=[self.constants[entry.name] for entry in CONSTANTS],
        )
        constant = words.read_port()
        request, response = self.bus.request, self.bus.response
        index = request.payload.address[2 : 2 + _INDEX_BITS]
        mapped = Signal()
        is_constant = Signal()
        m.d.comb += [
            mapped.eq(
                (request.payload.address[:2] == 0)
                & (request.payload.address[2 + _INDEX_BITS : ADDRESS_BITS] == 0)
            ),
            is_constant.eq(index < len(CONSTANTS)),
            constant.addr.eq(index),
            machine.index.eq(index),
            machine.write.eq(request.payload.write),
            machine.data.eq(request.payload.data),
            self.irq.eq(machine.irq),
            self.busy.eq(machine.busy),
            self.error.eq(machine.error),
        ]
        if "features" in self.signature.members:
            connect(m, flipped(self.features), machine.features)
            connect(m, machine.results, flipped(self.results))
        m.d.sync += [self.soft_reset.eq(0), machine.clear_counters.eq(0)]  # but for one clock
        with m.FSM():
            with m.State("IDLE"):
                # Constants are read ahead; the request stays until it is taken in the next clock.
                m.d.comb += constant.en.eq(request.valid)
                with m.If(request.valid):
                    m.next = "ACCESS"
            with m.State("ACCESS"):
                self._access(m, index, mapped, is_constant, constant.data)
                with m.If(request.ready):
                    m.next = "RESPOND"
            with m.State("RESPOND"):
                m.d.comb += response.valid.eq(1)
                with m.If(response.ready):
                    m.next = "IDLE"
        return m

    def _access(
        self, m: Module, index: Value, mapped: Signal, is_constant: Signal, constant: Value
    ) -> None:
        """Carry out the access that waits on the bus, and hold its answer."""
        machine, request, response = self._machine, self.bus.request, self.bus.response
        write = request.payload.write
        refused = Signal()
        value = Signal(BUS_WORD_BITS)
        m.d.comb += request.ready.eq(1)
        with m.If(~mapped):
            m.d.comb += [refused.eq(1), machine.access_error.eq(1)]
        with m.Elif(is_constant):
            m.d.comb += [refused.eq(write), machine.access_error.eq(write), value.eq(constant)]
        with m.Elif(index == _index("CONTROL")):
            control = register("CONTROL")
            m.d.comb += [refused.eq(~write), machine.access_error.eq(~write)]
            m.d.sync += [
                target.eq(write & request.payload.data[control.field(name).lsb])
                for name, target in (
                    ("soft_reset", self.soft_reset),
                    ("clear_counters", machine.clear_counters),
                )
            ]
        with m.Else():
            m.d.comb += [
                machine.access.eq(1),
                request.ready.eq(~machine.wait),
                refused.eq(machine.refused),
                value.eq(machine.value),
            ]
        m.d.sync += [
            response.payload.data.eq(Mux(write | refused, 0, value)),
            response.payload.error.eq(refused),
        ]


def _stream_ports(config: AcceleratorConfig, streams: bool) -> dict:
    if not streams:
        return {}
    return {
        "features": In(stream.Signature(feature_input(config))),
        "results": Out(stream.Signature(result_beat(config))),
    }


class _Machine(wiring.Component):
    """What a soft reset resets: the core, the windows, and the registers that are not constant.

    Attributes
    ----------
    access, index, write, data
        In, an access to the register at word `index`; held while `wait`.
    wait
        Out, no answer yet.
    refused, value
        Out, the answer.
    access_error
        In, an access was refused elsewhere.
    clear_counters
        In, set the core's counters to 0.
    features, results, irq, busy, error
        As in `Shell`.
    """

    def __init__(self, core: Core, bake: bool, best: int, streams: bool, result_depth: int) -> None:
        self._core = core
        self._bake = bake
        self._best = best
        self._streams = streams
        self._results = Results(core.config, best, streams, result_depth)
        super().__init__(
            {
                "access": In(1),
                "index": In(_INDEX_BITS),
                "write": In(1),
                "data": In(BUS_WORD_BITS),
                "wait": Out(1),
                "refused": Out(1),
                "value": Out(BUS_WORD_BITS),
                "access_error": In(1),
                "clear_counters": In(1),
                "irq": Out(1),
                "busy": Out(1),
                "error": Out(1),
                **_stream_ports(core.config, streams),
            }
        )
        self._reads = self.access & ~self.write
        self._writes = self.access & self.write

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        core, results = self._core, self._results
        m.submodules.core = core
        m.submodules.results = results
        m.submodules.feature_words = window = FeatureWords(core.config)
        connect(m, core.logits, results.logits)
        state = _State(self._best, self._streams)
        m.d.comb += [
            core.clear_counters.eq(self.clear_counters),
            results.best_mode.eq(state.best_mode),
            results.by_registers.eq(state.by_registers),
            self.busy.eq(core.busy | results.busy | ~window.words.ready),
            self.error.eq(state.errors.any()),
            window.words.payload.eq(self.data),
            Cat(window.start, window.end).eq(state.flags),
            state.features_ready.eq(state.by_registers & window.words.ready),
            state.weights_ready.eq(0 if self._bake else core.weights.ready),
        ]
        irq_status = self._irq_status(state)
        m.d.sync += [
            self.irq.eq(irq_status.any()),
            state.errors.eq(
                (state.errors & ~state.clear_errors)
                | Cat(state.access_error, state.misplaced, state.overrun)
            ),
        ]
        self._connect_streams(m, state, window)

        m.d.comb += [
            self.refused.eq(1),
            state.access_error.eq(
                self.access_error | (self.access & self.refused & ~self.wait & ~state.not_yet)
            ),
        ]
        if not self._bake:
            weight_window = _WeightWindow(m, core, self.write, self.data)
        with m.Switch(self.index):
            self._mode_register(m, state)
            self._state_registers(m, state)
            self._data_registers(m, state, window)
            for name, counter in zip(COUNTER_REGISTERS, COUNTERS, strict=True):
                with m.Case(_index(name)):
                    m.d.comb += [self.refused.eq(self.write), self.value.eq(core.counters[counter])]
            if not self._bake:
                self._weight_registers(m, state, weight_window)
        return m

    def _status(self, state: _State) -> Value:
        """The word of STATUS."""
        head = self._results.words
        return Cat(
            self.busy,
            state.features_ready,
            head.valid,
            head.valid & head.payload.last,
            head.valid & head.payload.end,
            state.weights_ready,
            self._results.blocked,
            self.error,
        )

    def _irq_status(self, state: _State) -> Value:
        """The word of IRQ_STATUS."""
        return state.irq_enable & Cat(
            self._results.words.valid, state.features_ready, ~self.busy, self.error
        )

    def _connect_streams(self, m: Module, state: _State, window: FeatureWords) -> None:
        """Features from both sides into the core; beats out."""
        core, results, by_registers = self._core, self._results, state.by_registers
        count = core.feature_buffer.count
        m.d.comb += [
            window.frame_begins.eq(count == 0),
            window.frame_ends.eq(count == core.config.n_input - 1),
        ]
        refused_word = window.words.valid & ~window.words.ready & ~self.wait
        if not self._streams:
            connect(m, window.features, core.features)
            m.d.comb += state.overrun.eq(results.blocked & refused_word)
            return
        connect(m, results.beats, flipped(self.results))
        beat = self.features.payload
        with m.If(by_registers):
            m.d.comb += [
                core.features.payload.eq(window.features.payload),
                core.features.valid.eq(window.features.valid),
                window.features.ready.eq(core.features.ready),
            ]
        with m.Else():
            m.d.comb += [
                *(core.features.payload[name].eq(beat[name]) for name in ("value", "start", "end")),
                core.features.valid.eq(self.features.valid),
                self.features.ready.eq(core.features.ready),
            ]
        m.d.comb += [
            state.misplaced.eq(
                self.features.valid & self.features.ready & (beat.last != window.frame_ends)
            ),
            state.overrun.eq(
                results.blocked
                & (refused_word | (self.features.valid & ~self.features.ready & ~by_registers))
            ),
        ]

    # ---- the registers, inside the Switch over them --------------------------------------

    def _mode_register(self, m: Module, state: _State) -> None:
        """MODE: what a build leaves no choice about can only be written as it is."""
        with m.Case(_index("MODE")):
            m.d.comb += self.value.eq(Cat(state.best_mode, state.by_registers))
            possible = ~self.busy
            if not self._best:
                possible &= ~self.data[0]
            if not self._streams:
                possible &= self.data[1]
            m.d.comb += self.refused.eq(self.write & ~possible)
            with m.If(self._writes & possible):
                if self._best:
                    m.d.sync += state.best_mode.eq(self.data[0])
                if self._streams:
                    m.d.sync += state.by_registers.eq(self.data[1])

    def _state_registers(self, m: Module, state: _State) -> None:
        """STATUS, ERRORS, IRQ_ENABLE and IRQ_STATUS."""
        with m.Case(_index("STATUS")):
            m.d.comb += [self.refused.eq(self.write), self.value.eq(self._status(state))]
        with m.Case(_index("ERRORS")):
            m.d.comb += [self.refused.eq(0), self.value.eq(state.errors)]
            with m.If(self._writes):
                m.d.comb += state.clear_errors.eq(self.data)
        with m.Case(_index("IRQ_ENABLE")):
            m.d.comb += [self.refused.eq(0), self.value.eq(state.irq_enable)]
            with m.If(self._writes):
                m.d.sync += state.irq_enable.eq(self.data)
        with m.Case(_index("IRQ_STATUS")):
            m.d.comb += [self.refused.eq(self.write), self.value.eq(self._irq_status(state))]

    def _data_registers(self, m: Module, state: _State, window: FeatureWords) -> None:
        """FRAME_FLAGS, FEATURES and RESULTS."""
        head, by_registers = self._results.words, state.by_registers
        with m.Case(_index("FRAME_FLAGS")):
            m.d.comb += [self.refused.eq(0), self.value.eq(state.flags)]
            with m.If(self._writes):
                m.d.sync += state.flags.eq(self.data)
        with m.Case(_index("FEATURES")):
            m.d.comb += [
                self.refused.eq(~self.write | ~state.features_ready),
                state.not_yet.eq(self.write & by_registers),
                window.words.valid.eq(self._writes & by_registers),
            ]
            with m.If(self._writes & by_registers):
                with m.If(~window.words.ready):
                    # The word before is on its way into the core, unless the core is full.
                    m.d.comb += self.wait.eq(self._core.features.ready)
                with m.Elif(window.frame_begins):
                    m.d.sync += state.flags.eq(0)
        with m.Case(_index("RESULTS")):
            m.d.comb += [
                self.refused.eq(self.write | ~head.valid),
                state.not_yet.eq(~self.write),
                self.value.eq(head.payload.word),
                head.ready.eq(self._reads),
            ]

    def _weight_registers(self, m: Module, state: _State, window: _WeightWindow) -> None:
        """WEIGHT_ADDRESS, WEIGHT_ROW and WEIGHT_DATA."""
        port, answer = self._core.weights, self._core.weight_data
        word, row, inside, asked = window.word, window.row, window.inside, window.asked
        with m.Case(_index("WEIGHT_ADDRESS")):
            m.d.comb += self.refused.eq(~self.write)
            with m.If(self._writes):
                m.d.sync += [
                    word.eq(_limited(self.data[:16], word)),
                    window.region.eq(self.data[16:19]),
                ]
        with m.Case(_index("WEIGHT_ROW")):
            m.d.comb += self.refused.eq(~self.write)
            with m.If(self._writes):
                m.d.sync += row.eq(_limited(self.data, row))
        with m.Case(_index("WEIGHT_DATA")):
            m.d.comb += [
                state.not_yet.eq(inside),
                self.value.eq(answer.payload),
                # A read ends with its answer, a write with its request.
                self.refused.eq(Mux(asked, ~answer.valid, ~inside | ~port.ready)),
            ]
            with m.If(self.access):
                m.d.comb += [
                    # Offered only when it is taken: else it is refused, and must not stay.
                    port.valid.eq(inside & port.ready & ~asked),
                    answer.ready.eq(asked),
                    self.wait.eq(~self.write & Mux(asked, ~answer.valid, port.valid)),
                ]
                with m.If(self.wait):
                    m.d.sync += asked.eq(1)
                with m.Elif(~self.refused):
                    m.d.sync += asked.eq(0)
                    with m.If(window.last_word):
                        m.d.sync += [word.eq(0), row.eq(row + 1)]
                    with m.Else():
                        m.d.sync += word.eq(word + 1)


class _State:
    """The registers of `_Machine`, and what its parts tell each other.

    Attributes
    ----------
    best_mode, by_registers
        MODE; a bit that the build leaves no choice about is no register.
    errors, flags, irq_enable
        ERRORS, FRAME_FLAGS and IRQ_ENABLE.
    access_error, misplaced, overrun
        The bits of ERRORS that are set at this edge.
    clear_errors
        Those that are cleared.
    features_ready, weights_ready
        The bits of STATUS.
    not_yet
        Time would help the access, so its refusal is no error.
    """

    def __init__(self, best: int, streams: bool) -> None:
        self.best_mode = Signal() if best else Const(0, 1)
        self.by_registers = Signal() if streams else Const(1, 1)
        # Amaranth names the last signal of a line after its variable, and the others not at all.
        errors, flags, irq_enable = Signal(3), Signal(2), Signal(len(IRQ_SOURCES))
        access_error, misplaced, overrun = Signal(), Signal(), Signal()
        features_ready, weights_ready = Signal(), Signal()
        self.errors, self.flags, self.irq_enable = errors, flags, irq_enable
        self.access_error, self.misplaced, self.overrun = access_error, misplaced, overrun
        self.clear_errors = Signal.like(errors)
        self.features_ready, self.weights_ready = features_ready, weights_ready
        self.not_yet = Signal()


class _WeightWindow:
    """Where WEIGHT_DATA is, and whether the core has such a word.

    Attributes
    ----------
    region, row, word
        The place. One bit more than the port's: set by what does not fit, and by
        the row behind the last.
    inside
        The core has it.
    last_word
        It is the row's last word.
    asked
        A read is on its way.
    """

    def __init__(self, m: Module, core: Core, write: Value, data: Value) -> None:
        request = core.weights.payload
        self.region = region = Signal(Region)
        self.row = row = Signal(len(request.row) + 1)
        self.word = word = Signal(len(request.word) + 1)
        self.inside, self.last_word, self.asked = Signal(), Signal(), Signal()
        for name, (rows, words) in regions(core.config, core.schedule).items():
            with m.If(region == name):
                m.d.comb += [
                    self.inside.eq((row < rows) & (word < words)),
                    self.last_word.eq(word == words - 1),
                ]
        m.d.comb += [
            request.region.eq(region),
            request.row.eq(row),
            request.word.eq(word),
            request.write.eq(write),
            request.data.eq(data),
        ]


def _index(name: str) -> int:
    """Word of a register in the map."""
    return register(name).offset // 4


def _limited(value: Value, target: Signal) -> Value:
    """A value for a register whose top bit says that it was too large."""
    low = len(target) - 1
    return Cat(value[:low], value[low:].any())
