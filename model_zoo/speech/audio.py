# SPDX-License-Identifier: Apache-2.0
"""Speech files to 16 kHz mono samples, or a reason why not."""

from pathlib import Path

import numpy as np
import soundfile

from hw.errors import PlosiveError

__all__ = ["FRAME_SAMPLES", "SAMPLE_RATE", "AudioError", "check_samples", "load"]

SAMPLE_RATE = 16_000
"""Samples per second that the features are defined for."""

FRAME_SAMPLES = 400
"""Samples of one 25 ms analysis window: the shortest recording that has a frame."""


class AudioError(PlosiveError, ValueError):
    """A recording that cannot be used; the message names it, the problem and the rule."""


def check_samples(samples, name="samples"):
    """Check samples that are already at 16 kHz.

    Parameters
    ----------
    samples : array_like
        Mono samples, `[samples]`, full scale is 1.0.
    name : str
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
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise AudioError(
            f"{name}: samples have shape {samples.shape!r}; they must be mono, one dimension"
        )
    samples = samples.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(samples))
    if len(bad):
        raise AudioError(
            f"{name}: sample {int(bad[0])} is {float(samples[bad[0]])!r}; samples must be finite"
        )
    if len(samples) < FRAME_SAMPLES:
        raise AudioError(
            f"{name}: {len(samples)} samples are shorter than one frame; at least "
            f"{FRAME_SAMPLES} samples (25 ms) are needed"
        )
    peak = int(np.argmax(np.abs(samples)))
    if abs(samples[peak]) > 1:
        raise AudioError(
            f"{name}: sample {peak} is {float(samples[peak])!r}; floating-point "
            "samples must lie in [-1, 1]"
        )
    return samples


def load(path):
    """Read a 16 kHz mono recording (WAV, FLAC or another format that libsndfile reads).

    Nothing is resampled or mixed down silently: the features of a converted file would depend on
    a converter that nobody chose.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    numpy.ndarray
        float32 `[samples]` in [-1, 1].

    Raises
    ------
    AudioError
        The file is missing, empty, unreadable, at another sample rate, has several channels, or
        fails `check_samples`.
    """
    path = Path(path)
    if not path.exists():
        raise AudioError(f"{path}: no such file; a 16 kHz mono WAV or FLAC file is needed")
    if not path.is_file():
        raise AudioError(f"{path}: not a file; a 16 kHz mono WAV or FLAC file is needed")
    if path.stat().st_size == 0:
        raise AudioError(
            f"{path}: the file is empty (0 bytes); a 16 kHz mono WAV or FLAC file is needed"
        )
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise AudioError(
            f"{path}: cannot be read as audio ({reason}); a 16 kHz mono WAV or FLAC file is needed"
        ) from error
    if rate != SAMPLE_RATE:
        raise AudioError(
            f"{path}: the sample rate is {rate} Hz; it must be {SAMPLE_RATE} Hz "
            f"(convert it: sox in.wav -r {SAMPLE_RATE} out.wav)"
        )
    if samples.shape[1] != 1:
        raise AudioError(
            f"{path}: the file has {samples.shape[1]} channels; it must be mono "
            "(pick or mix one: sox in.wav -c 1 out.wav)"
        )
    return check_samples(samples[:, 0], str(path))
