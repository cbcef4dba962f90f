# SPDX-License-Identifier: Apache-2.0
"""How far the boundaries of a forced alignment are from those that a phonetician drew.

The sentences of NLTK's TIMIT sample are aligned from their text alone, from a flat start and by a
network, and compared with the labels by hand. The dictionary says other phones than the speaker in
places; beginnings are compared where both have the same phone of 39, by the fewest edits between
the two sequences. No alignment sees the labels by hand; the network must not have, either.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from model_zoo import data
from model_zoo.scoring.aligner import Aligner
from model_zoo.speech import align, phones
from model_zoo.speech.audio import FRAME_SAMPLES, SAMPLE_RATE
from model_zoo.speech.features import FRAME_SECONDS
from model_zoo.studies import command

__all__ = ["begins", "boundary_errors", "compare", "main"]

CORPUS = "timit-sample"
CLOSE = 0.02
"""Seconds within which a boundary counts as right, as is usual since TIMIT."""

_Begins = list[tuple[str, float]]


def begins(states: np.ndarray) -> _Begins:
    """Phones of a frame labelling, with the seconds at which they begin.

    Parameters
    ----------
    states
        Numbers into `phones.LABELS` `[frames]`. A boundary is halfway between the middles of two
        frames' windows.
    """
    states = np.asarray(states, np.int64)
    lead = (FRAME_SAMPLES / SAMPLE_RATE - FRAME_SECONDS) / 2
    changed = np.flatnonzero(np.diff(states, prepend=-1))
    first = [frame for frame in changed if states[frame] % phones.N_STATES == 0]
    return [
        (phones.PHONES[states[frame] // phones.N_STATES], frame * FRAME_SECONDS + lead)
        for frame in first
    ]


def boundary_errors(found: _Begins, by_hand: _Begins) -> list[float]:
    """Seconds between the beginnings of the phones, folded to 39, that two sequences share."""
    ours, theirs = _folded(found), _folded(by_hand)
    edits = np.zeros((len(ours) + 1, len(theirs) + 1), np.int64)
    edits[:, 0], edits[0] = np.arange(len(ours) + 1), np.arange(len(theirs) + 1)
    for i, (phone, _) in enumerate(ours):
        for j, (other, _) in enumerate(theirs):
            edits[i + 1, j + 1] = min(
                edits[i, j] + (phone != other), edits[i, j + 1] + 1, edits[i + 1, j] + 1
            )
    i, j, errors = len(ours), len(theirs), []
    while i and j:
        (phone, begin), (other, wanted) = ours[i - 1], theirs[j - 1]
        if edits[i, j] == edits[i - 1, j - 1] + (phone != other):
            if phone == other:
                errors.append(abs(begin - wanted))
            i, j = i - 1, j - 1
        elif edits[i, j] == edits[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return errors


def _folded(sequence: _Begins) -> _Begins:
    """The phones folded to 39; silences that become neighbours begin with the first of them."""
    folded: _Begins = []
    for phone, begin in sequence:
        name = phones.fold([phone])
        if name and not (name == [phones.SILENCE] and folded and folded[-1][0] == name[0]):
            folded.append((name[0], begin))
    return folded


def compare(
    utterances: Sequence[data.Utterance], labels: Iterable[np.ndarray]
) -> tuple[float, float, float]:
    """Mean error of the boundaries in ms, the share within 20 ms, and that of phones compared.

    Parameters
    ----------
    utterances
        With labels by hand.
    labels
        Numbers into `phones.LABELS` `[frames]` of each, by an alignment.
    """
    errors, count = [], 0
    for utterance, states in zip(utterances, labels, strict=True):
        by_hand = [(phone, first / SAMPLE_RATE) for first, _, phone in utterance.phones]
        errors += boundary_errors(begins(states), by_hand)
        count += len(_folded(by_hand))
    return (
        1000 * float(np.mean(errors)),
        float(np.mean(np.less(errors, CLOSE))),
        len(errors) / count,
    )


def main(
    network: Annotated[str, typer.Argument(help="Network of the zoo, or a file.")] = "speech",
    sentences: Annotated[
        int, typer.Option(help="Align no more than these at a time; 0 aligns all together.")
    ] = 0,
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data sets (or PLOSIVE_DATA).")
    ] = None,
    build: Annotated[Path, typer.Option(help="Keeps what took long.")] = Path("build/model_zoo"),
) -> None:
    """Compare alignments of the TIMIT sample with its labels by hand."""
    utterances = data.read(CORPUS, data_folder, splits=False)
    log_mels = data.cached_log_mel(utterances, build)
    texts = [utterance.text for utterance in utterances]
    aligner = Aligner(network)
    size = sentences or len(texts)
    ways: dict[str, list[np.ndarray]] = {"flat start": [], f"network {network}": []}
    for first in range(0, len(texts), size):
        part = slice(first, first + size)
        found = (
            align.align(texts[part], log_mels[part]),
            aligner(CORPUS, texts[part], log_mels[part]),
        )
        for kept, alignment in zip(ways.values(), found, strict=True):
            kept += alignment.labels
    console = Console(markup=False, soft_wrap=True)
    title = f"{len(texts)} sentences of {CORPUS}, {size} at a time"
    table = Table("alignment", "mean error, ms", "within 20 ms", "phones compared", title=title)
    for way, labels in ways.items():
        mean, close, share = compare(utterances, labels)
        table.add_row(way, f"{mean:.1f}", f"{100 * close:.1f} %", f"{100 * share:.1f} %")
    console.print(table)


if __name__ == "__main__":
    command.run(main)
