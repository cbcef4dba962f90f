# SPDX-License-Identifier: Apache-2.0
"""Lowest-set-bit search, the heart of every spike front end."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value

__all__ = ["lowest_set"]


def lowest_set(
    m: Module, flags: Value, payloads: Sequence[Value] = ()
) -> tuple[Value, Value, list[Value]]:
    """Find the lowest set bit with a balanced tree, depth log2(len(flags)).

    Parameters
    ----------
    m
        Module that the tree is added to.
    flags
        The bits to search.
    payloads
        Vectors as long as `flags`; their bits at the position found are selected on the way.

    Returns
    -------
    found
        1 bit, whether any bit is set.
    index
        The position of the lowest, ceil(log2(len)) bits; 0 if there is none.
    carried
        The payloads' bits at that position; 0 if there is none.
    """

    def named(value: Value) -> Signal:
        # A signal, because an expression that is used twice is built twice.
        signal = Signal(len(value), name="tree")
        m.d.comb += signal.eq(value)
        return signal

    # Each level halves the vectors: a pair takes its even element unless only the odd one has a
    # find. Index and payload bits are 0 where nothing was found, so OR joins them.
    found: Value = named(flags)
    index: list[Value] = []
    carried: list[Value] = [named(vector & found) for vector in payloads]
    while len(found) > 1:
        if len(found) % 2:
            found, *rest = (Cat(v, Const(0, 1)) for v in (found, *index, *carried))
            index, carried = rest[: len(index)], rest[len(index) :]
        even, odd = found[0::2], found[1::2]
        only_odd = named(odd & ~even)
        index = [named(bits[0::2] | (bits[1::2] & only_odd)) for bits in index]
        index.append(only_odd)
        carried = [named(bits[0::2] | (bits[1::2] & only_odd)) for bits in carried]
        found = named(even | odd)
    return found, Cat(index) if index else Const(0, 1), carried
