# SPDX-License-Identifier: Apache-2.0
"""An asynchronous serial port, 8N1, whose speed is a run-time register.

Bit times come from a phase accumulator: `step` is added in every clock, modulo 2**PHASE_BITS, and
a bit lasts until it wraps. So any speed can be set, the mean bit time is exact to one part in
2 * step, and single edges are early or late by at most one clock. A bit needs four clocks.
"""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["LEAST_CLOCKS_PER_BIT", "PHASE_BITS", "UartReceiver", "UartTransmitter", "baud_step"]

PHASE_BITS = 16
LEAST_CLOCKS_PER_BIT = 4
_DATA_BITS = 8


def baud_step(clock_hz: int, baud: int) -> int:
    """The `step` that comes nearest to a speed.

    Raises
    ------
    ValueError
        The clock is less than four times the speed, or too fast for it.
    """
    if clock_hz < LEAST_CLOCKS_PER_BIT * baud:
        raise ValueError(
            f"baud is {baud}: a clock of {clock_hz} Hz allows {clock_hz // LEAST_CLOCKS_PER_BIT} "
            f"at most, {LEAST_CLOCKS_PER_BIT} clocks a bit"
        )
    step = round(baud * 2**PHASE_BITS / clock_hz)
    if step < 1 or abs(step * clock_hz - baud * 2**PHASE_BITS) > 0.01 * baud * 2**PHASE_BITS:
        raise ValueError(f"baud is {baud}: a clock of {clock_hz} Hz misses it by more than 1 %")
    return step


class UartReceiver(wiring.Component):
    """Bytes out of a line.

    The line passes two flip-flops and the majority of three samples in a row, which removes every
    pulse of one clock; a bit is what that gives in the middle of its time. A start bit that has
    gone by its middle is none. After a stop bit that is low, the line must become high before
    a start bit is taken.

    Attributes
    ----------
    line
        In, idle high, asynchronous.
    step
        In, see the module.
    data
        Out, the byte, valid with `valid` and until the next data bit is sampled.
    valid
        Out, for one clock, a byte.
    error
        Out, for one clock, a byte whose stop bit was low: it is lost.
    """

    line: In(1)
    step: In(PHASE_BITS)
    data: Out(_DATA_BITS)
    valid: Out(1)
    error: Out(1)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        sampled = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.line, sampled, init=1)
        before = Signal(2, init=0b11)
        level = Signal(init=1)
        m.d.sync += [
            before.eq(Cat(sampled, before)),
            level.eq((sampled & before[0]) | (sampled & before[1]) | (before[0] & before[1])),
        ]
        phase = Signal(PHASE_BITS)
        middle = Signal()  # of a bit
        left = Signal(range(_DATA_BITS + 3))  # bits to come, the start bit too; 0 between bytes
        was_high = Signal(init=1)
        m.d.comb += [
            self.valid.eq(middle & (left == 1) & level),
            self.error.eq(middle & (left == 1) & ~level),
        ]
        following = Signal(PHASE_BITS + 1)
        m.d.comb += following.eq(phase + self.step)
        m.d.sync += phase.eq(following)
        with m.If(left == 0):
            m.d.sync += was_high.eq(level)
            with m.If(was_high & ~level):
                m.d.sync += left.eq(_DATA_BITS + 2)
            with m.Else():
                # Half a bit to the middle of the start bit. Its edge is seen up to a clock late,
                # and a middle up to another: the clock in which it is seen makes up for one.
                m.d.sync += phase.eq(1 << (PHASE_BITS - 1))
        with m.Else():
            m.d.comb += middle.eq(following[PHASE_BITS])
            with m.If(middle):
                m.d.sync += left.eq(left - 1)
                with m.If(left == _DATA_BITS + 2):
                    with m.If(level):  # a glitch, no start bit
                        m.d.sync += left.eq(0)
                with m.Elif(left != 1):
                    m.d.sync += self.data.eq(Cat(self.data[1:], level))
                m.d.sync += was_high.eq(level)
        return m


class UartTransmitter(wiring.Component):
    """Bytes onto a line, one start bit and one stop bit each.

    Attributes
    ----------
    stream
        In, bytes; taken when the one before has left.
    step
        In, see the module.
    line
        Out, idle high.
    """

    stream: In(stream.Signature(_DATA_BITS))
    step: In(PHASE_BITS)
    line: Out(1, init=1)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        phase = Signal(PHASE_BITS)
        left = Signal(range(_DATA_BITS + 3))
        bits = Signal(_DATA_BITS + 1, init=-1)
        following = Signal(PHASE_BITS + 1)
        m.d.comb += [
            self.line.eq(bits[0]),
            self.stream.ready.eq(left == 0),
            following.eq(phase + self.step),
        ]
        with m.If(left == 0):
            m.d.sync += phase.eq(0)
            with m.If(self.stream.valid):
                m.d.sync += [bits.eq(Cat(0, self.stream.payload)), left.eq(_DATA_BITS + 2)]
        with m.Else():
            m.d.sync += phase.eq(following)
            with m.If(following[PHASE_BITS]):
                m.d.sync += [bits.eq(Cat(bits[1:], Const(1))), left.eq(left - 1)]
        return m
