# SPDX-License-Identifier: Apache-2.0
"""The non-adjacent form of int8 values, found by its definition among all strings of digits."""

import itertools

__all__ = ["NON_ADJACENT"]


def _found() -> dict[int, tuple[int, ...]]:
    found = {}
    for digits in itertools.product((-1, 0, 1), repeat=8):
        value = sum(digit << place for place, digit in enumerate(digits))
        if -128 <= value < 128 and not any(a and b for a, b in itertools.pairwise(digits)):
            assert value not in found
            found[value] = digits
    return found


NON_ADJACENT = _found()
"""Value to its eight digits -1, 0 or 1, that of 2^0 first: no two neighbours are both not 0."""
