# SPDX-License-Identifier: Apache-2.0
"""`plosive simulate --beside`: the same network and features on two machines, both checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.figures import Derived, Figures, inline
from flows.inputs import changed_fields
from flows.progress import Progress, silent
from flows.rates import FRAMES_PER_S
from flows.simulation.figures import SimulationFigures
from flows.simulation.simulate import cosimulate
from golden_model import Network, cycle_laws
from hw.config import NETWORK_FIELDS, AcceleratorConfig, preset
from hw.errors import PlosiveError
from model_zoo.scoring.costs import Operations, dense_mmac_per_s
from model_zoo.scoring.score import Outputs

__all__ = ["MachineFigures", "SideBySide", "other_machine", "shaped_for", "side_by_side"]


@dataclass(frozen=True, kw_only=True)
class MachineFigures(Figures):
    """A machine's run.

    Attributes
    ----------
    machine
        What the user calls it.
    configuration
        The machine, with the network's shape.
    simulation
        Its Verilog beside the golden model. The cycles by part are those of the laws, whose sum
        over the frames is compared with the hardware's counter.
    mmac_per_s
        Accumulations as this machine adds them up, in millions per second of speech, counted as
        the reference counts its 13.86: without weights that are zero.
    mmac_per_s_enabled
        Those that its PEs do: of weights that are zero, too.
    """

    machine: str
    configuration: AcceleratorConfig
    simulation: SimulationFigures = inline()
    mmac_per_s: float
    mmac_per_s_enabled: float

    @property
    def cycles(self) -> float:
        """Mean cycles of a frame."""
        return self.simulation.cycles.cycles_per_frame.mean

    @Derived
    def rows(self) -> float:
        """Rows read from all weight memories in a frame."""
        return sum(self.simulation.cycles.row_reads.values())


@dataclass(frozen=True, kw_only=True)
class SideBySide(Figures):
    """A network on two machines.

    Attributes
    ----------
    network
        What the user calls it.
    frames
        Frames that both ran.
    mmac_per_s_dense
        Accumulations with nothing skipped, which the reference has 145.8 of.
    mmac_per_s
        Accumulations of the network itself, time steps apart in its hidden layers: the count of
        `plosive evaluate`.
    machine, beside
        The runs.
    """

    network: str
    frames: int
    mmac_per_s_dense: float
    mmac_per_s: float
    machine: MachineFigures
    beside: MachineFigures

    @property
    def passed(self) -> bool:
        """Whether nothing differed in either run."""
        return self.machine.simulation.passed and self.beside.simulation.passed

    @Derived
    def cycles_ratio(self) -> float:
        """Cycles of the machine per cycle of the other."""
        return self.machine.cycles / self.beside.cycles

    @Derived
    def rows_ratio(self) -> float:
        """Rows that the machine reads per row of the other."""
        return self.machine.rows / self.beside.rows


def shaped_for(
    config: AcceleratorConfig, network: Network, changes: Sequence[str] = ()
) -> AcceleratorConfig:
    """The machine with the shape, the formats and the frame subsampling of a network.

    The changes, `field=value` texts, come last: one that the network contradicts is not hidden.
    """
    shape = {name: getattr(network.config, name) for name in NETWORK_FIELDS}
    return config.replace(**(shape | changed_fields(changes)))


def other_machine(
    machine: AcceleratorConfig, words: Sequence[str], network: Network
) -> AcceleratorConfig:
    """What `--beside` names: a preset, fields that differ from the machine's, or both.

    Raises
    ------
    PlosiveError
        Two presets are named.
    ConfigError
        There is no such preset or field, or a value breaks its rule.
    """
    names = [word for word in words if "=" not in word]
    if len(names) > 1:
        raise PlosiveError(f"--beside names {' and '.join(names)}: it takes one preset")
    base = preset(names[0]) if names else machine
    return shaped_for(base, network, [word for word in words if "=" in word])


def side_by_side(
    name: str,
    network: Network,
    features: np.ndarray,
    machine: tuple[str, AcceleratorConfig],
    beside: tuple[str, AcceleratorConfig],
    *,
    build_dir: Path,
    check: str = "trace",
    seed: int = 1,
    progress: Progress = silent,
) -> SideBySide:
    """Run a network on two machines and compare each with the golden model.

    Parameters
    ----------
    name
        What the user calls the network.
    features
        int8 [frames, n_input], one utterance.
    machine, beside
        Name and configuration. The other parameters are those of `cosimulate`.

    Raises
    ------
    PlosiveError
        As `cosimulate`.
    NetworkError
        The network is for other shapes or formats than a machine.
    """
    runs = []
    for called, config in (machine, beside):
        held = network.on(config)
        run = cosimulate(
            *(config, held, features),
            build_dir=build_dir,
            check=check,
            seed=seed,
            progress=lambda line, called=called: progress(f"{name} on {called}: {line}"),
        )
        result = run.simulation.result
        outputs = Outputs(features, result.logits, result.spikes)
        enabled = cycle_laws(config, features, result.spikes).pe_operations.mean() * config.lanes
        runs.append(
            MachineFigures(
                machine=called,
                configuration=config,
                simulation=run.figures,
                mmac_per_s=_mmac_per_s(Operations.of(held, as_scheduled=True), outputs),
                mmac_per_s_enabled=float(enabled) * FRAMES_PER_S / 1e6,
            )
        )
    return SideBySide(
        network=name,
        frames=len(features),
        mmac_per_s_dense=dense_mmac_per_s(held.config),
        mmac_per_s=_mmac_per_s(Operations.of(network), outputs),
        machine=runs[0],
        beside=runs[1],
    )


def _mmac_per_s(operations: Operations, outputs: Outputs) -> float:
    operations.add(outputs)
    return operations.mmac_per_s()
