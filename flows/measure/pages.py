# SPDX-License-Identifier: Apache-2.0
"""What the pages of results are made of: tables, and blocks between two markers."""

from collections.abc import Iterable, Sequence

from hw.errors import PlosiveError

__all__ = ["table", "with_block"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def with_block(text: str, name: str, inside: str) -> str:
    """A text with something else between its markers, `<!-- NAME: begin -->` and the like.

    Raises
    ------
    PlosiveError
        It has not each marker once, in order.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed or begin in rest or end in before or end in after:
        raise PlosiveError(f"it must hold {begin} and {end} once each, in this order")
    return f"{before}{begin}\n{inside}\n{end}{after}"
