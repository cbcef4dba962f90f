# SPDX-License-Identifier: Apache-2.0
"""`plosive power`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, say
from flows.cli.given import features_of, mapped, network_of
from flows.cli.options import (
    BUILD,
    FRAMES,
    Audio,
    BuildFolder,
    Changes,
    ClockGating,
    ConfigFile,
    FeatureSeed,
    Json,
    MacroGoal,
    MemoryGoal,
    NetworkFile,
    PdkRoot,
    Preset,
    Process,
    ProcessName,
    RandomSeed,
    number,
)
from flows.cli.wires import (
    Utilisation,
    WireModel,
    WireOption,
    check_wires,
    wire_table,
    wired,
)
from hw.errors import PlosiveError

if TYPE_CHECKING:
    from flows.asic.power_figures import PowerFigures

__all__ = ["efficiency_table", "energy_table", "power", "real_time_table"]


def power(
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    network: NetworkFile = None,
    random: RandomSeed = None,
    audio: Audio = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames",
            metavar="N",
            **FRAMES,
            help="Frames to measure. Default: up to 200 of a recording, or 50 of random features.",
        ),
    ] = None,
    warm_up: Annotated[
        int,
        typer.Option(
            "--warm-up",
            metavar="N",
            min=0,
            max=1_000_000,
            help="Frames to run before measuring.",
        ),
    ] = 10,
    seed: FeatureSeed = 1,
    clock: Annotated[
        list[float] | None,
        typer.Option(
            "--clock",
            metavar="HZ",
            parser=number(1, 1e12),
            help="Also report power with this clock always running. May be repeated. Default: the "
            "slowest clock that keeps up, 100 kHz and 1 MHz.",
        ),
    ] = None,
    pdk: ProcessName = Process.ihp,
    pdk_root: PdkRoot = None,
    memory_goal: MacroGoal = MemoryGoal.area,
    clock_gating: ClockGating = True,
    wires: WireOption = WireModel.model,
    utilisation: Utilisation = None,
    as_json: Json = False,
    build: BuildFolder = BUILD,
) -> None:
    """Estimate the energy of a frame, and the power in real time, by block and memory.

    The netlist of `plosive area` runs the network. Every edge of every net is counted and given its
    energy from the library, and every row access its energy from the SRAM macro's tables. The
    outputs are compared with the golden model first. Real time means 100 frames per second, either
    with the clock stopped between frames or with the clock always running. Wires are the library's
    estimate, or have the lengths of a trial placement with `--wires placed`; there is no clock
    tree: see docs/area-timing-power.md.

    **Examples**

    - `plosive power --preset tiny --random 1`
    - `plosive power --preset tiny --random 1 --wires placed`
    - `plosive power --preset speech --network speech --audio hello.wav`
    - `plosive power --preset paper-t2 --random 1 --frames 20 --json`
    - `plosive power --preset speech --network speech --audio hello.wav --clock 10e6`
    """
    from flows.asic.pdk import find_pdk
    from flows.asic.power import check_power, power_figures
    from flows.figures import Hashes
    from flows.inputs import configuration
    from flows.progress import on_terminal

    machine = configuration(preset, config, changes or (), network)
    check_power(find_pdk(pdk.value, pdk_root))
    check_wires(wires, pdk, pdk_root)
    held = network_of(machine, network, random)
    if audio is None:
        features = features_of(machine, held, None, warm_up + (frames or 50), seed)
    else:
        features = features_of(machine, held, audio, None, seed)
        if frames is not None and len(features) < warm_up + frames:
            raise PlosiveError(
                f"--frames is {frames}: {audio} has {len(features)} frames, {warm_up} of them to "
                "warm up"
            )
        features = features[: warm_up + (frames or 200)]
    netlist = mapped(
        machine,
        network,
        pdk=pdk,
        pdk_root=pdk_root,
        clock_gating=clock_gating,
        memory_goal=memory_goal,
        build=build,
        tool="sta",
    )
    netlist = wired(netlist, wires, utilisation, build)
    with on_terminal() as progress:
        figures = power_figures(
            netlist,
            held,
            features,
            warm_up=warm_up,
            clocks_hz=clock,
            of=Hashes.of(machine),
            build_dir=build,
            progress=progress,
        )
    if as_json:
        print_json(figures.to_dict())
        return
    console = terminal.console()
    if figures.wires is not None:
        console.print(wire_table(figures.wires))
    console.print(energy_table(figures))
    console.print(real_time_table(figures))
    console.print(efficiency_table(figures))
    for note in figures.notes:
        say(f"note: {note}")


def energy_table(figures: "PowerFigures") -> Table:
    """Energy of blocks and memories per frame, and power in real time with the clock stopped."""
    from flows.rates import real_time_uw

    table = terminal.table(
        f"Energy per frame, {figures.library}, mean of {figures.frames} frames",
        *("", "internal nJ", "switching nJ", "nJ per frame", "leakage uW", "real time uW"),
    )

    def row(name: str, *values: float | None) -> None:
        cells = ("-" if value is None else terminal.significant(value) for value in values)
        table.add_row(name, *cells)

    energy, leakage = figures.energy_per_frame_nj, figures.leakage_uw
    for block in figures.blocks:
        row(
            *(block.block, block.internal_nj, block.switching_nj, block.nj),
            *(block.leakage_uw, block.real_time_uw),
        )
    clock = energy.clock_pins
    row("clock pins", None, clock, clock, None, real_time_uw(clock))
    table.add_section()
    for memory in figures.memories:
        costs = (memory.nj, memory.leakage_uw, memory.real_time_uw)
        row(f"{memory.memory}, macros", None, None, *costs)
    table.add_section()
    for name, nj, leaks in (
        ("logic", energy.logic, leakage.logic),
        ("memories", energy.memories, leakage.memories),
    ):
        row(name, None, None, nj, leaks, real_time_uw(nj) + leaks)
    stopped = figures.real_time.clock_stopped
    row("total", None, None, energy.total, stopped.leakage_uw, stopped.total_uw)
    if figures.energy_low_nj is not None:
        low = figures.energy_low_nj.total
        uw = real_time_uw(low) + stopped.leakage_uw
        row("total, with the low capacitance", None, None, low, stopped.leakage_uw, uw)
    return table


def real_time_table(figures: "PowerFigures") -> Table:
    """Power at the frame rate, with the clock stopped between frames and always running."""
    real_time = figures.real_time
    table = terminal.table(
        f"Real time, {real_time.frames_per_s} frames per second",
        *("clock", "logic uW", "memories uW", "idle clock uW", "leakage uW", "total uW"),
    )
    rows = [("stopped between frames", real_time.clock_stopped)]
    for clock in real_time.clock_running:
        rows.append((f"{clock.clock_hz / 1e3:,.4g} kHz, running", clock.power))
    for name, power in rows:
        parts = (power.logic_uw, power.memories_uw, power.idle_clock_uw)
        values = (*parts, power.leakage_uw, power.total_uw)
        table.add_row(name, *map(terminal.significant, values))
    return table


def efficiency_table(figures: "PowerFigures") -> Table:
    """Operations per second and watt, beside the reference."""
    done, reference = figures.operations, figures.reference
    table = terminal.table(
        "Efficiency",
        *("", "operations per frame", "TOPS/W in real time", "TOPS/W without leakage"),
    )
    rows = (
        (
            *("performed", done.done_per_frame, done.tops_per_w_done),
            done.tops_per_w_done_without_leakage,
        ),
        (
            *("with nothing skipped", done.dense_per_frame, done.tops_per_w_dense),
            done.tops_per_w_dense_without_leakage,
        ),
    )
    for name, operations, real_time, without_leakage in rows:
        rates = map(terminal.significant, (real_time, without_leakage))
        table.add_row(name, f"{operations:,.0f}", *rates)
    table.caption = (
        f"The reference, {reference.process}: {reference.real_time_uw} uW in real time, "
        f"{reference.tops_per_w} TOPS/W at {reference.tops_per_w_hz / 1e6:g} MHz."
    )
    table.caption_justify = "left"
    return table
