# SPDX-License-Identifier: Apache-2.0
"""What several commands print: figures as JSON, phones, and lines of the program itself."""

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from flows import terminal

if TYPE_CHECKING:
    from flows.speech.figures import Phone

__all__ = ["LEVEL_TOLERANCE_DB", "note_level", "print_json", "print_phones", "say", "tell"]

LEVEL_TOLERANCE_DB = 6
"""How far a recording may be from a network's training level before a note says so."""


def print_json(figures: dict[str, Any]) -> None:
    """Figures on standard output."""
    typer.echo(json.dumps(figures, indent=1))


def print_phones(phones: "list[Phone]") -> None:
    """Phones on standard output: a table of when each was heard, and all of them in a line."""
    table = terminal.table("Phones", "phone", "from (s)", "to (s)")
    for phone in phones:
        table.add_row(phone.phone, f"{phone.start:.3f}", f"{phone.end:.3f}")
    console = terminal.console()
    console.print(table)
    console.print(" ".join(phone.phone for phone in phones))


def tell(line: str) -> None:
    """A line of a command's result, on standard output; what is no glyph is spelled out."""
    from golden_model.files import escape

    typer.echo(escape.terminal(line))


def say(line: str) -> None:
    """A line of the program itself, on standard error."""
    from golden_model.files import escape

    print(f"plosive: {escape.terminal(line)}", file=sys.stderr)


def note_level(level_db: float | None, gain_db: float) -> None:
    """Print a note if a recording is far from the level that its network was trained at."""
    if level_db is not None and abs(level_db) > LEVEL_TOLERANCE_DB:
        say(
            f"note: the recording is {abs(level_db):.0f} dB {'above' if level_db > 0 else 'below'} "
            f"the level that the network was trained at; --gain {gain_db - level_db:.0f} brings it "
            "there"
        )
