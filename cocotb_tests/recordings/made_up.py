# SPDX-License-Identifier: Apache-2.0
"""Recordings and corpora that tests make up, and how a refusal is checked."""

import io
import re
from functools import cache

import numpy as np
import pytest
import soundfile

from model_zoo import data
from model_zoo.speech import audio

SENTENCE = "She had."
PHN = "0 1600 h#\n1600 3200 sh\n3200 8000 iy\n"
LABELS = ((0, 1600, "h#"), (1600, 3200, "sh"), (3200, 8000, "iy"))


@cache
def audio_bytes(seconds, rate, channels, extension, form):
    """A noise that ends quietly; the same for the same length."""
    rng = np.random.default_rng(5)
    count = int(seconds * rate)
    samples = rng.normal(0, 0.05, (count, channels)) * np.linspace(1, 0.1, count)[:, None]
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **{"format": extension, **dict(form)})
    return file.getvalue()


def write_audio(path, seconds=0.5, rate=audio.SAMPLE_RATE, channels=1, **form):
    path.parent.mkdir(parents=True, exist_ok=True)
    extension = path.suffix[1:].upper()
    content = audio_bytes(seconds, rate, channels, extension, tuple(form.items()))
    path.write_bytes(content)
    return path


def write_sentence(folder, stem="si1", upper=False, phn=PHN, txt=f"0 8000 {SENTENCE}\n", **form):
    """A recording in TIMIT's form; `phn` or `txt` None leaves the file away."""

    def named(extension):
        name = f"{stem}.{extension}"
        return folder / (name.upper() if upper else name)

    write_audio(named("wav"), **form)
    if phn is not None:
        named("phn").write_text(phn)
    if txt is not None:
        named("txt").write_text(txt)
    return named("wav")


def write_ldc(root, train=("fabc0", "mdef0"), test=("fghi0", "mjkl0", "mmno0"), upper=False):
    """A made-up corpus in LDC93S1's layout, one SI and one SA sentence per speaker."""
    for part, speakers in (("train", train), ("test", test)):
        for number, speaker in enumerate(speakers):
            parts = (part, f"dr{number % 8 + 1}", speaker)
            folder = root.joinpath(*(p.upper() if upper else p for p in parts))
            form = {"format": "NIST", "subtype": "PCM_16"} if upper else {}
            write_sentence(folder, upper=upper, **form)
            write_sentence(folder, "sa1", upper=upper, **form)
    return root


def write_sample(root, speakers="fa0 ma0 fb0 mb0 fc0 mc0"):
    """A made-up corpus in the layout of NLTK's sample."""
    for number, speaker in enumerate(speakers.split()):
        write_sentence(root / f"dr{number + 1}-{speaker}")
    return root


def refused(message, call, *arguments, **options):
    with pytest.raises(data.DataError, match=f"^{re.escape(message)}$"):
        call(*arguments, **options)


def speakers_by_split(utterances):
    found = {"train": set(), "dev": set(), "test": set()}
    for utterance in utterances:
        found[utterance.split].add(utterance.speaker)
    return found
