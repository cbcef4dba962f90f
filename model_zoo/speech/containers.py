# SPDX-License-Identifier: Apache-2.0
"""How much sound a file's header promises, and how much is there.

libsndfile reads what is there and does not say that the rest is missing. Here the chunks of WAV
(RIFF, RIFX, RF64), Wave64, AIFF, AU and SPHERE files and the pages of Ogg files are followed,
without decoding any sound.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = ["Extent", "State", "examine", "sphere_compression", "with_size"]

_UNKNOWN_FROM = 0x7FFF_F000
"""Data sizes from here on say "not known yet": sox writes 7FFFF000 into a pipe, arecord 80000000,
ffmpeg FFFFFFFF. A file that holds as much has that size."""

_RIFF = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<"}
_OGG_HEADER = 27
_OGG_LAST = 4
_SPHERE_FIELD = re.compile(rb"^(\w+) -(?:i|r|s\d+) (.*)$", re.MULTILINE)


class State(Enum):
    """What a header's promise is worth.

    `WHOLE`: all is there. `CUT`: some is missing. `UNKNOWN`: the header was written before the
    length was known. `UNFINISHED`: it says 0 bytes, but sound follows: nobody closed the file.
    """

    WHOLE = "whole"
    CUT = "cut"
    UNKNOWN = "unknown"
    UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Extent:
    """The sound in a file, without decoding it.

    Attributes
    ----------
    state
        What the header's promise is worth.
    promised
        Bytes of sound by the header; None where its format does not say (Ogg).
    there
        Bytes of sound in the file.
    bytes_per_second
        Bytes that a second of sound takes; 0 where the header does not say.
    size_fields
        In a WAV file, place and `struct` format of the sizes of file and sound, for
        `with_size`.
    """

    state: State
    promised: int | None
    there: int
    bytes_per_second: int = 0
    size_fields: tuple[tuple[int, str], ...] = ()

    def __str__(self) -> str:
        if self.promised is None:
            return "its last Ogg page is missing"
        promised, there = self._amount(self.promised), self._amount(self.there)
        return f"its header promises {promised} of sound, {there} are there"

    def _amount(self, count: int) -> str:
        seconds = f" ({count / self.bytes_per_second:.2f} s)" if self.bytes_per_second else ""
        return f"{count:,} bytes{seconds}"


def examine(content: bytes) -> Extent | None:
    """The extent of the sound in a file, or None where its format is another or has none.

    Parameters
    ----------
    content
        The whole file.
    """
    try:
        if content[:4] in _RIFF and content[8:12] == b"WAVE":
            return _wave(content)
        if content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
            return _aiff(content)
        if content[:4] == b"riff" and content[24:28] == b"wave":
            return _wave64(content)
        if content[:4] == b".snd":
            return _au(content)
        if content[:7] == b"NIST_1A":
            return _sphere(content)
        if content[:4] == b"OggS":
            return _ogg(content)
    except struct.error:  # the header itself is cut
        return None
    return None


def _judged(promised: int, there: int, **more: object) -> Extent:
    if promised <= there:
        return Extent(State.WHOLE, promised, promised, **more)
    state = State.UNKNOWN if promised >= _UNKNOWN_FROM else State.CUT
    return Extent(state, promised, there, **more)


def _chunks(content: bytes, order: str, first: int = 12) -> Iterator[tuple[bytes, int, int, int]]:
    """Chunks of a RIFF or AIFF file: name, place of the size, place of the content, size."""
    place = first
    while place + 8 <= len(content):
        (size,) = struct.unpack_from(f"{order}I", content, place + 4)
        yield content[place : place + 4], place + 4, place + 8, size
        place += 8 + size + size % 2


def _wave(content: bytes) -> Extent | None:
    order = _RIFF[content[:4]]
    long_size_at = long_size = bytes_per_second = 0
    for name, size_at, begin, size in _chunks(content, order):
        if name == b"ds64":
            long_size_at = begin + 8
            (long_size,) = struct.unpack_from("<Q", content, long_size_at)
        elif name == b"fmt ":
            (bytes_per_second,) = struct.unpack_from(f"{order}I", content, begin + 8)
        elif name == b"data":
            there = len(content) - begin
            fields = ((4, f"{order}I"), (size_at, f"{order}I"))
            if content[:4] == b"RF64" and size == 0xFFFF_FFFF and long_size_at:
                size, fields = long_size, ((long_size_at - 8, "<Q"), (long_size_at, "<Q"))
            more = {"bytes_per_second": bytes_per_second, "size_fields": fields}
            if size == 0 and there and not _is_chunks(content, order, begin):
                return Extent(State.UNFINISHED, 0, there, **more)
            return _judged(size, there, **more)
    return None


def _is_chunks(content: bytes, order: str, first: int) -> bool:
    """Whether a file's rest is chunks (LIST, bext, ...) and not sound."""
    place = first
    for name, _, begin, size in _chunks(content, order, first):
        if not re.fullmatch(rb"[A-Za-z][A-Za-z0-9_ ]{3}", name):
            return False
        place = begin + size + size % 2
    return first < place and place - len(content) in (0, 1)  # the last pad byte may be missing


def _aiff(content: bytes) -> Extent | None:
    for name, _, begin, size in _chunks(content, ">"):
        if name == b"SSND":  # its first 8 bytes are offset and block size
            return _judged(max(size - 8, 0), max(len(content) - begin - 8, 0))
    return None


def _wave64(content: bytes) -> Extent | None:
    place, bytes_per_second = 40, 0
    while place + 24 <= len(content):
        (size,) = struct.unpack_from("<Q", content, place + 16)
        name, begin = content[place : place + 4], place + 24
        if name == b"fmt ":
            (bytes_per_second,) = struct.unpack_from("<I", content, begin + 8)
        if name == b"data":
            there = len(content) - begin
            return _judged(max(size - 24, 0), there, bytes_per_second=bytes_per_second)
        place += max(24, (size + 7) // 8 * 8)
    return None


def _au(content: bytes) -> Extent:
    begin, size = struct.unpack_from(">II", content, 4)
    return _judged(size, max(len(content) - begin, 0))


def _sphere_fields(content: bytes) -> dict[bytes, bytes]:
    head = content[:4096].partition(b"end_head")[0]
    return {name: value.strip() for name, value in _SPHERE_FIELD.findall(head)}


def _sphere(content: bytes) -> Extent | None:
    fields = _sphere_fields(content)
    try:
        begin = int(content[8:16])
        count, channels, width, rate = (
            int(fields[name])
            for name in (b"sample_count", b"channel_count", b"sample_n_bytes", b"sample_rate")
        )
    except (KeyError, ValueError):
        return None
    if min(begin, count, channels, width, rate) < 1:
        return None
    frame = channels * width
    return _judged(count * frame, max(len(content) - begin, 0), bytes_per_second=rate * frame)


def sphere_compression(content: bytes) -> str | None:
    """What a SPHERE file's samples are compressed with ("shorten"); None if with nothing."""
    if not content.startswith(b"NIST_1A"):
        return None
    found = re.search(rb"embedded-(shorten|wavpack|shortpack)", content[:4096])
    if found is not None:
        return found.group(1).decode()
    return "shorten" if content[1024:1028] == b"ajkg" else None


def _ogg(content: bytes) -> Extent:
    """Follow the pages: the last one of a whole file is marked as the last of its stream."""
    place, flags = 0, 0
    while content[place : place + 4] == b"OggS" and place + _OGG_HEADER <= len(content):
        segments = content[place + 26]
        body = place + _OGG_HEADER + segments
        end = body + sum(content[place + _OGG_HEADER : body])
        if end > len(content):
            return Extent(State.CUT, None, len(content))
        flags, place = content[place + 5], end
    state = State.WHOLE if flags & _OGG_LAST else State.CUT
    return Extent(state, None, len(content))


def with_size(content: bytes, extent: Extent) -> bytes:
    """A WAV file with the sizes in its header that it has, where they were not known before."""
    repaired = bytearray(content)
    sizes = (min(len(content) - 8, 0xFFFF_FFFF), extent.there)
    for (place, form), size in zip(extent.size_fields, sizes, strict=True):
        struct.pack_into(form, repaired, place, size)
    return bytes(repaired)
