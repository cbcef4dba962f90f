# SPDX-License-Identifier: Apache-2.0
"""Processes side by side neither break a shared file nor leave anything behind when killed."""

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from golden_model.files import writing
from golden_model.files.writing import atomic_directory, atomic_open, atomic_write, lock
from hw.errors import PlosiveError

_HOLD = {
    "lock": "with writing.lock(path):",
    "directory": "with writing.atomic_directory(path) as work:\n    (work / 'half').write_text('')",
    "file": "writing.os.fsync = lambda _: hold()\nwriting.atomic_write(path, b'half')\nif 0:",
}
"""What another process does for as long as its standard input is open."""


@pytest.fixture
def other(tmp_path):
    """Starts a process that holds `tmp_path / "shared"` in one of the ways above."""
    running = []

    def start(way):
        script = (
            "import sys\nfrom pathlib import Path\nfrom golden_model.files import writing\n"
            "def hold():\n    print('holds', flush=True)\n    sys.stdin.read()\n"
            f"path = Path(sys.argv[1])\n{_HOLD[way]}\n    hold()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "shared")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        running.append(process)
        assert process.stdout.readline() == b"holds\n"
        return process

    yield start
    for process in running:
        process.stdin.close()
        process.stdout.close()
        process.wait()


def aged(folder, seconds=3600):
    """Make what lies in a folder older, and forget that it was swept."""
    writing._swept.clear()
    for name in os.listdir(folder):
        then = time.time() - seconds
        os.utime(folder / name, (then, then), follow_symlinks=False)


@pytest.mark.parametrize("ends", ["leaves the block", "is killed"])
def test_a_lock_is_waited_for_until_its_process(tmp_path, other, ends):
    process = other("lock")
    told = []

    def waiting():
        told.append(process.poll())
        process.kill() if ends == "is killed" else process.stdin.close()

    with lock(tmp_path / "shared", waiting):
        assert told == [None]
        assert process.wait() == (-9 if ends == "is killed" else 0)
    with lock(tmp_path / "shared", lambda: pytest.fail("nobody holds it")):
        pass
    assert os.listdir(tmp_path) == [".shared.lock"]


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / ".x.lock").mkdir()
    message = re.escape(f"cannot write {tmp_path / 'x'}: Is a directory")
    with pytest.raises(PlosiveError, match=f"^{message}$"), lock(tmp_path / "x"):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("way", ["directory", "file"])
def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path, other, way):
    process = other(way)
    (left,) = os.listdir(tmp_path)
    for name in (".env", ".x.tmp", "x.0123456789abcdef.plosive.tmp", ".0123456789abcdef.tmp"):
        (tmp_path / name).write_text("")
    kept = set(os.listdir(tmp_path)) - {left}

    aged(tmp_path)
    atomic_write(tmp_path / "one", b"")
    assert left in os.listdir(tmp_path), "its process lives"
    process.kill()
    process.wait()
    aged(tmp_path, 0)
    atomic_write(tmp_path / "one", b"")
    assert left in os.listdir(tmp_path), "it may not be locked yet"
    aged(tmp_path)
    with atomic_directory(tmp_path / "two"):
        pass
    assert set(os.listdir(tmp_path)) == kept | {"one", "two"}


def test_without_locks_only_what_is_very_old_is_removed(tmp_path, other, monkeypatch):
    def no_locks(_descriptor, _operation):
        raise OSError("no locks here")

    other("file")
    monkeypatch.setattr(writing.fcntl, "flock", no_locks)
    aged(tmp_path)
    atomic_write(tmp_path / "one", b"")
    assert len(os.listdir(tmp_path)) == 2
    aged(tmp_path, 8 * 24 * 3600)
    atomic_write(tmp_path / "one", b"")
    assert os.listdir(tmp_path) == ["one"]


def test_the_longest_name_of_a_file_can_be_written(tmp_path):
    path = tmp_path / ("ü" * 127)
    atomic_write(path, b"data")
    assert path.read_bytes() == b"data"


def test_an_open_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "below" / "a.npz"
    with atomic_open(path) as file:
        np.savez(file, a=np.arange(3))
    with pytest.raises(ZeroDivisionError), atomic_open(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    with np.load(path) as kept:
        assert kept["a"].tolist() == [0, 1, 2]
    assert os.listdir(path.parent) == ["a.npz"]
