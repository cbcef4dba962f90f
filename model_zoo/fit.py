# SPDX-License-Identifier: Apache-2.0
"""Training itself: labelled recordings and a recipe to a network.

Chunks of strung-together utterances, augmented in the log-mel domain, cross-entropy against
targets that come some frames late, a price on spikes, AdamW. The weights are quantised from the
first step on.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from rich.progress import track

from model_zoo.features import Normalisation
from model_zoo.network import LayerRule, SpikingNetwork

__all__ = [
    "Labelled",
    "Recipe",
    "TrainError",
    "build",
    "fit",
    "measure_normalisation",
    "run_name",
    "run_torch",
]

IGNORED = -100


class TrainError(RuntimeError):
    """Training cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Recipe:
    """Every constant of training.

    Attributes
    ----------
    seed : int
    epochs, batch, chunk : int
        Passes over the data; chunks per step; frames per chunk.
    learning_rate, weight_decay, clip_norm : float
        AdamW, with a cosine decay to zero over all steps; gradient norm limit.
    dropout, surrogate_slope : float
    label_delay : int
        Frames that targets come later than their features.
    warm_up : int
        First frames of a chunk that count for nothing: the state starts at zero there.
    feature_scale : float
        int8 steps per standard deviation.
    input_shift : int
    decay_shift, decay_form, reset : tuple
        One entry per layer.
    threshold : tuple of float
        First thresholds, stimulus units.
    rate_limit, rate_weight : float
        Spike density that costs nothing, and the price of the square of what is above it.
    gain, tilt, warp : float
        Augmentation of each chunk: standard deviation of the level and of the slope over all
        coefficients (natural log units), largest relative warp of the mel axis.
    noise_share, noise_level : float
        Share of chunks with a noise floor; the floor's mean distance to the chunk's mean level.
    time_mask, band_mask : int
        Longest masked stretch of frames and of coefficients.
    """

    seed: int = 1
    epochs: int = 36
    batch: int = 32
    chunk: int = 120
    learning_rate: float = 8e-3
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    dropout: float = 0.1
    surrogate_slope: float = 5.0
    label_delay: int = 3
    warm_up: int = 6
    feature_scale: float = 20.0
    input_shift: int = 5
    decay_shift: tuple = (1, 1)
    decay_form: tuple = ("leak", "leak")
    reset: tuple = ("zero", "zero")
    threshold: tuple = (16.0, 10.0)
    rate_limit: float = 0.13
    rate_weight: float = 20.0
    gain: float = 0.7
    tilt: float = 0.5
    warp: float = 0.1
    noise_share: float = 0.3
    noise_level: float = 4.0
    time_mask: int = 10
    band_mask: int = 5


@dataclass(frozen=True)
class Labelled:
    """Recordings with a label for every frame.

    Attributes
    ----------
    log_mels : list of numpy.ndarray
        float32 `[frames, 40]`.
    labels : list of numpy.ndarray
        Numbers into `phones.LABELS`, `[frames]`.
    """

    log_mels: list
    labels: list


def measure_normalisation(log_mels, recipe):
    """The fixed normalisation of training data: its mean and spread, and the recipe's scale."""
    frames = np.concatenate(log_mels).astype(np.float64)
    mean, std = frames.mean(axis=0), frames.std(axis=0)
    return Normalisation(
        tuple(np.round(mean, 4).tolist()),
        tuple(np.round(std, 4).tolist()),
        recipe.feature_scale,
    )


def build(config, recipe):
    """A new network for a configuration, with the recipe's neurons."""
    rules = [
        LayerRule(shift, form, reset, recipe.input_shift if number == 0 else 0)
        for number, (shift, form, reset) in enumerate(
            zip(recipe.decay_shift, recipe.decay_form, recipe.reset, strict=True)
        )
    ]
    return SpikingNetwork(config, rules, recipe.threshold, recipe.surrogate_slope, recipe.dropout)


def run_name(corpus, normalisation, config, recipe):
    """A name for one training run: 16 hex digits over everything that it depends on."""
    content = hashlib.sha256(repr((normalisation, config, recipe)).encode())
    for known in corpus.labels:
        content.update(np.asarray(known, np.int16).tobytes())
    return content.hexdigest()[:16]


def _chunks(corpus, recipe, generator):
    """One epoch's chunks: log-mel `[chunks, frames, 40]`, targets `[chunks, frames]`.

    The utterances are strung together in random order and cut into chunks behind a random start.
    """
    order = torch.randperm(len(corpus.labels), generator=generator).tolist()
    frames = np.concatenate([corpus.log_mels[i] for i in order])
    labels = np.concatenate([corpus.labels[i] for i in order]).astype(np.int64)
    start = int(torch.randint(recipe.chunk, (), generator=generator))
    count = (len(labels) - start) // recipe.chunk
    if count < 1:
        raise TrainError(
            f"the training data has {len(labels)} frames; at least "
            f"{2 * recipe.chunk}, two chunks, are needed"
        )
    used = slice(start, start + count * recipe.chunk)
    targets = labels[used].reshape(count, recipe.chunk)
    targets = np.concatenate(
        [
            np.full((count, recipe.label_delay), IGNORED),
            targets[:, : recipe.chunk - recipe.label_delay],
        ],
        axis=1,
    )
    targets[:, : max(recipe.warm_up, recipe.label_delay)] = IGNORED
    return (
        torch.from_numpy(frames[used].reshape(count, recipe.chunk, -1)),
        torch.from_numpy(targets),
    )


def _augment(log_mel, recipe, generator):
    """Other voices, microphones and rooms, roughly: `[batch, frames, 40]` to the same."""
    n_batch, _, n_mels = log_mel.shape

    def uniform(*shape):
        return torch.rand(shape, generator=generator)

    factor = 1 + recipe.warp * (2 * uniform(n_batch, 1) - 1)
    position = (torch.arange(n_mels) * factor).clamp(max=n_mels - 1)
    low = position.long().clamp(max=n_mels - 2)
    share = (position - low)[:, None]
    index = low[:, None].expand(-1, log_mel.shape[1], -1)
    warped = log_mel.gather(2, index) * (1 - share) + log_mel.gather(2, index + 1) * share
    slope = torch.linspace(-0.5, 0.5, n_mels)
    shift = (
        recipe.gain * torch.randn(n_batch, 1, 1, generator=generator)
        + recipe.tilt * torch.randn(n_batch, 1, 1, generator=generator) * slope
    )
    floor = warped.mean(dim=(1, 2), keepdim=True) - recipe.noise_level * (
        0.5 + uniform(n_batch, 1, 1)
    )
    floor = floor + 0.5 * torch.randn(warped.shape, generator=generator)
    noisy = uniform(n_batch, 1, 1) < recipe.noise_share
    return torch.where(noisy, torch.logaddexp(warped, floor), warped) + shift


def _mask(features, recipe, generator):
    """Zero one stretch of frames and one band of coefficients in each chunk."""
    n_batch, n_frames, n_mels = features.shape
    for axis, count, longest in ((1, n_frames, recipe.time_mask), (2, n_mels, recipe.band_mask)):
        length = torch.randint(longest + 1, (n_batch, 1), generator=generator)
        first = torch.randint(count, (n_batch, 1), generator=generator)
        place = torch.arange(count)
        hidden = (place >= first) & (place < first + length)
        features = features.masked_fill(hidden.unsqueeze(3 - axis), 0.0)
    return features


def _quantise(log_mel, normalisation):
    """`Normalisation` in torch: integers in float32."""
    mean, std = torch.tensor(normalisation.mean), torch.tensor(normalisation.std)
    return ((log_mel - mean) * (normalisation.scale / std)).round().clamp(-128, 127)


def fit(
    corpus, normalisation, config, recipe, state=None, stop_after=None, on_epoch=None, progress=True
):
    """Train a network.

    Parameters
    ----------
    corpus : Labelled
        Training data.
    normalisation : Normalisation
    config : AcceleratorConfig
    recipe : Recipe
    state : path-like or None
        Where the training state is kept between epochs. One that is there is continued.
    stop_after : int or None
        Return early, behind this epoch (counted from 1), as an interruption would.
    on_epoch : callable or None
        Called behind each epoch with (epoch, mean loss, model).
    progress : bool
        Draw a progress bar for each epoch.

    Returns
    -------
    SpikingNetwork, list of float
        The network, in evaluation mode, and the mean loss of each epoch.

    Raises
    ------
    TrainError
        The kept state belongs to another recipe or other data, or there is too little data.
    """
    torch.manual_seed(recipe.seed)
    model = build(config, recipe)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
    )
    losses = []
    run = run_name(corpus, normalisation, config, recipe)
    state = None if state is None else Path(state)
    if state is not None and state.is_file():
        kept = torch.load(state, weights_only=True)
        if kept["run"] != run:
            raise TrainError(
                f"{state}: the training state there is of another recipe or other data; remove "
                "it to start anew"
            )
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        losses = kept["losses"]
    frames = sum(len(known) for known in corpus.labels)
    steps_per_epoch = max(1, (frames // recipe.chunk - 1) // recipe.batch)
    total_steps = recipe.epochs * steps_per_epoch
    last = recipe.epochs if stop_after is None else min(stop_after, recipe.epochs)
    for epoch in range(len(losses), last):
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        torch.manual_seed(recipe.seed * 100_003 + epoch)
        model.train()
        log_mels, targets = _chunks(corpus, recipe, generator)
        order = torch.randperm(len(targets), generator=generator)
        sums = []
        for step in track(
            range(steps_per_epoch),
            f"epoch {epoch + 1}/{recipe.epochs}",
            disable=not progress,
            transient=True,
        ):
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
            done = (epoch * steps_per_epoch + step) / total_steps
            rate = recipe.learning_rate * 0.5 * (1 + float(np.cos(np.pi * done)))
            for group in optimiser.param_groups:
                group["lr"] = rate
            features = _quantise(_augment(log_mels[chosen], recipe, generator), normalisation)
            features = _mask(features, recipe, generator)
            logits, spikes, _ = model(features)
            wanted = targets[chosen]
            kept_frames = wanted != IGNORED
            scaled = logits[kept_frames] * model.log_scale.exp()
            loss = torch.nn.functional.cross_entropy(scaled, wanted[kept_frames])
            dense = sum(
                (fired.mean(dim=(0, 1, 3)) - recipe.rate_limit).clamp(min=0).square().sum()
                for fired in spikes
            )
            optimiser.zero_grad()
            (loss + recipe.rate_weight * dense).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimiser.step()
            model.project_()
            sums.append(float(loss.detach()))
        losses = [*losses, float(np.mean(sums))]
        if not np.isfinite(losses[-1]):
            raise TrainError(
                f"epoch {epoch + 1}: the loss is {losses[-1]!r}; training diverged, "
                "lower the learning rate"
            )
        if state is not None:
            state.parent.mkdir(parents=True, exist_ok=True)
            partial = state.with_suffix(".partial")
            torch.save(
                {
                    "run": run,
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "losses": losses,
                },
                partial,
            )
            partial.replace(state)
        if on_epoch is not None:
            on_epoch(epoch + 1, losses[-1], model.eval())
    return model.eval(), losses


@torch.no_grad()
def run_torch(model, features):
    """Run int8 features `[batch, frames, n_input]`; the result is shaped like a golden model's."""
    logits, spikes, membranes = model.eval()(torch.from_numpy(features.astype(np.float32)))
    return SimpleNamespace(
        logits=logits.numpy().astype(np.int64),
        spikes=[fired.numpy() for fired in spikes],
        membranes=[u.numpy().astype(np.int64) for u in membranes],
    )
