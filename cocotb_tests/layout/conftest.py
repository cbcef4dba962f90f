# SPDX-License-Identifier: Apache-2.0
"""What the tests of the layout share: the cells drawn by hand, and the netlist of `tiny`."""

from pathlib import Path

import pytest

from cocotb_tests.layout.handmade import LEF
from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic.layout.lef import Outline, read_lef
from flows.asic.synthesis import Netlist, synthesize
from hw.config import preset


@pytest.fixture
def outlines(tmp_path: Path) -> dict[str, Outline]:
    (tmp_path / "cells.lef").write_text(LEF)
    return read_lef(tmp_path / "cells.lef").cells


@pytest.fixture(scope="module")
def tiny(build_root: Path) -> Netlist:
    pdk = pdk_or_skip("ihp-sg13g2")
    if not list(pdk.liberty.parents[1].glob("lef/*.lef")):
        pytest.skip("the LEF files of ihp-sg13g2 are missing: install the whole PDK")
    return synthesize(preset("tiny"), pdk, build_dir=build_root)
