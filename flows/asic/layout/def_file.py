# SPDX-License-Identifier: Apache-2.0
"""DEF: the placed netlist for a user with a router."""

import re
from dataclasses import dataclass
from pathlib import Path

from flows.asic.layout.placement import Placement
from flows.verilog.writer import TOP
from golden_model.files.reading import read_text
from golden_model.files.writing import atomic_write
from hw.errors import PlosiveError

__all__ = ["Def", "DefPlace", "read_def", "write_def"]

_UNITS = 1000  # to the um
_SPECIAL = re.compile(r"([^\w\\])")


@dataclass(frozen=True)
class DefPlace:
    """A component: its cell, lower left in um, orientation, and whether it is fixed."""

    cell: str
    left: float
    bottom: float
    orientation: str
    fixed: bool


@dataclass(frozen=True)
class Def:
    """What `read_def` takes from a file.

    Attributes
    ----------
    width, height
        Of the die, um.
    rows
        How many.
    components
        By path.
    ports
        Place of each, um.
    nets
        Pins of each, as (path or "PIN", pin).
    """

    width: float
    height: float
    rows: int
    components: dict[str, DefPlace]
    ports: dict[str, tuple[float, float]]
    nets: dict[str, list[tuple[str, str]]]


def write_def(placement: Placement, path: Path) -> None:
    """Write die, rows, placed cells, fixed macros, ports and nets; nothing is routed."""
    plan, circuit = placement.floorplan, placement.circuit
    instances = circuit.gates.instances
    lines = [
        "VERSION 5.8 ;",
        'DIVIDERCHAR "/" ;',
        'BUSBITCHARS "[]" ;',
        f"DESIGN {TOP} ;",
        f"UNITS DISTANCE MICRONS {_UNITS} ;",
        f"DIEAREA ( 0 0 ) ( {_dbu(plan.width)} {_dbu(plan.height)} ) ;",
    ]
    for row in range(plan.rows):
        bottom = _dbu(plan.bottom + row * plan.site.height)
        lines.append(
            f"ROW row_{row} {plan.site.name} {_dbu(plan.left)} {bottom} {'FS' if row % 2 else 'N'} "
            f"DO {plan.sites} BY 1 STEP {_dbu(plan.site.width)} 0 ;"
        )
    lines.append(f"COMPONENTS {len(instances)} ;")
    for index, one in enumerate(instances):
        fixed = circuit.outlines[index].kind == "BLOCK"
        place = f"( {_dbu(placement.left[index])} {_dbu(placement.bottom[index])} )"
        turned = "FS" if placement.flipped[index] else "N"
        status = "FIXED" if fixed else "PLACED"
        lines.append(f"- {_escaped(one.path)} {one.cell} + {status} {place} {turned} ;")
    lines += ["END COMPONENTS", f"PINS {len(circuit.ports)} ;"]
    for port, (x, y) in zip(circuit.ports, plan.ports, strict=True):
        lines.append(
            f"- {port.name} + NET {circuit.names[port.net]} + DIRECTION {port.direction} "
            f"+ USE SIGNAL + PLACED ( {_dbu(x)} {_dbu(y)} ) N ;"
        )
    nets = [(circuit.names[net], pins) for net, pins in enumerate(circuit.nets) if pins]
    lines += ["END PINS", f"NETS {len(nets)} ;"]
    for name, pins in nets:
        ends = [
            f"( PIN {pin} )" if index < 0 else f"( {_escaped(instances[index].path)} {pin} )"
            for index, pin in pins
        ]
        lines.append(f"- {name} {' '.join(ends)} ;")
    lines += ["END NETS", "END DESIGN", ""]
    atomic_write(path, "\n".join(lines).encode())


def _dbu(um: float) -> int:
    return round(float(um) * _UNITS)


def _escaped(name: str) -> str:
    """A path without hierarchy: dividers and brackets are part of the name."""
    return _SPECIAL.sub(r"\\\1", name)


_COMPONENT = re.compile(
    r"^- (\S+) (\S+) \+ (FIXED|PLACED) \( (-?\d+) (-?\d+) \) (\w+) ;$", re.MULTILINE
)
_PORT = re.compile(r"^- (\S+) \+ NET .* \( (-?\d+) (-?\d+) \) \w+ ;$", re.MULTILINE)


def read_def(path: Path) -> Def:
    """Read a file as `write_def` writes it.

    Raises
    ------
    PlosiveError
        The file cannot be read, is cut off, or holds something else.
    """
    text = read_text(path, most_bytes=1 << 30)
    die = re.search(r"^DIEAREA \( 0 0 \) \( (\d+) (\d+) \) ;$", text, re.MULTILINE)
    if die is None or not text.rstrip().endswith("END DESIGN"):
        raise PlosiveError(f"{path}: it is no DEF file of plosive, or it is cut off")
    components = {
        name.replace("\\", ""): DefPlace(
            cell, int(x) / _UNITS, int(y) / _UNITS, turned, status == "FIXED"
        )
        for name, cell, status, x, y, turned in _COMPONENT.findall(_section(text, "COMPONENTS"))
    }
    ports = {
        name: (int(x) / _UNITS, int(y) / _UNITS)
        for name, x, y in _PORT.findall(_section(text, "PINS"))
    }
    nets = {}
    for line in _section(text, "NETS").splitlines()[1:]:
        name = line.split()[1]
        ends = re.findall(r"\( (\S+) (\S+) \)", line)
        nets[name] = [(one.replace("\\", ""), pin) for one, pin in ends]
    rows = len(re.findall(r"^ROW ", text, re.MULTILINE))
    return Def(int(die[1]) / _UNITS, int(die[2]) / _UNITS, rows, components, ports, nets)


def _section(text: str, name: str) -> str:
    return text.partition(f"\n{name} ")[2].partition(f"\nEND {name}\n")[0]
