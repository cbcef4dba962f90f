# SPDX-License-Identifier: Apache-2.0
"""Bench of the feature front end (docs/architecture.md, F, "Features (Type A)")."""

import random

import cocotb

from cocotb_tests.blocks.block_ports import Block, pack, start
from cocotb_tests.blocks.blocks import FEATURES, NAF_FEATURES
from cocotb_tests.naf import NON_ADJACENT


def _digits(x: int, naf: bool) -> list[list[int]]:
    """The digits of both halves of a feature, lowest first."""
    bits = [x >> place & 1 for place in range(7)]
    digits = NON_ADJACENT[x] if naf else [*bits, -int(x < 0)]
    return [list(digits[:4]), list(digits[4:])]


def _slot(x: list[int], naf: bool, pointer: int, taken: list[int]) -> dict[str, int]:
    """What the front end must say for features, pointer and taken digits."""
    waiting = [i for i in range(pointer, len(x)) if x[i] != 0]
    if not waiting:
        return {
            **{"index": 0, "read": 0, "enable": 0, "shift": 0, "negate": 0, "last": 1},
            **{"pointer_next": pointer, "taken_next": 0},
        }
    i = waiting[0]
    halves = _digits(x[i], naf)
    enable, shift, negate, after = [0, 0], [0, 0], [0, 0], list(taken)
    for b in range(2):
        rest = [place for place in range(4) if halves[b][place] and not taken[b] >> place & 1]
        if rest:
            enable[b], shift[b] = 1, rest[0]
            negate[b] = int(halves[b][rest[0]] < 0)
            after[b] |= 1 << shift[b]
    done = after == [sum(1 << place for place in range(4) if half[place]) for half in halves]
    return {
        "index": i,
        "read": int(taken == [0, 0]),
        "enable": pack(enable, 1),
        "shift": pack(shift, 2),
        "negate": pack(negate, 1) if naf else negate[1],
        "last": int(done and len(waiting) == 1),
        "pointer_next": i + 1 if done else pointer,
        "taken_next": 0 if done else pack(after, 4),
    }


@cocotb.test()
async def walks(dut):
    """Whole phases, slot by slot; all values of a single feature, and random frames."""
    rng = random.Random(cocotb.RANDOM_SEED)
    edge = await start(dut)
    for name, n in (FEATURES | NAF_FEATURES).items():
        naf = name in NAF_FEATURES
        block = Block(dut, name)
        frames = [[value, *[0] * (n - 1)] for value in range(-128, 128)]
        frames += [[*[0] * (n - 1), value] for value in (-128, -1, 0, 127)]
        for _ in range(100):
            pool = [0, 0, -128, 127, -1, 85, -86, rng.randint(-128, 127)]
            frames.append([rng.choice(pool) for _ in range(n)])
        for x in frames:
            block.set(features=pack(x, 8))
            pointer, taken, slots, last = 0, [0, 0], 0, False
            while not last:
                block.set(pointer=pointer, taken=pack(taken, 4))
                await edge
                expected = _slot(x, naf, pointer, taken)
                block.check((x, pointer, taken), **expected)
                pointer = expected["pointer_next"]
                taken = [expected["taken_next"] & 15, expected["taken_next"] >> 4]
                last = expected["last"]
                slots += 1
            cost = sum(max(sum(map(abs, half)) for half in _digits(value, naf)) for value in x)
            assert slots == max(1, cost), f"{x} took {slots} slots"
