# SPDX-License-Identifier: Apache-2.0
"""The serial port: frames of bits, and bytes that arrive as they were sent (serial-protocol.md)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Signal

from cocotb_tests.formal.harness import Harness
from cocotb_tests.formal.streams import kept
from hw.shell.uart import PHASE_BITS, UartReceiver, UartTransmitter

__all__ = ["uart_pair", "uart_transmitter"]


def uart_transmitter() -> Harness:
    """Any bytes at any time, at any speed that stays: each a frame of ten bits, exactly timed."""
    h = Harness()
    m = h.m
    m.submodules.sender = sender = UartTransmitter()
    step = h.constant("step", PHASE_BITS)
    valid, byte = h.free("valid", 1), h.free("byte", 8)
    h.drive(sender, stream__valid=valid, stream__payload=byte, step=step)
    h.assume(step >= 1, kept(h, valid, sender.stream.ready, byte))
    taken = h.named("taken", valid & sender.stream.ready)
    sending = Signal()
    frame = Signal(10)  # start bit, the byte from its lowest bit on, stop bit
    place = Signal(range(10))
    time = Signal(PHASE_BITS)  # since the bit began, in steps, as far as it does not divide
    following = Signal(PHASE_BITS + 1)
    m.d.comb += following.eq(time + step)
    with m.If(sending):
        m.d.sync += time.eq(following)
        with m.If(following[PHASE_BITS]):
            m.d.sync += place.eq(place + 1)
            with m.If(place == 9):
                m.d.sync += [sending.eq(0), place.eq(0)]
    with m.If(taken):
        m.d.sync += [
            sending.eq(1),
            frame.eq(Cat(Const(0, 1), byte, Const(1, 1))),
            place.eq(0),
            time.eq(0),
        ]
    h.claim("a byte is taken once the one before has left", sender.stream.ready == ~sending)
    h.claim("the bits in order", ~sending | (sender.line == frame.bit_select(place, 1)))
    h.claim("high between the bytes", sending | sender.line)
    phase, left = h.peek("sender.phase", PHASE_BITS), h.peek("sender.left", range(11))
    bits = h.peek("sender.bits", 9)
    rest = Cat(frame, Const(-1, 9)).bit_select(place, 9)
    h.claim("invariant: the time of the bit", ~sending | (phase == time))
    h.claim("invariant: the frame's first and last bit", ~sending | (frame[9] & ~frame[0]))
    h.claim("invariant: the bits to come", left == Mux(sending, 10 - place, 0))
    h.claim("invariant: what is left of the frame", Mux(sending, bits == rest, bits.all()))
    h.claim("invariant: ten bits", place < 10)
    h.cover("the stop bit of a byte", sending & (place == 9) & ~frame[1] & sender.line)
    return h


def uart_pair(step_: int) -> Harness:
    """The transmitter's line into the receiver, at one speed: bytes arrive as they were sent."""
    h = Harness()
    m = h.m
    m.submodules.sender = sender = UartTransmitter()
    m.submodules.receiver = receiver = UartReceiver()
    valid, byte = h.free("valid", 1), h.free("byte", 8)
    h.drive(sender, stream__valid=valid, stream__payload=byte, step=Const(step_, PHASE_BITS))
    h.drive(receiver, line=sender.line, step=Const(step_, PHASE_BITS))
    taken = h.named("taken", valid & sender.stream.ready)
    # A byte arrives while the start bit of the next one may be on the line already.
    waiting = Signal(2)
    older, newer = Signal(8), Signal(8)
    m.d.sync += waiting.eq(waiting + taken - receiver.valid)
    with m.If(taken):
        m.d.sync += [newer.eq(byte), older.eq(newer)]
    value = h.named("value", Mux(waiting == 2, older, newer))
    left = h.peek("sender.left", range(11))
    h.claim("no byte without one that was sent", ~receiver.valid | (waiting != 0))
    h.claim("a byte arrives as it was sent", ~receiver.valid | (receiver.data == value))
    h.claim(
        "a byte has arrived when the next one's start bit ends",
        (waiting <= 1) | ((waiting == 2) & (left == 10)),
    )
    h.claim("no byte arrives broken", ~receiver.error)
    h.cover("a byte arrives", receiver.valid & (receiver.data == 0xC5))
    return h
