# SPDX-License-Identifier: Apache-2.0
"""The LEF files of a process, and what a wire of it costs for each um."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flows.asic.layout.lef import Lef, Outline, Site, read_lef
from flows.asic.pdk import Pdk
from flows.tools.toolchain import ToolError
from hw.errors import PlosiveError

__all__ = ["LayoutRules", "WireRc", "read_rules"]


@dataclass(frozen=True)
class WireRc:
    """Cost of a wire.

    Attributes
    ----------
    name
        "low" or "high".
    ff_per_um, ohm_per_um
        Capacitance to everything, and resistance.
    source
        Where the capacitance is from.
    """

    name: str
    ff_per_um: float
    ohm_per_um: float
    source: str


@dataclass(frozen=True)
class LayoutRules:
    """What a placement needs to know of a process.

    Attributes
    ----------
    site
        Of the standard cells' rows.
    outlines
        Cells and macros, by name.
    wires
        The low and the high estimate of what a wire costs.
    """

    site: Site
    outlines: dict[str, Outline] = field(repr=False)
    wires: tuple[WireRc, WireRc]


@dataclass(frozen=True)
class _Files:
    """Below the folder that holds the Liberty files' folder, and what no file there says."""

    technology: str
    cells: str
    macro: str
    layers: tuple[str, str]
    routed_ff_per_um: float
    routed_source: str


_FILES = {
    "ihp-sg13g2": _Files(
        technology="sg13g2_stdcell/lef/sg13g2_tech.lef",
        cells="sg13g2_stdcell/lef/sg13g2_stdcell.lef",
        macro="sg13g2_sram/lef/{}.lef",
        # The lowest pair, where most of the length of short nets lies.
        layers=("Metal2", "Metal3"),
        routed_ff_per_um=0.173,
        routed_source=(
            "set_wire_rc -signal in setRC.tcl of OpenROAD-flow-scripts' platform ihp-sg13g2: a fit "
            "over the routed nets of aes, gcd, ibex, riscv32i and spi"
        ),
    )
}


def read_rules(pdk: Pdk, macros: Iterable[str]) -> LayoutRules:
    """Read the LEF files that a netlist needs.

    Parameters
    ----------
    pdk
        The process; the files are looked for beside its Liberty files.
    macros
        Names of the SRAM macros that are used.

    Raises
    ------
    ToolError
        A file is missing.
    PlosiveError
        Nothing is known of the process' layout, or a file is broken.
    """
    files = _FILES.get(pdk.name)
    if files is None or pdk.liberty is None:
        raise PlosiveError(
            f"--pdk is {pdk.name!r}: the layout of its cells and memories is not known here, so "
            f"wires have no length; use {', '.join(_FILES)}"
        )
    library = pdk.liberty.parents[2]
    technology = _read(pdk, library / files.technology)
    cells = _read(pdk, library / files.cells)
    outlines = dict(cells.cells)
    for name in macros:
        outlines |= _read(pdk, library / files.macro.format(name)).cells
        if name not in outlines:
            raise PlosiveError(f"{library / files.macro.format(name)}: it has no macro {name}")
    missing = [layer for layer in files.layers if layer not in technology.layers]
    if missing:
        raise PlosiveError(f"{library / files.technology}: it has no routing layer {missing[0]}")
    sites = {outline.site for outline in cells.cells.values() if outline.kind == "CORE"}
    known = {**technology.sites, **cells.sites}
    if len(sites) != 1 or not sites <= known.keys():
        raise PlosiveError(f"{library / files.cells}: its cells do not share one known site")
    layers = [technology.layers[name] for name in files.layers]
    ohm = sum(layer.ohm_per_um for layer in layers) / len(layers)
    alone = sum(layer.ff_per_um for layer in layers) / len(layers)
    names = " and ".join(files.layers)
    return LayoutRules(
        site=known[sites.pop()],
        outlines=outlines,
        wires=(
            WireRc("low", alone, ohm, f"a wire without neighbours on {names}, technology LEF"),
            WireRc("high", files.routed_ff_per_um, ohm, files.routed_source),
        ),
    )


def _read(pdk: Pdk, path: Path) -> Lef:
    if not path.is_file():
        raise ToolError(
            f"the layout files of the PDK {pdk.name} were not found: {path} is missing; install "
            "the whole PDK (`ciel enable` of the Python package ciel) and give --pdk-root or "
            "PDK_ROOT, or use --wires model"
        )
    return read_lef(path)
