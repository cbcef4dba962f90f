# SPDX-License-Identifier: Apache-2.0
"""`plosive power`: what a frame costs in energy, and the accelerator in power.

Energy is a sum over what switches: every edge of every pin of every cell, counted on the netlist
(`flows.asic.activity`), times its energy from the library. OpenSTA gives those energies: it has the
slew of every pin and the load of every net. The sum is made here, because OpenSTA of 2019 lets
activities from the inputs flow over those that it is told, takes every gated clock for one that
always runs, and adds a library's default energies to those with a condition.
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from flows.asic.activity import MACRO_PINS, Activity, measure_activity
from flows.asic.gates import Gates, Instance
from flows.asic.liberty import Group, read_liberty, truth_table
from flows.asic.pdk import Pdk
from flows.asic.power_figures import (
    CLOCK_SLEW_NS,
    NOTES,
    REFERENCE,
    BlockEnergy,
    Constant,
    FrameEnergy,
    Leakage,
    MemoryEnergy,
    PowerFigures,
    operation_figures,
    real_time_figures,
)
from flows.asic.synthesis import Netlist
from flows.asic.timing import run_sta
from flows.figures import Hashes
from flows.progress import Progress, silent
from flows.rates import FRAMES_PER_S
from flows.simulation.figures import sparsity
from flows.tools import toolchain
from golden_model import Network, cycle_laws
from hw.errors import PlosiveError

__all__ = ["check_power", "power_figures"]


def check_power(pdk: Pdk) -> None:
    """Refuse a process that energy cannot be said of.

    Raises
    ------
    PlosiveError
        It has no energies of cells, or no SRAM macros.
    """
    if pdk.liberty is None:
        raise PlosiveError("--pdk is 'generic': its gates have no energies; choose another PDK")
    if not pdk.macros:
        raise PlosiveError(
            f"--pdk is {pdk.name!r}: it has no SRAM macros here, so the memories' energy is not "
            "known; use ihp-sg13g2"
        )


def power_figures(
    netlist: Netlist,
    network: Network,
    features: np.ndarray,
    *,
    warm_up: int,
    clocks_hz: Sequence[float] | None = None,
    of: Hashes | None = None,
    build_dir: Path,
    progress: Progress = silent,
) -> PowerFigures:
    """Energy of a frame and power in real time; docs/area-timing-power.md says more.

    Parameters
    ----------
    netlist
        A netlist in a process with SRAM macros, without baked weights.
    network
        What runs on it.
    features
        int8 [frames, n_input].
    warm_up
        The first frames, which are run but not counted.
    clocks_hz
        Clocks that run all the time; None: the slowest that keeps up, and those of `CLOCKS_HZ`
        that do.
    of
        Hashes to keep with the figures.

    Raises
    ------
    PlosiveError
        A clock is too slow, a tool is missing, or the netlist's outputs are wrong.
    """
    check_power(netlist.pdk)
    if not 0 <= warm_up < len(features):
        raise PlosiveError(
            f"{warm_up} of {len(features)} frames are to warm up: at least one must be left"
        )
    network = network.on(netlist.config)
    progress("reading the netlist")
    gates = netlist.gates()
    activity = measure_activity(
        netlist, gates, network, features, warm_up=warm_up, build_dir=build_dir, progress=progress
    )
    spent = _spent(netlist, gates, activity, progress)
    wires, low = netlist.wires, None
    if wires is not None:
        low = _spent(replace(netlist, wires=wires.low), gates, activity, progress).energy
    clocks = activity.clocks / activity.frames
    real_time = real_time_figures(spent.energy, spent.leakage, clocks, spent.idle_j, clocks_hz)
    result = network.run(features)
    laws = cycle_laws(netlist.config, features, result.spikes)
    done = float(laws.pe_operations[warm_up:].mean()) * netlist.config.lanes
    return PowerFigures(
        of=of,
        pdk=netlist.pdk.name,
        library=netlist.pdk.library,
        corner=netlist.pdk.corner,
        frames=activity.frames,
        warm_up_frames=warm_up,
        clocks_per_frame=clocks,
        cycles_per_frame=float(laws.total[warm_up:].mean()),
        sparsity=sparsity(features[warm_up:], [s[warm_up:] for s in result.spikes]),
        energy_per_frame_nj=spent.energy,
        idle_pj_per_clock=spent.idle_j * 1e12,
        blocks=spent.blocks,
        memories=spent.memories,
        leakage_uw=spent.leakage,
        real_time=real_time,
        operations=operation_figures(netlist.config, done, spent.energy, real_time.clock_stopped),
        reference=REFERENCE,
        constants=_constants(netlist),
        notes=NOTES if wires is None else [wires.figures.note, *NOTES[1:]],
        netlist=str(netlist.verilog),
        versions={**netlist.versions, "sta": toolchain.find("sta").version},
        wires=wires.figures if wires is not None else None,
        energy_low_nj=low,
    )


@dataclass(frozen=True)
class _Spent:
    """What a run took.

    Attributes
    ----------
    blocks, memories
        Energy of each block and of each memory.
    energy, leakage
        Energy of a frame, and leakage.
    idle_j
        Energy of a clock without work, in J.
    """

    blocks: list[BlockEnergy]
    memories: list[MemoryEnergy]
    energy: FrameEnergy
    leakage: Leakage
    idle_j: float


def _spent(netlist: Netlist, gates: Gates, activity: Activity, progress: Progress) -> _Spent:
    library = read_liberty(netlist.pdk.liberty)
    volt = library.number("nom_voltage")
    progress("asking OpenSTA for the energy of every pin")
    energies = _cell_energies(netlist, gates, library)
    progress("adding up")
    run = _Sums(activity, energies, volt, activity.toggles)
    idle = _Sums(activity, energies, volt, activity.idle_toggles)
    clock_j = _clock_load(netlist, gates, library) * volt**2  # both edges
    clock_nj = clock_j * (activity.clocks / activity.frames) * 1e9
    idle_j = (sum(idle.internal.values()) + sum(idle.switching.values())) / activity.idle_clocks
    blocks, memories = _blocks(netlist, activity, run), _memories(netlist, activity)
    return _Spent(
        blocks,
        memories,
        FrameEnergy(
            logic=sum(block.nj for block in blocks) + clock_nj,
            clock_pins=clock_nj,
            memories=sum(memory.nj for memory in memories),
        ),
        Leakage(
            logic=sum(block.leakage_uw for block in blocks),
            memories=sum(memory.leakage_uw for memory in memories),
        ),
        idle_j + clock_j,
    )


# ---- energies of cells from OpenSTA ----------------------------------------------------------


@dataclass
class _Energies:
    """Instances of one cell.

    Attributes
    ----------
    instances
        Every instance of the cell.
    groups
        `internal_power` of its pins: (pin, related pin or None, condition or None).
    joules
        [instance, group, rising or falling].
    loads
        F on each output pin: [instance, output]; the outputs are `outputs`.
    """

    instances: list[Instance]
    groups: list[tuple[str, str | None, str | None]]
    outputs: list[str]
    joules: np.ndarray = field(repr=False)
    loads: np.ndarray = field(repr=False)


_PIN_LINE = re.compile(r"power: internal (\S+)/(\S+) \(")
_EDGE_LINE = re.compile(r"power:  ([v^]) energy = +(\S+) \*")
_CAP_LINE = re.compile(r"power:  cap = (\S+)")


def _cell_energies(netlist: Netlist, gates: Gates, library: Group) -> dict[str, _Energies]:
    """Energies by cell; macros are there for the loads on their outputs only."""
    cells = {cell.name: cell for cell in library.of("cell")}
    found: dict[str, dict[str, tuple[float, list[tuple[float, float]]]]] = {}
    with tempfile.TemporaryDirectory(prefix="plosive-power-") as folder:
        messages = Path(folder, "messages")
        # With one activity for all pins nothing is propagated; what it is does not matter. Without
        # a clock tree one clock gate drives a thousand flip-flops, and their energy at such slow
        # edges would be ten times that behind a tree.
        run_sta(
            netlist,
            [
                f"set_assigned_transition {CLOCK_SLEW_NS} [all_registers -clock_pins]",
                "set_power_activity -global -activity 1 -duty 0.5",
                "sta::set_debug power 3",
                "report_power",
            ],
            messages=messages,
        )
        edges = {"^": 0.0, "v": 0.0}
        pin: tuple[float, list[tuple[float, float]]] | None = None
        with open(messages) as file:
            for line in file:
                if line.startswith("power: internal"):
                    # Brackets in names are escaped.
                    path, name = _PIN_LINE.match(line.replace("\\", "")).groups()
                    pin = (0.0, [])
                    found.setdefault(path, {})[name] = pin
                elif line.startswith("power:  cap"):
                    found[path][name] = pin = (float(_CAP_LINE.match(line)[1]) * 1e-12, [])
                elif line.startswith(("power:  ^", "power:  v")):
                    edge, joules = _EDGE_LINE.match(line).groups()
                    edges[edge] = float(joules)
                elif " -> " in line and pin is not None:
                    pin[1].append((edges["^"], edges["v"]))
                    edges = {"^": 0.0, "v": 0.0}
    if not found:
        raise PlosiveError(
            "OpenSTA shows no energies of cells: the Debian package opensta (2.0.17) does"
        )
    by_cell: dict[str, list[Instance]] = {}
    for one in gates.instances:
        by_cell.setdefault(one.cell, []).append(one)
    return {name: _gather(instances, cells.get(name), found) for name, instances in by_cell.items()}


def _gather(instances: list[Instance], cell: Group | None, found: dict) -> _Energies:
    if cell is None:  # a macro: the bits of its output
        width = len(instances[0].pins["A_DOUT"])
        outputs = [f"A_DOUT[{bit}]" for bit in range(width)]
        groups = []
    else:
        pins = [pin for pin in cell.of("pin") if pin.name in instances[0].pins]
        outputs = [pin.name for pin in pins if pin.attributes.get("direction") == "output"]
        groups = [
            (pin.name, related, group.attributes.get("when"))
            for pin in pins
            for group in pin.of("internal_power")
            for related in (group.attributes.get("related_pin", "").split() or [None])
        ]
    joules, loads = [], []
    for one in instances:
        shown = found.get(one.path)
        if shown is None:
            raise PlosiveError(f"OpenSTA shows no energy of {one.path}")
        rows = [
            pair for pin in dict.fromkeys(group[0] for group in groups) for pair in shown[pin][1]
        ]
        if len(rows) != len(groups):
            raise PlosiveError(
                f"OpenSTA shows {len(rows)} energies of {one.path}, {one.cell} has {len(groups)}"
            )
        joules.append(rows)
        loads.append([shown[pin][0] for pin in outputs])
    return _Energies(
        instances,
        groups,
        outputs,
        np.array(joules).reshape(len(instances), len(groups), 2),
        np.array(loads).reshape(len(instances), len(outputs)),
    )


# ---- sums ------------------------------------------------------------------------------------


class _Sums:
    """Energy of a run, by block.

    Attributes
    ----------
    internal, switching
        J, by the path of the block.
    """

    def __init__(
        self,
        activity: Activity,
        energies: dict[str, _Energies],
        volt: float,
        toggles: np.ndarray,
    ) -> None:
        self.internal: dict[str, float] = {}
        self.switching: dict[str, float] = {}
        macros = {one.cell for one in activity.macros}
        for name, cell in energies.items():
            nets = {
                pin: np.array([one.pins[pin][0] for one in cell.instances])
                for pin in cell.instances[0].pins
                if name not in macros
            }
            if name in macros:
                outputs = np.array([one.pins["A_DOUT"] for one in cell.instances])
                internal = np.zeros(len(cell.instances))
            else:
                outputs = np.array([nets[pin] for pin in cell.outputs]).T
                internal = _internal(cell, nets, toggles, activity.duty)
            switching = (0.5 * volt**2 * cell.loads * toggles[outputs]).sum(axis=1)
            for one, i, s in zip(cell.instances, internal, switching, strict=True):
                block = _block(one)
                self.internal[block] = self.internal.get(block, 0.0) + float(i)
                self.switching[block] = self.switching.get(block, 0.0) + float(s)


def _block(one: Instance) -> str:
    """The block of `plosive area` that an instance is in; "" for the top's own."""
    first, inside, _ = one.path.partition("/")
    return re.sub(r"\$\d+$", "", first) if inside else ""


def _internal(
    cell: _Energies, nets: dict[str, np.ndarray], toggles: np.ndarray, duty: np.ndarray
) -> np.ndarray:
    """J inside of each instance of a cell.

    Of an output's energies, one for each input that may have caused the edge, each counts as much
    as its input switches while its condition holds. Of an input's energies, each counts for the
    part of the time that its condition holds, and one without a condition for the rest.
    """
    edges = {pin: toggles[net].astype(float) for pin, net in nets.items()}
    chance = _Chances(cell, edges, {pin: duty[net] for pin, net in nets.items()})
    total = np.zeros(len(cell.instances))
    for pin in dict.fromkeys(pin for pin, _, _ in cell.groups):
        which = [k for k, group in enumerate(cell.groups) if group[0] == pin]
        weights = np.array([_weight(cell.groups[k], edges, chance) for k in which])
        plain = [n for n, k in enumerate(which) if cell.groups[k][1:] == (None, None)]
        if plain:
            others = weights.sum(axis=0) - weights[plain].sum(axis=0)
            weights[plain] = np.maximum(0.0, 1.0 - others) / len(plain)
        if cell.groups[which[0]][1] is not None:
            weights = np.where(weights.sum(axis=0) > 0, weights, 1.0)
            weights = weights / weights.sum(axis=0)
        joules = cell.joules[:, which].mean(axis=2)  # rising and falling edges are as many
        total += edges[pin] * (weights.T * joules).sum(axis=1)
    return total


def _weight(
    group: tuple[str, str | None, str | None], edges: dict[str, np.ndarray], chance: "_Chances"
) -> np.ndarray:
    _, related, when = group
    weight = chance.of(when) if when else np.ones(chance.instances)
    return weight * edges[related] if related else weight


class _Chances:
    """How likely a condition on the pins of a cell is, for each instance.

    Pins are taken as independent, but for a flip-flop's: its data differs from its output at as
    many clock edges as the output switches.
    """

    def __init__(
        self, cell: _Energies, edges: dict[str, np.ndarray], duty: dict[str, np.ndarray]
    ) -> None:
        self.instances = len(cell.instances)
        self._duty = duty
        self._joint: dict[tuple[int, int], np.ndarray] = {}
        if {"D", "Q", "CLK"} <= duty.keys():
            rises = np.maximum(edges["CLK"] / 2, 1)
            apart = np.minimum(edges["Q"] / rises, 1.0) / 2
            self._joint = {
                (0, 0): np.maximum(1 - duty["Q"] - apart, 0),
                (0, 1): apart,
                (1, 0): apart,
                (1, 1): np.maximum(duty["Q"] - apart, 0),
            }

    def of(self, when: str) -> np.ndarray:
        names = sorted(set(re.findall(r"[A-Za-z_]\w*", when)))
        table = truth_table(when, names)
        joint = bool(self._joint) and {"D", "Q"} <= set(names)
        total = np.zeros(self.instances)
        for index in range(1 << len(names)):
            if not table >> index & 1:
                continue
            values = {name: index >> place & 1 for place, name in enumerate(names)}
            chance = np.ones(self.instances)
            if joint:
                chance = self._joint[values.pop("D"), values.pop("Q")]
            for name, value in values.items():
                chance = chance * (self._duty[name] if value else 1 - self._duty[name])
            total += chance
        return total


def _clock_load(netlist: Netlist, gates: Gates, library: Group) -> float:
    """F on the clock, which no cell of the netlist drives: of its pins, and of a placed wire."""
    (clock,) = gates.inputs["clk"]
    loads: dict[tuple[str, str], float] = {}
    liberties = [library, *(read_liberty(macro.liberty) for macro in netlist.macros.values())]
    for liberty in liberties:
        for cell in liberty.of("cell"):
            for pin in cell.of("pin"):
                loads[cell.name, pin.name] = pin.number("capacitance", 0.0) * 1e-12
    pins = sum(
        loads[one.cell, pin]
        for one in gates.instances
        for pin, nets in one.pins.items()
        if nets == [clock]
    )
    return pins if netlist.wires is None else pins + netlist.wires.clock_farads


# ---- memories --------------------------------------------------------------------------------


def _pin_energies(liberty: Path) -> np.ndarray:
    """J of an edge of an input pin of a macro: [pin of MACRO_PINS, A_MEN, rising or falling]."""
    (cell,) = read_liberty(liberty).of("cell")
    joules = np.zeros((len(MACRO_PINS), 2, 2))
    for group in cell.groups:
        if group.kind not in ("pin", "bus") or group.name not in MACRO_PINS:
            continue
        holders = [group, *group.of("pin")]
        for power in (power for holder in holders for power in holder.of("internal_power")):
            values = [
                next(power.of(f"{edge}_power")).number("values") * 1e-12
                for edge in ("rise", "fall")
            ]
            table = truth_table(power.attributes.get("when", "1"), ["A_MEN"])
            for enabled in range(2):
                if table >> enabled & 1:
                    joules[MACRO_PINS.index(group.name), enabled] = values
    return joules


def _memories(netlist: Netlist, activity: Activity) -> list[MemoryEnergy]:
    """The traffic of each memory in a frame, and what it costs."""
    macros = netlist.macros
    pins = {name: _pin_energies(macro.liberty) for name, macro in macros.items()}
    sums: dict[str, dict[str, float]] = {}
    for index, one in enumerate(activity.macros):
        macro = macros[one.cell]
        name = one.module  # the wrapper
        row = sums.setdefault(
            name,
            dict.fromkeys(("reads", "writes", "read_nj", "write_nj", "pins_nj", "leakage_uw"), 0.0),
        )
        reads, writes = (float(count[index]) for count in (activity.reads, activity.writes))
        columns = len(netlist.tilings[name].columns)
        row["reads"] += reads / columns / activity.frames
        row["writes"] += writes / columns / activity.frames
        row["read_nj"] += reads * macro.read_energy * 1e9 / activity.frames
        row["write_nj"] += writes * macro.write_energy * 1e9 / activity.frames
        pin_joules = float((activity.edges[index] * pins[one.cell]).sum())
        row["pins_nj"] += pin_joules * 1e9 / activity.frames
        row["leakage_uw"] += macro.leakage * 1e6
    return [MemoryEnergy(memory=name.removeprefix("plosive_"), **row) for name, row in sums.items()]


# ---- blocks and constants ------------------------------------------------------------------


def _blocks(netlist: Netlist, activity: Activity, run: _Sums) -> list[BlockEnergy]:
    leakage = _leakage(netlist)
    return [
        BlockEnergy(
            block=block or "own",
            internal_nj=run.internal[block] * 1e9 / activity.frames,
            switching_nj=run.switching[block] * 1e9 / activity.frames,
            nj=(run.internal[block] + run.switching[block]) * 1e9 / activity.frames,
            leakage_uw=leakage[block] * 1e6,
        )
        for block in sorted(run.internal)
    ]


def _leakage(netlist: Netlist) -> dict[str, float]:
    """W of the cells of each block, without macros."""
    leakage: dict[str, float] = {}
    for block in netlist.blocks:
        name = block.path[0] if block.path else ""
        own = sum(
            count * netlist.pdk.cells[cell].leakage
            for cell, count in block.cells.items()
            if cell in netlist.pdk.cells
        )
        leakage[name] = leakage.get(name, 0.0) + own
    return leakage


def _wire_constants(netlist: Netlist, library: Group) -> list[Constant]:
    if netlist.wires is None:
        return [
            Constant(
                name="wires",
                value=library.attributes.get("default_wire_load", "none"),
                unit="model of length by fanout",
                source=f"default_wire_load of {netlist.pdk.library}, as OpenSTA applies it",
            )
        ]
    return [
        Constant(name=f"wires, {case.name}", value=case.ff_per_um, unit="fF/um", source=case.source)
        for case in netlist.wires.figures.cases
    ]


def _constants(netlist: Netlist) -> list[Constant]:
    """Every constant that is no table of the library, with unit and source."""
    library = read_liberty(netlist.pdk.liberty)
    rows = [
        Constant(
            name="supply",
            value=library.number("nom_voltage"),
            unit="V",
            source=f"nom_voltage of {netlist.pdk.library}",
        ),
        *_wire_constants(netlist, library),
        Constant(
            name="clock slew at flip-flops",
            value=CLOCK_SLEW_NS,
            unit="ns",
            source="assumed, as a clock tree makes it",
        ),
        Constant(
            name="frames",
            value=FRAMES_PER_S,
            unit="1/s",
            source="the features' frame step of 10 ms",
        ),
    ]
    for name, macro in netlist.macros.items():
        for what, value, unit, source in (
            ("row read", macro.read_energy * 1e12, "pJ", "internal_power of A_CLK, reading"),
            ("row written", macro.write_energy * 1e12, "pJ", "internal_power of A_CLK, writing"),
            ("leakage", macro.leakage * 1e6, "uW", "cell_leakage_power"),
        ):
            rows.append(
                Constant(
                    name=f"{name}, {what}",
                    value=value,
                    unit=unit,
                    source=f"{source}, {macro.liberty.name}",
                )
            )
    return rows
