# SPDX-License-Identifier: Apache-2.0
"""`plosive host`: the commands that talk to a board."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import (
    BUILD,
    BuildFolder,
    Json,
    NetworkFile,
    console,
    note_level,
    print_json,
    say,
)
from hw.errors import PlosiveError

__all__ = ["host"]

host = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


@dataclass(frozen=True)
class _Options:
    """What stands before the command's name."""

    port: str | None
    baud: int | None
    timeout: float | None
    build: Path


@host.callback()
def options(
    context: typer.Context,
    port: Annotated[
        str | None,
        typer.Option(
            "--port",
            metavar="PORT",
            envvar="PLOSIVE_PORT",
            help="A serial port, `sim:PRESET`, `sim:BOARD` or `sim:BOARD:PRESET`.",
        ),
    ] = None,
    baud: Annotated[
        int | None,
        typer.Option(
            "--baud",
            metavar="N",
            min=1200,
            help="Speed of the line; without it 1,000,000, for a simulated board the fastest.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            min=0.01,
            help="Wait so long for an answer; without it 1 s, for a simulated board 20 s.",
        ),
    ] = None,
    build: BuildFolder = BUILD,
) -> None:
    """Talk to a board: load a network, test it, send it speech.

    PORT is a serial port, or a simulated board: `sim:ulx3s`, `sim:tiny`. That is the board's
    Verilog in Verilator behind a pseudo-terminal, which the same driver opens. It lives as long as
    the command; `plosive host simulate` keeps one. PLOSIVE_PORT takes the place of `--port`.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 probe`
    - `plosive host --port sim:tiny selftest`
    - `plosive host --port sim:ulx3s transcribe hello.wav --check`
    """
    context.obj = _Options(port, baud, timeout, build)


@host.command()
def probe(
    context: typer.Context,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="NAME", help="Refuse another board or preset than this."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Who is there: configuration, versions, hashes, options, state, and the line.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 probe`
    - `plosive host --port /dev/ttyUSB0 probe --expect ulx3s-85f`
    - `plosive host --port sim:tiny probe --json`
    """
    from flows.host.ports import simulated_hardware

    with _device(context) as (device, _, _):
        if expect is not None:
            device.expect(simulated_hardware(expect).config)
        hello = device.link.greet()
        figures = {
            "port": device.link.name,
            **device.identity.to_dict(),
            "line": {
                "baud": device.link.baud,
                "protocol": hello.version,
                "clock_hz": hello.clock_hz,
                "dropped_packets": hello.dropped,
                **device.link.statistics.to_dict(),
            },
            "status": device.status(),
            "errors": device.errors(),
        }
    if as_json:
        print_json(figures)
        return
    line, config = figures["line"], figures["configuration"]
    state = [name for name, value in figures["status"].items() if value]
    _facts(
        f"Board at {figures['port']}",
        {
            "register map": figures["register_map"],
            "configuration hash": figures["configuration_hash"],
            "network hash": figures["network_hash"],
            "network in the bitstream": figures["build_hash"]
            if int(figures["build_hash"], 16)
            else "none",
            "weights": "constant" if figures["baked"] else "can be loaded",
            "best-N list": figures["best"] or "none",
            "shape": f"{config['n_input']} inputs, hidden {config['hidden']}, "
            f"{config['n_output']} outputs, T = {config['time_steps']}",
            "lanes": config["lanes"],
            "clock": f"{line['clock_hz'] / 1e6:g} MHz",
            "line": f"{line['baud']:,} baud, protocol {line['protocol']}, "
            f"{line['dropped_packets']} packets dropped since the reset",
            "status": ", ".join(state) or "-",
            "errors": ", ".join(figures["errors"]) or "none",
        },
    )


@host.command()
def load(
    context: typer.Context,
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK", help="A network file, or a name of the zoo.")
    ],
    as_json: Json = False,
) -> None:
    """Write a network into the board's memories and read all of it back.

    A board with more outputs than the network has takes it too: their weights are 0.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 load speech`
    - `plosive host --port sim:ulx3s load mine.safetensors --json`
    """
    import time

    from flows.inputs import network_file
    from golden_model import Network

    held = Network.load(network_file(network))
    with _device(context) as (device, progress, _):
        started = time.monotonic()
        figures = {
            "network": str(network),
            **device.load(held, progress),
            "seconds": round(time.monotonic() - started, 2),
            "baud": device.link.baud,
            **device.link.statistics.to_dict(),
        }
    if as_json:
        print_json(figures)
        return
    typer.echo(
        f"{figures['bytes']:,} bytes written and read back, all equal, in "
        f"{figures['seconds']:g} s at {figures['baud']:,} baud"
    )


@host.command()
def selftest(
    context: typer.Context,
    networks: Annotated[
        int, typer.Option("--networks", metavar="N", min=1, help="Random networks.")
    ] = 3,
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=1, help="Frames of random features each.")
    ] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of networks and features.")] = 1,
    as_json: Json = False,
) -> None:
    """Random networks and features on the board and in the golden model, compared bit for bit.

    The exit status is 1 if one value differs. What network the board had is gone afterwards.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 selftest`
    - `plosive host --port sim:ulx3s selftest --networks 1 --json`
    """
    with _device(context) as (device, progress, _):
        figures = device.selftest(networks=networks, frames=frames, seed=seed, progress=progress)
        figures["port"] = device.link.name
    if as_json:
        print_json(figures)
    elif figures["passed"]:
        typer.echo(
            f"passed: {figures['networks']} random networks, {figures['frames']} frames, "
            f"{figures['values_compared']:,} values, all equal to the golden model's"
        )
    if not figures["passed"]:
        place = ", ".join(f"{name} {value}" for name, value in figures["first_difference"].items())
        raise PlosiveError(f"{figures['port']}: the board computes something else: {place}")


Gain = Annotated[
    float, typer.Option("--gain", metavar="DB", help="Gain of the recording: level matters.")
]
Best = Annotated[
    bool,
    typer.Option(
        "--best", help="Only each frame's best class comes back: for slow lines, worse phones."
    ),
]


@host.command()
def transcribe(
    context: typer.Context,
    recording: Annotated[
        Path, typer.Argument(metavar="WAV", help="A 16 kHz mono recording (WAV or FLAC).")
    ],
    network: NetworkFile = None,
    best: Best = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the golden model, bit for bit.")
    ] = False,
    gain: Gain = 0.0,
    as_json: Json = False,
) -> None:
    """The phones of a recording, with their times, by way of the board.

    The default network is the shipped one. It is loaded unless the board has it already. Features
    are computed here, the network runs on the board, its logits come back and are decoded here.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 transcribe hello.wav --check`
    - `plosive host --port /dev/ttyUSB0 --baud 115200 transcribe hello.wav --best`
    - `plosive host --port sim:ulx3s transcribe hello.wav --network mine.safetensors --json`
    """
    from flows.host import speech

    held = _labelled(network)
    with _device(context) as (device, progress, clock):
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
        print_json(figures)
        return
    from flows.cli import tables

    screen = console()
    screen.print(tables.phone_table(figures["phones"]))
    screen.print(" ".join(phone["phone"] for phone in figures["phones"]))
    if check:
        typer.echo(
            f"{figures['values_compared']:,} values of {figures['frames']} frames, all equal to "
            "the golden model's"
        )
    note_level(figures["level_db"], gain)


@host.command()
def stream(
    context: typer.Context,
    network: NetworkFile = None,
    stdin: Annotated[
        bool,
        typer.Option("--stdin", help="Raw samples from standard input: 16 kHz, mono, s16le."),
    ] = False,
    best: Best = False,
    gain: Gain = 0.0,
    as_json: Json = False,
) -> None:
    """Phones of the microphone as they come, until Ctrl-C; or of samples on standard input.

    The microphone is recorded with `arecord`. A phone is printed once it is 0.4 s old. With --json
    each phone is a line.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 stream`
    - `plosive host --port /dev/ttyUSB0 --baud 115200 stream --best`
    - `plosive host --port sim:ulx3s stream --stdin < samples.raw`
    """
    from flows.host import speech
    from flows.host.samples import from_microphone, from_stdin

    held = _labelled(network)
    figures: dict[str, Any] = {}
    with _device(context, shown=False) as (device, _, _):  # a spinner would be in the phones' way
        device.prepare(held)
        with from_stdin() if stdin else from_microphone() as chunks:
            say("listening; Ctrl-C ends it" if not stdin else "listening")
            for phone in speech.stream(device, held, chunks, gain=gain, best=best, figures=figures):
                text = json.dumps(phone) if as_json else phone["phone"]
                print(text, end="\n" if as_json else " ", flush=True)
    if as_json:
        print(json.dumps(figures))
        return
    print()
    rate = figures["frames_per_s"]
    say(f"{figures['frames']} frames" + (f"; the line carries {rate:g} a second" if rate else ""))
    if rate and rate < 100:
        say("note: that is less than the 100 of real time: raise --baud, or take --best")


@host.command()
def counters(
    context: typer.Context,
    clear: Annotated[bool, typer.Option("--clear", help="Set them to 0 afterwards.")] = False,
    as_json: Json = False,
) -> None:
    """The performance counters since the last utterance began.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 counters`
    - `plosive host --port /dev/ttyUSB0 counters --clear --json`
    """
    with _device(context) as (device, _, _):
        figures = device.counters()
        if clear:
            device.clear_counters()
    if as_json:
        print_json(figures)
        return
    _facts("Counters", {name.replace("_", " "): f"{n:,}" for name, n in figures.items()})


@host.command()
def link(
    context: typer.Context,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=0, help="At each speed.")
    ] = 1.0,
    speeds: Annotated[
        list[int] | None,
        typer.Option("--speed", metavar="N", min=1200, help="Try this one. May be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Loopback: random packets to the board and back, errors at each speed, and the best one.

    The best speed is that which carries most, repeats included. Where no packet was lost, the bit
    error rate is below the figure shown, with 95 % confidence.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 link`
    - `plosive host --port /dev/ttyUSB0 link --seconds 60 --speed 2000000 --speed 3000000`
    - `plosive host --port sim:tiny link --json`
    """
    from flows.host.link_quality import SPEEDS, best_speed

    with _connection(context) as (connection, progress):
        best, qualities = best_speed(connection.link, speeds or SPEEDS, seconds, progress=progress)
    figures = {"best_baud": best, "speeds": [quality.to_dict() for quality in qualities]}
    if as_json:
        print_json(figures)
        return
    from flows.cli import tables

    console().print(tables.link_table(figures))
    typer.echo(f"use --baud {best}")


@host.command()
def bench(
    context: typer.Context,
    frames: Annotated[
        int, typer.Option("--frames", metavar="N", min=1, help="Frames of random features.")
    ] = 48,
    best: Annotated[
        bool | None,
        typer.Option("--best/--logits", help="Only the best classes, or only logits; else both."),
    ] = None,
    speeds: Annotated[
        list[int] | None,
        typer.Option(
            "--speed", metavar="N", min=1200, help="Measure at this one. May be repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Frames a second: features to the board, results back, and compared with the golden model.

    Speech has 100 frames a second. On a simulated board a second column is in the board's own
    time: what the line and the machine take. What network the board had is gone afterwards.

    **Examples**

    - `plosive host --port /dev/ttyUSB0 bench`
    - `plosive host --port sim:ulx3s bench --best --speed 115200`
    - `plosive host --port sim:ulx3s bench --logits --speed 3000000 --json`
    """
    from flows.host.link import LinkError
    from flows.host.throughput import throughput
    from golden_model import Network

    with _device(context) as (device, progress, clock):
        network = Network.random(device.config, 1)
        device.load(network, progress)
        # Without being asked for, what the board has.
        kinds = (best,) if best is not None else (True, False)[not device.identity.best :]
        figures = []
        for speed in speeds or [device.link.baud]:
            if not device.link.set_baud(speed):
                raise LinkError(f"{device.link.name}: the line does not carry {speed} baud")
            figures += [
                throughput(
                    device, network, best=kind, frames=frames, clock=clock, progress=progress
                )
                for kind in kinds
            ]
    if as_json:
        print_json({"throughput": figures})
        return
    from flows.cli import tables

    console().print(tables.throughput_table(figures))


@host.command()
def simulate(
    context: typer.Context,
    board: Annotated[
        str, typer.Argument(metavar="BOARD", help="PRESET, BOARD or BOARD:PRESET, as ulx3s.")
    ],
    as_json: Json = False,
) -> None:
    """Run a simulated board until Ctrl-C, and print the port that it is at.

    Use that port from another terminal as that of a real board. Answers take longer than those of
    a real one: give `--timeout 20`.

    **Examples**

    - `plosive host simulate ulx3s`
    - `plosive host simulate ulx3s:speech`
    - `plosive host simulate tiny --json`
    """
    import signal

    from flows.host.ports import simulated_hardware
    from flows.host.simulated import SimulatedBoard, build_board
    from flows.progress import on_terminal

    hardware = simulated_hardware(board)
    with on_terminal() as progress:
        model = build_board(**hardware._asdict(), build_dir=context.obj.build, progress=progress)
    with SimulatedBoard(model, hardware.clock_hz) as running:
        if as_json:
            print(json.dumps({"port": running.terminal}), flush=True)
        else:
            print(running.terminal, flush=True)
        # A program in the background of a script ignores Ctrl-C, unless it says otherwise.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        try:
            running.wait()
        except KeyboardInterrupt:
            say(f"unplugged after {running.seconds:.3f} s of its time")


# ---- what the commands share -----------------------------------------------------------------


@contextmanager
def _connection(context: typer.Context, shown: bool = True) -> Iterator[tuple[Any, Any]]:
    """The connection, and where to tell progress: nowhere unless it is shown."""
    from flows.host.ports import connect
    from flows.progress import on_terminal, silent

    chosen: _Options = context.obj
    if chosen.port is None:
        raise PlosiveError(
            "no --port is given: it is a serial port, as /dev/ttyUSB0, or sim:NAME, as sim:tiny"
        )
    with (
        on_terminal() if shown else nullcontext(silent) as progress,
        connect(
            chosen.port,
            chosen.baud,
            timeout_s=chosen.timeout,
            build_dir=chosen.build,
            progress=progress,
        ) as connection,
    ):
        if connection.link.statistics.speed_losses:
            say(f"note: the line does not carry that speed; it is at {connection.link.baud} baud")
        yield connection, progress


@contextmanager
def _device(context: typer.Context, shown: bool = True) -> Iterator[tuple[Any, Any, Any]]:
    """The device, where to tell progress, and the clock of a simulated board or None."""
    from flows.host.device import Device

    with _connection(context, shown) as (connection, progress):
        board = connection.board
        clock = None if board is None else lambda: board.seconds
        yield Device(connection.link), progress, clock


def _labelled(network: Path | None) -> Any:
    """The network of a file, or the shipped one, which must have labels."""
    from flows.inputs import default_network
    from flows.speech.transcribe import check_header
    from golden_model import Network

    held = Network.load(network if network is not None else default_network())
    check_header(held)
    return held


def _facts(title: str, facts: dict[str, Any]) -> None:
    from flows.cli import tables

    console().print(tables.facts_table(title, facts))
