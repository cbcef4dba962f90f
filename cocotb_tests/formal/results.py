# SPDX-License-Identifier: Apache-2.0
"""Results on their way out: no logit, word or beat is lost, repeated, reordered or changed."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed

from cocotb_tests.formal.harness import Harness
from cocotb_tests.formal.streams import kept
from hw.config import AcceleratorConfig
from hw.core.stream_buffers import logit_beat
from hw.shell.axi import ResultOutput
from hw.shell.best import best_list, logit_element
from hw.shell.bus import BUS_WORD_BITS
from hw.shell.registers import element_bits
from hw.shell.results import (
    ElementPacker,
    ListSplitter,
    LogitSerialiser,
    WordBuffer,
    result_beat,
)

__all__ = [
    "element_packer",
    "list_splitter",
    "logit_serialiser",
    "queue_places",
    "queue_words",
    "result_output",
]


def logit_serialiser(config: AcceleratorConfig) -> Harness:
    """Any beats, as the core sends them, and any reader."""
    h = Harness()
    m, n, lanes = h.m, config.n_output, config.output_lanes
    m.submodules.serialiser = serialiser = LogitSerialiser(config)
    valid, ready = h.free("valid", 1), h.free("ready", 1)
    beat = h.free("beat", logit_beat(config))
    h.drive(serialiser, beats__valid=valid, beats__payload=beat, elements__ready=ready)
    h.assume(kept(h, valid, serialiser.beats.ready, beat))
    element, offered = serialiser.elements.payload, serialiser.elements.valid
    place, lane = Signal(range(n)), Signal(range(lanes))  # of the next logit in frame and beat
    taken = h.named("taken", offered & ready)
    done = h.named("done", valid & serialiser.beats.ready)
    ends = h.named("ends", (lane == lanes - 1) | (place == n - 1))
    with m.If(taken):
        m.d.sync += [
            place.eq(Mux(place == n - 1, 0, place + 1)),
            lane.eq(Mux(ends, 0, lane + 1)),
        ]
    h.claim("a logit is offered while a beat is", offered == valid)
    h.claim("a beat is taken with the last logit that it has", done == (taken & ends))
    h.claim("the logits of a beat, in order", element.value == beat.logits[lane])
    h.claim("each with its index", element.index == place)
    h.claim("last with the frame's last", element.last == (place == n - 1))
    h.claim("the beat's end flag", element.end == beat.end)
    h.claim("an offered logit stays", kept(h, offered, ready, element))
    h.claim("invariant: no place beyond the frame", place < n)
    h.claim("invariant: the lane is that of the place", lane == place % lanes)
    h.cover("a beat within a frame", done & ~element.last)
    return h


def element_packer(config: AcceleratorConfig) -> Harness:
    """Any logits and any reader; frames of any length."""
    h = Harness()
    m = h.m
    m.submodules.packer = packer = ElementPacker(config)
    valid, ready = h.free("valid", 1), h.free("ready", 1)
    element = h.free("element", logit_element(config))
    h.drive(packer, elements__valid=valid, elements__payload=element, words__ready=ready)
    h.assume(kept(h, valid, packer.elements.ready, element))
    bits = element_bits(config)
    per_word = BUS_WORD_BITS // bits
    word, offered = packer.words.payload, packer.words.valid
    accepted = h.named("accepted", valid & packer.elements.ready)
    taken = h.named("taken", offered & ready)
    value = Signal(signed(bits), name="value")  # as numerics.md: signed, whatever the width
    m.d.comb += value.eq(element.value)
    second = Signal() if per_word == 2 else Const(0, 1)
    before = Signal(bits)
    whole = Cat(before, value) if per_word == 2 else value.as_unsigned()
    if per_word == 2:
        with m.If(accepted):
            m.d.sync += [second.eq(~second & ~element.last), before.eq(value)]
    completes = h.named("completes", element.last | second if per_word == 2 else Const(1, 1))
    h.claim("a word is offered with the logit that completes it", offered == (valid & completes))
    h.claim(
        "a logit is taken with its word, or waits for none",
        packer.elements.ready == (ready | ~completes),
    )
    h.claim("no word without its logit", taken == (accepted & completes))
    h.claim(
        "the logits of a word, lowest first, the rest 0",
        ~offered | (word.word == Mux(second, whole, value.as_unsigned())),
    )
    h.claim("last and end", ~offered | ((word.last == element.last) & (word.end == element.end)))
    h.claim("an offered word stays", kept(h, offered, ready, word))
    h.cover("a word of one negative logit", taken & ~second & (value < 0))
    h.cover("a frame's last word", taken & second & word.last if per_word == 2 else taken)
    return h


def list_splitter(config: AcceleratorConfig, best: int, bits: int) -> Harness:
    """Any lists and any reader."""
    h = Harness()
    m = h.m
    m.submodules.splitter = splitter = ListSplitter(config, best, bits)
    valid, ready = h.free("valid", 1), h.free("ready", 1)
    given = h.free("list", best_list(config, best))
    h.drive(splitter, lists__valid=valid, lists__payload=given, parts__ready=ready)
    h.assume(kept(h, valid, splitter.lists.ready, given))
    width = element_bits(config)
    per_part = bits // width
    count = -(-2 * best // per_part)
    part, offered = splitter.parts.payload, splitter.parts.valid
    taken = h.named("taken", offered & ready)
    sent = Signal(range(count + 1))
    final = h.named("final", sent == count - 1)
    with m.If(taken):
        m.d.sync += sent.eq(Mux(final, 0, sent + 1))
    elements: list[Value] = []
    for k in range(best):
        pair = Signal(signed(width), name=f"class_{k}"), Signal(signed(width), name=f"score_{k}")
        m.d.comb += [pair[0].eq(given.entries[k].index), pair[1].eq(given.entries[k].score)]
        elements += pair
    elements += [Const(0, signed(width))] * (count * per_part - 2 * best)
    parts = [Cat(elements[per_part * i : per_part * (i + 1)]) for i in range(count)]
    h.claim("a part is offered while a list is", offered == valid)
    h.claim("a list is taken with its last part", (valid & splitter.lists.ready) == (taken & final))
    h.claim("the parts in order", ~offered | (part.data == Array(parts)[sent]))
    h.claim("last and end", ~offered | ((part.last == final) & (part.end == given.end)))
    h.claim("an offered part stays", kept(h, offered, ready, part))
    h.claim("invariant: no part beyond the list", sent < count)
    h.cover("a list after a list", taken & (sent == 0) & h.past(taken & part.last))
    return h


class _ProbedBuffer(WordBuffer):
    """A queue that also shows its memory at the place `probe`, and what it does with it."""

    def __init__(self, depth: int) -> None:
        super().__init__(depth)
        self.probe, self.front, self.back = (Signal(range(depth)) for _ in range(3))
        self.fetch = Signal()
        self.probed = Signal(len(Value.cast(self.input.payload)))

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        words = m.submodules.words
        port = words.read_port(domain="comb")
        m.d.comb += [
            port.addr.eq(self.probe),
            self.probed.eq(port.data),
            self.front.eq(words.read_ports[0].addr),
            self.back.eq(words.write_ports[0].addr),
            self.fetch.eq(words.read_ports[0].en),
        ]
        return m


def _queue(depth: int) -> tuple[Harness, _ProbedBuffer, dict[str, Value], dict[str, Value]]:
    """A queue with any words and any reader; its streams, and where its words are.

    The pointers have a bit more than an address, which no signal with a name shows: that the
    addresses and the two flags are as the number of words in the memory says is a theorem of its
    own (`queue_places`), and the other one builds on it.
    """
    h = Harness()
    m = h.m
    m.submodules.buffer = buffer = _ProbedBuffer(depth)
    valid, ready = h.free("valid", 1), h.free("ready", 1)
    word = h.free("word", len(Value.cast(buffer.input.payload)))
    h.drive(buffer, input__valid=valid, input__payload=word, output__ready=ready)
    accepted = h.named("accepted", valid & buffer.input.ready)
    taken = h.named("taken", buffer.output.valid & ready)
    inside = Signal(range(depth + 3))  # words that came and have not left
    m.d.sync += inside.eq(inside + accepted - taken)
    stored = h.named("stored", inside - buffer.output.valid)  # in the memory
    room = ~buffer.output.valid | ready  # for the word in front
    places = {
        "the memory holds what has not left": stored <= depth,
        "its ends are that far apart": ((buffer.back - buffer.front - stored) & (depth - 1)) == 0,
        "a word is taken while the memory has room": buffer.input.ready == (stored != depth),
        "a word is fetched while it has one": buffer.fetch == ((stored != 0) & room),
    }
    streams = {
        "word": word,
        "ready": ready,
        "accepted": accepted,
        "taken": taken,
        "inside": inside,
    }
    return h, buffer, places, streams


def queue_places(depth: int) -> Harness:
    """The number of words in the memory decides what the queue does."""
    h, buffer, places, _ = _queue(depth)
    for name, holds in places.items():
        h.claim(name, holds)
    h.cover("full", ~buffer.input.ready)
    return h


def queue_words(depth: int) -> Harness:
    """One word is marked as it comes, and must leave in its turn."""
    h, buffer, places, streams = _queue(depth)
    m = h.m
    h.assume(*places.values())
    word, inside = streams["word"], streams["inside"]
    accepted, taken = streams["accepted"], streams["taken"]
    offered, out = buffer.output.valid, Value.cast(buffer.output.payload)
    mark, bit = h.free("mark", 1), h.constant("watched_bit", range(len(word)))
    h.assume(bit < len(word))
    ahead = Signal(range(depth + 3))  # words before the marked one
    marked, expected = Signal(), Signal()
    with m.If(marked & taken):
        m.d.sync += [ahead.eq(ahead - 1), marked.eq(ahead != 0)]
    with m.Elif(~marked & accepted & mark):
        m.d.sync += [
            marked.eq(1),
            ahead.eq(inside - taken),
            expected.eq(word.bit_select(bit, 1)),
        ]
    m.d.comb += buffer.probe.eq(buffer.front + ahead - offered)
    first = (ahead == 0) & offered
    turn = marked & first
    h.claim("a word leaves in its turn, as it came", ~turn | (out.bit_select(bit, 1) == expected))
    h.claim("nothing leaves that did not come", ~offered | (inside != 0))
    h.claim("a word in front waits for a clock at most", offered | (inside == 0) | h.past(accepted))
    h.claim("an offered word stays", kept(h, offered, streams["ready"], out))
    h.claim(
        "invariant: the marked word is in its place",
        ~marked | ((ahead < inside) & (first | (buffer.probed.bit_select(bit, 1) == expected))),
    )
    h.cover("the marked word leaves a full queue", turn & taken & ~buffer.input.ready)
    return h


def result_output(config: AcceleratorConfig) -> Harness:
    """Any frames, any reader, soft resets at any time; one beat is marked as it comes."""
    h = Harness()
    m = h.m
    m.submodules.output = output = ResultOutput(config)
    valid, ready, abort = h.free("valid", 1), h.free("ready", 1), h.free("abort", 1)
    beat = h.free("beat", result_beat(config))
    h.drive(output, beats__valid=valid, beats__payload=beat, ready=ready, abort=abort)
    # A soft reset withdraws what its source offers: nothing else does.
    h.assume(h.past(abort) | kept(h, valid, output.beats.ready, beat))
    accepted = h.named("accepted", valid & output.beats.ready)
    taken = h.named("taken", output.valid & ready)
    out = Cat(output.elements, output.last, output.end, output.aborted)
    waiting = Signal()  # a beat that came and has not left
    expected = Signal(len(Value.cast(beat)))
    frame = Signal()  # the reader is within a frame
    m.d.sync += waiting.eq(accepted | (waiting & ~taken))
    with m.If(accepted):
        m.d.sync += expected.eq(beat)
    with m.If(taken):
        m.d.sync += frame.eq(~output.last)
    # A soft reset within a frame owes the reader one beat that ends it.
    inside = Signal()  # the last beat that came does not end its frame
    owed = Signal()
    with m.If(accepted):
        m.d.sync += inside.eq(~beat.last)
    now_inside = h.named("now_inside", Mux(accepted, ~beat.last, inside & ~owed))
    ends = Signal()  # the beat that ends it is placed
    m.d.comb += ends.eq(owed & (~output.valid | ready))
    with m.If(abort & now_inside):
        m.d.sync += owed.eq(1)
    with m.Elif(ends):
        m.d.sync += [owed.eq(0), inside.eq(0)]
    h.claim("each beat as it came", ~waiting | (out == Cat(expected, Const(0, 1))))
    h.claim("a beat that came is offered", ~waiting | output.valid)
    h.claim(
        "what did not come is the end of a frame that a soft reset cut",
        ~(output.valid & ~waiting)
        | (frame & output.aborted & output.last & ~output.end & (output.elements == 0)),
    )
    h.claim("no beat between the cut and its end", ~owed | ~accepted)
    h.claim("the end comes as soon as there is room", ~h.past(ends) | output.aborted)
    h.claim(
        "a beat is taken as soon as there is room",
        output.beats.ready == ((~output.valid | ready) & ~owed),
    )
    h.claim("an offered beat stays, also in a soft reset", kept(h, output.valid, ready, out))
    h.claim("valid waits for no ready", output.valid | ~h.past(accepted))
    h.cover("a cut frame's end is taken", taken & output.aborted)
    h.cover("a soft reset while a beat waits", abort & output.valid & ~ready & now_inside)
    h.cover("a frame of two", taken & output.last & frame & ~output.aborted)
    return h
