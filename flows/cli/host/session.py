# SPDX-License-Identifier: Apache-2.0
"""What the host commands share: an option, the connection to the board, and the network."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import say
from hw.errors import PlosiveError

__all__ = ["Best", "HostOptions", "labelled", "open_connection", "open_device"]


Best = Annotated[
    bool,
    typer.Option(
        "--best",
        help="Receive only each frame's best class: faster on slow lines, but worse phones.",
    ),
]


@dataclass(frozen=True)
class HostOptions:
    """The options before the command's name."""

    port: str | None
    baud: int | None
    timeout: float | None
    build: Path


@contextmanager
def open_connection(context: typer.Context, shown: bool = True) -> Iterator[tuple[Any, Any]]:
    """The connection, and where progress goes: nowhere unless it is shown."""
    from flows.host.ports import connect
    from flows.progress import on_terminal, silent

    chosen: HostOptions = context.obj
    if chosen.port is None:
        raise PlosiveError(
            "no --port is given: it is a serial port, as /dev/ttyUSB0, or sim:NAME, as sim:tiny"
        )
    with (
        on_terminal() if shown else nullcontext(silent) as progress,
        connect(
            chosen.port,
            chosen.baud,
            timeout_s=chosen.timeout,
            build_dir=chosen.build,
            progress=progress,
        ) as connection,
    ):
        if connection.link.statistics.speed_losses:
            say(f"note: the line does not carry that speed; it is at {connection.link.baud} baud")
        yield connection, progress


@contextmanager
def open_device(context: typer.Context, shown: bool = True) -> Iterator[tuple[Any, Any, Any]]:
    """The device, where progress goes, and the clock of a simulated board (None for a real one)."""
    from flows.host.device import Device

    with open_connection(context, shown) as (connection, progress):
        board = connection.board
        clock = None if board is None else lambda: board.seconds
        yield Device(connection.link), progress, clock


def labelled(network: Path | None) -> Any:
    """The network in a file, or the shipped one; it must have labels."""
    from flows.inputs import default_network
    from flows.speech.transcribe import check_header
    from golden_model import Network

    held = Network.load(network if network is not None else default_network())
    check_header(held)
    return held
