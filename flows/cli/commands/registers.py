# SPDX-License-Identifier: Apache-2.0
"""`plosive registers`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import tell

__all__ = ["MapForm", "registers"]


class MapForm(StrEnum):
    """A format of the register map."""

    markdown = "markdown"
    c = "c"
    systemrdl = "systemrdl"
    json = "json"


def registers(
    form: Annotated[
        MapForm,
        typer.Option("--format", help="Output format: for people, C, register tools or programs."),
    ] = MapForm.markdown,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write to FILE instead of standard output."
        ),
    ] = None,
) -> None:
    """Print the register map of the host interface.

    The map is the same for every configuration. docs/register-map.md and the C driver's header are
    written by this command.

    **Examples**

    - `plosive registers`
    - `plosive registers --format c -o plosive_registers.h`
    - `plosive registers --format systemrdl -o plosive.rdl`
    """
    from flows.verilog.register_map import register_map
    from golden_model.files.writing import atomic_write

    text = register_map(form.value)
    if output is None:
        typer.echo(text, nl=False)
        return
    atomic_write(output, text.encode())
    tell(f"{output}  {len(text.encode()):,} bytes")
