# SPDX-License-Identifier: Apache-2.0
"""The command line as a process: whatever it is given, it ends soon, in one line, in little memory.

Each hostile input goes through a process of its own with 10 s of processor time and 2 GB of memory.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import soundfile
import typer

from flows.cli import app as cli
from flows.cli import process
from hw.config import preset
from model_zoo import zoo

TINY = preset("tiny")
COMMAND = [sys.executable, "-m", "flows.cli"]
SECONDS = 10
# Address space, of which numpy's and torch's libraries take much that they never touch.
BYTES = 2 << 30


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def plosive(*arguments: object, folder: Path, **options) -> subprocess.CompletedProcess:
    words = [os.fsencode(word) if isinstance(word, (str, Path)) else word for word in arguments]
    return subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **options.pop("env", {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,  # of a loaded machine
        preexec_fn=_limit,
        **options,
    )


def refused(*arguments: object, folder: Path, **options) -> str:
    """The one line of a command that must fail."""
    before = sorted(folder.rglob("*"))
    result = plosive(*arguments, folder=folder, **options)
    said = result.stderr.decode("utf-8")  # and nothing that is not
    assert result.returncode in (1, 2), (result.returncode, said)
    assert result.stdout == b""
    assert said.startswith("plosive: ")
    assert said.endswith("\n")
    line = said.removeprefix("plosive: ").removesuffix("\n")
    assert line.isprintable(), said
    assert len(line) < 2100
    assert sorted(folder.rglob("*")) == before, "something was left behind"
    return line


# --- files --------------------------------------------------------------------------------------


def network_with(path: Path, **header) -> Path:
    """The shipped network with other entries in its header."""
    shipped = zoo.path("speech")
    with safetensors.safe_open(shipped, framework="np") as file:
        content = json.loads(file.metadata()["plosive"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    content["header"].update(header)
    path.write_bytes(safetensors.numpy.save(tensors, metadata={"plosive": json.dumps(content)}))
    return path


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 40)


FILES = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
    "huge": _sparse,
    "deep": lambda path: path.write_text("[" * 1_000_000),
    "deep objects": lambda path: path.write_text('{"a":' * 1_000_000),
    "long number": lambda path: path.write_text("9" * 1_000_000),
    "not a number": lambda path: path.write_text('{"lanes": NaN}'),
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 100),
    "escapes": lambda path: path.write_text('{"\\u001b[31m\\u202e\\n": 1}'),
    "half a character": lambda path: path.write_text('{"\\ud800": 1}'),
    "empty": lambda path: path.write_bytes(b""),
}
TAKERS = {
    "--config": ["cycles", "--densities", "published", "--config", "x.json"],
    "--network": ["cycles", "--frames", "2", "--network", "x.json"],
    "--audio": ["cycles", "--preset", "speech", "--random", "1", "--audio", "x.json"],
    "recipe": ["train", "x.toml"],
    "transcribe": ["transcribe", "x.json"],
    "--nir": ["export", "-o", "y.safetensors", "--nir", "x.json"],
}


def _pairs(rows, columns):
    """All pairs; but for each row and column one, they are slow tests."""
    for number, row in enumerate(rows):
        for place, column in enumerate(columns):
            once = number % len(columns) == place % len(rows)
            yield pytest.param(row, column, marks=() if once else pytest.mark.slow)


@pytest.mark.parametrize(("kind", "taker"), [*_pairs(FILES, TAKERS)])
def test_a_hostile_file_is_refused_in_one_line_within_its_limits(taker, kind, tmp_path):
    name = next(word for word in TAKERS[taker] if word.startswith("x."))
    FILES[kind](tmp_path / name)
    line = refused(*TAKERS[taker], folder=tmp_path)
    assert name in line


@pytest.mark.parametrize(
    ("kind", "name"), [*_pairs(FILES, ["demo.json", "demo.npz", "area.json", "plosive.json"])]
)
def test_a_hostile_file_in_a_folder_is_refused(name, kind, tmp_path):
    build = tmp_path / "build"
    build.mkdir()
    if name != "demo.json":
        (build / "demo.json").write_text("{}")
    FILES[kind](build / name)
    if name == "plosive.json":
        (build / "plosive.v").write_text("")
        line = refused("generate", "--preset", "tiny", "-o", "build", folder=tmp_path)
        assert "which this command did not make" in line
    else:
        line = refused("report", "build", folder=tmp_path)
        assert "demo." in line


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("label_delay", 10**9),
        ("label_delay", -5),
        ("log_priors", [-1.0] * 182),
        ("log_stay", [-1.0] * 12),
        ("labels", ["aa.0"] * 183),
        ("labels", [f"zz.{n}" for n in range(183)]),
        ("phone_bigram", [[0.0]]),
        ("decoder", {"acoustic_weight": float("nan")}),
        ("decoder", {"acoustic_weight": 1e300}),
        ("decoder", {"acoustic_weight": 1.0}),
        ("scales", {"readout": "x"}),
        ("scales", {}),
        ("features", {"kind": "log_mel"}),
        ("features", []),
        ("provenance", [1]),
        ("licence", {"a": 1}),
    ],
)
def test_a_hostile_header_is_refused(entry, value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    network_with(tmp_path / "x.safetensors", **{entry: value})
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(16_000) / 10), 16_000)
    assert cli.run(["transcribe", "a.wav", "--network", "x.safetensors"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    line = shown.err.removeprefix("plosive: ").removesuffix("\n")
    assert line.isprintable()
    assert line.startswith(("x.safetensors: ", "the network"))
    assert entry.removesuffix("s") in line or "NaN" in line


# --- numbers ------------------------------------------------------------------------------------

FLOATS = {
    "--gain": ["transcribe", "x.wav"],
    "--snr": ["evaluate"],
    "--clock": ["power", "--preset", "tiny", "--random", "1"],
    "--utilisation": ["timing", "--preset", "tiny"],
    "--input-scale": ["export", "--nir", "x.nir", "-o", "y.safetensors"],
    "--dt": ["export", "--nir", "x.nir", "-o", "y.safetensors"],
    "--timeout": ["host"],
    "--seconds": ["host", "link"],
}


@pytest.mark.parametrize("option", FLOATS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "-1e300", "one", ""])
def test_an_option_that_is_no_number_of_its_range_is_refused(option, value, capsys):
    behind = ["probe"] if option == "--timeout" else []
    assert cli.run([*FLOATS[option], f"{option}={value}", *behind]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"plosive: Invalid value for '{option}': ")
    assert " is not a number" in said


def test_every_option_that_is_a_number_is_among_these():
    """A new one of `float` without a parser takes nan; one of `int` without a limit, a year."""
    commands = [("", typer.main.get_command(cli.app))]
    found = set()
    for path, command in commands:
        for name, inner in getattr(command, "commands", {}).items():
            commands.append((f"{path} {name}", inner))
        for parameter in command.params:
            kind = parameter.type_descriptor.annotation
            parser = parameter.type_descriptor.parameter_info.parser
            if kind in (float, list[float]):
                assert parser is not None, (path, parameter.name)
                found.add(parameter.opts[0])
            elif kind in (int, list[int]) and parameter.name != "best":
                assert parameter.max is not None, (path, parameter.name)
    assert found == set(FLOATS)


# --- streams, signals and names -----------------------------------------------------------------


def test_closed_standard_output_is_said():
    command = [*COMMAND, "cycles", "--preset", "tiny", "--densities", "published"]
    for closing, status in ((">&-", 1), ("<&-", 0), (">/dev/full", 1)):
        result = subprocess.run(
            ["bash", "-c", f'exec "$@" {closing}', "bash", *command], capture_output=True
        )
        assert result.returncode == status, closing
        lines = result.stderr.decode().splitlines()
        assert len(lines) == status, lines
        assert all(line.startswith("plosive: ") for line in lines)
    silent = ["bash", "-c", 'exec "$@" 2>&-', "bash", *command, "--set", "lanes=0"]
    assert subprocess.run(silent, stdout=subprocess.PIPE).returncode == 1


def test_without_a_path_the_missing_tool_is_named(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    line = refused(
        *("simulate", "--preset", "tiny", "--random", "1", "--frames", "2", "--build", "../build"),
        folder=here,
        env={"PATH": ""},
    )
    assert line.startswith("g++ was not found: it is needed to compile the simulation model")


ODD_NAMES = [
    "a b",
    "a;b",
    "a#b",
    "a:b",
    "a'b",
    'a"b',
    "a$b",
    "a\nb",
    "a\x1b[31mb",
    "-a",
    "é",
    "[red]",
]
ODD_NAMES += ["%s", "a\\b", "\u202e", "*", "`x`", "$(x)", os.fsdecode(b"\xff\xfe")]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("a b", "a\x1b[31mb", "[red]") else pytest.mark.slow)
        for name in ODD_NAMES
    ],
)
def test_a_folder_may_have_any_name(name, tmp_path):
    result = plosive("generate", "--preset", "tiny", "-o", f"./{name}", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    shown = result.stdout.decode("utf-8")
    assert all(c.isprintable() or c == "\n" for c in shown), shown
    assert {"plosive.v", "plosive.json"} <= set(os.listdir(tmp_path / name))


def test_a_name_of_bytes_that_are_not_utf_8_is_named_in_one_line(tmp_path):
    name = os.fsdecode(b"\xff\xfe")
    line = refused("cycles", "--densities", "published", "--config", name, folder=tmp_path)
    assert line == "cannot read \\udcff\\udcfe: No such file or directory"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_of_any_name_is_named_in_one_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["cycles", "--densities", "published", "--config", f"./{name}"],
        ["cycles", "--frames", "2", "--network", f"./{name}.safetensors"],
        ["transcribe", f"./{name}"],
        ["report", f"./{name}"],
        ["train", f"./{name}.toml"],
        ["cycles", "--densities", "published", "--preset", f"x{name}"],
        ["cycles", "--preset", "tiny", "--set", f"x{name}"],
    ):
        assert cli.run(arguments) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("plosive: ")
        assert shown.err.removesuffix("\n").isprintable(), arguments


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_command_its_children_and_its_files(number, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = signal.signal(number, signal.SIG_DFL)  # nohup and shells hand on that it is ignored
    started = subprocess.Popen(
        [*COMMAND, "generate", "--preset", "paper-t2", "-o", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    signal.signal(number, before)
    deadline = time.monotonic() + 200
    while not (children := list(process._descendants(started.pid))):
        assert started.poll() is None, started.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started.send_signal(number)
    out, said = started.communicate(timeout=60)
    assert started.returncode == (130 if number == signal.SIGINT else 128 + number)
    assert out == b""
    expected = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    assert said.decode().strip() == f"plosive: {expected}"
    for child in children:
        while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not Path(f"/proc/{child}").exists()
    assert os.listdir(tmp_path) == ["scratch"]
    assert os.listdir(scratch) == []


# --- faults of the program ----------------------------------------------------------------------


def test_a_fault_is_one_line_a_file_and_a_status_of_its_own(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv(process.FAULTS_FOLDER, str(tmp_path))

    def wrong() -> None:
        raise KeyError("a\nb")

    assert process.status_of(wrong, ["generate", "-o", "a b"]) == 70
    shown = capsys.readouterr()
    assert shown.out == ""
    (log,) = tmp_path.iterdir()
    assert shown.err == (
        f"plosive: a fault of the program: KeyError: 'a\\nb'; please report it with {log}\n"
    )
    text = log.read_text()
    assert "plosive generate -o 'a b'" in text
    assert 'raise KeyError("a\\nb")' in text
    monkeypatch.setenv(process.FAULTS_FOLDER, str(tmp_path / "none"))
    assert process.status_of(wrong, []) == 70
    assert capsys.readouterr().err == (
        "plosive: a fault of the program: KeyError: 'a\\nb'; its traceback cannot be kept: No such "
        "file or directory\n"
    )


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (MemoryError(), 1, "out of memory"),
        (MemoryError("37 GB"), 1, "out of memory: 37 GB"),
        (RecursionError("deep"), 70, "a fault of the program: RecursionError: deep; please"),
        (OSError(5, "Input/output error", b"\xff"), 1, "\\udcff: Input/output error"),
        (ValueError("x" * 9000), 70, f"a fault of the program: ValueError: {'x' * 1000}"),
    ],
)
def test_other_errors_are_one_line(error, status, line, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv(process.FAULTS_FOLDER, str(tmp_path))
    saved = os.dup(1)

    def wrong() -> None:
        raise error

    try:
        assert process.status_of(wrong, []) == status
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    assert capfd.readouterr().err.startswith(f"plosive: {line}")
