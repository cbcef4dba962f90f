# SPDX-License-Identifier: Apache-2.0
"""A mapped netlist without its hierarchy: every cell, and the nets between their pins."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flows.verilog.writer import TOP
from hw.errors import PlosiveError

__all__ = ["Gates", "Instance", "read_gates"]


@dataclass(frozen=True)
class Instance:
    """A cell or macro in its place.

    Attributes
    ----------
    path
        Names from the top, as "neurons/lanes/_0042_": as OpenSTA has them.
    cell
        Name of its cell.
    module
        Name of the module that it stands in.
    pins
        Net of each bit of each pin, lowest bit first.
    """

    path: str
    cell: str
    module: str
    pins: dict[str, list[int]]


@dataclass(frozen=True)
class Gates:
    """The flat netlist.

    Attributes
    ----------
    nets
        How many; they are numbered.
    instances
        All cells and macros.
    inputs, outputs
        Nets of the top's ports, lowest bit first.
    """

    nets: int
    instances: list[Instance] = field(repr=False)
    inputs: dict[str, list[int]] = field(repr=False)
    outputs: dict[str, list[int]] = field(repr=False)


_NAME = r"\\\S+|[A-Za-z_][\w$]*"
_DECLARED = re.compile(rf"^  (input|output|wire) (?:\[(\d+):(\d+)\] )?({_NAME}) *;$", re.MULTILINE)
_ASSIGNED = re.compile(r"^  assign (.+?) = (.+);$", re.MULTILINE)
_INSTANCE = re.compile(rf"^  ({_NAME}) +({_NAME}) +\(\n((?:    \..*\n)*)  \);$", re.MULTILINE)
_PIN = re.compile(rf"^    \.({_NAME}) *\((.*)\),?$", re.MULTILINE)
_PART = re.compile(rf"({_NAME})\s*(?:\[(\d+)(?::(\d+))?\])?")
_PUNCTUATION = re.compile(r"[\s{},]*")


class _Module:
    """A module's text, taken apart."""

    def __init__(self, text: str) -> None:
        self.wires: dict[str, tuple[int, int]] = {}  # lowest bit, width
        self.directions: dict[str, str] = {}
        for kind, high, low, name in _DECLARED.findall(text):
            self.wires[name] = (int(low or 0), int(high or 0) - int(low or 0) + 1)
            if kind != "wire":
                self.directions[name] = kind
        self.assigned = _ASSIGNED.findall(text)
        self.instances = [
            (cell, name, _PIN.findall(pins)) for cell, name, pins in _INSTANCE.findall(text)
        ]


def read_gates(verilog: Path) -> Gates:
    """Read a netlist that yosys wrote with `-noattr -noexpr -simple-lhs`.

    Raises
    ------
    PlosiveError
        It holds what a mapped netlist does not: a constant, an expression, an unknown wire.
    """
    modules = {}
    for text in re.split(r"^module ", verilog.read_text(), flags=re.MULTILINE)[1:]:
        name = re.match(_NAME, text)[0]
        modules[name] = _Module(text)
    reader = _Reader(modules)
    ports = reader.elaborate(TOP, ())
    roots = reader.joined()
    return Gates(
        nets=int(roots.max()) + 1,
        instances=[
            Instance(path, cell, module, {pin: roots[bits].tolist() for pin, bits in pins.items()})
            for path, cell, module, pins in reader.instances
        ],
        **{
            f"{direction}s": {
                _bare(name): roots[bits].tolist()
                for name, bits in ports.items()
                if modules[TOP].directions[name] == direction
            }
            for direction in ("input", "output")
        },
    )


class _Reader:
    def __init__(self, modules: dict[str, _Module]) -> None:
        self._modules = modules
        self._count = 0
        self._pairs: list[tuple[list[int], list[int]]] = []  # bits that are one net
        self.instances: list[tuple[str, str, str, dict[str, list[int]]]] = []

    def elaborate(self, name: str, path: tuple[str, ...]) -> dict[str, list[int]]:
        """Bits of a module instance's ports."""
        module = self._modules[name]
        bits: dict[str, list[int]] = {}
        for wire, (_, width) in module.wires.items():
            bits[wire] = list(range(self._count, self._count + width))
            self._count += width
        for left, right in module.assigned:
            self._join(self._bits(module, bits, left), self._bits(module, bits, right))
        for cell, instance, pins in module.instances:
            inside = (*path, _bare(instance))
            held = {pin: self._bits(module, bits, text) for pin, text in pins}
            if cell in self._modules:
                ports = self.elaborate(cell, inside)
                for pin, outer in held.items():
                    self._join(ports[pin], outer)
            else:
                found = {_bare(pin): outer for pin, outer in held.items()}
                place = "/".join(inside)
                self.instances.append((place, _bare(cell), _bare(name), found))
        return {port: bits[port] for port in module.directions}

    def _bits(self, module: _Module, bits: dict[str, list[int]], text: str) -> list[int]:
        """Bits of a wire, a part of one, or several in braces, lowest first."""
        if text in bits:
            return bits[text]
        parts = []
        position = _PUNCTUATION.match(text).end()
        while position < len(text):
            found = _PART.match(text, position)
            if found is None or found[1] not in bits:
                raise PlosiveError(f"the netlist has {text!r}, where wires were expected")
            wire = bits[found[1]]
            if found[2]:
                low, _ = module.wires[found[1]]
                high = int(found[2]) - low
                wire = wire[int(found[3] or found[2]) - low : high + 1]
            parts.append(wire)
            position = _PUNCTUATION.match(text, found.end()).end()
        return [bit for part in reversed(parts) for bit in part]

    def _join(self, first: list[int], second: list[int]) -> None:
        if len(first) != len(second):
            raise PlosiveError("the netlist joins wires of different widths")
        self._pairs.append((first, second))

    def joined(self) -> np.ndarray:
        """Net of each bit, numbered without gaps."""
        parent = list(range(self._count))

        def root(bit: int) -> int:
            while parent[bit] != bit:
                parent[bit] = parent[parent[bit]]
                bit = parent[bit]
            return bit

        for first, second in self._pairs:
            for one, other in zip(first, second, strict=True):
                parent[root(one)] = root(other)
        roots = np.array([root(bit) for bit in range(self._count)])
        return np.unique(roots, return_inverse=True)[1]


def _bare(name: str) -> str:
    """A name without the backslash of an escaped one."""
    return name.removeprefix("\\")
