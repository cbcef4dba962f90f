# SPDX-License-Identifier: Apache-2.0
"""What an accelerator costs in an open process: area, maximum clock, energy and power."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from flows.asic.area import AreaFigures, area_figures
from flows.asic.pdk import find_pdk
from flows.asic.power import check_power, power_figures
from flows.asic.power_figures import PowerFigures
from flows.asic.synthesis import Netlist, synthesize
from flows.asic.timing import TimingFigures, timing_figures
from flows.figures import Hashes
from flows.tools import toolchain
from golden_model import Network
from plosive.machine import BUILD, Machine, hardware_of
from plosive.networks import checked

__all__ = ["area", "power", "timing"]

_IHP = "ihp-sg13g2"
_STA = "sta"


def area(
    machine: Machine,
    *,
    pdk: str = _IHP,
    pdk_root: str | os.PathLike[str] | None = None,
    top: Literal["core", "axi", "board"] = "core",
    bake: bool = False,
    memory_goal: Literal["area", "energy"] = "area",
    build: str | os.PathLike[str] = BUILD,
) -> AreaFigures:
    """Synthesise an accelerator and give the area of each block, as `plosive area` does.

    Parameters
    ----------
    machine
        A network or a configuration.
    pdk
        "ihp-sg13g2", "sky130A", or "generic", which counts gates and needs no PDK files.
    pdk_root
        Folder of the PDKs; None for the one in the environment variable `PDK_ROOT`.
    top
        What is synthesised: the core alone, or with registers and AXI, or also a serial line.
    bake
        Make the network constants.
    memory_goal
        Whether SRAM macros are chosen for least area or for least energy of a read.
    build
        Folder of netlists. A netlist in it is used again.

    Returns
    -------
    AreaFigures
        Among others `total.logic_kge`, `total.um2`, `blocks` and `memories`.

    Raises
    ------
    PlosiveError
        A tool or the PDK is missing, `bake` was asked for without a network, or synthesis fails.
    """
    config, network = hardware_of(machine)
    netlist = synthesize(
        config,
        find_pdk(pdk, pdk_root),
        top=top,
        network=network,
        bake=bake,
        memory_goal=memory_goal,
        build_dir=Path(build),
    )
    return area_figures(netlist, of=Hashes.of(config))


def timing(
    machine: Machine,
    *,
    pdk: str = _IHP,
    pdk_root: str | os.PathLike[str] | None = None,
    build: str | os.PathLike[str] = BUILD,
) -> TimingFigures:
    """The maximum clock and the critical path, as `plosive timing` gives them.

    Parameters
    ----------
    machine
        A network or a configuration.
    pdk, pdk_root, build
        As for `area`; "generic" gates have no delays.

    Returns
    -------
    TimingFigures
        Among others `fmax_mhz` and `critical_path`.

    Raises
    ------
    PlosiveError
        OpenSTA or the PDK is missing, the gates have no delays, or synthesis fails.
    """
    config, _ = hardware_of(machine)
    return timing_figures(_netlist(machine, pdk, pdk_root, build), Hashes.of(config))


def power(
    network: Network,
    features: np.ndarray,
    *,
    warm_up: int = 10,
    clocks_hz: Sequence[float] | None = None,
    pdk: str = _IHP,
    pdk_root: str | os.PathLike[str] | None = None,
    build: str | os.PathLike[str] = BUILD,
) -> PowerFigures:
    """The energy of a frame and the power in real time, as `plosive power` estimates them.

    The netlist runs the features, and its outputs are compared with the golden model first.

    Parameters
    ----------
    network
        The network; its `config` is the hardware.
    features
        One utterance, integers of the range of int8, [frames, n_input].
    warm_up
        Frames at the beginning that are run but not counted.
    clocks_hz
        Clocks that run all the time, for which power is given too, Hz; None for the slowest that
        keeps up, 100 kHz and 1 MHz.
    pdk, pdk_root, build
        As for `area`; the process must have energies of its cells and SRAM macros.

    Returns
    -------
    PowerFigures
        Among others `energy_per_frame_nj.total` and `real_time.clock_stopped.total_uw`.

    Raises
    ------
    FeaturesError
        The features do not fit the network.
    PlosiveError
        OpenSTA or the PDK is missing, a clock is too slow, or the netlist's outputs are wrong.
    """
    found = checked(network, features)
    check_power(find_pdk(pdk, pdk_root))
    return power_figures(
        _netlist(network, pdk, pdk_root, build),
        network,
        found,
        warm_up=warm_up,
        clocks_hz=clocks_hz,
        of=Hashes.of(network.config),
        build_dir=Path(build),
    )


def _netlist(
    machine: Machine,
    pdk: str,
    pdk_root: str | os.PathLike[str] | None,
    build: str | os.PathLike[str],
) -> Netlist:
    """The netlist of the core; OpenSTA is looked for before minutes of synthesis."""
    found = find_pdk(pdk, pdk_root)
    toolchain.find(_STA)
    return synthesize(hardware_of(machine)[0], found, build_dir=Path(build))
