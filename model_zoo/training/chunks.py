# SPDX-License-Identifier: Apache-2.0
"""The data of one epoch: labelled recordings cut into chunks, and made to sound like others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hw.errors import PlosiveError
from model_zoo.speech.features import Normalisation
from model_zoo.training.recipe import Training

__all__ = ["IGNORED", "Labelled", "TrainError", "augment", "chunks", "mask", "quantise"]

IGNORED = -100
"""The target of a frame that does not count."""


class TrainError(PlosiveError, RuntimeError):
    """Training cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Labelled:
    """Recordings with a label for every frame.

    Attributes
    ----------
    log_mels
        float32 `[frames, 40]`.
    labels
        Numbers of outputs, `[frames]`.
    share
        Part of the recordings that an epoch sees, drawn anew each time.
    """

    log_mels: list[np.ndarray]
    labels: list[np.ndarray]
    share: float = 1.0

    @property
    def frames(self) -> int:
        """Frames of an epoch, about."""
        return int(self.share * sum(len(known) for known in self.labels))


def _stretched(
    frames: np.ndarray, labels: np.ndarray, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """An utterance spoken `factor` times as fast: frames interpolated, labels the nearest."""
    position = np.arange(0, len(labels) - 1, factor)
    low = position.astype(np.int64)
    share = (position - low).astype(np.float32)[:, None]
    after = np.minimum(low + 1, len(labels) - 1)
    return frames[low] * (1 - share) + frames[after] * share, labels[np.rint(position).astype(int)]


def chunks(
    corpora: Sequence[Labelled],
    training: Training,
    label_delay: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One epoch's chunks: log-mel `[chunks, frames, 40]`, targets `[chunks, frames]`.

    The utterances are strung together in random order and cut into chunks behind a random start.

    Raises
    ------
    TrainError
        There is too little data.
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


def augment(
    log_mel: torch.Tensor,
    noise: torch.Tensor | None,
    training: Training,
    generator: torch.Generator,
) -> torch.Tensor:
    """Other voices, microphones and rooms, roughly: `[batch, frames, 40]` to the same."""
    n_batch, n_frames, n_mels = log_mel.shape

    def uniform(*shape: int) -> torch.Tensor:
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


def _power(log_mel: torch.Tensor) -> torch.Tensor:
    """Natural log of the mean energy of each chunk `[batch, 1, 1]`."""
    count = log_mel.shape[1] * log_mel.shape[2]
    return torch.logsumexp(log_mel, dim=(1, 2), keepdim=True) - np.log(count)


def mask(features: torch.Tensor, training: Training, generator: torch.Generator) -> torch.Tensor:
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


def quantise(log_mel: torch.Tensor, normalisation: Normalisation) -> torch.Tensor:
    """`Normalisation` in torch: integers in float32."""
    mean, std = torch.tensor(normalisation.mean), torch.tensor(normalisation.std)
    return ((log_mel - mean) * (normalisation.scale / std)).round().clamp(-128, 127)
