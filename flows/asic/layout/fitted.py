# SPDX-License-Identifier: Apache-2.0
"""`--wires fitted`: without a placer, lengths of wires by fan-out and area, from our placements.

A law for nets between cells, and one for nets that come to a macro or a port, whose place no cell
can choose:

    length = scale * (area of all cells) ** area_power * (pins but the driver) ** fanout_power
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flows.asic.layout.layout import (
    STAMP,
    cell_area,
    check_netlist,
    read_circuit,
    with_wires,
    write_wires,
)
from flows.asic.layout.lengths import WireTree, star
from flows.asic.layout.nets import Circuit
from flows.asic.layout.process import read_rules
from flows.asic.layout.spef import read_spef
from flows.asic.synthesis import Netlist
from flows.progress import Progress, silent
from flows.tools.build_once import build_once

__all__ = ["LAWS", "Law", "Laws", "estimate_wires", "fit_laws", "net_kinds", "placed_lengths"]

_FORMAT = 1  # moves when the same input gives other files
_KINDS = ("near", "far")


@dataclass(frozen=True)
class Law:
    """Mean length of a net: um for a mm2 of cells and one pin, and two exponents."""

    scale: float
    area_power: float
    fanout_power: float

    def length(self, area: float, fanout: int) -> float:
        """Length in um.

        Parameters
        ----------
        area
            mm2 of all cells.
        fanout
            Pins of the net but its driver.
        """
        return self.scale * area**self.area_power * fanout**self.fanout_power


@dataclass(frozen=True)
class Laws:
    """What was fitted, and how well it does.

    Attributes
    ----------
    near, far
        Of nets between cells; of those that come to a macro or a port.
    placed
        The presets to whose trial placements they were fitted.
    unseen
        Another preset.
    unseen_error
        By how much all its wires together are too long; 0 is perfect.
    """

    near: Law
    far: Law
    placed: tuple[str, ...]
    unseen: str
    unseen_error: float

    @property
    def source(self) -> str:
        """Where lengths are from, for notes."""
        return (
            f"a law of fan-out and area fitted to trial placements of {', '.join(self.placed)} "
            f"({self.unseen_error:+.0%} in sum on {self.unseen}, which the fit did not see)"
        )


LAWS = Laws(
    near=Law(scale=37.22, area_power=0.4057, fanout_power=1.091),
    far=Law(scale=553.8, area_power=0.3167, fanout_power=0.5463),
    placed=("tiny", "speech"),
    unseen="speech with 16 lanes",
    unseen_error=-0.05,
)
"""As `python -m flows.measure.wire_laws tiny speech speech:lanes=16` prints them."""


def net_kinds(circuit: Circuit) -> list[tuple[str, int] | None]:
    """Of each net with a wire, "near" or "far", and how many pins it has but its driver."""

    def kind(pins: list[tuple[int, str]]) -> str:
        outside = (index < 0 or circuit.outlines[index].kind == "BLOCK" for index, _ in pins)
        return "far" if any(outside) else "near"

    return [
        (kind(pins), len(pins) - 1) if len(pins) > 1 and net not in circuit.constant else None
        for net, pins in enumerate(circuit.nets)
    ]


def estimate_wires(
    netlist: Netlist, *, laws: Laws = LAWS, build_dir: Path, progress: Progress = silent
) -> Netlist:
    """Give a netlist wires of the lengths that the laws expect; it comes back flat.

    Parameters
    ----------
    netlist
        The core, of a process with LEF files, with a macro for each memory.
    laws
        The laws of length.
    build_dir
        `layout/` in it keeps the results: `netlist.v`, `low.spef`, `high.spef`.

    Raises
    ------
    ToolError
        A LEF file is missing.
    PlosiveError
        A memory has no macros.
    """
    check_netlist(netlist)
    rules = read_rules(netlist.pdk, netlist.macros)
    key = json.dumps([_FORMAT, netlist.folder.name, repr(laws)])
    name = f"{netlist.folder.name}-fitted-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    folder = build_dir / "layout" / name

    def fill(work: Path) -> None:
        progress("reading the netlist")
        circuit = read_circuit(netlist, rules)
        progress("writing the wires")
        figures = write_wires(
            netlist,
            circuit,
            _trees(circuit, laws),
            rules,
            work,
            method="fitted",
            source=laws.source,
        )
        (work / STAMP).write_text(json.dumps(figures.to_dict(), indent=1) + "\n")

    build_once(folder, STAMP, fill)
    return with_wires(netlist, folder)


def _trees(circuit: Circuit, laws: Laws) -> list[WireTree | None]:
    area = cell_area(circuit) * 1e-6
    of = {"near": laws.near, "far": laws.far}
    kinds = net_kinds(circuit)
    return [kind and star(kind[1], of[kind[0]].length(area, kind[1])) for kind in kinds]


def placed_lengths(placed: Netlist) -> tuple[Circuit, list[float | None]]:
    """The nets of a placed netlist, and the length of each in um; None where it has no wire."""
    circuit = read_circuit(placed, read_rules(placed.pdk, placed.macros), placed.gates())
    farads = placed.wires.figures.cases[-1].ff_per_um
    paths = [one.path for one in circuit.gates.instances]
    of = {net.pins[0]: net.capacitance / farads for net in read_spef(placed.wires.spef).values()}
    drivers = (
        pins and (pins[0][1] if pins[0][0] < 0 else f"{paths[pins[0][0]]}:{pins[0][1]}")
        for pins in circuit.nets
    )
    return circuit, [of.get(driver) if driver else None for driver in drivers]


def fit_laws(placements: Mapping[str, tuple[Circuit, Sequence[float | None]]], unseen: str) -> Laws:
    """Fit laws to all placements but one, and see how well they do on that one.

    Each fan-out of each placement is a point, weighed with the length of all its wire; the fit is
    one of least squares of logarithms, scaled so that the sum of all wires is right.

    Parameters
    ----------
    placements
        Circuits and the lengths of their nets, by preset.
    unseen
        The preset that is left out.
    """
    points = {name: _points(circuit, lengths) for name, (circuit, lengths) in placements.items()}
    seen = {name: held for name, held in points.items() if name != unseen}
    near, far = (_fit([row for held in seen.values() for row in held[kind]]) for kind in _KINDS)
    laws = Laws(near, far, tuple(seen), unseen, 0.0)
    expected, real = (0.0, 0.0)
    for kind, law in zip(_KINDS, (near, far), strict=True):
        for area, fanout, length, count in points[unseen][kind]:
            expected += count * law.length(area, fanout)
            real += count * length
    return replace(laws, unseen_error=expected / real - 1)


_Point = tuple[float, int, float, int]  # area, fan-out, mean length, nets


def _points(circuit: Circuit, of_nets: Sequence[float | None]) -> dict[str, list[_Point]]:
    area = cell_area(circuit) * 1e-6
    lengths: dict[tuple[str, int], list[float]] = defaultdict(list)
    for kind, length in zip(net_kinds(circuit), of_nets, strict=True):
        if kind is not None and length is not None:
            lengths[kind].append(length)
    points: dict[str, list[_Point]] = {kind: [] for kind in _KINDS}
    for (kind, fanout), held in lengths.items():
        if sum(held):
            points[kind].append((area, fanout, sum(held) / len(held), len(held)))
    return points


def _fit(points: list[_Point]) -> Law:
    areas, fanouts, lengths, counts = np.array(points).T
    columns = np.stack([np.ones(len(points)), np.log(areas), np.log(fanouts)], axis=1)
    weights = np.sqrt(lengths * counts)
    found, *_ = np.linalg.lstsq(columns * weights[:, None], np.log(lengths) * weights, rcond=None)
    law = Law(1.0, float(found[1]), float(found[2]))
    expected = sum(
        count * law.length(area, fanout)
        for area, fanout, count in zip(areas, fanouts, counts, strict=True)
    )
    return replace(law, scale=float((lengths * counts).sum() / expected))
