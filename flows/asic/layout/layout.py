# SPDX-License-Identifier: Apache-2.0
"""`--wires placed` and `resized`: a netlist gets a trial placement, and its wires their lengths."""

import hashlib
import importlib.metadata
import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flows.asic.gates import Gates, read_gates
from flows.asic.layout.def_file import write_def
from flows.asic.layout.drives import SLEW_NS, Drives, check_same, functions, without_buffers
from flows.asic.layout.figures import SizingFigures, WireCase, WireFigures
from flows.asic.layout.floorplan import UTILISATION, Floorplan, make_floorplan
from flows.asic.layout.lengths import WireTree, placed_trees
from flows.asic.layout.nets import Circuit, circuit_of, write_flat
from flows.asic.layout.picture import block_of, draw_placement
from flows.asic.layout.placement import Placement, check_placer, place, place_again
from flows.asic.layout.process import LayoutRules, read_rules
from flows.asic.layout.sizing import size_gates
from flows.asic.layout.spef import write_spef
from flows.asic.liberty import read_liberty
from flows.asic.synthesis import Block, Netlist, Wires
from flows.progress import Progress, silent
from flows.tools.build_once import build_once
from flows.verilog.writer import TOP
from golden_model.files.reading import read_json
from hw.errors import PlosiveError

__all__ = [
    "PLACED",
    "RESIZED",
    "STAMP",
    "cell_area",
    "check_netlist",
    "floorplan_of",
    "place_netlist",
    "read_circuit",
    "with_wires",
    "write_wires",
]

PLACED = "a trial placement"
RESIZED = "a trial placement with drives and buffers chosen for it"
"""The methods in the words of notes."""

STAMP = "layout.json"
"""The figures in a folder that is finished."""

_CONTENTS = "contents.json"
_FORMAT = 2  # moves when the same input gives other places or files


def place_netlist(
    netlist: Netlist,
    *,
    resized: bool = False,
    utilisation: float = UTILISATION,
    seed: int = 1,
    build_dir: Path,
    progress: Progress = silent,
) -> Netlist:
    """Place a netlist; what comes back has the wires, and is flat. It is found again if repeated.

    Parameters
    ----------
    netlist
        The core, of a process with LEF files, with a macro for each memory.
    resized
        Whether gates get the drives and buffers that these wires ask for, in place of those that
        synthesis chose by the library's model of wires.
    utilisation
        Part of the rows that the cells of `netlist` fill.
    seed
        Of the placer.
    build_dir
        `layout/` in it keeps the results: `netlist.v`, `plosive.def`, `low.spef`, `high.spef`,
        `placement.png`.

    Raises
    ------
    ToolError
        coloquinte or a LEF file is missing.
    PlosiveError
        A memory has no macros, the utilisation is out of range, or the cells do not fit.
    """
    check_netlist(netlist)
    check_placer()
    rules = read_rules(netlist.pdk, netlist.macros)
    version = importlib.metadata.version("coloquinte")
    key = json.dumps([_FORMAT, netlist.folder.name, resized, utilisation, seed, version])
    name = f"{netlist.folder.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    folder = build_dir / "layout" / name

    def fill(work: Path) -> None:
        progress("reading the netlist")
        circuit = read_circuit(netlist, rules)
        if resized:
            placement, sizing = _resized(netlist, circuit, rules, utilisation, seed, progress)
        else:
            progress(f"placing {len(circuit.outlines):,} cells")
            plan = floorplan_of(circuit, rules, utilisation)
            placement, sizing = place(circuit, plan, seed=seed), None
        progress("writing the placement and its wires")
        figures = write_wires(
            netlist,
            placement.circuit,
            placed_trees(placement),
            rules,
            work,
            method="resized" if resized else "placed",
            source=RESIZED if resized else PLACED,
        )
        write_def(placement, work / "plosive.def")
        draw_placement(placement, work / "placement.png")
        plan = placement.floorplan
        figures = replace(
            figures,
            die_mm2=plan.width * plan.height * 1e-6,
            core_mm2=plan.row_area * 1e-6,
            utilisation=cell_area(placement.circuit) / plan.row_area,
            seconds=placement.seconds,
            seed=seed,
            placer=f"coloquinte {version}",
            picture=str(folder / "placement.png"),
            placed_def=str(folder / "plosive.def"),
            sizing=sizing,
        )
        (work / STAMP).write_text(json.dumps(figures.to_dict(), indent=1) + "\n")

    build_once(folder, STAMP, fill)
    return with_wires(netlist, folder)


def _resized(
    netlist: Netlist,
    circuit: Circuit,
    rules: LayoutRules,
    utilisation: float,
    seed: int,
    progress: Progress,
) -> tuple[Placement, SizingFigures]:
    """Places for the netlist without its buffers, and then for it with those that wires ask for.

    Synthesis groups the pins behind its buffers by name; those groups are drawn out over the die.
    """
    known = functions(read_liberty(netlist.pdk.liberty))
    bare = read_circuit(netlist, rules, without_buffers(circuit.gates, known))
    # The rows are those of the netlist with its buffers: as many will come again.
    part = cell_area(bare) / cell_area(circuit)
    progress(f"placing {len(bare.outlines):,} cells")
    first = place(bare, floorplan_of(bare, rules, utilisation * part), seed=seed)
    progress("choosing drives and putting buffers")
    made = size_gates(first, Drives(netlist), rules.wires[-1].ff_per_um)
    check_same(circuit.gates, made.gates, known)
    progress(f"moving {len(made.gates.instances):,} cells to legal places")
    larger = read_circuit(netlist, rules, made.gates)
    second = place_again(larger, first.floorplan, made.left, made.bottom)
    sizing = SizingFigures(
        slew_ns=SLEW_NS,
        changed=made.changed,
        buffers_before=len(circuit.outlines) - len(bare.outlines),
        buffers=made.buffers,
        cells_mm2_before=cell_area(circuit) * 1e-6,
        cells_mm2=cell_area(larger) * 1e-6,
    )
    return replace(second, seconds=first.seconds + second.seconds), sizing


def cell_area(circuit: Circuit) -> float:
    """um2 of all cells in rows."""
    return sum(cell.width * cell.height for cell in circuit.outlines if cell.kind != "BLOCK")


def floorplan_of(circuit: Circuit, rules: LayoutRules, utilisation: float) -> Floorplan:
    """A floorplan in which macros with the same columns of a row stand together.

    All memories keep a lane's weights in about the same column, so the lane's cells can stand near
    all of them. They could not if the macros of each memory stood together.
    """
    instances = circuit.gates.instances

    def column(index: int) -> tuple[int, int]:
        found = re.search(r"column_(\d+)_\d+$", instances[index].path)
        return (int(found[1]) if found else 0, index)

    blocks = [index for index, outline in enumerate(circuit.outlines) if outline.kind == "BLOCK"]
    return make_floorplan(
        circuit.outlines,
        len(circuit.ports),
        rules.site,
        order=sorted(blocks, key=column),
        utilisation=utilisation,
    )


def check_netlist(netlist: Netlist) -> None:
    """Refuse what has no wires of a length.

    Raises
    ------
    PlosiveError
        It is not the core, or a memory has no macros.
    """
    if netlist.core:
        raise PlosiveError(f"wires have lengths in the core {TOP} only, not in what is around it")
    without = [memory.name for memory in netlist.memories if memory.name not in netlist.tilings]
    if without and netlist.pdk.macros:
        raise PlosiveError(
            f"{without[0]} is a ROM of --bake, which has no macro and no place: use --wires model"
        )


def read_circuit(netlist: Netlist, rules: LayoutRules, gates: Gates | None = None) -> Circuit:
    """The netlist as a placer sees it.

    Raises
    ------
    PlosiveError
        A cell or a pin is not in the LEF files.
    """
    pdk = netlist.pdk
    clock_pins = {
        (cell.name, pin.name)
        for cell in read_liberty(pdk.liberty).of("cell")
        for pin in cell.of("pin")
        if pin.attributes.get("clock") == "true"
    }
    clock_pins |= {(name, "A_CLK") for name in netlist.macros}
    if pdk.clock_gate is not None:
        clock_pins.add((pdk.clock_gate.cell, pdk.clock_gate.clock))
    return circuit_of(
        gates or read_gates(netlist.verilog),
        rules.outlines,
        {pdk.tie_high[0], pdk.tie_low[0]},
        clock_pins,
    )


def write_wires(
    netlist: Netlist,
    circuit: Circuit,
    trees: Sequence[WireTree | None],
    rules: LayoutRules,
    work: Path,
    *,
    method: str,
    source: str,
) -> WireFigures:
    """Write the flat netlist, its constraints and both SPEF files into a folder."""
    write_flat(circuit, work / "netlist.v")
    shutil.copyfile(netlist.sdc, work / "plosive.sdc")
    for wire in rules.wires:
        write_spef(circuit, trees, wire, work / f"{wire.name}.spef")
    length = {True: 0.0, False: 0.0}
    (clock,) = circuit.gates.inputs["clk"]
    for net, tree in enumerate(trees):
        if tree is not None:
            length[net in circuit.clock] += tree.length
    modules = {
        one.path: one.module
        for one, outline in zip(circuit.gates.instances, circuit.outlines, strict=True)
        if outline.kind == "BLOCK"
    }
    own = trees[clock].length if trees[clock] is not None else 0.0
    cells: dict[str, Counter[str]] = {}
    for one in circuit.gates.instances:
        cells.setdefault(block_of(one.path), Counter())[one.cell] += 1
    held = {"modules": modules, "clock_um": own, "cells": cells}
    (work / _CONTENTS).write_text(json.dumps(held) + "\n")
    return WireFigures(
        method=method,
        source=source,
        wire_m=length[False] * 1e-6,
        clock_wire_m=length[True] * 1e-6,
        cases=[
            WireCase(
                name=wire.name,
                ff_per_um=wire.ff_per_um,
                ohm_per_um=wire.ohm_per_um,
                wire_pf=length[False] * wire.ff_per_um * 1e-3,
                source=wire.source,
            )
            for wire in rules.wires
        ],
    )


def with_wires(netlist: Netlist, folder: Path) -> Netlist:
    """The netlist in a folder that `write_wires` has filled."""
    figures = WireFigures.from_dict(read_json(folder / STAMP))
    held = read_json(folder / _CONTENTS)
    low, high = (
        Wires(
            spef=folder / f"{case.name}.spef",
            figures=figures,
            clock_farads=held["clock_um"] * case.ff_per_um * 1e-15,
            modules=held["modules"],
        )
        for case in figures.cases
    )
    # Drives and the number of buffers may have changed.
    blocks = tuple(
        Block(() if name == "own" else (name,), name, cells)
        for name, cells in sorted(held["cells"].items())
    )
    return replace(netlist, folder=folder, blocks=blocks, wires=replace(high, low=low))
