# SPDX-License-Identifier: Apache-2.0
"""The generated Verilog as others see it: Verilator's lint, Icarus, yosys, slang; and its bytes."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cocotb_tests.plain_bench import icarus_or_skip, lint_by_default
from flows.tools import verilator
from flows.tools.yosys import run_yosys
from flows.verilog.contents import contents
from flows.verilog.writer import LINT_OFF, TOP, to_verilog
from golden_model import Network
from hw.config import PRESETS, AcceleratorConfig, preset
from hw.core.core import Core
from hw.shell.board_core import BOARD_TOP, BoardCore
from hw.shell.ip_top import AXI_TOP, IPTop

# What Verilator's strictest check may say, and why it is harmless. All of it is the style of
# Amaranth's back end (yosys write_verilog), not of the design; anything else fails the test. The
# rules that are on by default are not here: the file itself turns off those of `LINT_OFF`.
EXPLAINED = {
    "UNUSEDSIGNAL": "the back end names every intermediate value, also bits that nobody reads",
    "PROCASSINIT": "registers have an initial value and a synchronous reset",
    "DECLFILENAME": "all modules are in one file",
}

SMALL: dict[str, AcceleratorConfig] = {
    "tiny": preset("tiny"),
    "tiny-t1": preset("tiny").replace(time_steps=1),
    "tiny-unmerged-trace": preset("tiny").replace(merge_readout=False, trace=True),
    "unfolded": preset("tiny").replace(lanes=16, output_lanes=1),
    "speech-small": preset("speech").replace(hidden=[16, 16], lanes=16, n_output=23),
    "least": AcceleratorConfig(
        n_input=1, hidden=(1,), recurrent=(False,), n_output=1, lanes=1, output_lanes=1
    ),
}


# What stands around a core: its module, and how it is made.
TOPS = {
    "axi": (AXI_TOP, lambda: IPTop(preset("tiny"))),
    "axi-best": (AXI_TOP, lambda: IPTop(preset("tiny").replace(acc_bits=18), best=3)),
    "board": (BOARD_TOP, lambda: BoardCore(preset("tiny"), clock_hz=12_000_000, best=1)),
}


@pytest.fixture(params=[*SMALL, *TOPS])
def verilog(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that is named after its top module."""
    if request.param in SMALL:
        return _write(SMALL[request.param], tmp_path)
    name, make = TOPS[request.param]
    path = tmp_path / f"{name}.v"
    path.write_text(to_verilog(make(), name))
    return path


def _write(config: AcceleratorConfig, folder: Path) -> Path:
    path = folder / f"{TOP}.v"
    path.write_text(to_verilog(Core(config)))
    return path


def _check_lint(path: Path) -> None:
    codes = {warning.split(":")[0] for warning in verilator.lint(path, path.stem)}
    assert codes <= set(EXPLAINED), sorted(codes - set(EXPLAINED))


def _check_icarus(path: Path) -> None:
    command = [icarus_or_skip(), "-g2005", "-Wall", "-t", "null", "-s", path.stem, str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    # -Wall's only word: registers of a memory are initialised in one process, read in another.
    errors = [line for line in result.stderr.splitlines() if "error" in line.lower()]
    assert errors == []


def _check_yosys(path: Path) -> None:
    """No latch, no undriven or doubly driven net, no loop (`check -assert`)."""
    script = path.with_name("check.ys")
    script.write_text(
        f"read_verilog {path.name}\nhierarchy -check -top {path.stem}\nproc\n"
        "select -assert-none t:$dlatch\ncheck -assert\n"
    )
    run_yosys(script, failing=f"yosys refuses {path.stem}")


def _check_slang(path: Path) -> None:
    """No error and no warning, of those that slang gives by default but for one.

    That one is of slang itself: it does not count out the long `casez` of yosys.
    """
    slang = pytest.importorskip(
        "pyslang.driver", reason="slang reads the Verilog, too: pip install pyslang"
    )
    driver = slang.Driver()
    driver.addStandardArgs()
    options = slang.CommandLineOptions()
    assert driver.parseCommandLine(f"slang {path} --top {path.stem} -Wno-case-too-complex", options)
    assert driver.processOptions()
    assert driver.parseAllSources()
    accepted = driver.runFullCompilation()  # prints what it finds
    found = driver.diagEngine.numErrors, driver.diagEngine.numWarnings
    assert (accepted, found) == (True, (0, 0))


def test_verilator_lint(verilog: Path) -> None:
    _check_lint(verilog)


def test_verilator_takes_the_file_without_options(verilog: Path) -> None:
    assert lint_by_default(verilog) == ""


@pytest.mark.parametrize("rule", LINT_OFF)
def test_no_rule_of_verilator_is_off_in_vain(rule: str, tmp_path: Path) -> None:
    path = tmp_path / f"{TOP}.v"
    text = to_verilog(Core(preset("tiny")))
    assert text.count(f"// verilator lint_off {rule}\n") == 1
    path.write_text(text.replace(f"// verilator lint_off {rule}\n", ""))
    assert set(re.findall(r"^%Warning-(\w+)", lint_by_default(path), re.MULTILINE)) == {rule}


def test_rules_are_off_for_one_module_tree_only(tmp_path: Path) -> None:
    """What follows in the file, such as another design, is checked by every rule."""
    path = tmp_path / f"{TOP}.v"
    sloppy = "module sloppy(input [3:0] a, output [1:0] b); assign b = a; endmodule\n"
    path.write_text(to_verilog(Core(preset("tiny"))) + sloppy)
    found = lint_by_default("--top-module", "sloppy", path)
    assert re.findall(r"^%Warning-(\w+)", found, re.MULTILINE) == ["WIDTHTRUNC"]


def test_icarus(verilog: Path) -> None:
    _check_icarus(verilog)


def test_yosys(verilog: Path) -> None:
    _check_yosys(verilog)


def test_slang(verilog: Path) -> None:
    _check_slang(verilog)


@pytest.mark.parametrize("body", ["assign q = nowhere;", "nothing inside(a, q);"])
def test_slang_finds_an_error(body: str, tmp_path: Path) -> None:
    path = tmp_path / f"{TOP}.v"
    path.write_text(f"module {TOP}(input a, output q); {body} endmodule")
    with pytest.raises(AssertionError, match=r"\(False, \(1, 0\)\)"):
        _check_slang(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"tiny"}))
def test_presets_in_full_size(name: str, tmp_path: Path) -> None:
    path = _write(preset(name), tmp_path)
    _check_lint(path)
    _check_yosys(path)
    _check_icarus(path)
    _check_slang(path)


def test_lint_finds_a_latch(tmp_path: Path) -> None:
    """The checks can fail."""
    path = tmp_path / f"{TOP}.v"
    path.write_text(
        f"module {TOP}(input a, input en, output reg q); always @* if (en) q = a; endmodule"
    )
    with pytest.raises(AssertionError, match="LATCH"):
        _check_lint(path)


def test_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Independent of hash seeds, folders and runs."""
    script = (
        "import sys; from hw.config import preset; from hw.core.core import Core;"
        "from flows.verilog.writer import to_verilog;"
        "sys.stdout.write(to_verilog(Core(preset('tiny'))))"
    )
    project = Path(__file__).parents[2]
    texts = []
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(project)}
        result = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, check=True
        )
        texts.append(result.stdout.decode())
    assert texts[0] == texts[1] == to_verilog(Core(preset("tiny")))
    assert str(project) not in texts[0]


def test_memories_are_modules_of_their_own() -> None:
    """A flow replaces them by macros; the product has no trace, a baked one no weight port."""
    text = to_verilog(Core(preset("tiny")))
    core = Core(preset("tiny"))
    modules = [memory.name for memory in core.memory_instances]
    assert modules[:2] == ["plosive_input_memory", "plosive_hidden_memory_0"]
    assert len(modules) == 7
    for name in modules:
        ports = re.search(rf"^module {name}\((.*?)\);", to_verilog(core), re.MULTILINE)[1]
        names = ["clk", "data", "read", "row", "rst", "write", "write_data"]
        assert sorted(ports.split(", ")) == names
    assert "trace_state" not in text
    network = Network.random(preset("tiny"), 1)
    baked = to_verilog(Core(preset("tiny"), contents(preset("tiny"), network), bake=True))
    assert "weights__payload" not in baked


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_bake_needs_contents() -> None:
    with pytest.raises(ValueError, match=r"^bake is True: it needs the contents of a network$"):
        Core(preset("tiny"), bake=True)
    gc.collect()  # Amaranth warns of the unused component when it goes
