# SPDX-License-Identifier: Apache-2.0
"""The compression ladder on the TIMIT sample, cross-validated over its speaker pairs.

Fourteen speakers make seven folds. In each one pair is scored and never used for anything else.
Another pair tunes the decoder's weights, on a network that was trained on the ten speakers left
(with other corpora as the recipe says); then all rungs are trained on the twelve speakers and
scored with those weights. All rungs of a fold are networks of one chain, so their differences are
paired. Stages without the TIMIT sample are the same in all folds and are trained once.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from golden_model.files.writing import atomic_write
from model_zoo import data
from model_zoo.scoring import costs
from model_zoo.scoring.score import Outputs
from model_zoo.speech.features import FRAME_SECONDS
from model_zoo.studies import command
from model_zoo.training import recipe
from model_zoo.training.materials import Material
from model_zoo.training.stages import Rung
from model_zoo.training.train import Scored, Session, repeatable

__all__ = [
    "FOLDS",
    "OWN_FLOAT",
    "accumulations",
    "cross_validate",
    "fold_materials",
    "memory_size",
    "run_fold",
    "size",
    "summary",
]

FOLDS = 7
CORPUS = "timit-sample"
OWN_FLOAT = "float-128"
"""The rung that smaller numbers are measured against: the same network, not quantised."""
_ABOUT = ("name", "model", "precision", "hidden", "pruned", "time_steps", "rate_limit")


def fold_materials(session: Session, number: int) -> tuple[dict[str, Material], Material, Material]:
    """Training data by corpus, tuning and test data of a fold.

    Returns
    -------
    dict of str to Material, Material, Material
    """
    sample = session.materials[CORPUS]
    sample = replace(sample, utterances=data.fold(sample.utterances, number))
    training = {name: m.split("train") for name, m in session.materials.items()}
    return {**training, CORPUS: sample.split("train")}, sample.split("dev"), sample.split("test")


def _tuned(
    session: Session, training: Mapping[str, Material], dev: Material
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Decoder weights, tuned on speakers that the network was not trained on, and its scores."""
    stages = session.recipe.stages
    hears = [stage for stage in stages if CORPUS in dict(stage.data)]
    chosen = next((stage for stage in hears if stage.name == OWN_FLOAT), hears[0])
    for rung, header in session.run(training, until=chosen.name):
        last = rung, header
    scored = session.scored(*last, {"dev": dev})
    return scored.header["decoder"], scored.scores["dev"]


def size(model: torch.nn.Module) -> float:
    """Bytes of a network's weights without the pruned ones, at the bits that each has.

    The reference counts its 2.79 MB (float32) and 0.1 MB (4 bits, pruned readout) in this way:
    from the weights that training holds, of which only the pruned ones are exactly zero.
    """
    weights = [p.detach().cpu().numpy() for p in model.parameters() if p.ndim == 2]
    return 1e6 * costs.megabytes(weights, model.precision or 32)


def memory_size(model: torch.nn.Module) -> float | None:
    """Bytes of the weight memories of a network at its weight bits: pruned weights and all.

    None for a GRU, for which there is no machine.
    """
    if not hasattr(model, "layers"):
        return None
    bits = model.precision or 32
    return 1e6 * costs.memory_megabytes(model.config) * bits / model.config.weight_bits


@torch.no_grad()
def accumulations(model: torch.nn.Module, outputs: Iterable[Outputs]) -> float:
    """Accumulations a second of what a network computed, in millions: see `costs.Operations`.

    Parameters
    ----------
    model
        A GRU's are those of all its weights, every frame.
    outputs
        What it computed, by utterance.
    """
    if not hasattr(model, "layers"):
        return sum(p.numel() for p in model.parameters() if p.ndim == 2) / FRAME_SECONDS / 1e6
    layers = [
        tuple(
            None if w is None else layer.quantised(w).cpu().numpy()
            for w in (layer.w_in, layer.w_rec)
        )
        for layer in model.layers
    ]
    merged = model.config.merge_readout and model.config.time_steps == 2
    operations = costs.Operations(
        layers, model.quantised_readout().cpu().numpy(), merged, model.config.readout_every
    )
    for output in outputs:
        operations.add(output)
    return operations.mmac_per_s()


def run_fold(session: Session, number: int, folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Train and score all rungs of a fold; the result is kept in `folder`.

    Parameters
    ----------
    session
        Its recipe is trained.
    number
        Fold, 0 to 6.
    folder
        Gets the result as `RECIPE-FOLD.json`.

    Returns
    -------
    dict
        `recipe`, `fold`, `test_speakers`, `tuning_speakers`, `decoder` (its weights), `tuning`
        (scores of the network and the speakers that they were tuned on), and `rungs`: each
        `name`, `model`, `precision` (weight bits; None is float32), `hidden`, `pruned`,
        `time_steps`, `rate_limit`, `bytes` and `memory_bytes` (see `size` and `memory_size`),
        `mmac_per_s`, `loss`, and the scores of the test speakers (see `score.Scores`).
    """
    recipe = session.recipe
    training, dev, test = fold_materials(session, number)
    decoder, tuning = _tuned(session, training, dev)
    session.report(f"{recipe.name} fold {number}: tuned, PER {100 * tuning['per']:.1f} %")
    training = {**training, CORPUS: training[CORPUS] + dev}
    rungs = []
    for rung, header in session.run(training):
        scored = session.scored(rung, {**header, "decoder": decoder}, {"test": test})
        rungs.append(_rung(rung, scored, recipe.network.time_steps))
        per = 100 * scored.scores["test"]["per"]
        session.report(f"{recipe.name} fold {number} {rung.stage.name}: PER {per:.1f} %")
    result = {
        "recipe": recipe.name,
        "fold": number,
        "test_speakers": sorted({u.speaker for u in test.utterances}),
        "tuning_speakers": sorted({u.speaker for u in dev.utterances}),
        "decoder": decoder,
        "tuning": tuning,
        "rungs": rungs,
    }
    path = Path(folder) / f"{recipe.name}-{number}.json"
    atomic_write(path, json.dumps(result, indent=1).encode())
    return result


def _rung(rung: Rung, scored: Scored, time_steps: int) -> dict[str, Any]:
    """What `run_fold` gives of a network."""
    stage, model = rung.stage, rung.model
    return {
        "name": stage.name,
        "model": stage.model,
        "precision": stage.precision,
        "hidden": list(stage.hidden),
        "pruned": stage.pruned,
        "time_steps": time_steps,
        "rate_limit": stage.training.rate_limit,
        "bytes": size(model),
        "memory_bytes": memory_size(model),
        "mmac_per_s": round(accumulations(model, scored.outputs["test"]), 3),
        "loss": rung.losses[-1],
        **scored.scores["test"],
    }


def cross_validate(
    name: str,
    folds: Iterable[int],
    folder: str | os.PathLike[str] | None = None,
    build: str | os.PathLike[str] = "build/model_zoo",
    report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Run folds of a recipe with one thread; what is kept of earlier runs is not trained again.

    Parameters
    ----------
    name
        Name of the recipe.
    folds
        Their numbers, 0 to 6.
    folder, build, report
        See `train.Session`.

    Returns
    -------
    list of dict
        What `run_fold` returns for each fold.
    """
    repeatable(1)
    progress = sys.stderr.isatty()
    plan = recipe.load(name)
    if all(CORPUS not in dict(stage.data) for stage in plan.stages):
        raise recipe.RecipeError(
            f"recipe {name!r}: no stage has corpus {CORPUS!r} in its data, whose speakers the "
            "folds are of"
        )
    session = Session(plan, folder, build, report, progress)
    return [run_fold(session, number, Path(build) / "ladder") for number in folds]


def summary(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and spread of each rung over folds, and its paired difference to its float network.

    Parameters
    ----------
    results
        Results of `run_fold`, all of one recipe.

    Returns
    -------
    list of dict
        For each rung what `run_fold` says of the network, the mean of `bytes`, `memory_bytes` and
        `mmac_per_s`, `zero_spikes` (mean over layers, time steps and folds; None without spikes),
        `least_zero_spikes` (of any layer and time step, mean over folds), `per_folds`, and
        `per`, `per_no_silence`, `frame_accuracy` and `difference` (of the PER to that of
        the rung `OWN_FLOAT` of the same fold; None for rungs before it and recipes without it) as
        (mean, standard deviation over folds).
    """
    names = [rung["name"] for rung in results[0]["rungs"]]
    rungs = []
    for place, rung in enumerate(results[0]["rungs"]):
        folds = [result["rungs"][place] for result in results]
        found = {key: rung[key] for key in _ABOUT}
        for key in ("bytes", "memory_bytes", "mmac_per_s"):
            known = [fold[key] for fold in folds]
            found[key] = None if None in known else float(np.mean(known))
        zeros = [[np.mean(layer) for layer in fold["sparsity"]] for fold in folds]
        least = [min(map(min, fold["sparsity"]), default=0) for fold in folds]
        spiking = bool(zeros[0])
        found["zero_spikes"] = float(np.mean(zeros)) if spiking else None
        found["least_zero_spikes"] = float(np.mean(least)) if spiking else None
        found["per_folds"] = [fold["per"] for fold in folds]
        for key in ("per", "per_no_silence", "frame_accuracy"):
            found[key] = _spread([fold[key] for fold in folds])
        found["difference"] = None
        if OWN_FLOAT in names[:place]:
            own = names.index(OWN_FLOAT)
            found["difference"] = _spread(
                [r["rungs"][place]["per"] - r["rungs"][own]["per"] for r in results]
            )
        rungs.append(found)
    return rungs


def _spread(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def main(
    name: Annotated[str, typer.Argument(help="Recipe, a stage of which sees the TIMIT sample.")],
    folds: Annotated[str, typer.Option(help="Numbers of folds.")] = ",".join(
        map(str, range(FOLDS))
    ),
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data sets (or PLOSIVE_DATA).")
    ] = None,
    build: Annotated[Path, typer.Option(help="Keeps what took long.")] = Path("build/model_zoo"),
) -> None:
    """Cross-validate a recipe over the speaker pairs of the TIMIT sample."""
    console = Console(markup=False, soft_wrap=True)
    numbers = folds.split(",")
    if not all(number in map(str, range(FOLDS)) for number in numbers):
        raise typer.BadParameter(f"--folds is {folds!r}: it must be numbers from 0 to {FOLDS - 1}")
    results = cross_validate(name, map(int, numbers), data_folder, build, console.print)
    table = Table("rung", "kB", "PER %", "without silence %", f"to {OWN_FLOAT}", title=name)
    for rung in summary(results):
        cells = [
            f"{100 * of[0]:.1f} +- {100 * of[1]:.1f}" if of else "-"
            for of in (rung["per"], rung["per_no_silence"], rung["difference"])
        ]
        table.add_row(rung["name"], f"{rung['bytes'] / 1000:.0f}", *cells)
    console.print(table)


if __name__ == "__main__":
    command.run(main)
