# SPDX-License-Identifier: Apache-2.0
"""`plosive area`: what each block of the accelerator occupies."""

from dataclasses import dataclass, replace

from flows.asic.pdk import Kind
from flows.asic.sram import MemoryFigures
from flows.asic.synthesis import Block, Netlist
from flows.figures import Figures, Hashes, inline, optional
from hw.errors import PlosiveError

__all__ = [
    "Area",
    "AreaFigures",
    "BlackBox",
    "BlockSize",
    "ClockGating",
    "GateEquivalent",
    "Interface",
    "Size",
    "area_figures",
    "block_areas",
    "module_area",
]


@dataclass(frozen=True, kw_only=True)
class Size(Figures):
    """Cells and their area; without a PDK there are no areas.

    Attributes
    ----------
    cells
        All of them; by kind `combinational`, `flip_flops`, `clock_gates`.
    logic_um2, logic_kge
        Area of the cells; kGE are thousands of the library's smallest NAND2.
    combinational_um2, flip_flops_um2, clock_gates_um2
        Area of the cells of each kind.
    macros, macros_um2
        SRAM macros and their area.
    um2
        Area of cells and macros together.
    """

    cells: int
    combinational: int
    flip_flops: int
    clock_gates: int
    logic_um2: float | None = optional()
    logic_kge: float | None = optional()
    combinational_um2: float | None = optional()
    flip_flops_um2: float | None = optional()
    clock_gates_um2: float | None = optional()
    macros: int | None = optional()
    macros_um2: float | None = optional()
    um2: float | None = optional()


@dataclass(frozen=True, kw_only=True)
class BlockSize(Figures):
    """A block with all that is in it.

    Attributes
    ----------
    block
        Its path, as "neurons/lanes".
    level
        How far it is inside; 1 is the outermost.
    size
        What it occupies.
    """

    block: str
    level: int
    size: Size = inline()


@dataclass(frozen=True, kw_only=True)
class GateEquivalent(Figures):
    """The cell whose area counts as one gate."""

    cell: str
    um2: float


@dataclass(frozen=True, kw_only=True)
class ClockGating(Figures):
    """Whether clock gates were inserted, how many, and the flip-flops behind them."""

    inserted: bool
    clock_gates: int
    flip_flops: int
    flip_flops_gated: int


@dataclass(frozen=True, kw_only=True)
class Interface(Figures):
    """What is around the core, beside the core.

    Attributes
    ----------
    unit
        Unit of both sizes: "kGE", or "cells" without a PDK.
    around, core
        Size of what is around the core, and of the core.
    share
        Size of what is around the core, as a share of the core's size.
    """

    unit: str
    around: float
    core: float
    share: float


@dataclass(frozen=True, kw_only=True)
class BlackBox(Figures):
    """The shape of a memory for which there are no macros."""

    rows: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class AreaFigures(Figures):
    """What a netlist occupies.

    Attributes
    ----------
    of
        What was synthesised.
    pdk, library, corner
        The process.
    gate_equivalent
        None without a PDK.
    clock_gating
        How many clock gates there are, and what they gate.
    unit
        The block that was asked for; None for the whole.
    total
        Size of that block, or of the whole.
    interface
        None if the core is the whole.
    blocks
        The blocks inside it.
    memories, memories_without_macros
        What each memory is built of, and the shapes of those without macros, by module name.
    memory_bits
        Bits that all memories hold together.
    netlist
        File of the netlist.
    cpu_s, wall_s
        Seconds that synthesis took.
    versions
        Versions of the tools.
    """

    of: Hashes | None = inline(default=None)
    pdk: str
    library: str
    corner: str
    gate_equivalent: GateEquivalent | None
    clock_gating: ClockGating
    unit: str | None
    total: Size
    interface: Interface | None
    blocks: list[BlockSize]
    memories: dict[str, MemoryFigures]
    memories_without_macros: dict[str, BlackBox]
    memory_bits: int
    netlist: str
    cpu_s: float
    wall_s: float
    versions: dict[str, str]

    @property
    def top_blocks(self) -> list[BlockSize]:
        """The outermost blocks, which add up to the total."""
        return [block for block in self.blocks if block.level == 1]


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


def area_figures(
    netlist: Netlist, unit: str | None = None, of: Hashes | None = None
) -> AreaFigures:
    """Figures of a netlist.

    Parameters
    ----------
    netlist
        A netlist that `synthesize` made.
    unit
        A block, as "neurons" or "neurons/lanes": only it and what is in it.
    of
        Hashes to keep with the figures.

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
        BlockSize(block="/".join(path), level=len(path) - len(top), size=_size(area, gate))
        for path, area in sorted(areas.items(), key=lambda item: item[0])
        if path[: len(top)] == top and path != top
    ]
    built = list(netlist.tilings.values())
    black_boxes = [memory for memory in netlist.memories if memory.name not in netlist.tilings]
    return AreaFigures(
        of=of,
        pdk=pdk.name,
        library=pdk.library,
        corner=pdk.corner,
        gate_equivalent=GateEquivalent(cell=pdk.gate, um2=gate) if gate else None,
        clock_gating=_gating(netlist, areas[()]),
        unit=unit,
        total=_size(areas[top], gate),
        interface=_interface(areas, netlist.core, gate),
        blocks=blocks,
        memories={tiling.memory.name: tiling.figures() for tiling in built},
        memories_without_macros={
            memory.name: BlackBox(rows=memory.rows, bits=memory.bits) for memory in black_boxes
        },
        memory_bits=sum(memory.rows * memory.bits for memory in netlist.memories),
        netlist=str(netlist.verilog),
        cpu_s=netlist.cpu_s,
        wall_s=netlist.wall_s,
        versions=netlist.versions,
    )


def _interface(
    areas: dict[tuple[str, ...], Area], core: tuple[str, ...], gate: float | None
) -> Interface | None:
    if not core:
        return None
    sizes = (_size(areas[path], gate) for path in ((), core))
    whole, inside = (size.logic_kge if gate else size.cells for size in sizes)
    return Interface(
        unit="kGE" if gate else "cells",
        around=whole - inside,
        core=inside,
        share=(whole - inside) / inside,
    )


def _gating(netlist: Netlist, whole: Area) -> ClockGating:
    return ClockGating(
        inserted=netlist.clock_gating,
        clock_gates=whole.cells["clock gate"],
        flip_flops=whole.cells["flip-flop"],
        flip_flops_gated=netlist.gated_flip_flops,
    )


def _size(area: Area, gate: float | None) -> Size:
    cells = Size(
        cells=sum(area.cells.values()),
        combinational=area.cells["combinational"],
        flip_flops=area.cells["flip-flop"],
        clock_gates=area.cells["clock gate"],
    )
    if gate is None:
        return cells
    return replace(
        cells,
        logic_um2=area.logic_um2,
        logic_kge=area.logic_um2 / gate / 1000,
        combinational_um2=area.um2["combinational"],
        flip_flops_um2=area.um2["flip-flop"],
        clock_gates_um2=area.um2["clock gate"],
        macros=area.macros,
        macros_um2=area.macros_um2,
        um2=area.logic_um2 + area.macros_um2,
    )
