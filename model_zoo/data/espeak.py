# SPDX-License-Identifier: Apache-2.0
"""Synthetic speech with phone times, written as a corpus in LDC93S1's layout.

espeak-ng (library of the package `espeakng-loader`, or Debian's `libespeak-ng1`) reads sentences
and says when each of its phonemes begins. espeak-ng is GPL-3; it is run as a tool, through its
C interface, and what it says is not covered by its licence: corpora and networks made with it are
under the project's.

`espeak_labels` makes TIMIT's phones of its phonemes, `espeak_speakers` draws speakers.

What espeak-ng lacks of a recording is added: silence around the sentence, a level, a noise floor
like TIMIT's (digital silence has no log-mel energy), and a vocal tract length for each speaker, by
playing the voice faster or slower.
"""

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich.progress import Progress

from golden_model.files.writing import atomic_directory, lock
from model_zoo.data import espeak_labels
from model_zoo.data.corpus import DataError, resample
from model_zoo.data.espeak_labels import MS, Event, Phone, Sound
from model_zoo.data.espeak_speakers import VARIANTS, VOICES, Speaker, draw_speakers
from model_zoo.data.labels import Label
from model_zoo.speech import spelling
from model_zoo.speech.audio import SAMPLE_RATE

__all__ = [
    "VARIANTS",
    "VOICES",
    "Speaker",
    "corpus",
    "draw_speakers",
    "library_path",
    "synthesise",
]

_EVENT_END, _EVENT_WORD, _EVENT_PHONEME, _EVENT_RATE = 0, 1, 7, 8
_PHONEME_EVENTS = 0x0001
_UTF8, _POSITION_CHARACTER = 1, 1
_RATE, _PITCH, _RANGE = 1, 3, 4

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


def library_path() -> tuple[str, str | None]:
    """The library of espeak-ng and the folder of its voices (None: where the library looks).

    Raises
    ------
    DataError
        There is neither the package `espeakng-loader` nor Debian's library.
    """
    try:
        return spelling.library_path()
    except spelling.EspeakError as error:
        raise DataError(str(error)) from error


class _Engine:
    """The library, started in this process.

    Its state is global and outlives a sentence, so a process that must say the same again is a
    fresh one.
    """

    def __init__(self) -> None:
        try:
            library = spelling.Library(_PHONEME_EVENTS)
        except spelling.EspeakError as error:
            raise DataError(str(error)) from error
        self._library, self.rate = library.functions, library.rate
        data = ctypes.c_char_p()
        self._library.espeak_Info(ctypes.byref(data))
        self._variants = Path(data.value.decode()) / "voices" / "!v"
        self._samples: list[np.ndarray] = []
        self._events: list[Event] = []
        self._callback = _CALLBACK(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: Any, count: int, events: Any) -> int:
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

    def say(
        self, text: str, voice: str, rate: int, pitch: int, pitch_range: int
    ) -> tuple[np.ndarray, list[Event]]:
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


# --- one sentence -------------------------------------------------------------------------------


def _utterance(
    engine: _Engine, speaker: Speaker, number: int, text: str
) -> tuple[np.ndarray, list[Label], list[Label]]:
    """Samples (float32, 16 kHz), phones and words (first sample, end sample, name)."""
    rng = np.random.default_rng([speaker.seed, number])
    rate = round(speaker.rate / speaker.tract * rng.uniform(0.94, 1.06))
    pitch = speaker.pitch + int(rng.integers(-3, 4))
    pitch_range = speaker.pitch_range + int(rng.integers(-5, 6))
    said, events = engine.say(text, f"{speaker.voice}+{speaker.variant}", rate, pitch, pitch_range)
    played = engine.rate * speaker.tract
    samples = resample(said.astype(np.float32) / 32768, played, SAMPLE_RATE)
    times = [(1000 * sample / played, name, word) for sample, name, word in events]
    labels = espeak_labels.label(times, Sound.of(samples), text)
    first, last = labels[0], labels[-1]
    head, tail = rng.integers(100, 250, 2) * MS
    begin = first[1] * MS if first[2] == "h#" else 0
    end = last[0] * MS if last[2] == "h#" else len(samples)
    samples = np.pad(samples[begin:end], (head, tail))
    labels = [label for label in labels if label[2] != "h#"]
    moved = [
        (a * MS - begin + head, b * MS - begin + head, phone, word) for a, b, phone, word in labels
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


def _noise(rng: np.random.Generator, n: int, level: float) -> np.ndarray:
    """A noise floor: half of its power white, half below 300 Hz, as in TIMIT's pauses."""
    white = rng.standard_normal(n)
    block = 27  # samples; a mean over them passes what is below 300 Hz
    low = np.convolve(rng.standard_normal(n), np.full(block, block**-0.5), mode="same")
    return 10 ** (level / 20) * (white + low) / np.sqrt(2)


def _words(labels: Sequence[Phone], text: str) -> list[Label]:
    words = []
    for place, group in groupby(labels, key=lambda label: label[3]):
        if place is None:
            continue
        group = list(group)
        word = text[place[0] : place[0] + place[1]].lower()
        words.append((int(group[0][0]), int(group[-1][1]), word.strip(".,;:!?\"'") or word))
    return words


def _write_speaker(engine: _Engine, folder: str, speaker: Speaker) -> float:
    """Write a speaker's folder; returns seconds of speech."""
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


def _work() -> None:
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


def synthesise(
    folder: str | os.PathLike[str],
    sentences: Sequence[str],
    speakers: int | Sequence[Speaker],
    seed: int,
    workers: int = 1,
    progress: bool = True,
    per_speaker: int = 10,
) -> float:
    """Write a corpus of synthetic speech in LDC93S1's layout.

    `TRAIN|TEST/DRn/SPEAKER/SXn.{WAV,PHN,TXT,WRD}`: 16 kHz 16-bit mono RIFF, and TIMIT's label
    files, in samples. About a tenth of the speakers and of the sentences are in TEST. The same
    arguments give the same bytes, whatever the number of workers, with the same version of
    espeak-ng.

    Parameters
    ----------
    folder
        Made; must not exist or be empty.
    sentences
        Texts to read; see `draw_speakers`.
    speakers
        How many to draw, or the speakers themselves.
    seed
        Seed of the random speakers.
    workers
        Number of processes.
    progress
        Show a progress bar.
    per_speaker
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
    total = 0.0
    running: list[subprocess.Popen[str]] = []
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("synthetic speech", total=len(speakers))
        try:
            for number in range(min(workers, len(speakers))):
                running.append(_started(folder))
                _give(running[-1], speakers[number::workers])
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


def _started(folder: Path) -> subprocess.Popen[str]:
    """A worker, see `_work`."""
    command = [sys.executable, "-c", f"from {__name__} import _work; _work()", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )


def _give(process: subprocess.Popen[str], speakers: Sequence[Speaker]) -> None:
    process.stdin.write("".join(json.dumps(asdict(speaker)) + "\n" for speaker in speakers))
    process.stdin.close()


def corpus(
    cache_folder: str | os.PathLike[str],
    sentences: Sequence[str],
    speakers: int,
    seed: int,
    workers: int = 1,
    progress: bool = True,
    per_speaker: int = 10,
) -> Path:
    """The folder of a synthetic corpus, made at the first call.

    Parameters
    ----------
    cache_folder
        A build folder; the corpus' name in it depends on the other arguments and on espeak-ng's.
    sentences, speakers, seed, workers, progress, per_speaker
        Passed on to `synthesise`.

    Raises
    ------
    DataError
        `synthesise` fails.
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
