# SPDX-License-Identifier: Apache-2.0
"""One register map: the table, what is generated from it, and what the hardware answers."""

from __future__ import annotations

import gc
import json
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cocotb_tests.runner import run_bench
from flows.cli.app import app
from flows.verilog.contents import contents
from flows.verilog.register_map import FORMATS, describe, register_map
from flows.verilog.writer import to_verilog
from golden_model import Network
from hw.config import (
    CHOICES,
    HIDDEN_WORK,
    INPUT_DIGITS,
    LIF_LANES,
    PRESETS,
    AcceleratorConfig,
    ConfigError,
)
from hw.core.counters import COUNTERS
from hw.core.weight_port import Region
from hw.shell.registers import (
    CONSTANTS,
    COUNTER_REGISTERS,
    REGISTERS,
    Access,
    config_of_constants,
    constant_values,
    feature_words,
    register,
)
from hw.shell.shell import Shell, build_hash

PROJECT = Path(__file__).resolve().parents[2]
GENERATED = {"markdown": "docs/register-map.md", "c": "flows/host/c/plosive_registers.h"}
QUICK_BUILD = ("--output-split", "0", "-CFLAGS", "-O0")

ODD = AcceleratorConfig(
    n_input=9,
    hidden=(5, 3),
    recurrent=(True, False),
    n_output=7,
    time_steps=1,
    lanes=4,
    output_lanes=8,
    acc_bits=20,
    membrane_bits=24,
    readout_every=3,
    max_input_shift=3,
    counter_bits=20,
)


@pytest.mark.parametrize("baked", [False, True])
def test_hardware_answers_as_the_map_says(baked, build_root, seed):
    network = Network.random(ODD, 1)
    held = contents(ODD, network) if baked else None
    best = 2 if baked else 0
    shell = Shell(ODD, held, bake=baked, best=best)
    plan = {
        "config": ODD.to_dict(),
        "baked": baked,
        "best": best,
        "build_hash": build_hash(held, bake=baked, best=best),
        "feature_words": feature_words(ODD),
    }
    result = run_bench(
        to_verilog(shell, "shell"),
        "shell",
        "cocotb_tests.shell.bench_registers",
        build_root=build_root,
        seed=seed,
        env={"PLOSIVE_SHELL": json.dumps(plan)},
        extra_args=QUICK_BUILD,
    )
    assert result.tests == 4


@pytest.mark.parametrize("form", GENERATED)
def test_page_and_header_are_current(form):
    path = PROJECT / GENERATED[form]
    assert path.read_text() == register_map(form), (
        f"run plosive registers --format {form} -o {path}"
    )


def test_table_is_sound():
    offsets = [entry.offset for entry in REGISTERS]
    assert offsets == list(range(0, 4 * len(REGISTERS), 4))
    assert len({entry.name for entry in REGISTERS}) == len(REGISTERS)
    assert [entry.constant for entry in REGISTERS] == [True] * len(CONSTANTS) + [False] * (
        len(REGISTERS) - len(CONSTANTS)
    )
    for entry in REGISTERS:
        taken = 0
        for field in entry.fields:
            assert not taken & field.mask, f"{entry.name}.{field.name} overlaps"
            assert field.mask < 1 << 32
            assert field.doc.endswith(".")
            taken |= field.mask
        assert entry.doc.endswith(".")
        assert not (entry.constant and entry.access is not Access.READ)
    # Names of other tables.
    assert [name[8:].lower() for name in COUNTER_REGISTERS] == list(COUNTERS)
    values = dict(register("WEIGHT_ADDRESS").field("region").values)
    assert values == {entry.name.lower(): entry.value for entry in Region}


def test_c_header_is_the_map():
    """Each name and number of the map in the header, and nothing else."""
    text = register_map("c")
    found = {name: int(value, 0) for name, value in re.findall(r"#define (\w+) (\w+?)u\n", text)}
    expected = {
        "PLOSIVE_MAGIC": 0x56534C50,
        "PLOSIVE_MAP_SIZE": 4 * len(REGISTERS),
        "PLOSIVE_CONSTANTS": 32,
        "PLOSIVE_COUNTERS": 8,
    }
    parts = describe()["version"].split(".")
    for name, part in zip(("MAJOR", "MINOR", "PATCH"), parts, strict=True):
        expected[f"PLOSIVE_MAP_{name}"] = int(part)
    for entry in describe()["registers"]:
        name = f"PLOSIVE_{entry['name']}"
        expected[name] = entry["offset"]
        for field in entry["fields"]:
            part = f"{name}_{field['name'].upper()}"
            if (field["msb"], field["lsb"]) != (31, 0):
                expected[f"{part}_SHIFT"] = field["lsb"]
                expected[f"{part}_MASK"] = (2 << field["msb"]) - (1 << field["lsb"])
            for value, number in field.get("values", {}).items():
                expected[f"{part}_{value.upper()}"] = number
    assert found == expected


def test_c_header_compiles(tmp_path):
    source = tmp_path / "a.c"
    source.write_text('#include "plosive_registers.h"\nint main(void) { return 0; }\n')
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run(
        [*command, "-I", str(PROJECT / "flows/host/c"), "-o", str(tmp_path / "a"), str(source)],
        check=True,
    )


def test_systemrdl_is_the_map():
    text = register_map("systemrdl")
    registers = re.findall(r"    reg \{\n(.*?)\n    \} (\w+) @ (\w+);", text, re.S)
    software = {"read-only": "r", "write-only": "w"}
    assert len(registers) == len(REGISTERS)
    for (body, name, offset), entry in zip(registers, describe()["registers"], strict=True):
        assert (name, int(offset, 0)) == (entry["name"], entry["offset"])
        fields = re.findall(r"field \{.*?sw = (\w+);.*?\} \\?(\w+)\[(\d+):(\d+)\];", body, re.S)
        rights = software.get(entry["access"], "rw")
        assert fields == [
            (rights, field["name"], str(field["msb"]), str(field["lsb"]))
            for field in entry["fields"]
        ]
        assert ("woclr" in body) == (entry["access"] == "read, write 1 to clear")


def test_page_names_every_field():
    text = register_map("markdown")
    for entry in REGISTERS:
        section = text.partition(f"\n## {entry.name}\n")[2].partition("\n## ")[0]
        assert f"0x{entry.offset:03x}" in section
        for field in entry.fields:
            assert f"| {field.name} | {field.doc}" in section


@pytest.mark.parametrize(
    "config",
    [
        *PRESETS.values(),
        *(ODD.replace(hidden_work=work, low_activity=work != "all") for work in HIDDEN_WORK),
        *(ODD.replace(input_digits=digits) for digits in INPUT_DIGITS),
        *(ODD.replace(lif_lanes=lanes) for lanes in LIF_LANES),
    ],
    ids=[*PRESETS, *(f"odd-{name}-{word}" for name, words in CHOICES.items() for word in words)],
)
def test_constants_tell_the_configuration(config):
    options = {"baked": True, "streams": False, "best": 1, "result_depth": 256, "build_hash": 7}
    words = constant_values(config, **options)
    assert config_of_constants(words) == config
    assert all(0 <= word < 1 << 32 for word in words.values())


def test_constants_of_something_else_are_refused():
    words = {entry.name: 0xFFFFFFFF for entry in CONSTANTS}
    with pytest.raises(ConfigError):
        config_of_constants(words)


@pytest.mark.parametrize(
    ("field", "place", "words"),
    [
        ("hidden_work", 18, HIDDEN_WORK),
        ("input_digits", 20, INPUT_DIGITS),
        ("lif_lanes", 22, LIF_LANES),
    ],
)
def test_options_without_a_name_are_refused(field, place, words):
    options = {"baked": True, "streams": False, "best": 1, "result_depth": 256, "build_hash": 7}
    constants = constant_values(ODD, **options)
    constants["OPTIONS"] |= 3 << place
    with pytest.raises(ConfigError) as error:
        config_of_constants(constants)
    assert str(error.value) == f"{field} is 3: it must be one of {', '.join(words)}"


def test_fields_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"MODE\.source is 2: it has 1 bits"):
        register("MODE").pack(source=2)


def test_build_hash_tells_networks_apart():
    held = [contents(ODD, Network.random(ODD, seed)) for seed in (1, 2)]
    hashes = {
        build_hash(one, bake=bake, best=best) for one in held for bake in (0, 1) for best in (0, 2)
    }
    assert len(hashes) == 8
    assert build_hash(None) == 0


@pytest.mark.filterwarnings("ignore:.*created but never used")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best": 8}, "best is 8: it must be 0 to 7"),
        ({"best": -1}, "best is -1: it must be 0 to 7"),
        ({"result_depth": 3}, "result_depth is 3: it must be a power of two, 2 to 32768"),
        ({"result_depth": 65536}, "result_depth is 65536: it must be a power of two, 2 to 32768"),
    ],
)
def test_shell_refuses_what_it_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        Shell(ODD, **options)
    gc.collect()  # Amaranth warns of the unused component when it goes


@pytest.mark.parametrize("form", FORMATS)
def test_command_prints_and_writes(form, tmp_path):
    runner = CliRunner()
    printed = runner.invoke(app, ["registers", "--format", form])
    assert printed.exit_code == 0
    assert printed.stdout == register_map(form)
    path = tmp_path / "map"
    assert runner.invoke(app, ["registers", "--format", form, "-o", str(path)]).exit_code == 0
    assert path.read_text() == printed.stdout
