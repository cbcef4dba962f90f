# SPDX-License-Identifier: Apache-2.0
"""LEF files: what is read of one by hand, what is refused, and the PDK against its Liberty."""

from pathlib import Path

import pytest

from cocotb_tests.layout.handmade import LEF, SITE
from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic.layout.lef import Rectangle, read_lef
from flows.asic.layout.process import read_rules
from flows.asic.liberty import read_liberty
from flows.asic.pdk import Pdk, find_pdk
from flows.tools.toolchain import ToolError
from hw.errors import PlosiveError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cells.lef"
    path.write_text(LEF)
    return path


@pytest.fixture
def ihp() -> Pdk:
    pdk = pdk_or_skip("ihp-sg13g2")
    if not list(pdk.liberty.parents[1].glob("lef/*.lef")):
        pytest.skip("the LEF files of ihp-sg13g2 are missing: install the whole PDK")
    return pdk


def test_a_file_by_hand(file: Path) -> None:
    lef = read_lef(file)
    assert lef.sites == {"unit": SITE}
    (layer,) = lef.layers.values()
    assert (layer.name, layer.direction, layer.width) == ("m2", "VERTICAL", 0.25)
    assert layer.ohm_per_um == pytest.approx(0.1 / 0.25)
    assert layer.ff_per_um == pytest.approx((0.25 * 2e-5 + 2 * 4e-5) * 1e3)
    inv, sram = lef.cells["inv"], lef.cells["sram"]
    assert (inv.kind, inv.width, inv.height, inv.site) == ("CORE", 1.5, 4.0, "unit")
    assert list(inv.pins) == ["A", "Y"]  # supplies are left out
    assert inv.pins["A"].centre == pytest.approx((0.3, 1.0))
    assert inv.pins["Y"].direction == "OUTPUT"
    assert inv.pins["Y"].centre == pytest.approx((1.2, 1.5))  # of the box around both shapes
    assert inv.obstructions == (Rectangle("m2", 0.6, 1.0, 0.8, 3.0),)
    assert (sram.kind, sram.width, sram.height, sram.site) == ("BLOCK", 40.0, 10.0, "")
    assert list(sram.pins) == ["A[0]", "A[1]"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (LEF[LEF.index("END inv") :], "", r": line \d+: the file is cut off here, or is not LEF$"),
        ("SIZE 1.5 BY 4", "SIZE wide BY 4", r": line \d+: numbers were expected, not 'wide 4'$"),
        ("END inv", "END nand", r": line \d+: END nand inside inv$"),
        ("RECT 0.2 0.9 0.4 1.1", "RECT 0.2 0.9 0.4", r": line \d+: RECT has not four numbers$"),
        ("ORIGIN 0 0", "ORIGIN 1 0", r"inv: an ORIGIN other than 0 0 is not provided for$"),
        ("SITE unit\n  CLASS CORE ;\n  SIZE 0.5 BY 4 ;", "SITE unit", r"site unit has no size$"),
        ("  SIZE 40 BY 10 ;\n", "", r"sram has no SIZE$"),
        ("  WIDTH 0.25 ;\n", "", r"routing layer m2 has no width$"),
        ("VERSION 5.7", "5.7", r"'5.7' begins no statement of LEF$"),
    ],
)
def test_what_is_refused(file: Path, before: str, after: str, message: str) -> None:
    assert LEF.count(before) >= 1
    file.write_text(LEF.replace(before, after))
    with pytest.raises(PlosiveError, match=message):
        read_lef(file)


def test_a_file_without_cells_is_refused(file: Path) -> None:
    file.write_text("VERSION 5.7 ;\nEND LIBRARY\n")
    with pytest.raises(PlosiveError, match=r"it holds no layer, site or cell, so it is not LEF$"):
        read_lef(file)


def test_the_pdk_says_the_same_twice(ihp: Pdk) -> None:
    """Areas and pins of LEF and Liberty agree, for every cell and macro."""
    rules = read_rules(ihp, [macro.name for macro in ihp.macros])
    for cell in read_liberty(ihp.liberty).of("cell"):
        outline = rules.outlines[cell.name]
        # Two areas of the Liberty file are not the product of the sides.
        error = {"sg13g2_a22oi_1": 0.004, "sg13g2_sdfrbpq_2": 0.11}.get(cell.name, 1e-6)
        assert outline.width * outline.height == pytest.approx(cell.number("area"), rel=error)
        assert outline.height == rules.site.height
        assert (outline.width / rules.site.width) % 1 == pytest.approx(0, abs=1e-6)
        assert {
            pin.name: pin.attributes["direction"].upper()
            for pin in cell.of("pin")
            if pin.attributes["direction"] != "internal"
        } == {name: pin.direction for name, pin in outline.pins.items()}
    for macro in ihp.macros:
        outline = rules.outlines[macro.name]
        assert outline.width * outline.height == pytest.approx(macro.area)
        expected = {
            f"{port.name}[{bit}]" if port.is_bus else port.name
            for port in macro.ports
            for bit in range(port.width)
        }
        assert set(outline.pins) == expected


def test_what_a_um_costs(ihp: Pdk) -> None:
    low, high = read_rules(ihp, []).wires
    # By hand from the technology LEF: Metal2 and Metal3 are 0.2 um wide.
    metal2, metal3 = 0.2 * 1.81e-5 + 2 * 4.47e-5, 0.2 * 1.20e-5 + 2 * 4.48e-5
    assert low.ff_per_um == pytest.approx((metal2 + metal3) / 2 * 1e3)
    assert low.ohm_per_um == high.ohm_per_um == pytest.approx(0.103 / 0.2)
    assert high.ff_per_um == 0.173


def test_missing_lef_is_one_line(ihp: Pdk, tmp_path: Path) -> None:
    """A PDK of which only the Liberty files were installed."""
    place = tmp_path / "ihp-sg13g2" / ihp.liberty.relative_to(ihp.liberty.parents[3])
    place.parent.mkdir(parents=True)
    place.symlink_to(ihp.liberty)
    with pytest.raises(
        ToolError,
        match=r"^the layout files of the PDK ihp-sg13g2 were not found: .*tech\.lef is missing; "
        r"install the whole PDK .* and give --pdk-root or PDK_ROOT, or use --wires model$",
    ):
        read_rules(find_pdk("ihp-sg13g2", tmp_path), [])


def test_a_process_without_layout_is_refused() -> None:
    with pytest.raises(PlosiveError, match=r"^--pdk is 'generic': the layout of its cells and mem"):
        read_rules(find_pdk("generic"), [])
