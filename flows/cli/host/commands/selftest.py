# SPDX-License-Identifier: Apache-2.0
"""`plosive host selftest`."""

from typing import Annotated

import typer

from flows.cli.console import print_json, tell
from flows.cli.host.session import open_device
from flows.cli.options import FRAMES, SEED, Json
from hw.errors import PlosiveError

__all__ = ["selftest"]


def selftest(
    context: typer.Context,
    networks: Annotated[
        int,
        typer.Option(
            "--networks",
            metavar="N",
            min=1,
            max=1000,
            help="Number of random networks.",
        ),
    ] = 3,
    frames: Annotated[
        int,
        typer.Option(
            "--frames", metavar="N", **FRAMES, help="Frames of random features for each network."
        ),
    ] = 16,
    seed: Annotated[
        int, typer.Option("--seed", **SEED, help="Seed of the networks and features.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Run random networks on the board and compare every value with the golden model.

    The exit status is 1 if any value differs. The network that was on the board is overwritten.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 selftest`
    - `plosive host --port sim:ulx3s selftest --networks 1 --json`
    """
    with open_device(context) as (device, progress, _):
        figures = device.selftest(networks=networks, frames=frames, seed=seed, progress=progress)
    if as_json:
        print_json(figures.to_dict())
    elif figures.passed:
        tell(
            f"passed: {figures.networks} random networks, {figures.frames} frames, "
            f"{figures.values_compared:,} values, all equal to the golden model's"
        )
    if figures.first_difference is not None:
        found = figures.first_difference.to_dict()
        place = ", ".join(f"{name} {value}" for name, value in found.items())
        raise PlosiveError(f"{figures.port}: the board computes something else: {place}")
