# SPDX-License-Identifier: Apache-2.0
"""The weight port: reads and writes weights and parameters by 32 bits, between frames."""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.choose import choose
from hw.schedule import WEIGHT_WORD_BITS, Schedule

__all__ = ["Region", "RegionAccess", "WeightPort", "regions", "weight_request"]


class Region(enum.Enum, shape=3):
    """What a weight request addresses: memory banks, thresholds, layer parameters.

    A weight row is words of 32 bits, lowest lanes first. THRESHOLD: row = tile, counted over all
    layers, word = lane. PARAMETER: row = layer, word 0: decay_shift, decay_form (0 leak, 1 scale),
    reset (0 zero, 1 subtract), input_shift, lowest first, widths as in `layer_parameters`.
    """

    INPUT = 0
    HIDDEN_0 = 1
    HIDDEN_1 = 2
    READOUT_0 = 3
    READOUT_1 = 4
    THRESHOLD = 5
    PARAMETER = 6


def regions(config: AcceleratorConfig, schedule: Schedule) -> dict[Region, tuple[int, int]]:
    """(rows, words per row) of each region; a region without rows is left out."""
    words = -(-config.row_bits // WEIGHT_WORD_BITS)
    memories = schedule.memories
    sizes = {
        Region.INPUT: (memories["input"].rows, words),
        Region.HIDDEN_0: (memories["hidden"].rows, words),
        Region.HIDDEN_1: (memories["hidden"].rows, words),
        Region.READOUT_0: (memories["readout"].rows, words),
        Region.READOUT_1: (memories["readout"].rows, words),
        Region.THRESHOLD: (config.state_rows, config.lanes),
        Region.PARAMETER: (config.n_layers, 1),
    }
    return {region: size for region, size in sizes.items() if size[0]}


def weight_request(config: AcceleratorConfig, schedule: Schedule) -> data.StructLayout:
    """A request on the weight port: a write of `data`, or a read answered on the data stream."""
    sizes = regions(config, schedule).values()
    return data.StructLayout(
        {
            "data": WEIGHT_WORD_BITS,
            "word": range(max(2, *(words for _, words in sizes))),
            "row": range(max(2, *(rows for rows, _ in sizes))),
            "region": Region,
            "write": 1,
        }
    )


class RegionAccess(NamedTuple):
    """What the weight port wants of one region in this cycle, and where it takes the answer.

    Attributes
    ----------
    select
        The region is addressed.
    read
        It is read.
    write
        It is written.
    write_words
        One bit for each word of the row: this word is written.
    data
        To be driven with the word `read_word` of the row that was read in the cycle before.
    """

    select: Value
    read: Value
    write: Value
    write_words: Value
    data: Value


class WeightPort(wiring.Component):
    """Decodes requests, one a cycle while the machine is idle, and answers reads in order.

    A request outside its region writes nothing and reads 0.

    Attributes
    ----------
    idle
        In, requests may be taken.
    requests
        In, stream of `weight_request`.
    answers
        Out, stream of the words read, each two cycles after its request at the soonest.
    select
        Out, one bit for each region: it is addressed in this cycle.
    write
        Out, the region that is addressed is written.
    row, word, write_data
        Out, where, and what is written there.
    read_word
        Out, the word of the row that was addressed in the cycle before.
    data
        In, per region in the order of `regions`, that word.
    """

    def __init__(self, config: AcceleratorConfig, schedule: Schedule, widths: list[int]) -> None:
        self.sizes = regions(config, schedule)
        request = weight_request(config, schedule)
        super().__init__(
            {
                "idle": In(1),
                "requests": In(stream.Signature(request)),
                "answers": Out(stream.Signature(WEIGHT_WORD_BITS)),
                "select": Out(len(self.sizes)),
                "write": Out(1),
                "row": Out(request["row"].shape),
                "word": Out(request["word"].shape),
                "write_data": Out(WEIGHT_WORD_BITS),
                "read_word": Out(request["word"].shape),
                "data": In(data.StructLayout({f"r{i}": bits for i, bits in enumerate(widths)})),
            }
        )

    def access(self, region: Region) -> RegionAccess:
        """What is wanted of a region, one of `sizes`."""
        index = list(self.sizes).index(region)
        select = self.select[index]
        write = select & self.write
        return RegionAccess(
            select=select,
            read=select & ~self.write,
            write=write,
            write_words=Mux(write, 1 << self.word, 0),
            data=self.data[f"r{index}"],
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        request = self.requests.payload
        fetching = Signal()  # a read was addressed in the cycle before
        accept = Signal()
        valid = Signal()
        answer = Signal(WEIGHT_WORD_BITS)
        m.d.comb += [
            self.requests.ready.eq(self.idle & ~fetching & ~valid),
            accept.eq(self.requests.valid & self.requests.ready),
            self.write.eq(accept & request.write),
            self.row.eq(request.row),
            self.word.eq(request.word),
            self.write_data.eq(request.data),
            self.answers.valid.eq(valid),
            self.answers.payload.eq(answer),
        ]
        for index, (region, (rows, words)) in enumerate(self.sizes.items()):
            m.d.comb += self.select[index].eq(
                accept & (request.region == region) & (request.row < rows) & (request.word < words)
            )
        selected = Signal.like(self.select)
        m.d.sync += fetching.eq(accept & ~request.write)
        with m.If(accept):
            m.d.sync += [selected.eq(self.select), self.read_word.eq(request.word)]
        with m.If(fetching):
            words = [self.data[f"r{index}"] for index in range(len(selected))]
            m.d.sync += [valid.eq(1), answer.eq(choose(*zip(selected, words, strict=True)))]
        with m.Elif(self.answers.ready):
            m.d.sync += valid.eq(0)
        return m
