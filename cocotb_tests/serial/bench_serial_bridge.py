# SPDX-License-Identifier: Apache-2.0
"""Bench of the serial bridge: packets on a line, a control bus behind, and the reference between.

The bus is answered by `Registers`, late and in random time. The reference (`serial_reference`) has
registers of its own; answers, the order of all accesses and the counters must be the same.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, Timer, with_timeout

from cocotb_tests.blocks.block_ports import start
from cocotb_tests.serial import serial_reference as reference
from cocotb_tests.serial.serial_line import Line, Listener

CLOCK_PS = 10_000
PLAIN = 0x200  # registers below it hold what was written
SOURCE, SINK, CLOSED = 0x1000, 0x1004, 0x1008


@dataclass
class Registers:
    """Plain registers, a source that runs dry, a sink that is often busy, a closed one."""

    rng: random.Random
    plain: dict[int, int] = field(default_factory=dict)
    source: list[int] = field(default_factory=list)
    sink: list[int] = field(default_factory=list)
    log: list[tuple] = field(default_factory=list)

    def read(self, address: int) -> int | None:
        if address < PLAIN and address % 4 == 0:
            value = self.plain.get(address, 0)
        elif address == SOURCE and self.source:
            value = self.source.pop(0)
        else:
            value = None
        self.log.append(("read", address, value))
        return value

    def write(self, address: int, data: int, patient: bool = False) -> bool:
        taken = (address < PLAIN and address % 4 == 0) or (address == SINK and patient)
        if taken:
            self.log.append(("write", address, data))
            if address == SINK:
                self.sink.append(data)
            else:
                self.plain[address] = data
        return taken


class Bench:
    """The bridge with a line on one side and registers on the other."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.plan = json.loads(os.environ["PLOSIVE_SERIAL"])
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.default_ps = self.bit_ps = CLOCK_PS * self.plan["clocks_per_bit"]
        self.line = Line(dut.rx, self.bit_ps)
        self.listener = Listener(dut.tx, self.bit_ps)
        seed = self.rng.random()
        self.registers = Registers(random.Random(seed))
        self.mirror = Registers(random.Random(seed))
        self.board = self.new_board()
        self.sequence = self.rng.randrange(256)
        self.seen = 0  # bytes of the listener that were looked at

    def new_board(self) -> reference.Board:
        words = self.plan["hello"]
        return reference.Board(self.mirror.read, self.mirror.write, tuple(words))

    async def begin(self) -> None:
        for port in ("request__ready", "response__valid"):
            getattr(self.dut, f"bus__{port}").value = 0
        await start(self.dut)
        cocotb.start_soon(self.listener.run())
        cocotb.start_soon(self.serve())

    async def serve(self) -> None:
        """Answer the bus."""
        dut, rng = self.dut, random.Random(self.rng.random())
        edge = FallingEdge(dut.clk)
        while True:
            if not int(dut.bus__request__valid.value):
                await RisingEdge(dut.bus__request__valid)
                await edge
            held = self._request()
            for _ in range(rng.choice([0, 0, 1, 3])):
                await edge
                assert self._request() == held, "a request changed while it waited"
            dut.bus__request__ready.value = 1
            await edge
            dut.bus__request__ready.value = 0
            address, write, data = held
            for _ in range(rng.choice([0, 0, 1, 5])):
                assert not int(dut.bus__request__valid.value), "a request before the answer"
                await edge
            # A busy sink is what patience is for.
            busy = address == SINK and rng.random() < 0.5
            if write:
                value = 0 if not busy and self.registers.write(address, data, True) else None
            else:
                value = self.registers.read(address)
            dut.bus__response__payload.value = (value or 0) | (value is None) << 32
            dut.bus__response__valid.value = 1
            while not int(dut.bus__response__ready.value):
                await edge
            await edge
            dut.bus__response__valid.value = 0
            dut.bus__response__payload.value = rng.getrandbits(33)

    def _request(self) -> tuple[int, int, int]:
        dut = self.dut
        assert int(dut.bus__request__valid.value), "a request was withdrawn"
        payload = int(dut.bus__request__payload.value)
        return payload & 0xFFFF, payload >> 16 & 1, payload >> 17

    # ---- the host's side -----------------------------------------------------------------

    def new(self, op: int, address: int = 0, words=()) -> bytes:
        """A new request, with the next sequence number."""
        self.sequence = (self.sequence + 1) % 256
        return reference.request(self.sequence, op, address, words)

    async def send(self, line: bytes) -> None:
        self.line.bit_ps = self.bit_ps
        await self.line.send(line)

    async def silence(self, bits: float = 60) -> None:
        """Nothing must come for so long."""
        await Timer(round(bits * self.bit_ps / 2) * 2, "ps")
        rest = bytes(self.listener.data[self.seen :])
        assert not rest, f"the board said {rest.hex()} unasked"

    async def answer(self, bits: float = 4000) -> bytes:
        """The next framed packet from the board."""
        self.listener.bit_ps = self.bit_ps

        async def wait() -> bytes:
            while True:
                data = bytes(self.listener.data[self.seen :])
                end = data.find(b"\xc0", 1)
                if end > 0:
                    self.seen += end + 1
                    return data[: end + 1]
                await Timer(round(5 * self.bit_ps / 2) * 2, "ps")

        return await with_timeout(wait(), round(bits * self.bit_ps), "ps")

    async def ask(self, content: bytes) -> reference.Answer:
        """Send a packet, and compare its answer with the reference's."""
        await self.send(reference.frame(content))
        expected = self.board.take(content)
        got = await self.answer(4000 + 20 * 11 * 130)
        assert got == expected, f"{content.hex()}: {got.hex()}, expected {expected.hex()}"
        # The stop bit of the answer's last byte is still on the line.
        await Timer(round(2 * self.bit_ps / 2) * 2, "ps")
        return reference.Answer.parse(next(reference.unframe(got)))

    async def hello(self) -> reference.Answer:
        return await self.ask(self.new(reference.HELLO))

    def same_registers(self) -> None:
        """Both sets of registers saw the same accesses, and those to the sink in order."""
        assert self.registers.log == self.mirror.log
        assert self.registers.plain == self.mirror.plain
        assert self.registers.sink == self.mirror.sink

    def fill(self, count: int) -> None:
        """Words into both sources."""
        words = [self.rng.getrandbits(32) for _ in range(count)]
        self.registers.source += words
        self.mirror.source += words

    def random_request(self) -> bytes:
        rng = self.rng
        op = rng.choice([1, 2, 3, 6, 7, 7, 1, 2, 3, 5, 0x83, 12, 0])
        most = rng.choice([1, 4, 20])
        words = [
            rng.choice([rng.getrandbits(32), 0xC0DBDCDD, 0xDBDBC0C0])
            for _ in range(rng.randrange(most + 1))
        ]
        address = 4 * rng.randrange(PLAIN // 4 + 4)
        if rng.random() < 0.05:
            address += rng.randrange(4)
        if op in (2, 6):
            words = [rng.randrange(most + 1) | rng.getrandbits(24) << 8]
            if rng.random() < 0.05:
                words = rng.choice([[], [127], [255], [0]])
        if op == 6 and rng.random() < 0.7:
            address = SOURCE
            self.fill(rng.randrange(8))
        if op == 7 and rng.random() < 0.7:
            address = SINK
        return self.new(op, address, words)


@cocotb.test()
async def answers(dut) -> None:
    """Random requests, each answered as the reference does; repeated ones not done twice."""
    bench = Bench(dut)
    await bench.begin()
    rng = bench.rng
    for op, address in ((reference.READ, 0), (reference.HELLO, 1), (reference.BAUD, 2**14)):
        asked = await bench.ask(bench.new(op, address, [1]))
        assert asked.status == reference.NO_SESSION
    assert (await bench.hello()).words[:2] == bench.plan["hello"]
    for _ in range(bench.plan["requests"]):
        content = bench.random_request()
        for _ in range(rng.choice([1, 1, 2, 3])):
            await bench.ask(content)
            bench.same_registers()
        if rng.random() < 0.2:  # only the sequence number tells a request that was carried out
            await bench.ask(reference.request(bench.sequence, rng.randrange(1, 8), 4, [5] * 3))
            bench.same_registers()
    longest = [rng.getrandbits(32) for _ in range(reference.MOST_WORDS)]
    echoed = await bench.ask(bench.new(reference.ECHO, 0, longest))
    assert echoed.words == longest
    await bench.ask(bench.new(reference.WRITE_FIXED, SINK, longest))
    await bench.ask(bench.new(reference.WRITE, 0, longest))
    assert (await bench.ask(bench.new(reference.READ, 0, [126]))).words == longest
    bench.same_registers()
    for count in (126, 127, 128, 255):
        asked = await bench.ask(bench.new(reference.READ, 0, [count]))
        assert asked.status == (reference.OK if count == 126 else reference.BAD_REQUEST)
    assert (await bench.hello()).words[2] == 0


@cocotb.test()
async def drops_what_is_broken(dut) -> None:
    """Damaged packets have no effect and no answer, are counted, and the next one is good."""
    bench = Bench(dut)
    await bench.begin()
    rng = bench.rng
    await bench.hello()
    good = reference.frame(bench.new(reference.WRITE, 0x10, [0x12345678, 0xC0DB0000]))
    damaged = [
        ("bit", bytes([*good[:5], good[5] ^ 4, *good[6:]])),
        ("byte lost", good[:4] + good[5:]),
        ("byte more", good[:4] + b"\x00" + good[4:]),
        ("cut", good[:9] + b"\xc0"),
        ("only a CRC", reference.frame(reference.packet(b""))),
        ("no whole words", reference.frame(reference.packet(b"\x01\x03\x10\x00\x01"))),
        ("too long", reference.frame(reference.request(bench.sequence, 3, 0, [0] * 127))),
        ("far too long", reference.frame(reference.request(bench.sequence, 3, 0, [0] * 255))),
        ("wrong escape", good[:-1] + b"\xdb\x00\xc0"),
        ("wrong escape of an END", good.replace(b"\xdb\xdc", b"\xdb\x00")),
        ("ends in an escape", good[:-1] + b"\xdb\xc0"),
    ]
    for _ in range(bench.plan["requests"]):
        content = bytearray(reference.frame(bench.random_request()))
        for _ in range(rng.choice([1, 1, 1, 5])):
            place = rng.randrange(1, len(content) - 1)
            content[place] ^= 1 << rng.randrange(8)
        damaged.append(("random bits", bytes(content)))
    for what, line in damaged:
        before = bench.board.dropped
        kept = bench.board.session, bench.board.sequence, bench.board.kept
        for content in reference.unframe(line):
            assert bench.board.take(content) is None, what
        bench.board.session, bench.board.sequence, bench.board.kept = kept
        assert bench.board.dropped > before
        await bench.send(line)
        await bench.silence()
        bench.same_registers()
        count = (await bench.hello()).words[2]
        assert count == bench.board.dropped, f"{what}: {count} dropped"
    # Garbage without an END before a packet costs one drop, and no packet.
    await bench.send(bytes(rng.choice([1, 2, 0xDB, 0xFF]) for _ in range(700)))
    bench.board.dropped += 1
    await bench.hello()
    # A wrong stop bit breaks the packet that it is in.
    await bench.send(good[:6])
    await bench.line.send(good[6:7], stop=0)
    await bench.line.level(1, 2)
    await bench.send(good[7:])
    await bench.silence()
    bench.board.dropped += 1
    await bench.hello()
    bench.same_registers()
    # ENDs alone are nothing, with a lone ESC before one neither; behind a whole packet an ESC
    # makes its END a broken one.
    await bench.send(b"\xc0" * 9 + b"\xdb\xc0\xdb\xc0")
    await bench.silence()
    await bench.hello()
    await bench.send(good[:-1] + b"\xdb\xc0")
    bench.board.dropped += 1
    await bench.hello()
    bench.same_registers()


@cocotb.test()
async def deaf_while_busy(dut) -> None:
    """A packet that begins while the board answers is dropped whole, and the next one taken."""
    bench = Bench(dut)
    await bench.begin()
    rng = bench.rng
    await bench.hello()
    for _ in range(12):
        words = [rng.getrandbits(32) for _ in range(rng.randrange(1, 12))]
        content = bench.new(reference.ECHO, 0, words)
        await bench.send(reference.frame(content))
        intruder = reference.frame(
            bench.new(reference.WRITE, 0, [rng.getrandbits(32)] * rng.choice([1, 12]))
        )
        await bench.send(intruder)
        expected = bench.board.take(content)
        assert await bench.answer() == expected
        bench.board.dropped += 1
        await bench.silence()
        bench.same_registers()
        await bench.hello()


@cocotb.test()
async def patience_ends(dut) -> None:
    """WRITE_FIXED to what never takes a word ends after its time; other writes end at once."""
    bench = Bench(dut)
    await bench.begin()
    await bench.hello()
    for op, least in ((reference.WRITE_FIXED, 2 ** bench.plan["patience_bits"]), (3, 0)):
        content = bench.new(op, CLOSED, [1, 2])
        await bench.send(reference.frame(content))
        sent = cocotb.utils.get_sim_time("ps")
        expected = bench.board.take(content)
        assert await bench.answer(4000 + 2 * least) == expected
        # Ten bytes of the answer, its two ENDs and the poll of `answer`.
        clocks = (cocotb.utils.get_sim_time("ps") - sent) / CLOCK_PS
        rest = 200 * bench.plan["clocks_per_bit"]
        assert least <= clocks <= least + rest, f"operation {op}: {clocks} clocks"
    bench.same_registers()


@cocotb.test()
async def speed_changes_and_falls_back(dut) -> None:
    """BAUD takes effect behind its answer, and lasts as long as valid packets come."""
    bench = Bench(dut)
    await bench.begin()
    await bench.hello()
    hold = 2 ** bench.plan["hold_bits"] * CLOCK_PS
    for clocks in (16, 4, 25 / 3):
        step = round(2**16 / clocks)
        await bench.ask(bench.new(reference.BAUD, step))
        assert bench.board.step == step
        bench.bit_ps = CLOCK_PS * 2**16 / step
        bench.line.bit_ps = bench.listener.bit_ps = bench.bit_ps
        for _ in range(4):  # packets keep it, garbage does not
            await Timer(round(0.7 * hold / 2) * 2, "ps")
            await bench.hello()
        await bench.send(b"\xc0\x01\x02\xc0")
        bench.board.dropped += 1
        await Timer(round(1.02 * hold / 2) * 2, "ps")
        bench.bit_ps = bench.line.bit_ps = bench.listener.bit_ps = bench.default_ps
        await bench.hello()
    # The lost answer to BAUD: at the old speed nobody listens any more, until the time is over.
    content = bench.new(reference.BAUD, round(2**16 / 16))
    await bench.ask(content)
    await bench.send(reference.frame(content))
    await Timer(round(1.02 * hold / 2) * 2, "ps")
    bench.bit_ps = CLOCK_PS * 16
    await bench.silence(10)
    bench.bit_ps = bench.line.bit_ps = bench.listener.bit_ps = bench.default_ps
    del bench.listener.data[bench.seen :]
    assert await bench.ask(content)
    bench.bit_ps = bench.line.bit_ps = bench.listener.bit_ps = CLOCK_PS * 16
    dropped = (await bench.ask(bench.new(reference.ECHO, 0, [7]))).words
    assert dropped == [7]


@cocotb.test()
async def reset_ends_the_session(dut) -> None:
    """After a reset everything but HELLO is refused, also the repeated last request."""
    bench = Bench(dut)
    await bench.begin()
    await bench.hello()
    content = bench.new(reference.WRITE, 0x20, [5])
    await bench.ask(content)
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    bench.board = bench.new_board()
    never = reference.request(0, reference.READ, 0x20, [1])  # the number that a reset leaves
    assert (await bench.ask(never)).status == reference.NO_SESSION
    assert (await bench.ask(content)).status == reference.NO_SESSION
    assert (await bench.ask(content)).status == reference.NO_SESSION
    await bench.hello()
    assert (await bench.ask(bench.new(reference.READ, 0x20, [1]))).words == [5]
    bench.same_registers()
