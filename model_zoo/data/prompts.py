# SPDX-License-Identifier: Apache-2.0
"""Prompted speech: recordings and the sentences that were read, no times.

A folder has `prompts.tsv`: per line a recording's name (without extension), a tab and the
sentence. The recordings stand beside it as FLAC or WAV.

The ARCTIC prompts (stems `arctic_a0001...`, `arctic_b0001...`) are read by several speakers, so
their splits follow the sentence, not the recording: of every speaker, the prompts whose number is
0 modulo 20 are `test`, 10 modulo 20 are `dev` (decoder weights are tuned on these), the rest
`train`. No sentence is then both trained on and scored, whoever reads it. Another corpus is split
by sentence too, by a hash of its words.
"""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from model_zoo.data.corpus import Broken, DataError, Options, Utterance, audio_length
from model_zoo.speech import phones
from model_zoo.speech.files import FileError, quoted, read_text

__all__ = [
    "PROMPTS",
    "entries",
    "missing_words",
    "read",
    "ruled_words",
    "with_pronunciation",
    "words_by_rule",
]

PROMPTS = "prompts.tsv"
"""The table of sentences of a folder of recordings."""

_NAMED_WORDS = 10
_EXTENSIONS = (".flac", ".wav", ".FLAC", ".WAV")
_SEPARATORS = {"\t": "tab", " ": "blank"}
_SPLITS = {0: "test", 10: "dev"}
_WHOLE = Options()


def read(name: str, folder: Path, broken: Broken, options: Options = _WHOLE) -> list[Utterance]:
    """The utterances of a prompted corpus, by name.

    Parameters
    ----------
    name
        The corpus' name, which is its one speaker's too.
    folder
        Folder with `prompts.tsv`.
    broken
        Takes note of recordings that are left out.
    options
        How to read it.

    Raises
    ------
    DataError
        There is no `prompts.tsv`, or no line in it.
    """
    table = folder / PROMPTS
    if not table.is_file():
        raise DataError(
            f"corpus {name!r} has no {str(table)!r}; each of its lines must be a "
            "recording's name, a tab and the sentence"
        )
    utterances = [
        Utterance(name, name, stem, path, text, _split(stem, text))
        for stem, path, text in entries(table, "\t", broken, options)
    ]
    if not utterances and not broken.lines:
        raise DataError(f"corpus {name!r}: {str(table)!r} names no recording")
    return sorted(utterances, key=lambda utterance: utterance.name)


def entries(
    table: Path, separator: str, broken: Broken, options: Options
) -> list[tuple[str, Path, str]]:
    """The recordings that a table of sentences names and that can be used, in its order.

    Parameters
    ----------
    table
        Per line a recording's name, the separator and the sentence; the recordings are beside it.
    separator
        A tab or a blank.
    broken
        Takes note of lines and recordings that are left out.
    options
        How to read them.

    Returns
    -------
    list of (str, Path, str)
        Name, sound file and sentence.

    Raises
    ------
    DataError
        The table cannot be read.
    """
    try:
        lines = read_text(table).splitlines()
    except FileError as error:
        raise DataError(f"{table}: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        stem, between, text = line.partition(separator)
        if not line.strip():
            continue
        if not between or not stem or not text.strip():
            broken.note(
                table,
                f"line {number} is {quoted(line)}; it must be a recording's name, "
                f"a {_SEPARATORS[separator]} and the sentence",
            )
            continue
        paths = (table.parent / f"{stem}{extension}" for extension in _EXTENSIONS)
        path = next((p for p in paths if p.is_file()), None)
        if path is None:
            broken.note(
                table.parent / f"{stem[:80]}.flac",
                f"no such file, but line {number} of {table.name} names it",
            )
            continue
        try:
            audio_length(path, options.listen)
        except FileError as error:
            broken.note(path, error)
            continue
        found.append((stem, path, text.strip()))
    return found


def _split(stem: str, text: str) -> str:
    arctic = re.match(r"arctic_[ab](\d{4})", stem)
    number = int(arctic.group(1)) if arctic else zlib.crc32(" ".join(_words(text)).encode())
    return _SPLITS.get(number % 20, "train")


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def with_pronunciation(utterances: Sequence[Utterance]) -> tuple[list[Utterance], list[str]]:
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
            missing.append(error.word)
        else:
            kept.append(utterance)
    return kept, missing


def missing_words(missing: Sequence[str]) -> str:
    """A line on sentences that `with_pronunciation` left out, with the first of their words."""
    return (
        f"{len(missing)} sentences left out, with words that the dictionary lacks: "
        f"{_named(missing)}"
    )


def words_by_rule(utterances: Sequence[Utterance]) -> list[str]:
    """The words of utterances with pronunciations that the dictionary lacks, each once."""
    return sorted({word for utterance in utterances for word in phones.by_rule(utterance.text)})


def ruled_words(words: Sequence[str]) -> str:
    """A line on words whose pronunciations are by rule, with the first of them."""
    return f"pronounced by espeak-ng's rules, as the dictionary lacks them: {_named(words)}"


def _named(words: Sequence[str]) -> str:
    """The first few of some words, each once, and how many more there are."""
    words = sorted(set(words))
    shown = [word if len(word) <= 30 else f"{word[:30]}..." for word in words[:_NAMED_WORDS]]
    more = len(words) - len(shown)
    return ", ".join(shown) + f" and {more} more" * bool(more)
