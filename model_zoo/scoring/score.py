# SPDX-License-Identifier: Apache-2.0
"""Figures of a network on recordings: how often it is right, and how sparse it is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model_zoo.scoring import decode
from model_zoo.scoring.references import Said, nearest
from model_zoo.speech import phones
from model_zoo.speech.features import append_delay

__all__ = [
    "Outputs",
    "Scores",
    "Tally",
    "monophone_states",
    "run_all",
    "run_batches",
    "score",
    "tune",
]

BATCH_FRAMES = 20_000
"""Frames of a batch, padding included: bounds the memory for long recordings."""

_FOLDED = sorted(set(phones.fold(phones.PHONES)))
_FOLD = np.array(
    [
        _FOLDED.index(names[0]) if names else -1
        for names in (phones.fold([phone]) for phone in phones.PHONES)
    ]
)


@dataclass(frozen=True)
class Outputs:
    """What a network gave for one utterance.

    Attributes
    ----------
    features
        int8 `[frames + D, n_input]`, as fed.
    logits
        `[frames + D, n_output]`; a network that reads out every m-th frame gives m equal ones.
    spikes
        bool `[frames + D, T, n]` per layer; empty for a network that has none.
    """

    features: np.ndarray
    logits: np.ndarray
    spikes: list[np.ndarray]


@dataclass(frozen=True)
class Scores:
    """Figures over a set of utterances; `to_dict` is what network headers and reports hold.

    Sparsity is that of all frames that were fed, with the D that flush the label delay.

    Attributes
    ----------
    utterances, frames
        How much was scored.
    per
        Phone error rate over the 39 folded phones.
    per_no_silence
        The same with silence left out of references and results.
    frame_accuracy
        Share of frames whose largest logit is the labelled one of 183 states. Where the outputs
        are tied states, the phone and the state of the largest one count, not the context. None
        without labels.
    phone_accuracy
        Share of frames whose largest logit is a state of the right phone out of 39; frames that
        belong to a glottal stop are not counted.
    sparsity
        Share of zero spikes, per layer and time step; empty for a network without spikes.
    union_density, intersection_density
        Share of neurons that spike in any, and in every time step of a frame, per layer.
    input_zero_bits
        Share of zero bits in the int8 features.
    """

    utterances: int
    frames: int
    per: float
    per_no_silence: float
    frame_accuracy: float | None
    phone_accuracy: float | None
    sparsity: list[list[float]]
    union_density: list[float]
    intersection_density: list[float]
    input_zero_bits: float

    def to_dict(self, digits: int = 4) -> dict[str, Any]:
        """The figures as plain JSON values, rounded."""

        def rounded(value: Any) -> Any:
            if isinstance(value, list):
                return [rounded(item) for item in value]
            return round(float(value), digits) if isinstance(value, float) else value

        return {name: rounded(value) for name, value in asdict(self).items()}


def run_batches(
    run: Callable[[np.ndarray], Any],
    features: Sequence[np.ndarray],
    header: dict[str, Any],
    readout_every: int = 1,
    batch: int = 32,
) -> Iterator[tuple[list[int], list[Outputs]]]:
    """Run utterances through a network in batches of similar length, shortest first.

    Parameters
    ----------
    run
        int8 `[batch, frames, n_input]` to an object with `.logits` `[batch, readouts, n_output]`
        and `.spikes[l]` `[batch, frames, T, n]`: a golden model's `run`, for example.
    features
        int8 `[frames, n_input]` per utterance.
    header
        The network's header; `label_delay` zero frames are appended to every utterance.
    readout_every
        The network's frames from one readout to the next.
    batch
        Most utterances run together. Zero frames behind an utterance do not change it.

    Yields
    ------
    list of int, list of Outputs
        Numbers of the utterances in `features`, and what the network gave for each.
    """
    delay = header.get("label_delay", 0)
    order = sorted(range(len(features)), key=lambda number: len(features[number]))
    while order:
        size = min(batch, len(order))
        # The last of a batch is its longest.
        while size > 1 and size * (len(features[order[size - 1]]) + delay) > BATCH_FRAMES:
            size -= 1
        chosen, order = order[:size], order[size:]
        fed = [append_delay(features[number], header) for number in chosen]
        padded = np.zeros((size, len(fed[-1]), fed[0].shape[1]), np.int8)
        for row, frames in enumerate(fed):
            padded[row, : len(frames)] = frames
        result = run(padded)
        yield (
            chosen,
            [
                Outputs(
                    frames,
                    decode.held(result.logits[row], readout_every, len(frames)),
                    [np.asarray(layer[row, : len(frames)]).astype(bool) for layer in result.spikes],
                )
                for row, frames in enumerate(fed)
            ],
        )


def run_all(
    run: Callable[[np.ndarray], Any],
    features: Sequence[np.ndarray],
    header: dict[str, Any],
    readout_every: int = 1,
    batch: int = 32,
) -> list[Outputs]:
    """What a network gives for utterances: a list of `Outputs`. Parameters as `run_batches`."""
    outputs = [None] * len(features)
    for numbers, given in run_batches(run, features, header, readout_every, batch):
        for number, output in zip(numbers, given, strict=True):
            outputs[number] = output
    return outputs


class Tally:
    """Counts over utterances, a batch at a time; `scores` are those of all of them.

    Parameters
    ----------
    header
        The network's header.
    """

    def __init__(self, header: dict[str, Any]) -> None:
        self._header = header
        self._state = monophone_states(header["labels"])
        self._said, self._found = [], []
        self._frames = self._fed = self._zero_bits = 0
        self._labelled = self._right = self._counted = self._right_phone = 0
        self._spikes = None

    def add(
        self,
        outputs: Sequence[Outputs],
        states: Sequence[np.ndarray | None],
        said: Sequence[Sequence[Said]],
    ) -> None:
        """Count utterances.

        Parameters
        ----------
        outputs
            What the network gave, by utterance.
        states
            Numbers into `phones.LABELS` `[frames]` of each utterance.
        said
            Phones said in each utterance, names out of the 61; or pairs of a phone and
            whether it may be left out, see `references.nearest`.
        """
        decoded = decode.decode_all([output.logits for output in outputs], self._header)
        for output, known, reference, segments in zip(outputs, states, said, decoded, strict=True):
            found = [segment.phone for segment in segments]
            self._found.append(found)
            self._said.append(nearest(reference, found))
            self._count_frames(output.logits[self._header["label_delay"] :], known)
            self._count_sparsity(output)

    def _count_frames(self, logits: np.ndarray, known: np.ndarray | None) -> None:
        self._frames += len(logits)
        if known is None:
            return
        best = self._state[logits.argmax(axis=1)]
        wanted = _FOLD[known // phones.N_STATES]
        scored = wanted >= 0
        self._labelled += len(best)
        self._right += int((best == known).sum())
        self._counted += int(scored.sum())
        self._right_phone += int((_FOLD[best // phones.N_STATES] == wanted)[scored].sum())

    def _count_sparsity(self, output: Outputs) -> None:
        self._fed += len(output.features)
        bits = np.unpackbits(np.ascontiguousarray(output.features).view(np.uint8))
        self._zero_bits += bits.size - int(bits.sum(dtype=np.int64))
        counts = [
            (
                layer.mean(axis=2).sum(axis=0),
                layer.any(axis=1).mean(axis=1).sum(),
                layer.all(axis=1).mean(axis=1).sum(),
            )
            for layer in output.spikes
        ]
        if self._spikes is None:
            self._spikes = counts
        else:
            self._spikes = [
                tuple(a + b for a, b in zip(total, new, strict=True))
                for total, new in zip(self._spikes, counts, strict=True)
            ]
        self._bits_per_frame = 8 * output.features.shape[1]

    def scores(self) -> Scores:
        """The `Scores` so far; one utterance is needed."""
        return Scores(
            utterances=len(self._found),
            frames=self._frames,
            per=decode.phone_error_rate(self._said, self._found),
            per_no_silence=decode.phone_error_rate(self._said, self._found, silence=False),
            frame_accuracy=self._right / self._labelled if self._labelled else None,
            phone_accuracy=self._right_phone / self._counted if self._counted else None,
            sparsity=[(1 - steps / self._fed).tolist() for steps, _, _ in self._spikes],
            union_density=[float(union / self._fed) for _, union, _ in self._spikes],
            intersection_density=[float(both / self._fed) for _, _, both in self._spikes],
            input_zero_bits=self._zero_bits / (self._fed * self._bits_per_frame),
        )


def monophone_states(labels: Iterable[str]) -> np.ndarray:
    """Numbers into `phones.LABELS` of a network's outputs, whose names may go on (tied states)."""
    numbers = {name: number for number, name in enumerate(phones.LABELS)}
    return np.array([numbers[".".join(label.split(".")[:2])] for label in labels])


def score(
    outputs: Sequence[Outputs],
    header: dict[str, Any],
    states: Sequence[np.ndarray | None],
    said: Sequence[Sequence[Said]],
) -> Scores:
    """The `Scores` of outputs (a list of `Outputs`); the other parameters are those of `Tally`."""
    tally = Tally(header)
    tally.add(outputs, states, said)
    return tally.scores()


_GRID = {
    "acoustic_weight": (0.4, 0.6, 0.8, 1.0, 1.3),
    "bigram_weight": (0.5, 1.0, 1.5, 2.0),
    "phone_score": (-2.0, -1.0, 0.0, 1.0, 2.0),
    "prior_weight": (0.3, 0.5, 0.7, 0.9),
}


def tune(
    outputs: Sequence[Outputs],
    header: dict[str, Any],
    said: Sequence[Sequence[Said]],
    rounds: int = 2,
) -> dict[str, Any]:
    """Decoder weights with the lowest phone error rate, by coordinate search over a small grid.

    Parameters
    ----------
    outputs
        What the network gave for sentences that are neither trained on nor scored.
    header
        The network's header; the search starts at its `decoder` entry.
    said
        The phones that were said, as for `Tally.add`.
    rounds
        Times that each weight is searched.

    Returns
    -------
    dict
        A new `decoder` entry.
    """
    posteriors = [decode.state_log_posteriors(output.logits, header) for output in outputs]

    def error(weights: dict[str, Any]) -> float:
        decoded = decode.decode_posteriors(posteriors, {**header, "decoder": weights})
        found = [[segment.phone for segment in segments] for segments in decoded]
        references = [nearest(*pair) for pair in zip(said, found, strict=True)]
        return decode.phone_error_rate(references, found)

    best = dict(header["decoder"])
    lowest = error(best)
    for _ in range(rounds):
        before = best
        for name, values in _GRID.items():
            for value in values:
                tried = {**best, name: value}
                if value != best[name] and (got := error(tried)) < lowest:
                    best, lowest = tried, got
        if best == before:
            break
    return best
