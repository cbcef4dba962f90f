# SPDX-License-Identifier: Apache-2.0
"""Logits to phones: a Viterbi search over phones of three states, and how wrong it was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from model_zoo.speech import phones
from model_zoo.speech.audio import FRAME_SAMPLES, SAMPLE_RATE
from model_zoo.speech.features import FRAME_SECONDS

__all__ = [
    "NEEDED",
    "Segment",
    "check_header",
    "decode",
    "decode_all",
    "decode_posteriors",
    "edit_distance",
    "emission_scores",
    "held",
    "log_posteriors",
    "phone_error_rate",
    "state_log_posteriors",
]

N_STATES = phones.N_STATES
N_PHONES = len(phones.PHONES)

_BATCH = 16
"""Utterances searched side by side: what one frame needs of them stays in the cache."""


NEEDED = ("labels", "label_delay", "scales", "log_priors", "log_stay", "log_leave")
NEEDED += ("phone_bigram", "decoder")
"""Entries of a header that decoding needs."""

_WEIGHTS = ("acoustic_weight", "prior_weight", "bigram_weight", "phone_score", "excluded")


@dataclass(frozen=True)
class Segment:
    """A decoded phone and its time, in seconds from the beginning of the recording."""

    phone: str
    start: float
    end: float


@lru_cache(maxsize=8)
def _leaves(labels: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which outputs belong to which monophone state.

    Parameters
    ----------
    labels
        Names of the outputs: "phone.state", or "phone.state.leaf" of a tied state.

    Returns
    -------
    order : numpy.ndarray
        The outputs sorted by state, those of a state in their own order.
    starts : numpy.ndarray
        Where each state that has outputs begins in `order`.
    states : numpy.ndarray
        Those states, numbers into `phones.LABELS`, ascending.

    Raises
    ------
    ValueError
        A label that names no state, twice the same, or a phone with outputs for some of its
        states only.
    """
    numbers = {name: number for number, name in enumerate(phones.LABELS)}
    found = []
    for position, label in enumerate(labels):
        state, _, leaf = label.rpartition(".") if label.count(".") == 2 else (label, "", "0")
        if state not in numbers or not leaf.isdecimal():
            raise ValueError(
                f"header['labels'][{position}] is {label!r}; it must be the name of one of the "
                "183 states of TIMIT's 61 phones, as 'aa.0', or of a leaf of one, as 'aa.0.17'"
            )
        found.append(numbers[state])
    if len(set(labels)) != len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"header['labels'] has {twice!r} twice; labels must differ")
    states = np.array(found, np.int64)
    order = np.argsort(states, kind="stable")
    present, starts = np.unique(states[order], return_index=True)
    counts = np.bincount(present // N_STATES, minlength=N_PHONES)
    for phone, count in zip(phones.PHONES, counts, strict=True):
        if 0 < count < N_STATES:
            raise ValueError(
                f"header['labels'] has {count} of the {N_STATES} states of {phone!r}; it must have "
                "all of them or none"
            )
    return order, starts, present


def _by_state(values: np.ndarray, labels: Iterable[str]) -> np.ndarray:
    """Logarithms of sums over each state's outputs: `[..., labels]` to `[..., 183]`.

    Minus infinity for the states without outputs. A single output is kept as it is, to the bit.
    """
    order, starts, states = _leaves(tuple(labels))
    values = values[..., order]
    largest = np.maximum.reduceat(values, starts, axis=-1)
    values -= np.repeat(largest, np.diff(starts, append=len(order)), axis=-1)
    # The logarithm of exp(0) is exactly 0.
    largest += np.log(np.add.reduceat(np.exp(values, out=values), starts, axis=-1))
    summed = np.full((*values.shape[:-1], len(phones.LABELS)), -np.inf)
    summed[..., states] = largest
    return summed


def check_header(header: dict[str, Any]) -> None:
    """Refuse a header that does not say how to decode.

    Parameters
    ----------
    header
        A network file's header; its types and numbers were checked when it was loaded, see
        `golden_model.files.header`. Here it is asked for what the phones of TIMIT need.

    Raises
    ------
    ValueError
        An entry is missing, or has not an entry for each phone or state.
    """
    for name in NEEDED:
        if name not in header:
            raise ValueError(f"header[{name!r}] is missing; decoding needs it")
    if "readout" not in header["scales"]:
        raise ValueError("header['scales']['readout'] is missing; decoding needs it")
    for name in _WEIGHTS:
        if name not in header["decoder"]:
            raise ValueError(f"header['decoder'][{name!r}] is missing; decoding needs it")
    for name, length in (
        ("log_stay", len(phones.LABELS)),
        ("log_leave", len(phones.LABELS)),
        ("phone_bigram", N_PHONES),
    ):
        if len(header[name]) != length:
            raise ValueError(
                f"header[{name!r}] has {len(header[name])} entries; it must have {length}"
            )
    for phone in header["decoder"]["excluded"]:
        if phone not in phones.PHONES:
            raise ValueError(
                f"header['decoder']['excluded'] has {phone!r}; it must name phones of TIMIT's 61"
            )
    if set(header["decoder"]["excluded"]) == set(phones.PHONES):
        raise ValueError("header['decoder']['excluded'] names every phone; one must be left")
    _leaves(tuple(header["labels"]))


def held(logits: np.ndarray, readout_every: int, frames: int | None = None) -> np.ndarray:
    """Logits of every frame, of a network whose readout runs on every m-th one.

    A readout stands for all frames until the next one; that is how such networks are trained.

    Parameters
    ----------
    logits
        `[readouts, ...]` of one utterance.
    readout_every
        Frames from one readout to the next, m.
    frames
        Frames of the utterance; None where that is not known, which can be up to m - 1 fewer than
        there are then logits.

    Returns
    -------
    numpy.ndarray
        `[frames, ...]`.
    """
    return np.repeat(np.asarray(logits), readout_every, axis=0)[:frames]


def log_posteriors(logits: np.ndarray, header: dict[str, Any]) -> np.ndarray:
    """Log posteriors of the labels, `[frames, labels]`.

    Parameters
    ----------
    logits
        Integer logits `[frames + D, labels]` of one utterance whose features had D zero frames
        appended, D being the header's `label_delay`.
    header
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


def state_log_posteriors(logits: np.ndarray, header: dict[str, Any]) -> np.ndarray:
    """Log posteriors of the 61 x 3 states, `[frames, 183]`: sums over the leaves of tied states.

    Minus infinity for states without labels. Parameters and errors are those of
    `log_posteriors`, and labels that name no states.
    """
    return _by_state(log_posteriors(logits, header), header["labels"])


def emission_scores(posteriors: np.ndarray, header: dict[str, Any]) -> np.ndarray:
    """Weighted scaled log likelihoods of the states, `[frames, 183]`, for the search.

    `acoustic_weight * (log posterior - prior_weight * log prior)`, and minus infinity for the
    phones that the network was never trained on and those that it has no labels for. The prior of
    a tied state's monophone state is the sum over its leaves; so, for a prior weight of 1, the
    score is the exact marginal over the leaves l of a state s, `log sum p(x | l) p(l | s)`, up to
    a constant per frame.

    Parameters
    ----------
    posteriors
        Log posteriors from `state_log_posteriors`.
    header
        The network file's header.
    """
    weights = header["decoder"]
    priors = _by_state(np.asarray(header["log_priors"], np.float64), header["labels"])
    # States without labels are at minus infinity already; their prior must not make that a NaN.
    priors[np.isneginf(priors)] = 0
    scores = posteriors - weights["prior_weight"] * priors
    scores *= weights["acoustic_weight"]
    for phone in weights["excluded"]:
        first = phones.label_index(phone, 0)
        scores[:, first : first + N_STATES] = -np.inf
    return scores


def decode(logits: np.ndarray, header: dict[str, Any]) -> list[Segment]:
    """Decode one utterance.

    Parameters
    ----------
    logits
        See `log_posteriors`.
    header
        The network file's header: `scales`, `label_delay`, `labels` (names of states, "aa.0", or
        of their leaves, "aa.0.17"), `log_priors` of the labels, `phone_bigram` (log probability of
        a phone, second index, behind another, first index), `log_stay` and `log_leave` (log
        probabilities of each of the 61 x 3 states), and `decoder` (`acoustic_weight`,
        `prior_weight`, `bigram_weight`, `phone_score`, `excluded`).

    Returns
    -------
    list of Segment
        Phones in order of time. A frame stands for the 10 ms around the middle of its window.

    Raises
    ------
    ValueError
        The logits have another shape than the header says, or the labels are not those of TIMIT's
        61 phones.
    """
    return decode_all([logits], header)[0]


def decode_all(logits: Sequence[np.ndarray], header: dict[str, Any]) -> list[list[Segment]]:
    """Decode utterances side by side: the same as `decode` of each, in less time.

    Parameters
    ----------
    logits
        The logits of each utterance, see `decode`.
    header
        See `decode`.

    Returns
    -------
    list of list of Segment
    """
    return decode_posteriors([state_log_posteriors(part, header) for part in logits], header)


def decode_posteriors(
    posteriors: Sequence[np.ndarray], header: dict[str, Any]
) -> list[list[Segment]]:
    """Decode utterances from what `state_log_posteriors` gave for each.

    Many decoder weights can be tried in this way: the posteriors stay the same.
    """
    found = [None] * len(posteriors)
    order = sorted(range(len(posteriors)), key=lambda number: -len(posteriors[number]))
    for first in range(0, len(order), _BATCH):
        chosen = order[first : first + _BATCH]
        paths = _search([emission_scores(posteriors[number], header) for number in chosen], header)
        for number, path in zip(chosen, paths, strict=True):
            found[number] = _segments(path)
    return found


def _segments(path: np.ndarray) -> list[Segment]:
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


def _search(emissions: Sequence[np.ndarray], header: dict[str, Any]) -> list[np.ndarray]:
    """Best states of each frame: an utterance starts in a first state, may end anywhere.

    Parameters
    ----------
    emissions
        `[frames, 183]` per utterance, the longest first.
    header
        The network file's header.

    Returns
    -------
    list of numpy.ndarray
        Numbers into `phones.LABELS` `[frames]` per utterance.
    """
    weights = header["decoder"]
    bigram = weights["bigram_weight"] * np.asarray(header["phone_bigram"]) + weights["phone_score"]
    stay = np.asarray(header["log_stay"]).reshape(N_PHONES, N_STATES)
    leave = np.asarray(header["log_leave"]).reshape(N_PHONES, N_STATES)
    lengths = np.array([len(emission) for emission in emissions])
    padded = np.zeros((lengths[0], len(emissions), N_PHONES, N_STATES))
    for row, emission in enumerate(emissions):
        padded[: len(emission), row] = emission.reshape(-1, N_PHONES, N_STATES)
    moved = np.zeros(padded.shape, bool)
    last = np.empty(padded.shape[:-1])
    entries = np.empty((N_PHONES, len(emissions), N_PHONES))
    # Utterances that still go on at each frame: the first ones, since they are the longest.
    going = (lengths[None, :] > np.arange(lengths[0])[:, None]).sum(axis=1)
    best = np.full(padded.shape[1:], -np.inf)
    best[..., 0] = padded[0, ..., 0] + bigram[phones.PHONES.index("h#")]
    for frame in range(1, lengths[0]):
        n = going[frame]
        step = best[:n] + leave
        last[frame, :n] = step[..., -1]
        np.add(step[..., -1].T[:, :, None], bigram[:, None, :], out=entries[:, :n])
        arriving = np.empty_like(step)
        entries[:, :n].max(axis=0, out=arriving[..., 0])
        arriving[..., 1:] = step[..., :-1]
        staying = best[:n] + stay
        moved[frame, :n] = arriving > staying
        best[:n] = np.maximum(arriving, staying) + padded[frame, :n]
    # A row of `best` stays as it was at its utterance's last frame.
    ends = best.reshape(len(best), -1).argmax(axis=1)
    return [
        _trace(int(end), moved[:length, row], last[:length, row], bigram)
        for row, (end, length) in enumerate(zip(ends, lengths, strict=True))
    ]


def _trace(end: int, moved: np.ndarray, last: np.ndarray, bigram: np.ndarray) -> np.ndarray:
    """The path `[frames]` that leads to a state.

    Parameters
    ----------
    end
        Number into `phones.LABELS` of the last frame's state.
    moved
        bool `[frames, 61, 3]`: the state was entered at that frame.
    last
        `[frames, 61]`: scores of leaving each phone's last state for that frame.
    bigram
        `[61, 61]`, as weighted.
    """
    path = np.empty(len(moved), np.int64)
    phone, state = divmod(end, N_STATES)
    for frame in range(len(moved) - 1, -1, -1):
        path[frame] = phone * N_STATES + state
        if moved[frame, phone, state]:
            if state:
                state -= 1
            else:
                phone, state = int((last[frame] + bigram[:, phone]).argmax()), N_STATES - 1
    return path


def edit_distance(reference: Sequence[object], found: Sequence[object]) -> int:
    """Fewest substitutions, deletions and insertions that turn one sequence into another."""
    row = list(range(len(found) + 1))
    for number, wanted in enumerate(reference, 1):
        diagonal, row[0] = row[0], number
        for position, got in enumerate(found, 1):
            cost = min(row[position] + 1, row[position - 1] + 1, diagonal + (wanted != got))
            diagonal, row[position] = row[position], cost
    return row[-1]


def phone_error_rate(
    references: Iterable[Sequence[str]], found: Iterable[Sequence[str]], silence: bool = True
) -> float:
    """Phone error rate over the 39 folded phones, all utterances pooled.

    Parameters
    ----------
    references, found
        Phones of each utterance, names out of the 61.
    silence
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
