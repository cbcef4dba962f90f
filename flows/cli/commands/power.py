# SPDX-License-Identifier: Apache-2.0
"""`plosive power`."""

from typing import Annotated, Any

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, say
from flows.cli.given import features_of, hashes, mapped, network_of
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
from hw.errors import PlosiveError

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
    as_json: Json = False,
    build: BuildFolder = BUILD,
) -> None:
    """Estimate the energy of a frame, and the power in real time, by block and memory.

    The netlist of `plosive area` runs the network. Every edge of every net is counted and given its
    energy from the library, and every row access its energy from the SRAM macro's tables. The
    outputs are compared with the golden model first. Real time means 100 frames per second, either
    with the clock stopped between frames or with the clock always running. Wires and the clock tree
    are not included: see docs/area-timing-power.md.

    **Examples**

    - `plosive power --preset tiny --random 1`
    - `plosive power --preset speech --network speech --audio hello.wav`
    - `plosive power --preset paper-t2 --random 1 --frames 20 --json`
    - `plosive power --preset speech --network speech --audio hello.wav --clock 10e6`
    """
    from flows.asic.pdk import find_pdk
    from flows.asic.power import check_power, power_figures
    from flows.inputs import configuration
    from flows.progress import on_terminal

    machine = configuration(preset, config, changes or (), network)
    check_power(find_pdk(pdk.value, pdk_root))
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
    with on_terminal() as progress:
        measured = power_figures(
            netlist,
            held,
            features,
            warm_up=warm_up,
            clocks_hz=clock,
            build_dir=build,
            progress=progress,
        )
    figures = {**hashes(machine), **measured}
    if as_json:
        print_json(figures)
        return
    console = terminal.console()
    console.print(energy_table(figures))
    console.print(real_time_table(figures))
    console.print(efficiency_table(figures))
    for note in figures["notes"]:
        say(f"note: {note}")


def energy_table(figures: dict[str, Any]) -> Table:
    """Energy of blocks and memories per frame, and power in real time with the clock stopped."""
    table = terminal.table(
        f"Energy per frame, {figures['library']}, mean of {figures['frames']} frames",
        *("", "internal nJ", "switching nJ", "nJ per frame", "leakage uW", "real time uW"),
    )
    for row in figures["blocks"]:
        values = (row[key] for key in ("internal_nj", "switching_nj", "nj"))
        table.add_row(row["block"], *map(terminal.significant, values), *_uw(row))
    energy, leakage = figures["energy_per_frame_nj"], figures["leakage_uw"]
    rate = figures["real_time"]["frames_per_s"] * 1e-3
    clock = energy["clock_pins"]
    table.add_row(
        "clock pins",
        "-",
        terminal.significant(clock),
        terminal.significant(clock),
        "-",
        terminal.significant(clock * rate),
    )
    table.add_section()
    for row in figures["memories"]:
        table.add_row(
            f"{row['memory']}, macros", "-", "-", terminal.significant(row["nj"]), *_uw(row)
        )
    table.add_section()
    for name, leaks in (("logic", leakage["logic"]), ("memories", leakage["memories"])):
        real_time = energy[name] * rate + leaks
        table.add_row(name, "-", "-", *map(terminal.significant, (energy[name], leaks, real_time)))
    stopped = figures["real_time"]["clock_stopped"]
    whole = (energy["total"], stopped["leakage_uw"], stopped["total_uw"])
    table.add_row("total", "-", "-", *map(terminal.significant, whole))
    return table


def _uw(row: dict[str, Any]) -> list[str]:
    return [terminal.significant(row["leakage_uw"]), terminal.significant(row["real_time_uw"])]


def real_time_table(figures: dict[str, Any]) -> Table:
    """Power at the frame rate, with the clock stopped between frames and always running."""
    real_time = figures["real_time"]
    table = terminal.table(
        f"Real time, {real_time['frames_per_s']} frames per second",
        *("clock", "logic uW", "memories uW", "idle clock uW", "leakage uW", "total uW"),
    )
    rows = [("stopped between frames", real_time["clock_stopped"])]
    for row in real_time["clock_running"]:
        rows.append((f"{row['clock_hz'] / 1e3:,.4g} kHz, running", row))
    for name, row in rows:
        keys = ("logic_uw", "memories_uw", "idle_clock_uw", "leakage_uw", "total_uw")
        table.add_row(name, *(terminal.significant(row[key]) for key in keys))
    return table


def efficiency_table(figures: dict[str, Any]) -> Table:
    """Operations per second and watt, beside the reference."""
    operations, reference = figures["operations"], figures["reference"]
    table = terminal.table(
        "Efficiency",
        *("", "operations per frame", "TOPS/W in real time", "TOPS/W without leakage"),
    )
    for name, key in (("performed", "done"), ("with nothing skipped", "dense")):
        table.add_row(
            name,
            f"{operations[f'{key}_per_frame']:,.0f}",
            terminal.significant(operations[f"tops_per_w_{key}"]),
            terminal.significant(operations[f"tops_per_w_{key}_without_leakage"]),
        )
    table.caption = (
        f"The reference, {reference['process']}: {reference['real_time_uw']} uW in real time, "
        f"{reference['tops_per_w']} TOPS/W at {reference['tops_per_w_hz'] / 1e6:g} MHz."
    )
    table.caption_justify = "left"
    return table
