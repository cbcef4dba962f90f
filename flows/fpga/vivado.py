# SPDX-License-Identifier: Apache-2.0
"""Vivado projects for Xilinx boards: sources, constraints and scripts. Nothing here runs Vivado."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from flows.figures import Hashes
from flows.fpga import boards as fpga_boards
from flows.fpga.boards import Board
from flows.fpga.build import Sources, board_sources, sources
from flows.fpga.figures import ProjectFigures
from flows.progress import Progress, silent
from flows.verilog.contents import contents
from golden_model import Network
from golden_model.files.escape import template_word
from golden_model.files.writing import atomic_directory
from hw.config import AcceleratorConfig

__all__ = ["write_project"]


def write_project(
    board: Board,
    config: AcceleratorConfig,
    *,
    network: Network | None = None,
    of: Hashes | None = None,
    build_dir: Path,
    progress: Progress = silent,
) -> ProjectFigures:
    """Write what Vivado needs for a board; the figures say what was written.

    For a board whose serial port is wired to the chip: `build.tcl` makes a bitstream of the same
    top as on every other board. For a Zynq: `package.tcl` makes an IP of the AXI top, and
    `system.tcl` a design with the processor around it.

    Parameters
    ----------
    board, config
        The board, and the hardware.
    network
        Goes into the bitstream; None: the host loads the weights.
    of
        Hashes to keep with the figures.
    build_dir
        `fpga/BOARD/` in it is made or replaced.

    Raises
    ------
    PlosiveError
        The folder cannot be written, or amaranth-boards is missing.
    NetworkError
        The network is for other shapes or formats than the hardware.
    """
    config = config.replace(trace=False)
    if network is not None:
        network = network.on(config)
    progress("generating the Verilog")
    design = _ip_sources(config, network) if board.zynq else board_sources(board, config, network)
    platform = board.platform
    names = {
        "board": board,
        "part": f"{platform.device}{platform.package}-{platform.speed}",
        "top": design.top,
        "version": ".".join(version("plosive").split(".")[:2]),
        "config_hash": config.config_hash,
        "clock_mhz": f"{board.clock_hz / 1e6:g}",
    }
    scripts = ("package", "system") if board.zynq else ("build",)
    files = {"design.v": design.verilog, "memories.v": design.memories}
    for script in scripts:
        name = "board" if script == "build" else script
        files[f"{script}.tcl"] = _template(f"vivado_{name}.tcl.j2", names)
    if not board.zynq:
        files["board.xdc"] = fpga_boards.xdc(board.pins, board.oscillator_hz)
    folder = build_dir / "fpga" / board.name
    progress("writing files")
    with atomic_directory(folder) as work:
        for name, text in files.items():
            (work / name).write_text(text)
    return ProjectFigures(
        of=of,
        board=board.name,
        title=board.title,
        part=names["part"],
        configuration=config,
        network_in_bitstream=network is not None,
        top=design.top,
        clock_mhz=board.clock_hz / 1e6,
        folder=str(folder),
        files=sorted(files),
        run=[f"vivado -mode batch -source {script}.tcl" for script in scripts],
        built=False,
        versions={name: version(name) for name in ("plosive", "amaranth", "amaranth-boards")},
    )


def _ip_sources(config: AcceleratorConfig, network: Network | None) -> Sources:
    """The AXI top with memories that Vivado knows."""
    from hw.shell.ip_top import AXI_TOP, IPTop

    held = contents(config, network) if network is not None else None
    top = IPTop(config, held)
    return sources(AXI_TOP, top, top, [])


def _template(name: str, values: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flows.fpga", "."),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # Tcl, not HTML
        finalize=template_word,
    )
    return environment.get_template(name).render(values)
