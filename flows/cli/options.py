# SPDX-License-Identifier: Apache-2.0
"""Options that several commands take, and the choices of their values."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hw.config import PRESETS

__all__ = [
    "BAUD",
    "BUILD",
    "FRAMES",
    "SEED",
    "ZOO_BUILD",
    "Audio",
    "Bake",
    "Broken",
    "BrokenOption",
    "BuildFolder",
    "Changes",
    "ClockGating",
    "ConfigFile",
    "DataFolder",
    "FeatureSeed",
    "Frames",
    "Gain",
    "Json",
    "MacroGoal",
    "MemoryGoal",
    "NetworkFile",
    "NetworkFiles",
    "PdkRoot",
    "Preset",
    "Process",
    "ProcessName",
    "RandomSeed",
    "Recording",
    "Top",
    "ZooBuild",
    "decibels",
    "number",
]

BUILD = Path("build")
"""Default build folder."""

ZOO_BUILD = Path("build/model_zoo")
"""Default build folder of training and evaluation."""


class Broken(StrEnum):
    """How to handle unusable recordings."""

    refuse = "refuse"
    skip = "skip"


class MemoryGoal(StrEnum):
    """What the choice of SRAM macros minimises."""

    area = "area"
    energy = "energy"


class Process(StrEnum):
    """What the Verilog is mapped to."""

    ihp = "ihp-sg13g2"
    sky130 = "sky130A"
    generic = "generic"


class Top(StrEnum):
    """What is synthesised."""

    core = "core"
    axi = "axi"
    board = "board"


def number(least: float, most: float) -> Callable[[str | float], float]:
    """The parser of an option that is a number of a range: `float` alone also takes nan and inf."""

    def parse(text: str | float) -> float:
        try:
            value = float(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a number") from None
        if not least <= value <= most:  # also for nan, which is neither less nor more
            raise typer.BadParameter(f"{value!r} is not a number from {least:g} to {most:g}")
        return value

    return parse


decibels = number(-200, 200)
"""The parser of gains and of signal-to-noise ratios."""

# What integers may be, as arguments of `typer.Option`.
FRAMES = {"min": 1, "max": 1_000_000}  # nearly 3 hours of speech; all are in memory at once
SEED = {"min": 0, "max": 2**32 - 1}
BAUD = {"min": 1200, "max": 100_000_000}


def _network_file(name: Path | None) -> Path | None:
    from flows.inputs import network_file

    return None if name is None else network_file(name)


def _network_files(names: list[Path] | None) -> list[Path]:
    return [_network_file(name) for name in names or ()]


def _presets(start: str) -> list[str]:
    """For the shell's completion."""
    return [name for name in PRESETS if name.startswith(start)]


def _networks(start: str) -> list[str]:
    """For the shell's completion, which adds files by itself."""
    from model_zoo import zoo

    return [name for name in zoo.names() if name.startswith(start)]


Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON and nothing else.")]
BuildFolder = Annotated[
    Path, typer.Option("--build", metavar="DIR", help="Folder for models, logs and waveforms.")
]
ZooBuild = Annotated[
    Path,
    typer.Option(
        "--build", metavar="DIR", help="Folder that caches features and other slow results."
    ),
]

Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        autocompletion=_presets,
        help=f"Named hardware: {', '.join(PRESETS)}.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Hardware as JSON: configuration fields, or a plosive.json.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Override a configuration field, for example lanes=64. May be repeated.",
    ),
]

NetworkFile = Annotated[
    Path | None,
    typer.Option(
        "--network",
        metavar="FILE",
        callback=_network_file,
        autocompletion=_networks,
        help="Trained network: a .safetensors file, or a name listed by `plosive networks`.",
    ),
]
NetworkFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--network",
        metavar="FILE",
        callback=_network_files,
        autocompletion=_networks,
        help="Trained network: a .safetensors file, or a name listed by `plosive networks`. With "
        "--beside it may be repeated.",
    ),
]
RandomSeed = Annotated[
    int | None,
    typer.Option("--random", metavar="SEED", **SEED, help="Use a random network with this seed."),
]
Audio = Annotated[
    Path | None,
    typer.Option("--audio", metavar="WAV", help="A 16 kHz mono recording (WAV or FLAC)."),
]
Recording = Annotated[
    Path, typer.Argument(metavar="WAV", help="A 16 kHz mono recording (WAV or FLAC).")
]
Frames = Annotated[
    int | None,
    typer.Option(
        "--frames",
        metavar="N",
        **FRAMES,
        help="Run N frames of random features. Default without --audio: 20.",
    ),
]
FeatureSeed = Annotated[int, typer.Option("--seed", **SEED, help="Seed of the random features.")]
Gain = Annotated[
    float,
    typer.Option(
        "--gain",
        metavar="DB",
        parser=decibels,
        help="Gain applied to the recording; networks are sensitive to its level.",
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the data sets (default: PLOSIVE_DATA)."),
]
BrokenOption = Annotated[
    Broken, typer.Option("--broken", help="How to handle unusable recordings.")
]

ProcessName = Annotated[
    Process,
    typer.Option("--pdk", help="Target process; `generic` counts gates and needs no PDK files."),
]
PdkRoot = Annotated[
    Path | None,
    typer.Option("--pdk-root", metavar="DIR", help="Folder of the PDKs (default: PDK_ROOT)."),
]
Bake = Annotated[
    bool,
    typer.Option(
        "--bake", help="Build the network in as constants: ROMs instead of a weight port."
    ),
]
ClockGating = Annotated[
    bool, typer.Option("--clock-gating/--no-clock-gating", help="Insert clock gates.")
]
MacroGoal = Annotated[
    MemoryGoal,
    typer.Option("--memory-goal", help="Choose SRAM macros for least area or least read energy."),
]
