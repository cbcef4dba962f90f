# SPDX-License-Identifier: Apache-2.0
"""Bench of the PE sets (docs/architecture.md, X)."""

import random

import cocotb

from cocotb_tests.blocks.block_ports import Block, pack, start
from cocotb_tests.blocks.blocks import CLEARING_PES, PES
from golden_model.fixed_point import signed_range, wrap


@cocotb.test()
async def accumulates(dut):
    """Random control words, weights at both extremes often, against the equation of op 1."""
    rng = random.Random(cocotb.RANDOM_SEED)
    blocks = {name: Block(dut, name) for name in PES}
    acc = {name: [0] * lanes for name, (_, lanes, _) in PES.items()}
    for name, block in blocks.items():
        block.set(execute=0, load=0, load_round=0)
        if PES[name][2]:
            block.set(negate=0)
    edge = await start(dut)
    for _ in range(4000):
        for name, (bits, lanes, negates) in PES.items():
            weights = [rng.choice([-8, 7, rng.randint(-8, 7)]) for _ in range(lanes)]
            part = -(-lanes // 2)
            execute = int(rng.random() < 0.6)
            load = 0 if execute else rng.randrange(4 if lanes > 1 else 2)  # a bit for each part
            first, enable = int(rng.random() < 0.2), int(rng.random() < 0.7)
            if load:
                first = enable = 0
            shift = rng.randrange(4)
            negate = rng.randrange(2) if negates else 0
            values = [rng.choice([*signed_range(bits), rng.getrandbits(bits)]) for _ in range(part)]
            rounds = [rng.randrange(2) for _ in values]
            blocks[name].set(
                weights=pack(weights, 4),
                execute=execute,
                first=first,
                enable=enable,
                shift=shift,
                load=load,
                load_value=pack(values, bits),
                load_round=pack(rounds, 1),
            )
            if negates:
                blocks[name].set(negate=negate)
            clear = name in CLEARING_PES and rng.randrange(2)
            if name in CLEARING_PES:
                blocks[name].set(clear=clear)
            for lane, weight in enumerate(weights):
                if execute:
                    term = (-1 if negate else 1) * (weight << shift) if enable else 0
                    before = 0 if first else acc[name][lane]
                    acc[name][lane] = wrap(before + term, bits)
                elif load >> lane // part & 1:
                    value = values[lane % part] + rounds[lane % part]
                    acc[name][lane] = 0 if clear else wrap(value, bits)
        await edge
        for name, (bits, _, _) in PES.items():
            blocks[name].check("the control words so far", acc=pack(acc[name], bits))


@cocotb.test()
async def reset_clears(dut):
    blocks = {name: Block(dut, name) for name in PES}
    edge = await start(dut)
    for name, (bits, lanes, _) in PES.items():
        part = -(-lanes // 2)
        load = 3 if lanes > 1 else 1
        values = pack([-1] * part, bits)
        blocks[name].set(execute=0, first=0, enable=0, load=load, load_value=values, load_round=0)
        if name in CLEARING_PES:
            blocks[name].set(clear=0)
    await edge
    for name, (bits, lanes, _) in PES.items():
        blocks[name].check("a load", acc=pack([-1] * lanes, bits))
    dut.rst.value = 1
    await edge
    dut.rst.value = 0
    for block in blocks.values():
        block.check("a reset", acc=0)
