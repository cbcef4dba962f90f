# SPDX-License-Identifier: Apache-2.0
"""The processing elements: sets of shift-add lanes, and the load that joins the input nibbles."""

from __future__ import annotations

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import AcceleratorConfig

__all__ = ["PESet", "accumulators", "join_nibbles"]


def accumulators(config: AcceleratorConfig) -> data.ArrayLayout:
    """Layout of the accumulators of one PE set, lane 0 lowest."""
    return data.ArrayLayout(signed(config.acc_bits), config.lanes)


class PESet(wiring.Component):
    """`lanes` shift-add PEs under one broadcast control word.

    acc <= (first ? 0 : acc) + (enable ? +/-(weight << shift) : 0), modulo 2**acc_bits.

    Attributes
    ----------
    weights : In, one row, lane j in bits 4j+3..4j.
    execute : In, the control word below is valid at this clock edge.
    first, enable, shift (0..3), negate : In.
    load, load_value : In, overwrite the accumulators (never together with `execute`).
    acc : Out, the accumulators.
    """

    def __init__(self, config: AcceleratorConfig, *, negates: bool) -> None:
        self._config = config
        ports = {
            "weights": In(config.row_bits),
            "execute": In(1),
            "first": In(1),
            "enable": In(1),
            "shift": In(2),
            "load": In(1),
            "load_value": In(accumulators(config)),
            "acc": Out(accumulators(config)),
        }
        if negates:
            ports["negate"] = In(1)
        self._negates = negates
        super().__init__(ports)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        bits = self._config.weight_bits
        # A lane that gets no work keeps its value: nothing toggles.
        update = Signal()
        m.d.comb += update.eq(self.execute & (self.first | self.enable))
        for lane in range(self._config.lanes):
            weight = self.weights[lane * bits : (lane + 1) * bits].as_signed()
            # -w has one bit more than w; what the shift adds beyond acc wraps anyway.
            digit = Mux(self.negate, -weight, weight) if self._negates else weight
            addend = Mux(self.enable, digit << self.shift, 0)
            base = Mux(self.first, 0, self.acc[lane])
            with m.If(update):
                m.d.sync += self.acc[lane].eq(base + addend)
            with m.Elif(self.load):
                m.d.sync += self.acc[lane].eq(self.load_value[lane])
        return m


def join_nibbles(low: Value, high: Value, input_shift: Value, max_shift: int) -> Value:
    """(low + (high << 4) + half) >>> input_shift, half = 2**(input_shift-1) or 0 for no shift.

    The sum has acc_bits + 5 bits: high << 4 has acc_bits + 4, and two more terms no larger than it
    add at most one bit (half <= 2**(max_shift-1), checked against acc_bits by the configuration).
    """
    half = Cat(input_shift == shift for shift in range(1, max_shift + 1))
    width = len(low) + 5
    total = (low + (high << 4) + half)[:width].as_signed()
    return total >> input_shift
