# SPDX-License-Identifier: Apache-2.0
"""`plosive host link`."""

from typing import Annotated, Any

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, tell
from flows.cli.host.session import open_connection
from flows.cli.options import (
    BAUD,
    Json,
    number,
)

__all__ = ["link", "link_table"]


def link(
    context: typer.Context,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            metavar="S",
            parser=number(0, 86_400),
            help="Duration of the test at each speed.",
        ),
    ] = 1.0,
    speeds: Annotated[
        list[int] | None,
        typer.Option("--speed", metavar="N", **BAUD, help="Test this speed. May be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Loopback test: send random packets to the board and back, and find the best line speed.

    The best speed is the one with the highest throughput, retransmissions included. Where no packet
    was lost, the bit error rate is below the figure shown with 95 % confidence.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 link`
    - `plosive host --port /dev/ttyUSB0 link --seconds 60 --speed 2000000 --speed 3000000`
    - `plosive host --port sim:tiny link --json`
    """
    from flows.host.link_quality import SPEEDS, best_speed

    with open_connection(context) as (connection, progress):
        best, qualities = best_speed(connection.link, speeds or SPEEDS, seconds, progress=progress)
    figures = {"best_baud": best, "speeds": [quality.to_dict() for quality in qualities]}
    if as_json:
        print_json(figures)
        return
    terminal.console().print(link_table(figures))
    tell(f"use --baud {best}")


def link_table(figures: dict[str, Any]) -> Table:
    """Errors and throughput of a line at each speed."""
    table = terminal.table(
        "Loopback", "baud", "packets", "lost", "bit error rate", "data (bytes/s)"
    )
    for entry in figures["speeds"]:
        if not entry["carried"]:
            table.add_row(f"{entry['baud']:,}", "not carried")
            continue
        errors, bits = entry["errors"], entry["bits"]
        table.add_row(
            *(f"{entry['baud']:,}", f"{entry['packets']:,}", str(errors)),
            f"{errors / bits:.1e}" if errors else f"< {3 / bits:.1e}",
            f"{entry['bytes_per_s']:,.0f}",
        )
    return table
