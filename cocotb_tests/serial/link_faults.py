# SPDX-License-Identifier: Apache-2.0
"""A link spoilt in every way that cables have, and proof that nothing of it goes unnoticed.

The driver (`flows.host.link`) talks to the serial bridge in Verilator over a cable that flips
bits, loses and invents bytes, is pulled out, belongs to a host that is killed, or ends at a board
that loses power. Behind the bridge stand registers that log what reaches them (`link_board.cpp`).
All time is the board's: a run depends on nothing but its seed. docs/serial-protocol.md, "Faults",
has the figures.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flows.host.link import DEFAULT_BAUD, BusError, Link, LinkError
from flows.progress import Progress, on_terminal, silent
from flows.tools import verilator
from flows.verilog.writer import component_verilog
from golden_model.files.writing import make_directory
from hw.errors import PlosiveError
from hw.shell.serial_bridge import SerialBridge

__all__ = [
    "KINDS",
    "Cable",
    "Report",
    "Spoiling",
    "bridge_verilog",
    "build_model",
    "crc_facts",
    "report_lines",
    "run",
    "run_kind",
]

_PROJECT = Path(__file__).resolve().parents[2]
_PROGRAM = Path(__file__).with_name("link_board.cpp")
CLOCK_HZ = 16 * DEFAULT_BAUD  # 16 clocks a bit at the default speed, 4 at the fast one
FAST = 4 * DEFAULT_BAUD
_HOLD_BITS, _PATIENCE_BITS = 16, 10  # the longest packet passes in 2**16 clocks
TIMEOUT_S = 0.002
_NEVER = 2**63
_NO_SESSION = 3

PLAIN, SOURCE, SINK = 0x1000, 0x1000, 0x1004
_SOURCE_RUNS = 61
_REFUSED = 2  # in place of 0, read, and 1, written: the source has no word at the moment
_COMMAND = struct.Struct("<Qd4Q4I")
_REPLY = struct.Struct("<4Q2I")


def bridge_verilog() -> str:
    """The bridge that the campaign is about."""
    bridge = SerialBridge(
        CLOCK_HZ, DEFAULT_BAUD, hold_bits=_HOLD_BITS, patience_bits=_PATIENCE_BITS
    )
    return component_verilog(bridge, "bridge")


def build_model(build_dir: Path, verilog: str | None = None) -> verilator.SimModel:
    """The simulation of the bridge with registers behind; of other Verilog to try broken ones."""
    verilog = bridge_verilog() if verilog is None else verilog
    with tempfile.TemporaryDirectory(prefix="plosive-link-") as folder:
        source = Path(folder, "bridge.v")
        source.write_text(verilog)
        return verilator.build([source], "bridge", build_dir, program=_PROGRAM)


# ---- the cable -----------------------------------------------------------------------------


class Killed(BaseException):
    """The host's program ends in the middle of a packet: no handler of the driver sees it."""


@dataclass
class Spoiling:
    """What a cable does to what passes.

    Attributes
    ----------
    flips : share of the bit times, on both lines, whose level is the opposite.
    lost : share of the bytes that vanish.
    invented : share of the bytes that are followed by garbage.
    """

    flips: float = 0.0
    lost: float = 0.0
    invented: float = 0.0


class Cable:
    """A serial port in the board's time: what pyserial's `Serial` is to `Link`, and its clock.

    Attributes
    ----------
    faults : that have happened. accesses : what reached the registers, (address, write, data).
    """

    def __init__(self, model: verilator.SimModel, seed: int) -> None:
        self.name = "the simulated cable"
        self.baudrate = DEFAULT_BAUD
        self.timeout = 0.05
        self.rng = random.Random(seed)
        self.spoiling = Spoiling()
        self.spoilt_above: int | None = None  # baud above which the cable spoils; None: always
        self.accesses: list[tuple[int, int, int]] = []
        self.now = 0
        self.waiting = 0
        self._bytes_spoilt = self._bits_flipped = self._events = 0
        self._coming: list[int] = []  # clocks in which events begin
        self._input = deque[int]()
        self._output = b""
        self._pull = (_NEVER, _NEVER, 1)
        self._reset = (_NEVER, _NEVER)
        self._breaks: tuple[int, BaseException] | None = None
        self._process = subprocess.Popen(
            [str(model.executable), str(seed % 2**32)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def close(self) -> None:
        """End the simulation."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=10)

    def __enter__(self) -> Cable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def faults(self) -> int:
        return self._bytes_spoilt + self._bits_flipped + self._events

    # ---- what is planned ---------------------------------------------------------------

    def pull(self, after: int, clocks: int, level: int) -> None:
        """Take the cable out for so many clocks; the board sees 0: low, 1: high, 2: noise."""
        self._pull = (self.now + after, self.now + after + clocks, level)
        self._coming.append(self.now + after)

    def reset_board(self, after: int, clocks: int) -> None:
        """Take the board's power for so many clocks."""
        self._reset = (self.now + after, self.now + after + clocks)
        self._coming.append(self.now + after)

    def break_off(self, after_bytes: int, error: BaseException) -> None:
        """Raise an error once so many bytes more were written or read."""
        self._breaks = (after_bytes, error)

    @property
    def quiet_at(self) -> int:
        """The clock in which what was planned is over."""
        return max(end for end in (0, self._pull[1], self._reset[1]) if end != _NEVER)

    @property
    def planned(self) -> bool:
        """Whether something is still to come or to end."""
        return self._breaks is not None or bool(self._coming) or self.now < self.quiet_at

    def stay(self) -> None:
        """Forget a `break_off` that has not come."""
        self._breaks = None

    # ---- the clock of `Link` -----------------------------------------------------------

    def monotonic(self) -> float:
        return self.now / CLOCK_HZ

    def sleep(self, seconds: float) -> None:
        self._run(self.now + round(seconds * CLOCK_HZ), until_bytes=False)

    # ---- the port of `Link` ------------------------------------------------------------

    @property
    def in_waiting(self) -> int:
        return len(self._input)

    def reset_input_buffer(self) -> None:
        self._input.clear()

    def write(self, data: bytes) -> None:
        whole = self._passes(len(data))
        self._output += self._spoilt(data[:whole])
        self._break_if(whole < len(data))

    def read(self, count: int) -> bytes:
        if not self._input:
            self._run(self.now + round(self.timeout * CLOCK_HZ), until_bytes=True)
        count = min(count, len(self._input))
        self._break_if(self._passes(count) < count)
        return bytes(self._input.popleft() for _ in range(count))

    # ---- inside ------------------------------------------------------------------------

    def _passes(self, count: int) -> int:
        """How many of so many bytes pass before the planned end."""
        if self._breaks is None:
            return count
        left, error = self._breaks
        self._breaks = (left - count, error)
        return max(0, min(left, count))

    def _break_if(self, due: bool) -> None:
        if due:
            (_, error), self._breaks = self._breaks, None
            self._events += 1
            raise error

    def _spoils(self) -> bool:
        return self.spoilt_above is None or self.baudrate > self.spoilt_above

    def _spoilt(self, data: bytes) -> bytes:
        rng, spoiling = self.rng, self.spoiling
        if not self._spoils() or not (spoiling.lost or spoiling.invented):
            return data
        result = bytearray()
        for byte in data:
            if rng.random() < spoiling.lost:
                self._bytes_spoilt += 1
            else:
                result.append(byte)
            if rng.random() < spoiling.invented:
                garbage = self._garbage()
                self._bytes_spoilt += len(garbage)
                result += garbage
        return bytes(result)

    def _garbage(self) -> bytes:
        rng = self.rng
        length = rng.choice([1, 1, 1, 2, 5, 30])
        return bytes(
            rng.choice([0xC0, 0xDB, 0xDC, 0xDD, 0, 0xFF, rng.randrange(256)]) for _ in range(length)
        )

    def _run(self, until: int, until_bytes: bool) -> None:
        output, self._output = self._output, b""
        flips = round(self.spoiling.flips * 2**32) if self._spoils() else 0
        command = _COMMAND.pack(
            *(until, CLOCK_HZ / self.baudrate, *self._pull[:2], *self._reset),
            *(flips, self._pull[2], until_bytes, len(output)),
        )
        self._process.stdin.write(command + output)
        self._process.stdin.flush()
        reply = self._process.stdout.read(_REPLY.size)
        assert len(reply) == _REPLY.size, "the simulation has ended"
        self.now, *flipped, self.waiting, count, accesses = _REPLY.unpack(reply)
        self._bits_flipped = sum(flipped)
        self._events += sum(begin <= self.now for begin in self._coming)
        self._coming = [begin for begin in self._coming if begin > self.now]
        self._input += self._spoilt(self._process.stdout.read(count))
        log = self._process.stdout.read(12 * accesses)
        self.accesses += [tuple(entry) for entry in np.frombuffer(log, "<u4").reshape(-1, 3)]


# ---- what is asked, and what must come of it -----------------------------------------------


@dataclass
class Registers:
    """What stands behind the bridge, in Python: the expectation."""

    plain: dict[int, int] = field(default_factory=dict)
    taken: int = 0

    def read(self, address: int) -> int | None:
        if address < PLAIN:
            return self.plain.get(address, 0)
        if address != SOURCE:
            return None
        index = self.taken
        self.taken += 1
        if index % _SOURCE_RUNS == _SOURCE_RUNS - 1:
            return None
        return index * 2654435761 % 2**32

    def write(self, address: int, data: int) -> bool:
        if address < PLAIN:
            self.plain[address] = data
        return address < PLAIN or address == SINK


@dataclass(frozen=True)
class Work:
    """One call of the driver: its name and arguments."""

    call: str
    address: int = 0
    words: tuple[int, ...] = ()
    count: int = 0

    def do(self, link: Link) -> object:
        """Call the driver; what it returns, or the accesses done before the board refused one."""
        try:
            match self.call:
                case "echo":
                    return link.echo(self.words)
                case "read":
                    return link.read(self.address, self.count)
                case "write":
                    return link.write(self.address, self.words)
                case "read_fixed":
                    return link.read_fixed(self.address, self.count)
                case "write_fixed":
                    return link.write_fixed(self.address, self.words)
                case "set_baud":
                    link.set_baud(self.count)
                    return None
        except BusError as error:
            return ("refused", error.address, error.count)
        raise AssertionError(self.call)

    def expect(self, registers: Registers, most: int) -> tuple[list[tuple[int, int, int]], object]:
        """Accesses that must reach the registers, and what the driver must return.

        Parameters
        ----------
        most : accesses that are carried out at most.
        """
        log: list[tuple[int, int, int]] = []
        if self.call in ("echo", "set_baud"):
            return log, list(self.words) if self.call == "echo" else None
        stride = 0 if self.call.endswith("fixed") else 4
        reads = self.call.startswith("read")
        total = self.count if reads else len(self.words)
        for index in range(min(total, most)):
            place = self.address + stride * index
            if reads:
                value = registers.read(place)
                refused = value is None
            else:
                value = self.words[index]
                refused = not registers.write(place, value)
            if refused:
                if place == SOURCE and reads:
                    log.append((place, _REFUSED, 0))
                if stride:
                    return log, ("refused", place, index)
                break
            log.append((place, int(not reads), value))
        if reads:
            return log, [value for _, kind, value in log if kind != _REFUSED]
        return log, None if stride else len(log)


def _random_work(rng: random.Random) -> Work:
    words = tuple(
        rng.choice([rng.getrandbits(32), 0xC0DBDCDD, 0xDBDBC0C0, 0])
        for _ in range(rng.choice([1, 1, 2, 4, 8, 20]))
    )
    place = 4 * rng.randrange(PLAIN // 4)
    match rng.choice("ewrrwFFSSb"):
        case "e":
            return Work("echo", words=words)
        case "r":
            return Work("read", min(place, PLAIN - 4 * len(words) + 8), count=len(words))
        case "w":
            return Work("write", min(place, PLAIN - 4 * len(words) + 8), words)
        case "F":
            return Work("read_fixed", SOURCE, count=len(words))
        case "S":
            return Work("write_fixed", SINK, words)
        case _:
            return Work("set_baud", count=rng.choice([DEFAULT_BAUD, FAST, FAST]))


def _long_work(rng: random.Random) -> Work:
    """A load: more than a packet."""
    words = tuple(rng.getrandbits(32) for _ in range(rng.randrange(130, 400)))
    return rng.choice([Work("write", 0, words), Work("write_fixed", SINK, words)])


# ---- accounts --------------------------------------------------------------------------------


class WatchedLink(Link):
    """The driver, with an account of what became of each try to send a request."""

    def __init__(self, cable: Cable, campaign: Campaign) -> None:
        super().__init__(cable, timeout_s=TIMEOUT_S, clock=cable)
        self._campaign = campaign

    def _try(self, *arguments: Any) -> Any:
        self._campaign.tries += 1
        broken = self.statistics.broken
        answer = super()._try(*arguments)
        self._campaign.broken += self.statistics.broken - broken
        self._campaign.tried(answer is not None and answer.status != _NO_SESSION)
        return answer


class Campaign:
    """One kind of fault until there were enough; counts and findings.

    Attributes
    ----------
    outcomes : faults by what became of them: "no effect": the try in which they fell was answered
        all the same; "repeated": it was not, and the request was sent again and carried out once;
        "reported": the driver raised LinkError, or its program was killed.
    wrong : findings, each a line: what must not happen.
    """

    def __init__(self, kind: str, cable: Cable, seed: int) -> None:
        self.kind = kind
        self.cable = cable
        self.rng = random.Random(f"{kind} {seed}")
        self.registers = Registers()
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.calls = self.tries = self.sessions = self.unexplained = 0
        self.errors: Counter[str] = Counter()
        self.dropped = self.broken = 0
        self._seen = 0  # faults accounted for
        self._harmless = 0  # of the last try that was answered
        self._open = 0  # faults of tries of this call that were not answered
        self._repeating = False
        # Tries may fail without a new fault: an event lasts, or it has left the board at another
        # speed, until there is an answer again.
        self.excused = False

    # ---- tries -------------------------------------------------------------------------

    def tried(self, answered: bool) -> None:
        """A try is over."""
        new = self._new()
        if answered:
            self.outcomes["no effect"] += new
            self._harmless = new or (self._harmless if self.excused else 0)
            self.excused &= self.cable.planned
            # An answer whose last END was lost is whole with the first byte of its repetition, and
            # the board hears nothing of the next request while it repeats the rest.
            self._repeating = self._open > 0
            return
        if not new and not self._open:
            # What fell behind the answer before, on the idle line, may have spoilt this try.
            self.unexplained += not (self._harmless or self.excused or self._repeating)
            new, self._harmless, self._repeating = self._harmless, 0, False
            self.outcomes["no effect"] -= new
        self._open += new

    def settle(self, outcome: str) -> None:
        """A call is over: what became of the faults of its unanswered tries."""
        new = self._new()
        if outcome == "reported":
            self._open += new
        else:
            self._harmless += new
            self.outcomes["no effect"] += new
        self.outcomes[outcome] += self._open
        self._open = 0

    def _new(self) -> int:
        new, self._seen = self.cable.faults - self._seen, self.cable.faults
        return new

    # ---- calls -------------------------------------------------------------------------

    def connect(self) -> Link | None:
        """A new session, as a new program would begin it; None if the driver gives up."""
        cable = self.cable
        link = WatchedLink(cable, self)
        cable.baudrate = DEFAULT_BAUD  # as a port that is opened anew
        self.sessions += 1
        if self.sessions > 100 + self.calls:
            self.wrong.append("no session comes about any more")
        self.excused |= self.sessions > 1
        try:
            link.connect(self.rng.choice([DEFAULT_BAUD, FAST, FAST, FAST]), patience_s=0.2)
        except LinkError as error:
            self.end(error)
            return None
        self.settle("repeated")
        return link

    def end(self, error: BaseException) -> None:
        """The end of a session."""
        self.errors[_reason(error)] += 1
        self.settle("reported")

    def call(self, link: Link, work: Work) -> bool:
        """One call, checked; False if it ended in an error, which ends the session."""
        self.calls += 1
        try:
            result = work.do(link)
        except (LinkError, Killed) as error:
            self.end(error)
            self._check_doubtful(work)
            return False
        log, expected = work.expect(self.registers, _NEVER)
        if result != expected:
            self.wrong.append(f"{work} returned {result}, expected {expected}")
        self._check(work, log)
        self.settle("repeated")
        return True

    def _check(self, work: Work, log: list) -> None:
        done, self.cable.accesses = self.cable.accesses, []
        if done != log:
            self.wrong.append(f"{work}: accesses {done}, expected {log}")

    def _check_doubtful(self, work: Work) -> None:
        """Behind an error the call is done or not, or its first packets are; nothing else."""
        self.calm()
        done = self.cable.accesses
        allowed = {0, *range(126, max(work.count, len(work.words)), 126), _NEVER}
        if self.kind == "power lost":  # in the middle of a packet, too
            allowed.add(len(done))
        for most in sorted(allowed):
            registers = Registers(dict(self.registers.plain), self.registers.taken)
            log, _ = work.expect(registers, most)
            if done == log:
                self._check(work, log)
                self.registers = registers
                return
        log, _ = work.expect(self.registers, _NEVER)
        self._check(work, log)

    def calm(self) -> None:
        """Let what was planned pass, and the board finish what it does, on a good cable."""
        cable = self.cable
        kept, cable.spoiling = cable.spoiling, Spoiling()
        cable.sleep(max(0, cable.quiet_at - cable.now) / CLOCK_HZ)
        while True:
            cable.sleep(0.002)
            if not cable.waiting:
                break
        cable.sleep(2 ** (_PATIENCE_BITS + 1) / CLOCK_HZ)
        cable.reset_input_buffer()
        cable.stay()
        cable.spoiling = kept

    def ask_for_dropped(self) -> None:
        """The board's own count, at the end."""
        self.cable.spoiling = Spoiling()
        self.calm()
        link = Link(self.cable, timeout_s=TIMEOUT_S, clock=self.cable)
        self.dropped = link.connect(DEFAULT_BAUD, patience_s=0.2).dropped
        words = [self.rng.getrandbits(32) for _ in range(126)]
        if link.echo(words) != words:
            self.wrong.append("after all that the board does not echo")
        if link.statistics.retries:
            self.wrong.append("after all that a request had to be repeated on a good cable")


def _reason(error: BaseException) -> str:
    """A message without the name of the port and without figures."""
    if isinstance(error, Killed):
        return "(killed)"
    text = str(error).partition(": ")[2]
    return "".join("N" if c.isdigit() else c for c in text).replace("NN", "N").replace("NN", "N")


# ---- kinds -----------------------------------------------------------------------------------


def _spoil(campaign: Campaign, spoiling: Spoiling, wanted: int) -> None:
    """Random calls on a cable that spoils what passes."""
    cable = campaign.cable
    cable.spoiling = spoiling
    link = None
    while cable.faults < wanted and not campaign.wrong:
        link = link or campaign.connect()
        if link is not None and not campaign.call(link, _random_work(campaign.rng)):
            link = None


def _events(campaign: Campaign, plan: Callable[[Work], None], wanted: int) -> None:
    """Random calls, one event in every second of them, or in the connecting before."""
    rng = campaign.rng
    link = None
    while campaign.cable.faults < wanted and not campaign.wrong:
        work = _long_work(rng) if rng.random() < 0.1 else _random_work(rng)
        link = link or campaign.connect()
        if link is None:
            campaign.wrong.append("no new session on a good cable")
            return
        planned = rng.random() < 0.5
        if planned:
            campaign.excused = True
            plan(work)
        if not campaign.call(link, work) or (planned and not _over(campaign, link)):
            link = None


def _over(campaign: Campaign, link: Link) -> bool:
    """Let an event pass that a call has outlived; False if the session has not."""
    campaign.calm()
    if campaign.kind != "power lost":
        return True
    # The power was lost behind the answer: the next call must tell.
    if campaign.call(link, Work("read", 0, count=1)):
        campaign.wrong.append("a session outlived the loss of the board's power")
        return True
    return False


def _duration(campaign: Campaign, work: Work) -> int:
    """Clocks that a call takes on a good cable, roughly."""
    total = 4 * (10 if work.call == "set_baud" else len(work.words) or work.count) + 40
    return round(total * 10 * CLOCK_HZ / campaign.cable.baudrate)


def _pulled(campaign: Campaign, wanted: int) -> None:
    rng, cable = campaign.rng, campaign.cable

    def plan(work: Work) -> None:
        after = rng.randrange(_duration(campaign, work))
        clocks = round(2 ** rng.uniform(3, 20))
        cable.pull(after, clocks, rng.randrange(3))

    _events(campaign, plan, wanted)


def _unplugged(campaign: Campaign, wanted: int) -> None:
    """The adapter itself is pulled out: the port is gone, and a new one is opened."""
    rng, cable = campaign.rng, campaign.cable

    def plan(work: Work) -> None:
        size = 4 * len(work.words) + 10
        cable.break_off(rng.randrange(size), OSError(5, "Input/output error"))

    _events(campaign, plan, wanted)


def _killed(campaign: Campaign, wanted: int) -> None:
    """The host's program is killed in the middle of a load; another one connects and loads."""
    rng, cable = campaign.rng, campaign.cable
    while cable.faults < wanted and not campaign.wrong:
        link = campaign.connect()
        if link is None:
            campaign.wrong.append("no new session behind a host that was killed")
            return
        for _ in range(rng.randrange(3)):
            campaign.call(link, _random_work(rng))
        work = _long_work(rng)
        campaign.excused = True
        cable.break_off(rng.randrange(4 * len(work.words)), Killed())
        if campaign.call(link, work):
            campaign.wrong.append("the host outlived its end")
        if rng.random() < 0.5:  # the next one comes later, and the board has changed its speed
            cable.sleep(2**_HOLD_BITS / CLOCK_HZ * rng.random() * 2)


def _power_lost(campaign: Campaign, wanted: int) -> None:
    rng, cable = campaign.rng, campaign.cable

    def plan(work: Work) -> None:
        after = rng.randrange(_duration(campaign, work))
        cable.reset_board(after, round(2 ** rng.uniform(1, 17)))

    _events(campaign, plan, wanted)


KINDS: dict[str, Callable[[Campaign, int], None]] = {
    "bits flipped": lambda campaign, wanted: _spoil(campaign, Spoiling(flips=0.001), wanted),
    "bytes lost": lambda campaign, wanted: _spoil(campaign, Spoiling(lost=0.01), wanted),
    "bytes invented": lambda campaign, wanted: _spoil(campaign, Spoiling(invented=0.005), wanted),
    "cable pulled": _pulled,
    "adapter unplugged": _unplugged,
    "host killed": _killed,
    "power lost": _power_lost,
}
"""By name: what spoils a campaign's cable until there were so many faults."""


_OUTCOMES = ("no effect", "repeated", "reported")


@dataclass(frozen=True)
class Report:
    """What became of the faults of one kind.

    Attributes
    ----------
    outcomes : see `Campaign`. errors : what the driver raised, how often.
    dropped : packets that the board found damaged; broken : those that the host did.
    unexplained : tries without an answer and without a fault. wrong : findings.
    """

    kind: str
    faults: int
    outcomes: dict[str, int]
    calls: int
    tries: int
    sessions: int
    dropped: int
    broken: int
    errors: dict[str, int]
    unexplained: int
    wrong: list[str]

    @property
    def passed(self) -> bool:
        """Nothing went wrong, and every fault is accounted for."""
        accounted = self.faults == sum(self.outcomes.values())
        return accounted and not self.wrong and not self.unexplained

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "passed": self.passed}


def run_kind(model: verilator.SimModel, kind: str, faults: int, seed: int = 1) -> Report:
    """At least so many faults of a kind."""
    random.seed(f"{kind} {seed}")  # the driver's own: sequence numbers and samples
    with Cable(model, seed) as cable:
        campaign = Campaign(kind, cable, seed)
        KINDS[kind](campaign, faults)
        campaign.settle("no effect")
        total = cable.faults
        campaign.ask_for_dropped()
        return Report(
            kind=kind,
            faults=total,
            outcomes={name: campaign.outcomes[name] for name in _OUTCOMES},
            calls=campaign.calls,
            tries=campaign.tries,
            sessions=campaign.sessions,
            dropped=campaign.dropped,
            broken=campaign.broken,
            errors=dict(campaign.errors.most_common()),
            unexplained=campaign.unexplained,
            wrong=campaign.wrong[:20],
        )


def run(
    build_dir: Path, faults: int = 1000, seed: int = 1, progress: Progress = silent
) -> list[Report]:
    """Every kind of fault."""
    progress("building the simulation")
    model = build_model(build_dir)
    reports = []
    for kind in KINDS:
        progress(kind)
        reports.append(run_kind(model, kind, faults, seed))
    return reports


# ---- the CRC ---------------------------------------------------------------------------------


def crc_facts(bits: int = 4096, flips: float = 0.001) -> dict[str, Any]:
    """What CRC-32 lets pass in the longest packet, by counting.

    Returns
    -------
    "bits" of the packet, CRC included; "least": fewest flipped bits that can pass; "patterns" of
    four flipped bits that pass, and "patterns_share" of all of four; "undetected": the probability
    that a packet on a line that flips that share of its bits is damaged and passes: exact for
    patterns of up to four bits, and 2**-32 of all others.
    """
    syndromes = np.empty(bits, np.uint32)
    value = 0x80000000
    for place in range(bits):
        syndromes[place] = value
        value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    first, second = np.triu_indices(bits, 1)
    pairs = np.sort(syndromes[first] ^ syndromes[second])
    if len(np.unique(syndromes)) < bits:
        least = 2
    elif (pairs[np.minimum(np.searchsorted(pairs, syndromes), len(pairs) - 1)] == syndromes).any():
        least = 3
    else:
        least = 4
    ends = np.flatnonzero(np.diff(pairs, append=~pairs[-1:]))
    times = np.diff(ends, prepend=-1)
    patterns = int((times * (times - 1) // 2).sum()) // 3  # each is three pairs of pairs
    of_four = bits * (bits - 1) * (bits - 2) * (bits - 3) // 24
    shares = [(1 - flips) ** bits]  # of packets with 0, 1, ... flipped bits
    for count in range(4):
        shares.append(shares[-1] * (bits - count) / (count + 1) * flips / (1 - flips))
    return {
        "bits": bits,
        "least": least,
        "patterns": patterns,
        "patterns_share": patterns / of_four,
        "undetected": shares[4] * patterns / of_four + (1 - sum(shares)) * 2**-32,
    }


# ---- the command -----------------------------------------------------------------------------


def report_lines(reports: Sequence[Report], crc: dict[str, Any]) -> list[str]:
    """The reports as text."""
    heads = ("fault", "faults", *_OUTCOMES, "calls", "dropped", "broken", "silent")
    rows = [heads]
    for report in reports:
        silent_ones = report.faults - sum(report.outcomes.values()) + len(report.wrong)
        cells = (report.faults, *report.outcomes.values(), report.calls, report.dropped)
        rows.append((report.kind, *(f"{v:,}" for v in (*cells, report.broken, silent_ones))))
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]))
    for report in reports:
        lines += [f"WRONG, {report.kind}: {finding}" for finding in report.wrong]
        if report.unexplained:
            lines.append(f"WRONG, {report.kind}: {report.unexplained} tries failed without a fault")
    lines.append(
        f"CRC-32 over {crc['bits']} bits finds every pattern of up to {crc['least'] - 1} flipped "
        f"bits, and all but {crc['patterns']:,} ({crc['patterns_share']:.2e}) of those of 4"
    )
    return lines


def _main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m cocotb_tests.serial.link_faults",
        description="Spoil the link between driver and serial bridge, and account for every fault.",
        epilog="Exit status 0 if no fault was lost silently.",
    )
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    parser.add_argument(
        "--faults", type=int, default=1000, metavar="N", help="of each kind (default 1000)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default 1")
    parser.add_argument(
        "--build-dir", type=Path, default=_PROJECT / "build" / "link", help="folder of models"
    )
    given = parser.parse_args(arguments)
    if given.faults < 1:
        parser.error(f"--faults is {given.faults}: it must be at least 1")
    try:
        make_directory(given.build_dir)
        with on_terminal() as progress:
            reports = run(given.build_dir, given.faults, given.seed, progress)
    except PlosiveError as error:
        parser.exit(1, f"error: {error}\n")
    crc = crc_facts()
    if given.json:
        print(json.dumps({"kinds": [r.to_dict() for r in reports], "crc": crc}, indent=1))
    else:
        print("\n".join(report_lines(reports, crc)))
    return 0 if all(report.passed for report in reports) else 1


if __name__ == "__main__":
    sys.exit(_main())
