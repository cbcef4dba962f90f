# SPDX-License-Identifier: Apache-2.0
"""Phone labels as label programs write them, their phones as ours, and the checks all pass.

`.phn` counts samples, as in TIMIT; `.lab` (HTK) counts 100 ns. Praat's TextGrids are read in
`textgrid`. Phones are TIMIT's 61 or ARPABET as in CMUdict, in any case. With a stress digit, AH0 is
`ax`, ER0 `axr`, IH0 `ix` (as in `phones.pronounce`); otherwise the digit is dropped. The pauses
"", "sil", "sp" and "<p:>" are `h#` at both ends and `pau` inside. A pause of no length is dropped:
HTK and P2FA put an `sp` between any two words. MFA's `spn`, a word that its dictionary lacks, is a
pause too, since nothing says which phones it has. ARPABET has no closures: a stop is labelled as
its release, `p`, over all its length. Any other label needs a phone map.
"""

import os
import re
from collections.abc import Mapping, Sequence

from model_zoo.speech.audio import SAMPLE_RATE
from model_zoo.speech.files import FileError, quoted, read_text
from model_zoo.speech.phones import PHONES, SILENCE

__all__ = [
    "LABEL_TOLERANCE",
    "PAUSES",
    "UNKNOWN_WORD",
    "Label",
    "check_labels",
    "hundred_ns_labels",
    "ours",
    "read_phone_map",
    "sample_labels",
]

Label = tuple[int, int, str]
"""First sample, end sample, label."""

LABEL_TOLERANCE = 160
"""Samples (10 ms, one frame) by which labels may reach past the end of the audio or leave a gap.

Labels made by hand are rounded, and a converter may drop a sample; a frame's label does not change.
"""

PAUSES = frozenset({"", SILENCE, "sp", "<p:>"})
"""Labels of pauses, in lower case."""

UNKNOWN_WORD = "spn"
"""MFA's label of a word that its dictionary lacks ("spoken noise")."""

_STRESSLESS = {"ah0": "ax", "er0": "axr", "ih0": "ix"}
_UNITS_PER_SAMPLE = 10_000_000 // SAMPLE_RATE
_LABEL_CHARACTERS = 24
"""Most characters of a label in a message, which must have room for the list of the phones."""


def check_labels(labels: Sequence[Label], n_samples: int) -> None:
    """Check the phone labels of a recording.

    Parameters
    ----------
    labels
        First sample, end sample, phone.
    n_samples
        Length of the recording.

    Raises
    ------
    FileError
        There are none, one is no phone of `phones.PHONES`, or they do not follow each other from
        the recording's beginning to at most its end.
    """
    if not labels:
        raise FileError("has no labels; each recording needs one or more")
    last = 0
    for first, end, phone in labels:
        name = f"label {quoted(phone, _LABEL_CHARACTERS)}"
        if phone not in PHONES:
            raise FileError(
                f"{name} at sample {first} is no known phone; known are {' '.join(PHONES)}"
            )
        if end <= first:
            raise FileError(f"{name} ends at sample {end}, not behind its first sample {first}")
        if end <= last:
            raise FileError(
                f"{name} ends at sample {end}, but the one before ends at {last}; labels must be "
                "in order"
            )
        if abs(first - last) > LABEL_TOLERANCE:
            raise FileError(
                f"{name} begins at sample {first}, but the one before ends at {last}; labels must "
                f"follow each other within {LABEL_TOLERANCE} samples, from sample 0"
            )
        last = end
    if last > n_samples + LABEL_TOLERANCE:
        raise FileError(
            f"the last label {labels[-1][2]!r} ends at sample {last}, but the audio has "
            f"{n_samples} samples; at most {LABEL_TOLERANCE} more are accepted"
        )


def sample_labels(text: str) -> tuple[Label, ...]:
    """Labels of a `.phn` file's text: first sample, end sample and phone a line.

    Raises
    ------
    FileError
        A line is of another form.
    """
    labels = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            first, end, phone = fields
            labels.append((_integer(first), _integer(end), phone.lower()))
        except ValueError:
            raise FileError(
                f"label line {number} is {quoted(line)}; it must be first sample, end sample and "
                "phone"
            ) from None
    return tuple(labels)


def hundred_ns_labels(text: str) -> tuple[Label, ...]:
    """Labels of a `.lab` file's text: begin and end in units of 100 ns and phone a line.

    Raises
    ------
    FileError
        A line is of another form. What follows the phone (HTK's score) does not matter.
    """
    labels = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            first, end = (_rounded(_integer(field), _UNITS_PER_SAMPLE) for field in fields[:2])
            labels.append((first, end, fields[2]))
        except (ValueError, IndexError):
            raise FileError(
                f"line {number} is {quoted(line)}; it must be begin and end in 100 ns and a phone"
            ) from None
    return tuple(labels)


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,15}", text):
        raise ValueError(text)
    return int(text)


def _rounded(value: int, unit: int) -> int:
    return (value + unit // 2) // unit


def ours(labels: Sequence[Label], phone_map: Mapping[str, str]) -> tuple[Label, ...]:
    """The same labels with our phones, and without pauses of no length.

    Parameters
    ----------
    labels
        Labels as a label program wrote them.
    phone_map
        A map from `read_phone_map`; it comes before the rules on ARPABET and pauses.

    Returns
    -------
    tuple of (int, int, str)
        A label that no rule knows stays as it is, for `check_labels` to refuse.
    """
    named = [(first, end, _phone(label, phone_map)) for first, end, label in labels]
    kept = [label for label in named if label[2] != SILENCE or label[0] != label[1]]
    last = len(kept) - 1
    return tuple(
        (first, end, _pause(number in (0, last)) if phone == SILENCE else phone)
        for number, (first, end, phone) in enumerate(kept)
    )


def _phone(label: str, phone_map: Mapping[str, str]) -> str:
    """One of our phones or `SILENCE` for a label, or the label as it is."""
    label = label.strip()
    if label in phone_map:
        return phone_map[label]
    phone = label.lower()
    if phone in PAUSES or phone == UNKNOWN_WORD:
        return SILENCE
    if phone in PHONES:
        return phone
    plain = _STRESSLESS.get(phone) or re.sub(r"[0-2]$", "", phone)
    return plain if plain in PHONES else label


def _pause(at_end: bool) -> str:
    return "h#" if at_end else "pau"


def read_phone_map(path: str | os.PathLike[str]) -> dict[str, str]:
    """Somebody else's phones as ours, from a file of two columns: their phone, our phone.

    Parameters
    ----------
    path
        UTF-8 text, columns apart by blanks. Their phone is as in the labels, case and all. Ours is
        one of the 61, which are also the names of the 39, or `sil` for a pause.

    Raises
    ------
    FileError
        The file cannot be read, a line has not two columns, a phone is none of ours, or theirs
        stands twice with different ones.
    """
    mapped: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise FileError(f"line {number} is {quoted(line)}; it must be their phone and ours")
        theirs, phone = fields
        if phone not in PHONES and phone != SILENCE:
            raise FileError(
                f"line {number}: {quoted(phone, _LABEL_CHARACTERS)} is none of our phones: "
                f"{SILENCE} {' '.join(PHONES)}"
            )
        if mapped.setdefault(theirs, phone) != phone:
            raise FileError(
                f"line {number}: {quoted(theirs, _LABEL_CHARACTERS)} is {phone!r} here and "
                f"{mapped[theirs]!r} above"
            )
    if not mapped:
        raise FileError("has no line; each must be their phone and ours")
    return mapped
