# SPDX-License-Identifier: Apache-2.0
"""Training itself: labelled recordings and one stage of a recipe.

Chunks of strung-together utterances, augmented in the log-mel domain, cross-entropy against
targets that come some frames late, a price on spikes, AdamW. A quantised network computes with its
integers from the first step on.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from hw.errors import PlosiveError
from model_zoo.speech.features import Normalisation
from model_zoo.training.network import LayerRule, SpikingNetwork

__all__ = [
    "Labelled",
    "TrainError",
    "build",
    "fit",
    "measure_normalisation",
    "run_name",
    "run_torch",
]

IGNORED = -100


class TrainError(PlosiveError, RuntimeError):
    """Training cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Labelled:
    """Recordings with a label for every frame.

    Attributes
    ----------
    log_mels : list of numpy.ndarray
        float32 `[frames, 40]`.
    labels : list of numpy.ndarray
        Numbers of outputs, `[frames]`.
    share : float
        Part of the recordings that an epoch sees, drawn anew each time.
    """

    log_mels: list
    labels: list
    share: float = 1.0

    @property
    def frames(self):
        """Frames of an epoch, about."""
        return int(self.share * sum(len(known) for known in self.labels))


def measure_normalisation(log_mels, feature_scale):
    """The fixed normalisation of training data: its mean and spread, and a scale."""
    frames = np.concatenate(log_mels).astype(np.float64)
    mean, std = frames.mean(axis=0), frames.std(axis=0)
    return Normalisation(
        tuple(np.round(mean, 4).tolist()),
        tuple(np.round(std, 4).tolist()),
        feature_scale,
    )


def build(config, settings, precision=None):
    """A new network for a configuration, with neurons as a recipe's `NetworkSettings` say."""
    rules = [
        LayerRule(shift, form, reset, settings.input_shift if number == 0 else 0)
        for number, (shift, form, reset) in enumerate(
            zip(settings.decay_shift, settings.decay_form, settings.reset, strict=True)
        )
    ]
    return SpikingNetwork(config, rules, settings.threshold, precision, settings.surrogate_slope)


def run_name(corpora, *settings):
    """A name for one training run: 16 hex digits over everything that it depends on."""
    content = hashlib.sha256(repr(settings).encode())
    for corpus in corpora:
        content.update(repr(corpus.share).encode())
        for known in corpus.labels:
            content.update(np.asarray(known, np.int16).tobytes())
    return content.hexdigest()[:16]


def _stretched(frames, labels, factor):
    """An utterance spoken `factor` times as fast: frames interpolated, labels the nearest."""
    position = np.arange(0, len(labels) - 1, factor)
    low = position.astype(np.int64)
    share = (position - low).astype(np.float32)[:, None]
    after = np.minimum(low + 1, len(labels) - 1)
    return frames[low] * (1 - share) + frames[after] * share, labels[np.rint(position).astype(int)]


def _chunks(corpora, training, label_delay, generator):
    """One epoch's chunks: log-mel `[chunks, frames, 40]`, targets `[chunks, frames]`.

    The utterances are strung together in random order and cut into chunks behind a random start.
    """
    chosen = []
    for corpus in corpora:
        order = torch.randperm(len(corpus.labels), generator=generator)
        count = round(corpus.share * len(order))
        chosen += [(corpus, int(i)) for i in order[:count]]
    order = torch.randperm(len(chosen), generator=generator).tolist()
    factors = 1 + training.speed * (2 * torch.rand(len(chosen), generator=generator) - 1)
    parts = [
        _stretched(corpus.log_mels[i], corpus.labels[i], factor)
        for (corpus, i), factor in zip(
            [chosen[place] for place in order], factors.tolist(), strict=True
        )
    ]
    frames = np.concatenate([part for part, _ in parts])
    labels = np.concatenate([part for _, part in parts]).astype(np.int64)
    start = int(torch.randint(training.chunk, (), generator=generator))
    count = (len(labels) - start) // training.chunk
    if count < 1:
        raise TrainError(
            f"the training data has {len(labels)} frames; at least "
            f"{2 * training.chunk}, two chunks, are needed"
        )
    used = slice(start, start + count * training.chunk)
    targets = labels[used].reshape(count, training.chunk)
    targets = np.concatenate(
        [
            np.full((count, label_delay), IGNORED),
            targets[:, : training.chunk - label_delay],
        ],
        axis=1,
    )
    targets[:, : max(training.warm_up, label_delay)] = IGNORED
    return (
        torch.from_numpy(frames[used].reshape(count, training.chunk, -1)),
        torch.from_numpy(targets),
    )


def _augment(log_mel, noise, training, generator):
    """Other voices, microphones and rooms, roughly: `[batch, frames, 40]` to the same."""
    n_batch, n_frames, n_mels = log_mel.shape

    def uniform(*shape):
        return torch.rand(shape, generator=generator)

    factor = 1 + training.warp * (2 * uniform(n_batch, 1) - 1)
    position = (torch.arange(n_mels) * factor).clamp(max=n_mels - 1)
    low = position.long().clamp(max=n_mels - 2)
    share = (position - low)[:, None]
    index = low[:, None].expand(-1, n_frames, -1)
    warped = log_mel.gather(2, index) * (1 - share) + log_mel.gather(2, index + 1) * share
    slope = torch.linspace(-0.5, 0.5, n_mels)
    shift = (
        training.gain * torch.randn(n_batch, 1, 1, generator=generator)
        + training.tilt * torch.randn(n_batch, 1, 1, generator=generator) * slope
    )
    if noise is None:
        floor = 0.5 * torch.randn(warped.shape, generator=generator)
    else:
        clip = torch.randint(len(noise), (n_batch,), generator=generator).tolist()
        first = torch.randint(noise.shape[1] - n_frames + 1, (n_batch,), generator=generator)
        floor = torch.stack(
            [noise[i, j : j + n_frames] for i, j in zip(clip, first.tolist(), strict=True)]
        )
    lowest, highest = training.noise_snr
    ratio = lowest + (highest - lowest) * uniform(n_batch, 1, 1)
    floor = floor + _power(warped) - _power(floor) - ratio * (np.log(10) / 10)
    noisy = uniform(n_batch, 1, 1) < training.noise_share
    return torch.where(noisy, torch.logaddexp(warped, floor), warped) + shift


def _power(log_mel):
    """Natural log of the mean energy of each chunk `[batch, 1, 1]`."""
    count = log_mel.shape[1] * log_mel.shape[2]
    return torch.logsumexp(log_mel, dim=(1, 2), keepdim=True) - np.log(count)


def _mask(features, training, generator):
    """Zero one stretch of frames and one band of coefficients in each chunk."""
    n_batch, n_frames, n_mels = features.shape
    for axis, count, longest in (
        (1, n_frames, training.time_mask),
        (2, n_mels, training.band_mask),
    ):
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
    model,
    corpora,
    normalisation,
    training,
    label_delay,
    seed=1,
    noise=None,
    name="epoch",
    state=None,
    stop_after=None,
    on_epoch=None,
    progress=True,
):
    """Train a network for one stage.

    Parameters
    ----------
    model : torch.nn.Module
        A network of `build` or of the stage before; it is changed.
    corpora : list of Labelled
        Training data.
    normalisation : Normalisation
    training : recipe.Training
    label_delay : int
        Frames that targets come later than their features.
    seed : int
    noise : torch.Tensor or None
        Log-mel energies of noise `[clips, frames, 40]`.
    name : str
        For the progress bar.
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
    list of float
        The mean loss of each epoch. The model is in evaluation mode.

    Raises
    ------
    TrainError
        The kept state belongs to another recipe or other data, or there is too little data.
    """
    decayed = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": training.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=training.learning_rate,
    )
    model.dropout.p = training.dropout
    device = next(model.parameters()).device
    losses = []
    run = run_name(corpora, normalisation, training, label_delay, seed)
    state = None if state is None else Path(state)
    if state is not None and state.is_file():
        kept = torch.load(state, weights_only=True, map_location=device)
        if kept["run"] != run:
            raise TrainError(
                f"{state}: the training state there is of another recipe or other data; remove "
                "it to start anew"
            )
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        losses = kept["losses"]
    frames = sum(corpus.frames for corpus in corpora)
    steps_per_epoch = max(1, (frames // training.chunk - 1) // training.batch)
    total_steps = training.epochs * steps_per_epoch
    last = training.epochs if stop_after is None else min(stop_after, training.epochs)
    for epoch in range(len(losses), last):
        generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
        torch.manual_seed(seed * 100_003 + epoch)
        model.train()
        log_mels, targets = _chunks(corpora, training, label_delay, generator)
        order = torch.randperm(len(targets), generator=generator)
        sums = []
        for step in track(
            range(min(steps_per_epoch, -(-len(targets) // training.batch))),
            f"{name} {epoch + 1}/{training.epochs}",
            console=Console(stderr=True),
            disable=not progress,
            transient=True,
        ):
            chosen = order[step * training.batch : (step + 1) * training.batch]
            done = (epoch * steps_per_epoch + step) / total_steps
            rate = training.learning_rate * 0.5 * (1 + float(np.cos(np.pi * done)))
            for group in optimiser.param_groups:
                group["lr"] = rate
            augmented = _augment(log_mels[chosen], noise, training, generator)
            features = _mask(_quantise(augmented, normalisation), training, generator)
            logits, spikes, _ = model(features.to(device))
            wanted = targets[chosen].to(device)
            kept_frames = wanted != IGNORED
            scaled = logits[kept_frames] * model.logit_scale()
            loss = torch.nn.functional.cross_entropy(scaled, wanted[kept_frames])
            dense = sum(
                (fired.mean(dim=(0, 1, 3)) - training.rate_limit).clamp(min=0).square().sum()
                for fired in spikes
            )
            optimiser.zero_grad()
            (loss + training.rate_weight * dense).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
            optimiser.step()
            model.project_()
            sums.append(float(loss.detach()))
        losses = [*losses, float(np.mean(sums))]
        if not np.isfinite(losses[-1]):
            raise TrainError(
                f"{name}, epoch {epoch + 1}: the loss is {losses[-1]!r}; training diverged, "
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
    model.eval()
    return losses


@torch.no_grad()
def run_torch(model, features):
    """Run int8 features `[batch, frames, n_input]`; the result is shaped like a golden model's.

    Logits and membranes are int64 for a quantised network, else float32.
    """
    device = next(model.parameters()).device
    logits, spikes, membranes = model.eval()(
        torch.from_numpy(features.astype(np.float32)).to(device)
    )
    kind = np.float32 if model.precision is None else np.int64
    return SimpleNamespace(
        logits=logits.cpu().numpy().astype(kind),
        spikes=[fired.cpu().numpy() for fired in spikes],
        membranes=[u.cpu().numpy().astype(kind) for u in membranes],
    )
