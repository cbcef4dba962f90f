# SPDX-License-Identifier: Apache-2.0
"""LibriSpeech: its subsets as distributed, or each as one flat folder.

As distributed, a subset is `SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac` with a table
`SPEAKER-CHAPTER.trans.txt` in each chapter: per line a recording's name, a blank and the sentence.
A flat folder has all recordings of a subset side by side and their sentences in `prompts.tsv`, with
a tab in place of the blank. There are no phone times. The folder given may be a chapter, a speaker,
a subset, or hold several of these.

Splits are by speaker, and follow the names of the subsets: readers of `test-clean` and
`test-other` are `test`, those of `dev-clean` and `dev-other` are `dev`, and nothing else. Of the
`train-...` subsets about one reader in ten is `dev`, by a hash of the reader's number, so that a
reader's part is the same whatever else is installed; the rest are `train`. In folders of other
names the splits are those of a folder of one's own.
"""

import re
import zlib
from pathlib import Path

from model_zoo.data.corpus import Broken, DataError, Options, Utterance, split_by_speaker
from model_zoo.data.listing import Listing
from model_zoo.data.prompts import PROMPTS, entries

__all__ = ["SUBSETS", "read"]

SUBSETS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)
"""The parts of LibriSpeech, each with readers of its own."""

_TRANSCRIPT = ".trans.txt"
_NAME = re.compile(r"(\d+)-\d+-\d+")
_SUBSET = re.compile(r"(train|dev|test)-\w")
_TUNED_ON = 10  # of so many readers of the training subsets, one is `dev`
_WHOLE = Options()


def read(name: str, folder: Path, broken: Broken, options: Options = _WHOLE) -> list[Utterance]:
    """The utterances of the subsets in a folder, by speaker and name.

    Parameters
    ----------
    name
        The corpus' name.
    folder
        Searched with the folders below it.
    broken
        Takes note of recordings that are left out.
    options
        How to read it.

    Raises
    ------
    DataError
        There is no table of sentences, or splits are needed and a reader is in two.
    """
    tables = [p for p in Listing(folder).files if _is_table(p)]
    if not tables:
        raise DataError(
            f"corpus {name!r}: {str(folder)!r} holds neither SPEAKER/CHAPTER/*{_TRANSCRIPT} "
            f"(LibriSpeech as distributed) nor a {PROMPTS}"
        )
    utterances = []
    for table in tables:
        part = _part(folder, table)
        separator = "\t" if table.name == PROMPTS else " "
        for stem, path, text in entries(table, separator, broken, options):
            known = _NAME.fullmatch(stem)
            if known is None:
                broken.note(path, "its name must be SPEAKER-CHAPTER-NUMBER, three numbers")
                continue
            speaker = known.group(1)
            split = _split(part, speaker)
            utterances.append(Utterance(name, speaker, stem, path, text, split))
    if options.splits:
        _check_speakers(name, utterances)
    if any(not u.split for u in utterances):
        own = split_by_speaker([u for u in utterances if not u.split])
        utterances = [u for u in utterances if u.split] + own
    return sorted(utterances, key=lambda u: (int(u.speaker), u.name))


def _is_table(path: Path) -> bool:
    return path.name == PROMPTS or path.name.endswith(_TRANSCRIPT)


def _part(folder: Path, table: Path) -> str:
    """The split that the subset of a table is for; empty where its folders do not say."""
    places = (folder.resolve().name, *table.relative_to(folder).parts[:-1])
    found = [known.group(1) for place in places if (known := _SUBSET.match(place.lower()))]
    return found[-1] if found else ""


def _split(part: str, speaker: str) -> str:
    if part == "train" and zlib.crc32(speaker.encode()) % _TUNED_ON == 0:
        return "dev"
    return part


def _check_speakers(name: str, utterances: list[Utterance]) -> None:
    seen: dict[str, str] = {}
    for utterance in utterances:
        other = seen.setdefault(utterance.speaker, utterance.split)
        if other != utterance.split:
            raise DataError(
                f"corpus {name!r}: reader {utterance.speaker!r} is in subsets of two splits, "
                f"{other!r} and {utterance.split!r}; splits are by speaker"
            )
