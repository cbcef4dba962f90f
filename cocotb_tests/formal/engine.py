# SPDX-License-Identifier: Apache-2.0
"""Proves harnesses, with yosys and the ABC that comes with it; shows what refutes them.

Four ways to prove. *SAT*: yosys' solver finds no input of a harness without registers that breaks
a claim. *Induction*: it finds no run from the initial state, and none from any state at all, that
breaks a claim after so many clocks in which all held. *PDR* (property directed reachability, IC3):
ABC looks for an inductive invariant itself, and checks it. *Exhaustion*
(`cocotb_tests.formal.exhaustion`): every input of a combinational harness is tried, without a
solver. What refutes a claim is always a run from the initial state.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cocotb_tests.formal.exhaustion import try_all
from cocotb_tests.formal.harness import ANY_CONSTANT, BAD, TOP, WRONG, Harness, broken, covered
from flows.tools.process import run_child
from flows.tools.yosys import run_yosys, share_folder

__all__ = ["Built", "Engine", "Exhaustion", "Induction", "Pdr", "Proof", "Sat", "build", "prove"]

_SECONDS = 600  # limit of one call of a solver
_READ = (
    "read_rtlil design.il",
    f"chtype -set $anyconst t:{ANY_CONSTANT}",
    f"hierarchy -top {TOP}",
    "proc",
    "flatten",
)
_GATES = (
    f"delete -port o:* o:{BAD} %d",
    "opt_clean",
    "dffunmap",
    "techmap",
    "setundef -anyseq",  # a part select beyond a value: any bits
    "opt -fast -nodffe -nosdff",
    "aigmap",
    "opt_clean",
)
_CLOCKS_SHOWN = 12  # side by side in a counterexample
_MARK = "=== solving "
_PROVED = "Induction step proven: SUCCESS!"
_REFUTED = "model found for base case: FAIL!"
_NO_MODEL = "SAT proof finished - no model found: SUCCESS!"
_MODEL = "SAT proof finished - model found: FAIL!"
_DEPTH = re.compile(r"\[(?:base case|induction step) (\d+)\]")
_REGISTER = re.compile(r"Import set-constraint from init attribute: \\(\S+) =")
_VALUE = re.compile(r"^ +(\d+|init) \\(\S+) +(?:-?\d+|--) +(?:[0-9a-fx]+|--) +([01x]+) *$")


@dataclass(frozen=True)
class Built:
    """A harness as text, with its `claims`, `covers` and `peeks`; JSON-able by `vars`."""

    rtlil: str
    claims: Sequence[str]
    covers: Sequence[str]
    peeks: Mapping[str, str]


@dataclass(frozen=True)
class Sat:
    """By the SAT solver of yosys, for a combinational harness."""


@dataclass(frozen=True)
class Induction:
    """By the SAT solver of yosys.

    Attributes
    ----------
    clocks
        In how many clocks all claims must have held for them to hold in the next one.
    search
        How many clocks of runs are searched for a counterexample if that is not so.
    """

    clocks: int = 1
    search: int = 12


@dataclass(frozen=True)
class Pdr:
    """By ABC's search for an invariant."""


@dataclass(frozen=True)
class Exhaustion:
    """By trying every input of a combinational harness."""


Engine = Sat | Induction | Pdr | Exhaustion


@dataclass(frozen=True)
class Proof:
    """What became of a harness.

    Attributes
    ----------
    proved
        All claims hold, in every clock of every run.
    how
        Engine and depth, in words.
    claims
        How many there are.
    seconds
        Processor time of the proof, with that of reading the design and without the covers'.
    broken
        Claims that the counterexample breaks.
    trace
        The counterexample, as text: inputs, registers and named values, clock by clock; "" without.
    reached
        For each cover, the first clock in which it can be reached, from 1; None if it cannot be in
        as many clocks as were looked at.
    """

    proved: bool
    how: str
    claims: int
    seconds: float
    broken: tuple[str, ...]
    trace: str
    reached: dict[str, int | None]


def build(harness: Harness, engine: Engine) -> Built:
    """A harness as text for an engine."""
    combinational = isinstance(engine, Sat | Exhaustion)
    return Built(
        harness.rtlil(combinational=combinational), harness.claims, harness.covers, harness.peeks
    )


def prove(built: Built, engine: Engine, folder: Path, *, cover_clocks: int = 0) -> Proof:
    """Prove or refute all claims of a harness together, and then look for its covers.

    Parameters
    ----------
    built
        The harness.
    engine
        How.
    folder
        For the files of the tools.
    cover_clocks
        In how many clocks from the beginning each cover must be reached; 0 does not look.

    Raises
    ------
    YosysError
        Yosys fails, or the solver decides nothing in ten minutes.
    RuntimeError
        Neither proof nor counterexample: induction needs more clocks, or PDR gives up.
    """
    (folder / "design.il").write_text(built.rtlil)
    begin = _processor_s()
    _prepare(built.peeks, folder)
    match engine:
        case Sat():
            proved, how, log = _sat(folder)
        case Induction():
            proved, how, log = _induction(engine, folder)
        case Pdr():
            proved, how, log = _pdr(folder)
        case Exhaustion():
            proved, how, log = _exhaustion(folder)
    seconds = _processor_s() - begin
    broken_claims, trace = ((), "") if proved else _counterexample(log, built)
    reached = _covers(built.covers, cover_clocks, folder) if proved and cover_clocks else {}
    return Proof(proved, how, len(built.claims), seconds, broken_claims, trace, reached)


def _processor_s() -> float:
    """Processor time of this process and of the tools that it ran to their end, in seconds."""
    return sum(os.times()[:4])


def _prepare(peeks: Mapping[str, str], folder: Path) -> None:
    """Make one flat module of the harness, in which its peeks are what they look at."""
    commands = [*_READ]
    for name, path in peeks.items():
        commands += [f"delete -port i:{name}", f"connect -set {name} \\{path}"]
    commands += ["memory", "opt -fast", "write_rtlil flat.il"]
    _run(folder, "prepare", commands)


def _yosys(folder: Path, name: str, commands: Sequence[str]) -> str:
    return _run(folder, name, ["read_rtlil flat.il", *commands])


def _run(folder: Path, name: str, commands: Sequence[str]) -> str:
    script = folder / f"{name}.ys"
    script.write_text("\n".join(commands) + "\n")
    return run_yosys(
        script, failing=f"yosys fails to {name}", log=f"{name}.log", timeout_s=_SECONDS
    )


def _sat(folder: Path) -> tuple[bool, str, str]:
    log = _yosys(folder, "prove", [f"sat -seq 1 -prove {BAD} 0 -show-public"])
    if _NO_MODEL in log:
        return True, "SAT, all inputs", log
    if _MODEL not in log:
        raise RuntimeError("neither proved nor refuted by SAT")
    return False, "one input", log


def _induction(engine: Induction, folder: Path) -> tuple[bool, str, str]:
    commands = [f"sat -tempinduct -maxsteps {engine.clocks} -prove {BAD} 0 -show-public"]
    log = _yosys(folder, "prove", commands)
    if _PROVED in log:
        return True, f"{_DEPTH.findall(log)[-1]}-induction", log
    return _search(engine.search, folder)


def _search(clocks: int, folder: Path) -> tuple[bool, str, str]:
    """Look for a run from the initial state that breaks a claim, if possible no invariant."""
    for output in (WRONG, BAD):
        commands = [f"sat -tempinduct-baseonly -maxsteps {clocks} -prove {output} 0 -show-public"]
        log = _yosys(folder, "refute", commands)
        if _REFUTED in log:
            return False, f"run of {_DEPTH.findall(log)[-1]} clocks", log
    raise RuntimeError(f"not proved, and not refuted in {clocks} clocks")


def _pdr(folder: Path) -> tuple[bool, str, str]:
    _yosys(folder, "make_gates", [*_GATES, "write_aiger -zinit design.aig"])
    log_path = folder / "pdr.log"
    abc = share_folder().parent / "yosys-abc"
    command = [abc, "-c", f"read_aiger design.aig; strash; pdr -T {_SECONDS}"]
    with open(log_path, "wb") as file:
        try:
            run_child(command, folder, stdout=file, timeout_s=2 * _SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError("PDR does not end") from error
    log = log_path.read_text(errors="replace")
    if "Property proved" in log and "was successful" in log:
        clauses = re.findall(r"invariant with (\d+) clauses", log)[-1]
        return True, f"PDR, invariant of {clauses} clauses", log
    found = re.search(r"asserted in frame (\d+)", log)
    if found is None:
        raise RuntimeError(f"PDR gives up: {log.splitlines()[-1]}")
    return _search(int(found[1]) + 1, folder)


def _exhaustion(folder: Path) -> tuple[bool, str, str]:
    _yosys(folder, "make_gates", [*_GATES, "write_aiger -ascii -symbols design.aag"])
    inputs, found = try_all((folder / "design.aag").read_text())
    if found is None:
        return True, f"all 2^{inputs} inputs", ""
    fixed = [f"-set {name} {value}" for name, value in found.items()]
    command = f"sat -seq 1 {' '.join(fixed)} -show-public"
    return False, "one input", _yosys(folder, "refute", [command])


def _covers(covers: Sequence[str], clocks: int, folder: Path) -> dict[str, int | None]:
    commands = []
    for index in range(len(covers)):
        commands.append(f"log {_MARK}{index}")
        commands.append(f"sat -tempinduct-baseonly -maxsteps {clocks} -prove {covered(index)} 0")
    _, *parts = _yosys(folder, "cover", commands).split(f"\n{_MARK}")
    return {
        name: int(_DEPTH.findall(part)[-1]) if _REFUTED in part else None
        for name, part in zip(covers, parts, strict=True)
    }


# ---- counterexamples ---------------------------------------------------------------------


def _counterexample(log: str, built: Built) -> tuple[tuple[str, ...], str]:
    """The claims that the last clock of a model breaks, and the model as a table."""
    values: dict[str, dict[int, str]] = {}
    for line in log.splitlines():
        if found := _VALUE.match(line):
            clock, name, bits = found.groups()
            value = bits if "x" in bits else format(int(bits, 2), "d" if len(bits) < 20 else "#x")
            values.setdefault(name, {})[0 if clock == "init" else int(clock)] = value
    last = max(clock for row in values.values() for clock in row)
    names = [
        claim for index, claim in enumerate(built.claims) if values[broken(index)].get(last) == "1"
    ]
    registers = set(_REGISTER.findall(log))
    hidden = {BAD, WRONG, "clk", "lawful", "lawful_before"}
    hidden |= {name for name in values if re.match(r"(broken|covered)_\d+$", name)}
    rows: dict[str, tuple[str, ...]] = {}
    # The harness' own names first: a port of the design is shown only if it says something else.
    for name in sorted(values, key=lambda name: ("." in name, "__" in name, name)):
        row = tuple(values[name].get(clock, "") for clock in range(1, last + 1))
        inside = "." in name and name not in registers
        repeated = "__" in name and row in rows.values()
        if name not in hidden and "$" not in name and not inside and not repeated:
            rows[built.peeks.get(name, name)] = row
    shown = {name: row for name, row in rows.items() if set(row) - {"0", ""}}
    lines = [f"broken: {name}" for name in names]
    for begin in range(0, last, _CLOCKS_SHOWN):
        part = slice(begin, begin + _CLOCKS_SHOWN)
        heads = tuple(str(clock) for clock in range(1, last + 1))[part]
        lines += _aligned([("clock", *heads), *((name, *row[part]) for name, row in shown.items())])
    zeros = [name for name in rows if name not in shown]
    if zeros:
        lines.append(f"0 in all clocks: {', '.join(zeros)}")
    return tuple(names), "\n".join(lines)


def _aligned(table: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a table: names to the left, values to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join([name.ljust(widths[0]), *map(str.rjust, row, widths[1:])]) for name, *row in table
    ]
