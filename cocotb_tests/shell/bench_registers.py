# SPDX-License-Identifier: Apache-2.0
"""Bench of the register map: what the hardware answers at every address, against the generated map.

The map is the JSON that `plosive registers` prints; the shell's bus is driven directly, so that
all 65,536 addresses take seconds.
"""

from __future__ import annotations

import json
import os
import random

import cocotb
from cocotb.triggers import FallingEdge

from cocotb_tests.blocks.block_ports import start
from flows.verilog.register_map import register_map
from hw.config import HIDDEN_WORK, INPUT_DIGITS, LIF_LANES, AcceleratorConfig

_LIMIT = 20  # clocks that an access may take
_PLAIN = {"IRQ_ENABLE", "FRAME_FLAGS"}  # hold what is written


class Bus:
    """A master of the control bus."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.edge = FallingEdge(dut.clk)
        self.map = json.loads(register_map("json"))
        self.registers = {entry["name"]: entry for entry in self.map["registers"]}
        self.plan = json.loads(os.environ["PLOSIVE_SHELL"])
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.clocks = 0  # that the last access took until its answer

    async def start(self) -> None:
        dut = self.dut
        dut.bus__request__valid.value = 0
        dut.bus__response__ready.value = 0
        dut.features__valid.value = 0
        dut.results__ready.value = 0
        await start(dut)
        self._ready = dut.bus__request__ready._handle.get_signal_val_long
        self._valid = dut.bus__response__valid._handle.get_signal_val_long

    async def access(self, address: int, data: int | None = None) -> tuple[int, int]:
        """(data, error) of a read, or of a write of `data`."""
        dut, edge = self.dut, self.edge
        word = self.rng.getrandbits(32) if data is None else data  # a read must not look at it
        dut.bus__request__payload.value = address | (data is not None) << 16 | word << 17
        dut.bus__request__valid.value = 1
        dut.bus__response__ready.value = 1
        self.clocks = 0
        taken = False
        while True:
            ready, valid = self._ready(), self._valid()
            answer = int(dut.bus__response__payload.value) if valid else None
            await edge
            self.clocks += 1
            if not taken and ready:
                assert not valid, "an answer before its request"
                taken = True
                dut.bus__request__valid.value = 0
            if answer is not None:
                return answer & 0xFFFFFFFF, answer >> 32
            assert self.clocks < _LIMIT, f"no answer at {address:#x}"

    async def read(self, name: str) -> int:
        word, error = await self.access(self.registers[name]["offset"])
        assert not error, f"{name} is refused"
        return word

    async def write(self, name: str, word: int) -> None:
        word, error = await self.access(self.registers[name]["offset"], word)
        assert (word, error) == (0, 0), f"{name} is refused, or answers {word:#x}"

    def readable(self, entry: dict) -> bool:
        """After a reset, in streams mode."""
        return entry["access"] != "write-only" and entry["name"] != "RESULTS" and self.has(entry)

    def writable(self, entry: dict) -> bool:
        return entry["access"] != "read-only" and entry["name"] != "FEATURES" and self.has(entry)

    def has(self, entry: dict) -> bool:
        return entry["needs"] != "weights" or not self.plan["baked"]

    def field(self, name: str, word: int) -> dict[str, int]:
        return {
            field["name"]: word >> field["lsb"] & ((2 << field["msb"] - field["lsb"]) - 1)
            for field in self.registers[name]["fields"]
        }


def _mask(entry: dict) -> int:
    return sum((2 << f["msb"]) - (1 << f["lsb"]) for f in entry["fields"])


@cocotb.test()
async def every_address(dut) -> None:
    """Each of the 65,536, read and written: what the map has answers, nothing else does."""
    bus = Bus(dut)
    await bus.start()
    at = {entry["offset"]: entry for entry in bus.map["registers"]}
    assert max(at) + 4 == bus.map["size"]
    before = {}
    for address in range(1 << 16):
        word, error = await bus.access(address)
        entry = at.get(address)
        readable = entry is not None and bus.readable(entry)
        assert error == (not readable), f"read of {address:#x} ({entry and entry['name']})"
        if not readable:
            assert word == 0, f"{address:#x} is refused and gives {word:#x}"
            continue
        assert not word & ~_mask(entry), f"{entry['name']} is {word:#x}: bits of no field"
        before[entry["name"]] = word
    assert before["ERRORS"] == 1, "the refused reads were to be an error"
    for address in range(1 << 16):
        entry = at.get(address)
        if entry is not None and bus.writable(entry):
            continue
        answer = await bus.access(address, bus.rng.getrandbits(32))
        assert answer == (0, 1), f"write of {address:#x} ({entry and entry['name']})"
    for name, word in before.items():
        if name != "WEIGHT_DATA":  # moved on with the first read
            assert await bus.read(name) == word, f"{name} changed"


@cocotb.test()
async def constants(dut) -> None:
    """What a driver learns is the configuration that the hardware was made from."""
    bus = Bus(dut)
    await bus.start()
    config = AcceleratorConfig.from_dict(bus.plan["config"])
    fields: dict[str, int] = {}
    for name, entry in bus.registers.items():
        if entry["constant"]:
            word = await bus.read(name)
            fields |= {f"{name}.{key}": value for key, value in bus.field(name, word).items()}
    for name in (
        *("FRAME.n_input", "FRAME.readout_every", "OUTPUTS.n_output", "MACHINE.lanes"),
        *("MACHINE.output_lanes", "FORMATS.acc_bits", "FORMATS.membrane_bits"),
        *("FORMATS.membrane_frac", "FORMATS.counter_bits", "SHIFTS.input_bits"),
        *("SHIFTS.weight_bits", "SHIFTS.max_input_shift", "SHIFTS.max_decay_shift"),
        *("OPTIONS.time_steps", "OPTIONS.merge_readout", "OPTIONS.trace"),
    ):
        assert fields[name] == int(getattr(config, name.partition(".")[2])), name
    assert fields["OPTIONS.hidden_work"] == HIDDEN_WORK.index(config.hidden_work)
    assert fields["OPTIONS.input_digits"] == INPUT_DIGITS.index(config.input_digits)
    assert fields["OPTIONS.lif_lanes"] == LIF_LANES.index(config.lif_lanes)
    assert fields["OPTIONS.low_activity"] == config.low_activity
    assert fields["OPTIONS.layers"] == len(config.hidden)
    for layer in range(16):
        inside = layer < len(config.hidden)
        assert fields[f"HIDDEN_{layer}.neurons"] == (config.hidden[layer] if inside else 0)
        assert fields[f"HIDDEN_{layer}.recurrent"] == (config.recurrent[layer] if inside else 0)
    assert fields["ID.magic"].to_bytes(4, "little") == b"PLSV"
    version = ".".join(str(fields[f"VERSION.{part}"]) for part in ("major", "minor", "patch"))
    assert version == bus.map["version"]
    for name, digest in (
        ("CONFIG_HASH", config.config_hash),
        ("NETWORK_HASH", config.network_hash),
    ):
        assert f"{fields[f'{name}_0.hash']:08x}{fields[f'{name}_1.hash']:08x}" == digest
    wide = config.acc_bits > 16
    assert fields["RESULT_FORMAT.element_bits"] == (32 if wide else 16)
    logits_words = config.n_output if wide else (config.n_output + 1) // 2
    assert fields["RESULT_FORMAT.logits_words"] == logits_words
    assert fields["RESULT_FORMAT.best_words"] == bus.plan["best"] * (2 if wide else 1)
    assert fields["FEATURE_FORMAT.frame_words"] == (config.n_input + 3) // 4
    assert fields["BUILD.baked"] == bus.plan["baked"]
    assert fields["BUILD.best"] == bus.plan["best"]
    assert fields["BUILD.streams"] == 1
    assert fields["BUILD.result_depth"] == 16
    assert fields["BUILD_HASH.hash"] == bus.plan["build_hash"]


@cocotb.test()
async def access_rights(dut) -> None:
    """Registers hold what is written, field by field, and fall back with either reset."""
    bus = Bus(dut)
    await bus.start()
    rng = bus.rng
    for name in sorted(_PLAIN) * 20:
        entry, word = bus.registers[name], rng.getrandbits(32)
        assert entry["access"] == "read-write"
        await bus.write(name, word)
        assert await bus.read(name) == word & _mask(entry)
    for source in (0, 1, 1, 0, 1):
        await bus.write("MODE", source << 1 | rng.getrandbits(30) << 2)
        assert bus.field("MODE", await bus.read("MODE")) == {"readout": 0, "source": source}
    for name in _PLAIN:
        await bus.write(name, 0xFFFFFFFF)
    await bus.access(2)
    assert await bus.read("ERRORS") == 1
    await bus.write("ERRORS", 0xFFFFFFFE)
    assert await bus.read("ERRORS") == 1
    await bus.write("CONTROL", 0xFFFFFFFC | 2)  # counters only
    assert await bus.read("MODE") == 2
    for by_line in (False, True):
        if by_line:
            dut.rst.value = 1
            await bus.edge
            dut.rst.value = 0
        else:
            await bus.write("CONTROL", 1)
        for name in ("MODE", "ERRORS", "IRQ_STATUS", *_PLAIN):
            assert await bus.read(name) == 0, f"{name} after a reset"
        await bus.write("MODE", 2)
        await bus.access(1)
        for name in _PLAIN:
            await bus.write(name, 0xFFFFFFFF)


@cocotb.test()
async def patience(dut) -> None:
    """An access takes three clocks with its answer; FEATURES and WEIGHT_DATA a few more.

    A machine that is not ready is no reason to wait, and no error.
    """
    bus = Bus(dut)
    await bus.start()
    for name in ("ID", "STATUS", "COUNTER_CYCLES"):
        await bus.read(name)
        assert bus.clocks == 3
    await bus.write("MODE", 2)
    features = bus.registers["FEATURES"]["offset"]
    refused = 0
    for word in range(2 * bus.plan["feature_words"] + 1):
        while True:
            answer = await bus.access(features, bus.rng.getrandbits(32))
            assert bus.clocks <= 7, f"word {word} takes {bus.clocks} clocks"
            if answer == (0, 0):
                break
            assert answer == (0, 1)
            refused += 1
            assert refused < 1000, f"word {word} is refused for ever"
    assert refused, "the machine was never in the way: nothing is shown"
    assert await bus.read("ERRORS") == 0
    await bus.write("CONTROL", 1)
    assert not bus.field("STATUS", await bus.read("STATUS"))["busy"]
    if bus.plan["baked"]:
        return
    for region in range(7):
        await bus.write("WEIGHT_ADDRESS", region << 16)
        await bus.write("WEIGHT_ROW", 0)
        await bus.read("WEIGHT_DATA")
        assert bus.clocks <= 6
        await bus.write("WEIGHT_DATA", 0)
        assert bus.clocks == 3
