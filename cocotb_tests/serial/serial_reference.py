# SPDX-License-Identifier: Apache-2.0
"""The serial protocol in plain Python, written from docs/serial-protocol.md alone.

Independent of `hw.shell.serial_bridge` and of `flows.host.link`: the benches of both compare with
it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Answer", "Board", "frame", "packet", "request", "unframe", "words_of"]

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
HELLO, ECHO, READ, WRITE, BAUD, READ_FIXED, WRITE_FIXED = 0, 1, 2, 3, 4, 6, 7
OK, BUS_ERROR, BAD_REQUEST, NO_SESSION = range(4)
MOST_WORDS = 126
MOST_BYTES = 512

_STUFFED = {END: bytes([ESC, ESC_END]), ESC: bytes([ESC, ESC_ESC])}


def frame(content: bytes) -> bytes:
    """A packet as it goes over the line, ENDs around it."""
    return bytes([END]) + b"".join(_STUFFED.get(b, bytes([b])) for b in content) + bytes([END])


def unframe(line: bytes) -> Iterator[bytes | None]:
    """What is between ENDs; None where an ESC stands before a wrong byte. Left out: nothing, and
    a lone ESC.
    """
    for chunk in line.split(bytes([END]))[:-1]:
        if chunk in (b"", bytes([ESC])):
            continue
        content, rest = bytearray(), iter(chunk)
        broken = False
        for byte in rest:
            if byte == ESC:
                byte = {ESC_END: END, ESC_ESC: ESC}.get(next(rest, None))
            if byte is None:
                broken = True
                break
            content.append(byte)
        yield None if broken else bytes(content)


def packet(body: bytes) -> bytes:
    """A body with its CRC."""
    return body + struct.pack("<I", zlib.crc32(body))


def request(sequence: int, op: int, address: int = 0, words: Sequence[int] = ()) -> bytes:
    """A request with its CRC, not framed."""
    return packet(struct.pack(f"<BBH{len(words)}I", sequence, op, address, *words))


def words_of(data: bytes) -> list[int]:
    """Bytes as words."""
    return list(struct.unpack(f"<{len(data) // 4}I", data))


@dataclass(frozen=True)
class Answer:
    """An answer taken apart."""

    sequence: int
    op: int
    status: int
    count: int
    words: list[int]

    @classmethod
    def parse(cls, content: bytes) -> Answer:
        """Of a packet without its framing; an assertion fails if it is not well formed."""
        assert len(content) >= 8, f"an answer of {len(content)} bytes"
        assert len(content) % 4 == 0, f"an answer of {len(content)} bytes"
        body, crc = content[:-4], content[-4:]
        assert struct.pack("<I", zlib.crc32(body)) == crc, f"the answer {content.hex()} has no CRC"
        sequence, op, status, count = body[:4]
        assert op & 0x80, f"operation {op:#x} of an answer"
        return cls(sequence, op & 0x7F, status, count, words_of(body[4:]))


@dataclass
class Board:
    """What a board does with packets.

    Attributes
    ----------
    read : the word at an address, or None if it is refused.
    write : whether a word was taken; for WRITE_FIXED, after as much patience as there is.
    hello : word 0 and word 1 of the answer to HELLO.
    """

    read: Callable[[int], int | None]
    write: Callable[[int, int, bool], bool]
    hello: tuple[int, int]
    dropped: int = 0
    session: bool = False
    sequence: int | None = None
    kept: bytes = b""
    step: int | None = None
    executed: list[int] = field(default_factory=list)

    def take(self, content: bytes | None) -> bytes | None:
        """The answer to what stood between two ENDs, framed, or None if it is dropped."""
        if (
            content is None
            or not 8 <= len(content) <= MOST_BYTES
            or len(content) % 4
            or packet(content[:-4]) != content
        ):
            self.dropped += 1
            return None
        sequence, op, address = struct.unpack("<BBH", content[:4])
        words = words_of(content[4:-4])
        begins = op == HELLO and not address & 1
        if self.session and not begins and sequence == self.sequence:
            return self.kept
        self.sequence = sequence
        status, count, data = self._execute(op, address, words)
        body = struct.pack(f"<BBBB{len(data)}I", sequence, op & 7 | 0x80, status, count, *data)
        self.kept = frame(packet(body))
        return self.kept

    def _execute(self, op: int, address: int, words: list[int]) -> tuple[int, int, list[int]]:
        if op == HELLO and not address & 1:
            self.session = True
        if not self.session:
            return NO_SESSION, 0, []
        if op == HELLO:
            return OK, 3, [*self.hello, self.dropped % 2**16]
        if op == ECHO:
            return OK, len(words), words
        if op == BAUD:
            self.step = address
            return OK, 0, []
        if op in (READ, READ_FIXED):
            return self._read(address, words[0] & 0xFF if words else 0, 4 * (op == READ))
        if op in (WRITE, WRITE_FIXED):
            for count, word in enumerate(words):
                if not self.write(address % 2**16, word, op == WRITE_FIXED):
                    return BUS_ERROR, count, []
                address += 4 * (op == WRITE)
            return OK, len(words), []
        return BAD_REQUEST, 0, []

    def _read(self, address: int, number: int, stride: int) -> tuple[int, int, list[int]]:
        if number > MOST_WORDS:
            return BAD_REQUEST, 0, []
        data: list[int] = []
        while len(data) < number:
            word = self.read((address + stride * len(data)) % 2**16)
            if word is None:
                return BUS_ERROR, len(data), data
            data.append(word)
        return OK, len(data), data
