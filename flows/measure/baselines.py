# SPDX-License-Identifier: Apache-2.0
"""Baselines: what the hardware cost when somebody last looked at it and agreed.

`flows/measure/baselines.json` holds measurements by command and tool versions, and how much worse
each figure may get. `python -m flows.measure.baselines` measures and compares; with `--update`,
what it measures becomes the baseline. Only figures made by the same tool versions are compared.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table

from flows import terminal
from flows.figures import Figures, FiguresError, named
from flows.measure import measurements
from flows.measure.measurements import Job, Measurement
from flows.progress import Progress, on_terminal, silent
from flows.speech.record import read_json
from golden_model.files.writing import atomic_write
from hw.config import PRESETS, preset
from hw.errors import PlosiveError

__all__ = [
    "FILE",
    "Baseline",
    "Baselines",
    "Comparison",
    "Delta",
    "compare",
    "compare_jobs",
    "delta_table",
    "jobs",
    "load",
    "main",
    "update",
]

FILE = Path(__file__).with_name("baselines.json")
KINDS = ("cycles", "gates", "area", "timing", "power")
"""Measurements that have baselines; the others say how much was checked."""

_MORE_IS_BETTER = ("fmax_mhz",)
_DEFAULT = "default"
_ROUNDING = 1e-9  # of a change that is the tolerance exactly

Verdict = Literal["same", "better", "much better", "worse", "regression", "came or went"]


@dataclass(frozen=True, kw_only=True)
class Baseline(Figures):
    """Figures that a command had with some tools, as in `Measurement`."""

    command: str
    tools: dict[str, str]
    figures: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Baselines(Figures):
    """The file.

    Attributes
    ----------
    tolerances
        Share by which a figure may get worse, by its name, its group or "default".
    entries
        The baselines of every command and set of tools.
    """

    tolerances: dict[str, float]
    entries: tuple[Baseline, ...] = named("baselines")

    def tolerance(self, figure: str) -> float:
        """Tolerance of a figure: by its own name, else by its group, else the default."""
        group = figure.partition("/")[0]
        names = (figure, group, _DEFAULT)
        return next(self.tolerances[name] for name in names if name in self.tolerances)


@dataclass(frozen=True)
class Delta:
    """A figure beside its baseline.

    Attributes
    ----------
    command, figure
        The command that was measured, and the name of the figure.
    old, new
        Baseline and measurement; None where one of them has no such figure.
    tolerance
        Share by which it may get worse.
    """

    command: str
    figure: str
    old: float | None
    new: float | None
    tolerance: float

    @property
    def change(self) -> float:
        """What was added, as a share of the baseline; infinite where that is 0 or missing."""
        if self.old == self.new:
            return 0.0
        if not self.old or self.new is None:
            return float("inf")
        return self.new / self.old - 1

    @property
    def verdict(self) -> Verdict:
        """Less is better, but for clocks.

        A figure that is better by more than its tolerance asks for a new baseline, since a later
        regression would hide behind the old one.
        """
        if self.old is None or self.new is None:
            return "came or went"
        worse = -self.change if self.figure in _MORE_IS_BETTER else self.change
        if worse == 0:
            return "same"
        far = abs(worse) > self.tolerance + _ROUNDING
        if worse > 0:
            return "regression" if far else "worse"
        return "much better" if far else "better"

    @property
    def line(self) -> str:
        """The delta in words: the command, the figure, both values and the tolerance."""
        if self.verdict == "came or went":
            return f"`{self.command}`, {self.figure}: baseline {self.old}, now {self.new}"
        return (
            f"`{self.command}`, {self.figure}: {self.verdict}, {self.old:,.6g} to {self.new:,.6g} "
            f"({100 * self.change:+.1f} %, tolerance {100 * self.tolerance:g} %)"
        )


@dataclass(frozen=True)
class Comparison:
    """A measurement beside its baseline.

    Attributes
    ----------
    command
        The command that was measured.
    deltas
        Every figure of either.
    missing
        Why nothing was compared; None if it was.
    """

    command: str
    deltas: tuple[Delta, ...] = ()
    missing: str | None = None

    @property
    def regressions(self) -> list[str]:
        """Lines of what got worse by more than its tolerance."""
        return [delta.line for delta in self.deltas if delta.verdict == "regression"]


def load(path: Path | None = None) -> Baselines:
    """The baselines in a file; None: the project's.

    Raises
    ------
    PlosiveError
        It cannot be read, or holds something else.
    """
    path = path or FILE
    try:
        held = Baselines.from_dict(read_json(path))
    except FiguresError as error:
        raise PlosiveError(f"{path}: it holds no baselines: {error}") from error
    if _DEFAULT not in held.tolerances:
        raise PlosiveError(f"{path}: tolerances has no {_DEFAULT!r}")
    return held


def compare(baselines: Baselines, measurement: Measurement) -> Comparison:
    """A measurement beside the baseline of the same command and versions."""
    command = measurement.command
    of_command = [entry for entry in baselines.entries if entry.command == command]
    entry = next((entry for entry in of_command if entry.tools == measurement.tools), None)
    if entry is None:
        there = "; ".join(_tools(entry.tools) for entry in of_command) or "none"
        missing = f"no baseline for {_tools(measurement.tools)} (there are: {there})"
        return Comparison(command, missing=missing)
    old, new = entry.figures, measurement.figures
    deltas = tuple(
        Delta(command, name, old.get(name), new.get(name), baselines.tolerance(name))
        for name in {**old, **new}
    )
    return Comparison(command, deltas)


def _tools(tools: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in tools.items()) or "no tools"


def update(baselines: Baselines, measured: Iterable[Measurement], path: Path | None = None) -> None:
    """Make measurements the baselines of their commands and versions, in a file or the project's.

    Raises
    ------
    PlosiveError
        The file cannot be written.
    """
    new = [Baseline(command=one.command, tools=one.tools, figures=one.figures) for one in measured]
    replaced = [(entry.command, entry.tools) for entry in new]
    old = [entry for entry in baselines.entries if (entry.command, entry.tools) not in replaced]
    order = [job.command for job in jobs()]
    entries = sorted(
        [*old, *new],
        key=lambda entry: order.index(entry.command) if entry.command in order else -1,
    )
    held = Baselines(tolerances=baselines.tolerances, entries=tuple(entries))
    atomic_write(path or FILE, (json.dumps(held.to_dict(), indent=1) + "\n").encode())


def jobs(names: Iterable[str] = tuple(PRESETS)) -> list[Job]:
    """The commands that have baselines, of some presets."""
    return [job for job in measurements.preset_jobs(names) if job.kind in KINDS]


def compare_jobs(
    wanted: Sequence[Job],
    *,
    build_dir: Path,
    pdk_root: Path | None = None,
    progress: Progress = silent,
) -> tuple[list[Comparison], list[Measurement], dict[str, str]]:
    """Measure, and put each measurement beside its baseline; the last is why some were skipped.

    Raises
    ------
    PlosiveError
        A command fails, or a file is broken.
    """
    baselines = load()
    found, skipped = measurements.measure(
        wanted, build_dir=build_dir, pdk_root=pdk_root, progress=progress
    )
    return [compare(baselines, one) for one in found], found, skipped


def delta_table(comparisons: Sequence[Comparison], skipped: dict[str, str]) -> Table:
    """What moved against the baselines; a command whose figures did not move is one row."""
    table = terminal.table(
        "Against the baselines", "figure", "baseline", "now", "change", "tolerance", ""
    )
    table.columns[0].no_wrap = True
    table.columns[-1].justify = "left"
    asks = ("much better", "came or went")
    for comparison in comparisons:
        moved = [delta for delta in comparison.deltas if delta.verdict != "same"]
        same = len(comparison.deltas) - len(moved)
        said = "no baseline" if comparison.missing else f"{same} the same" if same else ""
        table.add_row(comparison.command, *[""] * 4, said)
        for delta in moved:
            values = ("-" if value is None else f"{value:,.6g}" for value in (delta.old, delta.new))
            known = None not in (delta.old, delta.new)
            table.add_row(
                f"  {delta.figure}",
                *values,
                f"{100 * delta.change:+.2f} %" if known else "-",
                f"{100 * delta.tolerance:g} %",
                delta.verdict + (": needs a new baseline" if delta.verdict in asks else ""),
            )
    for command in skipped:
        table.add_row(command, *[""] * 4, "skipped")
    notes = [c.missing for c in comparisons if c.missing] + list(skipped.values())
    table.caption = "\n".join(dict.fromkeys(notes)) or None
    table.caption_justify = "left"
    return table


def main() -> None:
    """Measure, print what moved, and fail on a regression or make it the baseline."""
    parser = argparse.ArgumentParser(prog="python -m flows.measure.baselines", description=__doc__)
    parser.add_argument("--update", action="store_true", help="take what is measured as baseline")
    parser.add_argument("--preset", action="append", metavar="NAME", help="only this; repeatable")
    parser.add_argument("--build", type=Path, default=Path("build"), metavar="DIR")
    parser.add_argument("--pdk-root", type=Path, metavar="DIR", help="or PDK_ROOT")
    options = parser.parse_args()
    try:
        names = options.preset or tuple(PRESETS)
        for name in names:
            preset(name)
        with on_terminal() as progress:
            comparisons, measured, skipped = compare_jobs(
                jobs(names),
                build_dir=options.build,
                pdk_root=options.pdk_root,
                progress=progress,
            )
        if options.update:
            update(load(), measured)
    except PlosiveError as error:
        sys.exit(f"flows.measure.baselines: {error}")
    terminal.console().print(delta_table(comparisons, skipped))
    regressions = [line for comparison in comparisons for line in comparison.regressions]
    if options.update:
        print(f"{FILE.name}: {len(measured)} baselines written")
    elif regressions:
        sys.exit("\n".join(f"flows.measure.baselines: {line}" for line in regressions))


if __name__ == "__main__":
    main()
