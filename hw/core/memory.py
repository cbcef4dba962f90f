# SPDX-License-Identifier: Apache-2.0
"""Single-port synchronous memories, the modules that a flow replaces with macros."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import ClockSignal, Elaboratable, Instance, Module, ResetSignal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["MemoryInstance", "RowMemory", "row_words"]


def row_words(width: int, word_bits: int = 32) -> int:
    """Write words of a row of `width` bits."""
    return -(-width // word_bits)


def _ports(rows: int, width: int, words: int | None) -> dict:
    """Ports of a memory; `words` None: no write port."""
    ports = {"row": In(range(rows)), "read": In(1), "data": Out(width)}
    if words is not None:
        ports |= {"write": In(words), "write_data": In(width)}
    return ports


class RowMemory(wiring.Component):
    """Rows of `width` bits, one port, read data one cycle after `read` and held until the next.

    Parameters
    ----------
    rows : depth; at least 2 are built, so that an address has at least one bit.
    width : bits of a row; the last write word may be shorter than the others.
    word_bits : bits that one write enable covers.
    init : initial rows as integers (missing rows are 0), or None for an uninitialised memory.
    constant : build a ROM of `init`; there is no write port.

    Attributes
    ----------
    row : In, address of read and write.
    read : In, 1 bit. Never together with a write.
    write : In, one bit a word.
    write_data : In, width bits.
    data : Out, width bits.
    """

    def __init__(
        self,
        rows: int,
        width: int,
        *,
        word_bits: int = 32,
        init: Sequence[int] | None = None,
        constant: bool = False,
    ) -> None:
        self.rows = max(2, rows)
        self.word_bits = min(word_bits, width)
        self.words = row_words(width, self.word_bits)
        self._init = init
        self._constant = constant
        super().__init__(_ports(self.rows, width, None if constant else self.words))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        width, bits = len(self.data), self.word_bits
        # Whole words, and what is left of a row in an array of its own: no bit is stored in vain.
        whole = width // bits * bits
        for low, high in ((0, whole), (whole, width)):
            if low == high:
                continue
            rows = [row >> low & ((1 << (high - low)) - 1) for row in self._init or []]
            array = memory.Memory(shape=unsigned(high - low), depth=self.rows, init=rows)
            m.submodules["rest" if low else "array"] = array
            read_port = array.read_port()
            m.d.comb += [
                read_port.addr.eq(self.row),
                read_port.en.eq(self.read),
                self.data[low:high].eq(read_port.data),
            ]
            if not self._constant:
                write_port = array.write_port(granularity=min(bits, high - low))
                m.d.comb += [
                    write_port.addr.eq(self.row),
                    write_port.en.eq(self.write[low // bits :]),
                    write_port.data.eq(self.write_data[low:high]),
                ]
        return m


class MemoryInstance(wiring.Component):
    """A `RowMemory` as an instance of a module with a name of its own.

    Across the boundary of an instance, ports keep their names and widths: `clk`, `rst`, `row`,
    `read`, `write`, `write_data`, `data`, as a macro's wrapper needs them.

    Parameters
    ----------
    name : of the Verilog module.
    rows, width, options : those of `RowMemory`.

    Attributes
    ----------
    The ports of `RowMemory`, and its `rows`, `words` and `word_bits`.
    """

    def __init__(
        self, name: str, rows: int, width: int, *, word_bits: int = 32, **options: object
    ) -> None:
        self.name = name
        self.rows = max(2, rows)
        self.word_bits = min(word_bits, width)
        self.words = row_words(width, self.word_bits)
        self._options = options
        self._writable = not options.get("constant", False)
        super().__init__(_ports(self.rows, width, self.words if self._writable else None))

    @property
    def initial_rows(self) -> Sequence[int]:
        """Initial contents; missing rows are 0."""
        return self._options.get("init") or ()

    def definition(self) -> RowMemory:
        """The module that is instantiated."""
        return RowMemory(self.rows, len(self.data), word_bits=self.word_bits, **self._options)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        ports = {
            "i_clk": ClockSignal(),
            "i_rst": ResetSignal(),  # Amaranth gives every module one; nothing in it is reset
            "i_row": self.row,
            "i_read": self.read,
            "o_data": self.data,
        }
        if self._writable:
            ports |= {"i_write": self.write, "i_write_data": self.write_data}
        m.submodules.bank = Instance(self.name, **ports)
        return m
