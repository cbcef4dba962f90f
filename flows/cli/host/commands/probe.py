# SPDX-License-Identifier: Apache-2.0
"""`plosive host probe`."""

from typing import Annotated

import typer

from flows import terminal
from flows.cli.console import print_json
from flows.cli.host.session import open_device
from flows.cli.options import Json

__all__ = ["probe"]


def probe(
    context: typer.Context,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="NAME",
            help="Fail unless the board was built for this board or preset.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Identify the board: configuration, versions, hashes, options, state, and the serial line.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 probe`
    - `plosive host --port /dev/ttyUSB0 probe --expect ulx3s-85f`
    - `plosive host --port sim:tiny probe --json`
    """
    from flows.host.ports import simulated_hardware

    with open_device(context) as (device, _, _):
        if expect is not None:
            device.expect(simulated_hardware(expect).config)
        hello = device.link.greet()
        figures = {
            "port": device.link.name,
            **device.identity.to_dict(),
            "line": {
                "baud": device.link.baud,
                "protocol": hello.version,
                "clock_hz": hello.clock_hz,
                "dropped_packets": hello.dropped,
                **device.link.statistics.to_dict(),
            },
            "status": device.status(),
            "errors": device.errors(),
        }
    if as_json:
        print_json(figures)
        return
    line, config = figures["line"], figures["configuration"]
    state = [name for name, value in figures["status"].items() if value]
    shown = terminal.facts(
        f"Board at {figures['port']}",
        {
            "register map": figures["register_map"],
            "configuration hash": figures["configuration_hash"],
            "network hash": figures["network_hash"],
            "network in the bitstream": figures["build_hash"]
            if int(figures["build_hash"], 16)
            else "none",
            "weights": "constant" if figures["baked"] else "can be loaded",
            "best-N list": figures["best"] or "none",
            "shape": f"{config['n_input']} inputs, hidden {config['hidden']}, "
            f"{config['n_output']} outputs, T = {config['time_steps']}",
            "lanes": config["lanes"],
            "clock": f"{line['clock_hz'] / 1e6:g} MHz",
            "line": f"{line['baud']:,} baud, protocol {line['protocol']}, "
            f"{line['dropped_packets']} packets dropped since the reset",
            "status": ", ".join(state) or "-",
            "errors": ", ".join(figures["errors"]) or "none",
        },
    )
    terminal.console().print(shown)
