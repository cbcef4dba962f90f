# SPDX-License-Identifier: Apache-2.0
"""The Verilog of a network, its simulation, and its cycles."""

import os
from pathlib import Path
from typing import Literal

import numpy as np

from flows.figures import Hashes
from flows.simulation.cycles import FrameFigures, measured_figures
from flows.simulation.figures import SimulationFigures
from flows.simulation.simulate import cosimulate
from flows.verilog import generate as verilog
from flows.verilog.generate import Generated
from golden_model import Network
from hw.config import AcceleratorConfig
from plosive.networks import checked

__all__ = ["BUILD", "Machine", "cycles", "generate", "hardware_of", "simulate"]

BUILD = "build"
"""Folder of simulation models, netlists and logs, unless another is given."""

Machine = Network | AcceleratorConfig
"""Hardware: that of a network, or a configuration alone."""


def hardware_of(machine: Machine) -> tuple[AcceleratorConfig, Network | None]:
    """The configuration, and the network if one was given."""
    return (machine.config, machine) if isinstance(machine, Network) else (machine, None)


def generate(
    machine: Machine,
    folder: str | os.PathLike[str],
    *,
    top: Literal["core", "axi"] = "core",
    bake: bool = False,
    best: int = 0,
    testbench: bool = False,
) -> Generated:
    """Write the Verilog of an accelerator, as `plosive generate` does.

    Parameters
    ----------
    machine
        A network, whose weights become the initial contents of the memories, or a configuration.
    folder
        The output folder: new, empty, or from an earlier run, whose files are replaced.
    top
        "core", or "axi" for an IP with AXI4-Lite registers, AXI4-Stream ports and a C driver.
    bake
        Make the network constants: ROMs in place of a weight port.
    best
        Entries of the list of best classes that the "axi" top gives with each frame.
    testbench
        Also write a self-checking Verilog test bench for any simulator.

    Returns
    -------
    Generated
        The folder, the names of its files, and the content of `plosive.json`.

    Raises
    ------
    PlosiveError
        The folder holds other files or cannot be written, or the options contradict each other.
    """
    config, network = hardware_of(machine)
    return verilog.generate(
        config, folder, top=top, network=network, bake=bake, best=best, bench=testbench
    )


def simulate(
    network: Network,
    features: np.ndarray,
    *,
    check: Literal["trace", "outputs"] = "trace",
    waves: bool = False,
    seed: int = 1,
    build: str | os.PathLike[str] = BUILD,
) -> SimulationFigures:
    """Run the Verilog and compare it with the golden model, as `plosive simulate` does.

    Parameters
    ----------
    network
        The network; its `config` is the hardware.
    features
        One utterance, integers of the range of int8, [frames, n_input].
    check
        "trace" compares every register at every clock edge, "outputs" only the logits. The counters
        are compared with the cycle laws in both.
    waves
        Write a waveform of the whole run.
    seed
        Seed of the random power-up state.
    build
        Folder of models, logs and waveforms. Models in it are used again.

    Returns
    -------
    SimulationFigures
        `passed` says whether nothing differed, and `messages` what did. The logits, which are then
        the same in hardware and model, are those of `network.run(features)`.

    Raises
    ------
    FeaturesError
        The features do not fit the network.
    PlosiveError
        A tool is missing, the folder cannot be written, or the simulation broke off.
    """
    return cosimulate(
        network.config,
        network,
        checked(network, features),
        build_dir=Path(build),
        check=check,
        waves=waves,
        seed=seed,
    ).figures


def cycles(network: Network, features: np.ndarray) -> FrameFigures:
    """Cycles, memory traffic and latency by the cycle laws, as `plosive cycles` gives them.

    It takes no simulation. The laws equal the hardware's counters, which `simulate` compares.

    Parameters
    ----------
    network
        The network; its `config` is the hardware.
    features
        One utterance, integers of the range of int8, [frames, n_input].

    Returns
    -------
    FrameFigures
        Among others `cycles.cycles_per_frame.mean`, `cycles.phases`, `latency` and `sparsity`.

    Raises
    ------
    FeaturesError
        The features do not fit the network.
    """
    config = network.config
    return measured_figures(config, network, checked(network, features), Hashes.of(config))
