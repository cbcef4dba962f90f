# SPDX-License-Identifier: Apache-2.0
"""Bench of the board tops: length of the reset, clock behind divider and PLL, polarity of LEDs.

The core of each top shows on led_idle that it left the reset, and on led_busy each of its clocks.
"""

import json
import os
from itertools import pairwise

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

TOPS = json.loads(os.environ.get("PLOSIVE_TOPS", "{}"))


def level(dut, name: str, port: str) -> int:
    """Of a pin; an LED's is its light."""
    value = int(getattr(dut, f"{name}_{port}").value)
    return value ^ (port in TOPS[name]["inverted"])


async def until(edge, condition, limit: int) -> int:
    """Clocks of the oscillator until a condition holds."""
    for clocks in range(limit):
        if condition():
            return clocks
        await edge
    raise AssertionError(f"not in {limit} clocks")


async def start(dut):
    Clock(dut.clk, 40, unit="ns", impl="gpi").start(start_high=False)
    dut.rx.value = 0
    edge = FallingEdge(dut.clk)
    await edge
    return edge


@cocotb.test()
async def starts_after_its_reset(dut) -> None:
    """The reset lasts 15 us of the core's clock, begun anew whenever the PLL has lost its lock."""
    edge = await start(dut)
    running = {name: [] for name in TOPS}
    for _ in range(1000):
        for name in TOPS:
            running[name].append(level(dut, name, "led_idle"))
        await edge
    for name, top in TOPS.items():
        least = round(15e-6 * top["clock_hz"]) * top["divide"]
        for began, ended in top["locked"]:
            seen = running[name][began:ended]
            assert 1 in seen, f"{name}: held in reset"
            # A few clocks more: what a lock takes through the synchroniser, and registers.
            assert least <= seen.index(1) <= least + 6 * top["divide"], (name, seen.index(1), least)
            assert all(seen[seen.index(1) :]), f"{name}: reset in mid-run"
        for (_, lost), (locked, _) in pairwise(top["locked"]):
            unlocked = running[name][lost + 6 * top["divide"] : locked]
            assert not any(unlocked), f"{name}: ran without a lock"


@cocotb.test()
async def runs_at_its_clock(dut) -> None:
    edge = await start(dut)
    for name, top in TOPS.items():
        await until(edge, lambda name=name: level(dut, name, "led_idle"), 2000)
        seen = []
        for _ in range(12):
            seen.append(level(dut, name, "led_busy"))
            await edge
        period = top["divide"]
        changes = [i for i in range(1, 12) if seen[i] != seen[i - 1]]
        assert {b - a for a, b in pairwise(changes)} == {period}, (name, seen)


@cocotb.test()
async def connects_its_pins(dut) -> None:
    edge = await start(dut)
    for name in TOPS:
        await until(edge, lambda name=name: level(dut, name, "led_idle"), 2000)
    for value in (0, 1, 1, 0, 1):
        dut.rx.value = value
        await edge
        for name in TOPS:
            assert level(dut, name, "tx") == value
            assert level(dut, name, "led_error") == 1 - value
