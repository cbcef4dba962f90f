# SPDX-License-Identifier: Apache-2.0
"""The list of a machine's memories against those that stand in the core's netlist."""

import dataclasses
import re

import pytest
from amaranth.back import rtlil
from hypothesis import given, settings
from hypothesis import strategies as st

from cocotb_tests.configurations import configurations
from flows.verilog.contents import contents
from golden_model import Network
from hw.config import AcceleratorConfig, preset
from hw.core.core import Core
from hw.schedule import MemoryShape, machine_memories, memory_banks

_WIRE = re.compile(r"^  wire width (\d+) (?:\w+ \d+ +)?(\S+)$", re.MULTILINE)
_CELL = re.compile(r"^  cell (\\plosive_\w+) \S+\n(.*?)^  end$", re.MULTILINE | re.DOTALL)
_CONNECT = re.compile(r"connect \\(\w+) (.*)$", re.MULTILINE)
_PIECE = re.compile(r"(\d+)'[01-]+|(\\\S+|\$\S+)(?: \[(\d+)(?::(\d+))?\])?")


def bits_of(value: str, widths: dict[str, int]) -> int:
    """Width of a netlist's value: constants, wires and slices of wires, in braces if several."""
    total = 0
    for constant, wire, high, low in _PIECE.findall(value):
        if constant:
            total += int(constant)
        elif high:
            total += int(high) - int(low or high) + 1
        else:
            total += widths[wire]
    return total


def instantiated(netlist: str) -> dict[str, dict[str, int]]:
    """Each memory that the netlist instantiates: the widths of what its ports are connected to."""
    found = {}
    for module in re.split(r"^module ", netlist, flags=re.MULTILINE)[1:]:
        widths = {name: int(width) for width, name in _WIRE.findall(module)}
        for name, body in _CELL.findall(module):
            assert name not in found
            connects = _CONNECT.findall(body)
            found[name[1:]] = {port: bits_of(value, widths) for port, value in connects}
    return found


def defined(netlist: str) -> tuple[int, int]:
    """(depth, bits of a row) of the arrays in a memory's own module."""
    arrays = re.findall(r"^  memory width (\d+) size (\d+) ", netlist, re.MULTILINE)
    (depth,) = {int(size) for _, size in arrays}
    return depth, sum(int(width) for width, _ in arrays)


def check(config: AcceleratorConfig, baked: bool) -> None:
    network = Network.random(config, 1) if baked else None
    core = Core(config, contents(config, network) if baked else None, bake=baked)
    found = instantiated(rtlil.convert(core, emit_src=False))
    listed = machine_memories(config, constant=baked)
    assert [memory.name for memory in core.memory_instances] == [shape.name for shape in listed]
    assert sorted(found) == sorted(shape.name for shape in listed)
    for shape, memory in zip(listed, core.memory_instances, strict=True):
        ports = {"clk": 1, "rst": 1, "read": 1, "row": shape.row_width, "data": shape.bits}
        if shape.writable:
            ports |= {"write": shape.words, "write_data": shape.bits}
        assert found[shape.name] == ports
        definition = rtlil.convert(memory.definition(), emit_src=False)
        assert defined(definition) == (shape.rows, shape.bits)


@settings(max_examples=25)
@given(configurations(), st.booleans())
def test_the_list_holds_the_memories_of_the_core(config, baked):
    check(config, baked)


def test_banks_of_a_folded_machine():
    banks = memory_banks(preset("tiny"), constant=True)
    assert {name: len(shapes) for name, shapes in banks.items()} == {
        "input": 1,
        "hidden": 2,
        "readout": 2,
        "membrane": 1,
        "threshold": 1,
    }
    assert [shape.name for shape in banks["hidden"]] == [
        "plosive_hidden_memory_0",
        "plosive_hidden_memory_1",
    ]
    # Constant weights and thresholds are ROMs; the membranes are state.
    assert [name for name, shapes in banks.items() if shapes[0].writable] == ["membrane"]
    assert banks["membrane"][0] == MemoryShape("plosive_membrane_memory", 4, 128, 64)
    assert "membrane" not in memory_banks(preset("paper-t2"))


@pytest.mark.parametrize("change", [{"rows": 99}, {"bits": 7}, {"word_bits": 1}])
def test_a_wrong_list_is_found(change, monkeypatch):
    first, *others = machine_memories(preset("tiny"))
    wrong = [dataclasses.replace(first, **change), *others]
    monkeypatch.setitem(globals(), "machine_memories", lambda *_, **__: wrong)
    with pytest.raises(AssertionError):
        check(preset("tiny"), baked=False)
