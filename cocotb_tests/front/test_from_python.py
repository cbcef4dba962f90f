# SPDX-License-Identifier: Apache-2.0
"""The package `plosive`: what its page teaches, its errors, and its equality with the commands."""

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import plosive
from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic.pdk import find_pdk
from flows.cli import app as cli
from flows.figures import Figures
from flows.tools import toolchain
from flows.tools.toolchain import ToolError
from golden_model import NetworkError
from hw.config import ConfigError

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "from-python.md").read_text()
MOST_LINES = 20


def layer(inputs: int = 4, neurons: int = 6, *, recurrent: bool = True) -> plosive.Layer:
    rng = np.random.default_rng(1)
    return plosive.Layer(
        w_in=rng.integers(-4, 5, (inputs, neurons)),
        w_rec=rng.integers(-2, 3, (neurons, neurons)) if recurrent else None,
        threshold=60,
        decay_shift=2,
        input_shift=5,
    )


def small(**fields: object) -> plosive.Network:
    """A network that simulates in seconds."""
    w_out = np.random.default_rng(2).integers(-8, 8, (6, 5))
    return plosive.network([layer()], w_out, **{"lanes": 4, **fields})


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_script_is_short() -> None:
    lines = blocks("python")[0].splitlines()
    assert len([line for line in lines if line]) <= MOST_LINES


def test_the_page_runs_as_written(tmp_path: Path, build_root: Path) -> None:
    """All blocks of Python in a row print what the page shows; without a PDK all but the power."""
    (tmp_path / "build").symlink_to(build_root)
    code, expected = "\n".join(blocks("python")), "".join(blocks("text"))
    try:
        find_pdk("ihp-sg13g2")
        toolchain.find("sta")
    except ToolError:
        code = re.sub(r"^print\(f\"\{plosive\.power.*\n", "", code, flags=re.MULTILINE)
        expected = re.sub(r"^.* uW in real time\n", "", expected, flags=re.MULTILINE)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == expected
    assert (tmp_path / "verilog" / "plosive.v").is_file()


def test_every_function_is_documented_and_typed() -> None:
    """The page names each function; its docstring has each parameter; figures are frozen."""
    for name in plosive.__all__:
        made = getattr(plosive, name)
        if not inspect.isfunction(made) or made.__module__.split(".")[0] != "plosive":
            continue
        assert f"plosive.{name}(" in PAGE, name
        hints = typing.get_type_hints(made)
        for parameter in inspect.signature(made).parameters:
            assert parameter in hints, f"{name}: {parameter} has no type"
            documented = re.search(rf"^ *(?:\w+, )*\**{parameter}(?:, \w+)*$", made.__doc__, re.M)
            assert documented, f"{name}: {parameter} is not in the docstring"
        if isinstance(hints["return"], type) and issubclass(hints["return"], Figures):
            assert dataclasses.fields(hints["return"])
            assert hints["return"].__dataclass_params__.frozen
    assert (PROJECT / "plosive" / "py.typed").is_file()


def test_the_version_is_that_of_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "plosive", "--version"],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (0, f"plosive {plosive.__version__}\n")


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_are_texts_or_paths(kind: type, tmp_path: Path, build_root: Path) -> None:
    network = small()
    file = kind(tmp_path / "small.safetensors")
    network.save(file)
    again = plosive.load(file)
    assert again.config == network.config
    made = plosive.generate(again, kind(tmp_path / "out"), testbench=True)
    assert {"plosive.v", "plosive_tb.v", "plosive.json"} <= set(made.files)
    features = plosive.random_features(again.config, 5, seed=1)
    run = plosive.simulate(again, features, build=kind(build_root), check="outputs")
    assert run.passed
    assert run.mismatches == 0
    area = plosive.area(again, pdk="generic", build=kind(build_root))
    assert area.total.cells > 1000


def test_figures_are_those_of_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = small(time_steps=1)
    network.save(tmp_path / "small.safetensors")
    features = plosive.random_features(network.config, 8, seed=3)
    command = f"cycles --network {tmp_path}/small.safetensors --frames 8 --seed 3 --json"
    assert cli.run(command.split()) == 0
    shown = json.loads(capsys.readouterr().out)
    assert plosive.cycles(network, features).to_dict() == shown


def test_a_configuration_alone_is_a_machine(tmp_path: Path) -> None:
    made = plosive.generate(plosive.preset("tiny"), tmp_path / "out")
    assert made.files == ["plosive.json", "plosive.v"]


def test_a_bias_is_part_of_the_machine() -> None:
    layer = plosive.Layer(np.ones((3, 2), int), None, 9, 1, bias=np.array([-72, 63]))
    network = plosive.network([layer, plosive.Layer(np.ones((2, 2), int), None, 9, 1)], [[1], [1]])
    assert network.config.bias == (True, False)
    assert network.layers[0].bias.tolist() == [-72, 63]


@pytest.mark.slow
def test_power_of_a_small_network(build_root: Path) -> None:
    pdk_or_skip("ihp-sg13g2")
    network = small()
    features = plosive.random_features(network.config, 30, seed=1)
    figures = plosive.power(network, features, build=build_root)
    assert figures.frames == 20
    assert 0 < figures.real_time.clock_stopped.total_uw < 100
    assert plosive.timing(network, build=build_root).fmax_mhz > 10


def test_speech_features_are_those_of_the_shipped_network() -> None:
    sentence = next((PROJECT / "flows/speech/sentence").rglob("*.flac"))
    network = plosive.load("speech")
    features = plosive.speech_features(sentence, network)
    assert features.dtype == np.int8
    assert features.shape[1] == network.config.n_input == 40


@pytest.mark.parametrize(
    ("lanes", "beat"), [(1, 2), (3, 2), (4, 8), (8, 16), (12, 8), (128, 16)], ids=str
)
def test_output_lanes_follow_the_lanes(lanes: int, beat: int) -> None:
    assert small(lanes=lanes).config.output_lanes == beat


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: plosive.network([], np.zeros((6, 5), int)),
            ConfigError,
            "n_input is 0: it must be an integer, 1 to 4096",
        ),
        (
            lambda: plosive.network([dataclasses.replace(layer(), w_in=[1, 2])], [[1]]),
            NetworkError,
            "layer 0: w_in has shape (2,): it must be a matrix, a row for each input",
        ),
        (
            lambda: plosive.network([layer()], [[1, 2], [3]]),
            NetworkError,
            "readout: w_out is not a matrix: its rows differ in length",
        ),
        (
            lambda: small(lanes=0),
            ConfigError,
            "lanes is 0: it must be an integer, 1 to 1024",
        ),
        (
            lambda: small(n_lanes=4),
            ConfigError,
            "n_lanes is not a field: the fields are ",
        ),
        (
            lambda: plosive.simulate(small(), np.zeros((3, 7), np.int8)),
            plosive.FeaturesError,
            "features have shape (3, 7): it must be [frames, 4] or [batch, frames, 4]",
        ),
        (
            lambda: plosive.cycles(small(), np.zeros((0, 4), np.int8)),
            plosive.FeaturesError,
            "features have shape (0, 4): it must be [frames, 4], one utterance of at least one "
            "frame",
        ),
        (
            lambda: plosive.power(small(), np.full((3, 4), 128)),
            plosive.FeaturesError,
            "features reach from 128 to 128: they must be -128 to 127",
        ),
    ],
)
def test_mistakes_are_one_line(make: object, error: type, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        make()
    assert isinstance(caught.value, plosive.PlosiveError)
    assert "\n" not in str(caught.value)
