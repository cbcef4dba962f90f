# SPDX-License-Identifier: Apache-2.0
"""The control bus: what AXI4-Lite and the serial bridge turn into, and the registers answer."""

from __future__ import annotations

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ADDRESS_BITS", "BUS_WORD_BITS", "ControlBus", "bus_request", "bus_response"]

ADDRESS_BITS = 16
BUS_WORD_BITS = 32


def bus_request() -> data.StructLayout:
    """An access: `address` in bytes, `write` or read, `data` of a write."""
    return data.StructLayout({"address": ADDRESS_BITS, "write": 1, "data": BUS_WORD_BITS})


def bus_response() -> data.StructLayout:
    """Its answer: `data` of a read, 0 after a write; `error`: refused, nothing changed, data 0."""
    return data.StructLayout({"data": BUS_WORD_BITS, "error": 1})


class ControlBus(wiring.Signature):
    """The bus as its master sees it. One response a request, in order, one under way.

    Attributes
    ----------
    request
        Out, stream of `bus_request`.
    response
        In, stream of `bus_response`.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "request": Out(stream.Signature(bus_request())),
                "response": In(stream.Signature(bus_response())),
            }
        )
