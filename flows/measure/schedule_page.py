# SPDX-License-Identifier: Apache-2.0
"""`make schedule`: the drawn frames and the tables of docs/schedule.md, from the models.

The pictures come from the cycle model's trace. The sums of the worked frame are written out from
the lists of inputs that spike, as a reader checks them; tests compare them with the cycle laws.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.inputs import audio_features
from flows.measure import pages
from flows.report.timeline import timeline
from flows.simulation.bounds import expected_least_cycles, least_cycles
from flows.simulation.overlap import drawn_spikes, savings
from flows.simulation.slots import frame_slots
from flows.speech.demo import shipped_sentence
from golden_model import PUBLISHED, Network, cycle_laws, expected_cycles, random_features
from golden_model.digits import non_adjacent_form
from golden_model.files.writing import atomic_write
from hw.config import HIDDEN_WORK, AcceleratorConfig, preset
from hw.errors import PlosiveError
from model_zoo import zoo

__all__ = [
    "DRAWN",
    "FOLDER",
    "FRAME",
    "PAGE",
    "Operand",
    "Worked",
    "blocks",
    "main",
    "pictures",
    "small_machine",
    "small_network",
    "worked_frame",
]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "schedule.md"
FOLDER = PAGE.with_suffix("")
"""The folder of the page's pictures."""

_SMALL = AcceleratorConfig(
    n_input=4, hidden=(6, 6), recurrent=(True, True), n_output=18, lanes=6, output_lanes=12
)
# Of the random network and features: every operand of this frame has inputs that spike in both time
# steps, in the first only, in the second only, and in none; features are negative, positive and 0.
_SEED, _FRAMES, FRAME = 97, 60, 42

DRAWN: dict[str, tuple[str, dict[str, object]]] = {
    "all": ("T = 2, hidden_work all, readout merged", {}),
    "union": ("T = 2, hidden_work union, readout merged", {"hidden_work": "union"}),
    "split": ("T = 2, hidden_work split, readout merged", {"hidden_work": "split"}),
    "naf": (
        "T = 2, hidden_work split, input_digits naf",
        {"hidden_work": "split", "input_digits": "naf"},
    ),
    "serial": (
        "T = 2, hidden_work union, readout not merged",
        {"hidden_work": "union", "merge_readout": False},
    ),
    "t1": ("T = 1", {"time_steps": 1}),
}
"""The pictures: title, and what the configuration has other than the small one's defaults."""


# ---- the worked frame -------------------------------------------------------------------------


@dataclass(frozen=True)
class Operand:
    """A spike matrix's inputs in the worked frame.

    Attributes
    ----------
    matrix
        Its name, in words.
    steps
        The inputs that spike, by time step.
    """

    matrix: str
    steps: tuple[frozenset[int], ...]

    @property
    def union(self) -> frozenset[int]:
        return frozenset().union(*self.steps)

    @property
    def both(self) -> frozenset[int]:
        return self.steps[0] & self.steps[-1]

    def only(self, step: int) -> frozenset[int]:
        """Those that spike in this time step alone."""
        return self.steps[step] - self.steps[1 - step]


@dataclass(frozen=True)
class Worked:
    """The cycles of the worked frame with an option.

    Attributes
    ----------
    parts
        What the columns of the page's table say, (how it is counted, cycles).
    """

    parts: dict[str, tuple[str, int]]

    @property
    def total(self) -> int:
        return sum(cycles for _, cycles in self.parts.values())


def small_machine(name: str) -> AcceleratorConfig:
    """The machine of a picture of `DRAWN`."""
    return _SMALL.replace(**DRAWN[name][1])


def small_network(config: AcceleratorConfig) -> tuple[Network, np.ndarray]:
    """The random network of the pictures for a machine, and its features."""
    drawn = Network.random(_SMALL.replace(time_steps=config.time_steps), _SEED)
    return drawn.on(config), random_features(_SMALL, _FRAMES, _SEED)


def operands(network: Network, features: np.ndarray) -> list[Operand]:
    """What the spike phases of the worked frame are given."""
    spikes = network.run(features).spikes

    def of(matrix: str, layer: int, frame: int) -> Operand:
        steps = (frozenset(np.flatnonzero(s).tolist()) for s in spikes[layer][frame])
        return Operand(matrix, tuple(steps))

    return [
        of("w_rec of layer 0", 0, FRAME - 1),
        of("w_rec of layer 1", 1, FRAME - 1),
        of("w_in of layer 1", 0, FRAME),
        of("w_out", 1, FRAME),
    ]


def worked_frame(config: AcceleratorConfig) -> Worked:
    """The laws of docs/architecture.md, applied by hand to the drawn frame."""
    network, features = small_network(config)
    *hidden, readout = operands(network, features)
    digits = _ones if config.input_digits == "bits" else _non_adjacent
    parts = {"input": _sum([max(digits(x)) for x in features[FRAME].tolist()])}
    for operand in hidden:
        parts[operand.matrix] = _hidden(config, operand)
    # A pair of tiles takes an input a cycle; the odd tile one of each bank.
    if config.merge_readout or config.time_steps == 1:
        issued = sorted(readout.union)
    else:
        issued = sorted(i for step in readout.steps for i in step)
    parts["w_out, pair"] = _most([len(issued)])
    parts["w_out, odd tile"] = _most([sum(i % 2 == b for i in issued) for b in range(2)])
    layers, halves = config.n_layers, config.parts
    parts["LIF"] = f"{layers} x {config.time_steps} x {halves}", layers * config.time_steps * halves
    overhead = f"{halves} LOAD + 1 WAIT"
    if config.merges:
        overhead = f"{halves} LOAD + {layers} x {halves} MERGE + 1 WAIT"
    parts["overhead"] = overhead, halves + 1 + (layers * halves if config.merges else 0)
    return Worked(parts)


def _hidden(config: AcceleratorConfig, operand: Operand) -> tuple[str, int]:
    n = config.hidden[0]
    if config.time_steps == 1:
        return _most([_in_bank(operand.union, b) for b in range(2)])
    if config.hidden_work == "all":
        return str(n), n
    if config.hidden_work == "union":
        return _most([len(operand.union)])
    passes = [_most([_in_bank(operand.both, b) for b in range(2)])]
    for crossed in (0, 1):
        passes.append(_most([_in_bank(operand.only(b ^ crossed), b) for b in range(2)]))
    return " + ".join(text for text, _ in passes), sum(cycles for _, cycles in passes)


def _in_bank(inputs: frozenset[int], bank: int) -> int:
    return sum(i % 2 == bank for i in inputs)


def _most(counts: list[int]) -> tuple[str, int]:
    most = max(1, *counts)
    return (f"max(1, {', '.join(map(str, counts))})", most)


def _sum(counts: list[int]) -> tuple[str, int]:
    return " + ".join(map(str, counts)), sum(counts)


def _ones(value: int) -> tuple[int, int]:
    """Bits that are 1 of the low and of the high nibble of a feature."""
    return (value & 15).bit_count(), (value >> 4 & 15).bit_count()


def _non_adjacent(value: int) -> tuple[int, int]:
    """Digits that are not 0 of both halves of a feature's non-adjacent form."""
    digits = [digit != 0 for digit in non_adjacent_form(value)]
    return sum(digits[:4]), sum(digits[4:])


# ---- what the page shows ----------------------------------------------------------------------


def pictures() -> dict[str, str]:
    """Every picture of the page, SVG, by its file's name."""
    drawn = {}
    for name, (title, _) in DRAWN.items():
        config = small_machine(name)
        slots = frame_slots(config, *small_network(config), FRAME)
        drawn[f"{name}.svg"] = timeline(f"{title}: {len(slots)} clocks", slots)
    return drawn


def blocks() -> dict[str, str]:
    """The page's blocks that are computed, by the name in their markers."""
    return {
        "features": _features_block(),
        "spikes": _spikes_block(),
        "sums": _sums_block(),
        "published": _published_block(),
        "speech": _speech_block(),
        "savings": _savings_block(),
    }


def _features_block() -> str:
    _, features = small_network(_SMALL)
    rows = []
    for number, value in enumerate(features[FRAME].tolist()):
        bits = f"{value & 255:08b}"
        form = "".join("0+-"[digit] for digit in reversed(non_adjacent_form(value)))
        row = [str(number), str(value)]
        for shown, (low, high) in ((bits, _ones(value)), (form, _non_adjacent(value))):
            row += [f"`{shown[:4]} {shown[4:]}`", f"max({high}, {low}) = {max(low, high)}"]
        rows.append(row)
    return pages.table(["feature", "value", "bits", "slots", "non-adjacent form", "slots"], rows)


def _spikes_block() -> str:
    rows = []
    for operand in operands(*small_network(_SMALL)):
        named = operand.only(0), operand.only(1), operand.both
        rows.append([operand.matrix, *(", ".join(map(str, sorted(n))) or "-" for n in named)])
    for operand in operands(*small_network(_SMALL.replace(time_steps=1))):
        inputs = ", ".join(map(str, sorted(operand.union))) or "-"
        rows.append([f"{operand.matrix}, T = 1", inputs, "", ""])
    head = ["operand of", "spikes in time step 0 only", "in 1 only", "in both"]
    return pages.table(head, rows)


def _sums_block() -> str:
    found = {name: worked_frame(small_machine(name)) for name in DRAWN}
    labels = dict.fromkeys(label for one in found.values() for label in one.parts)
    rows = []
    for label in labels:
        cells = []
        for one in found.values():
            text, cycles = one.parts[label]
            cells.append(text if text == str(cycles) else f"{text} = {cycles}")
        rows.append([label, *cells])
    rows.append(["**cycles**", *(f"**{one.total}**" for one in found.values())])
    return pages.table(["", *(f"[{name}](schedule/{name}.svg)" for name in found)], rows)


_SHAPES: dict[str, tuple[str, dict[str, object]]] = {
    **{f"`hidden_work` {work}": ("paper-t2", {"hidden_work": work}) for work in HIDDEN_WORK},
    "split, `input_digits` naf": ("paper-t2", {"hidden_work": "split", "input_digits": "naf"}),
    "split, readout not merged": (
        "paper-t2",
        {"hidden_work": "split", "merge_readout": False},
    ),
    "split, naf, `readout_every` 2": (
        "paper-t2",
        {"hidden_work": "split", "input_digits": "naf", "readout_every": 2},
    ),
    "the preset `fast`": ("fast", {}),
    "`fast`, `readout_every` 2": ("fast", {"readout_every": 2}),
    "T = 1": ("paper-t1", {}),
    "T = 1, naf": ("paper-t1", {"input_digits": "naf"}),
}


def _published_block() -> str:
    rows = []
    for label, (name, changes) in _SHAPES.items():
        config = preset(name).replace(**changes)
        cycles, least = expected_cycles(config), expected_least_cycles(config, PUBLISHED)
        parts = (cycles.input, cycles.hidden, cycles.readout, cycles.lif)
        fewest = (least.input, least.hidden, least.readout)
        rows.append(
            [
                label,
                *(f"{part:.1f}" for part in (*parts, cycles.overhead, cycles.stalls)),
                f"**{cycles.total:.1f}**",
                f"{' + '.join(f'{part:.1f}' for part in fewest)} = **{least.total:.1f}**",
            ]
        )
    parts = ["input", "hidden", "readout", "LIF", "overhead", "stalls", "cycles"]
    return pages.table(["`paper-t2` and `paper-t1`", *parts, "additions / 2"], rows)


def _speech(name: str) -> tuple[Network, np.ndarray, list[np.ndarray]]:
    """A network of the zoo on the shipped sentence: features, and spikes."""
    network = Network.load(zoo.path(name))
    features = audio_features(shipped_sentence().path, network.header)
    return network, features, network.run(features).spikes


_BEST = {"hidden_work": "split", "input_digits": "naf"}
_ON_SPEECH: dict[str, dict[str, object]] = {
    **{f"`hidden_work` {work}": {"hidden_work": work} for work in HIDDEN_WORK},
    "split, `input_digits` naf": _BEST,
    "split, naf, `output_lanes` 32": {**_BEST, "output_lanes": 32},
    "as `fast`: likewise, `lif_lanes` all": {**_BEST, "output_lanes": 32, "lif_lanes": "all"},
}


def _speech_block() -> str:
    rows = []
    for name in ("speech", "speech-1920"):
        network, features, spikes = _speech(name)
        least = least_cycles(network.config, features, spikes)
        fewest = (least.input, least.hidden, least.readout)
        before = None
        for label, changes in _ON_SPEECH.items():
            laws = cycle_laws(network.config.replace(**changes), features, spikes)
            total = float(laws.total.mean())
            before = before or total
            parts = (laws.input, laws.hidden, laws.readout, laws.lif, laws.overhead, laws.stalls)
            rows.append(
                [
                    f"`{name}`, {label}",
                    *(f"{part.mean():.1f}" for part in parts),
                    f"**{total:.1f}**",
                    f"{total / before:.3f}",
                    f"{' + '.join(f'{part:.1f}' for part in fewest)} = **{least.total:.1f}**",
                ]
            )
    parts = ["input", "hidden", "readout", "LIF", "overhead", "stalls", "cycles", "of `all`"]
    return pages.table(["", *parts, "additions / 2"], rows)


def _savings_block() -> str:
    shapes = {}
    for name in ("speech", "speech-1920"):
        network, _, spikes = _speech(name)
        shapes[name] = network.config, spikes
    paper = preset("paper-t2")
    shapes["paper-t2"] = paper, drawn_spikes(paper, PUBLISHED, 20_000)
    rows = []
    for name, (config, spikes) in shapes.items():
        saved = savings(config.replace(hidden_work="split"), spikes)
        cells = saved.lif_under_recurrent, saved.lif_under_input, saved.joined, saved.together
        rows.append([f"`{name}`", *(f"{cycles:.1f}" for cycles in cells)])
    return pages.table(["", "A", "B, at most", "C", "A and C"], rows)


def main() -> None:
    """Draw the pictures, and fill in the page's tables."""
    text = PAGE.read_text(encoding="utf-8")
    try:
        for name, inside in blocks().items():
            text = pages.with_block(text, name, inside)
    except PlosiveError as error:
        sys.exit(f"flows.measure.schedule_page: {PAGE.name}: {error}")
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        atomic_write(FOLDER / name, picture.encode())
    atomic_write(PAGE, text.encode())
    print(f"wrote {PAGE.name} and {len(DRAWN)} pictures")


if __name__ == "__main__":
    main()
