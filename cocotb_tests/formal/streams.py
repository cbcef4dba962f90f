# SPDX-License-Identifier: Apache-2.0
"""Streams lose, repeat and reorder nothing, whatever their reader does.

Producers and readers of `amaranth.lib.stream` keep one rule: what is offered stays, with its
payload, until it is taken. It is assumed of inputs and claimed of outputs.
"""

from __future__ import annotations

from amaranth.hdl import Array, Const, Mux, Signal, Value, signed
from amaranth.lib import data

from cocotb_tests.blocks.blocks import config as small_config
from cocotb_tests.formal.harness import Harness
from hw.config import AcceleratorConfig
from hw.core.pe import accumulators
from hw.core.stream_buffers import FeatureBuffer, OutputBuffer, feature_beat
from hw.schedule import Schedule
from hw.shell.features import FeatureWords

__all__ = ["feature_buffer", "feature_words", "kept", "output_buffer"]


def kept(h: Harness, valid: Value, ready: Value, payload: Value) -> Value:
    """Whether what was offered and not taken in the clock before still stands there."""
    payload = Value.cast(payload)
    return ~h.past(valid & ~ready) | (valid & (payload == h.past(payload)))


def output_buffer(config: AcceleratorConfig) -> Harness:
    """Any captures, at any time, and any reader; one beat and lane of each group is watched."""
    h = Harness()
    m = h.m
    schedule = Schedule(config)
    m.submodules.buffer = buffer = OutputBuffer(config, schedule)
    lanes, width, bits = config.lanes, config.output_lanes, config.acc_bits
    full = 2 * lanes // width
    least = schedule.group_beats(schedule.groups - 1)
    capture, capture_last = h.free("capture", 1), h.free("capture_last", 1)
    capture_end, ready = h.free("capture_end", 1), h.free("ready", 1)
    acc = h.free("acc", data.ArrayLayout(accumulators(config), 2))
    h.drive(buffer, capture=capture, capture_last=capture_last, capture_end=capture_end)
    h.drive(buffer, acc=acc, stream__ready=ready)
    payload, valid = buffer.stream.payload, buffer.stream.valid

    # What the watched beat must hold in the watched lane, as architecture.md says.
    beat, lane = h.constant("watched_beat", range(full)), h.constant("watched_lane", range(width))
    h.assume(beat < full, lane < width)
    place = h.named("watched_place", beat * width + lane)

    def due(low: list[Value], high: list[Value], is_last: Value) -> Value:
        """The watched logit of a group: of a pair from either half, of the odd tile both."""
        pair = Array([*low, *high])[place]
        if not schedule.odd_tile:
            return pair
        zeros = [Const(0, signed(bits))] * lanes
        both = Array([*low, *zeros])[place] + Array([*high, *zeros])[place]
        return Mux(is_last, both, pair)[:bits].as_signed()

    accepted = h.named("accepted", capture & ~buffer.stall)
    taken = h.named("taken", valid & ready)
    is_open, last, end = Signal(), Signal(), Signal()
    expected = Signal(signed(bits))
    sent, size = Signal(range(full + 1)), Signal(range(full + 1))
    final = h.named("final", sent == size - 1)
    with m.If(taken):
        m.d.sync += sent.eq(sent + 1)
        with m.If(final):
            m.d.sync += is_open.eq(0)
    with m.If(accepted):
        m.d.sync += [
            is_open.eq(1),
            last.eq(capture_last),
            end.eq(capture_end),
            sent.eq(0),
            size.eq(Mux(capture_last, least, full)),
            expected.eq(due(*([acc[b][j] for j in range(lanes)] for b in range(2)), capture_last)),
        ]

    logit = Array(payload.logits[j] for j in range(width))[lane]
    h.claim("a beat is offered until the group is out, and no longer", valid == is_open)
    h.claim("no group is taken before the last one is out", ~accepted | ~is_open | (taken & final))
    h.claim(
        "a capture waits only for beats that are left",
        buffer.stall == (capture & is_open & ~(taken & final)),
    )
    h.claim(
        "the logits of each beat, in order",
        ~valid | (sent != beat) | (beat >= size) | (logit == expected),
    )
    h.claim("last with the last beat of the last group", ~valid | (payload.last == (last & final)))
    h.claim("the group's end flag with every beat", ~valid | (payload.end == end))
    h.claim("an offered beat stays", kept(h, valid, ready, payload))

    held = [buffer.data[j] for j in range(2 * lanes)]
    h.claim(
        "invariant: the buffer is at the group's beat",
        ~is_open
        | (
            (buffer.beat == sent)
            & (buffer.last_group == last)
            & (buffer.end == end)
            & (size == Mux(last, least, full))
            & (sent < size)
        ),
    )
    h.claim(
        "invariant: the buffer holds the group",
        ~is_open | (expected == due(held[:lanes], held[lanes:], last)),
    )
    h.cover("groups one behind the other", accepted & taken & final)
    h.cover("a beat waits, and a capture with it", buffer.stall & h.past(buffer.stall))
    h.cover("the last group's last beat", taken & payload.last & payload.end)
    return h


def feature_buffer(config: AcceleratorConfig) -> Harness:
    """Any beats at any time; one feature of each frame is watched."""
    h = Harness()
    m, n = h.m, config.n_input
    m.submodules.buffer = buffer = FeatureBuffer(config)
    valid, done = h.free("valid", 1), h.free("done", 1)
    beat = h.free("beat", feature_beat(config))
    h.drive(buffer, stream__valid=valid, stream__payload=beat, done=done)
    h.assume(~done | buffer.full)  # done ends a frame that is running
    watched = h.constant("watched", range(n))
    h.assume(watched < n)
    taken = h.named("taken", valid & buffer.stream.ready)
    count = Signal(range(n + 1))
    expected, start, end = Signal(signed(8)), Signal(), Signal()
    with m.If(taken):
        m.d.sync += [count.eq(count + 1), start.eq(beat.start), end.eq(beat.end)]
        with m.If(count == watched):
            m.d.sync += expected.eq(beat.value)
    with m.If(done):
        m.d.sync += count.eq(0)
    complete = h.named("complete", count == n)
    h.claim("a beat is taken unless a whole frame is held", buffer.stream.ready == ~complete)
    h.claim("full says that a frame is held", buffer.full == complete)
    h.claim(
        "each feature in its place",
        (count <= watched) | (Array(buffer.features[i] for i in range(n))[watched] == expected),
    )
    h.claim(
        "the flags of the frame's last beat",
        ~complete | ((buffer.next_start == start) & (buffer.next_end == end)),
    )
    h.claim("invariant: the count", Mux(complete, buffer.count == 0, buffer.count == count))
    h.claim("invariant: no more than a frame", count <= n)
    again = Signal()
    m.d.sync += again.eq(again | done)
    h.cover("a second frame", again & complete)
    h.cover("a frame that ends an utterance", buffer.full & buffer.next_end & ~buffer.next_start)
    return h


def feature_words(most: int) -> Harness:
    """Any words at any time, any reader, frames of any length up to `most`."""
    h = Harness()
    m = h.m
    m.submodules.words = adapter = FeatureWords(small_config(n_input=most))
    length = h.constant("length", range(most + 1))
    h.assume(length >= 1, length <= most)
    valid, word, ready = h.free("valid", 1), h.free("word", 32), h.free("ready", 1)
    start, end = h.free("start", 1), h.free("end", 1)
    place = Signal(range(most))  # of the next feature in its frame
    begins, ends = h.named("begins", place == 0), h.named("ends", place == length - 1)
    h.drive(adapter, words__valid=valid, words__payload=word, features__ready=ready)
    h.drive(adapter, start=start, end=end, frame_begins=begins, frame_ends=ends)
    offered, feature = adapter.features.valid, adapter.features.payload
    accepted = h.named("accepted", valid & adapter.words.ready)
    taken = h.named("taken", offered & ready)
    byte = h.constant("watched_byte", range(4))
    left = Signal(range(5))  # features of the word that are still to come
    number = Signal(range(5))  # which byte of the word is next
    expected, started, ended = Signal(8), Signal(), Signal()
    rest = h.named("rest", length - place)  # features that the frame lacks when a word comes
    with m.If(taken):
        m.d.sync += [place.eq(Mux(ends, 0, place + 1)), left.eq(left - 1), number.eq(number + 1)]
    with m.If(accepted):
        m.d.sync += [
            left.eq(Mux(rest < 4, rest, 4)),
            number.eq(0),
            expected.eq(word.word_select(byte, 8)),
        ]
        with m.If(begins):
            m.d.sync += [started.eq(start), ended.eq(end)]
    h.claim("a feature is offered until the word is out, and no longer", offered == (left != 0))
    h.claim("no word is taken before the last one is out", ~accepted | (left == 0))
    h.claim("a word is taken as soon as the last one is out", adapter.words.ready == (left == 0))
    h.claim(
        "the bytes of a word, lowest first",
        ~offered | (number != byte) | (feature.value == expected.as_signed()),
    )
    h.claim(
        "the flags at the frame's first word",
        ~offered | ((feature.start == started) & (feature.end == ended)),
    )
    h.claim("an offered feature stays", kept(h, offered, ready, feature))
    h.cover("a frame that ends within a word", taken & ends & (number == 1) & (length > 4))
    return h
