# SPDX-License-Identifier: Apache-2.0
"""What was said in a prompted recording, as near as a dictionary can tell."""

from collections.abc import Sequence

from model_zoo.speech import phones

__all__ = ["Said", "nearest"]

Said = str | tuple[str, bool]
"""A phone, out of the 61; or one and whether it may be left out (`phones.transcribe`)."""


def nearest(said: Sequence[Said], found: Sequence[str]) -> list[str]:
    """The reference to score a result against.

    A pronunciation out of the dictionary leaves open whether the speaker paused between words and
    released word-final stops. The variant nearest to the result counts, so optional phones are
    neither errors where they are missing nor where they are there. Without an alignment that is
    the fairest guess, and a little kind to the network.

    Parameters
    ----------
    said
        What may have been said, in order.
    found
        The phones that a decoder gave, names out of the 61.

    Returns
    -------
    list of str
        The phones of `said` that count.
    """
    if not any(_optional(item) for item in said):
        return [_name(item) for item in said]
    wanted = [phones.fold([_name(item)]) for item in said]
    got = phones.fold(found)
    # Fewest edits from the first i phones said to the first j found, as in `edit_distance`.
    rows = [list(range(len(got) + 1))]
    for item, name in zip(said, wanted, strict=True):
        above = rows[-1]
        left_out = 0 if _optional(item) or not name else 1
        row = [above[0] + left_out]
        for position, heard in enumerate(got, 1):
            row.append(
                min(
                    above[position - 1] + ([heard] != name),
                    above[position] + left_out,
                    row[-1] + 1,
                )
            )
        rows.append(row)
    kept, number, position = [], len(said), len(got)
    while number:
        here, item, name = rows[number][position], said[number - 1], wanted[number - 1]
        same = position and [got[position - 1]] == name
        may_match = position and (same or not _optional(item))
        if may_match and here == rows[number - 1][position - 1] + (not same):
            kept.append(_name(item))
            number, position = number - 1, position - 1
        elif position and here == rows[number][position - 1] + 1:
            position -= 1  # found, but not said
        else:
            if not _optional(item):
                kept.append(_name(item))
            number -= 1
    return kept[::-1]


def _name(item: Said) -> str:
    return item if isinstance(item, str) else item[0]


def _optional(item: Said) -> bool:
    return not isinstance(item, str) and item[1]
