# SPDX-License-Identifier: Apache-2.0
"""`plosive timing`."""

from typing import TYPE_CHECKING

from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, say
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
)
from flows.cli.wires import (
    Utilisation,
    WireModel,
    WireOption,
    check_wires,
    wire_table,
    wired,
)

if TYPE_CHECKING:
    from flows.asic.timing import CriticalPath, TimingFigures

__all__ = ["path_table", "register_table", "slack_table", "timing"]


def timing(
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    network: NetworkFile = None,
    bake: Bake = False,
    pdk: ProcessName = Process.ihp,
    pdk_root: PdkRoot = None,
    memory_goal: MacroGoal = MemoryGoal.area,
    clock_gating: ClockGating = True,
    wires: WireOption = WireModel.model,
    utilisation: Utilisation = None,
    as_json: Json = False,
    build: BuildFolder = BUILD,
) -> None:
    """Report the maximum clock of the synthesised accelerator, and the critical path.

    OpenSTA analyses the netlist of `plosive area`, including the timing of the SRAM macros. The
    clock is ideal. Wires are the library's estimate, or have the lengths of a trial placement with
    `--wires placed`; nothing is routed, so a layout will be slower: see docs/area-timing-power.md.
    Registers have the same names as in the Verilog.

    **Examples**

    - `plosive timing --preset tiny`
    - `plosive timing --preset paper-t2 --json`
    - `plosive timing --preset paper-t2 --pdk sky130A`
    - `plosive timing --preset tiny --wires resized`
    """
    from flows.asic.timing import timing_figures
    from flows.figures import Hashes
    from flows.inputs import configuration

    machine = configuration(preset, config, changes or (), network)
    check_wires(wires, pdk, pdk_root)
    netlist = mapped(
        machine,
        network,
        pdk=pdk,
        pdk_root=pdk_root,
        bake=bake,
        clock_gating=clock_gating,
        memory_goal=memory_goal,
        build=build,
        tool="sta",
    )
    netlist = wired(netlist, wires, utilisation, build)
    figures = timing_figures(netlist, Hashes.of(machine))
    if as_json:
        print_json(figures.to_dict())
        return
    console = terminal.console()
    if figures.wires is not None:
        console.print(wire_table(figures.wires))
    console.print(slack_table(figures))
    console.print(register_table(figures))
    console.print(path_table(figures.critical_path))
    for note in figures.notes:
        say(f"note: {note}")


def slack_table(figures: "TimingFigures") -> Table:
    """Slack at a few clocks, and the maximum clock."""
    table = terminal.table("Timing", "clock", "period ns", "slack ns", "met")
    for row in figures.clocks:
        met = "yes" if row.met else "NO"
        table.add_row(f"{row.mhz:,.6g} MHz", f"{row.period_ns:,.3f}", f"{row.slack_ns:,.3f}", met)
    table.add_section()
    clock = f"{figures.fmax_mhz:,.1f} MHz, maximum clock"
    table.add_row(clock, f"{figures.least_period_ns:,.3f}", "0.000", "yes")
    if figures.least_period_low_ns is not None:
        low = figures.least_period_low_ns
        table.add_row(
            f"{1000 / low:,.1f} MHz, with the low capacitance", f"{low:,.3f}", "0.000", "yes"
        )
    return table


def register_table(figures: "TimingFigures") -> Table:
    """The registers at the ends of the longest paths."""
    table = terminal.table("Longest paths by register", "to", "minimum period ns")
    for row in figures.endpoints:
        table.add_row(row.register, f"{figures.sized_for_ns - row.slack_ns:.2f}")
    return table


def path_table(path: "CriticalPath") -> Table:
    """The cells of a path, in order."""
    table = terminal.table(f"Critical path, {path.start} to {path.end}", "through", "cell")
    for column in ("delay ns", "time ns"):
        table.add_column(column, justify="right")
    for step in path.steps:
        table.add_row(step.pin, step.cell, f"{step.delay_ns:.3f}", f"{step.at_ns:.3f}")
    return table
