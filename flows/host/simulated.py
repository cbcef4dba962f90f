# SPDX-License-Identifier: Apache-2.0
"""The simulated board: the Verilog of a board below its clock and pins, behind a pseudo-terminal.

The host opens the terminal with pyserial as it would a USB adapter, and the speed that it sets is
the speed of the simulated line.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import subprocess
import termios
import tty
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from flows.progress import Progress, silent
from flows.tools import verilator
from flows.verilog.writer import generator_hash, to_verilog
from golden_model.files.writing import atomic_write, make_directory
from hw.config import AcceleratorConfig
from hw.errors import PlosiveError
from hw.shell.board_core import BOARD_TOP, BoardCore

__all__ = ["SIMULATED_CLOCK_HZ", "SimulatedBoard", "build_board"]

SIMULATED_CLOCK_HZ = 12_000_000
"""The clock of boards that are a preset: the slowest of the real ones, so fewest clocks a bit."""
# A killed host leaves the board at its speed for 2**21 clocks: seconds of a simulation, where the
# 2**24 of a real board would be minutes. With less a host that the system keeps waiting for half a
# second would lose its speed.
_HOLD_BITS = 21
_IDLE_CLOCKS = 1 << (_HOLD_BITS + 1)
_PROGRAM = Path(__file__).with_name("simulated_board.cpp")
_SHARED_BYTES = 16
_END_S = 5


def build_board(
    config: AcceleratorConfig,
    build_dir: Path,
    *,
    clock_hz: int = SIMULATED_CLOCK_HZ,
    best: int = 1,
    result_depth: int = 16,
    progress: Progress = silent,
) -> verilator.SimModel:
    """The simulation model of a board of this configuration, or the one built before.

    Raises
    ------
    ToolError
        Verilator, g++, make or perl is missing.
    PlosiveError
        It does not build.
    """
    make_directory(build_dir)
    key = _source_key(config, clock_hz, best, result_depth)
    source = build_dir / f"{BOARD_TOP}-{key}.v"
    if not source.is_file():
        progress("generating the board's Verilog")
        board = BoardCore(
            config,
            clock_hz=clock_hz,
            best=best,
            result_depth=result_depth,
            hold_bits=_HOLD_BITS,
        )
        atomic_write(source, to_verilog(board, BOARD_TOP).encode())
    progress("building the simulated board")
    return verilator.build([source], BOARD_TOP, build_dir, program=_PROGRAM)


def _source_key(config: AcceleratorConfig, *options: int) -> str:
    """Name of a board's Verilog: its configuration, options, and what generates the Verilog."""
    key = f"{config.config_hash} {options} {generator_hash()}"
    return hashlib.sha256(key.encode()).hexdigest()[:16]


class SimulatedBoard:
    """A running simulation of a board.

    Parameters
    ----------
    model
        A model that `build_board` made.
    clock_hz
        The clock that it was built with.

    Attributes
    ----------
    terminal
        Path of the pseudo-terminal that takes the place of a serial port.

    Raises
    ------
    PlosiveError
        The simulation does not start.
    """

    def __init__(self, model: verilator.SimModel, clock_hz: int = SIMULATED_CLOCK_HZ) -> None:
        self._clock_hz = clock_hz
        with ExitStack() as ours, ExitStack() as undo:
            try:
                memory = os.memfd_create("plosive-board")
                ours.callback(os.close, memory)
                os.ftruncate(memory, _SHARED_BYTES)
                self._shared = undo.enter_context(mmap.mmap(memory, _SHARED_BYTES))
                # This side keeps the terminal open, so that it outlives each host that opens and
                # closes it.
                inner, self._outer = os.openpty()
                ours.callback(os.close, inner)
                undo.callback(os.close, self._outer)
                tty.setraw(self._outer, termios.TCSANOW)
                self.terminal = os.ttyname(self._outer)
                command = [model.executable, inner, clock_hz, _IDLE_CLOCKS, memory]
                self._process = subprocess.Popen(
                    list(map(str, command)),
                    stdin=subprocess.PIPE,
                    pass_fds=(inner, memory),
                    start_new_session=True,
                )
            except OSError as error:
                raise PlosiveError(
                    f"{model.executable} does not start: {error.strerror}"
                ) from error
            undo.pop_all()

    @property
    def process_id(self) -> int:
        """Process id of the simulation."""
        return self._process.pid

    @property
    def clocks(self) -> int:
        """Clocks since the reset, exact to about a hundred."""
        return struct.unpack_from("<Q", self._shared, 0)[0]

    @property
    def leds(self) -> int:
        """What the LEDs show."""
        return struct.unpack_from("<Q", self._shared, 8)[0]

    @property
    def seconds(self) -> float:
        """The board's own time."""
        return self.clocks / self._clock_hz

    def wait(self) -> None:
        """Wait until the simulation has ended, which it does not by itself.

        Raises
        ------
        PlosiveError
            The simulation broke off.
        """
        raise PlosiveError(f"the simulated board ended with exit status {self._process.wait()}")

    def unplug(self) -> None:
        """End the simulation, as if the cable was pulled."""
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(timeout=_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._outer >= 0:
            os.close(self._outer)
            self._outer = -1

    def close(self) -> None:
        """End the simulation and give back its memory."""
        self.unplug()
        self._shared.close()

    def __enter__(self) -> SimulatedBoard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
