# SPDX-License-Identifier: Apache-2.0
"""What the benches of the blocks share: ports by name, packed fields, clock and reset."""

from __future__ import annotations

from collections.abc import Sequence

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from golden_model.fixed_point import wrap

__all__ = ["Block", "pack", "start", "unpack"]


class Block:
    """The ports of one block of `cocotb_tests.blocks.blocks`, as unsigned integers."""

    def __init__(self, dut, name: str) -> None:
        self._dut, self._name = dut, name
        self._handles: dict = {}

    def _handle(self, port: str):
        if port not in self._handles:
            self._handles[port] = getattr(self._dut, f"{self._name}__{port}")
        return self._handles[port]

    def set(self, **values: int) -> None:
        """Drive inputs; negative values as two's complement."""
        for port, value in values.items():
            handle = self._handle(port)
            handle.value = value & ((1 << len(handle)) - 1)

    def get(self, port: str) -> int:
        return int(self._handle(port).value)

    def check(self, context: object, **expected: int) -> None:
        """Compare outputs; negative values as two's complement."""
        for port, value in expected.items():
            handle = self._handle(port)
            actual, wanted = int(handle.value), value & ((1 << len(handle)) - 1)
            assert actual == wanted, (
                f"{self._name}.{port}: expected {wanted:#x}, got {actual:#x}, with {context}"
            )


def pack(values: Sequence[int], bits: int) -> int:
    """Elements of `bits` bits, lowest first."""
    return sum((int(value) & ((1 << bits) - 1)) << (bits * i) for i, value in enumerate(values))


def unpack(word: int, count: int, bits: int) -> list[int]:
    """The signed elements of a word."""
    return [wrap(word >> (bits * i) & ((1 << bits) - 1), bits) for i in range(count)]


async def start(dut) -> FallingEdge:
    """Start the clock and reset; returns the edge at which benches look and drive."""
    Clock(dut.clk, 10, unit="ns", impl="gpi").start(start_high=False)
    edge = FallingEdge(dut.clk)
    dut.rst.value = 1
    await edge
    await edge
    dut.rst.value = 0
    return edge
