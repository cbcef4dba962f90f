# SPDX-License-Identifier: Apache-2.0
"""`plosive area`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, tell
from flows.cli.given import mapped
from flows.cli.options import (
    BUILD,
    Bake,
    BuildFolder,
    Changes,
    ClockGating,
    ConfigFile,
    Json,
    MacroGoal,
    MemoryGoal,
    NetworkFile,
    PdkRoot,
    Preset,
    Process,
    ProcessName,
    Top,
)

if TYPE_CHECKING:
    from flows.asic.area import AreaFigures, Size

__all__ = ["area", "area_table", "memory_table"]


def area(
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    network: NetworkFile = None,
    bake: Bake = False,
    pdk: ProcessName = Process.ihp,
    pdk_root: PdkRoot = None,
    unit: Annotated[
        str | None,
        typer.Option(
            "--unit", metavar="BLOCK", help="Show only this block, for example neurons/lanes."
        ),
    ] = None,
    top: Annotated[
        Top,
        typer.Option(
            "--top", help="What to synthesise: the core alone, or with the interface around it."
        ),
    ] = Top.core,
    memory_goal: MacroGoal = MemoryGoal.area,
    clock_gating: ClockGating = True,
    as_json: Json = False,
    build: BuildFolder = BUILD,
) -> None:
    """Synthesise the accelerator for a process and report the area of each block.

    yosys maps the logic to standard cells. Memories become SRAM macros if the PDK has any;
    otherwise their sizes in bits are listed. One kGE is the area of a thousand of the library's
    smallest NAND2 gates. The blocks inside a block add up to its area. The build folder keeps the
    netlist, the wrappers around the macros, and an SDC file for place and route. Wires and the
    clock tree are not included: see docs/area-timing-power.md.

    **Examples**

    - `plosive area --preset paper-t2`
    - `plosive area --preset tiny --pdk generic`
    - `plosive area --preset paper-t2 --unit neurons --json`
    - `plosive area --preset paper-t2 --memory-goal energy`
    - `plosive area --preset paper-t2 --top board`
    - `plosive area --preset speech --network speech --bake`
    """
    from flows.asic.area import area_figures
    from flows.figures import Hashes
    from flows.inputs import configuration

    machine = configuration(preset, config, changes or (), network)
    netlist = mapped(
        machine,
        network,
        pdk=pdk,
        pdk_root=pdk_root,
        top=top,
        bake=bake,
        clock_gating=clock_gating,
        memory_goal=memory_goal,
        build=build,
    )
    figures = area_figures(netlist, unit, Hashes.of(machine))
    if as_json:
        print_json(figures.to_dict())
        return
    console = terminal.console()
    console.print(area_table(figures))
    if unit is None:
        console.print(memory_table(figures))
    interface = figures.interface
    if interface:
        tell(
            f"around the core: {interface.around:,.5g} {interface.unit}, "
            f"{terminal.percent(interface.share)} of the core's {interface.core:,.5g}"
        )
    gating = figures.clock_gating
    if gating.inserted:
        tell(
            f"{gating.flip_flops_gated:,} of {gating.flip_flops:,} flip-flops are behind "
            f"{gating.clock_gates:,} clock gates"
        )
    tell(f"netlist: {figures.netlist}")


def area_table(figures: "AreaFigures") -> Table:
    """Each block with all that is inside it, indented by depth, and the total."""
    areas = figures.gate_equivalent is not None
    what = ("kGE", "logic um2", "flip-flops um2", "clock gates um2", "SRAM um2") if areas else ()
    of = f" of {figures.unit}" if figures.unit else ""
    table = terminal.table(
        f"Area{of}, {figures.library}" if areas else f"Gates{of}",
        *("block", "cells", "flip-flops", "clock gates"),
        *what,
    )
    for row in figures.blocks:
        name = "  " * (row.level - 1) + row.block.rpartition("/")[2]
        table.add_row(name, *_area_cells(row.size, areas))
    table.add_section()
    table.add_row("total", *_area_cells(figures.total, areas))
    return table


def _area_cells(size: "Size", areas: bool) -> list[str]:
    cells = [f"{count:,}" for count in (size.cells, size.flip_flops, size.clock_gates)]
    if areas:
        um2 = (size.logic_um2, size.flip_flops_um2, size.clock_gates_um2, size.macros_um2)
        cells += [f"{size.logic_kge:,.2f}", *(f"{value:,.0f}" for value in um2)]
    return cells


def memory_table(figures: "AreaFigures") -> Table:
    """Memories, the macros they are built from, and the energy of a row."""
    table = terminal.table("Memories", "memory", "rows x bits")
    table.add_column("macros", justify="left")
    for column in ("um2", "unused bits", "pJ per row read", "pJ per row written", "leakage uW"):
        table.add_column(column, justify="right")
    for name, memory in figures.memories.items():
        counts: dict[str, int] = {}
        for column in memory.columns:
            counts[column.macro] = counts.get(column.macro, 0) + column.levels
        table.add_row(
            name.removeprefix("plosive_"),
            f"{memory.rows:,} x {memory.bits}",
            ", ".join(f"{count} {macro}" for macro, count in counts.items()),
            f"{memory.area_um2:,.0f}",
            f"{memory.unused_bits:,}",
            f"{memory.read_pj:,.1f}",
            f"{memory.write_pj:,.1f}",
            f"{memory.leakage_uw:.2f}",
        )
    for name, memory in figures.memories_without_macros.items():
        table.add_row(
            name.removeprefix("plosive_"),
            f"{memory.rows:,} x {memory.bits}",
            f"none: {memory.rows * memory.bits:,} bits, not in the area",
            *["-"] * 5,
        )
    return table
