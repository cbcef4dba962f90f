# SPDX-License-Identifier: Apache-2.0
"""The trace port: a snapshot of all architectural state at each clock edge, for verification only.

The core says what there is to see; the names and shapes are those of the table in
docs/architecture.md, "The trace".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Shape, Signal, Value, ValueCastable
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hw.core.memory import MemoryInstance

__all__ = ["Trace", "TraceField", "Traced", "TracedMemory"]


class Traced(NamedTuple):
    """A named value for the trace.

    Attributes
    ----------
    name
        Name of the field.
    value
        A signal, a view or an expression.
    shape
        Shape of the array of unsigned elements that the value holds. None takes it from the value:
        array layouts give their lengths, and everything else is one number.
    """

    name: str
    value: Value | ValueCastable
    shape: tuple[int, ...] | None = None


class TracedMemory(NamedTuple):
    """A memory for the trace: three fields, of its reads, its rows and its output.

    Reads and rows are those at the memory's own port. The output of a bank that no frame has read
    since the reset counts as 0: until then it holds what the weight port has read, or nothing.

    Attributes
    ----------
    name
        Name of the memory; the fields are `name`_read, `name`_row and `name`_data.
    banks
        The memory's banks.
    issued
        One bit for each bank, high when a frame reads it.
    row
        Layout of a row.
    """

    name: str
    banks: Sequence[MemoryInstance]
    issued: Value
    row: data.Layout


@dataclass(frozen=True)
class TraceField:
    """Where a field stands in the trace word, whose lowest bits are the first field.

    Attributes
    ----------
    name
        The field's name.
    offset
        Place of its lowest bit in the trace word.
    width, signed
        Width and signedness of one element.
    shape
        Shape of the array; () for a single number.
    """

    name: str
    offset: int
    width: int
    signed: bool
    shape: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Bits of the whole field."""
        return self.width * math.prod(self.shape)


class Trace(wiring.Component):
    """Registers that keep what the state was just before each clock edge.

    Parameters
    ----------
    entries
        What to show, lowest bits first.

    Attributes
    ----------
    snapshot
        Out, all fields, one after the other.
    fields
        Where each field stands in it.
    bits
        Its width.
    """

    def __init__(self, entries: Sequence[Traced | TracedMemory]) -> None:
        self.fields: list[TraceField] = []
        self.bits = 0
        self._values: list[Value] = []
        self._reads: list[Value] = []  # by the frames, of each memory bank
        banks = [len(entry.banks) for entry in entries if isinstance(entry, TracedMemory)]
        self._seen = Signal(sum(banks))  # banks that a frame has read since the reset
        for entry in entries:
            if isinstance(entry, TracedMemory):
                for field in self._memory_fields(entry):
                    self._add(*field)
            else:
                self._add(*entry)
        super().__init__({"snapshot": Out(self.bits)})

    def _memory_fields(self, memory: TracedMemory) -> Iterator[Traced]:
        name, banks = memory.name, memory.banks
        reads = [bank.read for bank in banks]
        rows = [Mux(bank.read, bank.row, 0) for bank in banks]
        outputs = []
        for index, bank in enumerate(banks):
            outputs.append(Mux(self._seen[len(self._reads)], bank.data, 0))
            self._reads.append(memory.issued[index])
        if len(banks) == 1:
            yield Traced(f"{name}_read", reads[0])
            yield Traced(f"{name}_row", rows[0])
            yield Traced(f"{name}_data", data.View(memory.row, outputs[0]))
        else:
            yield Traced(f"{name}_read", Cat(reads), (len(banks),))
            yield Traced(f"{name}_row", Cat(rows), (len(banks),))
            layout = data.ArrayLayout(memory.row, len(banks))
            yield Traced(f"{name}_data", data.View(layout, Cat(outputs)))

    def _add(self, name: str, value: Value | ValueCastable, shape: tuple[int, ...] | None) -> None:
        """Append a field."""
        layout = value.shape() if isinstance(value, data.View) else Value.cast(value).shape()
        if shape is None:
            shape = ()
            while isinstance(layout, data.ArrayLayout):
                shape += (layout.length,)
                layout = layout.elem_shape
            element = Shape.cast(layout)
        else:
            element = Shape(len(Value.cast(value)) // math.prod(shape), signed=False)
        field = TraceField(name, self.bits, element.width, element.signed, shape)
        assert field.bits == len(Value.cast(value)), name
        self.fields.append(field)
        self._values.append(Value.cast(value))
        self.bits += field.bits

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        # Not reset: the snapshot at an edge with reset shows the state that the reset ends.
        register = Signal(self.bits, reset_less=True)
        m.d.sync += [register.eq(Cat(self._values)), self._seen.eq(self._seen | Cat(self._reads))]
        m.d.comb += self.snapshot.eq(register)
        return m
