# SPDX-License-Identifier: Apache-2.0
"""The options on wires of `plosive timing` and `plosive power`, and what is shown of them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.options import Process, number

if TYPE_CHECKING:
    from flows.asic.layout.figures import WireFigures
    from flows.asic.synthesis import Netlist

__all__ = ["Utilisation", "WireModel", "WireOption", "check_wires", "wire_table", "wired"]


class WireModel(StrEnum):
    """Where the lengths of wires are from."""

    model = "model"
    fitted = "fitted"
    placed = "placed"
    resized = "resized"


WireOption = Annotated[
    WireModel,
    typer.Option(
        "--wires",
        help="Estimate wires by the library's model, which does not know the size of the design, "
        "by a law fitted to placements of ours (`fitted`), "
        "or by a trial placement (minutes for the large presets; needs the extra `layout`): "
        "`placed` of the netlist as it is, `resized` with the drives and buffers that the wires "
        "ask for.",
    ),
]
Utilisation = Annotated[
    float | None,
    typer.Option(
        "--utilisation",
        metavar="PART",
        parser=number(0.05, 0.95),
        help="With --wires placed or resized: the part of the rows that cells fill. Default: 0.7.",
    ),
]


def check_wires(wires: WireModel, pdk: Process, pdk_root: Path | None) -> None:
    """Look for what `--wires` needs, before minutes of synthesis.

    Raises
    ------
    ToolError
        The placer or a LEF file is missing.
    PlosiveError
        The process has no layout here.
    """
    if wires is WireModel.model:
        return
    from flows.asic.layout.placement import check_placer
    from flows.asic.layout.process import read_rules
    from flows.asic.pdk import find_pdk

    read_rules(find_pdk(pdk.value, pdk_root), ())
    if wires is not WireModel.fitted:
        check_placer()


def wired(
    netlist: "Netlist", wires: WireModel, utilisation: float | None, build: Path
) -> "Netlist":
    """The netlist with the wires of `--wires`.

    Raises
    ------
    PlosiveError
        The netlist cannot be placed.
    """
    if wires is WireModel.model:
        return netlist
    from flows.asic.layout.fitted import estimate_wires
    from flows.asic.layout.floorplan import UTILISATION
    from flows.asic.layout.layout import place_netlist
    from flows.progress import on_terminal

    with on_terminal() as progress:
        if wires is WireModel.fitted:
            return estimate_wires(netlist, build_dir=build, progress=progress)
        return place_netlist(
            netlist,
            resized=wires is WireModel.resized,
            utilisation=UTILISATION if utilisation is None else utilisation,
            build_dir=build,
            progress=progress,
        )


def wire_table(figures: "WireFigures") -> Table:
    """Length and capacitance of wires, low and high, and the files of a placement."""
    table = terminal.table(
        f"Wires of {figures.source}", "", "fF per um", "wire m", "wire pF", "source"
    )
    for case in figures.cases:
        table.add_row(
            case.name,
            f"{case.ff_per_um:.3f}",
            f"{figures.wire_m:.2f}",
            f"{case.wire_pf:,.0f}",
            case.source,
        )
    if figures.die_mm2 is not None:
        table.caption = (
            f"A die of {figures.die_mm2:.2f} mm2, rows of {figures.core_mm2:.2f} mm2 filled to "
            f"{figures.utilisation:.0%}, placed in {figures.seconds:.0f} s by {figures.placer}: "
            f"{figures.placed_def}, {figures.picture}"
        )
        table.caption_justify = "left"
    sizing = figures.sizing
    if sizing is not None:
        table.caption += (
            f"\n{sizing.changed:,} gates have another drive and {sizing.buffers:,} buffers replace "
            f"{sizing.buffers_before:,}: cells of {sizing.cells_mm2:.3f} mm2 instead of "
            f"{sizing.cells_mm2_before:.3f}"
        )
    return table
