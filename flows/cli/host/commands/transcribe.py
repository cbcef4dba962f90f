# SPDX-License-Identifier: Apache-2.0
"""`plosive host transcribe`."""

from typing import Annotated

import typer

from flows.cli.console import note_level, print_json, print_phones, tell
from flows.cli.host.session import Best, labelled, open_device
from flows.cli.options import Gain, Json, NetworkFile, Recording

__all__ = ["transcribe"]


def transcribe(
    context: typer.Context,
    recording: Recording,
    network: NetworkFile = None,
    best: Best = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare the results with the golden model, bit for bit."),
    ] = False,
    gain: Gain = 0.0,
    as_json: Json = False,
) -> None:
    """Transcribe a recording on the board: print its phones with their times.

    The default network is the shipped one; it is loaded unless the board already has it. The host
    computes the features, the board runs the network, and the host decodes the logits it returns.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 transcribe hello.wav --check`
    - `plosive host --port /dev/ttyUSB0 --baud 115200 transcribe hello.wav --best`
    - `plosive host --port sim:ulx3s transcribe hello.wav --network mine.safetensors --json`
    """
    from flows.host import speech

    held = labelled(network)
    with open_device(context) as (device, progress, clock):
        figures = speech.transcribe(
            device,
            recording,
            held,
            gain=gain,
            best=best,
            check=check,
            clock=clock,
            progress=progress,
        )
    if as_json:
        print_json(figures.to_dict())
        return
    print_phones(figures.phones)
    if check:
        tell(
            f"{figures.values_compared:,} values of {figures.frames} frames, all equal to "
            "the golden model's"
        )
    note_level(figures.level_db, gain)
