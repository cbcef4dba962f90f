# SPDX-License-Identifier: Apache-2.0
"""Forced alignment: which frame belongs to which state of which phone.

`align` starts flat, without any labels or networks; `refine` starts from what a network says.

Each phone is a left-to-right hidden Markov model of three states. A state's outputs are mixtures of
Gaussians with diagonal covariance over 13 cepstra with first and second differences, with the mean
of the utterance taken off. Training is by Viterbi alignment. A flat start begins with equal cuts of
every utterance and uses no labels from elsewhere; it takes many sentences to get anywhere. A
network gives each state of a frame a score, which serves one sentence as well as many; Gaussians
that are trained on the network's alignment then add what is peculiar to these recordings, and place
boundaries better than either alone. Silence between words and the release of a word-final stop are
optional.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track

from model_zoo.speech import phones

__all__ = ["Alignment", "align", "cepstra", "refine"]

N_CEPSTRA = 13
MIXTURES = (1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6)
"""Gaussians per state in each training pass."""

REFINED = (1, 2, 4)
"""The same for passes that start from a network's alignment."""
GAUSSIAN_WEIGHT = 0.5
"""Weight of the Gaussians' log densities beside a network's. Their 39 coefficients are not
independent, so that they are surer of themselves than they should be."""

N_STATES = len(phones.LABELS)
VARIANCE_FLOOR = 0.05
"""Smallest variance, as a share of the coefficient's variance over all data."""
BATCH = 32


@dataclass(frozen=True)
class Alignment:
    """Result of `align` or `refine`.

    Attributes
    ----------
    labels
        Output numbers (`phones.LABELS`), int16 `[frames]`, one array per utterance.
    log_likelihood
        Mean log likelihood per frame after each training pass.
    """

    labels: list[np.ndarray]
    log_likelihood: list[float]


def cepstra(log_mel: np.ndarray) -> np.ndarray:
    """Cepstra with differences, float32 `[frames, 39]`, of log-mel energies `[frames, 40]`."""
    n_mels = log_mel.shape[1]
    basis = np.cos(np.pi / n_mels * np.outer(np.arange(n_mels) + 0.5, np.arange(N_CEPSTRA)))
    static = log_mel @ basis.astype(np.float32) / n_mels
    static -= static.mean(axis=0)
    first = _difference(static)
    return np.concatenate([static, first, _difference(first)], axis=1).astype(np.float32)


def _difference(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    return (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 10


@dataclass(frozen=True)
class _Path:
    """The states of one sentence, and which others each may be entered from.

    Attributes
    ----------
    states
        Output numbers, in the order of the sentence `[states]`.
    jumps
        `jumps[m, s]` allows state `s` to be entered from state `s - 1 - 3 m`, over `m` optional
        phones; bool `[3, states]`.
    """

    states: np.ndarray
    jumps: np.ndarray


def _sentence_path(text: str) -> _Path:
    sequence = phones.transcribe(text)
    states = np.array(
        [
            phones.label_index(phone, state)
            for phone, _ in sequence
            for state in range(phones.N_STATES)
        ]
    )
    jumps = np.zeros((3, len(states)), bool)
    jumps[0] = True
    for number in range(len(sequence)):
        skipped = 0
        while skipped < 2 and number - skipped >= 1 and sequence[number - skipped - 1][1]:
            skipped += 1
            jumps[skipped, number * phones.N_STATES] = True
    return _Path(states, jumps)


class _Gaussians:
    """Mixtures of diagonal Gaussians, one mixture per state."""

    def __init__(self, data: np.ndarray) -> None:
        self.floor = VARIANCE_FLOOR * data.var(axis=0)
        self.mean = np.tile(data.mean(axis=0), (N_STATES, 1, 1))
        self.var = np.tile(data.var(axis=0), (N_STATES, 1, 1))
        self.weight = np.ones((N_STATES, 1))

    def component_scores(self, data: np.ndarray) -> np.ndarray:
        """Log density of each component with its weight, `[frames, states, mixtures]`."""
        precision = 1 / self.var
        constant = (
            np.log(self.weight)
            - 0.5 * np.log(2 * np.pi * self.var).sum(axis=-1)
            - 0.5 * (self.mean**2 * precision).sum(axis=-1)
        )
        n_components = constant.size
        linear = (self.mean * precision).reshape(n_components, -1).astype(np.float32)
        square = (-0.5 * precision).reshape(n_components, -1).astype(np.float32)
        scores = data @ linear.T + (data * data) @ square.T
        return scores.reshape(len(data), *constant.shape) + constant.astype(np.float32)

    def scores(self, data: np.ndarray) -> np.ndarray:
        """Log density of each state, `[frames, states]`."""
        parts = self.component_scores(data)
        top = parts.max(axis=-1)
        return top + np.log(np.exp(parts - top[..., None]).sum(axis=-1))

    def split(self, mixtures: int) -> None:
        """Split the heaviest components, along their spread, until there are `mixtures`."""
        while self.weight.shape[1] < mixtures:
            heavy = self.weight.argmax(axis=1)
            rows = np.arange(N_STATES)
            offset = 0.2 * np.sqrt(self.var[rows, heavy])
            self.weight[rows, heavy] /= 2
            self.weight = np.column_stack([self.weight, self.weight[rows, heavy]])
            self.mean = np.concatenate([self.mean, (self.mean[rows, heavy] + offset)[:, None]], 1)
            self.var = np.concatenate([self.var, self.var[rows, heavy][:, None]], 1)
            self.mean[rows, heavy] -= offset

    def update(self, data: np.ndarray, labels: np.ndarray) -> None:
        """One step of expectation maximisation, given the state of each frame."""
        order = np.argsort(labels, kind="stable")
        ends = np.searchsorted(labels[order], np.arange(N_STATES + 1))
        for state in range(N_STATES):
            frames = data[order[ends[state] : ends[state + 1]]].astype(np.float64)
            mixtures = self.weight.shape[1]
            if len(frames) < 10 * mixtures:
                continue
            precision = 1 / self.var[state]
            parts = (
                np.log(self.weight[state])
                + 0.5 * np.log(precision).sum(axis=-1)
                - 0.5
                * (
                    (frames**2) @ precision.T
                    - 2 * frames @ (self.mean[state] * precision).T
                    + (self.mean[state] ** 2 * precision).sum(axis=-1)
                )
            )
            share = np.exp(parts - parts.max(axis=1, keepdims=True))
            share /= share.sum(axis=1, keepdims=True)
            count = share.sum(axis=0) + 1e-3
            self.weight[state] = np.maximum(count / count.sum(), 1e-3)
            self.mean[state] = share.T @ frames / count[:, None]
            spread = share.T @ frames**2 / count[:, None] - self.mean[state] ** 2
            self.var[state] = np.maximum(spread, self.floor)


def _equal_cut(path: _Path, log_mel: np.ndarray) -> np.ndarray:
    """A first guess: silence where the ends are quiet, and the rest cut into equal pieces."""
    level = log_mel.mean(axis=1)
    low, high = np.percentile(level, [5, 95])
    loud = np.flatnonzero(level > low + 0.4 * (high - low))
    n_states = phones.N_STATES
    pauses = phones.label_index("pau", 0) + np.arange(n_states)
    inner = path.states[n_states:-n_states]
    inner = inner[~np.isin(inner, pauses)]
    first = max(int(loud[0]), n_states)
    last = max(min(int(loud[-1]) + 1, len(level) - n_states), first + 1)
    labels = np.empty(len(level), np.int64)
    for start, end, states in (
        (0, first, path.states[:n_states]),
        (first, last, inner),
        (last, len(level), path.states[-n_states:]),
    ):
        labels[start:end] = states[np.arange(end - start) * len(states) // (end - start)]
    return labels


@dataclass(frozen=True)
class _Batch:
    """Sentences side by side, each padded to the longest and to the one of most states.

    Attributes
    ----------
    emission
        Log density of each state, float32 `[frames, sentences, states]`.
    stay
        Log probability of its self-loop, float32 `[sentences, states]`.
    enter
        Log probability of the way into it over 0, 1 and 2 optional phones, float32
        `[3, sentences, states]`.
    last
        The last state of each sentence `[sentences]`.
    """

    emission: np.ndarray
    stay: np.ndarray
    enter: np.ndarray
    last: np.ndarray

    @classmethod
    def of(
        cls,
        paths: Sequence[_Path],
        scores: Sequence[np.ndarray],
        log_stay: np.ndarray,
        log_leave: np.ndarray,
    ) -> "_Batch":
        n_batch = len(paths)
        n_frames = max(len(score) for score in scores)
        width = max(len(path.states) for path in paths)
        emission = np.full((n_frames, n_batch, width), -np.inf, np.float32)
        stay = np.zeros((n_batch, width), np.float32)
        enter = np.full((3, n_batch, width), -np.inf, np.float32)
        for row, (path, score) in enumerate(zip(paths, scores, strict=True)):
            count = len(path.states)
            emission[: len(score), row, :count] = score[:, path.states]
            stay[row, :count] = log_stay[path.states]
            for skipped in range(3):
                allowed = np.flatnonzero(path.jumps[skipped])
                allowed = allowed[allowed >= 1 + 3 * skipped]
                enter[skipped, row, allowed] = log_leave[path.states[allowed - 1 - 3 * skipped]]
        return cls(emission, stay, enter, np.array([len(path.states) - 1 for path in paths]))

    def forward(self) -> tuple[np.ndarray, np.ndarray]:
        """The best way into each state at each frame.

        Returns
        -------
        back : numpy.ndarray
            0 to stay, 1 + m to come over m optional phones; uint8 `[frames, sentences, states]`.
        finals : numpy.ndarray
            Score of the sentence that ends with each frame, float32 `[frames, sentences]`.
        """
        n_frames, n_batch, width = self.emission.shape
        back = np.zeros((n_frames, n_batch, width), np.uint8)
        # Seven more columns in front: what enters from before the first state is impossible.
        best = np.full((n_batch, width + 7), -np.inf, np.float32)
        best[:, 7] = self.emission[0, :, 0]
        options = np.empty((4, n_batch, width), np.float32)
        finals = np.empty((n_frames, n_batch), np.float32)
        rows = np.arange(n_batch)
        finals[0] = best[rows, 7 + self.last]
        for frame in range(1, n_frames):
            np.add(best[:, 7:], self.stay, out=options[0])
            for skipped in range(3):
                offset = 6 - 3 * skipped
                entered = best[:, offset : offset + width]
                np.add(entered, self.enter[skipped], out=options[1 + skipped])
            back[frame] = options.argmax(axis=0)
            best[:, 7:] = options.max(axis=0) + self.emission[frame]
            finals[frame] = best[rows, 7 + self.last]
        return back, finals


def _viterbi(
    paths: Sequence[_Path],
    scores: Sequence[np.ndarray],
    log_stay: np.ndarray,
    log_leave: np.ndarray,
) -> list[np.ndarray]:
    """Best state sequences of a batch of sentences.

    Parameters
    ----------
    paths
        One path per sentence.
    scores
        Log densities `[frames, N_STATES]`, one array per sentence.
    log_stay, log_leave
        Log probabilities of the self-loop and of leaving, `[N_STATES]`.

    Returns
    -------
    list of numpy.ndarray
        State labels `[frames]`; empty where the sentence has no path through its frames.
    """
    back, finals = _Batch.of(paths, scores, log_stay, log_leave).forward()
    results = []
    for row, (path, score) in enumerate(zip(paths, scores, strict=True)):
        if np.isfinite(finals[len(score) - 1, row]):
            results.append(path.states[_traced(back[: len(score), row], len(path.states) - 1)])
        else:
            results.append(np.empty(0, np.int64))
    return results


def _traced(back: np.ndarray, state: int) -> np.ndarray:
    """Places in a sentence `[frames]`, from its last state back along the choices of `forward`."""
    sequence = np.empty(len(back), np.int64)
    for frame in range(len(back) - 1, -1, -1):
        sequence[frame] = state
        choice = back[frame, state]
        state -= 0 if choice == 0 else 3 * int(choice) - 2
    return sequence


def align(
    texts: Sequence[str],
    log_mels: Sequence[np.ndarray],
    passes: Sequence[int] = MIXTURES,
    progress: bool = True,
) -> Alignment:
    """Align read sentences to their recordings.

    Parameters
    ----------
    texts
        The sentences; every word must have a pronunciation.
    log_mels
        Log-mel energies `[frames, 40]` of each recording.
    passes
        Gaussians per state in each training pass.
    progress
        Draw a progress bar.

    Returns
    -------
    Alignment
        A recording that is too short for its sentence has an empty label array.
    """
    paths = [_sentence_path(text) for text in texts]
    labels = [_equal_cut(path, frames) for path, frames in zip(paths, log_mels, strict=True)]
    log_stay = np.full(N_STATES, np.log(0.6), np.float32)
    log_leave = np.full(N_STATES, np.log(0.4), np.float32)
    return _trained(paths, log_mels, labels, (log_stay, log_leave), passes, None, progress)


def refine(
    texts: Sequence[str],
    log_mels: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    durations: tuple[np.ndarray, np.ndarray],
    passes: Sequence[int] = REFINED,
    progress: bool = True,
) -> Alignment:
    """Align read sentences to their recordings by a network, and refine that with Gaussians.

    Parameters
    ----------
    texts, log_mels, progress
        See `align`.
    scores
        Log likelihoods of the states by the network, but for a constant per frame, finite, float32
        `[frames, 183]` for each recording.
    durations
        Log probabilities to stay in and to leave every state, `[183]` each.
    passes
        Gaussians per state in each training pass; none for the network's alignment as it is.

    Returns
    -------
    Alignment
        A recording that is too short for its sentence has an empty label array.
    """
    paths = [_sentence_path(text) for text in texts]
    stay, leave = (np.asarray(part, np.float32) for part in durations)
    labels, _ = _relabelled(lambda chosen: [scores[i] for i in chosen], paths, scores, stay, leave)
    return _trained(paths, log_mels, labels, (stay, leave), passes, scores, progress)


def _trained(
    paths: Sequence[_Path],
    log_mels: Sequence[np.ndarray],
    labels: list[np.ndarray],
    durations: tuple[np.ndarray, np.ndarray],
    passes: Sequence[int],
    scores: Sequence[np.ndarray] | None,
    progress: bool,
) -> Alignment:
    """Passes of training Gaussians on labels and of labelling anew, from first labels on.

    With `scores` the frames are labelled by these and the Gaussians together.
    """
    data = [cepstra(frames) for frames in log_mels]
    every = np.concatenate(data)
    model = _Gaussians(every)
    history = []

    def emission(chosen: np.ndarray) -> list[np.ndarray]:
        ends = np.cumsum([len(data[i]) for i in chosen])[:-1]
        own = np.split(model.scores(np.concatenate([data[i] for i in chosen])), ends)
        if scores is None:
            return own
        pairs = zip(chosen, own, strict=True)
        return [scores[i] + np.float32(GAUSSIAN_WEIGHT) * densities for i, densities in pairs]

    for mixtures in track(passes, "aligning", console=Console(stderr=True), disable=not progress):
        model.split(mixtures)
        known = np.concatenate(
            [
                found if len(found) else np.full(len(frames), -1)
                for found, frames in zip(labels, data, strict=True)
            ]
        )
        model.update(every[known >= 0], known[known >= 0])
        labels, likelihood = _relabelled(emission, paths, data, *durations)
        durations = _durations(labels)
        history.append(likelihood)
    return Alignment([found.astype(np.int16) for found in labels], history)


def _relabelled(
    emission: Callable[[np.ndarray], Sequence[np.ndarray]],
    paths: Sequence[_Path],
    recordings: Sequence[np.ndarray],
    log_stay: np.ndarray,
    log_leave: np.ndarray,
) -> tuple[list[np.ndarray], float]:
    """Labels of all utterances, and the mean log likelihood per frame.

    `emission` gives the log densities of the states, `[frames, 183]`, of recordings by number.
    """
    labels: list[np.ndarray] = [np.empty(0, np.int64)] * len(recordings)
    total, counted = 0.0, 0
    order = np.argsort([len(frames) for frames in recordings], kind="stable")  # little padding
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        scores = emission(chosen)
        found = _viterbi([paths[i] for i in chosen], scores, log_stay, log_leave)
        for i, score, sequence in zip(chosen, scores, found, strict=True):
            labels[i] = sequence
            if len(sequence):
                total += float(score[np.arange(len(sequence)), sequence].sum())
                counted += len(sequence)
    return labels, total / max(counted, 1)


def _durations(labels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities to stay in and to leave every state, from aligned frames."""
    frames = np.ones(N_STATES)
    visits = np.full(N_STATES, 0.5)
    for sequence in labels:
        if len(sequence):
            frames += np.bincount(sequence, minlength=N_STATES)
            starts = sequence[np.flatnonzero(np.diff(sequence, prepend=-1))]
            visits += np.bincount(starts, minlength=N_STATES)
    leave = np.clip(visits / frames, 0.02, 0.9)
    return np.log1p(-leave).astype(np.float32), np.log(leave).astype(np.float32)
