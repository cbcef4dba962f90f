# SPDX-License-Identifier: Apache-2.0
"""How much of a sound file is there: cut, unfinished, of unknown length, silent, no file at all."""

import io
import os
import re
import struct
import sys

import numpy as np
import pytest
import soundfile

from flows.inputs import speech_samples
from model_zoo.speech import audio
from model_zoo.speech.files import FileError, quoted

COUNT = 80_000
FORMS = {
    "WAV": {"format": "WAV", "subtype": "PCM_16"},
    "WAV, 8 bits": {"format": "WAV", "subtype": "PCM_U8"},
    "WAV, 24 bits": {"format": "WAV", "subtype": "PCM_24"},
    "WAV, 32 bits": {"format": "WAV", "subtype": "PCM_32"},
    "WAV, float": {"format": "WAV", "subtype": "FLOAT"},
    "WAV, extensible": {"format": "WAVEX", "subtype": "PCM_16"},
    "RIFX": {"format": "WAV", "subtype": "PCM_16", "endian": "BIG"},
    "RF64": {"format": "RF64", "subtype": "PCM_16"},
    "Wave64": {"format": "W64", "subtype": "PCM_16"},
    "AIFF": {"format": "AIFF", "subtype": "PCM_16"},
    "AU": {"format": "AU", "subtype": "PCM_16"},
    "SPHERE": {"format": "NIST", "subtype": "PCM_16"},
    "FLAC": {"format": "FLAC", "subtype": "PCM_16"},
    "Ogg Vorbis": {"format": "OGG", "subtype": "VORBIS"},
    "Ogg Opus": {"format": "OGG", "subtype": "OPUS"},
}
WIDTHS = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}


def encoded(form, samples=None, rate=audio.SAMPLE_RATE):
    if samples is None:
        samples = np.random.default_rng(3).uniform(-0.3, 0.3, COUNT)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **form)
    return file.getvalue()


def refused(message, call, *arguments):
    with pytest.raises((audio.AudioError, FileError), match=f"^{re.escape(message)}$"):
        call(*arguments)


# ---- cut files -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_whole_file_is_read_as_libsndfile_gives_it(tmp_path, form):
    content = encoded(form)
    path = tmp_path / "a"
    path.write_bytes(content)
    expected, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    np.testing.assert_array_equal(audio.load(path), expected)
    assert audio.length(content) == COUNT


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.99])
def test_a_cut_file_is_refused(tmp_path, form, share):
    whole = encoded(form)
    path = tmp_path / "a.wav"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(audio.AudioError) as caught:
        audio.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    if form["format"] == "OGG":
        assert message == f"{path}: the file is cut: its last Ogg page is missing"
    elif form["format"] == "FLAC":
        assert f"its header promises {COUNT:,} samples (5.00 s)" in message
        assert message.endswith("the file is cut or damaged")
    else:
        promised = COUNT * WIDTHS[form["subtype"]]
        there = int(re.search(r"of sound, ([0-9,]+) bytes", message)[1].replace(",", ""))
        assert f"the file is cut: its header promises {promised:,} bytes" in message
        assert there == promised - (len(whole) - len(path.read_bytes()))
        assert there < promised


def test_a_recording_of_half_its_length_says_how_much_there_is(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(FORMS["WAV"])[: 44 + COUNT])
    message = (
        f"{path}: the file is cut: its header promises 160,000 bytes (5.00 s) of sound, 80,000 "
        "bytes (2.50 s) are there"
    )
    refused(message, audio.load, path)
    refused(message.removeprefix(f"{path}: "), audio.length, path.read_bytes())


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_that_ends_with_a_whole_page_may_be_cut(subtype):
    whole = encoded({"format": "OGG", "subtype": subtype})
    refused(
        "the file is cut: its last Ogg page is missing",
        audio.decode,
        whole[: whole.rindex(b"OggS")],
    )


def test_chunks_behind_the_sound_are_no_sound(tmp_path):
    whole = encoded(FORMS["WAV"])
    extra = b"LIST" + struct.pack("<I", 5) + b"INFO!" + b"\0"
    path = tmp_path / "a.wav"
    for tail in (extra, extra[:-1]):  # the last pad byte is often forgotten
        path.write_bytes(whole + tail)
        assert len(audio.load(path)) == COUNT
        empty = whole[:40] + struct.pack("<I", 0) + tail
        refused(
            "0 samples are shorter than one frame; at least 400 samples (25 ms) are needed",
            audio.decode,
            empty,
        )


# ---- lengths that a header does not know ---------------------------------------------------


def with_sizes(content, size):
    total = min(size + 36, 0xFFFF_FFFF) if size else 0
    sizes = (struct.pack("<I", value) for value in (total, size))
    return content[:4] + next(sizes) + content[8:40] + next(sizes) + content[44:]


def test_a_killed_recorder_s_file_is_read_where_it_can_be_said(tmp_path):
    whole = encoded(FORMS["WAV"])
    path = tmp_path / "a.wav"
    path.write_bytes(with_sizes(whole, 0))
    problem = (
        "its header says 0 bytes of sound, but 160,000 bytes follow: its recorder was killed, or "
        "is still running"
    )
    refused(f"{path}: {problem} (repair it: sox --ignore-length in.wav out.wav)", audio.load, path)
    notes = []
    np.testing.assert_array_equal(audio.load(path, notes.append), audio.decode(whole))
    assert notes == [f"{problem}; all of them were read"]


def test_a_killed_recorder_s_rf64_is_read_where_it_can_be_said():
    whole = encoded(FORMS["RF64"])
    at = whole.index(b"ds64") + 16
    notes = []
    unfinished = whole[:at] + bytes(8) + whole[at + 8 :]
    np.testing.assert_array_equal(audio.decode(unfinished, notes.append), audio.decode(whole))
    assert "its recorder was killed" in notes[0]


# What ffmpeg, arecord and sox write into a pipe.
@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x8000_0000, 0x7FFF_FFFF, 0x7FFF_F000])
def test_a_file_written_into_a_pipe_is_read(size):
    whole = encoded(FORMS["WAV"])
    piped = with_sizes(whole, size)
    notes = []
    np.testing.assert_array_equal(audio.decode(piped, notes.append), audio.decode(whole))
    assert notes == [
        "its header does not say how long it is, as of a file written into a pipe: 160,000 bytes "
        "of sound were read"
    ]
    np.testing.assert_array_equal(audio.decode(piped), audio.decode(whole))


# ---- compressed SPHERE ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "data", "name"),
    [
        ("pcm,embedded-shorten-v2.00", b"", "shorten"),
        ("pcm", b"ajkg\x02", "shorten"),
        ("pcm,embedded-wavpack-v4", b"", "wavpack"),
    ],
)
def test_compressed_sphere_is_named_with_the_tool_that_converts(tmp_path, coding, data, name):
    head = f"NIST_1A\n   1024\nsample_coding -s{len(coding)} {coding}\nend_head\n".encode()
    path = tmp_path / "a.wav"
    path.write_bytes(head.ljust(1024) + data)
    refused(
        f"{path}: is SPHERE compressed with {name}, which libsndfile does not read; convert it "
        "(LDC's sph2pipe -f rif in.wav out.wav)",
        audio.load,
        path,
    )


# ---- silence -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(16_000), "all 16,000 samples are 0.0"),
        (np.full(16_000, 0.25), "all 16,000 samples are 0.25"),
        (
            5e-5 * np.sin(np.arange(16_000)),
            "its peak is 86 dB below full scale, where less than 80 dB is sound",
        ),
    ],
    ids=["zero", "offset", "below -80 dB"],
)
def test_silence_is_called_silence(tmp_path, samples, message):
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(FORMS["WAV, float"], samples))
    refused(f"{path}: the recording is silent: {message}", speech_samples, path)
    assert len(audio.load(path)) == 16_000  # hardware may be fed with it


def test_a_quiet_recording_is_no_silence():
    assert audio.silence(np.float32(1.2e-4 * np.sin(np.arange(16_000)))) is None


# ---- what is no regular file, or too large -------------------------------------------------

NEEDED = "; a 16 kHz mono WAV or FLAC file is needed"


def test_nothing_but_a_regular_file_is_opened(tmp_path):
    pipe = tmp_path / "a.wav"
    os.mkfifo(pipe)
    refused(f"{pipe}: not a file but a pipe{NEEDED}", audio.load, pipe)
    refused(f"/dev/zero: not a file but a device{NEEDED}", audio.load, "/dev/zero")
    dangling = tmp_path / "b.wav"
    dangling.symlink_to(tmp_path / "none.wav")
    refused(f"{dangling}: no such file{NEEDED}", audio.load, dangling)
    null = "a\0.wav"
    refused(f"{null}: cannot be opened (embedded null byte){NEEDED}", audio.load, null)


def test_a_file_that_nobody_recorded_is_not_read_into_memory(tmp_path):
    path = tmp_path / "a.wav"
    with open(path, "wb") as file:
        file.truncate(2**40)
    refused(
        f"{path}: has more than the 1,073,741,824 bytes that are read at most{NEEDED}",
        audio.load,
        path,
    )


def test_a_header_s_promise_of_days_is_refused(monkeypatch):
    monkeypatch.setattr(audio, "MOST_SAMPLES", COUNT - 1)
    refused(
        "80,000 samples are more than the 79,999 (two hours) that are read at most; cut it",
        audio.decode,
        encoded(FORMS["FLAC"]),
    )


# ---- standard input ------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("form", ["WAV", "FLAC"])
def test_standard_input_is_a_recording(monkeypatch, form):
    content = encoded(FORMS[form])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    np.testing.assert_array_equal(audio.load("-"), audio.decode(content))


def test_silence_on_standard_input_is_called_so(monkeypatch):
    content = encoded(FORMS["WAV"], np.zeros(16_000))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    refused(
        "standard input: the recording is silent: all 16,000 samples are 0.0", speech_samples, "-"
    )


def test_standard_input_is_bounded_and_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal())
    refused("standard input: is a terminal; a recording must be piped into it", audio.load, "-")
    monkeypatch.setattr(audio, "MOST_SOUND_BYTES", 1000)
    content = io.BytesIO(encoded(FORMS["WAV"]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
    refused("standard input: has more than the 1,000 bytes that are read at most", audio.load, "-")
    assert content.tell() <= 2 * io.DEFAULT_BUFFER_SIZE


# ---- quoting -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ab", "'ab'"),
        ("x" * 80, "'" + "x" * 80 + "'"),
        ("x" * 81, "'" + "x" * 80 + "'..."),
        ("\0" * 80, "'" + "\\x00" * 20 + "'..."),
        ("a\nb", "'a\\nb'"),
    ],
)
def test_a_quotation_is_at_most_a_line(text, shown):
    assert quoted(text) == shown
