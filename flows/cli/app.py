# SPDX-License-Identifier: Apache-2.0
"""The command line: options into calls of the flows, figures out as tables or JSON.

A mistake of the user is one line on standard error and exit status 1 (2 for a wrong option). The
modules that a command needs are imported when it runs, so that `--help` is quick.
"""

import contextlib
import importlib.metadata
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import BUILD as _BUILD
from flows.cli.console import BuildFolder, Json, NetworkFile, note_level
from flows.cli.console import console as _console
from flows.cli.console import print_json as _print_json
from flows.cli.console import say as _say
from flows.cli.host import host
from hw.errors import PlosiveError

__all__ = ["app", "main", "run"]

app = typer.Typer(
    name="plosive",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(host, name="host")


class Check(StrEnum):
    """What `simulate` compares."""

    trace = "trace"
    outputs = "outputs"


class Reset(StrEnum):
    """What a spike does to the membrane."""

    zero = "zero"
    subtract = "subtract"


class Format(StrEnum):
    """How a folder of recordings is laid out."""

    timit = "timit"
    folder = "folder"
    prompts = "prompts"


class Split(StrEnum):
    """Which speakers or sentences of a corpus."""

    train = "train"
    dev = "dev"
    test = "test"
    all = "all"


class Broken(StrEnum):
    """What becomes of recordings that cannot be used."""

    refuse = "refuse"
    skip = "skip"


class GeneratedTop(StrEnum):
    """What stands around the accelerator in the Verilog."""

    core = "core"
    axi = "axi"


class Process(StrEnum):
    """What the Verilog is mapped to."""

    ihp = "ihp-sg13g2"
    sky130 = "sky130A"
    generic = "generic"


class Top(StrEnum):
    """What is synthesised."""

    core = "core"
    axi = "axi"
    board = "board"


class MemoryGoal(StrEnum):
    """What the choice of SRAM macros makes least."""

    area = "area"
    energy = "energy"


class Engine(StrEnum):
    """What computes a transcription."""

    golden = "golden"
    rtl = "rtl"


Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Hardware by name: paper-t2, paper-t2-unmerged, paper-t1, speech or tiny.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Hardware as JSON fields (or a plosive.json)."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Change a field, as lanes=64. May be repeated."
    ),
]


RandomSeed = Annotated[
    int | None, typer.Option("--random", metavar="SEED", min=0, help="A random network.")
]
Audio = Annotated[
    Path | None,
    typer.Option("--audio", metavar="WAV", help="A 16 kHz mono recording (WAV or FLAC)."),
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the data sets (or PLOSIVE_DATA)."),
]
ZooBuild = Annotated[
    Path, typer.Option("--build", metavar="DIR", help="Folder that keeps what took long.")
]
_ZOO_BUILD = Path("build/model_zoo")
BrokenOption = Annotated[
    Broken, typer.Option("--broken", help="What becomes of recordings that cannot be used.")
]


ProcessName = Annotated[
    Process, typer.Option("--pdk", help="The process; `generic` counts gates and needs no files.")
]
PdkRoot = Annotated[
    Path | None,
    typer.Option("--pdk-root", metavar="DIR", help="Folder of the PDKs (or PDK_ROOT)."),
]
Bake = Annotated[
    bool, typer.Option("--bake", help="Make the network constants; no weight port, ROMs.")
]
ClockGating = Annotated[
    bool, typer.Option("--clock-gating/--no-clock-gating", help="Insert clock gates.")
]
MacroGoal = Annotated[
    MemoryGoal, typer.Option("--memory-goal", help="Choose SRAM macros by area or read energy.")
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"plosive {importlib.metadata.version('plosive')}")
        raise typer.Exit


@app.callback()
def plosive(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Verilog of recurrent spiking speech accelerators, proved clock by clock.

    Start with `plosive demo`. Each command's `--help` has examples.
    """


@app.command()
def generate(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder to make. It must be new, empty or an earlier output, which is replaced.",
        ),
    ],
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    top: Annotated[
        GeneratedTop,
        typer.Option("--top", help="The core, or the IP with AXI: registers and streams."),
    ] = GeneratedTop.core,
    network: NetworkFile = None,
    bake: Annotated[
        bool, typer.Option("--bake", help="Make the network constants; no weight port.")
    ] = False,
    best: Annotated[
        int,
        typer.Option(
            "--best", metavar="N", min=0, help="Build a list of a frame's N best classes (axi)."
        ),
    ] = 0,
    testbench: Annotated[
        bool, typer.Option("--testbench", help="Also write a self-checking Verilog bench (core).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the Verilog of an accelerator.

    DIR gets `plosive.v`, `plosive.json` (ports, layouts, memory map, phase table, hashes), with
    `--network` the memories' initial contents as `.hex` files (the Verilog holds them too), and
    with `--testbench` a bench for any simulator. The same input gives the same bytes.

    With `--top axi` it is `plosive_axi.v`, an IP with AXI4-Lite registers and AXI4-Stream features
    and results, `plosive.json` holds its register map too, and the C driver comes with it: see
    docs/host-interface.md.

    **Examples**

    - `plosive generate --preset paper-t2 -o out`
    - `plosive generate --preset speech --network speech.safetensors --testbench -o out`
    - `plosive generate --preset paper-t2 --set lanes=64 --set n_output=183 -o out`
    - `plosive generate --preset speech --network speech.safetensors --bake -o out`
    - `plosive generate --preset speech --top axi --best 1 -o out`
    - `plosive generate --network mine.safetensors -o out` (the hardware that its file names)
    """
    from flows.inputs import configuration
    from flows.progress import on_terminal
    from flows.verilog import generate as flow
    from golden_model import Network

    machine = configuration(preset, config, changes or (), network)
    held = Network.load(network, machine) if network is not None else None
    with on_terminal() as progress:
        made = flow.generate(
            machine,
            output,
            top=top.value,
            network=held,
            bake=bake,
            best=best,
            bench=testbench,
            progress=progress,
        )
    if as_json:
        _print_json({"folder": str(made.folder), "files": made.files, **_hashes(machine)})
        return
    for name in made.files:
        size = (made.folder / name).stat().st_size
        typer.echo(f"{made.folder / name}  {size:,} bytes")
    if testbench:
        typer.echo(
            f"run the bench: cd {made.folder} && iverilog -g2005 -o tb plosive_tb.v plosive.v "
            "&& vvp -n tb"
        )


@app.command()
def simulate(
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    network: NetworkFile = None,
    random: RandomSeed = None,
    audio: Audio = None,
    frames: Annotated[
        int | None,
        typer.Option("--frames", metavar="N", min=1, help="N frames of random features."),
    ] = None,
    check: Annotated[
        Check, typer.Option("--check", help="Compare all state at every clock, or the outputs.")
    ] = Check.trace,
    netlist: Annotated[
        Process | None,
        typer.Option(
            "--netlist",
            metavar="PDK",
            help="Run the netlist of `plosive area` in place of the Verilog: the gate-level check.",
        ),
    ] = None,
    pdk_root: PdkRoot = None,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, help="Seed of random features, and of state at power-up."),
    ] = 1,
    waves: Annotated[
        bool, typer.Option("--waves", help="Write a waveform of the whole run.")
    ] = False,
    as_json: Json = False,
    build: BuildFolder = _BUILD,
) -> None:
    """Run the generated Verilog in Verilator and compare it with the golden model.

    `--check trace` compares every register at every clock edge with the clock-exact model;
    `--check outputs` compares the logits, several times faster. Both compare the hardware's
    counters with the cycle laws. Anything that differs is shown with its clock, signal and lane,
    the run is repeated with a waveform, and the exit status is 1. Figures per frame are means:
    `phases`, `row_reads`; `counters` are totals of the run.

    With `--netlist PDK` the mapped netlist runs, with its clock gates and SRAM macros, from random
    state; `--check` is `outputs` then, and a run that differs is not repeated.

    **Examples**

    - `plosive simulate --preset tiny --random 1 --frames 20`
    - `plosive simulate --preset tiny --random 1 --frames 20 --check outputs --netlist ihp-sg13g2`
    - `plosive simulate --preset paper-t2 --random 1 --frames 20 --check trace --json`
    - `plosive simulate --preset speech --network net.safetensors --audio a.wav --check outputs`
    """
    from flows.inputs import configuration
    from flows.progress import on_terminal
    from flows.simulation.simulate import cosimulate

    machine = configuration(preset, config, changes or (), network)
    held = _network(machine, network, random)
    features = _features(machine, held, audio, frames, seed)
    model = None
    with on_terminal() as progress:
        if netlist is not None:
            from flows.asic.gate_level import build_netlist
            from flows.asic.pdk import find_pdk
            from flows.asic.synthesis import synthesize

            if check != Check.outputs:
                raise PlosiveError("--netlist has no trace of its state: give --check outputs")
            mapped = synthesize(
                machine, find_pdk(netlist.value, pdk_root), build_dir=build, progress=progress
            )
            model = build_netlist(mapped, build, waves=waves, progress=progress)
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
        run.figures["netlist"] = {"pdk": netlist.value, "file": str(mapped.verilog)}
    if as_json:
        _print_json(run.figures)
    else:
        from flows.cli import tables

        console = _console()
        console.print(tables.simulation_table(run.figures))
        console.print(tables.cycle_table(run.figures))
        console.print(tables.rows_table(run.figures))
    for warning in run.figures["warnings"]:
        _say(f"note: {warning}")
    if not run.passed:
        for message in run.messages[1:]:
            _say(message)
        left = run.figures["waves"]
        where = f" (waveform: {left})" if left else ""
        raise PlosiveError(f"the Verilog differs: {run.messages[0]}{where}")
    if waves and not as_json:
        typer.echo(f"waveform: {run.figures['waves']}")


@app.command()
def cycles(
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    densities: Annotated[
        str | None,
        typer.Option(
            "--densities",
            metavar="published",
            help="Expected figures for the reference's published densities.",
        ),
    ] = None,
    network: NetworkFile = None,
    random: RandomSeed = None,
    audio: Audio = None,
    frames: Annotated[
        int | None,
        typer.Option("--frames", metavar="N", min=1, help="N frames of random features."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of random features.")] = 1,
    as_json: Json = False,
) -> None:
    """Cycles and memory traffic of a frame from the laws alone, without simulating clocks.

    The laws equal the hardware's counters exactly (`plosive simulate` checks it on each run).
    For the reference's shapes the published figures stand beside, with why they differ.

    **Examples**

    - `plosive cycles --preset paper-t2 --densities published`
    - `plosive cycles --preset paper-t1 --densities published --json`
    - `plosive cycles --preset speech --network speech.safetensors --audio hello.wav`
    """
    from flows.inputs import configuration
    from flows.simulation import cycles as flow

    machine = configuration(preset, config, changes or (), network)
    given = [network, random, audio, frames]
    if densities is not None:
        if densities != "published":
            raise PlosiveError(f"--densities is {densities!r}: it must be published")
        if any(value is not None for value in given):
            raise PlosiveError("--densities stands alone: give it, or a network and features")
        figures = flow.expected_figures(machine)
    else:
        held = _network(machine, network, random)
        figures = flow.measured_figures(
            machine, held, _features(machine, held, audio, frames, seed)
        )
    figures = {**_hashes(machine), **figures}
    if as_json:
        _print_json(figures)
        return
    from flows.cli import tables

    console = _console()
    console.print(tables.cycle_table(figures))
    console.print(tables.rows_table(figures))
    for warning in figures.get("warnings", []):
        _say(f"note: {warning}")


@app.command()
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
        typer.Option("--unit", metavar="BLOCK", help="Only this block, as neurons/lanes."),
    ] = None,
    top: Annotated[
        Top, typer.Option("--top", help="The core alone, or with what a host needs around it.")
    ] = Top.core,
    memory_goal: MacroGoal = MemoryGoal.area,
    clock_gating: ClockGating = True,
    as_json: Json = False,
    build: BuildFolder = _BUILD,
) -> None:
    """Synthesise the accelerator for a process and say what each block occupies.

    Logic is mapped to standard cells with yosys; memories become SRAM macros where the PDK has
    them, and are listed in bits where it has not. kGE are thousands of the library's smallest
    NAND2. The blocks in a block add up to it. The build folder keeps the netlist, the wrappers
    around the macros, and an SDC for place and route. No wires, no clock tree: see
    docs/area-timing-power.md.

    **Examples**

    - `plosive area --preset paper-t2`
    - `plosive area --preset tiny --pdk generic`
    - `plosive area --preset paper-t2 --unit neurons --json`
    - `plosive area --preset paper-t2 --memory-goal energy`
    - `plosive area --preset paper-t2 --top board`
    - `plosive area --preset speech --network speech --bake`
    """
    from flows.asic.area import area_figures

    machine, netlist = _netlist(
        (preset, config, changes, network),
        (pdk, pdk_root),
        top=top,
        bake=bake,
        clock_gating=clock_gating,
        memory_goal=memory_goal,
        build=build,
    )
    figures = {**_hashes(machine), **area_figures(netlist, unit)}
    if as_json:
        _print_json(figures)
        return
    from flows.cli import tables

    console = _console()
    console.print(tables.area_table(figures))
    if unit is None:
        console.print(tables.memory_table(figures))
    interface = figures["interface"]
    if interface:
        typer.echo(
            f"around the core: {interface['around']:,.5g} {interface['unit']}, "
            f"{100 * interface['share']:.1f} % of the core's {interface['core']:,.5g}"
        )
    gating = figures["clock_gating"]
    if gating["inserted"]:
        typer.echo(
            f"{gating['flip_flops_gated']:,} of {gating['flip_flops']:,} flip-flops are behind "
            f"{gating['clock_gates']:,} clock gates"
        )
    typer.echo(f"netlist: {figures['netlist']}")


class MapForm(StrEnum):
    """A form of the register map."""

    markdown = "markdown"
    c = "c"
    systemrdl = "systemrdl"
    json = "json"


@app.command()
def registers(
    form: Annotated[
        MapForm, typer.Option("--format", help="For people, C, register tools, or programs.")
    ] = MapForm.markdown,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it there.")
    ] = None,
) -> None:
    """Print the register map of the host interface.

    It is the same for every configuration; docs/register-map.md and the C driver's header are this
    command's output.

    **Examples**

    - `plosive registers`
    - `plosive registers --format c -o plosive_registers.h`
    - `plosive registers --format systemrdl -o plosive.rdl`
    """
    from flows.verilog.register_map import register_map
    from golden_model.files import atomic_write

    text = register_map(form.value)
    if output is None:
        typer.echo(text, nl=False)
        return
    atomic_write(output, text.encode())
    typer.echo(f"{output}  {len(text.encode()):,} bytes")


@app.command()
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
    as_json: Json = False,
    build: BuildFolder = _BUILD,
) -> None:
    """The highest clock of the synthesised accelerator, and the path that limits it.

    OpenSTA on the netlist of `plosive area`, with the SRAM macros' own timing. The clock is ideal
    and wires are the library's guess, so a layout will be slower: see docs/area-timing-power.md.
    Registers keep their names of the Verilog.

    **Examples**

    - `plosive timing --preset tiny`
    - `plosive timing --preset paper-t2 --json`
    - `plosive timing --preset paper-t2 --pdk sky130A`
    """
    from flows.asic.timing import timing_figures

    machine, netlist = _netlist(
        (preset, config, changes, network),
        (pdk, pdk_root),
        bake=bake,
        clock_gating=clock_gating,
        memory_goal=memory_goal,
        build=build,
        tool="sta",
    )
    figures = {**_hashes(machine), **timing_figures(netlist)}
    if as_json:
        _print_json(figures)
        return
    from flows.cli import tables

    console = _console()
    console.print(tables.slack_table(figures))
    console.print(tables.register_table(figures))
    console.print(tables.path_table(figures["critical_path"]))
    for note in figures["notes"]:
        _say(f"note: {note}")


@app.command()
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
            min=1,
            help="Frames to count: of the recording [up to 200], or of random features [50].",
        ),
    ] = None,
    warm_up: Annotated[
        int, typer.Option("--warm-up", metavar="N", min=0, help="Frames before them.")
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of random features.")] = 1,
    clock: Annotated[
        list[float] | None,
        typer.Option(
            "--clock",
            metavar="HZ",
            help="A clock that never stops. May be repeated. [the slowest that keeps up; 100 kHz; "
            "1 MHz]",
        ),
    ] = None,
    pdk: ProcessName = Process.ihp,
    pdk_root: PdkRoot = None,
    memory_goal: MacroGoal = MemoryGoal.area,
    clock_gating: ClockGating = True,
    as_json: Json = False,
    build: BuildFolder = _BUILD,
) -> None:
    """Energy of a frame, and power in real time, by block and memory.

    The netlist of `plosive area` runs the network; every edge of every net is counted and takes
    its energy from the library, every row read from the SRAM macro's tables. The outputs are
    compared with the golden model first. Real time is 100 frames a second, with the clock stopped
    between frames and with clocks that run all the time. No wires and no clock tree: see
    docs/area-timing-power.md.

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
    held = _network(machine, network, random)
    if audio is None:
        features = _features(machine, held, None, warm_up + (frames or 50), seed)
    else:
        features = _features(machine, held, audio, None, seed)
        if frames is not None and len(features) < warm_up + frames:
            raise PlosiveError(
                f"--frames is {frames}: {audio} has {len(features)} frames, {warm_up} of them to "
                "warm up"
            )
        features = features[: warm_up + (frames or 200)]
    _, netlist = _netlist(
        (preset, config, changes, network),
        (pdk, pdk_root),
        bake=False,
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
    figures = {**_hashes(machine), **measured}
    if as_json:
        _print_json(figures)
        return
    from flows.cli import tables

    console = _console()
    console.print(tables.energy_table(figures))
    console.print(tables.real_time_table(figures))
    console.print(tables.efficiency_table(figures))
    for note in figures["notes"]:
        _say(f"note: {note}")


@app.command()
def fpga(
    board: Annotated[
        str,
        typer.Option(
            "--board",
            metavar="NAME",
            help="ulx3s-85f, ulx3s-45f, icebreaker, arty-a7-35, arty-a7-100 or arty-z7-20.",
        ),
    ],
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    network: NetworkFile = None,
    audio: Audio = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="Placements to choose from.")
    ] = 3,
    core: Annotated[
        bool, typer.Option("--core", help="Also count the core alone, without its interface.")
    ] = False,
    as_json: Json = False,
    build: Annotated[
        Path, typer.Option("-o", "--build", metavar="DIR", help="Folder that keeps everything.")
    ] = _BUILD,
) -> None:
    """Make a bitstream for a board: accelerator, registers, serial bridge, LEDs.

    Without --preset, --config or --network the board's usual shape is built. Lanes are as many as
    the board's chip takes, unless --config or --set names them. With --network the weights are in
    the bitstream, unless the chip cannot initialise its memories (iCEBreaker): then the host loads
    them, as without. ECP5 and iCE40 are built with open tools, the clock is the median of the
    placements. For Xilinx boards a Vivado project is written, which nobody has built: see
    docs/fpga.md.

    **Examples**

    - `plosive fpga --board icebreaker`
    - `plosive fpga --board ulx3s-85f --preset paper-t2 --core --json`
    - `plosive fpga --board ulx3s-85f --network speech --audio hello.wav`
    - `plosive fpga --board arty-a7-35 -o build`
    """
    from flows.fpga import boards as fpga_boards
    from flows.fpga import build as flow
    from flows.fpga import vivado as fpga_vivado
    from flows.inputs import audio_features, changed_fields, configuration, fitting_features
    from flows.progress import on_terminal
    from golden_model import Network

    target = fpga_boards.board(board)
    if audio is not None and network is None:
        raise PlosiveError("--audio needs a network, to count its spikes; give --network")
    if preset is None and config is None and network is None:
        machine = target.config.replace(**changed_fields(changes or ()))
    else:
        machine = configuration(preset, config, (), network)
        machine = machine if config is not None else target.folded(machine)
        machine = machine.replace(**changed_fields(changes or ()))
    held = Network.load(network, machine) if network is not None else None
    features = None
    if audio is not None:
        features = fitting_features(machine, audio_features(audio, held.header))
    with on_terminal() as progress:
        if target.family == "xilinx":
            figures = fpga_vivado.write_project(
                target, machine, network=held, build_dir=build, progress=progress
            )
        else:
            figures = flow.build(
                target,
                machine,
                network=held,
                features=features,
                seeds=seeds,
                with_core=core,
                build_dir=build,
                progress=progress,
            )
    figures = {**_hashes(machine), **figures}
    if as_json:
        _print_json(figures)
        return
    if target.family == "xilinx":
        typer.echo(f"{figures['folder']}: {', '.join(figures['files'])}")
        typer.echo(f"not built here; build it with: {'; '.join(figures['run'])}")
        return
    from flows.cli import tables

    _console().print(tables.board_table(figures))
    if not figures["network_in_bitstream"]:
        typer.echo("the host loads the weights")
    typer.echo(figures["bitstream"]["load"])


@app.command()
def transcribe(
    recording: Annotated[
        Path, typer.Argument(metavar="WAV", help="A 16 kHz mono recording (WAV or FLAC).")
    ],
    network: NetworkFile = None,
    engine: Annotated[
        Engine, typer.Option("--engine", help="The golden model, or the Verilog in Verilator.")
    ] = Engine.golden,
    gain: Annotated[
        float,
        typer.Option("--gain", metavar="DB", help="Gain of the recording: level matters."),
    ] = 0.0,
    as_json: Json = False,
    build: BuildFolder = _BUILD,
) -> None:
    """Print the phones heard in a recording, with their times.

    The default network is the shipped one. `--engine rtl` runs the generated Verilog, checks it
    against the golden model, and decodes the logits that came out of it.

    **Examples**

    - `plosive transcribe hello.wav`
    - `plosive transcribe hello.wav --engine rtl`
    - `plosive transcribe hello.wav --network mine.safetensors --json`
    """
    from flows.inputs import default_network
    from flows.progress import on_terminal
    from flows.speech import transcribe as flow
    from golden_model import Network

    held = Network.load(network if network is not None else default_network())
    with on_terminal() as progress:
        figures = flow.transcribe(
            recording, held, engine=engine.value, gain=gain, build_dir=build, progress=progress
        )
    if as_json:
        _print_json(figures)
        return
    from flows.cli import tables

    console = _console()
    console.print(tables.phone_table(figures["phones"]))
    console.print(" ".join(phone["phone"] for phone in figures["phones"]))
    note_level(figures["level_db"], gain)


@app.command()
def demo(
    audio: Audio = None,
    network: NetworkFile = None,
    data: DataFolder = None,
    costs: Annotated[
        bool,
        typer.Option(
            "--costs/--no-costs", help="Also measure the machine's area and power, beside the run."
        ),
    ] = True,
    as_json: Json = False,
    build: BuildFolder = _BUILD,
) -> None:
    """A spoken sentence from WAV to phones, the Verilog compared at every clock edge.

    Takes a sentence that the shipped network was not trained on (or `--audio`), computes its
    features, runs the network in the golden model and in the generated Verilog, compares all
    state at every clock, prints what was heard and what a frame costs, and leaves pictures of it
    in `report.html` of the build folder. Beside that the machine is synthesised and its power
    measured on the sentence's beginning: for IHP SG13G2 where that is installed, else only its
    gates are counted.

    **Examples**

    - `plosive demo`
    - `plosive demo --audio hello.wav`
    - `plosive demo --no-costs`
    """
    from flows.progress import on_terminal
    from flows.report import report as reports
    from flows.speech import demo as flow

    with on_terminal() as progress:
        shown = flow.demo(
            build_dir=build,
            audio=audio,
            network_file=network,
            data=data,
            costs=costs,
            progress=progress,
        )
    page = reports.write(build)
    if as_json:
        _print_json(shown.figures)
    else:
        console = _console()
        for part in flow.report(shown):
            console.print(part)
        typer.echo(f"report: {page}")
    if not shown.passed:
        raise PlosiveError(f"the Verilog differs: {shown.messages[0]}")


@app.command()
def report(
    build: Annotated[
        Path, typer.Argument(metavar="BUILD_DIR", help="Folder that `plosive demo` has filled.")
    ] = _BUILD,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File to write instead of BUILD_DIR/report.html."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write one HTML page of what a demo showed: pictures, tables, versions.

    The page needs no network and no other file. It also shows `netlist.json`, `area.json` and
    `power.json` of the folder, where what `plosive simulate --netlist`, `area` and `power` print
    with `--json` has been kept; `plosive demo` keeps the last two.

    **Examples**

    - `plosive report build`
    - `plosive report build -o speech.html --open`
    """
    from flows.report import report as flow

    path = flow.write(build, output)
    if as_json:
        _print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        typer.echo(f"report: {path}")
    if show:
        typer.launch(str(path))


@app.command()
def export(
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File to write; its name's end counts."
        ),
    ],
    network: NetworkFile = None,
    nir: Annotated[
        Path | None, typer.Option("--nir", metavar="FILE", help="A graph of another tool (.nir).")
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    input_scale: Annotated[
        float,
        typer.Option(
            "--input-scale", metavar="X", help="Trained value of one step of the int8 features."
        ),
    ] = 1.0,
    dt: Annotated[
        float | None,
        typer.Option("--dt", metavar="S", help="Seconds of a time step of the graph. [1e-4]"),
    ] = None,
    reset: Annotated[
        Reset, typer.Option("--reset", help="What the graph's tool meant: NIR cannot say it.")
    ] = Reset.zero,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Take the nearest decay, however far.")
    ] = False,
    as_json: Json = False,
) -> None:
    """A network to a NIR graph or the C driver's image, or a NIR graph to a network.

    NIR (neuroir.org) is what snnTorch, Norse, SpikingJelly and others write. A graph that came
    from `--network` comes back with the same integers. Any other has its weights rounded to 4
    bits with one scale a layer, its decays to the nearest 1 - 2^-a or 2^-a, and the errors are
    printed; what the hardware cannot run is refused with the node, the field and the rule. See
    docs/bring-your-own-network.md.

    An image (.bin, or .h as a C array) is what the C driver writes into the hardware that
    `--preset`, `--config` and `--set` name, or else the network's file. See
    docs/host-interface.md.

    **Examples**

    - `plosive export --network speech.safetensors -o speech.nir`
    - `plosive export --network speech.safetensors --config out/plosive.json -o speech.h`
    - `plosive export --nir mine.nir -o mine.safetensors`
    - `plosive export --nir mine.nir --dt 1e-3 --input-scale 0.05 --set acc_bits=14 -o
      mine.safetensors --json`

    Then: `plosive generate --network mine.safetensors -o out`
    """
    from flows.inputs import changed_fields, configuration
    from flows.speech import export as flow
    from flows.verilog.network_image import SUFFIXES

    if (network is None) == (nir is None):
        raise PlosiveError("give either --network FILE or --nir FILE: one of them is converted")
    image = network is not None and output.suffix in SUFFIXES
    if (preset is not None or config is not None) and not image:
        raise PlosiveError("--preset and --config are for images: name the output *.bin or *.h")
    if network is not None:
        others = dt is not None or input_scale != 1.0 or nearest or reset != Reset.zero
        if others or (changes and not image):
            raise PlosiveError(
                "--set, --input-scale, --dt, --reset and --nearest are for --nir: a network file "
                "is written as it is"
            )
        if image:
            machine = configuration(preset, config, changes or (), network)
            figures = flow.export_image(machine, network, output)
        else:
            figures = flow.export_graph(network, output)
    else:
        figures = flow.import_graph(
            nir,
            output,
            fields=changed_fields(changes or ()),
            input_scale=input_scale,
            dt=dt,
            reset=reset.value,
            nearest=nearest,
        )
    if as_json:
        _print_json(figures)
        return
    if figures["conversion"]:
        from flows.cli import tables

        _console().print(tables.conversion_table(figures["conversion"]))
    how = "the same integers" if figures["exact"] else "rounded as shown"
    typer.echo(f"{output}  {figures['bytes']:,} bytes, {how}")


@app.command()
def evaluate(
    network: NetworkFile = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder of the recordings; with --corpus, of the data sets (or PLOSIVE_DATA).",
        ),
    ] = None,
    layout: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="How DIR is laid out: LDC93S1 or NLTK's sample; WAV + TextGrid, .lab or .phn; "
            "or prompts.tsv.",
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus", metavar="NAME", help="A data set by name: timit-sample, bdl, slt, ..."
        ),
    ] = None,
    split: Annotated[
        Split, typer.Option("--split", help="Which speakers or sentences.")
    ] = Split.test,
    snr: Annotated[
        float | None,
        typer.Option("--snr", metavar="DB", help="Mix noise in at this ratio to the speech."),
    ] = None,
    noise: Annotated[
        str, typer.Option("--noise", metavar="CLASS|all", help="Class of the noise.")
    ] = "all",
    noise_data: Annotated[
        Path | None,
        typer.Option("--noise-data", metavar="DIR", help="Noise: a folder of clips per class."),
    ] = None,
    broken: BrokenOption = Broken.refuse,
    gain: Annotated[
        float | None,
        typer.Option(
            "--gain",
            metavar="DB",
            help="Gain of all recordings. Default: one for all, to the level of the training data.",
        ),
    ] = None,
    as_json: Json = False,
    build: ZooBuild = _ZOO_BUILD,
) -> None:
    """Score a network on recordings: phone error rate, sparsity, cycles, size.

    The default network is the shipped one. Where there are phone times, frames are scored too;
    prompts without times are scored against dictionary pronunciations. Noise is of clips that no
    training used.

    **Examples**

    - `plosive evaluate --corpus timit-sample --split test`
    - `plosive evaluate --network mine.safetensors --data /corpora/TIMIT --format timit --json`
    - `plosive evaluate --network speech --corpus bdl --snr 10 --noise rain`
    - `plosive evaluate --data recordings --format folder --split all --broken skip`
    """
    from flows.inputs import default_network
    from flows.speech import evaluate as flow

    figures = flow.evaluate(
        network if network is not None else default_network(),
        flow.Recordings(
            corpus=corpus,
            data=data,
            format=layout.value if layout is not None else None,
            split=split.value,
            snr=snr,
            noise=noise,
            noise_data=noise_data,
            broken=broken.value,
            gain=gain,
        ),
        build_dir=build,
        progress=sys.stderr.isatty(),
    )
    if as_json:
        _print_json(figures)
        return
    from flows.cli import tables

    _console().print(tables.evaluation_table(figures))
    for note in figures["notes"]:
        _say(f"note: {note}")


@app.command()
def train(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="A recipe's name, or a .toml file of your own."),
    ] = None,
    data: DataFolder = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for the network and its card."),
    ] = Path("networks"),
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="CPU threads; results depend on them.")
    ] = 1,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="In place of the recipe's own.")
    ] = None,
    broken: BrokenOption = Broken.refuse,
    as_json: Json = False,
    build: ZooBuild = _ZOO_BUILD,
) -> None:
    """Train a network by a recipe: from recordings to a `.safetensors` file, scored.

    Without RECIPE, lists the recipes. A recipe says what data is used, the stages (float, fewer
    neurons, 8 bits, 4 bits, pruned) and every constant. Features, alignments and finished stages
    are kept in the build folder: an interrupted training goes on where it was.

    **Examples**

    - `plosive train`
    - `plosive train timit-sample -o networks`
    - `plosive train mine.toml --data /corpora --threads 2`
    """
    from flows.speech import train as flow

    if recipe is None:
        shown = flow.recipes()
        if as_json:
            _print_json({"recipes": [{"name": n, "description": d} for n, d in shown]})
        for name, description in () if as_json else shown:
            typer.echo(f"{name:16} {description}")
        return
    figures = flow.train(
        recipe,
        data=data,
        output=output,
        build_dir=build,
        threads=threads,
        seed=seed,
        broken=broken.value,
        report=_say,
        progress=sys.stderr.isatty(),
    )
    if as_json:
        _print_json(figures)
        return
    from flows.cli import tables

    _console().print(tables.stages_table(figures["stages"]))
    typer.echo(f"{figures['network']}\n{figures['card']}")


@app.command()
def networks(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show the model card of this one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What the model zoo holds: trained networks, on what, how good, under which licence.

    A name serves wherever a command takes `--network`. With NAME, its model card.

    **Examples**

    - `plosive networks`
    - `plosive networks speech`
    - `plosive networks --json`
    """
    from flows.speech import networks as flow

    if name is not None:
        if as_json:
            _print_json(flow.described(name))
        else:
            from rich.markdown import Markdown

            _console().print(Markdown(flow.card(name)))
        return
    held = flow.listed()
    if as_json:
        _print_json({"networks": held})
        return
    from flows.cli import tables

    _console().print(tables.networks_table(held))


# ---- what the commands share -----------------------------------------------------------------


def _network(machine: Any, file: Path | None, seed: int | None) -> Any:
    from golden_model import Network

    if (file is None) == (seed is None):
        raise PlosiveError(
            "give either --network FILE or --random SEED: one of them is the network"
        )
    return Network.load(file, machine) if file is not None else Network.random(machine, seed)


def _netlist(
    hardware: tuple[str | None, Path | None, list[str] | None, Path | None],
    process: tuple[Process, Path | None],
    *,
    top: Top = Top.core,
    bake: bool,
    clock_gating: bool,
    memory_goal: MemoryGoal,
    build: Path,
    tool: str | None = None,
) -> tuple[Any, Any]:
    """The configuration and its netlist; a tool that is needed later is looked for first."""
    from flows.asic.pdk import find_pdk
    from flows.asic.synthesis import synthesize
    from flows.inputs import configuration
    from flows.progress import on_terminal
    from flows.tools import toolchain
    from golden_model import Network

    preset, config, changes, file = hardware
    machine = configuration(preset, config, changes or (), file)
    found = find_pdk(process[0].value, process[1])
    if tool is not None:
        toolchain.find(tool)
    network = Network.load(file, machine) if file is not None else None
    with on_terminal() as progress:
        netlist = synthesize(
            machine,
            found,
            top=top.value,
            network=network,
            bake=bake,
            clock_gating=clock_gating,
            memory_goal=memory_goal.value,
            build_dir=build,
            progress=progress,
        )
    return machine, netlist


def _features(machine: Any, network: Any, audio: Path | None, frames: int | None, seed: int) -> Any:
    from flows.inputs import audio_features, fitting_features
    from golden_model import random_features

    if (audio is None) == (frames is None):
        raise PlosiveError("give either --audio WAV or --frames N: one of them is the input")
    if audio is None:
        return random_features(machine, frames, seed)
    return fitting_features(machine, audio_features(audio, network.header))


def _hashes(machine: Any) -> dict[str, str]:
    return {"configuration_hash": machine.config_hash, "network_hash": machine.network_hash}


def main() -> None:
    """Run the command line; every mistake of the user ends as one line and an exit status."""
    # The golden model's products are small: BLAS threads would wait for each other, and a network
    # take ten times as long on a busy machine. torch has threads of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status of the command line with these arguments."""
    command = typer.main.get_command(app)
    try:
        status = command.main(args=arguments, prog_name="plosive", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        message = error.format_message()
        if not message:  # no arguments: the help was shown
            return error.exit_code
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "plosive"
        _say(f"{_one_line(message).rstrip('.')} (see {path} --help)")
        return error.exit_code
    except PlosiveError as error:
        _say(_one_line(str(error)))
        return 1
    except BrokenPipeError:  # the reader went away (`plosive ... | head`): nothing is left to say
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        named = f"{error.filename}: " if error.filename else ""
        _say(_one_line(f"{named}{error.strerror or error}"))
        return 1
    except (typer.Abort, KeyboardInterrupt):
        _say("interrupted")
        return 130
    return status if isinstance(status, int) else 0


def _drop_output() -> None:
    """Send what standard output still holds nowhere: Python flushes it again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


if __name__ == "__main__":
    main()
