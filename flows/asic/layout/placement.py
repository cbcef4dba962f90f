# SPDX-License-Identifier: Apache-2.0
"""Places for cells, by coloquinte, and the check that they are legal.

The placer counts in whole numbers: sites across, and the sites that a row is high, rounded, up. So
whatever it says is on the grid; heights are up to a few percent off while it minimises lengths.
"""

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from flows.asic.layout.floorplan import Floorplan
from flows.asic.layout.nets import Circuit, NetPin
from flows.tools.process import last_line, run_child
from flows.tools.toolchain import ToolError
from hw.errors import PlosiveError

__all__ = ["Placement", "check_legal", "check_placer", "place", "place_again"]

_RUN = Path(__file__).with_name("coloquinte_run.py")
_EFFORT = 3  # of coloquinte's 1 to 9: its own default
_MOST_DENSITY = 0.85  # what cells are widened to while they are placed, so that they keep apart


@dataclass(frozen=True)
class Placement:
    """A place for each instance and port.

    Attributes
    ----------
    circuit, floorplan
        What was placed, and where.
    left, bottom
        Lower left of each instance, um.
    flipped
        Whether it stands upside down, as in every second row.
    seconds
        What placing took, on the wall.
    """

    circuit: Circuit = field(repr=False)
    floorplan: Floorplan
    left: np.ndarray = field(repr=False)
    bottom: np.ndarray = field(repr=False)
    flipped: np.ndarray = field(repr=False)
    seconds: float

    def at(self, pin: NetPin) -> tuple[float, float]:
        """Where a pin is, um from the lower left of the die."""
        index, name = pin
        if index < 0:
            return self.floorplan.ports[-1 - index]
        outline = self.circuit.outlines[index]
        x, y = outline.pins[name].centre
        if self.flipped[index]:
            y = outline.height - y
        return float(self.left[index]) + x, float(self.bottom[index]) + y


def check_placer() -> None:
    """Look for coloquinte, before minutes of other work.

    Raises
    ------
    ToolError
        It is not installed.
    """
    if importlib.util.find_spec("coloquinte") is None:
        raise ToolError(
            "coloquinte was not found: it is needed to place cells; install the extra "
            "`pip install -e .[layout]` under Python 3.11 or 3.12, or use --wires fitted"
        )


def place(circuit: Circuit, floorplan: Floorplan, *, seed: int = 1) -> Placement:
    """Place all cells; the same input and seed give the same places.

    Raises
    ------
    ToolError
        coloquinte is missing.
    PlosiveError
        It fails, or its result is not legal.
    """
    count = len(circuit.outlines)
    middle = (
        floorplan.left + floorplan.sites * floorplan.site.width / 2,
        floorplan.bottom + floorplan.rows * floorplan.site.height / 2,
    )
    left, bottom = np.full(count, middle[0]), np.full(count, middle[1])
    for index, (x, y) in floorplan.macros.items():
        left[index], bottom[index] = x, y
    return _placed(circuit, floorplan, left, bottom, seed, whole=True)


def place_again(
    circuit: Circuit, floorplan: Floorplan, left: Sequence[float], bottom: Sequence[float]
) -> Placement:
    """Give cells that have grown, or were added, the nearest legal places.

    Raises
    ------
    ToolError
        coloquinte is missing.
    PlosiveError
        It fails, or its result is not legal.
    """
    return _placed(circuit, floorplan, np.array(left), np.array(bottom), 1, whole=False)


def _placed(
    circuit: Circuit,
    floorplan: Floorplan,
    left: np.ndarray,
    bottom: np.ndarray,
    seed: int,
    *,
    whole: bool,
) -> Placement:
    check_placer()
    started = time.monotonic()
    site, row = floorplan.site, round(floorplan.site.height / floorplan.site.width)
    outlines, ports = circuit.outlines, floorplan.ports
    # A unit across is a site; up, a row is `row` units. Macros and ports are only near the grid.
    across, up = 1 / site.width, row / site.height
    fixed = np.array([cell.kind == "BLOCK" for cell in outlines] + [True] * len(ports))
    given = {
        "width": [*(round(cell.width * across) for cell in outlines), *[0] * len(ports)],
        "height": [*(round(cell.height * up) for cell in outlines), *[0] * len(ports)],
        "x": np.rint(np.append(left, [x for x, _ in ports]) * across).astype(int),
        "y": np.rint(np.append(bottom, [y for _, y in ports]) * up).astype(int),
        "fixed": fixed,
        "core": np.rint(
            [
                floorplan.left * across,
                floorplan.sites,
                floorplan.bottom * up,
                floorplan.rows,
                row,
            ]
        ).astype(int),
        "effort": [_EFFORT, seed],
        "density": _MOST_DENSITY,
        "whole": whole,
        **_pins(circuit, across, up),
    }
    with tempfile.TemporaryDirectory(prefix="plosive-place-") as folder:
        work = Path(folder)
        np.savez(work / "given.npz", **given)
        with open(work / "log", "wb") as log:
            command = [sys.executable, "-P", _RUN, "given.npz", "result.npz"]
            status = run_child(command, work, stdout=log, env=dict(os.environ))
        if status != 0 or not (work / "result.npz").is_file():
            raise PlosiveError(f"coloquinte fails: {last_line(work / 'log', 'Error')}")
        with np.load(work / "result.npz") as result:
            x, y, flipped = (result[name][: len(outlines)] for name in ("x", "y", "flipped"))
    moved = ~fixed[: len(outlines)]
    placement = Placement(
        circuit,
        floorplan,
        np.where(moved, x / across, left),
        np.where(moved, y / up, bottom),
        flipped & moved,
        time.monotonic() - started,
    )
    check_legal(placement)
    return placement


def _pins(circuit: Circuit, across: float, up: float) -> dict[str, list[int]]:
    """The nets that pull: neither constants nor the clock, which get trees of their own."""
    cells, xs, ys, ends = [], [], [], []
    count = len(circuit.outlines)
    centres: dict[tuple[str, str], tuple[int, int]] = {}
    for net, pins in enumerate(circuit.nets):
        if len(pins) < 2 or net in circuit.constant or net in circuit.clock:
            continue
        for index, name in pins:
            if index < 0:
                cells.append(count - 1 - index)
                xs.append(0)
                ys.append(0)
                continue
            outline = circuit.outlines[index]
            place = centres.get((outline.name, name))
            if place is None:
                x, y = outline.pins[name].centre
                place = centres[outline.name, name] = (round(x * across), round(y * up))
            cells.append(index)
            xs.append(place[0])
            ys.append(place[1])
        ends.append(len(cells))
    return {"pin_cell": cells, "pin_x": xs, "pin_y": ys, "net_end": ends}


def check_legal(placement: Placement) -> None:
    """Every cell stands in one row, on sites, upright in even rows; nothing overlaps.

    Raises
    ------
    PlosiveError
        Something does not.
    """
    plan, site = placement.floorplan, placement.floorplan.site
    instances = placement.circuit.gates.instances
    rows: dict[int, list[tuple[int, int, int]]] = {}
    for index, outline in enumerate(placement.circuit.outlines):
        if outline.kind == "BLOCK":
            continue
        name = instances[index].path
        column = (placement.left[index] - plan.left) / site.width
        row = (placement.bottom[index] - plan.bottom) / site.height
        if max(abs(column - round(column)), abs(row - round(row))) > 1e-3:
            raise PlosiveError(f"the placement is not legal: {name} is not on a site")
        column, row, width = round(column), round(row), round(outline.width / site.width)
        if not (0 <= row < plan.rows and 0 <= column <= plan.sites - width):
            raise PlosiveError(f"the placement is not legal: {name} is outside of the rows")
        if placement.flipped[index] != bool(row % 2):
            raise PlosiveError(f"the placement is not legal: {name} has its supplies crossed")
        rows.setdefault(row, []).append((column, column + width, index))
    for cells in rows.values():
        cells.sort()
        for (_, end, one), (start, _, other) in pairwise(cells):
            if start < end:
                raise PlosiveError(
                    f"the placement is not legal: {instances[one].path} and "
                    f"{instances[other].path} overlap"
                )
