# SPDX-License-Identifier: Apache-2.0
"""Writing files that leaves either the whole thing or nothing."""

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hw.errors import PlosiveError

__all__ = ["atomic_directory", "atomic_write", "make_directory"]


def _temporary_sibling(path: Path) -> Path:
    # A sibling, because a rename is atomic only inside one file system.
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def _write_error(path: Path, error: Exception) -> PlosiveError:
    return PlosiveError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")


def make_directory(path: str | os.PathLike[str]) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises
    ------
    PlosiveError
        It cannot be made, or something else of that name is in the way.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        obstacle = next(p for p in (path, *path.parents) if p.exists() and not p.is_dir())
        raise PlosiveError(f"cannot write {path}: {obstacle} is not a folder") from error
    except OSError as error:
        raise _write_error(path, error) from error


def atomic_write(path: str | os.PathLike[str], data: bytes, *, parents: bool = True) -> None:
    """Write a file whole or not at all.

    A device or pipe (`/dev/stdout`) cannot be replaced and is written directly.

    Parameters
    ----------
    path
        The file; replaced if it exists. A symbolic link is followed.
    data
        Its whole content.
    parents
        Make the folders above it, too.

    Raises
    ------
    PlosiveError
        The disk is full, the folder cannot be written, `path` is a folder, ...
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            with open(target, "wb") as file:
                file.write(data)
            return
        if parents:
            make_directory(target.parent)
        temporary = _temporary_sibling(target)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise _write_error(path, error) from error


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Fill a folder whole or not at all, creating the folders above it.

    Yields an empty temporary folder beside `path`. It takes the place of `path`, and of what was
    in it, when the block ends, and vanishes when the block raises; then `path` is as it was.

    Parameters
    ----------
    path
        The folder to make or to replace.

    Raises
    ------
    PlosiveError
        `path` is no folder, or writing failed: full disk, unwritable folder, ... An `OSError`
        that names a file elsewhere, so one that reading raised, passes unchanged.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_dir():
        raise PlosiveError(f"cannot write {path}: it exists and is not a folder")
    temporary = _temporary_sibling(target)
    make_directory(target.parent)
    try:
        temporary.mkdir()
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        yield temporary
        _replace_directory(temporary, target)
    except OSError as error:
        named = error.filename
        if named is None or Path(os.fsdecode(named)).is_relative_to(target.parent):
            raise _write_error(path, error) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_directory(new: Path, target: Path) -> None:
    """Rename `new` to `target`; what was there goes only once the new folder stands."""
    if not target.exists():
        new.rename(target)
        return
    old = _temporary_sibling(target)
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
