# SPDX-License-Identifier: Apache-2.0
"""A recipe's data, made ready: levels, gains, and what a network to start from brings along."""

import dataclasses

import numpy as np
import pytest

from model_zoo.data import Utterance
from model_zoo.speech import features, phones
from model_zoo.speech.automatic_gain import AutomaticGain
from model_zoo.training import recipe
from model_zoo.training.materials import Material

torch = pytest.importorskip("torch", reason="training needs the extra: pip install -e .[train]")

from model_zoo.training import train  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def made_up(rng, name, splits, level):
    """Recordings of noise at a level, some of them with a quiet half."""
    log_mels = [rng.normal(level, 1, (120, 40)).astype(np.float32) for _ in splits]
    for frames in log_mels[::2]:
        frames[:60] -= 5
    utterances = [
        Utterance(name, f"s{n}", f"u{n}", f"u{n}.wav", "", split) for n, split in enumerate(splits)
    ]
    states = [rng.integers(0, len(phones.LABELS), 120) for _ in splits]
    return Material(utterances, log_mels, states, [["h#"] for _ in splits])


@pytest.fixture
def materials(rng):
    return {
        "bdl": made_up(rng, "bdl", ["train", "train", "dev"], 14.0),
        "strangers": made_up(rng, "strangers", ["test", "test"], 9.0),
    }


def session(monkeypatch, materials, **changes):
    monkeypatch.setattr(train, "gather", lambda *_: materials)
    stage = recipe.Stage("4-bit", (128, 128), (("bdl", 1.0),))
    made = recipe.Recipe("made-up", "a test", "none", (stage,), noise=False)
    made = dataclasses.replace(made, tune=("bdl",), test=("strangers",), **changes)
    return train.Session(made, report=str, progress=False)


def test_a_corpus_that_is_only_scored_has_a_gain(monkeypatch, materials):
    found = session(monkeypatch, materials)
    for name, split in (("bdl", "train"), ("strangers", "test")):
        level = features.mean_level(found.materials[name].split(split).log_mels)
        assert level == pytest.approx(12.5, abs=1e-4)
    assert found.normalisation.automatic_gain is None
    assert "automatic_gain" not in found.normalisation.to_header()


@pytest.mark.parametrize("start", ["", "speech"])
def test_training_hears_what_the_host_makes_of_the_file(monkeypatch, materials, start):
    found = session(monkeypatch, materials, automatic_gain=True, start=start)
    assert found.normalisation.automatic_gain == AutomaticGain.to_level(12.5)
    assert set(found.gains.values()) == {0.0}
    header = {"features": found.normalisation.to_header()}
    for name, material in materials.items():
        trained_on = found.materials[name].log_mels
        for given, heard in zip(material.log_mels, trained_on, strict=True):
            assert not np.array_equal(given, heard)
            np.testing.assert_array_equal(
                features.quantised(given, header), found.normalisation(heard)
            )
    level = features.mean_level(found.materials["strangers"].log_mels)
    assert abs(level - features.mean_level(found.materials["bdl"].log_mels)) < 1.5


def test_a_network_to_start_from_keeps_its_gain(monkeypatch, materials):
    own = AutomaticGain(13.0, rise=0.1)
    started = train._start

    def with_gain(wanted):
        model, normalisation = started(wanted)
        return model, dataclasses.replace(normalisation, automatic_gain=own)

    monkeypatch.setattr(train, "_start", with_gain)
    found = session(monkeypatch, materials, start="speech")
    assert found.normalisation.automatic_gain == own
    np.testing.assert_array_equal(
        found.materials["bdl"].log_mels[0], own(materials["bdl"].log_mels[0])
    )


def test_the_gain_leaves_known_stages_known():
    """A stage's name covers the energies it is given; those of today keep their names."""
    plain = features.Normalisation((1.0,), (1.0,), 20.0)
    assert "gain" not in repr(plain)
