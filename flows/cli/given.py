# SPDX-License-Identifier: Apache-2.0
"""What the flows take, made of a command's options: a network, features, a netlist."""

from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.options import MemoryGoal, Process, Top
from hw.errors import PlosiveError

if TYPE_CHECKING:
    import numpy as np

    from flows.asic.synthesis import Netlist
    from golden_model import Network
    from hw.config import AcceleratorConfig

__all__ = ["DEFAULT_FRAMES", "features_of", "mapped", "network_of"]

DEFAULT_FRAMES = 20
"""Frames of random features, where neither a recording nor their number is given."""


def network_of(
    machine: "AcceleratorConfig | None", file: Path | None, seed: int | None
) -> "Network":
    """The network of `--network`, for any machine if it is None, or of `--random`.

    Raises
    ------
    PlosiveError
        Neither or both were given.
    NetworkError
        The network is for other hardware.
    """
    from golden_model import Network

    if (file is None) == (seed is None):
        raise PlosiveError(
            "give either --network FILE or --random SEED: one of them is the network"
        )
    return Network.load(file, machine) if file is not None else Network.random(machine, seed)


def features_of(
    machine: "AcceleratorConfig",
    network: "Network",
    audio: Path | None,
    frames: int | None,
    seed: int,
) -> "np.ndarray":
    """The features of `--audio` or `--frames`, int8 [frames, n_input]; a few without either.

    Raises
    ------
    PlosiveError
        Both were given, or the recording does not fit the hardware.
    AudioError
        The recording cannot be used.
    """
    from flows.inputs import audio_features, fitting_features
    from golden_model import random_features

    if audio is not None and frames is not None:
        raise PlosiveError("give either --audio WAV or --frames N: one of them is the input")
    if audio is None:
        return random_features(machine, DEFAULT_FRAMES if frames is None else frames, seed)
    return fitting_features(machine, audio_features(audio, network.header))


def mapped(
    machine: "AcceleratorConfig",
    network: Path | None,
    *,
    pdk: Process,
    pdk_root: Path | None,
    top: Top = Top.core,
    bake: bool = False,
    clock_gating: bool,
    memory_goal: MemoryGoal,
    build: Path,
    tool: str | None = None,
) -> "Netlist":
    """The netlist of a configuration for a process.

    Parameters
    ----------
    tool
        A tool that is needed later, looked for before minutes of synthesis.

    Raises
    ------
    PlosiveError
        A tool or the PDK is missing, or synthesis fails.
    NetworkError
        The network is for other hardware.
    """
    from flows.asic.pdk import find_pdk
    from flows.asic.synthesis import synthesize
    from flows.progress import on_terminal
    from flows.tools import toolchain
    from golden_model import Network

    found = find_pdk(pdk.value, pdk_root)
    if tool is not None:
        toolchain.find(tool)
    held = Network.load(network, machine) if network is not None else None
    with on_terminal() as progress:
        return synthesize(
            machine,
            found,
            top=top.value,
            network=held,
            bake=bake,
            clock_gating=clock_gating,
            memory_goal=memory_goal.value,
            build_dir=build,
            progress=progress,
        )
