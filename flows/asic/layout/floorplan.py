# SPDX-License-Identifier: Apache-2.0
"""A floorplan by rule: rows of cells in the middle, macros in columns beside them, ports around.

Every size is a whole number of sites and rows, so that all that stands on the grid is legal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.asic.layout.lef import Outline, Site
from hw.errors import PlosiveError

__all__ = ["UTILISATION", "Floorplan", "make_floorplan"]

UTILISATION = 0.7
"""Part of the rows that cells fill, where the user says nothing: routers want about that."""

_HALO_UM = 10.0  # around each macro, for wires and supplies
_MOST_COLUMNS = 6


@dataclass(frozen=True)
class Floorplan:
    """Where things may stand; all in um from the lower left of the die.

    Attributes
    ----------
    width, height
        Of the die.
    site
        Of the rows.
    left, bottom
        Of the rows.
    sites, rows
        How many; every second row is turned upside down.
    macros
        Lower left of each macro, by its instance's index.
    ports
        Place of each port's bit, on the border of the die.
    """

    width: float
    height: float
    site: Site
    left: float
    bottom: float
    sites: int
    rows: int
    macros: dict[int, tuple[float, float]] = field(repr=False)
    ports: list[tuple[float, float]] = field(repr=False)

    @property
    def row_area(self) -> float:
        """um2 of all rows."""
        return self.sites * self.site.width * self.rows * self.site.height


def make_floorplan(
    outlines: Sequence[Outline],
    ports: int,
    site: Site,
    *,
    order: Sequence[int] | None = None,
    utilisation: float = UTILISATION,
) -> Floorplan:
    """Divide a die.

    Macros are stacked from below in the given order, each on the lowest stack, so those that follow
    one another come to stand at about the same height on both sides of the rows. There are as many
    stacks as make both the rows' and the die's outline least oblong.

    Parameters
    ----------
    outlines
        Of each instance.
    ports
        How many bits of ports; they stand evenly below and above the rows.
    site
        Of the standard cells.
    order
        Indices of the macros; None: as in `outlines`.
    utilisation
        Part of the rows that cells fill.

    Raises
    ------
    PlosiveError
        The utilisation is no part, or there are no cells.
    """
    if not 0.05 <= utilisation <= 0.95:
        raise PlosiveError(f"utilisation is {utilisation!r}: it must be from 0.05 to 0.95")
    cells = sum(cell.width * cell.height for cell in outlines if cell.kind != "BLOCK")
    if not cells:
        raise PlosiveError("the netlist has no cells to place")
    blocks = [index for index, cell in enumerate(outlines) if cell.kind == "BLOCK"]
    if order is not None:
        blocks = list(order)
    choices = range(1, _MOST_COLUMNS + 1) if blocks else [0]
    plans = [_plan(outlines, blocks, ports, site, cells / utilisation, n) for n in choices]
    return min(plans, key=_oblong)


def _oblong(plan: Floorplan) -> float:
    rows = plan.rows * plan.site.height / (plan.sites * plan.site.width)
    return abs(math.log(rows)) + abs(math.log(plan.height / plan.width))


def _plan(
    outlines: Sequence[Outline],
    blocks: list[int],
    ports: int,
    site: Site,
    area: float,
    columns: int,
) -> Floorplan:
    """A floorplan with so many columns of macros on either side."""
    sides = _sides(outlines, blocks, columns)
    tallest = max(
        (sum(outlines[i].height + _HALO_UM for i in column) for side in sides for column in side),
        default=0.0,
    )
    rows = math.ceil(max(tallest, math.sqrt(area) if not blocks else 0.0) / site.height)
    sites = math.ceil(area / (rows * site.height) / site.width)
    widths = [
        [max(outlines[i].width for i in column) + _HALO_UM for column in side] for side in sides
    ]
    margin = _on(site.width, _HALO_UM)
    left = _on(site.width, sum(widths[0])) + margin
    bottom = _on(site.height, _HALO_UM)
    right = left + sites * site.width + margin
    places = {}
    x = left - margin
    for column, width in zip(sides[0], widths[0], strict=True):  # the first is next to the rows
        places |= _stack(outlines, column, x - _HALO_UM, bottom, from_right=True)
        x -= width
    x = right
    for column, width in zip(sides[1], widths[1], strict=True):
        places |= _stack(outlines, column, x + _HALO_UM, bottom)
        x += width
    height = bottom + rows * site.height + bottom
    return Floorplan(
        width=right + sum(widths[1]) + margin if widths[1] else right,
        height=height,
        site=site,
        left=left,
        bottom=bottom,
        sites=sites,
        rows=rows,
        macros=places,
        ports=_ports(ports, left, sites * site.width, height),
    )


def _on(step: float, length: float) -> float:
    """The least multiple of a step that is not shorter."""
    return math.ceil(length / step - 1e-9) * step


def _sides(
    outlines: Sequence[Outline], blocks: list[int], columns: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Stacks of macros to the left and to the right, the one next to the rows first."""
    stacks: list[list[int]] = [[] for _ in range(2 * columns)]
    heights = [0.0] * len(stacks)
    for index in blocks:
        lowest = heights.index(min(heights))
        stacks[lowest].append(index)
        heights[lowest] += outlines[index].height + _HALO_UM
    return [one for one in stacks[::2] if one], [one for one in stacks[1::2] if one]


def _stack(
    outlines: Sequence[Outline],
    column: list[int],
    x: float,
    bottom: float,
    *,
    from_right: bool = False,
) -> dict[int, tuple[float, float]]:
    """Macros one above the other, with their left or right sides at x."""
    places, y = {}, bottom
    for index in column:
        places[index] = (x - outlines[index].width if from_right else x, y)
        y += outlines[index].height + _HALO_UM
    return places


def _ports(count: int, left: float, width: float, height: float) -> list[tuple[float, float]]:
    """The first half of the ports below, the others above, evenly along the rows."""
    below = (count + 1) // 2
    places = []
    for index in range(count):
        row, first, number = (0.0, 0, below) if index < below else (height, below, count - below)
        places.append((left + width * (index - first + 0.5) / number, row))
    return places
