# SPDX-License-Identifier: Apache-2.0
"""A frame as a drawn timeline: the row that each bank gives, and what each PE set adds, by clock.

A column is a clock of stage F. What the PE sets do because of it they do one clock later, and the
picture shows it in the same column: the delay is the same everywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from markupsafe import escape

from flows.simulation.slots import Addition, Read, Slot, frame_slots
from golden_model import Network, cycle_laws
from golden_model.files.writing import atomic_write
from hw.config import AcceleratorConfig
from hw.schedule import Fetch, PhaseKind, Work

__all__ = ["draw_longest", "timeline"]

_ROW, _GAP = 22, 4
_COLUMN, _LETTER = 19, 6.5  # the least width of a column, and of a letter in it
_LEFT, _HEAD = 118, 116  # the labels of the rows; title, phases and clocks

_COLOURS = {"input": "#009e73", 0: "#0072b2", 1: "#e69f00"}
"""Of the input memory, and of banks 0 and 1 of the others: told apart by colour-blind readers."""
_SHADES = {
    PhaseKind.INPUT: "#d7efe6",
    PhaseKind.LOAD: "#e2e2e2",
    PhaseKind.MERGE: "#e2e2e2",
    PhaseKind.RECURRENT: "#e3edf8",
    PhaseKind.FEEDFORWARD: "#eef3fa",
    PhaseKind.BIAS: "#eef3fa",
    PhaseKind.LIF: "#f4e3f2",
    PhaseKind.WAIT: "#f7f7f7",
    PhaseKind.READOUT: "#fdf1d6",
}
_WORDS = {Work.COMMON: "common", Work.STRAIGHT: "straight", Work.CROSSED: "crossed"}
_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("01234567", "⁰¹²³⁴⁵⁶⁷")

_STYLE = (
    "text{font-family:Helvetica,Arial,sans-serif;font-size:11px;fill:#222}"
    ".m{text-anchor:middle}.e{text-anchor:end}.t{font-size:13px;font-weight:bold}"
    ".w{fill:#fff;font-weight:bold}.k{fill:#111;font-weight:bold}.g{fill:#666}"
)


@dataclass(frozen=True)
class _Cell:
    """A filled place of the picture: colour, text, and what a pointer at it is told."""

    colour: str
    text: str
    told: str


def timeline(title: str, slots: Sequence[Slot]) -> str:
    """The picture, SVG, of the clocks of a frame (`flows.simulation.slots.frame_slots`)."""
    rows = {
        "input memory": [_read(slot, None) for slot in slots],
        "bank 0": [_read(slot, 0) for slot in slots],
        "bank 1": [_read(slot, 1) for slot in slots],
        "PE set 0 adds": [_added(slot, 0) for slot in slots],
        "PE set 1 adds": [_added(slot, 1) for slot in slots],
        "neurons": [_neurons(slot) for slot in slots],
    }
    longest = max(len(cell.text) for cells in rows.values() for cell in cells if cell is not None)
    column = max(_COLUMN, math.ceil(_LETTER * longest))
    width = _LEFT + column * len(slots) + 62
    height = _HEAD + (_ROW + _GAP) * len(rows) + 8
    body = [_text(8, 18, title, "t"), *_phases(slots, column, height)]
    for clock in range(0, len(slots), 5):
        body.append(_text(_LEFT + column * (clock + 0.5), _HEAD - 5, str(clock), "m g"))
    body.append(_text(_LEFT - 8, _HEAD - 5, "clock", "e g"))
    for number, (label, cells) in enumerate(rows.items()):
        y = _HEAD + (_ROW + _GAP) * number
        body.append(_text(_LEFT - 8, y + 15, label, "e"))
        body += [_box(_LEFT + column * clock, y, column, cell) for clock, cell in enumerate(cells)]
        busy = sum(cell is not None for cell in cells)
        body.append(_text(width - 56, y + 15, f"{busy} of {len(slots)}", "g"))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'role="img" aria-label="{escape(title)}">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def draw_longest(
    path: Path, config: AcceleratorConfig, network: Network, features: np.ndarray
) -> None:
    """Write the picture of the frame of an utterance that takes the most clocks.

    Parameters
    ----------
    features
        int8 [frames, n_input].

    Raises
    ------
    PlosiveError
        The file cannot be written.
    """
    network = network.on(config)
    frame = int(cycle_laws(config, features, network.run(features).spikes).total.argmax())
    slots = frame_slots(config, network, features, frame)
    atomic_write(path, timeline(f"Frame {frame}: {len(slots):,} clocks", slots).encode())


def _phases(slots: Sequence[Slot], column: int, height: float) -> list[str]:
    """The names of the phases above their clocks, on a ground of their colour."""
    body, start = [], 0
    for (name, kind), group in groupby(slots, key=_name):
        length = len([*group])
        x, wide = _LEFT + column * start, column * length
        body.append(
            f'<rect x="{x}" y="26" width="{wide}" height="{height - 30}" '
            f'fill="{_SHADES[kind]}" stroke="#fff" stroke-width="2"/>'
        )
        if len(name) * 7.4 < wide:
            body.append(_text(x + wide / 2, 62, name, "m"))
        else:
            # Upright, in two lines if it is two words and the phase is wide enough.
            words = name.split(" ", 1) if length > 1 else [name]
            for line, word in enumerate(words):
                along = x + wide / 2 + 4 + 12 * (line - (len(words) - 1) / 2)
                body.append(
                    f'<text transform="translate({along:g} 100) rotate(-90)">{escape(word)}</text>'
                )
        start += length
    return body


def _name(slot: Slot) -> tuple[str, PhaseKind]:
    """What stands above a slot, the same for all that belong together, and its kind."""
    phase = slot.phase
    if phase.kind is PhaseKind.READOUT:
        name = f"READOUT {slot.tile}" if phase.fetch is Fetch.PAIR else "READOUT odd"
    elif phase.kind in (PhaseKind.RECURRENT, PhaseKind.FEEDFORWARD):
        short = "REC" if phase.kind is PhaseKind.RECURRENT else "FF"
        name = f"{short}{phase.layer} {_WORDS.get(phase.work, '')}".rstrip()
    elif phase.kind in (PhaseKind.BIAS, PhaseKind.LIF, PhaseKind.MERGE):
        name = f"{phase.kind.value.upper()}{phase.layer}"
    else:
        name = phase.kind.value.upper()
    return name, phase.kind


def _read(slot: Slot, bank: int | None) -> _Cell | None:
    """The row that a bank gives; None for the input memory's only one."""
    for read in slot.reads:
        if (bank is None) == (read.memory == "input") and read.bank == (bank or 0):
            colour = _COLOURS["input" if bank is None else bank]
            return _Cell(colour, _short(read), f"row {read.row}: {_long(read)}")
    return None


def _added(slot: Slot, b: int) -> _Cell | None:
    if slot.phase.kind in (PhaseKind.LOAD, PhaseKind.MERGE):
        merge = slot.phase.kind is PhaseKind.MERGE
        told = "the sum of both sets" if merge else "the sums of both halves, rounded and shifted"
        return _Cell("#8a8a8a", "Σ" if merge else "≫", told)
    addition = slot.additions[b]
    if addition is None:
        return None
    read = addition.read
    if read.memory == "input":
        told = f"adds {_power(addition)} times input {read.input}"
        return _Cell(_COLOURS["input"], _power(addition), told)
    times = f"{1 << addition.place}·" if addition.place else ""
    told = f"adds {times}row of {_long(read)}, from bank {read.bank}"
    return _Cell(_COLOURS[read.bank], f"{times}{_short(read)}", told)


def _short(read: Read) -> str:
    return "b" if read.input is None else str(read.input)


def _long(read: Read) -> str:
    return "the bias" if read.input is None else f"input {read.input}"


def _power(addition: Addition) -> str:
    return f"{_MINUS if addition.negative else ''}2{str(addition.place).translate(_SUPERSCRIPTS)}"


def _neurons(slot: Slot) -> _Cell | None:
    phase = slot.phase
    if phase.kind is PhaseKind.LIF:
        told = f"time step {phase.step} of part {phase.part} of the tile"
        return _Cell("#9b3f94", f"{phase.step}{'ab'[phase.part]}", told)
    if phase.kind in (PhaseKind.LOAD, PhaseKind.MERGE):
        return _Cell("#8a8a8a", "ab"[phase.part], f"part {phase.part} of the tile")
    return None


def _box(x: float, y: float, column: int, cell: _Cell | None) -> str:
    place = f'x="{x + 1}" y="{y}" width="{column - 2}" height="{_ROW}"'
    if cell is None:
        return f'<rect {place} fill="#fff" fill-opacity="0.75"/>'
    ink = "k" if cell.colour == _COLOURS[1] else "w"
    text = _text(x + column / 2, y + 15, cell.text, f"m {ink}")
    told = f"<title>{escape(cell.told)}</title>"
    return f'<g>{told}<rect {place} fill="{cell.colour}"/>{text}</g>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'
