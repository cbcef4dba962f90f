# SPDX-License-Identifier: Apache-2.0
"""The option `--beside` of `plosive simulate`: the same networks on two machines."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, say
from flows.cli.given import features_of, network_of
from hw.errors import PlosiveError

if TYPE_CHECKING:
    from flows.simulation.machines import MachineFigures, SideBySide

__all__ = ["Beside", "simulate_beside"]

Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--beside",
        metavar="PRESET|FIELD=VALUE",
        help="Run the network on a second machine, too, and show both: a preset, or fields that "
        "differ. May be repeated.",
    ),
]


def simulate_beside(
    beside: Sequence[str],
    *,
    preset: str | None,
    config: Path | None,
    changes: Sequence[str],
    networks: Sequence[Path],
    random: int | None,
    audio: Path | None,
    frames: int | None,
    check: str,
    seed: int,
    build: Path,
    as_json: bool,
) -> None:
    """Simulate each network on both machines, and print their figures and ratios.

    Raises
    ------
    PlosiveError
        The options do not fit each other, a tool is missing, or the Verilog differs.
    """
    from flows.inputs import configuration
    from flows.progress import on_terminal
    from flows.simulation import machines

    names = _name(preset, config, changes), _name(None, None, beside)
    jobs = []  # all of them before the first runs: a mistake in the last is found at once
    for file in networks or [None]:
        machine = configuration(preset, config, () if file else changes, file)
        held = network_of(None if file else machine, file, random)
        machine = machines.shaped_for(machine, held, changes)
        pair = machine, machines.other_machine(machine, beside, held)
        for one in pair:
            held.on(one)
        features = features_of(machine, held, audio, frames, seed)
        jobs.append((file.stem if file else f"random {random}", held, features, pair))
    with on_terminal() as progress:
        found = [
            machines.side_by_side(
                *(name, held, features),
                *zip(names, pair, strict=True),
                build_dir=build,
                check=check,
                seed=seed,
                progress=progress,
            )
            for name, held, features, pair in jobs
        ]
    if as_json:
        print_json({"networks": [one.to_dict() for one in found]})
    else:
        console = terminal.console()
        for one in found:
            console.print(_table(one))
    for one in found:
        for run in (one.machine, one.beside):
            for warning in run.simulation.warnings:
                say(f"note: {one.network}: {warning}")
    for one in found:
        for run in (one.machine, one.beside):
            if run.simulation.messages:
                raise PlosiveError(
                    f"{one.network} on {run.machine}: the Verilog differs: "
                    f"{run.simulation.messages[0]}"
                )


def _name(preset: str | None, config: Path | None, changes: Sequence[str]) -> str:
    """What the user calls a machine."""
    words = [preset, config.name if config is not None else None, *changes]
    return ", ".join(word for word in words if word) or "the network's own"


def _table(figures: "SideBySide") -> Table:
    from flows.simulation.figures import PHASES

    ours, others = figures.machine, figures.beside
    table = terminal.table(
        f"{figures.network}, {figures.frames:,} frames: means per frame",
        *("", ours.machine, others.machine, "ratio"),
    )

    def row(label: str, one: float, other: float, digits: int = 1) -> None:
        ratio = f"{one / other:.3f}" if other else "-"
        table.add_row(label, f"{one:,.{digits}f}", f"{other:,.{digits}f}", ratio)

    cycles, beside = ours.simulation.cycles, others.simulation.cycles
    for phase in PHASES:
        row(f"cycles, {phase}", cycles.phases[phase], beside.phases[phase])
    row("cycles, all", ours.cycles, others.cycles)
    table.add_section()
    for memory, rows in cycles.row_reads.items():
        row(f"rows, {memory}", rows, beside.row_reads[memory])
    row("rows, all", ours.rows, others.rows)
    table.add_section()
    row("MMAC/s, as scheduled", ours.mmac_per_s, others.mmac_per_s, 2)
    row("MMAC/s, with zero weights", ours.mmac_per_s_enabled, others.mmac_per_s_enabled, 2)
    table.caption = (
        f"{figures.mmac_per_s_dense:.2f} MMAC/s with nothing skipped; {figures.mmac_per_s:.2f} for "
        "what the network computes, its hidden time steps apart.\n"
        f"Compared with the golden model: {_compared(ours)} and {_compared(others)}."
    )
    table.caption_justify = "left"
    return table


def _compared(run: "MachineFigures") -> str:
    simulation = run.simulation
    if simulation.check == "trace":
        what = f"all state of {simulation.compared_clocks:,} clocks"
    else:
        what = f"{simulation.compared_beats:,} beats of logits"
    return f"{what}, {simulation.mismatches:,} mismatches"
