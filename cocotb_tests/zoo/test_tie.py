# SPDX-License-Identifier: Apache-2.0
"""Context-dependent tied states: contexts, trees, names, and what decoding makes of them."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from model_zoo.scoring import decode
from model_zoo.speech import phones
from model_zoo.training import tie
from model_zoo.training.statistics import statistics

PAIRS = (("t", "iy"), ("t", "s"), ("m", "iy"), ("m", "s"))


def states_of(*spoken, frames=2):
    return np.array(
        [phones.label_index(p, s) for p in spoken for s in range(3) for _ in range(frames)]
    )


def material(rng, utterances=150):
    """Words like "t aa s", whose /aa/ depends on the phone before, at its end on that behind."""
    states, log_mels = [], []
    tones = np.cos(np.pi / 40 * np.outer(np.arange(1, 6), np.arange(40) + 0.5))
    for number in range(utterances):
        left, right = PAIRS[number % 4]
        known = states_of("h#", left, "aa", right, "h#", frames=4)
        frames = rng.normal(0, 0.3, (len(known), 40)) + 3 * tones[known % 5]
        state = known - phones.label_index("aa", 0)
        frames[np.isin(state, (0, 1))] += 2 * tones[1] * (1 if left == "t" else -1)
        frames[state == 2] += 2 * tones[3] * (1 if right == "s" else -1)
        states.append(known)
        log_mels.append(frames.astype(np.float32))
    return SimpleNamespace(states=states, log_mels=log_mels)


def test_classes_name_phones():
    for name, members in tie.CLASSES.items():
        members = members.split()
        assert set(members) <= set(phones.PHONES), name
        assert len(members) == len(set(members)), name
        assert name not in phones.PHONES
    covered = " ".join(tie.CLASSES.values()).split()
    assert set(covered) == set(phones.PHONES)


def test_contexts():
    known = states_of("h#", "s", "iy", "h#", frames=1)
    left, right = tie.contexts(known)
    assert [phones.PHONES[i] for i in left[::3]] == ["h#", "h#", "s", "iy"]
    assert [phones.PHONES[i] for i in right[::3]] == ["s", "iy", "h#", "h#"]


def test_contexts_of_short_and_repeated_phones():
    index = phones.label_index
    # A phone of one frame has one state only; a state that goes back is the same phone again.
    known = np.array([index("s", 0), index("s", 2), index("t", 1), index("s", 1), index("s", 0)])
    left, right = tie.contexts(known)
    assert [phones.PHONES[i] for i in left] == ["h#", "h#", "s", "t", "s"]
    assert [phones.PHONES[i] for i in right] == ["t", "t", "s", "s", "h#"]
    assert [len(side) for side in tie.contexts(np.array([], np.int64))] == [0, 0]


def test_trees_ask_about_what_matters(rng):
    made = material(rng)
    tied = tie.TiedStates.grow([made], 192, min_frames=250)
    number = {name: i for i, name in enumerate(tied.labels)}
    for known, (left, right) in zip(made.states, PAIRS * 99, strict=False):
        found = tied.outputs(known)
        assert found.dtype == np.int16
        for state, side, phone in ((0, 0, left), (1, 0, left), (2, 1, right)):
            (label,) = set(found[known == phones.label_index("aa", state)])
            (_, question, _, _) = tree = tied._trees[phones.label_index("aa", state)]
            assert tree[0] == ("left", "right")[side]
            members = tie.CLASSES.get(question, question).split()
            assert label == number[f"aa.{state}.{int(phone not in members)}"]
    # All others keep their names, and every output is a leaf of its own state.
    for known in made.states:
        assert [".".join(tied.labels[i].split(".")[:2]) for i in tied.outputs(known)] == [
            phones.LABELS[i] for i in known
        ]


def test_without_splits_the_labels_are_the_states(rng):
    made = material(rng, 8)
    tied = tie.TiedStates.grow([made], 183)
    assert tied.labels == phones.LABELS
    assert all(np.array_equal(tied.outputs(known), known) for known in made.states)


def test_the_smallest_leaf(rng):
    made = material(rng)
    tied = tie.TiedStates.grow([made], 1920, min_frames=120)
    assert 186 <= len(tied.labels) < 400
    count = np.bincount(np.concatenate([tied.outputs(k) for k in made.states]))
    split = [i for i, name in enumerate(tied.labels) if name.count(".") == 2]
    assert count[split].min() >= 120
    # /aa/ has 600 frames per state, h# twice as many: at most 10 leaves of 120.
    assert max(int(tied.labels[i].split(".")[2]) for i in split) < 10


def test_the_same_data_gives_the_same_trees_in_parts_or_whole(rng, monkeypatch):
    made = material(rng)
    whole = tie.TiedStates.grow([made], 200, min_frames=20)
    parts = [
        SimpleNamespace(states=made.states[a::2], log_mels=made.log_mels[a::2]) for a in range(2)
    ]
    monkeypatch.setattr(tie, "_BATCH", 500)
    assert tie.TiedStates.grow(parts, 200, min_frames=20).to_dict() == whole.to_dict()


def test_trees_go_through_json(rng):
    made = material(rng)
    tied = tie.TiedStates.grow([made], 200, min_frames=20)
    again = tie.TiedStates.from_dict(json.loads(json.dumps(tied.to_dict())))
    assert again.labels == tied.labels
    assert all(np.array_equal(again.outputs(k), tied.outputs(k)) for k in made.states)
    values = tied.to_dict()
    values["trees"][7] = ["above", "vowel", None, None]
    message = (
        "question ['above', 'vowel'] is unknown; it must be left or right, and a class of "
        "model_zoo.training.tie.CLASSES or a phone"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tie.TiedStates.from_dict(values)
    with pytest.raises(ValueError, match=r"^tied states have 2 trees; they must have 183, one per"):
        tie.TiedStates([None, None])


def test_bad_calls_are_refused(rng):
    message = "tied states 100 are too few; there must be at least the 183 states of the phones"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tie.TiedStates.grow([material(rng, 4)], 100)
    message = "there are no labelled frames; tied states need some to grow from"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tie.TiedStates.grow([], 200)


def test_tied_outputs_decode_to_what_was_said(rng):
    made = material(rng)
    tied = tie.TiedStates.grow([made], 186, min_frames=20)
    outputs = [tied.outputs(known) for known in made.states]
    header = {
        "labels": list(tied.labels),
        "label_delay": 1,
        "scales": {"readout": 1.0},
        **statistics([(outputs, made.states, 1.0)], tied.labels),
    }
    assert len(header["log_priors"]) == len(tied.labels)
    for known, labels, (left, right) in zip(made.states[:4], outputs, PAIRS, strict=False):
        logits = np.zeros((1 + len(labels), len(tied.labels)), np.int32)
        logits[1 + np.arange(len(labels)), labels] = 12
        found = [segment.phone for segment in decode.decode(logits, header)]
        assert found == ["h#", left, "aa", right, "h#"]
        assert len(known) == len(labels)
