# SPDX-License-Identifier: Apache-2.0
"""The compression ladder on the TIMIT sample, cross-validated over its speaker pairs.

Fourteen speakers make seven folds: one pair is scored, another one tunes the decoder, ten
speakers are trained on, with other corpora as the recipe says. All rungs of a fold are networks
of one chain, so their differences are paired. Stages without the TIMIT sample are the same in all
folds and are trained once: `python -m model_zoo.ladder ladder --folds 0,1,2,3,4,5,6`. Two folds
may run side by side once the first one has trained those.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from model_zoo import data, recipe
from model_zoo.train import Session

__all__ = ["FOLDS", "fold_materials", "run_fold", "size", "summary"]

FOLDS = 7
CORPUS = "timit-sample"


def fold_materials(session, number):
    """Training data by corpus, tuning and test data of a fold.

    Returns
    -------
    dict of str to Material, Material, Material
    """
    sample = session.materials[CORPUS]
    sample = replace(sample, utterances=data.fold(sample.utterances, number))
    training = {name: m.split("train") for name, m in session.materials.items()}
    return {**training, CORPUS: sample.split("train")}, sample.split("dev"), sample.split("test")


def size(model):
    """Bytes of a network's weights: those that are not zero, at the bits that each has.

    As the reference counts its 2.79 MB (float32) and 0.1 MB (4 bits, pruned readout).
    """
    bits = model.precision or 32
    weights = [p for p in model.parameters() if p.ndim == 2]
    count = sum(p.numel() for p in weights)
    if hasattr(model, "readout_kept"):
        count -= int((model.readout_kept == 0).sum())
    return count * bits / 8


def run_fold(session, number, folder):
    """Train and score all rungs of a fold; the result is kept in `folder`.

    Parameters
    ----------
    session : train.Session
    number : int
        Fold, 0 to 6.
    folder : path-like

    Returns
    -------
    dict
        `recipe`, `fold`, `test_speakers`, `dev_speakers`, and `rungs`: name, bytes, precision,
        hidden, pruned, time_steps, and scores of "dev" and "test".
    """
    recipe = session.recipe
    training, dev, test = fold_materials(session, number)
    rungs = []
    for rung, header in session.run(training):
        scored = session.scored(rung, header, {"dev": dev, "test": test})
        rungs.append(
            {
                "name": rung.stage.name,
                "model": rung.stage.model,
                "precision": rung.stage.precision,
                "hidden": list(rung.stage.hidden),
                "pruned": rung.stage.pruned,
                "time_steps": recipe.network.time_steps,
                "rate_limit": rung.stage.training.rate_limit,
                "bytes": size(rung.model),
                "loss": rung.losses[-1],
                "decoder": scored.header["decoder"],
                **scored.scores,
            }
        )
        test_per, dev_per = (100 * scored.scores[part]["per"] for part in ("test", "dev"))
        session.report(
            f"{recipe.name} fold {number} {rung.stage.name}: test PER {test_per:.1f} %, "
            f"dev {dev_per:.1f} %"
        )
    result = {
        "recipe": recipe.name,
        "fold": number,
        "test_speakers": sorted({u.speaker for u in test.utterances}),
        "dev_speakers": sorted({u.speaker for u in dev.utterances}),
        "rungs": rungs,
    }
    path = Path(folder) / f"{recipe.name}-{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    return result


def summary(results, part="test"):
    """Mean and spread of each rung over folds, and its paired difference to an earlier rung.

    Parameters
    ----------
    results : list of dict
        Of `run_fold`, all of one recipe.
    part : str
        "test" or "dev".

    Returns
    -------
    list of dict
        Per rung: `name`, `bytes`, and `per`, `per_no_silence`, `frame_accuracy` and `difference`
        (of the PER to that of the rung before) as (mean, standard deviation over folds).
    """
    rungs = []
    for place, rung in enumerate(results[0]["rungs"]):
        found = {"name": rung["name"], "bytes": rung["bytes"]}
        for key in ("per", "per_no_silence", "frame_accuracy"):
            found[key] = _spread([r["rungs"][place][part][key] for r in results])
        before = max(place - 1, 0)
        found["difference"] = _spread(
            [r["rungs"][place][part]["per"] - r["rungs"][before][part]["per"] for r in results]
        )
        rungs.append(found)
    return rungs


def _spread(values):
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
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
):
    """Cross-validate a recipe over the speaker pairs of the TIMIT sample."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    console = Console(markup=False, soft_wrap=True)
    plan = recipe.load(name)
    session = Session(plan, data_folder, build, console.print)
    results = [run_fold(session, int(n), build / "ladder") for n in folds.split(",")]
    table = Table("rung", "kB", "PER %", "without silence %", "to the rung before", title=name)
    for rung in summary(results):
        cells = [
            f"{100 * mean:.1f} +- {100 * spread:.1f}"
            for mean, spread in (rung["per"], rung["per_no_silence"], rung["difference"])
        ]
        table.add_row(rung["name"], f"{rung['bytes'] / 1000:.0f}", *cells)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
