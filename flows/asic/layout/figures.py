# SPDX-License-Identifier: Apache-2.0
"""Figures of wires: how long they are, what they cost, and where that is from."""

from dataclasses import dataclass

from flows.figures import Figures, optional

__all__ = ["SizingFigures", "WireCase", "WireFigures"]


@dataclass(frozen=True, kw_only=True)
class WireCase(Figures):
    """What a wire costs, and all of them.

    Attributes
    ----------
    name
        "low" or "high".
    ff_per_um, ohm_per_um
        Of a um.
    wire_pf
        Capacitance of all wires but those of clocks.
    source
        Where the capacitance is from.
    """

    name: str
    ff_per_um: float
    ohm_per_um: float
    wire_pf: float
    source: str


@dataclass(frozen=True, kw_only=True)
class SizingFigures(Figures):
    """What gates were given for the loads of their wires.

    Attributes
    ----------
    slew_ns
        What an edge may take.
    changed
        Gates with another drive.
    buffers_before, buffers
        How many buffers synthesis put, and how many there are in their place.
    cells_mm2_before, cells_mm2
        Area of all cells.
    """

    slew_ns: float
    changed: int
    buffers_before: int
    buffers: int
    cells_mm2_before: float
    cells_mm2: float


@dataclass(frozen=True, kw_only=True)
class WireFigures(Figures):
    """Wires of a netlist.

    Attributes
    ----------
    method
        "placed", "resized" or "fitted".
    source
        The same in words.
    wire_m, clock_wire_m
        Length of all wires but those of clocks, and of those: trees without buffers.
    cases
        Low and high.
    die_mm2, core_mm2, utilisation
        Of the floorplan: the die, the rows of cells, and how much of them is filled.
    seconds
        What placing took, on the wall.
    seed
        Of the placer.
    placer
        Its version.
    picture, placed_def
        Files.
    sizing
        Drives and buffers; absent if gates are as synthesis left them.
    """

    method: str
    source: str
    wire_m: float
    clock_wire_m: float
    cases: list[WireCase]
    die_mm2: float | None = optional()
    core_mm2: float | None = optional()
    utilisation: float | None = optional()
    seconds: float | None = optional()
    seed: int | None = optional()
    placer: str | None = optional()
    picture: str | None = optional()
    placed_def: str | None = optional()
    sizing: SizingFigures | None = optional()

    @property
    def note(self) -> str:
        """What must be said beside figures with these wires; they are those of the last case."""
        low, high = self.cases
        return (
            f"wires have the lengths of {self.source} and are not routed, and the clock is ideal; "
            f"figures are for {high.ff_per_um:.3g} fF/um, those called low for {low.ff_per_um:.2g}"
        )
