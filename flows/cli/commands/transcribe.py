# SPDX-License-Identifier: Apache-2.0
"""`plosive transcribe`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import note_level, print_json, print_phones, say
from flows.cli.options import BUILD, BuildFolder, Gain, Json, NetworkFile

__all__ = ["Engine", "transcribe"]


class Engine(StrEnum):
    """What computes a transcription."""

    golden = "golden"
    rtl = "rtl"


def transcribe(
    recording: Annotated[
        Path,
        typer.Argument(
            metavar="WAV", help="A 16 kHz mono recording (WAV or FLAC); - reads standard input."
        ),
    ],
    network: NetworkFile = None,
    engine: Annotated[
        Engine, typer.Option("--engine", help="Run the golden model, or the Verilog in Verilator.")
    ] = Engine.golden,
    gain: Gain = 0.0,
    as_json: Json = False,
    build: BuildFolder = BUILD,
) -> None:
    """Print the phones heard in a recording, with their times.

    The default network is the shipped one. `--engine rtl` runs the generated Verilog, checks it
    against the golden model, and decodes the logits it produces.

    **Examples**

    - `plosive transcribe hello.wav`
    - `plosive transcribe hello.wav --engine rtl`
    - `arecord -q -f S16_LE -r 16000 -d 3 | plosive transcribe -`
    - `plosive transcribe hello.wav --network mine.safetensors --json`
    """
    from flows.inputs import default_network
    from flows.progress import on_terminal
    from flows.speech import transcribe as flow
    from golden_model import Network

    held = Network.load(network if network is not None else default_network())
    with on_terminal() as progress:
        figures = flow.transcribe(
            recording, held, engine=engine.value, gain=gain, build_dir=build, progress=progress
        )
    if as_json:
        print_json(figures.to_dict())
        return
    print_phones(figures.phones)
    for note in figures.notes:
        say(f"note: {note}")
    note_level(figures.level_db, gain)
