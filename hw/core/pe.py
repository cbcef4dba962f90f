# SPDX-License-Identifier: Apache-2.0
"""The processing elements: sets of shift-add lanes."""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.choose import choose

__all__ = ["PESet", "accumulators"]


def accumulators(config: AcceleratorConfig) -> data.ArrayLayout:
    """Layout of the accumulators of one PE set, lane 0 lowest."""
    return data.ArrayLayout(signed(config.acc_bits), config.lanes)


class PESet(wiring.Component):
    """`lanes` shift-add PEs under one broadcast control word.

    acc <= (first ? 0 : acc) + (enable ? +/-(weight << shift) : 0), or a load,
    acc <= load_value + load_round, modulo 2**acc_bits.

    Attributes
    ----------
    weights
        In, one row, lane j in bits 4j+3..4j.
    execute
        In, the control word below is valid at this clock edge.
    first, enable, shift (0..3), negate : In.
    load
        In, one bit a part of the tile: overwrite its accumulators. Never together with
        `execute`; `first` and `enable` are 0.
    load_value, load_round
        In, of each lane of a part.
    clear
        In (with `clears`), a load is of 0.
    acc
        Out, the accumulators.
    """

    def __init__(self, config: AcceleratorConfig, *, negates: bool, clears: bool = False) -> None:
        self._config = config
        ports = {
            "weights": In(config.row_bits),
            "execute": In(1),
            "first": In(1),
            "enable": In(1),
            "shift": In(2),
            "load": In(config.parts),
            "load_value": In(data.ArrayLayout(signed(config.acc_bits), config.neuron_lanes)),
            "load_round": In(config.neuron_lanes),
            "acc": Out(accumulators(config)),
        }
        if negates:
            ports["negate"] = In(1)
        if clears:
            ports["clear"] = In(1)
        self._negates = negates
        self._clears = clears
        super().__init__(ports)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        bits = self._config.weight_bits
        # A lane that gets no work keeps its value: nothing toggles.
        work = Signal()
        m.d.comb += work.eq(self.execute & (self.first | self.enable))
        values = self.load  # the parts that a load gives a value
        if self._clears:
            values = Signal.like(self.load)
            m.d.comb += values.eq(Mux(self.clear, 0, self.load))
        for lane in range(self._config.lanes):
            part, place = divmod(lane, self._config.neuron_lanes)
            load = self.load[part]
            weight = self.weights[lane * bits : (lane + 1) * bits].as_signed()
            weight = Mux(self.enable, weight, 0)
            # -w has one bit more than w; what the shift adds beyond acc wraps anyway.
            digit = Mux(self.negate, -weight, weight) if self._negates else weight
            addend = (digit << self.shift) | (values[part] & self.load_round[place])
            base = choose(
                (~(self.first | load), self.acc[lane]), (values[part], self.load_value[place])
            )
            with m.If(work | load):
                m.d.sync += self.acc[lane].eq(base + addend)
        return m
