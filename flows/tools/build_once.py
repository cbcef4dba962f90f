# SPDX-License-Identifier: Apache-2.0
"""Folders of build results that several processes may ask for at the same time."""

import json
from collections.abc import Callable
from pathlib import Path

from golden_model.files.reading import InputError, read_json
from golden_model.files.writing import atomic_directory, lock

__all__ = ["build_once", "is_finished"]

_SIZES = ".sizes.json"


def build_once(target: Path, stamp: str, fill: Callable[[Path], None]) -> None:
    """Make a folder, unless it is there already, undamaged.

    The folder appears whole or not at all. If several processes ask for it, one makes it and the
    others wait for that one; no finished folder is ever replaced under its readers. One in which a
    file is missing or has another size, since a disk was full or a hand slipped, is made again.

    Parameters
    ----------
    target
        The folder. Its name should hold a hash of all that decides what is in it.
    stamp
        A file that `fill` writes: a folder that holds it is finished.
    fill
        Fills the empty folder that it is given.

    Raises
    ------
    PlosiveError
        The folder or its lock file cannot be written.
    """
    if is_finished(target, stamp):
        return
    with lock(target):
        if not is_finished(target, stamp):
            with atomic_directory(target) as work:
                fill(work)
                sizes = {str(file.relative_to(work)): file.stat().st_size for file in _files(work)}
                (work / _SIZES).write_text(json.dumps(sizes, sort_keys=True))


def is_finished(target: Path, stamp: str) -> bool:
    """Whether a folder holds its stamp, and every file as it was left.

    Files that were added later, and folders of versions that kept no sizes, are not asked for more.
    """
    if not (target / stamp).is_file():
        return False
    try:
        sizes = read_json(target / _SIZES)
        return all((target / name).stat().st_size == size for name, size in sizes.items())
    except InputError as error:
        return isinstance(error.__cause__, FileNotFoundError)
    except (OSError, AttributeError):
        return False


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
