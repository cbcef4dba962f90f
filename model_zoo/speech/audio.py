# SPDX-License-Identifier: Apache-2.0
"""Speech files to 16 kHz mono samples, or a reason why not.

libsndfile decodes WAV (8-, 16-, 24- and 32-bit integers, floating point), RF64, Wave64, AIFF, FLAC,
Ogg, SPHERE and others. `containers` sees whether all of a file is there.
"""

import io
import os
import sys
from collections.abc import Callable

import numpy as np
import soundfile

from hw.errors import PlosiveError
from model_zoo.speech import containers
from model_zoo.speech.containers import State
from model_zoo.speech.files import MOST_SOUND_BYTES, FileError, read_bytes

__all__ = [
    "FRAME_SAMPLES",
    "MOST_SAMPLES",
    "SAMPLE_RATE",
    "SILENCE_DB",
    "STANDARD_INPUT",
    "AudioError",
    "InMemory",
    "check_samples",
    "decode",
    "length",
    "load",
    "name_of",
    "read_sound",
    "silence",
]

SAMPLE_RATE = 16_000
"""Samples per second that the features are defined for."""

FRAME_SAMPLES = 400
"""Samples of one 25 ms analysis window: the shortest recording that has a frame."""

MOST_SAMPLES = 2 * 3600 * SAMPLE_RATE
"""Longest recording: two hours. A few kilobytes of FLAC may claim to hold any number of samples."""

SILENCE_DB = -80
"""Peak level, dB below full scale, under which a recording is silence: three steps of 16 bits."""

STANDARD_INPUT = "-"
"""The path that stands for standard input."""

_NEEDED = "a 16 kHz mono WAV or FLAC file is needed"
_BLOCK = 4096


class InMemory(io.BytesIO):
    """A sound file's bytes for libsndfile.

    A damaged header sends it to places before the beginning. A file stays where it is then and says
    so; Python's would raise into C code, which prints a traceback.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, if it is one."""
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


class AudioError(PlosiveError, ValueError):
    """A recording that cannot be used; the message names it, the problem and the rule."""


def check_samples(samples: np.typing.ArrayLike, name: str = "samples") -> np.ndarray:
    """Check samples that are already at 16 kHz.

    Parameters
    ----------
    samples
        Mono samples, `[samples]`, full scale is 1.0.
    name
        What error messages call them (usually the file's path).

    Returns
    -------
    numpy.ndarray
        The same samples, float32 `[samples]`.

    Raises
    ------
    AudioError
        More than one channel, NaN or infinite values, values beyond [-1, 1], or less than one
        frame.
    """
    try:
        return _checked(np.asarray(samples))
    except FileError as error:
        raise AudioError(f"{name}: {error}") from error


def _checked(samples: np.ndarray) -> np.ndarray:
    if samples.ndim != 1:
        raise FileError(f"samples have shape {samples.shape!r}; they must be mono, one dimension")
    samples = samples.astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(samples))
    if len(bad):
        raise FileError(
            f"sample {int(bad[0])} is {float(samples[bad[0]])!r}; samples must be finite"
        )
    _check_length(len(samples))
    peak = int(np.argmax(np.abs(samples)))
    if abs(samples[peak]) > 1:
        raise FileError(
            f"sample {peak} is {float(samples[peak])!r}; floating-point samples must lie in [-1, 1]"
        )
    return samples


def _check_length(count: int) -> None:
    if count < FRAME_SAMPLES:
        raise FileError(
            f"{count} samples are shorter than one frame; at least {FRAME_SAMPLES} samples (25 ms) "
            "are needed"
        )


def silence(samples: np.ndarray) -> str | None:
    """Why a recording has nothing to hear; None if it has.

    Parameters
    ----------
    samples
        `[samples]`, full scale is 1.0. A constant offset is no sound.
    """
    peak = float(np.abs(samples - samples.mean(dtype=np.float64)).max())
    if peak == 0:
        return f"the recording is silent: all {len(samples):,} samples are {float(samples[0])!r}"
    level = 20 * np.log10(peak)
    if level >= SILENCE_DB:
        return None
    return (
        f"the recording is silent: its peak is {-level:.0f} dB below full scale, where less than "
        f"{-SILENCE_DB} dB is sound"
    )


def load(path: str | os.PathLike[str], note: Callable[[str], None] | None = None) -> np.ndarray:
    """Read a 16 kHz mono recording (WAV, FLAC or another format that libsndfile reads).

    Nothing is resampled or mixed down silently: the features of a converted file would depend on
    a converter that nobody chose.

    Parameters
    ----------
    path
        The file, or `STANDARD_INPUT`.
    note
        See `decode`.

    Returns
    -------
    numpy.ndarray
        float32 `[samples]` in [-1, 1].

    Raises
    ------
    AudioError
        The file is missing, empty, not regular, too large, cut, unreadable, at another sample
        rate, has several channels, or fails `check_samples`.
    """
    standard, name = os.fspath(path) == STANDARD_INPUT, name_of(path)
    try:
        content = _standard_input() if standard else read_sound(path)
        return decode(content, note)
    except FileError as error:
        raise AudioError(f"{name}: {error}") from error


def name_of(path: str | os.PathLike[str]) -> str:
    """What a message calls a recording."""
    return "standard input" if os.fspath(path) == STANDARD_INPUT else str(path)


def read_sound(path: str | os.PathLike[str]) -> bytes:
    """The content of a sound file; `FileError` where there is none to read."""
    try:
        return read_bytes(path, MOST_SOUND_BYTES)
    except FileError as error:
        raise FileError(f"{error}; {_NEEDED}") from error


def _standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise FileError("is a terminal; a recording must be piped into it")
    content = sys.stdin.buffer.read(MOST_SOUND_BYTES + 1)
    if len(content) > MOST_SOUND_BYTES:
        raise FileError(f"has more than the {MOST_SOUND_BYTES:,} bytes that are read at most")
    return content


def decode(content: bytes, note: Callable[[str], None] | None = None) -> np.ndarray:
    """The samples of a sound file's bytes, float32 `[samples]` in [-1, 1].

    Parameters
    ----------
    content
        The whole file.
    note
        Takes a line on a file whose header does not say how much sound it holds (the program that
        wrote it was killed, or wrote into a pipe): what follows the header is then read. None
        refuses what a killed program left.

    Raises
    ------
    FileError
        The reason why the recording cannot be used, without a name.
    """
    with _open(content, note) as file:
        samples = _all_samples(file)
    return _checked(samples)


def length(content: bytes) -> int:
    """Samples of a recording by its header; checks all but the samples themselves.

    Raises
    ------
    FileError
        The header breaks one of the rules of `decode`.
    """
    with _open(content, None) as file:
        return file.frames


def _open(content: bytes, note: Callable[[str], None] | None) -> soundfile.SoundFile:
    if not content:
        raise FileError(f"the file is empty (0 bytes); {_NEEDED}")
    compression = containers.sphere_compression(content)
    if compression is not None:
        raise FileError(
            f"is SPHERE compressed with {compression}, which libsndfile does not read; convert it "
            "(LDC's sph2pipe -f rif in.wav out.wav)"
        )
    try:
        file = soundfile.SoundFile(InMemory(_with_true_size(content, note)))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise FileError(f"cannot be read as audio ({_reason(error)}); {_NEEDED}") from error
    try:
        _check_form(file)
    except BaseException:
        file.close()
        raise
    return file


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _with_true_size(content: bytes, note: Callable[[str], None] | None) -> bytes:
    """The bytes to decode: those of the file, but for sizes that its header does not know."""
    extent = containers.examine(content)
    if extent is None or extent.state is State.WHOLE:
        return content
    if extent.state is State.CUT:
        raise FileError(f"the file is cut: {extent}")
    if extent.state is State.UNFINISHED:
        problem = (
            f"its header says 0 bytes of sound, but {extent.there:,} bytes follow: its recorder "
            "was killed, or is still running"
        )
        if note is None:
            raise FileError(f"{problem} (repair it: sox --ignore-length in.wav out.wav)")
        note(f"{problem}; all of them were read")
    elif note is not None:
        note(
            "its header does not say how long it is, as of a file written into a pipe: "
            f"{extent.there:,} bytes of sound were read"
        )
    return containers.with_size(content, extent) if extent.size_fields else content


def _check_form(file: soundfile.SoundFile) -> None:
    if file.samplerate != SAMPLE_RATE:
        raise FileError(
            f"the sample rate is {file.samplerate} Hz; it must be {SAMPLE_RATE} Hz "
            f"(convert it: sox in.wav -r {SAMPLE_RATE} out.wav)"
        )
    if file.channels != 1:
        raise FileError(
            f"the file has {file.channels} channels; it must be mono "
            "(pick or mix one: sox in.wav -c 1 out.wav)"
        )
    if file.frames > MOST_SAMPLES:
        raise FileError(
            f"{file.frames:,} samples are more than the {MOST_SAMPLES:,} (two hours) that are read "
            "at most; cut it"
        )
    _check_length(file.frames)


def _all_samples(file: soundfile.SoundFile) -> np.ndarray:
    """All samples, float32; a file that ends before its header says so is cut."""
    blocks = []
    try:
        while len(block := file.read(_BLOCK, dtype="float32")):
            blocks.append(block)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        count = sum(map(len, blocks))
        raise FileError(
            f"cannot be read as audio ({_reason(error)}): its header promises {file.frames:,} "
            f"samples ({file.frames / SAMPLE_RATE:.2f} s), of which only about the first {count:,} "
            "can be decoded; the file is cut or damaged"
        ) from error
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if len(samples) < file.frames and file.format != "MP3":  # whose header only estimates
        raise FileError(
            f"the file is cut: its header promises {file.frames:,} samples "
            f"({file.frames / SAMPLE_RATE:.2f} s), {len(samples):,} are there"
        )
    return samples
