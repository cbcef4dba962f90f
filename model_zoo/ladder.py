# SPDX-License-Identifier: Apache-2.0
"""The compression ladder on the TIMIT sample, cross-validated over its speaker pairs.

Fourteen speakers make seven folds: one pair is scored, another one tunes the decoder, ten
speakers are trained on, with other corpora as the recipe says. All rungs of a fold are networks
of one chain, so their differences are paired. Stages without the TIMIT sample are the same in all
folds and are trained once.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from model_zoo import data

__all__ = ["FOLDS", "fold_materials", "run_fold", "size"]

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


def run_fold(session, number, folder, recipe=None):
    """Train and score all rungs of a fold; the result is kept in `folder`.

    Parameters
    ----------
    session : train.Session
    number : int
        Fold, 0 to 6.
    folder : path-like
    recipe : recipe.Recipe or None
        As for `Session.run`.

    Returns
    -------
    dict
        `recipe`, `fold`, `test_speakers`, `dev_speakers`, and `rungs`: name, bytes, precision,
        hidden, pruned, time_steps, and scores of "dev" and "test".
    """
    recipe = recipe or session.recipe
    training, dev, test = fold_materials(session, number)
    rungs = []
    for rung, header in session.run(training, recipe):
        scored = session.scored(rung, header, dev, {"dev": dev, "test": test})
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
    """Mean and spread of each rung over folds, and its paired difference to the first one.

    Parameters
    ----------
    results : list of dict
        Of `run_fold`, all of one recipe.
    part : str
        "test" or "dev".

    Returns
    -------
    list of dict
        Per rung: `name`, `per` and `per_no_silence` (mean, standard deviation over folds),
        `difference` (mean, standard deviation over folds of PER minus that of the first rung
        that saw the corpus).
    """
    made = []
    for place, rung in enumerate(results[0]["rungs"]):
        figures = {"name": rung["name"]}
        for key in ("per", "per_no_silence", "frame_accuracy"):
            found = np.array([r["rungs"][place][part][key] for r in results])
            figures[key] = [float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else 0]
        made.append(figures)
    return made
