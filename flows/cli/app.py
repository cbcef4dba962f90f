# SPDX-License-Identifier: Apache-2.0
"""The command line: options into calls of the flows, figures out as tables or JSON.

A mistake of the user is one line on standard error and exit status 1 (2 for a wrong option). The
modules that a command needs are imported when it runs, so that `--help` is quick.
"""

import contextlib
import importlib.metadata
import os
import sys
from typing import Annotated

import typer

from flows.cli import commands
from flows.cli.console import say
from flows.cli.discovery import add_commands
from flows.cli.host.group import host
from hw.errors import PlosiveError

__all__ = ["app", "main", "run"]

app = typer.Typer(
    name="plosive",
    add_completion=False,
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
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status of the command line with these arguments."""
    command = typer.main.get_command(app)
    try:
        status = command.main(args=arguments, prog_name="plosive", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        message = error.format_message()
        if not message:  # no arguments: the help was shown
            return error.exit_code
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "plosive"
        say(f"{_one_line(message).rstrip('.')} (see {path} --help)")
        return error.exit_code
    except PlosiveError as error:
        say(_one_line(str(error)))
        return 1
    except BrokenPipeError:  # the reader went away (`plosive ... | head`): nothing is left to say
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        named = f"{error.filename}: " if error.filename else ""
        say(_one_line(f"{named}{error.strerror or error}"))
        return 1
    except (typer.Abort, KeyboardInterrupt):
        say("interrupted")
        return 130
    return status if isinstance(status, int) else 0


def _drop_output() -> None:
    """Send what standard output still holds nowhere: Python flushes it again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())
