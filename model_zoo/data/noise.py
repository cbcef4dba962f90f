# SPDX-License-Identifier: Apache-2.0
"""Noise: clips by class, and speech mixed with one at a given signal-to-noise ratio.

A noise folder has a folder per class with clips of any format and sample rate that libsndfile
reads; they are resampled to 16 kHz and mixed down. Half of each class is `train`, half `test`, so
that no network is scored in the noise that it was trained in. ESC-50's names are
FOLD-SOURCE-TAKE: takes of one source sound alike and stay in one half.
"""

import os
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from model_zoo.data.corpus import DataError, find_data, resample
from model_zoo.data.listing import folders, is_visible
from model_zoo.speech.audio import SAMPLE_RATE, AudioError, InMemory
from model_zoo.speech.files import MOST_SOUND_BYTES, FileError, read_bytes

__all__ = ["Clip", "NoiseMix", "mix", "read_noise"]

_CLIPS = {".flac", ".mp3", ".ogg", ".opus", ".wav"}
_LEAST_SHARE = 0.01
_DRAWS = 100


@dataclass(frozen=True)
class Clip:
    """One recording of noise.

    Attributes
    ----------
    kind
        Its class: "rain", for example.
    path
        The sound file.
    split
        "train" or "test".
    """

    kind: str
    path: Path
    split: str

    def load(self) -> np.ndarray:
        """The samples, float32 `[samples]`, 16 kHz mono; `AudioError` where they can't be read."""
        return _load(self.path)


@lru_cache(maxsize=256)
def _load(path: Path) -> np.ndarray:
    try:
        content = InMemory(read_bytes(path, MOST_SOUND_BYTES))
        samples, rate = soundfile.read(content, dtype="float32", always_2d=True)
    except FileError as error:
        raise AudioError(f"{path}: {error}") from error
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise AudioError(f"{path}: cannot be read as audio ({reason})") from error
    samples = samples.mean(axis=1)
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; noise must be finite")
    if rate == SAMPLE_RATE:
        return samples
    return resample(samples, rate, SAMPLE_RATE)


def read_noise(
    data: str | os.PathLike[str] | None = None, folder: str | os.PathLike[str] | None = None
) -> dict[str, tuple[Clip, ...]]:
    """Noise clips by class.

    Parameters
    ----------
    data
        The data folder, see `find_data`; its `noise` is read.
    folder
        A noise folder of one's own, instead.

    Returns
    -------
    dict of str to tuple of Clip
        Clips in the order of class and clip names.

    Raises
    ------
    DataError
        There is no such folder, or a class with fewer than two sources.
    """
    folder = Path(folder) if folder is not None else find_data(data) / "noise"
    if not folder.is_dir():
        raise DataError(
            f"noise folder {str(folder)!r} does not exist; it must hold a folder of clips per "
            "class (ESC-10's, for example)"
        )
    clips = {kind.name: _halves(kind) for kind in sorted(folders(folder))}
    if not clips:
        raise DataError(f"noise folder {str(folder)!r} has no folder of clips in it")
    return clips


def _halves(folder: Path) -> tuple[Clip, ...]:
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _CLIPS and is_visible(p.name))
    source = {p: re.sub(r"(-\d+)-[A-Z]$", r"\1", p.stem) for p in paths}
    sources = sorted(set(source.values()))
    if len(sources) < 2:
        raise DataError(
            f"noise class {str(folder)!r} has clips of {len(sources)} sources; at least 2 are "
            "needed, one to train and one to test with"
        )
    size = Counter(source.values())
    halves = {"train": [], "test": []}
    for name in sources:
        smaller = min(halves, key=lambda half: sum(size[taken] for taken in halves[half]))
        halves[smaller].append(name)
    return tuple(
        Clip(folder.name, p, "train" if source[p] in halves["train"] else "test") for p in paths
    )


def mix(
    samples: np.ndarray, noise: np.ndarray, snr_db: float, seed: int | Sequence[int]
) -> np.ndarray:
    """Speech with noise, at a signal-to-noise ratio of mean powers over the whole recording.

    The noise is cut, or repeated, from a random place on; a place where it is nearly silent (a
    hundredth of the clip's mean power) is not taken. A sum beyond full scale is scaled down as a
    whole, speech and noise alike: the ratio stays.

    Parameters
    ----------
    samples, noise
        float32, 16 kHz, `[samples]` each.
    snr_db
        10 log10 of speech power over noise power.
    seed
        Seed of the random place.

    Returns
    -------
    numpy.ndarray
        float32 `[samples]`, within [-1, 1].

    Raises
    ------
    AudioError
        Speech or noise is silent: no ratio exists.
    """
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    whole = float(np.mean(np.square(noise, dtype=np.float64))) if len(noise) else 0.0
    if not power or not whole:
        silent = "the speech" if not power else "the noise"
        raise AudioError(f"{silent} is silent; a signal-to-noise ratio needs both")
    random = np.random.default_rng(seed)
    places = len(noise) - len(samples) + 1 if len(noise) >= len(samples) else len(noise)
    for _ in range(_DRAWS):
        start = int(random.integers(places))
        taken = noise[np.arange(start, start + len(samples)) % len(noise)].astype(np.float64)
        noise_power = float(np.mean(taken**2))
        if noise_power >= _LEAST_SHARE * whole:
            break
    else:
        raise AudioError(f"the noise is nearly silent at each of {_DRAWS} places drawn in it")
    mixed = samples + taken * np.sqrt(power / noise_power / 10 ** (snr_db / 10))
    return (mixed / max(1.0, np.abs(mixed).max())).astype(np.float32)


@dataclass(frozen=True)
class NoiseMix:
    """Noise for many recordings: each draws a clip, a ratio and a place from its own seed.

    Attributes
    ----------
    clips
        What it draws from.
    lowest_db, highest_db
        The signal-to-noise ratio is uniform between them.
    seed
        Together with a recording's speaker and name it decides everything, so a recording gets
        the same noise in whatever company.
    """

    clips: tuple[Clip, ...]
    lowest_db: float
    highest_db: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.clips:
            raise DataError("a noise mix has no clips; at least one is needed")
        if not self.lowest_db <= self.highest_db:
            raise DataError(
                f"a noise mix has lowest_db {self.lowest_db!r} and highest_db "
                f"{self.highest_db!r}; the first must not be the larger"
            )

    def __call__(self, samples: np.ndarray, name: str) -> np.ndarray:
        """`samples` in noise; `name` is the recording's."""
        random = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        clip = self.clips[int(random.integers(len(self.clips)))]
        ratio = float(random.uniform(self.lowest_db, self.highest_db))
        return mix(samples, clip.load(), ratio, random.integers(2**32))
