# SPDX-License-Identifier: Apache-2.0
"""Power: energies against a second sum, switching against Verilator, figures against each other."""

import bisect
import dataclasses
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic.activity import MACRO_PINS, Activity, measure_activity
from flows.asic.area import block_areas
from flows.asic.gates import Gates, read_gates
from flows.asic.liberty import Group, read_liberty, truth_table
from flows.asic.pdk import find_pdk
from flows.asic.power import check_power, power_figures
from flows.asic.synthesis import Netlist, synthesize
from flows.cli import app as cli
from flows.simulation.figures import laws_counters
from flows.tools import toolchain
from golden_model import Network, cycle_laws, random_features
from hw.config import preset
from hw.errors import PlosiveError

TINY = preset("tiny")
NETWORK = Network.random(TINY, 1)
FRAMES, WARM_UP = 24, 4
FEATURES = random_features(TINY, FRAMES, 1)


@pytest.fixture(scope="module")
def ihp(build_root: Path) -> Netlist:
    return synthesize(TINY, pdk_or_skip("ihp-sg13g2"), build_dir=build_root)


@pytest.fixture(scope="module")
def gates(ihp: Netlist) -> Gates:
    return read_gates(ihp.verilog)


@pytest.fixture(scope="module")
def activity(ihp: Netlist, gates: Gates, build_root: Path) -> Activity:
    return measure_activity(ihp, gates, NETWORK, FEATURES, warm_up=WARM_UP, build_dir=build_root)


@pytest.fixture(scope="module")
def figures(ihp: Netlist, build_root: Path) -> dict:
    if shutil.which("sta") is None:
        pytest.skip("sta is missing: install Debian's package opensta")
    options = {"warm_up": WARM_UP, "build_dir": build_root}
    return power_figures(ihp, NETWORK, FEATURES, **options).to_dict()


# ---- the netlist, flat -----------------------------------------------------------------------


def test_flat_netlist_has_every_cell(ihp: Netlist, gates: Gates) -> None:
    counted = Counter(one.cell for one in gates.instances)
    expected: Counter[str] = Counter()
    for block in ihp.blocks:
        expected.update({name: n for name, n in block.cells.items() if "$" not in name})
    assert counted == expected
    paths = [one.path for one in gates.instances]
    assert len(set(paths)) == len(paths)


def test_every_net_has_one_driver(ihp: Netlist, gates: Gates) -> None:
    """Joined across the hierarchy, each net is driven once: by a cell, a macro or an input."""
    library = read_liberty(ihp.pdk.liberty)
    outputs = {
        (cell.name, pin.name)
        for cell in library.of("cell")
        for pin in cell.of("pin")
        if pin.attributes.get("direction") == "output"
    }
    drivers = Counter(net for bits in gates.inputs.values() for net in bits)
    read = {net for bits in gates.outputs.values() for net in bits}
    for one in gates.instances:
        for pin, bits in one.pins.items():
            if (one.cell, pin) in outputs or pin == "A_DOUT":
                drivers.update(bits)
            else:
                read.update(bits)
    assert set(drivers.values()) == {1}
    assert read <= drivers.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "  wire a;\n  assign a = 1'h0;\n",
            r"^the netlist has \"1'h0\", where wires were expected$",
        ),
        ("  wire [1:0] a;\n  wire b;\n  assign a = b;\n", "^the netlist joins wires of different"),
    ],
)
def test_what_is_no_mapped_netlist_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "netlist.v"
    file.write_text(f"module plosive();\n{text}endmodule\n")
    with pytest.raises(PlosiveError, match=message):
        read_gates(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!((A * B) + C)", lambda a, b, c: not ((a and b) or c)),
        ("A ^ B & C", lambda a, b, c: (a != b) and c),
        ("A B' + !C", lambda a, b, c: (a and not b) or not c),
        ("(A|B)&1", lambda a, b, _: a or b),
    ],
)
def test_truth_tables(text: str, expected) -> None:
    table = truth_table(text, ["A", "B", "C"])
    for index in range(8):
        bits = [bool(index >> place & 1) for place in range(3)]
        assert bool(table >> index & 1) == bool(expected(*bits))


@pytest.mark.parametrize("text", ["A +", "(A", "A B )", "D", "A $ B", ""])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(PlosiveError, match=r"is no Boolean expression of A, B$"):
        truth_table(text, ["A", "B"])


# ---- what switches ---------------------------------------------------------------------------


def test_rows_are_those_of_the_laws(ihp: Netlist, activity: Activity) -> None:
    """Counters of the netlist, and accesses of its macros, are what the cycle laws say."""
    laws = cycle_laws(TINY, FEATURES, NETWORK.run(FEATURES).spikes)
    expected = laws_counters(laws, TINY)
    # A frame waits for the last logit of the one before, so no frame stalls for that.
    expected["cycles"] -= expected.pop("stalls")
    assert activity.counters == {**expected, "stalls": 0}
    reads: Counter[str] = Counter()
    for one, count in zip(activity.macros, activity.reads, strict=True):
        columns = len(ihp.tilings[one.module].columns)
        reads[re.sub(r"_\d$", "", one.module)] += count / columns
    for name in ("input", "hidden", "readout"):
        counted = getattr(laws, f"{name}_rows")[WARM_UP:].sum()
        assert reads[f"plosive_{name}_memory"] == counted
    assert activity.frames == FRAMES - WARM_UP


def test_activity_does_not_depend_on_power_up(
    ihp: Netlist, gates: Gates, activity: Activity, build_root: Path
) -> None:
    other = measure_activity(
        ihp, gates, NETWORK, FEATURES, warm_up=WARM_UP, build_dir=build_root, seed=77
    )
    assert other.clocks == activity.clocks
    # What a frame reads it has written: only nets that nobody looks at can differ.
    assert abs(other.toggles - activity.toggles).sum() < 0.01 * activity.toggles.sum()


def test_wrong_gates_are_found(ihp: Netlist, gates: Gates, build_root: Path) -> None:
    places = [
        k
        for k, one in enumerate(gates.instances)
        if one.path.startswith("pe_set_0/") and one.cell == "sg13g2_nand2_1"
    ]
    instances, place = list(gates.instances), places[len(places) // 2]
    instances[place] = dataclasses.replace(instances[place], cell="sg13g2_nor2_1")
    broken = dataclasses.replace(gates, instances=instances)
    with pytest.raises(PlosiveError, match=r"^the netlist differs from the golden model in beat "):
        measure_activity(ihp, broken, NETWORK, FEATURES, warm_up=0, build_dir=build_root)


# ---- energy, a second time -------------------------------------------------------------------
# Written from the Liberty format: loads from the pins on a net, tables read at them, slews carried
# from cell to cell. Nothing of it comes from OpenSTA or flows.asic.power.


class Table:
    """A lookup table of a Liberty file, linear between its points and beyond them."""

    def __init__(self, group: Group) -> None:
        def numbers(text: str) -> list[float]:
            return [float(word) for word in re.findall(r"[-+\d.eE]+", text)]

        self.axes = [
            numbers(group.attributes[f"index_{k}"])
            for k in (1, 2)
            if f"index_{k}" in group.attributes
        ]
        self.values = np.array(numbers(group.attributes["values"]))
        self.values = self.values.reshape([len(axis) for axis in self.axes])

    def at(self, *point: float) -> float:
        values = self.values
        for axis, x in zip(self.axes, point, strict=False):
            k = min(max(bisect.bisect(axis, x) - 1, 0), len(axis) - 2)
            part = (x - axis[k]) / (axis[k + 1] - axis[k])
            values = values[k] * (1 - part) + values[k + 1] * part
        return float(values)


class Cells:
    """Pins, tables and conditions of the cells of a library."""

    def __init__(self, library: Group) -> None:
        self.volt = library.number("nom_voltage")
        self.of = {
            cell.name: {pin.name: pin for pin in cell.of("pin")} for cell in library.of("cell")
        }
        self._tables: dict[tuple, list] = {}

    def tables(self, cell: str, pin: str, kind: str, wanted: tuple[str, ...]) -> list:
        """(related pin, condition, tables) of the groups of a pin that have what is wanted."""
        key = (cell, pin, kind)
        if key not in self._tables:
            self._tables[key] = [
                (
                    group.attributes.get("related_pin", ""),
                    group.attributes.get("when", ""),
                    [Table(next(group.of(name))) for name in wanted],
                )
                for group in self.of[cell][pin].of(kind)
                if all(any(group.of(name)) for name in wanted)
            ]
        return self._tables[key]


def inputs_of(cells: Cells, cell: str, pins: dict) -> Iterator[str]:
    return (pin for pin in pins if cells.of[cell][pin].attributes["direction"] == "input")


def second_sum(netlist: Netlist, gates: Gates, activity: Activity) -> dict[str, float]:
    """J a frame of internal and switching power of all cells, without memories and clock net."""
    cells = Cells(read_liberty(netlist.pdk.liberty))
    macros = {one.cell for one in activity.macros}
    loads = np.zeros(gates.nets)  # pF
    for one in activity.macros:
        for group in next(iter(read_liberty(macro_file(netlist, one.cell)).of("cell"))).groups:
            if group.kind in ("pin", "bus") and group.attributes.get("direction") == "input":
                for net in one.pins[group.name]:
                    loads[net] += group.number("capacitance", 0.0)
    plain = [one for one in gates.instances if one.cell not in macros]
    for one in plain:
        for pin in inputs_of(cells, one.cell, one.pins):
            loads[one.pins[pin][0]] += cells.of[one.cell][pin].number("capacitance")
    fanout = Counter(
        net
        for one in gates.instances
        for pin, bits in one.pins.items()
        if one.cell in macros or cells.of[one.cell][pin].attributes["direction"] == "input"
        for net in bits
        if pin != "A_DOUT"
    )
    fanout.update(net for bits in gates.outputs.values() for net in bits)
    wire = wire_load(netlist.pdk.liberty)
    for net, pins in fanout.items():
        loads[net] += wire(pins)
    edges = ("rise_transition", "fall_transition")
    slews = np.full(gates.nets, 0.05)  # ns; of nets that no table drives
    for _ in range(8):  # as often as slews need to become still: each cell makes its own anew
        for one in plain:
            for pin in one.pins:
                found = cells.tables(one.cell, pin, "timing", edges)
                made = [
                    table.at(slews[one.pins[related][0]], loads[one.pins[pin][0]])
                    for related, _, tables in found
                    for table in tables
                ]
                if made:
                    slews[one.pins[pin][0]] = max(made)
    totals = {"internal": 0.0, "switching": 0.0}
    for one in plain:
        nets = {pin: bits[0] for pin, bits in one.pins.items()}
        for pin, net in nets.items():
            toggles = float(activity.toggles[net]) / activity.frames
            if cells.of[one.cell][pin].attributes["direction"] == "output":
                totals["switching"] += toggles / 2 * loads[net] * cells.volt**2 * 1e-12
            joules = [
                (
                    float(activity.toggles[nets[related]]) if related else 1.0,
                    when,
                    sum(t.at(slews[nets[related or pin]], loads[net]) for t in tables) / 2 * 1e-12,
                )
                for related, when, tables in cells.tables(
                    one.cell, pin, "internal_power", ("rise_power", "fall_power")
                )
            ]
            # Conditions are not looked into: the mean of all that may hold.
            weight = sum(share for share, _, _ in joules)
            if weight:
                totals["internal"] += toggles * sum(s * j for s, _, j in joules) / weight
    return totals


def wire_load(liberty: Path) -> Callable[[int], float]:
    """PF of a wire by the pins on it, as the library's default model has it."""
    text = liberty.read_text()
    name = re.search(r'default_wire_load : "(\w+)"', text)[1]
    model = re.search(rf'wire_load \("{name}"\) \{{(.*?)\}}', text, re.DOTALL)[1]
    per_length, slope = (
        float(re.search(rf"\b{key} : ([\d.]+);", model)[1]) for key in ("capacitance", "slope")
    )
    points = [(float(n), float(x)) for n, x in re.findall(r"fanout_length \((\d+), (.*?)\)", model)]

    def load(pins: int) -> float:
        beyond = max(0, pins - points[-1][0])
        return per_length * (np.interp(pins, *zip(*points, strict=True)) + slope * beyond)

    return load


def macro_file(netlist: Netlist, name: str) -> Path:
    return next(
        column.macro.liberty
        for tiling in netlist.tilings.values()
        for column in tiling.columns
        if column.macro.name == name
    )


def test_energy_of_logic_agrees_with_a_second_sum(
    ihp: Netlist, gates: Gates, activity: Activity, figures: dict
) -> None:
    second = second_sum(ihp, gates, activity)
    first = {
        kind: sum(block[f"{kind}_nj"] for block in figures["blocks"]) * 1e-9 for kind in second
    }
    print(first, second)
    assert sum(first.values()) == pytest.approx(sum(second.values()), rel=0.1)


# ---- figures ---------------------------------------------------------------------------------


def test_figures_add_up(ihp: Netlist, figures: dict, activity: Activity) -> None:
    energy, stopped = figures["energy_per_frame_nj"], figures["real_time"]["clock_stopped"]
    blocks = {block["block"]: block for block in figures["blocks"]}
    assert sum(b["nj"] for b in blocks.values()) + energy["clock_pins"] == pytest.approx(
        energy["logic"]
    )
    assert sum(m["nj"] for m in figures["memories"]) == pytest.approx(energy["memories"])
    assert stopped["total_uw"] == pytest.approx(
        energy["total"] * 0.1 + sum(figures["leakage_uw"].values())
    )
    assert blocks.keys() == {path[0] for path in block_areas(ihp) if len(path) == 1}
    leakage = sum(
        count * ihp.pdk.cells[cell].leakage
        for block in ihp.blocks
        for cell, count in block.cells.items()
        if cell in ihp.pdk.cells
    )
    assert figures["leakage_uw"]["logic"] == pytest.approx(leakage * 1e6)
    assert figures["clocks_per_frame"] == activity.clocks / activity.frames
    # Memories: rows by the laws, and the energy of a row as `plosive area` has it.
    rows = figures["memories"]
    for row in rows:
        tiling = ihp.tilings[f"plosive_{row['memory']}"]
        assert row["read_nj"] == pytest.approx(row["reads"] * tiling.read_energy * 1e9)
        assert row["write_nj"] <= row["writes"] * tiling.write_energy * 1e9 * 1.0001
        assert row["pins_nj"] > 0
        assert row["leakage_uw"] == pytest.approx(tiling.leakage * 1e6)


def test_clocks(figures: dict) -> None:
    least, *faster = figures["real_time"]["clock_running"]
    stopped = figures["real_time"]["clock_stopped"]
    assert least["total_uw"] == pytest.approx(stopped["total_uw"])
    assert [row["clock_hz"] for row in faster] == [100e3, 1e6]
    for row in faster:
        spare = row["clock_hz"] - figures["real_time"]["least_clock_hz"]
        assert row["idle_clock_uw"] == pytest.approx(spare * figures["idle_pj_per_clock"] * 1e-6)
        assert row["total_uw"] - row["idle_clock_uw"] == pytest.approx(stopped["total_uw"])
    operations = figures["operations"]
    per_w = operations["done_per_frame"] * 100 / (stopped["total_uw"] * 1e-6)
    assert operations["tops_per_w_done"] == pytest.approx(per_w * 1e-12)


def test_clock_gates_save_energy(ihp: Netlist, figures: dict, build_root: Path) -> None:
    plain = synthesize(TINY, ihp.pdk, clock_gating=False, build_dir=build_root)
    options = {"warm_up": WARM_UP, "build_dir": build_root}
    other = power_figures(plain, NETWORK, FEATURES, **options).to_dict()
    gated, ungated = (one["energy_per_frame_nj"]["logic"] for one in (figures, other))
    assert gated < 0.8 * ungated


def test_more_switching_is_more_energy(ihp: Netlist, figures: dict, build_root: Path) -> None:
    silence = np.zeros_like(FEATURES)
    options = {"warm_up": WARM_UP, "build_dir": build_root}
    quiet = power_figures(ihp, NETWORK, silence, **options).to_dict()
    assert quiet["energy_per_frame_nj"]["total"] < figures["energy_per_frame_nj"]["total"]


# ---- what is refused -------------------------------------------------------------------------


def test_processes_without_energies() -> None:
    with pytest.raises(PlosiveError, match=r"^--pdk is 'generic': its gates have no energies"):
        check_power(find_pdk("generic"))
    with pytest.raises(PlosiveError, match=r"^--pdk is 'sky130A': it has no SRAM macros here"):
        check_power(pdk_or_skip("sky130A"))


def test_missing_sta_is_one_line(ihp: Netlist, tmp_path: Path, monkeypatch, capsys) -> None:
    assert ihp.pdk.macros
    toolchain.find.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    build = tmp_path / "build"
    assert cli.run(["power", "--preset", "tiny", "--random", "1", "--build", str(build)]) == 1
    assert capsys.readouterr().err.startswith("plosive: sta was not found: ")
    assert not build.exists()
    toolchain.find.cache_clear()


def test_command_line(ihp: Netlist, figures: dict, build_root: Path, capsys) -> None:
    assert figures["netlist"] == str(ihp.verilog)
    arguments = ["power", "--preset", "tiny", "--random", "1", "--build", str(build_root)]
    arguments += ["--frames", "20", "--warm-up", "4"]
    assert cli.run([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {key: shown[key] for key in figures} == json.loads(json.dumps(figures))
    assert shown["versions"]["sta"]
    assert cli.run([*arguments, "--clock", "2e6"]) == 0
    out = capsys.readouterr().out
    assert "2,000 kHz, running" in out
    assert "71.2 uW" in out
    assert cli.run([*arguments, "--clock", "1000"]) == 1
    assert re.fullmatch(
        r"plosive: --clock is 1000 Hz: this network needs [\d,]+ Hz for 100 frames a second\n",
        capsys.readouterr().err,
    )
    assert cli.run(["power", "--preset", "tiny", "--random", "1", "--pdk", "generic"]) == 1
    assert "its gates have no energies" in capsys.readouterr().err


def test_pins_of_macros_are_those_that_the_program_counts() -> None:
    source = Path(__file__).parents[2] / "flows" / "asic" / "activity.cpp"
    kinds = re.search(r"enum Kind \{ (.*), KINDS \};", source.read_text())[1].split(", ")
    names = {"ENABLE": "A_MEN", "WRITE": "A_WEN", "READ": "A_REN", "ADDRESS": "A_ADDR"}
    names |= {"MASK": "A_BM", "DATA": "A_DIN"}
    assert [names[kind] for kind in kinds] == list(MACRO_PINS)
