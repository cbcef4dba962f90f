# SPDX-License-Identifier: Apache-2.0
"""The phones that a recording should give: from its labels, or from its words."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["forced_alignment", "reference_phones"]

_FLOOR = -50.0  # log score of a phone that the network never gives, so that every word has a path


def reference_phones(
    recording: Path, words: str | None, posteriors: np.ndarray, header: dict[str, Any]
) -> dict[str, Any]:
    """Reference phones with their times in seconds, and in words where they come from.

    Parameters
    ----------
    recording
        A `.phn` file of its stem beside it is taken first.
    words
        What was said, if that is known.
    posteriors
        Of `model_zoo.scoring.decode.state_log_posteriors`.
    header
        Of the network.

    Returns
    -------
    dict
        "phones" (none if nothing is known) and "source", a sentence.
    """
    from model_zoo.data.corpus import partner, sample_labels
    from model_zoo.speech import phones
    from model_zoo.speech.audio import SAMPLE_RATE
    from model_zoo.speech.files import read_text

    labels = partner(Path(recording), ".phn")
    if labels is not None:
        try:
            found = sample_labels(read_text(labels))
        except (OSError, ValueError) as error:
            return _none(f"The labels beside the recording cannot be read: {error}.")
        timed = [
            {"phone": phone, "start": first / SAMPLE_RATE, "end": end / SAMPLE_RATE}
            for first, end, phone in found
        ]
        return {"phones": timed, "source": "The phone labels beside the recording."}
    if not words:
        return _none("The recording has no phone labels and no transcript: there is no reference.")
    try:
        sequence = phones.transcribe(words)
    except (ImportError, phones.UnknownWordError) as error:
        return _none(f"The words are known, but not their phones: {error}.")
    timed = forced_alignment(sequence, posteriors, header)
    if not timed:
        return _none("The recording is too short for the phones of its words.")
    return {
        "phones": timed,
        "source": "The dictionary's phones of the words, placed in time by forced "
        "alignment to the network's own outputs; nobody labelled this recording.",
    }


def _none(why: str) -> dict[str, Any]:
    return {"phones": [], "source": why}


def forced_alignment(
    sequence: list[tuple[str, bool]], posteriors: np.ndarray, header: dict[str, Any]
) -> list[dict[str, Any]]:
    """When each phone of a known sequence was said: the best path through its states.

    Parameters
    ----------
    sequence
        Phones, and whether each is optional, as from `model_zoo.speech.phones.transcribe`.
    posteriors
        Log posteriors [frames, 183] of the states.
    header
        Of the network: its decoder weights and durations.

    Returns
    -------
    list
        Empty if there are more states than frames.
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
    before: list[list[int]] = []  # states that each can be entered from
    for place in range(len(states)):
        phone, state = divmod(place, per_phone)
        entries = [place - 1] if place else []
        while state == 0 and phone > 1 and sequence[phone - 1][1]:  # over phones left out
            phone -= 1
            entries.append(phone * per_phone - 1)
        before.append(entries)
    best = np.full(len(states), -np.inf)
    best[0] = score[0, 0]
    came = np.zeros(score.shape, np.int64)
    for frame in range(1, len(score)):
        moved = best + leave
        next_best = best + stay
        came[frame] = np.arange(len(states))
        for place, entries in enumerate(before):
            for entry in entries:
                if moved[entry] > next_best[place]:
                    next_best[place], came[frame, place] = moved[entry], entry
        best = next_best + score[frame]
    if np.isneginf(best[-1]):
        return []
    path = [len(states) - 1]
    for frame in range(len(score) - 1, 0, -1):
        path.append(came[frame, path[-1]])
    visited = np.array(path[::-1]) // per_phone
    cuts = [*np.flatnonzero(np.diff(visited, prepend=-1)), len(visited)]
    lead = (FRAME_SAMPLES / SAMPLE_RATE - FRAME_SECONDS) / 2
    return [
        {
            "phone": sequence[visited[start]][0],
            "start": round(start * FRAME_SECONDS + lead, 4),
            "end": round(end * FRAME_SECONDS + lead, 4),
        }
        for start, end in itertools.pairwise(cuts)
    ]
