# SPDX-License-Identifier: Apache-2.0
"""Single-port synchronous memories, the modules that a flow replaces with macros."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import ClockSignal, Elaboratable, Instance, Module, ResetSignal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.schedule import MemoryShape

__all__ = ["MemoryInstance", "RowMemory", "RowPort"]


class RowPort(wiring.Signature):
    """The only port of a row memory, as the memory sees it.

    Parameters
    ----------
    shape
        Shape of the memory.

    Attributes
    ----------
    row
        In, the address of a read or of a write.
    read
        In, 1 bit; never together with a write.
    data
        Out, the row, one cycle after `read` and held until the next.
    write
        In, one bit for each word of the row. A ROM does not have it.
    write_data
        In, the row to write. A ROM does not have it.
    """

    def __init__(self, shape: MemoryShape) -> None:
        members = {"row": In(range(shape.rows)), "read": In(1), "data": Out(shape.bits)}
        if shape.writable:
            members |= {"write": In(shape.words), "write_data": In(shape.bits)}
        super().__init__(members)


class RowMemory(wiring.Component):
    """A memory of rows with one port, `RowPort`.

    Parameters
    ----------
    shape
        Rows, widths, and whether it is a ROM.
    init
        Initial rows as integers; rows that it lacks are 0. None leaves a memory uninitialised.
    """

    def __init__(self, shape: MemoryShape, *, init: Sequence[int] | None = None) -> None:
        self.shape = shape
        self._init = init
        super().__init__(RowPort(shape))

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        width, bits = self.shape.bits, self.shape.word_bits
        # Whole words, and what is left of a row in an array of its own: no bit is stored in vain.
        whole = width // bits * bits
        for low, high in ((0, whole), (whole, width)):
            if low == high:
                continue
            rows = [row >> low & ((1 << (high - low)) - 1) for row in self._init or []]
            array = memory.Memory(shape=unsigned(high - low), depth=self.shape.rows, init=rows)
            m.submodules["rest" if low else "array"] = array
            read_port = array.read_port()
            m.d.comb += [
                read_port.addr.eq(self.row),
                read_port.en.eq(self.read),
                self.data[low:high].eq(read_port.data),
            ]
            if self.shape.writable:
                write_port = array.write_port(granularity=min(bits, high - low))
                m.d.comb += [
                    write_port.addr.eq(self.row),
                    write_port.en.eq(self.write[low // bits :]),
                    write_port.data.eq(self.write_data[low:high]),
                ]
        return m


class MemoryInstance(wiring.Component):
    """A `RowMemory` as an instance of a module with a name of its own.

    Across the boundary of an instance, ports keep their names and widths (`clk`, `rst`, `row`,
    `read`, `write`, `write_data`, `data`), as the wrapper of a macro needs them. Its members are
    those of `RowPort`.

    Parameters
    ----------
    shape
        Shape of the memory, with the name of its Verilog module.
    init
        Initial rows, as for `RowMemory`.
    """

    def __init__(self, shape: MemoryShape, *, init: Sequence[int] | None = None) -> None:
        self.shape = shape
        self._init = init
        super().__init__(RowPort(shape))

    @property
    def name(self) -> str:
        """The module's name."""
        return self.shape.name

    @property
    def initial_rows(self) -> Sequence[int]:
        """The initial contents; rows that it lacks are 0."""
        return self._init or ()

    def definition(self) -> RowMemory:
        """The module that is instantiated."""
        return RowMemory(self.shape, init=self._init)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        ports = {
            "i_clk": ClockSignal(),
            "i_rst": ResetSignal(),  # Amaranth gives every module one; nothing in it is reset
            "i_row": self.row,
            "i_read": self.read,
            "o_data": self.data,
        }
        if self.shape.writable:
            ports |= {"i_write": self.write, "i_write_data": self.write_data}
        m.submodules.bank = Instance(self.name, **ports)
        return m
