# SPDX-License-Identifier: Apache-2.0
"""`plosive export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from flows import terminal
from flows.cli.console import print_json, say, tell
from flows.cli.options import FRAMES, SEED, Changes, ConfigFile, Json, NetworkFile, Preset, number
from hw.errors import PlosiveError

__all__ = ["Reset", "conversion_table", "export", "fidelity_table"]


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
        bool,
        typer.Option(
            "--nearest",
            help="Use the nearest decay, however far off, and measure what that does.",
        ),
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="FEATURES",
            help="Run the graph in real numbers beside the network, on features of a .npy file "
            "(int8, frames x inputs).",
        ),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option(
            "--random", metavar="N", **FRAMES, help="The same, on N frames of random features."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", **SEED, help="Seed of random features.")] = 1,
    as_json: Json = False,
) -> None:
    """Convert a network to a NIR graph or the C driver's image, or a NIR graph to a network.

    NIR (neuroir.org) is written by snnTorch, Norse, SpikingJelly and other tools. A graph exported
    with `--network` converts back to the same integers. In any other graph, the weights are rounded
    to 4 bits with one scale per neuron, and decays must be 1 - 2^-a or 2^-a. What is exact, what is
    approximated and by how much is printed at the end; `--check` or `--random` measures it: spikes,
    membranes and outputs of the graph in real numbers beside those of the network. A graph that the
    hardware cannot run is refused with the node, the field and the rule. See
    docs/bring-your-own-network.md.

    An image (.bin, or .h as a C array) is what the C driver loads. Its layout is for the hardware
    given by `--preset`, `--config` and `--set`, or else by the network file. See
    docs/host-interface.md.

    **Examples**

    - `plosive export --network speech.safetensors -o speech.nir`
    - `plosive export --network speech.safetensors --config out/plosive.json -o speech.h`
    - `plosive export --nir mine.nir -o mine.safetensors --random 1000`
    - `plosive export --nir mine.nir -o mine.safetensors --check features.npy --json`
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
        others = others or check is not None or random is not None
        if others or (changes and not image):
            raise PlosiveError(
                "--set, --input-scale, --dt, --reset, --nearest, --check and --random are for "
                "--nir: a network file is written as it is"
            )
        if image:
            machine = configuration(preset, config, changes or (), network)
            figures = flow.export_image(machine, network, output)
        else:
            figures = flow.export_graph(network, output)
    else:
        if check is not None and random is not None:
            raise PlosiveError("give either --check FEATURES or --random N: one of them is run")
        figures = flow.import_graph(
            nir,
            output,
            fields=changed_fields(changes or ()),
            input_scale=input_scale,
            dt=dt,
            reset=reset.value,
            nearest=nearest,
            check=check,
            random_frames=random,
            seed=seed,
        )
    if as_json:
        print_json(figures)
        return
    screen = terminal.console()
    conversion, fidelity = figures["conversion"], figures.get("fidelity")
    if conversion:
        screen.print(conversion_table(conversion, figures["dt"]))
        for kind in ("exact", "approximated"):
            for line in conversion[kind]:
                tell(f"{kind}: {line}")
        for line in conversion["warnings"]:
            say(f"warning: {line}")
    if fidelity:
        screen.print(fidelity_table(fidelity))
        if not any(layer["spikes_real"] for layer in fidelity["layers"]):
            say(
                "note: nothing spikes on these features, which says nothing of the conversion: "
                "check with features of your own, or set --input-scale"
            )
    how = "the same integers" if figures["exact"] else "rounded as shown"
    tell(f"{output}  {figures['bytes']:,} bytes, {how}")


def conversion_table(conversion: dict[str, Any], dt: float) -> Table:
    """What rounding did to another tool's network; errors are relative to each matrix's norm."""
    table = terminal.table(
        "Rounded to the hardware's numbers",
        *("layer", "weight step", "input shift", "error w_in", "error w_rec", "decay", "used"),
        *("time constant, steps", "used", "threshold / 2^a"),
    )
    for layer in conversion["layers"]:
        ratio = layer["threshold_ratio"]
        table.add_row(
            *(layer["name"], _span(layer["scale"]), str(layer["input_shift"])),
            *(f"{layer['error_w_in']:.1%}", f"{layer['error_w_rec']:.1%}"),
            *(_span(layer["beta"]), f"{layer['beta_taken']:.4g}"),
            *(_span(layer["steps"]), f"{layer['steps_taken']:.4g}"),
            "-" if ratio is None else f"{ratio:.0f}",
        )
    readout = conversion["readout"]
    table.add_row("readout", f"{readout['scale']:.4g}", "", f"{readout['error']:.1%}")
    table.caption = f"A time step of the graph is dt = {dt:g} s (--dt)."
    table.caption_justify = "left"
    return table


def _span(values: list[float | None] | None) -> str:
    """One number, or the least and the largest of the neurons."""
    if values is None:
        return "-"
    shown = ["infinite" if value is None else f"{value:.4g}" for value in values]
    return shown[0] if shown[0] == shown[-1] else " to ".join(shown)


def fidelity_table(fidelity: dict[str, Any]) -> Table:
    """The graph in real numbers beside the network in integers."""
    table = terminal.table(
        f"Real numbers beside integers, {fidelity['frames']:,} frames",
        *("layer", "spikes, real", "spikes, hardware", "equal bits", "shared spikes"),
        *("first difference, frame", "membrane error, thresholds"),
    )
    for place, layer in enumerate(fidelity["layers"]):
        shared, first = layer["spikes_shared"], layer["first_difference"]
        table.add_row(
            *(str(place), f"{layer['spikes_real']:,}", f"{layer['spikes_hardware']:,}"),
            f"{layer['spikes_equal']:.2%}",
            "-" if shared is None else f"{shared:.1%}",
            "none" if first is None else f"{first:,}",
            f"{layer['membrane_error']:.3g}",
        )
    readout = fidelity["readout"]
    table.caption = (
        f"Outputs: error {readout['error']:.1%} of their size, the same answer in "
        f"{readout['same_answer']:.1%} of frames."
    )
    table.caption_justify = "left"
    return table
