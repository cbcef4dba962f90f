# SPDX-License-Identifier: Apache-2.0
"""Log-mel energies of many recordings, each computed once.

A file per recording, so that splits and folds share them and an interrupted run keeps what it
has. Its name is a hash of all that the energies depend on: the sound file's path, size and date,
repair and added noise, and the code that computes them.
"""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Sequence
from functools import cache as once
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from golden_model.files.writing import atomic_open
from model_zoo.data import noise, repair
from model_zoo.data.corpus import Utterance
from model_zoo.speech import features

__all__ = ["cached_log_mel"]


def cached_log_mel(
    utterances: Sequence[Utterance], cache: str | os.PathLike[str], progress: bool = True
) -> list[np.ndarray]:
    """Log-mel energies of utterances (as `Utterance.load` gives them), kept in `cache`.

    Parameters
    ----------
    utterances
        The recordings, in any order.
    cache
        A build folder; the files are in its `log_mel`.
    progress
        Draw a progress bar while computing.

    Returns
    -------
    list of numpy.ndarray
        float32 `[frames, 40]`, one per utterance.

    Raises
    ------
    AudioError
        A recording cannot be read, see `audio.load`.
    PlosiveError
        The folder cannot be written.
    """
    folder = Path(cache) / "log_mel"
    paths = [folder / f"{_key(utterance)}.npy" for utterance in utterances]
    missing = [pair for pair in zip(utterances, paths, strict=True) if not pair[1].is_file()]
    bar = {"console": Console(stderr=True), "disable": not (progress and missing)}
    for utterance, path in track(missing, "log-mel features", **bar):
        # Two runs may compute the same file; each writes its own whole one.
        energies = features.log_mel(utterance.load())
        with atomic_open(path) as file:
            np.save(file, energies)
    return [np.load(path) for path in paths]


def _file(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path.resolve()), status.st_size, status.st_mtime_ns


def _key(utterance: Utterance) -> str:
    dependencies = [_code(), _file(utterance.path), utterance.repair]
    if utterance.noise is not None:
        dependencies += [utterance.speaker, utterance.name, *_noise(utterance.noise)]
    if utterance.segment is not None:
        dependencies.append(utterance.segment)
    text = json.dumps(dependencies)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@once
def _noise(mix: noise.NoiseMix) -> tuple[float, float, int, list[tuple[str, int, int]]]:
    clips = [_file(clip.path) for clip in mix.clips]
    return mix.lowest_db, mix.highest_db, mix.seed, clips


@once
def _code() -> tuple[str, list[str | None]]:
    source = b"".join(Path(module.__file__).read_bytes() for module in (features, noise, repair))
    packages = ("kaldi-native-fbank", "soxr")
    return hashlib.sha256(source).hexdigest(), [_version(name) for name in packages]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
