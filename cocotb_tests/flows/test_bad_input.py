# SPDX-License-Identifier: Apache-2.0
"""Every mistake of a user is one clear line on standard error, and leaves nothing half-written."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import soundfile

from flows.cli import app as cli
from flows.inputs import DEFAULT_NETWORK
from flows.tools import toolchain
from golden_model import Network
from hw.config import preset

TINY = preset("tiny")


@pytest.fixture
def refusal(capsys) -> Callable[..., str]:
    """Runs a command line that must fail, and returns its one line."""

    def run(*arguments: object, status: int = 1) -> str:
        assert cli.run([str(argument) for argument in arguments]) == status
        shown = capsys.readouterr()
        assert shown.out == ""
        lines = shown.err.splitlines()
        assert len(lines) == 1, shown.err
        assert lines[0].startswith("plosive: ")
        return lines[0].removeprefix("plosive: ")

    return run


@pytest.fixture
def network_file(tmp_path) -> Path:
    path = tmp_path / "network.safetensors"
    Network.random(TINY, 1).save(path)
    return path


def rewritten(path: Path, change: Callable[[dict, dict], None]) -> Path:
    """A copy of a network file with its tensors and header changed."""
    with safetensors.safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["plosive"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, header)
    target = path.with_name("changed.safetensors")
    target.write_bytes(safetensors.numpy.save(tensors, metadata={"plosive": json.dumps(header)}))
    return target


# --- command lines ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "No such command 'nope' (see plosive --help)"),
        (["cycles", "--nope"], "No such option: --nope (see plosive cycles --help)"),
        (["generate"], "Missing option '-o' / '--output' (see plosive generate --help)"),
        (["transcribe"], "Missing argument 'WAV' (see plosive transcribe --help)"),
    ],
)
def test_wrong_command_line_is_one_line_and_status_2(arguments, message, refusal):
    assert refusal(*arguments, status=2) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --preset or --config: one of them names the hardware"),
        (
            ["--preset", "tiny"],
            "give either --network FILE or --random SEED: one of them is the network",
        ),
        (
            ["--preset", "tiny", "--random", "1", "--audio", "a.wav", "--frames", "2"],
            "give either --audio WAV or --frames N: one of them is the input",
        ),
    ],
)
def test_missing_and_contradicting_options_are_named(arguments, message, refusal):
    assert refusal("simulate", *arguments) == message
    assert refusal("cycles", *arguments) == message


def test_other_densities_than_published_are_refused(refusal):
    command = ("cycles", "--preset", "tiny", "--densities")
    assert refusal(*command, "high") == "--densities is 'high': it must be published"
    assert refusal(*command, "published", "--random", "1") == (
        "--densities stands alone: give it, or a network and features"
    )


# --- configurations ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["lanes=0"], "lanes is 0: it must be an integer, 1 to 1024"),
        (["lanes=many"], "lanes is 'many': it must be an integer, 1 to 1024"),
        (["time_steps=3"], "time_steps is 3: it must be an integer, 1 to 2"),
        (["weight_bits=8"], "weight_bits is 8: the datapath is built for 4"),
        (["merge_readout=1"], "merge_readout is 1: it must be true or false"),
        (
            ["output_lanes=3"],
            "output_lanes is 3: it must divide 2 * lanes = 16, the logits of a pair of tiles",
        ),
        (
            ["hidden=[16]"],
            "recurrent is (True, True): it must hold true or false for each of the 1 layers of "
            "hidden",
        ),
        (["lanes"], "--set 'lanes': it must be field=value, for example lanes=64"),
    ],
)
def test_wrong_field_is_named_with_value_and_rule(changes, message, refusal, tmp_path):
    options = [text for change in changes for text in ("--set", change)]
    output = tmp_path / "out"
    assert refusal("generate", "--preset", "tiny", *options, "-o", output) == message
    assert not output.exists()


def test_unknown_preset_and_field_list_what_there_is(refusal):
    assert refusal("cycles", "--preset", "nope", "--densities", "published") == (
        "preset is 'nope': the presets are paper-t2, paper-t2-unmerged, paper-t1, speech, fast, "
        "frugal, tiny"
    )
    line = refusal("cycles", "--preset", "tiny", "--set", "speed=3", "--densities", "published")
    assert line == f"speed is not a field: the fields are {', '.join(TINY.to_dict())}"


def test_wrong_configuration_file_is_named(refusal, tmp_path):
    path = tmp_path / "config.json"

    def refused() -> str:
        return refusal("cycles", "--config", path, "--densities", "published")

    assert refused() == f"cannot read {path}: No such file or directory"
    path.write_text("{")
    assert refused() == (
        f"{path}: it is not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)"
    )
    path.write_text("[]")
    assert refused() == f"{path}: configuration is []: it must be a table of fields"
    values = TINY.to_dict()
    del values["hidden"]
    path.write_text(json.dumps(values))
    assert refused() == f"{path}: hidden is missing: it has no default"
    path.write_text(json.dumps({**TINY.to_dict(), "acc_bits": 99}))
    assert refused() == f"{path}: acc_bits is 99: it must be an integer, 8 to 32"


# --- network files ----------------------------------------------------------------------------


@pytest.fixture
def network_refusal(refusal, tmp_path) -> Callable[[Path], str]:
    """Gives a network file to every command that takes one; all must say the same."""

    def run(path: Path) -> str:
        options = ("--preset", "tiny", "--network", path)
        output = tmp_path / "out"
        line = refusal("generate", *options, "-o", output)
        assert not output.exists()
        build = tmp_path / "models"
        assert refusal("simulate", *options, "--frames", "2", "--build", build) == line
        assert not build.exists()
        assert refusal("cycles", *options, "--frames", "2") == line
        return line

    return run


def test_missing_network_file(network_refusal, tmp_path):
    path = tmp_path / "none.safetensors"
    assert network_refusal(path) == f"{path}: there is no such file"


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_network_file(kept, network_refusal, network_file):
    network_file.write_bytes(network_file.read_bytes()[:kept])
    line = network_refusal(network_file)
    assert line.startswith(f"{network_file}: it is not a whole .safetensors file: ")


def test_network_file_with_a_wrong_shape(network_refusal, network_file):
    def cut(tensors, _header):
        tensors["layers.1.w_rec"] = tensors["layers.1.w_rec"][:, :15].copy()

    path = rewritten(network_file, cut)
    assert network_refusal(path) == (
        f"{path}: tensor layers.1.w_rec has shape (16, 15): it must be (16, 16)"
    )


def test_network_file_with_a_weight_outside_4_bits(network_refusal, network_file):
    def widen(tensors, _header):
        tensors["layers.0.w_in"][3, 5] = 8

    path = rewritten(network_file, widen)
    assert network_refusal(path) == (
        f"{path}: layer 0, neuron 5: w_in[3] is 8: a weight must be -8 to 7"
    )


def test_network_file_whose_sums_do_not_fit(network_refusal, network_file):
    def enlarge(tensors, header):
        tensors["layers.0.w_in"][:, 2] = 7
        header["layers"][0]["input_shift"] = 0

    path = rewritten(network_file, enlarge)
    line = network_refusal(path)
    most = 127 * 7 * TINY.n_input
    assert line.startswith(f"{path}: layer 0, neuron 2: the layer sum can reach ")
    assert int(line.split("can reach ")[1].split(",")[0]) >= most
    assert " beyond 2047 of acc_bits 12: acc_bits " in line
    assert line.endswith(" would be enough for this network")


def test_network_file_for_other_hardware(network_refusal, tmp_path):
    path = tmp_path / "other.safetensors"
    Network.random(TINY.replace(n_output=23, time_steps=1), 1).save(path)
    assert network_refusal(path) == (
        f"{path}: it is for another network than the hardware's: n_output 23 instead of 24; "
        "time_steps 1 instead of 2"
    )


def test_file_that_is_no_network(network_refusal, tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.numpy.save({"a": np.zeros(3, np.int8)}))
    assert network_refusal(path) == f"{path}: it has no 'plosive' header: not a network file"


def test_network_without_labels_transcribes_nothing(refusal, network_file, tmp_path):
    wav = tmp_path / "speech.wav"
    soundfile.write(wav, np.zeros(16_000), 16_000)
    assert refusal("transcribe", wav, "--network", network_file) == (
        "the network has no labels in its header: it was not trained for phones"
    )


# --- recordings -------------------------------------------------------------------------------


def recording(path: Path, kind: str) -> str:
    """Write a bad recording; returns what must be said about it."""
    tone = 0.1 * np.sin(np.arange(16_000) / 10)
    need = "a 16 kHz mono WAV or FLAC file is needed"
    if kind == "missing":
        return f"no such file; {need}"
    if kind == "empty":
        path.write_bytes(b"")
        return f"the file is empty (0 bytes); {need}"
    if kind == "no audio":
        path.write_bytes(b"no audio at all")
        return f"cannot be read as audio (Format not recognised); {need}"
    if kind == "8 kHz":
        soundfile.write(path, tone, 8000)
        return (
            "the sample rate is 8000 Hz; it must be 16000 Hz "
            "(convert it: sox in.wav -r 16000 out.wav)"
        )
    if kind == "stereo":
        soundfile.write(path, np.stack([tone, tone], 1), 16_000)
        return "the file has 2 channels; it must be mono (pick or mix one: sox in.wav -c 1 out.wav)"
    if kind == "short":
        soundfile.write(path, tone[:399], 16_000)
        return "399 samples are shorter than one frame; at least 400 samples (25 ms) are needed"
    value, rule = {
        "float": (1.5, "floating-point samples must lie in [-1, 1]"),
        "nan": (np.nan, "samples must be finite"),
    }[kind]
    tone[77] = value
    soundfile.write(path, tone, 16_000, subtype="FLOAT")
    return f"sample 77 is {value!r}; {rule}"


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "no audio", "8 kHz", "stereo", "short", "float", "nan"]
)
def test_unusable_recording(kind, refusal, tmp_path):
    path = tmp_path / "speech.wav"
    problem = recording(path, kind)
    build = tmp_path / "models"
    network = ("--preset", "speech", "--network", DEFAULT_NETWORK)
    expected = f"{path}: {problem}"
    assert refusal("transcribe", path, "--build", build) == expected
    assert refusal("cycles", *network, "--audio", path) == expected
    assert refusal("simulate", *network, "--audio", path, "--build", build) == expected
    assert refusal("demo", "--audio", path, "--build", build) == expected
    assert not build.exists()


def test_recording_for_hardware_with_other_features(refusal, tmp_path):
    path = tmp_path / "speech.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    assert refusal("cycles", "--preset", "tiny", "--random", "1", "--audio", path) == (
        "the recording has 40 features a frame, the hardware takes n_input 8: "
        "choose a preset with n_input 40"
    )


def test_demo_without_data_says_how_to_get_it(refusal, tmp_path):
    line = refusal("demo", "--data", tmp_path / "none", "--build", tmp_path / "models")
    assert line.startswith(f"no sentence to play: data folder '{tmp_path / 'none'}' does not exist")
    assert line.endswith("; or give a recording with --audio")
    assert not (tmp_path / "models").exists()


# --- tools, disks and folders -----------------------------------------------------------------


@pytest.mark.parametrize("tool", ["g++", "make", "perl"])
def test_missing_tool_is_named_before_anything_is_built(tool, refusal, monkeypatch, tmp_path):
    present = tmp_path / "bin"
    present.mkdir()
    for name in {"g++", "make", "perl"} - {tool}:
        (present / name).symlink_to(toolchain.find(name).path)
    monkeypatch.setenv("PATH", str(present))
    toolchain.find.cache_clear()
    try:
        line = refusal(
            *("simulate", "--preset", "tiny", "--random", "1", "--frames", "2"),
            *("--build", tmp_path / "models"),
        )
    finally:
        toolchain.find.cache_clear()
    purpose = toolchain.TOOLS[tool].purpose
    assert line == (
        f"{tool} was not found: it is needed to {purpose}; install the Debian package {tool}"
    )
    assert not list((tmp_path / "models").glob("plosive-*/"))


def test_unwritable_output_folder(refusal, tmp_path):
    # A folder below a file: nobody can write there, not even root.
    (tmp_path / "file").write_text("kept")
    target = tmp_path / "file" / "out"
    assert refusal("generate", "--preset", "tiny", "-o", target) == (
        f"cannot write {target}: {tmp_path / 'file'} is not a folder"
    )
    build = tmp_path / "file" / "models"
    command = ("simulate", "--preset", "tiny", "--random", "1", "--frames", "2")
    assert refusal(*command, "--build", build) == (
        f"cannot write {build}: {tmp_path / 'file'} is not a folder"
    )
    assert refusal("generate", "--preset", "tiny", "-o", tmp_path / "file") == (
        f"cannot write {tmp_path / 'file'}: it exists and is not a folder"
    )
    assert (tmp_path / "file").read_text() == "kept"


def test_full_disk_leaves_nothing(refusal, monkeypatch, tmp_path):
    written = []

    def full(path, data):
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return len(data)

    monkeypatch.setattr("flows.verilog.generate.Path.write_bytes", full)
    target = tmp_path / "out"
    assert refusal("generate", "--preset", "tiny", "-o", target) == (
        f"cannot write {target}: No space left on device"
    )
    assert len(written) == 2
    assert os.listdir(tmp_path) == []


def test_full_standard_output_is_one_line():
    command = [sys.executable, "-m", "flows.cli", "cycles", "--preset", "tiny"]
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*command, "--densities", "published", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.returncode == 1
    assert result.stderr == "plosive: No space left on device\n"


def test_folder_with_other_files_is_not_replaced(refusal, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert refusal("generate", "--preset", "tiny", "-o", tmp_path) == (
        f"cannot write {tmp_path}: it holds 'thesis.tex', which this command did not make; "
        "name a new folder"
    )
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_current_folder_is_not_replaced(refusal, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert refusal("generate", "--preset", "tiny", "-o", ".") == (
        "cannot write .: it is the current folder; name another one"
    )


def test_baking_needs_a_network(refusal, tmp_path):
    assert refusal("generate", "--preset", "tiny", "--bake", "-o", tmp_path / "out") == (
        "--bake needs a network: its weights become constants; give --network"
    )
