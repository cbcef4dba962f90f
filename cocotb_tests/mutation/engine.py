# SPDX-License-Identifier: Apache-2.0
"""Proves the benches: breaks the design in many ways and counts how many the benches see.

Hand-written mutants (`cocotb_tests.mutation.mutants`) change a line of `hw/`; netlist mutants are
drawn by yosys `mutate`. A mutant that no bench catches is escaped, unless yosys proves that it
computes the same: then it is equivalent and leaves the count. See docs/verification.md, "Mutants".
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cocotb_tests.mutation.mutants import CONFIGS, MUTANTS, Mutant
from cocotb_tests.mutation.netlist import mutate, prove
from flows.simulation.job import CoreJob
from flows.tools import verilator
from flows.verilog.contents import weight_requests
from flows.verilog.writer import TOP
from golden_model import Network, random_features
from golden_model.files.writing import make_directory
from golden_model.layer import DECAY_FORMS, RESETS
from hw.config import AcceleratorConfig
from hw.core.counters import COUNTERS

__all__ = [
    "NETLISTS",
    "TARGET",
    "Report",
    "Verdict",
    "mutated_sources",
    "printed_by",
    "run",
    "run_hand",
    "run_netlist",
]

_PROJECT = Path(__file__).resolve().parents[2]
TARGET = 0.95  # share caught
_MAX_CLOCKS = 12_000  # of one job; the longest takes half of it without a mutant
# Compiling is most of the time of a mutant, running next to nothing.
_QUICK_BUILD = ("--output-split", "0", "-CFLAGS", "-O0")
# Configuration: (mutations drawn, seed).
NETLISTS = {"t2": (150, 1), "t1": (100, 2), "fast": (200, 1)}
_GENERATE = """
import dataclasses, json, sys
from hw.config import AcceleratorConfig
from hw.core.core import Core
from flows.verilog.writer import to_verilog
core = Core(AcceleratorConfig.from_dict(json.loads(sys.argv[1])))
fields = [list(dataclasses.astuple(place)) for place in core.trace_fields]
print(json.dumps({"fields": fields, "verilog": to_verilog(core)}))
"""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes
    ----------
    status : "caught", "escaped" or "equivalent".
    config : the configuration that caught it, or the last one tried.
    detail : the first message of the bench that caught it.
    """

    kind: str
    name: str
    place: str
    status: str
    config: str
    detail: str


@dataclass
class Report:
    """Verdicts of a run and their sums."""

    verdicts: list[Verdict]

    def of(self, kind: str, status: str | None = None) -> list[Verdict]:
        """Those of a kind ("hand", "netlist"), with a status."""
        return [v for v in self.verdicts if v.kind == kind and status in (None, v.status)]

    def to_dict(self) -> dict:
        """Counts per kind, the share caught, and every mutant that escaped or is equivalent."""
        sums = {}
        for kind in ("hand", "netlist"):
            total, equivalent = len(self.of(kind)), len(self.of(kind, "equivalent"))
            sums[kind] = {
                "mutants": total,
                "caught": len(self.of(kind, "caught")),
                "equivalent": equivalent,
                "escaped": len(self.of(kind, "escaped")),
            }
        return {
            **sums,
            "share_caught": self.share_caught,
            "not_caught": [vars(v) for v in self.verdicts if v.status != "caught"],
        }

    @property
    def share_caught(self) -> float:
        """Caught mutants of those that are not equivalent."""
        counted = [v for v in self.verdicts if v.status != "equivalent"]
        return sum(v.status == "caught" for v in counted) / max(1, len(counted))

    def lines(self) -> list[str]:
        """The report as text."""
        figures = self.to_dict()
        lines = []
        for kind in ("hand", "netlist"):
            sums = figures[kind]
            counted = sums["mutants"] - sums["equivalent"]
            if counted:
                lines.append(
                    f"{kind}: {sums['caught']} of {counted} caught, {sums['escaped']} escaped, "
                    f"{sums['equivalent']} more proved equivalent"
                )
        lines.append(f"share caught: {100 * self.share_caught:.1f} %")
        for verdict in self.verdicts:
            if verdict.status != "caught":
                lines.append(
                    f"{verdict.status}: {verdict.name} ({verdict.config}): {verdict.place}"
                )
        return lines


# ---- what a mutant must compute ----------------------------------------------------------


def _networks(config: AcceleratorConfig) -> list[Network]:
    """Random networks: what the first has as decay form or reset, the second has not; the third
    shifts its input sums as far as the machine can.
    """
    first, second, third, fourth = (Network.random(config, seed) for seed in (1, 2, 3, 4))
    layers = [
        dataclasses.replace(
            layer,
            decay_form=DECAY_FORMS[other.decay_form == DECAY_FORMS[0]],
            reset=RESETS[other.reset == RESETS[0]],
        )
        for layer, other in zip(second.layers, first.layers, strict=True)
    ]
    shifted = dataclasses.replace(third.layers[0], input_shift=config.max_input_shift)
    return [
        first,
        Network(config, layers, second.w_out),
        Network(config, [shifted, *third.layers[1:]], third.w_out),
        fourth,
    ]


def _write_jobs(config: AcceleratorConfig, fields: list[list], folder: Path) -> list[str]:
    """Jobs: full of interruptions, with a reset; at full speed; large shifts; long stalls."""
    ragged = {
        "starts": [0, 1, 5],
        "feature_pattern": {"on": [1, 6], "off": [0, 6], "seed": 3},
        "ready_pattern": {"on": [1, 4], "off": [0, 12], "seed": 4},
        "reset_at": 150,
        "clear_at": 260,
        "readback": True,
    }
    at_full_speed = {"starts": [0, 4], "clear_at": 100}
    shifted = {"starts": [0]}
    stalled = {"starts": [0, 3], "ready_pattern": {"on": [1, 2], "off": [0, 30], "seed": 5}}
    paths = []
    for index, (network, options) in enumerate(
        zip(_networks(config), (ragged, at_full_speed, shifted, stalled), strict=True)
    ):
        features = random_features(config, 10, seed=11 + index)
        features[2], features[6], features[7] = 0, -128, 127
        stem = folder / f"job-{index}"
        job = CoreJob(
            config=config,
            network_path=f"{stem}.safetensors",
            features_path=f"{stem}-features.npy",
            words_path=f"{stem}-words.npy",
            result_path=f"{stem}-result.json",
            check="trace",
            fields=fields,
            counter_names=list(COUNTERS),
            max_clocks=_MAX_CLOCKS,
            **options,
        )
        network.save(job.network_path)
        np.save(job.features_path, features)
        np.save(job.words_path, weight_requests(config, network))
        job.write(Path(f"{stem}.json"))
        paths.append(f"{stem}.json")
    return paths


def _regress(
    model: verilator.SimModel,
    config: AcceleratorConfig,
    fields: list[list],
    selections: Sequence[int | None],
) -> list[str | None]:
    """What the benches say about each selection: the message that caught it, or None."""
    messages: dict[int | None, str | None] = {}
    with tempfile.TemporaryDirectory(prefix="plosive-mutants-") as folder:
        work = Path(folder)
        jobs = _write_jobs(config, fields, work)
        while left := [s for s in selections if s not in messages]:
            plan = {
                "jobs": jobs,
                "selections": left,
                "max_clocks": 2 * _MAX_CLOCKS,
                "result_path": str(work / "result.jsonl"),
            }
            plan_path = work / "plan.json"
            plan_path.write_text(json.dumps(plan))
            run = model.run(
                "cocotb_tests.mutation.bench_mutants",
                "mutants",
                env={"PLOSIVE_MUTANTS": str(plan_path)},
                seed=1,
                timeout_s=60 + 30 * len(left),
                log_path=work / "mutants.log",
            )
            result = Path(plan["result_path"])
            for line in result.read_text().splitlines() if result.is_file() else []:
                answer = json.loads(line)
                messages[answer["selection"]] = answer["caught"]
            following = next((s for s in selections if s not in messages), None)
            if any("simulation ended prematurely" in message for message in run.messages):
                # Verilator gives up on gates that oscillate.
                messages[following] = "the simulation does not settle"
            else:
                assert run.passed, f"the bench itself fails: {run.messages}"
    return [messages[selection] for selection in selections]


# ---- hand-written mutants ----------------------------------------------------------------


def _generate(config: AcceleratorConfig, sources: Path) -> tuple[list[list], str]:
    """Trace fields and Verilog of a core, generated from the `hw` in a folder."""
    answer = json.loads(printed_by(_GENERATE, sources, json.dumps(config.to_dict())))
    return answer["fields"], answer["verilog"]


def printed_by(program: str, sources: Path, *arguments: str) -> str:
    """What a Python program prints that uses the `hw` in a folder.

    Raises
    ------
    RuntimeError : it fails.
    """
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        cwd=sources,
        env={**os.environ, "PYTHONPATH": f"{sources}:{_PROJECT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"the mutant does not generate: {result.stderr.splitlines()[-1]}")
    return result.stdout


@cache
def _original(name: str) -> tuple[list[list], str]:
    return _generate(CONFIGS[name], _PROJECT)


def mutated_sources(mutant: Mutant, folder: Path) -> None:
    """Write a copy of `hw/` with the mutant in it.

    Raises
    ------
    ValueError : its text does not stand exactly once in its file.
    """
    target = folder / "hw"
    shutil.copytree(_PROJECT / "hw", target, ignore=shutil.ignore_patterns("__pycache__"))
    path = target / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name}: its text stands {text.count(mutant.old)} times in hw/{mutant.file}, "
            "it must stand there once"
        )
    path.write_text(text.replace(mutant.old, mutant.new))


def run_hand(mutant: Mutant, build_dir: Path) -> Verdict:
    """Build a hand-written mutant in its configurations until a bench catches it."""
    status, detail, config_name = "escaped", "", ""
    with tempfile.TemporaryDirectory(prefix="plosive-mutant-") as folder:
        mutated_sources(mutant, Path(folder))
        for name in mutant.configs:
            fields, verilog = _generate(CONFIGS[name], Path(folder))
            if verilog == _original(name)[1]:
                continue
            config_name = name
            source = Path(folder, f"{TOP}.v")
            source.write_text(verilog)
            model = verilator.build([source], TOP, build_dir, jobs=1, extra_args=_QUICK_BUILD)
            message = _regress(model, CONFIGS[name], fields, [None])[0]
            if message is not None:
                status, detail = "caught", message
                break
    return Verdict("hand", mutant.name, f"hw/{mutant.file}", status, config_name, detail)


# ---- netlist mutants ---------------------------------------------------------------------


def run_netlist(name: str, build_dir: Path, count: int | None = None) -> list[Verdict]:
    """Mutations of a configuration's netlist, all in one simulation model.

    Parameters
    ----------
    count : of the mutations of `NETLISTS`, spread over all of them; None for all.
    """
    config = CONFIGS[name]
    drawn, seed = NETLISTS[name]
    every = drawn // min(count, drawn) if count else 1
    fields, verilog = _original(name)
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="plosive-netlist-") as folder:
        work = Path(folder)
        source, mutated = work / "original.v", work / f"{TOP}.v"
        source.write_text(verilog)
        mutations = mutate(source, drawn, seed, every, mutated)[:count]
        model = verilator.build([mutated], TOP, build_dir, jobs=1, extra_args=_QUICK_BUILD)
        untouched, *messages = _regress(model, config, fields, list(range(len(mutations) + 1)))
        if untouched is not None:
            raise RuntimeError(f"the netlist without a mutant fails: {untouched}")
        for index, (mutation, message) in enumerate(zip(mutations, messages, strict=True)):
            status = "escaped" if message is None else "caught"
            if message is None:
                status = "equivalent" if prove(work, mutation) else "escaped"
            label = f"{name}-{index * every + 1}"
            verdicts.append(Verdict("netlist", label, mutation.place, status, name, message or ""))
    return verdicts


# ---- all of them, and the command --------------------------------------------------------


def run(
    build_dir: Path,
    *,
    hand: bool = True,
    netlist: bool = True,
    limit: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Run mutants in worker processes.

    Parameters
    ----------
    limit : at most so many hand-written mutants, and so many of each netlist, spread over all.
    progress : called with the mutants done and all.
    """
    chosen = MUTANTS
    if limit is not None:
        chosen = MUTANTS[:: max(1, len(MUTANTS) // limit)][:limit]
    with ProcessPoolExecutor(workers) as pool:
        tasks = {}
        if netlist:  # the long ones first
            for name, (count, _) in NETLISTS.items():
                tasks[pool.submit(run_netlist, name, build_dir, limit)] = min(limit or count, count)
        if hand:
            tasks |= {pool.submit(run_hand, mutant, build_dir): 1 for mutant in chosen}
        done, total = 0, sum(tasks.values())
        progress(done, total)
        for task in as_completed(tasks):
            done += tasks[task]
            progress(done, total)
        verdicts = []
        for task in tasks:
            result = task.result()
            verdicts += result if isinstance(result, list) else [result]
    return Report(verdicts)


def _main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m cocotb_tests.mutation.engine",
        description="Break the design in many ways and count how many the benches catch.",
        epilog="Exit status 0 if at least 95 % of the mutants that are not equivalent are caught.",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--hand", action="store_true", help="only the hand-written mutants")
    kinds.add_argument("--netlist", action="store_true", help="only those of yosys mutate")
    parser.add_argument("--limit", type=int, metavar="N", help="N of each list, spread over it")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default 2)")
    parser.add_argument(
        "--build-dir", type=Path, default=_PROJECT / "build" / "mutants", help="folder of models"
    )
    given = parser.parse_args(arguments)
    make_directory(given.build_dir)
    with Progress(
        *(TextColumn("mutants"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("mutants")
        report = run(
            given.build_dir,
            hand=not given.netlist,
            netlist=not given.hand,
            limit=given.limit,
            workers=given.workers,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(json.dumps(report.to_dict(), indent=1) if given.json else "\n".join(report.lines()))
    return 0 if report.share_caught >= TARGET else 1


if __name__ == "__main__":
    sys.exit(_main())
