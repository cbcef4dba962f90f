# SPDX-License-Identifier: Apache-2.0
"""Corpora of read speech: where they are, what was said, which speakers or sentences are held out.

Two ways in: `read` takes the name of a corpus that the data folder holds, `read_folder` a folder
of the user's own and its format.
"""

from pathlib import Path

from rich.console import Console

from model_zoo.data import folder as own_folder
from model_zoo.data import prompts, timit
from model_zoo.data.cache import cached_log_mel
from model_zoo.data.corpus import Broken, Corpus, DataError, Utterance, find_data
from model_zoo.data.noise import Clip, NoiseMix, mix, read_noise
from model_zoo.data.prompts import with_pronunciation
from model_zoo.data.timit import fold, pairs

__all__ = [
    "CORPORA",
    "FORMATS",
    "Clip",
    "Corpus",
    "DataError",
    "NoiseMix",
    "Utterance",
    "cached_log_mel",
    "find_data",
    "fold",
    "mix",
    "pairs",
    "read",
    "read_folder",
    "read_noise",
    "with_pronunciation",
]

FORMATS = {"folder": own_folder.read, "prompts": prompts.read, "timit": timit.read}
"""Readers by format: name, folder and `Broken` to a list of utterances."""

_ARCTIC = "CMU ARCTIC: free for any use, with notice, (c) 2003 Carnegie Mellon University"

CORPORA = {
    "bdl": Corpus("arctic/bdl", _ARCTIC, "CMU ARCTIC, speaker bdl"),
    "slt": Corpus("arctic/slt", _ARCTIC, "CMU ARCTIC, speaker slt"),
    "kathleen": Corpus(
        "kathleen", "CC0 1.0", "the speaker Kathleen's recordings of the ARCTIC prompts"
    ),
    "timit-sample": Corpus(
        "timit-sample",
        "CC BY-NC-SA, (c) 1993 Linguistic Data Consortium: not for networks that ship under "
        "the project's licence",
        "NLTK's TIMIT sample (nltk.download('timit'))",
        "timit",
    ),
    "timit": Corpus(
        "timit",
        "LDC User Agreement, (c) 1993 Linguistic Data Consortium",
        "the TIMIT corpus LDC93S1 (the folder that holds TRAIN and TEST)",
        "timit",
    ),
}
"""The corpora by name."""


def read(corpus, data=None, broken="refuse", report=None):
    """The utterances of a corpus.

    Parameters
    ----------
    corpus : str
        A key of `CORPORA`.
    data : path-like or None
        The data folder, see `find_data`. For "timit" it may be the corpus' own.
    broken : str
        What becomes of recordings that cannot be used: "refuse" the corpus, or "skip" and report
        each.
    report : callable or None
        Takes a line per recording left out; None prints it to standard error.

    Returns
    -------
    list of Utterance

    Raises
    ------
    DataError
        The corpus is unknown, not installed or incomplete, or a recording is broken and
        `broken` is "refuse".
    """
    if corpus not in CORPORA:
        raise DataError(f"corpus {corpus!r} is unknown; it must be one of {', '.join(CORPORA)}")
    known = CORPORA[corpus]
    wanted = "; ".join(f"{entry.folder}: {entry.source}" for entry in CORPORA.values())
    root = find_data(data, wanted)
    folder = root / known.folder
    if not folder.is_dir() and corpus == "timit" and timit.is_corpus(root):
        folder = root
    if not folder.is_dir():
        raise DataError(
            f"corpus {corpus!r}: {str(folder)!r} does not exist; install {known.source} there"
        )
    return _read(known.format, corpus, folder, broken, report)


def read_folder(format, path, broken="refuse", report=None):  # noqa: A002
    """The utterances of a user's folder.

    Parameters
    ----------
    format : str
        A key of `FORMATS`.
    path : path-like
    broken, report
        As for `read`.

    Raises
    ------
    DataError
        As for `read`.
    """
    folder = Path(path)
    if format not in FORMATS:
        raise DataError(f"format {format!r} is unknown; it must be one of {', '.join(FORMATS)}")
    if not folder.is_dir():
        raise DataError(f"folder {str(folder)!r} does not exist; a {format} corpus is needed there")
    return _read(format, folder.resolve().name, folder, broken, report)


def _read(layout, name, folder, broken, report):
    if broken not in ("refuse", "skip"):
        raise DataError(f"broken is {broken!r}; it must be 'refuse' or 'skip'")
    noted = Broken()
    report = report or Console(stderr=True, markup=False, soft_wrap=True).print
    try:
        utterances = FORMATS[layout](name, folder, noted)
    except DataError:
        # What is broken is nearer to the cause than what was missed because of it.
        noted.settle(broken, report)
        raise
    noted.settle(broken, report)
    if not utterances:
        raise DataError(f"corpus {name!r}: {str(folder)!r} has no recording that can be used")
    return utterances
