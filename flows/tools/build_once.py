# SPDX-License-Identifier: Apache-2.0
"""Folders of build results that several processes may ask for at the same time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from golden_model.files import atomic_directory, make_directory
from hw.errors import PlosiveError

__all__ = ["build_once"]


def build_once(target: Path, stamp: str, fill: Callable[[Path], None]) -> None:
    """Make a folder, unless it is there already.

    The folder appears whole or not at all. If several processes ask for it, one makes it and the
    others wait for that one; no finished folder is ever replaced under its readers.

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
    if (target / stamp).is_file():
        return
    with _locked(target):
        if not (target / stamp).is_file():
            with atomic_directory(target) as work:
                fill(work)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system drops it if this process dies."""
    path = target.with_name(f".{target.name}.lock")
    make_directory(target.parent)
    lock = FileLock(path)
    try:
        lock.acquire()
    except OSError as error:
        raise PlosiveError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
