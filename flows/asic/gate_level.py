# SPDX-License-Identifier: Apache-2.0
"""The mapped netlist as a simulation model: cells as their library describes them, and macros.

Nothing has an initial value: registers, clock gates and memories start at random, as in silicon.
"""

import re
import tempfile
from pathlib import Path

from flows.asic.pdk import ClockGate
from flows.asic.sram import macro_model
from flows.asic.synthesis import Netlist
from flows.progress import Progress, silent
from flows.simulation.run import CoreModel
from flows.tools import verilator
from flows.tools.yosys import run_yosys, share_folder
from flows.verilog.writer import TOP, component_verilog
from golden_model.files.writing import atomic_write
from hw.core.memory import RowMemory
from hw.errors import PlosiveError

__all__ = ["MAKE_ARGS", "build_netlist", "models"]

MAKE_ARGS = ("OPT_FAST=-O0",)
"""A netlist is much code that runs few clocks: it is compiled in a third of the time like this."""

# Cells that are not used may have no function (fillers, antennas): they are passed over.
_READ = """
read_liberty -ignore_miss_func -ignore_miss_data_latch cells.lib
select -set used {used}
delete * @used %d
opt_clean -purge
write_verilog -noattr cells.v
"""
# The latch is open while the clock is low, so the gate has no glitch.
_CLOCK_GATE = """
module {cell} ({ports});
  input {inputs};
  output {gated};
  reg open;
  always @* if (!{clock}) open = {enable};
  assign {gated} = {clock} & open;
endmodule
"""


def build_netlist(
    netlist: Netlist,
    build_dir: Path,
    *,
    waves: bool = False,
    progress: Progress = silent,
) -> CoreModel:
    """Build the simulation model of a netlist, or find it built; run it with `simulate`.

    Only its ports can be seen, so `simulate` compares outputs and counters.

    Parameters
    ----------
    netlist
        A netlist that `flows.asic.synthesis.synthesize` made.
    build_dir
        Folder of simulation models.
    waves
        Whether runs can write waveforms, of every net.

    Raises
    ------
    PlosiveError
        A cell has no function in its library, a memory is a ROM, or the model does not build.
    """
    sources = models(netlist, progress=progress)
    progress("building the simulation model of the netlist (the first time takes longest)")
    simulation = verilator.build(
        [netlist.verilog, sources],
        TOP,
        build_dir,
        waves=waves,
        random_state=True,
        make_args=MAKE_ARGS,
    )
    return CoreModel(netlist.config, [], simulation, baked=False)


def models(netlist: Netlist, *, progress: Progress = silent) -> Path:
    """The Verilog file, beside the netlist, of all modules that the netlist does not define.

    Standard cells have the function of the Liberty file, read by yosys; SRAM macros that of
    `flows.asic.sram.macro_model`; memories without macros are those of `hw.core.memory`.
    """
    progress("writing the models of cells and memories")
    gate = netlist.pdk.clock_gate
    cells = {name for block in netlist.blocks for name in block.cells}
    used = sorted(cells & netlist.pdk.cells.keys() - ({gate.cell} if gate else set()))
    texts = [
        _cells(netlist.pdk.liberty, used) if used else (share_folder() / "simcells.v").read_text()
    ]
    if gate is not None and gate.cell in cells:
        texts.append(_clock_gate(gate))
    texts += map(macro_model, netlist.macros.values())
    for memory in netlist.memories:
        if memory.name in netlist.tilings:
            continue
        if not memory.writable:
            raise PlosiveError(f"{memory.name} is a ROM of --bake: only its size is known here")
        component = RowMemory(memory)
        texts.append(component_verilog(component, memory.name))
    path = netlist.folder / "models.v"
    atomic_write(path, "\n".join(texts).encode())
    return path


def _cells(liberty: Path, used: list[str]) -> str:
    """Modules of standard cells."""
    with tempfile.TemporaryDirectory(prefix="plosive-cells-") as folder:
        work = Path(folder)
        (work / "cells.lib").symlink_to(liberty.resolve())
        (work / "cells.ys").write_text(_READ.format(used=" ".join(used)))
        run_yosys(work / "cells.ys", failing=f"yosys cannot read {liberty}")
        text = (work / "cells.v").read_text()
    defined = set(re.findall(r"^module (\w+)\(", text, re.MULTILINE))
    missing = sorted(set(used) - defined)
    if missing:
        raise PlosiveError(f"{liberty}: the cell {missing[0]} has no function there")
    return text


def _clock_gate(gate: ClockGate) -> str:
    """Module of an integrated clock gate: its library describes it as a table, not a function."""
    inputs = [pin for pin in (gate.clock, gate.enable, gate.test) if pin]
    return _CLOCK_GATE.format(
        cell=gate.cell,
        ports=", ".join([*inputs, gate.gated]),
        inputs=", ".join(inputs),
        gated=gate.gated,
        clock=gate.clock,
        enable=f"{gate.enable} | {gate.test}" if gate.test else gate.enable,
    )
