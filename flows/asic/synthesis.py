# SPDX-License-Identifier: Apache-2.0
"""Synthesis with yosys: a configuration into a netlist of a process' cells, block by block."""

import hashlib
import json
import re
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flows.asic.gates import Gates, read_gates
from flows.asic.layout.figures import WireFigures
from flows.asic.pdk import Macro, Pdk
from flows.asic.sram import Goal, Tiling, macro_stub, macros_of, memory_stub, tile, wrapper
from flows.progress import Progress, silent
from flows.tools import toolchain
from flows.tools.build_once import build_once
from flows.tools.yosys import run_yosys
from flows.verilog.contents import contents
from flows.verilog.writer import TOP, component_verilog
from golden_model import Network
from hw.config import AcceleratorConfig
from hw.core.core import Contents, Core
from hw.errors import PlosiveError
from hw.schedule import MemoryShape, machine_memories
from hw.shell.board_core import BOARD_TOP, BoardCore
from hw.shell.ip_top import AXI_TOP, IPTop

__all__ = ["PERIOD_NS", "Block", "Netlist", "Wires", "netlist_name", "synthesize"]

PERIOD_NS = 10.0
"""The clock period that gates are sized for, and that the SDC names."""

_CORE_IN_SHELL = ("shell", "machine", "core")
_BOARD_HZ = 25_000_000  # of the serial bridge, which counts it down to a speed

# Memories inside a module with that many rows stay black boxes; smaller ones become flip-flops.
_LEAST_BUFFER = 64

_LEAST_GATED = 4  # flip-flops behind a clock gate: it is as large as four enable multiplexers

# What yosys runs, line by line; {names} are filled in by `_script`. The neurons' lanes become one
# module: what drives all of them gets its buffers only inside of a module.
_READ = """
read_verilog plosive.v memories.v
hierarchy -check -top {top}
proc
submod -name lanes {core}.neurons/lane_*
flatten lanes
hierarchy -check -top {top}
synth -top {top} -noabc -noshare -hieropt -run coarse:fine
{buffers}
memory_map
setattr -unset init w:*
techmap
opt -fast -nodffe -nosdff
opt_clean -purge
"""
# A synchronous reset comes before the enable; turned around (enable = enable or reset, the reset in
# the data) it leaves a flip-flop with an enable only, as a clock gate can serve it.
_GATE_CLOCKS = """
dfflegalize -cell $_SDFFCE_PP0P_ x -cell $_SDFFCE_PP1P_ x -cell $_SDFF_PP0_ x -cell $_SDFF_PP1_ x \
-cell $_DFFE_PP_ x -cell $_DFF_P_ x
dffunmap -srst-only
opt_expr
opt_merge
opt_clean
clockgate -pos {gate} {pins} {test} -min_net_size {least}
"""
# For abc: yosys' own script restructures once and maps for speed; this one restructures more and
# maps for area, and then sizes gates for the period as yosys' does.
_ABC = (
    "+strash;&get,-n;&fraig,-x;&put;scorr;dc2;dc2;dch;dch;amap,-m;buffer;"
    "upsize,{D};dnsize,{D};stime,-p"
)
# Registers are named after the signals that they drive.
_MAP = """
rename -wire t:$_*DFF*
dfflibmap {dont_use} -liberty cells.lib
opt_expr
opt_merge
opt_clean
abc {dont_use} -liberty cells.lib -constr abc.constr -script {abc} -D {period_ps}
setundef -zero
hilomap -singleton -hicell {high} -locell {low}
opt_clean -purge
check -assert -mapped
tee -q -o cells.json stat -json -liberty cells.lib
"""
_MAP_GENERIC = """
dfflegalize -cell $_DFF_P_ x -cell $_DFFE_PP_ x -cell $_SDFF_PP?_ x -cell $_SDFFE_PP?P_ x
rename -wire t:$_*DFF*
opt_expr
opt_merge
opt_clean
abc
setundef -zero
opt_clean -purge
check -assert
tee -q -o cells.json stat -json
"""
_WRITE = """
write_verilog -noattr -noexpr -simple-lhs netlist.v
"""


@dataclass(frozen=True)
class Block:
    """A module of the netlist: its place in the hierarchy and the cells that are its own.

    Attributes
    ----------
    path
        Names from the top, as ("neurons", "lane_0"); empty for the top itself. A memory's wrapper
        and the module that holds only it have the same.
    module
        Name of the Verilog module.
    cells
        How many of each cell; what is in the blocks inside is theirs. SRAM macros are cells too.
    """

    path: tuple[str, ...]
    module: str
    cells: dict[str, int]


@dataclass(frozen=True)
class Wires:
    """Wires with lengths of their own, in place of the library's model of them.

    Attributes
    ----------
    spef
        The wires as resistors and capacitors.
    figures
        How long they are, and how that is known.
    clock_farads
        F of the wire from the clock's input to what it drives.
    modules
        The memory of each macro, by the macro's path: the netlist itself is flat.
    low
        The same with the low capacitance, if this is the high one.
    """

    spef: Path
    figures: WireFigures
    clock_farads: float
    modules: dict[str, str] = field(repr=False)
    low: "Wires | None" = field(default=None, repr=False)


@dataclass(frozen=True)
class Netlist:
    """A mapped netlist and what it was made with.

    Attributes
    ----------
    folder
        Holds `netlist.v` (cells, memory wrappers, macros as instances), `plosive.v` and
        `memories.v` that it was made from, `plosive.sdc`, `synthesis.ys`, `yosys.log`.
    config, pdk
        The hardware and the process.
    core
        The block that is the core; empty if the core is the whole.
    blocks
        Every module, the top first.
    memories
        Every memory of the core.
    tilings
        Macros by memory name; a memory that is not there has none and is a black box.
    clock_gating
        Whether clock gates were inserted.
    gated_flip_flops
        How many flip-flops are behind them.
    versions
        Versions of the tools.
    cpu_s, wall_s
        What synthesis took when it ran; a repeated call finds its result.
    wires
        None: the library's model.
    """

    folder: Path
    config: AcceleratorConfig
    pdk: Pdk
    core: tuple[str, ...]
    blocks: tuple[Block, ...] = field(repr=False)
    memories: tuple[MemoryShape, ...] = field(repr=False)
    tilings: dict[str, Tiling] = field(repr=False)
    clock_gating: bool
    gated_flip_flops: int
    versions: dict[str, str]
    cpu_s: float
    wall_s: float
    wires: Wires | None = None

    @property
    def verilog(self) -> Path:
        """The netlist."""
        return self.folder / "netlist.v"

    @property
    def macros(self) -> dict[str, Macro]:
        """The different SRAM macros in it, by their name and in its order."""
        return macros_of(self.tilings.values())

    @property
    def sdc(self) -> Path:
        """Clock and input and output delays."""
        return self.folder / "plosive.sdc"

    def gates(self) -> Gates:
        """The netlist without its hierarchy."""
        gates = read_gates(self.verilog)
        if self.wires is None:
            return gates
        modules = self.wires.modules
        instances = [
            replace(one, module=modules.get(one.path, one.module)) for one in gates.instances
        ]
        return replace(gates, instances=instances)


def synthesize(
    config: AcceleratorConfig,
    pdk: Pdk,
    *,
    top: str = "core",
    network: Network | None = None,
    bake: bool = False,
    clock_gating: bool = True,
    memory_goal: Goal = "area",
    build_dir: Path,
    progress: Progress = silent,
) -> Netlist:
    """Map a design to the cells of a process; the same input finds the earlier result.

    Parameters
    ----------
    config
        The hardware; `trace` is left out.
    pdk
        See `flows.asic.pdk.find_pdk`.
    top
        "core": the core alone. With registers and AXI around it: "axi"; and a serial line: "board".
    network
        With `bake`, what becomes constant. Otherwise it changes nothing: memories and registers of
        an ASIC have no initial contents.
    bake
        Make the network constants; its memories are ROMs, which stay black boxes.
    clock_gating
        Insert the PDK's clock gates where flip-flops share an enable.
    memory_goal
        How SRAM macros are chosen.
    build_dir
        `synthesis/` in it keeps the results.

    Raises
    ------
    PlosiveError
        `bake` without a network, yosys fails, or the folder cannot be written.
    """
    progress("generating the Verilog")
    given = _given(config, pdk, top, network, bake, clock_gating, memory_goal)
    folder = build_dir / "synthesis" / given.name
    build_once(folder, "synthesis.json", lambda work: _run(work, given, pdk, progress))
    description = json.loads((folder / "synthesis.json").read_text())
    return Netlist(
        folder=folder,
        config=given.config,
        pdk=pdk,
        core=given.core,
        blocks=tuple(_blocks(description["modules"], given.top, ())),
        memories=given.memories,
        tilings=given.tilings,
        clock_gating=given.gated,
        gated_flip_flops=description["gated_flip_flops"],
        versions=description["versions"],
        cpu_s=description["cpu_s"],
        wall_s=description["wall_s"],
    )


def netlist_name(config: AcceleratorConfig, pdk: Pdk, memory_goal: Goal = "area") -> str:
    """Name of the folder that `synthesize` would make, with its other parameters left out.

    It holds a hash of all that yosys reads and of yosys' version: the same name, the same netlist.
    """
    return _given(config, pdk, "core", None, False, True, memory_goal).name


@dataclass(frozen=True)
class _Given:
    """What synthesis starts from; `files` is all that yosys reads but the Liberty file."""

    name: str
    top: str
    core: tuple[str, ...]
    config: AcceleratorConfig
    memories: tuple[MemoryShape, ...]
    tilings: dict[str, Tiling]
    gated: bool
    files: dict[str, str]
    versions: dict[str, str]


def _given(
    config: AcceleratorConfig,
    pdk: Pdk,
    top: str,
    network: Network | None,
    bake: bool,
    clock_gating: bool,
    memory_goal: Goal,
) -> _Given:
    """The parameters of `synthesize` as files.

    Raises
    ------
    PlosiveError
        `bake` without a network.
    """
    if bake and network is None:
        raise PlosiveError("--bake needs a network: its weights become constants; give --network")
    config = config.replace(trace=False)
    held = contents(config, network) if bake else None
    module, path, component = _component(top, config, held, bake)
    verilog = component_verilog(component, module)
    buffers = _buffers(verilog)
    memories = machine_memories(config, constant=bake)
    tilings = {
        memory.name: tile(memory, pdk.macros, memory_goal)
        for memory in memories
        if memory.writable and pdk.macros
    }
    gated = clock_gating and pdk.clock_gate is not None
    files = {
        "plosive.v": verilog,
        "memories.v": "\n".join([_memories(memories, tilings), *map(_buffer_stub, buffers)]),
        "synthesis.ys": _script(pdk, gated, module, ".".join((module, *path)), buffers),
        "abc.constr": f"set_driving_cell {pdk.driver}\nset_load 10\n",  # fF
    }
    versions = {"yosys": toolchain.find("yosys").version}
    key = json.dumps([files, versions, pdk.name, pdk.liberty_sha256], sort_keys=True)
    name = f"{pdk.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return _Given(
        name, module, path, config, (*memories, *buffers), tilings, gated, files, versions
    )


def _component(
    top: str, config: AcceleratorConfig, held: Contents | None, bake: bool
) -> tuple[str, tuple[str, ...], Any]:
    """The design of a name: its module, the path to the core in it, and the component."""
    if top == "core":
        return TOP, (), Core(config, held, bake=bake)
    if top == "axi":
        return AXI_TOP, _CORE_IN_SHELL, IPTop(config, held, bake=bake)
    return BOARD_TOP, _CORE_IN_SHELL, BoardCore(config, held, clock_hz=_BOARD_HZ, bake=bake)


def _memories(memories: Sequence[MemoryShape], tilings: dict[str, Tiling]) -> str:
    """Wrappers around macros, the macros' ports, and black boxes for memories without macros."""
    texts = [
        wrapper(tilings[memory.name]) if memory.name in tilings else memory_stub(memory)
        for memory in memories
    ]
    return "\n".join([*texts, *map(macro_stub, macros_of(tilings.values()).values())])


def _buffers(verilog: str) -> list[MemoryShape]:
    """The memories that are arrays in a module: the serial bridge's packets."""
    arrays = re.findall(r"^  reg \[(\d+):0\] (\w+) \[(\d+):0\];$", verilog, re.MULTILINE)
    shapes = [(name, int(last) + 1, int(high) + 1) for high, name, last in arrays]
    return [
        MemoryShape(name, rows, bits, bits, writable=True)
        for name, rows, bits in shapes
        if rows >= _LEAST_BUFFER
    ]


def _buffer_stub(buffer: MemoryShape) -> str:
    """An empty module with the ports of yosys' cell for a memory with one to read, one to write."""
    widths = {"ADDR": buffer.row_width, "CLK": 1, "EN": 1, "DATA": buffer.bits}
    reads = {f"RD_{name}": width for name, width in (widths | {"ARST": 1, "SRST": 1}).items()}
    writes = {f"WR_{name}": width for name, width in (widths | {"EN": buffer.bits}).items()}
    ports = reads | writes
    lines = [
        f"  {'output' if name == 'RD_DATA' else 'input'} [{width - 1}:0] {name};"
        for name, width in ports.items()
    ]
    header = f"module {buffer.name} ({', '.join(ports)});"
    return "\n".join(["(* blackbox *)", header, *lines, "endmodule", ""])


def _script(pdk: Pdk, gated: bool, top: str, core: str, buffers: list[MemoryShape]) -> str:
    """The yosys script; it names no path, so that it can be run again anywhere."""
    changes = "\n".join(
        f"chtype -set {buffer.name} t:$mem_v2 r:MEMID=*{buffer.name} %i" for buffer in buffers
    )
    read = _READ.format(top=top, core=core, buffers=changes)
    if pdk.liberty is None:
        return read + _MAP_GENERIC + _WRITE
    text = "read_liberty -lib cells.lib" + read
    if gated:
        gate = pdk.clock_gate
        text += _GATE_CLOCKS.format(
            gate=gate.cell,
            pins=f"{gate.enable}:{gate.clock}:{gate.gated}",
            test=f"-tie_lo {gate.test}" if gate.test else "",
            least=_LEAST_GATED,
        )
    text += _MAP.format(
        dont_use=" ".join(f"-dont_use {pattern}" for pattern in pdk.dont_use),
        abc=_ABC,
        period_ps=round(1000 * PERIOD_NS),
        high=" ".join(pdk.tie_high),
        low=" ".join(pdk.tie_low),
    )
    return text + _WRITE


def _run(work: Path, given: _Given, pdk: Pdk, progress: Progress) -> None:
    """Fill a folder with the files, and run yosys on them."""
    for name, text in given.files.items():
        (work / name).write_text(text)
    cells = work / "cells.lib"
    if pdk.liberty is not None:
        cells.symlink_to(pdk.liberty.resolve())
    progress(f"synthesising for {pdk.name}")
    started, before = time.monotonic(), _children_s()
    log = run_yosys(work / "synthesis.ys", failing=f"yosys fails for {pdk.name}")
    taken = {"cpu_s": _children_s() - before, "wall_s": time.monotonic() - started}
    cells.unlink(missing_ok=True)
    netlist = work / "netlist.v"
    # Signs mean nothing to gates, and OpenSTA cannot read them.
    text = re.sub(r"^(\s*(?:input|output|wire)) signed ", r"\1 ", netlist.read_text(), flags=re.M)
    netlist.write_text(text)
    (work / "plosive.sdc").write_text(_constraints(text, given.top, pdk))
    counted = json.loads((work / "cells.json").read_text())
    (work / "cells.json").unlink()
    modules = {
        name.removeprefix("\\"): module["num_cells_by_type"]
        for name, module in counted["modules"].items()
    }
    converted = re.findall(r"^Converted (\d+) FFs\.$", log, re.M)
    description = {
        "versions": given.versions,
        "modules": modules,
        "gated_flip_flops": sum(map(int, converted)),
        **taken,
    }
    (work / "synthesis.json").write_text(json.dumps(description, indent=1) + "\n")


def _children_s() -> float:
    """CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _blocks(
    modules: dict[str, dict[str, int]], module: str, path: tuple[str, ...]
) -> Iterator[Block]:
    """A module and all that are in it; every module of the core has one instance."""
    counts = modules[module]
    yield Block(path, module, {cell: n for cell, n in counts.items() if cell not in modules})
    for inside in sorted(counts):
        if inside in modules:
            # As plosive.counters$149 in plosive. A memory's wrapper has a name of its own, and is
            # the only thing in a module of the memory's place.
            name = inside.removeprefix(f"{_bare(module)}.")
            yield from _blocks(
                modules, inside, path if name.startswith(f"{TOP}_") else (*path, _bare(name))
            )


def _bare(name: str) -> str:
    return re.sub(r"\$\d+$", "", name)


def _constraints(netlist: str, top: str, pdk: Pdk) -> str:
    """SDC: one clock, inputs and outputs with a fifth of the period outside."""
    header = re.search(rf"^module {top}\s*\((.*?)\);(.*?)^endmodule", netlist, re.M | re.S)
    inputs = re.findall(r"^\s*input (?:\[\d+:\d+\] )?(\w+);", header[2], re.M)
    outputs = re.findall(r"^\s*output (?:\[\d+:\d+\] )?(\w+);", header[2], re.M)
    delay = PERIOD_NS / 5
    lines = [
        "# Written by plosive. Times in ns. The clock is ideal until there is a clock tree.",
        f"create_clock -name clk -period {PERIOD_NS:g} [get_ports clk]",
    ]
    for direction, names in (("input", inputs), ("output", outputs)):
        lines += [
            f"set_{direction}_delay {delay:g} -clock clk [get_ports {name}]"
            for name in names
            if name != "clk"
        ]
    if pdk.driver:
        lines += [
            f"set_driving_cell -lib_cell {pdk.driver} [get_ports {name}]"
            for name in inputs
            if name != "clk"
        ]
    return "\n".join(lines) + "\n"
