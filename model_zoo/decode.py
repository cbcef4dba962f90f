# SPDX-License-Identifier: Apache-2.0
"""Logits to phones: a Viterbi search over phones of three states, and how wrong it was."""

from dataclasses import dataclass

import numpy as np

from model_zoo import phones
from model_zoo.audio import FRAME_SAMPLES, SAMPLE_RATE
from model_zoo.features import FRAME_SECONDS

__all__ = [
    "Segment",
    "decode",
    "edit_distance",
    "emission_scores",
    "log_posteriors",
    "phone_error_rate",
]

N_STATES = phones.N_STATES
N_PHONES = len(phones.PHONES)


@dataclass(frozen=True)
class Segment:
    """A decoded phone and its time, in seconds from the beginning of the recording."""

    phone: str
    start: float
    end: float


def log_posteriors(logits, header):
    """Log posteriors of the labels, `[frames, 183]`.

    Parameters
    ----------
    logits : numpy.ndarray
        Integer logits `[frames + D, 183]` of one utterance whose features had D zero frames
        appended, D being the header's `label_delay`.
    header : dict
        The network file's header.

    Raises
    ------
    ValueError
        The logits have another shape than the header says.
    """
    logits = np.asarray(logits)
    delay = header["label_delay"]
    if logits.ndim != 2 or logits.shape[1] != len(header["labels"]):
        raise ValueError(
            f"logits have shape {logits.shape!r}; they must be [frames, {len(header['labels'])}]"
        )
    if len(logits) <= delay:
        raise ValueError(
            f"logits have {len(logits)} frames; more than the label delay of {delay} are needed"
        )
    scores = logits[delay:] * header["scales"]["readout"]
    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def emission_scores(logits, header):
    """Weighted scaled log likelihoods of the labels, `[frames, 183]`, for the search.

    `acoustic_weight * (log posterior - prior_weight * log prior)`, and minus infinity for the
    phones that the network was never trained on.
    """
    weights = header["decoder"]
    scores = log_posteriors(logits, header)
    scores = scores - weights["prior_weight"] * np.asarray(header["log_priors"])
    scores *= weights["acoustic_weight"]
    for phone in weights["excluded"]:
        first = phones.label_index(phone, 0)
        scores[:, first : first + N_STATES] = -np.inf
    return scores


def decode(logits, header):
    """Decode one utterance.

    Parameters
    ----------
    logits : numpy.ndarray
        As for `log_posteriors`.
    header : dict
        The network file's header: `scales`, `label_delay`, `labels`, `log_priors`,
        `phone_bigram` (log probability of a phone, second index, behind another, first index),
        `log_stay` and `log_leave` (log probabilities of each state), and `decoder`
        (`acoustic_weight`, `prior_weight`, `bigram_weight`, `phone_score`, `excluded`).

    Returns
    -------
    list of Segment
        In order of time. A frame stands for the 10 ms around the middle of its window.

    Raises
    ------
    ValueError
        The header is for other labels than those of `phones.LABELS`.
    """
    if tuple(header["labels"]) != phones.LABELS:
        raise ValueError(
            "header['labels'] are not the 183 states of TIMIT's 61 phones; this "
            "decoder knows no others"
        )
    path = _search(emission_scores(logits, header), header)
    cuts = np.flatnonzero(np.diff(path, prepend=-1))
    starts = [cut for cut in cuts if cut == 0 or path[cut] % N_STATES == 0]
    lead = (FRAME_SAMPLES / SAMPLE_RATE - FRAME_SECONDS) / 2
    return [
        Segment(
            phones.PHONES[path[start] // N_STATES],
            round(start * FRAME_SECONDS + lead, 4),
            round(end * FRAME_SECONDS + lead, 4),
        )
        for start, end in zip(starts, [*starts[1:], len(path)], strict=True)
    ]


def _search(emission, header):
    """Best label of each frame: an utterance starts in a first state, may end anywhere."""
    weights = header["decoder"]
    bigram = weights["bigram_weight"] * np.asarray(header["phone_bigram"]) + weights["phone_score"]
    stay = np.asarray(header["log_stay"]).reshape(N_PHONES, N_STATES)
    leave = np.asarray(header["log_leave"]).reshape(N_PHONES, N_STATES)
    emission = emission.reshape(-1, N_PHONES, N_STATES)
    first = phones.PHONES.index("h#")
    best = np.full((N_PHONES, N_STATES), -np.inf)
    best[:, 0] = emission[0, :, 0] + bigram[first]
    moved = np.zeros(emission.shape, bool)
    source = np.zeros((len(emission), N_PHONES), np.int64)
    for frame in range(1, len(emission)):
        step = best + leave
        entries = step[:, -1, None] + bigram
        source[frame] = entries.argmax(axis=0)
        arriving = np.empty_like(best)
        arriving[:, 0] = entries[source[frame], np.arange(N_PHONES)]
        arriving[:, 1:] = step[:, :-1]
        staying = best + stay
        moved[frame] = arriving > staying
        best = np.where(moved[frame], arriving, staying) + emission[frame]
    path = np.empty(len(emission), np.int64)
    phone, state = np.unravel_index(best.argmax(), best.shape)
    for frame in range(len(emission) - 1, -1, -1):
        path[frame] = phone * N_STATES + state
        if moved[frame, phone, state]:
            if state:
                state -= 1
            else:
                phone, state = source[frame, phone], N_STATES - 1
    return path


def edit_distance(reference, found):
    """Fewest substitutions, deletions and insertions that turn one sequence into another."""
    row = list(range(len(found) + 1))
    for number, wanted in enumerate(reference, 1):
        diagonal, row[0] = row[0], number
        for position, got in enumerate(found, 1):
            cost = min(row[position] + 1, row[position - 1] + 1, diagonal + (wanted != got))
            diagonal, row[position] = row[position], cost
    return row[-1]


def phone_error_rate(references, found, silence=True):
    """Phone error rate over the 39 folded phones, all utterances pooled.

    Parameters
    ----------
    references, found : list of list of str
        Per utterance, names out of the 61 phones.
    silence : bool
        Score silence (closures and pauses) as a phone; else leave it out of both.

    Returns
    -------
    float
        Edits per reference phone.
    """
    edits = total = 0
    for wanted, got in zip(references, found, strict=True):
        wanted = phones.fold(wanted, silence)
        edits += edit_distance(wanted, phones.fold(got, silence))
        total += len(wanted)
    if not total:
        raise ValueError("the references hold no phones; an error rate needs at least one")
    return edits / total
