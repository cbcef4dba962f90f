# SPDX-License-Identifier: Apache-2.0
"""Results on their way out: single logits of a beat, words of elements, and words that wait."""

from __future__ import annotations

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import AcceleratorConfig
from hw.core.stream_buffers import logit_beat
from hw.shell.best import BestN, best_list, logit_element
from hw.shell.bus import BUS_WORD_BITS
from hw.shell.registers import element_bits

__all__ = [
    "ElementPacker",
    "ListSplitter",
    "LogitSerialiser",
    "Results",
    "WordBuffer",
    "result_beat",
]


def result_beat(config: AcceleratorConfig) -> data.StructLayout:
    """`output_lanes` elements; last: ends a frame; end: of an utterance's last frame."""
    elements = data.ArrayLayout(signed(element_bits(config)), config.output_lanes)
    return data.StructLayout({"elements": elements, "last": 1, "end": 1})


def _result_word() -> data.StructLayout:
    """A word of packed elements; last: of its frame; end: of an utterance's last frame."""
    return data.StructLayout({"word": BUS_WORD_BITS, "last": 1, "end": 1})


class LogitSerialiser(wiring.Component):
    """Beats of the core into one logit a clock, without what fills up the last beat.

    Attributes
    ----------
    beats
        In, stream of `logit_beat`.
    elements
        Out, stream of `logit_element`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "beats": In(stream.Signature(logit_beat(config))),
                "elements": Out(stream.Signature(logit_element(config))),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        lanes = self._config.output_lanes
        beat, element = self.beats.payload, self.elements.payload
        index = Signal.like(element.index)
        counts_lanes = bool(lanes & (lanes - 1))
        # Frames begin with lane 0, so the low bits of the index may say which lane it is.
        lane = Signal(range(lanes)) if counts_lanes else index[: (lanes - 1).bit_length()]
        last_lane = Signal()
        m.d.comb += [
            last_lane.eq(1 if lanes == 1 else lane == lanes - 1),
            element.value.eq(beat.logits[lane] if lanes > 1 else beat.logits[0]),
            element.index.eq(index),
            element.last.eq(index == self._config.n_output - 1),
            element.end.eq(beat.end),
            self.elements.valid.eq(self.beats.valid),
            self.beats.ready.eq(self.elements.ready & (last_lane | element.last)),
        ]
        with m.If(self.elements.valid & self.elements.ready):
            m.d.sync += index.eq(Mux(element.last, 0, index + 1))
            if counts_lanes:
                m.d.sync += lane.eq(Mux(last_lane | element.last, 0, lane + 1))
        return m


class ElementPacker(wiring.Component):
    """Logits into words, lowest first; the rest of a frame's last word is 0.

    Attributes
    ----------
    elements
        In, stream of `logit_element`.
    words
        Out, stream of `result_word`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._bits = element_bits(config)
        super().__init__(
            {
                "elements": In(stream.Signature(logit_element(config))),
                "words": Out(stream.Signature(_result_word())),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        element, word = self.elements.payload, self.words.payload
        value = Signal(signed(self._bits))
        m.d.comb += [value.eq(element.value), word.last.eq(element.last), word.end.eq(element.end)]
        if self._bits == BUS_WORD_BITS:
            m.d.comb += [
                word.word.eq(value),
                self.words.valid.eq(self.elements.valid),
                self.elements.ready.eq(self.words.ready),
            ]
            return m
        low = Signal.like(element.value)  # the first of a pair
        half = Signal()
        complete = half | element.last
        extended = Signal(signed(self._bits))
        m.d.comb += [
            extended.eq(low),
            word.word.eq(Mux(half, Cat(extended, value), value.as_unsigned())),
            self.words.valid.eq(self.elements.valid & complete),
            self.elements.ready.eq(self.words.ready | ~complete),
        ]
        with m.If(self.elements.valid & self.elements.ready):
            m.d.sync += [half.eq(~complete), low.eq(element.value)]
        return m


class ListSplitter(wiring.Component):
    """Splits best-N lists into pieces of equal width: words of the register window, or beats.

    Elements are class, score, class, score, ..., best first; the last piece is filled up with 0.

    Parameters
    ----------
    bits
        Width of a piece, a multiple of the width of an element.

    Attributes
    ----------
    lists
        In, stream of `best_list`.
    parts
        Out, stream of data [bits], last, end.
    """

    def __init__(self, config: AcceleratorConfig, best: int, bits: int) -> None:
        self._element_bits = element_bits(config)
        self._best = best
        self._bits = bits
        layout = data.StructLayout({"data": bits, "last": 1, "end": 1})
        super().__init__(
            {
                "lists": In(stream.Signature(best_list(config, best))),
                "parts": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        part = self.parts.payload
        count = -(-2 * self._best * self._element_bits // self._bits)
        whole = Signal(count * self._bits)
        elements = data.View(
            data.ArrayLayout(signed(self._element_bits), len(whole) // self._element_bits), whole
        )
        for k in range(self._best):
            entry = self.lists.payload.entries[k]
            m.d.comb += [elements[2 * k].eq(entry.index), elements[2 * k + 1].eq(entry.score)]
        m.d.comb += [
            part.end.eq(self.lists.payload.end),
            self.parts.valid.eq(self.lists.valid),
            self.lists.ready.eq(self.parts.ready & part.last),
        ]
        if count == 1:
            m.d.comb += [part.data.eq(whole), part.last.eq(1)]
            return m
        place = Signal(range(count))
        m.d.comb += [
            part.data.eq(whole.word_select(place, self._bits)),
            part.last.eq(place == count - 1),
        ]
        with m.If(self.parts.valid & self.parts.ready):
            m.d.sync += place.eq(Mux(part.last, 0, place + 1))
        return m


class WordBuffer(wiring.Component):
    """A queue of words: a memory, and its read register as the word that waits in front.

    A place is never read in the clock in which it is written, so any block memory will do.

    Parameters
    ----------
    depth
        Words of the memory, a power of two.

    Attributes
    ----------
    input, output
        In, Out, streams of `result_word`.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        super().__init__(
            {
                "input": In(stream.Signature(_result_word())),
                "output": Out(stream.Signature(_result_word())),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        width = Value.cast(self.input.payload).shape().width
        m.submodules.words = words = memory.Memory(
            shape=unsigned(width),
            depth=self._depth,
            init=[],
            attrs={"no_rw_check": 1},  # or yosys builds logic for a case that does not occur
        )
        write_port, read_port = words.write_port(), words.read_port()
        bits = (self._depth - 1).bit_length()
        # One bit more than an address: equal pointers are empty, opposite ones full.
        written, read = Signal(bits + 1), Signal(bits + 1)
        fetch = Signal()
        m.d.comb += [
            self.input.ready.eq((written ^ read) != self._depth),
            write_port.addr.eq(written[:bits]),
            write_port.data.eq(self.input.payload),
            write_port.en.eq(self.input.valid & self.input.ready),
            fetch.eq((written != read) & (~self.output.valid | self.output.ready)),
            read_port.addr.eq(read[:bits]),
            read_port.en.eq(fetch),
            self.output.payload.eq(read_port.data),
        ]
        with m.If(write_port.en):
            m.d.sync += written.eq(written + 1)
        with m.If(fetch):
            m.d.sync += [read.eq(read + 1), self.output.valid.eq(1)]
        with m.Elif(self.output.ready):
            m.d.sync += self.output.valid.eq(0)
        return m


class Results(wiring.Component):
    """Everything between the core's logits and what a host gets: beats, or words that wait.

    Parameters
    ----------
    best
        Entries of the best-N list; 0: none is built.
    streams
        Build the way out by beats.
    depth
        Words that wait.

    Attributes
    ----------
    logits
        In, stream of `logit_beat`.
    by_registers, best_mode
        In, MODE; change only while `busy` and the core's are low.
    words
        Out, stream of data, last, end: results by registers.
    beats
        Out, stream of `result_beat`: results by the stream (with `streams`).
    busy
        Out, a best-N list is finished and not out yet.
    blocked
        Out, results wait and are not taken.
    """

    def __init__(self, config: AcceleratorConfig, best: int, streams: bool, depth: int) -> None:
        self._config = config
        self._best = best
        self._streams = streams
        self._buffer = WordBuffer(depth)
        ports = {
            "logits": In(stream.Signature(logit_beat(config))),
            "by_registers": In(1),
            "best_mode": In(1),
            "words": Out(stream.Signature(_result_word())),
            "busy": Out(1),
            "blocked": Out(1),
        }
        if streams:
            ports["beats"] = Out(stream.Signature(result_beat(config)))
        super().__init__(ports)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self._config
        m.submodules.buffer = buffer = self._buffer
        m.submodules.serialiser = serialiser = LogitSerialiser(config)
        m.submodules.packer = packer = ElementPacker(config)
        elements = serialiser.elements
        connect(m, buffer.output, flipped(self.words))
        direct = Signal()  # the core's beats leave as they are
        held = Signal()
        m.d.comb += [
            serialiser.beats.payload.eq(self.logits.payload),
            serialiser.beats.valid.eq(self.logits.valid & ~direct),
            self.logits.ready.eq(serialiser.beats.ready),
            packer.elements.payload.eq(elements.payload),
            self.blocked.eq((buffer.input.valid & ~buffer.input.ready) | held),
        ]
        if self._best:
            m.submodules.best = best = BestN(config, self._best)
            self._choose_words(m, elements, packer, best)
        else:
            m.d.comb += [
                packer.elements.valid.eq(elements.valid),
                elements.ready.eq(packer.elements.ready),
            ]
            connect(m, packer.words, buffer.input)
        if self._streams:
            self._send_logits(m, direct, held)
            if self._best:
                self._send_lists(m, best)
        return m

    def _choose_words(
        self, m: Module, elements: stream.Interface, packer: ElementPacker, best: BestN
    ) -> None:
        """Logits to the packer or to the best-N list, and the words of either to the buffer."""
        config, buffer = self._config, self._buffer
        m.submodules.list_words = list_words = ListSplitter(config, self._best, BUS_WORD_BITS)
        m.d.comb += [
            self.busy.eq(best.result.valid),
            best.elements.payload.eq(elements.payload),
            best.elements.valid.eq(elements.valid & self.best_mode),
            packer.elements.valid.eq(elements.valid & ~self.best_mode),
            elements.ready.eq(Mux(self.best_mode, best.elements.ready, packer.elements.ready)),
            list_words.lists.payload.eq(best.result.payload),
            list_words.lists.valid.eq(best.result.valid & self.by_registers),
            best.result.ready.eq(list_words.lists.ready),
            buffer.input.payload.eq(
                Mux(
                    self.best_mode,
                    list_words.parts.payload.as_value(),
                    packer.words.payload.as_value(),
                )
            ),
            buffer.input.valid.eq(Mux(self.best_mode, list_words.parts.valid, packer.words.valid)),
            list_words.parts.ready.eq(buffer.input.ready),
            packer.words.ready.eq(buffer.input.ready),
        ]

    def _send_logits(self, m: Module, direct: Signal, held: Signal) -> None:
        """The core's beats onto the stream, when it is to carry logits."""
        logits, beat = self.logits, self.beats.payload
        with m.If(direct):
            m.d.comb += [
                self.beats.valid.eq(logits.valid),
                logits.ready.eq(self.beats.ready),
                beat.last.eq(logits.payload.last),
                beat.end.eq(logits.payload.end),
                *(
                    beat.elements[lane].eq(logits.payload.logits[lane])
                    for lane in range(self._config.output_lanes)
                ),
            ]
        m.d.comb += [
            direct.eq(~self.by_registers & ~self.best_mode),
            held.eq(self.beats.valid & ~self.beats.ready),
        ]

    def _send_lists(self, m: Module, best: BestN) -> None:
        """Best-N lists onto the stream, when it is to carry them."""
        config = self._config
        bits = config.output_lanes * element_bits(config)
        m.submodules.list_beats = list_beats = ListSplitter(config, self._best, bits)
        m.d.comb += [
            list_beats.lists.payload.eq(best.result.payload),
            list_beats.lists.valid.eq(best.result.valid & ~self.by_registers),
            list_beats.parts.ready.eq(self.beats.ready),
        ]
        with m.If(~self.by_registers):
            m.d.comb += best.result.ready.eq(list_beats.lists.ready)
            with m.If(self.best_mode):
                m.d.comb += [
                    self.beats.valid.eq(list_beats.parts.valid),
                    self.beats.payload.as_value().eq(list_beats.parts.payload),
                ]
