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

__all__ = ["missing_words", "read", "with_pronunciation"]

_NAMED_WORDS = 10
_EXTENSIONS = (".flac", ".wav", ".FLAC", ".WAV")
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
    prompts = folder / "prompts.tsv"
    if not prompts.is_file():
        raise DataError(
            f"corpus {name!r} has no {str(prompts)!r}; each of its lines must be a "
            "recording's name, a tab and the sentence"
        )
    try:
        lines = read_text(prompts).splitlines()
    except FileError as error:
        raise DataError(f"{prompts}: {error}") from error
    utterances = []
    for number, line in enumerate(lines, 1):
        stem, tab, text = line.partition("\t")
        if not line.strip():
            continue
        if not tab or not stem or not text.strip():
            broken.note(
                prompts,
                f"line {number} is {quoted(line)}; it must be a recording's name, a tab and the "
                "sentence",
            )
            continue
        path = next((p for e in _EXTENSIONS if (p := folder / f"{stem}{e}").is_file()), None)
        if path is None:
            broken.note(
                folder / f"{stem[:80]}.flac",
                f"no such file, but line {number} of prompts.tsv names it",
            )
            continue
        try:
            audio_length(path, options.listen)
        except FileError as error:
            broken.note(path, error)
            continue
        utterances.append(Utterance(name, name, stem, path, text.strip(), _split(stem, text)))
    if not utterances and not broken.lines:
        raise DataError(f"corpus {name!r}: {str(prompts)!r} names no recording")
    return sorted(utterances, key=lambda utterance: utterance.name)


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
    words = sorted(set(missing))
    shown = [word if len(word) <= 30 else f"{word[:30]}..." for word in words[:_NAMED_WORDS]]
    more = len(words) - len(shown)
    rest = f" and {more} more" * bool(more)
    return (
        f"{len(missing)} sentences left out, with words that the dictionary lacks: "
        f"{', '.join(shown)}{rest}"
    )
