# SPDX-License-Identifier: Apache-2.0
"""Tables fit the terminal, and never cut a name or a number."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from flows import terminal
from flows.cli.commands.cycles import cycle_table, rows_table
from flows.cli.commands.networks import networks_table
from flows.simulation.cycles import expected_figures
from flows.speech.networks import listed
from hw.config import preset


def tables() -> dict[str, Table]:
    paper = expected_figures(preset("paper-t2"))
    memories = terminal.table("Memories", "memory", "rows x bits")
    memories.add_column("macros", justify="left")
    for column in ("um2", "unused bits", "pJ per row read", "leakage uW"):
        memories.add_column(column, justify="right")
    memories.add_row(
        "readout_memory_0",
        "960 x 512",
        "8 RM_IHPSG13_1P_1024x64_c2_bm_bist",
        *("1,234,567", "32,768", "1,234.5", "12.34"),
    )
    nested = terminal.table("Gates", "block", "cells")
    nested.add_row("    neurons_and_their_lanes", "1,234,567")
    return {
        "cycles": cycle_table(paper.cycles, paper.published),
        "rows": rows_table(paper.cycles),
        "networks": networks_table(listed()),
        "memories": memories,
        "nested": nested,
    }


def shown(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("name", tables())
@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 400])
def test_a_table_fits_and_is_whole(name: str, width: int) -> None:
    table = tables()[name]
    lines = shown(table, width)
    assert max(map(len, lines)) <= width
    words = set(" ".join(lines).replace(":", " ").split())
    for number, column in enumerate(table.columns):
        # Paragraphs begin with the cell of the first column, whose header they do without.
        for cell in (column.header if number else "", *column.cells):
            for word in str(cell).replace(":", " ").split():
                assert word in words, f"{word!r} is cut at {width} columns"


def test_what_fits_stays_a_table() -> None:
    lines = shown(tables()["memories"], 140)
    assert "um2" in lines[2]
    assert "leakage uW" in lines[2]
    row = next(line for line in lines if "readout_memory_0" in line)
    assert row.split()[-4:] == ["1,234,567", "32,768", "1,234.5", "12.34"]
    assert next(line for line in shown(tables()["nested"], 60) if "lanes" in line).startswith(
        "      neurons"
    )


def test_a_narrow_terminal_gets_paragraphs() -> None:
    assert shown(tables()["memories"], 40) == [
        "Memories",
        "",
        "readout_memory_0",
        "  rows x bits: 960 x 512",
        "  macros: 8",
        "RM_IHPSG13_1P_1024x64_c2_bm_bist",
        "  um2: 1,234,567",
        "  unused bits: 32,768",
        "  pJ per row read: 1,234.5",
        "  leakage uW: 12.34",
    ]
