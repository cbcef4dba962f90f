# SPDX-License-Identifier: Apache-2.0
"""`make bench`: speed of models, generator and simulations; costs of hardware beside baselines."""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.table import Table

from flows import terminal
from flows.measure import baselines
from flows.measure.baselines import Comparison, delta_table
from flows.progress import Progress, on_terminal
from flows.rates import FRAMES_PER_S
from flows.simulation.simulate import cosimulate
from flows.tools import toolchain, verilator
from flows.verilog.writer import tool_versions
from golden_model import CycleModel, Network, cycle_laws, random_features
from golden_model.files.writing import atomic_write
from hw.config import PRESETS, AcceleratorConfig, preset

__all__ = ["bench", "main", "measured"]

_LANES = (32, 64, 128, 256)
_SECONDS = 3.0  # each speed is measured for at least this long


def bench(build_dir: Path, *, quick: bool, progress: Progress) -> dict[str, Any]:
    """All measurements, JSON-able.

    Parameters
    ----------
    build_dir
        Folder of models of the speed measurements.
    quick
        Preset tiny and few repetitions, to see that everything runs.
    """
    config = preset("tiny" if quick else "paper-t2")
    seconds = 0.2 if quick else _SECONDS
    figures: dict[str, Any] = {
        "preset": "tiny" if quick else "paper-t2",
        "tools": toolchain.versions(),
        "packages": {
            **tool_versions(),
            **{name: importlib.metadata.version(name) for name in ("cocotb", "numpy")},
        },
        "machine": {
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "load_before": round(os.getloadavg()[0], 2),
        },
    }
    progress("golden model")
    figures["golden"] = _golden(config, seconds)
    progress("features")
    figures["features"] = _features(seconds)
    progress("generate")
    figures["generate"] = _generate(figures["preset"])
    figures["simulate"] = {}
    for check, frames in (("trace", 20), ("outputs", 20 if quick else 200)):
        progress(f"simulate --check {check}")
        figures["simulate"][check] = _simulate(config, check, frames, build_dir)
    figures["lanes"] = []
    for lanes in (4, 8) if quick else _LANES:
        progress(f"elaborating and building {lanes} lanes")
        figures["lanes"].append(_build(config.replace(lanes=lanes), build_dir))
    for before, after in zip(figures["lanes"], figures["lanes"][1:], strict=False):
        for name in ("elaborate_s", "build_s"):
            after[f"{name[:-2]}_ratio"] = round(after[name] / before[name], 2)
    return figures


def _rate(work: Callable[[], int], seconds: float) -> float:
    """Units of work per second, of the fastest of the repetitions that fit into `seconds`."""
    work()
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end or not best:
        started = time.perf_counter()
        units = work()
        best = max(best, units / (time.perf_counter() - started))
    return best


def _golden(config: AcceleratorConfig, seconds: float) -> dict[str, int]:
    network = Network.random(config, 1)
    batch, frames = 64, 100
    features = np.stack([random_features(config, frames, seed) for seed in range(batch)])
    spikes = network.run(features).spikes

    def functional() -> int:
        network.run(features)
        return batch * frames

    def laws() -> int:
        cycle_laws(config, features, spikes)
        return batch * frames

    def clocks() -> int:
        model = CycleModel(config, network)
        count = 0
        for feature, ready in model.drive(features[0, :3]):
            model.advance(feature, ready)
            count += 1
        return count

    return {
        "functional_frames_per_s": round(_rate(functional, seconds)),
        "laws_frames_per_s": round(_rate(laws, seconds)),
        "cycle_model_clocks_per_s": round(_rate(clocks, seconds)),
    }


def _features(seconds: float) -> dict[str, int]:
    from model_zoo.speech.features import log_mel

    samples = np.random.default_rng(1).uniform(-0.1, 0.1, 10 * 16_000)

    def extract() -> int:
        return len(log_mel(samples))

    return {"times_real_time": round(_rate(extract, seconds) / FRAMES_PER_S)}


def measured(command: list[str]) -> tuple[float, float]:
    """Wall-clock seconds and peak memory in MB of a command."""
    code = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    started = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", code, *command], check=True, capture_output=True, text=True
    )
    return time.perf_counter() - started, int(result.stdout) / 1024


def _generate(name: str) -> dict[str, Any]:
    with TemporaryDirectory(prefix="plosive-bench-") as folder:
        arguments = ["generate", "--preset", name, "-o", f"{folder}/out"]
        seconds, megabytes = measured([sys.executable, "-m", "flows.cli", *arguments])
        size = Path(folder, "out", "plosive.v").stat().st_size
    return {
        "wall_s": round(seconds, 1),
        "peak_mb": round(megabytes),
        "verilog_bytes": size,
    }


def _simulate(
    config: AcceleratorConfig, check: str, frames: int, build_dir: Path
) -> dict[str, Any]:
    network = Network.random(config, 1)
    features = random_features(config, frames, 1)
    run = cosimulate(config, network, features, build_dir=build_dir, check=check)
    if not run.passed:
        raise RuntimeError(f"the Verilog differs: {run.messages[0]}")
    kept = ("frames", "clocks", "compared_bits", "mismatches", "wall_s", "clocks_per_s")
    return {name: getattr(run.figures, name) for name in kept}


def _build(config: AcceleratorConfig, build_dir: Path) -> dict[str, Any]:
    """Seconds of elaboration to Verilog, and of its simulation model.

    The run-time library, the same for every model, is taken from `build_dir`.
    """
    from flows.verilog.writer import TOP, to_verilog
    from hw.core.core import Core

    started = time.perf_counter()
    text = to_verilog(Core(config))
    elaborated = time.perf_counter()
    with TemporaryDirectory(prefix="plosive-bench-") as folder:
        source = Path(folder, f"{TOP}.v")
        source.write_text(f"{text}// {time.time_ns()}\n")  # another model than any built before
        model = verilator.build([source], TOP, build_dir)
    built = time.perf_counter()
    shutil.rmtree(model.directory)
    return {
        "lanes": config.lanes,
        "verilog_bytes": len(text),
        "elaborate_s": round(elaborated - started, 1),
        "build_s": round(built - elaborated, 1),
    }


def _compared(comparisons: list[Comparison], skipped: dict[str, str]) -> dict[str, Any]:
    """The figures that moved, for each command, or why none were compared."""
    moved = {
        comparison.command: comparison.missing
        or {
            delta.figure: {"baseline": delta.old, "now": delta.new, "verdict": delta.verdict}
            for delta in comparison.deltas
            if delta.verdict != "same"
        }
        for comparison in comparisons
    }
    return {**moved, **skipped}


def _tables(figures: dict[str, Any]) -> list[Table]:
    speeds = terminal.table(f"Speed, {figures['preset']}", "what", "figure")
    golden, generate = figures["golden"], figures["generate"]
    rows = [
        ("golden model, batch 64", f"{golden['functional_frames_per_s']:,} frames/s"),
        ("cycle laws", f"{golden['laws_frames_per_s']:,} frames/s"),
        ("cycle model", f"{golden['cycle_model_clocks_per_s']:,} clocks/s"),
        ("features", f"{figures['features']['times_real_time']:,} x real time"),
        ("generate", f"{generate['wall_s']} s, {generate['peak_mb']:,} MB"),
    ]
    for check, run in figures["simulate"].items():
        rows.append((f"simulate --check {check}", f"{run['clocks_per_s']:,} clocks/s"))
    for row in rows:
        speeds.add_row(*row)
    lanes = terminal.table("Elaboration and build", "lanes", "elaborate (s)", "x", "build (s)", "x")
    for row in figures["lanes"]:
        lanes.add_row(
            str(row["lanes"]),
            str(row["elaborate_s"]),
            str(row.get("elaborate_ratio", "")),
            str(row["build_s"]),
            str(row.get("build_ratio", "")),
        )
    return [speeds, lanes]


def main() -> None:
    """Measure, print the table and write `build/bench.json`."""
    parser = argparse.ArgumentParser(prog="python -m flows.measure.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="preset tiny, seconds")
    parser.add_argument("--build", type=Path, default=Path("build"), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    options = parser.parse_args()
    with on_terminal() as progress:
        figures = bench(options.build, quick=options.quick, progress=progress)
        comparisons, _, skipped = baselines.compare_jobs(
            baselines.jobs(["tiny"] if options.quick else PRESETS),
            build_dir=options.build,
            progress=progress,
        )
    figures["baselines"] = _compared(comparisons, skipped)
    text = json.dumps(figures, indent=1)
    target = options.build / "bench.json"
    atomic_write(target, f"{text}\n".encode())
    if options.json:
        print(text)
        return
    console = terminal.console()
    for table in (*_tables(figures), delta_table(comparisons, skipped)):
        console.print(table)
    console.print(f"machine: {figures['machine']['cores']} cores; all figures: {target}")


if __name__ == "__main__":
    main()
