# SPDX-License-Identifier: Apache-2.0
"""Synthetic speech with phone times, written as a corpus in LDC93S1's layout.

espeak-ng (library of the package `espeakng-loader`, or Debian's `libespeak-ng1`) reads sentences
and says when each of its phonemes begins. espeak-ng is GPL-3; it is run as a tool, through its
C interface, and what it says is not covered by its licence: corpora and networks made with it are
under the project's.

Its phonemes become TIMIT's 61 phones (`PHONES_OF`). A stop has one event in espeak-ng: at the
release where the closure is silent (the closure then belongs to the phone before), at the
beginning of the closure where that is voiced. Both boundaries are measured in the sound: see
`_silent_closure` and `_burst`.

What espeak-ng lacks of a recording is added: silence around the sentence, a level, a noise floor
like TIMIT's (digital silence has no log-mel energy), and a vocal tract length per speaker, by
playing the voice faster or slower.
"""

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile
from rich.progress import Progress

from golden_model.files import atomic_directory, lock
from model_zoo.data.corpus import DataError, resample
from model_zoo.speech.audio import SAMPLE_RATE

__all__ = [
    "PHONES_OF",
    "VARIANTS",
    "VOICES",
    "Speaker",
    "corpus",
    "draw_speakers",
    "library_path",
    "synthesise",
]

VOICES = {"en-us": 0.85, "en-us-nyc": 0.15}
"""Voices and their shares of the speakers.

American ones only: espeak-ng's British vowels (LOT, BATH, GOAT, no r behind vowels) are others
than those that TIMIT's symbols stand for.
"""

_WOMEN = "f1 f2 f3 f4 f5 Andrea Annie anika aunty belinda grandma linda shelby steph steph2 steph3"
_MEN = (
    "m1 m2 m3 m4 m5 m6 m7 m8 Alex Andy Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Mario "
    "Michael Mike Nguyen Reed Storm adam antonio benjamin david ed edward edward2 grandpa gustave "
    "klatt klatt2 klatt3 klatt4 klatt6 marcelo max michel miguel mike2 paul pedro quincy rob "
    "robert sandro travis victor"
)
VARIANTS = {
    "f": tuple(_WOMEN.split()),
    "m": tuple(_MEN.split()),
}
"""Variants of a voice, by the speaker's sex.

Left out: whispers and what hardly voices (whisper, whisperf, croak, caleb), robots and others with
a strong echo, which fills closures, formants that no mouth has (boris, iven, kaukovalta, zac), and
configurations that are no voice (fast).
"""

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

Context decides further (`_in_context`): a stressless `I` is `ix`, a stressless `3:` `axr`, and `u:`
behind a coronal `ux`, as in `phones.pronounce`.
"""

_CLOSURES = {stop: f"{stop}cl" for stop in "ptkbdg"} | {"ch": "tcl", "jh": "dcl"}
_VOICED = {"b", "d", "g", "jh"}
_PAUSES = {"_", "_:", "_!", "_|", "_::"}
_GLIDE = ";"  # a palatal glide between vowels, that TIMIT does not label
_CORONALS = {"t", "d", "n", "l", "s", "z", "y", "ch", "jh", "dx", "th", "dh", "sh", "zh"}

_EVENT_END, _EVENT_WORD, _EVENT_PHONEME, _EVENT_RATE = 0, 1, 7, 8
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _DO_NOT_EXIT = 0x0001, 0x8000
_UTF8, _POSITION_CHARACTER = 1, 1
_RATE, _PITCH, _RANGE = 1, 3, 4

_MS = SAMPLE_RATE // 1000
_SHORTEST = 10 * _MS
"""Phones shorter than this many samples, but for releases, are part of the one before."""

_FORMAT = 1
"""Rises when the same call would write other bytes."""


class _Event(ctypes.Structure):
    """`espeak_EVENT` of espeak-ng's `speak_lib.h`."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def library_path():
    """The library of espeak-ng and the folder of its voices (None: where the library looks).

    Returns
    -------
    tuple of (str, str or None)

    Raises
    ------
    DataError
        There is neither the package `espeakng-loader` nor Debian's library.
    """
    try:
        import espeakng_loader
    except ImportError:
        name = "libespeak-ng.so.1"
        try:
            ctypes.CDLL(name)
        except OSError as error:
            raise DataError(
                "synthetic speech needs espeak-ng; install the package espeakng-loader "
                "(pip install plosive[train]) or Debian's libespeak-ng1"
            ) from error
        return name, None
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


class _Engine:
    """The library, started in this process.

    Its state is global and outlives a sentence, so a process that must say the same again is a
    fresh one.
    """

    def __init__(self):
        path, voices = library_path()
        self._library = ctypes.CDLL(path)
        options = _PHONEME_EVENTS | _DO_NOT_EXIT
        folder = voices.encode() if voices else None
        self.rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, folder, options)
        if self.rate <= 0:
            raise DataError(f"espeak-ng ({path}) does not start; its voices are not in {voices!r}")
        data = ctypes.c_char_p()
        self._library.espeak_Info(ctypes.byref(data))
        self._variants = Path(data.value.decode()) / "voices" / "!v"
        self._samples, self._events = [], []
        self._callback = _CALLBACK(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples, count, events):
        number = 0
        while events[number].type != _EVENT_END:
            event = events[number]
            if event.type == _EVENT_PHONEME:
                at = ctypes.addressof(event) + _Event.id.offset
                name = ctypes.string_at(at, 8).split(b"\0")[0].decode()
                self._events.append((event.sample, name, None))
            elif event.type == _EVENT_WORD:
                word = (event.text_position - 1, event.length)
                self._events.append((event.sample, None, word))
            number += 1
        if samples and count > 0:
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text, voice, rate, pitch, pitch_range):
        """Samples (int16, at `self.rate`) and events (sample, mnemonic, word) of a sentence."""
        self._samples, self._events = [], []
        # Breath is noise, whose seed is the time of day: 1.52 has its own, 1.51 the C library's.
        if hasattr(self._library, "espeak_ng_SetRandSeed"):
            self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        ctypes.CDLL(None).srand(1)
        # The library takes a variant that it does not have for none at all.
        variant = self._variants / voice.partition("+")[2]
        if self._library.espeak_SetVoiceByName(voice.encode()) or not variant.is_file():
            raise DataError(f"espeak-ng has no voice {voice!r}")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode() + b"\0"
        failed = self._library.espeak_Synth(
            encoded, len(encoded), 0, _POSITION_CHARACTER, 0, _UTF8, None, None
        )
        if failed or not self._samples:
            raise DataError(f"espeak-ng does not say {text!r} with the voice {voice!r}")
        return np.concatenate(self._samples), self._events


@dataclass(frozen=True)
class Speaker:
    """A made-up speaker.

    Attributes
    ----------
    name : str
        As in TIMIT: F or M, three letters, a digit.
    part : str
        TRAIN or TEST.
    region : int
        1 to 8: the DR folder; says nothing here.
    voice, variant : str
        Of `VOICES` and `VARIANTS`.
    pitch, pitch_range : int
        espeak-ng's, 0 to 100.
    rate : int
        espeak-ng's, words a minute.
    tract : float
        How much faster than synthesised the voice is played: formants and pitch rise with it.
    level, noise : float
        Peak, and noise floor's root mean square, in dB below full scale.
    seed : int
        Of what differs from sentence to sentence.
    sentences : tuple of (int, str)
        Numbers and texts.
    """

    name: str
    part: str
    region: int
    voice: str
    variant: str
    pitch: int
    pitch_range: int
    rate: int
    tract: float
    level: float
    noise: float
    seed: int
    sentences: tuple


def draw_speakers(sentences, speakers, seed, per_speaker=10, test=0.1):
    """Random speakers and the sentences that each reads.

    Parameters
    ----------
    sentences : sequence of str
        Texts; their numbers in the file names count from 1. The last `test` of them, in a random
        order, are for TEST, the others for TRAIN: no sentence is in both.
    speakers : int
        How many.
    seed : int
    per_speaker : int
        Sentences of each.
    test : float
        Share of TEST's speakers; at least two, one of each sex, where it is not 0.

    Returns
    -------
    list of Speaker

    Raises
    ------
    DataError
        Too few sentences or speakers, or an empty sentence.
    """
    sentences = [" ".join(text.split()) for text in sentences]
    if "" in sentences:
        raise DataError(f"sentence {sentences.index('') + 1} is empty; it must hold words")
    n_test = max(round(speakers * test), 2) if test else 0
    for_test = max(round(len(sentences) * test), 1) if test else 0
    if speakers < n_test + 1 or len(sentences) < for_test + 1:
        raise DataError(
            f"{speakers} speakers of {len(sentences)} sentences cannot be parted into TRAIN and "
            "TEST; at least 3 speakers and 2 sentences are needed"
        )
    if speakers > 26**3:
        raise DataError(f"{speakers} speakers are too many; names end at {26**3}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(sentences))
    decks = {"TRAIN": order[for_test:], "TEST": order[:for_test]}
    dealt = {"TRAIN": [], "TEST": []}

    def deal(part):
        """The next sentences of a shuffled deck, no sentence twice as long as there are others."""
        hand = []
        while len(hand) < per_speaker:
            if not dealt[part]:
                dealt[part] = list(rng.permutation(decks[part]))
            hand.append(int(dealt[part].pop()))
        return tuple((number + 1, sentences[number]) for number in hand)

    names = list(VOICES)
    drawn = []
    for number in range(speakers):
        sex = "fm"[number % 2]
        variants = VARIANTS[sex]
        part = "TEST" if number < n_test else "TRAIN"
        a, b, c = number // 676, number // 26 % 26, number % 26
        drawn.append(
            Speaker(
                name=f"{sex}{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}0".upper(),
                part=part,
                region=number // 2 % 8 + 1,
                voice=str(rng.choice(names, p=list(VOICES.values()))),
                variant=str(rng.choice(variants)),
                pitch=int(rng.integers(35, 66)),
                pitch_range=int(rng.integers(30, 81)),
                rate=int(rng.integers(140, 211)),
                tract=round(float(rng.uniform(0.92, 1.08)), 3),
                level=round(float(rng.uniform(-24, -10)), 1),
                noise=round(float(rng.uniform(-88, -74)), 1),
                seed=int(rng.integers(2**31)),
                sentences=deal(part),
            )
        )
    return drawn


# --- labels -------------------------------------------------------------------------------------


def _level(samples):
    """Energy in dB, one value per millisecond, each over 3 ms."""
    n = len(samples) // _MS
    power = (samples[: n * _MS].astype(np.float64) ** 2).reshape(n, _MS).sum(axis=1)
    padded = np.pad(power, 1, mode="edge")
    return 10 * np.log10((padded[:-2] + padded[1:-1] + padded[2:]) / (3 * _MS) + 1e-12)


@cache
def _high_pass():
    """A linear-phase filter that keeps 4.6 to 8 kHz: above what a voiced closure radiates."""
    n = np.arange(-24, 25)
    low = 2 * 4600 / SAMPLE_RATE * np.sinc(2 * 4600 / SAMPLE_RATE * n)
    return ((n == 0) - low) * np.hamming(len(n))


@dataclass(frozen=True)
class _Sound:
    """Levels of a sentence per millisecond, dB: of all, and of what is above 4.6 kHz."""

    level: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, samples):
        return cls(_level(samples), _level(np.convolve(samples, _high_pass(), mode="same")))


def _silent_closure(sound, begin, release):
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


def _burst(sound, begin, end):
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


def _in_context(phone, stressed, before):
    if phone == "ih" and not stressed:
        return "ix"
    if phone == "er" and not stressed:
        return "axr"
    if phone == "uw" and before in _CORONALS:
        return "ux"
    return phone


def _label(events, sound, text):
    """Phones with times from events with times: lists `[begin, end, phone, word]`, in ms.

    Parameters
    ----------
    events : list of (float, str or None, tuple or None)
        Millisecond, mnemonic, word (place and length in the text), in order of time.
    sound : _Sound
    text : str

    Raises
    ------
    DataError
        A mnemonic that is not in `PHONES_OF`.
    """
    heard = _heard(events, len(sound.level), text)
    # Closures first: what a silent one leaves of the phone before is then split into its parts.
    closures = {}
    for number, (begin, end, phones, *_) in enumerate(heard):
        if phones not in _CLOSURES:
            continue
        if phones in _VOICED and (burst := _burst(sound, begin, end)) > begin:
            closures[number] = (begin, burst)
        elif number and heard[number - 1][2] != "pau":
            before = heard[number - 1]
            first = closures[number - 1][1] if number - 1 in closures else before[0] + 1
            silence = _silent_closure(sound, first, begin)
            if silence < begin:
                closures[number] = (silence, begin)
                before[1] = silence
    found = []
    for number, (begin, end, phones, stressed, word) in enumerate(heard):
        if number in closures:
            found.append([*closures[number], _CLOSURES[phones], word])
            if end > found[-1][1]:
                found.append([found[-1][1], end, phones, word])
            continue
        parts = phones.split()
        for part, phone in enumerate(parts):
            first = begin + (end - begin) * part // len(parts)
            last = begin + (end - begin) * (part + 1) // len(parts)
            before = found[-1][2] if found else "h#"
            if phone == "r" == before:
                found[-1][1] = last
            else:
                found.append([first, last, _in_context(phone, stressed, before), word])
    return _tidy(found, len(sound.level))


def _heard(events, total, text):
    """Phonemes as lists `[begin, end, phones, stressed, word]`, in ms; pauses are "pau"."""
    heard = []
    word = None
    for time, mnemonic, place in events:
        if place is not None:
            word = place
            continue
        name = mnemonic.lstrip("',%=")
        begin = round(time)
        if heard:
            heard[-1][1] = begin
        if name in _PAUSES:
            heard.append([begin, total, "pau", False, None])
        elif name in PHONES_OF:
            heard.append([begin, total, PHONES_OF[name], mnemonic[0] in "',", word])
        elif name != _GLIDE or not heard:
            raise DataError(
                f"espeak-ng says {name!r} in {text!r}; PHONES_OF has no phone of TIMIT's for it"
            )
    joined = []
    for entry in heard:
        if entry[1] <= entry[0]:
            continue
        if joined and entry[2] == "pau" == joined[-1][2]:
            joined[-1][1] = entry[1]
        else:
            joined.append(entry)
    return joined


def _tidy(found, total):
    """Give slivers to the phone before, and call the ends `h#`."""
    joined = []
    for begin, end, phone, word in found:
        sliver = (end - begin) * _MS < _SHORTEST and phone not in _CLOSURES
        if joined and sliver:
            joined[-1][1] = end
        else:
            joined.append([begin, end, phone, word])
    if joined[0][2] == "pau":
        joined[0][2] = "h#"
    elif joined[0][0] > 0:
        joined.insert(0, [0, joined[0][0], "h#", None])
    if joined[-1][2] == "pau":
        joined[-1][2] = "h#"
    elif joined[-1][1] < total:
        joined.append([joined[-1][1], total, "h#", None])
    joined[0][0], joined[-1][1] = 0, total
    return joined


# --- one sentence -------------------------------------------------------------------------------


def _utterance(engine, speaker, number, text):
    """Samples (float32, 16 kHz), phones and words (first sample, end sample, name)."""
    rng = np.random.default_rng([speaker.seed, number])
    rate = round(speaker.rate / speaker.tract * rng.uniform(0.94, 1.06))
    pitch = speaker.pitch + int(rng.integers(-3, 4))
    pitch_range = speaker.pitch_range + int(rng.integers(-5, 6))
    said, events = engine.say(text, f"{speaker.voice}+{speaker.variant}", rate, pitch, pitch_range)
    played = engine.rate * speaker.tract
    samples = resample(said.astype(np.float32) / 32768, played, SAMPLE_RATE)
    times = [(1000 * sample / played, name, word) for sample, name, word in events]
    labels = _label(times, _Sound.of(samples), text)
    first, last = labels[0], labels[-1]
    head, tail = rng.integers(100, 250, 2) * _MS
    begin = first[1] * _MS if first[2] == "h#" else 0
    end = last[0] * _MS if last[2] == "h#" else len(samples)
    samples = np.pad(samples[begin:end], (head, tail))
    labels = [label for label in labels if label[2] != "h#"]
    moved = [
        (a * _MS - begin + head, b * _MS - begin + head, phone, word)
        for a, b, phone, word in labels
    ]
    moved[-1] = (moved[-1][0], len(samples) - int(tail), *moved[-1][2:])
    samples *= 10 ** (speaker.level / 20) / np.abs(samples).max()
    samples += _noise(rng, len(samples), speaker.noise)
    phones = [
        (0, int(head), "h#"),
        *((int(a), int(b), phone) for a, b, phone, _ in moved),
        (moved[-1][1], len(samples), "h#"),
    ]
    return samples.astype(np.float32), phones, _words(moved, text)


def _noise(rng, n, level):
    """A noise floor: half of its power white, half below 300 Hz, as in TIMIT's pauses."""
    white = rng.standard_normal(n)
    block = 27  # samples; a mean over them passes what is below 300 Hz
    low = np.convolve(rng.standard_normal(n), np.full(block, block**-0.5), mode="same")
    return 10 ** (level / 20) * (white + low) / np.sqrt(2)


def _words(labels, text):
    words = []
    for place, group in groupby(labels, key=lambda label: label[3]):
        if place is None:
            continue
        group = list(group)
        word = text[place[0] : place[0] + place[1]].lower()
        words.append((int(group[0][0]), int(group[-1][1]), word.strip(".,;:!?\"'") or word))
    return words


def _write_speaker(engine, folder, speaker):
    """Write a speaker's folder; seconds of speech."""
    place = Path(folder) / speaker.part / f"DR{speaker.region}" / speaker.name
    place.mkdir(parents=True)
    total = 0
    for take, (number, text) in enumerate(speaker.sentences):
        repeated = sum(earlier == number for earlier, _ in speaker.sentences[:take])
        stem = place / (f"SX{number}" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[repeated - 1] * bool(repeated))
        samples, phones, words = _utterance(engine, speaker, number + 100_000 * repeated, text)
        soundfile.write(stem.with_suffix(".WAV"), samples, SAMPLE_RATE, "PCM_16", format="WAV")
        for suffix, lines in ((".PHN", phones), (".WRD", words)):
            stem.with_suffix(suffix).write_text(
                "".join(f"{a} {b} {name}\n" for a, b, name in lines)
            )
        stem.with_suffix(".TXT").write_text(f"0 {len(samples)} {text}\n")
        total += len(samples)
    return total / SAMPLE_RATE


# --- a corpus -----------------------------------------------------------------------------------


def _work():
    """A worker: speakers as JSON lines from standard input, each in a fresh process.

    Forking before the library is loaded gives every speaker the library's first state at a
    fraction of the time that starting Python anew takes.
    """
    folder = sys.argv[1]
    for line in sys.stdin:
        fields = json.loads(line)
        fields["sentences"] = tuple((number, text) for number, text in fields["sentences"])
        speaker = Speaker(**fields)
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            try:
                answer = {"seconds": _write_speaker(_Engine(), folder, speaker)}
            except (DataError, OSError) as error:
                answer = {"error": f"speaker {speaker.name}: {error}"}
            os.write(theirs, json.dumps(answer).encode())
            os._exit(0)
        os.close(theirs)
        with open(ours, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        crashed = f'{{"error": "speaker {speaker.name}: espeak-ng crashed"}}'
        print((answer or crashed.encode()).decode(), flush=True)


def synthesise(folder, sentences, speakers, seed, workers=1, progress=True, per_speaker=10):
    """Write a corpus of synthetic speech in LDC93S1's layout.

    `TRAIN|TEST/DRn/SPEAKER/SXn.{WAV,PHN,TXT,WRD}`: 16 kHz 16-bit mono RIFF, and TIMIT's label
    files, in samples. About a tenth of the speakers and of the sentences are in TEST. The same
    arguments give the same bytes, whatever the number of workers, with the same version of
    espeak-ng.

    Parameters
    ----------
    folder : path-like
        Made; must not exist or be empty.
    sentences : sequence of str
        Texts to read; see `draw_speakers`.
    speakers : int or sequence of Speaker
        How many to draw, or the speakers themselves.
    seed : int
    workers : int
        Processes.
    progress : bool
        Show a bar.
    per_speaker : int
        Sentences of each speaker.

    Returns
    -------
    float
        Seconds of speech.

    Raises
    ------
    DataError
        espeak-ng is missing or says something that has no phone, or the folder is in use.
    """
    library_path()
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"folder {str(folder)!r} is not empty; synthetic speech needs its own")
    if isinstance(speakers, int):
        speakers = draw_speakers(sentences, speakers, seed, per_speaker)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", f"from {__name__} import _work; _work()", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    total = 0.0
    running = []
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("synthetic speech", total=len(speakers))
        try:
            for number in range(min(workers, len(speakers))):
                share = speakers[number::workers]
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=environment,
                    text=True,
                )
                running.append(process)
                process.stdin.write("".join(json.dumps(asdict(s)) + "\n" for s in share))
                process.stdin.close()
            # One worker's answers after the other's: all run at once, and a pipe holds the
            # short answers of those that are not read yet.
            for process in running:
                for line in process.stdout:
                    answer = json.loads(line)
                    if "error" in answer:
                        raise DataError(answer["error"])
                    total += answer["seconds"]
                    bar.advance(task)
                if process.wait():
                    raise DataError("a worker that synthesises speech ended early; see above why")
        finally:
            for process in running:
                process.kill()
                process.wait()
                process.stdout.close()
    return total


def corpus(cache_folder, sentences, speakers, seed, workers=1, progress=True, per_speaker=10):
    """The folder of a synthetic corpus, made at the first call.

    Parameters
    ----------
    cache_folder : path-like
        A build folder; the corpus' name in it depends on the other arguments and on espeak-ng's.
    sentences, speakers, seed, workers, progress, per_speaker
        As for `synthesise`; `speakers` is a number.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DataError
        As for `synthesise`.
    """
    library = Path(library_path()[0])
    size = library.stat().st_size if library.exists() else 0
    key = json.dumps([_FORMAT, library.name, size, list(sentences), speakers, seed, per_speaker])
    folder = Path(cache_folder) / f"espeak-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    with lock(folder):
        if not folder.is_dir():
            with atomic_directory(folder) as beside:
                synthesise(beside, sentences, speakers, seed, workers, progress, per_speaker)
    return folder
