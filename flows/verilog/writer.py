# SPDX-License-Identifier: Apache-2.0
"""Verilog text of a component."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

__all__ = ["TOP", "component_verilog", "to_verilog"]

TOP = "plosive"

# Amaranth's own Verilog back end keeps its decisions as `always @*` blocks. One that assigns only
# constants (`always @* step = 0;`) never runs, by the standard, and its output stays X in a
# four-state simulator. Multiplexers (`proc`) mean the same everywhere, and yosys built natively
# takes a second where the WebAssembly build that Amaranth calls takes ten.
_PASSES = (
    "proc -norom",
    "opt_expr",
    "opt_clean",
    "memory_collect",
    "attrmap -remove generator -remove top -remove src",
    "attrmap -modattr -remove generator -remove top -remove src",
)
# In a process of its own: yosys prints what it runs, and ends the process on an error.
_RUN_YOSYS = (
    "import sys; from pyosys import libyosys; design = libyosys.Design(); "
    "[libyosys.run_pass(command, design) for command in sys.argv[1:]]"
)


def to_verilog(top: wiring.Component, name: str = TOP) -> str:
    """Synthesizable Verilog of a core, or of what stands around one; the top module is `name`.

    The memories follow as modules of their own, `plosive_input_memory` and so on, for a flow to
    leave out or replace. The same component gives the same bytes on every run: no source paths, no
    dates.
    """
    texts = [component_verilog(top, name)]
    for memory in top.memory_instances:
        texts.append(component_verilog(memory.definition(), memory.name))
    return "\n".join(texts)


def component_verilog(component: wiring.Component, name: str) -> str:
    """Synthesizable Verilog of any component; its top module is `name`.

    Raises
    ------
    RuntimeError : yosys fails (its last line).
    """
    text = rtlil.convert(component, name=name, emit_src=False)
    with tempfile.TemporaryDirectory(prefix="plosive-verilog-") as folder:
        source, target = Path(folder, "design.il"), Path(folder, "design.v")
        source.write_text(text)
        commands = (f"read_rtlil {source}", *_PASSES, f"write_verilog {target}")
        result = subprocess.run(
            [sys.executable, "-c", _RUN_YOSYS, *commands], capture_output=True, text=True
        )
        if result.returncode != 0 or not target.is_file():
            lines = (result.stderr + result.stdout).strip().splitlines()
            raise RuntimeError(f"yosys fails on {name}: {lines[-1] if lines else 'no output'}")
        return target.read_text()
