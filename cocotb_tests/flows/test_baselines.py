# SPDX-License-Identifier: Apache-2.0
"""Baselines: the quick ones are measured and held, and what a comparison says is right."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from cocotb_tests.conftest import PROJECT
from flows.asic.area import AreaFigures, ClockGating, Size, area_figures
from flows.asic.pdk import find_pdk
from flows.asic.synthesis import synthesize
from flows.measure import baselines, measurements
from flows.measure.baselines import Baseline, Baselines, Delta, compare, delta_table
from flows.measure.measurements import Job, Measurement, area_of
from flows.tools import toolchain
from hw.config import preset
from hw.errors import PlosiveError

TINY = baselines.jobs(["tiny"])
COMMAND = "plosive area --preset tiny --pdk generic --json"
TOOLS = {"yosys": "0.70", "library": "yosys internal gates", "corner": "none"}


@pytest.mark.parametrize("job", TINY, ids=lambda job: job.kind)
def test_tiny_costs_no_more_than_its_baseline(job: Job, build_root: Path) -> None:
    measured, skipped = measurements.measure([job], build_dir=build_root, again=True)
    if skipped:
        pytest.skip(skipped[job.command])
    comparison = compare(baselines.load(), measured[0])
    if comparison.missing:
        pytest.skip(f"{job.command}: {comparison.missing}")
    print("\n".join(delta.line for delta in comparison.deltas if delta.verdict != "same"))
    assert comparison.deltas
    assert comparison.regressions == []


def test_what_is_pinned_has_baselines() -> None:
    """CI runs the versions of the lock file: with them no comparison wants a baseline."""
    lock = (PROJECT / "requirements.lock").read_text()
    pinned = re.search(r"^pyosys==(\S+)", lock, re.MULTILINE)[1]
    there = {
        entry.command: entry.tools
        for entry in baselines.load().entries
        if entry.tools.get("yosys", pinned) == pinned
    }
    assert [job.command for job in TINY if job.command not in there] == []
    assert pinned == toolchain.find("yosys").version


def test_a_machine_that_grew_is_a_regression(build_root: Path) -> None:
    """The comparison goes red for real gates, not only for numbers."""
    wider = preset("tiny").replace(acc_bits=14)
    figures = area_of(area_figures(synthesize(wider, find_pdk("generic"), build_dir=build_root)))
    measured = replace(MEASURED, tools={**TOOLS, **_yosys()}, figures=figures)
    comparison = compare(baselines.load(), measured)
    if comparison.missing:
        pytest.skip(comparison.missing)
    assert any(f"`{COMMAND}`, cells: regression, " in line for line in comparison.regressions)


def _yosys() -> dict[str, str]:
    return {"yosys": toolchain.find("yosys").version}


# ---- what a comparison says -------------------------------------------------------------------

HELD = Baselines(
    tolerances={"default": 0.02, "blocks": 0.1, "blocks/neurons": 0.5, "fmax_mhz": 0.05},
    entries=(
        Baseline(command=COMMAND, tools=TOOLS, figures={"cells": 1000, "fmax_mhz": 100.0}),
        Baseline(command=COMMAND, tools={"yosys": "0.69"}, figures={"cells": 1}),
    ),
)
MEASURED = Measurement(
    kind="area",
    subject="tiny",
    command=COMMAND,
    tools=TOOLS,
    inputs="",
    figures={"cells": 1000, "fmax_mhz": 100.0},
)


@pytest.mark.parametrize(
    ("figure", "value", "verdict"),
    [
        ("cells", 1000, "same"),
        ("cells", 1001, "worse"),
        ("cells", 1020, "worse"),
        ("cells", 1021, "regression"),
        ("cells", 999, "better"),
        ("cells", 979, "much better"),
        ("fmax_mhz", 95.1, "worse"),
        ("fmax_mhz", 94.9, "regression"),
        ("fmax_mhz", 104.9, "better"),
        ("fmax_mhz", 105.1, "much better"),
    ],
)
def test_verdicts(figure: str, value: float, verdict: str) -> None:
    measured = replace(MEASURED, figures={**MEASURED.figures, figure: value})
    comparison = compare(HELD, measured)
    deltas = {delta.figure: delta for delta in comparison.deltas}
    assert deltas.pop(figure).verdict == verdict
    assert [delta.verdict for delta in deltas.values()] == ["same"]
    assert bool(comparison.regressions) == (verdict == "regression")


def test_a_regression_names_all_of_it() -> None:
    comparison = compare(HELD, replace(MEASURED, figures={"cells": 1100, "fmax_mhz": 100.0}))
    assert comparison.regressions == [
        f"`{COMMAND}`, cells: regression, 1,000 to 1,100 (+10.0 %, tolerance 2 %)"
    ]


def test_figures_that_came_or_went_ask_for_a_baseline() -> None:
    comparison = compare(HELD, replace(MEASURED, figures={"cells": 1000, "um2": 5.0}))
    assert [delta.line for delta in comparison.deltas if delta.verdict == "came or went"] == [
        f"`{COMMAND}`, fmax_mhz: baseline 100.0, now None",
        f"`{COMMAND}`, um2: baseline None, now 5.0",
    ]
    assert comparison.regressions == []


def test_from_nothing_to_something_is_a_regression() -> None:
    assert Delta(COMMAND, "cells", 0, 1, 0.02).verdict == "regression"
    assert Delta(COMMAND, "cells", 0, 0, 0.02).verdict == "same"


def test_tolerances_of_a_name_its_group_and_the_rest() -> None:
    figures = ("blocks/neurons", "blocks/counters", "cells", "blocks")
    assert [HELD.tolerance(figure) for figure in figures] == [0.5, 0.1, 0.02, 0.1]


def test_other_versions_are_never_compared() -> None:
    newer = {**TOOLS, "yosys": "0.71"}
    comparison = compare(HELD, replace(MEASURED, tools=newer, figures={"cells": 10**6}))
    assert comparison.deltas == ()
    assert comparison.missing == (
        "no baseline for yosys 0.71, library yosys internal gates, corner none (there are: "
        "yosys 0.70, library yosys internal gates, corner none; yosys 0.69)"
    )


def test_update_replaces_the_same_versions_only(tmp_path: Path) -> None:
    path = tmp_path / "baselines.json"
    baselines.update(HELD, [replace(MEASURED, figures={"cells": 900})], path)
    held = baselines.load(path)
    assert held.tolerances == HELD.tolerances
    assert sorted(entry.figures["cells"] for entry in held.entries) == [1, 900]
    assert compare(held, replace(MEASURED, figures={"cells": 900})).deltas[0].verdict == "same"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ('{"tolerances": {"default": 1}}', "it holds no baselines: no 'baselines'"),
        ('{"tolerances": {}, "baselines": []}', "tolerances has no 'default'"),
        (
            '{"tolerances": {"default": 1}, "baselines": [{"command": "a"}]}',
            "it holds no baselines: baselines[0] has no 'tools'",
        ),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "baselines.json"
    path.write_text(text)
    with pytest.raises(PlosiveError, match=rf"^\S*baselines\.json: {re.escape(message)}"):
        baselines.load(path)


def test_the_table_shows_what_moved(capsys) -> None:
    from rich.console import Console

    moved = compare(HELD, replace(MEASURED, figures={"cells": 1100, "fmax_mhz": 100.0}))
    other = compare(HELD, replace(MEASURED, tools={"yosys": "0.71"}))
    Console(width=140).print(delta_table([moved, other], {"plosive timing": "sta is missing"}))
    shown = capsys.readouterr().out
    assert re.search(r"cells +1,000 +1,100 +\+10\.00 % +2 % +regression", shown)
    assert "1 the same" in shown
    assert "no baseline for yosys 0.71" in shown
    assert re.search(r"plosive timing +skipped", shown)
    assert "sta is missing" in shown


# ---- measuring ----------------------------------------------------------------------------


def test_what_is_kept_is_not_measured_again(tmp_path: Path, monkeypatch) -> None:
    job = Job("gates", "tiny", ("area", "--preset", "tiny", "--pdk", "generic"))
    ran: list[Job] = []
    printed = AreaFigures(
        pdk="generic",
        library="l",
        corner="c",
        gate_equivalent=None,
        clock_gating=ClockGating(inserted=False, clock_gates=0, flip_flops=3, flip_flops_gated=0),
        unit=None,
        total=Size(cells=7, combinational=4, flip_flops=3, clock_gates=0),
        interface=None,
        blocks=[],
        memories={},
        memories_without_macros={},
        memory_bits=8,
        netlist="netlist.v",
        cpu_s=1.0,
        wall_s=1.0,
        versions={"yosys": "0.70"},
    ).to_dict()
    monkeypatch.setattr(measurements, "_run", lambda job, *_: ran.append(job) or printed)
    first, _ = measurements.measure([job], build_dir=tmp_path)
    assert first[0].figures == {"cells": 7, "flip_flops": 3, "memory_bits": 8}
    for kept, folder in (([], tmp_path), (first, tmp_path / "other")):
        assert measurements.measure([job], kept, build_dir=folder)[0] == first
    assert len(ran) == 1
    file = tmp_path / "measurements.json"
    measurements.write(file, [replace(first[0], inputs="0")])
    measurements.measure([job], build_dir=tmp_path)
    assert len(ran) == 2  # other Verilog, libraries or versions
    assert measurements.read(file) == first
    measurements.measure([job], first, build_dir=tmp_path, again=True)
    assert len(ran) == 3


def test_without_a_pdk_the_rest_is_measured(tmp_path: Path, build_root: Path, monkeypatch) -> None:
    monkeypatch.setattr(measurements, "_run", lambda *_: pytest.fail("needs no run"))
    job = Job("area", "tiny", ("area", "--preset", "tiny", "--pdk", "ihp-sg13g2"))
    found, skipped = measurements.measure([job], build_dir=build_root, pdk_root=tmp_path)
    assert found == []
    assert skipped[job.command].startswith("the PDK ihp-sg13g2 was not found: ")


def test_a_recording_is_found_where_the_data_are(tmp_path: Path, monkeypatch) -> None:
    """The command that is kept names no folder of a machine."""
    (job,) = [job for job in measurements.preset_jobs(["speech"]) if job.kind == "speech"]
    assert "--audio DATA/arctic/" in job.command
    ran: list[list[str]] = []
    monkeypatch.setenv("PLOSIVE_DATA", str(tmp_path))
    monkeypatch.setattr(measurements, "_timing_inputs", lambda *_: [])
    _, skipped = measurements.measure([job], build_dir=tmp_path)
    missing = tmp_path / job.option("--audio").removeprefix("DATA/")
    assert skipped[job.command] == f"{missing} was not found: it is a recording of CMU ARCTIC"
    missing.parent.mkdir(parents=True)
    missing.write_bytes(b"speech")

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
        ran.append(command)
        return subprocess.CompletedProcess(command, 1, "", "plosive: no\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(PlosiveError, match=r"` fails: no$"):
        measurements.measure([job], build_dir=tmp_path)
    assert str(missing) in ran[0]
    monkeypatch.setenv("PLOSIVE_DATA", str(tmp_path / "nowhere"))
    _, skipped = measurements.measure([job], build_dir=tmp_path)
    assert "nowhere' does not exist" in skipped[job.command]


def test_a_command_that_fails_is_one_line(tmp_path: Path) -> None:
    job = Job("cycles", "tiny", ("cycles", "--preset", "tiny", "--densities", "guessed"))
    with pytest.raises(PlosiveError, match=r"^`plosive cycles .*` fails: --densities is 'guessed'"):
        measurements.measure([job], build_dir=tmp_path)


def test_files_of_measurements(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    assert measurements.read(path) == []
    measurements.write(path, [MEASURED])
    assert measurements.read(path) == [MEASURED]
    path.write_text(json.dumps({"measurements": [{"kind": "area"}]}))
    with pytest.raises(PlosiveError, match=r"m\.json: it holds no measurements"):
        measurements.read(path)


@pytest.fixture
def command(tmp_path: Path, monkeypatch) -> Path:
    """`python -m flows.measure.baselines` with measurements and baselines of this file."""
    path = tmp_path / "baselines.json"
    baselines.update(HELD, [], path)
    monkeypatch.setattr(baselines, "FILE", path)
    grown = replace(MEASURED, figures={"cells": 1100, "fmax_mhz": 100.0})
    monkeypatch.setattr(measurements, "measure", lambda *_, **__: ([grown], {}))
    return path


def test_the_command_fails_on_a_regression(command: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["baselines", "--preset", "tiny"])
    before = command.read_text()
    with pytest.raises(
        SystemExit, match=r"^flows\.measure\.baselines: `plosive area .*, cells: regression"
    ):
        baselines.main()
    assert "Against the baselines" in capsys.readouterr().out
    assert command.read_text() == before


def test_the_command_makes_a_baseline(command: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["baselines", "--update"])
    baselines.main()
    assert "1 baselines written" in capsys.readouterr().out
    assert [entry.figures["cells"] for entry in baselines.load(command).entries] == [1, 1100]
    monkeypatch.setattr("sys.argv", ["baselines"])
    baselines.main()
    assert "2 the same" in capsys.readouterr().out


def test_the_command_line_refuses_an_unknown_preset(monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["baselines", "--preset", "huge"])
    with pytest.raises(
        SystemExit, match=r"^flows\.measure\.baselines: preset is 'huge': the presets are "
    ):
        baselines.main()
