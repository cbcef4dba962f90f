# SPDX-License-Identifier: Apache-2.0
"""Synthetic speech: the labels lie where the sound is, and the same call gives the same bytes."""

import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.speech import phones
from model_zoo.speech.audio import SAMPLE_RATE

pytest.importorskip("soxr", reason="resampling needs soxr: pip install plosive[train]")

from model_zoo.data import DataError, espeak, espeak_labels
from model_zoo.data.timit import read as read_timit

try:
    espeak.library_path()
except DataError as error:
    pytest.skip(str(error), allow_module_level=True)

SENTENCES = [
    "She had your dark suit in greasy wash water all year.",
    "Don't ask me to carry an oily rag like that.",
    "The little bottle of purple paint, pick it up again.",
    "A sassy mess, a bossy hussy, icy aces, a glossy pussycat.",
    "Bob's big dog and Judge Jack's cheap chair were in the corner.",
    "Forgotten fires there poured over more of the quiet hours.",
    "A thick pleasure of vision, the boy thought, measuring both.",
    "Good cooks put sugar into eighty cups.",
    "You use two shoes, large canoes.",
    "Nine young men hung along the lane.",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight speakers of ten takes."""
    folder = tmp_path_factory.mktemp("espeak") / "corpus"
    espeak.synthesise(folder, SENTENCES, 8, seed=5, progress=False)
    return folder


def recordings(folder):
    for path in sorted(folder.rglob("*.WAV")):
        samples, rate = soundfile.read(path)
        assert rate == SAMPLE_RATE
        lines = [line.split() for line in path.with_suffix(".PHN").read_text().splitlines()]
        yield path, samples, [(int(a), int(b), phone) for a, b, phone in lines]


def decibels(samples):
    return 10 * np.log10(np.mean(np.square(samples)) + 1e-12)


def high_share(samples):
    """Share of the energy that is above 3.5 kHz."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    return power[round(3500 / 8000 * len(power)) :].sum() / power.sum()


def test_the_layout_is_that_of_ldc93s1(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["TEST", "TRAIN"]
    for path, samples, labels in recordings(folder):
        assert path.relative_to(folder).parts[1][:2] == "DR"
        assert path.parent.name[0] in "FM"
        begin, end, text = path.with_suffix(".TXT").read_text().split(maxsplit=2)
        assert (int(begin), int(end)) == (0, len(samples))
        assert text.strip() == SENTENCES[int(path.stem[2:].rstrip("ABCDEFGHI")) - 1]
        for first, last, word in map(str.split, path.with_suffix(".WRD").read_text().splitlines()):
            assert 0 < int(first) < int(last) < len(samples)
            assert word in text.lower()
        assert labels[0][0] == 0
        assert labels[-1][1] == len(samples)
        assert labels[0][2] == labels[-1][2] == "h#"
        assert all(a[1] == b[0] for a, b in pairwise(labels))
        assert all(begin < end and phone in phones.PHONES for begin, end, phone in labels)
        assert "h#" not in [phone for *_, phone in labels[1:-1]]


def test_the_reader_of_timit_reads_it(folder):
    from model_zoo.data.corpus import Broken

    broken = Broken()
    utterances = read_timit("synthetic", folder, broken)
    assert not broken.lines
    assert len(utterances) == 80
    by_split = {
        split: {u.speaker for u in utterances if u.split == split}
        for split in ("train", "dev", "test")
    }
    assert {split: len(speakers) for split, speakers in by_split.items()} == {
        "train": 6,
        "dev": 1,
        "test": 1,
    }
    texts = {split: {u.text for u in utterances if u.split == split} for split in by_split}
    assert not texts["train"] & (texts["dev"] | texts["test"])


def test_labels_lie_where_the_sound_is(folder):
    found = {"closure": [], "vowel": [], "s": [], "release": []}
    vowels = {"aa", "ae", "ah", "ao", "eh", "ey", "iy", "ow", "ay", "er"}
    hiss = {"s": [], "before": [], "behind": []}
    for _, samples, labels in recordings(folder):
        loudest = max(decibels(samples[i : i + 320]) for i in range(0, len(samples) - 320, 160))
        for number, (begin, end, phone) in enumerate(labels):
            cut = samples[begin:end]
            if phone in {"pcl", "tcl", "kcl"} and end - begin >= 240:
                found["closure"].append(decibels(cut[48:-48]) - loudest)
            if phone in vowels and end - begin >= 640:
                found["vowel"].append(decibels(cut) - loudest)
            if phone in {"p", "t", "k", "ch"} and labels[number - 1][2].endswith("cl"):
                rise = decibels(samples[begin : begin + 160]) - decibels(
                    samples[begin - 96 : begin - 16]
                )
                found["release"].append(rise)
            # The edges of a /s/ between vowels, to within 15 ms.
            around = {labels[number - 1][2], labels[min(number + 1, len(labels) - 1)][2]}
            if phone == "s" and around <= vowels | {"ih", "ix", "ax", "axr"}:
                hiss["s"].append(high_share(cut))
                hiss["before"].append(high_share(samples[begin - 400 : begin - 160]))
                hiss["behind"].append(high_share(samples[end + 160 : end + 400]))
    assert len(found["closure"]) > 100
    assert np.percentile(found["closure"], 95) < -20
    assert np.median(found["closure"]) < -35
    assert len(found["vowel"]) > 200
    assert np.percentile(found["vowel"], 5) > -18
    assert np.percentile(found["release"], 5) > 6
    assert len(hiss["s"]) >= 8
    assert np.percentile(hiss["s"], 10) > 0.5
    assert np.percentile(hiss["before"], 90) < 0.3
    assert np.percentile(hiss["behind"], 90) < 0.3


def test_voiced_stops_have_low_closures_and_a_burst(folder):
    rises = []
    for _, samples, labels in recordings(folder):
        high = np.convolve(samples, espeak_labels._high_pass(), mode="same")
        for before, (begin, _, phone) in pairwise(labels):
            if phone in {"b", "d", "g", "jh"} and before[2].endswith("cl"):
                rises.append(
                    decibels(high[begin : begin + 128]) - decibels(high[begin - 160 : begin - 32])
                )
    assert len(rises) > 60
    assert np.percentile(rises, 10) > 6
    assert np.median(rises) > 15


def test_what_is_one_event_becomes_two_phones(folder):
    said = {}
    for path, _, labels in recordings(folder):
        said.setdefault(int(path.stem[2:].rstrip("ABCDEFGHI")), []).append(
            " ".join(phone for *_, phone in labels)
        )
    for take in said[3]:
        assert "l ih dx el bcl b aa dx el" in take
    for take in said[1]:
        assert "aa r kcl k" in take
        assert take.endswith("y ih r h#")
    for take in said[9]:
        assert "y ux z tcl t" in take or "y uw z tcl t" in take


def test_the_number_of_workers_changes_nothing(folder, tmp_path):
    espeak.synthesise(tmp_path / "again", SENTENCES, 8, seed=5, workers=2, progress=False)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.*"))
    assert files == sorted(
        p.relative_to(tmp_path / "again") for p in tmp_path.rglob("again/**/*.*")
    )
    assert all(
        (folder / path).read_bytes() == (tmp_path / "again" / path).read_bytes() for path in files
    )


def test_the_time_of_day_changes_nothing(tmp_path):
    (speaker, *_) = espeak.draw_speakers(SENTENCES, 3, seed=1, per_speaker=2)
    breathy = replace(speaker, variant="f5")
    made = []
    for name in ("first", "second"):
        espeak.synthesise(tmp_path / name, SENTENCES, [breathy], seed=1, progress=False)
        made.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("*.WAV"))])
        time.sleep(1.1)
    assert made[0] == made[1]


def test_a_corpus_is_made_once(tmp_path, monkeypatch):
    arguments = {"speakers": 3, "seed": 1, "progress": False, "per_speaker": 1}
    first = espeak.corpus(tmp_path, SENTENCES[:3], **arguments)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {first.name, f".{first.name}.lock"}
    assert len(list(first.rglob("*.WAV"))) == 3
    monkeypatch.setattr(espeak, "synthesise", None)
    assert espeak.corpus(tmp_path, SENTENCES[:3], **arguments) == first


def test_an_unknown_phoneme_is_named(tmp_path):
    (speaker, *_) = espeak.draw_speakers(SENTENCES, 3, seed=1, per_speaker=1)
    with pytest.raises(DataError) as caught:
        espeak_labels.label(
            [(0.0, "s", (0, 2)), (9.0, "x2", None)], espeak_labels.Sound.of(np.ones(900)), "Xa"
        )
    assert str(caught.value) == (
        "espeak-ng says 'x2' in 'Xa'; PHONES_OF has no phone of TIMIT's for it"
    )
    strange = replace(speaker, variant="nobody")
    with pytest.raises(
        DataError, match=r"^speaker FAAA0: espeak-ng has no voice 'en-us.*\+nobody'$"
    ):
        espeak.synthesise(tmp_path / "c", SENTENCES, [strange], seed=1, progress=False)


def test_bad_calls_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r" is not empty; synthetic speech needs its own$"):
        espeak.synthesise(tmp_path, SENTENCES, 3, seed=1, progress=False)
    with pytest.raises(DataError) as caught:
        espeak.draw_speakers(["One."], 3, seed=1)
    assert str(caught.value) == (
        "3 speakers of 1 sentences cannot be parted into TRAIN and TEST; at least 3 speakers and "
        "2 sentences are needed"
    )
    with pytest.raises(DataError) as caught:
        espeak.draw_speakers(["One.", " "], 3, seed=1)
    assert str(caught.value) == "sentence 2 is empty; it must hold words"


def test_a_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)

    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(espeak.ctypes, "CDLL", missing)
    with pytest.raises(DataError) as caught:
        espeak.library_path()
    assert str(caught.value) == (
        "synthetic speech needs espeak-ng; install the package espeakng-loader (pip install "
        "plosive[train]) or Debian's libespeak-ng1"
    )


def test_every_voice_and_variant_has_its_phones(tmp_path):
    speakers = [
        espeak.Speaker(
            f"{'FM'[sex == 'm']}{number:03d}",
            "TRAIN",
            1,
            list(espeak.VOICES)[number % 2],
            variant,
            50,
            50,
            200,
            1.0,
            -12.0,
            -80.0,
            number,
            ((1, SENTENCES[0]), (2, SENTENCES[4]), (3, SENTENCES[8])),
        )
        for sex, variants in espeak.VARIANTS.items()
        for number, variant in enumerate(variants)
    ]
    espeak.synthesise(tmp_path / "all", SENTENCES, speakers, seed=1, progress=False)
    for _, _, labels in recordings(tmp_path / "all"):
        assert all(a[0] < a[1] == b[0] for a, b in pairwise(labels))
    for path in Path(tmp_path).rglob("SX1.PHN"):
        said = phones.fold([line.split()[2] for line in path.read_text().splitlines()])
        assert said[:2] == ["sil", "sh"], path
