# SPDX-License-Identifier: Apache-2.0
"""Bytes of a serial line that no board should send: driver and reference stay on their feet.

The driver's decoder and the reference's, written apart from each other, must find the same packets
in any bytes; and a session with a device that says anything ends in its own errors, in finite time
of its own clock.
"""

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cocotb_tests.serial import serial_reference as reference
from flows.host.link import Link, LinkError, SlipDecoder, SpeedError

BYTES = st.lists(
    st.sampled_from([b"\xc0", b"\xdb", b"\xdc", b"\xdd", b"\xdb\xdc", b"\xdb\xdd", b"\x00"])
    | st.binary(max_size=6),
    max_size=30,
).map(b"".join)


@settings(max_examples=300)
@given(BYTES, st.lists(st.integers(0, 200), max_size=5))
def test_both_decoders_find_the_same_packets_in_any_bytes(line, cuts):
    decoder, found, start = SlipDecoder(), [], 0
    for cut in [*sorted(cuts), len(line)]:
        found += decoder.feed(line[start:cut])
        start = max(start, min(cut, len(line)))
    # An END behind a lone ESC: the reference passes over it, the driver counts a broken packet.
    whole = [packet for packet in found if packet is not None]
    assert whole == [packet for packet in reference.unframe(line) if packet is not None]


@settings(max_examples=300)
@given(st.binary(max_size=600))
def test_every_packet_comes_back_from_both_decoders(content):
    line = reference.frame(content)
    expected = [content] if content else []
    assert list(reference.unframe(line)) == expected
    if len(content) <= 500:
        assert SlipDecoder().feed(line) == expected


def test_noise_without_an_end_takes_no_memory():
    decoder = SlipDecoder()
    for _ in range(100):
        assert decoder.feed(b"x" * 10_000) == []
    assert len(decoder._content) < 10_000
    assert decoder.feed(b"\xc0" + reference.frame(b"abcd")) == [None, b"abcd"]


@settings(max_examples=300)
@given(
    st.binary(max_size=40)
    | st.builds(
        lambda a, b, c, words: reference.request(a, b, c, words),
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 65535),
        st.lists(st.integers(0, 2**32 - 1), max_size=130),
    )
)
def test_the_reference_answers_or_drops_any_packet(content):
    board = reference.Board(lambda _: 1, lambda *_: True, (0, 0))
    board.take(reference.request(1, reference.HELLO))
    answer = board.take(content)
    if answer is not None:
        (inner,) = reference.unframe(answer)
        reference.Answer.parse(inner)


class Clock:
    """Time that goes on by what is waited for."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.now += seconds


class Device:
    """A port whose device answers each packet with what a list says, over and over.

    An entry is raw bytes, or words of an answer that fits the request.
    """

    name = "port"
    baudrate = 0
    timeout = 0.05

    def __init__(self, clock: Clock, answers: list) -> None:
        self._clock, self._answers, self._ready, self._count = clock, answers, b"", 0

    @property
    def in_waiting(self) -> int:
        return len(self._ready)

    def reset_input_buffer(self) -> None:
        self._ready = b""

    def write(self, data: bytes) -> int:
        self._clock.now += 0.001
        packets = [content for content in reference.unframe(data) if content]
        answer = self._answers[self._count % len(self._answers)] if self._answers else b""
        self._count += 1
        if isinstance(answer, bytes):
            self._ready += answer
        elif packets and len(packets[-1]) >= 2:
            status, words = answer
            head = bytes([packets[-1][0], packets[-1][1] & 7 | 0x80, status, len(words) & 255])
            body = head + struct.pack(f"<{len(words)}I", *words)
            self._ready += reference.frame(reference.packet(body))
        return len(data)

    def read(self, size: int) -> bytes:
        data, self._ready = self._ready[:size], self._ready[size:]
        if not data:
            self._clock.now += self.timeout
        return data


WORDS = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 0x18107E01, 2**32 - 1, 12_000_000])
ANSWERS = st.lists(
    BYTES | st.tuples(st.integers(0, 4), st.lists(WORDS, max_size=4)), min_size=1, max_size=6
)
FORMS = st.builds(lambda high: high << 8 | 1, st.integers(0, 2**24 - 1))
GREETING = st.tuples(st.just(0), st.tuples(FORMS, WORDS, WORDS).map(list))


def check_session(answers: list) -> None:
    clock = Clock()
    try:
        link = Link(Device(clock, answers), clock=clock)
        link.connect(1_000_000)
        link.greet()
    except (LinkError, SpeedError) as error:
        assert "\n" not in str(error)  # noqa: PT017
    assert clock.now < 600


@settings(max_examples=150)
@given(
    ANSWERS
    | st.lists(GREETING, min_size=1, max_size=2)
    | st.tuples(GREETING, ANSWERS).map(lambda parts: [parts[0], *parts[1]])
)
@example([(0, [0x18107E01, 0, 0])])  # a clock of 0 Hz
@example([(0, [0x18100001, 12_000_000, 0])])  # packets of no words
def test_a_session_with_any_device_ends_in_a_line(answers):
    check_session(answers)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(st.tuples(GREETING, ANSWERS).map(lambda parts: [parts[0], *parts[1]]))
def test_many_sessions_with_any_device_end_in_a_line(answers):
    check_session(answers)
