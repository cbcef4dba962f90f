# SPDX-License-Identifier: Apache-2.0
"""The N largest logits of a frame, in order, so that a narrow link need not carry them all."""

from __future__ import annotations

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig

__all__ = ["BestN", "best_list", "logit_element"]


def logit_element(config: AcceleratorConfig) -> data.StructLayout:
    """One logit: `index` of its output, `last` of its frame, `end` of the utterance."""
    return data.StructLayout(
        {
            "value": signed(config.acc_bits),
            "index": range(max(2, config.n_output)),
            "last": 1,
            "end": 1,
        }
    )


def best_list(config: AcceleratorConfig, best: int) -> data.StructLayout:
    """Entries of class and score, best first; `end`: of an utterance's last frame."""
    entry = data.StructLayout(
        {"index": range(max(2, config.n_output)), "score": signed(config.acc_bits)}
    )
    return data.StructLayout({"entries": data.ArrayLayout(entry, best), "end": 1})


class BestN(wiring.Component):
    """Sorts logits into a list as they come; of equal ones the lower output is the better.

    Takes one logit a clock. While a finished list waits, it takes none.

    Parameters
    ----------
    best
        Entries of the list, at most the logits of a frame.

    Attributes
    ----------
    elements
        In, stream of `logit_element`, outputs in order.
    result
        Out, stream of `best_list`, one a frame.
    """

    def __init__(self, config: AcceleratorConfig, best: int) -> None:
        self._best = best
        super().__init__(
            {
                "elements": In(stream.Signature(logit_element(config))),
                "result": Out(stream.Signature(best_list(config, best))),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        element = self.elements.payload
        entries = self.result.payload.entries
        done = Signal()
        held = Signal(self._best)  # entries that hold a logit of this frame, the first ones
        beats = [~held[k] | (element.value > entries[k].score) for k in range(self._best)]
        m.d.comb += [self.elements.ready.eq(~done), self.result.valid.eq(done)]
        with m.If(self.elements.valid & ~done):
            m.d.sync += [done.eq(element.last), self.result.payload.end.eq(element.end)]
            for k in range(self._best):
                with m.If(beats[k]):
                    # It stands here, or stood before an entry that moves down.
                    pushed = beats[k - 1] if k else 0
                    above = entries[k - 1] if k else entries[k]
                    m.d.sync += [
                        entries[k].index.eq(Mux(pushed, above.index, element.index)),
                        entries[k].score.eq(Mux(pushed, above.score, element.value)),
                    ]
            m.d.sync += held.eq(Cat(1, held))  # a full list stays full
        with m.If(done & self.result.ready):
            m.d.sync += [done.eq(0), held.eq(0)]
        return m
