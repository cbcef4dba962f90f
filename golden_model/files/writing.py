# SPDX-License-Identifier: Apache-2.0
"""Files that several processes may share: each is written whole or not at all.

What is not finished lies in a hidden sibling, `.NAME.HEX.plosive.tmp`, which its writer keeps
locked. A killed writer's lock is gone, and the next process that writes into the same folder
removes what it left.
"""

import fcntl
import io
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from hw.errors import PlosiveError

__all__ = ["atomic_directory", "atomic_open", "atomic_write", "lock", "make_directory"]

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\.plosive\.tmp", re.DOTALL)
_NAME_CHARACTERS = 40  # of the target's name in its sibling's: file systems allow 255 bytes in all
_FRESH_S = 60  # nothing younger is removed: its writer may not have locked it yet
_OLD_S = 7 * 24 * 3600  # what is older is removed where the file system knows no locks
_swept: set[Path] = set()


def _temporary_sibling(path: Path) -> Path:
    # A sibling, because a rename is atomic only inside one file system.
    return path.with_name(f".{path.name[:_NAME_CHARACTERS]}.{secrets.token_hex(8)}.plosive.tmp")


def _write_error(path: Path, error: Exception) -> PlosiveError:
    return PlosiveError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")


@contextmanager
def _in_use(temporary: Path) -> Iterator[None]:
    """Mark a temporary file or folder as one whose writer lives."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        with suppress(OSError):  # without locks its age has to do
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_left_over(temporary: Path) -> bool:
    """Whether the writer of a temporary file or folder is gone."""
    age = time.time() - temporary.lstat().st_mtime
    if age < _FRESH_S:
        return False
    descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return age > _OLD_S
    finally:
        os.close(descriptor)
    return True


def _sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder, once in the life of a process."""
    if folder in _swept:
        return
    _swept.add(folder)
    for name in filter(_TEMPORARY.fullmatch, os.listdir(folder)):
        temporary = folder / name
        with suppress(OSError):  # another process sweeps, too; or it is another user's
            if not _is_left_over(temporary):
                continue
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink()


@contextmanager
def lock(path: str | os.PathLike[str], waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a file or folder against every other process and thread that asks for its lock.

    The lock is the file `.NAME.lock` beside `path`, which stays: were it removed, those that wait
    and those that come later would hold different ones. The system takes it from a process that
    dies. A thread must not ask for a lock that it holds.

    Parameters
    ----------
    path
        It need not exist; the folders above it are made.
    waiting
        Called once, before the wait, if another holds the lock.

    Raises
    ------
    PlosiveError
        The lock cannot be written.
    """
    path = Path(path)
    make_directory(path.parent)
    held = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        try:
            held.acquire(timeout=0)
        except filelock.Timeout:
            if waiting is not None:
                waiting()
            held.acquire()
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        yield
    finally:
        held.release()


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
        The whole content of the file.
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
        _sweep(target.parent)
        temporary = _temporary_sibling(target)
        try:
            with open(temporary, "xb") as file, _in_use(temporary):
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
def atomic_open(path: str | os.PathLike[str], *, parents: bool = True) -> Iterator[io.BytesIO]:
    """Write a file whole or not at all with a function that wants an open file.

    Yields a file in memory. Its content is written as by `atomic_write` when the block ends;
    nothing is when the block raises.

    Parameters
    ----------
    path, parents
        As for `atomic_write`.

    Raises
    ------
    PlosiveError
        As `atomic_write` does.
    """
    content = io.BytesIO()
    yield content
    atomic_write(path, content.getvalue(), parents=parents)


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
        _sweep(target.parent)
        temporary.mkdir()
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        with _in_use(temporary):
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
