# SPDX-License-Identifier: Apache-2.0
"""Phone labels out of Praat's TextGrids, in their long or short text form."""

import math
import os
import re
from typing import Any

from model_zoo.data.labels import Label
from model_zoo.speech.audio import SAMPLE_RATE
from model_zoo.speech.files import MOST_TEXT_BYTES, FileError, decode_text, quoted, read_bytes

__all__ = ["textgrid_labels"]

_TIER = re.compile(r"(.* - )?phones?", re.IGNORECASE)
"""Tiers that hold phones; the Montreal Forced Aligner's are named "speaker - phones"."""

_OBJECT = re.compile(r'\A\s*(?:File type = )?"ooTextFile[^"]*"\s+(?:Object class = )?"([^"]*)"')
_HEAD = 400
_MOST_SECONDS = 1e7
_SAVE = "save it in Praat with Save as text file"


def textgrid_labels(path: str | os.PathLike[str], tier: str | None = None) -> tuple[Label, ...]:
    """Labels of a TextGrid's tier of phones.

    Parameters
    ----------
    path
        A TextGrid in UTF-8 or UTF-16.
    tier
        Its name; None takes the one interval tier named "phones", "phone" or "SPEAKER - phones" in
        any case, else the only interval tier.

    Raises
    ------
    FileError
        The file cannot be read, is of another of Praat's forms or kinds, or has no such tier.
    ImportError
        The package praatio is missing.
    """
    _check_kind(read_bytes(path, MOST_TEXT_BYTES))
    found = _chosen(_tiers(path), tier)
    return tuple((_sample(start), _sample(end), label) for start, end, label in found.entries)


def _check_kind(content: bytes) -> None:
    """Name the forms and kinds of Praat's files that are not read."""
    if content.startswith(b"ooBinaryFile"):
        raise FileError(f"is a binary Praat file; {_SAVE}")
    head = decode_text(content, utf_16=True)[:_HEAD]
    if "Praat chronological TextGrid" in head:
        raise FileError(f"is a chronological TextGrid; {_SAVE}")
    if head.lstrip().startswith("{"):  # praatio's own form
        return
    kind = _OBJECT.match(head)
    if kind is None:
        raise FileError(
            f"is no TextGrid: it begins with {quoted(head.partition(chr(10))[0], 40)}, not with "
            "'File type = \"ooTextFile\"'"
        )
    if kind.group(1) != "TextGrid":
        raise FileError(f"is a Praat {quoted(kind.group(1), 40)}, not a TextGrid; {_SAVE}")


def _tiers(path: str | os.PathLike[str]) -> list[Any]:
    try:
        from praatio import textgrid
    except ImportError as error:
        raise ImportError(
            "reading TextGrids needs the package praatio (pip install plosive[train])"
        ) from error
    try:
        grid = textgrid.openTextgrid(
            os.fspath(path), includeEmptyIntervals=True, reportingMode="silence"
        )
        return list(grid.tiers)
    except Exception as error:  # a damaged file raises whatever the library's parser stumbles on
        reason = " ".join(str(error).split()) or type(error).__name__
        shown = reason if len(reason) <= 120 else f"{reason[:120]}..."
        raise FileError(f"cannot be read as a TextGrid ({shown})") from error


def _chosen(tiers: list[Any], wanted: str | None) -> Any:
    intervals = [tier for tier in tiers if type(tier).__name__ == "IntervalTier"]
    if wanted is not None:
        found = [tier for tier in intervals if tier.name == wanted]
        if not found:
            raise FileError(
                f"has no interval tier {quoted(wanted, 40)}; it has {_names(intervals)}"
            )
        return found[0]
    chosen = [tier for tier in intervals if _TIER.fullmatch(tier.name)] or intervals
    if len(chosen) != 1:
        raise FileError(
            f"has the interval tiers {_names(intervals)}; it must have one, or one named 'phones', "
            "unless --tier says which"
        )
    return chosen[0]


def _names(tiers: list[Any]) -> str:
    shown = ", ".join(quoted(tier.name, 20) for tier in tiers[:5])
    return f"[{shown}{', ...' * (len(tiers) > 5)}]"


def _sample(seconds: float) -> int:
    if not (math.isfinite(seconds) and abs(seconds) < _MOST_SECONDS):
        raise FileError(f"has the time {seconds!r}; it must be seconds of the recording")
    return round(seconds * SAMPLE_RATE)
