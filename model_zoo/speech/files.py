# SPDX-License-Identifier: Apache-2.0
"""Opening what a user names: regular files of a sane size, read whole, and quoted briefly."""

import os

from golden_model.files import reading
from hw.errors import PlosiveError

__all__ = [
    "MOST_SOUND_BYTES",
    "MOST_TEXT_BYTES",
    "FileError",
    "decode_text",
    "quoted",
    "read_bytes",
    "read_text",
]

MOST_SOUND_BYTES = 2**30
"""Largest sound file that is opened: two hours of 16 kHz float samples take half of it."""

MOST_TEXT_BYTES = 2**24
"""Largest file of labels or sentences: the labels of two hours of speech take a sixteenth of it."""


class FileError(PlosiveError, ValueError):
    """A file that cannot be used; the message is the reason, callers put the path before it."""


def quoted(text: str, most: int = 80) -> str:
    """A user's text for a message: its `repr`, with "..." behind it where it was cut.

    Parameters
    ----------
    text
        A text of any length, with any characters.
    most
        Characters between the quotation marks.
    """
    kept = text[:most]
    while kept and len(repr(kept)) > most + 2:  # escapes of control characters are longer
        kept = kept[:-1]
    return repr(kept) + "..." * (kept != text)


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a regular file.

    Parameters
    ----------
    path
        Nothing but a regular file is opened: a pipe would block, a device may have no end.
    most
        Bytes that it may have.

    Raises
    ------
    FileError
        The file is missing, of another kind, larger than `most`, or may not be read.
    """
    try:
        return reading.read_bytes(path, most_bytes=most)
    except reading.InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise FileError("no such file") from None
        opened = error.__cause__ is None
        raise FileError(error.reason if opened else f"cannot be opened ({error.reason})") from error


def decode_text(content: bytes, utf_16: bool = False) -> str:
    """Text of UTF-8, with or without a byte order mark.

    Parameters
    ----------
    content
        The whole file.
    utf_16
        Take UTF-16, too, by its byte order mark.

    Raises
    ------
    FileError
        It is not that.
    """
    wide = utf_16 and content.startswith((b"\xff\xfe", b"\xfe\xff"))
    encoding, name = ("utf-16", "UTF-16") if wide else ("utf-8-sig", "UTF-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileError(f"byte {error.start} is not {name}; it must be text") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, see `read_bytes` and `decode_text`."""
    return decode_text(read_bytes(path, MOST_TEXT_BYTES))
