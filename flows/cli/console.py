# SPDX-License-Identifier: Apache-2.0
"""What all commands share: options that they take, and how they print."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

__all__ = [
    "BUILD",
    "LEVEL_TOLERANCE_DB",
    "BuildFolder",
    "Json",
    "NetworkFile",
    "console",
    "note_level",
    "print_json",
    "say",
]

LEVEL_TOLERANCE_DB = 6
"""How far a recording may be from a network's level before it is said."""


def _network_file(name: Path | None) -> Path | None:
    from flows.inputs import network_file

    return None if name is None else network_file(name)


NetworkFile = Annotated[
    Path | None,
    typer.Option(
        "--network",
        metavar="FILE",
        callback=_network_file,
        help="A trained network: a .safetensors file, or a name of `plosive networks`.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON and nothing else.")]
BuildFolder = Annotated[
    Path, typer.Option("--build", metavar="DIR", help="Folder of models, logs and waveforms.")
]
BUILD = Path("build")


def console() -> Console:
    """Standard output; a table in a file or pipe is not cut to a terminal's width."""
    return Console() if sys.stdout.isatty() else Console(width=140)


def print_json(figures: dict[str, Any]) -> None:
    """Figures on standard output."""
    typer.echo(json.dumps(figures, indent=1))


def say(line: str) -> None:
    """A line of the program itself, on standard error."""
    print(f"plosive: {line}", file=sys.stderr)


def note_level(level_db: float | None, gain_db: float) -> None:
    """Say so where a recording is far from the level that its network was trained at."""
    if level_db is not None and abs(level_db) > LEVEL_TOLERANCE_DB:
        say(
            f"note: the recording is {abs(level_db):.0f} dB {'above' if level_db > 0 else 'below'} "
            f"the level that the network was trained at; --gain {gain_db - level_db:.0f} brings it "
            "there"
        )
