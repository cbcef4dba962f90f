# SPDX-License-Identifier: Apache-2.0
"""Lowest-set-bit search, the heart of every spike front end."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Mux, Value

__all__ = ["lowest_set"]


def lowest_set(flags: Value, payloads: Sequence[Value] = ()) -> tuple[Value, Value, list[Value]]:
    """Find the lowest set bit with a balanced tree, depth log2(len(flags)).

    Parameters
    ----------
    flags : the bits to search.
    payloads : vectors as long as `flags`; their bits at the position found are selected on the way.

    Returns
    -------
    found : 1 bit; index : position, ceil(log2(len)) bits, 0 if none; the payload bits, 0 if none.
    """
    size = 1
    while size < len(flags):
        size *= 2
    zero = Const(0, 1)

    def leaf(vector: Value, position: int) -> Value:
        return vector[position] if position < len(vector) else zero

    nodes = [
        (leaf(flags, p), [], [leaf(vector, p) & leaf(flags, p) for vector in payloads])
        for p in range(size)
    ]
    while len(nodes) > 1:
        merged = []
        for low, high in zip(nodes[::2], nodes[1::2], strict=True):
            found, index, carried = low
            index = [Mux(found, a, b) for a, b in zip(index, high[1], strict=True)]
            # The new top bit of the index: taken from the high half. All bits are 0 without a find.
            index.append(~found & high[0])
            carried = [Mux(found, a, b) for a, b in zip(carried, high[2], strict=True)]
            merged.append((found | high[0], index, carried))
        nodes = merged
    found, index, carried = nodes[0]
    return found, Cat(index) if index else Const(0, 1), carried
