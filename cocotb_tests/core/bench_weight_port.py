# SPDX-License-Identifier: Apache-2.0
"""Bench of the weight port, through the core: each region, refusals, back-pressure, running frames.

The layout of a request and the sizes of the regions are computed here from docs/architecture.md
("Memory map") and the widths that it gives, not taken from the port's own code.
"""

from __future__ import annotations

import os
import random
from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from flows.simulation.bench import start_clock
from flows.simulation.job import CoreJob
from golden_model import Network
from golden_model.cycle import CycleModel
from hw.config import AcceleratorConfig
from hw.schedule import Schedule

__all__ = ["PortMap", "exercise", "scrub"]

_THRESHOLD, _PARAMETER, _NOTHING = 5, 6, 7
_ANSWER_CLOCKS = 64  # that the slowest answer may take, back-pressure included


class PortMap:
    """What the weight port addresses, and how a request is packed.

    Attributes
    ----------
    widths : (region, row, word) to the number of bits that a read of it returns.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        memories = Schedule(config).memories
        words = -(-config.lanes * 4 // 32)
        rows = [memories["input"].rows, *[memories["hidden"].rows] * 2]
        rows += [memories["readout"].rows] * 2
        sizes = {region: (count, words) for region, count in enumerate(rows) if count}
        sizes[_THRESHOLD] = config.state_rows, config.lanes
        sizes[_PARAMETER] = config.n_layers, 1
        parameter_bits = config.max_decay_shift.bit_length() + config.max_input_shift.bit_length()
        self.widths = {}
        for region, (count, per_row) in sizes.items():
            for row in range(count):
                for word in range(per_row):
                    bits = min(32, config.lanes * 4 - 32 * word)
                    if region == _THRESHOLD:
                        bits = config.membrane_bits - 1
                    elif region == _PARAMETER:
                        bits = parameter_bits + 2
                    self.widths[region, row, word] = bits
        self._word_bits = max(1, (max(words, config.lanes) - 1).bit_length())
        self._row_bits = max(1, (max(count for count, _ in sizes.values()) - 1).bit_length())

    def outside(self) -> list[tuple[int, int, int]]:
        """Every address that a request can hold and that is none of the machine's."""
        return [
            (region, row, word)
            for region in range(_NOTHING + 1)
            for row in range(1 << self._row_bits)
            for word in range(1 << self._word_bits)
            if (region, row, word) not in self.widths
        ]

    def request(self, place: tuple[int, int, int], data: int, *, write: bool = True) -> int:
        """Payload of a write of `data`, or of a read, which must not look at `data`."""
        region, row, word = place
        value, offset = data, 32
        for part, bits in ((word, self._word_bits), (row, self._row_bits), (region, 3)):
            value |= part << offset
            offset += bits
        return value | write << offset


async def _send(dut, payload: int) -> None:
    """Give one request and wait until it is taken."""
    dut.weights__payload.value = payload
    dut.weights__valid.value = 1
    for _ in range(_ANSWER_CLOCKS):
        taken = bool(dut.weights__ready.value)
        await FallingEdge(dut.clk)
        if taken:
            break
    else:
        raise AssertionError(f"request {payload:#x} was not taken in an idle machine")
    dut.weights__valid.value = 0


async def scrub(dut, config: AcceleratorConfig, rng: random.Random) -> None:
    """Write random data everywhere, so that nothing of an earlier load is left."""
    port = PortMap(config)
    for place in port.widths:
        await _send(dut, port.request(place, rng.getrandbits(32)))


async def _read_all(dut, port: PortMap, expected: dict, rng: random.Random) -> None:
    """Read places twice in random order, answers taken late, requests offered all the time."""
    places = rng.sample(list(expected) * 2, 2 * len(expected))
    waiting: deque = deque()
    offered = answered = quiet = 0
    held = None
    while answered < len(places):
        valid = offered < len(places)
        dut.weights__valid.value = int(valid)
        if valid:
            dut.weights__payload.value = port.request(
                places[offered], rng.getrandbits(32), write=False
            )
        ready = int(rng.random() < 0.6)
        dut.weight_data__ready.value = ready
        if valid and dut.weights__ready.value:
            waiting.append(places[offered])
            offered += 1
        quiet += 1
        if dut.weight_data__valid.value:
            assert waiting, "an answer without a read"
            value = int(dut.weight_data__payload.value)
            assert held in (None, value), "an answer changed while it waited"
            held = None if ready else value
            if ready:
                place = waiting.popleft()
                assert value == expected[place], (
                    f"region, row, word {place}: read {value:#x}, expected {expected[place]:#x}"
                )
                answered += 1
                quiet = 0
        else:
            assert held is None, "an answer was withdrawn"
        assert quiet < _ANSWER_CLOCKS, f"{len(waiting)} reads are not answered"
        await FallingEdge(dut.clk)
    dut.weights__valid.value = 0
    for _ in range(4):
        assert not dut.weight_data__valid.value, "an answer without a read"
        await FallingEdge(dut.clk)


async def exercise(dut, config: AcceleratorConfig, rng: random.Random) -> None:
    """Everything about the port of an idle machine; leaves random contents."""
    port = PortMap(config)
    held = {}
    for place in rng.sample(list(port.widths), len(port.widths)):
        data = rng.getrandbits(32)
        await _send(dut, port.request(place, data))
        held[place] = data & ((1 << port.widths[place]) - 1)
        if rng.random() < 0.1:
            await FallingEdge(dut.clk)
    outside = port.outside()
    outside = rng.sample(outside, min(200, len(outside)))
    for place in outside:
        await _send(dut, port.request(place, rng.getrandbits(32) | 1))
    await _read_all(dut, port, held | dict.fromkeys(outside, 0), rng)


async def reset(dut) -> None:
    """Reset the core with all inputs at rest."""
    for port in (
        *(dut.features__valid, dut.features__payload, dut.logits__ready, dut.clear_counters),
        *(dut.weights__valid, dut.weights__payload, dut.weight_data__ready),
    ):
        port.value = 0
    dut.rst.value = 1
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0


async def closed_while_running(dut, config: AcceleratorConfig, network: Network, rng) -> None:
    """A write offered during a frame is taken after it, and `busy` follows the machine.

    The network is loaded.
    """
    port = PortMap(config)
    model = CycleModel(config, network)
    place = rng.choice([p for p in port.widths if p[0] < _THRESHOLD])
    data = rng.getrandbits(port.widths[place])
    frames = 3
    beats = [(rng.randrange(-128, 128), 0, 0) for _ in range(frames * config.n_input)]
    offered = clocks = 0
    taken = False
    # Nothing of the frames may depend on the write: it is taken after the last of them.
    while not (taken and model.quiet):
        clocks += 1
        assert clocks < 20_000, "the machine does not come to rest"
        assert bool(dut.busy.value) != model.quiet, f"busy in clock {clocks}"
        beat = beats[offered] if offered < len(beats) else None
        dut.features__valid.value = int(beat is not None)
        if beat is not None:
            dut.features__payload.value = beat[0] & 0xFF
        ready = rng.random() < 0.4
        dut.logits__ready.value = int(ready)
        runs = model.phase != model.schedule.idle or bool(model.full)
        open_ = bool(dut.weights__ready.value)
        assert not (runs and open_), "the weight port is open while a frame runs"
        assert open_ or not model.quiet, "the weight port is closed in an idle machine"
        ask = offered == len(beats) and not taken
        dut.weights__valid.value = int(ask)
        dut.weights__payload.value = port.request(place, data)
        taken |= ask and open_
        offered += beat is not None and model.features_ready
        model.advance(beat, ready)
        await FallingEdge(dut.clk)
        dut.weights__valid.value = 0
    dut.features__valid.value = 0
    dut.logits__ready.value = 0
    await _read_all(dut, port, {place: data}, rng)


@cocotb.test()
async def weight_port(dut) -> None:
    """The port of the core of PLOSIVE_JOB, idle and running."""
    job = CoreJob.read(os.environ["PLOSIVE_JOB"])
    start_clock(dut)
    rng = random.Random(cocotb.RANDOM_SEED)
    await reset(dut)
    for request in np.load(job.words_path):
        await _send(dut, int(request))
    await closed_while_running(dut, job.config, Network.load(job.network_path), rng)
    await exercise(dut, job.config, rng)
