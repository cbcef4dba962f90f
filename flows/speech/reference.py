# SPDX-License-Identifier: Apache-2.0
"""Reference phones of a recording, from its labels or from its words."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from flows.speech.figures import Phone, ReferencePhones

__all__ = ["forced_alignment", "reference_phones"]

_FLOOR = -50.0  # log score of phones that the network never outputs, so that each word has a path


def reference_phones(
    recording: Path, words: str | None, posteriors: np.ndarray, header: dict[str, Any]
) -> ReferencePhones:
    """Reference phones with their times, and a sentence on where they come from.

    Parameters
    ----------
    recording
        If a `.phn` file with the same stem stands beside it, its labels are the reference.
    words
        The sentence, if it is known.
    posteriors
        Log posteriors of the states, as from `model_zoo.scoring.decode.state_log_posteriors`.
    header
        Header of the network.

    Returns
    -------
    ReferencePhones
        The phones, empty if nothing is known.
    """
    from model_zoo.data.labels import sample_labels
    from model_zoo.data.listing import Listing
    from model_zoo.speech import phones
    from model_zoo.speech.audio import SAMPLE_RATE
    from model_zoo.speech.files import read_text

    recording = Path(recording)
    try:
        labels = Listing(recording.parent, deep=False).partner(recording, ".phn")
        found = sample_labels(read_text(labels)) if labels is not None else None
    except (OSError, ValueError) as error:
        return _none(f"The labels beside the recording cannot be read: {error}.")
    if found is not None:
        timed = [
            Phone(phone=phone, start=first / SAMPLE_RATE, end=end / SAMPLE_RATE)
            for first, end, phone in found
        ]
        return ReferencePhones(phones=timed, source="The phone labels beside the recording.")
    if not words:
        return _none("The recording has neither phone labels nor a transcript to compare with.")
    try:
        sequence = phones.transcribe(words)
    except (ImportError, phones.UnknownWordError) as error:
        return _none(f"The words are known, but not their phones: {error}.")
    timed = forced_alignment(sequence, posteriors, header)
    if not timed:
        return _none("The recording is too short for the phones of its words.")
    return ReferencePhones(
        phones=timed,
        source="The dictionary's phones of the words, placed in time by forced alignment to the "
        "network's own outputs; nobody has labelled this recording.",
    )


def _none(why: str) -> ReferencePhones:
    return ReferencePhones(phones=[], source=why)


def forced_alignment(
    sequence: list[tuple[str, bool]], posteriors: np.ndarray, header: dict[str, Any]
) -> list[Phone]:
    """Times of the phones of a known sequence, from the best path through their states (Viterbi).

    Parameters
    ----------
    sequence
        Phones, and whether each is optional, as from `model_zoo.speech.phones.transcribe`.
    posteriors
        Log posteriors [frames, 183] of the states.
    header
        Header of the network: its decoder weights and durations.

    Returns
    -------
    list
        "phone", "start" and "end" (seconds) of each phone that was said; empty if there are more
        states than frames.
    """
    from model_zoo.scoring import decode
    from model_zoo.speech import phones
    from model_zoo.speech.audio import FRAME_SAMPLES, SAMPLE_RATE
    from model_zoo.speech.features import FRAME_SECONDS

    per_phone = phones.N_STATES
    states = np.array([phones.label_index(p, k) for p, _ in sequence for k in range(per_phone)])
    score = np.maximum(decode.emission_scores(posteriors, header), _FLOOR)[:, states]
    stay = np.asarray(header["log_stay"])[states]
    leave = np.asarray(header["log_leave"])[states]
    path = _best_path(score, stay, leave, _entries(sequence, per_phone))
    if path is None:
        return []
    visited = path // per_phone
    cuts = [*np.flatnonzero(np.diff(visited, prepend=-1)), len(visited)]
    lead = (FRAME_SAMPLES / SAMPLE_RATE - FRAME_SECONDS) / 2
    return [
        Phone(
            phone=sequence[visited[start]][0],
            start=round(start * FRAME_SECONDS + lead, 4),
            end=round(end * FRAME_SECONDS + lead, 4),
        )
        for start, end in itertools.pairwise(cuts)
    ]


def _entries(sequence: list[tuple[str, bool]], per_phone: int) -> list[list[int]]:
    """The states that lead into each state of the sequence."""
    entries = []
    for place in range(len(sequence) * per_phone):
        phone, state = divmod(place, per_phone)
        before = [place - 1] if place else []
        while state == 0 and phone > 1 and sequence[phone - 1][1]:  # skips optional phones
            phone -= 1
            before.append(phone * per_phone - 1)
        entries.append(before)
    return entries


def _best_path(
    score: np.ndarray, stay: np.ndarray, leave: np.ndarray, entries: list[list[int]]
) -> np.ndarray | None:
    """The best path from the first state to the last, one state per frame.

    Parameters
    ----------
    score
        Log scores [frames, states].
    stay, leave
        Log probabilities [states] of staying in a state and of leaving it.
    entries
        What `_entries` returns.

    Returns
    -------
    numpy.ndarray or None
        State of each frame; None if no path reaches the last state.
    """
    best = np.full(len(entries), -np.inf)
    best[0] = score[0, 0]
    came = np.zeros(score.shape, np.int64)
    for frame in range(1, len(score)):
        moved = best + leave
        next_best = best + stay
        came[frame] = np.arange(len(entries))
        for place, before in enumerate(entries):
            for entry in before:
                if moved[entry] > next_best[place]:
                    next_best[place], came[frame, place] = moved[entry], entry
        best = next_best + score[frame]
    if np.isneginf(best[-1]):
        return None
    path = [len(entries) - 1]
    for frame in range(len(score) - 1, 0, -1):
        path.append(came[frame, path[-1]])
    return np.array(path[::-1])
