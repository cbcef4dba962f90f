# SPDX-License-Identifier: Apache-2.0
"""A recipe's stages: each starts from the network of the one before, or of an earlier one.

A finished stage is kept in the build folder under a name of all that it depends on, so that an
interrupted run goes on where it was, and recipes (and the folds of a cross-validation) that begin
alike share their beginning. Of two processes that want the same stage one trains it and the other
waits.
"""

import copy
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from golden_model.files.writing import atomic_open, lock
from hw.config import AcceleratorConfig, preset
from model_zoo.speech.features import Normalisation
from model_zoo.training.chunks import Labelled
from model_zoo.training.compress import at_precision, narrowed, prune_readout
from model_zoo.training.fit import Run, build, fit
from model_zoo.training.gru import GatedNetwork
from model_zoo.training.recipe import Recipe, Stage

__all__ = ["REVISION", "Rung", "needed", "run_stages", "stage_configuration"]

REVISION = 2
"""Part of the names of kept stages: raised when training computes something else."""

CALIBRATION_FRAMES = 6000
"""Training frames on which structured pruning measures the neurons."""


@dataclass(frozen=True)
class Rung:
    """A trained network of one stage.

    Attributes
    ----------
    stage
        What it was trained by.
    model
        The network, in evaluation mode.
    losses
        Mean loss of each epoch.
    """

    stage: Stage
    model: torch.nn.Module
    losses: list[float]


def stage_configuration(recipe: Recipe, stage: Stage, n_output: int) -> AcceleratorConfig:
    """The hardware configuration of a stage's network."""
    return preset(recipe.network.preset).replace(
        time_steps=recipe.network.time_steps,
        hidden=list(stage.hidden),
        n_output=n_output,
        readout_every=recipe.network.readout_every,
    )


def needed(recipe: Recipe, name: str) -> Recipe:
    """A recipe with the stage of a name and those that it starts from, one from the other."""
    numbers = {stage.name: number for number, stage in enumerate(recipe.stages)}
    chosen = [numbers[name]]
    while chosen[0] or recipe.stages[chosen[0]].start:
        start = recipe.stages[chosen[0]].start
        chosen.insert(0, numbers[start] if start else chosen[0] - 1)
    return replace(recipe, stages=tuple(recipe.stages[number] for number in chosen))


def run_stages(
    recipe: Recipe,
    parts: Mapping[str, tuple[list[np.ndarray], list[np.ndarray]]],
    n_output: int,
    normalisation: Normalisation,
    *,
    noise: torch.Tensor | None = None,
    start: torch.nn.Module | None = None,
    folder: str | os.PathLike[str] = "build/model_zoo",
    report: Callable[[str], None] = print,
    progress: bool = True,
) -> Iterator[Rung]:
    """Train a recipe's stages.

    Parameters
    ----------
    recipe
        Its stages, network and seed are followed.
    parts
        Log-mel energies and labels of the recordings to train on, by corpus.
    n_output
        Number of labels.
    normalisation
        How the features are normalised.
    noise
        See `fit.Run`.
    start
        The network that the first stage begins with; None makes a new one.
    folder
        Where finished stages and the state of the current one are kept.
    report
        Takes a line when another process trains a stage and this one waits for it.
    progress
        Draw progress bars.

    Yields
    ------
    Rung

    Raises
    ------
    TrainError
        See `fit.fit`.
    PlosiveError
        The folder cannot be written.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    last = ("" if start is None else _digest(start), start)
    done = {}
    for stage in recipe.stages:
        corpora = [Labelled(*parts[name], share) for name, share in stage.data]
        run = Run(
            corpora, normalisation, stage.training, recipe.network.label_delay, recipe.seed, noise
        )
        config = stage_configuration(recipe, stage, n_output)
        before, model = done[stage.start] if stage.start else last
        key = _key(REVISION, _machine(device), before, config, recipe.network, stage, run.key)
        path = Path(folder) / "stages" / f"{stage.name}-{key}.pt"
        model = _start(recipe, stage, config, model, run).to(device)
        told = partial(report, f"another process trains {stage.name}: waiting for it")
        with lock(path, told):
            losses = _trained(model, run, stage.name, path, progress)
        last = done[stage.name] = (key, model.eval())
        yield Rung(stage, model, losses)


def _trained(
    model: torch.nn.Module, run: Run, name: str, path: Path, progress: bool
) -> list[float]:
    """Bring a network to the end of its stage, which is kept in `path`; its losses."""
    if path.is_file():
        device = next(model.parameters()).device
        kept = torch.load(path, weights_only=True, map_location=device)
        model.load_state_dict(kept["model"])
        return kept["losses"]
    state = path.with_suffix(".state")
    losses = fit(model, run, name=name, state=state, progress=progress)
    with atomic_open(path) as file:
        torch.save({"model": model.state_dict(), "losses": losses}, file)
    state.unlink()
    return losses


def _digest(model: torch.nn.Module) -> str:
    content = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        content.update(f"{name} {tuple(tensor.shape)}".encode())
        content.update(tensor.cpu().numpy().tobytes())
    return content.hexdigest()


def _machine(device: torch.device) -> tuple[object, ...]:
    """What the last bits of torch's sums depend on."""
    if device.type == "cuda":
        return torch.__version__, torch.version.cuda, torch.cuda.get_device_name(device)
    return torch.__version__, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()


def _key(*dependencies: object) -> str:
    return hashlib.sha256(repr(dependencies).encode()).hexdigest()[:16]


def _start(
    recipe: Recipe,
    stage: Stage,
    config: AcceleratorConfig,
    before: torch.nn.Module | None,
    run: Run,
) -> torch.nn.Module:
    """The network that a stage begins with: a new one, or a copy of what was trained before."""
    torch.manual_seed(recipe.seed)
    if stage.model == "gru":
        return copy.deepcopy(before).cpu() if _is_gru(before, config) else GatedNetwork(config)
    if before is None or isinstance(before, GatedNetwork):
        model = build(config, recipe.network, stage.precision)
    else:
        model = copy.deepcopy(before).cpu()
        if config.hidden != model.config.hidden:
            model = narrowed(model, config, _calibration(run.corpora, run.normalisation))
        model = at_precision(model, stage.precision)
    if stage.pruned:
        prune_readout(model, stage.pruned)
    return model


def _is_gru(model: torch.nn.Module | None, config: AcceleratorConfig) -> bool:
    return isinstance(model, GatedNetwork) and model.config.hidden == config.hidden


def _calibration(corpora: Sequence[Labelled], normalisation: Normalisation) -> torch.Tensor:
    """Some training data as one utterance, `[1, frames, n_input]`."""
    log_mels, frames = [], 0
    for place in range(max(len(corpus.log_mels) for corpus in corpora)):
        for corpus in corpora:
            if place < len(corpus.log_mels) and frames < CALIBRATION_FRAMES:
                log_mels.append(corpus.log_mels[place])
                frames += len(log_mels[-1])
    return torch.from_numpy(normalisation(np.concatenate(log_mels)).astype(np.float32))[None]
