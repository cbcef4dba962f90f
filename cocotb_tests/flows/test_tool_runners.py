# SPDX-License-Identifier: Apache-2.0
"""Yosys, OpenSTA and what is built once: any folder's name, errors, Ctrl-C, several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.tools import toolchain
from flows.tools.build_once import build_once
from flows.tools.opensta import run_opensta
from flows.tools.toolchain import ToolError
from flows.tools.yosys import YosysError, run_yosys
from flows.verilog.writer import component_verilog
from golden_model.files.writing import atomic_write
from hw.config import preset
from hw.core.pe import PESet
from hw.errors import PlosiveError

PROJECT = Path(__file__).resolve().parents[2]
HOSTILE = "a b'c\"d$e{f;g"
DESIGN = "module top(input [3:0] a, b, output [3:0] sum); assign sum = a + b; endmodule\n"
MAPPING = """
read_verilog design.v
synth -top top -noabc
abc -liberty cells.lib
write_verilog netlist.v
"""
STARTED = "sleeping"  # a file that the script below makes before it sleeps
NAP = "300.0625"  # seconds; also what tells the sleeper from other processes


def cell(name: str, function: str, sense: str) -> str:
    """A cell of a Liberty file, with as much timing as ABC and OpenSTA ask for."""
    inputs = [pin for pin in "AB" if pin in function]
    tables = "".join(
        f'{kind}(t) {{ values("1, 2", "2, 3"); }} '
        for kind in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
    )
    timing = "".join(
        f'timing() {{ related_pin : "{pin}"; timing_sense : {sense}; {tables}}} ' for pin in inputs
    )
    pins = "".join(f"pin({pin}) {{ direction : input; capacitance : 0.01; }}\n" for pin in inputs)
    return (
        f"cell({name}) {{\narea : 1;\n{pins}pin(Y) {{ direction : output; max_capacitance : 1; "
        f'function : "{function}"; {timing}}}\n}}\n'
    )


THRESHOLDS = {"slew_lower": 20, "slew_upper": 80, "input": 50, "output": 50}
LIBRARY = (
    "library(cells) {\ndelay_model : table_lookup;\ncapacitive_load_unit(1, pf);\n"
    + "".join(
        f"{name}_threshold_pct_{edge} : {percent};\n"
        for name, percent in THRESHOLDS.items()
        for edge in ("rise", "fall")
    )
    + "lu_table_template(t) { variable_1 : input_net_transition; variable_2 : "
    'total_output_net_capacitance; index_1("0, 1"); index_2("0, 1"); }\n'
    + cell("NAND2", "(A*B)'", "negative_unate")
    + cell("INV", "A'", "negative_unate")
    + cell("BUF", "A", "positive_unate")
    + "}\n"
)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch) -> Path:
    """A folder whose name means something to every shell and parser, and a TMPDIR like it."""
    folder, temporary = tmp_path / HOSTILE, tmp_path / f"tmp {HOSTILE}"
    folder.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def mapping(folder: Path) -> Path:
    """The files to map a design to two cells, in a folder; its script."""
    (folder / "design.v").write_text(DESIGN)
    (folder / "cells.lib").write_text(LIBRARY)
    (folder / "mapping.ys").write_text(MAPPING)
    return folder / "mapping.ys"


# ---- yosys -------------------------------------------------------------------------------------


def test_yosys_maps_in_folders_of_any_name(hostile: Path) -> None:
    printed = run_yosys(mapping(hostile), failing="yosys fails")
    netlist = (hostile / "netlist.v").read_text()
    assert "NAND2" in netlist
    assert "$_" not in netlist
    assert (hostile / "yosys.log").read_text() == printed
    # Nothing else is left, neither there nor in the temporary folder.
    names = {"design.v", "cells.lib", "mapping.ys", "netlist.v", "yosys.log"}
    assert set(os.listdir(hostile)) == names
    assert os.listdir(os.environ["TMPDIR"]) == []


@pytest.mark.usefixtures("hostile")
def test_verilog_is_written_where_temporary_folders_have_any_name() -> None:
    assert "module pe(" in component_verilog(PESet(preset("tiny"), negates=False), "pe")


def test_a_file_that_yosys_writes_again_is_replaced(tmp_path: Path) -> None:
    script = mapping(tmp_path)
    (tmp_path / "netlist.v").write_text("old")
    run_yosys(script, failing="yosys fails")
    assert "NAND2" in (tmp_path / "netlist.v").read_text()


def test_an_error_of_yosys_is_its_own_line_and_leaves_the_log(tmp_path: Path) -> None:
    script = tmp_path / "wrong.ys"
    script.write_text("read_verilog missing.v\n")
    with pytest.raises(YosysError) as caught:
        run_yosys(script, failing="yosys fails on wrong", log="wrong.log")
    message = "ERROR: File `missing.v' not found or is a directory"
    assert str(caught.value) == f"yosys fails on wrong: {message}"
    assert message in (tmp_path / "wrong.log").read_text()


def sleepers() -> list[int]:
    """Processes of `sleeping` that run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", NAP.encode()]:
            found.append(int(entry.name))
    return found


def gone() -> bool:
    """Whether no sleeper is left, after a moment in which the system takes them away."""
    deadline = time.monotonic() + 10
    while sleepers() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not sleepers()


def sleeping(folder: Path) -> Path:
    """A script with which yosys starts a program that runs for long."""
    script = folder / "sleep.ys"
    script.write_text(f"exec -- touch '{folder / STARTED}'\nexec -- sleep {NAP}\n")
    return script


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc to look at")
def test_a_time_limit_ends_yosys_and_what_it_started(tmp_path: Path) -> None:
    with pytest.raises(YosysError, match=r"^yosys fails: stopped after the limit of 5 s$"):
        run_yosys(sleeping(tmp_path), failing="yosys fails", timeout_s=5)
    assert (tmp_path / STARTED).exists()
    assert gone()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc to look at")
def test_ctrl_c_ends_yosys_and_what_it_started(tmp_path: Path) -> None:
    code = (
        "import signal, sys; from pathlib import Path; from flows.tools.yosys import run_yosys; "
        # Where the tests run in the background, a shell may have switched Ctrl-C off for them.
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "run_yosys(Path(sys.argv[1]), failing='yosys fails')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, sleeping(tmp_path)], cwd=PROJECT, stderr=subprocess.PIPE
    )
    try:
        wait_for((tmp_path / STARTED).exists)
        wait_for(lambda: bool(sleepers()))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert b"KeyboardInterrupt" in errors
    assert gone()


def test_no_plain_folder_for_temporary_files_is_one_line(hostile: Path, monkeypatch) -> None:
    script = mapping(hostile)
    monkeypatch.setattr("flows.tools.yosys.os.access", lambda *_: False)
    with pytest.raises(PlosiveError, match=r"^TMPDIR is '.*': yosys needs a writable folder for "):
        run_yosys(script, failing="yosys fails")


# ---- OpenSTA -----------------------------------------------------------------------------------


@pytest.fixture
def opensta() -> None:
    try:
        toolchain.find("sta")
    except ToolError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("opensta")
def test_opensta_reads_from_folders_of_any_name(hostile: Path) -> None:
    run_yosys(mapping(hostile), failing="yosys fails")
    files = {name: hostile / name for name in ("cells.lib", "netlist.v")}
    setup = ["read_liberty cells.lib", "read_verilog netlist.v", "link_design top"]
    printed = run_opensta(setup, ["puts [llength [get_ports *]]"], files)
    assert printed == "12\n"


@pytest.mark.usefixtures("opensta")
def test_an_error_of_opensta_is_its_own_line() -> None:
    with pytest.raises(PlosiveError, match=r"^OpenSTA fails: Error: .*no_such_command"):
        run_opensta([], ["no_such_command"], {})


# ---- built once --------------------------------------------------------------------------------


def test_two_processes_build_a_folder_once(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from flows.tools.build_once import build_once\n"
        "def fill(work):\n"
        "    time.sleep(1)\n"
        "    (work / 'stamp').write_text(sys.argv[2])\n"
        "target = Path(sys.argv[1])\n"
        "build_once(target, 'stamp', fill)\n"
        "print((target / 'stamp').read_text(), target.stat().st_ino)\n"
    )
    target = tmp_path / "folder" / "built"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, target, str(number)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    answers = {process.communicate(timeout=120)[0] for process in processes}
    assert len(answers) == 1
    assert answers != {""}


def test_a_build_that_fails_leaves_nothing_and_the_next_one_starts_anew(tmp_path: Path) -> None:
    target = tmp_path / "built"

    def breaks(work: Path) -> None:
        (work / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(target, "stamp", breaks)
    assert os.listdir(tmp_path) == [".built.lock"]
    build_once(target, "stamp", lambda work: atomic_write(work / "stamp", b""))
    assert (target / "stamp").is_file()
    assert not (target / "half").exists()


def test_two_threads_build_a_folder_once(tmp_path: Path) -> None:
    filled = []

    def fill(work: Path) -> None:
        filled.append(work)
        time.sleep(0.3)
        (work / "stamp").touch()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(build_once, tmp_path / "built", "stamp", fill)
    assert len(filled) == 1


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".built.lock").mkdir()
    with pytest.raises(PlosiveError) as caught:
        build_once(tmp_path / "built", "stamp", lambda _work: None)
    assert str(caught.value) == f"cannot write {tmp_path / 'built'}: Is a directory"
