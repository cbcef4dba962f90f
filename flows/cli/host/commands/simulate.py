# SPDX-License-Identifier: Apache-2.0
"""`plosive host simulate`."""

import json
from typing import Annotated

import typer

from flows.cli.console import say
from flows.cli.options import Json

__all__ = ["simulate"]


def simulate(
    context: typer.Context,
    board: Annotated[
        str,
        typer.Argument(metavar="BOARD", help="PRESET, BOARD or BOARD:PRESET, for example ulx3s."),
    ],
    as_json: Json = False,
) -> None:
    """Run a simulated board until Ctrl-C, and print its serial port.

    Use the port from another terminal as if it were a real board's. A simulated board answers more
    slowly, so give `--timeout 20`.

    **Examples**

    - `plosive host simulate ulx3s`
    - `plosive host simulate ulx3s:speech`
    - `plosive host simulate tiny --json`
    """
    import signal

    from flows.host.ports import simulated_hardware
    from flows.host.simulated import SimulatedBoard, build_board
    from flows.progress import on_terminal

    hardware = simulated_hardware(board)
    with on_terminal() as progress:
        model = build_board(**hardware._asdict(), build_dir=context.obj.build, progress=progress)
    with SimulatedBoard(model, hardware.clock_hz) as running:
        if as_json:
            print(json.dumps({"port": running.terminal}), flush=True)
        else:
            print(running.terminal, flush=True)
        # A script's background processes ignore Ctrl-C unless they install a handler.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        try:
            running.wait()
        except KeyboardInterrupt:
            say(f"unplugged after {running.seconds:.3f} s of its time")
