# SPDX-License-Identifier: Apache-2.0
"""Recordings: the good ones load, each bad one is refused with file, problem and rule."""

import re
import wave

import numpy as np
import pytest
import soundfile

from model_zoo.speech.audio import FRAME_SAMPLES, SAMPLE_RATE, AudioError, check_samples, load


def tone(samples=SAMPLE_RATE // 2, peak=0.5):
    return peak * np.sin(2 * np.pi * 440 / SAMPLE_RATE * np.arange(samples))


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("wav", "FLOAT", 2**-24),
        ("flac", "PCM_16", 2**-15),
    ],
)
def test_load_gives_what_was_written(tmp_path, suffix, subtype, step):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(), SAMPLE_RATE, subtype)
    samples = load(path)
    assert samples.dtype == np.float32
    assert samples.shape == (SAMPLE_RATE // 2,)
    np.testing.assert_allclose(samples, tone(), atol=step)


def test_full_scale_samples_and_a_single_frame_are_accepted(tmp_path):
    path = tmp_path / "edge.wav"
    samples = np.tile(np.float32([1, -1]), FRAME_SAMPLES // 2)
    soundfile.write(path, samples, SAMPLE_RATE, "FLOAT")
    np.testing.assert_array_equal(load(path), samples)


def write(path, samples, rate=SAMPLE_RATE, subtype="FLOAT"):
    soundfile.write(path, samples, rate, subtype)


def write_empty(path):
    path.write_bytes(b"")


def write_text(path):
    path.write_bytes(b"this is no sound at all, whatever its name says")


def write_no_samples(path):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)


def spoilt(value):
    samples = tone().astype(np.float32)
    samples[7] = value
    return lambda path: write(path, samples)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _path: None, "no such file; a 16 kHz mono WAV or FLAC file is needed"),
        (
            lambda path: path.mkdir(),
            "not a file but a folder; a 16 kHz mono WAV or FLAC file is needed",
        ),
        (
            write_empty,
            "the file is empty (0 bytes); a 16 kHz mono WAV or FLAC file is needed",
        ),
        (
            write_text,
            "cannot be read as audio (Format not recognised); a 16 kHz mono WAV or FLAC file is "
            "needed",
        ),
        (
            lambda path: write(path, tone(), 8000),
            "the sample rate is 8000 Hz; it must be 16000 Hz (convert it: "
            "sox in.wav -r 16000 out.wav)",
        ),
        (
            lambda path: write(path, np.stack([tone(), tone()], axis=1)),
            "the file has 2 channels; it must be mono (pick or mix one: sox in.wav -c 1 out.wav)",
        ),
        (spoilt(np.nan), "sample 7 is nan; samples must be finite"),
        (spoilt(np.inf), "sample 7 is inf; samples must be finite"),
        (spoilt(-1.5), "sample 7 is -1.5; floating-point samples must lie in [-1, 1]"),
        (
            lambda path: write(path, tone(FRAME_SAMPLES - 1)),
            "399 samples are shorter than one frame; at least 400 samples (25 ms) are needed",
        ),
        (
            write_no_samples,
            "0 samples are shorter than one frame; at least 400 samples (25 ms) are needed",
        ),
    ],
    ids=[
        "missing",
        "folder",
        "empty",
        "not audio",
        "8 kHz",
        "stereo",
        "nan",
        "inf",
        "beyond full scale",
        "too short",
        "no samples",
    ],
)
def test_bad_recordings_are_refused_with_file_problem_and_rule(tmp_path, make, message):
    path = tmp_path / "bad.wav"
    make(path)
    with pytest.raises(AudioError, match=f"^{re.escape(f'{path}: {message}')}$"):
        load(path)


def test_samples_with_two_dimensions_are_refused():
    message = "take: samples have shape (500, 2); they must be mono, one dimension"
    with pytest.raises(AudioError, match=f"^{re.escape(message)}$"):
        check_samples(np.zeros((500, 2)), "take")
