# SPDX-License-Identifier: Apache-2.0
"""Damaged files by the thousand: each is read, or refused in one short line.

Every example is a valid file with a few edits: bytes flipped, cut out, put in twice, numbers of a
header set to what breaks parsers. `make test-all` tries many more of them.
"""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cocotb_tests.recordings.test_containers import FORMS, encoded
from cocotb_tests.recordings.test_labels import SHE, WORDS, grid
from hw.errors import PlosiveError
from model_zoo.data import labels
from model_zoo.data.textgrid import textgrid_labels
from model_zoo.speech import audio
from model_zoo.speech.files import decode_text

FEW, MANY = 150, 1500
LONG_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.5
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 0.5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.2
            text = "AH0"
        intervals [2]:
            xmin = 0.2
            xmax = 0.5
            text = "ER1"
"""
HOSTILE_NUMBERS = [
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\x80",
    b"\1\0\0\0",
]
HOSTILE_TEXTS = [
    *(b"nan", b"inf", b"-1", b"1e400", b"9" * 5000, b"\0", b'"', b'""', b"\n", b"\xff", b"["),
    *(b"=", b"item [", b"intervals [", b"\xef\xbb\xbf", "\u2028".encode(), b"\r", b"0x10", b"1_0"),
]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, first: int, hostile: list[bytes]) -> bytes:
    """A file with up to four edits, most of them in its first bytes."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, min(first, len(content)) - 1)))
        kind = draw(st.sampled_from(["flip", "number", "insert", "cut", "end", "twice"]))
        if kind == "flip" and content:
            content[place] ^= draw(st.integers(1, 255))
        elif kind == "number":
            number = draw(st.sampled_from(hostile))
            content[place : place + len(number)] = number
        elif kind == "insert":
            content[place:place] = draw(st.sampled_from(hostile))
        elif kind == "cut":
            del content[place : place + draw(st.integers(1, 40))]
        elif kind == "end":
            del content[draw(st.integers(0, len(content))) :]
        else:
            content[place:place] = content[place : place + draw(st.integers(1, 80))]
    return bytes(content)


def read_or_refused(read: Callable[[], object]) -> None:
    """Call it; what it raises must be for the user, one line of fewer than 300 characters."""
    try:
        read()
    except PlosiveError as error:
        message = str(error)
        assert message
        assert message == " ".join(message.splitlines())
        assert message.isprintable()
        assert len(message) < 300, message


def searched(examples: int, strategy: st.SearchStrategy, call: Callable[[bytes], None]) -> None:
    """Try a number of random examples."""
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    settings(max_examples=examples, suppress_health_check=quiet)(given(strategy)(call))()


number = pytest.mark.parametrize(
    "examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)


@number
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_damaged_sound_file_is_read_or_refused(form, examples):
    # Short files: what is damaged is the header.
    whole = encoded(form, np.random.default_rng(2).uniform(-0.3, 0.3, 1000))

    def check(content: bytes) -> None:
        def read() -> None:
            samples = audio.decode(content, lambda _line: None)
            assert samples.dtype == np.float32
            assert audio.FRAME_SAMPLES <= len(samples) <= audio.MOST_SAMPLES
            assert np.isfinite(samples).all()
            audio.silence(samples)

        read_or_refused(read)
        read_or_refused(lambda: audio.length(content))

    searched(examples, damaged(whole, 120, HOSTILE_NUMBERS), check)


@example(struct.pack("<4sI4s", b"RIFF", 0, b"WAVE"))
@example(b"FORM\0\0\0\0AIFFSSND\0\0\0\4")
@example(b"OggS")
@example(b"NIST_1A\n   1024\n")
@example(b".snd")
@example(b"fLaC")
@example(b"RF64\xff\xff\xff\xffWAVEds64\0\0\0\0")
@given(st.binary(max_size=200))
def test_random_bytes_are_no_sound(content):
    read_or_refused(lambda: audio.decode(content))


LABELS = {
    "phn": b"0 1600 h#\n1600 3200 sh\n3200 8000 iy\n",
    "lab": b"0 1000000 sil\n1000000 2000000 sp\n2000000 5000000 iy1 -12.5\n",
    "short TextGrid": grid(words=WORDS, phones=SHE).encode(),
    "long TextGrid": LONG_GRID.encode(),
    "UTF-16 TextGrid": LONG_GRID.encode("utf-16"),
}


@number
@pytest.mark.parametrize("form", LABELS)
def test_a_damaged_label_file_is_read_or_refused(tmp_path, form, examples):
    if "TextGrid" in form:
        pytest.importorskip("praatio", reason="TextGrids need the extra: pip install -e .[train]")
    path = tmp_path / "a"

    def check(content: bytes) -> None:
        path.write_bytes(content)

        def read() -> None:
            if form == "phn":
                found = labels.sample_labels(decode_text(content))
            elif form == "lab":
                found = labels.hundred_ns_labels(decode_text(content))
            else:
                found = textgrid_labels(path)
            labels.check_labels(labels.ours(found, {}), 8000)

        read_or_refused(read)

    searched(examples, damaged(LABELS[form], len(LABELS[form]), HOSTILE_TEXTS), check)


@number
def test_a_damaged_phone_map_is_read_or_refused(tmp_path, examples):
    path = tmp_path / "map"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        read_or_refused(lambda: labels.read_phone_map(path))

    searched(examples, damaged(b"S sh\nA aa\nSIL sil\n", 30, HOSTILE_TEXTS), check)
