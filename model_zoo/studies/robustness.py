# SPDX-License-Identifier: Apache-2.0
"""What noise and long recordings do to a network: error rate, sparsity and cycles.

Results are JSON-able; `plots` draws them.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from golden_model import Network
from model_zoo import data
from model_zoo.scoring import evaluate
from model_zoo.speech import features, phones
from model_zoo.speech.audio import SAMPLE_RATE
from model_zoo.training.materials import state_labels

__all__ = ["LENGTHS", "SNRS", "joined", "over_length", "over_snr"]

SNRS = (20, 15, 10, 5, 0)
LENGTHS = (0, 7.5, 15, 30, 60)
SEED = 1
_FIGURES = ("per", "per_no_silence", "frame_accuracy", "sparsity", "cycles_per_frame")


def over_snr(
    network: Network,
    utterances: Sequence[data.Utterance],
    noise: Mapping[str, Sequence[data.Clip]],
    snrs: Sequence[float] = SNRS,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Score a network in noise of each class, at falling signal-to-noise ratios.

    A recording gets the same clip from the same place on at every ratio, of the clips that no
    training used. The gain is that of the recordings without noise.

    Parameters
    ----------
    network
        The network that is scored.
    utterances
        All of one corpus.
    noise
        Clips by class, see `data.read_noise`.
    snrs
        Signal-to-noise ratios in dB.
    cache
        A build folder to keep log-mel energies in.
    progress
        Draw progress bars.

    Returns
    -------
    dict
        `network_hash`, `time_steps`, `corpus`, `utterances`, `speakers`, `gain_db`, `clean`
        (figures), and `noise`: by class a list of figures with their `snr_db`. Figures are `per`,
        `per_no_silence`, `frame_accuracy`, `sparsity`, `zero_spikes` (over all layers and time
        steps) and `cycles_per_frame`.

    Raises
    ------
    DataError, AudioError, EvaluationError
    """
    clean = evaluate.sentences(utterances, cache, progress=progress)
    corpus = utterances[0].corpus
    gain = evaluate.find_gain(network.header, corpus, [s.log_mel for s in clean])
    by_class = {}
    for kind, clips in noise.items():
        unheard = tuple(clip for clip in clips if clip.split == "test")
        by_class[kind] = []
        for snr in snrs:
            mix = data.NoiseMix(unheard, snr, snr, SEED)
            noisy = [utterance.in_noise(mix) for utterance in utterances]
            recordings = evaluate.sentences(noisy, cache, _told_before, progress)
            figures = _figures(network, recordings, gain, progress)
            by_class[kind].append({"snr_db": snr, **figures})
    return {
        **_setting(network, utterances, gain),
        "clean": _figures(network, clean, gain, progress),
        "noise": by_class,
    }


def over_length(
    network: Network,
    utterances: Sequence[data.Utterance],
    seconds: Sequence[float] = LENGTHS,
    progress: bool = True,
) -> dict[str, Any]:
    """Score a network on recordings of growing length: the same sentences, joined end to end.

    Sentences are taken speaker by speaker and joined while they stay within a length, so that each
    is scored once at every length; speakers with little speech share a recording. The network sees
    one recording and keeps its state, and the decoder gives one sequence, which is compared with
    the joined reference; the silences between sentences stay.

    Parameters
    ----------
    network
        The network that is scored.
    utterances
        All of one corpus.
    seconds
        Longest recording; 0 leaves every sentence alone.
    progress
        Draw progress bars.

    Returns
    -------
    dict
        `network_hash`, `time_steps`, `corpus`, `utterances`, `speakers`, `gain_db`, and `lengths`:
        figures as for `over_snr`, with `seconds_limit`, `recordings` and `mean_seconds`.

    Raises
    ------
    DataError, AudioError, EvaluationError
    """
    kept, _ = data.with_pronunciation([u for u in utterances if not u.phones])
    kept = sorted([u for u in utterances if u.phones] + kept, key=lambda u: (u.speaker, u.name))
    if not kept:
        raise data.DataError("no sentence is left to score: the dictionary lacks words of each")
    gain = evaluate.find_gain(
        network.header, kept[0].corpus, [features.log_mel(u.load()) for u in kept]
    )
    lengths = []
    for limit in seconds:
        recordings = joined(kept, limit)
        frames = sum(len(recording.log_mel) for recording in recordings)
        lengths.append(
            {
                "seconds_limit": limit,
                "recordings": len(recordings),
                "mean_seconds": round(frames * features.FRAME_SECONDS / len(recordings), 2),
                **_figures(network, recordings, gain, progress),
            }
        )
    return {**_setting(network, kept, gain), "lengths": lengths}


def joined(utterances: Iterable[data.Utterance], seconds: float) -> list[evaluate.Sentence]:
    """Neighbours of a list joined end to end while they stay within a length.

    Parameters
    ----------
    utterances
        Utterances in the order in which they are joined.
    seconds
        An utterance that is longer stays alone.

    Returns
    -------
    list of evaluate.Sentence
    """
    made, group, length = [], [], 0
    for utterance in utterances:
        samples = utterance.load()
        if group and length + len(samples) > seconds * SAMPLE_RATE:
            made.append(_join(group))
            group, length = [], 0
        group.append((utterance, samples))
        length += len(samples)
    return [*made, _join(group)] if group else made


def _join(group: Sequence[tuple[data.Utterance, np.ndarray]]) -> evaluate.Sentence:
    """One sentence of utterances and their samples."""
    log_mel = features.log_mel(np.concatenate([samples for _, samples in group]))
    labels, said, start = [], [], 0
    for utterance, samples in group:
        labels += [(start + first, start + end, name) for first, end, name in utterance.phones]
        if utterance.phones:
            said += [(name, False) for _, _, name in utterance.phones]
        else:
            said += phones.transcribe(utterance.text)
        start += len(samples)
    timed = all(utterance.phones for utterance, _ in group)
    states = state_labels(labels, len(log_mel)) if timed else None
    return evaluate.Sentence(log_mel, states, said)


def _figures(
    network: Network, recordings: Sequence[evaluate.Sentence], gain: evaluate.Gain, progress: bool
) -> dict[str, Any]:
    scores = evaluate.evaluate(network, recordings, gain, progress)
    zeros = [np.mean(layer) for layer in scores["sparsity"]]
    mean = float(np.average(zeros, weights=network.config.hidden))
    return {**{name: scores[name] for name in _FIGURES}, "zero_spikes": round(mean, 4)}


def _setting(
    network: Network, utterances: Sequence[data.Utterance], gain: evaluate.Gain
) -> dict[str, Any]:
    return {
        "network_hash": network.config.network_hash,
        "time_steps": network.config.time_steps,
        "corpus": utterances[0].corpus,
        "utterances": len(utterances),
        "speakers": len({utterance.speaker for utterance in utterances}),
        "gain_db": gain.db,
    }


def _told_before(_line: str) -> None:
    """What was left out is the same as of the recordings without noise."""
