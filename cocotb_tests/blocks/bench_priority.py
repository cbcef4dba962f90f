# SPDX-License-Identifier: Apache-2.0
"""Bench of the lowest-set-bit search: every value of up to ten flags."""

import random

import cocotb

from cocotb_tests.blocks.block_ports import Block, start
from cocotb_tests.blocks.blocks import PRIORITIES


@cocotb.test()
async def finds_the_lowest(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    edge = await start(dut)
    for name, size in PRIORITIES.items():
        block = Block(dut, name)
        for flags in range(1 << size):
            payloads = [rng.getrandbits(size) for _ in range(2)]
            block.set(flags=flags, payload_0=payloads[0], payload_1=payloads[1])
            await edge
            index = next((i for i in range(size) if flags >> i & 1), 0)
            carried = sum((p >> index & 1) << k for k, p in enumerate(payloads)) if flags else 0
            block.check((flags, payloads), found=int(flags != 0), index=index, carried=carried)
