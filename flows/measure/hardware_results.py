# SPDX-License-Identifier: Apache-2.0
"""`make results-hardware`: what presets and boards cost, measured, as tables.

`docs/results/hardware.json` keeps the measurements; `docs/hardware-results.md` and the block
between two markers in `README.md` are written from it. What is kept is not measured again unless
what its command is given (Verilog, libraries, versions of tools) is other than it was.
"""

import argparse
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.fpga.boards import BOARDS, LABELS
from flows.measure import measurements, pages
from flows.measure.measurements import BOARD_SHAPES, Measurement, board_jobs, preset_jobs
from flows.measure.pages import table as _table
from flows.progress import on_terminal
from golden_model.files.writing import atomic_write
from hw.config import PRESETS
from hw.errors import PlosiveError

__all__ = ["BEGIN", "END", "KEPT", "PAGE", "README", "block", "draw", "main", "page", "with_block"]

PROJECT = Path(__file__).resolve().parents[2]
KEPT = PROJECT / "docs" / "results" / "hardware.json"
PAGE = PROJECT / "docs" / "hardware-results.md"
README = PROJECT / "README.md"
BEGIN = "<!-- results: begin -->"
END = "<!-- results: end -->"

_NOT_MEASURED = "not measured"
_ARE_NOT = (
    "These are not the figures of a chip: there is no layout, so there are no wires and no clock "
    "tree, and the cells and SRAM macros are those of an open 130 nm process (IHP SG13G2, typical "
    "corner), not of the reference's 28 nm."
)


# ---- tables -------------------------------------------------------------------------------


def block(held: Sequence[Measurement]) -> str:
    """What stands between README's markers."""
    return "\n\n".join(
        [
            *_preset_part(held),
            *_board_part(held),
            _paragraph(
                "[docs/hardware-results.md](docs/hardware-results.md), written by `make "
                "results-hardware`, has the commands, the versions of the tools and the area of "
                "each block."
            ),
        ]
    )


def page(held: Sequence[Measurement]) -> str:
    """The text of `docs/hardware-results.md`."""
    parts = [
        "<!-- Written by `make results-hardware` from docs/results/hardware.json: do not edit. -->",
        "# What the hardware costs",
        _paragraph(
            "`make results-hardware` measures what has changed and writes this page. [Area, timing "
            "and power](area-timing-power.md) explains how each figure is obtained."
        ),
        "## Presets",
        *_preset_part(held),
        "## Area by block",
        "kGE of logic in IHP SG13G2; *own* is the logic that belongs to no block.",
        _block_table(held),
        "## FPGA boards",
        *_board_part(held),
        "## Where the figures come from",
        _origin_table(held),
    ]
    return "\n\n".join(parts) + "\n"


def with_block(text: str, inside: str) -> str:
    """A text with something else between its markers.

    Raises
    ------
    PlosiveError
        It has not each marker once, in order.
    """
    return pages.with_block(text, "results", inside)


_Figures = dict[str, dict[str, float] | None]
"""What is measured of a preset or board, by kind and name; None if it has not been yet."""


def _one(kind: str, name: str, form: str, unit: float = 1) -> Callable[[_Figures], str]:
    """A cell with one figure; a dash where it is not asked for."""

    def text(figures: _Figures) -> str:
        of_kind = figures.get(kind, {})
        if not of_kind:
            return "-" if of_kind == {} else _NOT_MEASURED
        value = of_kind[name]
        return form.format(value if unit == 1 else value / unit)

    return text


def _use(resource: str) -> Callable[[_Figures], str]:
    """A cell with what is used of a chip, and the share; a dash if the chip has none."""

    def text(figures: _Figures) -> str:
        if figures["fpga"] is None:
            return _NOT_MEASURED
        used, there = (figures["fpga"].get(f"{what}/{resource}") for what in ("used", "available"))
        return "-" if used is None else f"{used:,} ({100 * used / there:.0f} %)"

    return text


_PRESET_ROWS = {
    "cycles per frame, published densities": _one("cycles", "cycles_per_frame", "{:,.0f}"),
    "logic, kGE": _one("area", "logic_kge", "{:,.1f}"),
    "SRAM, kB": _one("area", "memory_bits", "{:,.1f}", 8e3),
    "SRAM, mm²": _one("area", "macros_um2", "{:,.2f}", 1e6),
    "logic and SRAM, mm²": _one("area", "um2", "{:,.2f}", 1e6),
    "maximum clock, MHz": _one("timing", "fmax_mhz", "{:,.0f}"),
    **{
        f"{label}, {network}": _one(kind, name, form)
        for network, kind in (("random network", "power"), ("shipped network", "speech"))
        for label, name, form in (
            ("cycles per frame", "cycles_per_frame", "{:,.0f}"),
            ("nJ per frame", "nj_per_frame", "{:,.1f}"),
            ("µW in real time", "real_time_uw", "{:,.1f}"),
        )
    },
    "checked: every register, RTL": _one("state", "compared_clocks", "{:,} clocks"),
    "checked: outputs, netlist": _one("power", "frames", "{:,} frames"),
}
_BOARD_ROWS = {
    "outputs": _one("fpga", "n_output", "{:,}"),
    "time steps": _one("fpga", "time_steps", "{}"),
    "lanes": _one("fpga", "lanes", "{}"),
    **{label: _use(name) for name, label in LABELS.items()},
    "clock, MHz": _one("fpga", "clock_mhz", "{:g}"),
    "maximum clock, MHz": _one("fpga", "fmax_mhz", "{:.1f}"),
    "cycles per frame": _one("fpga", "cycles_per_frame", "{:,.0f}"),
    "times real time": _one("fpga", "real_time_factor", "{:,.0f}"),
    "checked: simulated board": _one("host", "values_compared", "{:,} results"),
}


def _preset_part(held: Sequence[Measurement]) -> list[str]:
    return [
        _figure_table("preset", {f"`{name}`": _of(held, name) for name in PRESETS}, _PRESET_ROWS),
        _paragraph(
            f"{_ARE_NOT} *SRAM, kB* is what the memories hold; macros come in fixed sizes and hold "
            "more. Energy and power are estimates from the switching activity of the netlist; real "
            "time is 100 frames per second, with the clock stopped between frames. The random "
            "network runs on random features and spikes about as often as the reference's, or "
            "more; the shipped network runs on a sentence. The last two rows say how much was "
            "compared with the model, with the random network; nothing differed."
        ),
    ]


def _board_part(held: Sequence[Measurement]) -> list[str]:
    columns = {
        f"{BOARDS[board].title}, `{shape}`": _of(held, f"{board}, {shape}")
        for board, shape in BOARD_SHAPES
    }
    return [
        _figure_table("board, shape", columns, _BOARD_ROWS),
        _paragraph(
            "Bitstreams built with open tools, with core, registers, serial bridge, clock and "
            "pins; nobody has run one on a board yet. The maximum clock is the median of three "
            "placements, by the placer's timing model. *Times real time* is at the board's clock, "
            "without the serial line. The last row says how many results of the board's Verilog, "
            "simulated behind its serial line with a random network, were compared; nothing "
            "differed."
        ),
    ]


def _of(held: Sequence[Measurement], subject: str) -> _Figures:
    measured = {one.command: one.figures for one in held}
    jobs = (*preset_jobs(), *board_jobs())
    return {job.kind: measured.get(job.command) for job in jobs if job.subject == subject}


def _figure_table(
    corner: str, columns: dict[str, _Figures], rows: dict[str, Callable[[_Figures], str]]
) -> str:
    lines = [[label, *(cell(of) for of in columns.values())] for label, cell in rows.items()]
    return _table([corner, *columns], lines)


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _block_table(held: Sequence[Measurement]) -> str:
    areas = {one.subject: one.figures for one in held if one.kind == "area"}
    prefix = "blocks/"
    blocks = dict.fromkeys(n for figures in areas.values() for n in figures if prefix in n)
    rows = [
        [
            f"`{name.removeprefix(prefix)}`",
            *(f"{figures[name]:,.2f}" if name in figures else "-" for figures in areas.values()),
        ]
        for name in blocks
    ]
    rows.append(["all", *(f"{figures['logic_kge']:,.2f}" for figures in areas.values())])
    return _table(["block", *(f"`{name}`" for name in areas)], rows)


def _origin_table(held: Sequence[Measurement]) -> str:
    rows = [
        [f"`{one.command}`", ", ".join(f"{name} {version}" for name, version in one.tools.items())]
        for one in held
    ]
    return _table(["command", "versions, library, corner"], rows)


# ---- measuring and writing ------------------------------------------------------------------


def draw(held: Sequence[Measurement]) -> None:
    """Write the page and README's block."""
    readme = README.read_text(encoding="utf-8")
    try:
        changed = with_block(readme, block(held))
    except PlosiveError as error:
        raise PlosiveError(f"{README.name}: {error}") from error
    atomic_write(PAGE, page(held).encode())
    if changed != readme:
        atomic_write(README, changed.encode())


def main() -> None:
    """Measure what has changed, and write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.measure.hardware_results", description=__doc__
    )
    parser.add_argument("--draw", action="store_true", help="measure nothing, write the tables")
    parser.add_argument("--again", action="store_true", help="measure what is kept again, too")
    parser.add_argument("--only", metavar="TEXT", default="", help="only commands with this in it")
    parser.add_argument("--build", type=Path, default=Path("build"), metavar="DIR")
    parser.add_argument("--pdk-root", type=Path, metavar="DIR", help="or PDK_ROOT")
    options = parser.parse_args()
    jobs = [*preset_jobs(), *board_jobs()]
    try:
        held = {one.command: one for one in measurements.read(KEPT)}
        if not options.draw:
            with on_terminal() as progress:
                found, skipped = measurements.measure(
                    [job for job in jobs if options.only in job.command],
                    held.values(),
                    build_dir=options.build,
                    pdk_root=options.pdk_root,
                    again=options.again,
                    progress=progress,
                )
            held = {one.command: one for one in (*measurements.read(KEPT), *found)}
            for command, why in skipped.items():
                state = "kept as it was" if command in held else _NOT_MEASURED
                print(f"`{command}`: {state}: {why}", file=sys.stderr)
        # What is no longer asked for goes.
        ordered = [held[job.command] for job in jobs if job.command in held]
        draw(ordered)
        measurements.write(KEPT, ordered)
    except PlosiveError as error:
        sys.exit(f"flows.measure.hardware_results: {error}")
    print(f"wrote {', '.join(os.path.relpath(path) for path in (KEPT, PAGE, README))}")


if __name__ == "__main__":
    main()
