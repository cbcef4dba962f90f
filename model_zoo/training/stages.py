# SPDX-License-Identifier: Apache-2.0
"""A recipe's stages: each starts from the network of the one before, or of an earlier one.

A finished stage is kept in the build folder under a name of all that it depends on, so that an
interrupted run goes on where it was, and recipes (and the folds of a cross-validation) that begin
alike share their beginning.
"""

import copy
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from hw.config import preset
from model_zoo.training.compress import at_precision, narrowed, prune_readout
from model_zoo.training.fit import Labelled, build, fit, run_name
from model_zoo.training.gru import GatedNetwork
from model_zoo.training.recipe import Stage

__all__ = ["REVISION", "Rung", "configuration", "needed", "run_stages"]

REVISION = 2
"""Part of the names of kept stages: raised when training computes something else."""

CALIBRATION_FRAMES = 6000
"""Training frames on which structured pruning measures the neurons."""


@dataclass(frozen=True)
class Rung:
    """A trained network of one stage.

    Attributes
    ----------
    stage : recipe.Stage
    model : torch.nn.Module
        In evaluation mode.
    losses : list of float
        Mean loss of each epoch.
    """

    stage: Stage
    model: torch.nn.Module
    losses: list


def configuration(recipe, stage, n_output):
    """The hardware configuration of a stage's network."""
    return preset(recipe.network.preset).replace(
        time_steps=recipe.network.time_steps, hidden=list(stage.hidden), n_output=n_output
    )


def needed(recipe, name):
    """A recipe with the stage of a name and those that it starts from, one from the other."""
    numbers = {stage.name: number for number, stage in enumerate(recipe.stages)}
    chosen = [numbers[name]]
    while chosen[0] or recipe.stages[chosen[0]].start:
        start = recipe.stages[chosen[0]].start
        chosen.insert(0, numbers[start] if start else chosen[0] - 1)
    return replace(recipe, stages=tuple(recipe.stages[number] for number in chosen))


def run_stages(
    recipe,
    parts,
    n_output,
    normalisation,
    noise=None,
    start=None,
    folder="build/model_zoo",
    progress=True,
):
    """Train a recipe's stages.

    Parameters
    ----------
    recipe : recipe.Recipe
    parts : dict of str to (list of numpy.ndarray, list of numpy.ndarray)
        Per corpus: log-mel energies and labels of the recordings to train on.
    n_output : int
        Number of labels.
    normalisation : features.Normalisation
    noise : torch.Tensor or None
        As for `fit.fit`.
    start : torch.nn.Module or None
        The network that the first stage begins with; None makes a new one.
    folder : path-like
        Where finished stages and the state of the current one are kept.
    progress : bool

    Yields
    ------
    Rung
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = Path(folder) / "stages"
    first = ("" if start is None else _digest(*start.state_dict().values()), start)
    done, last = {}, first
    bank = "" if noise is None else _digest(noise)
    for stage in recipe.stages:
        corpora = [Labelled(*parts[name], share) for name, share in stage.data]
        name = run_name(corpora, normalisation, recipe.network, recipe.seed, stage, bank)
        key, before = done[stage.start] if stage.start else last
        key = _key(key, name)
        model = _start(recipe, stage, before, n_output, corpora, normalisation).to(device)
        path = folder / f"{stage.name}-{key}.pt"
        if path.is_file():
            kept = torch.load(path, weights_only=True, map_location=device)
            model.load_state_dict(kept["model"])
            losses = kept["losses"]
        else:
            state = path.with_suffix(".state")
            losses = fit(
                model,
                corpora,
                normalisation,
                stage.training,
                recipe.network.label_delay,
                recipe.seed,
                noise,
                stage.name,
                state,
                progress=progress,
            )
            partial = path.with_suffix(".partial")
            torch.save({"model": model.state_dict(), "losses": losses}, partial)
            partial.replace(path)
            state.unlink()
        last = done[stage.name] = (key, model.eval())
        yield Rung(stage, model, losses)


def _digest(*tensors):
    content = hashlib.sha256()
    for tensor in tensors:
        content.update(tensor.cpu().numpy().tobytes())
    return content.hexdigest()


def _key(before, name):
    content = f"{REVISION} {torch.__version__} {before} {name}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _start(recipe, stage, before, n_output, corpora, normalisation):
    """The network that a stage begins with: a new one, or a copy of what was trained before."""
    config = configuration(recipe, stage, n_output)
    torch.manual_seed(recipe.seed)
    if stage.model == "gru":
        return copy.deepcopy(before).cpu() if _is_gru(before, config) else GatedNetwork(config)
    if before is None or isinstance(before, GatedNetwork):
        model = build(config, recipe.network, stage.precision)
    else:
        model = copy.deepcopy(before).cpu()
        if config.hidden != model.config.hidden:
            model = narrowed(model, config, _calibration(corpora, normalisation))
        model = at_precision(model, stage.precision)
    if stage.pruned:
        prune_readout(model, stage.pruned)
    return model


def _is_gru(model, config):
    return isinstance(model, GatedNetwork) and model.config.hidden == config.hidden


def _calibration(corpora, normalisation):
    """Some training data as one utterance, `[1, frames, n_input]`."""
    log_mels, frames = [], 0
    for place in range(max(len(corpus.log_mels) for corpus in corpora)):
        for corpus in corpora:
            if place < len(corpus.log_mels) and frames < CALIBRATION_FRAMES:
                log_mels.append(corpus.log_mels[place])
                frames += len(log_mels[-1])
    return torch.from_numpy(normalisation(np.concatenate(log_mels)).astype(np.float32))[None]
