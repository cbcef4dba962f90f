# SPDX-License-Identifier: Apache-2.0
"""`plosive timing`: OpenSTA on the mapped netlist."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from flows.asic.layout.figures import WireFigures
from flows.asic.synthesis import PERIOD_NS, Netlist
from flows.figures import Figures, Hashes, inline, named, optional
from flows.tools import toolchain
from flows.tools.opensta import run_opensta
from flows.verilog.writer import TOP
from hw.errors import PlosiveError

__all__ = [
    "CLOCKS_MHZ",
    "ClockSlack",
    "CriticalPath",
    "Endpoint",
    "PathStep",
    "TimingFigures",
    "register",
    "run_sta",
    "timing_figures",
]

CLOCKS_MHZ = (0.1, 1.0, 100.0, 500.0)
"""The reference's real-time clock, ten times it, what gates are sized for, its fastest clock."""

_REPORT = "report_checks -path_delay max -format full -digits 4"
_ENDPOINTS = 10_000  # enough to see, behind the worst register, what comes next
_REGISTERS = 10


@dataclass(frozen=True, kw_only=True)
class PathStep(Figures):
    """A cell of a path: its output pin, its kind, its delay, and the time there."""

    pin: str
    cell: str
    delay_ns: float
    at_ns: float


@dataclass(frozen=True, kw_only=True)
class CriticalPath(Figures):
    """The longest path.

    Attributes
    ----------
    start, end
        Its registers.
    slack_ns
        Slack at the period that the gates are sized for.
    cells
        How many.
    steps
        Its cells, in order.
    """

    start: str = named("from")
    end: str = named("to")
    slack_ns: float
    cells: int
    steps: list[PathStep]


@dataclass(frozen=True, kw_only=True)
class Endpoint(Figures):
    """A register and the slack of the longest path to it, at the period of the gates' sizes."""

    register: str
    slack_ns: float


@dataclass(frozen=True, kw_only=True)
class ClockSlack(Figures):
    """Slack at a clock, and whether it is met."""

    mhz: float
    period_ns: float
    slack_ns: float
    met: bool


@dataclass(frozen=True, kw_only=True)
class TimingFigures(Figures):
    """How fast a netlist is.

    Attributes
    ----------
    of
        What was synthesised.
    pdk, library, corner
        The process.
    sized_for_ns
        The period that the gates are sized for.
    least_period_ns, fmax_mhz
        The maximum clock.
    critical_path
        The path that limits it.
    endpoints
        The registers with the longest paths, the longest first.
    clocks
        Slack at those of `CLOCKS_MHZ`.
    notes
        What the figures do not say, a line each.
    netlist
        The file.
    versions
        Versions of the tools.
    wires
        Wires with lengths of their own; absent with the library's model.
    least_period_low_ns
        The least period if these wires have their low capacitance.
    """

    of: Hashes | None = inline(default=None)
    pdk: str
    library: str
    corner: str
    sized_for_ns: float
    least_period_ns: float
    fmax_mhz: float
    critical_path: CriticalPath
    endpoints: list[Endpoint]
    clocks: list[ClockSlack]
    notes: list[str]
    netlist: str
    versions: dict[str, str]
    wires: WireFigures | None = optional()
    least_period_low_ns: float | None = optional()


def timing_figures(netlist: Netlist, of: Hashes | None = None) -> TimingFigures:
    """The least clock period, the critical path and the slack at a few clocks.

    Raises
    ------
    PlosiveError
        The netlist is of `generic` gates, which have no delays; OpenSTA is missing or fails.
    """
    if netlist.pdk.liberty is None:
        raise PlosiveError("--pdk is 'generic': its gates have no delays; choose another PDK")
    text = run_sta(
        netlist,
        [
            _REPORT,
            "puts ENDPOINTS",
            f"report_checks -path_delay max -format end -group_count {_ENDPOINTS}",
        ],
    )
    checks, _, ends = text.partition("ENDPOINTS\n")
    path = _path(checks)
    period = PERIOD_NS - path.slack_ns
    without = [m.name for m in netlist.memories if m.name not in netlist.tilings]
    wires, low = netlist.wires, None
    if wires is None:
        notes = [
            "the clock is ideal and wires are the library's guess by fanout: a layout is slower"
        ]
    else:
        notes = [wires.figures.note]
        low = PERIOD_NS - _path(run_sta(replace(netlist, wires=wires.low), [_REPORT])).slack_ns
    if without:
        notes.append(
            f"{len(without)} memories have no macros here: paths from and to them are not timed"
        )
    return TimingFigures(
        of=of,
        pdk=netlist.pdk.name,
        library=netlist.pdk.library,
        corner=netlist.pdk.corner,
        sized_for_ns=PERIOD_NS,
        least_period_ns=period,
        fmax_mhz=1000 / period,
        critical_path=path,
        endpoints=_endpoints(ends),
        clocks=[
            ClockSlack(
                mhz=mhz,
                period_ns=1000 / mhz,
                slack_ns=1000 / mhz - period,
                met=1000 / mhz >= period,
            )
            for mhz in CLOCKS_MHZ
        ],
        notes=notes,
        netlist=str(netlist.verilog),
        versions={**netlist.versions, "sta": toolchain.find("sta").version},
        wires=wires.figures if wires is not None else None,
        least_period_low_ns=low,
    )


def run_sta(netlist: Netlist, commands: list[str], *, messages: Path | None = None) -> str:
    """What OpenSTA prints for commands on a netlist with its libraries and constraints.

    Parameters
    ----------
    netlist
        Mapped to a PDK's cells.
    commands
        Tcl, a line each.
    messages
        Receives standard error, where `set_debug` writes: it may be too large for a text.

    Raises
    ------
    PlosiveError
        OpenSTA is missing, or one of the commands fails.
    """
    libraries = {"cells.lib": netlist.pdk.liberty}
    libraries |= {f"{name}.lib": macro.liberty for name, macro in netlist.macros.items()}
    setup = [
        *(f"read_liberty {name}" for name in libraries),
        "read_verilog netlist.v",
        f"link_design {TOP}",
        "read_sdc plosive.sdc",
    ]
    files = {**libraries, "netlist.v": netlist.verilog, "plosive.sdc": netlist.sdc}
    if netlist.wires is not None:
        files["wires.spef"] = netlist.wires.spef
        setup.append("read_spef -quiet wires.spef")
    return run_opensta(setup, commands, files, messages=messages)


_STEP = re.compile(r"^ +(-?[\d.]+) +(-?[\d.]+) [v^] (\S+) \((\S+)\)$", re.MULTILINE)


def _path(text: str) -> CriticalPath:
    """A path as `report_checks` prints it."""
    slack = re.search(r"(-?[\d.]+) +slack \(", text)
    ends = [re.search(rf"^{end}: (\S+)", text, re.MULTILINE) for end in ("Startpoint", "Endpoint")]
    if slack is None or None in ends:
        raise PlosiveError("OpenSTA reports no path: the netlist has no registers")
    arrival = text.partition("data arrival time")[0]
    steps = [
        PathStep(pin=register(pin), cell=cell, delay_ns=float(delay), at_ns=float(at))
        for delay, at, pin, cell in _STEP.findall(arrival)
    ]
    return CriticalPath(
        start=register(ends[0][1]),
        end=register(ends[1][1]),
        slack_ns=float(slack[1]),
        cells=len(steps),
        steps=steps,
    )


def _endpoints(text: str) -> list[Endpoint]:
    """The worst endpoint of each register, worst first."""
    found = re.findall(r"^(\S+)/\w+(?:\[\d+\])? \(\S+\) .* (-?[\d.]+) \(\w+\)$", text, re.MULTILINE)
    worst: dict[str, float] = {}
    for pin, slack in found:
        name = re.sub(r"\[\d+\]$", "", register(pin))
        worst[name] = min(float(slack), worst.get(name, float("inf")))
    ordered = sorted(worst.items(), key=lambda item: item[1])
    return [Endpoint(register=name, slack_ns=slack) for name, slack in ordered[:_REGISTERS]]


def register(name: str) -> str:
    """A name of the netlist as in the Verilog: a flip-flop's cell is named after its signal."""
    name = re.sub(r"\$_\w*DFF\w*_(?=/|$)", "", name)
    return re.sub(r"\$\d+(?=[/\[]|$)", "", name)
