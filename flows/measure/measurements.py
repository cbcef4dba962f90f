# SPDX-License-Identifier: Apache-2.0
"""Figures of presets and boards: commands that print them, run once and kept with their origin.

A measurement is kept with a hash of what its command was given (Verilog, libraries, versions of
tools), so that it is measured again when one of those changed and not otherwise.
"""

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from flows.asic.area import AreaFigures
from flows.asic.pdk import Pdk, find_pdk
from flows.asic.power_figures import PowerFigures
from flows.asic.synthesis import netlist_name
from flows.asic.timing import TimingFigures
from flows.figures import Figures, FiguresError
from flows.fpga.boards import BOARDS
from flows.fpga.build import board_sources, board_tools
from flows.fpga.figures import BoardFigures
from flows.host.figures import SelfTest
from flows.progress import Progress, silent
from flows.simulation.cycles import FrameFigures
from flows.simulation.figures import SimulationFigures
from flows.speech.record import read_json
from flows.tools import toolchain
from flows.tools.toolchain import ToolError
from golden_model.files.writing import atomic_write, lock
from hw.config import PRESETS, preset
from hw.errors import PlosiveError
from model_zoo import data, zoo

__all__ = [
    "BOARD_SHAPES",
    "Job",
    "Measurement",
    "area_of",
    "board_jobs",
    "measure",
    "power_of",
    "preset_jobs",
    "read",
    "timing_of",
    "write",
]

BOARD_SHAPES = (("ulx3s-85f", "paper-t2"), ("ulx3s-85f", "speech"), ("icebreaker", "speech"))
"""Boards, and presets that are built for them, folded to the chip as the board asks."""

_PDK = "ihp-sg13g2"
_GENERIC = ("tiny", "paper-t2")
"""Presets that are also counted in yosys' own gates, for machines without a PDK."""
_FRAMES = 20
_SHIPPED = "speech"
_OF_THE_SHIPPED = ("speech", "frugal")
"""Presets that the shipped network runs on."""
_FRUGAL = ("frugal",)
"""Presets whose memories are made for energy."""
_DATA = "DATA/"  # stands for the folder of data sets: a command is the same on every machine
_RECORDING = "arctic/bdl/arctic_a0040.flac"
"""A sentence that the shipped network was not trained on."""


@dataclass(frozen=True, kw_only=True)
class Measurement(Figures):
    """What one command printed of a preset or a board.

    Attributes
    ----------
    kind
        What it measures: "cycles", "gates" (yosys' own), "area", "timing", "state" (the Verilog
        beside the model, all state), "power" (with a random network), "speech" (power with the
        shipped network on a recording), "fpga", "host" (a simulated board).
    subject
        The preset or board.
    command
        All of it, as a user types it.
    tools
        What else the figures depend on: versions, the cells' library and corner.
    inputs
        Hash of what the command was given; "" if it is so quick that it always runs.
    figures
        Numbers by name. A name as "blocks/neurons" is one of a group.
    """

    kind: str
    subject: str
    command: str
    tools: dict[str, str]
    inputs: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Job:
    """A command that measures.

    Attributes
    ----------
    kind, subject
        See `Measurement`.
    arguments
        Arguments of `plosive`; the first is the command's name.
    """

    kind: str
    subject: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command line, as a user types it."""
        return shlex.join(("plosive", *self.arguments, "--json"))

    def option(self, name: str) -> str | None:
        """The value of one of the options."""
        return dict(pairwise(self.arguments)).get(name)


def preset_jobs(names: Iterable[str] = tuple(PRESETS)) -> list[Job]:
    """All that is measured of presets."""
    jobs = []
    for name in names:
        of_preset = ("--preset", name)
        goal = ("--memory-goal", "energy") if name in _FRUGAL else ()
        on_cells = (*of_preset, "--pdk", _PDK, *goal)
        run = ("--random", "1", "--frames", str(_FRAMES))
        gates = ("area", *of_preset, "--pdk", "generic")
        jobs += [
            Job("cycles", name, ("cycles", *of_preset, "--densities", "published")),
            *([Job("gates", name, gates)] if name in _GENERIC else []),
            Job("area", name, ("area", *on_cells)),
            Job("timing", name, ("timing", *on_cells)),
            Job("power", name, ("power", *on_cells, *run)),
            Job("state", name, ("simulate", *of_preset, *run)),
        ]
        if name in _OF_THE_SHIPPED:
            speech = ("--network", _SHIPPED, "--audio", f"{_DATA}{_RECORDING}")
            jobs.append(Job("speech", name, ("power", *on_cells, *speech)))
    return jobs


def board_jobs() -> list[Job]:
    """All that is measured of FPGA boards."""
    jobs = []
    for board, shape in BOARD_SHAPES:
        subject = f"{board}, {shape}"
        usual = BOARDS[board].preset == shape
        build = ("fpga", "--board", board, *(() if usual else ("--preset", shape)))
        port = f"sim:{board}" if usual else f"sim:{board}:{shape}"
        jobs += [
            Job("fpga", subject, build),
            Job("host", subject, ("host", "--port", port, "selftest", "--networks", "1")),
        ]
    return jobs


# ---- what is kept of each command's JSON ----------------------------------------------------


def area_of(area: AreaFigures) -> dict[str, float]:
    """Figures of `plosive area`: cells, areas, kGE of each top block (its cells, without a PDK)."""
    names = ("cells", "flip_flops", "logic_kge", "logic_um2", "macros_um2", "um2")
    totals = {name: getattr(area.total, name) for name in names}
    of_block = "cells" if area.total.um2 is None else "logic_kge"
    return {
        **{name: value for name, value in totals.items() if value is not None},
        "memory_bits": area.memory_bits,
        **{f"blocks/{one.block}": getattr(one.size, of_block) for one in area.top_blocks},
    }


def timing_of(timing: TimingFigures) -> dict[str, float]:
    """Figures of `plosive timing`: the highest clock."""
    return {"fmax_mhz": timing.fmax_mhz}


def power_of(power: PowerFigures) -> dict[str, float]:
    """Figures of `plosive power`: energy per frame, and power with the clock stopped in between."""
    energy, stopped = power.energy_per_frame_nj, power.real_time.clock_stopped
    return {
        "nj_per_frame": energy.total,
        "nj/logic": energy.logic,
        "nj/memories": energy.memories,
        "real_time_uw": stopped.total_uw,
        "leakage_uw": stopped.leakage_uw,
        "cycles_per_frame": power.cycles_per_frame,
        "frames": power.frames + power.warm_up_frames,
    }


def _cycles_of(figures: FrameFigures) -> dict[str, float]:
    return {"cycles_per_frame": figures.cycles.cycles_per_frame.mean}


def _simulation_of(figures: SimulationFigures) -> dict[str, float]:
    names = ("frames", "compared_clocks", "compared_bits", "compared_beats", "mismatches")
    return {name: getattr(figures, name) for name in names}


def _fpga_of(board: BoardFigures) -> dict[str, float]:
    return {
        "lanes": board.configuration.lanes,
        "time_steps": board.configuration.time_steps,
        "n_output": board.configuration.n_output,
        **{f"used/{name}": resource.used for name, resource in board.resources.items()},
        **{f"available/{name}": resource.available for name, resource in board.resources.items()},
        "clock_mhz": board.clock_mhz,
        "fmax_mhz": board.fmax_mhz.median,
        "seeds": len(board.fmax_mhz.seeds),
        "cycles_per_frame": board.cycles_per_frame,
        "real_time_factor": board.real_time_factor.at_clock,
        "bitstream_bytes": board.bitstream.bytes,
    }


def _selftest_of(test: SelfTest) -> dict[str, float]:
    return {name: getattr(test, name) for name in ("networks", "frames", "values_compared")}


def _process(figures: AreaFigures | TimingFigures | PowerFigures) -> dict[str, str]:
    return {**figures.versions, "library": figures.library, "corner": figures.corner}


def _simulator(_figures: Figures | None = None) -> dict[str, str]:
    return {"verilator": toolchain.find("verilator").version}


# ---- what each command is given --------------------------------------------------------------


@cache
def _pdk(name: str, root: Path | None) -> Pdk:
    return find_pdk(name, root)


@cache
def _netlist(name: str, pdk: str, root: Path | None, goal: str = "area") -> str:
    return netlist_name(preset(name), _pdk(pdk, root), goal)


def _area_inputs(job: Job, root: Path | None) -> list[str]:
    pdk = _pdk(job.option("--pdk"), root)
    macros = [hashlib.sha256(macro.liberty.read_bytes()).hexdigest() for macro in pdk.macros]
    goal = job.option("--memory-goal") or "area"
    return [_netlist(job.subject, pdk.name, root, goal), *macros]


def _timing_inputs(job: Job, root: Path | None) -> list[str]:
    return [*_area_inputs(job, root), toolchain.find("sta").version]


def _speech_inputs(job: Job, root: Path | None) -> list[str]:
    files = (zoo.path(job.option("--network")), Path(_place(job.option("--audio"))))
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return [*_timing_inputs(job, root), *hashes]


def _place(argument: str) -> str:
    """An argument with the folder of data sets in it.

    Raises
    ------
    ToolError
        There is no such folder, or not this file.
    """
    if not argument.startswith(_DATA):
        return argument
    try:
        path = data.find_data() / argument.removeprefix(_DATA)
    except data.DataError as error:
        raise ToolError(str(error)) from error
    if not path.is_file():
        raise ToolError(f"{path} was not found: it is a recording of CMU ARCTIC")
    return str(path)


def _simulation_inputs(job: Job, _root: Path | None) -> list[str]:
    return [_netlist(job.subject, "generic", None), toolchain.find("verilator").version]


def _board_inputs(job: Job, _root: Path | None) -> list[str]:
    name, shape = job.subject.split(", ")
    target = BOARDS[name]
    config = target.config if shape == target.preset else target.folded(preset(shape))
    made = board_sources(target, config.replace(trace=False), None)
    tools = board_tools(target) if job.kind == "fpga" else _simulator()
    return [made.verilog, made.memories, json.dumps(tools)]


@dataclass(frozen=True)
class _Kind:
    """How a command's output is kept, and what it depends on (None: it always runs)."""

    printed: type[Figures]
    figures: Callable[[Any], dict[str, float]]
    tools: Callable[[Any], dict[str, str]]
    inputs: Callable[[Job, Path | None], list[str]] | None


_KINDS = {
    "cycles": _Kind(FrameFigures, _cycles_of, lambda _figures: {}, None),
    "gates": _Kind(AreaFigures, area_of, _process, _area_inputs),
    "area": _Kind(AreaFigures, area_of, _process, _area_inputs),
    "timing": _Kind(TimingFigures, timing_of, _process, _timing_inputs),
    "state": _Kind(SimulationFigures, _simulation_of, _simulator, _simulation_inputs),
    "power": _Kind(PowerFigures, power_of, _process, _timing_inputs),
    "speech": _Kind(PowerFigures, power_of, _process, _speech_inputs),
    "fpga": _Kind(BoardFigures, _fpga_of, lambda board: board.versions, _board_inputs),
    "host": _Kind(SelfTest, _selftest_of, _simulator, _board_inputs),
}


# ---- measuring ----------------------------------------------------------------------------


def measure(
    jobs: Sequence[Job],
    kept: Iterable[Measurement] = (),
    *,
    build_dir: Path,
    pdk_root: Path | None = None,
    again: bool = False,
    progress: Progress = silent,
) -> tuple[list[Measurement], dict[str, str]]:
    """Run the commands whose measurements are not kept.

    Parameters
    ----------
    jobs
        What to measure.
    kept
        Earlier measurements, beside those that this function keeps in the build folder; one of the
        same command and inputs is taken.
    build_dir
        Where the commands build.
    pdk_root
        See `flows.asic.pdk.find_pdk`.
    again
        Take none of those kept.

    Returns
    -------
    tuple
        The measurements in the order of the jobs, and by command why others were skipped: a tool
        or the PDK is missing.

    Raises
    ------
    PlosiveError
        A command fails, or the file in the build folder is broken.
    """
    file = build_dir / "measurements.json"
    known = {} if again else {(one.command, one.inputs): one for one in (*kept, *read(file))}
    found, skipped = [], {}
    for job in jobs:
        kind = _KINDS[job.kind]
        progress(job.command)
        try:
            inputs = _digest(kind.inputs(job, pdk_root)) if kind.inputs else ""
        except ToolError as error:
            skipped[job.command] = str(error)
            continue
        if inputs and (job.command, inputs) in known:
            found.append(known[job.command, inputs])
            continue
        printed = kind.printed.from_dict(_run(job, build_dir, pdk_root))
        figures = {name: _rounded(value) for name, value in kind.figures(printed).items()}
        one = Measurement(
            kind=job.kind,
            subject=job.subject,
            command=job.command,
            tools=kind.tools(printed),
            inputs=inputs,
            figures=figures,
        )
        found.append(one)
        _add(file, one)
    return found, skipped


def _add(file: Path, one: Measurement) -> None:
    """Put a measurement into the file, which other processes put theirs into, too."""
    with lock(file):
        write(file, [*(other for other in read(file) if other.command != one.command), one])


def _digest(texts: list[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _run(job: Job, build_dir: Path, pdk_root: Path | None) -> dict[str, Any]:
    """What a command prints."""
    name, *rest = job.arguments
    places = [] if name == "cycles" else ["--build", str(build_dir)]
    if pdk_root is not None and job.option("--pdk"):
        places += ["--pdk-root", str(pdk_root)]
    result = subprocess.run(
        [sys.executable, "-m", "flows.cli", name, *places, *map(_place, rest), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        why = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise PlosiveError(f"`{job.command}` fails: {why[-1].removeprefix('plosive: ')}")
    return json.loads(result.stdout)


# ---- the file -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Kept(Figures):
    """The file."""

    measurements: list[Measurement]


def read(path: Path) -> list[Measurement]:
    """The measurements in a file; none if there is no file.

    Raises
    ------
    PlosiveError
        The file cannot be read or holds something else.
    """
    if not path.exists():
        return []
    try:
        return _Kept.from_dict(read_json(path)).measurements
    except FiguresError as error:
        raise PlosiveError(f"{path}: it holds no measurements: {error}") from error


def write(path: Path, measurements: Iterable[Measurement]) -> None:
    """Write measurements as JSON.

    Raises
    ------
    PlosiveError
        The file cannot be written.
    """
    kept = _Kept(measurements=list(measurements))
    atomic_write(path, (json.dumps(kept.to_dict(), indent=1) + "\n").encode())
