# SPDX-License-Identifier: Apache-2.0
"""`plosive host bench`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json
from flows.cli.host.session import open_device
from flows.cli.options import BAUD, FRAMES, Json

if TYPE_CHECKING:
    from flows.host.figures import Throughput

__all__ = ["bench", "throughput_table"]


def bench(
    context: typer.Context,
    frames: Annotated[
        int,
        typer.Option(
            "--frames",
            metavar="N",
            **FRAMES,
            help="Number of frames of random features.",
        ),
    ] = 48,
    best: Annotated[
        bool | None,
        typer.Option(
            "--best/--logits",
            help="Measure only best classes or only logits. Default: whatever the board offers.",
        ),
    ] = None,
    speeds: Annotated[
        list[int] | None,
        typer.Option(
            "--speed", metavar="N", **BAUD, help="Measure at this speed. May be repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure throughput in frames per second, and compare the results with the golden model.

    Speech has 100 frames per second. For a simulated board, a second column gives the rate in the
    board's own time, which is what the serial line and the accelerator take. The network that was
    on the board is overwritten.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 bench`
    - `plosive host --port sim:ulx3s bench --best --speed 115200`
    - `plosive host --port sim:ulx3s bench --logits --speed 3000000 --json`
    """
    from flows.host.link import LinkError
    from flows.host.throughput import throughput
    from golden_model import Network

    with open_device(context) as (device, progress, clock):
        network = Network.random(device.config, 1)
        device.load(network, progress)
        # Unless one is asked for, every kind that the board offers.
        kinds = (best,) if best is not None else (True, False)[not device.identity.best :]
        figures = []
        for speed in speeds or [device.link.baud]:
            if not device.link.set_baud(speed):
                raise LinkError(f"{device.link.name}: the line does not carry {speed} baud")
            figures += [
                throughput(
                    device, network, best=kind, frames=frames, clock=clock, progress=progress
                )
                for kind in kinds
            ]
    if as_json:
        print_json({"throughput": [row.to_dict() for row in figures]})
        return
    terminal.console().print(throughput_table(figures))


def throughput_table(rows: "list[Throughput]") -> Table:
    """Throughput of a board, a row for each kind of result and speed."""
    table = terminal.table("Throughput", "results", "values per frame", "baud", "frames/s")
    own = any(row.board_frames_per_s for row in rows)
    if own:
        table.add_column("in the board's time", justify="right")
    for row in rows:
        rates = (row.frames_per_s, row.board_frames_per_s)[: 2 if own else 1]
        cells = (row.readout, str(row.values_a_frame), f"{row.baud:,}")
        table.add_row(*cells, *map(terminal.number, rates))
    return table
