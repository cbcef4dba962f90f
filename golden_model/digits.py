# SPDX-License-Identifier: Apache-2.0
"""The digits of a feature, which the input phase takes one by one.

Written from docs/architecture.md, "F".
"""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["digit_counts", "digit_table", "half_ranges", "non_adjacent_form", "value_shares"]

_BITS = 8


def non_adjacent_form(x: int) -> list[int]:
    """Digits -1, 0, 1 of an int8 value, that of 2^0 first; no two that are side by side are not 0.

    An odd rest takes the digit that leaves a multiple of 4, so that the next digit is 0.
    """
    digits = []
    for _ in range(_BITS):
        digit = 2 - x % 4 if x % 2 else 0
        digits.append(digit)
        x = (x - digit) // 2
    assert x == 0
    return digits


@cache
def digit_table(input_digits: str) -> np.ndarray:
    """Digits of every feature: [256, 8] int8, by the feature as uint8, that of 2^0 first.

    Parameters
    ----------
    input_digits
        "bits", of two's complement, whose highest digit is 0 or -1; or "naf".
    """
    if input_digits == "naf":
        rows = [non_adjacent_form((value ^ 128) - 128) for value in range(256)]
    else:
        rows = [[value >> i & 1 for i in range(7)] + [-(value >> 7)] for value in range(256)]
    return np.array(rows, np.int8)


@cache
def digit_counts(input_digits: str) -> np.ndarray:
    """Digits of every feature that are not 0: [256, 2] int64, of the low and of the high half."""
    return (digit_table(input_digits) != 0).reshape(256, 2, _BITS // 2).sum(axis=-1)


def value_shares(density: float) -> np.ndarray:
    """Share of every feature [256], by the feature as uint8, of independent random bits.

    Parameters
    ----------
    density
        Probability that a bit is 1.
    """
    ones = digit_counts("bits").sum(axis=-1)
    return density**ones * (1 - density) ** (_BITS - ones)


@cache
def half_ranges(input_digits: str) -> list[tuple[int, int]]:
    """Least and greatest value of the low and of the high half of all features.

    A feature is its low half and 16 times its high half.
    """
    halves = digit_table(input_digits).astype(int).reshape(256, 2, _BITS // 2)
    values = halves @ (1 << np.arange(_BITS // 2))
    return list(zip(values.min(axis=0).tolist(), values.max(axis=0).tolist(), strict=True))
