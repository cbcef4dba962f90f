# SPDX-License-Identifier: Apache-2.0
"""Plots of results, drawn from their JSON: narrow SVGs that a phone can show.

The same results give the same bytes (for one version of matplotlib). Colours are Okabe and Ito's,
which colour-blind people can tell apart, and every line has its own marker.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from golden_model.files.writing import atomic_open

__all__ = ["COLOURS", "ladder_plot", "length_plot", "snr_plot", "tradeoff_plot"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5f5f5f")
"""Colours of the lines, in order."""
_MARKERS = "osD^vPX"
_WIDTH = 6.0  # inches; text of 12 points is then readable on a phone held upright
_STYLE = {
    "svg.hashsalt": "plosive",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "legend.frameon": False,
}


def snr_plot(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Error rate, sparsity and cycles over the signal-to-noise ratio, by noise class.

    Parameters
    ----------
    result
        What `robustness.over_snr` returns.
    path
        SVG file to write.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH, 9.5), layout="constrained")
        panels = figure.subplots(3, sharex=True)
        shown = (("per", "phone error rate"), ("zero_spikes", "zero spikes"))
        for panel, (name, words) in zip(
            panels, (*shown, ("cycles_per_frame", "cycles per frame")), strict=True
        ):
            for number, (kind, points) in enumerate(result["noise"].items()):
                panel.plot(
                    [point["snr_db"] for point in points],
                    [point[name] for point in points],
                    label=kind.replace("_", " "),
                    **_look(number),
                )
            panel.axhline(result["clean"][name], color="black", ls="--", lw=1.2, label="no noise")
            panel.set_ylabel(words)
            if name != "cycles_per_frame":
                panel.yaxis.set_major_formatter(_percent())
        panels[-1].set_xlabel("signal-to-noise ratio (dB), noisier to the right")
        panels[-1].set_xticks(sorted({p["snr_db"] for ps in result["noise"].values() for p in ps}))
        panels[-1].invert_xaxis()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        _save(figure, path)


def length_plot(results: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Error rate over the length of recordings, with silence and without.

    Without silence the same phones are counted at every length; with it, the silences on both
    sides of a joint count as one.

    Parameters
    ----------
    results
        What `robustness.over_length` returns, one per number of time steps.
    path
        SVG file to write.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH, 4.2), layout="constrained")
        panel = figure.subplots()
        for number, result in enumerate(results):
            points = result["lengths"]
            for name, style, words in (
                ("per_no_silence", "-", "silence left out"),
                ("per", "--", "silence a phone"),
            ):
                panel.plot(
                    [point["mean_seconds"] for point in points],
                    [point[name] for point in points],
                    linestyle=style,
                    label=f"T = {result['time_steps']}, {words}",
                    **_look(number),
                )
        panel.set_xlabel("mean length of a recording (s)")
        panel.set_ylabel("phone error rate")
        panel.set_xlim(left=0)
        panel.set_ylim(0, 1.08 * max(p["per_no_silence"] for r in results for p in r["lengths"]))
        panel.yaxis.set_major_formatter(_percent())
        panel.legend(loc="lower center", ncols=len(results), fontsize=11)
        _save(figure, path)


def tradeoff_plot(
    lines: Mapping[str, Sequence[dict[str, Any]]], path: str | os.PathLike[str]
) -> None:
    """Error rate against the share of zero spikes.

    Parameters
    ----------
    lines
        The points of each line of the plot: `zero_spikes` and `per`, and where there are any
        `spread` (standard deviation of the PER over folds) and `name` (written beside the point).
    path
        SVG file to write.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH, 4.6), layout="constrained")
        panel = figure.subplots()
        for number, (label, points) in enumerate(lines.items()):
            points = sorted(points, key=lambda point: point["zero_spikes"])
            panel.errorbar(
                [point["zero_spikes"] for point in points],
                [point["per"] for point in points],
                yerr=[point.get("spread", 0) for point in points],
                capsize=3,
                elinewidth=1,
                label=label,
                **_look(number),
            )
            for index, point in enumerate(points):  # names of neighbours on either side of the line
                panel.annotate(
                    point.get("name", ""),
                    (point["zero_spikes"], point["per"]),
                    (7, -15) if index % 2 else (-7, 7),
                    textcoords="offset points",
                    ha="left" if index % 2 else "right",
                    fontsize=10,
                )
        panel.set_xlabel("zero spikes, all layers and time steps")
        panel.set_ylabel("phone error rate")
        panel.margins(x=0.12)
        panel.xaxis.set_major_formatter(_percent())
        panel.yaxis.set_major_formatter(_percent())
        if len(lines) > 1:
            panel.legend()
        _save(figure, path)


def ladder_plot(
    ladders: Mapping[str, Sequence[dict[str, Any]]], path: str | os.PathLike[str]
) -> None:
    """Error rate of each rung of the compression ladder, with its size.

    Parameters
    ----------
    ladders
        The rungs of each line of the plot: `name`, `bytes`, and `per` as (mean, standard
        deviation over folds), as `ladder.summary` gives them.
    path
        SVG file to write.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH, 5), layout="constrained")
        panel = figure.subplots()
        names = list(dict.fromkeys(rung["name"] for rungs in ladders.values() for rung in rungs))
        size = {rung["name"]: rung["bytes"] for rungs in ladders.values() for rung in rungs}
        for number, (label, rungs) in enumerate(ladders.items()):
            # Side by side, so that the bars can be told apart.
            shift = (number - (len(ladders) - 1) / 2) * 0.12
            panel.errorbar(
                [names.index(rung["name"]) + shift for rung in rungs],
                [rung["per"][0] for rung in rungs],
                yerr=[rung["per"][1] for rung in rungs],
                capsize=3,
                elinewidth=1,
                label=label,
                **_look(number),
            )
        panel.set_xticks(
            range(len(names)),
            [f"{name}\n{_size(size[name])}" for name in names],
            rotation=35,
            ha="right",
            rotation_mode="anchor",
        )
        panel.grid(axis="x", visible=False)
        panel.set_ylabel("phone error rate (bars: spread of folds)")
        panel.yaxis.set_major_formatter(_percent())
        panel.legend()
        _save(figure, path)


def _percent() -> FuncFormatter:
    return FuncFormatter(lambda share, _place: f"{100 * share:.4g} %")


def _look(number: int) -> dict[str, str]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
    }


def _size(count: float) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    path = Path(path)
    with atomic_open(path) as file:
        figure.savefig(file, format=path.suffix[1:] or "svg", metadata=_undated(path))


def _undated(path: Path) -> dict[str, None] | None:
    """No date in the file, so that the same results are the same bytes."""
    return {"Date": None} if path.suffix == ".svg" else None
