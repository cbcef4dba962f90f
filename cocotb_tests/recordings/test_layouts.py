# SPDX-License-Identifier: Apache-2.0
"""Folders as they are met: copies of TIMIT, leftovers of systems, Kaldi's tables."""

import os

import numpy as np
import pytest
import soundfile

from cocotb_tests.recordings.made_up import (
    LABELS,
    PHN,
    SENTENCE,
    audio_bytes,
    refused,
    write_audio,
    write_ldc,
    write_sample,
    write_sentence,
)
from model_zoo import data
from model_zoo.speech import audio

SHORTEN = b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n".ljust(2048)


def sphere():
    return audio_bytes(0.5, 16_000, 1, "NIST", (("subtype", "PCM_16"),))


def riff():
    return audio_bytes(0.5, 16_000, 1, "WAV", ())


# ---- copies of TIMIT -----------------------------------------------------------------------

COPIES = {
    "SPHERE and RIFF": {"SI1.WAV": sphere, "SI1.WAV.wav": riff},
    "compressed SPHERE and RIFF": {"SI1.WAV": lambda: SHORTEN, "SI1.WAV.wav": riff},
    "RIFF only": {"SI1.WAV.wav": riff},
    "lower-case recordings": {"si1.wav": riff},
    "both cases": {"SI1.WAV": sphere, "si1.wav": riff},
    "mixed case": {"Si1.Wav": riff},
}


@pytest.mark.parametrize("files", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("labels", [("SI1.PHN", "SI1.TXT"), ("si1.phn", "Si1.Txt")])
def test_each_copy_of_timit_gives_each_recording_once(tmp_path, files, labels):
    for speaker in ("TRAIN/DR1/FABC0", "TEST/DR2/MJKL0"):
        folder = tmp_path / speaker
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content())
        for name, text in zip(labels, (PHN, f"0 8000 {SENTENCE}\n"), strict=True):
            (folder / name).write_text(text)
    found = data.read_folder("timit", tmp_path)
    assert [(u.speaker, u.name, u.text, u.phones) for u in found] == [
        ("fabc0", "si1", SENTENCE, LABELS),
        ("mjkl0", "si1", SENTENCE, LABELS),
    ]
    assert len(found[0].load()) == 8000


def test_of_two_broken_copies_the_first_is_named(tmp_path):
    write_ldc(tmp_path)
    folder = tmp_path / "train/dr1/fabc0"
    (folder / "si1.wav").write_bytes(SHORTEN)
    (folder / "si1.wav.wav").write_bytes(b"hello")
    with pytest.raises(data.DataError, match=r"/si1\.wav: is SPHERE compressed with shorten, "):
        data.read_folder("timit", tmp_path)


def test_a_copy_in_an_own_folder_counts_once(tmp_path):
    for speaker in ("a", "b"):
        write_audio(tmp_path / speaker / "x.WAV")
        (tmp_path / speaker / "x.WAV.wav").write_bytes(riff())
        (tmp_path / speaker / "X.phn").write_text(PHN)
    (tmp_path / "a" / "x.WAV").unlink()
    found = data.read_folder("folder", tmp_path)
    assert [(u.speaker, u.name, u.path.name) for u in found] == [
        ("a", "x", "x.WAV.wav"),
        ("b", "x", "x.WAV"),
    ]


# ---- splits that nobody asked for ----------------------------------------------------------


def test_without_a_split_there_is_no_rule_on_speakers_or_halves(tmp_path):
    two = write_sample(tmp_path / "sample", "fa0 mb0")
    found = data.read_folder("timit", two, splits=False)
    assert [(u.speaker, u.split) for u in found] == [("dr1-fa0", ""), ("dr2-mb0", "")]
    half = write_ldc(tmp_path / "half", test=())
    assert [u.speaker for u in data.read_folder("timit", half, splits=False)] == ["fabc0", "mdef0"]
    both = write_ldc(tmp_path / "both", test=("fabc0",))
    assert len(data.read_folder("timit", both, splits=False)) == 3


def test_without_a_split_the_speakers_of_no_split_are_read(tmp_path):
    from model_zoo.data import timit

    testers = [*timit.CORE_TEST_SPEAKERS, *timit.DEV_SPEAKERS, "mxyz0"]
    root = write_ldc(tmp_path, ["fabc0"], testers)
    assert "mxyz0" in {u.speaker for u in data.read_folder("timit", root, splits=False)}


# ---- what systems leave --------------------------------------------------------------------


def leave(folder):
    """What macOS and Windows leave among the files of a folder."""
    for name in ("._si1.wav", "._si1.phn", "._a.wav", "._a.TextGrid", ".hidden.wav"):
        (folder / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        (folder / name).write_bytes(b"\0\1")
    for name in ("__MACOSX", ".Trash", "@eaDir"):
        (folder / name).mkdir()
        (folder / name / "si1.wav").write_bytes(b"\0\5\x16\7")


def test_leftovers_of_systems_are_no_recordings(tmp_path):
    write_audio(tmp_path / "mine" / "a.wav")
    (tmp_path / "mine" / "a.phn").write_text(PHN)
    leave(tmp_path / "mine")
    assert [u.name for u in data.read_folder("folder", tmp_path / "mine")] == ["a"]
    root = write_ldc(tmp_path / "timit")
    for folder in (root, root / "train", root / "train/dr1", root / "train/dr1/fabc0"):
        leave(folder)
    write_ldc(root / "__MACOSX")
    assert len(data.read_folder("timit", root)) == 5


def test_leftovers_of_systems_are_no_noise(tmp_path):
    for name in ("1-1-A", "1-2-A"):
        write_audio(tmp_path / "rain" / f"{name}.wav")
    leave(tmp_path)
    leave(tmp_path / "rain")
    assert {k: len(v) for k, v in data.read_noise(folder=tmp_path).items()} == {"rain": 2}


# ---- recordings that are listened to -------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda x: 0 * x, "the recording is silent: all 8,000 samples are 0.0"),
        (lambda x: np.where(np.arange(8000) == 7, np.nan, x), "sample 7 is nan; samples must be "),
        (lambda x: np.where(np.arange(8000) == 7, -np.inf, x), "sample 7 is -inf; samples must be"),
    ],
    ids=["silence", "NaN", "infinite"],
)
def test_a_recording_that_nobody_can_hear_is_named_and_may_be_left_out(tmp_path, spoil, reason):
    write_audio(tmp_path / "a.wav")
    samples = spoil(np.random.default_rng(1).uniform(-0.1, 0.1, 8000))
    soundfile.write(tmp_path / "b.wav", samples, 16_000, "FLOAT")
    for name in "ab":
        (tmp_path / f"{name}.phn").write_text(PHN)
    with pytest.raises(data.DataError) as caught:
        data.read_folder("folder", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'b.wav'}: {reason}")
    said = []
    found = data.read_folder("folder", tmp_path, broken="skip", report=said.append)
    assert [u.name for u in found] == ["a"]
    assert len(said) == 1


def test_a_pipe_among_the_recordings_does_not_block(tmp_path):
    write_sentence(tmp_path, "a")
    os.mkfifo(tmp_path / "b.wav")
    (tmp_path / "b.phn").write_text(PHN)
    refused(
        f"{tmp_path / 'b.wav'}: not a file but a pipe; a 16 kHz mono WAV or FLAC file is needed",
        data.read_folder,
        "folder",
        tmp_path,
    )


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write_sentence(tmp_path, "a")

    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", f"{folder}/secret"))

    monkeypatch.setattr("model_zoo.data.listing.os.walk", walk)
    refused(
        f"corpus {tmp_path.name!r}: {tmp_path}/secret: cannot be read (Permission denied)",
        data.read_folder,
        "folder",
        tmp_path,
    )


# ---- Kaldi ---------------------------------------------------------------------------------


def write_kaldi(folder, **tables):
    """A data folder of two recordings, `a` and `b`, of half a second."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in "ab":
        write_audio(folder / "sound" / f"{name}.wav")
    made = {
        "wav.scp": f"a {folder}/sound/a.wav\nb sound/b.wav\n",
        "text": "a SHE HAD\nb your dark suit\n",
        "utt2spk": "a s1\nb s2\n",
        **{name.replace("_", "."): text for name, text in tables.items()},
    }
    for name, text in made.items():
        (folder / name).write_text(text)
    return folder


def test_a_kaldi_folder_is_read(tmp_path):
    found = data.read_folder("kaldi", write_kaldi(tmp_path))
    assert [(u.speaker, u.name, u.text, u.phones, u.segment) for u in found] == [
        ("s1", "a", "SHE HAD", (), None),
        ("s2", "b", "your dark suit", (), None),
    ]
    assert {u.split for u in found} == {"test"}
    assert len(found[1].load()) == 8000


def test_paths_of_a_kaldi_folder_may_be_those_of_its_recipe(tmp_path):
    folder = write_kaldi(tmp_path / "s5" / "data" / "train")
    (folder / "sound").rename(tmp_path / "s5" / "sound")
    (folder / "wav.scp").write_text("a sound/a.wav\nb sound/b.wav\n")
    assert len(data.read_folder("kaldi", folder)) == 2


def test_segments_of_a_kaldi_folder_are_cut_out(tmp_path):
    write_kaldi(
        tmp_path,
        segments="u1 a 0.1 0.3\nu2 a 0.25 -1\nu3 b 0 0.505\n",
        text="u1 she\nu2 had\nu3 your\n",
        utt2spk="u1 s1\nu2 s1\nu3 s2\n",
    )
    found = data.read_folder("kaldi", tmp_path)
    whole = audio.load(tmp_path / "sound" / "a.wav")
    assert [u.segment for u in found] == [(1600, 4800), (4000, 8000), (0, 8000)]
    np.testing.assert_array_equal(found[0].load(), whole[1600:4800])
    np.testing.assert_array_equal(found[1].load(), whole[4000:])
    energies = data.cached_log_mel(found, tmp_path / "cache", progress=False)
    assert [len(x) for x in energies] == [18, 23, 48]
    write_audio(tmp_path / "sound" / "a.wav", 0.6)
    assert len(found[0].load()) == 3200


def test_a_command_in_wav_scp_is_refused_by_name_and_never_run(tmp_path):
    mark = tmp_path / "mark"
    write_kaldi(tmp_path / "d", wav_scp=f"a touch {mark} |\nb sound/b.wav\n")
    command = f"touch {mark} |"
    shown = repr(command) if len(command) <= 60 else repr(command[:60]) + "..."
    message = (
        f"{tmp_path / 'd' / 'text'}: utterance 'a': wav.scp names {shown} for it, a command, which "
        "is not run; write its output to a file"
    )
    refused(message, data.read_folder, "kaldi", tmp_path / "d")
    said = []
    found = data.read_folder("kaldi", tmp_path / "d", broken="skip", report=said.append)
    assert [u.name for u in found] == ["b"]
    assert said == [f"left out: {message}"]
    assert not mark.exists()


KALDI_BROKEN = {
    "archive": (
        {"wav_scp": "a raw.ark:17\nb sound/b.wav\n"},
        "text: utterance 'a': wav.scp names 'raw.ark:17' for it, which is no sound file; copy the "
        "sound to one",
    ),
    "no file": (
        {"wav_scp": "a none.wav\nb sound/b.wav\n"},
        "text: utterance 'a': wav.scp names 'none.wav' for it, and there is no such file",
    ),
    "no recording": (
        {"wav_scp": "b sound/b.wav\n"},
        "text: utterance 'a': wav.scp has no recording 'a'",
    ),
    "no text": ({"text": "a she\n"}, "text: has no line for utterance 'b'"),
    "no words": ({"text": "a\nb she\n"}, "text: utterance 'a': its text has no words"),
    "no speaker": ({"utt2spk": "b s2\n"}, "text: utterance 'a': has no line in utt2spk"),
    "noise": (
        {"text": "a she <UNK>\nb she\n"},
        "text: utterance 'a': its text holds '<UNK>', which is no word",
    ),
    "twice": ({"text": "a she\na had\n"}, "text: line 2: 'a' is there twice"),
    "one field": (
        {"utt2spk": "a s1\nb\n"},
        "utt2spk: line 2 is 'b'; it must have two fields",
    ),
    "segment outside": (
        {"segments": "a a 0.2 0.9\nb b 0 0.4\n"},
        "text: utterance 'a': its segment is 0.2 to 0.9 s of 'a', which has 0.50 s; it must lie "
        "within",
    ),
    "segment of no time": (
        {"segments": "a a 0.2 nan\nb b 0 0.4\n"},
        "text: utterance 'a': its segment is 0.2 to nan s of 'a', which has 0.50 s; it must lie "
        "within",
    ),
    "short segment": (
        {"segments": "a a 0.2 0.21\nb b 0 0.4\n"},
        "text: utterance 'a': its segment has 160 samples; at least 400 samples (25 ms) are needed",
    ),
    "no segment": (
        {"segments": "b b 0 0.4\n"},
        "text: utterance 'a': has no line in segments",
    ),
    "segment of another form": (
        {"segments": "a a 0.2\nb b 0 0.4\n"},
        "text: utterance 'a': its line in segments goes on with 'a 0.2'; it must be recording, "
        "begin and end in seconds",
    ),
}


@pytest.mark.parametrize(("tables", "message"), KALDI_BROKEN.values(), ids=KALDI_BROKEN)
def test_a_kaldi_folder_that_does_not_fit_is_refused(tmp_path, tables, message):
    folder = write_kaldi(tmp_path, **tables)
    refused(f"{folder}/{message}", data.read_folder, "kaldi", folder)


def test_a_folder_without_kaldi_s_tables_is_refused(tmp_path):
    refused(
        f"{tmp_path}/text: no such file; Kaldi's wav.scp, text and utt2spk are needed",
        data.read_folder,
        "kaldi",
        tmp_path,
    )
