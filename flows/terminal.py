# SPDX-License-Identifier: Apache-2.0
"""How figures are shown on a terminal: the console, tables, and the formats of numbers."""

import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["console", "facts", "number", "percent", "significant", "table"]


class _PlainConsole(Console):
    """Shows texts as they are: no markup, no emoji codes, no control characters of a file's."""

    def render_str(self, text: str, **options: Any) -> Text:
        # Imported here, because numpy comes with it, which `--help` does not wait for.
        from golden_model.files import escape

        return super().render_str(
            escape.terminal(text), **{**options, "markup": False, "emoji": False}
        )


def console() -> Console:
    """Standard output; a table in a file or pipe is not cut to a terminal's width."""
    return _PlainConsole() if sys.stdout.isatty() else _PlainConsole(width=140)


def table(title: str, *columns: str) -> Table:
    """An empty table: its first column is text, the others are right-aligned figures."""
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for position, column in enumerate(columns):
        made.add_column(column, justify="left" if position == 0 else "right")
    return made


def facts(title: str, values: dict[str, object]) -> Table:
    """A table of names and values."""
    made = table(title, "what", "")
    made.columns[1].justify = "left"
    for name, value in values.items():
        made.add_row(name, str(value))
    return made


def number(value: float | None) -> str:
    """At most one decimal; "-" for None."""
    return "-" if value is None else f"{value:,.1f}".removesuffix(".0")


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal; "-" for None."""
    return "-" if share is None else f"{100 * share:.1f} %"


def significant(value: float) -> str:
    """Three significant digits, or all the digits of a larger number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
