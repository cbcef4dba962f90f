# SPDX-License-Identifier: Apache-2.0
"""Selection by conditions that exclude each other: smaller than a chain of multiplexers."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Value

__all__ = ["choose"]


def choose(*choices: tuple[Value, Value]) -> Value:
    """The value whose condition (1 bit) holds, as bits; 0 if none does.

    At most one condition may hold: the values are ANDed with theirs and ORed.
    """
    return reduce(
        or_,
        (
            Value.cast(value).as_unsigned() & condition.replicate(len(Value.cast(value)))
            for condition, value in choices
        ),
    )
