# SPDX-License-Identifier: Apache-2.0
"""Samples as they come: from the microphone, or raw on standard input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from flows.tools import toolchain
from hw.errors import PlosiveError

__all__ = ["from_microphone", "from_stdin", "samples_of"]

_MOST_BYTES = 1 << 16
_RECORD = ("-q", "-t", "raw", "-f", "S16_LE", "-r", "16000", "-c", "1")


def samples_of(descriptor: int) -> Iterator[np.ndarray]:
    """Samples, full scale 1.0, of raw s16le; as many at a time as there are."""
    left = b""
    while data := os.read(descriptor, _MOST_BYTES):
        data = left + data
        whole = len(data) & ~1
        left = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768


@contextmanager
def from_stdin() -> Iterator[Iterator[np.ndarray]]:
    """Samples on standard input, to its end.

    Raises
    ------
    PlosiveError
        It is a terminal.
    """
    if sys.stdin.isatty():
        raise PlosiveError("--stdin: standard input is a terminal; pipe raw 16-bit samples into it")
    yield samples_of(sys.stdin.fileno())


@contextmanager
def from_microphone() -> Iterator[Iterator[np.ndarray]]:
    """Samples of the microphone until Ctrl-C, which ends the recording and not the program.

    Raises
    ------
    ToolError
        arecord is missing.
    PlosiveError
        It does not record.
    """
    command = [toolchain.find("arecord").path, *_RECORD]
    interrupted = False
    # What it says goes to a file: nobody reads it while sound comes, and a full pipe would stop it.
    # In a session of its own, so that Ctrl-C comes here and not to arecord.
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=messages, start_new_session=True
        ) as process,
    ):

        def stop(*_: object) -> None:
            nonlocal interrupted
            interrupted = True
            process.terminate()
            signal.signal(signal.SIGINT, before)  # a second one is not waited for

        def chunks() -> Iterator[np.ndarray]:
            yield from samples_of(process.stdout.fileno())
            if not interrupted:
                process.wait()
                messages.seek(0)
                said = messages.read().decode(errors="replace").strip().splitlines()
                reason = said[-1] if said else "no sound"
                raise PlosiveError(f"the microphone: arecord ended: {reason}")

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield chunks()
        finally:
            signal.signal(signal.SIGINT, before)
            process.terminate()
