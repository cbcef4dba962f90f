# SPDX-License-Identifier: Apache-2.0
"""`plosive host counters`."""

from typing import Annotated

import typer

from flows import terminal
from flows.cli.console import print_json
from flows.cli.host.session import open_device
from flows.cli.options import Json

__all__ = ["counters"]


def counters(
    context: typer.Context,
    clear: Annotated[
        bool, typer.Option("--clear", help="Reset the counters after reading them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read the performance counters, which count from the start of the last utterance.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 counters`
    - `plosive host --port /dev/ttyUSB0 counters --clear --json`
    """
    with open_device(context) as (device, _, _):
        figures = device.counters()
        if clear:
            device.clear_counters()
    if as_json:
        print_json(figures)
        return
    shown = {name.replace("_", " "): f"{n:,}" for name, n in figures.items()}
    terminal.console().print(terminal.facts("Counters", shown))
