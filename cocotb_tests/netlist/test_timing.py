# SPDX-License-Identifier: Apache-2.0
"""Timing: OpenSTA's critical path, against sums of its own delays, and what is refused."""

import json
import re
import shutil
from pathlib import Path

import pytest

from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic.pdk import find_pdk
from flows.asic.synthesis import PERIOD_NS, Netlist, synthesize
from flows.asic.timing import register, run_sta, timing_figures
from flows.cli import app as cli
from flows.tools import toolchain
from hw.config import preset
from hw.errors import PlosiveError

TINY = preset("tiny")


@pytest.fixture(scope="module")
def ihp(build_root: Path) -> Netlist:
    if shutil.which("sta") is None:
        pytest.skip("sta is missing: install Debian's package opensta")
    return synthesize(TINY, pdk_or_skip("ihp-sg13g2"), build_dir=build_root)


def test_registers_have_their_names() -> None:
    assert register("pe_set_0/acc[3]$_DFF_P_/D") == "pe_set_0/acc[3]/D"
    assert register("counters$149/values[255]$_DFFE_PP_") == "counters/values[255]"
    assert register("neurons/_0631_/Y") == "neurons/_0631_/Y"


def test_figures(ihp: Netlist) -> None:
    figures = timing_figures(ihp).to_dict()
    path = figures["critical_path"]
    assert figures["least_period_ns"] == pytest.approx(PERIOD_NS - path["slack_ns"])
    assert figures["fmax_mhz"] == pytest.approx(1000 / figures["least_period_ns"])
    # OpenSTA's table adds up, and no step is lost: the delays sum up to the last time.
    times = [step["at_ns"] for step in path["steps"]]
    assert times == sorted(times)
    delays = sum(step["delay_ns"] for step in path["steps"])
    assert delays == pytest.approx(times[-1] - times[0] + path["steps"][0]["delay_ns"], abs=0.01)
    assert times[-1] < figures["least_period_ns"] < times[-1] + 1  # the rest is setup
    assert path["steps"][-1]["pin"].rpartition("/")[0] == path["to"]
    assert min(end["slack_ns"] for end in figures["endpoints"]) == pytest.approx(
        path["slack_ns"], abs=0.01
    )
    met = {row["mhz"]: row["met"] for row in figures["clocks"]}
    assert met == {mhz: mhz <= figures["fmax_mhz"] for mhz in met}


def test_nothing_is_without_timing(ihp: Netlist) -> None:
    """Cells and macros were found, gated clocks arrive: only pins held constant have no check."""
    assert run_sta(ihp, ["puts [llength [get_ports clk]]"]) == "1\n"
    assert "A_DOUT" in run_sta(ihp, ["report_checks -from [get_pins */*/*/A_CLK]"])
    lines = run_sta(ihp, ["check_setup -verbose"]).splitlines()
    assert re.fullmatch(r"Warning: There are \d+ unconstrained endpoints\.", lines[0])
    assert {re.sub(r".*/(A_[A-Z]+).*", r"\1", line) for line in lines[1:]} == {
        *("A_BIST", "A_ADDR", "A_BM", "A_DIN"),
    }


def test_sta_errors_are_one_line(ihp: Netlist) -> None:
    with pytest.raises(PlosiveError, match=r"^OpenSTA fails: "):
        run_sta(ihp, ["no_such_command"])


def test_generic_has_no_delays(build_root: Path) -> None:
    netlist = synthesize(TINY, find_pdk("generic"), build_dir=build_root)
    with pytest.raises(PlosiveError, match=r"^--pdk is 'generic': its gates have no delays"):
        timing_figures(netlist)


def test_missing_sta_is_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    toolchain.find.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["timing", "--preset", "tiny", "--pdk", "generic", "--build", str(tmp_path / "b")]
    assert cli.run(arguments) == 1
    assert capsys.readouterr().err == (
        "plosive: sta was not found: it is needed to find the critical path of a netlist; "
        "install the Debian package opensta\n"
    )
    assert not (tmp_path / "b").exists()
    toolchain.find.cache_clear()


def test_command_line(ihp: Netlist, build_root: Path, capsys) -> None:
    arguments = ["timing", "--preset", "tiny", "--build", str(build_root)]
    assert cli.run([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["netlist"] == str(ihp.verilog)
    assert figures["versions"]["sta"]
    assert cli.run(arguments) == 0
    shown = capsys.readouterr()
    assert "Critical path" in shown.out
    assert "the clock is ideal" in shown.err


def test_sky130_says_what_is_not_timed(ihp: Netlist, build_root: Path) -> None:
    netlist = synthesize(TINY, pdk_or_skip("sky130A"), build_dir=build_root)
    figures = timing_figures(netlist).to_dict()
    assert figures["fmax_mhz"] > 1
    assert "7 memories have no macros here" in figures["notes"][1]
    assert timing_figures(ihp).notes == figures["notes"][:1]
