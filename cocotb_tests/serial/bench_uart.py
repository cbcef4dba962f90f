# SPDX-License-Identifier: Apache-2.0
"""Bench of the serial port: every byte, at the limits of the speed, with glitches and breaks."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import FallingEdge, Timer, ValueChange
from cocotb.utils import get_sim_time

from cocotb_tests.blocks.block_ports import start
from cocotb_tests.serial.serial_line import Line, Listener

CLOCK_PS = 10_000
PHASES = 2**16

# Clocks of a bit, down to the least there may be, whole and broken numbers.
SPEEDS = (4.0, 4.7, 8.0, 25 / 3, 104.17)


def step_of(clocks: float) -> int:
    """The speed step of a bit time."""
    return round(PHASES / clocks)


async def _collect(dut, edge, taken: list[int], errors: list[int]) -> None:
    while True:
        await edge
        if int(dut.receiver__valid.value):
            taken.append(int(dut.receiver__data.value))
        if int(dut.receiver__error.value):
            errors.append(1)


async def _prepare(dut) -> tuple:
    dut.receiver__line.value = 1
    dut.transmitter__stream__valid.value = 0
    edge = await start(dut)
    taken, errors = [], []
    collector = cocotb.start_soon(_collect(dut, edge, taken, errors))
    return edge, taken, errors, collector


def _bytes(rng: random.Random, count: int) -> bytes:
    return bytes([0, 0xFF, 0x55, 0xAA, 0x80, 1, *(rng.randrange(256) for _ in range(count))])


@cocotb.test()
async def receives(dut) -> None:
    """Bytes back to back, the sender slow or fast, at any phase of the clock.

    The sender may be off by 1.5 %, by 2.5 % where a bit has eight clocks or more.
    """
    rng = random.Random(cocotb.RANDOM_SEED)
    edge, taken, errors, _ = await _prepare(dut)
    for clocks in SPEEDS:
        dut.receiver__step.value = step_of(clocks)
        limit = 0.025 if clocks >= 8 else 0.015
        for drift in (-limit, -limit / 2, 0, limit / 2, limit):
            line = Line(dut.receiver__line, clocks * CLOCK_PS * (1 + drift))
            taken.clear()
            data = _bytes(rng, 24)
            await Timer(2 * rng.randrange(1, CLOCK_PS // 2), "ps")
            for byte in data:
                await line.send(bytes([byte]), idle_bits=rng.choice([0, 0, rng.random()]))
            await line.level(1, 3)
            assert bytes(taken) == data, f"{clocks} clocks a bit, {drift:+}: {taken} of {data}"
    assert not errors
    await edge


@cocotb.test()
async def ignores_pulses_of_one_clock(dut) -> None:
    """A spike in a bit changes nothing, and one on the idle line starts no byte."""
    rng = random.Random(cocotb.RANDOM_SEED)
    edge, taken, errors, _ = await _prepare(dut)
    clocks = 16
    dut.receiver__step.value = step_of(clocks)
    data = _bytes(rng, 40)
    for byte in data:
        bits = [0, *(byte >> i & 1 for i in range(8)), 1]
        for value in bits:
            spike = rng.randrange(clocks)
            for clock in range(clocks):
                dut.receiver__line.value = value ^ (clock == spike)
                await edge
        for _ in range(rng.randrange(40)):
            dut.receiver__line.value = 1
            await edge
        if rng.random() < 0.5:
            dut.receiver__line.value = 0
            await edge
            dut.receiver__line.value = 1
            for _ in range(4 * clocks):
                await edge
    assert bytes(taken) == data
    assert not errors


@cocotb.test()
async def false_starts_are_no_bytes(dut) -> None:
    """A low level that ends before the middle of the start bit."""
    edge, taken, errors, _ = await _prepare(dut)
    clocks = 32
    dut.receiver__step.value = step_of(clocks)
    line = Line(dut.receiver__line, clocks * CLOCK_PS)
    for low in (0.1, 0.2, 0.3, 0.4):
        await line.level(0, low)
        await line.level(1, 12)
    assert not taken
    assert not errors
    await line.send(b"\x42")
    await line.level(1, 2)
    assert taken == [0x42]
    await edge


@cocotb.test()
async def breaks_are_errors_once(dut) -> None:
    """A wrong stop bit is an error; a line that stays low is one error, however long."""
    edge, taken, errors, _ = await _prepare(dut)
    clocks = 8
    dut.receiver__step.value = step_of(clocks)
    line = Line(dut.receiver__line, clocks * CLOCK_PS)
    await line.send(b"\x5a", stop=0)
    await line.level(1, 2)
    assert (taken, len(errors)) == ([], 1)
    await line.level(0, 95)
    await line.level(1, 2)
    assert (taken, len(errors)) == ([], 2)
    await line.send(b"\x5a\xa5")
    await line.level(1, 2)
    assert (taken, len(errors)) == ([0x5A, 0xA5], 2)
    await edge


@cocotb.test()
async def transmits(dut) -> None:
    """Every edge within a clock of where it belongs, stop bits whole, bytes in order."""
    rng = random.Random(cocotb.RANDOM_SEED)
    edge, *_ = await _prepare(dut)
    for clocks in SPEEDS:
        step = step_of(clocks)
        dut.transmitter__step.value = step
        bit_ps = PHASES / step * CLOCK_PS
        listener = Listener(dut.transmitter__line, bit_ps)
        await edge
        listening = cocotb.start_soon(listener.run())
        timing = cocotb.start_soon(_edges(dut.transmitter__line, bit_ps))
        data = _bytes(rng, 12)
        for byte in data:
            for _ in range(rng.choice([0, 0, rng.randrange(100)])):
                await edge
            dut.transmitter__stream__valid.value = 1
            dut.transmitter__stream__payload.value = byte
            while not int(dut.transmitter__stream__ready.value):
                await edge
            await edge
            dut.transmitter__stream__valid.value = 0
            dut.transmitter__stream__payload.value = rng.randrange(256)
        await Timer(round(12 * bit_ps / 2) * 2, "ps")
        assert bytes(listener.data) == data, clocks
        assert not listener.wrong_stops
        listening.cancel()
        assert not timing.done(), "an edge was out of time"
        timing.cancel()


async def _edges(pin, bit_ps: float) -> None:
    """Check the time of every edge against the start bit of its byte."""
    while True:
        await FallingEdge(pin)
        began = get_sim_time("ps")
        while True:
            await ValueChange(pin)
            bits = (get_sim_time("ps") - began) / bit_ps
            if not int(pin.value) and bits > 9.9:  # the next byte's start bit
                assert bits >= 10 - 1e-9, f"a stop bit of {bits - 9:.2f} bits"
                began = get_sim_time("ps")
                continue
            off = abs(bits - round(bits)) * bit_ps
            assert off <= CLOCK_PS, f"an edge {off} ps from bit {bits:.2f}"
