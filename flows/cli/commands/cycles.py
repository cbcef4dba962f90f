# SPDX-License-Identifier: Apache-2.0
"""`plosive cycles`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, say
from flows.cli.given import features_of, network_of
from flows.cli.options import (
    Audio,
    Changes,
    ConfigFile,
    FeatureSeed,
    Frames,
    Json,
    NetworkFile,
    Preset,
    RandomSeed,
)
from hw.errors import PlosiveError

if TYPE_CHECKING:
    from flows.simulation.cycles import Published
    from flows.simulation.figures import CycleFigures

__all__ = ["cycle_table", "cycles", "rows_table"]


def cycles(
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    densities: Annotated[
        str | None,
        typer.Option(
            "--densities",
            metavar="published",
            help="Give the expected figures at the densities that the reference publishes.",
        ),
    ] = None,
    network: NetworkFile = None,
    random: RandomSeed = None,
    audio: Audio = None,
    frames: Frames = None,
    seed: FeatureSeed = 1,
    drawing: Annotated[
        Path | None,
        typer.Option(
            "--timeline",
            metavar="SVG",
            help="Draw the longest frame clock by clock: the row of each bank, what each PE set "
            "adds, and the neurons.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute the cycles and memory traffic of a frame from the cycle laws, without simulation.

    The laws equal the hardware's counters exactly; every `plosive simulate` run checks this. For
    the reference's shapes, the published figures are shown too, with the reasons for differences.

    **Examples**

    - `plosive cycles --preset paper-t2 --densities published`
    - `plosive cycles --preset paper-t1 --densities published --json`
    - `plosive cycles --preset speech --network speech.safetensors --audio hello.wav`
    - `plosive cycles --preset tiny --random 1 --frames 2 --timeline frame.svg`
    """
    from flows.figures import Hashes
    from flows.inputs import configuration
    from flows.simulation import cycles as flow

    machine = configuration(preset, config, changes or (), network)
    given = [network, random, audio, frames]
    if densities is not None:
        if densities != "published":
            raise PlosiveError(f"--densities is {densities!r}: it must be published")
        if any(value is not None for value in (*given, drawing)):
            raise PlosiveError("--densities stands alone: give it, or a network and features")
        figures = flow.expected_figures(machine, of=Hashes.of(machine))
    else:
        held = network_of(machine, network, random)
        features = features_of(machine, held, audio, frames, seed)
        figures = flow.measured_figures(machine, held, features, Hashes.of(machine))
        if drawing is not None:
            from flows.report.timeline import draw_longest

            draw_longest(drawing, machine, held, features)
    if as_json:
        print_json(figures.to_dict())
        return
    console = terminal.console()
    console.print(cycle_table(figures.cycles, figures.published))
    console.print(rows_table(figures.cycles))
    for warning in figures.warnings or ():
        say(f"note: {warning}")


def cycle_table(figures: "CycleFigures", published: "Published | None" = None) -> Table:
    """Cycles per frame by phase, beside the published ones where there are any."""
    from flows.simulation.figures import PHASES

    total = figures.cycles_per_frame.mean
    if published is None:
        table = terminal.table("Cycles per frame", "phase", "cycles")
        for phase in PHASES:
            table.add_row(phase, terminal.number(figures.phases[phase]))
        table.add_section()
        table.add_row("total", terminal.number(total))
        return table
    table = terminal.table("Cycles per frame", "phase", "cycles", "published", "difference")
    table.add_column("why", justify="left")
    for entry in published.differences:
        table.add_row(
            entry.phase,
            terminal.number(figures.phases[entry.phase]),
            terminal.number(entry.published),
            f"{entry.difference:+,.1f}".replace(".0", ""),
            entry.why,
        )
    table.add_section()
    table.add_row(
        "total",
        terminal.number(total),
        str(published.total),
        f"{total - published.total:+,.1f}",
        "",
    )
    return table


def rows_table(figures: "CycleFigures") -> Table:
    """Row reads per frame, and what other ways of fetching the hidden weights would need."""
    table = terminal.table("Row reads per frame", "memory", "rows")
    for memory, rows in figures.row_reads.items():
        table.add_row(memory, terminal.number(rows))
    table.add_section()
    words = {
        "parallel": "hidden, time steps in parallel",
        "serial": "hidden, one step after the other",
        "serial_skipping": "hidden, one after the other, zeros skipped",
        "union_skipping": "hidden, in parallel, zeros of both skipped",
    }
    for way, rows in figures.hidden_row_reads_if.items():
        table.add_row(words[way], terminal.number(rows))
    return table
