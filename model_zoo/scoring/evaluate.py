# SPDX-License-Identifier: Apache-2.0
"""A network file on recordings: how often it is right, how sparse it is, what a frame costs.

Needs no torch: features by the file's header, the golden model in batches, the decoder.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import Progress

from golden_model import Network, cycle_laws
from hw.errors import PlosiveError
from model_zoo import data
from model_zoo.scoring import costs, decode
from model_zoo.scoring.gain import Gain, find_gain, level_above
from model_zoo.scoring.references import Said
from model_zoo.scoring.score import Outputs, Tally, run_batches
from model_zoo.speech import features, phones
from model_zoo.speech.features import FRAME_SECONDS, Normalisation
from model_zoo.training.materials import state_labels

__all__ = [
    "EvaluationError",
    "Gain",
    "Sentence",
    "check",
    "evaluate",
    "find_gain",
    "level_above",
    "sentences",
]


_Item = TypeVar("_Item")


class EvaluationError(PlosiveError, ValueError):
    """A network that cannot be scored; one line that says why."""


@dataclass(frozen=True)
class Sentence:
    """A recording with all that scoring needs.

    Attributes
    ----------
    log_mel
        float32 `[frames, 40]`.
    states
        Numbers into `phones.LABELS` `[frames]`, where phone times are known.
    said
        See `references.nearest`.
    """

    log_mel: np.ndarray
    states: np.ndarray | None
    said: Sequence[Said]


def sentences(
    utterances: Sequence[data.Utterance],
    cache: str | os.PathLike[str] | None = None,
    report: Callable[[str], None] = print,
    progress: bool = True,
) -> list[Sentence]:
    """Utterances made ready to be scored.

    Where an utterance has phone times, each phone is cut into three equal states; where it has
    none, what was said is the dictionary's pronunciation of its text; words that the dictionary
    lacks are pronounced by rule (`phones.pronounce`).

    Parameters
    ----------
    utterances
        What to score on, with or without phone times.
    cache
        A build folder to keep log-mel energies in.
    report
        Takes a line on words that the dictionary lacks, and one on sentences that are left out
        because such a word has no pronunciation by rule either.
    progress
        Draw a progress bar.

    Returns
    -------
    list of Sentence

    Raises
    ------
    DataError
        Nothing is left to score.
    AudioError
        A recording cannot be read.
    ImportError
        A package for pronunciations, TextGrids or noise is missing.
    """
    timed = [u for u in utterances if u.phones]
    prompted, missing = data.with_pronunciation([u for u in utterances if not u.phones])
    if missing:
        report(data.missing_words(missing))
    ruled = data.words_by_rule(prompted)
    if ruled:
        report(data.ruled_words(ruled))
    kept = timed + prompted
    if not kept:
        raise data.DataError("no sentence is left to score: the dictionary lacks words of each")
    if cache is not None:
        log_mels = data.cached_log_mel(kept, cache, progress)
    else:
        log_mels = [features.log_mel(u.load()) for u in _shown(kept, "log-mel features", progress)]
    return [_sentence(u, frames) for u, frames in zip(kept, log_mels, strict=True)]


def _sentence(utterance: data.Utterance, log_mel: np.ndarray) -> Sentence:
    if utterance.phones:
        said = [phone for _, _, phone in utterance.phones]
        return Sentence(log_mel, state_labels(utterance.phones, len(log_mel)), said)
    return Sentence(log_mel, None, phones.transcribe(utterance.text))


def check(network: Network) -> None:
    """Refuse a network whose file does not say how to score it.

    Raises
    ------
    EvaluationError
    """
    header, config = network.header, network.config
    missing = [name for name in decode.NEEDED if name not in header]
    if missing:
        raise EvaluationError(
            f"the network has no {', '.join(missing)} in its header: it was not trained for "
            "phones, and cannot be scored"
        )
    try:
        Normalisation.from_header(header)
    except (KeyError, TypeError, ValueError) as error:
        raise EvaluationError(f"the network's {error}") from error
    if config.n_input != features.N_MELS:
        raise EvaluationError(
            f"the network has n_input {config.n_input}: recordings have {features.N_MELS} features"
        )
    if len(header["labels"]) != config.n_output:
        raise EvaluationError(
            f"the network has {config.n_output} outputs and {len(header['labels'])} labels in its "
            "header: there must be a label for each output"
        )
    states = set(phones.LABELS)
    for label in header["labels"]:
        if ".".join(str(label).split(".")[:2]) not in states:
            raise EvaluationError(
                f"the network's label {label!r} is no state of a phone: labels must be phone.state "
                "or phone.state.leaf, of TIMIT's 61 phones and states 0 to 2"
            )
    try:
        decode.check_header(header)
    except ValueError as error:
        raise EvaluationError(f"the network's {error}") from error


def evaluate(
    network: Network,
    recordings: Sequence[Sentence],
    gain: Gain | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Score a network on recordings.

    Parameters
    ----------
    network
        Its header says how features are normalised and how logits are decoded.
    recordings
        What to score on, see `sentences`.
    gain
        Gain applied to the recordings; None leaves them as they are.
    progress
        Draw a progress bar.

    Returns
    -------
    dict
        JSON-able: the fields of `score.Scores`; `mmac_per_s` (see `costs.Operations`),
        `mmac_per_s_enabled` (what the PEs add: zero weights too), `mmac_per_s_dense` (nothing
        skipped), `cycles_per_frame` (by the laws, mean over all frames that the machine runs),
        `mb` (weights that are not zero) and `mb_memory` (what the weight memories hold),
        `seconds` of speech, `network_hash`, `label_delay`, `decoder`, `gain_db`, `gain_is`,
        `notes`, and the wall-clock seconds `taken`.

    Raises
    ------
    EvaluationError
        See `check`.
    """
    check(network)
    header, config = network.header, network.config
    gain = gain or Gain(0.0, "none")
    fed = [features.quantised(gain(sentence.log_mel), header) for sentence in recordings]
    work, tally = _Work(network), Tally(header)
    taken = dict.fromkeys(("network", "decoding", "counting"), 0.0)
    with _bar(progress) as bar:
        task = bar.add_task("recordings", total=len(fed))
        began = time.perf_counter()
        for numbers, outputs in run_batches(network.run, fed, header, config.readout_every):
            began = _took(taken, "network", began)
            tally.add(
                outputs,
                [recordings[number].states for number in numbers],
                [recordings[number].said for number in numbers],
            )
            began = _took(taken, "decoding", began)
            for output in outputs:
                work.add(output)
            began = _took(taken, "counting", began)
            bar.advance(task, len(numbers))
    scores = tally.scores().to_dict()
    return {
        **scores,
        **work.figures(),
        "mb": round(costs.file_megabytes(network), 4),
        "mb_memory": round(costs.memory_megabytes(config), 4),
        "seconds": round(scores["frames"] * FRAME_SECONDS, 2),
        "network_hash": config.network_hash,
        "label_delay": header["label_delay"],
        "decoder": header["decoder"],
        "gain_db": gain.db,
        "gain_is": gain.source,
        "notes": _notes(recordings),
        "taken": {name: round(value, 2) for name, value in taken.items()},
    }


class _Work:
    """What the machine does for recordings, counted frame by frame with the cycle laws."""

    def __init__(self, network: Network) -> None:
        self._config = network.config
        self._operations = costs.Operations.of(network)
        self._frames = self._cycles = self._enabled = 0

    def add(self, output: Outputs) -> None:
        self._operations.add(output)
        spikes = [layer.view(np.uint8) for layer in output.spikes]
        laws = cycle_laws(self._config, output.features, spikes)
        self._cycles += int(laws.total.sum())
        self._enabled += int(laws.pe_operations.sum()) * self._config.lanes
        self._frames += len(output.features)

    def figures(self) -> dict[str, float]:
        per_s = 1 / FRAME_SECONDS / 1e6
        return {
            "mmac_per_s": round(self._operations.mmac_per_s(), 3),
            "mmac_per_s_enabled": round(self._enabled / self._frames * per_s, 3),
            "mmac_per_s_dense": round(costs.dense_mmac_per_s(self._config), 3),
            "cycles_per_frame": round(self._cycles / self._frames, 1),
        }


def _took(taken: dict[str, float], name: str, began: float) -> float:
    now = time.perf_counter()
    taken[name] += now - began
    return now


def _notes(recordings: Sequence[Sentence]) -> list[str]:
    untimed = sum(sentence.states is None for sentence in recordings)
    if not untimed:
        return []
    notes = [
        f"{untimed} of {len(recordings)} recordings have no phone times: their references are "
        "dictionary pronunciations, not what a phonetician heard"
    ]
    if untimed == len(recordings):
        notes.append("frame_accuracy and phone_accuracy need phone times: there are none")
    return notes


def _bar(progress: bool) -> Progress:
    return Progress(console=Console(stderr=True), transient=True, disable=not progress)


def _shown(items: Sequence[_Item], title: str, progress: bool) -> Iterator[_Item]:
    with _bar(progress) as bar:
        yield from bar.track(items, description=title)
