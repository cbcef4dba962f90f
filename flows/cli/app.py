# SPDX-License-Identifier: Apache-2.0
"""The command line: options into calls of the flows, figures out as tables or JSON.

A mistake of the user is one line on standard error and exit status 1 (2 for a wrong option). The
modules that a command needs are imported when it runs, so that `--help` is quick.
"""

import importlib.metadata
import os
import sys
from typing import Annotated

import typer

from flows.cli import commands, process
from flows.cli.discovery import add_commands
from flows.cli.host.group import host

__all__ = ["app", "main", "run"]

app = typer.Typer(
    name="plosive",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_commands(app, commands)
app.add_typer(host, name="host")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"plosive {importlib.metadata.version('plosive')}")
        raise typer.Exit


@app.callback()
def plosive(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Verilog of recurrent spiking speech accelerators, proved clock by clock.

    Start with `plosive demo`. Each command's `--help` has examples.
    """


def main() -> None:
    """Run the command line; every mistake of the user ends as one line and an exit status."""
    # The golden model's products are small: BLAS threads would wait for each other, and a network
    # take ten times as long on a busy machine. torch has threads of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    process.prepare()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status of the command line with these arguments."""
    command = typer.main.get_command(app)
    return process.status_of(
        lambda: command.main(args=arguments, prog_name="plosive", standalone_mode=False), arguments
    )
