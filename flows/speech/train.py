# SPDX-License-Identifier: Apache-2.0
"""`plosive train`: a recipe to a network file and its model card."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from flows.speech.figures import Scores, Stage, StageScores, Training
from golden_model import Network
from golden_model.files.writing import atomic_write, make_directory
from hw.errors import PlosiveError
from model_zoo import cards
from model_zoo.training import recipe

__all__ = ["recipes", "train"]


def recipes() -> list[tuple[str, str]]:
    """Names and descriptions of the shipped recipes."""
    return [(name, recipe.load(name).description) for name in recipe.names()]


def train(
    name: str,
    *,
    data: str | os.PathLike[str] | None,
    output: Path,
    build_dir: Path,
    threads: int,
    seed: int | None = None,
    broken: str = "refuse",
    report: Callable[[str], None],
    progress: bool,
) -> Training:
    """Follow a recipe.

    Parameters
    ----------
    name
        A shipped recipe, or a TOML file.
    data
        Folder of the data sets, see `model_zoo.data.find_data`.
    output
        Folder for `NAME.safetensors` and its card, `NAME.md`.
    build_dir
        Keeps features, alignments and finished stages.
    threads
        CPU threads of torch; the last bits of its sums depend on them.
    seed
        Replaces the recipe's own seed.
    broken
        What becomes of recordings that cannot be used: "refuse" or "skip".
    report
        Takes lines on what happens.
    progress
        Draw progress bars.

    Raises
    ------
    PlosiveError
        A package is missing.
    RecipeError, DataError, AudioError, TrainError
    """
    plan = recipe.load(name)
    if seed is not None:
        plan = dataclasses.replace(plan, seed=seed)
    try:
        from model_zoo.training import train as zoo
    except ImportError as error:
        raise PlosiveError(
            f"training needs the package {error.name}: pip install 'plosive[train]'"
        ) from error
    zoo.repeatable(threads)
    make_directory(output)
    try:
        path, rungs = zoo.train(plan, data, output, build_dir, report, progress, broken)
    except ImportError as error:
        raise PlosiveError(f"{error}") from error
    card = path.with_suffix(".md")
    atomic_write(card, cards.card(path.stem, Network.load(path)).encode())
    return Training(
        network=str(path),
        card=str(card),
        stages=[
            Stage(
                name=rung.rung.stage.name,
                loss=rung.rung.losses[-1],
                scores=StageScores(**{part: Scores(**of) for part, of in rung.scores.items()}),
            )
            for rung in rungs
        ],
    )
