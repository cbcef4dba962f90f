# SPDX-License-Identifier: Apache-2.0
"""Bench of the performance counters (docs/architecture.md, "Counters"), four bits wide."""

import random

import cocotb

from cocotb_tests.blocks.block_ports import Block, pack, start
from cocotb_tests.blocks.blocks import COUNTER_CONFIG, COUNTERS
from hw.schedule import Schedule


@cocotb.test()
async def counts_and_wraps(dut):
    rng = random.Random(cocotb.RANDOM_SEED)
    blocks = [Block(dut, name) for name in COUNTERS]
    most_dense = max(phase.dense_rows for phase in Schedule(COUNTER_CONFIG).phases)
    inputs = {
        **{"clear": 1, "running": 1, "stall": 1, "frame_last": 1, "phase_last": 1},
        **{"input_rows": 1, "hidden_rows": 2, "readout_rows": 2, "pe_operations": 2},
    }
    for block in blocks:
        block.set(**dict.fromkeys(inputs, 0), dense_rows=0)
    edge = await start(dut)
    counts = waiting = [0] * 8  # what the cycle before did is added at this edge
    wraps = 0
    for clock in range(4000):
        event = {name: rng.getrandbits(bits) for name, bits in inputs.items()}
        event["clear"] = int(rng.random() < 0.01)
        # A slot reads one memory.
        memories = ["input_rows", "hidden_rows", "readout_rows"]
        event |= dict.fromkeys(rng.sample(memories, 2), 0)
        dense = rng.randint(0, most_dense)
        reset = int(rng.random() < 0.002)
        dut.rst.value = reset
        for block in blocks:
            block.set(**event, dense_rows=dense)
        hidden, readout = event["hidden_rows"].bit_count(), event["readout_rows"].bit_count()
        rows = event["input_rows"] + hidden + readout
        steps = [
            event["running"],
            event["running"] & event["stall"],
            event["frame_last"],
            event["input_rows"],
            hidden,
            readout,
            event["pe_operations"].bit_count(),
            dense * event["phase_last"] - rows,
        ]
        sums = [count + step for count, step in zip(counts, waiting, strict=True)]
        wraps += sum(not 0 <= total < 16 for total in sums)
        counts, waiting = [total % 16 for total in sums], steps
        running = 0 if reset else event["running"]
        if reset or event["clear"]:
            counts = waiting = [0] * 8
        await edge
        for block in blocks:
            block.check(f"clock {clock}, {event}", values=pack(counts, 4), counting=running)
    assert wraps > 100, "hardly a counter wrapped"
