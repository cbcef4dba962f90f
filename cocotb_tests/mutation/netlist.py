# SPDX-License-Identifier: Apache-2.0
"""Mutations of a netlist with yosys `mutate`, and proofs that a mutation changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flows.tools.yosys import YosysError, run_yosys

__all__ = ["Mutation", "mutate", "prove"]

_PORT = "mutsel"
# Not the design: the snapshot that only verification sees, and the initial contents of memories.
_NOT_MUTATED = r"plosive.trace/* %d t:$meminit* %d"
# Of `opt`, what leaves the names of cells the same on every run, so that a seed means something.
_OPTIMISE = ("opt_expr -full", "opt_muxtree", "opt_clean")
_READ = ("hierarchy -top plosive", "proc", *_OPTIMISE, "wreduce", *_OPTIMISE)
_NETLIST = "netlist.il"  # before mutation, for the proofs
_LISTING = "mutations.txt"
_PROVED = "SAT proof finished - no model found: SUCCESS!"


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


def _run(commands: Iterable[str], folder: Path, name: str) -> str:
    script = folder / f"{name}.ys"
    script.write_text("\n".join(commands) + "\n")
    return run_yosys(script, failing=f"yosys fails to {name}", log=f"{name}.log")


def mutate(verilog: Path, count: int, seed: int, every: int, mutated: Path) -> list[Mutation]:
    """Draw `count` mutations with the default weights of yosys and apply every `every`-th.

    Parameters
    ----------
    verilog
        The design. The names of cells hold the name of this file.
    count, seed
        How many to draw, and what decides which.
    every
        1 applies all of them.
    mutated
        The netlist to write, beside `verilog`. It holds all the mutations applied: the value i + 1
        of its port `mutsel` selects number i of the list that is returned, 0 none.

    Raises
    ------
    YosysError
        Yosys fails.
    """
    folder = verilog.parent
    # Half as many again, since those of clocks are dropped: one clock runs through everything, and
    # a register on another edge is a matter of timing, not of logic.
    drawing = f"mutate -list {count + count // 2} -seed {seed} -o {_LISTING}"
    reading = [f"read_verilog {verilog.name}", *_READ, f"write_rtlil {_NETLIST}"]
    _run([*reading, f"select * {_NOT_MUTATED}", drawing], folder, "draw")
    mutations = [Mutation.parse(line) for line in (folder / _LISTING).read_text().splitlines()]
    mutations = [m for m in mutations if m.port.lstrip("\\").lower() != "clk"][:count:every]
    width = len(mutations).bit_length()
    applied = [mutation.command(i + 1, width) for i, mutation in enumerate(mutations)]
    writing = ["opt_clean", f"write_verilog -noattr {mutated.name}"]
    _run([f"read_rtlil {_NETLIST}", *applied, *writing], folder, "mutate")
    return mutations


def prove(folder: Path, mutation: Mutation) -> bool:
    """Whether yosys proves that the mutated core computes what the core of `mutate` does.

    Registers (and memories, as registers) become inputs and outputs, and the SAT solver looks for
    an input and a state of which the two make different outputs or different next states. If there
    is none, the two never part, whatever the reset leaves behind. First tried for the mutated
    module alone, then for the whole core, where a difference may not reach any register.

    Parameters
    ----------
    folder
        Where `mutate` ran.
    mutation
        One that it returned.
    """
    for scope in (mutation.module, "plosive"):
        commands = [f"read_rtlil {_NETLIST}", "hierarchy -top plosive"]
        commands += ["design -save original", mutation.command(None, 0), "design -save mutated"]
        for side in ("original", "mutated"):
            commands += [
                f"design -load {side}",
                f"hierarchy -top {scope}",
                "flatten",
                "memory_map",
                "dffunmap",
                "opt_clean",
                "expose -evert-dff t:$dff",  # the registers, and no other wire
                f"rename {scope} {side}",
                f"design -save {side}_logic",
            ]
        commands.append("design -reset")
        commands += [
            f"design -copy-from {side}_logic -as {side} {side}" for side in ("original", "mutated")
        ]
        commands.append("miter -equiv -flatten original mutated joined")
        commands.append("sat -prove trigger 0 -timeout 60 joined")
        try:
            if _PROVED in _run(commands, folder, "prove"):
                return True
        except YosysError:
            return False  # no miter can be made, so nothing is proved
    return False
