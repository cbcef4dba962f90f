# SPDX-License-Identifier: Apache-2.0
"""Broken versions of the serial port and the bridge, and what runs their benches on them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cocotb_tests.mutation.engine import mutated_sources, printed_by
from cocotb_tests.mutation.mutants import Mutant
from cocotb_tests.serial.serial_blocks import run_serial_bench

__all__ = ["MUTANTS", "caught_by", "mutant_verilog"]

_GENERATE = (
    "from cocotb_tests.serial.serial_blocks import bench_verilog; print(bench_verilog({!r}))"
)

MUTANTS: tuple[Mutant, ...] = tuple(
    Mutant(*entry)
    for entry in (
        # ---- bits of a byte --------------------------------------------------------------
        (
            "every sample counts",
            "shell/uart.py",
            "(sampled & before[0]) | (sampled & before[1]) | (before[0] & before[1])",
            "sampled",
        ),
        ("sampled at the edge", "shell/uart.py", "phase.eq(1 << (PHASE_BITS - 1))", "phase.eq(0)"),
        (
            "glitch starts a byte",
            "shell/uart.py",
            "with m.If(level):  # a glitch, no start bit",
            "with m.If(0):",
        ),
        (
            "low line starts bytes",
            "shell/uart.py",
            "with m.If(was_high & ~level):",
            "with m.If(~level):",
        ),
        (
            "no stop bit needed",
            "shell/uart.py",
            "middle & (left == 1) & level",
            "middle & (left == 1)",
        ),
        ("break not told", "shell/uart.py", "middle & (left == 1) & ~level", "middle & 0"),
        (
            "highest bit first",
            "shell/uart.py",
            "Cat(self.data[1:], level)",
            "Cat(level, self.data[:-1])",
        ),
        (
            "no stop bit sent",
            "shell/uart.py",
            "[bits.eq(Cat(0, self.stream.payload)), left.eq(_DATA_BITS + 2)]",
            "[bits.eq(Cat(0, self.stream.payload)), left.eq(_DATA_BITS + 1)]",
        ),
        # ---- what is a packet ------------------------------------------------------------
        ("CRC not checked", "shell/serial_bridge.py", "& (crc == _CRC_RESIDUE)", ""),
        ("cut in an escape", "shell/serial_bridge.py", "                & ~escaped\n", ""),
        (
            "part of a word",
            "shell/serial_bridge.py",
            "                & (write_pointer[:2] == 0)\n",
            "",
        ),
        (
            "a CRC alone",
            "shell/serial_bridge.py",
            "(write_pointer[3:] != 0)",
            "(write_pointer[2:] != 0)",
        ),
        (
            "any byte behind ESC",
            "shell/serial_bridge.py",
            "escaped & (receiver.data[1:] != _ESC_END >> 1)",
            "escaped & 0",
        ),
        (
            "escapes exchanged",
            "shell/serial_bridge.py",
            "Mux(receiver.data[0], _ESC, _END)",
            "Mux(receiver.data[0], _END, _ESC)",
        ),
        (
            "drops not counted",
            "shell/serial_bridge.py",
            "dropped.eq(dropped + 1)",
            "dropped.eq(dropped)",
        ),
        # ---- once and in order -----------------------------------------------------------
        (
            "repeat carried out again",
            "shell/serial_bridge.py",
            "with m.If(session & (word[:8] == sequence) & ~begins):",
            "with m.If(0):",
        ),
        (
            "repeat of nothing",
            "shell/serial_bridge.py",
            "session & (word[:8] == sequence)",
            "(word[:8] == sequence)",
        ),
        (
            "anything begins a session",
            "shell/serial_bridge.py",
            "session.eq(session | begins)",
            "session.eq(1)",
        ),
        (
            "no session needed",
            "shell/serial_bridge.py",
            "with m.If(~session & ~begins):",
            "with m.If(0):",
        ),
        (
            "asking begins a session",
            "shell/serial_bridge.py",
            "(new_op == Op.HELLO) & ~word[16]",
            "(new_op == Op.HELLO)",
        ),
        # ---- operations ------------------------------------------------------------------
        ("patience for all", "shell/serial_bridge.py", "If(fixed & writes &", "If(writes &"),
        (
            "no patience",
            "shell/serial_bridge.py",
            "with m.If(fixed & writes & ~timer[self._patience_bits]):",
            "with m.If(0):",
        ),
        (
            "patience without end",
            "shell/serial_bridge.py",
            "fixed & writes & ~timer[self._patience_bits]",
            "fixed & writes",
        ),
        ("address stands", "shell/serial_bridge.py", "Mux(fixed, 0, 4)", "0"),
        ("fixed address moves", "shell/serial_bridge.py", "Mux(fixed, 0, 4)", "4"),
        (
            "any number of words",
            "shell/serial_bridge.py",
            "with m.Elif(word[7] | (word[:7] > MAX_WORDS)):",
            "with m.Elif(0):",
        ),
        (
            "any operation",
            "shell/serial_bridge.py",
            "(new_op[3:] != 0) | (new_op[:3] == 5)",
            "(new_op[:3] == 5)",
        ),
        (
            "refusal not told",
            "shell/serial_bridge.py",
            "status.eq(Status.BUS_ERROR)",
            "status.eq(Status.OK)",
        ),
        # ---- answers and speed -----------------------------------------------------------
        (
            "ESC not escaped",
            "shell/serial_bridge.py",
            "special = (byte == _END) | (byte == _ESC)",
            "special = byte == _END",
        ),
        (
            "speed changes too early",
            "shell/serial_bridge.py",
            "before the speed may change\n            with m.If(send.ready):",
            "before the speed may change\n            with m.If(1):",
        ),
        (
            "speed never falls back",
            "shell/serial_bridge.py",
            "m.d.sync += s.step.eq(self._default_step)",
            "m.d.sync += s.step.eq(s.step)",
        ),
        (
            "speed without a good answer",
            "shell/serial_bridge.py",
            "(op == Op.BAUD) & (status == Status.OK)",
            "op == Op.BAUD",
        ),
    )
)


def mutant_verilog(mutant: Mutant, program: str) -> str:
    """What a Python program prints that uses the broken sources as `hw`."""
    with tempfile.TemporaryDirectory(prefix="plosive-mutant-") as folder:
        mutated_sources(mutant, Path(folder))
        return printed_by(program, Path(folder))


def caught_by(mutant: Mutant, build_root: Path) -> str:
    """The first message of the bench that fails on a mutant; "" if it does not."""
    block = "uart" if mutant.file == "shell/uart.py" else "bridge"
    verilog = mutant_verilog(mutant, _GENERATE.format(block))
    result = run_serial_bench(block, verilog, build_root=build_root, seed=1, check=False)
    if result.passed:
        return ""
    return result.messages[0] if result.messages else "the simulation breaks off"
