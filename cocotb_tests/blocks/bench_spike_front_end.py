# SPDX-License-Identifier: Apache-2.0
"""Bench of the spike front ends (docs/architecture.md, F, "Spike phases")."""

import random

import cocotb

from cocotb_tests.blocks.block_ports import Block, pack, start
from cocotb_tests.blocks.blocks import SPIKE_FRONT_ENDS
from hw.schedule import Work


def _has_work(work: Work, spikes: list[list[int]], n_source: int, h: int, b: int, p: int) -> bool:
    """Whether position p of half b has work; h positions make one pass of Work.SERIAL."""
    step, j = (1, p - h) if work is Work.SERIAL and p >= h else (0, p)
    i = 2 * j + b
    if i >= n_source:
        return False
    if work is Work.ALL:
        return True
    if work is Work.UNION:
        return any(s[i] for s in spikes)
    if work is Work.COMMON:
        return all(s[i] for s in spikes)
    if work in (Work.STRAIGHT, Work.CROSSED):
        step = b if work is Work.STRAIGHT else 1 - b
        return bool(spikes[step][i]) and not spikes[1 - step][i]
    return bool(spikes[step][i])


def _slot(
    work: Work, spikes: list[list[int]], n_source: int, h: int, joint: bool, pointer: list[int]
) -> dict[str, int]:
    """What the front end must say."""
    positions = 2 * h if work is Work.SERIAL else (n_source + 1) // 2
    halves = [
        [p for p in range(positions) if _has_work(work, spikes, n_source, h, b, p)]
        for b in range(2)
    ]
    left = [[p for p in halves[b] if p >= pointer[b]] for b in range(2)]
    candidates = [(left[b][0], b) for b in range(2) if left[b]]
    served = {min(candidates)[1]} if joint and candidates else {b for _, b in candidates}
    after = [left[b][0] + 1 if b in served else pointer[b] for b in range(2)]
    index, spike = [0, 0], [0, 0]
    for p, b in candidates:
        index[b] = p - h if work is Work.SERIAL and p >= h else p
        spike[b] = pack([s[2 * index[b] + b] for s in spikes], 1)
    return {
        "serve": pack([b in served for b in range(2)], 1),
        "index": index,
        **({} if work is Work.SERIAL else {"spike": pack(spike, len(spikes))}),
        "last": int(not any(p >= after[b] for b in range(2) for p in halves[b])),
        "pointer_next": after,
    }


@cocotb.test()
async def walks(dut):
    """Whole phases of every kind of work, joint and split, for few, many and no spikes."""
    rng = random.Random(cocotb.RANDOM_SEED)
    edge = await start(dut)
    for name, (steps, works, neurons, serial) in SPIKE_FRONT_ENDS.items():
        block = Block(dut, name)
        positions = (neurons + 1) // 2
        if Work.SERIAL in works:
            positions = max(positions, 2 * ((serial + 1) // 2))
        pointer_bits = positions.bit_length()
        index_bits = max(1, ((neurons + 1) // 2 - 1).bit_length())
        for run in range(300):
            work = rng.choice(works)
            n_source = serial if work is Work.SERIAL else rng.randint(1, neurons)
            h = (serial + 1) // 2
            density = rng.choice([0, 0.2, 0.5, 1])
            spikes = [
                [int(i < n_source and rng.random() < density) for i in range(neurons)]
                for _ in range(steps)
            ]
            joint = rng.randrange(2)
            block.set(
                spikes=pack([pack(s, 1) for s in spikes], neurons),
                exists=(1 << n_source) - 1,
                work=works.index(work),
                joint=joint,
            )
            pointer, last, slots = [0, 0], False, 0
            while not last:
                block.set(pointer=pack(pointer, pointer_bits))
                await edge
                expected = _slot(work, spikes, n_source, h, bool(joint), pointer)
                pointer_next = expected["pointer_next"]
                block.check(
                    (run, work, spikes, n_source, joint, pointer),
                    **{
                        **expected,
                        "index": pack(expected["index"], index_bits),
                        "pointer_next": pack(pointer_next, pointer_bits),
                    },
                )
                pointer, last = pointer_next, expected["last"]
                slots += 1
                assert slots <= 4 * neurons + 2, "the phase does not end"
