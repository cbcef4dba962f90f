# SPDX-License-Identifier: Apache-2.0
"""`plosive simulate`."""

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.beside import Beside, simulate_beside
from flows.cli.commands.cycles import cycle_table, rows_table
from flows.cli.console import print_json, say, tell
from flows.cli.given import features_of, network_of
from flows.cli.options import (
    BUILD,
    SEED,
    Audio,
    BuildFolder,
    Changes,
    ConfigFile,
    Frames,
    Json,
    NetworkFiles,
    PdkRoot,
    Preset,
    Process,
    RandomSeed,
)
from hw.errors import PlosiveError

if TYPE_CHECKING:
    from flows.simulation.figures import SimulationFigures

__all__ = ["Check", "simulate", "simulation_table"]


class Check(StrEnum):
    """What `simulate` compares."""

    trace = "trace"
    outputs = "outputs"


def simulate(
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    network: NetworkFiles = None,
    random: RandomSeed = None,
    audio: Audio = None,
    frames: Frames = None,
    beside: Beside = None,
    check: Annotated[
        Check,
        typer.Option("--check", help="Compare all state at every clock, or only the outputs."),
    ] = Check.trace,
    netlist: Annotated[
        Process | None,
        typer.Option(
            "--netlist",
            metavar="PDK",
            help="Gate-level check: simulate the netlist of `plosive area` instead of the Verilog.",
        ),
    ] = None,
    pdk_root: PdkRoot = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", **SEED, help="Seed of the random features and of the power-up state."
        ),
    ] = 1,
    waves: Annotated[
        bool, typer.Option("--waves", help="Write a waveform of the whole run.")
    ] = False,
    as_json: Json = False,
    build: BuildFolder = BUILD,
) -> None:
    """Run the generated Verilog in Verilator and compare it with the golden model.

    `--check trace` compares every register at every clock edge with the clock-exact model;
    `--check outputs` compares only the logits and is several times faster. Both compare the
    hardware's counters with the cycle laws. Any difference is reported with its clock, signal and
    lane, the run is repeated to save a waveform, and the exit status is 1. `phases` and `row_reads`
    are means per frame; `counters` are totals of the run.

    `--netlist PDK` simulates the mapped netlist, with its clock gates and SRAM macros, from a
    random power-up state. It needs `--check outputs`, and a run that differs is not repeated.

    `--beside` runs the same network and input on a second machine as well, both checked alike, and
    prints the cycles of each part, the rows and the accumulations of both, and their ratios. Here
    the machines take the shape of the network, so that a preset serves any. The cycles of the parts
    are those of the laws, whose sum is that of the hardware's counter.

    **Examples**

    - `plosive simulate --preset tiny --random 1 --frames 20`
    - `plosive simulate --preset tiny --random 1 --frames 20 --check outputs --netlist ihp-sg13g2`
    - `plosive simulate --preset paper-t2 --random 1 --frames 20 --check trace --json`
    - `plosive simulate --preset speech --network net.safetensors --audio a.wav --check outputs`
    - `plosive simulate --preset paper-t2 --set hidden_work=split --beside paper-t2 --network speech
      --audio a.wav`
    """
    if beside:
        if netlist is not None or waves:
            raise PlosiveError("--beside is for the Verilog: leave --netlist and --waves out")
        simulate_beside(
            beside,
            preset=preset,
            config=config,
            changes=changes or (),
            networks=network or (),
            random=random,
            audio=audio,
            frames=frames,
            check=check.value,
            seed=seed,
            build=build,
            as_json=as_json,
        )
        return
    if network and len(network) > 1:
        raise PlosiveError(f"--network is given {len(network)} times: it needs --beside, too")
    file = network[0] if network else None
    from flows.inputs import configuration
    from flows.progress import on_terminal
    from flows.simulation.figures import SimulatedNetlist
    from flows.simulation.simulate import cosimulate

    machine = configuration(preset, config, changes or (), file)
    held = network_of(machine, file, random)
    features = features_of(machine, held, audio, frames, seed)
    model = None
    with on_terminal() as progress:
        if netlist is not None:
            from flows.asic.gate_level import build_netlist
            from flows.asic.pdk import find_pdk
            from flows.asic.synthesis import synthesize

            if check != Check.outputs:
                raise PlosiveError("--netlist has no trace of its state: give --check outputs")
            gates = synthesize(
                machine, find_pdk(netlist.value, pdk_root), build_dir=build, progress=progress
            )
            model = build_netlist(gates, build, waves=waves, progress=progress)
        run = cosimulate(
            machine,
            held,
            features,
            build_dir=build,
            check=check.value,
            waves=waves,
            seed=seed,
            netlist=model,
            progress=progress,
        )
    if netlist is not None:
        simulated = SimulatedNetlist(pdk=netlist.value, file=str(gates.verilog))
        run = replace(run, figures=replace(run.figures, netlist=simulated))
    if as_json:
        print_json(run.figures.to_dict())
    else:
        console = terminal.console()
        console.print(simulation_table(run.figures))
        console.print(cycle_table(run.figures.cycles))
        console.print(rows_table(run.figures.cycles))
    for warning in run.figures.warnings:
        say(f"note: {warning}")
    if not run.passed:
        for message in run.messages[1:]:
            say(message)
        where = f" (waveform: {run.figures.waves})" if run.figures.waves else ""
        raise PlosiveError(f"the Verilog differs: {run.messages[0]}{where}")
    if waves and not as_json:
        tell(f"waveform: {run.figures.waves}")


def simulation_table(figures: "SimulationFigures") -> Table:
    """What a simulation compared, and how fast it ran."""
    table = terminal.table("Verilog against the golden model", "what", "figure")
    table.add_row("frames", f"{figures.frames:,}")
    table.add_row("clocks", f"{figures.clocks:,}")
    if figures.check == "trace":
        table.add_row("clocks compared, all state", f"{figures.compared_clocks:,}")
        table.add_row("bits compared", f"{figures.compared_bits:,}")
    table.add_row("beats of logits compared", f"{figures.compared_beats:,}")
    table.add_row("counters equal to the laws", "yes" if figures.counters_equal else "NO")
    table.add_row("mismatches", f"{figures.mismatches:,}")
    for name, words in (("first_logit", "first"), ("last_logit", "last")):
        if figures.latency:
            clocks = figures.latency[name].frame_0
            table.add_row(f"latency, last feature to {words} logit", f"{clocks:,} clocks")
    zeros = figures.sparsity
    table.add_row("zero bits of the features", f"{zeros.input_zero_bits:.0%}")
    for layer in zeros.layers:
        shares = ", ".join(f"{share:.0%}" for share in layer.time_steps)
        table.add_row(
            f"zero spikes of layer {layer.layer}, by time step; union",
            f"{shares}; {layer.union:.0%}",
        )
    table.add_row("speed", f"{figures.clocks_per_s:,} clocks/s")
    return table
