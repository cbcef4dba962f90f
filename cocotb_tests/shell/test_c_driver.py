# SPDX-License-Identifier: Apache-2.0
"""The C driver, compiled without warnings, on the Verilated AXI top, against the golden model."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.shell.axi_bench import BENCH_ARGS, BENCH_TOP, bench_verilog
from cocotb_tests.shell.axi_host import best_elements, weight_rows
from flows.cli import app as cli
from flows.tools import verilator
from flows.verilog.generate import DRIVER
from flows.verilog.network_image import image_words, write_image
from golden_model import Network, NetworkError, cycle_laws, random_features
from hw.config import AcceleratorConfig, preset
from hw.core.counters import COUNTERS
from hw.errors import PlosiveError
from hw.shell.ip_top import IPTop

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = PROJECT / "cocotb_tests" / "shell" / "c"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
STRICT += ("-Wsign-conversion", "-Wstrict-prototypes", "-Wmissing-prototypes", "-O1")
COMPILERS = ("gcc", "clang")
BEST = 3

# By name: both widths of result elements, full and part words of features and results.
SHAPES = {
    "tiny": preset("tiny"),
    "odd": AcceleratorConfig(
        n_input=9,
        hidden=(5, 3),
        recurrent=(True, False),
        n_output=7,
        time_steps=1,
        lanes=9,
        output_lanes=3,
        acc_bits=20,
        membrane_bits=24,
        readout_every=3,
    ),
}
FRAMES = 8


def compiled(target: Path, *sources: Path, compiler: str = "gcc", options: tuple = ()) -> Path:
    """A program of the driver, the simulated bus and more, with every warning an error."""
    subprocess.run(
        [
            *(compiler, *STRICT, "-I", str(DRIVER), "-I", str(SOURCES), "-o", str(target)),
            *options,
            *map(str, (*sources, SOURCES / "simulated_bus.c", DRIVER / "plosive.c")),
        ],
        check=True,
    )
    return target


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return compiled(tmp_path_factory.mktemp("c") / "driver_test", SOURCES / "driver_test.c")


@pytest.fixture(scope="module")
def simulations(build_root, tmp_path_factory):
    """Simulation models of the AXI top that answer on pipes, by shape."""
    made = {}

    def get(shape: str) -> Path:
        if shape not in made:
            source = tmp_path_factory.mktemp("axi") / f"{BENCH_TOP}.v"
            source.write_text(bench_verilog(IPTop(SHAPES[shape], best=BEST)))
            server = SOURCES / "axi_server.cpp"
            made[shape] = verilator.build(
                [source], BENCH_TOP, build_root, extra_args=BENCH_ARGS, program=server
            ).executable
        return made[shape]

    return get


def on_simulation(simulation: Path, seed: int, *command: object) -> None:
    """Run a program whose standard input and output are the bus; both must end well."""
    with subprocess.Popen(
        [simulation, str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as hardware:
        try:
            program = subprocess.run(
                [str(part) for part in command],
                stdin=hardware.stdout,
                stdout=hardware.stdin,
                stderr=subprocess.PIPE,
                timeout=120,
                text=True,
            )
            hardware.stdin.close()
            errors = hardware.stderr.read().decode()
            hardware.wait(timeout=10)
        finally:
            hardware.kill()
    assert program.returncode == 0, program.stderr
    assert hardware.returncode == 0, errors


class Case:
    """A network on a shape, and what the driver's test program says about it."""

    def __init__(self, shape: str, seed: int, simulation: Path, program: Path, folder: Path):
        self.config = SHAPES[shape]
        self.network = Network.random(self.config, seed)
        self.features = random_features(self.config, FRAMES, seed)
        self.logits = self.network.run(self.features).logits
        self._run = simulation, seed, program
        self.folder = folder
        self.image = folder / "network.bin"
        write_image(self.config, self.network, self.image)
        (folder / "features").write_bytes(self.features.astype(np.int8).tobytes())

    def lines(self, scenario: str, *more: object) -> list[tuple[str, str]]:
        simulation, seed, program = self._run
        found = self.folder / "found"
        on_simulation(
            *(simulation, seed, program, found, scenario, self.image),
            *(self.folder / "features", FRAMES, *more),
        )
        lines = found.read_text().splitlines()
        assert lines.pop() == "text of no status: no status of this driver"
        return [tuple(line.split(": ", 1)) for line in lines]


@pytest.fixture
def case(seed, simulations, program, tmp_path):
    return lambda shape: Case(shape, seed, simulations(shape), program, tmp_path)


def numbers(values: list[str]) -> list[list[int]]:
    return [[int(value) for value in line.split()] for line in values]


# ---- the driver on the hardware --------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_lists_are_the_golden_models(shape, case):
    run = case(shape)
    config = run.config
    lines = run.lines("run")
    found = defaultdict(list)
    for name, value in lines:
        found[name].append(value)
    halves = [
        int(digest[part : part + 8], 16)
        for digest in (config.config_hash, config.network_hash)
        for part in (0, 8)
    ]
    element_bits = 16 if config.acc_bits <= 16 else 32
    sizes = [0, config.n_input, config.n_output, config.readout_every, BEST, element_bits, 0, 1]
    assert numbers(found["identity"]) == [[*halves, *sizes]]
    assert found["load"] == ["no error"]
    assert set(found["begin"]) == {"no error"}
    expected = run.logits.tolist()
    assert any(any(row) for row in expected)
    assert numbers(found["logits"]) == 2 * expected
    assert numbers(found["eager"]) == expected
    assert numbers(found["best"]) == best_elements(run.logits, BEST).tolist()
    # A host that takes too late is waited for; odd's results all find room.
    assert bool(found["blocked"]) == (shape == "tiny")
    laws = cycle_laws(config, run.features, run.network.run(run.features).spikes)
    counters = dict(zip(COUNTERS, numbers(found["counters"])[0], strict=True))
    assert counters["frames"] == 2 * FRAMES
    for name in ("input_rows", "hidden_rows", "readout_rows", "pe_operations", "skipped_rows"):
        assert counters[name] == 2 * int(getattr(laws, name).sum()), name
    assert counters["cycles"] - counters["stalls"] == 2 * int((laws.total - laws.stalls).sum())
    assert numbers(found["cleared"]) == [[0] * len(COUNTERS)]
    assert found["irq before"] == ["0 0"]
    assert found["irq"] == ["1 1"]
    assert found["irq after"] == ["0 0"]
    assert found["due"] == ["0"]
    assert found["streams"] == ["no error"]
    assert found["put"] == ["no error", "the machine does not answer in time"]
    # The reset before the streams has cleared them.
    assert found["errors"] == ["0"]


def test_what_does_not_fit_is_refused_before_anything_is_written(case):
    lines = case("tiny").lines("refusals")[2:]
    assert [line for line in lines if line[0] != "damage"] == [
        ("another ID", "no Plosive answers at this address"),
        ("another major version", "the hardware's register map is not the driver's"),
        ("a later minor version", "no error"),
        ("other hardware", "no error"),
        ("other hardware", "the image is for another configuration of the hardware"),
        ("constant weights", "no error"),
        ("constant weights", "the hardware's weights are constants: none can be loaded"),
        ("no streams", "no error"),
        ("no streams", "the hardware has no streams"),
        ("nothing", "this is no image of a network, or not all of it"),
        ("a part", "this is no image of a network, or not all of it"),
        ("writes", "0"),
        ("begin", "no error"),
        ("nothing due", "no frame that was given has a result left"),
        ("no best", "the hardware has no best-N list"),
    ]
    damage = [value for name, value in lines if name == "damage"]
    corrupt = "the image of the network is damaged: wrong checksum"
    assert damage[:3] == ["this is no image of a network, or not all of it"] * 3
    assert len(damage) > 10
    assert set(damage[3:]) == {corrupt}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wrong_word_is_found_by_reading_back(shape, case, rng):
    run = case(shape)
    places = [
        (region, index, word)
        for region, rows in weight_rows(run.config, run.network)
        for index, word in enumerate(word for row in rows for word in row)
    ]
    # Bits that the hardware has: lane 0 of a memory's word, the lowest of the others.
    for place in (0, len(places) - 1, *rng.integers(1, len(places) - 1, 3)):
        region, index, word = places[place]
        lines = run.lines("fault", place, 0)[2:]
        assert lines[:2] == [
            ("open", "no error"),
            ("load", "a word of the network reads back other than it was written"),
        ]
        assert lines[2] == ("place", f"{region} {index} {word} {word ^ 1}")


def test_results_of_another_length_are_seen(case):
    lines = case("tiny").lines("out of step")[2:]
    statuses = ["no error"] * 4 + ["a result is longer or shorter than the configuration says"]
    assert [value for _, value in lines] == statuses


@pytest.mark.parametrize("shape", SHAPES)
def test_a_result_is_taken_in_parts(shape, case):
    run = case(shape)
    found = dict(run.lines("impatience"))
    assert found["take"] == "no error"
    words = len(run.logits[0]) * (16 if run.config.acc_bits <= 16 else 32) / 32
    assert int(found["timeouts"]) >= words, "one in front of each word"
    assert numbers([found["logits"]]) == run.network.run(run.features[:1]).logits.tolist()


def test_a_refused_access_ends_the_program(simulations, tmp_path, seed):
    """The bench bites: what the driver never does is a bus error."""
    source = tmp_path / "wrong.c"
    source.write_text(
        '#include "simulated_bus.h"\nint main(void) { const plosive_bus bus = simulated_bus();\n'
        "return (int)bus.read(bus.context, PLOSIVE_MAP_SIZE); }\n"
    )
    program = compiled(tmp_path / "wrong", source)
    with pytest.raises(AssertionError, match="bus error: read of 0xd0"):
        on_simulation(simulations("tiny"), seed, program)


# ---- docs/host-interface.md ------------------------------------------------------------------

# Features from a file, and the classes of the document's `recognise` to a file.
EXAMPLE = """
#include <stdio.h>
#include "simulated_bus.h"
#include "example.h"
int main(int argc, char **argv)
{
    static int8_t features[4096];
    static int32_t classes[512];
    FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL;
    FILE *out = argc == 3 ? fopen(argv[2], "wb") : NULL;
    if (in == NULL || out == NULL) return 1;
    const uint32_t frames = (uint32_t)fread(features, N_INPUT, 512u, in);
    const plosive_status status = recognise(simulated_bus(), features, frames, classes);
    fwrite(classes, sizeof *classes, (frames + READOUT_EVERY - 1u) / READOUT_EVERY, out);
    fclose(in);
    return fclose(out) != 0 || status != PLOSIVE_OK;
}
"""


def test_example_of_the_document_recognises(simulations, seed, tmp_path, monkeypatch):
    """The commands and the C of the page, as they stand there, for the preset tiny."""
    page = (PROJECT / "docs/host-interface.md").read_text()
    config = SHAPES["tiny"]
    network = Network.random(config, seed)
    monkeypatch.chdir(tmp_path)
    network.save("speech.safetensors")
    commands = re.findall(r"^    plosive (\w+ -.*)$", page, re.MULTILINE)
    names = [command.split()[0] for command in commands]
    assert names == ["generate", "export", "registers", "registers"]
    for command in commands:
        assert cli.run(command.replace("--preset speech", "--preset tiny").split()) == 0
    code = re.search(r"```c\n(.*?)```", page, re.DOTALL)[1]
    assert f"#define BEST {BEST} " in code
    (tmp_path / "example.h").write_text(code)
    source = tmp_path / "main.c"
    source.write_text(EXAMPLE)
    sizes = (f"-DN_INPUT={config.n_input}u", f"-DREADOUT_EVERY={config.readout_every}u")
    program = compiled(tmp_path / "main", source, options=("-I", ".", *sizes))
    features = random_features(config, FRAMES, seed)
    (tmp_path / "features").write_bytes(features.astype(np.int8).tobytes())
    on_simulation(simulations("tiny"), seed, program, "features", "classes")
    classes = np.frombuffer((tmp_path / "classes").read_bytes(), "<i4")
    assert classes.tolist() == network.run(features).logits.argmax(axis=1).tolist()


# ---- the compiler ----------------------------------------------------------------------------


@pytest.mark.parametrize("compiler", COMPILERS)
def test_driver_compiles_without_warnings(compiler, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing: install Debian's package {compiler}")
    for options in ((), ("-O3", "-ffreestanding")):
        compiled(
            tmp_path / "a", SOURCES / "driver_test.c", compiler=compiler, options=options
        ).unlink()


def test_driver_needs_nothing(tmp_path):
    """No allocation, no input or output, no static data: only what compilers put in themselves."""
    for level in ("-O0", "-O2", "-Os"):
        target = tmp_path / "plosive.o"
        subprocess.run(
            ["gcc", *STRICT, level, "-c", "-o", str(target), str(DRIVER / "plosive.c")], check=True
        )
        symbols = subprocess.run(
            ["nm", str(target)], check=True, capture_output=True, text=True
        ).stdout
        needed = set(re.findall(r"^\s+U (\w+)$", symbols, re.MULTILINE))
        assert needed <= {"memcpy", "memset", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
        assert not re.search(r"^\w+ [bBdDC] ", symbols, re.MULTILINE), symbols


def test_header_is_for_cpp_too(tmp_path):
    source = tmp_path / "a.cpp"
    source.write_text('#include "plosive.h"\nint main() { return plosive_text(PLOSIVE_OK)[0]; }\n')
    subprocess.run(
        ["g++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", str(DRIVER), str(source)],
        check=True,
    )


# ---- the image -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_image_is_what_loads_a_network(shape):
    config = SHAPES[shape]
    network = Network.random(config, 3)
    words = image_words(config, network)
    content = b"".join(word.to_bytes(4, "little") for word in words)
    assert content[:4] == b"PLSN"
    assert words[1:3] == [1, len(words) - 4]
    assert words[3] == zlib.crc32(content[16:])
    assert f"{words[4]:08x}{words[5]:08x}" == config.config_hash
    rest = words[6:]
    for region, rows in weight_rows(config, network):
        flat = [word for row in rows for word in row]
        head, rest = rest[: 2 + len(flat)], rest[2 + len(flat) :]
        assert head == [region, len(flat), *flat]
    assert rest == []


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "network.safetensors"
    Network.random(preset("tiny"), 4).save(path)
    return path


def test_header_and_binary_hold_the_same_words(saved, tmp_path):
    for name in ("speech.h", "speech.bin"):
        command = ["export", "--network", str(saved), "-o", str(tmp_path / name)]
        assert cli.run(command) == 0
    source = tmp_path / "a.c"
    source.write_text(
        '#include <stdio.h>\n#include "speech.h"\n#include "speech.h"\n'
        "int main(void) { return fwrite(speech, 4u, SPEECH_WORDS, stdout) != SPEECH_WORDS; }\n"
    )
    subprocess.run(["gcc", *STRICT, "-o", str(tmp_path / "a"), str(source)], check=True)
    printed = subprocess.run([tmp_path / "a"], check=True, capture_output=True).stdout
    assert printed == (tmp_path / "speech.bin").read_bytes()
    assert len(printed) == 4 * len(image_words(preset("tiny"), Network.load(saved)))


def test_image_is_for_the_hardware_that_is_named(saved, tmp_path):
    target = tmp_path / "out"
    machine = preset("tiny").replace(lanes=4, output_lanes=2)
    options = ["--set", "lanes=4", "--set", "output_lanes=2"]
    assert cli.run(["generate", "--preset", "tiny", *options, "-o", str(target)]) == 0
    image = tmp_path / "a.bin"
    command = ["export", "--network", str(saved), "-o", str(image)]
    for hardware in (["--config", str(target / "plosive.json")], ["--preset", "tiny", *options]):
        assert cli.run([*command, *hardware]) == 0
        words = np.frombuffer(image.read_bytes(), "<u4").tolist()
        assert words == image_words(machine, Network.load(saved))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "2.h"), "-o 2.h: '2' is no name in C, and the array is named after it"),
        (
            ("-o", "a.nir", "--preset", "tiny"),
            "--preset and --config are for images: name the output *.bin or *.h",
        ),
        (("-o", "a.h", "--preset", "paper-t2"), "it is for another network than the hardware's"),
    ],
)
def test_images_that_cannot_be_are_refused(options, message, saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["export", "--network", str(saved), *options]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("[a2].*"))


def test_image_refuses_a_network_of_another_shape(tmp_path):
    network = Network.random(preset("tiny"), 1)
    with pytest.raises(NetworkError):
        write_image(SHAPES["odd"], network, tmp_path / "a.bin")
    with pytest.raises(PlosiveError, match="'a-b' is no name in C"):
        write_image(preset("tiny"), network, tmp_path / "a-b.h")


def test_licence_in_the_header_ends_no_comment(tmp_path):
    network = Network.random(preset("tiny"), 1)
    network.header["licence"] = "mine */ int x; /*"
    write_image(preset("tiny"), network, tmp_path / "a.h")
    text = (tmp_path / "a.h").read_text()
    assert "/* Licence: mine * / int x; / * */" in text
