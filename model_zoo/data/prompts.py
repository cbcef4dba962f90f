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

from model_zoo.data.corpus import DataError, Utterance, audio_length
from model_zoo.speech import phones

__all__ = ["read", "with_pronunciation"]

_EXTENSIONS = (".flac", ".wav")
_SPLITS = {0: "test", 10: "dev"}


def read(name, folder, broken):
    """The utterances of a prompted corpus, by name.

    Parameters
    ----------
    name : str
        The corpus' name, which is its one speaker's too.
    folder : pathlib.Path
    broken : Broken
        Takes note of recordings that are left out.

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
    utterances = []
    try:
        lines = prompts.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{prompts}: byte {error.start} is not UTF-8; it must be text") from error
    for number, line in enumerate(lines, 1):
        stem, tab, text = line.partition("\t")
        if not line.strip():
            continue
        if not tab or not stem or not text.strip():
            broken.note(
                prompts,
                f"line {number} is {line!r}; it must be a recording's name, a tab and the sentence",
            )
            continue
        path = next((p for e in _EXTENSIONS if (p := folder / f"{stem}{e}").is_file()), None)
        if path is None:
            broken.note(
                folder / f"{stem}.flac", f"no such file, but line {number} of prompts.tsv names it"
            )
            continue
        try:
            audio_length(path)
        except ValueError as error:
            broken.note(path, error)
            continue
        utterances.append(Utterance(name, name, stem, path, text.strip(), _split(stem, text)))
    if not utterances and not broken.lines:
        raise DataError(f"corpus {name!r}: {str(prompts)!r} names no recording")
    return sorted(utterances, key=lambda utterance: utterance.name)


def _split(stem, text):
    arctic = re.match(r"arctic_[ab](\d{4})", stem)
    number = int(arctic.group(1)) if arctic else zlib.crc32(" ".join(_words(text)).encode())
    return _SPLITS.get(number % 20, "train")


def _words(text):
    return re.findall(r"[^\W_]+", text.lower())


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
