# SPDX-License-Identifier: Apache-2.0
"""Figures of designs for FPGA boards: resources, clock, speed."""

from dataclasses import dataclass

from flows.figures import Figures, Hashes, inline, named, optional
from flows.rates import FRAMES_PER_S
from hw.config import AcceleratorConfig

__all__ = [
    "Bitstream",
    "BoardFigures",
    "BuildSeconds",
    "MaximumClock",
    "ProjectFigures",
    "Rates",
    "Resource",
    "RoutedPath",
    "WithAndAlone",
]


@dataclass(frozen=True, kw_only=True)
class Resource(Figures):
    """How much of a resource a design uses, and how much the chip has."""

    used: int
    available: int

    @property
    def share(self) -> float:
        """The share that is used of what the chip has."""
        return self.used / self.available


@dataclass(frozen=True, kw_only=True)
class RoutedPath(Figures):
    """The slowest path of a routed chip: its registers, and the delays of logic and routing."""

    start: str = named("from")
    end: str = named("to")
    logic_ns: float
    routing_ns: float


@dataclass(frozen=True, kw_only=True)
class MaximumClock(Figures):
    """The maximum clock: the median over placements, and that of each seed."""

    median: float
    seeds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Rates(Figures):
    """A rate at the board's clock, and at the maximum clock."""

    at_clock: float
    at_fmax: float

    @classmethod
    def of_frames(cls, clock_mhz: float, fmax_mhz: float, cycles: float) -> "Rates":
        """Frames per second, at so many cycles per frame."""
        return cls(at_clock=1e6 * clock_mhz / cycles, at_fmax=1e6 * fmax_mhz / cycles)

    @property
    def times_real_time(self) -> "Rates":
        """Rates of frames, in those of speech."""
        return Rates(at_clock=self.at_clock / FRAMES_PER_S, at_fmax=self.at_fmax / FRAMES_PER_S)


@dataclass(frozen=True, kw_only=True)
class Bitstream(Figures):
    """The bitstream: its file, the seed of its placement, and the command that loads it."""

    file: str
    seed: int
    bytes: int
    sha256: str
    load: str


@dataclass(frozen=True, kw_only=True)
class BuildSeconds(Figures):
    """What synthesis took, and placing and routing by seed."""

    synthesis: float
    place_and_route: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class WithAndAlone(Figures):
    """A resource that the whole design uses, and that its core uses alone."""

    whole: int = named("with")
    core_alone: int


@dataclass(frozen=True, kw_only=True)
class BoardFigures(Figures):
    """A design for a board.

    Attributes
    ----------
    of
        What was built.
    board, title, part
        The board, and its chip.
    configuration
        The hardware.
    network_in_bitstream
        False if the host loads it.
    large_memories
        Memories in large RAMs, which a bitstream cannot initialise.
    resources
        Resources by the names of `flows.fpga.boards.LABELS`.
    cells
        How many cells, by yosys' name.
    clock_mhz, fmax_mhz, meets_clock
        The board's clock, the maximum clock, and whether that is enough.
    critical_path
        The critical path of the fastest placement.
    cycles_per_frame, densities
        "measured" on a recording, or expected for the "published" densities.
    frames_per_second, real_time_factor
        Frames, and seconds of speech, per second.
    bitstream
        The bitstream of the fastest placement.
    seconds
        What the build took.
    versions
        Versions of the tools.
    interface
        Resources with and without what is around the core; None unless asked for.
    """

    of: Hashes | None = inline(default=None)
    board: str
    title: str
    part: str
    configuration: AcceleratorConfig
    network_in_bitstream: bool
    large_memories: list[str]
    resources: dict[str, Resource]
    cells: dict[str, int]
    clock_mhz: float
    fmax_mhz: MaximumClock
    meets_clock: bool
    critical_path: RoutedPath
    cycles_per_frame: float
    densities: str
    frames_per_second: Rates
    real_time_factor: Rates
    bitstream: Bitstream
    seconds: BuildSeconds
    versions: dict[str, str]
    interface: dict[str, WithAndAlone] | None = optional()


@dataclass(frozen=True, kw_only=True)
class ProjectFigures(Figures):
    """A Vivado project, which is written and not built.

    Attributes
    ----------
    of
        What it is of.
    board, title, part
        The board, and its chip.
    configuration
        The hardware.
    network_in_bitstream
        False if the host loads it.
    top
        The top module.
    clock_mhz
        The board's clock.
    folder, files
        What was written, and where.
    run
        The commands that build it.
    built
        Always false.
    versions
        Versions of the tools.
    """

    of: Hashes | None = inline(default=None)
    board: str
    title: str
    part: str
    configuration: AcceleratorConfig
    network_in_bitstream: bool
    top: str
    clock_mhz: float
    folder: str
    files: list[str]
    run: list[str]
    built: bool
    versions: dict[str, str]
