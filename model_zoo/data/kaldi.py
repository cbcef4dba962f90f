# SPDX-License-Identifier: Apache-2.0
"""Data folders of Kaldi: tables `wav.scp`, `text`, `utt2spk` and, where there is one, `segments`.

`wav.scp` must name sound files. Kaldi also takes commands there, whose output is the sound (a line
that ends in `|`), and places in archives: neither is run or read, each is refused by name. A
relative path is looked for from the folder, then from those above it, since Kaldi means the folder
of the recipe (`s5` for `s5/data/train`).

`segments` says where in a recording an utterance begins and ends, in seconds; -1 is the
recording's end. There are no phone times: what was said is the dictionary's pronunciation of
`text`. A folder is one set to Kaldi; splits here are by speaker, as in a folder of one's own.
"""

import math
import re
from pathlib import Path

from model_zoo.data.corpus import (
    Broken,
    DataError,
    Options,
    Utterance,
    audio_length,
    split_by_speaker,
)
from model_zoo.data.labels import LABEL_TOLERANCE
from model_zoo.speech.audio import FRAME_SAMPLES, SAMPLE_RATE
from model_zoo.speech.files import FileError, quoted, read_text

__all__ = ["read"]

_FOLDERS_ABOVE = 2
_WHOLE = Options()
_NO_WORD = re.compile(r"[<\[!]\S+")
"""Tokens that stand for noise or unknown words: `<UNK>`, `[laughter]`, `!SIL`."""


def read(name: str, folder: Path, broken: Broken, options: Options = _WHOLE) -> list[Utterance]:
    """The utterances of a data folder, by their names.

    Parameters
    ----------
    name
        The corpus' name.
    folder
        Where the tables are.
    broken
        Takes note of utterances that are left out.
    options
        How to read it.

    Raises
    ------
    DataError
        A table is missing, or a line of one has not the form.
    """
    texts, speakers = _table(folder, "text"), _table(folder, "utt2spk")
    recordings = _Recordings(folder, _table(folder, "wav.scp"), options)
    segments = _table(folder, "segments") if (folder / "segments").exists() else None
    for utterance in sorted((segments or recordings.sources).keys() - texts.keys()):
        broken.note(folder / "text", f"has no line for utterance {quoted(utterance)}")
    utterances = []
    for utterance, text in sorted(texts.items()):
        try:
            _check_words(text)
            speaker = speakers.get(utterance)
            if speaker is None:
                raise FileError("has no line in utt2spk")
            if segments is None:
                path, segment = recordings.path(utterance), None
            elif utterance in segments:
                path, segment = recordings.segment(segments[utterance])
            else:
                raise FileError("has no line in segments")
        except FileError as error:
            broken.note(folder / "text", f"utterance {quoted(utterance)}: {error}")
            continue
        utterances.append(Utterance(name, speaker, utterance, path, text, "test", segment=segment))
    return split_by_speaker(utterances)


def _table(folder: Path, name: str) -> dict[str, str]:
    """The lines of a table: first field to the rest."""
    path = folder / name
    try:
        lines = read_text(path).splitlines()
    except FileError as error:
        raise DataError(f"{path}: {error}; Kaldi's wav.scp, text and utt2spk are needed") from error
    table: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        key, *rest = line.split(maxsplit=1) or [""]
        if not key:
            continue
        if not rest and name != "text":
            raise DataError(f"{path}: line {number} is {quoted(line)}; it must have two fields")
        if key in table:
            raise DataError(f"{path}: line {number}: {quoted(key)} is there twice")
        table[key] = rest[0].strip() if rest else ""
    return table


def _check_words(text: str) -> None:
    if not text:
        raise FileError("its text has no words")
    found = _NO_WORD.search(text)
    if found is not None:
        raise FileError(f"its text holds {quoted(found.group(), 40)}, which is no word")


class _Recordings:
    """The sound files of a `wav.scp`, each looked into once.

    Attributes
    ----------
    sources
        What `wav.scp` says of each recording.
    """

    def __init__(self, folder: Path, sources: dict[str, str], options: Options) -> None:
        self.sources = sources
        self._folder, self._options = folder, options
        self._found: dict[str, tuple[Path, int] | FileError] = {}

    def path(self, name: str) -> Path:
        """The sound file of a recording; `FileError` if it cannot be used."""
        return self._file(name)[0]

    def segment(self, line: str) -> tuple[Path, tuple[int, int]]:
        """A sound file, and first and end sample in it, of what a line of `segments` says."""
        fields = line.split()
        try:
            name, begin, end = fields[0], float(fields[1]), float(fields[2])
        except (ValueError, IndexError):
            raise FileError(
                f"its line in segments goes on with {quoted(line)}; it must be recording, begin "
                "and end in seconds"
            ) from None
        path, length = self._file(name)
        seconds = length / SAMPLE_RATE
        if end == -1:
            end = seconds
        tolerance = LABEL_TOLERANCE / SAMPLE_RATE
        if not (math.isfinite(begin) and 0 <= begin < end <= seconds + tolerance):
            raise FileError(
                f"its segment is {begin:g} to {end:g} s of {quoted(name)}, which has "
                f"{seconds:.2f} s; it must lie within"
            )
        first, last = round(begin * SAMPLE_RATE), min(round(end * SAMPLE_RATE), length)
        if last - first < FRAME_SAMPLES:
            raise FileError(
                f"its segment has {last - first} samples; at least {FRAME_SAMPLES} samples (25 ms) "
                "are needed"
            )
        return path, (first, last)

    def _file(self, name: str) -> tuple[Path, int]:
        if name not in self._found:
            try:
                path = self._path(name)
                try:
                    self._found[name] = path, audio_length(path, self._options.listen)
                except FileError as error:
                    raise FileError(f"{path}: {error}") from error
            except FileError as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, FileError):
            raise found
        return found

    def _path(self, name: str) -> Path:
        source = self.sources.get(name)
        if source is None:
            raise FileError(f"wav.scp has no recording {quoted(name)}")
        shown = f"wav.scp names {quoted(source, 60)} for it"
        if source.startswith("|") or source.endswith("|"):
            raise FileError(f"{shown}, a command, which is not run; write its output to a file")
        if source == "-" or re.search(r":\d+$", source):
            raise FileError(f"{shown}, which is no sound file; copy the sound to one")
        above = [self._folder, *self._folder.resolve().parents[:_FOLDERS_ABOVE]]
        path = next((p for place in above if (p := place / source).is_file()), None)
        if path is None:
            raise FileError(f"{shown}, and there is no such file")
        return path
