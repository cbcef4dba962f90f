# SPDX-License-Identifier: Apache-2.0
"""`plosive generate`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import print_json, tell
from flows.cli.options import Bake, Changes, ConfigFile, Json, NetworkFile, Preset

__all__ = ["GeneratedTop", "generate"]


class GeneratedTop(StrEnum):
    """What surrounds the accelerator in the Verilog."""

    core = "core"
    axi = "axi"


def generate(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Output folder: new, empty, or from an earlier run, whose files are replaced.",
        ),
    ],
    preset: Preset = None,
    config: ConfigFile = None,
    changes: Changes = None,
    top: Annotated[
        GeneratedTop,
        typer.Option(
            "--top", help="What to generate: the core, or an IP with AXI registers and streams."
        ),
    ] = GeneratedTop.core,
    network: NetworkFile = None,
    bake: Bake = False,
    best: Annotated[
        int,
        typer.Option(
            "--best",
            metavar="N",
            min=0,
            help="Add hardware that lists each frame's N best classes (with --top axi).",
        ),
    ] = 0,
    testbench: Annotated[
        bool,
        typer.Option(
            "--testbench", help="Also write a self-checking Verilog test bench (with --top core)."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the Verilog of an accelerator.

    DIR receives `plosive.v` and `plosive.json` (ports, layouts, memory map, phase table, hashes).
    `--network` adds the initial contents of the memories as `.hex` files (the Verilog contains them
    too), and `--testbench` a test bench for any simulator. The same input gives the same bytes.

    With `--top axi` the Verilog is `plosive_axi.v`, an IP with AXI4-Lite registers and AXI4-Stream
    ports for features and results. `plosive.json` then includes the register map, and the C driver
    is written beside it: see docs/host-interface.md.

    **Examples**

    - `plosive generate --preset paper-t2 -o out`
    - `plosive generate --preset speech --network speech.safetensors --testbench -o out`
    - `plosive generate --preset paper-t2 --set lanes=64 --set n_output=183 -o out`
    - `plosive generate --preset speech --network speech.safetensors --bake -o out`
    - `plosive generate --preset speech --top axi --best 1 -o out`
    - `plosive generate --network mine.safetensors -o out` (the hardware named in the network file)
    """
    from flows.figures import Hashes
    from flows.inputs import configuration
    from flows.progress import on_terminal
    from flows.verilog import generate as flow
    from golden_model import Network
    from golden_model.files.escape import shell_path

    machine = configuration(preset, config, changes or (), network)
    held = Network.load(network, machine) if network is not None else None
    with on_terminal() as progress:
        made = flow.generate(
            machine,
            output,
            top=top.value,
            network=held,
            bake=bake,
            best=best,
            bench=testbench,
            progress=progress,
        )
    if as_json:
        print_json(
            {"folder": str(made.folder), "files": made.files, **Hashes.of(machine).to_dict()}
        )
        return
    for name in made.files:
        size = (made.folder / name).stat().st_size
        tell(f"{made.folder / name}  {size:,} bytes")
    if testbench:
        tell(
            f"run the bench: cd {shell_path(made.folder)} "
            "&& iverilog -g2005 -o tb plosive_tb.v plosive.v && vvp -n tb"
        )
