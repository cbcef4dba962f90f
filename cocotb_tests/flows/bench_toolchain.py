# SPDX-License-Identifier: Apache-2.0
"""Bench of a four-bit counter, for the tests of `flows.tools.verilator` themselves."""

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge


async def _count(dut, clocks: int) -> int:
    Clock(dut.clk, 2, "step", impl="gpi").start()
    edge = FallingEdge(dut.clk)
    dut.rst.value = 1
    await edge
    dut.rst.value = 0
    for _ in range(clocks):
        await edge
    return int(dut.count.value)


@cocotb.test()
async def counts(dut):
    assert await _count(dut, 21) == 21 % 16


@cocotb.test()
async def counts_wrongly(dut):
    assert await _count(dut, 21) == 6, "the counter is right"


@cocotb.test()
async def never_ends(dut):
    while True:
        await _count(dut, 1000)


@cocotb.test()
async def dies(_dut):
    os._exit(3)


@cocotb.test()
async def reports_seed_and_variable(dut):
    await _count(dut, 1)
    print(f"drawn {random.getrandbits(32)}, given {os.environ['PLOSIVE_TEST_VALUE']}")
