# SPDX-License-Identifier: Apache-2.0
"""Corpora of read speech: where they are, what was said, which speakers or sentences are held out.

Two ways in: `read` takes the name of a corpus that the data folder holds, `read_folder` a folder
of the user's own and its format.
"""

import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from model_zoo.data import folder as own_folder
from model_zoo.data import kaldi, librispeech, prompts, timit
from model_zoo.data.cache import cached_log_mel
from model_zoo.data.corpus import Broken, Corpus, DataError, Options, Utterance, find_data
from model_zoo.data.labels import read_phone_map
from model_zoo.data.noise import Clip, NoiseMix, mix, read_noise
from model_zoo.data.prompts import missing_words, ruled_words, with_pronunciation, words_by_rule
from model_zoo.data.timit import fold, pairs
from model_zoo.speech.files import FileError

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
    "missing_words",
    "mix",
    "pairs",
    "read",
    "read_folder",
    "read_noise",
    "ruled_words",
    "with_pronunciation",
    "words_by_rule",
]

FORMATS = {
    "folder": own_folder.read,
    "kaldi": kaldi.read,
    "librispeech": librispeech.read,
    "prompts": prompts.read,
    "timit": timit.read,
}
"""Readers by format: name, folder, `Broken` and `Options` to a list of utterances."""

_LABELLED = {"tier": ("folder",), "phone_map": ("folder", "timit")}
"""Formats that have what an option is about."""

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
    **{
        f"librispeech-{subset}": Corpus(
            f"librispeech/{subset}",
            "CC BY 4.0, LibriSpeech (V. Panayotov, G. Chen, D. Povey and S. Khudanpur, 2015)",
            f"LibriSpeech's subset {subset} (openslr.org/12)",
            "librispeech",
        )
        for subset in librispeech.SUBSETS
    },
}
"""The corpora by name."""


def read(
    corpus: str,
    data: str | os.PathLike[str] | None = None,
    broken: str = "refuse",
    report: Callable[[str], None] | None = None,
    *,
    splits: bool = True,
) -> list[Utterance]:
    """The utterances of a corpus.

    Parameters
    ----------
    corpus
        A key of `CORPORA`.
    data
        The data folder, see `find_data`. For "timit" it may be the corpus' own.
    broken
        What becomes of recordings that cannot be used: "refuse" the corpus, or "skip" and report
        each.
    report
        Takes a line per recording left out; None prints it to standard error.
    splits
        Whether splits are needed, see `Options`.

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
    folder = _in_any_case(root, known.folder)
    if not folder.is_dir() and corpus == "timit" and timit.is_corpus(root):
        folder = root
    if not folder.is_dir():
        raise DataError(
            f"corpus {corpus!r}: {str(folder)!r} does not exist; install {known.source} there"
        )
    return _read(known.format, corpus, folder, broken, report, Options(splits=splits))


def _in_any_case(root: Path, place: str) -> Path:
    """A place in a folder: as it is spelt, or in another case where there is only that."""
    found = root
    for name in Path(place).parts:
        if not (found / name).exists() and found.is_dir():
            others = (p for p in sorted(found.iterdir()) if p.name.lower() == name.lower())
            found = next(others, found / name)
        else:
            found = found / name
    return found


def read_folder(
    format: str,  # noqa: A002
    path: str | os.PathLike[str],
    broken: str = "refuse",
    report: Callable[[str], None] | None = None,
    *,
    splits: bool = True,
    tier: str | None = None,
    phone_map: str | os.PathLike[str] | None = None,
) -> list[Utterance]:
    """The utterances of a user's folder, each recording decoded once to see that it can be used.

    Parameters
    ----------
    format
        A key of `FORMATS`.
    path
        The folder.
    broken, report, splits
        See `read`.
    tier
        Name of the TextGrids' tier of phones; None finds it by the usual names.
    phone_map
        A file that says which of our phones the labels' are, see `labels.read_phone_map`.

    Raises
    ------
    DataError
        `read` fails, or the format has no tiers or labels that an option is about.
    """
    folder = Path(path)
    if format not in FORMATS:
        raise DataError(f"format {format!r} is unknown; it must be one of {', '.join(FORMATS)}")
    for name, value in (("tier", tier), ("phone_map", phone_map)):
        if value is not None and format not in _LABELLED[name]:
            raise DataError(
                f"--{name.replace('_', '-')} is for the format {' or '.join(_LABELLED[name])}; "
                f"{format} has no phone labels{' in tiers' * (name == 'tier')}"
            )
    if not folder.is_dir():
        raise DataError(f"folder {str(folder)!r} does not exist; a {format} corpus is needed there")
    try:
        phones = read_phone_map(phone_map) if phone_map is not None else {}
    except FileError as error:
        raise DataError(f"phone map {phone_map}: {error}") from error
    options = Options(tier, phones, splits, listen=True)
    return _read(format, folder.resolve().name, folder, broken, report, options)


def _read(
    layout: str,
    name: str,
    folder: Path,
    broken: str,
    report: Callable[[str], None] | None,
    options: Options,
) -> list[Utterance]:
    if broken not in ("refuse", "skip"):
        raise DataError(f"broken is {broken!r}; it must be 'refuse' or 'skip'")
    noted = Broken()
    report = report or Console(stderr=True, markup=False, soft_wrap=True).print
    try:
        utterances = FORMATS[layout](name, folder, noted, options)
    except FileError as error:  # of a folder that may not be read
        raise DataError(f"corpus {name!r}: {error}") from error
    except DataError:
        # What is broken is nearer to the cause than what was missed because of it.
        noted.settle(broken, report)
        raise
    noted.settle(broken, report)
    if not utterances:
        raise DataError(f"corpus {name!r}: {str(folder)!r} has no recording that can be used")
    return utterances
