# SPDX-License-Identifier: Apache-2.0
"""Wires without a placer: the laws, how they are fitted, and what the commands make of them."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.layout.handmade import circuit
from cocotb_tests.layout.test_placement import needs_placer
from flows.asic.layout.fitted import (
    LAWS,
    Law,
    Laws,
    estimate_wires,
    fit_laws,
    net_kinds,
    placed_lengths,
)
from flows.asic.layout.layout import cell_area, place_netlist, read_circuit
from flows.asic.layout.lef import Outline
from flows.asic.layout.process import read_rules
from flows.asic.layout.spef import read_spef
from flows.asic.synthesis import Netlist
from flows.cli import app as cli
from hw.config import preset

TINY = preset("tiny")


def test_lengths_by_law() -> None:
    law = Law(scale=50.0, area_power=0.5, fanout_power=0.8)
    assert law.length(1.0, 1) == 50.0
    assert law.length(4.0, 1) == pytest.approx(100.0)
    assert law.length(4.0, 10) == pytest.approx(100.0 * 10**0.8)


def test_nets_that_cells_cannot_shorten(outlines: dict[str, Outline]) -> None:
    """All three nets come to a port or the macro; without both, they would be near."""
    assert net_kinds(circuit(outlines)) == [("far", 1), ("far", 3), ("far", 2)]


def test_a_law_is_found_again(tiny: Netlist) -> None:
    """Lengths that follow a law exactly, in a netlist at two scales of area, give that law."""
    read = read_circuit(tiny, read_rules(tiny.pdk, tiny.macros))
    real = Laws(Law(40.0, 0.4, 0.7), Law(300.0, 0.6, 0.5), (), "", 0.0)

    def lengths(area: float) -> list[float | None]:
        of = {"near": real.near, "far": real.far}
        return [kind and of[kind[0]].length(area, kind[1]) for kind in net_kinds(read)]

    whole = cell_area(read) * 1e-6
    # The same cells, with outlines a hundred times as large.
    large = [replaced(one, 10.0) for one in read.outlines]
    other = type(read)(
        read.gates, large, read.ports, read.nets, read.names, read.constant, read.clock
    )
    placements = {
        "small": (read, lengths(whole)),
        "large": (other, lengths(100 * whole)),
        "unseen": (read, [length and 2 * length for length in lengths(whole)]),
    }
    found = fit_laws(placements, "unseen")
    for law, expected in ((found.near, real.near), (found.far, real.far)):
        assert law.scale == pytest.approx(expected.scale)
        assert law.area_power == pytest.approx(expected.area_power)
        assert law.fanout_power == pytest.approx(expected.fanout_power)
    assert found.placed == ("small", "large")
    assert found.unseen == "unseen"
    assert found.unseen_error == pytest.approx(-0.5)
    assert "-50% in sum on unseen, which the fit did not see" in found.source


def replaced(one: Outline, times: float) -> Outline:
    return Outline(
        one.name,
        one.kind,
        one.width * times,
        one.height * times,
        one.site,
        one.pins,
        one.obstructions,
    )


def test_every_net_has_its_length(tiny: Netlist, build_root: Path) -> None:
    wired = estimate_wires(tiny, build_dir=build_root)
    rules = read_rules(tiny.pdk, tiny.macros)
    read = read_circuit(tiny, rules)
    area = cell_area(read) * 1e-6
    of = {"near": LAWS.near, "far": LAWS.far}
    expected = sum(of[kind].length(area, fanout) for kind, fanout in filter(None, net_kinds(read)))
    figures = wired.wires.figures
    assert figures.method == "fitted"
    assert figures.source == LAWS.source
    assert (figures.wire_m + figures.clock_wire_m) * 1e6 == pytest.approx(expected)
    low, high = (read_spef(wires.spef) for wires in (wired.wires.low, wired.wires))
    assert sum(net.capacitance for net in high.values()) == pytest.approx(
        expected * rules.wires[1].ff_per_um, rel=1e-4
    )
    assert low.keys() == high.keys()
    assert figures.placed_def is None


@needs_placer
def test_the_laws_are_near_a_placement(tiny: Netlist, build_root: Path) -> None:
    """Of one that they were fitted to."""
    placed, fitted = (
        make(tiny, build_dir=build_root).wires.figures for make in (place_netlist, estimate_wires)
    )
    assert fitted.wire_m == pytest.approx(placed.wire_m, rel=0.25)


@needs_placer
def test_lengths_of_a_placement_are_read_back(tiny: Netlist, build_root: Path) -> None:
    placed = place_netlist(tiny, build_dir=build_root)
    read, lengths = placed_lengths(placed)
    figures = placed.wires.figures
    clock = sum(length for net, length in enumerate(lengths) if length and net in read.clock)
    whole = sum(filter(None, lengths))
    assert clock == pytest.approx(figures.clock_wire_m * 1e6, rel=1e-4)
    assert whole - clock == pytest.approx(figures.wire_m * 1e6, rel=1e-4)
    wired = [kind is not None for kind in net_kinds(read)]
    assert [length is not None for length in lengths] == wired


@pytest.mark.usefixtures("tiny")
def test_the_command_needs_no_placer(build_root: Path, monkeypatch, capsys) -> None:
    if shutil.which("sta") is None:
        pytest.skip("sta is missing: install Debian's package opensta")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "coloquinte" else find(name)
    )
    given = ["timing", "--preset", "tiny", "--build", str(build_root), "--json", "--wires"]
    assert cli.run([*given, "placed"]) != 0
    assert "or use --wires fitted" in capsys.readouterr().err
    periods = {}
    for wires in ("model", "fitted"):
        assert cli.run([*given, wires]) == 0
        figures = json.loads(capsys.readouterr().out)
        periods[wires] = figures["least_period_ns"]
    assert figures["wires"]["method"] == "fitted"
    assert "a law of fan-out and area fitted to trial placements of" in figures["notes"][0]
    assert figures["least_period_low_ns"] < figures["least_period_ns"]
    assert np.abs(np.log(periods["fitted"] / periods["model"])) < np.log(2)
