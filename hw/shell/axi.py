# SPDX-License-Identifier: Apache-2.0
"""AXI: a subordinate of AXI4-Lite that is a master of the control bus, and a stream output.

As the AXI specification asks, no output depends on an input in the same clock, and a valid that is
up stays, with its payload, until it is taken: also through a soft reset.
"""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.shell.bus import ADDRESS_BITS, BUS_WORD_BITS, ControlBus
from hw.shell.results import result_beat

__all__ = ["OKAY", "SLVERR", "AxiLite", "AxiLiteSubordinate", "ResultOutput"]

OKAY, SLVERR = 0, 2  # of bresp and rresp
_STROBES = BUS_WORD_BITS // 8


class AxiLite(wiring.Signature):
    """AXI4-Lite as its manager sees it, without awprot and arprot."""

    def __init__(self) -> None:
        super().__init__(
            {
                "awaddr": Out(ADDRESS_BITS),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(BUS_WORD_BITS),
                "wstrb": Out(_STROBES),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(ADDRESS_BITS),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(BUS_WORD_BITS),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class AxiLiteSubordinate(wiring.Component):
    """Turns writes and reads into accesses of the control bus, one at a time, in turn.

    A refused access, and a write with a strobe that is not all ones, answer SLVERR.

    Attributes
    ----------
    axi
        In, `AxiLite`.
    bus
        Out, `ControlBus`.
    """

    def __init__(self) -> None:
        super().__init__({"axi": In(AxiLite()), "bus": Out(ControlBus())})

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        axi, request, response = self.axi, self.bus.request, self.bus.response
        # What each channel has given, until it is answered.
        write_address, read_address = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        write_data, whole = Signal(BUS_WORD_BITS), Signal()
        has_address, has_data, has_read = Signal(), Signal(), Signal()
        for ready, valid, held in (
            (axi.awready, axi.awvalid, has_address),
            (axi.wready, axi.wvalid, has_data),
            (axi.arready, axi.arvalid, has_read),
        ):
            m.d.comb += ready.eq(~held)
            with m.If(valid & ready):
                m.d.sync += held.eq(1)
        with m.If(~has_address):
            m.d.sync += write_address.eq(axi.awaddr)
        with m.If(~has_data):
            m.d.sync += [write_data.eq(axi.wdata), whole.eq(axi.wstrb.all())]
        with m.If(~has_read):
            m.d.sync += read_address.eq(axi.araddr)

        writing = Signal()  # the access under way, or the last one, is a write
        error = Signal()
        m.d.comb += [
            request.payload.address.eq(Mux(writing, write_address, read_address)),
            request.payload.write.eq(writing),
            request.payload.data.eq(write_data),
            axi.rdata.eq(response.payload.data),
            axi.bresp.eq(Mux(error, SLVERR, OKAY)),
            axi.rresp.eq(Mux(error, SLVERR, OKAY)),
        ]
        with m.FSM():
            with m.State("IDLE"):
                has_write = has_address & has_data
                with m.If(has_write & ~(writing & has_read)):
                    m.d.sync += writing.eq(1)
                    m.next = "REQUEST"
                    with m.If(~whole):
                        m.next = "REFUSE"
                with m.Elif(has_read):
                    m.d.sync += writing.eq(0)
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += request.valid.eq(1)
                with m.If(request.ready):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [
                    error.eq(response.payload.error),
                    axi.bvalid.eq(response.valid & writing),
                    axi.rvalid.eq(response.valid & ~writing),
                    response.ready.eq(Mux(writing, axi.bready, axi.rready)),
                ]
                with m.If(response.valid & response.ready):
                    with m.If(writing):
                        m.d.sync += [has_address.eq(0), has_data.eq(0)]
                    with m.Else():
                        m.d.sync += has_read.eq(0)
                    m.next = "IDLE"
            with m.State("REFUSE"):
                m.d.comb += [error.eq(1), axi.bvalid.eq(1)]
                with m.If(axi.bready):
                    m.d.sync += [has_address.eq(0), has_data.eq(0)]
                    m.next = "IDLE"
        return m


class ResultOutput(wiring.Component):
    """A register in front of a result stream's reader, which a soft reset does not break.

    A frame that a soft reset cuts off ends with one more beat: elements 0, last, aborted.

    Attributes
    ----------
    beats
        In, stream of `result_beat`.
    abort
        In, the clock in which its source is reset.
    valid, elements, last, end, aborted
        Out, the beat as the reader sees it.
    ready
        In, the reader takes it.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        beat = result_beat(config)
        super().__init__(
            {
                "beats": In(stream.Signature(beat)),
                "abort": In(1),
                "valid": Out(1),
                "ready": In(1),
                "elements": Out(beat["elements"].width),
                "last": Out(1),
                "end": Out(1),
                "aborted": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        beat = self.beats.payload
        free = ~self.valid | self.ready
        open_frame = Signal()  # a beat was taken, and its frame's last one was not
        cut = Signal()
        m.d.comb += self.beats.ready.eq(free & ~cut)
        with m.If(free):
            m.d.sync += self.valid.eq(self.beats.valid | cut)
            with m.If(self.beats.valid | cut):
                m.d.sync += [
                    self.elements.eq(Mux(cut, 0, beat.elements)),
                    self.last.eq(beat.last | cut),
                    self.end.eq(beat.end & ~cut),
                    self.aborted.eq(cut),
                ]
        now_open = Signal()
        m.d.comb += now_open.eq(
            Mux(self.beats.valid & self.beats.ready, ~beat.last, open_frame & ~(cut & free))
        )
        m.d.sync += [open_frame.eq(now_open), cut.eq((cut | self.abort) & now_open)]
        return m
