# SPDX-License-Identifier: Apache-2.0
"""What decoding knows of the training data: label priors, durations, which phone follows which."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from model_zoo.speech import phones

__all__ = ["phone_sequence", "statistics"]

_N_PHONES = len(phones.PHONES)
_N_STATES = phones.N_STATES
_FIRST_DECODER = {
    "acoustic_weight": 1.0,
    "prior_weight": 0.5,
    "bigram_weight": 1.0,
    "phone_score": 0.0,
}
BACK_OFF = 5.0
"""Imagined transitions from each phone, to the others as often as they occur at all."""


def phone_sequence(states: np.ndarray) -> list[int]:
    """Numbers of the phones that a frame labelling passes through, in order.

    Parameters
    ----------
    states
        Numbers into `phones.LABELS` `[frames]`.

    Returns
    -------
    list of int
    """
    starts = np.flatnonzero(np.diff(states, prepend=-1))
    return [int(states[i]) // _N_STATES for i in starts if states[i] % _N_STATES == 0]


def statistics(
    corpora: Iterable[tuple[Sequence[np.ndarray], Sequence[np.ndarray], float]],
    labels: Sequence[str] = phones.LABELS,
) -> dict[str, Any]:
    """The entries of a network's header that decoding needs.

    Parameters
    ----------
    corpora
        For each corpus: the labels of each utterance's frames (numbers into `labels`), the same as
        numbers into `phones.LABELS`, and the corpus' weight.
    labels
        Names of the outputs.

    Returns
    -------
    dict
        `log_priors` `[labels]`; `log_stay` and `log_leave` `[183]` of the self-loop and of leaving
        a state; `phone_bigram` `[61][61]`, log probability of the second phone behind the first;
        `decoder`, weights to begin with and the phones that never occurred.
    """
    count = np.zeros(len(labels))
    frames = np.zeros(len(phones.LABELS))
    visits = np.zeros(len(phones.LABELS))
    follows = np.full((_N_PHONES, _N_PHONES), 0.05)
    occurs = np.full(_N_PHONES, 0.1)
    for outputs, states, weight in corpora:
        for known, sequence in zip(outputs, states, strict=True):
            count += weight * np.bincount(known, minlength=len(labels))
            frames += weight * np.bincount(sequence, minlength=len(phones.LABELS))
            starts = np.flatnonzero(np.diff(sequence, prepend=-1))
            visits += weight * np.bincount(sequence[starts], minlength=len(phones.LABELS))
            order = phone_sequence(sequence)
            np.add.at(follows, (order[:-1], order[1:]), weight)
            np.add.at(occurs, order, weight)
    follows += BACK_OFF * occurs / occurs.sum()
    leave = np.clip((visits + 0.5) / (frames + 1), 0.02, 0.9)
    unseen = [
        phone
        for phone, seen in zip(phones.PHONES, frames.reshape(-1, _N_STATES), strict=True)
        if not seen.any()
    ]

    def plain(values: np.ndarray) -> list[Any]:
        return np.round(values, 3).tolist()

    return {
        "log_priors": plain(np.log(np.maximum(count, 0.5) / count.sum())),
        "log_stay": plain(np.log1p(-leave)),
        "log_leave": plain(np.log(leave)),
        "phone_bigram": plain(np.log(follows / follows.sum(axis=1, keepdims=True))),
        "decoder": {**_FIRST_DECODER, "excluded": unseen},
    }
