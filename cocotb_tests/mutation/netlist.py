# SPDX-License-Identifier: Apache-2.0
"""Mutations of a netlist with yosys `mutate`, and proofs that a mutation changes nothing.

Runs in a process of its own (`python -m cocotb_tests.mutation.netlist PLAN`): yosys writes its log
to the standard output of the process.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

__all__ = ["Mutation", "mutate", "prove"]

_PORT = "mutsel"
# Not the design: the snapshot that only verification sees, and the initial contents of memories.
_NOT_MUTATED = r"plosive.trace/* %d t:$meminit* %d"
# Of `opt`, what leaves the names of cells the same on every run, so that a seed means something.
_OPTIMISE = ("opt_expr -full", "opt_muxtree", "opt_clean")
_READ = (
    "read_verilog {verilog}",
    "hierarchy -top plosive",
    "proc",
    *_OPTIMISE,
    "wreduce",
    *_OPTIMISE,
)
_NETLIST = "netlist.il"  # before mutation, for the proofs


@dataclass(frozen=True)
class Mutation:
    """One line of `mutate -list`: what is done to one bit of one port of one cell of a module."""

    mode: str
    module: str
    cell: str
    port: str
    portbit: int
    ctrlbit: int | None
    source: str

    @classmethod
    def parse(cls, line: str) -> Mutation:
        """Of a line as yosys writes it."""
        values: dict[str, str] = {}
        words = line.split()
        for name, value in pairwise(words):
            if name.startswith("-"):
                values.setdefault(name[1:], value)
        return cls(
            values["mode"],
            values["module"],
            values["cell"],
            values["port"],
            int(values["portbit"]),
            int(values["ctrlbit"]) if "ctrlbit" in values else None,
            values.get("src", "").rpartition("/")[2],
        )

    def command(self, selected_by: int | None, width: int) -> str:
        """The yosys command that applies it, always or when the port has a value."""
        control = "" if selected_by is None else f"-ctrl {_PORT} {width} {selected_by} "
        bit = "" if self.ctrlbit is None else f" -ctrlbit {self.ctrlbit}"
        return (
            f"mutate {control}-mode {self.mode} -module {self.module} -cell {self.cell} "
            f"-port {self.port} -portbit {self.portbit}{bit}"
        )

    @property
    def place(self) -> str:
        """For reports: module, cell, port bit and what is done to it."""
        cell = re.sub(r"\$/[^$]*/", "$", self.cell)
        bit = "" if self.ctrlbit is None else f" (bit {self.ctrlbit})"
        return f"{self.module}: {self.mode}{bit} at {cell}.{self.port}[{self.portbit}]"


class _Yosys:
    """A design and the passes run on it."""

    def __init__(self) -> None:
        from pyosys import libyosys

        self._library = libyosys
        self._design = libyosys.Design()

    def run(self, *commands: str) -> None:
        for command in commands:
            self._library.run_pass(command, self._design)

    def holds(self, command: str) -> bool:
        """Whether a `sat` without `-verify` says that its proof succeeded."""
        with tempfile.NamedTemporaryFile("r", prefix="plosive-sat-") as log:
            self._library.run_pass(f"tee -q -o {log.name} {command}", self._design)
            return "SAT proof finished - no model found: SUCCESS!" in log.read()


def mutate(verilog: Path, count: int, seed: int, every: int, mutated: Path) -> list[Mutation]:
    """Draw `count` mutations with the default weights of yosys and apply every `every`-th.

    Writes a netlist that holds all those applied: value i + 1 of its port `mutsel` selects number i
    of the list that is returned, 0 none.
    """
    yosys = _Yosys()
    listing = mutated.with_suffix(".txt")
    yosys.run(*(command.format(verilog=verilog) for command in _READ))
    yosys.run(f"write_rtlil {mutated.with_name(_NETLIST)}")
    # Half as many again, since those of clocks are dropped: one clock runs through everything, and
    # a register on another edge is a matter of timing, not of logic.
    drawn = count + count // 2
    yosys.run(f"select * {_NOT_MUTATED}", f"mutate -list {drawn} -seed {seed} -o {listing}")
    yosys.run("select -clear")
    mutations = [Mutation.parse(line) for line in listing.read_text().splitlines()]
    mutations = [m for m in mutations if m.port.lstrip("\\").lower() != "clk"][:count:every]
    width = len(mutations).bit_length()
    for index, mutation in enumerate(mutations):
        yosys.run(mutation.command(index + 1, width))
    yosys.run("opt_clean", f"write_verilog -noattr {mutated}")
    return mutations


def prove(netlist: Path, mutation: Mutation) -> bool:
    """Whether yosys proves that the mutated core computes what the core of a netlist does.

    Registers (and memories, as registers) become inputs and outputs, and the SAT solver looks for
    an input and a state of which the two make different outputs or different next states. If there
    is none, the two never part, whatever the reset leaves behind. First tried for the mutated
    module alone, then for the whole core, where a difference may not reach any register.
    """
    for scope in (mutation.module, "plosive"):
        yosys = _Yosys()
        yosys.run(f"read_rtlil {netlist}", "hierarchy -top plosive")
        yosys.run("design -save original", mutation.command(None, 0), "design -save mutated")
        for side in ("original", "mutated"):
            yosys.run(
                f"design -load {side}",
                f"hierarchy -top {scope}",
                "flatten",
                "memory_map",
                "dffunmap",
                "opt_clean",
                "expose -evert-dff t:$dff",  # the registers, and no other wire
                f"rename {scope} {side}",
                f"design -save {side}_logic",
            )
        yosys.run("design -reset")
        for side in ("original", "mutated"):
            yosys.run(f"design -copy-from {side}_logic -as {side} {side}")
        yosys.run("miter -equiv -flatten original mutated joined")
        if yosys.holds("sat -prove trigger 0 -timeout 60 joined"):
            return True
    return False


def _main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    if plan["task"] == "mutate":
        drawing = {name: plan[name] for name in ("count", "seed", "every")}
        mutations = mutate(Path(plan["verilog"]), **drawing, mutated=Path(plan["mutated"]))
        answer = [vars(mutation) for mutation in mutations]
    else:
        answer = prove(Path(_NETLIST), Mutation(**plan["mutation"]))
    Path(plan["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    _main()
