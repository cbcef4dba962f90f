# SPDX-License-Identifier: Apache-2.0
"""The record of a demo that `plosive demo` saves for `plosive report`: figures and arrays.

In the build folder `demo.json` holds the figures and `demo.npz` the arrays that are drawn. The JSON
has the SHA-256 of the arrays, so files of two different runs are never shown as one.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from flows.figures import Figures, FiguresError
from flows.speech.figures import DemoFigures
from golden_model.files import reading
from golden_model.files.escape import shell_path
from golden_model.files.writing import atomic_write
from hw.errors import PlosiveError

__all__ = ["Record", "read", "read_figures", "read_json", "write"]

_FIGURES = "demo.json"
_ARRAYS = "demo.npz"
_DIGEST = "arrays_sha256"
_MOST_BYTES = 64 << 20  # the demo runs 3 s of speech, which take less than 1 MB


_Kind = TypeVar("_Kind", bound=Figures)


@dataclass(frozen=True)
class Record:
    """Figures and arrays of one demo.

    Attributes
    ----------
    figures
        The figures that `plosive demo --json` prints.
    arrays
        "log_mel" [frames, bands] float32, "posteriors" [frames, phones] float32, and per layer
        "spikes_0", ... [frames, T, n] uint8. Frame 0 is the first frame of the recording.
    """

    figures: DemoFigures
    arrays: dict[str, np.ndarray]


def write(folder: Path, record: Record) -> None:
    """Save a record in a folder, replacing an earlier one.

    Raises
    ------
    PlosiveError
        The folder cannot be written.
    """
    held = io.BytesIO()
    np.savez_compressed(held, **record.arrays)
    digest = hashlib.sha256(held.getvalue()).hexdigest()
    atomic_write(folder / _ARRAYS, held.getvalue())
    text = json.dumps({**record.figures.to_dict(), _DIGEST: digest}, indent=1)
    atomic_write(folder / _FIGURES, text.encode() + b"\n")


def read(folder: Path) -> Record:
    """Read the record in a folder.

    Raises
    ------
    PlosiveError
        There is none, or its files are damaged or belong to two runs.
    """
    path = folder / _FIGURES
    if not path.is_file():
        raise PlosiveError(
            f"{folder}: there is no {_FIGURES}; "
            f"`plosive demo --build {shell_path(folder)}` leaves one"
        )
    values = read_json(path)
    arrays = folder / _ARRAYS
    data = reading.read_bytes(arrays, most_bytes=_MOST_BYTES)
    if hashlib.sha256(data).hexdigest() != values.get(_DIGEST):
        raise PlosiveError(f"{arrays}: it is damaged, or of another run than {path}; run the demo")
    figures = _figures(path, values, DemoFigures, "plosive demo")
    try:
        return Record(figures, reading.parse_arrays(data, _MOST_BYTES))
    except ValueError as error:
        raise PlosiveError(f"{arrays}: it holds no arrays: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    PlosiveError
        The file cannot be read, is not JSON, or holds something else.
    """
    value = reading.read_json(path, most_bytes=_MOST_BYTES)
    if not isinstance(value, dict):
        raise PlosiveError(f"{path}: it is not a JSON object")
    return value


def read_figures(path: Path, kind: type[_Kind], writer: str) -> _Kind:
    """The figures in a JSON file, which the command `writer` writes.

    Raises
    ------
    PlosiveError
        The file cannot be read, or holds something else.
    """
    return _figures(path, read_json(path), kind, writer)


def _figures(path: Path, values: dict[str, Any], kind: type[_Kind], writer: str) -> _Kind:
    try:
        return kind.from_dict(values)
    except FiguresError as error:
        raise PlosiveError(
            f"{path}: it is damaged or of another version of Plosive ({error}); "
            f"run `{writer}` again"
        ) from error
