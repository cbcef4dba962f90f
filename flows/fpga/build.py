# SPDX-License-Identifier: Apache-2.0
"""`plosive fpga`: a bitstream for a board, what it occupies, how fast it is."""

import hashlib
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.lib import wiring

from flows.figures import Hashes
from flows.fpga import boards as fpga_boards
from flows.fpga.boards import LABELS, Board
from flows.fpga.figures import (
    Bitstream,
    BoardFigures,
    BuildSeconds,
    MaximumClock,
    Rates,
    Resource,
    RoutedPath,
    WithAndAlone,
)
from flows.fpga.memory import block_ram_count, choose_sprams, inferred_memory, spram_wrapper
from flows.progress import Progress, silent
from flows.simulation.cycles import expected_figures, measured_figures
from flows.tools import toolchain
from flows.tools.build_once import build_once
from flows.tools.process import run_child
from flows.tools.yosys import run_yosys
from flows.verilog.contents import contents
from flows.verilog.writer import TOP, component_verilog
from golden_model import Network
from golden_model.files.escape import shell_path
from golden_model.files.writing import atomic_write
from hw.config import AcceleratorConfig
from hw.core.core import Contents, Core
from hw.errors import PlosiveError
from hw.schedule import machine_memories
from hw.shell.board_top import BoardTop

__all__ = [
    "FPGA_TOP",
    "Placement",
    "Sources",
    "Synthesis",
    "board_sources",
    "board_tools",
    "build",
    "check_fit",
    "core_sources",
    "pack",
    "place",
    "sources",
    "synthesize",
]

FPGA_TOP = "plosive_fpga"
_INTERFACE_BLOCKS = 6  # block RAMs of a small chip that the core leaves to the interface


@dataclass(frozen=True)
class _Tools:
    """What a family of chips is built with.

    Attributes
    ----------
    synthesis
        The yosys command; {top} is the module.
    place, pack
        Names in `toolchain.TOOLS`.
    cells
        yosys' cells that count as each resource of `LABELS`, and how many a cell counts.
    bels
        nextpnr's name of each resource.
    constraints
        File name of pins and clocks.
    written
        nextpnr's option for the routed chip.
    suffix
        File suffix of the bitstream.
    """

    synthesis: str
    place: str
    pack: str
    cells: dict[str, dict[str, int]]
    bels: dict[str, str]
    constraints: str
    written: str
    suffix: str


_TOOLS = {
    "ecp5": _Tools(
        "synth_ecp5 -top {top} -json design.json",
        "nextpnr-ecp5",
        "ecppack",
        {
            # A CCU2C is two LUTs with carry; a TRELLIS_DPR16X4 is four LUTs as memory and two
            # that its write port takes.
            "luts": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
            "flip_flops": {"TRELLIS_FF": 1},
            "block_memories": {"DP16KD": 1, "PDPW16KD": 1},
            "multipliers": {"MULT18X18D": 1},
        },
        {
            "luts": "TRELLIS_COMB",
            "flip_flops": "TRELLIS_FF",
            "block_memories": "DP16KD",
            "multipliers": "MULT18X18D",
        },
        "board.lpf",
        "--textcfg",
        "bit",
    ),
    "ice40": _Tools(
        # abc's proof of its own result takes seconds or hours; the tests simulate the netlist.
        "scratchpad -set abc9.verify false\n"
        "synth_ice40 -dff -device u -top {top} -json design.json",
        "nextpnr-ice40",
        "icepack",
        {
            "luts": {"SB_LUT4": 1},
            "flip_flops": {
                f"SB_DFF{edge}{enable}{reset}": 1
                for edge in ("", "N")
                for enable in ("", "E")
                for reset in ("", "R", "S", "SR", "SS")
            },
            "block_memories": {"SB_RAM40_4K": 1},
            "large_memories": {"SB_SPRAM256KA": 1},
            "multipliers": {"SB_MAC16": 1},
        },
        {
            "luts": "ICESTORM_LC",
            "block_memories": "ICESTORM_RAM",
            "large_memories": "ICESTORM_SPRAM",
            "multipliers": "ICESTORM_DSP",
        },
        "board.pcf",
        "--asc",
        "bin",
    ),
}


@dataclass(frozen=True)
class Sources:
    """What synthesis reads.

    Attributes
    ----------
    top
        The top module.
    verilog
        All of it but the memories of the core.
    memories
        Those, for the family of chips.
    large
        Which of them are in large memories without initial contents.
    """

    top: str
    verilog: str
    memories: str
    large: tuple[str, ...]


@dataclass(frozen=True)
class Synthesis:
    """A design in a chip's cells.

    Attributes
    ----------
    folder
        Holds `design.json` for nextpnr, the Verilog and the script it was made from, `yosys.log`.
    cells
        How many of each of yosys' cells.
    used
        The same by the names of `LABELS`.
    seconds
        What it took when it ran.
    versions
        Versions of the tools.
    """

    folder: Path
    cells: dict[str, int]
    used: dict[str, int]
    seconds: float
    versions: dict[str, str]


@dataclass(frozen=True)
class Placement:
    """A design placed and routed.

    Attributes
    ----------
    seed
        Seed of the placer.
    folder
        Holds `routed` for the packer, the constraints, and `nextpnr.log`.
    fmax_mhz
        The fastest clock, by nextpnr's timing of the routed chip.
    used, available
        Resources by the names of `LABELS`.
    critical_path
        The slowest path.
    seconds
        What it took when it ran.
    """

    seed: int
    folder: Path
    fmax_mhz: float
    used: dict[str, int]
    available: dict[str, int]
    critical_path: RoutedPath
    seconds: float


def board_tools(board: Board) -> dict[str, str]:
    """Version of each tool that a board's bitstream is made with.

    Raises
    ------
    ToolError
        A tool is missing.
    """
    tools = _TOOLS[board.family]
    return {name: toolchain.find(name).version for name in ("yosys", tools.place, tools.pack)}


# ---- Verilog ------------------------------------------------------------------------------


def core_sources(board: Board, config: AcceleratorConfig, network: Network | None) -> Sources:
    """The accelerator core alone, with its memories made for a board's chip."""
    core, large = _with_contents(board, config, network, lambda held: Core(config, held))
    return sources(TOP, core, core, large)


def board_sources(board: Board, config: AcceleratorConfig, network: Network | None) -> Sources:
    """The whole design: core, registers, serial bridge, clock, reset and pins.

    The network is in the bitstream unless one of its memories cannot be initialised; then the
    host loads all of it.
    """
    from hw.shell.board_core import BoardCore

    core, large = _with_contents(
        board,
        config,
        network,
        lambda held: BoardCore(config, held, clock_hz=board.clock_hz, best=board.best),
    )
    top = BoardTop(
        core,
        clock_hz=board.clock_hz,
        pll=board.pll,
        divide=board.divide,
        inverted=[pin.port for pin in board.pins if pin.inverted],
    )
    return sources(FPGA_TOP, top, core, large)


def _with_contents(
    board: Board,
    config: AcceleratorConfig,
    network: Network | None,
    make: Callable[[Contents | None], Any],
) -> tuple[Any, list[str]]:
    """A core, with the network's contents if the chip can hold them, and its large memories."""
    large: list[str] = []
    if board.has.get("large_memories"):
        shapes = machine_memories(config)
        blocks = board.has["block_memories"] - _INTERFACE_BLOCKS
        chosen = choose_sprams(shapes, board.has["large_memories"], blocks)
        large = [memory.name for memory in chosen]
        needed = sum(block_ram_count(shape) for shape in shapes if shape not in chosen)
        check_fit(board, {"block_memories": needed}, "the design")  # before minutes of synthesis
    held = contents(config, network) if network is not None and not large else None
    return make(held), large


def sources(top: str, component: wiring.Component, core: Any, large: list[str]) -> Sources:
    """Verilog of a component, and the memories of the core in it, made for FPGAs.

    Parameters
    ----------
    top
        Name of the component's module.
    component
        All but the memories.
    core
        The core, whose `memory_instances` become modules of their own.
    large
        Names of those that go into SPRAMs.
    """
    texts = [
        spram_wrapper(memory.shape)
        if memory.name in large
        else inferred_memory(memory.shape, memory.initial_rows)
        for memory in core.memory_instances
    ]
    return Sources(top, component_verilog(component, top), "\n".join(texts), tuple(large))


# ---- synthesis ----------------------------------------------------------------------------


def synthesize(
    board: Board, sources: Sources, build_dir: Path, progress: Progress = silent
) -> Synthesis:
    """Map sources to a chip's cells with yosys; the same input finds the earlier result.

    Raises
    ------
    PlosiveError
        yosys fails, or the folder cannot be written.
    """
    tools = _TOOLS[board.family]
    files = {
        "design.v": sources.verilog,
        "memories.v": sources.memories,
        "synthesis.ys": "read_verilog design.v memories.v\n"
        + tools.synthesis.format(top=sources.top)
        + "\ntee -q -o cells.json stat -json\n",
    }
    versions = {"yosys": toolchain.find("yosys").version}
    key = json.dumps([files, versions], sort_keys=True)
    name = f"{board.family}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    folder = build_dir / "fpga" / name

    def fill(work: Path) -> None:
        progress(f"synthesising {sources.top} for {board.family}")
        for file, text in files.items():
            (work / file).write_text(text)
        started = time.monotonic()
        run_yosys(work / "synthesis.ys", failing="yosys fails")
        counted = json.loads((work / "cells.json").read_text())
        figures = {
            "cells": counted["design"]["num_cells_by_type"],
            "seconds": time.monotonic() - started,
            "versions": versions,
        }
        (work / "synthesis.json").write_text(json.dumps(figures, indent=1) + "\n")

    build_once(folder, "synthesis.json", fill)
    figures = json.loads((folder / "synthesis.json").read_text())
    used = {
        resource: sum(count * figures["cells"].get(cell, 0) for cell, count in cells.items())
        for resource, cells in tools.cells.items()
    }
    return Synthesis(folder, figures["cells"], used, figures["seconds"], figures["versions"])


def check_fit(board: Board, used: dict[str, int], design: str) -> None:
    """Refuse what a chip has too little for.

    Raises
    ------
    PlosiveError
        The line names the resource that is most overdrawn, what is needed and what there is.
    """
    over = {name: used[name] / board.has[name] for name in used if used[name] > board.has[name]}
    if over:
        worst = max(over, key=over.__getitem__)
        raise PlosiveError(
            f"{design} does not fit {board.name}: it needs {used[worst]:,} {LABELS[worst]}, the "
            f"chip has {board.has[worst]:,}; fewer lanes (--set lanes=N) need less logic, a "
            "smaller network less memory"
        )


# ---- place and route ----------------------------------------------------------------------


def place(board: Board, synthesis: Synthesis, seed: int, progress: Progress = silent) -> Placement:
    """Place and route with nextpnr, once; the same input finds the earlier result.

    Raises
    ------
    PlosiveError
        A tool is missing, the design does not fit, or nextpnr fails.
    """
    tools = _TOOLS[board.family]
    program = toolchain.find(tools.place)
    constraints = {"ecp5": fpga_boards.lpf, "ice40": fpga_boards.pcf}[board.family](
        board.pins, board.oscillator_hz
    )
    arguments = [
        *board.place,
        *("--json", "../design.json"),  # a path in /tmp would be another one in WebAssembly
        *(f"--{Path(tools.constraints).suffix[1:]}", tools.constraints),
        *(tools.written, "routed"),
        *("--freq", f"{board.oscillator_hz / 1e6:g}"),
        *("--seed", str(seed)),
        *("--report", "report.json"),
        "--timing-allow-fail",
        *("--router", "router2"),  # router1 does not end on a chip that is nearly full
    ]
    key = json.dumps([arguments, constraints, program.version])
    folder = synthesis.folder / f"seed-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

    def fill(work: Path) -> None:
        progress(f"placing and routing, seed {seed}")
        started = time.monotonic()
        (work / tools.constraints).write_text(constraints)
        try:
            _run(_command(tools.place, arguments), work, tools.place, "nextpnr.log")
        except PlosiveError:
            used = _utilisation(tools, (work / "nextpnr.log").read_text())
            check_fit(board, used, "the design")
            raise
        report = json.loads((work / "report.json").read_text())
        (work / "report.json").unlink()
        figures = _placement_figures(tools, report)
        figures["seconds"] = time.monotonic() - started
        (work / "placement.json").write_text(json.dumps(figures, indent=1) + "\n")

    build_once(folder, "placement.json", fill)
    kept = json.loads((folder / "placement.json").read_text())
    kept["critical_path"] = RoutedPath.from_dict(kept["critical_path"])
    return Placement(seed=seed, folder=folder, **kept)


def _placement_figures(tools: _Tools, report: dict[str, Any]) -> dict[str, Any]:
    """What nextpnr's report says of the clock, the resources and the slowest path."""
    clock = min(report["fmax"].values(), key=lambda entry: entry["achieved"])
    utilisation = report["utilization"]
    # From register to register: what comes from and goes to pins belongs to no clock.
    paths = [
        entry["path"]
        for entry in report["critical_paths"]
        if "async" not in entry["from"] + entry["to"]
    ]
    path = max(paths, key=lambda steps: sum(step["delay"] for step in steps), default=[])
    delays = {"logic": 0.0, "routing": 0.0, "setup": 0.0, "clk-to-q": 0.0}
    for step in path:
        delays[step["type"]] = delays.get(step["type"], 0.0) + step["delay"]
    return {
        "fmax_mhz": clock["achieved"],
        "used": {name: utilisation[bel]["used"] for name, bel in tools.bels.items()},
        "available": {name: utilisation[bel]["available"] for name, bel in tools.bels.items()},
        "critical_path": {
            "from": _register(path[0]["from"]["cell"]) if path else "",
            "to": _register(path[-1]["to"]["cell"]) if path else "",
            "logic_ns": delays["logic"] + delays["clk-to-q"] + delays["setup"],
            "routing_ns": delays["routing"],
        },
    }


def _register(cell: str) -> str:
    """A cell's name without what synthesis put behind the signal's."""
    return re.sub(r"_(?:TRELLIS_FF|SB_DFF|DP16KD|SB_RAM|SB_SPRAM|LUT4|CCU2C)\w*$", "", cell)


def _utilisation(tools: _Tools, log: str) -> dict[str, int]:
    """What nextpnr counted before it failed; nothing if it did not come that far."""
    counts = dict(re.findall(r"^Info:\s+(\w+): *(\d+)/ *\d+ +\d+%$", log, re.M))
    return {name: int(counts[bel]) for name, bel in tools.bels.items() if bel in counts}


def pack(board: Board, placement: Placement) -> Path:
    """Pack a placement into a bitstream, or find the one packed before.

    Raises
    ------
    PlosiveError
        The tool is missing or fails, or the folder cannot be written.
    """
    tools = _TOOLS[board.family]
    bitstream = f"{board.name}.{tools.suffix}"
    options = ["--compress"] if board.family == "ecp5" else []  # loads faster
    command = _command(tools.pack, [*options, "../routed", bitstream])
    # A folder of its own: the tool leaves half a bitstream behind when it is interrupted.
    folder = placement.folder / board.name
    build_once(folder, bitstream, lambda work: _run(command, work, tools.pack, f"{tools.pack}.log"))
    return folder / bitstream


def _command(name: str, arguments: list[str]) -> list[str]:
    """How to start a tool: a program, or what a Python package of YoWASP brings."""
    tool = toolchain.find(name)
    if not tool.path.is_dir():
        return [str(tool.path), *arguments]
    function = f"run_{name.replace('-', '_')}"
    package = toolchain.TOOLS[name].wheel
    start = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    return [sys.executable, "-c", start, *arguments]


def _run(command: list[str], folder: Path, name: str, log: str) -> None:
    """Run a tool in a folder; a log there keeps its output.

    Raises
    ------
    PlosiveError
        It fails; the message ends with the tool's own error.
    """
    with open(folder / log, "wb") as file:
        status = run_child(command, folder, stdout=file)
    if status != 0:
        lines = (folder / log).read_text().strip().splitlines() or ["no output"]
        error = next((line for line in lines if "ERROR:" in line), lines[-1])
        raise PlosiveError(f"{name} fails: {error.strip()}")


# ---- all of it ----------------------------------------------------------------------------


def build(
    board: Board,
    config: AcceleratorConfig,
    *,
    network: Network | None = None,
    features: np.ndarray | None = None,
    seeds: int = 3,
    with_core: bool = False,
    of: Hashes | None = None,
    build_dir: Path,
    progress: Progress = silent,
) -> BoardFigures:
    """A bitstream for a board, and what it occupies and how fast it is.

    Parameters
    ----------
    board
        Its chip must be one that open tools build for.
    config
        The hardware.
    network
        Goes into the bitstream where the chip's memories can be initialised; otherwise, and
        without one, the host loads the weights.
    features
        int8 [frames, n_input] of a recording, for the cycles of a frame with this network; None:
        expected for the published densities.
    seeds
        Placements; the bitstream is the fastest one's, the clock reported the median.
    with_core
        Also synthesise the core alone, to see what interface and bridge cost.
    of
        Hashes to keep with the figures.
    build_dir
        `fpga/` in it keeps everything; `fpga/BOARD.bit` or `.bin` is the bitstream.

    Raises
    ------
    PlosiveError
        The design does not fit or does not reach the board's clock, or a tool is missing or fails.
    NetworkError
        The network is for other shapes or formats than the hardware.
    """
    versions = board_tools(board)  # a missing one is seen before minutes of synthesis
    config = config.replace(trace=False)
    if network is not None:
        network = network.on(config)
    progress("generating the Verilog")
    design = board_sources(board, config, network)
    synthesis = synthesize(board, design, build_dir, progress)
    check_fit(board, synthesis.used, "the design")
    placements = [place(board, synthesis, seed, progress) for seed in range(1, seeds + 1)]
    fastest = max(placements, key=lambda placement: placement.fmax_mhz)
    _check_clock(board, fastest)
    progress("packing the bitstream")
    bitstream = _bitstream(board, fastest, build_dir)
    measured = network is not None and features is not None
    frame = measured_figures(config, network, features) if measured else expected_figures(config)
    cycles = frame.cycles.cycles_per_frame.mean
    clock, maximum = board.clock_hz / 1e6, _maximum_clock(placements)
    frames = Rates.of_frames(clock, maximum.median, cycles)
    return BoardFigures(
        of=of,
        board=board.name,
        title=board.title,
        part=board.part,
        configuration=config,
        network_in_bitstream=network is not None and not design.large,
        large_memories=list(design.large),
        resources=_resources(board, synthesis, fastest),
        cells=synthesis.cells,
        clock_mhz=clock,
        fmax_mhz=maximum,
        meets_clock=maximum.median >= clock,
        critical_path=fastest.critical_path,
        cycles_per_frame=cycles,
        densities="measured" if measured else "published",
        frames_per_second=frames,
        real_time_factor=frames.times_real_time,
        bitstream=bitstream,
        seconds=BuildSeconds(
            synthesis=synthesis.seconds,
            place_and_route={str(p.seed): p.seconds for p in placements},
        ),
        versions={
            **versions,
            **{name: version(name) for name in ("plosive", "amaranth", "amaranth-boards")},
        },
        interface=_interface(board, config, network, synthesis, build_dir, progress)
        if with_core
        else None,
    )


def _check_clock(board: Board, fastest: Placement) -> None:
    clock = board.clock_hz / 1e6
    if fastest.fmax_mhz < clock:
        path = fastest.critical_path
        raise PlosiveError(
            f"the design does not reach the clock of {board.name}: {fastest.fmax_mhz:.1f} MHz of "
            f"{clock:g} MHz, on the path from {path.start} to {path.end}; fewer lanes "
            "(--set lanes=N) are faster"
        )


def _maximum_clock(placements: Sequence[Placement]) -> MaximumClock:
    return MaximumClock(
        median=statistics.median(placement.fmax_mhz for placement in placements),
        seeds={str(placement.seed): placement.fmax_mhz for placement in placements},
    )


def _resources(board: Board, synthesis: Synthesis, placement: Placement) -> dict[str, Resource]:
    # nextpnr does not count the flip-flops of an iCE40, which are in its logic cells.
    used = synthesis.used | placement.used
    return {name: Resource(used=used[name], available=there) for name, there in board.has.items()}


def _bitstream(board: Board, fastest: Placement, build_dir: Path) -> Bitstream:
    packed = pack(board, fastest).read_bytes()
    file = build_dir / "fpga" / f"{board.name}.{_TOOLS[board.family].suffix}"
    atomic_write(file, packed)
    return Bitstream(
        file=str(file),
        seed=fastest.seed,
        bytes=len(packed),
        sha256=hashlib.sha256(packed).hexdigest(),
        load=f"openFPGALoader -b {board.loader} {shell_path(file)}",
    )


def _interface(
    board: Board,
    config: AcceleratorConfig,
    network: Network | None,
    whole: Synthesis,
    build_dir: Path,
    progress: Progress,
) -> dict[str, WithAndAlone]:
    """What the whole design uses, beside the core alone."""
    alone = synthesize(board, core_sources(board, config, network), build_dir, progress).used
    return {
        name: WithAndAlone(whole=whole.used[name], core_alone=count)
        for name, count in alone.items()
    }
