# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite in front of the control bus: the rules of both sides, and each access exactly once.

The rules of AXI are those of `cocotb_tests/shell/axi_rules.sv` (AMBA AXI, IHI 0022, A3.2 and B1).
"""

from __future__ import annotations

from amaranth.hdl import Cat, Mux, Signal

from cocotb_tests.formal.harness import Harness
from cocotb_tests.formal.streams import kept
from hw.shell.axi import OKAY, SLVERR, AxiLiteSubordinate
from hw.shell.bus import ADDRESS_BITS, BUS_WORD_BITS, bus_response

__all__ = ["axi_lite"]


def axi_lite() -> Harness:
    """Any manager and any bus that keep their rules."""
    h = Harness()
    m = h.m
    m.submodules.axi = subordinate = AxiLiteSubordinate()
    axi, bus = subordinate.axi, subordinate.bus
    strobes = BUS_WORD_BITS // 8
    aw = h.free("awvalid", 1), axi.awready, h.free("awaddr", ADDRESS_BITS)
    w_data, w_strobes = h.free("wdata", BUS_WORD_BITS), h.free("wstrb", strobes)
    w = h.free("wvalid", 1), axi.wready, Cat(w_data, w_strobes)
    ar = h.free("arvalid", 1), axi.arready, h.free("araddr", ADDRESS_BITS)
    b_ready, r_ready = h.free("bready", 1), h.free("rready", 1)
    h.drive(axi, awvalid=aw[0], awaddr=aw[2], wvalid=w[0], wdata=w_data, wstrb=w_strobes)
    h.drive(axi, arvalid=ar[0], araddr=ar[2], bready=b_ready, rready=r_ready)
    request_ready = h.free("request_ready", 1)
    answers, answer = h.free("response_valid", 1), h.free("response", bus_response())
    h.drive(bus, request__ready=request_ready, response__valid=answers, response__payload=answer)
    h.assume(*(kept(h, *channel) for channel in (aw, w, ar)))

    request = bus.request.payload
    asked = h.named("asked", bus.request.valid & request_ready)
    answered = h.named("answered", answers & bus.response.ready)
    under_way = Signal()  # the bus owes an answer
    of_write = Signal()
    m.d.sync += [
        under_way.eq(asked | (under_way & ~answered)),
        of_write.eq(Mux(asked, request.write, of_write)),
    ]
    # The bus answers what was asked, in a later clock, and its answer stays.
    h.assume(~answers | under_way)
    h.assume(kept(h, answers, bus.response.ready, answer))

    # What the manager has given and not got an answer to: at most one of each.
    given = {}
    for name, channel, done in (
        ("address", aw, axi.bvalid & b_ready),
        ("word", w, axi.bvalid & b_ready),
        ("read", ar, axi.rvalid & r_ready),
    ):
        open_ = Signal(name=f"open_{name}")
        value = Signal(len(channel[2]), name=f"given_{name}")
        taken = h.named(f"taken_{name}", channel[0] & channel[1])
        m.d.sync += open_.eq(taken | (open_ & ~done))
        with m.If(taken):
            m.d.sync += value.eq(channel[2])
        h.claim(f"one {name} at a time", ~taken | ~open_)
        h.claim(f"one {name} is taken at once", channel[1] == ~open_)
        given[name] = open_, value
    has_address, address = given["address"]
    has_word, word = given["word"]
    has_read, read_address = given["read"]
    whole = word[BUS_WORD_BITS:].all()
    sent = Signal()  # the access that is to be answered next is on the bus, or was
    m.d.sync += sent.eq((sent | asked) & ~(axi.bvalid & b_ready) & ~(axi.rvalid & r_ready))

    h.claim("a write has its address and its word", ~axi.bvalid | (has_address & has_word))
    h.claim("a read has its address", ~axi.rvalid | has_read)
    h.claim("an answer of a write stays", kept(h, axi.bvalid, b_ready, axi.bresp))
    h.claim("an answer of a read stays", kept(h, axi.rvalid, r_ready, Cat(axi.rresp, axi.rdata)))
    # The data of a read mean nothing, and may change.
    meant = Cat(request.address, request.write, Mux(request.write, request.data, 0))
    h.claim("a request stays", kept(h, bus.request.valid, request_ready, meant))
    h.claim("one request a time", ~bus.request.valid | (~under_way & ~sent))
    h.claim(
        "a request is what the manager gave",
        ~bus.request.valid
        | Mux(
            request.write,
            has_address
            & has_word
            & whole
            & (request.address == address)
            & (request.data == word[:BUS_WORD_BITS]),
            has_read & (request.address == read_address),
        ),
    )
    h.claim(
        "a write is answered as the bus does, one that is not whole is refused",
        ~axi.bvalid
        | Mux(
            whole,
            sent & under_way & of_write & answers & (axi.bresp == Mux(answer.error, SLVERR, OKAY)),
            ~sent & (axi.bresp == SLVERR),
        ),
    )
    h.claim(
        "a read is answered as the bus does",
        ~axi.rvalid
        | (
            sent
            & under_way
            & ~of_write
            & answers
            & (axi.rresp == Mux(answer.error, SLVERR, OKAY))
            & (axi.rdata == answer.data)
        ),
    )
    h.claim(
        "the bus is not kept waiting",
        bus.response.ready == (under_way & Mux(of_write, b_ready, r_ready)),
    )
    gives = under_way & answers
    h.claim("an answer of a write waits for no ready", ~(gives & of_write) | axi.bvalid)
    h.claim("an answer of a read waits for no ready", ~(gives & ~of_write) | axi.rvalid)
    # Nobody starves: a read that waits sees at most one write of another manager's turn.
    read_waits, overtaken = has_read & ~(sent & ~of_write), Signal(2)
    m.d.sync += overtaken.eq(
        Mux(read_waits, Mux(overtaken == 3, 3, overtaken + (axi.bvalid & b_ready)), 0)
    )
    write_waits, passed = has_address & has_word & ~(sent & of_write), Signal(2)
    m.d.sync += passed.eq(
        Mux(write_waits & whole, Mux(passed == 3, 3, passed + (axi.rvalid & r_ready)), 0)
    )
    h.claim("a read waits for one write at most", overtaken <= 1)
    h.claim("a write waits for one read at most", passed <= 1)
    idle = Signal(2)  # clocks in which an access waits and nothing happens
    works = bus.request.valid | under_way | axi.bvalid | axi.rvalid
    waits = (has_address & has_word) | has_read
    m.d.sync += idle.eq(Mux(waits & ~works, Mux(idle == 3, 3, idle + 1), 0))
    last_write = Signal()
    with m.If((axi.bvalid & b_ready) | (axi.rvalid & r_ready)):
        m.d.sync += last_write.eq(axi.bvalid)
    both = has_address & has_word & has_read & ~works
    begins = bus.request.valid & h.past(both)
    h.claim("where both wait, they take turns", ~begins | (request.write != last_write))
    h.claim("an access that waits begins in the next clock", idle <= 1)
    h.cover("a read between two writes", h.past(axi.rvalid & r_ready) & has_address & has_word)
    h.cover("a write that is not whole", axi.bvalid & b_ready & ~whole)
    h.cover("a refused read", axi.rvalid & (axi.rresp == SLVERR) & ~r_ready)
    return h
