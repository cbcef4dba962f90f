# SPDX-License-Identifier: Apache-2.0
"""Folders of build results that several processes may ask for at the same time."""

from collections.abc import Callable
from pathlib import Path

from golden_model.files import atomic_directory, lock

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
    with lock(target):
        if not (target / stamp).is_file():
            with atomic_directory(target) as work:
                fill(work)
