# SPDX-License-Identifier: Apache-2.0
"""A folder of one's own: WAV or FLAC recordings, each with a label file of the same stem.

Label files are, and the first of them that is there counts: Praat's `.TextGrid` (long or short
text form; the tier named "phones" or "phone" in any case, else the only interval tier), `.phn`
(samples, as TIMIT's), `.lab` (HTK's, 100 ns). A `.txt` of the same stem holds the sentence, and
may be missing.

The speaker is the first sub-folder; recordings directly in the folder are of one speaker.

Labels are TIMIT's 61 phones or ARPABET as in CMUdict, in any case. With a stress digit, AH0 is
`ax`, ER0 `axr`, IH0 `ix` (as in `phones.pronounce`), else the digit is dropped. The pauses "",
"sil", "sp" and "<p:>" are `h#` at both ends and `pau` inside. ARPABET has no closures: a stop is
labelled as its release, `p`, over all its length.
"""

import re

from model_zoo.data.corpus import (
    DataError,
    Utterance,
    audio_length,
    check_labels,
    partner,
    sample_labels,
    split_by_speaker,
)
from model_zoo.speech.audio import SAMPLE_RATE
from model_zoo.speech.phones import PHONES

__all__ = ["PAUSES", "read"]

PAUSES = frozenset({"", "sil", "sp", "<p:>"})

_RECORDINGS = {".wav", ".flac"}
_STRESSLESS = {"ah0": "ax", "er0": "axr", "ih0": "ix"}
_UNITS_PER_SAMPLE = 10_000_000 // SAMPLE_RATE
_TIERS = {"phones", "phone"}


def read(name, folder, broken):
    """The utterances of a folder, by path.

    Parameters
    ----------
    name : str
        The corpus' name.
    folder : pathlib.Path
    broken : Broken
        Takes note of recordings that are left out.

    Raises
    ------
    DataError
        There is no recording at all.
    ImportError
        There is a TextGrid, but the package praatio is missing.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    recordings = [p for p in files if p.suffix.lower() in _RECORDINGS]
    if not recordings:
        raise DataError(f"folder {str(folder)!r} has no recordings; it must hold .wav or .flac")
    stems = {}
    utterances = []
    for path in recordings:
        stem = path.relative_to(folder).with_suffix("")
        if stem in stems:
            broken.note(path, f"has the same stem as {stems[stem].name}; one of them must go")
            continue
        stems[stem] = path
        try:
            labels = _labels(path)
            check_labels(labels, audio_length(path))
            text = _text(path)
        except ValueError as error:
            broken.note(path, error)
            continue
        speaker = stem.parts[0] if len(stem.parts) > 1 else name
        inner = "/".join(stem.parts[1:] or stem.parts)
        utterances.append(Utterance(name, speaker, inner, path, text, "test", labels))
    for path in files:
        if (
            path.suffix.lower() in _READERS
            and path.relative_to(folder).with_suffix("") not in stems
        ):
            broken.note(path, "has no recording beside it (.wav or .flac of the same stem)")
    return split_by_speaker(utterances)


def _text(path):
    found = partner(path, ".txt")
    if found is None:
        return ""
    try:
        return " ".join(found.read_text(encoding="utf-8-sig").split())
    except UnicodeDecodeError as error:
        raise ValueError(f"its {found.name}: byte {error.start} is not UTF-8") from error


def _labels(path):
    for extension, reader in _READERS.items():
        found = partner(path, extension)
        if found is not None:
            try:
                labels = reader(found)
            except ValueError as error:
                raise ValueError(f"its {found.name}: {error}") from error
            return _known_phones(labels)
    raise ValueError("has no label file beside it; a .TextGrid, .phn or .lab is needed")


def _known_phones(labels):
    last = len(labels) - 1
    return tuple(
        (first, end, _known_phone(label, at_end=number in (0, last)))
        for number, (first, end, label) in enumerate(labels)
    )


def _known_phone(label, at_end):
    """One of the 61 for a label, or the label as it is where there is none."""
    phone = label.strip().lower()
    if phone in PAUSES:
        return "h#" if at_end else "pau"
    if phone in PHONES:
        return phone
    plain = _STRESSLESS.get(phone) or re.sub(r"[0-2]$", "", phone)
    return plain if plain in PHONES else label


def _phn(path):
    return sample_labels(_plain_text(path))


def _lab(path):
    labels = []
    for number, line in enumerate(_plain_text(path).splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            first, end = int(fields[0]), int(fields[1])
            label = fields[2]
        except (ValueError, IndexError):
            raise ValueError(
                f"line {number} is {line!r}; it must be begin and end in 100 ns and a phone"
            ) from None
        labels.append((_rounded(first, _UNITS_PER_SAMPLE), _rounded(end, _UNITS_PER_SAMPLE), label))
    return labels


def _rounded(value, unit):
    return (value + unit // 2) // unit


def _plain_text(path):
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8; it must be text") from error


def _textgrid(path):
    try:
        from praatio import textgrid
        from praatio.utilities.errors import PraatioException
    except ImportError as error:
        raise ImportError(
            "reading TextGrids needs the package praatio (pip install plosive[train])"
        ) from error
    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="silence")
    except (PraatioException, IndexError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"cannot be read as a TextGrid ({reason})") from error
    tiers = [tier for tier in grid.tiers if isinstance(tier, textgrid.IntervalTier)]
    named = [tier for tier in tiers if tier.name.lower() in _TIERS]
    chosen = named or tiers
    if len(chosen) != 1:
        raise ValueError(
            f"has the interval tiers {[tier.name for tier in tiers]}; it must have one, or one "
            "named 'phones'"
        )
    return [
        (round(start * SAMPLE_RATE), round(end * SAMPLE_RATE), label)
        for start, end, label in chosen[0].entries
    ]


_READERS = {".textgrid": _textgrid, ".phn": _phn, ".lab": _lab}
