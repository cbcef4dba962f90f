# SPDX-License-Identifier: Apache-2.0
"""`plosive report`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import print_json, tell
from flows.cli.options import BUILD, Json

__all__ = ["report"]


def report(
    build: Annotated[
        Path, typer.Argument(metavar="BUILD_DIR", help="Build folder of a `plosive demo` run.")
    ] = BUILD,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Output file. Default: BUILD_DIR/report.html."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write an HTML page with the results of a demo run: pictures, tables and versions.

    The page is self-contained. If the folder has `netlist.json`, `area.json` or `power.json`, the
    `--json` output of `plosive simulate --netlist`, `area` and `power`, the page shows them too;
    `plosive demo` writes the last two.

    **Examples**

    - `plosive report build`
    - `plosive report build -o speech.html --open`
    """
    from flows.report import report as flow

    path = flow.write(build, output)
    if as_json:
        print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        tell(f"report: {path}")
    if show:
        typer.launch(str(path))
