# SPDX-License-Identifier: Apache-2.0
"""Selection by conditions that exclude each other: smaller than a chain of multiplexers."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Mux, Value

__all__ = ["choose"]


def choose(*choices: tuple[Value, Value]) -> Value:
    """The value whose condition (1 bit) holds, as bits; 0 if none does.

    At most one condition may hold: each value or 0, ORed.
    """
    return reduce(
        or_,
        (Mux(condition, Value.cast(value).as_unsigned(), 0) for condition, value in choices),
    )
