# SPDX-License-Identifier: Apache-2.0
"""Phones with times from what espeak-ng says that it said, and from the sound.

espeak-ng's phonemes become TIMIT's 61 phones (`spelling.PHONES_OF`). Context decides further
(`_in_context`): an unstressed `I` is `ix`, an unstressed `3:` `axr`, and `u:` after a coronal `ux`,
as in `phones.pronounce`. espeak-ng gives a stop one event: at the
release where the closure is silent (the closure then belongs to the phone before), and at the
beginning of the closure where that is voiced. The other boundary is measured in the sound, see
`_silent_closure` and `_burst`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from model_zoo.data.corpus import DataError
from model_zoo.speech.audio import SAMPLE_RATE
from model_zoo.speech.spelling import PHONES_OF

__all__ = ["MS", "Event", "Phone", "Sound", "Word", "label"]

Word = tuple[int, int]
"""Place and length of a word in the text."""

Event = tuple[float, str | None, Word | None]
"""Millisecond, and either espeak-ng's mnemonic of a phoneme or the word that begins."""

Phone = tuple[int, int, str, Word | None]
"""Begin and end in ms, phone, and its word; None in pauses."""

_CLOSURES = {stop: f"{stop}cl" for stop in "ptkbdg"} | {"ch": "tcl", "jh": "dcl"}
_VOICED = {"b", "d", "g", "jh"}
_PAUSES = {"_", "_:", "_!", "_|", "_::"}
_GLIDE = ";"  # a palatal glide between vowels, which TIMIT does not label
_CORONALS = {"t", "d", "n", "l", "s", "z", "y", "ch", "jh", "dx", "th", "dh", "sh", "zh"}

MS = SAMPLE_RATE // 1000
"""Samples per millisecond."""

_SHORTEST = 10 * MS
"""Phones of fewer samples, except releases, become part of the one before."""


def _level(samples: np.ndarray) -> np.ndarray:
    """Energy in dB, one value per millisecond, each over 3 ms."""
    n = len(samples) // MS
    power = (samples[: n * MS].astype(np.float64) ** 2).reshape(n, MS).sum(axis=1)
    padded = np.pad(power, 1, mode="edge")
    return 10 * np.log10((padded[:-2] + padded[1:-1] + padded[2:]) / (3 * MS) + 1e-12)


@cache
def _high_pass() -> np.ndarray:
    """A linear-phase filter that keeps 4.6 to 8 kHz, above what a voiced closure radiates."""
    n = np.arange(-24, 25)
    low = 2 * 4600 / SAMPLE_RATE * np.sinc(2 * 4600 / SAMPLE_RATE * n)
    return ((n == 0) - low) * np.hamming(len(n))


@dataclass(frozen=True)
class Sound:
    """Levels of a sentence for each millisecond, in dB.

    Attributes
    ----------
    level
        Level of the whole sound `[milliseconds]`.
    high
        Level of what is above 4.6 kHz `[milliseconds]`.
    """

    level: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, samples: np.ndarray) -> "Sound":
        """The levels of samples `[samples]` at 16 kHz."""
        return cls(_level(samples), _level(np.convolve(samples, _high_pass(), mode="same")))


def _silent_closure(sound: Sound, begin: int, release: int) -> int:
    """First millisecond of the silence that ends at a release, at most 120 ms before it.

    Silence is what is at most 8 dB louder than the 8 ms before the release (2 ms belong to the
    burst's rise), or 30 dB below the phone before; less than 4 ms of sound do not end it. Where
    the phone before runs into the release there is no closure.
    """
    before = sound.level[begin : release - 2]
    if len(before) < 8:
        return release
    peak = before.max()
    threshold = max(np.median(before[-8:]) + 8, peak - 30)
    if threshold > peak - 12:
        return release
    loud = np.convolve(before > threshold, np.ones(4), mode="valid") >= 4
    last = np.flatnonzero(loud)
    return max(begin + int(last[-1]) + 4 if len(last) else begin, release - 120)


def _burst(sound: Sound, begin: int, end: int) -> int:
    """Millisecond of a voiced stop's burst: `begin` if there is no voiced closure before it.

    A voiced closure has next to nothing above 4.6 kHz; the burst is the steepest rise there. `end`
    if there is none: a closure that is not released. The last 6 ms are already the next phone's.
    """
    high = sound.high[begin : end - 6]
    if len(high) < 8:
        return begin
    rise = high[4:] - high[:-4]
    steepest = int(rise.argmax())
    if steepest >= 6 and rise[steepest] >= 8:
        return begin + steepest + 2
    quiet = high.max() < sound.level[begin:end].max() - 25
    return end if quiet else begin


def _in_context(phone: str, stressed: bool, before: str) -> str:
    if phone == "ih" and not stressed:
        return "ix"
    if phone == "er" and not stressed:
        return "axr"
    if phone == "uw" and before in _CORONALS:
        return "ux"
    return phone


def label(events: Iterable[Event], sound: Sound, text: str) -> list[Phone]:
    """Phones with times from events with times.

    Parameters
    ----------
    events
        espeak-ng's events, in order of time.
    sound
        Levels of the sentence.
    text
        The sentence, for messages.

    Raises
    ------
    DataError
        A mnemonic is not in `spelling.PHONES_OF`.
    """
    total = len(sound.level)
    heard = _heard(events, total, text)
    # Closures first: what a silent one leaves of the phone before is then split into its parts.
    closures = _closures(heard, sound)
    return _tidy(_parts(heard, closures), total)


@dataclass
class _Phoneme:
    """What espeak-ng says in one go: one phone or two, or a pause ("pau"); times in ms."""

    begin: int
    end: int
    phones: str
    stressed: bool
    word: Word | None


def _heard(events: Iterable[Event], total: int, text: str) -> list[_Phoneme]:
    """The phonemes of at least a millisecond, neighbouring pauses joined."""
    heard: list[_Phoneme] = []
    word = None
    for time, mnemonic, place in events:
        if mnemonic is None:
            word = place
            continue
        name = mnemonic.lstrip("',%=")
        begin = round(time)
        if heard:
            heard[-1].end = begin
        if name in _PAUSES:
            heard.append(_Phoneme(begin, total, "pau", False, None))
        elif name in PHONES_OF:
            heard.append(_Phoneme(begin, total, PHONES_OF[name], mnemonic[0] in "',", word))
        elif name != _GLIDE or not heard:
            raise DataError(
                f"espeak-ng says {name!r} in {text!r}; PHONES_OF has no phone of TIMIT's for it"
            )
    joined: list[_Phoneme] = []
    for phoneme in heard:
        if phoneme.end <= phoneme.begin:
            continue
        if joined and phoneme.phones == "pau" == joined[-1].phones:
            joined[-1].end = phoneme.end
        else:
            joined.append(phoneme)
    return joined


def _closures(heard: Sequence[_Phoneme], sound: Sound) -> dict[int, tuple[int, int]]:
    """Begin and end of each stop's closure, by its number; the phone before a silent one ends."""
    closures: dict[int, tuple[int, int]] = {}
    for number, stop in enumerate(heard):
        if stop.phones not in _CLOSURES:
            continue
        if stop.phones in _VOICED and (burst := _burst(sound, stop.begin, stop.end)) > stop.begin:
            closures[number] = (stop.begin, burst)
        elif number and heard[number - 1].phones != "pau":
            before = heard[number - 1]
            first = closures[number - 1][1] if number - 1 in closures else before.begin + 1
            silence = _silent_closure(sound, first, stop.begin)
            if silence < stop.begin:
                closures[number] = (silence, stop.begin)
                before.end = silence
    return closures


def _parts(heard: Sequence[_Phoneme], closures: dict[int, tuple[int, int]]) -> list[Phone]:
    """Phonemes as phones: stops as closure and release, phonemes of two phones in halves."""
    found: list[Phone] = []
    for number, phoneme in enumerate(heard):
        begin, end, word = phoneme.begin, phoneme.end, phoneme.word
        if number in closures:
            first, last = closures[number]
            found.append((first, last, _CLOSURES[phoneme.phones], word))
            if end > last:
                found.append((last, end, phoneme.phones, word))
            continue
        parts = phoneme.phones.split()
        for part, phone in enumerate(parts):
            first = begin + (end - begin) * part // len(parts)
            last = begin + (end - begin) * (part + 1) // len(parts)
            before = found[-1][2] if found else "h#"
            if phone == "r" == before:
                found[-1] = _lasting(found[-1], last)
            else:
                found.append((first, last, _in_context(phone, phoneme.stressed, before), word))
    return found


def _lasting(phone: Phone, end: int) -> Phone:
    return (phone[0], end, *phone[2:])


def _tidy(found: Sequence[Phone], total: int) -> list[Phone]:
    """Give slivers to the phone before, and call the ends `h#`."""
    joined: list[Phone] = []
    for begin, end, phone, word in found:
        sliver = (end - begin) * MS < _SHORTEST and phone not in _CLOSURES
        if joined and sliver:
            joined[-1] = _lasting(joined[-1], end)
        else:
            joined.append((begin, end, phone, word))
    begin, end, phone, word = joined[0]
    if phone == "pau":
        joined[0] = (0, end, "h#", word)
    elif begin > 0:
        joined.insert(0, (0, begin, "h#", None))
    begin, end, phone, word = joined[-1]
    if phone == "pau":
        joined[-1] = (begin, total, "h#", word)
    elif end < total:
        joined.append((end, total, "h#", None))
    joined[0] = (0, *joined[0][1:])
    joined[-1] = _lasting(joined[-1], total)
    return joined
