# SPDX-License-Identifier: Apache-2.0
"""The host's side of the serial protocol (docs/serial-protocol.md), over any pyserial port.

A request is sent with the same sequence number until it is answered, so each is carried out exactly
once, whatever the cable loses. What goes wrong is counted in `Link.statistics`; what cannot be
mended is a `LinkError` of one line.
"""

from __future__ import annotations

import random
import struct
import termios
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from hw.errors import PlosiveError

__all__ = [
    "DEFAULT_BAUD",
    "BusError",
    "Hello",
    "Link",
    "LinkError",
    "SlipDecoder",
    "SpeedError",
    "Statistics",
]

DEFAULT_BAUD = 115_200
PROTOCOL_VERSION = 1

_END, _ESC, _ESC_END, _ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
_HELLO, _ECHO, _READ, _WRITE, _BAUD, _READ_FIXED, _WRITE_FIXED = 0, 1, 2, 3, 4, 6, 7
_OK, _BUS_ERROR, _BAD_REQUEST, _NO_SESSION = range(4)
_ANSWER = 0x80
_SAME_SESSION = 1  # HELLO's address: begin no session
# Makes the board drop a packet that another host left without its END: an END would carry it out.
_FORGET = bytes([_ESC, _END])
_TRIES = 10
_GREETING_S = 2.0  # at most, before the other speed is tried
_FRAME_BYTES = 2 * 512 + 2  # the longest packet with every byte escaped
_MOST_WORDS = 126

# What pyserial lets through where a port goes away: its own error is an OSError; TypeError comes of
# a port that another thread or a signal has closed.
_PORT_ERRORS = (OSError, ValueError, TypeError, termios.error)

T = TypeVar("T")


class LinkError(PlosiveError):
    """The board cannot be reached, or was lost: what happened, in one line."""


class SpeedError(LinkError):
    """The board's clock or the port cannot be set to a speed; nothing was changed."""


class BusError(PlosiveError):
    """The board refused an access; `count` words before it were done."""

    def __init__(self, what: str, address: int, count: int) -> None:
        super().__init__(f"the board refuses to {what} address {address:#06x}")
        self.address = address
        self.count = count


@dataclass
class Statistics:
    """What a link has gone through; all counts.

    Attributes
    ----------
    requests
        Requests carried out.
    retries
        Packets sent again.
    broken
        Packets received with a wrong CRC or form.
    stale
        Answers to earlier tries, which were ignored.
    speed_losses
        Falls to the default speed.
    sent, received
        Bytes sent and received.
    """

    requests: int = 0
    retries: int = 0
    broken: int = 0
    stale: int = 0
    speed_losses: int = 0
    sent: int = 0
    received: int = 0

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True)
class Hello:
    """What a board says of its link: protocol, longest packet in words, clock, time that a speed
    holds without packets, and its count of dropped packets (modulo 2**16).
    """

    version: int
    max_words: int
    phase_bits: int
    hold_bits: int
    clock_hz: int
    dropped: int

    @property
    def hold_s(self) -> float:
        return 2**self.hold_bits / self.clock_hz

    def step(self, baud: int) -> int:
        """The speed step of a speed.

        Raises
        ------
        SpeedError
            The board's clock is too slow for it, or misses it by more than 1 %.
        """
        step = round(baud * 2**self.phase_bits / self.clock_hz)
        error = step * self.clock_hz / 2**self.phase_bits / baud - 1
        if not 1 <= step <= 2 ** (self.phase_bits - 2) or abs(error) > 0.01:
            raise SpeedError(
                f"--baud is {baud}: the board's clock of {self.clock_hz / 1e6:g} MHz allows "
                f"{self.clock_hz // 4} at most"
            )
        return step


@dataclass(frozen=True)
class _Request:
    """A packet, its sequence number and operation, and the bytes of the longest answer to it."""

    packet: bytes
    sequence: int
    op: int
    answer_bytes: int


@dataclass(frozen=True)
class _Answer:
    sequence: int
    op: int
    status: int
    count: int
    words: tuple[int, ...]


class SlipDecoder:
    """Bytes of a line into packets; a packet that is not well formed is None."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._escaped = False
        self._broken = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Packets that end in these bytes."""
        packets: list[bytes | None] = []
        for byte in data:
            if byte == _END:
                if self._broken or self._escaped:
                    packets.append(None)
                elif self._content:
                    packets.append(bytes(self._content))
                self._content.clear()
                self._escaped = self._broken = False
            elif self._escaped:
                self._escaped = False
                if byte in (_ESC_END, _ESC_ESC):
                    self._content.append(_END if byte == _ESC_END else _ESC)
                else:
                    self._broken = True
            elif byte == _ESC:
                self._escaped = True
            elif len(self._content) < _FRAME_BYTES:
                self._content.append(byte)
            else:
                self._broken = True  # noise without an END must not fill the memory
        return packets


def _framed(content: bytes) -> bytes:
    stuffed = content.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
    return b"\xc0" + stuffed + b"\xc0"


class Link:
    """Requests to a board.

    Parameters
    ----------
    port
        An open pyserial port, or what has its `read`, `write`, `in_waiting`, `baudrate`, `timeout`,
        `name` and `reset_input_buffer`. Its timeout is set.
    timeout_s
        Seconds without an answer after which a request is sent again.
    clock
        The time that the port lives in: has `monotonic` and `sleep`, as the module `time`.

    Attributes
    ----------
    hello
        What the board said when the session began.
    statistics
        Counts of this link.
    """

    def __init__(self, port: Any, *, timeout_s: float = 1.0, clock: Any = time) -> None:
        self.port = port
        self.clock = clock
        self.timeout_s = timeout_s
        self.statistics = Statistics()
        self.hello: Hello | None = None
        self._decoder = SlipDecoder()
        self._sequence = random.randrange(256)
        self._wanted = DEFAULT_BAUD
        self._own_echo = False
        # Reads return what there is; waiting is done here, in pieces that notice an unplugged port.
        self._guarded(lambda: setattr(port, "timeout", min(0.05, timeout_s)))

    # ---- the session ---------------------------------------------------------------------

    def connect(self, baud: int = DEFAULT_BAUD, *, patience_s: float | None = None) -> Hello:
        """Begin a session and go to a speed, or stay at the default one if the cable is too bad.

        A host that was killed may have left the board at its speed, so both are tried.

        Raises
        ------
        LinkError
            Nobody answers, or not with this protocol.
        """
        patience_s = 5 * self.timeout_s if patience_s is None else patience_s
        deadline = self.clock.monotonic() + patience_s
        speeds = list(dict.fromkeys((DEFAULT_BAUD, baud)))
        self._guarded(self.port.reset_input_buffer)
        attempt = 0
        while True:
            self._speed(speeds[attempt % len(speeds)])
            request = self._request(_HELLO)
            request = replace(request, packet=_FORGET + request.packet)
            answer = self._try(request, min(self.timeout_s, _GREETING_S))
            attempt += 1
            if answer is not None:
                break
            if self.clock.monotonic() > deadline and attempt >= len(speeds):
                raise LinkError(f"{self.name}: {self._silence(self.statistics.broken)}")
        self.hello = self._read_hello(answer)
        self._wanted = self.baud
        if baud != self.baud:
            self.set_baud(baud)
        return self.hello

    def _read_hello(self, answer: _Answer) -> Hello:
        if len(answer.words) != 3 or answer.words[0] & 0xFF != PROTOCOL_VERSION:
            version = answer.words[0] & 0xFF if answer.words else None
            raise LinkError(
                f"{self.name}: the board speaks version {version} of the protocol, this program "
                f"version {PROTOCOL_VERSION}"
            )
        form, clock, counts = answer.words
        hello = Hello(
            version=form & 0xFF,
            max_words=min(form >> 8 & 0xFF, _MOST_WORDS),
            phase_bits=form >> 16 & 0xFF,
            hold_bits=form >> 24,
            clock_hz=clock,
            dropped=counts & 0xFFFF,
        )
        if not (hello.max_words and hello.phase_bits and clock and hello.hold_bits <= 64):
            raise LinkError(
                f"{self.name}: the board says that its clock has {clock} Hz, its packets "
                f"{hello.max_words} words, and its counters of speed {hello.phase_bits} and "
                f"{hello.hold_bits} bits: no board has"
            )
        return hello

    def greet(self) -> Hello:
        """The board's present count of dropped packets, within the session.

        Raises
        ------
        LinkError
            No answer; the board was reset.
        """
        self.hello = self._read_hello(self._exchange(_HELLO, _SAME_SESSION))
        return self.hello

    def set_baud(self, baud: int) -> bool:
        """Change the speed and try it; False if the board had to return to the default speed.

        Raises
        ------
        SpeedError
            The board's clock or the port does not allow the speed.
        LinkError
            The board no longer answers, or was reset.
        """
        assert self.hello is not None, "connect first"
        step = self.hello.step(baud)
        before = self.baud
        if baud == before:
            return True
        self._speed(baud)  # before the board goes where the port cannot follow
        self._speed(before)
        self._wanted = baud
        self._exchange(_BAUD, step, speeds=(before, baud, DEFAULT_BAUD))
        self._speed(baud)
        sample = [random.getrandbits(32) for _ in range(8)]
        request = self._request(_ECHO, 0, sample)
        for _ in range(3):
            answer = self._try(request)
            if answer is not None and list(answer.words) == sample:
                return True
        self._fall_back()
        return False

    def _fall_back(self) -> None:
        """Go back to the default speed together with the board, which needs some time."""
        assert self.hello is not None
        self.statistics.speed_losses += 1
        self._wanted = DEFAULT_BAUD
        self._speed(DEFAULT_BAUD)
        self.clock.sleep(min(2.0, self.hello.hold_s))
        self._exchange(_ECHO)  # no HELLO: a board that was reset meanwhile must say so

    # ---- requests --------------------------------------------------------------------------

    def echo(self, words: Sequence[int]) -> list[int]:
        """Words to the board and back, at most `hello.max_words`."""
        return list(self._exchange(_ECHO, 0, words).words)

    def read(self, address: int, count: int = 1) -> list[int]:
        """Words at address, address + 4, ...

        Raises
        ------
        BusError
            The board has none there.
        """
        words: list[int] = []
        while len(words) < count:
            now = min(count - len(words), self.most_words)
            place = address + 4 * len(words)
            answer = self._exchange(_READ, place, [now])
            words += answer.words
            if answer.status == _BUS_ERROR:
                raise BusError("read", place + 4 * answer.count, len(words))
        return words

    def write(self, address: int, words: Sequence[int]) -> None:
        """Words to address, address + 4, ...

        Raises
        ------
        BusError
            The board refuses one.
        """
        for start in range(0, len(words), self.most_words):
            place = address + 4 * start
            answer = self._exchange(_WRITE, place, words[start : start + self.most_words])
            if answer.status == _BUS_ERROR:
                raise BusError("write", place + 4 * answer.count, start + answer.count)

    def read_fixed(self, address: int, count: int) -> list[int]:
        """Words of one address, as many as there are, `count` at most."""
        words: list[int] = []
        while len(words) < count:
            answer = self._exchange(
                _READ_FIXED, address, [min(count - len(words), self.most_words)]
            )
            words += answer.words
            if answer.status == _BUS_ERROR:
                break
        return words

    def write_fixed(self, address: int, words: Sequence[int]) -> int:
        """Words to one address, until the board refuses one for long; how many it took."""
        done = 0
        while done < len(words):
            answer = self._exchange(_WRITE_FIXED, address, words[done : done + self.most_words])
            done += answer.count
            if answer.status == _BUS_ERROR:
                break
        return done

    @property
    def most_words(self) -> int:
        """Data words of the longest packet."""
        assert self.hello is not None, "connect first"
        return self.hello.max_words

    @property
    def baud(self) -> int:
        """The speed of the line now."""
        return self.port.baudrate

    @property
    def name(self) -> str:
        """Name of the port, for messages."""
        return getattr(self.port, "name", None) or "the port"

    # ---- packets ---------------------------------------------------------------------------

    def _request(self, op: int, address: int = 0, words: Sequence[int] = ()) -> _Request:
        """A new request, with the next sequence number."""
        self._sequence = (self._sequence + 1) % 256
        body = struct.pack(f"<BBH{len(words)}I", self._sequence, op, address & 0xFFFF, *words)
        packet = _framed(body + struct.pack("<I", zlib.crc32(body)))
        if op in (_READ, _READ_FIXED):
            answer_words = words[0]
        else:
            answer_words = {_HELLO: 3, _ECHO: len(words)}.get(op, 0)
        return _Request(packet, self._sequence, op, 2 * (8 + 4 * answer_words) + 2)

    def _exchange(
        self,
        op: int,
        address: int = 0,
        words: Sequence[int] = (),
        *,
        speeds: tuple[int, ...] | None = None,
    ) -> _Answer:
        """Carry out one request, exactly once.

        Raises
        ------
        LinkError
            No answer in all tries; the board was reset.
        """
        request = self._request(op, address, words)
        broken = self.statistics.broken
        speeds = tuple(dict.fromkeys(speeds or (self.baud, DEFAULT_BAUD)))
        for attempt in range(_TRIES):
            if attempt:
                self.statistics.retries += 1
            if attempt >= 2:  # the board, or this side, may have lost the speed
                self._speed(speeds[(attempt // 2) % len(speeds)])
            answer = self._try(request)
            if answer is not None:
                break
        else:
            raise LinkError(f"{self.name}: {self._silence(self.statistics.broken - broken)}")
        if answer.status == _NO_SESSION:
            raise LinkError(
                f"{self.name}: the board was reset or lost power in the middle of the work; "
                "start again"
            )
        if answer.status == _BAD_REQUEST:
            raise LinkError(f"{self.name}: the board does not know operation {op}")
        self.statistics.requests += 1
        if self.baud != self._wanted and op != _BAUD:
            self.statistics.speed_losses += 1
            if not self.set_baud(self._wanted):
                self._wanted = DEFAULT_BAUD
        return answer

    def _try(self, request: _Request, timeout_s: float | None = None) -> _Answer | None:
        """Send once, and wait for the answer; None if none came in time."""
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        self.statistics.sent += len(request.packet)
        self._guarded(lambda: self.port.write(request.packet))
        line_s = 10 * (len(request.packet) + request.answer_bytes) / self.baud
        deadline = self.clock.monotonic() + timeout_s + line_s
        while True:
            data = self._guarded(lambda: self.port.read(max(1, self.port.in_waiting)))
            self.statistics.received += len(data)
            found = None
            for content in self._decoder.feed(data):
                answer = self._parse(content)
                if answer is not None and (answer.sequence, answer.op) == (
                    request.sequence,
                    request.op,
                ):
                    found = answer
                elif answer is not None:
                    self.statistics.stale += 1
            if found is not None:
                return found
            late_s = self.clock.monotonic() - deadline
            # A port that never falls silent must not hold the driver for ever.
            if late_s > 4 * timeout_s or (not data and late_s > 0):
                return None

    def _parse(self, content: bytes | None) -> _Answer | None:
        whole = content is not None and len(content) >= 8 and len(content) % 4 == 0
        if not whole or struct.pack("<I", zlib.crc32(content[:-4])) != content[-4:]:
            self.statistics.broken += 1
            return None
        sequence, op, status, count = content[:4]
        if not op & _ANSWER:
            self._own_echo = True
            return None
        words = struct.unpack(f"<{len(content) // 4 - 2}I", content[4:-4])
        return _Answer(sequence, op & 0x7F, status, count, words)

    def _silence(self, broken: int) -> str:
        """Why nothing may have come, from what did come: so many damaged packets among others."""
        if self._own_echo:
            return (
                "the port returns what is sent: its receive and transmit lines are joined, or "
                "crossed at the board"
            )
        if broken:
            return (
                f"no answer that can be read ({broken} damaged packets): a bad "
                "cable, or another speed; try a lower --baud"
            )
        if self.hello is not None:
            return "the board no longer answers: was it reset, unpowered or programmed anew?"
        if self.statistics.received:
            return "bytes come, but no packet: this is another device, or another bitstream"
        return (
            "no answer: is the board powered, programmed with a Plosive bitstream, and is this "
            "its serial port?"
        )

    def _speed(self, baud: int) -> None:
        before = self.baud
        if baud == before:
            return
        try:
            self._guarded(lambda: setattr(self.port, "baudrate", baud))
        except LinkError as error:
            if not isinstance(error.__cause__, ValueError):
                raise
            self._guarded(lambda: setattr(self.port, "baudrate", before))
            raise SpeedError(f"--baud is {baud}: {self.name} cannot be set to it") from error

    def _guarded(self, action: Callable[[], T]) -> T:
        """Do something with the port; a port that went away is one line."""
        try:
            return action()
        except _PORT_ERRORS as error:
            reason = getattr(error, "strerror", None) or (error.args or [type(error).__name__])[-1]
            raise LinkError(f"{self.name}: the connection was lost ({reason})") from error
