# SPDX-License-Identifier: Apache-2.0
"""What every corpus of read speech is made of, and the checks that all of them pass.

A reader gives the utterances of a folder and notes each recording that it cannot use: audio that
does not open, a missing partner file, labels that no recording could have. What becomes of those
is the caller's choice ("refuse" or "skip"), but nothing is left out without a word.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from hw.errors import PlosiveError
from model_zoo.data.repair import REPAIRS
from model_zoo.speech import audio, phones

__all__ = [
    "LABEL_TOLERANCE",
    "Broken",
    "Corpus",
    "DataError",
    "Utterance",
    "audio_length",
    "check_labels",
    "find_data",
    "partner",
    "resample",
    "sample_labels",
    "split_by_speaker",
]

PROJECT = Path(__file__).resolve().parents[2]

LABEL_TOLERANCE = 160
"""Samples (10 ms, one frame) by which labels may reach past the end of the audio or leave a gap.

Hand-made labels are rounded, and a converter may drop a sample; a frame's label does not change.
"""


class DataError(PlosiveError, ValueError):
    """Data that cannot be used as asked; one line that names it, the problem and the rule."""


@dataclass(frozen=True)
class Corpus:
    """A data set by name.

    Attributes
    ----------
    folder : str
        Its place in the data folder.
    licence, source : str
        Under what terms, and how to get it.
    format : str
        How it is laid out: a key of `FORMATS`.
    """

    folder: str
    licence: str
    source: str
    format: str = "prompts"


@dataclass(frozen=True)
class Utterance:
    """One recording of one sentence.

    Attributes
    ----------
    corpus, speaker, name : str
        Where it is from; `name` is unique within the speaker.
    path : pathlib.Path
        The sound file.
    text : str
        The sentence that was read, empty where it is not known.
    split : str
        "train", "dev" or "test".
    phones : tuple of (int, int, str)
        Labels (first sample, end sample, phone of the 61), empty where there are none.
    repair : str
        What `load` puts right: a key of `repair.REPAIRS`.
    speed : float
        How much faster than recorded `load` plays it; pitch rises with it. `phones` are of the
        sped-up samples.
    noise : NoiseMix or None
        Noise that `load` adds, behind the change of speed.
    """

    corpus: str
    speaker: str
    name: str
    path: Path
    text: str
    split: str
    phones: tuple = ()
    repair: str = ""
    speed: float = 1.0
    noise: Callable | None = None

    def load(self):
        """The samples, repaired and perturbed: float32 `[samples]`, 16 kHz, full scale 1.0.

        Raises
        ------
        AudioError
            See `audio.load`.
        """
        samples = REPAIRS[self.repair](audio.load(self.path))
        if self.speed != 1.0:
            samples = np.clip(resample(samples, self.speed, 1.0), -1, 1)
        if self.noise is not None:
            samples = self.noise(samples, f"{self.speaker}/{self.name}")
        return samples

    def at_speed(self, factor):
        """The same utterance played `factor` times as fast, labels and all.

        Raises
        ------
        DataError
            The factor is not between 0.5 and 2.
        """
        if not 0.5 <= factor <= 2:
            raise DataError(f"speed {factor!r} must lie between 0.5 and 2")
        labels = tuple((round(a / factor), round(b / factor), name) for a, b, name in self.phones)
        return replace(self, speed=self.speed * factor, phones=labels)

    def in_noise(self, noise):
        """The same utterance with noise added: a `NoiseMix`."""
        return replace(self, noise=noise)


class Broken:
    """The recordings of a corpus that a reader could not use, in the order it met them."""

    def __init__(self):
        self.lines = []

    def note(self, path, reason):
        """Note that `path` is not used and why."""
        self.lines.append(f"{path}: {reason}")

    def settle(self, broken, report: Callable[[str], None]):
        """Refuse the corpus because of what was noted, or report each line.

        Raises
        ------
        DataError
            Something was noted and `broken` is "refuse".
        """
        if not self.lines:
            return
        if broken == "skip":
            for line in self.lines:
                report(f"left out: {line}")
            return
        more = len(self.lines) - 1
        also = f" (and {more} more broken recording{'s' * (more > 1)})" if more else ""
        raise DataError(self.lines[0] + also)


def find_data(data=None, wanted=""):
    """The data folder: `data`, else the environment's PLOSIVE_DATA, else `../shared/data`.

    Parameters
    ----------
    data : path-like or None
    wanted : str
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


def resample(samples, rate, wanted):
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


def audio_length(path):
    """Samples of a recording, from its header; the reason why not as a `ValueError`."""
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
        if head.startswith(b"NIST_1A") and b"shorten" in head:
            raise ValueError(
                "is SPHERE compressed with shorten, which libsndfile does not read; convert it "
                "(LDC's sph2pipe -f rif in.wav out.wav)"
            )
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise ValueError(
            f"cannot be read as audio ({reason}); 16 kHz mono WAV, FLAC or SPHERE is needed"
        ) from error
    except OSError as error:
        raise ValueError(f"cannot be opened ({error.strerror})") from error
    if info.samplerate != audio.SAMPLE_RATE:
        raise ValueError(
            f"the sample rate is {info.samplerate} Hz; it must be {audio.SAMPLE_RATE} Hz"
        )
    if info.channels != 1:
        raise ValueError(f"the file has {info.channels} channels; it must be mono")
    if info.frames < audio.FRAME_SAMPLES:
        raise ValueError(
            f"{info.frames} samples are shorter than one frame; at least "
            f"{audio.FRAME_SAMPLES} samples (25 ms) are needed"
        )
    return info.frames


def check_labels(labels, n_samples):
    """Check the phone labels of a recording; the reason why not as a `ValueError`.

    Parameters
    ----------
    labels : sequence of (int, int, str)
        First sample, end sample, phone.
    n_samples : int
        Length of the recording.
    """
    if not labels:
        raise ValueError("has no labels; each recording needs one or more")
    last = 0
    for first, end, phone in labels:
        if phone not in phones.PHONES:
            raise ValueError(
                f"label {phone!r} at sample {first} is no known phone; known are "
                f"{' '.join(phones.PHONES)}"
            )
        if end <= first:
            raise ValueError(
                f"label {phone!r} ends at sample {end}, not behind its first sample {first}"
            )
        if end <= last:
            raise ValueError(
                f"label {phone!r} ends at sample {end}, but the one before ends at {last}; labels "
                "must be in order"
            )
        if abs(first - last) > LABEL_TOLERANCE:
            raise ValueError(
                f"label {phone!r} begins at sample {first}, but the one before ends at {last}; "
                f"labels must follow each other within {LABEL_TOLERANCE} samples, from sample 0"
            )
        last = end
    if last > n_samples + LABEL_TOLERANCE:
        raise ValueError(
            f"the last label {labels[-1][2]!r} ends at sample {last}, but the audio has "
            f"{n_samples} samples; at most {LABEL_TOLERANCE} more are accepted"
        )


def sample_labels(text):
    """Labels of a `.phn` file's text (first sample, end sample, phone); else a `ValueError`."""
    labels = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            first, end, phone = line.split()
            labels.append((int(first), int(end), phone.lower()))
        except ValueError:
            raise ValueError(
                f"label line {number} is {line!r}; it must be first sample, end sample and phone"
            ) from None
    return tuple(labels)


def partner(path, extension):
    """The file of the same stem with another extension, in any case; None if there is none."""
    for name in (extension, extension.upper()):
        candidate = path.with_suffix(name)
        if candidate.is_file():
            return candidate
    for candidate in path.parent.iterdir():
        if candidate.stem == path.stem and candidate.suffix.lower() == extension:
            return candidate
    return None


def split_by_speaker(utterances):
    """Whole speakers to splits, where nothing else says which.

    Of the speakers in the order of their names, the third, eighth, thirteenth... are `test` and
    the second, seventh, twelfth... `dev`; the rest are `train`. With fewer than three speakers
    all is `test`: a network scored on a voice that it was trained on says little.

    Returns
    -------
    list of Utterance
    """
    speakers = sorted({u.speaker for u in utterances})
    if len(speakers) < 3:
        return [replace(u, split="test") for u in utterances]
    split = {name: {2: "test", 1: "dev"}.get(i % 5, "train") for i, name in enumerate(speakers)}
    return [replace(u, split=split[u.speaker]) for u in utterances]
