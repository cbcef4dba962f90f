# SPDX-License-Identifier: Apache-2.0
"""A folder of one's own: WAV or FLAC recordings, each with a label file of the same stem.

The first of these label files that is there counts: Praat's `.TextGrid`, `.phn` (samples, as
TIMIT's), `.lab` (HTK's, 100 ns); see `labels` and `textgrid`. A `.txt` of the same stem holds the
sentence, and may be missing. Extensions may be in any case, and so may a label file's stem.

The speaker is the first sub-folder; recordings directly in the folder are of one speaker.
"""

from collections.abc import Callable
from pathlib import Path

from model_zoo.data import labels
from model_zoo.data.corpus import (
    Broken,
    DataError,
    Options,
    Utterance,
    audio_length,
    split_by_speaker,
)
from model_zoo.data.labels import Label
from model_zoo.data.listing import Listing, stem
from model_zoo.data.textgrid import textgrid_labels
from model_zoo.speech.files import FileError, read_text

__all__ = ["read"]

_RECORDINGS = {".wav", ".flac"}
_WHOLE = Options()

_READERS: dict[str, Callable[[Path, str | None], tuple[Label, ...]]] = {
    ".textgrid": textgrid_labels,
    ".phn": lambda path, _tier: labels.sample_labels(read_text(path)),
    ".lab": lambda path, _tier: labels.hundred_ns_labels(read_text(path)),
}


def read(name: str, folder: Path, broken: Broken, options: Options = _WHOLE) -> list[Utterance]:
    """The utterances of a folder, by path.

    Parameters
    ----------
    name
        The corpus' name.
    folder
        Searched with the folders below it.
    broken
        Takes note of recordings that are left out.
    options
        How to read it.

    Raises
    ------
    DataError
        There is no recording at all.
    ImportError
        There is a TextGrid, but the package praatio is missing.
    """
    listing = Listing(folder)
    copies: dict[Path, list[Path]] = {}
    for path in listing.with_extension(_RECORDINGS):
        copies.setdefault(path.with_name(stem(path)), []).append(path)
    if not copies:
        raise DataError(f"folder {str(folder)!r} has no recordings; it must hold .wav or .flac")
    reader = _Reader(name, folder, listing, broken, options)
    utterances = [utterance for paths in copies.values() for utterance in reader.utterances(paths)]
    reader.note_labels_alone()
    reader.remark_unknown_words()
    return split_by_speaker(utterances)


class _Reader:
    """A folder while it is read."""

    def __init__(
        self, name: str, folder: Path, listing: Listing, broken: Broken, options: Options
    ) -> None:
        self._name, self._folder, self._listing = name, folder, listing
        self._broken, self._options = broken, options
        self._used_labels: set[Path] = set()
        self._unknown_words: list[int] = []

    def utterances(self, copies: list[Path]) -> list[Utterance]:
        """The utterance of one stem's recordings: none where it cannot be used."""
        path, *others = sorted(copies, key=lambda p: (stem(p) != p.stem, p))
        for other in others:
            if stem(other) == other.stem:  # no X.WAV.wav beside X.WAV
                self._broken.note(other, f"has the same stem as {path.name}; one of them must go")
        try:
            phones = self._labels(path)
            labels.check_labels(phones, audio_length(path, self._options.listen))
            text = self._text(path)
        except FileError as error:
            self._broken.note(path, error)
            return []
        place = path.relative_to(self._folder).with_name(stem(path))
        speaker = place.parts[0] if len(place.parts) > 1 else self._name
        inner = "/".join(place.parts[1:] or place.parts)
        return [Utterance(self._name, speaker, inner, path, text, "test", phones)]

    def _labels(self, path: Path) -> tuple[Label, ...]:
        for extension, reader in _READERS.items():
            found = self._listing.partner(path, extension)
            if found is None:
                continue
            self._used_labels.add(found)
            try:
                theirs = reader(found, self._options.tier)
            except FileError as error:
                raise FileError(f"its {found.name}: {error}") from error
            self._count_unknown_words(theirs)
            return labels.ours(theirs, self._options.phone_map)
        raise FileError("has no label file beside it; a .TextGrid, .phn or .lab is needed")

    def _text(self, path: Path) -> str:
        found = self._listing.partner(path, ".txt")
        if found is None:
            return ""
        try:
            return " ".join(read_text(found).split())
        except FileError as error:
            raise FileError(f"its {found.name}: {error}") from error

    def _count_unknown_words(self, theirs: tuple[Label, ...]) -> None:
        if labels.UNKNOWN_WORD not in self._options.phone_map:
            names = [label.strip().lower() for *_, label in theirs]
            self._unknown_words.append(names.count(labels.UNKNOWN_WORD))

    def remark_unknown_words(self) -> None:
        """Say how much speech has no phones."""
        count = sum(self._unknown_words)
        if count:
            among = sum(map(bool, self._unknown_words))
            self._broken.remarks.append(
                f"{count} labels {labels.UNKNOWN_WORD!r} in {among} recordings (words that the "
                "aligner's dictionary lacked) count as pauses: phones heard there count as errors"
            )

    def note_labels_alone(self) -> None:
        """Note label files that no recording goes with."""
        recorded = {
            (path.parent, name.lower())
            for path in self._listing.with_extension(_RECORDINGS)
            for name in (path.stem, stem(path))
        }
        for path in self._listing.with_extension(_READERS):
            if path not in self._used_labels and (path.parent, path.stem.lower()) not in recorded:
                self._broken.note(
                    path, "has no recording beside it (.wav or .flac of the same stem)"
                )
