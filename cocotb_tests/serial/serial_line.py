# SPDX-License-Identifier: Apache-2.0
"""A serial line for benches: bytes as levels in time, at any speed, and back."""

from __future__ import annotations

from cocotb.triggers import FallingEdge, RisingEdge, Timer

__all__ = ["Line", "Listener"]


def _picoseconds(time: float) -> int:
    return max(2, round(time / 2) * 2)


class Line:
    """Drives a pin.

    Parameters
    ----------
    pin : the signal.
    bit_ps : picoseconds of a bit; may be changed at any time.
    """

    def __init__(self, pin, bit_ps: float) -> None:
        self.pin = pin
        self.bit_ps = bit_ps
        pin.value = 1

    async def level(self, value: int, bits: float = 1) -> None:
        """Hold a level for so many bit times."""
        self.pin.value = value
        await Timer(_picoseconds(self.bit_ps * bits), "ps")

    async def send(self, data: bytes, *, stop: int = 1, idle_bits: float = 0) -> None:
        """Bytes, one after the other; `stop` is the level of the stop bits."""
        for byte in data:
            start = 0
            for value in (start, *(byte >> i & 1 for i in range(8)), stop):
                await self.level(value)
            if idle_bits:
                await self.level(1, idle_bits)
        self.pin.value = 1


class Listener:
    """Takes bytes from a pin, sampled in the middle of each bit.

    Attributes
    ----------
    data : what was received.
    wrong_stops : bytes without a stop bit.
    """

    def __init__(self, pin, bit_ps: float) -> None:
        self.pin = pin
        self.bit_ps = bit_ps
        self.data = bytearray()
        self.wrong_stops = 0

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            await FallingEdge(self.pin)
            await Timer(_picoseconds(1.5 * self.bit_ps), "ps")
            byte = 0
            for place in range(8):
                byte |= int(self.pin.value) << place
                await Timer(_picoseconds(self.bit_ps), "ps")
            if int(self.pin.value):
                self.data.append(byte)
            else:
                self.wrong_stops += 1
                await RisingEdge(self.pin)
