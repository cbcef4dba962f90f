# SPDX-License-Identifier: Apache-2.0
"""Process design kits: where they are, and what their libraries offer."""

import functools
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flows.asic.liberty import Group, read_liberty
from flows.tools.toolchain import ToolError
from hw.errors import PlosiveError

__all__ = ["PDKS", "Cell", "ClockGate", "Macro", "Pdk", "Port", "find_pdk", "is_installed"]

Kind = Literal["combinational", "flip-flop", "clock gate"]


@dataclass(frozen=True)
class Cell:
    """A standard cell: area in um2, leakage in W."""

    name: str
    kind: Kind
    area: float
    leakage: float


@dataclass(frozen=True)
class ClockGate:
    """An integrated clock gate and its pins; `test`, if there is one, is tied low."""

    cell: str
    enable: str
    clock: str
    gated: str
    test: str | None


@dataclass(frozen=True)
class Port:
    """A port of a macro: its name, direction ("input" or "output") and width, 1 for a pin."""

    name: str
    direction: str
    width: int
    is_bus: bool


@dataclass(frozen=True)
class Macro:
    """A single-port SRAM macro.

    Attributes
    ----------
    words, bits
        Shape of the macro.
    area
        Area in um2.
    leakage
        Leakage in W.
    read_energy, write_energy
        J of one access: the internal power of the clock's rising edge with the memory enabled and
        only read, or only written. Data and address pins are not in it.
    clock_to_output
        ns, the least entry of its table: of sharp clock edges and small loads.
    bit_mask
        Whether a write can leave bits as they are.
    """

    name: str
    words: int
    bits: int
    area: float
    leakage: float
    read_energy: float
    write_energy: float
    clock_to_output: float
    bit_mask: bool
    ports: tuple[Port, ...] = field(repr=False)
    liberty: Path = field(repr=False)


@dataclass(frozen=True)
class Pdk:
    """What synthesis needs of a process.

    Attributes
    ----------
    name
        A key of `PDKS`.
    liberty
        The standard cells' file; None for `generic`.
    library, corner
        Names, as in the file and its name.
    cells
        The standard cells by name; empty for `generic`.
    gate
        The cell that one gate equivalent (GE) is the area of: NAND2 of the least drive.
    driver
        The buffer that synthesis assumes to drive inputs.
    tie_high, tie_low
        Cell and pin that give constants.
    dont_use
        Patterns of cells that synthesis leaves out.
    clock_gate
        The smallest integrated clock gate on the rising edge, or None.
    macros
        SRAM macros, perhaps none.
    """

    name: str
    liberty: Path | None = None
    library: str = "yosys internal gates"
    corner: str = "none"
    cells: dict[str, Cell] = field(default_factory=dict, repr=False)
    gate: str = ""
    driver: str = ""
    tie_high: tuple[str, str] = ("", "")
    tie_low: tuple[str, str] = ("", "")
    dont_use: tuple[str, ...] = ()
    clock_gate: ClockGate | None = None
    macros: tuple[Macro, ...] = field(default=(), repr=False)

    @property
    def gate_area(self) -> float:
        """Area of one gate equivalent, um2."""
        return self.cells[self.gate].area

    @functools.cached_property
    def liberty_sha256(self) -> str:
        """Hash of the standard cells' file; "" for `generic`."""
        if self.liberty is None:
            return ""
        return hashlib.sha256(self.liberty.read_bytes()).hexdigest()


@dataclass(frozen=True)
class _Layout:
    """Where a PDK keeps its files below its own folder, and the cells that have a role."""

    liberty: str
    gate: str
    driver: str
    tie_high: tuple[str, str]
    tie_low: tuple[str, str]
    dont_use: tuple[str, ...] = ()
    macros: str | None = None


_LAYOUTS = {
    "ihp-sg13g2": _Layout(
        liberty="libs.ref/sg13g2_stdcell/lib/sg13g2_stdcell_typ_1p20V_25C.lib",
        gate="sg13g2_nand2_1",
        driver="sg13g2_buf_4",
        tie_high=("sg13g2_tiehi", "L_HI"),
        tie_low=("sg13g2_tielo", "L_LO"),
        macros="libs.ref/sg13g2_sram/lib/RM_IHPSG13_1P_*_typ_1p20V_25C.lib",
    ),
    "sky130A": _Layout(
        liberty="libs.ref/sky130_fd_sc_hd/lib/sky130_fd_sc_hd__tt_025C_1v80.lib",
        gate="sky130_fd_sc_hd__nand2_1",
        driver="sky130_fd_sc_hd__buf_4",
        tie_high=("sky130_fd_sc_hd__conb_1", "HI"),
        tie_low=("sky130_fd_sc_hd__conb_1", "LO"),
        # Cells for probing and for power domains, which a plain design has not.
        dont_use=("sky130_fd_sc_hd__probe*", "sky130_fd_sc_hd__lpflow_*"),
    ),
}
PDKS = (*_LAYOUTS, "generic")
"""Names of the processes; `generic` is yosys' own gates and needs no files."""

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "pdk"


def _folder(name: str, root: str | os.PathLike[str] | None) -> Path:
    return Path(root or os.environ.get("PDK_ROOT") or _BESIDE) / name


def is_installed(name: str, root: str | os.PathLike[str] | None = None) -> bool:
    """Whether the files of a process are there, as for `find_pdk`."""
    return name == "generic" or (_folder(name, root) / _LAYOUTS[name].liberty).is_file()


def find_pdk(name: str, root: str | os.PathLike[str] | None = None) -> Pdk:
    """Read the libraries of a process.

    Parameters
    ----------
    name
        One of `PDKS`.
    root
        The folder that holds `ihp-sg13g2` and so on, as ciel fills it; None: that in the
        environment variable PDK_ROOT, else `../shared/pdk` beside the project.

    Raises
    ------
    ToolError
        Its files are missing.
    PlosiveError
        There is no PDK of that name, or one of its files is broken.
    """
    if name == "generic":
        return Pdk("generic")
    if name not in _LAYOUTS:
        raise PlosiveError(f"--pdk is {name!r}: it must be one of {', '.join(PDKS)}")
    layout, folder = _LAYOUTS[name], _folder(name, root)
    liberty = folder / layout.liberty
    if not liberty.is_file():
        raise ToolError(
            f"the PDK {name} was not found: {liberty} is missing; install it (`ciel enable` of the "
            "Python package ciel) and give --pdk-root or PDK_ROOT, or use --pdk generic"
        )
    library = read_liberty(liberty)
    leakage_unit = _unit(library, "leakage_power_unit")
    cells = {cell.name: _cell(cell, leakage_unit) for cell in library.of("cell")}
    for needed in (layout.gate, layout.driver, layout.tie_high[0], layout.tie_low[0]):
        if needed not in cells:
            raise PlosiveError(f"{liberty}: it has no cell {needed}")
    return Pdk(
        name,
        liberty=liberty,
        library=library.name,
        corner=_corner(liberty),
        cells=cells,
        gate=layout.gate,
        driver=layout.driver,
        tie_high=layout.tie_high,
        tie_low=layout.tie_low,
        dont_use=layout.dont_use,
        clock_gate=_clock_gate(library.of("cell")),
        macros=tuple(_macro(path) for path in sorted(folder.glob(layout.macros)))
        if layout.macros
        else (),
    )


def _corner(liberty: Path) -> str:
    """Such as typ_1p20V_25C or tt_025C_1v80: what follows the library's name in the file's."""
    return re.search(r"(?:typ|tt)_.*", liberty.stem)[0]


_PREFIX = {"m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}


def _unit(library: Group, attribute: str) -> float:
    """A unit as "1nW" in W."""
    text = library.attributes.get(attribute, "")
    found = re.fullmatch(r"(\d+)([munpf])W", text)
    if found is None:
        raise PlosiveError(f"library {library.name}: {attribute} is {text!r}, as 1nW was expected")
    return int(found[1]) * _PREFIX[found[2]]


def _cell(cell: Group, leakage_unit: float) -> Cell:
    kind: Kind = "combinational"
    if "clock_gating_integrated_cell" in cell.attributes:
        kind = "clock gate"
    elif any(group.kind in ("ff", "latch") for group in cell.groups):
        kind = "flip-flop"
    leakage = cell.number("cell_leakage_power", 0.0) * leakage_unit
    return Cell(cell.name, kind, cell.number("area"), leakage)


def _clock_gate(cells: Iterable[Group]) -> ClockGate | None:
    """The smallest with a latch on the rising edge and, if possible, no test pin.

    IHP marks all its clock gates `dont_use`, for tools that would map logic to them; they are used
    here on purpose, where a flip-flop has an enable.
    """
    gates = [
        cell
        for cell in cells
        if cell.attributes.get("clock_gating_integrated_cell", "").startswith("latch_posedge")
    ]
    roles = ("enable_pin", "clock_pin", "out_pin", "test_pin")
    found = []
    for cell in gates:
        pins = {
            role: pin.name
            for pin in cell.of("pin")
            for role in roles
            if pin.attributes.get(f"clock_gate_{role}") == "true"
        }
        enable, clock, gated, test = (pins.get(role) for role in roles)
        if enable and clock and gated:
            found.append((cell.number("area"), ClockGate(cell.name, enable, clock, gated, test)))
    return min(found, key=lambda gate: (gate[0], gate[1].cell))[1] if found else None


def _macro(path: Path) -> Macro:
    """The one cell of an SRAM's Liberty file.

    The energy of `internal_power` is in the unit of capacitance times voltage squared, 1 pF x 1 V^2
    = 1 pJ, for each edge of the pin.
    """
    library = read_liberty(path)
    cells = list(library.of("cell"))
    shape = next((group for cell in cells for group in cell.of("memory")), None)
    if len(cells) != 1 or shape is None:
        raise PlosiveError(f"{path}: it does not hold one memory macro")
    if re.sub(r"\s", "", library.attributes.get("capacitive_load_unit", "")) != "1,pf":
        raise PlosiveError(f"{path}: capacitive_load_unit must be (1,pf)")
    cell = cells[0]
    widths = {
        group.name: int(group.number("bit_width"))
        for group in library.of("type")
        if "bit_width" in group.attributes
    }
    ports = tuple(
        Port(
            group.name,
            group.attributes.get("direction", ""),
            widths[group.attributes["bus_type"]] if group.kind == "bus" else 1,
            group.kind == "bus",
        )
        for group in cell.groups
        if group.kind in ("pin", "bus")
    )
    return Macro(
        cell.name,
        words=1 << int(shape.number("address_width")),
        bits=int(shape.number("word_width")),
        area=cell.number("area"),
        leakage=cell.number("cell_leakage_power") * _unit(library, "leakage_power_unit"),
        read_energy=_access_energy(path, cell, {"A_MEN", "!A_WEN", "A_REN"}),
        write_energy=_access_energy(path, cell, {"A_MEN", "A_WEN", "!A_REN"}),
        clock_to_output=_clock_to_output(path, cell),
        bit_mask=any(port.name == "A_BM" for port in ports),
        ports=ports,
        liberty=path,
    )


def _access_energy(path: Path, cell: Group, condition: set[str]) -> float:
    """Energy of a rising clock edge under a condition, J."""
    for pin in cell.of("pin"):
        if pin.name != "A_CLK":
            continue
        for power in pin.of("internal_power"):
            when = power.attributes.get("when", "")
            if {word.strip() for word in when.split("&")} == condition:
                rise = next(power.of("rise_power"))
                return rise.number("values") * 1e-12
    raise PlosiveError(f"{path}: A_CLK has no energy for {' & '.join(sorted(condition))}")


def _clock_to_output(path: Path, cell: Group) -> float:
    for bus in cell.of("bus"):
        for timing in bus.of("timing"):
            if timing.attributes.get("timing_type") != "rising_edge":
                continue
            texts = [table.attributes["values"] for table in timing.of("cell_rise")]
            texts += [table.attributes["values"] for table in timing.of("cell_fall")]
            return min(float(value) for text in texts for value in re.findall(r"[\d.]+", text))
    raise PlosiveError(f"{path}: its output has no delay from the clock")
