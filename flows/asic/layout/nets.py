# SPDX-License-Identifier: Apache-2.0
"""The flat netlist as a placer sees it: nets with their pins, the ports, and Verilog of it."""

from dataclasses import dataclass, field
from pathlib import Path

from flows.asic.gates import Gates, Instance
from flows.asic.layout.lef import Outline
from flows.verilog.writer import TOP
from golden_model.files.writing import atomic_write
from hw.errors import PlosiveError

__all__ = ["Circuit", "NetPin", "Port", "circuit_of", "pin_names", "write_flat"]


@dataclass(frozen=True)
class Port:
    """A bit of a port of the chip: its name, as "rst" or "features__payload[3]"."""

    name: str
    direction: str
    net: int


NetPin = tuple[int, str]
"""Index of an instance, or -1 - index of a port; and the pin's name, with the bit of a bus."""


@dataclass(frozen=True)
class Circuit:
    """Instances, ports, and nets.

    Attributes
    ----------
    gates
        The flat netlist.
    outlines
        Of each instance.
    ports
        The bits of the top's ports.
    nets
        Pins of each net, the driver first; empty where nothing drives or nothing is driven.
    names
        Of each net: of an input, else of an output, else a number.
    constant, clock
        Nets that tie cells drive; nets that come to clock pins.
    """

    gates: Gates
    outlines: list[Outline] = field(repr=False)
    ports: list[Port] = field(repr=False)
    nets: list[list[NetPin]] = field(repr=False)
    names: list[str] = field(repr=False)
    constant: frozenset[int] = field(repr=False)
    clock: frozenset[int] = field(repr=False)


def pin_names(pin: str, nets: list[int]) -> list[str]:
    """Names of the bits of a pin, lowest first, as LEF and OpenSTA have them."""
    return [pin] if len(nets) == 1 else [f"{pin}[{bit}]" for bit in range(len(nets))]


def circuit_of(
    gates: Gates, outlines: dict[str, Outline], ties: set[str], clock_pins: set[tuple[str, str]]
) -> Circuit:
    """Look up every pin of a netlist.

    Parameters
    ----------
    gates
        The flat netlist.
    outlines
        Cells and macros by name.
    ties
        Cells that give constants.
    clock_pins
        Cell and pin.

    Raises
    ------
    PlosiveError
        A cell or a pin is not in the LEF files, or a net has two drivers.
    """
    ports = [
        Port(name, direction, net)
        for direction, held in (("INPUT", gates.inputs), ("OUTPUT", gates.outputs))
        for port, bits in held.items()
        for name, net in zip(pin_names(port, bits), bits, strict=True)
    ]
    drivers: list[NetPin | None] = [None] * gates.nets
    sinks: list[list[NetPin]] = [[] for _ in range(gates.nets)]
    names = [""] * gates.nets
    for index, port in enumerate(ports):
        names[port.net] = names[port.net] or port.name
        if port.direction == "OUTPUT":
            sinks[port.net].append((-1 - index, port.name))
        elif drivers[port.net] is None:
            drivers[port.net] = (-1 - index, port.name)
    constant, clock = set(), set()
    found = []
    for index, one in enumerate(gates.instances):
        outline = outlines.get(one.cell)
        if outline is None:
            raise PlosiveError(f"{one.path}: there is no LEF of {one.cell}, so it has no place")
        found.append(outline)
        for pin, bits in one.pins.items():
            for name, net in zip(pin_names(pin, bits), bits, strict=True):
                shape = outline.pins.get(name)
                if shape is None:
                    raise PlosiveError(f"{one.path}: {one.cell} has no pin {name} in its LEF")
                if shape.direction != "OUTPUT":
                    sinks[net].append((index, name))
                elif drivers[net] is not None:
                    raise PlosiveError(f"{one.path}: pin {name} is the second driver of a net")
                else:
                    drivers[net] = (index, name)
                    if one.cell in ties:
                        constant.add(net)
                if (one.cell, pin) in clock_pins:
                    clock.add(net)
    nets = [
        [driver, *ends] if driver is not None and ends else []
        for driver, ends in zip(drivers, sinks, strict=True)
    ]
    names = [name or f"n{index}" for index, name in enumerate(names)]
    return Circuit(gates, found, ports, nets, names, frozenset(constant), frozenset(clock))


def write_flat(circuit: Circuit, path: Path) -> None:
    """Write the netlist as one module, in the form that `read_gates` reads.

    Instances keep their paths as escaped names, so OpenSTA shows them as before.
    """
    gates, names = circuit.gates, circuit.names
    ports = {**gates.inputs, **gates.outputs}
    lines = [f"module {TOP}({', '.join(ports)});"]
    for direction, held in (("input", gates.inputs), ("output", gates.outputs)):
        for port, bits in held.items():
            width = f"[{len(bits) - 1}:0] " if len(bits) > 1 else ""
            lines.append(f"  {direction} {width}{port};")
    of_port = {port.net for port in circuit.ports}
    lines += [f"  wire {name};" for net, name in enumerate(names) if net not in of_port]
    # A net that several ports share has the name of one of them.
    lines += [
        f"  assign {port.name} = {names[port.net]};"
        for port in circuit.ports
        if names[port.net] != port.name
    ]
    for one in gates.instances:
        pins = [f"    .{pin}({_bits(bits, names)})" for pin, bits in one.pins.items()]
        lines += [f"  {one.cell} {_escaped(one)} (", ",\n".join(pins), "  );"]
    atomic_write(path, "\n".join([*lines, "endmodule", ""]).encode())


def _bits(bits: list[int], names: list[str]) -> str:
    texts = [names[net] for net in reversed(bits)]
    return texts[0] if len(texts) == 1 else f"{{{', '.join(texts)}}}"


def _escaped(one: Instance) -> str:
    plain = one.path.replace("_", "a").isalnum() and not one.path[0].isdigit()
    return one.path if plain else f"\\{one.path} "
