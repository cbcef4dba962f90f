# SPDX-License-Identifier: Apache-2.0
"""Serial ports by name: a device of the system, or `sim:NAME`, a simulated board.

Both are opened with pyserial; what uses the port does not learn which it is.
"""

from __future__ import annotations

import errno
import stat
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.host.device import Device
from flows.host.link import DEFAULT_BAUD, Link, LinkError
from flows.progress import Progress, silent
from flows.tools.toolchain import ToolError
from hw.config import PRESETS, AcceleratorConfig, preset
from hw.errors import PlosiveError

if TYPE_CHECKING:
    from flows.host.simulated import SimulatedBoard

__all__ = [
    "SIMULATED",
    "SPEED",
    "Connection",
    "Hardware",
    "connect",
    "connect_device",
    "open_port",
    "simulated_hardware",
]

SPEED = 1_000_000
"""The speed if none is asked for: every USB adapter and every board can do it."""
SIMULATED = "sim:"
"""What names of simulated boards begin with."""
# A simulated board takes seconds for what a real one does in milliseconds.
_TIMEOUT_S, _SIMULATED_TIMEOUT_S = 1.0, 20.0


@dataclass
class Connection:
    """A link to a board, and for a board that is simulated for this connection the simulation."""

    link: Link
    board: SimulatedBoard | None = None


@contextmanager
def connect(
    name: str,
    baud: int | None = None,
    *,
    timeout_s: float | None = None,
    build_dir: Path = Path("build"),
    progress: Progress = silent,
) -> Iterator[Connection]:
    """A link to the board at a port, closed at the end.

    Parameters
    ----------
    name
        A serial port, `sim:PRESET`, `sim:BOARD`, or `sim:BOARD:PRESET` for a board with another
        shape than its usual one. A board's name may be shortened.
    baud
        The speed that is tried; without it one that all adapters can do, or the fastest of a
        simulated board. Where the cable does not carry it the link is slower: see `Link.baud`.
    timeout_s
        Seconds without an answer after which a request is sent again; by default one, and more
        for simulated boards.
    build_dir
        Folder for the models of simulated boards.

    Raises
    ------
    PlosiveError
        There is no such port, it is in use, or nobody answers.
    """
    if not name.startswith(SIMULATED):
        with open_port(name) as port:
            link = Link(port, timeout_s=timeout_s or _TIMEOUT_S)
            progress("greeting the board")
            link.connect(baud or SPEED)
            yield Connection(link)
        return
    from flows.host.simulated import SimulatedBoard, build_board

    hardware = simulated_hardware(name.removeprefix(SIMULATED))
    model = build_board(**hardware._asdict(), build_dir=build_dir, progress=progress)
    clock_hz = hardware.clock_hz
    with SimulatedBoard(model, clock_hz) as board, open_port(board.terminal) as port:
        link = Link(port, timeout_s=timeout_s or _SIMULATED_TIMEOUT_S)
        progress("greeting the board")
        link.connect(baud or clock_hz // 4)  # the fastest
        yield Connection(link, board)


@contextmanager
def connect_device(name: str, baud: int | None = None, **options: Any) -> Iterator[Device]:
    """The device at a port; the options are those of `connect`.

    Raises
    ------
    PlosiveError
        `connect` fails, or what answers is no Plosive.
    """
    with connect(name, baud, **options) as connection:
        yield Device(connection.link)


class Hardware(NamedTuple):
    """What a simulated board is built of: configuration, clock, entries of the best-N list."""

    config: AcceleratorConfig
    clock_hz: int
    best: int


def simulated_hardware(name: str) -> Hardware:
    """What PRESET, BOARD or BOARD:PRESET is, to be simulated.

    Raises
    ------
    PlosiveError
        There is no such board.
    """
    from flows.fpga.boards import BOARDS
    from flows.host.simulated import SIMULATED_CLOCK_HZ

    if name in PRESETS:
        return Hardware(PRESETS[name], SIMULATED_CLOCK_HZ, best=1)
    wanted, _, shape = name.partition(":")
    for board in BOARDS.values():
        if wanted and board.name.startswith(wanted):
            config = board.folded(preset(shape)) if shape else board.config
            return Hardware(config, board.clock_hz, board.best)
    raise PlosiveError(
        f"there is no board {name!r} to simulate: there are {', '.join([*BOARDS, *PRESETS])}, and "
        "BOARD:PRESET"
    )


def open_port(name: str) -> Any:
    """The serial port of a name, at the default speed, for this program alone.

    Raises
    ------
    ToolError
        pyserial is missing.
    PlosiveError
        There is no such port, it is in use, or may not be used.
    """
    try:
        import serial
    except ImportError as error:
        raise ToolError(
            "pyserial was not found: it is needed to talk to a board; install the Python package "
            "pyserial (run `make setup`)"
        ) from error
    try:
        mode = Path(name).stat().st_mode
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PlosiveError(f"--port is {name}: {reason}; {_present()}") from error
    if not stat.S_ISCHR(mode):
        raise PlosiveError(f"--port is {name}: it is no serial port; {_present()}")
    try:
        port = serial.Serial(name, DEFAULT_BAUD, timeout=0.05, write_timeout=5, exclusive=True)
    except (OSError, ValueError, termios.error) as error:
        number = getattr(error, "errno", None)
        if number in (errno.EACCES, errno.EPERM):
            raise PlosiveError(
                f"--port is {name}: you may not use it; join the group that owns it (often dialout)"
            ) from error
        if number in (errno.EAGAIN, errno.EBUSY):
            raise PlosiveError(f"--port is {name}: another program is using it") from error
        raise LinkError(f"--port is {name}: it does not open as a serial port ({error})") from error
    # Else an FTDI adapter keeps the end of each answer for 16 ms. What is no adapter cannot do it.
    with suppress(AttributeError, OSError, ValueError):
        port.set_low_latency_mode(True)
    return port


def _present() -> str:
    """What could have been meant."""
    from serial.tools.list_ports import comports

    names = sorted(port.device for port in comports())
    return f"plugged in: {', '.join(names)}" if names else "no serial port is plugged in"
