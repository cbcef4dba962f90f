# SPDX-License-Identifier: Apache-2.0
"""The driver and its commands against the simulated board: what works, and what every mistake says.

The board is the whole design below clock and pins in Verilator, behind a pseudo-terminal that
pyserial opens. Where a board is needed that does something wrong, a board in Python takes its place
(`cocotb_tests.serial.serial_reference`).
"""

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tty
from dataclasses import replace

import numpy as np
import pytest
import serial
import soundfile

from cocotb_tests.serial import serial_reference
from flows.cli import app as cli
from flows.host import Device, DeviceError, Link, LinkError, connect_device
from flows.host.device import best_of
from flows.host.link_quality import best_speed
from flows.host.ports import open_port
from flows.host.samples import samples_of
from flows.host.simulated import SIMULATED_CLOCK_HZ, SimulatedBoard, build_board
from flows.host.speech import BestPhones, LogitPhones, phones_of_best, stream
from flows.inputs import audio_features
from flows.simulation.figures import laws_counters
from flows.speech.transcribe import phones_of
from flows.tools.verilator import SimModel
from flows.verilog.contents import contents
from golden_model import Network, random_features
from golden_model.laws import cycle_laws
from hw.config import PRESETS, preset
from hw.errors import PlosiveError
from hw.shell.registers import CONSTANTS, MAGIC, constant_values
from hw.shell.shell import build_hash
from model_zoo import zoo
from model_zoo.speech.phones import PHONES

TINY = preset("tiny")
# As many features and outputs as the shipped network, and nothing else of its size.
SPEECH = TINY.replace(n_input=40, n_output=183)
REAL_BOARDS = [("sim:icebreaker", "speech-t1"), ("sim:ulx3s", "speech")]
# Where other work keeps the simulation waiting, an answer that is late is no error of the line.
PATIENCE = ("--timeout", "20")
COMMANDS = ["probe", "load", "selftest", "transcribe", "stream", "counters"]
COMMANDS += ["link", "bench", "simulate"]

# One worker builds the models and runs their boards.
pytestmark = pytest.mark.xdist_group("host")


@pytest.fixture(scope="session")
def model(build_root):
    return build_board(TINY, build_root)


@pytest.fixture
def board(model):
    with SimulatedBoard(model) as running:
        yield running


@pytest.fixture
def device(board):
    with _connected(board) as (link, _):
        yield Device(link)


@pytest.fixture(scope="session")
def speech_model(build_root):
    return build_board(SPEECH, build_root)


@pytest.fixture
def speech_board(speech_model):
    with SimulatedBoard(speech_model) as running:
        yield running


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """A file with a random network that says it is the shipped one."""
    drawn = Network.random(SPEECH, 3)
    header = Network.load(zoo.path("speech")).header
    path = tmp_path_factory.mktemp("speech") / "speech.safetensors"
    Network(SPEECH, drawn.layers, drawn.w_out, header).save(path)
    return path


@pytest.fixture
def voice(tmp_path):
    """Half a second of something like a voice."""
    t = np.arange(8000) / 16_000
    tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    path = tmp_path / "voice.wav"
    soundfile.write(path, 0.05 * tone * np.sin(2 * np.pi * 4 * t), 16_000)
    return path


@pytest.fixture
def figures(capsys):
    """Runs `plosive host` with --json; its standard output must be JSON and nothing else."""

    def run(port: str, *arguments: object, status: int = 0) -> dict:
        words = ["host", "--port", port, *PATIENCE, *map(str, arguments), "--json"]
        assert cli.run(words) == status
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def refused(capsys):
    """Runs `plosive host`; it must end with one line, which is returned."""

    def run(*arguments: object) -> str:
        assert cli.run(["host", *map(str, arguments)]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        return line.removeprefix("plosive: ")

    return run


class _connected:
    """A link to a simulated board at 3 Mbaud; the port is closed at the end."""

    def __init__(self, board, *, baud: int = SIMULATED_CLOCK_HZ // 4, timeout_s: float = 20.0):
        self.port = open_port(board.terminal)
        self.link = Link(self.port, timeout_s=timeout_s)
        self.link.connect(baud)

    def __enter__(self):
        return self.link, self.port

    def __exit__(self, *_):
        self.port.close()


class Adapter:
    """A pseudo-terminal with a function of the bytes that come, in place of a board."""

    def __init__(self, answer):
        self._inner, self._outer = os.openpty()
        tty.setraw(self._outer)
        self.terminal = os.ttyname(self._outer)
        self._answer = answer
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while data := self._read():
            if back := self._answer(data):
                os.write(self._inner, back)

    def _read(self):
        try:
            return os.read(self._inner, 4096)
        except OSError:  # closed at the other end
            return b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._outer)
        self._thread.join(5)
        os.close(self._inner)


def _registers(words: dict[str, int]) -> Adapter:
    """A board in Python that has constant registers and nothing else."""
    values = {entry.offset: words.get(entry.name, 0) for entry in CONSTANTS}
    hello = (1 | 126 << 8 | 16 << 16 | 20 << 24, SIMULATED_CLOCK_HZ)
    reference = serial_reference.Board(values.get, lambda *_: False, hello)
    left = b""

    def answer(data: bytes) -> bytes:
        nonlocal left
        left += data
        whole, end, left = left.rpartition(b"\xc0")
        packets = serial_reference.unframe(whole + end)
        return b"".join(filter(None, map(reference.take, packets)))

    adapter = Adapter(answer)
    adapter.board = reference
    return adapter


def _words(**changes: int) -> dict[str, int]:
    words = constant_values(TINY, baked=False, streams=False, best=1, result_depth=16, build_hash=0)
    return words | changes


# ---- what works ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_examples(command, capsys):
    assert cli.run(["host", command, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert len(re.findall(rf"plosive host .*{command}", shown.out)) >= 3


def test_probe_shows_the_configuration_that_was_built(board, figures):
    shown = figures(board.terminal, "probe", "--expect", "tiny")
    assert shown["configuration"] == TINY.to_dict()
    assert shown["configuration_hash"] == TINY.config_hash
    assert shown["network_hash"] == TINY.network_hash
    assert (shown["build_hash"], shown["baked"], shown["best"]) == ("00000000", False, 1)
    assert shown["line"]["clock_hz"] == SIMULATED_CLOCK_HZ
    assert shown["line"]["baud"] == 1_000_000
    assert shown["status"]["weights_ready"] == 1
    assert shown["errors"] == []


def test_a_network_is_loaded_and_read_back(board, figures, tmp_path):
    path = tmp_path / "net.safetensors"
    Network.random(TINY, 5).save(path)
    shown = figures(board.terminal, "load", path)
    rows = contents(TINY, Network.random(TINY, 5)).rows
    words = sum(len(bank) for banks in rows.values() for bank in banks) + 4 * TINY.lanes + 2
    assert shown["words"] == words
    with _connected(board) as (link, _):
        device = Device(link)
        assert device.holds(Network.random(TINY, 5))
        assert not device.holds(Network.random(TINY, 6))
        assert not device.prepare(Network.random(TINY, 5))
        assert device.prepare(Network.random(TINY, 6))
        assert device.holds(Network.random(TINY, 6))


@pytest.mark.parametrize("frames", [1, 2, 19])
def test_logits_and_best_classes_equal_the_golden_model(device, frames, seed):
    network = Network.random(TINY, seed)
    device.load(network)
    for utterance in range(2):  # the second starts from a clean state
        features = random_features(TINY, frames, seed + utterance)
        logits = network.run(features).logits
        assert np.array_equal(device.run(features), logits)
        assert np.array_equal(device.best(features), best_of(logits, 1))


def test_best_of_takes_the_lower_class_of_equal_ones():
    logits = np.array([[3, 7, 7, -1], [-5, -9, -5, -5]], np.int32)
    assert best_of(logits, 2).tolist() == [[[1, 7], [2, 7]], [[0, -5], [2, -5]]]


def test_a_network_with_fewer_outputs_runs_on_the_first_ones(device, seed):
    network = Network.random(TINY.replace(n_output=9), seed)
    device.load(network)
    features = random_features(TINY, 6, seed)
    logits = device.run(features)
    assert np.array_equal(logits[:, :9], network.run(features).logits)
    assert not logits[:, 9:].any()


def test_counters_are_those_of_the_laws(device, seed):
    network = Network.random(TINY, seed)
    device.load(network)
    features = random_features(TINY, 7, seed)
    device.run(features)
    counted = device.counters()
    laws = cycle_laws(TINY, features, network.run(features).spikes)
    expected = laws_counters(laws, TINY)
    # How long the machine waits for its results to be taken is the line's affair.
    assert counted["stalls"] >= expected["stalls"]
    assert counted.pop("cycles") - counted.pop("stalls") == (
        expected.pop("cycles") - expected.pop("stalls")
    )
    assert counted == expected
    device.clear_counters()
    assert not any(device.counters().values())


def test_selftest_passes(board, figures):
    shown = figures(board.terminal, "selftest", "--networks", 2, "--frames", 5)
    assert shown["passed"]
    assert shown["values_compared"] == 2 * 5 * (TINY.n_output + 2)
    assert shown["first_difference"] is None


@pytest.mark.parametrize("region", ["hidden_0", "readout_1", "threshold"])
def test_selftest_fails_when_one_weight_is_wrong(board, region, monkeypatch, capsys):
    load = Device.load

    def spoiled(self, network, *more):
        done = load(self, network, *more)
        self._select(region)
        (word,) = self.link.read_fixed(_weight_data(), 1)
        self._select(region)
        self.link.write_fixed(_weight_data(), [1 if region == "threshold" else word ^ 0x77777777])
        return done

    monkeypatch.setattr(Device, "load", spoiled)
    assert cli.run(["host", "--port", board.terminal, *PATIENCE, "selftest", "--json"]) == 1
    captured = capsys.readouterr()
    assert not json.loads(captured.out)["passed"]
    assert "the board computes something else: network " in captured.err


def _weight_data() -> int:
    from hw.shell.registers import register

    return register("WEIGHT_DATA").offset


def test_a_memory_that_does_not_hold_is_noticed_when_loading(device, monkeypatch):
    write = device.link.write_fixed
    spoiled = iter([True])

    def forgetful(address, words):
        if address == _weight_data() and len(words) > 20 and next(spoiled, False):
            words = [*words[:9], words[9] ^ 0x100, *words[10:]]
        return write(address, words)

    monkeypatch.setattr(device.link, "write_fixed", forgetful)
    with pytest.raises(DeviceError) as raised:
        device.load(Network.random(TINY, 1))
    assert re.search(
        r"hidden_0, row 9, word 0: read 0x[0-9a-f]+, not 0x[0-9a-f]+: the board's memory does not "
        r"hold the network$",
        str(raised.value),
    )


def test_loopback_finds_the_fastest_speed(board, figures):
    shown = figures(board.terminal, "link", "--seconds", 0.1, "--speed", 3_000_000)
    assert [entry["baud"] for entry in shown["speeds"]] == [115_200, 3_000_000]
    assert all(entry["packets"] and entry["errors"] == 0 for entry in shown["speeds"])
    assert shown["best_baud"] == 3_000_000


@pytest.mark.slow  # its time-outs are real time: a loaded machine misses them
def test_loopback_leaves_a_speed_that_the_cable_does_not_carry(board, seed):
    with _connected(board, baud=115_200, timeout_s=0.3) as (link, port):
        link.port = BadCable(port, seed, above=1_500_000, one_in=20)
        best, qualities = best_speed(link, (1_500_000, 3_000_000), 0.1)
        carried = {quality.baud: quality.carried for quality in qualities}
        assert carried == {115_200: True, 1_500_000: True, 3_000_000: False}
        assert best == link.baud == 1_500_000


def test_a_bad_cable_costs_time_and_no_value(board, seed):
    with _connected(board, timeout_s=0.2) as (link, port):
        link.port = BadCable(port, seed, above=0, one_in=1500)
        device = Device(link)
        network = Network.random(TINY, seed)
        device.load(network)
        features = random_features(TINY, 12, seed)
        assert np.array_equal(device.run(features), network.run(features).logits)
        assert link.statistics.retries > 0


class BadCable:
    """A port that flips a bit of one byte in so many, both ways, above a speed."""

    def __init__(self, port, seed: int, *, above: int, one_in: int):
        vars(self).update(_port=port, _rng=random.Random(seed), _above=above, _one_in=one_in)

    def __getattr__(self, name):
        return getattr(self._port, name)

    def __setattr__(self, name, value):
        setattr(self._port, name, value)

    def _spoil(self, data: bytes) -> bytes:
        if self._port.baudrate <= self._above:
            return data
        flips = (
            1 << self._rng.randrange(8) if self._rng.randrange(self._one_in) == 0 else 0
            for _ in data
        )
        return bytes(byte ^ flip for byte, flip in zip(data, flips, strict=True))

    def write(self, data):
        return self._port.write(self._spoil(data))

    def read(self, size):
        return self._spoil(self._port.read(size))


# ---- speech ----------------------------------------------------------------------------------


def test_transcription_equals_the_golden_model(speech_board, speech, voice, figures):
    arguments = ("transcribe", voice, "--network", speech, "--check")
    shown = figures(speech_board.terminal, *arguments)
    network = Network.load(speech)
    features = audio_features(voice, network.header)
    assert shown["network_loaded"]
    assert shown["values_compared"] == len(features) * 183
    heard = phones_of(network.run(features).logits, network)
    assert shown["phones"] == [phone.to_dict() for phone in heard]
    again = figures(speech_board.terminal, *arguments, "--best")
    assert not again["network_loaded"]
    assert again["values_compared"] == len(features) * 2
    assert again["phones"]


def test_transcription_that_differs_is_an_error(speech_board, speech, voice, refused, monkeypatch):
    run = Device.run

    def wrong(self, *arguments):
        logits = run(self, *arguments)
        logits[3, 100] += 1
        return logits

    monkeypatch.setattr(Device, "run", wrong)
    arguments = ("transcribe", voice, "--network", speech, "--check")
    line = refused("--port", speech_board.terminal, *PATIENCE, *arguments)
    assert re.search(
        r"the board differs from the golden model in 1 of \d,\d+ values: at frame 3, place \(100,\)"
        r", it is -?\d+, not -?\d+$",
        line,
    )


@pytest.mark.parametrize("best", [False, True])
def test_a_stream_gives_the_phones_that_its_results_have(speech_board, speech, voice, best):
    network = Network.load(speech)
    samples, _ = soundfile.read(voice, dtype="float32")
    chunks = [samples[:100], samples[100:3000], samples[3000:3001], samples[3001:]]
    ended = []
    with _connected(speech_board) as (link, _):
        device = Device(link)
        device.prepare(network)
        phones = list(stream(device, network, chunks, best=best, done=ended.append))
    logits = network.run(audio_features(voice, network.header)).logits
    if best:
        expected = phones_of_best(best_of(logits, 1), network)
    else:
        tracker = LogitPhones(network)
        expected = [*tracker.add(logits), *tracker.finish()]
    assert phones == expected
    (heard,) = ended
    assert heard.frames == len(logits)


def test_raw_samples_of_standard_input_become_phones(speech_board, speech, voice):
    samples, _ = soundfile.read(voice, dtype="int16")
    command = [
        *(sys.executable, "-m", "flows.cli", "host"),
        *(
            "--port",
            speech_board.terminal,
            *PATIENCE,
            "stream",
            "--network",
            str(speech),
            "--stdin",
            "--json",
        ),
    ]
    done = subprocess.run(command, input=samples.tobytes(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    *phones, figures = map(json.loads, done.stdout.splitlines())
    assert all(phone["start"] < phone["end"] for phone in phones)
    assert figures["frames"] == len(audio_features(voice, Network.load(speech).header))


@pytest.mark.parametrize("sound", ["microphone", "none"])
def test_the_microphone_is_heard_until_ctrl_c(speech_board, speech, voice, tmp_path, sound):
    samples, _ = soundfile.read(voice, dtype="int16")
    raw = tmp_path / "samples.raw"
    raw.write_bytes(samples.tobytes())
    recorder = tmp_path / "arecord"
    recorder.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo "arecord: version 1.2.8" && exit\n'
        "yes overrun | head -c 200000 >&2\n"  # more than a pipe holds
        f"{f'cat {raw}; exec sleep 60' if sound == 'microphone' else 'echo no card >&2; exit 1'}\n"
    )
    recorder.chmod(0o755)
    command = [
        *(sys.executable, "-m", "flows.cli", "host"),
        *("--port", speech_board.terminal, *PATIENCE, "stream", "--network", str(speech)),
    ]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as listening:
        if sound == "none":
            assert listening.wait(60) == 1
            lines = listening.stderr.read().splitlines()
            assert lines[-1] == "plosive: the microphone: arecord ended: no card"
            return
        while "listening" not in listening.stderr.readline():
            assert listening.poll() is None
        start = speech_board.clocks
        while speech_board.clocks < start + 50_000:  # frames are on their way
            assert listening.poll() is None
            time.sleep(0.01)
        listening.send_signal(signal.SIGINT)
        assert listening.wait(60) == 0
        phones = listening.stdout.read().split()
        assert phones
        assert set(phones) <= set(PHONES)
        assert re.search(r"\d+ frames; the line carries", listening.stderr.read())


def test_phones_as_they_come_are_those_of_the_whole_recording(voice):
    network = Network.load(zoo.path("speech"))
    logits = network.run(audio_features(voice, network.header)).logits
    tracker = LogitPhones(network)
    phones = [phone for row in logits for phone in tracker.add([row])] + tracker.finish()
    whole = phones_of(logits, network)
    assert [phone.phone for phone in phones] == [phone.phone for phone in whole]
    assert [phone.end for phone in phones] == pytest.approx([phone.end for phone in whole])


def test_best_classes_become_phones_when_they_last():
    network = Network.load(zoo.path("speech"))
    delay = network.header["label_delay"]
    labels = network.header["labels"]

    def frames(*runs: tuple[str, int]) -> np.ndarray:
        classes = [labels.index(f"{phone}.1") for phone, count in runs for _ in range(count)]
        return np.array([[[c, 0]] for c in [0] * delay + classes])

    phones = phones_of_best(frames(("h#", 9), ("s", 2), ("h#", 1), ("iy", 5), ("s", 3)), network)
    assert [(phone.phone, round(100 * phone.start)) for phone in phones] == [
        ("h#", 1),
        ("iy", 13),
        ("s", 18),
    ]
    assert round(100 * phones[-1].end) == 21


def test_a_readout_of_every_second_frame_stands_for_two():
    often = Network.load(zoo.path("speech"))
    config = often.config.replace(readout_every=2)
    rare = Network(config, often.layers, often.w_out, often.header)
    x = random_features(config, 60, 1)
    read_out = rare.run(x).logits
    for make, rows in ((LogitPhones, read_out), (BestPhones, best_of(read_out, 1))):
        ours, theirs = make(rare), make(often)
        found = [phone for row in rows for phone in ours.add([row])] + ours.finish()
        wanted = theirs.add(np.repeat(rows, 2, axis=0)) + theirs.finish()
        assert [(p.phone, p.start, p.end) for p in found] == [
            (p.phone, p.start, p.end) for p in wanted
        ]


def test_classes_keep_up_with_real_time_on_the_slowest_line(build_root, figures, monkeypatch):
    monkeypatch.setitem(PRESETS, "small speech", SPEECH)
    simulated = ("sim:small speech", "--build", build_root, "bench")
    (slow,) = figures(*simulated, "--best", "--speed", 115_200, "--frames", 24)["throughput"]
    assert (slow["baud"], slow["values_a_frame"]) == (115_200, 2)
    assert slow["board_frames_per_s"] > 100
    both = figures(*simulated, "--frames", 4)["throughput"]
    assert [row["readout"] for row in both] == ["best", "logits"]
    assert [row["values_a_frame"] for row in both] == [2, 183]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("port", "network"), [("sim:icebreaker", "speech-t1"), ("sim:ulx3s", "speech")]
)
def test_a_real_sentence_equals_the_golden_model(port, network, data_dir, build_root, figures):
    sentence = sorted((data_dir / "kathleen").glob("*.flac"))[0]
    shown = figures(
        port, "--build", build_root, "transcribe", sentence, "--network", network, "--check"
    )
    assert shown["values_compared"] > 10_000
    assert len(shown["phones"]) > 20


def test_samples_of_a_pipe_are_whole_however_they_are_cut():
    values = np.arange(-500, 500, dtype="<i2")
    reader, writer = os.pipe()
    data = values.tobytes()
    for start, end in ((0, 1), (1, 7), (7, 1000), (1000, len(data))):
        os.write(writer, data[start:end])
        time.sleep(0.01)
    os.close(writer)
    got = np.concatenate(list(samples_of(reader)))
    os.close(reader)
    assert np.array_equal(got, values.astype(np.float32) / 32768)


# ---- ports -----------------------------------------------------------------------------------


def test_no_port(refused):
    assert refused("probe") == (
        "no --port is given: it is a serial port, as /dev/ttyUSB0, or sim:NAME, as sim:tiny"
    )


def test_a_port_that_does_not_exist(refused):
    line = refused("--port", "/dev/ttyUSB77", "probe")
    assert line.startswith("--port is /dev/ttyUSB77: no such file or directory; ")


def test_a_simulated_board_that_does_not_exist(refused):
    line = refused("--port", "sim:ulx4s", "probe")
    assert line.startswith("there is no board 'ulx4s' to simulate: there are ulx3s-85f, ")
    assert "preset" in refused("--port", "sim:ulx3s:huge", "probe")


def test_a_file_is_no_serial_port(refused, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert refused("--port", file, "probe").startswith(f"--port is {file}: it is no serial port")
    line = refused("--port", "/dev/null", "probe")
    assert line.startswith("--port is /dev/null: it does not open as a serial port")


def test_a_port_in_use(board, refused):
    with open_port(board.terminal):
        assert refused("--port", board.terminal, "probe") == (
            f"--port is {board.terminal}: another program is using it"
        )


def test_adapters_are_asked_to_pass_each_answer_on_at_once(board, monkeypatch):
    asked = []
    monkeypatch.setattr(
        serial.Serial, "set_low_latency_mode", lambda port, on: asked.append((port.name, on))
    )
    open_port(board.terminal).close()
    assert asked == [(board.terminal, True)]


def test_a_port_without_permission(board, refused, monkeypatch):
    def denied(*_arguments, **_options):
        raise serial.SerialException(errno.EACCES, "could not open port: Permission denied")

    monkeypatch.setattr(serial, "Serial", denied)
    assert refused("--port", board.terminal, "probe") == (
        f"--port is {board.terminal}: you may not use it; join the group that owns it (often "
        "dialout)"
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda _: b"", "no answer: is the board powered, programmed with a Plosive bitstream"),
        (lambda data: data, "the port returns what is sent: its receive and transmit lines are"),
        (lambda _: b"login: ", "bytes come, but no packet: this is another device, or another"),
        (lambda _: b"\xc0abcdefgh\xc0", "no answer that can be read ("),
    ],
    ids=["silence", "echo", "another device", "noise"],
)
def test_nobody_answers(answer, message, refused):
    with Adapter(answer) as adapter:
        line = refused("--port", adapter.terminal, "--timeout", 0.05, "probe")
        assert line.startswith(f"{adapter.terminal}: {message}")


def test_a_speed_that_the_board_cannot_do(board, refused):
    assert refused("--port", board.terminal, "--baud", 4_000_000, "probe") == (
        "--baud is 4000000: the board's clock of 12 MHz allows 3000000 at most"
    )


# ---- boards ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ID": 0x12345678}, f"register ID is 0x12345678, not {MAGIC:#010x}: this is no Plosive"),
        ({"VERSION": 9 << 16}, "the bitstream has version 9 of the register map, this program"),
        ({"CONFIG_HASH_1": 7}, "the bitstream says configuration bd2e760600000007, its registers"),
        ({"MACHINE": 0}, "the bitstream's configuration is wrong: "),
    ],
    ids=["no Plosive", "version", "hash", "configuration"],
)
def test_wrong_bitstreams(changes, message, refused):
    with _registers(_words(**changes)) as adapter:
        line = refused("--port", adapter.terminal, "--baud", 115_200, "probe")
        assert line.startswith(f"{adapter.terminal}: {message}")


def test_a_bridge_without_registers_is_no_plosive(refused, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "CONSTANTS", ())
    with _registers({}) as adapter:
        line = refused("--port", adapter.terminal, "--baud", 115_200, "probe")
    assert line.endswith("the board refuses to read address 0x0000: this is no Plosive bitstream")


def test_another_board_than_expected(board, refused):
    line = refused("--port", board.terminal, "probe", "--expect", "paper-t1")
    assert ": wrong bitstream: configuration bd2e7606752e7730, not " in line
    assert "lanes 8 (not 128)" in line


def test_a_network_for_another_board(board, refused):
    line = refused("--port", board.terminal, "load", "speech")
    assert ": wrong bitstream: it is for networks of hash " in line
    assert "n_input 40 instead of 8" in line


def test_truncated_and_missing_network_files(board, refused, tmp_path):
    path = tmp_path / "net.safetensors"
    Network.random(TINY, 1).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert refused("--port", board.terminal, "load", path).startswith(f"{path}: ")
    missing = tmp_path / "missing.safetensors"
    assert refused("--port", board.terminal, "load", missing) == f"{missing}: there is no such file"


def test_constant_weights_cannot_be_loaded(device):
    network = Network.random(TINY, 1)
    held = build_hash(contents(TINY, network), bake=True, best=1)
    device.identity = replace(device.identity, baked=True, build_hash=held)
    with pytest.raises(DeviceError, match="weights are constants: nothing can be loaded"):
        device.load(network)
    assert device.holds(network)
    assert not device.prepare(network)
    with pytest.raises(DeviceError, match="weights are constants, and of another network"):
        device.prepare(Network.random(TINY, 2))


def test_a_board_that_does_not_start_leaves_nothing_open(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = SimModel(tmp_path / "nothing", "board", None)
    before = sorted(os.listdir("/proc/self/fd"))
    message = re.escape(f"{model.executable} does not start: No such file or directory")
    with pytest.raises(PlosiveError, match=f"^{message}$"):
        SimulatedBoard(model)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == []


def test_the_cable_is_pulled_and_plugged_in_again(model, refused):
    with SimulatedBoard(model) as board:
        puller = threading.Timer(0.7, board.unplug)
        puller.start()
        line = refused("--port", board.terminal, "selftest", "--networks", 1000)
        puller.join()
        assert line.startswith(f"{board.terminal}: the connection was lost (")
        assert refused("--port", board.terminal, "probe").startswith(
            f"--port is {board.terminal}: no such file or directory"
        )
    with SimulatedBoard(model) as board, _connected(board) as (link, _):
        assert Device(link).selftest(networks=1, frames=2).passed


def test_a_board_that_loses_power_says_so():
    with _registers(_words()) as adapter, open_port(adapter.terminal) as port:
        link = Link(port)
        link.connect()
        device = Device(link)
        adapter.board.session = False
        with pytest.raises(LinkError, match="the board was reset or lost power in the middle"):
            device.read("STATUS")


def test_a_killed_host_leaves_a_board_that_answers(board):
    command = [
        *(sys.executable, "-m", "flows.cli", "host"),
        *("--port", board.terminal, "--baud", "115200", "selftest", "--networks", "1000"),
    ]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while board.clocks == 0 or board.leds == 0:
        time.sleep(0.05)
    start = board.clocks
    while board.clocks < start + 1_000_000:  # in the middle of something
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    with connect_device(board.terminal, timeout_s=5) as device:
        assert device.selftest(networks=1, frames=3).passed


def test_a_board_that_stops_answering_and_comes_back(board):
    with _connected(board) as (link, _):
        device = Device(link)
        link.timeout_s = 0.05
        os.kill(board.process_id, signal.SIGSTOP)
        with pytest.raises(LinkError, match="the board no longer answers"):
            device.status()
        os.kill(board.process_id, signal.SIGCONT)
        link.timeout_s = 1
        link.connect(patience_s=60)
        assert Device(link).identity == device.identity


def test_a_machine_that_hangs_is_no_endless_wait(device, monkeypatch):
    device.load(Network.random(TINY, 1))
    monkeypatch.setattr("flows.host.device._STALL_S", 0.3)
    device.begin()
    device._frames_in = 1  # as if a frame was given
    with pytest.raises(DeviceError, match=r"the machine gives no results \(STATUS: features_ready"):
        list(device.rest())


# ---- a board that stays ----------------------------------------------------------------------


@pytest.mark.usefixtures("model")
def test_a_simulated_board_serves_one_command_after_the_other(build_root, figures):
    command = [
        *(sys.executable, "-m", "flows.cli"),
        *("host", "--build", str(build_root), "simulate", "tiny"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        port = it.stdout.readline().strip()
        assert figures(port, "probe")["configuration_hash"] == TINY.config_hash
        assert figures(port, "selftest", "--networks", 1, "--frames", 3)["passed"]
        assert figures(port, "counters")["frames"] == 3
        it.send_signal(signal.SIGINT)
        assert it.wait(20) == 0
        assert re.search(r"unplugged after \d+\.\d+ s of its time", it.stderr.read())
    with pytest.raises(PlosiveError, match="no such file or directory"):
        open_port(port)
