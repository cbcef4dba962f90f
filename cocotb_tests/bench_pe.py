# SPDX-License-Identifier: Apache-2.0
"""Bench of the PE sets and of the load that joins the nibbles (docs/architecture.md, X)."""

import itertools
import random

import cocotb

from cocotb_tests.block_ports import Block, pack, start
from cocotb_tests.blocks import JOINS, PES
from golden_model.fixed_point import round_shift, signed_range, wrap


@cocotb.test()
async def accumulates(dut):
    """Random control words, weights at both extremes often, against the equation of op 1."""
    rng = random.Random(cocotb.RANDOM_SEED)
    blocks = {name: Block(dut, name) for name in PES}
    acc = {name: [0] * lanes for name, (_, lanes, _) in PES.items()}
    for name, block in blocks.items():
        block.set(execute=0, load=0)
        if PES[name][2]:
            block.set(negate=0)
    edge = await start(dut)
    for _ in range(4000):
        for name, (bits, lanes, negates) in PES.items():
            weights = [rng.choice([-8, 7, rng.randint(-8, 7)]) for _ in range(lanes)]
            execute, load = rng.choice([(0, 0), (1, 0), (1, 0), (1, 0), (0, 1)])
            first, enable = int(rng.random() < 0.2), int(rng.random() < 0.7)
            shift = rng.randrange(4)
            negate = rng.randrange(2) if negates else 0
            values = [rng.choice([*signed_range(bits), rng.getrandbits(bits)]) for _ in weights]
            blocks[name].set(
                weights=pack(weights, 4),
                execute=execute,
                first=first,
                enable=enable,
                shift=shift,
                load=load,
                load_value=pack(values, bits),
            )
            if negates:
                blocks[name].set(negate=negate)
            for lane, weight in enumerate(weights):
                if execute:
                    term = (-1 if negate else 1) * (weight << shift) if enable else 0
                    before = 0 if first else acc[name][lane]
                    acc[name][lane] = wrap(before + term, bits)
                elif load:
                    acc[name][lane] = wrap(values[lane], bits)
        await edge
        for name, (bits, _, _) in PES.items():
            blocks[name].check("the control words so far", acc=pack(acc[name], bits))


@cocotb.test()
async def reset_clears(dut):
    blocks = {name: Block(dut, name) for name in PES}
    edge = await start(dut)
    for name, (bits, lanes, _) in PES.items():
        blocks[name].set(execute=0, load=1, load_value=pack([-1] * lanes, bits))
    await edge
    for name, (bits, lanes, _) in PES.items():
        blocks[name].check("a load", acc=pack([-1] * lanes, bits))
    dut.rst.value = 1
    await edge
    dut.rst.value = 0
    for block in blocks.values():
        block.check("a reset", acc=0)


@cocotb.test()
async def joins_nibbles(dut):
    """Corners and random sums at every shift, against the rounding shift of op 2."""
    rng = random.Random(cocotb.RANDOM_SEED)
    edge = await start(dut)
    for name, (bits, most) in JOINS.items():
        block = Block(dut, name)
        least, highest = signed_range(bits)
        corners = [least, least + 1, -9, -8, -1, 0, 1, 7, 8, highest - 1, highest]
        pairs = list(itertools.product(corners, corners))
        pairs += [(rng.randint(least, highest), rng.randint(least, highest)) for _ in range(100)]
        for shift, (low, high) in itertools.product(range(most + 1), pairs):
            block.set(low=low, high=high, input_shift=shift)
            await edge
            expected = wrap(round_shift(low + (high << 4), shift), bits)
            block.check((low, high, shift), sum=expected)
