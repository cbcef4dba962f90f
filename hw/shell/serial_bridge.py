# SPDX-License-Identifier: Apache-2.0
"""A serial line as a master of the control bus: docs/serial-protocol.md in hardware.

A packet is collected in one memory while its CRC is computed bit by bit, carried out word by word
through one 32-bit register, and answered from a second memory, which keeps the answer in case it
has to be sent again. Nothing is received meanwhile: the protocol has one packet under way.
"""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.shell.bus import ADDRESS_BITS, BUS_WORD_BITS, ControlBus
from hw.shell.uart import PHASE_BITS, UartReceiver, UartTransmitter, baud_step

__all__ = ["MAX_WORDS", "PROTOCOL_VERSION", "Op", "SerialBridge", "Status"]

PROTOCOL_VERSION = 1
_BUFFER_BYTES = 512
_POINTER_BITS = 10
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


class _Registers:
    """What the parts of the bridge share: its registers, and the ports of its two memories.

    Attributes
    ----------
    step
        Speed of the line, as the UARTs take it.
    receiving
        The bridge waits for a packet.
    write_pointer, read_pointer
        Where the memory is written or read, in bytes, with one bit more than its address, which
        shows that it is full.
    word, address
        The word under way, and where it goes to or comes from on the bus.
    left, count
        Words that are still to come of whatever is under way, and words done.
    sequence, op, status
        Those of the request carried out last.
    session
        A HELLO was seen since the reset.
    header
        The word under way is a header.
    fetched
        The memory's output is the byte at `read_pointer`.
    request_write, request_read, response_write, response_read
        Ports of the memories of the request and of its answer.
    timer
        The time since the last valid packet, the last word that it wrote, or its answer.
    crc, byte, bit
        The CRC register, the byte that goes into it, and its bit (8: none).
    crc_busy
        A byte is on its way into the CRC.
    crc_out
        The CRC is shifted out, whatever the byte.
    dropped
        Packets that came and were dropped.
    valid_packet
        A packet ends here and is whole.
    """

    def __init__(self, m: Module, default_step: int, hold_bits: int) -> None:
        self.step = Signal(PHASE_BITS, init=default_step)
        depth = _BUFFER_BYTES
        m.submodules.request = request = memory.Memory(shape=unsigned(8), depth=depth, init=[])
        m.submodules.response = response = memory.Memory(shape=unsigned(8), depth=depth, init=[])
        # Amaranth names the ports' signals after these variables.
        request_write, request_read = request.write_port(), request.read_port()
        response_write, response_read = response.write_port(), response.read_port()
        self.request_write, self.request_read = request_write, request_read
        self.response_write, self.response_read = response_write, response_read
        self.receiving = Signal()
        self.write_pointer = Signal(_POINTER_BITS)
        self.read_pointer = Signal(_POINTER_BITS)
        self.word = Signal(BUS_WORD_BITS)
        self.address = Signal(ADDRESS_BITS)
        self.left = Signal(_WORDS_BITS)
        self.count = Signal(_WORDS_BITS)
        self.sequence = Signal(8)
        self.session = Signal()
        self.op = Signal(3)
        self.status = Signal(2)
        self.header = Signal()
        self.fetched = Signal()
        self.timer = Signal(hold_bits + 1)
        self.crc = Signal(32, init=-1)
        self.byte = Signal(8)
        self.bit = Signal(4, init=8)
        self.crc_busy = Signal()
        self.crc_out = Signal()
        self.dropped = Signal(16)
        self.valid_packet = Signal()

    @property
    def fixed(self) -> Value:
        """The operation keeps its address."""
        return self.op[2]

    @property
    def writes(self) -> Value:
        """The operation writes."""
        return self.op[0]

    @property
    def last(self) -> Value:
        """No word is left but, in a request that carries data, the CRC behind it."""
        return (self.left[1:] == 0) & (self.left[0] == self.writes)

    @property
    def rotated(self) -> Value:
        """The word with the byte from the request at its top, and its lowest byte gone."""
        return Cat(self.word[8:], self.request_read.data)


class SerialBridge(wiring.Component):
    """Packets on a serial line into accesses of the control bus, each carried out exactly once.

    Parameters
    ----------
    clock_hz
        Clock frequency, reported to the host.
    baud
        Speed of the line after a reset, and again when the host has been silent.
    hold_bits
        Another speed is left after 2**hold_bits clocks without a valid packet or answer.
    patience_bits
        WRITE_FIXED tries a word that is refused for 2**patience_bits clocks.

    Attributes
    ----------
    rx
        In, the line from the host.
    tx
        Out, the line to it.
    bus
        Out, a `ControlBus`.
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
        s = _Registers(m, self._default_step, self._hold_bits)
        m.d.comb += [
            receiver.line.eq(self.rx),
            receiver.step.eq(s.step),
            transmitter.step.eq(s.step),
            self.tx.eq(transmitter.line),
        ]
        m.d.comb += [
            s.request_read.en.eq(1),
            s.request_read.addr.eq(s.read_pointer),
            s.response_read.en.eq(1),
            s.response_read.addr.eq(s.read_pointer),
            s.response_write.addr.eq(s.write_pointer),
            s.response_write.data.eq(s.word[:8]),
            s.request_write.addr.eq(s.write_pointer),
            self.bus.request.payload.address.eq(s.address),
            self.bus.request.payload.write.eq(s.writes),
            self.bus.request.payload.data.eq(s.word),
        ]
        with m.If(s.timer[self._hold_bits]):
            m.d.sync += s.step.eq(self._default_step)
        with m.Else():
            m.d.sync += s.timer.eq(s.timer + 1)
        self._crc(m, s)
        self._receive(m, s, receiver)
        with m.FSM():
            self._fetch_states(m, s)
            self._decode_states(m, s)
            self._access_states(m, s)
            self._response_states(m, s)
            self._send_states(m, s, transmitter.stream)
            self._close_states(m, s, transmitter.stream)
        return m

    def _crc(self, m: Module, s: _Registers) -> None:
        """CRC-32, a bit a clock."""
        crc, byte, bit, crc_busy, crc_out = s.crc, s.byte, s.bit, s.crc_busy, s.crc_out
        m.d.comb += crc_busy.eq(~bit[3])
        with m.If(crc_busy):
            feedback = (crc[0] ^ byte.bit_select(bit[:3], 1)) & ~crc_out
            m.d.sync += [
                bit.eq(bit + 1),
                crc.eq((crc >> 1) ^ Mux(feedback, _CRC_POLYNOMIAL, 0)),
            ]

    def _receive(self, m: Module, s: _Registers, receiver: UartReceiver) -> None:
        """Bytes from the line into the request's memory, and whether they are a packet."""
        receiving, write_pointer, dropped = s.receiving, s.write_pointer, s.dropped
        crc, byte, bit = s.crc, s.byte, s.bit
        request_write, valid_packet = s.request_write, s.valid_packet
        escaped = Signal()
        broken = Signal()  # something of the packet was lost: it is dropped at its end
        decoded = Signal(8)
        at_end = Signal()
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

    # ---- carrying out and answering: the states ------------------------------------------

    def _fetch_states(self, m: Module, s: _Registers) -> None:
        """Wait for a request, and take its words."""
        write_pointer, read_pointer, left, count = s.write_pointer, s.read_pointer, s.left, s.count
        header, fetched, timer, word, op = s.header, s.fetched, s.timer, s.word, s.op
        writes, rotated = s.writes, s.rotated
        with m.State("RECEIVE"):
            m.d.comb += s.receiving.eq(1)
            with m.If(s.valid_packet):
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

    def _decode_states(self, m: Module, s: _Registers) -> None:
        """What the header asks for, and how many words a read wants."""
        word, sequence, session, left = s.word, s.sequence, s.session, s.left
        op, status, address, count, write_pointer = (
            s.op,
            s.status,
            s.address,
            s.count,
            s.write_pointer,
        )
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

    def _access_states(self, m: Module, s: _Registers) -> None:
        """Accesses of the bus."""
        timer, status, count, address = s.timer, s.status, s.count, s.address
        word, left, fixed, writes, last = s.word, s.left, s.fixed, s.writes, s.last
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

    def _response_states(self, m: Module, s: _Registers) -> None:
        """The answer into its memory: data words, and the header last."""
        word, left, count, write_pointer = s.word, s.left, s.count, s.write_pointer
        sequence, op, status, header = s.sequence, s.op, s.status, s.header
        response_write, rotated, last, dropped = s.response_write, s.rotated, s.last, s.dropped
        with m.State("GREET"):
            m.d.sync += [count.eq(count + 1), left.eq(left - 1)]
            with m.Switch(count[:2]):
                with m.Case(0):
                    m.d.sync += word.eq(
                        PROTOCOL_VERSION | MAX_WORDS << 8 | PHASE_BITS << 16 | self._hold_bits << 24
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

    def _send_states(self, m: Module, s: _Registers, send: stream.Interface) -> None:
        """The answer's bytes onto the line."""
        crc, crc_out, byte, bit, crc_busy = s.crc, s.crc_out, s.byte, s.bit, s.crc_busy
        left, count, op, read_pointer = s.left, s.count, s.op, s.read_pointer
        response_read = s.response_read
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

    def _close_states(self, m: Module, s: _Registers, send: stream.Interface) -> None:
        """On to the next byte, or the answer's end; then back to the wait for a request."""
        crc, crc_out, bit, left, read_pointer = s.crc, s.crc_out, s.bit, s.left, s.read_pointer
        op, status, step, address = s.op, s.status, s.step, s.address
        timer, write_pointer = s.timer, s.write_pointer
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
