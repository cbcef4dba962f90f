# SPDX-License-Identifier: Apache-2.0
"""A single-port synchronous memory, the one module that a flow replaces with a macro."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Elaboratable, Module, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RowMemory", "row_words"]


def row_words(width: int, word_bits: int = 32) -> int:
    """Write words of a row of `width` bits."""
    return -(-width // word_bits)


class RowMemory(wiring.Component):
    """Rows of `width` bits, one port, read data one cycle after `read` and held until the next.

    Parameters
    ----------
    rows : depth; at least 2 are built, so that an address has at least one bit.
    width : bits of a row; a row wider than one write word is stored in whole words.
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
        ports = {
            "row": In(range(self.rows)),
            "read": In(1),
            "data": Out(width),
        }
        if not constant:
            ports |= {"write": In(self.words), "write_data": In(width)}
        self._constant = constant
        super().__init__(ports)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        shape = unsigned(self.words * self.word_bits)
        m.submodules.array = array = memory.Memory(
            shape=shape, depth=self.rows, init=self._init or []
        )
        read_port = array.read_port()
        m.d.comb += [
            read_port.addr.eq(self.row),
            read_port.en.eq(self.read),
            self.data.eq(read_port.data),
        ]
        if not self._constant:
            write_port = array.write_port(granularity=self.word_bits)
            m.d.comb += [
                write_port.addr.eq(self.row),
                write_port.en.eq(self.write),
                write_port.data.eq(Cat(self.write_data)),
            ]
        return m
