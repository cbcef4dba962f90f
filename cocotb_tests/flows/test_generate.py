# SPDX-License-Identifier: Apache-2.0
"""The output of `plosive generate`: same bytes, a description that is true, a bench that bites."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.plain_bench import icarus_or_skip, lint_by_default, run_icarus, run_verilator
from flows.cli import app as cli
from flows.verilog import testbench
from flows.verilog.generate import DRIVER, generate
from flows.verilog.interface import memory_map
from flows.verilog.register_map import register_map
from golden_model import Network, memory_image, packed_rows
from golden_model.memory_image import tile_columns
from hw.config import PRESETS, preset
from hw.errors import PlosiveError

TINY = preset("tiny")
KINDS = ("loaded", "initialised", "baked")


@pytest.fixture(scope="module")
def network() -> Network:
    return Network.random(TINY, 5)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory, network) -> dict[str, Path]:
    """A folder for each way to bring the network into the hardware, with a bench."""
    root = tmp_path_factory.mktemp("generate")
    for kind in KINDS:
        held = None if kind == "loaded" else network
        generate(TINY, root / kind, network=held, bake=kind == "baked", bench=True)
    return {kind: root / kind for kind in KINDS}


def described(folder: Path) -> dict:
    return json.loads((folder / "plosive.json").read_text())


def verilog_ports(path: Path) -> dict[str, tuple[str, int]]:
    """Direction and width of the ports of the module that a file is named after."""
    text = path.read_text()
    top = text[text.index(f"\nmodule {path.stem}(") :]
    return {
        name: (direction, int(most or 0) + 1)
        for direction, most, name in re.findall(
            r"^  (input|output) (?:\[(\d+):0\] )?(\w+);",
            top[: top.index("endmodule")],
            re.MULTILINE,
        )
    }


# --- bytes ------------------------------------------------------------------------------------


def test_same_input_gives_the_same_bytes(outputs, network, tmp_path):
    path = tmp_path / "network.safetensors"
    network.save(path)
    target = tmp_path / "out"
    subprocess.run(
        [
            *(sys.executable, "-m", "flows.cli", "generate", "--preset", "tiny"),
            *("--network", path, "--testbench", "-o", target),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONHASHSEED": "77"},
    )
    first = outputs["initialised"]
    assert sorted(os.listdir(target)) == sorted(os.listdir(first))
    for name in os.listdir(first):
        assert (target / name).read_bytes() == (first / name).read_bytes(), name


def test_nothing_tells_where_it_was_made(outputs):
    for folder in outputs.values():
        for path in folder.iterdir():
            text = path.read_text()
            assert str(folder) not in text, path.name
            assert str(Path(cli.__file__).parents[2]) not in text, path.name


def test_earlier_output_is_replaced_whole(tmp_path, network, capsys):
    target = tmp_path / "out"
    generate(TINY, target, network=network)
    assert cli.run(["generate", "--preset", "tiny", "-o", str(target), "--json"]) == 0
    assert sorted(os.listdir(target)) == ["plosive.json", "plosive.v"]
    shown = capsys.readouterr()
    assert shown.err == ""
    assert json.loads(shown.out) == {
        "folder": str(target),
        "files": ["plosive.json", "plosive.v"],
        "configuration_hash": TINY.config_hash,
        "network_hash": TINY.network_hash,
    }


# --- plosive.json -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_description_lists_the_ports_of_the_verilog(kind, outputs):
    found = verilog_ports(outputs[kind] / "plosive.v")
    ports = described(outputs[kind])["ports"]
    assert {port["name"]: (port["direction"], port["width"]) for port in ports} == found
    assert any(name.startswith("weight") for name in found) == (kind != "baked")


@pytest.mark.parametrize("kind", KINDS)
def test_layouts_cover_every_bit_of_their_port_once(kind, outputs):
    description = described(outputs[kind])
    widths = {port["name"]: port["width"] for port in description["ports"]}
    layouts = {f"{name}__payload": s["payload"] for name, s in description["streams"].items()}
    layouts["counters"] = description["counters"]
    for port, fields in layouts.items():
        bits = [bit for field in fields for bit in range(field["lsb"], field["msb"] + 1)]
        assert sorted(bits) == list(range(widths[port])), port


def test_description_has_hashes_configuration_and_phase_table(outputs):
    description = described(outputs["initialised"])
    assert description["configuration"] == TINY.to_dict()
    assert description["configuration_hash"] == TINY.config_hash
    assert description["network_hash"] == TINY.network_hash
    assert description["network"]["baked"] is False
    assert [phase["phase"] for phase in description["phases"]] == list(
        range(len(description["phases"]))
    )
    kinds = [phase["kind"] for phase in description["phases"]]
    assert kinds[:4] == ["input", "load", "load", "recurrent"]
    assert set(description["tools"]) == {"plosive", "amaranth", "pyosys"}
    assert described(outputs["loaded"])["network"] is None


def test_every_module_of_a_memory_exists(outputs):
    text = (outputs["loaded"] / "plosive.v").read_text()
    for memory in described(outputs["loaded"])["memories"]:
        assert f"module \\{memory['module']} (" in text


def test_trace_fields_are_described(tmp_path):
    made = generate(TINY.replace(trace=True), tmp_path / "out").description
    bits = sum(field["width"] * int(np.prod(field["shape"], dtype=int)) for field in made["trace"])
    width = next(port["width"] for port in made["ports"] if port["name"] == "trace_state")
    assert bits == width


# --- the AXI top ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def axi(tmp_path_factory, network) -> Path:
    folder = tmp_path_factory.mktemp("axi") / "out"
    network.save(folder.parent / "network.safetensors")
    command = ["generate", "--preset", "tiny", "--top", "axi", "--best", "3", "-o", str(folder)]
    assert cli.run([*command, "--network", str(folder.parent / "network.safetensors")]) == 0
    return folder


def test_description_is_the_axi_tops(axi):
    description = described(axi)
    found = verilog_ports(axi / "plosive_axi.v")
    assert {p["name"]: (p["direction"], p["width"]) for p in description["ports"]} == found
    assert description["top"] == "plosive_axi"
    for prefix, stream in description["streams"].items():
        assert {f"{prefix}_{name}" for name in ("tvalid", "tready", "tlast")} <= set(found)
        for signal in ("tdata", "tuser"):
            bits = [b for field in stream[signal] for b in range(field["lsb"], field["msb"] + 1)]
            assert bits == list(range(found[f"{prefix}_{signal}"][1])), f"{prefix}_{signal}"
    control = description["control"]
    assert found[f"{control['prefix']}_awaddr"][1] == control["address_bits"]
    assert found[f"{control['prefix']}_wdata"][1] == control["data_bits"]
    text = (axi / "plosive_axi.v").read_text()
    for memory in description["memories"]:
        assert f"module \\{memory['module']} (" in text


def test_description_of_the_axi_top_has_the_register_map(axi):
    description = described(axi)
    assert description["register_map"] == json.loads(register_map("json"))
    constants = description["constants"]
    assert constants["ID"].to_bytes(4, "little") == b"PLSV"
    assert f"{constants['CONFIG_HASH_0']:08x}{constants['CONFIG_HASH_1']:08x}" == TINY.config_hash
    build = {"baked": 0, "streams": 1, "best": 3, "result_depth": 16}
    assert description["build"] == build
    assert constants["BUILD_HASH"] != 0


def test_axi_top_comes_with_its_driver_and_memory_contents(axi, outputs):
    sources = {path.name for path in DRIVER.glob("*.[ch]")}
    assert "plosive_registers.h" in sources
    hex_files = {
        name
        for name in os.listdir(outputs["initialised"])
        if name.endswith(".hex") and not name.startswith("plosive_tb")
    }
    assert set(os.listdir(axi)) == sources | hex_files | {"plosive.json", "plosive_axi.v"}
    for name in sources:
        assert (axi / name).read_bytes() == (DRIVER / name).read_bytes()
    for name in hex_files:
        assert (axi / name).read_bytes() == (outputs["initialised"] / name).read_bytes()


def test_one_top_replaces_the_other(tmp_path):
    target = tmp_path / "out"
    generate(TINY, target, top="axi")
    generate(TINY, target)
    assert sorted(os.listdir(target)) == ["plosive.json", "plosive.v"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best": 1}, "--best 1 is for --top axi: the core gives logits only"),
        ({"top": "axi", "best": 25}, "--best is 25: it must be 0 to 24"),
        (
            {"top": "axi", "bench": True},
            "--testbench is for --top core, not axi: its bench drives the core",
        ),
    ],
)
def test_options_of_the_other_top_are_refused(options, message, tmp_path):
    with pytest.raises(PlosiveError, match=f"^{re.escape(message)}$"):
        generate(TINY, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


# --- memory contents --------------------------------------------------------------------------


def test_memory_files_hold_the_memory_image(outputs, network):
    image = memory_image(TINY, network)
    for name, memory, bank in (
        ("input", "input", 0),
        ("hidden_0", "hidden", 0),
        ("hidden_1", "hidden", 1),
        ("readout_0", "readout", 0),
        ("readout_1", "readout", 1),
    ):
        lines = (outputs["initialised"] / f"memory_{name}.hex").read_text().split()
        assert [int(line, 16) for line in lines] == packed_rows(image[memory][bank], 4)
    assert not list(outputs["loaded"].glob("memory_*"))
    assert not list(outputs["baked"].glob("memory_*"))


@pytest.mark.parametrize("name", PRESETS)
def test_memory_map_says_where_every_weight_is(name):
    config = PRESETS[name]
    weights = Network.random(config, 2)
    image = memory_image(config, weights)
    seen = {
        memory: [np.zeros(len(b), bool) for b in banks]
        for memory, banks in image.items()
        if memory in ("input", "hidden", "readout")
    }
    for entry in memory_map(config):
        if entry["layer"] is None:
            matrix = weights.w_out
        else:
            matrix = getattr(weights.layers[entry["layer"]], entry["matrix"])
        for tile in entry["tiles"]:
            columns = tile_columns(config, matrix, tile, 0)
            for i in range(entry["inputs"]):
                # The rules are Python expressions in the terms that the entry defines.
                terms = {"tile": tile, "i": i, "base": entry["base"], "stride": entry["stride"]}
                bank, row = (eval(entry[what], {}, terms) for what in ("bank", "row"))
                assert (image[entry["memory"]][bank][row] == columns[i]).all()
                assert not seen[entry["memory"]][bank][row]
                seen[entry["memory"]][bank][row] = True
    for memory, banks in image.items():
        for bank in range(len(banks)) if memory in seen else ():
            assert not banks[bank][~seen[memory][bank]].any()


# --- the bench --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_bench_passes_in_icarus(kind, outputs):
    run = run_icarus(outputs[kind])
    assert run.passed, run.output
    assert re.search(
        r"^PASS: \d+ clocks, 30 beats and 8 counters compared, 0 mismatches$",
        run.output,
        re.MULTILINE,
    )


def broken(outputs: dict[str, Path], folder: Path, pattern: str, replacement: str) -> Path:
    """A copy of the loaded output with one thing of its Verilog changed."""
    target = folder / "broken"
    shutil.copytree(outputs["loaded"], target)
    verilog = target / "plosive.v"
    text, count = re.subn(pattern, replacement, verilog.read_text(), count=1)
    assert count == 1, f"nothing matches {pattern}"
    verilog.write_text(text)
    return target


@pytest.mark.parametrize(
    ("pattern", "replacement", "line"),
    [
        # One lane spikes where it should not.
        (r"(assign spike = )~ (excess\[)", r"\1\2", r"^clock \d+: beat \d+, lane \d: expected"),
        # The last beat of a frame is not marked.
        (
            r"(assign stream__payload\S* = \{ \\end  ?, )\\stream__payload.last ",
            r"\g<1>1'h0 ",
            r", flags \(end, last\): ",
        ),
        # The weight port never takes a request.
        (r"(assign requests__ready = )_[^;]*;", r"\g<1>1'h0;", r"^FAIL: request 0: "),
        # Features are never taken.
        (r"(assign stream__ready = )~ [^;]*;", r"\g<1>1'h0;", r": only 0 of 40 features were "),
    ],
    ids=["comparison", "flag", "weight port", "deaf"],
)
def test_bench_fails_on_a_broken_design(pattern, replacement, line, outputs, tmp_path):
    run = run_icarus(broken(outputs, tmp_path, pattern, replacement))
    assert not run.passed
    assert "PASS" not in run.output
    assert re.search(r"^FAIL: ", run.output, re.MULTILINE), run.output
    assert re.search(line, run.output, re.MULTILINE), run.output


def test_bench_fails_on_a_wrong_expectation(outputs, tmp_path):
    target = tmp_path / "wrong"
    shutil.copytree(outputs["initialised"], target)
    bench = target / testbench.BENCH
    text = bench.read_text()
    counters = re.findall(r'compare_counter\("(\w+)", (\d+),', text)
    assert len(counters) == 8
    name, value = counters[-1]
    bench.write_text(text.replace(f'"{name}", {value},', f'"{name}", {int(value) + 1},'))
    run = run_icarus(target)
    assert not run.passed
    assert f"counter {name}: expected {int(value) + 1}, got {value}\n" in run.output


def test_bench_passes_in_verilator(outputs):
    run = run_verilator(outputs["loaded"])
    assert run.passed, run.output
    assert "PASS" in run.output


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["initialised", "baked"])
def test_bench_of_a_held_network_passes_in_verilator(kind, outputs):
    run = run_verilator(outputs[kind])
    assert run.passed, run.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper-t2", "paper-t1", "speech"])
def test_bench_of_a_preset_passes_in_verilator(name, tmp_path):
    # Not in Icarus: it does a few clocks a second of 128 lanes.
    generate(PRESETS[name], tmp_path / "out", bench=True)
    run = run_verilator(tmp_path / "out", timeout_s=1800)
    assert run.passed, run.output


@pytest.mark.slow
def test_paper_t2_is_generated_in_time_and_memory(tmp_path):
    from flows.measure.bench import measured

    command = [sys.executable, "-m", "flows.cli", "generate", "--preset", "paper-t2"]
    seconds, megabytes = measured([*command, "-o", str(tmp_path / "out")])
    assert seconds < 30
    assert megabytes < 1500


def test_commands_for_the_bench_work_as_printed(tmp_path, capsys) -> None:
    compiler = icarus_or_skip()
    assert cli.run(["generate", "--preset", "tiny", "--testbench", "-o", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()[-1]
    assert printed.startswith("run the bench: cd ")
    path = f"{compiler.parent}:{os.environ['PATH']}"
    command = ["bash", "-c", printed.removeprefix("run the bench: ")]
    result = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1].startswith("PASS: ")


def test_verilator_takes_the_bench_with_the_options_of_its_head(outputs) -> None:
    """And with no rule turned off; `--lint-only` stands for `--binary`, which takes a minute."""
    folder = outputs["loaded"]
    words = re.search(r"\$ verilator --binary (.*) && ", (folder / testbench.BENCH).read_text())[1]
    sources = [folder / word if word.endswith(".v") else word for word in words.split()]
    assert sources[0] == "--timing"
    assert lint_by_default(*sources) == ""
