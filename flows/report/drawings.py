# SPDX-License-Identifier: Apache-2.0
"""Figures of the report as inline SVG.

Positions along a figure are percentages and text is not scaled, so figures fit any width and stay
readable; only rasters and curves are stretched. Colours are classes in the page's style sheet,
which has a light, a dark and a print version.
"""

import base64
import io
import itertools
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image

__all__ = ["Bar", "Cell", "Part", "bars", "curves", "heat", "raster", "strip", "tiles", "time_axis"]

# Dark to light in even steps of lightness, through hues that colour-blind readers tell apart.
_RAMP = ("#0b1633", "#123c69", "#0072b2", "#3f9fc4", "#9ccb86", "#f0e442", "#fffbe0")

# Pixels: width of a figure on paper and on a phone, width of a letter, height of a line.
_WIDE, _PHONE = 680, 320
_LETTER, _LINE = 7.5, 17


@dataclass(frozen=True)
class Part:
    """A piece of a bar, from `start` to `end` as shares of the figure's width."""

    start: float
    end: float
    kind: str
    text: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar with its label above it; `band` is a published range, as shares of the width."""

    label: str
    value: str
    parts: Sequence[Part]
    band: tuple[float, float] | None = None


@dataclass(frozen=True)
class Cell:
    """A named interval of time, as shares of the axis."""

    start: float
    end: float
    text: str
    kind: str


def _svg(title: str, height: float, body: Iterable[Markup]) -> Markup:
    return Markup(
        '<svg role="img" width="100%" height="{}" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(f"{height:g}", title, title, Markup("").join(body))


def _share(value: float) -> str:
    return f"{100 * value:.5g}%"


def _grid(seconds: Sequence[float]) -> Markup:
    return Markup("").join(
        Markup('<line class="grid" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(_share(x))
        for x in seconds
    )


def _stretched(columns: float, rows: float, body: str) -> Markup:
    return Markup(
        '<svg width="100%" height="100%" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(f"{columns:g}", f"{rows:g}", Markup(body))


def heat(
    title: str, values: np.ndarray, columns: int, height: int, grid: Sequence[float]
) -> Markup:
    """A picture of `values` [bands, frames], the first band at the bottom, dark to light.

    Parameters
    ----------
    columns
        Frames of the whole axis.
    grid
        Positions of the vertical lines, as shares of the width.
    """
    low, high = np.percentile(values, [1, 99.5])
    levels = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    picture = Image.fromarray(np.rint(255 * levels[::-1]).astype(np.uint8))
    picture.putpalette(_palette())
    held = io.BytesIO()
    picture.save(held, "PNG", optimize=True)
    data = base64.b64encode(held.getvalue()).decode()
    image = (
        f'<image width="{values.shape[1]}" height="{values.shape[0]}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/>'
    )
    return _svg(title, height, [_stretched(columns, values.shape[0], image), _grid(grid)])


def _palette() -> list[int]:
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in _RAMP])
    place = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(place, range(len(stops)), channel) for channel in stops.T]
    return np.rint(np.stack(channels, axis=1)).astype(int).ravel().tolist()


def raster(title: str, spikes: np.ndarray, height: int, grid: Sequence[float]) -> Markup:
    """Spikes [frames, n]: neuron 0 at the top, one column a frame."""
    frames, neurons = spikes.shape
    path = []
    for neuron, row in enumerate(spikes.T):
        edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0, append=0)).tolist()
        move = f"M{{}} {neuron + 0.5}"
        at = 0
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            path.append(f"{move.format(start - at)}h{end - start}")
            move, at = "m{} 0", end
    body = f'<path class="spikes" d="{"".join(path)}"/>'
    return _svg(title, height, [_grid(grid), _stretched(frames, neurons, body)])


def curves(title: str, values: np.ndarray, columns: int, row: int, grid: Sequence[float]) -> Markup:
    """Shares [rows, frames] as one filled curve a row, each `row` pixels high."""
    path = []
    for number, shares in enumerate(values):
        height = np.rint(100 * (number + 1 - 0.94 * shares)).astype(int)
        changed = np.flatnonzero(np.diff(height, prepend=-1)).tolist()
        base = 100 * (number + 1)
        path.append(f"M0 {base}")
        for start, end in itertools.pairwise([*changed, len(shares)]):
            path.append(f"V{height[start]}H{end}")
        path.append(f"V{base}z")
    lines = "".join(f"M0 {100 * (n + 1)}H{columns}" for n in range(len(values)))
    body = f'<path class="rule" d="{lines}"/><path class="curve" d="{"".join(path)}"/>'
    picture = _stretched(columns, 100 * len(values), body)
    return _svg(title, row * len(values), [_grid(grid), picture])


def strip(title: str, cells: Sequence[Cell]) -> Markup:
    """Named intervals of time; names alternate between two lines, so that short ones fit."""
    boxes, names = [], []
    for number, cell in enumerate(cells):
        boxes.append(
            Markup('<rect class="cell {}" x="{}" y="1" width="{}" height="42"/>').format(
                cell.kind, _share(cell.start), _share(cell.end - cell.start)
            )
        )
        middle = (cell.start + cell.end) / 2
        # Centred names at the ends would stick out of the figure.
        anchor = "start" if middle < 0.01 else "end" if middle > 0.99 else "middle"
        x = {"start": 0, "end": 1}.get(anchor, middle)
        names.append(
            Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
                _share(x), 17 + 19 * (number % 2), anchor, cell.text
            )
        )
    body = [*boxes, *names]
    return _svg(title, 44, body)


def time_axis(ticks: Sequence[tuple[float, str]]) -> Markup:
    """Labels of the grid lines, given as shares of the width and texts."""
    body = [
        Markup('<text x="{}" y="14" text-anchor="middle">{}</text>').format(_share(x), text)
        for x, text in ticks
    ]
    return Markup('<svg aria-hidden="true" width="100%" height="20">{}</svg>').format(
        Markup("").join(body)
    )


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    """Bars one below the other, each with its label and value above it."""
    pitch, thick = 44, 15
    body = []
    for number, bar in enumerate(rows):
        top = pitch * number
        body.append(
            Markup(
                '<text x="0" y="{0}">{1}</text>'
                '<text class="value" x="100%" y="{0}" text-anchor="end">{2}</text>'
                '<rect class="track" x="0" y="{3}" width="100%" height="{4}"/>'
            ).format(top + 14, bar.label, bar.value, top + 20, thick)
        )
        for part in bar.parts:
            body.append(
                Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                    f"part {part.kind}",
                    _share(part.start),
                    top + 20,
                    _share(part.end - part.start),
                    thick,
                )
            )
            if part.text:
                body.append(
                    Markup('<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                        f"inside {part.kind}",
                        _share((part.start + part.end) / 2),
                        top + 32,
                        part.text,
                    )
                )
        if bar.band is not None:
            low, high = bar.band
            body.append(
                Markup('<rect class="band" x="{}" y="{}" width="{}" height="{}"/>').format(
                    _share(low), top + 17, _share(high - low), thick + 6
                )
                if high > low
                else Markup('<line class="mark" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
                    _share(low), top + 16, top + thick + 24
                )
            )
    return _svg(title, pitch * len(rows), body)


def tiles(title: str, values: dict[str, tuple[float, str, str]], height: int) -> Markup:
    """A treemap, with areas proportional to the values.

    Parameters
    ----------
    values
        The value of each name, its text, and the class that colours the tile.
    """
    order = sorted(values, key=lambda name: (-values[name][0], name))
    order = [name for name in order if values[name][0] > 0]
    body = []
    for name, (x, y, w, h) in zip(order, _squares([values[n][0] for n in order]), strict=True):
        _, words, kind = values[name]
        body.append(
            Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                f"tile {kind}", _share(x), _share(y), _share(w), _share(h)
            )
        )
        body.append(
            Markup('<svg x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title>').format(
                _share(x), _share(y), _share(w), _share(h), name, words
            )
        )
        # The name goes in if it fits on a phone, or else on paper; the table lists every name.
        for width, kind in ((_PHONE, "inside"), (_WIDE, "inside narrow")):
            letters = int((w * width - 10) / _LETTER)
            lines = [*textwrap.wrap(name, max(letters, 1), break_long_words=False), words]
            if max(map(len, lines)) <= letters and _LINE * len(lines) + 8 <= h * height:
                body += [
                    Markup('<text class="{}" x="6" y="{}">{}</text>').format(
                        kind, _LINE * (n + 1), line
                    )
                    for n, line in enumerate(lines)
                ]
                break
        body.append(Markup("</svg>"))
    return _svg(title, height, body)


def _squares(values: list[float]) -> list[tuple[float, float, float, float]]:
    """Rectangles (x, y, width, height) in the unit square, with areas in proportion to `values`.

    `values` fall. A list is split into two of about the same sum, across the longer side of a
    figure that is about twice as wide as high.
    """

    def place(part: list[float], x: float, y: float, w: float, h: float) -> None:
        if len(part) == 1:
            found.append((x, y, w, h))
            return
        total, cut, left = sum(part), 1, part[0]
        while cut < len(part) - 1 and abs(left + part[cut] - total / 2) < abs(left - total / 2):
            left += part[cut]
            cut += 1
        share = left / total
        if 2 * w >= h:
            place(part[:cut], x, y, w * share, h)
            place(part[cut:], x + w * share, y, w * (1 - share), h)
        else:
            place(part[:cut], x, y, w, h * share)
            place(part[cut:], x, y + h * share, w, h * (1 - share))

    found: list[tuple[float, float, float, float]] = []
    if values:
        place(values, 0, 0, 1, 1)
    return found
