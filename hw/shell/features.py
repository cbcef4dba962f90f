# SPDX-License-Identifier: Apache-2.0
"""Features by the register window: words of four into one feature a clock."""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.stream_buffers import feature_beat
from hw.shell.bus import BUS_WORD_BITS

__all__ = ["FeatureWords", "feature_input"]


def feature_input(config: AcceleratorConfig) -> data.StructLayout:
    """A feature from outside; `last` should be that of its frame, the flags as in the core's."""
    return data.StructLayout({**feature_beat(config).members, "last": 1})


class FeatureWords(wiring.Component):
    """Takes words, lowest byte first, and drops what is left of a frame's last one.

    Attributes
    ----------
    words
        In, stream of 32 bits.
    start, end
        In, flags of the frame whose first word is taken.
    frame_begins
        In, the next feature is a frame's first.
    frame_ends
        In, the next feature is a frame's last.
    features
        Out, stream of `feature_beat`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "words": In(stream.Signature(BUS_WORD_BITS)),
                "start": In(1),
                "end": In(1),
                "frame_begins": In(1),
                "frame_ends": In(1),
                "features": Out(stream.Signature(feature_beat(config))),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        word = Signal(BUS_WORD_BITS)
        left = Signal(BUS_WORD_BITS // 8)  # one bit a feature that is left, the next one in bit 0
        start, end = Signal(), Signal()
        m.d.comb += [
            self.words.ready.eq(~left[0]),
            self.features.valid.eq(left[0]),
            self.features.payload.value.eq(word[:8]),
            self.features.payload.start.eq(start),
            self.features.payload.end.eq(end),
        ]
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += [word.eq(self.words.payload), left.eq(-1)]
            with m.If(self.frame_begins):
                m.d.sync += [start.eq(self.start), end.eq(self.end)]
        with m.Elif(self.features.ready & left[0]):
            m.d.sync += [word.eq(word >> 8), left.eq(left >> 1)]
            with m.If(self.frame_ends):
                m.d.sync += left.eq(0)
        return m
