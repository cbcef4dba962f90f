# SPDX-License-Identifier: Apache-2.0
"""`plosive export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, tell
from flows.cli.options import (
    Changes,
    ConfigFile,
    Json,
    NetworkFile,
    Preset,
    number,
)
from hw.errors import PlosiveError

__all__ = ["Reset", "conversion_table", "export"]


class Reset(StrEnum):
    """How a spike resets the membrane."""

    zero = "zero"
    subtract = "subtract"


def export(
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Output file; its suffix selects the format."
        ),
    ],
    network: NetworkFile = None,
    nir: Annotated[
        Path | None,
        typer.Option("--nir", metavar="FILE", help="NIR graph from another tool (.nir)."),
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    input_scale: Annotated[
        float,
        typer.Option(
            "--input-scale",
            metavar="X",
            parser=number(1e-9, 1e9),
            help="Value in training of one int8 feature step.",
        ),
    ] = 1.0,
    dt: Annotated[
        float | None,
        typer.Option(
            "--dt",
            metavar="S",
            parser=number(1e-9, 1e3),
            help="Duration of one time step of the graph, in seconds. Default: 1e-4.",
        ),
    ] = None,
    reset: Annotated[
        Reset,
        typer.Option(
            "--reset", help="How the graph's tool resets neurons; NIR does not record it."
        ),
    ] = Reset.zero,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Accept the nearest decay, however far off.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Convert a network to a NIR graph or the C driver's image, or a NIR graph to a network.

    NIR (neuroir.org) is written by snnTorch, Norse, SpikingJelly and other tools. A graph exported
    with `--network` converts back to the same integers. In any other graph, the weights are rounded
    to 4 bits with one scale per layer and the decays to the nearest 1 - 2^-a or 2^-a, and the
    errors are printed. A graph that the hardware cannot run is refused with the node, the field and
    the rule. See docs/bring-your-own-network.md.

    An image (.bin, or .h as a C array) is what the C driver loads. Its layout is for the hardware
    given by `--preset`, `--config` and `--set`, or else by the network file. See
    docs/host-interface.md.

    **Examples**

    - `plosive export --network speech.safetensors -o speech.nir`
    - `plosive export --network speech.safetensors --config out/plosive.json -o speech.h`
    - `plosive export --nir mine.nir -o mine.safetensors`
    - `plosive export --nir mine.nir --dt 1e-3 --input-scale 0.05 --set acc_bits=14 -o
      mine.safetensors --json`

    Then: `plosive generate --network mine.safetensors -o out`
    """
    from flows.inputs import changed_fields, configuration
    from flows.speech import export as flow
    from flows.verilog.network_image import SUFFIXES

    if (network is None) == (nir is None):
        raise PlosiveError("give either --network FILE or --nir FILE: one of them is converted")
    image = network is not None and output.suffix in SUFFIXES
    if (preset is not None or config is not None) and not image:
        raise PlosiveError("--preset and --config are for images: name the output *.bin or *.h")
    if network is not None:
        others = dt is not None or input_scale != 1.0 or nearest or reset != Reset.zero
        if others or (changes and not image):
            raise PlosiveError(
                "--set, --input-scale, --dt, --reset and --nearest are for --nir: a network file "
                "is written as it is"
            )
        if image:
            machine = configuration(preset, config, changes or (), network)
            figures = flow.export_image(machine, network, output)
        else:
            figures = flow.export_graph(network, output)
    else:
        figures = flow.import_graph(
            nir,
            output,
            fields=changed_fields(changes or ()),
            input_scale=input_scale,
            dt=dt,
            reset=reset.value,
            nearest=nearest,
        )
    if as_json:
        print_json(figures)
        return
    if figures["conversion"]:
        terminal.console().print(conversion_table(figures["conversion"]))
    how = "the same integers" if figures["exact"] else "rounded as shown"
    tell(f"{output}  {figures['bytes']:,} bytes, {how}")


def conversion_table(conversion: dict[str, Any]) -> Table:
    """What rounding did to another tool's network; errors are relative to each matrix's norm."""
    table = terminal.table(
        "Rounded to the hardware's numbers",
        *("layer", "weight step", "input shift", "error w_in", "error w_rec", "decay", "used"),
    )
    for layer in conversion["layers"]:
        table.add_row(
            *(layer["name"], f"{layer['scale']:.4g}", str(layer["input_shift"])),
            *(f"{layer['error_w_in']:.1%}", f"{layer['error_w_rec']:.1%}"),
            *(f"{layer['beta']:.4g}", f"{layer['beta_taken']:.4g}"),
        )
    readout = conversion["readout"]
    table.add_row("readout", f"{readout['scale']:.4g}", "", f"{readout['error']:.1%}", "", "", "")
    return table
