# SPDX-License-Identifier: Apache-2.0
"""Liberty files and PDKs: what is read, and what is refused in one line."""

import json
import re
from pathlib import Path

import pytest

from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic.liberty import read_liberty
from flows.asic.pdk import find_pdk
from flows.cli import app as cli
from flows.tools import toolchain
from hw.errors import PlosiveError

LIBERTY = """/* a library
   of two lines */
library (small) {
  leakage_power_unit : "1pW";
  capacitive_load_unit (1, pf);
  cell ("and2") {
    area : 3.5;
    pin (Y) { direction : output; function : "(A & B)";
      when : "A"
      timing () { values ("1, 2", \\
        "3, 4"); } }
  }
}
"""


@pytest.fixture
def liberty(tmp_path: Path) -> Path:
    path = tmp_path / "small.lib"
    path.write_text(LIBERTY)
    return path


def test_groups_and_attributes(liberty: Path) -> None:
    library = read_liberty(liberty)
    assert (library.kind, library.name) == ("library", "small")
    cell = next(library.of("cell"))
    assert (cell.name, cell.number("area")) == ("and2", 3.5)
    pin = next(cell.of("pin"))
    # The line of `when` has no semicolon, as in files of IHP.
    assert pin.attributes == {"direction": "output", "function": "(A & B)", "when": "A"}
    assert re.findall(r"\d", next(pin.of("timing")).attributes["values"]) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_file_cut_anywhere_is_refused(liberty: Path, part: float) -> None:
    liberty.write_text(LIBERTY.rstrip()[: int(part * len(LIBERTY))])
    with pytest.raises(PlosiveError, match=r"small\.lib: .*cut off"):
        read_liberty(liberty)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no library"), ("library (a) { } }", "line 1"), ("hello world", "line 1")],
)
def test_other_files_are_refused(liberty: Path, text: str, message: str) -> None:
    liberty.write_text(text)
    with pytest.raises(PlosiveError, match=message):
        read_liberty(liberty)


def test_missing_number(liberty: Path) -> None:
    with pytest.raises(PlosiveError, match=r"^cell and2: cell_leakage_power is None"):
        next(read_liberty(liberty).of("cell")).number("cell_leakage_power")


def test_generic_needs_no_files() -> None:
    assert find_pdk("generic", "/nowhere").cells == {}


def test_unknown_and_missing_pdks(tmp_path: Path) -> None:
    with pytest.raises(PlosiveError, match=r"^--pdk is 'gf180': it must be one of ihp-sg13g2, "):
        find_pdk("gf180")
    with pytest.raises(PlosiveError, match=r"^the PDK sky130A was not found: .*`ciel enable` "):
        find_pdk("sky130A", tmp_path)


def test_command_line_without_a_pdk(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PDK_ROOT", str(tmp_path))
    for command in ("area", "timing", "power"):
        assert cli.run([command, "--preset", "tiny", "--build", str(tmp_path / "build")]) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("plosive: the PDK ihp-sg13g2 was not found: ")
        assert len(shown.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    assert cli.run(["area", "--preset", "tiny", "--pdk", "gf180"]) == 2


@pytest.mark.parametrize("command", ["area", "timing", "power"])
@pytest.mark.parametrize("broken", ["cells", "macro"])
def test_command_line_with_half_a_library(
    tmp_path: Path, capsys, command: str, broken: str
) -> None:
    pdk = pdk_or_skip("ihp-sg13g2")
    half = pdk.liberty if broken == "cells" else pdk.macros[0].liberty
    for source in (pdk.liberty, half):
        target = tmp_path / "ihp-sg13g2" / source.relative_to(pdk.liberty.parents[3])
        target.parent.mkdir(parents=True, exist_ok=True)
        size = source.stat().st_size
        target.write_bytes(source.read_bytes()[: size // 2 if source == half else size])
    arguments = [command, "--preset", "tiny", "--pdk-root", str(tmp_path)]
    assert cli.run([*arguments, "--build", str(tmp_path / "build")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.match(rf"plosive: \S*{re.escape(half.name)}: .*cut off", shown.err)
    assert len(shown.err.splitlines()) == 1
    assert not (tmp_path / "build").exists()


def test_generic_on_a_machine_without_pdks(build_root: Path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("PDK_ROOT", raising=False)
    monkeypatch.setattr("flows.asic.pdk._BESIDE", Path("/nowhere"))
    arguments = ["--preset", "tiny", "--build", str(build_root), "--json"]
    assert cli.run(["area", "--pdk", "generic", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["cells"] > 0
    assert cli.run(["area", *arguments]) == 1
    assert capsys.readouterr().err.startswith("plosive: the PDK ihp-sg13g2 was not found: ")


def test_command_line_without_yosys(tmp_path: Path, monkeypatch, capsys) -> None:
    toolchain.find.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(toolchain, "_package_folder", lambda _name: None)
    arguments = ["area", "--preset", "tiny", "--pdk", "generic", "--build", str(tmp_path / "b")]
    assert cli.run(arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "plosive: yosys was not found: it is needed to write, synthesise and mutate the Verilog; "
        "install the Python package pyosys (run `make setup`)\n"
    )
    assert not (tmp_path / "b").exists()
    toolchain.find.cache_clear()


def test_ihp() -> None:
    pdk = pdk_or_skip("ihp-sg13g2")
    assert (pdk.corner, pdk.gate_area) == ("typ_1p20V_25C", 7.2576)
    assert pdk.clock_gate.cell == "sg13g2_lgcp_1"
    kinds = {kind: sum(cell.kind == kind for cell in pdk.cells.values()) for kind in ("flip-flop",)}
    assert kinds == {"flip-flop": 14}
    assert pdk.cells["sg13g2_dfrbpq_1"].kind == "flip-flop"
    # Unit: the file's own remark says pW for cells, nW for macros.
    assert pdk.cells["sg13g2_lgcp_1"].leakage == pytest.approx(389.668e-12)
    for macro in pdk.macros:
        words, bits = map(int, re.search(r"_(\d+)x(\d+)_", macro.name).groups())
        assert (macro.words, macro.bits) == (words, bits)
        assert macro.bit_mask == ("bm" in macro.name)
    small = next(macro for macro in pdk.macros if macro.name.startswith("RM_IHPSG13_1P_64x64"))
    assert small.read_energy == pytest.approx(39.0507e-12)
    assert small.write_energy == pytest.approx(50.4983e-12)
    assert small.clock_to_output == 3.0115
    assert small.leakage == pytest.approx(49.5039e-9)


def test_sky130() -> None:
    pdk = pdk_or_skip("sky130A")
    assert (pdk.corner, pdk.gate_area, pdk.macros) == ("tt_025C_1v80", 3.7536, ())
    assert pdk.clock_gate.cell == "sky130_fd_sc_hd__dlclkp_1"
