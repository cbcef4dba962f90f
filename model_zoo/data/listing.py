# SPDX-License-Identifier: Apache-2.0
"""The files of a folder of recordings, without what operating systems leave among them.

Not listed are hidden files and folders (`._a.wav`, in which macOS keeps a file's attributes on
disks of others, `.DS_Store`, `.Trash`...), `__MACOSX` of its zip files, Windows' `Thumbs.db` and
`desktop.ini`, and `@eaDir` of network disks.
"""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from model_zoo.speech.files import FileError

__all__ = ["Listing", "folders", "is_visible", "stem"]

_LEFTOVERS = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}


def is_visible(name: str) -> bool:
    """Whether a file or folder of that name is the user's own."""
    return not name.startswith(".") and name.lower() not in _LEFTOVERS


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, in the order of their names in lower case."""
    found = (p for p in folder.iterdir() if is_visible(p.name) and p.is_dir())
    return sorted(found, key=lambda p: (p.name.lower(), p.name))


def stem(path: Path) -> str:
    """A recording's name without its extension; `X.WAV.wav` is a copy of `X.WAV`: `X`."""
    inner = Path(path.stem)
    return inner.stem if inner.suffix.lower() == ".wav" else path.stem


class Listing:
    """The files of a folder, and which of them belong together.

    Attributes
    ----------
    files
        The files, ordered by path.
    """

    def __init__(self, folder: Path, deep: bool = True) -> None:
        """Look into a folder, and with `deep` into those below.

        Raises
        ------
        FileError
            One of them may not be read.
        """
        found: list[Path] = []
        for place, inner, names in os.walk(folder, onerror=_refuse):
            inner[:] = [name for name in inner if is_visible(name)] if deep else []
            found += [Path(place, name) for name in names if is_visible(name)]
        self.files = sorted(found)
        self._held = set(found)
        self._by_name: dict[tuple[Path, str, str], Path] = {}
        for path in self.files:
            key = (path.parent, path.stem.lower(), path.suffix.lower())
            self._by_name.setdefault(key, path)

    def with_extension(self, extensions: Collection[str]) -> Iterable[Path]:
        """The files with one of these extensions (lower case), in any case."""
        return (path for path in self.files if path.suffix.lower() in extensions)

    def partner(self, recording: Path, extension: str) -> Path | None:
        """The file of a recording's stem with another extension, in any case; None if none is.

        One that is spelt like the recording comes first.
        """
        for name in (recording.stem, stem(recording)):
            for spelling in (extension, extension.upper()):
                exact = recording.with_name(name + spelling)
                if exact in self._held:
                    return exact
        for name in (recording.stem, stem(recording)):
            found = self._by_name.get((recording.parent, name.lower(), extension))
            if found is not None:
                return found
        return None


def _refuse(error: OSError) -> None:
    raise FileError(f"{error.filename}: cannot be read ({error.strerror})") from error
