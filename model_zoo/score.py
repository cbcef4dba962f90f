# SPDX-License-Identifier: Apache-2.0
"""Figures of a network on recordings: how often it is right, and how much work it makes."""

from dataclasses import asdict, dataclass

import numpy as np

from model_zoo import decode, phones
from model_zoo.audio import FRAME_SAMPLES
from model_zoo.features import HOP_SAMPLES, append_delay

__all__ = ["Outputs", "Scores", "frame_labels", "run_all", "score", "tune"]

_COUNT = np.array([bin(nibble).count("1") for nibble in range(16)])


@dataclass(frozen=True)
class Outputs:
    """What a network gave for one utterance.

    Attributes
    ----------
    features : numpy.ndarray
        int8 `[frames + D, n_input]`, as fed.
    logits : numpy.ndarray
        `[frames + D, n_output]`.
    spikes : list of numpy.ndarray
        bool `[frames + D, T, n]` per layer.
    """

    features: np.ndarray
    logits: np.ndarray
    spikes: list


@dataclass(frozen=True)
class Scores:
    """Figures over a set of utterances; `to_dict` is what network headers and reports hold.

    Attributes
    ----------
    utterances, frames : int
        How much was scored.
    frame_accuracy : float or None
        Share of frames whose largest logit is the aligned one of 183 states.
    phone_accuracy : float
        Share of frames whose largest logit is a state of the right phone out of 39; frames that
        belong to a glottal stop are not counted.
    per : float
        Phone error rate over the 39 folded phones.
    per_no_silence : float
        The same with silence left out of references and results.
    spike_density : list of list of float
        Share of spikes that are 1, per layer and time step.
    union_density : list of float
        Share of neurons that spike in any time step of a frame, per layer.
    input_zero_bits : float
        Share of zero bits in the int8 features.
    input_cycles : float
        Mean over frames of the sum over features of the larger popcount of the two nibbles.
    """

    utterances: int
    frames: int
    frame_accuracy: float | None
    phone_accuracy: float
    per: float
    per_no_silence: float
    spike_density: list
    union_density: list
    input_zero_bits: float
    input_cycles: float

    def to_dict(self, digits=4):
        """The figures as plain JSON values, rounded."""

        def rounded(value):
            if isinstance(value, list):
                return [rounded(item) for item in value]
            return round(float(value), digits) if isinstance(value, float) else value

        return {name: rounded(value) for name, value in asdict(self).items()}


def run_all(run, features, header, batch=32):
    """Run utterances through a network in batches of similar length.

    Parameters
    ----------
    run : callable
        int8 `[batch, frames, n_input]` to an object with `.logits` `[batch, frames, n_output]`
        and `.spikes[l]` `[batch, frames, T, n]`: a golden model's `run`, for example.
    features : list of numpy.ndarray
        int8 `[frames, n_input]` per utterance.
    header : dict
        The network's header; `label_delay` zero frames are appended to every utterance.
    batch : int
        Utterances run together. Zero frames behind an utterance do not change it.

    Returns
    -------
    list of Outputs
    """
    fed = [append_delay(frames, header) for frames in features]
    order = np.argsort([len(frames) for frames in fed], kind="stable")
    outputs = [None] * len(fed)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        padded = np.zeros((len(chosen), max(len(fed[i]) for i in chosen), fed[0].shape[1]), np.int8)
        for row, i in enumerate(chosen):
            padded[row, : len(fed[i])] = fed[i]
        result = run(padded)
        for row, i in enumerate(chosen):
            length = len(fed[i])
            outputs[i] = Outputs(
                fed[i],
                np.asarray(result.logits[row, :length]),
                [np.asarray(layer[row, :length]).astype(bool) for layer in result.spikes],
            )
    return outputs


def frame_labels(segments, n_frames):
    """Labels (phone numbers) of frames from hand-made segments.

    Parameters
    ----------
    segments : sequence of (int, int, str)
        First sample, end sample, phone.
    n_frames : int

    Returns
    -------
    numpy.ndarray
        Numbers into `phones.PHONES` `[frames]`: the phone at the middle of each window.
    """
    middle = np.arange(n_frames) * HOP_SAMPLES + FRAME_SAMPLES // 2
    ends = np.array([end for _, end, _ in segments])
    found = np.minimum(np.searchsorted(ends, middle, side="right"), len(segments) - 1)
    return np.array([phones.PHONES.index(phone) for _, _, phone in segments])[found]


def score(outputs, header, labels, references, states=True):
    """Score outputs.

    Parameters
    ----------
    outputs : list of Outputs
    header : dict
        The network's header.
    labels : list of numpy.ndarray
        Per utterance and frame: numbers into `phones.LABELS`, or into `phones.PHONES`.
    references : list of list of str
        The phones that were said, names out of the 61.
    states : bool
        `labels` are states (of an alignment); else phones (made by hand), and then there is no
        `frame_accuracy`.

    Returns
    -------
    Scores
    """
    delay = header["label_delay"]
    folded = np.array(
        [
            sorted(set(phones.fold(phones.PHONES))).index(names[0]) if names else -1
            for names in (phones.fold([phone]) for phone in phones.PHONES)
        ]
    )
    frames = right = counted = counted_right = 0
    for output, known in zip(outputs, labels, strict=True):
        best = output.logits[delay:].argmax(axis=1)
        frames += len(best)
        wanted = folded[known // phones.N_STATES if states else known]
        scored = wanted >= 0
        counted += int(scored.sum())
        counted_right += int((folded[best // phones.N_STATES] == wanted)[scored].sum())
        right += int((best == known).sum()) if states else 0
    found = [
        [segment.phone for segment in decode.decode(output.logits, header)] for output in outputs
    ]
    fed = np.concatenate([output.features for output in outputs]).view(np.uint8)
    low, high = _COUNT[fed & 15], _COUNT[fed >> 4]
    spikes = [
        np.concatenate([output.spikes[layer] for output in outputs])
        for layer in range(len(outputs[0].spikes))
    ]
    return Scores(
        utterances=len(outputs),
        frames=frames,
        frame_accuracy=right / frames if states else None,
        phone_accuracy=counted_right / counted,
        per=decode.phone_error_rate(references, found),
        per_no_silence=decode.phone_error_rate(references, found, silence=False),
        spike_density=[layer.mean(axis=(0, 2)).tolist() for layer in spikes],
        union_density=[float(layer.any(axis=1).mean()) for layer in spikes],
        input_zero_bits=float(1 - (low + high).mean() / 8),
        input_cycles=float(np.maximum(low, high).sum(axis=1).mean()),
    )


_GRID = {
    "acoustic_weight": (0.4, 0.6, 0.8, 1.0, 1.3),
    "bigram_weight": (0.5, 1.0, 1.5, 2.0),
    "phone_score": (-2.0, -1.0, 0.0, 1.0, 2.0),
    "prior_weight": (0.3, 0.5, 0.7, 0.9),
}


def tune(outputs, header, references, rounds=2):
    """Decoder weights with the lowest phone error rate, by coordinate search over a small grid.

    Parameters
    ----------
    outputs : list of Outputs
        Of sentences that are neither trained on nor scored.
    header : dict
        The network's header; the search starts at its `decoder` entry.
    references : list of list of str
    rounds : int
        Times that each weight is searched.

    Returns
    -------
    dict
        A new `decoder` entry.
    """

    def error(weights):
        found = [
            [
                segment.phone
                for segment in decode.decode(output.logits, {**header, "decoder": weights})
            ]
            for output in outputs
        ]
        return decode.phone_error_rate(references, found)

    best = dict(header["decoder"])
    lowest = error(best)
    for _ in range(rounds):
        for name, values in _GRID.items():
            for value in values:
                tried = {**best, name: value}
                if value != best[name] and (got := error(tried)) < lowest:
                    best, lowest = tried, got
    return best
