# SPDX-License-Identifier: Apache-2.0
"""Whether a readout of changes would pay: rows that it saves against a memory of logits.

Such a readout adds only the rows of neurons whose number of spikes has changed since the readout
before, to logits that it keeps. It reads fewer weight rows, and must read and write all logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from flows.asic.pdk import Macro, find_pdk
from flows.asic.sram import Goal, tile
from flows.inputs import network_file
from flows.rates import FRAMES_PER_S
from golden_model import Network
from hw.config import AcceleratorConfig
from hw.schedule import MemoryShape
from model_zoo import data
from model_zoo.scoring import evaluate
from model_zoo.speech.features import Normalisation, append_delay
from model_zoo.studies import command

__all__ = ["Counted", "Energy", "counted", "energy", "main"]


@dataclass(frozen=True)
class Counted:
    """Inputs of the readout, means over the readouts of all utterances.

    Attributes
    ----------
    readouts
        How many there were.
    spiking
        Neurons that spike in any time step: what the readout reads today.
    changed
        Neurons whose number of spikes is another than at the readout before; at an utterance's
        first readout, those that spike.
    """

    readouts: int
    spiking: float
    changed: float


@dataclass(frozen=True)
class Energy:
    """What a readout of changes saves and costs, pJ a readout.

    Attributes
    ----------
    rows_saved
        Weight rows a readout.
    rows_pj
        Energy of reading them.
    access_pj
        Energy of reading and writing all logits.
    leakage_pj
        What the memory of logits leaks from one readout to the next, in real time.
    area_um2
        Area of the memory of logits.
    """

    rows_saved: float
    rows_pj: float
    access_pj: float
    leakage_pj: float
    area_um2: float

    @property
    def gain_pj(self) -> float:
        """What is left; negative where the readout of changes costs more than it saves."""
        return self.rows_pj - self.access_pj - self.leakage_pj


def counted(config: AcceleratorConfig, spikes: Sequence[np.ndarray]) -> Counted:
    """Count the readout's inputs.

    Parameters
    ----------
    config
        Says which frames are read out.
    spikes
        Of the last layer, [frames, T, n] per utterance.
    """
    readouts = spiking = changed = 0
    for fired in spikes:
        merged = fired[:: config.readout_every].sum(axis=1, dtype=np.int64)
        readouts += len(merged)
        spiking += int(np.count_nonzero(merged))
        changed += int(np.count_nonzero(np.diff(merged, axis=0, prepend=0)))
    return Counted(readouts, spiking / readouts, changed / readouts)


def energy(
    config: AcceleratorConfig,
    inputs: Counted,
    macros: Sequence[Macro],
    goal: Goal = "area",
    slices: int = 1,
) -> Energy:
    """The energy of both memories, from the macros that each is made of.

    Parameters
    ----------
    config
        Its readout's weights are in two banks.
    inputs
        See `counted`.
    macros
        What the PDK offers.
    goal
        How macros are chosen, see `sram.tile`.
    slices
        Rows of the memory of logits that hold the logits of one tile: 1 is as wide as the
        accumulators of all lanes, more take fewer macros and more cycles.
    """
    tiles = config.output_tiles
    bank = -(-config.hidden[-1] // 2) * tiles
    weights = tile(MemoryShape("weights", bank, config.row_bits, config.weight_bits), macros, goal)
    width = -(-config.lanes * config.acc_bits // slices)
    logits = tile(MemoryShape("logits", max(2, tiles * slices), width, width), macros, goal)
    saved = tiles * (inputs.spiking - inputs.changed)
    period_s = config.readout_every / FRAMES_PER_S
    access = tiles * slices * (logits.read_energy + logits.write_energy)
    return Energy(
        rows_saved=saved,
        rows_pj=saved * weights.read_energy * 1e12,
        access_pj=access * 1e12,
        leakage_pj=logits.leakage * period_s * 1e12,
        area_um2=logits.area,
    )


def main(
    networks: Annotated[list[str], typer.Argument(help="Networks of the zoo, or files.")],
    corpus: Annotated[str, typer.Option(help="Its test part is run.")] = "timit-sample",
    pdk: Annotated[str, typer.Option(help="Process with SRAM macros.")] = "ihp-sg13g2",
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data sets (or PLOSIVE_DATA).")
    ] = None,
) -> None:
    """What a readout of changes saves and costs, on the spikes of real speech."""
    console = Console(markup=False, soft_wrap=True)
    macros = find_pdk(pdk).macros
    utterances = [u for u in data.read(corpus, data_folder) if u.split == "test"]
    sentences = evaluate.sentences(utterances, progress=False)
    table = Table(
        *("network", "macros for", "slices", "rows saved", "nJ saved", "nJ of access"),
        *("nJ leaked", "gain, nJ", "mm2 more"),
        title="Readout of changes, per readout",
    )
    for name in networks:
        network = Network.load(network_file(name))
        header, config = network.header, network.config
        gain = evaluate.find_gain(header, corpus, [s.log_mel for s in sentences])
        normalise = Normalisation.from_header(header)
        spikes = [
            network.run(append_delay(normalise(gain(s.log_mel)), header)).spikes[-1]
            for s in sentences
        ]
        inputs = counted(config, spikes)
        console.print(
            f"{name}: {inputs.readouts:,} readouts; {inputs.spiking:.1f} neurons spike, "
            f"{inputs.changed:.1f} change"
        )
        for goal in ("area", "energy"):
            for slices in (1, 3):
                found = energy(config, inputs, macros, goal, slices)
                nano = (found.rows_pj, found.access_pj, found.leakage_pj, found.gain_pj)
                cells = [f"{value / 1000:.1f}" for value in nano]
                area = f"{found.area_um2 / 1e6:.2f}"
                table.add_row(name, goal, str(slices), f"{found.rows_saved:.1f}", *cells, area)
    console.print(table)


if __name__ == "__main__":
    command.run(main)
