# SPDX-License-Identifier: Apache-2.0
"""Reading files that a user names: regular ones, of a sane size, that nest no deeper than they may.

A file of another kind could hold the program up for ever (a pipe that nobody writes), fill the
memory (/dev/zero) or break the parser (a million brackets); each is refused in one line.
"""

import io
import json
import math
import os
import re
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from hw.errors import PlosiveError

__all__ = [
    "MOST_BYTES",
    "MOST_LEVELS",
    "InputError",
    "open_regular",
    "parse_arrays",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_text",
    "read_toml",
]

MOST_BYTES = 16 << 20
"""What a text file may hold unless its reader says otherwise."""

MOST_LEVELS = 32
"""How deep lists and tables may stand in each other; our own files stay below 10."""

_Path = str | os.PathLike[str]

# tomllib takes time and memory with the square of the length of a dotted key. No key in use has
# more than four parts.
_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"(?<![\w-])(?:{_PART}[ \t]*\.[ \t]*){{{MOST_LEVELS}}}")


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class InputError(PlosiveError):
    """A file that a user named cannot be used; the message has its path.

    Attributes
    ----------
    reason
        The message without the path.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def _unreadable(path: _Path, reason: str) -> InputError:
    return InputError(f"cannot read {path}: {reason}", reason)


def open_regular(path: _Path, most_bytes: int) -> BinaryIO:
    """Open a regular file that has at most `most_bytes`, for reading.

    Raises
    ------
    InputError
        There is none, it cannot be opened, it is of another kind, or it is larger.
    """
    try:
        # Opening a pipe or a device can already block or act, so its kind is asked for first.
        _check_status(path, Path(path).stat(), most_bytes)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb")
        try:
            _check_status(path, os.fstat(descriptor), most_bytes)  # it may have been replaced
        except BaseException:
            file.close()
            raise
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from error
    return file


def _check_status(path: _Path, found: os.stat_result, most_bytes: int) -> None:
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise _unreadable(path, f"not a file but {name}")
    if found.st_size > most_bytes:
        raise _unreadable(path, _too_large(most_bytes))


def _too_large(most_bytes: int) -> str:
    return f"has more than the {most_bytes:,} bytes that are read at most"


def read_bytes(path: _Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a regular file.

    Raises
    ------
    InputError
        It cannot be read, is not a regular file, or has more than `most_bytes`.
    """
    with open_regular(path, most_bytes) as file:
        try:
            data = file.read(most_bytes + 1)
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from error
    if len(data) > most_bytes:  # files in /proc say that they have 0
        raise _unreadable(path, _too_large(most_bytes))
    return data


def read_text(path: _Path, *, most_bytes: int = MOST_BYTES) -> str:
    """The content of a regular file of UTF-8 text; a byte-order mark is left out.

    Raises
    ------
    InputError
        As for `read_bytes`, or it is not UTF-8.
    """
    data = read_bytes(path, most_bytes=most_bytes)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 text: byte {error.start} is wrong"
        raise InputError(f"{path}: {reason}", reason) from error


def read_json(path: _Path, *, most_bytes: int = MOST_BYTES) -> Any:
    """The value in a JSON file.

    Raises
    ------
    InputError
        As for `read_text`, or for what `parse_json` refuses.
    """
    return _parsed(path, "JSON", parse_json, read_text(path, most_bytes=most_bytes))


def read_toml(path: _Path, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The table in a TOML file; `inf` and `nan` are numbers of TOML and come through.

    Raises
    ------
    InputError
        As for `read_text`, or it is not TOML or nests too deep.
    """
    return _parsed(path, "TOML", _parse_toml, read_text(path, most_bytes=most_bytes))


def parse_arrays(data: bytes, most_bytes: int = MOST_BYTES) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, whose sizes are checked before any is made.

    A few bytes can claim to hold any number of values: compressed, or in an array's header.

    Raises
    ------
    ValueError
        It is not such a file, an array's header is wrong, or all have more than `most_bytes`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > most_bytes:
                raise ValueError(f"its arrays have more than {most_bytes:,} bytes")
            for member in members:
                with archive.open(member) as file:
                    _check_array(member, file)
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            return dict(held)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(str(error)) from error


def _check_array(member: zipfile.ZipInfo, file: IO[bytes]) -> None:
    """Refuse an array that has not as many bytes as its header says."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"{member.filename} is of another version: {version}")
    shape, _, dtype = readers[version](file)
    size = math.prod(shape) * dtype.itemsize
    whole = min(shape, default=0) >= 0 and file.tell() + size == member.file_size
    if dtype.hasobject or not whole:
        raise ValueError(f"{member.filename} has not the bytes that its header says")


def parse_json(text: str) -> Any:
    r"""The value of a JSON text, more strictly than Python's own parser.

    Refused are also NaN and infinity, by name or as a number that is too large, a key that an
    object has twice, and halves of characters (`"\\ud800"`), which no file can hold.

    Raises
    ------
    ValueError
        It is not JSON, or nests deeper than `MOST_LEVELS`.
    """
    try:
        value = json.loads(
            text,
            parse_float=_finite,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check_value(value)
    return value


_TOO_DEEP = f"lists and tables stand in each other more than {MOST_LEVELS} deep"


def _parse_toml(text: str) -> dict[str, Any]:
    if _LONG_KEY.search(text):
        raise ValueError(_TOO_DEEP)
    try:
        value = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check_value(value)
    return value


def _parsed(path: _Path, kind: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        reason = f"it is not {kind}: {error}"
        raise InputError(f"{path}: {reason}", reason) from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice[:40]!r} stands twice in an object")
    return found


def _check_value(value: Any) -> None:
    """Refuse what nests too deep, and text with halves of characters."""
    items, levels = [value], 0
    while items:
        for item in items:
            if isinstance(item, str) and not _is_text(item):
                raise ValueError(f"the text {item[:40]!r} holds half a character")
        holders = [item for item in items if isinstance(item, (dict, list))]
        levels += bool(holders)
        if levels > MOST_LEVELS:
            raise ValueError(_TOO_DEEP)
        items = [entry for item in holders for entry in item]
        items += [entry for item in holders if isinstance(item, dict) for entry in item.values()]


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
