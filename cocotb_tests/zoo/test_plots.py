# SPDX-License-Identifier: Apache-2.0
"""Plots of results: every figure is in them, the same bytes on every run, no date."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

pytest.importorskip("matplotlib", reason="plots need the extra: pip install -e .[train]")

from model_zoo.studies import plots

FIGURES = {"per": 0.5, "per_no_silence": 0.6, "zero_spikes": 0.9, "cycles_per_frame": 510.0}


def over_snr():
    points = [{**FIGURES, "snr_db": snr, "per": 0.9 - snr / 50} for snr in (20, 15, 10, 5, 0)]
    return {"clean": FIGURES, "noise": {"rain": points, "sea_waves": points}}


def over_length():
    lengths = [{**FIGURES, "mean_seconds": seconds} for seconds in (3, 12, 55)]
    return [{"time_steps": steps, "lengths": lengths} for steps in (2, 1)]


def tradeoff():
    return {"T = 2": [{"zero_spikes": 0.8, "per": 0.5, "spread": 0.01, "name": "none"}]}


def ladder():
    rungs = [{"name": name, "bytes": 3e5, "per": (0.4, 0.05)} for name in ("float-128", "4-bit")]
    return {"T = 2": rungs, "T = 1": rungs}


@pytest.mark.parametrize(
    ("draw", "result", "markers"),
    [
        (plots.snr_plot, over_snr(), 3 * 2 * 5 + 2),
        (plots.length_plot, over_length(), 2 * 2 * 3 + 4),
        (plots.tradeoff_plot, tradeoff(), 3),
        (plots.ladder_plot, ladder(), 3 * (2 * 2 + 2)),
    ],
)
def test_a_plot_shows_every_point_and_repeats(draw, result, markers, tmp_path):
    first, second = tmp_path / "first.svg", tmp_path / "sub" / "second.svg"
    draw(result, first)
    draw(result, second)
    assert first.read_bytes() == second.read_bytes()
    text = first.read_text()
    ElementTree.fromstring(text)
    assert "<dc:date>" not in text
    # A marker is one <use> in a line's colour: of each point, and of each line of the legend;
    # with a spread also each end of its bar.
    drawn = re.findall(r'<use [^>]*style="fill: (#[0-9a-f]{6})', text)
    assert sum(colour in plots.COLOURS for colour in drawn) == markers
