# SPDX-License-Identifier: Apache-2.0
"""`plosive area`: what each block of the accelerator occupies."""

from dataclasses import dataclass
from typing import Any

from flows.asic.pdk import Kind
from flows.asic.synthesis import Block, Netlist
from hw.errors import PlosiveError

__all__ = ["Area", "area_figures", "block_areas", "module_area"]


@dataclass
class Area:
    """Cells and their area, by kind; of a block with all that is in it.

    Attributes
    ----------
    cells
        How many of each kind: "combinational", "flip-flop", "clock gate".
    um2
        Their areas; 0 without a PDK.
    macros
        SRAM macros.
    macros_um2
        Their area.
    """

    cells: dict[Kind, int]
    um2: dict[Kind, float]
    macros: int = 0
    macros_um2: float = 0.0

    @classmethod
    def nothing(cls) -> "Area":
        """No cells."""
        kinds: tuple[Kind, ...] = ("combinational", "flip-flop", "clock gate")
        return cls(dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0))

    def add(self, other: "Area") -> None:
        """Put another block's cells to these."""
        for kind, count in other.cells.items():
            self.cells[kind] += count
            self.um2[kind] += other.um2[kind]
        self.macros += other.macros
        self.macros_um2 += other.macros_um2

    @property
    def logic_um2(self) -> float:
        """All but the macros."""
        return sum(self.um2.values())


def module_area(netlist: Netlist, block: Block) -> Area:
    """What a module occupies without those inside it.

    Raises
    ------
    PlosiveError
        A cell is in no library.
    """
    macros = netlist.macros
    black_boxes = {memory.name for memory in netlist.memories}
    area = Area.nothing()
    for name, count in block.cells.items():
        cell = netlist.pdk.cells.get(name)
        if cell is not None:
            area.cells[cell.kind] += count
            area.um2[cell.kind] += count * cell.area
        elif name in macros:
            area.macros += count
            area.macros_um2 += count * macros[name].area
        elif name.startswith("$_"):
            area.cells["flip-flop" if "DFF" in name else "combinational"] += count
        elif name not in black_boxes:
            raise PlosiveError(f"block {block.module}: {name} is in no library of the PDK")
    return area


def block_areas(netlist: Netlist) -> dict[tuple[str, ...], Area]:
    """Each block with all that is in it; the empty path is the whole.

    What is a block's own, if it has others inside, is the block "own" in it, so that the blocks in
    any block add up to it.
    """
    areas: dict[tuple[str, ...], Area] = {}
    holders = {block.path[:-1] for block in netlist.blocks if block.path}
    for block in netlist.blocks:
        own = module_area(netlist, block)
        path = (*block.path, "own") if block.path in holders else block.path
        for depth in range(len(path) + 1):
            areas.setdefault(path[:depth], Area.nothing()).add(own)
    return areas


def area_figures(netlist: Netlist, unit: str | None = None) -> dict[str, Any]:
    """Figures of a netlist, JSON-able.

    Parameters
    ----------
    netlist
        Of `synthesize`.
    unit
        A block, as "neurons" or "neurons/lanes": only it and what is in it.

    Raises
    ------
    PlosiveError
        There is no such block.
    """
    pdk = netlist.pdk
    areas = block_areas(netlist)
    top = tuple(unit.split("/")) if unit else ()
    if top not in areas:
        known = ", ".join("/".join(path) for path in sorted(areas) if len(path) == 1)
        raise PlosiveError(f"--unit is {unit!r}: the blocks are {known}, and those in them")
    gate = pdk.gate_area if pdk.liberty else None
    blocks = [
        {"block": "/".join(path), "level": len(path) - len(top), **_figures(area, gate)}
        for path, area in sorted(areas.items(), key=lambda item: item[0])
        if path[: len(top)] == top and path != top
    ]
    built = list(netlist.tilings.values())
    black_boxes = [memory for memory in netlist.memories if memory.name not in netlist.tilings]
    return {
        "pdk": pdk.name,
        "library": pdk.library,
        "corner": pdk.corner,
        "gate_equivalent": {"cell": pdk.gate, "um2": gate} if gate else None,
        "clock_gating": _gating(netlist),
        "unit": unit,
        "total": _figures(areas[top], gate),
        "interface": _interface(areas, netlist.core, gate),
        "blocks": blocks,
        "memories": {tiling.memory.name: tiling.figures() for tiling in built},
        "memories_without_macros": {
            memory.name: {"rows": memory.rows, "bits": memory.bits} for memory in black_boxes
        },
        "memory_bits": sum(memory.rows * memory.bits for memory in netlist.memories),
        "netlist": str(netlist.verilog),
        "cpu_s": netlist.cpu_s,
        "wall_s": netlist.wall_s,
        "versions": netlist.versions,
    }


def _interface(
    areas: dict[tuple[str, ...], Area], core: tuple[str, ...], gate: float | None
) -> dict[str, Any] | None:
    """What is around the core, and its share of the core's; None if the core is the whole."""
    if not core:
        return None
    unit, size = ("kGE", "logic_kge") if gate else ("cells", "cells")
    whole, inside = (_figures(areas[path], gate)[size] for path in ((), core))
    return {
        "unit": unit,
        "around": whole - inside,
        "core": inside,
        "share": (whole - inside) / inside,
    }


def _gating(netlist: Netlist) -> dict[str, Any]:
    """Clock gates, and the flip-flops that hang on them."""
    whole = block_areas(netlist)[()]
    return {
        "inserted": netlist.clock_gating,
        "clock_gates": whole.cells["clock gate"],
        "flip_flops": whole.cells["flip-flop"],
        "flip_flops_gated": netlist.gated_flip_flops,
    }


def _figures(area: Area, gate: float | None) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "cells": sum(area.cells.values()),
        "combinational": area.cells["combinational"],
        "flip_flops": area.cells["flip-flop"],
        "clock_gates": area.cells["clock gate"],
    }
    if gate is None:
        return figures
    return {
        **figures,
        "logic_um2": area.logic_um2,
        "logic_kge": area.logic_um2 / gate / 1000,
        "combinational_um2": area.um2["combinational"],
        "flip_flops_um2": area.um2["flip-flop"],
        "clock_gates_um2": area.um2["clock gate"],
        "macros": area.macros,
        "macros_um2": area.macros_um2,
        "um2": area.logic_um2 + area.macros_um2,
    }
