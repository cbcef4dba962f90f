# SPDX-License-Identifier: Apache-2.0
"""What every corpus of read speech is made of.

A reader gives the utterances of a folder and notes each recording that it cannot use: audio that
does not open, a missing partner file, labels that no recording could have. What becomes of those
is the caller's choice ("refuse" or "skip"), but nothing is left out without a word.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from hw.errors import PlosiveError
from model_zoo.data.labels import Label
from model_zoo.data.repair import REPAIRS
from model_zoo.speech import audio
from model_zoo.speech.files import FileError

__all__ = [
    "Broken",
    "Corpus",
    "DataError",
    "Options",
    "Utterance",
    "audio_length",
    "find_data",
    "resample",
    "split_by_speaker",
]

PROJECT = Path(__file__).resolve().parents[2]


class DataError(PlosiveError, ValueError):
    """Data that cannot be used as asked; one line that names it, the problem and the rule."""


@dataclass(frozen=True)
class Corpus:
    """A data set by name.

    Attributes
    ----------
    folder
        Its place in the data folder.
    licence, source
        The terms of its use, and how to get it.
    format
        How it is laid out: a key of `FORMATS`.
    """

    folder: str
    licence: str
    source: str
    format: str = "prompts"


@dataclass(frozen=True)
class Options:
    """How a reader reads a folder, beside what its format says.

    Attributes
    ----------
    tier
        Name of the TextGrids' tier of phones; None finds it by the usual names.
    phone_map
        The labels' phones as ours, see `labels.read_phone_map`.
    splits
        Whether splits are needed. If not, what they would leave out is read too, and their rules
        on speakers and halves of a corpus do not matter.
    listen
        Whether each recording is decoded to see that it can be used, or its header suffices.
    """

    tier: str | None = None
    phone_map: Mapping[str, str] = field(default_factory=dict)
    splits: bool = True
    listen: bool = False


@dataclass(frozen=True)
class Utterance:
    """One recording of one sentence.

    Attributes
    ----------
    corpus, speaker, name
        Where it is from; `name` is unique within the speaker.
    path
        The sound file.
    text
        The sentence that was read, empty where it is not known.
    split
        "train", "dev" or "test"; empty where none was asked for.
    phones
        Labels (first sample, end sample, phone of the 61), empty where there are none.
    repair
        What `load` puts right: a key of `repair.REPAIRS`.
    noise
        Noise that `load` adds: a `NoiseMix`.
    segment
        First and end sample of the utterance in its sound file, which may hold several; None for
        all of it.
    """

    corpus: str
    speaker: str
    name: str
    path: Path
    text: str
    split: str
    phones: tuple[Label, ...] = ()
    repair: str = ""
    noise: Callable[[np.ndarray, str], np.ndarray] | None = None
    segment: tuple[int, int] | None = None

    def load(self) -> np.ndarray:
        """The samples, repaired and with the noise: float32 `[samples]`, 16 kHz, full scale 1.0.

        Raises
        ------
        AudioError
            See `audio.load`.
        """
        if self.segment is None:
            samples = audio.load(self.path)
        else:
            status = self.path.stat()
            whole = _held(self.path, status.st_size, status.st_mtime_ns)
            samples = whole[slice(*self.segment)]
        samples = REPAIRS[self.repair](samples)
        if self.noise is not None:
            samples = self.noise(samples, f"{self.speaker}/{self.name}")
        return samples

    def in_noise(self, noise: Callable[[np.ndarray, str], np.ndarray]) -> "Utterance":
        """The same utterance with noise added: a `NoiseMix`."""
        return replace(self, noise=noise)


@lru_cache(maxsize=1)  # segments of one recording follow each other
def _held(path: Path, _size: int, _date: int) -> np.ndarray:
    samples = audio.load(path)
    samples.flags.writeable = False
    return samples


class Broken:
    """The recordings of a corpus that a reader could not use, in the order it met them.

    Attributes
    ----------
    lines
        Each with a path and a reason.
    remarks
        Lines on what was used, but not without doubt.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.remarks: list[str] = []

    def note(self, path: Path, reason: object) -> None:
        """Note that `path` is not used and why."""
        self.lines.append(f"{path}: {reason}")

    def settle(self, broken: str, report: Callable[[str], None]) -> None:
        """Refuse the corpus because of what was noted, or report each line.

        Raises
        ------
        DataError
            Something was noted and `broken` is "refuse".
        """
        if not self.lines or broken == "skip":
            for line in self.lines:
                report(f"left out: {line}")
            for line in self.remarks:
                report(line)
            return
        more = len(self.lines) - 1
        also = f" (and {more} more broken recording{'s' * (more > 1)})" if more else ""
        raise DataError(self.lines[0] + also)


def find_data(data: str | os.PathLike[str] | None = None, wanted: str = "") -> Path:
    """The data folder: `data`, else the environment's PLOSIVE_DATA, else `../shared/data`.

    Parameters
    ----------
    data
        The folder that the user gave.
    wanted
        What should be in it, for the message.

    Raises
    ------
    DataError
        There is no such folder.
    """
    chosen = data or os.environ.get("PLOSIVE_DATA") or PROJECT.parent / "shared" / "data"
    folder = Path(chosen)
    if not folder.is_dir():
        raise DataError(
            f"data folder {str(folder)!r} does not exist; install the speech data and "
            f"point --data or PLOSIVE_DATA at its folder{f' ({wanted})' * bool(wanted)}"
        )
    return folder


def resample(samples: np.ndarray, rate: float, wanted: float) -> np.ndarray:
    """Samples at another rate (soxr, high quality), float32 `[samples * wanted / rate]`.

    Raises
    ------
    ImportError
        The package soxr is missing.
    """
    try:
        import soxr
    except ImportError as error:
        raise ImportError(
            "resampling needs the package soxr (pip install plosive[train])"
        ) from error
    return soxr.resample(samples, rate, wanted)


def audio_length(path: Path, listen: bool = False) -> int:
    """Samples of a recording.

    Parameters
    ----------
    path
        The sound file.
    listen
        Decode all of it, and refuse silence too; else its header and its size must do.

    Raises
    ------
    FileError
        The recording cannot be used, see `audio.decode`; the reason only.
    """
    content = audio.read_sound(path)
    if not listen:
        return audio.length(content)
    samples = audio.decode(content)
    silence = audio.silence(samples)
    if silence is not None:
        raise FileError(silence)
    return len(samples)


def split_by_speaker(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Whole speakers to splits, where nothing else says which.

    Of the speakers in the order of their names, the third, eighth, thirteenth... are `test` and
    the second, seventh, twelfth... `dev`; the rest are `train`. With fewer than three speakers
    all is `test`: a network scored on a voice that it was trained on says little.
    """
    speakers = sorted({u.speaker for u in utterances})
    if len(speakers) < 3:
        return [replace(u, split="test") for u in utterances]
    split = {name: {2: "test", 1: "dev"}.get(i % 5, "train") for i, name in enumerate(speakers)}
    return [replace(u, split=split[u.speaker]) for u in utterances]
