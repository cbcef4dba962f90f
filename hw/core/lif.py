# SPDX-License-Identifier: Apache-2.0
"""A lane of the neurons, combinational: the LIF update, and the load that joins two sums."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.choose import choose

__all__ = ["DecayForm", "LIFLane", "Reset", "lif_parameters", "shift_shape"]


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
    """A neuron's update in one time step (docs/numerics.md, LIF), or the load of its accumulators.

    A load is (low + (high << 4) + half) >>> shift, half = 2**(shift-1) or 0 for shift 0. It shares
    the shifter of the decay. Its rounding is left to the adder of the PE: the half makes a carry
    of exactly the last bit that is shifted out. A load with time step 1 is a MERGE, low + high; its
    shift is 0.

    Attributes
    ----------
    load
        In, which of the two.
    low, high
        In, signed, acc_bits: the sums of PE sets 0 and 1.
    step
        In, the time step, whose set has the stimulus (T = 2; for T = 1 it is the sets' sum). In a
        load, whether it is a MERGE.
    membrane
        In, signed, membrane_bits: after the time step before. 0 in a load.
    threshold
        In, unsigned, membrane_bits - 1.
    parameters
        In, decay and reset of the layer.
    shift
        In, of the decay or of the load.
    membrane_next
        Out, signed, membrane_bits.
    spike
        Out, 1 bit.
    load_value, load_round
        Out, the load is their sum.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "load": In(1),
                "low": In(signed(config.acc_bits)),
                "high": In(signed(config.acc_bits)),
                "step": In(1),
                "membrane": In(signed(config.membrane_bits)),
                "threshold": In(config.membrane_bits - 1),
                "parameters": In(lif_parameters(config)),
                "shift": In(shift_shape(config)),
                "membrane_next": Out(signed(config.membrane_bits)),
                "spike": Out(1),
                "load_value": Out(signed(config.acc_bits)),
                "load_round": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self._config
        bits = config.membrane_bits
        # high << 4 has acc_bits + 4 bits, and the sum one more.
        join_bits = config.acc_bits + 5
        joined = Signal(signed(join_bits))
        operand = Signal(signed(max(bits, join_bits)))
        shifted = Signal(signed(len(operand) + 1))  # the lowest bit: the last one shifted out
        high = self.high << 4
        if config.merges:
            high = Mux(self.step, self.high, high)
        m.d.comb += [
            joined.eq(self.low + high),
            operand.eq(self.membrane | Mux(self.load, joined, 0)),
            shifted.eq(Cat(0, operand).as_signed() >> self.shift),
            self.load_value.eq(shifted >> 1),
            self.load_round.eq(shifted[0]),
        ]

        stimulus = Signal(signed(config.acc_bits))
        if config.time_steps == 2:
            m.d.comb += stimulus.eq(Mux(self.step, self.high, self.low))
        else:
            m.d.comb += stimulus.eq(self.low + self.high)
        # A decayed membrane is no wider than the membrane; the sum of two operands takes one more
        # bit than the wider one.
        total_bits = max(bits, config.acc_bits + config.membrane_frac) + 1
        leak = Signal(signed(bits))
        decayed = Signal(signed(bits))
        total = Signal(signed(total_bits))
        excess = Signal(signed(total_bits + 1))
        m.d.comb += [
            leak.eq(shifted >> 1),
            decayed.eq(
                Mux(self.parameters.decay_form == DecayForm.SCALE, leak, self.membrane - leak)
            ),
            total.eq(decayed + (stimulus << config.membrane_frac)),
            # The threshold is in the membrane's range: the clamp does not change who reaches it.
            excess.eq(total - self.threshold),
            self.spike.eq(~excess[-1]),
        ]
        # Out of range: the bits above the sign bit of the result differ from the sign.
        clamps = Signal()
        m.d.comb += clamps.eq(total[bits - 1 :] != total[-1].replicate(total_bits - bits + 1))
        subtracts = self.spike & (self.parameters.reset == Reset.SUBTRACT)
        least = Const(1 << (bits - 1), bits)
        m.d.comb += self.membrane_next.eq(
            choose(
                (~self.spike & ~clamps, total[:bits]),
                (~self.spike & clamps, least),  # what is clamped above spikes
                (subtracts & ~clamps, excess[:bits]),
                (subtracts & clamps, ~self.threshold),  # the highest membrane less the threshold
            )
        )
        return m


def shift_shape(config: AcceleratorConfig) -> range:
    """Shape of a shift amount, of the decay or of the load."""
    return range(max(config.max_decay_shift, config.max_input_shift) + 1)
