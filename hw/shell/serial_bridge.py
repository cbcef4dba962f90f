# SPDX-License-Identifier: Apache-2.0
"""A serial line as a master of the control bus: docs/serial-protocol.md in hardware.

A packet is collected in one memory while its CRC is computed bit by bit, carried out word by word
through one 32-bit register, and answered from a second memory, which keeps the answer in case it
has to be sent again. Nothing is received meanwhile: the protocol has one packet under way.
"""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, unsigned
from amaranth.lib import enum, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.shell.bus import ADDRESS_BITS, BUS_WORD_BITS, ControlBus
from hw.shell.uart import PHASE_BITS, UartReceiver, UartTransmitter, baud_step

__all__ = ["MAX_WORDS", "PROTOCOL_VERSION", "Op", "SerialBridge", "Status"]

PROTOCOL_VERSION = 1
_BUFFER_BYTES = 512
_POINTER_BITS = 10  # one more than the buffer's, to see that it is full
_WORDS_BITS = 8
MAX_WORDS = _BUFFER_BYTES // 4 - 2
"""Data words of the longest packet: its header and its CRC are a word each."""

_END, _ESC, _ESC_END, _ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
_CRC_POLYNOMIAL = 0xEDB88320  # of CRC-32, as zlib's, least significant bit first
_CRC_RESIDUE = 0xDEBB20E3  # what the register holds behind a packet with its CRC


class Op(enum.IntEnum):
    """What a request asks for; bit 0: it writes, bit 2: always the same address."""

    HELLO = 0
    ECHO = 1
    READ = 2
    WRITE = 3
    BAUD = 4
    READ_FIXED = 6
    WRITE_FIXED = 7


class Status(enum.IntEnum):
    """How a request ended."""

    OK = 0
    BUS_ERROR = 1
    BAD_REQUEST = 2
    NO_SESSION = 3


class SerialBridge(wiring.Component):
    """Packets on a serial line into accesses of the control bus, each carried out exactly once.

    Parameters
    ----------
    clock_hz : of the clock, reported to the host.
    baud : speed of the line after a reset, and again when the host has been silent.
    hold_bits : another speed is left after 2**hold_bits clocks without a valid packet or answer.
    patience_bits : WRITE_FIXED tries a word that is refused for 2**patience_bits clocks.

    Attributes
    ----------
    rx : In, the line from the host; tx : Out, the line to it.
    bus : Out, a `ControlBus`.
    """

    def __init__(
        self,
        clock_hz: int,
        baud: int = 115_200,
        *,
        hold_bits: int = 24,
        patience_bits: int = 16,
    ) -> None:
        if not patience_bits < hold_bits <= 31:
            raise ValueError(f"hold_bits is {hold_bits}: it must be patience_bits + 1 to 31")
        self._clock_hz = clock_hz
        self._default_step = baud_step(clock_hz, baud)
        self._hold_bits = hold_bits
        self._patience_bits = patience_bits
        super().__init__({"rx": In(1), "tx": Out(1, init=1), "bus": Out(ControlBus())})

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.receiver = receiver = UartReceiver()
        m.submodules.transmitter = transmitter = UartTransmitter()
        step = Signal(PHASE_BITS, init=self._default_step)
        m.d.comb += [
            receiver.line.eq(self.rx),
            receiver.step.eq(step),
            transmitter.step.eq(step),
            self.tx.eq(transmitter.line),
        ]
        depth = _BUFFER_BYTES
        m.submodules.request = request = memory.Memory(shape=unsigned(8), depth=depth, init=[])
        m.submodules.response = response = memory.Memory(shape=unsigned(8), depth=depth, init=[])
        request_write, request_read = request.write_port(), request.read_port()
        response_write, response_read = response.write_port(), response.read_port()

        # ---- what the states share ---------------------------------------------------------
        receiving = Signal()
        write_pointer = Signal(_POINTER_BITS)
        read_pointer = Signal(_POINTER_BITS)
        word = Signal(BUS_WORD_BITS)
        address = Signal(ADDRESS_BITS)
        left = Signal(_WORDS_BITS)  # words to come, of whatever is under way
        count = Signal(_WORDS_BITS)  # words done
        sequence = Signal(8)  # of the request carried out last
        session = Signal()  # a HELLO was seen since the reset
        op = Signal(3)
        status = Signal(2)
        header = Signal()  # the word under way is a header
        fetched = Signal()  # the memory's output is the byte at `read_pointer`
        fixed, writes = op[2], op[0]
        # Of a request that carries data, its CRC is still to come behind the last word.
        last = (left[1:] == 0) & (left[0] == writes)
        rotated = Cat(word[8:], request_read.data)
        m.d.comb += [
            request_read.en.eq(1),
            request_read.addr.eq(read_pointer),
            response_read.en.eq(1),
            response_read.addr.eq(read_pointer),
            response_write.addr.eq(write_pointer),
            response_write.data.eq(word[:8]),
            request_write.addr.eq(write_pointer),
            self.bus.request.payload.address.eq(address),
            self.bus.request.payload.write.eq(writes),
            self.bus.request.payload.data.eq(word),
        ]

        # The time since the last valid packet, the last word that it wrote, or its answer.
        timer = Signal(self._hold_bits + 1)
        with m.If(timer[self._hold_bits]):
            m.d.sync += step.eq(self._default_step)
        with m.Else():
            m.d.sync += timer.eq(timer + 1)

        # ---- CRC-32, a bit a clock ---------------------------------------------------------
        crc = Signal(32, init=-1)
        byte = Signal(8)
        bit = Signal(4, init=8)  # of `byte`; 8: none
        crc_busy = Signal()
        crc_out = Signal()  # shift the CRC out, whatever the byte
        m.d.comb += crc_busy.eq(~bit[3])
        with m.If(crc_busy):
            feedback = (crc[0] ^ byte.bit_select(bit[:3], 1)) & ~crc_out
            m.d.sync += [
                bit.eq(bit + 1),
                crc.eq((crc >> 1) ^ Mux(feedback, _CRC_POLYNOMIAL, 0)),
            ]

        # ---- bytes from the line -----------------------------------------------------------
        escaped = Signal()
        broken = Signal()  # something of the packet was lost: it is dropped at its end
        dropped = Signal(16)
        decoded = Signal(8)
        at_end = Signal()
        valid_packet = Signal()
        full = write_pointer[_POINTER_BITS - 1]
        m.d.comb += [
            decoded.eq(receiver.data),
            at_end.eq(receiver.valid & (receiver.data == _END)),
            valid_packet.eq(
                receiving
                & at_end
                & ~broken
                & ~escaped
                & (crc == _CRC_RESIDUE)
                & (write_pointer[:2] == 0)
                & (write_pointer[3:] != 0)
            ),
            request_write.data.eq(decoded),
        ]
        with m.If(escaped):
            m.d.comb += decoded.eq(Mux(receiver.data[0], _ESC, _END))
        with m.If(receiver.error):
            m.d.sync += broken.eq(1)
        with m.If(at_end):
            m.d.sync += [broken.eq(0), escaped.eq(0)]
            # An END behind another one, or an answer that is still leaving, is no packet.
            with m.If(~valid_packet & (broken | (receiving & (write_pointer != 0)))):
                m.d.sync += dropped.eq(dropped + 1)
            with m.If(receiving):
                m.d.sync += [write_pointer.eq(0), crc.eq(-1)]
        with m.Elif(receiver.valid):
            m.d.sync += escaped.eq((receiver.data == _ESC) & ~escaped)
            # The two that may follow ESC differ in their lowest bit.
            unknown = escaped & (receiver.data[1:] != _ESC_END >> 1)
            with m.If(~receiving | unknown | full):
                m.d.sync += broken.eq(1)
            with m.If(receiving & (escaped | (receiver.data != _ESC)) & ~full):
                m.d.comb += request_write.en.eq(1)
                m.d.sync += [write_pointer.eq(write_pointer + 1), byte.eq(decoded), bit.eq(0)]

        # ---- carrying out and answering ----------------------------------------------------
        send = transmitter.stream
        with m.FSM():
            with m.State("RECEIVE"):
                m.d.comb += receiving.eq(1)
                with m.If(valid_packet):
                    m.d.sync += [
                        left.eq(write_pointer[2:]),
                        read_pointer.eq(0),
                        header.eq(1),
                        timer.eq(0),
                    ]
                    m.next = "FETCH"
            with m.State("FETCH"):  # the next word of the request
                m.d.sync += fetched.eq(~fetched)
                with m.If(fetched):
                    m.d.sync += [word.eq(rotated), read_pointer.eq(read_pointer + 1)]
                    with m.If(read_pointer[:2] == 3):
                        m.d.sync += [header.eq(0), left.eq(left - 1)]
                        with m.If(header):
                            m.next = "DECODE"
                        with m.Elif(op == Op.ECHO):
                            m.d.sync += count.eq(count + 1)
                            m.next = "STORE"
                        with m.Elif(writes):
                            m.next = "REQUEST"
                        with m.Else():
                            m.next = "COUNT"
            with m.State("DECODE"):
                new_op = word[8:16]
                begins = (new_op == Op.HELLO) & ~word[16]
                m.d.sync += write_pointer.eq(4)
                with m.If(session & (word[:8] == sequence) & ~begins):
                    m.next = "ANSWER"  # the answer was lost: once more
                with m.Else():
                    m.d.sync += [
                        sequence.eq(word[:8]),
                        op.eq(new_op[:3]),
                        address.eq(word[16:]),
                        count.eq(0),
                        status.eq(Status.OK),
                        session.eq(session | begins),
                    ]
                    m.next = "FINISH"
                    with m.If(~session & ~begins):
                        m.d.sync += status.eq(Status.NO_SESSION)
                    with m.Elif(new_op == Op.HELLO):
                        m.d.sync += left.eq(3)
                        m.next = "GREET"
                    with m.Elif((new_op[3:] != 0) | (new_op[:3] == 5)):
                        m.d.sync += status.eq(Status.BAD_REQUEST)
                    with m.Elif((left != 1) & (new_op[:2] != 0)):
                        m.next = "FETCH"
            with m.State("COUNT"):  # words to read
                m.d.sync += left.eq(word[:_WORDS_BITS])
                with m.If(word[:_WORDS_BITS] == 0):
                    m.next = "FINISH"
                with m.Elif(word[7] | (word[:7] > MAX_WORDS)):
                    m.d.sync += status.eq(Status.BAD_REQUEST)
                    m.next = "FINISH"
                with m.Else():
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.bus.request.valid.eq(1)
                with m.If(self.bus.request.ready):
                    m.next = "RESPONSE"
            with m.State("RESPONSE"):
                m.d.comb += self.bus.response.ready.eq(1)
                with m.If(self.bus.response.valid):
                    with m.If(self.bus.response.payload.error):
                        with m.If(fixed & writes & ~timer[self._patience_bits]):
                            m.next = "REQUEST"
                        with m.Else():
                            m.d.sync += status.eq(Status.BUS_ERROR)
                            m.next = "FINISH"
                    with m.Else():
                        m.d.sync += [
                            count.eq(count + 1),
                            timer.eq(0),
                            address.eq(address + Mux(fixed, 0, 4)),
                        ]
                        with m.If(~writes):
                            m.d.sync += [
                                word.eq(self.bus.response.payload.data),
                                left.eq(left - 1),
                            ]
                            m.next = "STORE"
                        with m.Elif(last):
                            m.next = "FINISH"
                        with m.Else():
                            m.next = "FETCH"
            with m.State("GREET"):
                m.d.sync += [count.eq(count + 1), left.eq(left - 1)]
                with m.Switch(count[:2]):
                    with m.Case(0):
                        m.d.sync += word.eq(
                            PROTOCOL_VERSION
                            | MAX_WORDS << 8
                            | PHASE_BITS << 16
                            | self._hold_bits << 24
                        )
                    with m.Case(1):
                        m.d.sync += word.eq(self._clock_hz)
                    with m.Default():
                        m.d.sync += word.eq(dropped)
                m.next = "STORE"
            with m.State("STORE"):  # the next word of the answer
                m.d.comb += response_write.en.eq(1)
                m.d.sync += [word.eq(rotated), write_pointer.eq(write_pointer + 1)]
                with m.If(write_pointer[:2] == 3):
                    with m.If(header):
                        m.next = "ANSWER"
                    with m.Elif(last):
                        m.next = "FINISH"
                    with m.Elif(op == Op.ECHO):
                        m.next = "FETCH"
                    with m.Elif(op == Op.HELLO):
                        m.next = "GREET"
                    with m.Else():
                        m.next = "REQUEST"
            with m.State("FINISH"):
                m.d.sync += [
                    write_pointer.eq(0),
                    word.eq(Cat(sequence, op, Const(0b10000, 5), status, Const(0, 6), count)),
                    header.eq(1),
                ]
                m.next = "STORE"
            with m.State("ANSWER"):
                m.d.comb += send.payload.eq(_END)
                with m.If(send.ready):
                    m.d.comb += send.valid.eq(1)
                    m.d.sync += [
                        crc.eq(-1),
                        crc_out.eq(0),
                        left.eq(Mux(op[:2] == 3, 0, count)),
                        read_pointer.eq(0),
                    ]
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.next = "BYTE"
            with m.State("BYTE"):
                m.d.sync += [byte.eq(Mux(crc_out, ~crc[:8], response_read.data)), bit.eq(0)]
                m.d.sync += read_pointer.eq(read_pointer + 1)
                m.next = "SEND"
            with m.State("SEND"):
                special = (byte == _END) | (byte == _ESC)
                m.d.comb += send.payload.eq(Mux(special, _ESC, byte))
                with m.If(~crc_busy & send.ready):
                    m.d.comb += send.valid.eq(1)
                    with m.If(special):
                        m.next = "SEND_ESCAPED"
                    with m.Else():
                        m.next = "NEXT"
            with m.State("SEND_ESCAPED"):
                m.d.comb += send.payload.eq(Mux(byte == _END, _ESC_END, _ESC_ESC))
                with m.If(send.ready):
                    m.d.comb += send.valid.eq(1)
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.next = "LOAD"
                with m.If(read_pointer[:2] == 0):
                    m.d.sync += left.eq(left - 1)
                    with m.If(crc_out):
                        m.next = "CLOSE"
                    with m.Elif(left == 0):
                        m.d.sync += crc_out.eq(1)
            with m.State("CLOSE"):
                m.d.comb += send.payload.eq(_END)
                with m.If(send.ready):
                    m.d.comb += send.valid.eq(1)
                    m.next = "LEAVE"
            with m.State("LEAVE"):  # the last byte, before the speed may change
                with m.If(send.ready):
                    with m.If((op == Op.BAUD) & (status == Status.OK)):
                        m.d.sync += step.eq(address)
                    m.d.sync += [
                        timer.eq(0),
                        write_pointer.eq(0),
                        crc.eq(-1),
                        crc_out.eq(0),
                        bit.eq(8),
                    ]
                    m.next = "RECEIVE"
        return m
