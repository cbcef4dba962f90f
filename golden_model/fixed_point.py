# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic of the datapath: wrap, rounding shift, clamp. See docs/numerics.md."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

__all__ = ["bits_needed", "clamp", "round_shift", "signed_range", "wrap"]

# A Python int or an integer array; the result is of the same kind.
Integers = TypeVar("Integers", int, np.ndarray)


def signed_range(bits: int) -> tuple[int, int]:
    """Least and largest value of a two's complement number of `bits` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def wrap(value: Integers, bits: int) -> Integers:
    """`value` modulo 2**bits, as a signed number of `bits` bits.

    An array must have a type wider than `bits` bits.
    """
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


def round_shift(value: Integers, shift: int) -> Integers:
    """`value` / 2**shift, rounded to nearest, ties toward plus infinity.

    Half a unit is added before the arithmetic shift right; shift 0 adds nothing. (torch.round
    and numpy.round send ties to even and differ.)
    """
    if shift == 0:
        return value
    return (value + (1 << (shift - 1))) >> shift


def clamp(value: Integers, bits: int) -> Integers:
    """`value`, limited to what `bits` bits hold, signed."""
    least, most = signed_range(bits)
    if isinstance(value, np.ndarray):
        return np.minimum(np.maximum(value, least), most)
    return min(max(value, least), most)


def bits_needed(value: int) -> int:
    """Least number of bits that holds `value` in two's complement."""
    return (value if value >= 0 else ~value).bit_length() + 1
