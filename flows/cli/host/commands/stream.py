# SPDX-License-Identifier: Apache-2.0
"""`plosive host stream`."""

import json
from typing import Annotated

import typer

from flows.cli.console import say
from flows.cli.host.session import Best, labelled, open_device
from flows.cli.options import Gain, Json, NetworkFile

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
    from flows.host.figures import Streamed
    from flows.host.samples import from_microphone, from_stdin
    from flows.rates import FRAMES_PER_S
    from golden_model.files import escape

    held = labelled(network)
    ended: list[Streamed] = []
    # A spinner would get in the way of the phones.
    with open_device(context, shown=False) as (device, _, _):
        device.prepare(held)
        with from_stdin() if stdin else from_microphone() as chunks:
            say("listening; Ctrl-C ends it" if not stdin else "listening")
            options = {"gain": gain, "best": best, "done": ended.append}
            for phone in speech.stream(device, held, chunks, **options):
                text = json.dumps(phone.to_dict()) if as_json else escape.terminal(phone.phone)
                print(text, end="\n" if as_json else " ", flush=True)
    (figures,) = ended
    if as_json:
        print(json.dumps(figures.to_dict()))
        return
    print()
    rate = figures.frames_per_s
    say(f"{figures.frames} frames" + (f"; the line carries {rate:g} a second" if rate else ""))
    if rate and rate < FRAMES_PER_S:
        say(
            f"note: that is less than the {FRAMES_PER_S} of real time: raise --baud, or take --best"
        )
