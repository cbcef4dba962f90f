# SPDX-License-Identifier: Apache-2.0
"""Drives and buffers for placed wires: the netlist stays the same, and becomes faster."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cocotb_tests.layout.test_placement import needs_placer
from flows.asic.gates import Gates, Instance
from flows.asic.layout.drives import Drives, check_same, functions, without_buffers
from flows.asic.layout.layout import place_netlist, read_circuit
from flows.asic.layout.process import read_rules
from flows.asic.layout.sizing import _Work
from flows.asic.layout.spef import read_spef
from flows.asic.liberty import read_liberty
from flows.asic.power import power_figures
from flows.asic.synthesis import Netlist
from flows.asic.timing import timing_figures
from golden_model import Network, random_features
from hw.config import preset
from hw.errors import PlosiveError

TINY = preset("tiny")


@pytest.fixture(scope="module")
def known(tiny: Netlist) -> dict[str, tuple]:
    return functions(read_liberty(tiny.pdk.liberty))


@pytest.fixture(scope="module")
def resized(tiny: Netlist, build_root: Path) -> Netlist:
    return place_netlist(tiny, resized=True, build_dir=build_root)


# ---- cells -----------------------------------------------------------------------------------


def test_cells_that_compute_the_same(known: dict[str, tuple]) -> None:
    assert known["sg13g2_nand2_1"] == known["sg13g2_nand2_2"] != known["sg13g2_nor2_1"]
    # The same function of other pins is another cell.
    assert known["sg13g2_nand2_1"] != known["sg13g2_nand2b_1"]
    assert known["sg13g2_dfrbpq_1"] == known["sg13g2_dfrbpq_2"] != known["sg13g2_dfrbp_1"]
    # Latches, clock gates, three states and fillers have no stand-in.
    assert not {"sg13g2_dlhq_1", "sg13g2_lgcp_1", "sg13g2_ebufn_2", "sg13g2_fill_1"} & set(known)


def test_stronger_drives_drive_more(tiny: Netlist) -> None:
    drives = Drives(tiny)
    assert drives.buffers == [f"sg13g2_buf_{drive}" for drive in (1, 2, 4, 8, 16)]
    assert drives.buffer_pins == ("A", "X")
    limits = [drives.limits[buffer] for buffer in drives.buffers]
    for drive, limit in zip((1, 2, 4, 8, 16), limits, strict=True):
        # Each is so many of the first side by side.
        assert limit == pytest.approx(drive * limits[0], rel=0.02)
    assert drives.enough("sg13g2_buf_8", 0.99 * limits[1]) == "sg13g2_buf_2"
    assert drives.enough("sg13g2_buf_1", 10 * limits[-1]) == "sg13g2_buf_16"
    assert drives.enough("sg13g2_nor4_1", 1e6) == "sg13g2_nor4_2"
    assert drives.enough("sg13g2_lgcp_1", 1e6) == "sg13g2_lgcp_1"
    assert drives.most("sg13g2_inv_1") == drives.limits["sg13g2_inv_16"]


# ---- the netlist stays the same --------------------------------------------------------------


def small(cells: list[tuple[str, str, dict[str, list[int]]]]) -> Gates:
    """Input a is net 0, output q net 3."""
    instances = [Instance(path, f"sg13g2_{cell}", "plosive", pins) for path, cell, pins in cells]
    return Gates(9, instances, {"a": [0]}, {"q": [3]})


BEFORE = [
    ("x", "nand2_1", {"A": [0], "B": [1], "Y": [2]}),
    ("y", "nor2_1", {"A": [2], "B": [0], "Y": [3]}),
    ("z", "dfrbpq_1", {"CLK": [0], "D": [3], "RESET_B": [2], "Q": [1]}),
]
AFTER = [
    ("x", "nand2_2", {"A": [0], "B": [1], "Y": [2]}),
    ("y", "nor2_1", {"A": [6], "B": [0], "Y": [3]}),
    ("z", "dfrbpq_2", {"CLK": [0], "D": [3], "RESET_B": [5], "Q": [1]}),
    ("wire_buffer_3", "buf_4", {"A": [2], "X": [5]}),
    ("wire_buffer_4", "buf_1", {"A": [5], "X": [6]}),
]


def test_drives_and_buffers_change_nothing(known: dict[str, tuple]) -> None:
    check_same(small(BEFORE), small(AFTER), known)
    check_same(small(AFTER), small(BEFORE), known)
    assert without_buffers(small(BEFORE), known) == small(BEFORE)


@pytest.mark.parametrize(
    ("place", "cell", "pins", "message"),
    [
        (0, "nor2_2", {}, "x computes something else"),
        (2, "dfrbp_1", {}, "z computes something else"),
        (0, None, {"B": [0]}, "x is on other nets"),
        (1, None, {"A": [0], "B": [6]}, "y is on other nets"),
        (2, None, {"RESET_B": [3]}, "z is on other nets"),
        (3, None, {"A": [1]}, "y is on other nets"),
        (3, "inv_4", {}, "y is on other nets"),
        (4, "dfrbpq_1", {}, "y is on other nets"),
    ],
)
def test_a_broken_netlist_is_found(
    known: dict[str, tuple], place: int, cell: str | None, pins: dict, message: str
) -> None:
    broken = list(AFTER)
    path, before, held = broken[place]
    broken[place] = (path, cell or before, {**held, **pins})
    with pytest.raises(PlosiveError, match=rf"^sizing has broken the netlist: {message}$"):
        check_same(small(BEFORE), small(broken), known)


def test_gates_and_ports_stay(known: dict[str, tuple]) -> None:
    with pytest.raises(PlosiveError, match=r"^sizing has broken the netlist: a gate was lost or"):
        check_same(small(BEFORE), small(BEFORE[:2]), known)
    with pytest.raises(PlosiveError, match=r"^sizing has broken the netlist: its ports are on oth"):
        check_same(small(BEFORE), replace(small(AFTER), outputs={"q": [1]}), known)
    ring = [*AFTER, ("one", "buf_1", {"A": [7], "X": [8]}), ("two", "buf_1", {"A": [8], "X": [7]})]
    with pytest.raises(PlosiveError, match=r"^buffers of the netlist drive one another in a ring$"):
        without_buffers(small([*ring, ("w", "inv_1", {"A": [7], "Y": [4]})]), known)


@needs_placer
@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (_Work, "_connect", lambda self, sink, net: CONNECT(self, sink, min(net, 5000))),
        (
            Drives,
            "enough",
            lambda drives, cell, load: ENOUGH(drives, SWAPPED.get(cell, cell), load),
        ),
    ],
    ids=["another net", "another function"],
)
def test_a_broken_pass_is_stopped(
    tiny: Netlist, tmp_path: Path, monkeypatch, owner: type, name: str, broken: Callable
) -> None:
    """A pass that joins the wrong net, or takes NOR for NAND, leaves nothing behind."""
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises(PlosiveError, match=r"^sizing has broken the netlist: .* (on|comp)"):
        place_netlist(tiny, resized=True, build_dir=tmp_path)
    assert not [path for path in (tmp_path / "layout").iterdir() if path.is_dir()]


CONNECT, ENOUGH = _Work._connect, Drives.enough
SWAPPED = {"sg13g2_nand2_1": "sg13g2_nor2_1"}


@needs_placer
def test_the_netlist_computes_the_same(resized: Netlist, tiny: Netlist, build_root: Path) -> None:
    """Its outputs are compared with the golden model before anything is added up."""
    network, features = Network.random(TINY, 1), random_features(TINY, 6, 1)
    options = {"warm_up": 2, "build_dir": build_root}
    figures = power_figures(resized, network, features, **options)
    before = power_figures(tiny, network, features, **options)
    assert figures.memories == before.memories
    assert figures.clocks_per_frame == before.clocks_per_frame
    # Stronger gates leak more.
    assert before.leakage_uw.logic < figures.leakage_uw.logic < 1.1 * before.leakage_uw.logic


# ---- and becomes faster ----------------------------------------------------------------------


@needs_placer
def test_resized_gates_are_faster(tiny: Netlist, resized: Netlist, build_root: Path) -> None:
    if shutil.which("sta") is None:
        pytest.skip("sta is missing: install Debian's package opensta")
    placed = place_netlist(tiny, build_dir=build_root)
    slow, fast = timing_figures(placed), timing_figures(resized)
    assert fast.least_period_ns < 0.85 * slow.least_period_ns
    assert fast.least_period_low_ns < slow.least_period_low_ns
    assert fast.wires.method == "resized"
    sizing = fast.wires.sizing
    assert sizing.cells_mm2_before < sizing.cells_mm2 < 1.1 * sizing.cells_mm2_before
    cells = [one.cell for one in resized.gates().instances]
    assert sum("_buf_" in cell for cell in cells) == sizing.buffers
    assert slow.wires.sizing is None


@needs_placer
def test_few_gates_are_overloaded(resized: Netlist) -> None:
    """Cells have moved a little since their drives were chosen."""
    drives = Drives(resized)
    circuit = read_circuit(resized, read_rules(resized.pdk, resized.macros), resized.gates())
    wires = read_spef(resized.wires.spef)
    over = driven = 0
    for net, pins in enumerate(circuit.nets):
        if not pins or pins[0][0] < 0 or net in circuit.clock | circuit.constant:
            continue
        cells = [(circuit.gates.instances[index].cell, pin) for index, pin in pins if index >= 0]
        load = wires[circuit.names[net]].capacitance
        load += sum(drives.loads[cell, pin.partition("[")[0]] for cell, pin in cells[1:])
        limit = drives.limits.get(cells[0][0])
        if limit is not None and cells[0][0] not in resized.macros:  # they have one drive
            driven += 1
            over += load > 1.2 * limit
    assert driven > 5000
    assert over < 0.002 * driven
