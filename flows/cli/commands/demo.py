# SPDX-License-Identifier: Apache-2.0
"""`plosive demo`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.table import Table

from flows import terminal
from flows.cli.commands.simulate import simulation_table
from flows.cli.console import print_json, tell
from flows.cli.options import BUILD, Audio, BuildFolder, DataFolder, Json, NetworkFile
from hw.errors import PlosiveError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.simulation.cycles import FrameFigures
    from flows.simulation.figures import CycleFigures
    from flows.speech.figures import DemoFigures, Rung

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
        print_json(shown.figures.to_dict())
    else:
        console = terminal.console()
        for line in demo_lines(shown.figures):
            console.print(line)
        tell(f"report: {page}")
    if not shown.passed:
        raise PlosiveError(f"the Verilog differs: {shown.messages[0]}")


def demo_lines(figures: "DemoFigures") -> list[RenderableType]:
    """The demo's figures as text and tables."""
    run, words = figures.simulation, figures.words
    said = f': "{words}"' if words else ""
    lines: list[RenderableType] = [f"recording  {figures.recording}{said}"]
    if run.frames < figures.frames_of_recording:
        lines.append(
            f"Only the first {run.frames} of {figures.frames_of_recording} frames were run, to "
            "keep the demo short."
        )
    lines += [ladder_table(figures.ladder), simulation_table(run)]
    phones = " ".join(phone.phone for phone in figures.phones)
    lines.append(f"heard      {phones or '(nothing: the Verilog differs)'}")
    if words:
        lines.append(f"said       {words}")
    if figures.costs:
        lines.append(f"area       {figures.costs.area.line}")
        lines.append(f"power      {figures.costs.power.line}")
    lines += ["", comparison_table(run.cycles, figures.reference)]
    lines.append(f"{figures.seconds} s in all.")
    return lines


def ladder_table(ladder: "Iterable[Rung]") -> Table:
    """What was compared, how much of it, and how much differed."""
    table = terminal.table("Exact comparisons", "what", "compared", "mismatches")
    for rung in ladder:
        table.add_row(rung.what, rung.compared, f"{rung.mismatches:,}")
    return table


def comparison_table(run: "CycleFigures", reference: "dict[str, FrameFigures]") -> Table:
    """Cycles per frame by phase: this run, and the laws for the reference's shapes."""
    from flows.simulation.figures import PHASES

    table = terminal.table("Cycles per frame", "phase", "this recording", *reference)
    columns = [run, *(expected.cycles for expected in reference.values())]
    for phase in PHASES:
        table.add_row(phase, *(terminal.number(cycles.phases[phase]) for cycles in columns))
    table.add_section()
    totals = (terminal.number(cycles.cycles_per_frame.mean) for cycles in columns)
    table.add_row("total", *totals)
    published = (expected.published for expected in reference.values())
    table.add_row("published", "-", *(str(of.total) if of else "-" for of in published))
    table.caption = (
        "The reference's columns are computed by the cycle laws at its published densities; "
        "`plosive cycles` explains each difference."
    )
    table.caption_justify = "left"
    return table
