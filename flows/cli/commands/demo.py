# SPDX-License-Identifier: Apache-2.0
"""`plosive demo`."""

from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from flows import terminal
from flows.cli.commands.simulate import simulation_table
from flows.cli.console import print_json, tell
from flows.cli.options import BUILD, Audio, BuildFolder, DataFolder, Json, NetworkFile
from hw.errors import PlosiveError

__all__ = ["comparison_table", "demo", "demo_lines", "ladder_table"]


def demo(
    audio: Audio = None,
    network: NetworkFile = None,
    data: DataFolder = None,
    costs: Annotated[
        bool,
        typer.Option(
            "--costs/--no-costs",
            help="Also measure area and power, in parallel with the simulation.",
        ),
    ] = True,
    as_json: Json = False,
    build: BuildFolder = BUILD,
) -> None:
    """Transcribe a spoken sentence, comparing the Verilog with the model at every clock edge.

    The demo takes a sentence that the shipped network was not trained on (or `--audio`), computes
    its features, runs the network in the golden model and in the generated Verilog, and compares
    all state at every clock. It prints the phones heard and the cost of a frame, and writes
    `report.html` to the build folder. In parallel, it synthesises the accelerator and measures its
    power on the first part of the sentence, for IHP SG13G2 if that PDK is installed; otherwise it
    only counts gates.

    **Examples**

    - `plosive demo`
    - `plosive demo --audio hello.wav`
    - `plosive demo --no-costs`
    """
    from flows.progress import on_terminal
    from flows.report import report as reports
    from flows.speech import demo as flow

    with on_terminal() as progress:
        shown = flow.demo(
            build_dir=build,
            audio=audio,
            network_file=network,
            data=data,
            costs=costs,
            progress=progress,
        )
    page = reports.write(build)
    if as_json:
        print_json(shown.figures)
    else:
        console = terminal.console()
        for line in demo_lines(shown.figures):
            console.print(line)
        tell(f"report: {page}")
    if not shown.passed:
        raise PlosiveError(f"the Verilog differs: {shown.messages[0]}")


def demo_lines(figures: dict[str, Any]) -> list[RenderableType]:
    """The demo's figures as text and tables."""
    from flows.asic import machine_costs
    from flows.simulation.figures import ladder

    run, words = figures["simulation"], figures["words"]
    said = f': "{words}"' if words else ""
    lines: list[RenderableType] = [f"recording  {figures['recording']}{said}"]
    if run["frames"] < figures["frames_of_recording"]:
        lines.append(
            f"Only the first {run['frames']} of {figures['frames_of_recording']} frames were run, "
            "to keep the demo short."
        )
    lines += [ladder_table(ladder(figures)), simulation_table(run)]
    phones = " ".join(phone["phone"] for phone in figures["phones"])
    lines.append(f"heard      {phones or '(nothing: the Verilog differs)'}")
    if words:
        lines.append(f"said       {words}")
    if figures["costs"]:
        area, power = machine_costs.words(figures["costs"])
        lines += [f"area       {area}", f"power      {power}"]
    lines += ["", comparison_table(run, figures["reference"])]
    lines.append(f"{figures['seconds']} s in all.")
    return lines


def ladder_table(rows: list[tuple[str, str, int]]) -> Table:
    """What was compared, how much of it, and how much differed."""
    table = terminal.table("Exact comparisons", "what", "compared", "mismatches")
    for what, compared, mismatches in rows:
        table.add_row(what, compared, f"{mismatches:,}")
    return table


def comparison_table(run: dict[str, Any], reference: dict[str, dict[str, Any]]) -> Table:
    """Cycles per frame by phase: this run, and the laws for the reference's shapes."""
    from flows.simulation.figures import PHASES

    table = terminal.table("Cycles per frame", "phase", "this recording", *reference)
    for phase in PHASES:
        expected = (terminal.number(figures["phases"][phase]) for figures in reference.values())
        table.add_row(phase, terminal.number(run["phases"][phase]), *expected)
    table.add_section()
    totals = (
        terminal.number(figures["cycles_per_frame"]["mean"]) for figures in reference.values()
    )
    table.add_row("total", terminal.number(run["cycles_per_frame"]["mean"]), *totals)
    published = (str(figures["published"]["total"]) for figures in reference.values())
    table.add_row("published", "-", *published)
    table.caption = (
        "The reference's columns are computed by the cycle laws at its published densities; "
        "`plosive cycles` explains each difference."
    )
    table.caption_justify = "left"
    return table
