# SPDX-License-Identifier: Apache-2.0
"""One leaky integrate-and-fire neuron, combinational."""

from __future__ import annotations

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from .config import AcceleratorConfig

__all__ = ["DecayForm", "LIFLane", "Reset", "lif_parameters"]


class DecayForm(enum.Enum, shape=1):
    """How the membrane decays with shift a."""

    LEAK = 0  # u - (u >>> a): beta = 1 - 2**-a
    SCALE = 1  # u >>> a: beta = 2**-a


class Reset(enum.Enum, shape=1):
    """What a spike does to the membrane."""

    ZERO = 0
    SUBTRACT = 1


def lif_parameters(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of the parameters that all neurons of a layer share."""
    return data.StructLayout(
        {
            "decay_shift": range(config.max_decay_shift + 1),
            "decay_form": DecayForm,
            "reset": Reset,
        }
    )


class LIFLane(wiring.Component):
    """A neuron's update in one time step (docs/numerics.md, LIF).

    Attributes
    ----------
    stimulus : In, signed, acc_bits.
    membrane : In, signed, membrane_bits: after the time step before.
    threshold : In, unsigned, membrane_bits - 1.
    parameters : In, decay and reset of the layer.
    membrane_next : Out, signed, membrane_bits.
    spike : Out, 1 bit.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "stimulus": In(signed(config.acc_bits)),
                "membrane": In(signed(config.membrane_bits)),
                "threshold": In(config.membrane_bits - 1),
                "parameters": In(lif_parameters(config)),
                "membrane_next": Out(signed(config.membrane_bits)),
                "spike": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self._config
        bits = config.membrane_bits
        # A decayed membrane is no wider than the membrane; the sum of two operands takes one more
        # bit than the wider one.
        total_bits = max(bits, config.acc_bits + config.membrane_frac) + 1
        shifted = Signal(signed(bits))
        decayed = Signal(signed(bits))
        total = Signal(signed(total_bits))
        clamped = Signal(signed(bits))
        highest = (1 << (bits - 1)) - 1
        m.d.comb += [
            shifted.eq(self.membrane >> self.parameters.decay_shift),
            decayed.eq(
                Mux(self.parameters.decay_form == DecayForm.SCALE, shifted, self.membrane - shifted)
            ),
            total.eq(decayed + (self.stimulus << config.membrane_frac)),
            clamped.eq(total),
        ]
        # Out of range: the bits above the sign bit of the result differ from the sign.
        with m.If(total[bits - 1 :] != total[-1].replicate(total_bits - bits + 1)):
            m.d.comb += clamped.eq(Mux(total[-1], Const(~highest, signed(bits)), highest))
        m.d.comb += [
            self.spike.eq(clamped >= self.threshold),
            self.membrane_next.eq(clamped),
        ]
        with m.If(self.spike):
            m.d.comb += self.membrane_next.eq(
                Mux(self.parameters.reset == Reset.SUBTRACT, clamped - self.threshold, 0)
            )
        return m
