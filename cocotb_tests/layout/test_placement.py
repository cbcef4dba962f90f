# SPDX-License-Identifier: Apache-2.0
"""Places: of a netlist by hand, and what coloquinte makes of `tiny`; DEF and the picture of it."""

import dataclasses
import importlib.util
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cocotb_tests.layout.handmade import SITE, circuit, placement
from flows.asic.gates import Gates, Instance, read_gates
from flows.asic.layout.def_file import read_def, write_def
from flows.asic.layout.floorplan import make_floorplan
from flows.asic.layout.layout import floorplan_of, place_netlist, read_circuit
from flows.asic.layout.lef import Outline
from flows.asic.layout.lengths import placed_trees
from flows.asic.layout.nets import Circuit, circuit_of, write_flat
from flows.asic.layout.picture import draw_placement
from flows.asic.layout.placement import check_legal, place
from flows.asic.layout.process import LayoutRules, read_rules
from flows.asic.synthesis import Netlist
from flows.tools.toolchain import ToolError
from hw.config import preset
from hw.errors import PlosiveError

TINY = preset("tiny")
needs_placer = pytest.mark.skipif(
    importlib.util.find_spec("coloquinte") is None,
    reason="coloquinte is missing: pip install -e .[layout] under Python 3.11 or 3.12",
)


def ring_of(outlines: dict[str, Outline], cells: int) -> Circuit:
    """A ring of inverters."""
    instances = [
        Instance(f"i{n}", "inv", "plosive", {"A": [n], "Y": [(n + 1) % cells]})
        for n in range(cells)
    ]
    return circuit_of(Gates(cells, instances, {}, {"q": [0]}), outlines, set(), set())


# ---- the netlist -----------------------------------------------------------------------------


def test_nets_begin_with_their_drivers(outlines: dict[str, Outline]) -> None:
    read = circuit(outlines)
    assert read.nets == [
        [(-1, "a"), (0, "A")],
        [(0, "Y"), (1, "A"), (2, "A"), (3, "A[0]")],
        [(1, "Y"), (-2, "q"), (3, "A[1]")],
    ]
    assert read.names == ["a", "n1", "q"]


@pytest.mark.parametrize(
    ("cell", "pins", "message"),
    [
        ("nand", {"A": [0]}, r"^x: there is no LEF of nand, so it has no place$"),
        ("inv", {"B": [0]}, r"^x: inv has no pin B in its LEF$"),
        ("inv", {"A": [0], "Y": [2]}, r"^top/y\[0\]\$_1_: pin Y is the second driver of a net$"),
    ],
)
def test_what_has_no_place_is_refused(
    outlines: dict[str, Outline], cell: str, pins: dict[str, list[int]], message: str
) -> None:
    gates = circuit(outlines).gates
    first = dataclasses.replace(gates.instances[0], cell=cell, pins=pins)
    broken = Gates(3, [first, *gates.instances[1:]], gates.inputs, gates.outputs)
    with pytest.raises(PlosiveError, match=message):
        circuit_of(broken, outlines, set(), set())


def test_the_flat_netlist_is_the_same(tiny: Netlist, tmp_path: Path) -> None:
    """Written flat and read again: the same cells, and pins on the same nets."""
    read = read_circuit(tiny, read_rules(tiny.pdk, tiny.macros))
    write_flat(read, tmp_path / "flat.v")
    again = read_gates(tmp_path / "flat.v")
    assert [(one.path, one.cell) for one in again.instances] == [
        (one.path, one.cell) for one in read.gates.instances
    ]
    renamed: dict[int, int] = {}
    for one, other in zip(read.gates.instances, again.instances, strict=True):
        for pin, bits in one.pins.items():
            for net, also in zip(bits, other.pins[pin], strict=True):
                assert renamed.setdefault(net, also) == also
    for name in ("inputs", "outputs"):
        for port, bits in getattr(read.gates, name).items():
            assert [renamed.setdefault(net, -1) for net in bits] == getattr(again, name)[port]
    assert len(set(renamed.values())) == len(renamed)


# ---- floorplans ------------------------------------------------------------------------------


def boxes(plan, outlines: list[Outline]) -> list[tuple[float, float, float, float]]:
    rows = (plan.left, plan.bottom)
    size = (plan.sites * plan.site.width, plan.rows * plan.site.height)
    found = [(*rows, rows[0] + size[0], rows[1] + size[1])]
    for index, (x, y) in plan.macros.items():
        found.append((x, y, x + outlines[index].width, y + outlines[index].height))
    return found


@pytest.mark.parametrize("macros", [0, 1, 2, 7, 40])
@pytest.mark.parametrize("utilisation", [0.5, 0.8])
def test_floorplans_have_room(
    outlines: dict[str, Outline], macros: int, utilisation: float
) -> None:
    """The rows are as large as asked for; rows and macros stand in the die and do not overlap."""
    parts = [outlines["inv"]] * 3000 + [outlines["sram"]] * macros
    plan = make_floorplan(parts, 10, SITE, utilisation=utilisation)
    assert plan.row_area == pytest.approx(3000 * 6 / utilisation, rel=0.02)
    assert plan.row_area >= 3000 * 6 / utilisation
    assert len(plan.macros) == macros
    held = boxes(plan, parts)
    for left, bottom, right, top in held:
        assert 0 <= left < right <= plan.width + 1e-9
        assert 0 <= bottom < top <= plan.height + 1e-9
    for n, one in enumerate(held):
        for other in held[:n]:
            apart = (one[0] - other[2], other[0] - one[2], one[1] - other[3], other[1] - one[3])
            assert max(apart) >= 9.99  # the halo
    assert len({*plan.ports}) == 10
    assert {y for _, y in plan.ports} == {0.0, plan.height}


def test_macros_in_order_stand_at_the_same_height(outlines: dict[str, Outline]) -> None:
    """Two by two to the left and to the right of the rows, from below."""
    parts = [outlines["inv"]] * 1300 + [outlines["sram"]] * 6
    order = [1305, 1300, 1304, 1301, 1303, 1302]
    plan = make_floorplan(parts, 10, SITE, order=order)
    left, right = ([plan.macros[index] for index in order[start::2]] for start in (0, 1))
    assert {x < plan.left for x, _ in left} == {True}
    assert {x > plan.left for x, _ in right} == {True}
    assert [y for _, y in left] == [y for _, y in right] == sorted(y for _, y in left)


def test_columns_of_a_row_stand_together(outlines: dict[str, Outline]) -> None:
    """Of two memories with three columns each, those with the same number, in this order."""
    names = [f"{memory}_memory/bank/column_{n}_0" for memory in ("a", "b") for n in (0, 1, 10)]
    read = circuit(outlines)
    cells = [Instance(f"i{n}", "inv", "plosive", {"A": [0], "Y": [n + 1]}) for n in range(800)]
    macros = [Instance(name, "sram", "memory", {"A": [1, 2]}) for name in names]
    gates = dataclasses.replace(read.gates, nets=801, instances=[*cells, *macros])
    held = circuit_of(gates, outlines, set(), set())
    rules = LayoutRules(SITE, outlines, ())
    plan = floorplan_of(held, rules, 0.7)
    heights = [plan.macros[800 + place][1] for place in range(6)]
    assert heights[:3] == heights[3:]
    assert heights[0] < heights[1] < heights[2]


@pytest.mark.parametrize("utilisation", [0.0, 0.99, -1.0, math.nan])
def test_no_part_is_refused(outlines: dict[str, Outline], utilisation: float) -> None:
    with pytest.raises(PlosiveError, match=r"^utilisation is .*: it must be from 0\.05 to 0\.95$"):
        make_floorplan([outlines["inv"]], 1, SITE, utilisation=utilisation)


def test_nothing_to_place_is_refused(outlines: dict[str, Outline]) -> None:
    with pytest.raises(PlosiveError, match=r"^the netlist has no cells to place$"):
        make_floorplan([outlines["sram"]], 1, SITE)


# ---- legality --------------------------------------------------------------------------------


def test_a_legal_placement(outlines: dict[str, Outline]) -> None:
    check_legal(placement(outlines))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"left": [2.0, 5.0, 10.6, 20.0]}, "top/z is not on a site"),
        ({"bottom": [1.0, 5.5, 1.0, 1.0]}, r"top/y\[0\]\$_1_ is not on a site"),
        ({"left": [1.0, 5.0, 10.5, 20.0]}, "x is outside of the rows"),
        ({"left": [2.0, 5.0, 11.5, 20.0]}, "top/z is outside of the rows"),
        ({"bottom": [1.0, 9.0, 1.0, 1.0]}, r"top/y\[0\]\$_1_ is outside of the rows"),
        ({"flipped": [True, True, False, False]}, "x has its supplies crossed"),
        ({"left": [2.0, 5.0, 3.0, 20.0]}, "x and top/z overlap"),
    ],
)
def test_what_is_not_legal_is_found(
    outlines: dict[str, Outline], changes: dict[str, list], message: str
) -> None:
    moved = {name: np.array(values) for name, values in changes.items()}
    with pytest.raises(PlosiveError, match=rf"^the placement is not legal: {message}$"):
        check_legal(dataclasses.replace(placement(outlines), **moved))


@needs_placer
def test_tiny_is_placed_legally(tiny: Netlist, build_root: Path) -> None:
    """By the file that a user gets, in a raster of sites, by other code than `check_legal`."""
    placed = place_netlist(tiny, build_dir=build_root)
    read = read_def(placed.folder / "plosive.def")
    outlines = read_rules(tiny.pdk, tiny.macros).outlines
    text = (placed.folder / "plosive.def").read_text()
    row = re.search(r"^ROW row_0 CoreSite (\d+) (\d+) N DO (\d+) BY 1 STEP 480 0 ;$", text, re.M)
    left, bottom, sites = (int(number) for number in row.groups())
    taken = np.zeros((read.rows, sites), int)
    macros = []
    for held in read.components.values():
        outline = outlines[held.cell]
        assert held.fixed == (outline.kind == "BLOCK")
        if held.fixed:
            macros.append((held.left, held.bottom, outline.width, outline.height))
            continue
        number, off = divmod(round(held.bottom * 1000) - bottom, 3780)
        site, beside = divmod(round(held.left * 1000) - left, 480)
        assert (off, beside) == (0, 0)
        assert site >= 0
        taken[number, site : site + round(outline.width / 0.48)] += 1
        assert held.orientation == ("FS" if number % 2 else "N")
    assert taken.max() == 1
    cells = [outlines[held.cell] for held in read.components.values() if not held.fixed]
    assert taken.sum() == round(sum(cell.width for cell in cells) / 0.48)
    assert taken.mean() == pytest.approx(0.7, abs=0.01)
    assert len(macros) == sum(tiling.macros for tiling in tiny.tilings.values())
    for x, y, width, height in macros:
        assert x + width < left / 1000 or x > (left + 480 * sites) / 1000
        assert x >= 0
        assert x + width <= read.width
        assert y + height <= read.height


@needs_placer
def test_a_seed_gives_the_same_places(outlines: dict[str, Outline]) -> None:
    ring = ring_of(outlines, 200)
    plan = make_floorplan(ring.outlines, 1, SITE)
    one, same = (place(ring, plan, seed=1) for _ in range(2))
    assert np.array_equal(one.left, same.left)
    assert np.array_equal(one.bottom, same.bottom)
    # A ring is laid out as one: neighbours are near.
    lengths = [tree.length for tree in placed_trees(one) if tree is not None]
    assert sum(lengths) / len(lengths) < 0.25 * (plan.width + plan.height)


@needs_placer
def test_cells_that_do_not_fit_are_refused(outlines: dict[str, Outline]) -> None:
    ring = ring_of(outlines, 200)
    plan = make_floorplan(ring.outlines, 1, SITE)
    with pytest.raises(PlosiveError, match=r"^coloquinte fails: "):
        place(ring, dataclasses.replace(plan, rows=plan.rows // 2))


def test_missing_placer_is_one_line(outlines: dict[str, Outline], monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    held = placement(outlines)
    with pytest.raises(
        ToolError,
        match=r"^coloquinte was not found: it is needed to place cells; install the extra "
        r"`pip install -e \.\[layout\]` under Python 3\.11 or 3\.12, or use --wires fitted$",
    ):
        place(held.circuit, held.floorplan)


# ---- files -----------------------------------------------------------------------------------


def test_def_of_a_placement_by_hand(outlines: dict[str, Outline], tmp_path: Path) -> None:
    held = placement(outlines)
    write_def(held, tmp_path / "a.def")
    text = (tmp_path / "a.def").read_text()
    assert "- top/y\\[0\\]\\$_1_" not in text
    assert "- top\\/y\\[0\\]\\$_1_ inv + PLACED ( 5000 5000 ) FS ;" in text
    read = read_def(tmp_path / "a.def")
    assert (read.width, read.height, read.rows) == (60.0, 12.0, 2)
    for index, one in enumerate(held.circuit.gates.instances):
        found = read.components[one.path]
        assert found.cell == one.cell
        assert (found.left, found.bottom) == (held.left[index], held.bottom[index])
        assert found.orientation == ("FS" if held.flipped[index] else "N")
        assert found.fixed == (one.cell == "sram")
    assert read.ports == {"a": (0.0, 6.0), "q": (60.0, 2.0)}
    assert read.nets == {
        "a": [("PIN", "a"), ("x", "A")],
        "n1": [("x", "Y"), ("top/y[0]$_1_", "A"), ("top/z", "A"), ("ram", "A[0]")],
        "q": [("top/y[0]$_1_", "Y"), ("PIN", "q"), ("ram", "A[1]")],
    }


def test_a_def_that_is_cut_off_is_refused(outlines: dict[str, Outline], tmp_path: Path) -> None:
    write_def(placement(outlines), tmp_path / "a.def")
    text = (tmp_path / "a.def").read_text()
    (tmp_path / "a.def").write_text(text[: len(text) // 2])
    with pytest.raises(PlosiveError, match=r"it is no DEF file of plosive, or it is cut off$"):
        read_def(tmp_path / "a.def")


def test_the_picture_shows_the_macro(outlines: dict[str, Outline], tmp_path: Path) -> None:
    held = placement(outlines)
    draw_placement(held, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == 1400
        scale = 1399 / 60
        high = round(12 * scale)

        def at(x: float, y: float) -> tuple[int, ...]:
            return image.convert("RGB").getpixel((round(x * scale), round(high - y * scale)))

        assert at(50.0, 3.0) == (0xD9, 0xD9, 0xD9)  # the macro
        assert at(2.7, 3.0) != at(8.0, 3.0)  # x, and the empty row beside it
        assert at(5.7, 7.0) == at(11.2, 3.0)  # y and z are in one block
        assert at(8.0, 3.0) == (0xEE, 0xEE, 0xEE)
