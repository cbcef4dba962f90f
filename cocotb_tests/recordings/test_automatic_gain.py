# SPDX-License-Identifier: Apache-2.0
"""The automatic gain: any level gives the same features, frame by frame, in every place."""

import copy
import json

import numpy as np
import pytest
import soundfile

from flows.inputs import audio_features
from flows.speech.transcribe import level_above, transcribe
from golden_model import Network
from golden_model.errors import NetworkError
from model_zoo import data, zoo
from model_zoo.scoring import decode, evaluate
from model_zoo.speech import audio, features
from model_zoo.speech.automatic_gain import AutomaticGain, Follower

GAIN = AutomaticGain.to_level(12.5)


@pytest.fixture(scope="module")
def networks():
    """The shipped network, and the same with an automatic gain in its file."""
    plain = Network.load(zoo.path("speech"))
    header = copy.deepcopy(plain.header)
    header["features"]["automatic_gain"] = GAIN.to_header()
    return plain, Network(plain.config, plain.layers, plain.w_out, header)


def syllables(rng, seconds=4.0):
    """Noise in bursts of 200 ms with pauses 40 dB below: as loud and quiet as speech."""
    samples = rng.normal(0, 0.05, int(seconds * audio.SAMPLE_RATE))
    loud = (np.arange(len(samples)) // 3200) % 3 > 0
    return (samples * np.where(loud, 1.0, 0.01)).astype(np.float32)


def test_features_are_the_same_at_any_level(networks, rng):
    _, network = networks
    samples = syllables(rng)
    wanted = features.extract(samples, network.header)
    assert np.abs(wanted.astype(int)).max() > 20
    for db in (-40, -20, 20):
        found = features.extract(samples * np.float32(10 ** (db / 20)), network.header)
        steps = np.abs(found.astype(int) - wanted)
        assert steps.max() <= 1
        assert (steps == 0).mean() > 0.999


def test_the_gain_brings_sounds_to_its_target(rng):
    log_mel = features.log_mel(syllables(rng, 8.0))
    for shift in (0.0, -9.2):
        followed = GAIN(log_mel + np.float32(shift))
        energies = followed.mean(axis=1)[200:]
        loud = energies[energies > energies.mean()]
        assert abs(loud.mean() - GAIN.target) < 1.0


def test_the_gain_is_slow(rng):
    """Within a pause of half a second it moves by less than 3 dB."""
    log_mel = features.log_mel(syllables(rng))
    gains = (GAIN(log_mel) - log_mel)[:, 0] * features.DB
    pause = np.concatenate([log_mel, np.tile(log_mel[:1] * 0 + log_mel.min(), (50, 1))])
    after = (GAIN(pause) - pause)[:, 0] * features.DB
    np.testing.assert_allclose(after[: len(gains)], gains, atol=1e-4)
    assert 0 < after[-1] - gains[-1] < 3


def test_a_recording_that_begins_with_speech_is_soon_loud_enough(rng):
    """What a guess of the background's level costs is gone in two seconds."""
    speech = features.log_mel(syllables(rng, 6.0)[4000:])  # in a burst
    gains = (GAIN(speech) - speech)[:, 0] * features.DB
    assert gains[0] < gains[-1] - 15
    assert abs(gains[200] - gains[-1]) < 6


def test_a_stream_gives_what_the_whole_recording_gives(networks, rng):
    _, network = networks
    samples = syllables(rng)
    whole = features.extract(samples, network.header)
    for largest in (1, 7, 160, 1000):
        stream, parts, place = features.FeatureStream(network.header), [], 0
        while place < len(samples):
            count = int(rng.integers(1, largest + 1)) * (1 if largest > 1 else 80)
            parts.append(stream.accept(samples[place : place + count]))
            place += count
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_gain_knows_nothing_of_what_comes(networks, rng):
    _, network = networks
    samples = syllables(rng)
    half = features.extract(samples[:32000], network.header)
    samples[32000:] *= 10
    np.testing.assert_array_equal(features.extract(samples, network.header)[: len(half)], half)


def test_digital_silence_leaves_the_gain_alone(networks, rng):
    _, network = networks
    speech = features.log_mel(syllables(rng))
    zeros = features.log_mel(np.zeros(16000, np.float32))
    follower = Follower(GAIN)
    first = (follower.accept(zeros) - zeros)[:, 0]
    before = (follower.accept(speech) - speech)[:, 0]
    between = (follower.accept(zeros) - zeros)[:, 0]
    np.testing.assert_allclose(first, GAIN.target - GAIN.headroom, atol=1e-5)
    np.testing.assert_allclose(before, (GAIN(speech) - speech)[:, 0])
    np.testing.assert_allclose(between, before[-1], atol=1e-5)
    assert features.extract(np.zeros(16000, np.float32), network.header).max() < 0


def test_a_file_without_it_is_read_as_before(networks, rng):
    plain, _ = networks
    assert "automatic_gain" not in features.Normalisation.from_header(plain.header).to_header()
    log_mel = features.log_mel(syllables(rng, 1.0))
    normalise = features.Normalisation.from_header(plain.header)
    np.testing.assert_array_equal(features.quantised(log_mel, plain.header), normalise(log_mel))
    assert evaluate.find_gain(plain.header, "mine", [log_mel]).db != 0
    assert evaluate.level_above(plain.header, [log_mel]) is not None


def test_the_file_keeps_the_constants(networks, tmp_path):
    _, network = networks
    network.save(tmp_path / "n.safetensors")
    header = Network.load(tmp_path / "n.safetensors").header
    normalisation = features.Normalisation.from_header(header)
    assert normalisation.automatic_gain == GAIN
    assert json.loads(json.dumps(normalisation.to_header())) == header["features"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"rise": 2},
            NetworkError,
            "header.features.automatic_gain.rise is 2: it must be a number, 0 to 1",
        ),
        (
            {"target": "loud"},
            NetworkError,
            "header.features.automatic_gain.target is 'loud': it must be a number, -1000 to 1000",
        ),
        (
            {"knee": 1.0},
            ValueError,
            "header['features']['automatic_gain'] has 'knee', which this program does not know; "
            "it knows target, rise, fall, settle, reach, headroom, silence",
        ),
        ({"fall": None}, ValueError, "header['features']['automatic_gain'] has no 'fall'"),
    ],
)
def test_wrong_constants_are_refused(networks, tmp_path, change, error, message):
    _, network = networks
    header = copy.deepcopy(network.header)
    constants = header["features"]["automatic_gain"]
    constants.update(change)
    for name in [name for name, value in change.items() if value is None]:
        del constants[name]
    wrong = Network(network.config, network.layers, network.w_out, header)
    with pytest.raises(error) as caught:
        wrong.save(tmp_path / "n.safetensors")
        features.Normalisation.from_header(header)
    assert str(caught.value).removeprefix(f"{tmp_path / 'n.safetensors'}: ") == message


def test_no_gain_is_asked_for_where_it_is_automatic(networks, rng):
    _, network = networks
    log_mel = features.log_mel(syllables(rng, 1.0))
    gain = evaluate.find_gain(network.header, "bdl", [log_mel])
    assert (gain.db, gain.source) == (0.0, "none: the network file has an automatic gain")
    assert level_above(syllables(rng, 1.0), network, 0.0) is None


def test_evaluate_scores_what_transcribe_hears(networks, rng, tmp_path):
    _, network = networks
    path = tmp_path / "a.wav"
    soundfile.write(path, syllables(rng) / 10, audio.SAMPLE_RATE, "FLOAT")
    heard = transcribe(path, network, build_dir=tmp_path)
    assert heard.level_db is None
    log_mel = features.log_mel(audio.load(path))
    said = [phone.phone for phone in heard.phones]
    sentence = evaluate.Sentence(log_mel, None, said)
    assert evaluate.evaluate(network, [sentence], progress=False)["per"] == 0


# ---- speech --------------------------------------------------------------------------------


def test_speech_at_40_db_below_full_scale_is_heard_as_at_full_scale(networks, tmp_path, data_dir):
    """As 16-bit files: what differs is what is lost to 16 bits, so mostly pauses."""
    _, network = networks
    utterances = [u for u in data.read("timit-sample", data_dir) if u.split != "train"]
    apart, found = [], {0: [], -40: []}
    for number, utterance in enumerate(utterances):
        samples = utterance.load()
        samples = samples / np.abs(samples).max()
        fed = []
        for db, phones in found.items():
            path = tmp_path / f"{number}{db}.wav"
            soundfile.write(path, samples * 10 ** (db / 20) * 0.999, 16000, "PCM_16")
            fed.append(audio_features(path, network.header))
            segments = decode.decode(network.run(fed[-1]).logits, network.header)
            phones.append([segment.phone for segment in segments])
        energies = features.log_mel(samples).mean(axis=1)
        steps = np.abs(fed[0].astype(int) - fed[1])[: len(energies)]
        apart.append(steps[energies > energies.mean()].mean())
    said = [[phone for *_, phone in u.phones] for u in utterances]
    rates = [decode.phone_error_rate(said, phones) for phones in found.values()]
    print(f"int8 steps apart in speech: {np.mean(apart):.2f}; PER {rates}")
    assert np.mean(apart) < 2.5
    assert abs(rates[0] - rates[1]) < 0.02
