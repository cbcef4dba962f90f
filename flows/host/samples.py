# SPDX-License-Identifier: Apache-2.0
"""Samples as they come: from the microphone, or raw on standard input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from flows import toolchain
from flows.errors import PlosiveError

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
    """Samples of the microphone, until the program is interrupted.

    Raises
    ------
    ToolError
        arecord is missing.
    PlosiveError
        It does not record.
    """
    program = toolchain.find("arecord").path
    with subprocess.Popen(
        [program, *_RECORD], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield samples_of(process.stdout.fileno())
            if process.wait():
                reason = process.stderr.read().decode(errors="replace").strip().splitlines()
                raise PlosiveError(f"the microphone cannot be recorded: {(reason or ['?'])[-1]}")
        finally:
            process.terminate()
