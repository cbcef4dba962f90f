# SPDX-License-Identifier: Apache-2.0
"""`plosive host link`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, tell
from flows.cli.host.session import open_connection
from flows.cli.options import BAUD, Json, number

if TYPE_CHECKING:
    from flows.host.link_quality import Quality

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
    if as_json:
        print_json({"best_baud": best, "speeds": [quality.to_dict() for quality in qualities]})
        return
    terminal.console().print(link_table(qualities))
    tell(f"use --baud {best}")


def link_table(qualities: "list[Quality]") -> Table:
    """Errors and throughput of a line at each speed."""
    table = terminal.table(
        "Loopback", "baud", "packets", "lost", "bit error rate", "data (bytes/s)"
    )
    for one in qualities:
        if not one.carried:
            table.add_row(f"{one.baud:,}", "not carried")
            continue
        table.add_row(
            *(f"{one.baud:,}", f"{one.packets:,}", str(one.errors)),
            f"{one.error_rate:.1e}" if one.errors else f"< {one.error_bound:.1e}",
            f"{one.bytes_per_s:,.0f}",
        )
    return table
