# SPDX-License-Identifier: Apache-2.0
"""Training itself: one stage of a recipe.

Chunks of strung-together utterances, augmented in the log-mel domain, cross-entropy against
targets that come some frames late, a price on spikes, AdamW. A quantised network computes with its
integers from the first step on.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from golden_model.files.writing import atomic_open
from hw.config import AcceleratorConfig
from model_zoo.speech.features import Normalisation
from model_zoo.training.chunks import IGNORED, Labelled, TrainError, augment, chunks, mask, quantise
from model_zoo.training.network import LayerRule, SpikingNetwork
from model_zoo.training.recipe import NetworkSettings, Training

__all__ = ["Run", "build", "fit", "measure_normalisation", "run_torch"]


@dataclass(frozen=True)
class Run:
    """What a network is trained on, and how: beside the network, all that the result depends on.

    Attributes
    ----------
    corpora
        Training data.
    normalisation
        How the features are normalised.
    training
        Constants of the training.
    label_delay
        Frames that targets come later than their features.
    seed
        Seed of everything random.
    noise
        Log-mel energies of noise `[clips, frames, 40]`; without it noise is flat.
    """

    corpora: Sequence[Labelled]
    normalisation: Normalisation
    training: Training
    label_delay: int
    seed: int = 1
    noise: torch.Tensor | None = None

    @cached_property
    def key(self) -> str:
        """A hash of all of it, 16 hex digits."""
        constants = (self.normalisation, self.training, self.label_delay, self.seed)
        content = hashlib.sha256(repr(constants).encode())
        for corpus in self.corpora:
            content.update(repr((corpus.share, len(corpus.labels))).encode())
            for log_mel, known in zip(corpus.log_mels, corpus.labels, strict=True):
                content.update(repr(log_mel.shape).encode())
                content.update(np.asarray(log_mel, np.float32).tobytes())
                content.update(np.asarray(known, np.int64).tobytes())
        if self.noise is not None:
            content.update(repr(self.noise.shape).encode())
            content.update(self.noise.numpy().tobytes())
        return content.hexdigest()[:16]

    @property
    def steps_per_epoch(self) -> int:
        """Steps that the learning rate's decay counts with."""
        frames = sum(corpus.frames for corpus in self.corpora)
        return max(1, (frames // self.training.chunk - 1) // self.training.batch)


def measure_normalisation(log_mels: Sequence[np.ndarray], feature_scale: float) -> Normalisation:
    """The fixed normalisation of training data: its mean and spread, and a scale."""
    frames = np.concatenate(log_mels).astype(np.float64)
    mean, std = frames.mean(axis=0), frames.std(axis=0)
    return Normalisation(
        tuple(np.round(mean, 4).tolist()),
        tuple(np.round(std, 4).tolist()),
        feature_scale,
    )


def build(
    config: AcceleratorConfig, settings: NetworkSettings, precision: int | None = None
) -> SpikingNetwork:
    """A new network for a configuration, with neurons as a recipe's `NetworkSettings` say."""
    rules = [
        LayerRule(shift, form, reset, settings.input_shift if number == 0 else 0)
        for number, (shift, form, reset) in enumerate(
            zip(settings.decay_shift, settings.decay_form, settings.reset, strict=True)
        )
    ]
    return SpikingNetwork(config, rules, settings.threshold, precision, settings.surrogate_slope)


def fit(
    model: torch.nn.Module,
    run: Run,
    *,
    name: str = "epoch",
    state: str | os.PathLike[str] | None = None,
    stop_after: int | None = None,
    progress: bool = True,
) -> list[float]:
    """Train a network for one stage.

    Parameters
    ----------
    model
        A network of `build` or of the stage before; it is changed.
    run
        What it is trained on, and how.
    name
        Name for the progress bar and messages.
    state
        Where the training state is kept between epochs. One that is there is continued.
    stop_after
        Return early, behind this epoch (counted from 1), as an interruption would.
    progress
        Draw a progress bar for each epoch.

    Returns
    -------
    list of float
        The mean loss of each epoch. The model is in evaluation mode.

    Raises
    ------
    TrainError
        The kept state belongs to another recipe or other data, there is too little data, or
        training diverged.
    PlosiveError
        The state cannot be written.
    """
    training = run.training
    optimiser = _optimiser(model, training)
    model.dropout.p = training.dropout
    state = None if state is None else Path(state)
    losses = [] if state is None else _continued(state, run, model, optimiser)
    last = training.epochs if stop_after is None else min(stop_after, training.epochs)
    for epoch in range(len(losses), last):
        losses = [*losses, _epoch(model, optimiser, run, epoch, name, progress)]
        if not np.isfinite(losses[-1]):
            raise TrainError(
                f"{name}, epoch {epoch + 1}: the loss is {losses[-1]!r}; training diverged, "
                "lower the learning rate"
            )
        if state is not None:
            kept = {
                "run": run.key,
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "losses": losses,
            }
            with atomic_open(state) as file:
                torch.save(kept, file)
    model.eval()
    return losses


def _optimiser(model: torch.nn.Module, training: Training) -> torch.optim.Optimizer:
    """AdamW that lets only matrices decay."""
    decayed = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": training.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=training.learning_rate,
    )


def _continued(
    state: Path, run: Run, model: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> list[float]:
    """Bring network and optimiser to a kept state, if there is one; its losses."""
    if not state.is_file():
        return []
    kept = torch.load(state, weights_only=True, map_location=_device(model))
    if kept["run"] != run.key:
        raise TrainError(
            f"{state}: the training state there is of another recipe or other data; remove "
            "it to start anew"
        )
    model.load_state_dict(kept["model"])
    optimiser.load_state_dict(kept["optimiser"])
    return kept["losses"]


def _epoch(
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    run: Run,
    epoch: int,
    name: str,
    progress: bool,
) -> float:
    """Train for one epoch (counted from 0); its mean loss."""
    training, device = run.training, _device(model)
    generator = torch.Generator().manual_seed(run.seed * 100_003 + epoch)
    torch.manual_seed(run.seed * 100_003 + epoch)
    model.train()
    log_mels, targets = chunks(run.corpora, training, run.label_delay, generator)
    order = torch.randperm(len(targets), generator=generator)
    losses = []
    for step in track(
        range(min(run.steps_per_epoch, -(-len(targets) // training.batch))),
        f"{name} {epoch + 1}/{training.epochs}",
        console=Console(stderr=True),
        disable=not progress,
        transient=True,
    ):
        chosen = order[step * training.batch : (step + 1) * training.batch]
        done = epoch * run.steps_per_epoch + step
        _set_learning_rate(optimiser, training, done / (training.epochs * run.steps_per_epoch))
        augmented = augment(log_mels[chosen], run.noise, training, generator)
        features = mask(quantise(augmented, run.normalisation), training, generator)
        loss, price = _loss(model, features.to(device), targets[chosen].to(device), training)
        optimiser.zero_grad()
        (loss + price).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
        optimiser.step()
        model.project_()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def _set_learning_rate(optimiser: torch.optim.Optimizer, training: Training, done: float) -> None:
    """The cosine decay, `done` (0 to 1) of the way through the stage."""
    rate = training.learning_rate * 0.5 * (1 + float(np.cos(np.pi * done)))
    for group in optimiser.param_groups:
        group["lr"] = rate


def _loss(
    model: torch.nn.Module, features: torch.Tensor, targets: torch.Tensor, training: Training
) -> tuple[torch.Tensor, torch.Tensor | float]:
    """The cross-entropy of the frames that count, and the price of the spikes."""
    held, every = model.config.readout_every, model.config.readout_every * training.loss_every
    logits, spikes, _ = model(features, every)
    if every > 1:
        # As in decoding, a readout stands for the frames from its own to the next readout's.
        short = -targets.shape[1] % every
        targets = torch.nn.functional.pad(targets, (0, short), value=IGNORED)
        targets = targets.unflatten(1, (-1, every))[..., :held].flatten(1)
        logits = logits.repeat_interleave(held, dim=1)
    counts = targets != IGNORED
    scaled = logits[counts] * model.logit_scale()
    loss = torch.nn.functional.cross_entropy(scaled, targets[counts])
    dense = sum(
        (fired.mean(dim=(0, 1, 3)) - training.rate_limit).clamp(min=0).square().sum()
        for fired in spikes
    )
    return loss, training.rate_weight * dense


def _device(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


@torch.no_grad()
def run_torch(model: torch.nn.Module, features: np.ndarray) -> SimpleNamespace:
    """Run int8 features `[batch, frames, n_input]`; the result is shaped like a golden model's.

    Logits and membranes are int64 for a quantised network, else float32.
    """
    device = _device(model)
    logits, spikes, membranes = model.eval()(
        torch.from_numpy(features.astype(np.float32)).to(device)
    )
    kind = np.float32 if model.precision is None else np.int64
    return SimpleNamespace(
        logits=logits.cpu().numpy().astype(kind),
        spikes=[fired.cpu().numpy() for fired in spikes],
        membranes=[u.cpu().numpy().astype(kind) for u in membranes],
    )
