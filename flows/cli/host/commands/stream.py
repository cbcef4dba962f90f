# SPDX-License-Identifier: Apache-2.0
"""`plosive host stream`."""

import json
from typing import Annotated, Any

import typer

from flows.cli.console import say
from flows.cli.host.session import Best, labelled, open_device
from flows.cli.options import Gain, Json, NetworkFile
from golden_model import escape

__all__ = ["stream"]


def stream(
    context: typer.Context,
    network: NetworkFile = None,
    stdin: Annotated[
        bool,
        typer.Option("--stdin", help="Read raw samples from standard input: 16 kHz, mono, s16le."),
    ] = False,
    best: Best = False,
    gain: Gain = 0.0,
    as_json: Json = False,
) -> None:
    """Print phones heard by the microphone, or in samples on standard input, as they come.

    The microphone is recorded with `arecord` until Ctrl-C. A phone is printed once it is 0.4 s old.
    With `--json`, each phone is one line.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 stream`
    - `plosive host --port /dev/ttyUSB0 --baud 115200 stream --best`
    - `plosive host --port sim:ulx3s stream --stdin < samples.raw`
    """
    from flows.host import speech
    from flows.host.samples import from_microphone, from_stdin

    held = labelled(network)
    figures: dict[str, Any] = {}
    with open_device(context, shown=False) as (
        device,
        _,
        _,
    ):  # a spinner would get in the way of the phones
        device.prepare(held)
        with from_stdin() if stdin else from_microphone() as chunks:
            say("listening; Ctrl-C ends it" if not stdin else "listening")
            for phone in speech.stream(device, held, chunks, gain=gain, best=best, figures=figures):
                text = json.dumps(phone) if as_json else escape.terminal(phone["phone"])
                print(text, end="\n" if as_json else " ", flush=True)
    if as_json:
        print(json.dumps(figures))
        return
    print()
    rate = figures["frames_per_s"]
    say(f"{figures['frames']} frames" + (f"; the line carries {rate:g} a second" if rate else ""))
    if rate and rate < 100:
        say("note: that is less than the 100 of real time: raise --baud, or take --best")
