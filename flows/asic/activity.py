# SPDX-License-Identifier: Apache-2.0
"""How often every net of a netlist switches while a network runs on it.

The flat netlist is run clock by clock by `activity.cpp`, a program for any netlist: for a count of
every net, Verilator's model of one would take minutes to compile. What comes out is compared with
the golden model, so the counts are those of a netlist that works.
"""

import hashlib
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flows.asic.gates import Gates, Instance
from flows.asic.liberty import Group, read_liberty, truth_table
from flows.asic.synthesis import Netlist
from flows.progress import Progress, silent
from flows.tools import toolchain
from flows.verilog.beats import logit_payloads
from flows.verilog.contents import weight_requests
from golden_model import Network
from golden_model.files.writing import atomic_directory
from hw.core.counters import COUNTERS
from hw.errors import PlosiveError
from hw.schedule import Schedule

__all__ = ["MACRO_PINS", "Activity", "measure_activity"]

_PROGRAM = Path(__file__).with_name("activity.cpp")
_GATE_INPUTS = 6
_IDLE_CLOCKS = 200
MACRO_PINS = ("A_MEN", "A_WEN", "A_REN", "A_ADDR", "A_BM", "A_DIN")
"""Pins of SRAM macros whose edges are counted, in the order of `Kind` in activity.cpp."""


@dataclass(frozen=True)
class Activity:
    """What switched during some frames, and in an idle machine whose clock runs.

    Attributes
    ----------
    frames, clocks
        How many were counted; the clocks are those from a frame's first feature until the machine
        is idle again.
    toggles
        Edges of each net.
    duty
        Part of the time that each net is 1; a gated clock's is the part of the clocks that it lets
        through.
    reads, writes
        Rows of each SRAM macro, in the order of `macros`.
    edges
        [macro, pin of `MACRO_PINS`, A_MEN, rising or falling], of all bits of the pin.
    macros
        The instances of SRAM macros.
    idle_clocks, idle_toggles
        The same for the idle machine.
    counters
        The hardware's counters over all frames that ran.
    """

    frames: int
    clocks: int
    toggles: np.ndarray = field(repr=False)
    duty: np.ndarray = field(repr=False)
    reads: np.ndarray
    writes: np.ndarray
    edges: np.ndarray = field(repr=False)
    macros: list[Instance] = field(repr=False)
    idle_clocks: int
    idle_toggles: np.ndarray = field(repr=False)
    counters: dict[str, int]


def measure_activity(
    netlist: Netlist,
    gates: Gates,
    network: Network,
    features: np.ndarray,
    *,
    warm_up: int,
    build_dir: Path,
    seed: int = 1,
    progress: Progress = silent,
) -> Activity:
    """Run features through a netlist, frame by frame, and count.

    Parameters
    ----------
    netlist, gates
        A netlist, and its gates.
    network
        Loaded through the weight port.
    features
        int8 [frames, n_input]; one utterance.
    warm_up
        The first frames, which are not counted.
    build_dir
        `activity/` in it keeps the program.
    seed
        Seed of the random state at power-up.

    Raises
    ------
    PlosiveError
        The netlist holds what this cannot run, or its outputs are not those of the golden model.
    """
    config = netlist.config
    progress("preparing the netlist")
    circuit = _Circuit(netlist, gates)
    expected = logit_payloads(config, network, features, [0])
    per_readout = sum(map(Schedule(config).group_beats, range(Schedule(config).groups)))
    beats = [0 if frame % config.readout_every else per_readout for frame in range(len(features))]
    flags = np.zeros((len(features), config.n_input), np.int64)
    flags[0] |= 1 << config.input_bits
    flags[-1] |= 2 << config.input_bits
    stimulus = (features.astype(np.int64) & ((1 << config.input_bits) - 1)) | flags
    words = np.asarray(weight_requests(config, network), np.int64)
    limit = len(words) + 1000 + len(features) * 8 * _dense_clocks(netlist)
    arrays = [
        np.array([gates.nets + 1, seed]),
        *circuit.arrays,
        *(_port(gates, name) for name in _PORTS),
        words,
        stimulus.ravel(),
        np.array(beats),
        np.array([config.n_input, warm_up, _IDLE_CLOCKS, limit]),
    ]
    progress(f"running {len(features)} frames on the netlist")
    with tempfile.TemporaryDirectory(prefix="plosive-activity-") as folder:
        given, result = Path(folder, "given"), Path(folder, "result")
        with open(given, "wb") as file:
            for array in arrays:
                np.array([len(array)], np.int64).tofile(file)
                np.asarray(array, np.int64).tofile(file)
        run = subprocess.run(
            [_program(build_dir), given, result], capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            raise PlosiveError(f"the netlist does not run: {run.stderr.strip() or 'it broke off'}")
        clocks, toggles, high, accesses, edges, idle, logits, counters = _arrays(result)
    _compare(logits, expected, len(gates.outputs["logits__payload"]))
    clocks = int(clocks[0])
    toggles[circuit.clock], idle[circuit.clock] = 2 * clocks, 2 * _IDLE_CLOCKS
    duty = high / clocks
    for net in (circuit.clock, *circuit.gated):
        duty[net] = toggles[net] / (2 * clocks)
    return Activity(
        frames=len(features) - warm_up,
        clocks=clocks,
        toggles=toggles,
        duty=duty,
        reads=accesses[0::2],
        writes=accesses[1::2],
        edges=edges.reshape(len(circuit.macros), len(MACRO_PINS), 2, 2),
        macros=circuit.macros,
        idle_clocks=_IDLE_CLOCKS,
        idle_toggles=idle,
        counters=_counters(counters, config.counter_bits),
    )


_PORTS = (
    *("rst", "clear_counters", "features__payload", "features__valid", "features__ready"),
    *("logits__payload", "logits__valid", "logits__ready"),
    *("weights__payload", "weights__valid", "weights__ready", "weight_data__ready"),
    *("busy", "counters"),
)


def _port(gates: Gates, name: str) -> list[int]:
    ports = {**gates.inputs, **gates.outputs}
    return ports.get(name, [])


def _dense_clocks(netlist: Netlist) -> int:
    """A bound on the clocks of a frame."""
    return sum(
        block.tiles * sum(max(1, phase.dense_rows) for phase in block.phases) + 100
        for block in Schedule(netlist.config).blocks
    )


def _arrays(path: Path) -> list[np.ndarray]:
    words = np.fromfile(path, np.int64)
    arrays, at = [], 0
    while at < len(words):
        length = int(words[at])
        arrays.append(words[at + 1 : at + 1 + length])
        at += 1 + length
    return arrays


def _compare(bits: np.ndarray, expected: list[int], width: int) -> None:
    """The stream of logits, bit by bit as it came, with the functional model's payloads."""
    rows = bits.reshape(-1, width)
    got = [int("".join(map(str, row[::-1])), 2) for row in rows.tolist()]
    if got != expected:
        beat = next(
            (k for k, pair in enumerate(zip(got, expected, strict=False)) if pair[0] != pair[1]),
            min(len(got), len(expected)),
        )
        raise PlosiveError(
            f"the netlist differs from the golden model in beat {beat} of {len(expected)}: "
            "`plosive simulate` finds out more"
        )


def _counters(bits: np.ndarray, width: int) -> dict[str, int]:
    values = bits.reshape(len(COUNTERS), width) @ (1 << np.arange(width, dtype=np.int64))
    return dict(zip(COUNTERS, values.tolist(), strict=True))


def _program(build_dir: Path) -> Path:
    """The compiled `activity.cpp`, or where it was compiled before."""
    compiler = toolchain.find("g++")
    key = hashlib.sha256(_PROGRAM.read_bytes() + compiler.version.encode()).hexdigest()[:16]
    folder = build_dir / "activity" / key
    if not (folder / "activity").is_file():
        with atomic_directory(folder) as work:
            command = [compiler.path, "-std=c++17", "-O2", "-o", work / "activity", _PROGRAM]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise PlosiveError(f"{_PROGRAM.name} does not compile: {done.stderr.strip()}")
    return folder / "activity"


class _Circuit:
    """A netlist in the form that the program wants.

    Attributes
    ----------
    arrays
        Gates in topological order, flip-flops, clock gates, macros.
    clock, gated
        Nets of the clock and of the clock gates' outputs.
    macros
        The SRAM macros in it.
    """

    def __init__(self, netlist: Netlist, gates: Gates) -> None:
        self._pdk = netlist.pdk
        library = read_liberty(netlist.pdk.liberty)
        self._cells = {cell.name: cell for cell in library.of("cell")}
        shapes = netlist.macros
        (self.clock,) = gates.inputs["clk"]
        self.macros = [one for one in gates.instances if one.cell in shapes]
        self._functions: dict[str, tuple[tuple[str, ...], dict[str, int]]] = {}
        self._gates: list[tuple[list[int], int, int]] = []
        self._flip_flops: list[tuple[int, int, int, int]] = []  # data, clock's net, Q, inverted Q
        self._clock_gates: list[tuple[int, int, int]] = []
        self._low: set[int] = set()  # nets that must be 1 for a flip-flop to work
        for one in gates.instances:
            if one.cell not in shapes:
                self._add(one)
        self.gated = [gated for _, _, gated in self._clock_gates]
        which = {net: index for index, net in enumerate(self.gated)} | {self.clock: -1}
        self._check(which.keys())
        ordered = _ordered(self._gates, gates.nets)
        nothing = gates.nets  # one more net, always 0, for inputs that a gate has not
        padded = [[*inputs, *[nothing] * (_GATE_INPUTS - len(inputs))] for inputs, _, _ in ordered]
        pins = []
        for macro in self.macros:
            for pin in (*MACRO_PINS, "A_DOUT"):
                pins += macro.pins[pin]
        self.arrays = [
            np.array(padded).ravel(),
            np.array([output for _, output, _ in ordered]),
            np.array([table for _, _, table in ordered], np.uint64).view(np.int64),
            np.array([data for data, _, _, _ in self._flip_flops]),
            np.array([which[clock] for _, clock, _, _ in self._flip_flops]),
            np.array([output for _, _, output, _ in self._flip_flops]),
            np.array([inverted for _, _, _, inverted in self._flip_flops]),
            *(np.array([gate[k] for gate in self._clock_gates]) for k in range(3)),
            np.array(
                [
                    size
                    for one in self.macros
                    for size in (
                        shapes[one.cell].words,
                        shapes[one.cell].bits,
                        len(one.pins["A_ADDR"]),
                    )
                ]
            ),
            np.array(pins),
        ]

    def _add(self, one: Instance) -> None:
        gate = self._pdk.clock_gate
        nets = {pin: bits[0] for pin, bits in one.pins.items()}
        if gate is not None and one.cell == gate.cell:
            test = nets[gate.test] if gate.test else -1
            self._clock_gates.append((nets[gate.enable], test, nets[gate.gated]))
            if nets[gate.clock] != self.clock:
                raise PlosiveError(f"{one.path}: a clock gate behind another is not provided for")
            return
        cell = self._cells.get(one.cell)
        if cell is None:
            raise PlosiveError(f"{one.path}: {one.cell} is in no library of the PDK")
        state = next(cell.of("ff"), None)
        if state is None:
            if one.cell not in self._functions:
                self._functions[one.cell] = _functions(cell)
            inputs, tables = self._functions[one.cell]
            self._gates += [
                ([nets[pin] for pin in inputs], nets[output], table)
                for output, table in tables.items()
                if output in nets
            ]
            return
        data, clock = (state.attributes.get(name, "") for name in ("next_state", "clocked_on"))
        if data not in nets or clock not in nets:
            raise PlosiveError(f"{one.path}: a flip-flop as {one.cell} is not provided for")
        for name in ("clear", "preset"):
            pin = state.attributes.get(name, "")
            if pin:
                self._low.add(nets[pin.removeprefix("!")])
        stored = [word.strip() for word in state.name.split(",")]
        outputs = {
            pin.attributes["function"]: nets[pin.name]
            for pin in cell.of("pin")
            if "function" in pin.attributes and pin.name in nets
        }
        self._flip_flops.append(
            (nets[data], nets[clock], *(outputs.get(name, -1) for name in stored))
        )

    def _check(self, clocks) -> None:
        """Clocks drive clock pins only, and asynchronous inputs are held at 1."""
        constant = {output for inputs, output, table in self._gates if not inputs and table & 1}
        if self._low - constant:
            raise PlosiveError("the netlist has an asynchronous reset, which is not provided for")
        for inputs, _, _ in self._gates:
            if not clocks.isdisjoint(inputs):
                raise PlosiveError("the netlist has a gate in its clock, which is not provided for")
        if not {clock for _, clock, _, _ in self._flip_flops} <= set(clocks):
            raise PlosiveError("the netlist has a clock of its own, which is not provided for")


def _functions(cell: Group) -> tuple[tuple[str, ...], dict[str, int]]:
    """A cell's input pins and the table of each output."""
    pins = list(cell.of("pin"))
    inputs = tuple(pin.name for pin in pins if pin.attributes.get("direction") == "input")
    functions = {
        pin.name: pin.attributes["function"] for pin in pins if "function" in pin.attributes
    }
    if len(inputs) > _GATE_INPUTS or not functions:
        raise PlosiveError(f"cell {cell.name} has no function of up to {_GATE_INPUTS} inputs")
    return inputs, {pin: truth_table(text, inputs) for pin, text in functions.items()}


def _ordered(
    gates: list[tuple[list[int], int, int]], nets: int
) -> list[tuple[list[int], int, int]]:
    """Gates, each behind those that drive it."""
    driver = [-1] * nets
    for index, (_, output, _) in enumerate(gates):
        driver[output] = index
    readers: list[list[int]] = [[] for _ in gates]
    waiting = [0] * len(gates)
    for index, (inputs, _, _) in enumerate(gates):
        for net in inputs:
            if driver[net] >= 0:
                readers[driver[net]].append(index)
                waiting[index] += 1
    order = [index for index, count in enumerate(waiting) if count == 0]
    for index in order:
        for reader in readers[index]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                order.append(reader)
    if len(order) < len(gates):
        raise PlosiveError("the netlist has a loop of gates")
    return [gates[index] for index in order]
