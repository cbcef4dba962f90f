# SPDX-License-Identifier: Apache-2.0
"""`plosive fpga`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, tell
from flows.cli.options import BUILD, Audio, Changes, ConfigFile, Json, NetworkFile, Preset
from hw.errors import PlosiveError

if TYPE_CHECKING:
    from flows.fpga.figures import BoardFigures, ProjectFigures

__all__ = ["board_table", "fpga"]


def fpga(
    board: Annotated[
        str,
        typer.Option(
            "--board",
            metavar="NAME",
            help="Board: ulx3s-85f, ulx3s-45f, icebreaker, arty-a7-35, arty-a7-100 or arty-z7-20.",
        ),
    ],
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    network: NetworkFile = None,
    audio: Audio = None,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds",
            metavar="N",
            min=1,
            max=1000,
            help="Number of placements; the fastest one is used.",
        ),
    ] = 3,
    core: Annotated[
        bool,
        typer.Option(
            "--core", help="Also synthesise the core alone, to show what the interface costs."
        ),
    ] = False,
    as_json: Json = False,
    build: Annotated[
        Path,
        typer.Option(
            "-o",
            "--build",
            metavar="DIR",
            help="Output folder for the bitstream and all intermediate files.",
        ),
    ] = BUILD,
) -> None:
    """Build a bitstream for a board: accelerator, registers, serial bridge and LEDs.

    Without --preset, --config or --network, the board's default shape is built. The number of lanes
    is the most that fit the chip, unless --config or --set gives it. With --network, the bitstream
    includes the weights if the chip can initialise its memories (iCEBreaker's cannot); otherwise
    the host loads them. ECP5 and iCE40 boards are built with open tools, and the reported clock is
    the median of the placements. For Xilinx boards a Vivado project is written, which has not been
    built yet: see docs/fpga.md.

    **Examples**

    - `plosive fpga --board icebreaker`
    - `plosive fpga --board ulx3s-85f --preset paper-t2 --core --json`
    - `plosive fpga --board ulx3s-85f --network speech --audio hello.wav`
    - `plosive fpga --board arty-a7-35 -o build`
    """
    from flows.figures import Hashes
    from flows.fpga import boards as fpga_boards
    from flows.fpga import build as flow
    from flows.fpga import vivado as fpga_vivado
    from flows.inputs import audio_features, changed_fields, configuration, fitting_features
    from flows.progress import on_terminal
    from golden_model import Network

    target = fpga_boards.board(board)
    if audio is not None and network is None:
        raise PlosiveError("--audio needs a network, to count its spikes; give --network")
    if preset is None and config is None and network is None:
        machine = target.config.replace(**changed_fields(changes or ()))
    else:
        machine = configuration(preset, config, (), network)
        machine = machine if config is not None else target.folded(machine)
        machine = machine.replace(**changed_fields(changes or ()))
    held = Network.load(network, machine) if network is not None else None
    features = None
    if audio is not None:
        features = fitting_features(machine, audio_features(audio, held.header))
    with on_terminal() as progress:
        if target.family == "xilinx":
            project = fpga_vivado.write_project(
                target,
                machine,
                network=held,
                of=Hashes.of(machine),
                build_dir=build,
                progress=progress,
            )
            _print_project(project, as_json)
            return
        figures = flow.build(
            target,
            machine,
            network=held,
            features=features,
            seeds=seeds,
            with_core=core,
            of=Hashes.of(machine),
            build_dir=build,
            progress=progress,
        )
    if as_json:
        print_json(figures.to_dict())
        return
    terminal.console().print(board_table(figures))
    if not figures.network_in_bitstream:
        tell("the host loads the weights")
    tell(figures.bitstream.load)


def _print_project(project: "ProjectFigures", as_json: bool) -> None:
    if as_json:
        print_json(project.to_dict())
        return
    tell(f"{project.folder}: {', '.join(project.files)}")
    tell(f"not built here; build it with: {'; '.join(project.run)}")


def board_table(figures: "BoardFigures") -> Table:
    """What a design uses of a board's chip, its clock, and its speed."""
    from flows.fpga.boards import LABELS

    columns = ["", "used", "of", "%"]
    if figures.interface:
        columns.append("core alone")
    table = terminal.table(f"{figures.title}, {figures.configuration.lanes} lanes", *columns)
    for name, resource in figures.resources.items():
        values = [resource.used, resource.available, 100 * resource.share]
        if figures.interface:
            values.append(figures.interface[name].core_alone)
        table.add_row(LABELS[name], *map(terminal.number, values))
    table.add_section()
    each = ", ".join(f"{value:.1f}" for value in figures.fmax_mhz.seeds.values())
    faster = figures.real_time_factor
    for name, value in (
        ("clock, MHz", figures.clock_mhz),
        (f"maximum clock, MHz, median of {each}", figures.fmax_mhz.median),
        (f"cycles per frame, {figures.densities} densities", figures.cycles_per_frame),
        ("times faster than speech, at the clock", faster.at_clock),
        ("times faster than speech, at the maximum clock", faster.at_fmax),
    ):
        table.add_row(name, terminal.number(value))
    return table
