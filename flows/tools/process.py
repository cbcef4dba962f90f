# SPDX-License-Identifier: Apache-2.0
"""Running a child process so that nothing of it outlives the call."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

__all__ = ["last_line", "run_child"]


def run_child(
    command: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    stdout: IO | None = None,
    stderr: IO | int = subprocess.STDOUT,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> int:
    """Run a command to its end, and return its exit status.

    The command runs in a process group of its own. If the call ends in any other way, through
    Ctrl-C or the time limit, the whole group is killed, so that neither the command nor what it
    has started goes on in the background.

    Parameters
    ----------
    command
        The program and its arguments.
    folder
        Its working folder.
    stdout, stderr
        Files that receive its output; standard error joins standard output by default.
    env
        Its whole environment; None for that of this process.
    timeout_s
        Wall-clock limit in seconds, or None.

    Raises
    ------
    subprocess.TimeoutExpired
        The limit has passed.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(timeout=timeout_s)
        except BaseException:
            with suppress(ProcessLookupError):  # the signal that ends this call reached it, too
                os.killpg(process.pid, signal.SIGKILL)
            raise


def last_line(log: Path, marker: str) -> str:
    """The last line of a log that holds a marker; the last line of all if none does."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return next((line for line in reversed(lines) if marker in line), (lines or ["no output"])[-1])
