# SPDX-License-Identifier: Apache-2.0
"""Wires: lengths by hand, SPEF there and back, and what OpenSTA and the power flow make of them."""

import dataclasses
import io
import json
import random
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from cocotb_tests.layout.handmade import placement
from cocotb_tests.layout.test_placement import needs_placer
from flows.asic.layout.layout import place_netlist, read_circuit
from flows.asic.layout.lef import Outline
from flows.asic.layout.lengths import placed_trees, star, wire_tree
from flows.asic.layout.process import WireRc, read_rules
from flows.asic.layout.spef import read_spef, write_spef
from flows.asic.power import power_figures
from flows.asic.synthesis import Netlist, Wires
from flows.asic.timing import run_sta, timing_figures
from flows.cli import app as cli
from flows.cli.wires import wire_table
from golden_model import Network, random_features
from hw.config import preset
from hw.errors import PlosiveError

TINY = preset("tiny")


@pytest.fixture(scope="module")
def sta() -> str:
    found = shutil.which("sta")
    return found or pytest.skip("sta is missing: install Debian's package opensta")


@pytest.fixture(scope="module")
def tiny(sta: str, tiny: Netlist) -> Netlist:
    """That of all tests of the layout, for those who have OpenSTA."""
    assert sta
    return tiny


@pytest.fixture(scope="module")
def placed(tiny: Netlist, build_root: Path) -> Netlist:
    """Placed once; later runs of the tests find it."""
    return place_netlist(tiny, build_dir=build_root)


# ---- lengths ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "length"),
    [
        ([(1.0, 2.0)], 0.0),
        ([(0.0, 0.0), (3.0, -4.0)], 7.0),
        ([(0.0, 0.0), (10.0, 0.0), (5.0, 4.0)], 14.0),  # half the perimeter, branching at (5, 0)
        ([(0.0, 0.0), (0.0, 0.0), (0.0, 0.0)], 0.0),
        ([(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)], 30.0),
        ([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0), (1.0, 5.0)], 8.0),
    ],
)
def test_lengths_by_hand(places: list[tuple[float, float]], length: float) -> None:
    assert wire_tree(places).length == pytest.approx(length)


def test_trees_are_shortest(seed: int) -> None:
    """Against Kruskal's algorithm on random places, both ways of the program."""
    rng = random.Random(seed)
    for count in (4, 5, 9, 24, 25, 60):
        places = [(rng.randrange(50) / 2, rng.randrange(50) / 2) for _ in range(count)]
        tree = wire_tree(places)
        pairs = sorted(
            (abs(a[0] - b[0]) + abs(a[1] - b[1]), i, j)
            for i, a in enumerate(places)
            for j, b in enumerate(places[:i])
        )
        group, best = list(range(count)), 0.0
        for length, i, j in pairs:
            if group[i] != group[j]:
                best += length
                group = [group[j] if one == group[i] else one for one in group]
        assert tree.length == pytest.approx(best)
        assert len(tree.edges) == count - 1
        reached = {0}
        for start, end, _ in tree.edges:
            assert start in reached  # the driver comes first
            reached.add(end)
        assert reached == set(range(count))


def test_a_star_has_its_length() -> None:
    assert star(3, 12.0).edges == ((0, 1, 4.0), (0, 2, 4.0), (0, 3, 4.0))


def test_wires_of_a_placement_by_hand(outlines: dict[str, Outline]) -> None:
    """With a ruler: x at (2, 1), y at (5, 5) upside down, z at (10.5, 1), the macro at (20, 1)."""
    first, second, third = placed_trees(placement(outlines))
    # Port a at (0, 6) to pin A of x at (2.3, 2).
    assert first.length == pytest.approx(2.3 + 4.0)
    # Y of x at (3.2, 2.5); A of y at (5.3, 5 + 4 - 1 = 8); A of z at (10.8, 2); A[0] at (30, 1.5).
    # Shortest tree: x to y 2.1 + 5.5, x to z 7.6 + 0.5, z to the macro 19.2 + 0.5.
    assert second.length == pytest.approx(7.6 + 8.1 + 19.7)
    # Y of y at (6.2, 7.5), port q at (60, 2), A[1] at (40, 1.5): half the perimeter of the box.
    assert third.length == pytest.approx((60 - 6.2) + (7.5 - 1.5))


# ---- SPEF ------------------------------------------------------------------------------------


def test_spef_there_and_back(outlines: dict[str, Outline], tmp_path: Path) -> None:
    held = placement(outlines)
    trees = placed_trees(held)
    wire = WireRc("low", 0.5, 2.0, "by hand")
    write_spef(held.circuit, trees, wire, tmp_path / "a.spef")
    text = (tmp_path / "a.spef").read_text()
    assert "top\\/y\\[0\\]\\$_1_:A" in text
    nets = read_spef(tmp_path / "a.spef")
    assert list(nets) == ["a", "n1", "q"]
    for (name, net), tree in zip(nets.items(), trees, strict=True):
        assert net.capacitance == pytest.approx(0.5 * tree.length, rel=1e-5), name
        assert net.ohm == pytest.approx(2.0 * tree.length, rel=1e-3), name
        part = text.partition(f"*D_NET {name} ")[2].partition("*END")[0]
        grounded = part.partition("*CAP\n")[2].partition("*RES")[0].split()[2::3]
        assert sum(map(float, grounded)) == pytest.approx(net.capacitance, rel=1e-4)
    assert nets["n1"].pins == ("x:Y", "top/y[0]$_1_:A", "top/z:A", "ram:A[0]")
    assert nets["q"].pins == ("top/y[0]$_1_:Y", "q", "ram:A[1]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "the file is cut off inside net q"),
        (lambda text: text.replace("*C_UNIT 1 FF", "*C_UNIT 1 PF"), "it is no SPEF file in fF"),
        (lambda _: "module plosive;", "it is no SPEF file in fF"),
    ],
)
def test_spef_that_is_refused(
    outlines: dict[str, Outline], tmp_path: Path, change, message: str
) -> None:
    held = placement(outlines)
    wire = WireRc("low", 0.5, 2.0, "by hand")
    file = tmp_path / "a.spef"
    write_spef(held.circuit, placed_trees(held), wire, file)
    file.write_text(change(file.read_text()))
    with pytest.raises(PlosiveError, match=message):
        read_spef(file)


# ---- OpenSTA ---------------------------------------------------------------------------------


def with_capacitance(placed: Netlist, folder: Path, ff_per_um: float, ohm_per_um: float) -> Netlist:
    """The same places, and another wire: every net gets a star of the same length."""
    circuit = read_circuit(placed, read_rules(placed.pdk, placed.macros), placed.gates())
    trees = [star(len(pins) - 1, 100.0) if pins else None for pins in circuit.nets]
    write_spef(circuit, trees, WireRc("own", ff_per_um, ohm_per_um, ""), folder / "own.spef")
    wires = dataclasses.replace(placed.wires, spef=folder / "own.spef")
    return dataclasses.replace(placed, wires=wires)


@needs_placer
def test_opensta_takes_every_wire(placed: Netlist) -> None:
    """The load that it sees is that of pins and wire, and no net is left to the model."""
    nets = read_spef(placed.wires.spef)
    circuit = read_circuit(placed, read_rules(placed.pdk, placed.macros), placed.gates())
    driven = {
        circuit.names[net]
        for net, pins in enumerate(circuit.nets)
        if pins and net not in circuit.constant
    }
    assert set(nets) == driven
    shown = run_sta(placed, ["report_net -connections -verbose -digits 6 n5000"])
    (line,) = (line for line in shown.splitlines() if "Wire capacitance" in line)
    picofarads = float(re.search(r"[\d.]+", line)[0])
    assert picofarads * 1e3 == pytest.approx(nets["n5000"].capacitance, rel=1e-3)


def worst_slack(netlist: Netlist) -> float:
    text = run_sta(netlist, ["report_checks -path_delay max -digits 4"])
    return float(re.search(r"(-?[\d.]+) +slack \(", text)[1])


@needs_placer
def test_more_capacitance_is_never_faster(placed: Netlist, tmp_path: Path) -> None:
    slacks = [
        worst_slack(with_capacitance(placed, tmp_path, farads, 0.5)) for farads in (0.02, 0.2)
    ]
    assert slacks[1] < slacks[0] - 1
    # Resistance counts, too.
    assert worst_slack(with_capacitance(placed, tmp_path, 0.2, 500.0)) < slacks[1] - 0.1


@needs_placer
def test_timing_has_a_range(placed: Netlist) -> None:
    figures = timing_figures(placed)
    low, high = figures.wires.cases
    assert (low.name, high.name) == ("low", "high")
    assert figures.least_period_low_ns < figures.least_period_ns
    assert high.wire_pf / low.wire_pf == pytest.approx(high.ff_per_um / low.ff_per_um)
    spef = sum(net.capacitance for net in read_spef(placed.wires.spef).values())
    length = figures.wires.wire_m + figures.wires.clock_wire_m
    assert spef * 1e-15 == pytest.approx(length * high.ff_per_um * 1e-9, rel=1e-4)
    assert "are not routed" in figures.notes[0]
    assert "neurons/" in " ".join(step.pin for step in figures.critical_path.steps)


@needs_placer
def test_power_counts_the_wires(placed: Netlist, tiny: Netlist, build_root: Path) -> None:
    """The netlist written flat computes the same, and what its wires cost is C V^2 / 2 an edge."""
    network, features = Network.random(TINY, 1), random_features(TINY, 6, 1)
    options = {"warm_up": 2, "build_dir": build_root}
    high = power_figures(placed, network, features, **options)
    model = power_figures(tiny, network, features, **options)
    assert high.memories == model.memories
    assert high.leakage_uw == model.leakage_uw
    assert high.clocks_per_frame == model.clocks_per_frame
    assert high.energy_low_nj.total < high.energy_per_frame_nj.total
    assert high.energy_low_nj.memories == high.energy_per_frame_nj.memories
    switched = [sum(block.switching_nj for block in run.blocks) for run in (high, model)]
    assert switched[0] > switched[1]


@needs_placer
def test_it_is_found_again(tiny: Netlist, placed: Netlist, build_root: Path) -> None:
    before = placed.wires.spef.stat().st_mtime_ns
    again = place_netlist(tiny, build_dir=build_root)
    assert again.wires == placed.wires
    assert isinstance(again.wires, Wires)
    assert again.wires.spef.stat().st_mtime_ns == before
    assert again.wires.low.spef != again.wires.spef


# ---- the command line ------------------------------------------------------------------------


@needs_placer
def test_command_line(placed: Netlist, build_root: Path, capsys) -> None:
    arguments = ["timing", "--preset", "tiny", "--wires", "placed", "--build", str(build_root)]
    assert cli.run([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["wires"]["method"] == "placed"
    assert Path(figures["wires"]["placed_def"]).is_file()
    assert Path(figures["wires"]["picture"]).is_file()
    assert figures["netlist"] == str(placed.verilog)
    assert "are not routed" in figures["notes"][0]


@needs_placer
def test_tables(placed: Netlist) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(wire_table(placed.wires.figures))
    shown = console.export_text()
    assert "Wires of a trial placement" in shown
    assert f"{placed.wires.figures.wire_m:.2f}" in shown
    assert "placement.png" in shown


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pdk", "generic"], "plosive: --pdk is 'generic': the layout of its cells and memories"),
        (["--pdk", "sky130A"], "plosive: --pdk is 'sky130A': the layout of its cells and memories"),
        (["--utilisation", "1.5"], "Invalid value for '--utilisation': 1.5 is not a number from"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, capsys, arguments: list[str], message: str) -> None:
    build = tmp_path / "build"
    given = ["timing", "--preset", "tiny", "--wires", "placed", "--build", str(build), *arguments]
    assert cli.run(given) != 0
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert not build.exists()
