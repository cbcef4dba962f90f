# SPDX-License-Identifier: Apache-2.0
"""Made-up speakers of synthetic speech: espeak-ng voices, and what sets them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model_zoo.data.corpus import DataError

__all__ = ["VARIANTS", "VOICES", "Speaker", "draw_speakers"]

VOICES = {"en-us": 0.85, "en-us-nyc": 0.15}
"""Voices and their shares of the speakers.

American ones only: espeak-ng's British vowels (LOT, BATH, GOAT, no r after vowels) are not those
that TIMIT's symbols stand for.
"""

_WOMEN = "f1 f2 f3 f4 f5 Andrea Annie anika aunty belinda grandma linda shelby steph steph2 steph3"
_MEN = (
    "m1 m2 m3 m4 m5 m6 m7 m8 Alex Andy Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Mario "
    "Michael Mike Nguyen Reed Storm adam antonio benjamin david ed edward edward2 grandpa gustave "
    "klatt klatt2 klatt3 klatt4 klatt6 marcelo max michel miguel mike2 paul pedro quincy rob "
    "robert sandro travis victor"
)
VARIANTS = {
    "f": tuple(_WOMEN.split()),
    "m": tuple(_MEN.split()),
}
"""Variants of a voice, by the speaker's sex.

Left out: whispers and what hardly voices (whisper, whisperf, croak, caleb), robots and others with
a strong echo, which fills closures, formants that no mouth has (boris, iven, kaukovalta, zac), and
configurations that are no voice (fast).
"""


@dataclass(frozen=True)
class Speaker:
    """A made-up speaker.

    Attributes
    ----------
    name
        F or M, three letters and a digit, as TIMIT names speakers.
    part
        TRAIN or TEST.
    region
        1 to 8, the DR folder; it means nothing here.
    voice, variant
        Entries of `VOICES` and `VARIANTS`.
    pitch, pitch_range
        espeak-ng's, 0 to 100.
    rate
        espeak-ng's, words a minute.
    tract
        How much faster than synthesised the voice is played: formants and pitch rise with it.
    level, noise
        Peak, and root mean square of the noise floor, in dB below full scale.
    seed
        Seed of what differs from sentence to sentence.
    sentences
        Numbers and texts of what the speaker reads.
    """

    name: str
    part: str
    region: int
    voice: str
    variant: str
    pitch: int
    pitch_range: int
    rate: int
    tract: float
    level: float
    noise: float
    seed: int
    sentences: tuple[tuple[int, str], ...]


def draw_speakers(
    sentences: Sequence[str], speakers: int, seed: int, per_speaker: int = 10, test: float = 0.1
) -> list[Speaker]:
    """Random speakers and the sentences that each reads.

    Parameters
    ----------
    sentences
        Texts; their numbers in the file names count from 1. The last `test` of them, in a random
        order, are for TEST, the others for TRAIN: no sentence is in both.
    speakers
        How many speakers to draw.
    seed
        Seed of everything random.
    per_speaker
        How many sentences each reads.
    test
        Share of TEST's speakers; at least two, one of each sex, where it is not 0.

    Raises
    ------
    DataError
        Too few sentences or speakers, or an empty sentence.
    """
    sentences = [" ".join(text.split()) for text in sentences]
    if "" in sentences:
        raise DataError(f"sentence {sentences.index('') + 1} is empty; it must hold words")
    n_test = max(round(speakers * test), 2) if test else 0
    for_test = max(round(len(sentences) * test), 1) if test else 0
    if speakers < n_test + 1 or len(sentences) < for_test + 1:
        raise DataError(
            f"{speakers} speakers of {len(sentences)} sentences cannot be parted into TRAIN and "
            "TEST; at least 3 speakers and 2 sentences are needed"
        )
    if speakers > 26**3:
        raise DataError(f"{speakers} speakers are too many; names end at {26**3}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(sentences))
    decks = {"TRAIN": _Deck(order[for_test:], rng), "TEST": _Deck(order[:for_test], rng)}
    drawn = []
    for number in range(speakers):
        part = "TEST" if number < n_test else "TRAIN"
        drawn.append(_draw(number, part, rng, decks[part], sentences, per_speaker))
    return drawn


class _Deck:
    """Numbers of sentences, dealt in a random order, none twice as long as there are others."""

    def __init__(self, cards: np.ndarray, rng: np.random.Generator) -> None:
        self._cards, self._rng = cards, rng
        self._left: list[int] = []

    def deal(self, count: int) -> list[int]:
        hand = []
        while len(hand) < count:
            if not self._left:
                self._left = list(self._rng.permutation(self._cards))
            hand.append(int(self._left.pop()))
        return hand


def _draw(
    number: int,
    part: str,
    rng: np.random.Generator,
    deck: _Deck,
    sentences: Sequence[str],
    per_speaker: int,
) -> Speaker:
    sex = "fm"[number % 2]
    a, b, c = number // 676, number // 26 % 26, number % 26
    return Speaker(
        name=f"{sex}{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}0".upper(),
        part=part,
        region=number // 2 % 8 + 1,
        voice=str(rng.choice(list(VOICES), p=list(VOICES.values()))),
        variant=str(rng.choice(VARIANTS[sex])),
        pitch=int(rng.integers(35, 66)),
        pitch_range=int(rng.integers(30, 81)),
        rate=int(rng.integers(140, 211)),
        tract=round(float(rng.uniform(0.92, 1.08)), 3),
        level=round(float(rng.uniform(-24, -10)), 1),
        noise=round(float(rng.uniform(-88, -74)), 1),
        seed=int(rng.integers(2**31)),
        sentences=tuple((card + 1, sentences[card]) for card in deck.deal(per_speaker)),
    )
