# SPDX-License-Identifier: Apache-2.0
"""The cross-validation never trains, tunes or measures on the speakers that a fold scores."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the ladder needs the extra: pip install -e .[train]")

from model_zoo import data  # noqa: E402
from model_zoo.data import Utterance  # noqa: E402
from model_zoo.studies import command, ladder  # noqa: E402
from model_zoo.training import recipe  # noqa: E402
from model_zoo.training.materials import Material  # noqa: E402

SPEAKERS = [f"dr{n % 8 + 1}-{sex}{n:03}0" for sex in "fm" for n in range(7)]


def corpus(name, speakers, splits):
    """Two recordings of each speaker."""
    utterances = [
        Utterance(name, speaker, f"s{n}", f"{speaker}/s{n}.wav", "text", split, ())
        for speaker, split in zip(speakers, splits, strict=True)
        for n in range(2)
    ]
    frames = [np.zeros((1, 40), np.float32) for _ in utterances]
    return Material(
        utterances, frames, [np.zeros(1, int) for _ in utterances], [["h#"]] * len(frames)
    )


class Spy:
    """In place of a `train.Session`: notes whom it is given, and for what."""

    def __init__(self, name):
        self.recipe = recipe.load(name)
        sample = corpus(ladder.CORPUS, SPEAKERS, ["train"] * len(SPEAKERS))
        sample = replace(sample, utterances=data.fold(sample.utterances, 0))  # as `data.read` does
        self.materials = {
            ladder.CORPUS: sample,
            "bdl": corpus("bdl", ["bdl", "bdl-dev", "bdl-test"], ["train", "dev", "test"]),
        }
        self.trained, self.scored_on, self.decoders = [], [], []

    def report(self, line):
        assert line

    def run(self, training, until=None):
        self.trained.append({u.speaker for part in training.values() for u in part.utterances})
        for stage in self.recipe.stages:
            model = torch.nn.Linear(2, 2)
            model.precision = None
            yield SimpleNamespace(stage=stage, model=model, losses=[1.0]), {"of": len(self.trained)}
            if stage.name == until:
                return

    def scored(self, _rung, header, parts):
        ((name, part),) = parts.items()
        self.scored_on.append((name, {u.speaker for u in part.utterances}, header["of"]))
        self.decoders.append(header.get("decoder"))
        scores = {name: {"per": 0.5, "per_no_silence": 0.5, "sparsity": []}}
        return SimpleNamespace(header={**header, "decoder": "tuned"}, scores=scores, outputs=parts)


@pytest.mark.parametrize("name", ["ladder", "sparsity", "ladder-gru"])
def test_the_speakers_of_a_fold_are_scored_and_nothing_else(name, tmp_path):
    tested = []
    for number in range(ladder.FOLDS):
        spy = Spy(name)
        found = ladder.run_fold(spy, number, tmp_path)
        test, tuning = set(found["test_speakers"]), set(found["tuning_speakers"])
        tested += found["test_speakers"]
        assert len(test) == len(tuning) == 2
        ten, twelve = spy.trained
        rest = set(SPEAKERS) - test - tuning
        assert ten == rest | {"bdl"}
        assert twelve == rest | tuning | {"bdl"}
        # The decoder is tuned once, on the network of the ten; its weights then serve all rungs.
        assert spy.scored_on[0] == ("dev", tuning, 1)
        assert spy.decoders[0] is None
        assert spy.scored_on[1:] == [("test", test, 2)] * len(spy.recipe.stages)
        assert set(spy.decoders[1:]) == {"tuned"}
        kept = json.loads((tmp_path / f"{name}-{number}.json").read_text())
        assert [rung["name"] for rung in kept["rungs"]] == [s.name for s in spy.recipe.stages]
    assert sorted(tested) == sorted(SPEAKERS)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "recipe 'nothing': it must be one of"),
        (["speech"], "recipe 'speech': no stage has corpus 'timit-sample' in its data"),
        (["ladder", "--folds", "6,7"], "--folds is '6,7': it must be numbers from 0 to 6"),
        (["ladder", "--data", "nowhere"], "data folder 'nowhere' does not exist"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["ladder", *arguments, "--build", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        command.run(ladder.main)
    said = caught.value.code if isinstance(caught.value.code, str) else capsys.readouterr().err
    assert message in " ".join(said.replace("│", "").split())
    assert capsys.readouterr().out == ""


def test_a_fold_of_the_sample_keeps_its_recordings():
    spy = Spy("ladder")
    training, dev, test = ladder.fold_materials(spy, 3)
    sample = spy.materials[ladder.CORPUS]
    parts = [training[ladder.CORPUS], dev, test]
    names = sorted((u.speaker, u.name) for part in parts for u in part.utterances)
    assert names == sorted((u.speaker, u.name) for u in sample.utterances)
    assert [u.split for u in test.utterances] == ["test"] * 4
