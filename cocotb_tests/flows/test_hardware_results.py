# SPDX-License-Identifier: Apache-2.0
"""README's table and the page of hardware results say what was measured."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from flows.measure import baselines, hardware_results, measurements
from flows.measure.hardware_results import BEGIN, END, block, page, with_block
from flows.measure.measurements import Measurement, board_jobs, preset_jobs
from flows.simulation.cycles import expected_figures
from hw.config import PRESETS
from hw.errors import PlosiveError


@pytest.fixture(scope="module")
def kept() -> list[Measurement]:
    return measurements.read(hardware_results.KEPT)


def test_the_page_and_readme_are_those_of_the_measurements(kept: list[Measurement]) -> None:
    readme = hardware_results.README.read_text(encoding="utf-8")
    assert readme == with_block(readme, block(kept)), "make results-hardware"
    assert hardware_results.PAGE.read_text(encoding="utf-8") == page(kept), "make results-hardware"


def test_measurements_are_of_commands_that_are_still_asked_for(kept: list[Measurement]) -> None:
    commands = [job.command for job in (*preset_jobs(), *board_jobs())]
    assert [one.command for one in kept] == [c for c in commands if c in {k.command for k in kept}]
    for one in kept:
        assert one.kind == "cycles" or (one.inputs and one.tools), one.command


def test_what_is_shown_is_no_worse_than_the_baselines(kept: list[Measurement]) -> None:
    held = baselines.load()
    compared = [baselines.compare(held, one) for one in kept if one.kind in baselines.KINDS]
    assert [c.missing for c in compared if c.missing] == []
    assert [line for c in compared for line in c.regressions] == [], "make results-hardware"


def measured(kind: str, figures: dict[str, float], subject: str = "tiny") -> Measurement:
    jobs = (*preset_jobs(), *board_jobs())
    command = next(j.command for j in jobs if (j.kind, j.subject) == (kind, subject))
    return Measurement(
        kind=kind,
        subject=subject,
        command=command,
        tools={"yosys": "0.70"},
        inputs="1",
        figures=figures,
    )


def test_a_table_shows_each_figure_and_what_is_missing() -> None:
    area = {"logic_kge": 21.66, "memory_bits": 12032, "macros_um2": 450_000.0, "um2": 612_000.0}
    text = block([measured("area", area), measured("timing", {"fmax_mhz": 88.7})])
    assert re.search(r"^\| logic, kGE \|( not measured \|){6} 21\.7 \|$", text, re.MULTILINE)
    assert re.search(r"^\| SRAM, kB \|( not measured \|){6} 1\.5 \|$", text, re.MULTILINE)
    assert re.search(r"^\| SRAM, mm² \|( not measured \|){6} 0\.45 \|$", text, re.MULTILINE)
    assert re.search(r"^\| maximum clock, MHz \|( not measured \|){6} 89 \|$", text, re.MULTILINE)
    assert re.search(
        r"^\| nJ per frame, random network \|( not measured \|){7}$", text, re.MULTILINE
    )
    shipped = r"^\| nJ per frame, shipped network \|( - \|){3}( not measured \| - \|){2}$"
    assert re.search(shipped, text, re.MULTILINE)
    assert text.count("not the figures of a chip") == 1
    assert list(PRESETS)[-1] == "tiny"


def test_a_board_shows_what_is_used_of_its_chip() -> None:
    figures = {"n_output": 183, "time_steps": 1, "lanes": 2, "clock_mhz": 6, "fmax_mhz": 12.34}
    figures |= {"cycles_per_frame": 2000, "real_time_factor": 30}
    figures |= {"used/luts": 2640, "available/luts": 5280, "used/large_memories": 4}
    figures |= {"available/large_memories": 4}
    text = block([measured("fpga", figures, "icebreaker, speech")])
    assert re.search(r"^\| LUTs \|( not measured \|){2} 2,640 \(50 %\) \|$", text, re.MULTILINE)
    assert re.search(r"^\| large .* 4 \(100 %\) \|$", text, re.MULTILINE)
    assert re.search(r"^\| multipliers .* - \|$", text, re.MULTILINE)


def test_the_page_names_commands_and_versions() -> None:
    area = {"logic_kge": 2.0, "memory_bits": 8, "macros_um2": 1.0, "um2": 2.0}
    text = page([measured("area", {**area, "blocks/neurons": 1.25})])
    assert "| `plosive area --preset tiny --pdk ihp-sg13g2 --json` | yosys 0.70 |" in text
    assert "| `neurons` | 1.25 |" in text


def test_only_what_is_between_the_markers_changes() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_block(text, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize(
    "text", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {BEGIN} {END}", f"{BEGIN} {END} {END}"]
)
def test_markers_must_be_there_once(text: str) -> None:
    with pytest.raises(PlosiveError, match="once each, in this order"):
        with_block(text, "new")


def test_measurements_of_processes_side_by_side_are_all_kept(tmp_path: Path, monkeypatch) -> None:
    jobs = [job for job in preset_jobs() if job.kind == "cycles"]
    read = measurements.read

    def read_slowly(path: Path) -> list[Measurement]:
        held = read(path)
        time.sleep(0.05)
        return held

    monkeypatch.setattr(measurements, "read", read_slowly)
    printed = expected_figures(PRESETS["tiny"]).to_dict()
    monkeypatch.setattr(measurements, "_run", lambda *_: printed)
    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(lambda job: measurements.measure([job], build_dir=tmp_path), jobs))
    kept = {one.command for one in read(tmp_path / "measurements.json")}
    assert kept == {job.command for job in jobs}


def test_measuring_writes_and_keeps(tmp_path: Path, monkeypatch, capsys) -> None:
    """The command: new figures come in, what cannot be measured stays, what is unknown goes."""
    stays = measured("timing", {"fmax_mhz": 1.0})
    old = replace(stays, command="plosive time")
    monkeypatch.setattr(hardware_results, "KEPT", tmp_path / "hardware.json")
    monkeypatch.setattr(hardware_results, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(hardware_results, "README", tmp_path / "README.md")
    measurements.write(tmp_path / "hardware.json", [old, stays])
    (tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n")
    new = measured("cycles", {"cycles_per_frame": 155.0})
    new = replace(new, tools={}, inputs="")
    why = {stays.command: "sta was not found"}
    monkeypatch.setattr(measurements, "measure", lambda *_, **__: ([new], why))
    monkeypatch.setattr("sys.argv", ["hardware_results", "--build", str(tmp_path)])
    hardware_results.main()
    assert measurements.read(tmp_path / "hardware.json") == [new, stays]
    assert "155 |" in (tmp_path / "README.md").read_text()
    assert capsys.readouterr().err == f"`{stays.command}`: kept as it was: sta was not found\n"
    (tmp_path / "README.md").write_text("")
    with pytest.raises(
        SystemExit, match=r"^flows\.measure\.hardware_results: README\.md: it must hold "
    ):
        hardware_results.main()
