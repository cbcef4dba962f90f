# SPDX-License-Identifier: Apache-2.0
"""Memories from SRAM macros: which macros, how they are arranged, and the wrappers around them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from flows.asic.pdk import Macro, Port
from flows.figures import Figures
from flows.verilog.memory_module import memory_header
from hw.errors import PlosiveError
from hw.schedule import MemoryShape

__all__ = [
    "Column",
    "ColumnFigures",
    "Goal",
    "MemoryFigures",
    "Tiling",
    "macro_model",
    "macro_stub",
    "macros_of",
    "memory_stub",
    "tile",
    "wrapper",
]

Goal = Literal["area", "energy"]
"""What the choice of macros makes least: um2, or J of a row read."""


@dataclass(frozen=True)
class Column:
    """Bits `low` to `low + bits - 1` of every row, in `levels` macros one above the other."""

    macro: Macro
    low: int
    bits: int
    levels: int


@dataclass(frozen=True, kw_only=True)
class ColumnFigures(Figures):
    """A column of macros: the macro's name, the bits of a row in it, macros above each other."""

    macro: str
    bits: int
    levels: int


@dataclass(frozen=True, kw_only=True)
class MemoryFigures(Figures):
    """What a memory of macros costs.

    Attributes
    ----------
    rows, bits
        Its shape.
    columns
        How it is built.
    macros
        How many there are.
    area_um2, unused_bits, leakage_uw
        Totals over the macros.
    read_pj, write_pj
        Energy to read and to write a row.
    """

    rows: int
    bits: int
    columns: list[ColumnFigures]
    macros: int
    area_um2: float
    unused_bits: int
    leakage_uw: float
    read_pj: float
    write_pj: float


@dataclass(frozen=True)
class Tiling:
    """A memory and the macros that it is made of; energies are those of one whole row."""

    memory: MemoryShape
    columns: tuple[Column, ...]

    @property
    def macros(self) -> int:
        """How many macros."""
        return sum(column.levels for column in self.columns)

    @property
    def area(self) -> float:
        """um2."""
        return sum(column.levels * column.macro.area for column in self.columns)

    @property
    def leakage(self) -> float:
        """W."""
        return sum(column.levels * column.macro.leakage for column in self.columns)

    @property
    def read_energy(self) -> float:
        """J of one row read: one macro a column works."""
        return sum(column.macro.read_energy for column in self.columns)

    @property
    def write_energy(self) -> float:
        """J of one row written whole."""
        return sum(column.macro.write_energy for column in self.columns)

    @property
    def unused_bits(self) -> int:
        """Bits of the macros that hold nothing."""
        built = sum(
            column.levels * column.macro.words * column.macro.bits for column in self.columns
        )
        return built - self.memory.rows * self.memory.bits

    def figures(self) -> MemoryFigures:
        """Shape, arrangement and cost."""
        return MemoryFigures(
            rows=self.memory.rows,
            bits=self.memory.bits,
            columns=[
                ColumnFigures(macro=column.macro.name, bits=column.bits, levels=column.levels)
                for column in self.columns
            ],
            macros=self.macros,
            area_um2=self.area,
            unused_bits=self.unused_bits,
            leakage_uw=self.leakage * 1e6,
            read_pj=self.read_energy * 1e12,
            write_pj=self.write_energy * 1e12,
        )


def tile(memory: MemoryShape, macros: Sequence[Macro], goal: Goal = "area") -> Tiling:
    """The macros that make a memory with the least area or the least energy of a row read.

    Each column is one macro as often as the rows need it; columns may differ. All such
    arrangements are covered: the cheapest for n bits is that for n - b bits and one column of a
    macro of b bits. Of two with the same cost the other cost decides. The wrapper's own gates
    (which a memory of several levels needs to select one) are not in the choice; synthesis
    counts them.

    Parameters
    ----------
    memory
        It is writable: a ROM has no macros.
    macros
        What the PDK offers. One without bit mask serves only where its bits are of one write word.
    goal
        "area" or "energy".

    Raises
    ------
    PlosiveError
        No macro fits.
    """
    usable = [macro for macro in macros if macro.bit_mask or memory.word_bits % macro.bits == 0]
    if not usable:
        raise PlosiveError(f"{memory.name}: no SRAM macro of the PDK can be written by words")

    def cost(macro: Macro) -> tuple[float, float]:
        area = macro.area * -(-memory.rows // macro.words)
        costs = (area, macro.read_energy)
        return costs if goal == "area" else costs[::-1]

    # The cheapest way to cover the first n bits: its costs, and the macro of its last column.
    best: list[tuple[tuple[float, float], Macro | None]] = [((0.0, 0.0), None)]
    for bits in range(1, memory.bits + 1):
        ways = []
        for macro in usable:
            if not macro.bit_mask and bits % macro.bits:
                continue  # its columns must lie on its own grid, to be within one write word
            before, _ = best[max(0, bits - macro.bits)]
            own = cost(macro)
            ways.append(((before[0] + own[0], before[1] + own[1]), macro.name, macro))
        if ways:
            total, _, last = min(ways)
            best.append((total, last))
        else:
            best.append(((float("inf"), float("inf")), None))
    columns = []
    high = memory.bits
    while high:
        macro = best[high][1]
        if macro is None:
            raise PlosiveError(f"{memory.name}: no SRAM macros of the PDK make rows of its width")
        low = max(0, high - macro.bits)
        columns.append(Column(macro, low, high - low, -(-memory.rows // macro.words)))
        high = low
    return Tiling(memory, tuple(reversed(columns)))


def macros_of(tilings: Iterable[Tiling]) -> dict[str, Macro]:
    """The different macros that memories are made of, by their name and in its order."""
    used = {column.macro.name: column.macro for tiling in tilings for column in tiling.columns}
    return dict(sorted(used.items()))


def wrapper(tiling: Tiling) -> str:
    """Verilog of a memory's module, with the macros inside.

    A macro works only when its level is addressed and one of its bits is read or written. The
    macros keep their output while they are not read, as the memory must, so all that a wrapper
    stores is which level was read last.
    """
    memory = tiling.memory
    lines = [
        f"module {memory.name} (clk, rst, row, read, write, write_data, data);",
        "  input clk, rst, read;",
        f"  input [{memory.row_width - 1}:0] row;",
        f"  input [{memory.words - 1}:0] write;",
        f"  input [{memory.bits - 1}:0] write_data;",
        f"  output [{memory.bits - 1}:0] data;",
    ]
    for index, column in enumerate(tiling.columns):
        lines += _column(index, column, memory)
    return "\n".join([*lines, "endmodule", ""])


def _column(index: int, column: Column, memory: MemoryShape) -> list[str]:
    macro = column.macro
    address_width = (macro.words - 1).bit_length()
    spare_address = max(0, address_width - memory.row_width)
    address = f"row[{min(address_width, memory.row_width) - 1}:0]"
    if spare_address:
        address = f"{{{spare_address}'d0, {address}}}"
    owners = [bit // memory.word_bits for bit in range(column.low, column.low + column.bits)]
    spare_bits = macro.bits - column.bits
    mask = "{" + ", ".join(f"write[{word}]" for word in reversed(owners)) + "}"
    data = f"write_data[{column.low + column.bits - 1}:{column.low}]"
    if spare_bits:
        mask = f"{{{spare_bits}'d0, {mask}}}"
        data = f"{{{spare_bits}'d0, {data}}}"
    name = f"column_{index}"
    target = f"data[{column.low + column.bits - 1}:{column.low}]"
    lines = [f"  wire {name}_write = |write[{owners[-1]}:{owners[0]}];"]
    level_width = (column.levels - 1).bit_length()
    if level_width:
        # The row's bits above the macro's address.
        lines += [
            f"  wire [{level_width - 1}:0] {name}_level ="
            f" row[{memory.row_width - 1}:{address_width}];",
            f"  reg [{column.levels - 1}:0] {name}_shown;  // one bit a level",
        ]
    for level in range(column.levels):
        selected = f"{name}_level == {level_width}'d{level}" if level_width else "1'b1"
        output = f"{name}_{level}_output"
        values = {
            "A_CLK": "clk",
            "A_MEN": f"{name}_{level}_here & (read | {name}_write)",
            "A_REN": f"{name}_{level}_here & read",
            "A_WEN": f"{name}_{level}_here & {name}_write",
            "A_ADDR": address,
            "A_DIN": data,
            "A_BM": mask,
            "A_DOUT": output,
            "A_DLY": "1'b1",  # the setting that the PDK's documentation recommends
        }
        ports = ",\n".join(f"    .{port.name}({_value(port, values)})" for port in macro.ports)
        lines += [
            f"  wire {name}_{level}_here = {selected};",
            f"  wire [{macro.bits - 1}:0] {output};",
            f"  {macro.name} {name}_{level} (\n{ports}\n  );",
        ]
    outputs = [f"{name}_{level}_output[{column.bits - 1}:0]" for level in range(column.levels)]
    if not level_width:
        return [*lines, f"  assign {target} = {outputs[0]};"]
    here = ", ".join(f"{name}_{level}_here" for level in reversed(range(column.levels)))
    # An AND and an OR for each bit of a level: less than a multiplexer, in area and in leakage.
    chosen = " |\n    ".join(
        f"({{{column.bits}{{{name}_shown[{level}]}}}} & {output})"
        for level, output in enumerate(outputs)
    )
    return [
        *lines,
        f"  always @(posedge clk) if (read) {name}_shown <= {{{here}}};",
        f"  assign {target} = {chosen};",
    ]


def _value(port: Port, values: dict[str, str]) -> str:
    """What a port is connected to: the self-test's inputs are off."""
    if port.name in values:
        return values[port.name]
    if port.direction == "input" and port.name.startswith("A_BIST_"):
        return f"{port.width}'d0"
    raise PlosiveError(f"the SRAM macros have a port {port.name}, which no wrapper knows")


def macro_stub(macro: Macro) -> str:
    """An empty module with a macro's ports, for synthesis."""
    return "\n".join(["(* blackbox *)", *_header(macro), "endmodule\n"])


def macro_model(macro: Macro) -> str:
    """A macro's module as it behaves, for simulation.

    From the functional description in the PDK's own Verilog. At a rising clock with `A_MEN`,
    `A_WEN` writes the bits of `A_BM` and `A_REN` loads the output (with both, the new word);
    otherwise everything stays. The self-test and `A_DLY` low are not there. Nothing has an
    initial value.
    """
    high = macro.bits - 1
    mask = "A_BM" if macro.bit_mask else f"{{{macro.bits}{{1'b1}}}}"
    return "\n".join(
        [
            *_header(macro, "output reg"),
            f"  reg [{high}:0] rows [0:{macro.words - 1}];",
            f"  wire [{high}:0] held = rows[A_ADDR];",
            f"  wire [{high}:0] written = (held & ~{mask}) | (A_DIN & {mask});",
            "  always @(posedge A_CLK) if (A_MEN & A_DLY & ~A_BIST_EN) begin",
            "    if (A_WEN) rows[A_ADDR] <= written;",
            "    if (A_REN) A_DOUT <= A_WEN ? written : held;",
            "  end",
            "endmodule\n",
        ]
    )


def _header(macro: Macro, output: str = "output") -> list[str]:
    """The first lines of a macro's module: its ports."""
    names = ", ".join(port.name for port in macro.ports)
    declared = [
        f"  {output if port.direction == 'output' else port.direction} "
        f"{f'[{port.width - 1}:0] ' if port.is_bus else ''}{port.name};"
        for port in macro.ports
    ]
    return [f"module {macro.name} ({names});", *declared]


def memory_stub(memory: MemoryShape) -> str:
    """An empty module with a memory's ports, where there are no macros for it."""
    output = f"  output [{memory.bits - 1}:0] data;"
    return "\n".join(["(* blackbox *)", *memory_header(memory), output, "endmodule\n"])
