# SPDX-License-Identifier: Apache-2.0
"""`plosive networks`."""

from typing import Annotated, Any

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json
from flows.cli.options import Json

__all__ = ["networks", "networks_table"]


def networks(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show the model card of this network.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the trained networks of the model zoo: training data, accuracy and licence.

    With NAME, show that network's model card. `--network` accepts these names.

    **Examples**

    - `plosive networks`
    - `plosive networks speech`
    - `plosive networks --json`
    """
    from flows.speech import networks as flow

    if name is not None:
        if as_json:
            print_json(flow.described(name))
        else:
            from rich.markdown import Markdown

            terminal.console().print(Markdown(flow.card(name)))
        return
    held = flow.listed()
    if as_json:
        print_json({"networks": held})
        return
    terminal.console().print(networks_table(held))


def networks_table(networks: list[dict[str, Any]]) -> Table:
    """The networks of the zoo."""
    table = terminal.table("Networks", "name", "T", "hidden", "outputs", "kB", "PER")
    for column in ("trained on", "licence", "what it is"):
        table.add_column(column, justify="left")
    for network in networks:
        table.add_row(
            network["name"],
            str(network["time_steps"]),
            "+".join(map(str, network["hidden"])),
            f"{network['outputs']:,}",
            f"{1000 * network['mb']:.0f}",
            terminal.percent(network["per"]),
            ", ".join(network["trained_on"]),
            network["licence"],
            network["description"],
        )
    return table
