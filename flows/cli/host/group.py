# SPDX-License-Identifier: Apache-2.0
"""The group `plosive host` and the options before its commands."""

from typing import Annotated

import typer

from flows.cli.discovery import add_commands
from flows.cli.host import commands
from flows.cli.host.session import HostOptions
from flows.cli.options import BAUD, BUILD, BuildFolder, number

__all__ = ["host"]

host = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
add_commands(host, commands)


@host.callback()
def options(
    context: typer.Context,
    port: Annotated[
        str | None,
        typer.Option(
            "--port",
            metavar="PORT",
            envvar="PLOSIVE_PORT",
            help="Serial port, or `sim:PRESET`, `sim:BOARD` or `sim:BOARD:PRESET` to "
            "simulate a board.",
        ),
    ] = None,
    baud: Annotated[
        int | None,
        typer.Option(
            "--baud",
            metavar="N",
            **BAUD,
            help="Line speed. Default: 1,000,000, or the highest for a simulated board.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            parser=number(0.01, 3600),
            help="How long to wait for an answer. Default: 1 s, or 20 s for a simulated board.",
        ),
    ] = None,
    build: BuildFolder = BUILD,
) -> None:
    """Talk to a board: load a network, test it, send it speech.

    PORT is a serial port, or a simulated board such as `sim:ulx3s` or `sim:tiny`: the board's
    Verilog runs in Verilator behind a pseudo-terminal, which the same driver opens. A simulated
    board lasts as long as the command; `plosive host simulate` keeps one running. The environment
    variable PLOSIVE_PORT can be set instead of `--port`.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 probe`
    - `plosive host --port sim:tiny selftest`
    - `plosive host --port sim:ulx3s transcribe hello.wav --check`
    """
    context.obj = HostOptions(port, baud, timeout, build)
