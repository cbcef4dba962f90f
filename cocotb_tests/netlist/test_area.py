# SPDX-License-Identifier: Apache-2.0
"""Area: blocks add up, an independent count of cells agrees, every process works."""

import gc
import json
import re
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic.area import area_figures, block_areas
from flows.asic.pdk import Pdk, find_pdk
from flows.asic.synthesis import Block, Netlist, synthesize
from flows.cli import app as cli
from golden_model import Network
from hw.config import preset
from hw.errors import PlosiveError

TINY = preset("tiny")
TINY_REGISTERS = 1052  # as bits in the trace's table, counters, weight port and stage X have them
SUMS = ("cells", "combinational", "flip_flops", "clock_gates", "um2", "logic_um2", "macros_um2")


@pytest.fixture(scope="module")
def generic(build_root: Path) -> Netlist:
    return synthesize(TINY, find_pdk("generic"), build_dir=build_root)


@pytest.fixture(scope="module")
def ihp(build_root: Path) -> Netlist:
    return synthesize(TINY, pdk_or_skip("ihp-sg13g2"), build_dir=build_root)


def instances(netlist: Netlist) -> dict[str, Counter[str]]:
    """Cells of each module, counted in the netlist's text."""
    counts: dict[str, Counter[str]] = {}
    for text in re.split(r"^module ", netlist.verilog.read_text(), flags=re.MULTILINE)[1:]:
        name = text.split("(")[0].strip().removeprefix("\\")
        # An instance is a type, a name and an opening parenthesis at the line's end.
        found = re.findall(r"^  \\?([\w.$]+)\s+(?:\\\S+|\w+)\s+\($", text, re.MULTILINE)
        counts[name] = Counter(found)
    return counts


def check_counts(netlist: Netlist) -> None:
    """What the figures say is what the netlist's text has, module by module."""
    counted = instances(netlist)
    assert {block.module for block in netlist.blocks} == set(counted)
    for block in netlist.blocks:
        cells = {name: n for name, n in counted[block.module].items() if name not in counted}
        assert block.cells == cells


def check_sums(netlist: Netlist) -> None:
    """The blocks in a block add up to it."""
    figures = area_figures(netlist).to_dict()
    rows = {row["block"]: row for row in figures["blocks"]}
    rows[""] = figures["total"]
    inside: dict[str, list[str]] = {}
    for block in rows:
        if block:
            inside.setdefault(block.rpartition("/")[0], []).append(block)
    assert {"", "neurons", "sequencer"} <= set(inside)
    for parent, children in inside.items():
        for key in SUMS:
            if key in rows[""]:
                total = sum(rows[child][key] for child in children)
                assert rows[parent][key] == pytest.approx(total, rel=1e-12)


def test_generic(generic: Netlist) -> None:
    check_sums(generic)
    figures = area_figures(generic).to_dict()
    assert figures["gate_equivalent"] is None
    assert figures["total"]["flip_flops"] == TINY_REGISTERS
    assert figures["interface"] is None
    assert figures["memories"] == {}
    assert len(figures["memories_without_macros"]) == 7
    assert figures["memory_bits"] == 32 * (16 + 2 * 48 + 2 * 24) + 4 * (128 + 120)
    check_counts(generic)


@pytest.mark.parametrize("top", ["axi", "board"])
def test_what_is_around_the_core(top: str, generic: Netlist, build_root: Path) -> None:
    netlist = synthesize(TINY, generic.pdk, top=top, build_dir=build_root)
    if top == "axi":  # instances of the bridge's buffers have parameters
        check_counts(netlist)
    figures = area_figures(netlist).to_dict()
    rows = {row["block"]: row for row in figures["blocks"]}
    core = rows["shell/machine/core"]
    # Registers are not merged across the core's edge.
    assert core["flip_flops"] == area_figures(generic).to_dict()["total"]["flip_flops"]
    interface = figures["interface"]
    assert interface["core"] == core["cells"]
    assert interface["around"] == figures["total"]["cells"] - core["cells"] > 0
    assert interface["share"] == interface["around"] / interface["core"]
    # The packets of the serial bridge are memories, not flip-flops.
    buffers = {"request", "response"} if top == "board" else set()
    assert {name for name in figures["memories_without_macros"] if "_" not in name} == buffers
    assert figures["total"]["flip_flops"] - core["flip_flops"] < 1200


def test_ihp(ihp: Netlist) -> None:
    check_sums(ihp)
    check_counts(ihp)
    figures = area_figures(ihp).to_dict()
    assert figures["total"]["flip_flops"] == TINY_REGISTERS
    assert figures["memories_without_macros"] == {}
    macros = sum(memory["area_um2"] for memory in figures["memories"].values())
    assert figures["total"]["macros_um2"] == pytest.approx(macros)
    assert figures["total"]["macros"] == sum(m["macros"] for m in figures["memories"].values())
    gates = figures["clock_gating"]
    assert gates["inserted"]
    assert 0 < gates["clock_gates"] < gates["flip_flops_gated"] < gates["flip_flops"]
    assert (figures["library"], figures["corner"]) == (ihp.pdk.library, "typ_1p20V_25C")


def test_every_gated_flip_flop_is_behind_a_gate(ihp: Netlist) -> None:
    """The clock pins in the netlist's text: the clock itself, or a gate's output."""
    text = ihp.verilog.read_text()
    flip_flops = [
        re.search(r"\.CLK\((.*?)\)", body)[1]
        for body in re.findall(r"^  sg13g2_dfrbpq_\d \S+\s+\((.*?)\);", text, re.M | re.S)
    ]
    assert len(flip_flops) == TINY_REGISTERS
    gated = sum(clock.strip() != "clk" for clock in flip_flops)
    assert gated == ihp.gated_flip_flops


def test_clock_gating_saves_area(ihp: Netlist, build_root: Path) -> None:
    plain = synthesize(TINY, ihp.pdk, clock_gating=False, build_dir=build_root)
    check_counts(plain)
    without = area_figures(plain).to_dict()
    assert without["clock_gating"] == {
        "inserted": False,
        "clock_gates": 0,
        "flip_flops": TINY_REGISTERS,
        "flip_flops_gated": 0,
    }
    assert area_figures(ihp).to_dict()["total"]["logic_um2"] < without["total"]["logic_um2"]


def test_sky130_has_no_macros(build_root: Path) -> None:
    netlist = synthesize(TINY, pdk_or_skip("sky130A"), build_dir=build_root)
    check_counts(netlist)
    check_sums(netlist)
    figures = area_figures(netlist).to_dict()
    assert figures["total"]["macros_um2"] == 0
    assert figures["total"]["flip_flops"] == TINY_REGISTERS  # no memory became flip-flops
    assert len(figures["memories_without_macros"]) == 7


def test_a_baked_network_is_smaller(ihp: Netlist, build_root: Path) -> None:
    network = Network.random(TINY, 1)
    baked = synthesize(TINY, ihp.pdk, network=network, bake=True, build_dir=build_root)
    figures = area_figures(baked).to_dict()
    assert figures["total"]["logic_um2"] < area_figures(ihp).to_dict()["total"]["logic_um2"]
    assert list(figures["memories"]) == ["plosive_membrane_memory"]  # the others are ROMs
    assert "weight_port" not in [row["block"] for row in figures["blocks"]]
    with pytest.raises(PlosiveError, match=r"^--bake needs a network"):
        synthesize(TINY, ihp.pdk, bake=True, build_dir=build_root)


def test_the_result_is_found_again(ihp: Netlist, build_root: Path) -> None:
    before = ihp.verilog.stat().st_mtime_ns
    again = synthesize(TINY, ihp.pdk, build_dir=build_root)
    assert again.folder == ihp.folder
    assert again.verilog.stat().st_mtime_ns == before


def test_netlist_names_no_path(ihp: Netlist) -> None:
    for name in ("netlist.v", "synthesis.ys", "plosive.sdc", "synthesis.json"):
        text = (ihp.folder / name).read_text()
        assert str(ihp.pdk.liberty.parent) not in text
        assert str(ihp.folder.parent) not in text


def test_an_unknown_cell_is_an_error(generic: Netlist) -> None:
    block = Block((), "plosive", {"nand17": 1})
    broken = Netlist(**{**vars(generic), "blocks": (block,)})
    with pytest.raises(PlosiveError, match=r"^block plosive: nand17 is in no library of the PDK$"):
        block_areas(broken)


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_yosys_errors_leave_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("flows.asic.synthesis.component_verilog", lambda *_: "module plosive(")
    with pytest.raises(PlosiveError, match=r"^yosys fails for generic: .*ERROR"):
        synthesize(TINY, Pdk("generic"), build_dir=tmp_path)
    left = [path.name for path in (tmp_path / "synthesis").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []
    gc.collect()  # Amaranth warns of the unused core when it goes


def test_two_runs_at_a_time_synthesise_once(generic: Netlist, tmp_path: Path, monkeypatch) -> None:
    """The second waits, and does not replace the folder under the first."""
    ran = []

    def run(work: Path, *_: object) -> None:
        ran.append(work)
        time.sleep(0.5)
        kept = shutil.ignore_patterns(".sizes.json")  # which belongs to the folder it is in
        shutil.copytree(generic.folder, work, dirs_exist_ok=True, ignore=kept)

    monkeypatch.setattr("flows.asic.synthesis._run", run)

    def synthesise() -> int:
        return synthesize(TINY, Pdk("generic"), build_dir=tmp_path).folder.stat().st_ino

    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(synthesise) for _ in range(2))
        assert first.result() == second.result()
    assert len(ran) == 1


def test_command_line(generic: Netlist, build_root: Path, capsys) -> None:
    arguments = ["area", "--preset", "tiny", "--pdk", "generic", "--build", str(build_root)]
    assert cli.run([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["configuration_hash"] == TINY.config_hash
    assert figures["versions"]["yosys"]
    assert figures["netlist"] == str(generic.verilog)
    assert cli.run([*arguments, "--unit", "sequencer", "--json"]) == 0
    unit = json.loads(capsys.readouterr().out)
    assert {row["block"] for row in unit["blocks"]} == {
        "sequencer/own",
        "sequencer/feature_front_end",
        "sequencer/spike_front_end",
    }
    row = next(row for row in figures["blocks"] if row["block"] == "sequencer")
    assert unit["total"] == {key: row[key] for key in unit["total"]}
    assert cli.run([*arguments, "--unit", "pe"]) == 1
    assert capsys.readouterr().err.startswith("plosive: --unit is 'pe': the blocks are counters, ")
    assert cli.run(arguments) == 0
    assert "bits, not in the area" in capsys.readouterr().out


@pytest.mark.slow
def test_paper_in_full_size(build_root: Path) -> None:
    netlist = synthesize(preset("paper-t2"), pdk_or_skip("ihp-sg13g2"), build_dir=build_root)
    check_counts(netlist)
    check_sums(netlist)
    assert netlist.cpu_s < 180
