# SPDX-License-Identifier: Apache-2.0
"""Figures of `plosive power`; real time and efficiency follow from the energy of a frame."""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.asic.layout.figures import WireFigures
from flows.figures import Derived, Figures, Hashes, inline, optional
from flows.rates import FRAMES_PER_S, real_time_uw, speech_seconds
from flows.simulation.figures import Sparsity
from hw.config import AcceleratorConfig
from hw.errors import PlosiveError
from model_zoo.scoring.costs import dense_mmac_per_s

__all__ = [
    "CLOCKS_HZ",
    "CLOCK_SLEW_NS",
    "NOTES",
    "REFERENCE",
    "BlockEnergy",
    "Constant",
    "FrameEnergy",
    "Leakage",
    "MemoryEnergy",
    "Operations",
    "Power",
    "PowerFigures",
    "RealTime",
    "Reference",
    "RunningClock",
    "operation_figures",
    "real_time_figures",
]

CLOCKS_HZ = (100e3, 1e6)
"""The reference's real-time clock, and ten times it."""

CLOCK_SLEW_NS = 0.1
"""Slew of the clock at flip-flops: what a clock tree is made for, as there is none here."""

NOTES = [
    "an estimate: typical corner, wires by the library's model, no clock tree; a layout takes more",
    "an operation is one accumulation; who counts a multiplication beside it has twice as many",
    "the reference is a 28 nm design with a commercial library: its figures are not comparable",
]


@dataclass(frozen=True, kw_only=True)
class BlockEnergy(Figures):
    """A block's cells without SRAM macros.

    Attributes
    ----------
    block
        Its name, as in `plosive area`; "own" for what is in no block.
    internal_nj, switching_nj, nj
        Energy per frame: inside cells, of the loads on their outputs, and both.
    leakage_uw
        Leakage, which flows at all times.
    """

    block: str
    internal_nj: float
    switching_nj: float
    nj: float
    leakage_uw: float

    @Derived
    def real_time_uw(self) -> float:
        """Power with the clock stopped between frames."""
        return real_time_uw(self.nj) + self.leakage_uw


@dataclass(frozen=True, kw_only=True)
class MemoryEnergy(Figures):
    """The macros of a memory.

    Attributes
    ----------
    memory
        Its name.
    reads, writes
        Rows per frame.
    read_nj, write_nj, pins_nj
        Energy per frame: of rows read and written, and of edges on the input pins.
    leakage_uw
        Leakage, which flows at all times.
    """

    memory: str
    reads: float
    writes: float
    read_nj: float
    write_nj: float
    pins_nj: float
    leakage_uw: float

    @Derived
    def nj(self) -> float:
        """Energy per frame."""
        return self.read_nj + self.write_nj + self.pins_nj

    @Derived
    def real_time_uw(self) -> float:
        """Power with the clock stopped between frames."""
        return real_time_uw(self.nj) + self.leakage_uw


@dataclass(frozen=True, kw_only=True)
class FrameEnergy(Figures):
    """Energy of a frame, nJ.

    Attributes
    ----------
    logic
        Energy of all cells and of their clock pins.
    clock_pins
        Energy of the clock pins alone.
    memories
        Energy of the SRAM macros.
    """

    logic: float
    clock_pins: float
    memories: float

    @Derived
    def total(self) -> float:
        """Energy of logic and memories."""
        return self.logic + self.memories


@dataclass(frozen=True, kw_only=True)
class Leakage(Figures):
    """Leakage of cells and of macros, uW."""

    logic: float
    memories: float


@dataclass(frozen=True, kw_only=True)
class Power(Figures):
    """Power at the frame rate, uW.

    Attributes
    ----------
    logic_uw, memories_uw
        Power for the work on frames.
    idle_clock_uw
        Power of a clock that runs while there is no work.
    logic_leakage_uw, memories_leakage_uw
        Leakage.
    """

    logic_uw: float
    memories_uw: float
    idle_clock_uw: float
    logic_leakage_uw: float
    memories_leakage_uw: float

    @Derived
    def dynamic_uw(self) -> float:
        """Power of everything that switches."""
        return self.logic_uw + self.memories_uw + self.idle_clock_uw

    @Derived
    def leakage_uw(self) -> float:
        """Leakage of cells and macros."""
        return self.logic_leakage_uw + self.memories_leakage_uw

    @Derived
    def total_uw(self) -> float:
        """All of it together."""
        return self.dynamic_uw + self.leakage_uw


@dataclass(frozen=True, kw_only=True)
class RunningClock(Figures):
    """Power with a clock that always runs."""

    clock_hz: float
    power: Power = inline()


@dataclass(frozen=True, kw_only=True)
class RealTime(Figures):
    """Power at the frame rate of speech.

    Attributes
    ----------
    frames_per_s
        The rate.
    least_clock_hz
        The slowest clock that keeps up.
    clock_stopped
        Power with the clock stopped between frames.
    clock_running
        Power with clocks that always run.
    """

    frames_per_s: int
    least_clock_hz: float
    clock_stopped: Power
    clock_running: list[RunningClock]


@dataclass(frozen=True, kw_only=True)
class Operations(Figures):
    """Accumulations.

    Attributes
    ----------
    done_per_frame, dense_per_frame
        Performed, and with nothing skipped.
    tops_per_w_done, tops_per_w_dense
        1e12 operations per second and watt, in real time with the clock stopped between frames.
    tops_per_w_done_without_leakage, tops_per_w_dense_without_leakage
        The same for the energy of a frame alone.
    """

    done_per_frame: float
    dense_per_frame: float
    tops_per_w_done: float
    tops_per_w_dense: float
    tops_per_w_done_without_leakage: float
    tops_per_w_dense_without_leakage: float


@dataclass(frozen=True, kw_only=True)
class Reference(Figures):
    """What a paper publishes; another process, library and supply than any open one."""

    source: str
    process: str
    real_time_uw: float
    real_time_hz: float
    tops_per_w: float
    tops_per_w_hz: float


REFERENCE = Reference(
    source="arXiv 2503.21337",
    process="28 nm",
    real_time_uw=71.2,
    real_time_hz=100e3,
    tops_per_w=28.41,
    tops_per_w_hz=500e6,
)


@dataclass(frozen=True, kw_only=True)
class Constant(Figures):
    """A constant that is no table of the library."""

    name: str
    value: float | str
    unit: str
    source: str


@dataclass(frozen=True, kw_only=True)
class PowerFigures(Figures):
    """Energy of a frame and power in real time.

    Attributes
    ----------
    of
        What was measured.
    pdk, library, corner
        The process.
    frames, warm_up_frames
        Frames that were counted, and those run before them.
    clocks_per_frame, cycles_per_frame
        Clocks simulated per frame, and cycles by the laws.
    sparsity
        Shares of zeros in features and spikes.
    energy_per_frame_nj
        Energy of each part.
    idle_pj_per_clock
        Energy of a clock without work.
    blocks, memories
        Energy by block and memory.
    leakage_uw
        Leakage of each part.
    real_time
        Power at the frame rate.
    operations
        Efficiency.
    reference
        The published figures beside them.
    constants
        What was assumed, with units and sources.
    notes
        What the figures do not say, a line each.
    netlist
        The file.
    versions
        Versions of the tools.
    wires
        Wires with lengths of their own; absent with the library's model.
    energy_low_nj
        Energy of a frame if these wires have their low capacitance.
    """

    of: Hashes | None = inline(default=None)
    pdk: str
    library: str
    corner: str
    frames: int
    warm_up_frames: int
    clocks_per_frame: float
    cycles_per_frame: float
    sparsity: Sparsity
    energy_per_frame_nj: FrameEnergy
    idle_pj_per_clock: float
    blocks: list[BlockEnergy]
    memories: list[MemoryEnergy]
    leakage_uw: Leakage
    real_time: RealTime
    operations: Operations
    reference: Reference
    constants: list[Constant]
    notes: list[str]
    netlist: str
    versions: dict[str, str]
    wires: WireFigures | None = optional()
    energy_low_nj: FrameEnergy | None = optional()


def real_time_figures(
    energy: FrameEnergy,
    leakage: Leakage,
    clocks_per_frame: float,
    idle_j: float,
    clocks_hz: Sequence[float] | None,
) -> RealTime:
    """Power at the frame rate.

    Parameters
    ----------
    energy, leakage
        Energy of a frame, and leakage.
    clocks_per_frame
        Clocks of a frame in which there is work.
    idle_j
        Energy of a clock without work, in J.
    clocks_hz
        Clocks that always run; None: the slowest that keeps up, and those of `CLOCKS_HZ` that do.

    Raises
    ------
    PlosiveError
        A clock is too slow.
    """

    def power(idle_uw: float) -> Power:
        return Power(
            logic_uw=real_time_uw(energy.logic),
            memories_uw=real_time_uw(energy.memories),
            idle_clock_uw=idle_uw,
            logic_leakage_uw=leakage.logic,
            memories_leakage_uw=leakage.memories,
        )

    least_hz = clocks_per_frame * FRAMES_PER_S
    if clocks_hz is None:
        clocks_hz = [least_hz, *(clock for clock in CLOCKS_HZ if clock > least_hz)]
    for clock in clocks_hz:
        if clock < least_hz * (1 - 1e-9):
            raise PlosiveError(
                f"--clock is {clock:g} Hz: this network needs {least_hz:,.0f} Hz for "
                f"{FRAMES_PER_S} frames a second"
            )
    return RealTime(
        frames_per_s=FRAMES_PER_S,
        least_clock_hz=least_hz,
        clock_stopped=power(0.0),
        clock_running=[
            RunningClock(clock_hz=clock, power=power(max(0.0, clock - least_hz) * idle_j * 1e6))
            for clock in clocks_hz
        ],
    )


def operation_figures(
    config: AcceleratorConfig, done: float, energy: FrameEnergy, stopped: Power
) -> Operations:
    """Efficiency for `done` accumulations per frame, and with nothing skipped."""
    dense = dense_mmac_per_s(config) * 1e6 * speech_seconds(1)

    def in_real_time(operations: float) -> float:
        return operations * FRAMES_PER_S / (stopped.total_uw * 1e-6) * 1e-12

    return Operations(
        done_per_frame=done,
        dense_per_frame=dense,
        tops_per_w_done=in_real_time(done),
        tops_per_w_dense=in_real_time(dense),
        tops_per_w_done_without_leakage=done / energy.total * 1e-3,
        tops_per_w_dense_without_leakage=dense / energy.total * 1e-3,
    )
