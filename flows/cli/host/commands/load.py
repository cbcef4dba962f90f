# SPDX-License-Identifier: Apache-2.0
"""`plosive host load`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import print_json, tell
from flows.cli.host.session import open_device
from flows.cli.options import Json

__all__ = ["load"]


def load(
    context: typer.Context,
    network: Annotated[
        Path,
        typer.Argument(
            metavar="NETWORK", help="Network file, or a name listed by `plosive networks`."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Write a network into the board's memories and read it back to verify it.

    The board may have more outputs than the network; the extra ones get zero weights.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 load speech`
    - `plosive host --port sim:ulx3s load mine.safetensors --json`
    """
    import time

    from flows.inputs import network_file
    from golden_model import Network

    held = Network.load(network_file(network))
    with open_device(context) as (device, progress, _):
        started = time.monotonic()
        figures = {
            "network": str(network),
            **device.load(held, progress),
            "seconds": round(time.monotonic() - started, 2),
            "baud": device.link.baud,
            **device.link.statistics.to_dict(),
        }
    if as_json:
        print_json(figures)
        return
    tell(
        f"{figures['bytes']:,} bytes written and read back, all equal, in "
        f"{figures['seconds']:g} s at {figures['baud']:,} baud"
    )
