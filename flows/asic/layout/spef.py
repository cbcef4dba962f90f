# SPDX-License-Identifier: Apache-2.0
"""SPEF: the wires of a netlist as resistors and capacitors, for OpenSTA and other tools."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.asic.layout.lengths import WireTree
from flows.asic.layout.nets import Circuit, NetPin
from flows.asic.layout.process import WireRc
from flows.verilog.writer import TOP
from golden_model.files.reading import read_text
from golden_model.files.writing import atomic_open
from hw.errors import PlosiveError

__all__ = ["SpefNet", "read_spef", "write_spef"]

_LEAST_OHM = 1e-3  # between pins in the same place: a resistor of nothing is not allowed
_SPECIAL = re.compile(r"([^\w\\:])")


@dataclass(frozen=True)
class SpefNet:
    """A net of a SPEF file.

    Attributes
    ----------
    capacitance
        Its wire's, fF.
    pins
        Of instances as "path:pin", of ports by their names.
    ohm
        Sum over its resistors.
    """

    capacitance: float
    pins: tuple[str, ...]
    ohm: float


def write_spef(
    circuit: Circuit, trees: Sequence[WireTree | None], wire: WireRc, path: Path
) -> None:
    """Write the wires of all nets that have one.

    Parameters
    ----------
    circuit
        Whose nets they are.
    trees
        Of each net.
    wire
        What a um costs.
    path
        The file.
    """
    paths = [one.path for one in circuit.gates.instances]
    with atomic_open(path) as file:
        file.write(_HEADER.encode())
        for net, tree in enumerate(trees):
            if tree is not None:
                lines = _net(circuit, paths, net, tree, wire)
                file.write(("\n".join(lines) + "\n").encode())


_HEADER = f"""\
*SPEF "IEEE 1481-1998"
*DESIGN "{TOP}"
*DATE ""
*VENDOR ""
*PROGRAM "plosive"
*VERSION ""
*DESIGN_FLOW "NETLIST_TYPE_VERILOG"
*DIVIDER /
*DELIMITER :
*BUS_DELIMITER []
*T_UNIT 1 NS
*C_UNIT 1 FF
*R_UNIT 1 OHM
*L_UNIT 1 HENRY

"""


def _net(
    circuit: Circuit, paths: list[str], net: int, tree: WireTree, wire: WireRc
) -> Iterator[str]:
    pins = circuit.nets[net]
    name = _escaped(circuit.names[net])
    nodes = [_pin(paths, pin) for pin in pins]
    if any(max(start, end) >= len(nodes) for start, end, _ in tree.edges):
        nodes.append(f"{name}:1")
    halves = [0.0] * len(nodes)  # half of each piece's capacitance is at either end
    for start, end, length in tree.edges:
        halves[start] += length * wire.ff_per_um / 2
        halves[end] += length * wire.ff_per_um / 2
    yield f"*D_NET {name} {tree.length * wire.ff_per_um:.6g}"
    yield "*CONN"
    for place, (index, _) in enumerate(pins):
        if index < 0:
            kind, way = "*P", "O" if circuit.ports[-1 - index].direction == "OUTPUT" else "I"
        else:
            kind, way = "*I", "O" if place == 0 else "I"
        yield f"{kind} {nodes[place]} {way}"
    yield "*CAP"
    for number, (node, farads) in enumerate(zip(nodes, halves, strict=True), 1):
        yield f"{number} {node} {farads:.6g}"
    yield "*RES"
    for number, (start, end, length) in enumerate(tree.edges, 1):
        ohm = max(length * wire.ohm_per_um, _LEAST_OHM)
        yield f"{number} {nodes[start]} {nodes[end]} {ohm:.6g}"
    yield "*END"


def _pin(paths: list[str], pin: NetPin) -> str:
    index, name = pin
    return _escaped(name) if index < 0 else f"{_escaped(paths[index])}:{_escaped(name)}"


def _escaped(name: str) -> str:
    return _SPECIAL.sub(r"\\\1", name)


def read_spef(path: Path) -> dict[str, SpefNet]:
    """The nets of a file as `write_spef` writes it.

    Raises
    ------
    PlosiveError
        The file cannot be read, is cut off, or its units are others.
    """
    text = read_text(path, most_bytes=1 << 30)
    if not text.startswith('*SPEF "') or not {"*C_UNIT 1 FF", "*R_UNIT 1 OHM"} <= set(
        text[:1000].splitlines()
    ):
        raise PlosiveError(f"{path}: it is no SPEF file in fF and Ohm")
    nets = {}
    for part in text.split("*D_NET ")[1:]:
        words = part.replace("\\", "").split()
        if words[-1] != "*END":
            raise PlosiveError(f"{path}: the file is cut off inside net {words[0]}")
        pins = [words[at + 1] for at, word in enumerate(words) if word in ("*I", "*P")]
        resistors = words[words.index("*RES") + 1 : -1]
        nets[words[0]] = SpefNet(float(words[1]), tuple(pins), sum(map(float, resistors[3::4])))
    return nets
