# SPDX-License-Identifier: Apache-2.0
"""Benches of the feature buffer and the output buffer (docs/architecture.md)."""

import random

import cocotb

from cocotb_tests.blocks.block_ports import Block, pack, start
from cocotb_tests.blocks.blocks import FEATURES, OUTPUTS
from flows.verilog.beats import feature_payload
from golden_model.fixed_point import wrap
from hw.config import AcceleratorConfig


class _FeatureModel:
    """The feature buffer of n features."""

    def __init__(self, n: int) -> None:
        self.x = [0] * n
        self.count = self.full = self.next_start = self.next_end = 0

    def edge(self, beat: tuple[int, int, int] | None, done: int) -> None:
        was_full = self.full
        if done:
            self.full = 0
        if beat is not None and not was_full:
            self.x[self.count] = beat[0]
            self.count += 1
            if self.count == len(self.x):
                self.count, self.full = 0, 1
                _, self.next_start, self.next_end = beat


@cocotb.test()
async def collects_features(dut):
    """Beats at random times, frames released at random times, a reset now and then."""
    rng = random.Random(cocotb.RANDOM_SEED)
    blocks = {n: Block(dut, f"buffer_{name}") for name, n in FEATURES.items()}
    models = {n: _FeatureModel(n) for n in blocks}
    for block in blocks.values():
        block.set(stream__valid=0, done=0)
    edge = await start(dut)
    for clock in range(3000):
        reset = int(clock % 701 == 700)
        dut.rst.value = reset
        for n, block in blocks.items():
            model = models[n]
            valid, flags = rng.randrange(2), (rng.randrange(2), rng.randrange(2))
            value = rng.randint(-128, 127)
            done = int(model.full and rng.random() < 0.4)
            block.set(
                stream__valid=valid,
                stream__payload=feature_payload(value, *flags),
                done=done,
            )
            if reset:
                models[n] = _FeatureModel(n)
            else:
                model.edge((value, *flags) if valid else None, done)
        await edge
        for n, block in blocks.items():
            model = models[n]
            block.check(
                f"clock {clock}",
                stream__ready=1 - model.full,
                features=pack(model.x, 8),
                count=model.count,
                full=model.full,
                next_start=model.next_start,
                next_end=model.next_end,
            )


class _OutputModel:
    """The output buffer of a configuration."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        lanes, tiles = config.lanes, -(-config.n_output // config.lanes)
        self._odd = tiles % 2
        full = 2 * lanes
        left = config.n_output % full or full
        self._full_beats, self._last_beats = (
            full // config.output_lanes,
            -(-left // config.output_lanes),
        )
        self.data = [0] * full
        self.valid = self.beat = self.last_group = self.end = 0

    @property
    def final(self) -> bool:
        return self.beat == (self._last_beats if self.last_group else self._full_beats) - 1

    def stall(self, capture: int, ready: int) -> int:
        return int(capture and self.valid and not (ready and self.final))

    def payload(self) -> int:
        lanes, bits = self._config.output_lanes, self._config.acc_bits
        held = self.data
        if self.last_group and self._odd:
            low, high = held[: len(held) // 2], held[len(held) // 2 :]
            held = [wrap(a + b, bits) for a, b in zip(low, high, strict=True)] + [0] * len(low)
        logits = held[self.beat * lanes : (self.beat + 1) * lanes]
        flags = int(self.last_group and self.final) | self.end << 1
        return pack(logits, bits) | flags << (lanes * bits)

    def edge(self, capture: int, last: int, end: int, acc: list[list[int]], ready: int) -> None:
        if capture and not self.stall(capture, ready):
            self.data = acc[0] + acc[1]
            self.valid, self.beat, self.last_group, self.end = 1, 0, last, end
        elif self.valid and ready:
            final = self.final
            self.beat += 1
            if final:
                self.valid = self.beat = 0


@cocotb.test()
async def sends_groups(dut):
    """Captures as fast as they go and slowly, a consumer that stalls for long."""
    rng = random.Random(cocotb.RANDOM_SEED)
    blocks = {name: Block(dut, name) for name in OUTPUTS}
    models = {name: _OutputModel(config) for name, config in OUTPUTS.items()}
    due: dict = dict.fromkeys(OUTPUTS)
    for block in blocks.values():
        block.set(capture=0, stream__ready=0)
    edge = await start(dut)
    for clock in range(6000):
        eager = clock // 500 % 3
        for name, config in OUTPUTS.items():
            block, model = blocks[name], models[name]
            if due[name] is None and rng.random() < (0.9, 0.2, 0.05)[eager]:
                bits = config.acc_bits
                acc = [
                    [wrap(rng.getrandbits(bits), bits) for _ in range(config.lanes)]
                    for _ in range(2)
                ]
                due[name] = (1, rng.randrange(2), rng.randrange(2), acc)
            ready = int(rng.random() < (0.3, 0.9, 0.5)[clock // 700 % 3])
            capture = due[name] or (0, 0, 0, [[0] * config.lanes] * 2)
            block.set(
                capture=capture[0],
                capture_last=capture[1],
                capture_end=capture[2],
                acc=pack(capture[3][0] + capture[3][1], config.acc_bits),
                stream__ready=ready,
            )
            stall = model.stall(capture[0], ready)
            model.edge(*capture, ready)
            if not stall:
                due[name] = None
        await edge
        for name, config in OUTPUTS.items():
            model = models[name]
            expected = {"stream__valid": model.valid, "beat": model.beat}
            if model.valid:
                expected |= {
                    "data": pack(model.data, config.acc_bits),
                    "stream__payload": model.payload(),
                    "last_group": model.last_group,
                    "end": model.end,
                }
            # The inputs of the clock that has passed are still there: the stall they mean now.
            capture, ready = blocks[name].get("capture"), blocks[name].get("stream__ready")
            expected["stall"] = model.stall(capture, ready)
            blocks[name].check(f"clock {clock}", **expected)
