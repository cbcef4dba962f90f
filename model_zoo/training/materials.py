# SPDX-License-Identifier: Apache-2.0
"""Corpora made ready to train on: features, a label for every frame, the phones that were said.

Corpora with phone times are labelled by them (each phone cut into three equal states); prompted
speech without times is force-aligned, from a flat start or by a network. All of it is kept in the
build folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from golden_model.files.writing import atomic_open, lock
from model_zoo import data
from model_zoo.data import espeak
from model_zoo.scoring.aligner import Aligner
from model_zoo.speech import align, phones
from model_zoo.speech.audio import FRAME_SAMPLES
from model_zoo.speech.features import HOP_SAMPLES
from model_zoo.training.recipe import Recipe
from model_zoo.training.statistics import phone_sequence

__all__ = ["Material", "gather", "prepare", "state_labels"]

SPEAKERS_PER_SENTENCE = 0.1
"""Synthetic speakers per synthetic sentence: ten sentences each, as in TIMIT."""


@dataclass(frozen=True)
class Material:
    """Recordings with all that training and scoring need; lists have an entry per recording.

    Attributes
    ----------
    utterances
        What was recorded, and by whom.
    log_mels
        float32 `[frames, 40]`.
    states
        Numbers into `phones.LABELS` `[frames]`.
    said
        The phones that were said, out of the 61.
    """

    utterances: list[data.Utterance]
    log_mels: list[np.ndarray]
    states: list[np.ndarray]
    said: list[list[str]]

    def __len__(self) -> int:
        return len(self.utterances)

    def split(self, name: str) -> Material:
        """The part that is "train", "dev" or "test"."""
        return self.subset([i for i, u in enumerate(self.utterances) if u.split == name])

    def subset(self, chosen: Iterable[int]) -> Material:
        """The recordings with these numbers."""
        return Material(
            *(
                [part[i] for i in chosen]
                for part in (self.utterances, self.log_mels, self.states, self.said)
            )
        )

    def at(self, gain: Callable[[np.ndarray], np.ndarray]) -> Material:
        """The same with a gain applied to each recording's log-mel energies."""
        return replace(self, log_mels=[gain(frames) for frames in self.log_mels])

    def shifted(self, amount: float) -> Material:
        """The same with `amount` added to all log-mel energies (one gain for all)."""
        return self.at(lambda frames: frames + np.float32(amount))

    def __add__(self, other: Material) -> Material:
        return Material(
            self.utterances + other.utterances,
            self.log_mels + other.log_mels,
            self.states + other.states,
            self.said + other.said,
        )


def state_labels(segments: Sequence[tuple[int, int, str]], n_frames: int) -> np.ndarray:
    """States of frames from phone times: each phone has three states of equal length.

    Parameters
    ----------
    segments
        First sample, end sample, phone.
    n_frames
        Length of the recording, in frames.

    Returns
    -------
    numpy.ndarray
        Numbers into `phones.LABELS` `[frames]`, of the middle of each window.
    """
    middle = np.arange(n_frames) * HOP_SAMPLES + FRAME_SAMPLES // 2
    first, end = (np.array([segment[i] for segment in segments]) for i in (0, 1))
    number = np.array([phones.PHONES.index(phone) for _, _, phone in segments])
    found = np.minimum(np.searchsorted(end, middle, side="right"), len(segments) - 1)
    state = (middle - first[found]) * phones.N_STATES // (end - first)[found]
    return number[found] * phones.N_STATES + np.clip(state, 0, phones.N_STATES - 1)


def gather(
    recipe: Recipe,
    folder: str | os.PathLike[str] | None,
    build: str | os.PathLike[str],
    report: Callable[[str], None] = print,
    progress: bool = True,
    broken: str = "refuse",
) -> dict[str, Material]:
    """Read, label and keep every corpus that a recipe names.

    Parameters
    ----------
    recipe
        Its corpora are keys of `data.CORPORA`, names of its own `corpora`, or "espeak" for
        synthetic speech (of the prompts at hand), with `sentences` and `seed` of the recipe.
    folder
        Data folder, see `data.find_data`.
    build
        Where features, alignments and synthetic speech are kept.
    report
        Takes lines on what was left out.
    progress
        Draw progress bars.
    broken
        What becomes of recordings that cannot be used: "refuse" or "skip".

    Returns
    -------
    dict of str to Material
        The corpora in the order in which stages, `tune` and `test` name them first.

    Raises
    ------
    DataError, AudioError
    """
    trained_on = [name for stage in recipe.stages for name, _ in stage.data]
    made, folders = {}, dict(recipe.corpora)
    aligner = Aligner(recipe.align) if recipe.align else None
    for name in dict.fromkeys([*trained_on, *recipe.tune, *recipe.test]):
        if name in folders:
            theirs = folders[name]
            found = data.read_folder(
                theirs.format,
                theirs.path,
                broken,
                report,
                tier=theirs.tier or None,
                phone_map=theirs.phone_map or None,
            )
            utterances = [replace(u, corpus=name) for u in found]
        elif name == "espeak":
            utterances = _synthetic(folder, build, recipe.sentences, recipe.seed, progress)
        else:
            utterances = data.read(name, folder, broken, report)
        made[name] = prepare(utterances, build, report, progress, aligner)
    return made


def prepare(
    utterances: Sequence[data.Utterance],
    build: str | os.PathLike[str],
    report: Callable[[str], None] = print,
    progress: bool = True,
    aligner: Aligner | None = None,
) -> Material:
    """Features and labels of utterances: by their phone times, or force-aligned to their text.

    Parameters
    ----------
    utterances
        With phone times or without, of one corpus.
    build, report, progress
        See `gather`.
    aligner
        The network that aligns; None for a flat start.

    Raises
    ------
    DataError
        Nothing is left to use.
    """
    timed = [u for u in utterances if u.phones]
    prompted = [u for u in utterances if not u.phones]
    log_mels = data.cached_log_mel(timed, build, progress)
    states = [state_labels(u.phones, len(x)) for u, x in zip(timed, log_mels, strict=True)]
    said = [[phone for _, _, phone in u.phones] for u in timed]
    material = Material(timed, log_mels, states, said)
    if prompted:
        material = material + _aligned(prompted, build, report, progress, aligner)
    if not len(material):
        raise data.DataError("no recording is left to use; see the lines above for the reasons")
    return material


def _synthetic(
    folder: str | os.PathLike[str] | None,
    build: str | os.PathLike[str],
    sentences: int,
    seed: int,
    progress: bool,
) -> list[data.Utterance]:
    texts = []
    for name in ("bdl", "slt", "kathleen"):
        texts += [u.text for u in data.read(name, folder) if u.split == "train"]
    texts = sorted(set(texts))
    chosen = np.random.default_rng(seed).integers(len(texts), size=sentences)
    made = espeak.corpus(
        build,
        [texts[i] for i in chosen],
        round(sentences * SPEAKERS_PER_SENTENCE),
        seed,
        progress=progress,
    )
    return [replace(u, corpus="espeak") for u in data.read_folder("timit", made)]


def _aligned(
    utterances: Sequence[data.Utterance],
    build: str | os.PathLike[str],
    report: Callable[[str], None],
    progress: bool,
    aligner: Aligner | None,
) -> Material:
    kept, missing = data.with_pronunciation(utterances)
    if missing:
        report(data.missing_words(missing))
    ruled = data.words_by_rule(kept)
    if ruled:
        report(data.ruled_words(ruled))
    log_mels = data.cached_log_mel(kept, build, progress)
    labels = _alignment(kept, log_mels, build, report, progress, aligner)
    for utterance, known in zip(kept, labels, strict=True):
        if not len(known):
            report(f"left out: {utterance.path}: too short for its phones")
    chosen = [i for i, known in enumerate(labels) if len(known)]
    states = [labels[i].astype(np.int64) for i in chosen]
    return Material(
        [kept[i] for i in chosen],
        [log_mels[i] for i in chosen],
        states,
        [[phones.PHONES[number] for number in phone_sequence(known)] for known in states],
    )


def _alignment(
    utterances: Sequence[data.Utterance],
    log_mels: Sequence[np.ndarray],
    build: str | os.PathLike[str],
    report: Callable[[str], None],
    progress: bool,
    aligner: Aligner | None,
) -> list[np.ndarray]:
    """Alignments, kept in the build folder under a name of all that they depend on."""
    content = hashlib.sha256(Path(align.__file__).read_bytes())
    if aligner is not None:
        content.update(aligner.key.encode())
    for utterance, frames in zip(utterances, log_mels, strict=True):
        content.update(repr(phones.transcribe(utterance.text)).encode())
        content.update(frames.tobytes())
    path = Path(build) / f"alignment-{content.hexdigest()[:16]}.npz"
    told = partial(report, "another process aligns the same recordings: waiting for it")
    with lock(path, told):
        if not path.is_file():
            texts = [u.text for u in utterances]
            if aligner is None:
                found = align.align(texts, log_mels, progress=progress)
            else:
                found = aligner(utterances[0].corpus, texts, log_mels, progress)
            with atomic_open(path) as file:
                np.savez(
                    file,
                    labels=np.concatenate(found.labels),
                    ends=np.cumsum([len(labels) for labels in found.labels]),
                )
    with np.load(path) as stored:
        return np.split(stored["labels"], stored["ends"][:-1])
