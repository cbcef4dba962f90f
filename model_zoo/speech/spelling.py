# SPDX-License-Identifier: Apache-2.0
"""Pronunciations of words that the dictionary lacks, by espeak-ng's rules of American English.

espeak-ng is GPL-3; it is run as a tool, through the C interface of its library (of the package
`espeakng-loader`, or Debian's `libespeak-ng1`). It reads a word out as phonemes, and `PHONES_OF`
says which of TIMIT's phones these are. What comes back has the form of CMUdict's entries, so that
the same rules make closures, flaps and weak vowels of both (`phones.pronounce`).
"""

import ctypes
from functools import cache

from hw.errors import PlosiveError

__all__ = ["PHONES_OF", "EspeakError", "Library", "library_path", "symbols"]

PHONES_OF = {
    "@": "ax",
    "@-": "ax",
    "@2": "ax",
    "@5": "ax",
    "@L": "el",
    "0": "aa",
    "02": "ah",
    "3": "axr",
    "3:": "er",
    "?": "q",
    "A:": "aa",
    "A@": "aa r",
    "A~": "aa",
    "D": "dh",
    "E": "eh",
    "I": "ih",
    "I2": "ix",
    "I#": "ix",
    "N": "ng",
    "O": "ao",
    "O2": "ao",
    "O:": "ao",
    "O@": "ao r",
    "O~": "ao",
    "OI": "oy",
    "S": "sh",
    "T": "th",
    "U": "uh",
    "U@": "uh r",
    "V": "ah",
    "Z": "zh",
    "a": "ae",
    "a#": "ax",
    "aI": "ay",
    "aI3": "ay axr",
    "aI@": "ay ax",
    "aU": "aw",
    "aU@": "aw axr",
    "aa": "ae",
    "b": "b",
    "d": "d",
    "dZ": "jh",
    "e@": "eh r",
    "eI": "ey",
    "f": "f",
    "g": "g",
    "h": "hh",
    "i": "iy",
    "i:": "iy",
    "i@": "iy ax",
    "i@3": "ih r",
    "j": "y",
    "k": "k",
    "l": "l",
    "m": "m",
    "m-": "em",
    "n": "n",
    "n-": "en",
    "o@": "ao r",
    "oU": "ow",
    "p": "p",
    "r": "r",
    "r-": "r",
    "s": "s",
    "t": "t",
    "t#": "dx",
    "t2": "t",
    "tS": "ch",
    "u:": "uw",
    "v": "v",
    "w": "w",
    "z": "z",
}
"""Phones of each phoneme, by espeak-ng's mnemonic; where there are two, each is half of it.

The mnemonics are those of espeak-ng's English voices (`phsource/phonemes`, `phsource/ph_english`,
`phsource/ph_english_us` of its sources, version 1.52); the phones are TIMIT's, by the example words
that both give (`phoncode.doc` of LDC93S1).
"""

_NEAREST = {"?": "t", "o": "ow", "x": "k"}
"""Phonemes that are no English phones of their own when a word is only read: the glottal stop
stands for a T, and foreign names have the vowel of French "eau" and the consonant of "loch"."""
_IGNORED = {"", ";", "-", "_", "_:", "_!", "_|", "_::"}  # a palatal glide, and pauses
_STRESS = {"'": "1", ",": "2"}
_MARKS = "',%="
_SYMBOLS = {
    "ax": ("AH",),
    "axr": ("ER",),
    "dx": ("T",),
    "el": ("AH", "L"),
    "em": ("AH", "M"),
    "en": ("AH", "N"),
    "ix": ("IH",),
}
"""Symbols of the dictionary for those of our phones that it does not tell apart."""
_VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}

_SYNCHRONOUS, _DO_NOT_EXIT, _UTF8 = 2, 0x8000, 1
_SEPARATOR = "\x01"  # between phonemes: none of espeak-ng's mnemonics has it
_VOICE = b"en-us"
_LONGEST = 60  # letters; the library is not made for words of any length


class EspeakError(PlosiveError):
    """espeak-ng is missing or does not start; one line that says what to install."""


def library_path() -> tuple[str, str | None]:
    """The library of espeak-ng and the folder of its voices (None: where the library looks).

    Raises
    ------
    EspeakError
        There is neither the package `espeakng-loader` nor Debian's library.
    """
    try:
        import espeakng_loader
    except ImportError:
        name = "libespeak-ng.so.1"
        try:
            ctypes.CDLL(name)
        except OSError as error:
            raise EspeakError(
                "synthetic speech needs espeak-ng; install the package espeakng-loader "
                "(pip install plosive[train]) or Debian's libespeak-ng1"
            ) from error
        return name, None
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


class Library:
    """espeak-ng, started in this process.

    Parameters
    ----------
    options
        Bits of `espeak_Initialize` beside the one that keeps a failure from ending the process.

    Attributes
    ----------
    functions
        The C functions of `speak_lib.h`.
    rate
        Samples per second of its voices.

    Raises
    ------
    EspeakError
        It is missing or does not start.
    """

    def __init__(self, options: int = 0) -> None:
        path, voices = library_path()
        self.functions = ctypes.CDLL(path)
        folder = voices.encode() if voices else None
        self.rate = self.functions.espeak_Initialize(
            _SYNCHRONOUS, 0, folder, options | _DO_NOT_EXIT
        )
        if self.rate <= 0:
            raise EspeakError(
                f"espeak-ng ({path}) does not start; its voices are not in {voices!r}"
            )


@cache
def _reader() -> Library | None:
    """The library as a reader of words; None where there is none."""
    try:
        library = Library()
    except EspeakError:
        return None
    spoken = library.functions.espeak_TextToPhonemes
    spoken.argtypes = (ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int)
    spoken.restype = ctypes.c_char_p
    return library


@cache
def _phonemes(word: str) -> tuple[str, ...]:
    """espeak-ng's mnemonics for a word, with marks of stress; none where it is not installed."""
    library = _reader()
    if library is None or library.functions.espeak_SetVoiceByName(_VOICE):
        return ()
    text = ctypes.c_char_p(word.encode())
    found: list[str] = []
    while text.value is not None:  # a clause at a time
        clause = library.functions.espeak_TextToPhonemes(
            ctypes.byref(text), _UTF8, ord(_SEPARATOR) << 8
        )
        found += (clause or b"").decode().replace(" ", _SEPARATOR).split(_SEPARATOR)
    return tuple(found)


def symbols(word: str) -> list[str] | None:
    """A word's pronunciation by rule, in the symbols and stress digits of CMUdict.

    Parameters
    ----------
    word
        A word in lower case, letters and apostrophes.

    Returns
    -------
    list of str or None
        None where espeak-ng is not installed or has no English sounds for the word.
    """
    if len(word) > _LONGEST:
        return None
    found: list[str] = []
    for mnemonic in _phonemes(word):
        name = mnemonic.lstrip(_MARKS)
        if name in _IGNORED:
            continue
        known = _NEAREST.get(name) or PHONES_OF.get(name)
        if known is None:
            return None
        stress = _STRESS.get(mnemonic[0], "0")
        for phone in known.split():
            for symbol in _SYMBOLS.get(phone, (phone.upper(),)):
                if symbol == "R" and found[-1:] == ["R"]:
                    continue
                found.append(symbol + stress if symbol in _VOWELS else symbol)
                stress = "0" if symbol in _VOWELS else stress
    return found or None
