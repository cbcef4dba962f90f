# SPDX-License-Identifier: Apache-2.0
"""`plosive evaluate`: which recordings a network is scored on, and in what noise."""

import os
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from flows.speech.figures import Evaluation, Scores
from golden_model import Network
from golden_model.files.escape import terminal
from golden_model.files.writing import make_directory
from hw.errors import PlosiveError

__all__ = ["SPLITS", "Recordings", "evaluate"]

SPLITS = ("train", "dev", "test", "all")
NOISE_SEED = 1


@dataclass(frozen=True)
class Recordings:
    """What to score on, as the user says it.

    Attributes
    ----------
    corpus
        A name out of `data.CORPORA`; then `data` is the folder of all corpora, or None.
    data, format
        Else a folder, and how it is laid out: a key of `data.FORMATS`.
    split
        Part of the corpus, one of `SPLITS`.
    snr
        Signal-to-noise ratio of added noise, dB; None adds none.
    noise
        Class of noise, or "all".
    noise_data
        A noise folder of the user's own, see `data.read_noise`.
    broken
        What becomes of recordings that cannot be used: "refuse" or "skip".
    gain
        Gain of all recordings, dB; None lets `evaluate.find_gain` find it.
    tier, phone_map
        How the labels of `data` are read, see `data.read_folder`.
    """

    corpus: str | None = None
    data: str | os.PathLike[str] | None = None
    format: str | None = None
    split: str = "test"
    snr: float | None = None
    noise: str = "all"
    noise_data: str | os.PathLike[str] | None = None
    broken: str = "refuse"
    gain: float | None = None
    tier: str | None = None
    phone_map: str | os.PathLike[str] | None = None


def evaluate(
    network_file: str | os.PathLike[str],
    wanted: Recordings,
    *,
    build_dir: Path,
    progress: bool = True,
) -> Evaluation:
    """Score a network file, see `model_zoo.scoring.evaluate.evaluate`.

    Parameters
    ----------
    network_file
        A .safetensors network file.
    wanted
        What to score it on.
    build_dir
        Keeps the features of recordings.
    progress
        Draw progress bars on standard error.

    Raises
    ------
    PlosiveError
        The options contradict each other, or a package is missing.
    DataError, AudioError, EvaluationError, NetworkError
        The recordings or the network cannot be used.
    """
    from model_zoo.scoring import evaluate as zoo

    network = Network.load(network_file)
    zoo.check(network)
    began = time.perf_counter()
    make_directory(build_dir)
    try:
        utterances = _utterances(wanted)
        clean = zoo.sentences(utterances, build_dir, _report, progress)
        gain = _gain(network.header, wanted, utterances[0].corpus, clean)
        mix = _noise(wanted)
        if mix is not None:
            noisy = [utterance.in_noise(mix) for utterance in utterances]
            clean = zoo.sentences(noisy, build_dir, _ignore, progress)
    except ImportError as error:
        raise PlosiveError(f"{error}") from error
    prepared = time.perf_counter() - began
    figures = zoo.evaluate(network, clean, gain, progress)
    taken = {"features": round(prepared, 2), **figures.pop("taken")}
    total = sum(taken.values())
    scores = {field.name: figures.pop(field.name) for field in fields(Scores)}
    return Evaluation(
        network=str(network_file),
        corpus=utterances[0].corpus,
        format=wanted.format,
        split=wanted.split,
        speakers=len({u.speaker for u in utterances}),
        snr_db=wanted.snr,
        noise=wanted.noise if wanted.snr is not None else None,
        noise_seed=NOISE_SEED if wanted.snr is not None else None,
        scores=Scores(**scores),
        **figures,
        taken={**taken, "total": round(total, 2)},
        times_real_time=round(figures["seconds"] / total, 1),
    )


def _utterances(wanted: Recordings) -> list[Any]:
    from model_zoo import data

    if wanted.split not in SPLITS:
        raise PlosiveError(f"--split is {wanted.split!r}: it must be one of {', '.join(SPLITS)}")
    if (wanted.corpus is None) == (wanted.format is None):
        raise PlosiveError(
            f"give either --corpus NAME ({', '.join(data.CORPORA)}) or --data DIR with "
            f"--format {'|'.join(sorted(data.FORMATS))}: one of them names the recordings"
        )
    splits = wanted.split != "all"
    if wanted.corpus is not None:
        if wanted.tier is not None or wanted.phone_map is not None:
            raise PlosiveError("--tier and --phone-map need --data DIR with --format, not --corpus")
        found = data.read(wanted.corpus, wanted.data, wanted.broken, splits=splits)
    elif wanted.data is None:
        raise PlosiveError(f"--format {wanted.format} needs --data DIR, the folder of recordings")
    else:
        found = data.read_folder(
            wanted.format,
            wanted.data,
            wanted.broken,
            splits=splits,
            tier=wanted.tier,
            phone_map=wanted.phone_map,
        )
    chosen = [u for u in found if not splits or u.split == wanted.split]
    if not chosen:
        there = {name: sum(u.split == name for u in found) for name in SPLITS[:-1]}
        held = ", ".join(f"{count} {name}" for name, count in there.items() if count)
        raise PlosiveError(
            f"--split {wanted.split}: corpus {found[0].corpus!r} has no such recordings; it has "
            f"{held}"
        )
    return chosen


def _gain(header: dict[str, Any], wanted: Recordings, corpus: str, clean: list[Any]) -> Any:
    from model_zoo.scoring import evaluate as zoo

    if wanted.gain is not None:
        return zoo.Gain(wanted.gain, "--gain")
    return zoo.find_gain(header, corpus, [sentence.log_mel for sentence in clean])


def _noise(wanted: Recordings) -> Any:
    """The noise to add: clips that no training has heard; None without a ratio."""
    from model_zoo import data

    if wanted.snr is None:
        if wanted.noise != "all" or wanted.noise_data is not None:
            raise PlosiveError("--noise and --noise-data need --snr DB, the ratio to add noise at")
        return None
    # A folder of corpora holds the noise too; a folder of recordings does not.
    kinds = data.read_noise(wanted.data if wanted.corpus else None, wanted.noise_data)
    if wanted.noise not in ("all", *kinds):
        raise PlosiveError(f"--noise is {wanted.noise!r}: it must be all, {', '.join(kinds)}")
    clips = [
        clip
        for kind, several in kinds.items()
        if wanted.noise in ("all", kind)
        for clip in several
        if clip.split == "test"
    ]
    return data.NoiseMix(tuple(clips), wanted.snr, wanted.snr, NOISE_SEED)


def _report(line: str) -> None:
    print(f"plosive: {terminal(line)}", file=sys.stderr)


def _ignore(_line: str) -> None:
    """The same was said of the recordings without noise."""
