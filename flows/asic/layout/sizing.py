# SPDX-License-Identifier: Apache-2.0
"""Drives and buffers for the loads that placed wires bring, as a layout tool would choose them.

The rule is one of slews: a gate gets the least drive of its function whose output still changes
within `drives.SLEW_NS` at the load of its pins and its wire. Where no drive is enough, the net is
cut into groups of near pins, and each group gets a buffer in its middle. The rule knows loads and
not paths. Nothing else of the netlist is touched, and `drives.check_same` proves that from outside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flows.asic.gates import Gates, Instance
from flows.asic.layout.drives import Drives
from flows.asic.layout.lengths import wire_tree
from flows.asic.layout.nets import NetPin, pin_names
from flows.asic.layout.placement import Placement

__all__ = ["Sized", "size_gates"]

_PASSES = 3  # a stronger gate is a larger load for the one before it
_GROUP_FF = 300.0  # what a buffer in the middle of some pins may drive


@dataclass(frozen=True)
class Sized:
    """A netlist with other drives and with buffers, and about where its cells stand.

    Attributes
    ----------
    gates
        The netlist; buffers come after all instances that were there before.
    left, bottom
        um; not on sites where cells have grown.
    changed, buffers
        How many gates have another drive; how many buffers were added.
    """

    gates: Gates
    left: list[float]
    bottom: list[float]
    changed: int
    buffers: int


def size_gates(placement: Placement, drives: Drives, ff_per_um: float) -> Sized:
    """Choose drives and put buffers, for the wires of a placement.

    Clocks and constants are left alone: their trees are made later.

    Parameters
    ----------
    placement
        Of the netlist.
    drives
        Of its process.
    ff_per_um
        Capacitance of wires.
    """
    work = _Work(placement, drives, ff_per_um)
    for net, pins in enumerate(placement.circuit.nets):
        if pins and net not in work.fixed:
            work.buffer(net)
    for _ in range(_PASSES):
        work.size()
    return work.result()


class _Work:
    def __init__(self, placement: Placement, drives: Drives, ff_per_um: float) -> None:
        circuit = placement.circuit
        self.fixed = circuit.constant | circuit.clock
        self._placement, self._drives, self._farads = placement, drives, ff_per_um
        self._instances = list(circuit.gates.instances)
        self._nets = [list(pins) for pins in circuit.nets]
        self._places = {pin: placement.at(pin) for pins in circuit.nets for pin in pins}
        self._spots: list[tuple[float, float]] = []  # of buffers
        self._lengths: dict[int, float] = {}  # of nets
        self._of_pin = {
            (index, name): (pin, bit)
            for index, one in enumerate(self._instances)
            for pin, bits in one.pins.items()
            for bit, name in enumerate(pin_names(pin, bits))
        }

    def _pins_ff(self, pins: Iterable[NetPin]) -> float:
        return sum(
            self._drives.loads[self._instances[index].cell, self._of_pin[index, name][0]]
            for index, name in pins
            if index >= 0
        )

    def _load(self, driver: Sequence[NetPin], sinks: Sequence[NetPin]) -> float:
        """Load of pins and of the wire between them, fF."""
        places = [self._places[pin] for pin in (*driver, *sinks)]
        return self._pins_ff(sinks) + wire_tree(places).length * self._farads

    def buffer(self, net: int) -> None:
        """Cut a net that its driver cannot drive in any size."""
        driver, *ends = self._nets[net]
        sinks = [pin for pin in ends if pin[0] >= 0]
        ports = [pin for pin in ends if pin[0] < 0]  # they stay with their driver
        index, _ = driver
        most = self._drives.most(self._instances[index].cell) if index >= 0 else self._drives.port
        while sinks and self._load([driver], [*ports, *sinks]) > most:
            groups = self._groups(sinks)
            if len(groups) in (1, len(sinks)):  # what is left is one long way
                sinks = [self._add(net, sinks, self._places[driver])]
                break
            sinks = [self._add(net, group) if len(group) > 1 else group[0] for group in groups]
        self._nets[net] = [driver, *ports, *sinks]

    def _groups(self, sinks: list[NetPin]) -> list[list[NetPin]]:
        """Halve the longer side of the box around pins until a buffer can drive each part."""
        if len(sinks) == 1 or self._load([], sinks) <= _GROUP_FF:
            return [sinks]
        spread = np.ptp(np.array([self._places[pin] for pin in sinks]), axis=0)
        axis = int(spread[1] > spread[0])
        ordered = sorted(sinks, key=lambda pin: (self._places[pin][axis], pin))
        half = len(ordered) // 2
        return [*self._groups(ordered[:half]), *self._groups(ordered[half:])]

    def _add(self, net: int, group: list[NetPin], at: tuple[float, float] | None = None) -> NetPin:
        """Put a buffer somewhere, or in the middle of pins, and return its input."""
        index, new = len(self._instances), len(self._nets)
        middle = np.median(np.array([self._places[pin] for pin in group]), axis=0)
        place = at or tuple(middle.tolist())
        read, driven = self._drives.buffer_pins
        cell = self._drives.enough(self._drives.buffers[0], self._load([], group))
        driver = self._nets[net][0][0]
        above = self._instances[driver] if driver >= 0 else self._instances[0]
        folder = above.path.rpartition("/")[0] if driver >= 0 else ""
        path = f"{folder}/wire_buffer_{index}" if folder else f"wire_buffer_{index}"
        self._instances.append(Instance(path, cell, above.module, {read: [net], driven: [new]}))
        self._spots.append(place)
        for name in (read, driven):
            self._places[index, name] = place
            self._of_pin[index, name] = (name, 0)
        self._nets.append([(index, driven), *group])
        for sink in group:
            self._connect(sink, new)
        return index, read

    def _connect(self, sink: NetPin, net: int) -> None:
        index, name = sink
        pin, bit = self._of_pin[index, name]
        one = self._instances[index]
        bits = [net if place == bit else old for place, old in enumerate(one.pins[pin])]
        self._instances[index] = replace(one, pins={**one.pins, pin: bits})

    def size(self) -> None:
        """Give each gate the least drive that is enough for its loads.

        None becomes weaker than synthesis made it: it may have had a path in mind.
        """
        loads: dict[int, float] = {}
        for net, pins in enumerate(self._nets):
            if pins and pins[0][0] >= 0 and net not in self.fixed:
                if net not in self._lengths:
                    self._lengths[net] = wire_tree([self._places[pin] for pin in pins]).length
                load = self._pins_ff(pins[1:]) + self._lengths[net] * self._farads
                loads[pins[0][0]] = max(loads.get(pins[0][0], 0.0), load)
        before, areas = self._placement.circuit.gates.instances, self._drives.areas
        for index, load in loads.items():
            least = self._drives.enough(self._instances[index].cell, load)
            given = before[index].cell if index < len(before) else least
            if areas.get(least, 0.0) >= areas.get(given, 0.0):
                self._instances[index] = replace(self._instances[index], cell=least)

    def result(self) -> Sized:
        gates = self._placement.circuit.gates
        count = len(gates.instances)
        old = gates.instances
        return Sized(
            replace(gates, nets=len(self._nets), instances=self._instances),
            [*self._placement.left.tolist(), *(x for x, _ in self._spots)],
            [*self._placement.bottom.tolist(), *(y for _, y in self._spots)],
            sum(one.cell != other.cell for one, other in zip(self._instances, old, strict=False)),
            len(self._instances) - count,
        )
