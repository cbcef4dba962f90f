# SPDX-License-Identifier: Apache-2.0
"""Cells that compute the same with another drive, what each can drive, and buffers.

Two netlists that differ in nothing but drives and buffers are told from others by `check_same`.
"""

import re
from dataclasses import replace

import numpy as np

from flows.asic.gates import Gates, Instance
from flows.asic.liberty import Group, read_liberty, truth_table
from flows.asic.synthesis import Netlist
from hw.errors import PlosiveError

__all__ = ["SLEW_NS", "Drives", "check_same", "functions", "without_buffers"]

SLEW_NS = 0.4
"""What an edge may take, from a fifth to four fifths of the supply."""

_INPUT_SLEW_NS = 0.2  # of the edge that causes it
_MOST_INPUTS = 6

Functions = dict[str, tuple]
"""What each cell computes: cells with equal values can stand for one another."""


def functions(library: Group) -> Functions:
    """What each cell of a library computes.

    A gate has its input pins and the table of each output, a flip-flop all that its `ff` group
    says. Latches, clock gates and cells that can let go of their output are left out.
    """
    found: Functions = {}
    for cell in library.of("cell"):
        pins = list(cell.of("pin"))
        inputs = tuple(
            sorted(pin.name for pin in pins if pin.attributes.get("direction") == "input")
        )
        outputs = [pin for pin in pins if pin.attributes.get("direction") == "output"]
        texts = {pin.name: pin.attributes.get("function", "") for pin in outputs}
        state = next(cell.of("ff"), None)
        if (
            not outputs
            or not all(texts.values())
            or any("three_state" in pin.attributes for pin in outputs)
            or any(True for _ in cell.of("latch"))
            or "clock_gating_integrated_cell" in cell.attributes
        ):
            continue
        if state is not None:
            held = (state.name, tuple(sorted(state.attributes.items())))
            found[cell.name] = (inputs, tuple(sorted(texts.items())), held)
        elif 1 <= len(inputs) <= _MOST_INPUTS:
            tables = ((pin, truth_table(text, inputs)) for pin, text in sorted(texts.items()))
            found[cell.name] = (inputs, tuple(tables), None)
    return found


def _is_buffer(known: Functions, cell: str) -> bool:
    function = known.get(cell)
    if function is None or function[2] is not None:
        return False
    inputs, tables, _ = function
    return len(inputs) == len(tables) == 1 and tables[0][1] == 0b10


class Drives:
    """The drives of each function in a process.

    Attributes
    ----------
    loads
        fF of each pin, by cell and pin (a bus has one entry).
    limits
        fF that each cell's output can drive within `SLEW_NS`; of macros, the largest load that
        they are characterised for.
    areas
        um2 of each standard cell.
    buffers
        The buffers, the weakest first.
    buffer_pins
        Their input and their output.
    port
        fF that whatever drives an input of the chip can drive.
    """

    def __init__(self, netlist: Netlist) -> None:
        library = read_liberty(netlist.pdk.liberty)
        macros = {name: read_liberty(macro.liberty) for name, macro in netlist.macros.items()}
        self.loads = {
            (cell.name, pin.name): pin.number("capacitance", 0.0) * 1e3
            for liberty in (library, *macros.values())
            for cell in liberty.of("cell")
            for pin in cell.groups
            if pin.kind in ("pin", "bus")
        }
        self.areas = {cell.name: cell.number("area") for cell in library.of("cell")}
        known = functions(library)
        families: dict[tuple, list[Group]] = {}
        for cell in library.of("cell"):
            if cell.name in known and cell.attributes.get("dont_use") != "true":
                families.setdefault(known[cell.name], []).append(cell)
        self.limits: dict[str, float] = {}
        self._drives: dict[str, list[str]] = {}
        for cells in families.values():
            drives: list[str] = []
            for cell in sorted(cells, key=lambda cell: (cell.number("area"), cell.name)):
                self.limits[cell.name] = _limit(cell)
                # One that is larger and drives no more is there for its delay.
                if not drives or self.limits[cell.name] > self.limits[drives[-1]]:
                    drives.append(cell.name)
                self._drives[cell.name] = drives
        for name, liberty in macros.items():
            self.limits[name] = _table_end(next(liberty.of("cell")))
        self.port = self.limits[netlist.pdk.driver]
        self.buffers = self._drives[netlist.pdk.driver]
        (source,), ((sink, _),), _ = known[netlist.pdk.driver]
        self.buffer_pins = (source, sink)

    def enough(self, cell: str, load: float) -> str:
        """The least drive of a cell's function for a load, or the strongest if none is enough."""
        drives = self._drives.get(cell)
        if drives is None:
            return cell
        fitting = (name for name in drives if self.limits[name] >= load)
        return next(fitting, drives[-1])

    def most(self, cell: str) -> float:
        """What the strongest drive of a cell's function can drive; no bound where none is known."""
        drives = self._drives.get(cell, [cell])
        return self.limits.get(drives[-1], float("inf"))


def _limit(cell: Group) -> float:
    """The load in fF at which the slower edge of an output takes `SLEW_NS`."""
    least = float("inf")
    for pin in cell.of("pin"):
        for timing in pin.of("timing"):
            for edge in ("rise_transition", "fall_transition"):
                for table in timing.of(edge):
                    slews, loads = (_numbers(table, f"index_{axis}") for axis in (1, 2))
                    values = np.array(_numbers(table, "values")).reshape(len(slews), len(loads))
                    row = [np.interp(_INPUT_SLEW_NS, slews, column) for column in values.T]
                    least = min(least, float(np.interp(SLEW_NS, row, loads)) * 1e3)
    return least


def _table_end(macro: Group) -> float:
    """The largest load in fF that a macro's outputs are characterised for."""
    ends = [
        _numbers(table, "index_2")[-1] * 1e3
        for bus in macro.of("bus")
        for timing in bus.of("timing")
        for table in timing.of("cell_rise")
    ]
    return min(ends, default=float("inf"))


def _numbers(table: Group, name: str) -> list[float]:
    return [float(word) for word in re.findall(r"[-+\d.eE]+", table.attributes[name])]


# ---- netlists but for buffers ----------------------------------------------------------------


def without_buffers(gates: Gates, known: Functions) -> Gates:
    """A netlist in which whatever a buffer drives is driven by what drives the buffer.

    Parameters
    ----------
    gates
        The netlist.
    known
        Its library's `functions`.

    Raises
    ------
    PlosiveError
        Buffers drive one another in a ring.
    """
    source = {}
    for one in gates.instances:
        if _is_buffer(known, one.cell):
            (read,), ((driven, _),), _ = known[one.cell]
            source[one.pins[driven][0]] = one.pins[read][0]

    def root(net: int) -> int:
        for _ in range(len(source) + 1):
            if net not in source:
                return net
            net = source[net]
        raise PlosiveError("buffers of the netlist drive one another in a ring")

    def roots(held: dict[str, list[int]]) -> dict[str, list[int]]:
        return {name: [root(net) for net in nets] for name, nets in held.items()}

    return replace(
        gates,
        instances=[
            replace(one, pins=roots(one.pins))
            for one in gates.instances
            if not _is_buffer(known, one.cell)
        ],
        inputs=roots(gates.inputs),
        outputs=roots(gates.outputs),
    )


def check_same(before: Gates, after: Gates, known: Functions) -> None:
    """Two netlists are one but for drives and buffers.

    Without their buffers they have the same instances in the same order, each with a cell of the
    same function, or the very same cell, and each pin on the same net; and the same ports.

    Parameters
    ----------
    before, after
        The netlists; a net has the same number in both unless a buffer drives it.
    known
        Their library's `functions`.

    Raises
    ------
    PlosiveError
        They differ.
    """
    one, other = (without_buffers(gates, known) for gates in (before, after))
    for old, new in zip(one.instances, other.instances, strict=False):
        _check_instance(old, new, known)
    if len(one.instances) != len(other.instances):
        raise PlosiveError("sizing has broken the netlist: a gate was lost or added")
    if (one.inputs, one.outputs) != (other.inputs, other.outputs):
        raise PlosiveError("sizing has broken the netlist: its ports are on other nets")


def _check_instance(old: Instance, new: Instance, known: Functions) -> None:
    same = old.cell == new.cell or (old.cell in known and known[old.cell] == known.get(new.cell))
    if old.path != new.path or not same:
        raise PlosiveError(f"sizing has broken the netlist: {new.path} computes something else")
    if old.pins != new.pins:
        raise PlosiveError(f"sizing has broken the netlist: {new.path} is on other nets")
