# SPDX-License-Identifier: Apache-2.0
"""Bench of the row memories: one port, data a clock after the read and held until the next one."""

import random

import cocotb

from cocotb_tests.blocks.block_ports import Block, start
from cocotb_tests.blocks.blocks import MEMORIES


@cocotb.test()
async def reads_writes_holds(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    blocks = {name: Block(dut, name) for name in MEMORIES}
    rows = {}
    for name, (depth, _, _, init, constant) in MEMORIES.items():
        # A memory without contents starts undefined: every row is written before it is read.
        rows[name] = [*init, *[0] * (depth - len(init))] if init else [None] * depth
        blocks[name].set(row=0, read=0)
        if not constant:
            blocks[name].set(write=0, write_data=0)
    edge = await start(dut)
    shown: dict[str, int | None] = dict.fromkeys(MEMORIES)
    for _ in range(3000):
        for name, (depth, width, word_bits, _, constant) in MEMORIES.items():
            block, stored = blocks[name], rows[name]
            row = rng.randrange(depth)
            words = -(-width // word_bits)
            write = 0 if constant or rng.random() < 0.5 else rng.getrandbits(words)
            data = rng.getrandbits(width)
            if not constant and stored[row] is None:
                write = (1 << words) - 1
            read = int(not write and rng.random() < 0.6)
            block.set(row=row, read=read)
            if not constant:
                block.set(write=write, write_data=data)
            if read:
                shown[name] = stored[row]
            mask = sum(
                ((1 << word_bits) - 1) << (word_bits * w) for w in range(words) if write >> w & 1
            )
            if write:
                stored[row] = (stored[row] or 0) & ~mask | data & mask & ((1 << width) - 1)
        await edge
        for name in MEMORIES:
            if shown[name] is not None:
                blocks[name].check("the reads and writes so far", data=shown[name])
