# SPDX-License-Identifier: Apache-2.0
"""Corpora of read speech: where they are, what was said, which sentences are held out.

Splits follow the sentence, not the recording, because the corpora read the same prompts: of every
speaker, the prompts whose number is 0 modulo 20 are `test`, 10 modulo 20 are `dev` (decoder
weights are tuned on these), the rest `train`. The TIMIT sample is `test` only: its licence is
non-commercial, so nothing that ships may learn from it. Its two SA sentences, which all speakers
read, are left out.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from model_zoo import audio, features, phones

__all__ = [
    "CORPORA",
    "Corpus",
    "DataError",
    "Utterance",
    "cached_log_mel",
    "find_data",
    "read",
    "undamaged",
    "with_pronunciation",
]

PROJECT = Path(__file__).resolve().parents[1]


_WINDOW = audio.SAMPLE_RATE // 10
_LOUDEST = 0.15


class DataError(FileNotFoundError):
    """A data set that is not there; the message says what to install and where."""


@dataclass(frozen=True)
class Corpus:
    """A data set: its folder in the data folder, its licence and how to get it."""

    folder: str
    licence: str
    source: str


CORPORA = {
    "bdl": Corpus(
        "arctic/bdl",
        "CMU ARCTIC: free for any use, with notice, (c) 2003 Carnegie Mellon University",
        "CMU ARCTIC, speaker bdl",
    ),
    "slt": Corpus(
        "arctic/slt",
        "CMU ARCTIC: free for any use, with notice, (c) 2003 Carnegie Mellon University",
        "CMU ARCTIC, speaker slt",
    ),
    "kathleen": Corpus(
        "kathleen", "CC0 1.0", "the speaker Kathleen's recordings of the ARCTIC prompts"
    ),
    "timit-sample": Corpus(
        "timit-sample",
        "CC BY-NC-SA, (c) 1993 Linguistic Data Consortium: evaluation only",
        "NLTK's TIMIT sample (nltk.download('timit'))",
    ),
}
"""The corpora by name. All but the TIMIT sample may train a network that is shipped."""


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
        The sentence that was read.
    split : str
        "train", "dev" or "test".
    phones : tuple of (int, int, str)
        Hand-made labels (first sample, end sample, phone), empty where there are none.
    """

    corpus: str
    speaker: str
    name: str
    path: Path
    text: str
    split: str
    phones: tuple = ()


def find_data(data=None):
    """The data folder: `data`, else the environment's PLOSIVE_DATA, else `../shared/data`.

    Raises
    ------
    DataError
        There is no such folder.
    """
    chosen = data or os.environ.get("PLOSIVE_DATA") or PROJECT.parent / "shared" / "data"
    folder = Path(chosen)
    if not folder.is_dir():
        wanted = "; ".join(f"{corpus.folder}: {corpus.source}" for corpus in CORPORA.values())
        raise DataError(
            f"data folder {str(folder)!r} does not exist; install the speech data and "
            f"point --data or PLOSIVE_DATA at its folder ({wanted})"
        )
    return folder


def read(name, data=None):
    """The utterances of a corpus, in the order of their names.

    Parameters
    ----------
    name : str
        A key of `CORPORA`.
    data : path-like or None
        The data folder, see `find_data`.

    Returns
    -------
    list of Utterance

    Raises
    ------
    DataError
        The corpus is not installed.
    """
    corpus = CORPORA[name]
    folder = find_data(data) / corpus.folder
    if not folder.is_dir():
        raise DataError(f"corpus {name!r}: {str(folder)!r} does not exist; install {corpus.source}")
    return _read_timit(name, folder) if name == "timit-sample" else _read_prompts(name, folder)


def _read_prompts(name, folder):
    prompts = folder / "prompts.tsv"
    if not prompts.is_file():
        raise DataError(
            f"corpus {name!r} has no {str(prompts)!r}; each of its lines must be a "
            "recording's name, a tab and the sentence"
        )
    utterances = []
    for line in prompts.read_text(encoding="utf-8").splitlines():
        stem, text = line.split("\t", 1)
        utterances.append(Utterance(name, name, stem, folder / f"{stem}.flac", text, _split(stem)))
    return sorted(utterances, key=lambda utterance: utterance.name)


def _split(stem):
    number = int(re.match(r"arctic_[ab](\d{4})", stem).group(1))
    return {0: "test", 10: "dev"}.get(number % 20, "train")


def _read_timit(name, folder):
    utterances = []
    for path in sorted(folder.glob("*/*.wav")):
        if path.stem.startswith("sa"):
            continue
        labels = []
        for line in path.with_suffix(".phn").read_text().splitlines():
            first, end, phone = line.split()
            labels.append((int(first), int(end), phone))
        text = path.with_suffix(".txt").read_text().split(maxsplit=2)[2].strip()
        utterances.append(
            Utterance(name, path.parent.name, path.stem, path, text, "test", tuple(labels))
        )
    return utterances


def with_pronunciation(utterances):
    """Those utterances whose words all have a pronunciation, and the words that have none.

    Returns
    -------
    list of Utterance, list of str
        Kept utterances; one missing word for each that was left out.
    """
    kept, missing = [], []
    for utterance in utterances:
        try:
            phones.transcribe(utterance.text)
        except phones.UnknownWordError as error:
            missing.append(error.args[0])
        else:
            kept.append(utterance)
    return kept, missing


def undamaged(utterances):
    """Those utterances whose samples are not shifted by a byte.

    Some copies of NLTK's TIMIT sample lost single bytes: from the first loss on, a recording is
    noise of almost full scale. TIMIT's speech never exceeds 0.1 of full scale (root mean square
    of 100 ms), the noise is at 0.57.
    """
    kept = []
    for utterance in utterances:
        samples = audio.load(utterance.path)
        whole = samples[: len(samples) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
        if np.sqrt((whole**2).mean(axis=1)).max() < _LOUDEST:
            kept.append(utterance)
    return kept


def cached_log_mel(utterances, cache, progress=True):
    """Log-mel energies of many utterances, computed once and kept in `cache`.

    Parameters
    ----------
    utterances : list of Utterance
    cache : path-like
        A build folder. The cache's key is the files' names, sizes and dates.
    progress : bool
        Draw a progress bar while computing.

    Returns
    -------
    list of numpy.ndarray
        float32 `[frames, 40]`, one per utterance.
    """
    stats = [(str(u.path), u.path.stat().st_size, u.path.stat().st_mtime_ns) for u in utterances]
    key = hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:16]
    path = Path(cache) / f"log_mel-{key}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return np.split(stored["frames"], stored["ends"][:-1])
    frames = [
        features.log_mel(audio.load(utterance.path))
        for utterance in track(utterances, "log-mel features", disable=not progress)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, frames=np.concatenate(frames), ends=np.cumsum([len(f) for f in frames]))
    partial.replace(path)
    return frames
