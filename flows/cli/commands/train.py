# SPDX-License-Identifier: Apache-2.0
"""`plosive train`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, say, tell
from flows.cli.options import SEED, ZOO_BUILD, Broken, BrokenOption, DataFolder, Json, ZooBuild

if TYPE_CHECKING:
    from flows.speech.figures import Stage

__all__ = ["stages_table", "train"]


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]", help="Name of a shipped recipe, or your own .toml file."
        ),
    ] = None,
    data: DataFolder = None,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Output folder for the network and its model card.",
        ),
    ] = Path("networks"),
    threads: Annotated[
        int,
        typer.Option(
            "--threads",
            min=1,
            max=1024,
            help="Number of CPU threads; results depend on it.",
        ),
    ] = 1,
    seed: Annotated[
        int | None, typer.Option("--seed", **SEED, help="Seed to use instead of the recipe's.")
    ] = None,
    broken: BrokenOption = Broken.refuse,
    as_json: Json = False,
    build: ZooBuild = ZOO_BUILD,
) -> None:
    """Train a network from a recipe: from recordings to a scored `.safetensors` file.

    Without RECIPE, the recipes are listed. A recipe sets the data, the stages (float, fewer
    neurons, 8 bits, 4 bits, pruned) and every constant. Features, alignments and finished stages
    are cached in the build folder, so an interrupted training resumes from there.

    **Examples**

    - `plosive train`
    - `plosive train timit-sample -o networks`
    - `plosive train mine.toml --data /corpora --threads 2`
    """
    from flows.speech import train as flow

    if recipe is None:
        shown = flow.recipes()
        if as_json:
            print_json({"recipes": [{"name": n, "description": d} for n, d in shown]})
        for name, description in () if as_json else shown:
            tell(f"{name:16} {description}")
        return
    figures = flow.train(
        recipe,
        data=data,
        output=output,
        build_dir=build,
        threads=threads,
        seed=seed,
        broken=broken.value,
        report=say,
        progress=sys.stderr.isatty(),
    )
    if as_json:
        print_json(figures.to_dict())
        return
    terminal.console().print(stages_table(figures.stages))
    tell(f"{figures.network}\n{figures.card}")


def stages_table(stages: "list[Stage]") -> Table:
    """Loss and scores of each stage of a training."""
    table = terminal.table(
        "Stages", "stage", "loss", "dev PER", "test PER", "test frame accuracy", "zeros"
    )
    for stage in stages:
        dev, test = stage.scores.dev, stage.scores.test
        zeros = [share for layer in test.sparsity for share in layer] if test else []
        table.add_row(
            stage.name,
            f"{stage.loss:.3f}",
            terminal.percent(dev.per if dev else None),
            terminal.percent(test.per if test else None),
            terminal.percent(test.frame_accuracy if test else None),
            terminal.percent(sum(zeros) / len(zeros) if zeros else None),
        )
    return table
