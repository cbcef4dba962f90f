# SPDX-License-Identifier: Apache-2.0
"""How figures are shown on a terminal: the console, tables, and the formats of numbers."""

import sys
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
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


class _WholeTable(Table):
    """A table that cuts no word and no number, however narrow the terminal is.

    Text is wrapped between words. Where even that does not fit, each row becomes a paragraph: its
    first cell, and a line for each of the others.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        frame = self._extra_width + 2 * len(self.columns)  # a blank on both sides of each cell
        least = [_widest(column, wrapped=True) for column in self.columns]
        free = options.max_width - frame - sum(least)
        if free < 0:
            yield from self._paragraphs()
            return
        for column, narrow in zip(self.columns, least, strict=True):
            column.width = min(narrow + free, _widest(column, wrapped=False))
            free -= column.width - narrow
        yield from super().__rich_console__(console, options)

    def _paragraphs(self) -> RenderResult:
        if self.title:
            yield Text(str(self.title), style="table.title", overflow="fold")
        names = [str(column.header) for column in self.columns]
        for cells in zip(*(map(str, column.cells) for column in self.columns), strict=True):
            yield Text("")
            yield Text(cells[0], overflow="fold")
            for name, cell in zip(names[1:], cells[1:], strict=True):
                if cell:
                    yield Text(f"  {name}: {cell}" if name else f"  {cell}", overflow="fold")
        if self.caption:
            yield Text(f"\n{self.caption}", overflow="fold")


def _widest(column: Column, wrapped: bool) -> int:
    """Width of a column's cells, or of their longest part that is never wrapped.

    Only texts, which are to the left, and headers are wrapped; indentation stays with its word.
    """
    widths = [0]
    for place, cell in enumerate([column.header, *column.cells]):
        for line in str(cell).splitlines():
            if wrapped and (place == 0 or column.justify == "left"):
                indent = len(line) - len(line.lstrip())
                widths += [indent + cell_len(word) for word in line.split()]
            else:
                widths.append(cell_len(line))
    return max(widths)


def console() -> Console:
    """Standard output; a table in a file or pipe is not cut to a terminal's width."""
    return _PlainConsole() if sys.stdout.isatty() else _PlainConsole(width=140)


def table(title: str, *columns: str) -> Table:
    """An empty table: its first column is text, the others are right-aligned figures."""
    made = _WholeTable(title=title, title_justify="left", box=box.SIMPLE_HEAD)
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
