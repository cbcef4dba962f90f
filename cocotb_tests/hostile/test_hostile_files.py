# SPDX-License-Identifier: Apache-2.0
"""Files that a user names: pipes, devices, huge and deep ones are refused in one line, at once."""

import io
import json
import os
import socket
import time
import tomllib
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden_model.files import reading
from golden_model.files.reading import InputError

READERS = (reading.read_bytes, reading.read_text, reading.read_json, reading.read_toml)


def refused(reader, path, **options) -> str:
    started = time.monotonic()
    with pytest.raises(InputError) as error:
        reader(path, **options)
    assert time.monotonic() - started < 5
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message.replace(str(path), "FILE")


@pytest.mark.parametrize("reader", READERS)
def test_only_regular_files_are_read(reader, tmp_path):
    assert refused(reader, tmp_path) == "cannot read FILE: not a file but a folder"
    assert refused(reader, "/dev/zero") == "cannot read FILE: not a file but a device"
    os.mkfifo(tmp_path / "pipe")
    assert refused(reader, tmp_path / "pipe") == "cannot read FILE: not a file but a pipe"
    (tmp_path / "link").symlink_to("/dev/zero")
    assert refused(reader, tmp_path / "link") == "cannot read FILE: not a file but a device"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert refused(reader, tmp_path / "socket") == "cannot read FILE: not a file but a socket"
    assert refused(reader, tmp_path / "none") == "cannot read FILE: No such file or directory"
    (tmp_path / "circle").symlink_to("circle")
    line = refused(reader, tmp_path / "circle")
    assert line == "cannot read FILE: Too many levels of symbolic links"
    assert refused(reader, tmp_path / ("x" * 300)) == "cannot read FILE: File name too long"
    assert refused(reader, f"{tmp_path}/a\0b") == "cannot read FILE: embedded null byte"


@pytest.mark.parametrize("reader", READERS)
def test_a_file_is_read_up_to_its_limit(reader, tmp_path):
    path = tmp_path / "file"
    path.write_text("[1, 2]" if reader is reading.read_json else "a = [1]\n")
    size = path.stat().st_size
    reader(path, most_bytes=size)
    assert refused(reader, path, most_bytes=size - 1) == (
        f"cannot read FILE: has more than the {size - 1} bytes that are read at most"
    )
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # sparse: it takes no room
    assert refused(reader, path) == (
        "cannot read FILE: has more than the 16,777,216 bytes that are read at most"
    )


def test_a_file_that_says_it_is_empty_is_read_up_to_the_limit():
    assert reading.read_bytes("/proc/self/status").startswith(b"Name:")
    assert refused(reading.read_bytes, "/proc/self/status", most_bytes=10) == (
        "cannot read FILE: has more than the 10 bytes that are read at most"
    )


def test_text_is_utf_8(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbf1")
    assert reading.read_text(path) == "1"
    assert reading.read_json(path) == 1
    path.write_bytes(b"a \xff")
    assert refused(reading.read_json, path) == "FILE: it is not UTF-8 text: byte 2 is wrong"


def npz(shape: str, content: bytes) -> bytes:
    """An archive with one array of bytes whose header says a shape."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (117 - len(header)) + b"\n"
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        archive.writestr("a.npy", magic + header + content)
    return held.getvalue()


def test_arrays_are_checked_before_they_are_made():
    assert reading.parse_arrays(npz("(3,)", b"abc"))["a"].tobytes() == b"abc"
    wrong = r"a\.npy has not the bytes that its header says"
    for shape in ("(1000000000000,)", "(2,)", "(-3,)", "(-1, -3)"):
        with pytest.raises(ValueError, match=wrong):
            reading.parse_arrays(npz(shape, b"abc"))
    with pytest.raises(ValueError, match=r"its arrays have more than 1,000,000 bytes"):
        reading.parse_arrays(npz("(2000000,)", bytes(2_000_000)), 1_000_000)
    whole = npz("(3,)", b"abc")
    for data in (b"", b"no archive", whole[:40], whole[:-5]):
        with pytest.raises(ValueError, match=r"."):
            reading.parse_arrays(data)


DEEP = "lists and tables stand in each other more than 32 deep"
HOSTILE_JSON = [
    ("[" * 100_000, DEEP),
    ("[" * 33 + "]" * 33, DEEP),
    ('{"a":' * 5_000_000, DEEP),
    ("1" * 5000, "Exceeds the limit (4300 digits) for integer string conversion"),
    ("1e999", "the number 1e999 is too large"),
    ("[NaN]", "NaN is not a number of JSON"),
    ("-Infinity", "-Infinity is not a number of JSON"),
    ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in an object"),
    ('"\\ud800"', "the text '\\ud800' holds half a character"),
    ('{"\\udfff": 1}', "the text '\\udfff' holds half a character"),
    ("{", "Expecting property name enclosed in double quotes"),
    ("", "Expecting value: line 1 column 1 (char 0)"),
]


@pytest.mark.parametrize("case", range(len(HOSTILE_JSON)))
def test_json_is_refused_with_the_reason(case, tmp_path):
    text, reason = HOSTILE_JSON[case]
    path = tmp_path / "file.json"
    path.write_text(text)
    assert refused(reading.read_json, path, most_bytes=1 << 26).startswith(
        f"FILE: it is not JSON: {reason}"
    )


HOSTILE_TOML = [
    ("a = " + "[" * 100_000, DEEP),
    (".".join("a" * 100_000) + " = 1", DEEP),
    ("[" + " . ".join("a" * 100_000) + "]", DEEP),
    ("a = {" + '"b".' * 100_000 + "c = 1}", DEEP),
    ("a = " + "[" * 32 + "]" * 32, DEEP),
    ("a = 1\na = 2", "Cannot overwrite a value"),
    ("a = ", "Invalid value"),
    ("a" * 1_000_000, "Expected '=' after a key"),
]


@pytest.mark.parametrize("case", range(len(HOSTILE_TOML)))
def test_toml_is_refused_with_the_reason(case, tmp_path):
    text, reason = HOSTILE_TOML[case]
    path = tmp_path / "file.toml"
    path.write_text(text)
    line = refused(reading.read_toml, path)
    assert line.startswith(f"FILE: it is not TOML: {reason}")


def test_32_levels_are_read(tmp_path):
    path = tmp_path / "file"
    path.write_text("[" * 32 + "]" * 32)
    assert str(reading.read_json(path)) == "[" * 32 + "]" * 32
    path.write_text(".".join("a" * 32) + " = 1\n")
    assert str(reading.read_toml(path)).count("{") == 32
    path.write_text("a = " + "[" * 31 + "]" * 31)
    assert str(reading.read_toml(path)).count("[") == 31


def outcome(reader, path):
    """The message of a refusal, or else the value."""
    try:
        return None, reader(path)
    except InputError as error:
        return str(error), None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=300)
@given(VALUES.map(json.dumps) | st.text(max_size=20) | st.binary(max_size=20))
def test_any_json_file_is_read_as_python_does_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("json") / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="replace"))
    message, value = outcome(reading.read_json, path)
    if message is not None:
        assert message.startswith(f"{path}: it is not ")
    else:
        assert value == json.loads(path.read_text("utf-8-sig"))


TOML = st.lists(
    st.sampled_from(["a", ".", "=", "[", "]", "{", "}", '"', "'", "1", "\n", ",", "nan", " ", "\\"])
    | st.text(max_size=2),
    max_size=20,
).map("".join)


@settings(max_examples=300)
@given(TOML | st.binary(max_size=20))
def test_any_toml_file_is_read_as_python_does_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("toml") / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="replace"))
    message, value = outcome(reading.read_toml, path)
    if message is not None:
        assert message.startswith(f"{path}: it is not ")
    else:
        assert str(value) == str(tomllib.loads(path.read_bytes().decode("utf-8-sig")))
