# SPDX-License-Identifier: Apache-2.0
"""Trying every input of a combinational network of AND gates and inverters, 64 at a time.

No solver has a part in it, so it also checks what the solver says.
"""

from __future__ import annotations

import numpy as np

__all__ = ["try_all"]

_CHUNK_BITS = 20  # inputs tried at once: 2^20, 16,384 words of 64
_WORD_BITS = 6
# Input i < 6 of a word's 64 cases.
_PATTERNS = [
    np.uint64(sum(1 << case for case in range(64) if case >> i & 1)) for i in range(_WORD_BITS)
]


def try_all(aiger: str) -> tuple[int, dict[str, int] | None]:
    """Evaluate the only output of an ASCII AIGER file for every input.

    Parameters
    ----------
    aiger
        Text as yosys writes it with `write_aiger -ascii -symbols`, without latches.

    Returns
    -------
    inputs
        How many bits of input there are.
    found
        Values of the inputs, by name, that make the output 1; None if there are none.
    """
    lines = aiger.splitlines()
    most, inputs, latches, outputs, ands = map(int, lines[0].split()[1:6])
    if latches or outputs != 1:
        raise ValueError(f"{latches} latches and {outputs} outputs: it must be none and one")
    places = [int(line) >> 1 for line in lines[1 : 1 + inputs]]
    output = int(lines[1 + inputs])
    gates = [tuple(map(int, line.split())) for line in lines[2 + inputs : 2 + inputs + ands]]
    # A value is no longer kept when its last gate has taken it.
    last_use = {literal >> 1: number for number, gate in enumerate(gates) for literal in gate[1:]}
    chunk_bits = min(_CHUNK_BITS, max(inputs, _WORD_BITS))
    words = 1 << (chunk_bits - _WORD_BITS)
    index = np.arange(words, dtype=np.uint64)
    ones = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    for chunk in range(1 << max(0, inputs - chunk_bits)):
        values: list[np.ndarray | None] = [None] * (most + 1)
        values[0] = np.zeros(words, np.uint64)
        for i, place in enumerate(places):
            if i < _WORD_BITS:
                values[place] = np.full(words, _PATTERNS[i])
            elif i < chunk_bits:
                bit = index >> np.uint64(i - _WORD_BITS) & np.uint64(1)
                values[place] = np.where(bit, ones, np.uint64(0))
            else:
                bit = chunk >> (i - chunk_bits) & 1
                values[place] = np.full(words, ones if bit else np.uint64(0))

        def literal(number: int, values: list = values) -> np.ndarray:
            value = values[number >> 1]
            return ~value if number & 1 else value

        for number, (target, left, right) in enumerate(gates):
            values[target >> 1] = literal(left) & literal(right)
            for used in (left >> 1, right >> 1):
                if used and last_use[used] == number and used << 1 != output & ~1:
                    values[used] = None
        bad = np.flatnonzero(literal(output))
        if len(bad):
            word = int(bad[0])
            bits = int(literal(output)[word])
            case = (bits & -bits).bit_length() - 1
            chosen = (chunk << chunk_bits) + (word << _WORD_BITS) + case
            if chosen >> inputs:  # fewer inputs than cases in a word
                chosen &= (1 << inputs) - 1
            return inputs, _named(lines, chosen)
    return inputs, None


def _named(lines: list[str], chosen: int) -> dict[str, int]:
    """The values of the inputs, from the symbols of their bits."""
    values: dict[str, int] = {}
    for line in lines:
        head, _, name = line.partition(" ")
        if head[:1] == "i" and head[1:].isdigit():
            port, _, bit = name.partition("[")
            place = int(bit[:-1]) if bit else 0
            values[port] = values.get(port, 0) | (chosen >> int(head[1:]) & 1) << place
    return values
