# SPDX-License-Identifier: Apache-2.0
"""TIMIT: LDC93S1 as distributed, corpora made up in its layout, and NLTK's sample of it.

LDC93S1 is `TRAIN|TEST/DRn/SPEAKER/SENTENCE.{WAV,PHN,TXT,WRD}`, upper or lower case in any part,
SPHERE or RIFF; the folder that holds TRAIN and TEST may lie up to two levels below the one given.
NLTK's sample is `drN-SPEAKER/SENTENCE.{wav,phn,txt,wrd}`. The two SA sentences, the same for all
speakers, are left out. In the most spread copies a recording is there as SPHERE in `X.WAV` and as
RIFF in `X.WAV.wav`, or as the latter only, or in another case than its labels: one of the two is
read.

Splits are by speaker. LDC93S1: its 462 training speakers, the 24 speakers of the core test set
(LDC93S1, `DOC/TESTSET.DOC`) and the 50 development speakers of Halberstadt ("Heterogeneous
acoustic measurements and multiple classifiers for speech recognition", PhD thesis, MIT, 1998; the
list is that of Kaldi's recipe, `egs/timit/s5/conf/dev_spk.list`); TEST's other speakers belong to
no split and are left out. A corpus of other speakers: of those in TEST, in the
order of their names, the first, third... are `test` and the second, fourth... `dev`. NLTK's
sample: `fold`, or with fewer than three pairs of speakers all are `test`. Where no split is asked
for, all speakers of what is there are read.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from model_zoo.data import labels
from model_zoo.data.corpus import Broken, DataError, Options, Utterance, audio_length
from model_zoo.data.listing import Listing, folders, stem
from model_zoo.speech.files import MOST_TEXT_BYTES, FileError, read_bytes

__all__ = ["CORE_TEST_SPEAKERS", "DEV_SPEAKERS", "fold", "is_corpus", "pairs", "read"]

_CORE_TEST = (
    "mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 mbpm0 mklt0 fnlp0 "
    "mcmj0 mjdh0 fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0"
)
CORE_TEST_SPEAKERS = frozenset(_CORE_TEST.split())
"""Two men and a woman of each of the eight dialect regions."""

_DEV = (
    "faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 mcsh0 fadg0 fdms0 "
    "fedw0 mgjf0 mglb0 mrtk0 mtaa0 mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 "
    "mdvc0 mers0 fmah0 fdrw0 mrcs0 mrjm4 fcal1 mmwh0 fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 "
    "mteb0 mjfc0 mrjr0 fmml0 mrws1"
)
DEV_SPEAKERS = frozenset(_DEV.split())
"""Halberstadt's development speakers."""

_TRAIN_SPEAKERS = 462
_BY_CHANCE = 3  # speakers of the standard splits whose names a made-up corpus may hit on
_FEWEST_PAIRS = 3  # of speakers: one to train, one to tune and one to test on
_REPAIR = "carriage-returns"
_WHOLE = Options()


def read(name: str, folder: Path, broken: Broken, options: Options = _WHOLE) -> list[Utterance]:
    """The utterances of a corpus in TIMIT's layout, by split, speaker and sentence.

    Parameters
    ----------
    name
        The corpus' name.
    folder
        It, or a folder around it.
    broken
        Takes note of recordings that are left out.
    options
        How to read it.

    Raises
    ------
    DataError
        Neither layout is there, or splits are needed and only half of one is.
    """
    sample = _speaker_folders(folder, r"dr\d-\w+$")
    if sample:
        utterances = [u for place in sample for u in _speaker(name, place, broken, options)]
        return _folded(utterances, broken) if options.splits else utterances
    root = _root(name, folder, options.splits)
    halves = {part: _half(name, root, part, options.splits) for part in ("train", "test")}
    split = {}
    if options.splits:
        names = ({place.name.lower() for place in half} for half in halves.values())
        split = _splits(name, root, *names)
    return [
        replace(utterance, split=split.get(utterance.speaker, ""))
        for half in halves.values()
        for place in half
        if place.name.lower() in split or not options.splits
        for utterance in _speaker(name, place, broken, options)
    ]


def _folded(utterances: list[Utterance], broken: Broken) -> list[Utterance]:
    """The splits of the sample's first fold; all is `test` where speakers are too few for one."""
    count = len(pairs(utterances))
    if count >= _FEWEST_PAIRS:
        return fold(utterances, 0)
    speakers = len({u.speaker for u in utterances})
    if speakers:
        broken.remarks.append(
            f"{speakers} speakers are too few to train, tune and test on: all recordings are 'test'"
        )
    return [replace(u, split="test") for u in utterances]


def _half(name: str, root: Path, part: str, needed: bool) -> list[Path]:
    """The speakers' folders in TRAIN or TEST."""
    place = _inside(root, part)
    regions = _speaker_folders(place, r"dr\w+$") if place is not None else []
    speakers = [speaker for region in regions for speaker in _speaker_folders(region, r"\w+$")]
    if not speakers and needed:
        raise DataError(
            f"corpus {name!r}: {str(place)!r} has no speakers; it must hold DR1/SPEAKER/... as in "
            "LDC93S1"
        )
    return speakers


def is_corpus(folder: Path) -> bool:
    """Whether a folder holds a half of LDC93S1, or a folder `TIMIT` that does."""
    return any(
        _inside(place, part)
        for place in (folder, _inside(folder, "timit"))
        for part in ("train", "test")
        if place
    )


def _inside(folder: Path, name: str) -> Path | None:
    return next((place for place in folders(folder) if place.name.lower() == name), None)


def _speaker_folders(folder: Path, pattern: str) -> list[Path]:
    return [place for place in folders(folder) if re.match(pattern, place.name.lower())]


def _root(name: str, folder: Path, both: bool) -> Path:
    """The folder that holds TRAIN and TEST, or one of them: the one given, or up to two below."""
    halves = []
    level = [folder]
    for _ in range(3):
        for candidate in level:
            there = [part for part in ("train", "test") if _inside(candidate, part)]
            if len(there) == 2:
                return candidate
            halves += [(candidate, part) for part in there]
        level = [place for parent in level for place in folders(parent)]
    if halves and not both:
        return halves[0][0]
    if halves:
        candidate, part = halves[0]
        missing = "TEST" if part == "train" else "TRAIN"
        raise DataError(
            f"corpus {name!r}: {str(candidate)!r} holds {part.upper()} but no {missing}; the "
            "splits need both, copy the other half of LDC93S1 there"
        )
    raise DataError(
        f"corpus {name!r}: {str(folder)!r} holds neither TRAIN and TEST (LDC93S1) nor folders "
        "like dr1-fvmh0 (NLTK's sample)"
    )


def _speaker(name: str, folder: Path, broken: Broken, options: Options) -> list[Utterance]:
    listing = Listing(folder, deep=False)
    copies: dict[str, list[Path]] = defaultdict(list)
    for path in listing.with_extension({".wav"}):
        copies[stem(path).lower()].append(path)
    if not copies:
        broken.note(folder, "the speaker's folder has no recordings; it must hold .wav files")
        return []
    labelled = {path.stem.lower() for path in listing.with_extension({".phn"})}
    for sentence in sorted(labelled - copies.keys()):
        broken.note(folder / f"{sentence}.wav", "no such file, but its .phn is there")
    utterances = []
    for sentence, paths in sorted(copies.items()):
        if sentence.startswith("sa"):
            continue
        reasons = []
        for path in sorted(paths, key=lambda p: (stem(p) != p.stem, p)):
            try:
                phones, text = _sentence(path, listing, options)
            except FileError as error:
                reasons.append((path, error))
                continue
            speaker = folder.name.lower()
            utterances.append(Utterance(name, speaker, sentence, path, text, "", phones, _REPAIR))
            break
        else:  # no copy can be used: the first one's reason says why
            broken.note(*reasons[0])
    return utterances


def _sentence(
    path: Path, listing: Listing, options: Options
) -> tuple[tuple[labels.Label, ...], str]:
    """The labels and the text of a recording."""
    phones = labels.sample_labels(_partner_text(path, listing, ".phn"))
    if options.phone_map:
        phones = labels.ours(phones, options.phone_map)
    labels.check_labels(phones, audio_length(path, options.listen))
    fields = _partner_text(path, listing, ".txt").split(maxsplit=2)
    if len(fields) < 3:
        raise FileError("its .txt must be first sample, end sample and the sentence")
    return phones, fields[2].strip()


def _partner_text(path: Path, listing: Listing, extension: str) -> str:
    found = listing.partner(path, extension)
    if found is None:
        raise FileError(f"has no {extension} file beside it; each recording needs one")
    # LDC93S1 is ASCII; a copy's stray byte in a sentence is no reason to refuse it.
    return read_bytes(found, MOST_TEXT_BYTES).decode("latin-1")


def _splits(corpus: str, root: Path, train: set[str], test: set[str]) -> dict[str, str]:
    """Splits by speaker; `train` and `test` are the names in TRAIN and TEST."""
    both = sorted(train & test)
    if both:
        raise DataError(
            f"corpus {corpus!r}: speaker {both[0]!r} is in both TRAIN and TEST; splits are by "
            "speaker"
        )
    split = dict.fromkeys(train, "train")
    standard = CORE_TEST_SPEAKERS | DEV_SPEAKERS
    missing = sorted(standard - test)
    if len(standard) - len(missing) <= _BY_CHANCE:
        return split | {name: ("test", "dev")[i % 2] for i, name in enumerate(sorted(test))}
    if missing or len(train) < _TRAIN_SPEAKERS:
        lacks = f"{len(missing)} ({missing[0]}...)" if missing else "none"
        raise DataError(
            f"corpus {corpus!r}: {str(root)!r} is half of LDC93S1: TRAIN has {len(train)} of "
            f"{_TRAIN_SPEAKERS} speakers, TEST lacks {lacks} of the {len(standard)} in the "
            "standard splits; copy all of it"
        )
    split |= dict.fromkeys(CORE_TEST_SPEAKERS, "test")
    return split | dict.fromkeys(DEV_SPEAKERS, "dev")


def pairs(utterances: Sequence[Utterance]) -> list[tuple[str, ...]]:
    """Speakers in pairs, for a cross-validation: a woman and a man as far as possible.

    The sex is TIMIT's: the first letter of the speaker's name ("f", "m"; behind a dialect region
    and a dash in NLTK's sample). Women and men are paired in the order of their names, so pairs
    are mostly of the same dialect; who is left over is paired in the same order. An odd speaker
    out is alone.
    """
    waiting = defaultdict(list)
    for speaker in sorted({u.speaker for u in utterances}):
        waiting[speaker.split("-")[-1][0]].append(speaker)
    women, men = waiting["f"], waiting["m"]
    mixed = list(zip(women, men, strict=False))
    rest = women[len(mixed) :] + men[len(mixed) :]
    return mixed + [tuple(rest[i : i + 2]) for i in range(0, len(rest), 2)]


def fold(utterances: Sequence[Utterance], number: int) -> list[Utterance]:
    """The utterances with the splits of one fold of the cross-validation over `pairs`.

    Pair `number` is `test`, the next one (the first behind the last) `dev`, the rest `train`.

    Raises
    ------
    DataError
        There are fewer than three pairs, or there is no such fold.
    """
    speakers = pairs(utterances)
    if len(speakers) < _FEWEST_PAIRS:
        raise DataError(
            f"{len(speakers)} speaker pairs are too few for a cross-validation; at least "
            f"{_FEWEST_PAIRS} are needed, to train, tune and test on"
        )
    if not 0 <= number < len(speakers):
        raise DataError(
            f"fold {number} does not exist; {len(speakers)} speaker pairs give folds 0 to "
            f"{len(speakers) - 1}"
        )
    split = dict.fromkeys(speakers[(number + 1) % len(speakers)], "dev")
    split |= dict.fromkeys(speakers[number], "test")
    return [replace(u, split=split.get(u.speaker, "train")) for u in utterances]
