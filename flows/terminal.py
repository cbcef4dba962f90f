# SPDX-License-Identifier: Apache-2.0
"""How figures are shown on a terminal: the console, tables, and the formats of numbers."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["console", "facts", "number", "percent", "significant", "table"]


def console() -> Console:
    """Standard output; a table in a file or pipe is not cut to a terminal's width."""
    return Console() if sys.stdout.isatty() else Console(width=140)


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
