# SPDX-License-Identifier: Apache-2.0
"""A host of the IP top for benches: cocotbext-axi's masters, and what a driver does with them."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from golden_model import Network
from golden_model.layer import DECAY_FORMS, RESETS
from golden_model.memory_image import memory_image, packed_rows
from hw.config import AcceleratorConfig
from hw.shell.registers import COUNTER_REGISTERS, element_bits, register

__all__ = ["AxiHost", "best_elements", "pauses", "weight_rows"]

_MEMORIES = (("input", 0), ("hidden", 0), ("hidden", 1), ("readout", 0), ("readout", 1))
_THRESHOLD, _PARAMETER = 5, 6
_POLLS = 3000


def pauses(rng: random.Random) -> Iterator[bool]:
    """Clocks in which a channel waits: runs of random length, from never to most of the time."""
    while True:
        share = rng.choice([0, 0, 0.2, 0.5, 0.9])
        for _ in range(rng.randrange(1, 60)):
            yield rng.random() < share


def weight_rows(
    config: AcceleratorConfig, network: Network
) -> Iterator[tuple[int, list[list[int]]]]:
    """(region, its rows of words) of everything that loads a network."""
    image = memory_image(config, network)
    for region, (memory, bank) in enumerate(_MEMORIES):
        rows = packed_rows(image[memory][bank], config.weight_bits)
        count = -(-config.row_bits // 32)
        if rows:
            yield region, [[row >> 32 * i & 0xFFFFFFFF for i in range(count)] for row in rows]
    yield _THRESHOLD, [[int(value) for value in row] for row in image["thresholds"]]
    decay_bits = config.max_decay_shift.bit_length()
    parameters = [
        layer.decay_shift
        | DECAY_FORMS.index(layer.decay_form) << decay_bits
        | RESETS.index(layer.reset) << decay_bits + 1
        | layer.input_shift << decay_bits + 2
        for layer in network.layers
    ]
    yield _PARAMETER, [[word] for word in parameters]


def best_elements(logits: np.ndarray, best: int) -> np.ndarray:
    """Class, score, class, score, ... of each row of logits, best first, lower class at a draw."""
    order = np.argsort(-logits.astype(np.int64), axis=-1, kind="stable")[..., :best]
    scores = np.take_along_axis(logits, order, axis=-1)
    return np.stack([order, scores], axis=-1).reshape(*logits.shape[:-1], 2 * best)


class AxiHost:
    """What a host does, over AXI.

    Parameters
    ----------
    dut : the `axi_bench`. config, best : of the IP top.
    """

    def __init__(self, dut, config: AcceleratorConfig, best: int = 0) -> None:
        self.dut, self.config, self.best = dut, config, best
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.bits = element_bits(config)
        self.writes = self.reads = 0
        logging.getLogger("cocotb").setLevel(logging.WARNING)
        # A GPL package that a dependency of cocotbext-axi asks for: installed, and never used.
        assert "scapy" not in sys.modules

    async def start(self, *, paused: bool = True) -> None:
        """Clock, reset and masters."""
        dut = self.dut
        Clock(dut.clk, 10, unit="ns", impl="gpi").start(start_high=False)
        dut.rst.value = 1
        self.control = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_ctrl"), dut.clk, dut.rst)
        self.features = AxiStreamSource(
            AxiStreamBus.from_prefix(dut, "s_axis_features"), dut.clk, dut.rst
        )
        self.logits = AxiStreamSink(
            AxiStreamBus.from_prefix(dut, "m_axis_logits"), dut.clk, dut.rst
        )
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await ClockCycles(dut.clk, 2)
        if paused:
            write, read = self.control.write_if, self.control.read_if
            for channel in (
                *(write.aw_channel, write.w_channel, write.b_channel),
                *(read.ar_channel, read.r_channel, self.features, self.logits),
            ):
                channel.set_pause_generator(pauses(random.Random(self.rng.random())))

    # ---- registers -------------------------------------------------------------------------

    async def access_read(self, address: int) -> int | None:
        """The word at an address, or None if it is refused."""
        self.reads += 1
        answer = await self.control.read(address, 4 - address % 4)
        return int.from_bytes(answer.data, "little") if answer.resp == AxiResp.OKAY else None

    async def access_write(self, address: int, word: int, size: int | None = None) -> bool:
        """Whether a word was taken."""
        self.writes += 1
        data = word.to_bytes(4, "little")[: size or 4 - address % 4]
        return (await self.control.write(address, data)).resp == AxiResp.OKAY

    async def read(self, name: str) -> int:
        """A register that must answer."""
        word = await self.access_read(register(name).offset)
        assert word is not None, f"{name} is refused"
        return word

    async def write(self, name: str, word: int) -> None:
        """A register that must take the word."""
        assert await self.access_write(register(name).offset, word), f"{name} refuses {word:#x}"

    async def refuses(self, name: str, word: int | None = None) -> None:
        """A read, or a write of `word`, must be refused."""
        offset = register(name).offset
        if word is None:
            assert await self.access_read(offset) is None, f"{name} answers"
        else:
            assert not await self.access_write(offset, word), f"{name} takes {word:#x}"

    async def status(self, field: str) -> int:
        return register("STATUS").unpack(await self.read("STATUS"))[field]

    async def until(self, field: str, value: int) -> None:
        """Poll STATUS."""
        for _ in range(_POLLS):
            if await self.status(field) == value:
                return
        raise AssertionError(f"STATUS.{field} is not {value} after {_POLLS} polls")

    async def mode(self, readout: str, source: str) -> None:
        await self.until("busy", 0)
        fields = {"readout": readout == "best", "source": source == "registers"}
        await self.write("MODE", register("MODE").pack(**fields))

    async def counters(self) -> dict[str, int]:
        return {name[8:].lower(): await self.read(name) for name in COUNTER_REGISTERS}

    # ---- weights ---------------------------------------------------------------------------

    async def load(self, network: Network, *, check: bool = True) -> None:
        """Write a network, and read all of it back."""
        regions = list(weight_rows(self.config, network))
        for region, rows in regions:
            await self.point(region)
            for word in (word for row in rows for word in row):
                await self.write("WEIGHT_DATA", word)
        for region, rows in regions if check else ():
            await self.point(region)
            for place, word in enumerate(word for row in rows for word in row):
                read = await self.read("WEIGHT_DATA")
                assert read == word, f"region {region}, word {place}: {read:#x}, not {word:#x}"

    async def point(self, region: int, row: int = 0, word: int = 0) -> None:
        address = register("WEIGHT_ADDRESS").pack(region=region, word=word)
        await self.write("WEIGHT_ADDRESS", address)
        await self.write("WEIGHT_ROW", row)

    # ---- features and results --------------------------------------------------------------

    def stream(self, features: np.ndarray, *, end: bool = True, start: bool = True) -> None:
        """Queue an utterance on the feature stream."""
        for index, row in enumerate(features):
            flags = (start and index == 0) | (end and index == len(features) - 1) << 1
            data = bytes(int(value) & 0xFF for value in row)
            # The flags count on the last beat; elsewhere they must not matter.
            users = [self.rng.randrange(4) for _ in data[1:]] + [int(flags)]
            self.features.send_nowait(AxiStreamFrame(data, tuser=users))

    async def streamed(self) -> tuple[list[int], int]:
        """Elements of the next frame of the result stream, and its last beat's tuser."""
        frame = await self.logits.recv(compact=False)
        size = self.bits // 8
        data = bytes(frame.tdata)
        elements = [
            int.from_bytes(data[i : i + size], "little", signed=True)
            for i in range(0, len(data), size)
        ]
        user = frame.tuser
        return elements, user[-1] if isinstance(user, list) else user

    async def put(self, row: np.ndarray, *, start: bool, end: bool) -> None:
        """A frame through FEATURES."""
        if start or end or self.rng.random() < 0.2:
            await self.write("FRAME_FLAGS", register("FRAME_FLAGS").pack(start=start, end=end))
        values = [int(value) & 0xFF for value in row]
        values += [self.rng.randrange(256) for _ in range(-len(values) % 4)]  # must be ignored
        for i in range(0, len(values), 4):
            word = int.from_bytes(bytes(values[i : i + 4]), "little")
            for _ in range(_POLLS):
                if await self.access_write(register("FEATURES").offset, word):
                    break
            else:
                raise AssertionError("FEATURES refuses for ever")

    async def take(self, count: int) -> tuple[list[int], list[tuple[int, int]]]:
        """`count` elements of a frame through RESULTS, and (last, end) of each word."""
        data, flags = b"", []
        for _ in range(-(-count * self.bits // 32)):
            await self.until("results_ready", 1)
            status = register("STATUS").unpack(await self.read("STATUS"))
            flags.append((status["result_last"], status["result_end"]))
            data += (await self.read("RESULTS")).to_bytes(4, "little")
        size = self.bits // 8
        elements = [
            int.from_bytes(data[i : i + size], "little", signed=True)
            for i in range(0, len(data), size)
        ]
        assert not any(elements[count:]), "the rest of the last word is not 0"
        return elements[:count], flags
