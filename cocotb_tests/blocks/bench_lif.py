# SPDX-License-Identifier: Apache-2.0
"""Bench of the LIF lane, against `golden_model.layer.lif_step`, and of the load it does too."""

import itertools
import random

import cocotb
import numpy as np

from cocotb_tests.blocks.block_ports import Block, start
from cocotb_tests.blocks.blocks import LIFS, MERGING_LIFS, lif_config
from golden_model import Layer
from golden_model.fixed_point import round_shift, signed_range, wrap
from golden_model.layer import DECAY_FORMS, RESETS, lif_step


def _vectors(name: str, rng: random.Random):
    """(membrane, stimulus, threshold, shift, form, reset) at corners and at random."""
    _, bits, acc_bits, _, most_shift, _ = LIFS[name]
    least, most = signed_range(bits)
    low, high = signed_range(acc_bits)
    membranes = [least, least + 1, -1, 0, 1, most]
    stimuli = [low, -1, 0, 1, high]
    shifts = range(1, most_shift + 1)
    modes = list(itertools.product(shifts, range(2), range(2)))
    corners = itertools.product(membranes, stimuli, [1, most], modes)
    for membrane, stimulus, threshold, mode in corners:
        yield membrane, stimulus, threshold, *mode
    for _ in range(3000):
        membrane, stimulus = rng.randint(least, most), rng.randint(low, high)
        # Small stimuli keep the sum in range; a threshold at the membrane is often just reached.
        stimulus >>= rng.randrange(acc_bits)
        threshold = rng.choice([rng.randint(1, most), max(1, min(most, abs(membrane)))])
        yield membrane, stimulus, threshold, *rng.choice(modes)


@cocotb.test()
async def updates(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    edge = await start(dut)
    for name, (steps, bits, acc_bits, frac, most_shift, _) in LIFS.items():
        block = Block(dut, name)
        shape = lif_config(name)
        shift_bits = most_shift.bit_length()
        seen = set()
        for membrane, stimulus, threshold, shift, form, reset in _vectors(name, rng):
            layer = Layer(None, None, threshold, shift, DECAY_FORMS[form], RESETS[reset])
            s, u = lif_step(shape, layer, np.array([membrane]), np.array([stimulus]))
            # T = 2: the sum of the time step's set, whatever the other's; T = 1: both sets' sum.
            other = rng.getrandbits(acc_bits)
            step = rng.randrange(2)
            sums = [other, stimulus if steps == 2 else stimulus - other]
            block.set(
                load=0,
                low=wrap(sums[1 - step], acc_bits),
                high=wrap(sums[step], acc_bits),
                step=step,
                membrane=membrane,
                threshold=threshold,
                shift=shift,
                parameters=shift | form << shift_bits | reset << (shift_bits + 1),
            )
            await edge
            block.check(
                (membrane, stimulus, threshold, shift, DECAY_FORMS[form], RESETS[reset]),
                spike=int(s[0]),
                membrane_next=int(u[0]),
            )
            leak = membrane >> shift
            decayed = leak if form else membrane - leak
            total = decayed + (stimulus << frac)
            limits = signed_range(bits)
            side = "low" if total < limits[0] else "high" if total > limits[1] else "in range"
            seen |= {side, (bool(s[0]), reset), "reached" if total == threshold else None}
        wanted = {"low", "high", "in range", "reached", (True, 0), (True, 1), (False, 0)}
        if acc_bits + frac < bits:
            # A decayed membrane leaves room, except at the extremes with slow leaks.
            wanted -= {"low", "high"}
        assert wanted <= seen, f"{name}: never {wanted - seen}"


@cocotb.test()
async def joins_nibbles(dut):
    """Corners and random sums at every shift, against the rounding shift of op 2."""
    rng = random.Random(cocotb.RANDOM_SEED)
    edge = await start(dut)
    for name, (_, _, bits, _, _, most) in LIFS.items():
        block = Block(dut, name)
        least, highest = signed_range(bits)
        corners = [least, least + 1, -9, -8, -1, 0, 1, 7, 8, highest - 1, highest]
        pairs = list(itertools.product(corners, corners))
        pairs += [(rng.randint(least, highest), rng.randint(least, highest)) for _ in range(100)]
        for shift, (low, high) in itertools.product(range(most + 1), pairs):
            block.set(load=1, step=0, membrane=0, low=low, high=high, shift=shift)
            await edge
            value, carry = block.get("load_value"), block.get("load_round")
            expected = wrap(round_shift(low + (high << 4), shift), bits)
            assert wrap(value + carry, bits) == expected, (name, low, high, shift)


@cocotb.test()
async def merges(dut):
    """Corners and random sums, against the sum of op 2, MERGE."""
    rng = random.Random(cocotb.RANDOM_SEED)
    edge = await start(dut)
    for name in MERGING_LIFS:
        block, bits = Block(dut, name), LIFS[name][2]
        least, highest = signed_range(bits)
        corners = [least, least + 1, -1, 0, 1, highest]
        pairs = list(itertools.product(corners, corners))
        pairs += [(rng.randint(least, highest), rng.randint(least, highest)) for _ in range(300)]
        for low, high in pairs:
            block.set(load=1, step=1, membrane=0, low=low, high=high, shift=0)
            await edge
            value, carry = block.get("load_value"), block.get("load_round")
            assert wrap(value + carry, bits) == wrap(low + high, bits), (name, low, high)
