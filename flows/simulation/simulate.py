# SPDX-License-Identifier: Apache-2.0
"""`plosive simulate`: the Verilog against the golden model, and every figure of the run."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flows.progress import Progress, silent
from flows.simulation.figures import (
    Latency,
    SimulationFigures,
    cycle_figures,
    laws_counters,
    silent_layers,
    sparsity,
)
from flows.simulation.run import CoreModel, Simulation, build_core, network_digest, simulate
from golden_model import FrameLatency, Network, cycle_laws, latency
from hw.config import AcceleratorConfig

__all__ = ["Cosimulation", "cosimulate"]


@dataclass
class Cosimulation:
    """A run and its figures.

    Attributes
    ----------
    passed
        Whether nothing differed: state, outputs, counters and latency.
    messages
        What differed first, one line each.
    figures
        What was compared, and what the run shows.
    simulation
        What the bench reported.
    """

    passed: bool
    messages: list[str]
    figures: SimulationFigures
    simulation: Simulation = field(repr=False)


def cosimulate(
    config: AcceleratorConfig,
    network: Network,
    features: np.ndarray,
    *,
    build_dir: Path,
    check: str = "trace",
    waves: bool = False,
    seed: int = 1,
    keep_logits: bool = False,
    netlist: CoreModel | None = None,
    progress: Progress = silent,
) -> Cosimulation:
    """Run features through the generated Verilog and compare with the golden model.

    Parameters
    ----------
    config
        The hardware.
    network
        Loaded through the weight port.
    features
        int8 [frames, n_input], one utterance.
    build_dir
        Folder of Verilog, models and waveforms.
    check
        "trace": all state at every clock edge; "outputs": the logits stream. The counters are
        compared with the cycle laws in both.
    waves
        Write a waveform of the whole run. Without it, a run that differs is repeated with one.
    keep_logits
        Keep the hardware's logits in `simulation.logits`.
    netlist
        The model of a netlist (`flows.asic.gate_level.build_netlist`) in place of the Verilog; only
        its outputs are visible, and a run that differs is not repeated.

    Raises
    ------
    PlosiveError
        A tool is missing, the folder cannot be written, the simulation broke off.
    NetworkError
        The network is for other shapes or formats than the hardware.
    """
    asked, config = config, config.replace(trace=check == "trace")
    network = network.on(config)
    model = netlist or _build(config, build_dir, waves, progress)
    stem = _stem(model, network, seed)
    waves_path = _waves_path(model, build_dir, stem) if waves else None
    progress(f"simulating {len(features)} frames")
    simulation = simulate(
        model,
        network,
        features,
        check=check,
        seed=seed,
        keep_logits=keep_logits,
        waves_path=waves_path,
        log_path=build_dir / "logs" / f"{stem}.log",
    )
    messages = list(simulation.messages)
    if messages and not waves and netlist is None:
        waves_path, repeated = _repeat_with_waves(
            config, network, features, build_dir, seed, progress
        )
        messages = repeated or messages
    laws = cycle_laws(config, features, simulation.result.spikes)
    expected = laws_counters(laws, config)
    measured = _latency(config, simulation)
    alone = latency(config, network, features[:1])[0]
    messages += _differences(simulation.counters, expected, measured, alone)
    figures = SimulationFigures(
        passed=not messages,
        check=check,
        frames=simulation.frames,
        clocks=simulation.clocks,
        compared_clocks=simulation.compared_clocks,
        compared_bits=simulation.compared_bits,
        compared_beats=simulation.compared_beats,
        mismatches=simulation.mismatches,
        messages=messages,
        warnings=silent_layers(simulation.result.spikes),
        cycles=cycle_figures(laws),
        counters=simulation.counters,
        counters_by_laws=expected,
        counters_equal=simulation.counters == expected,
        latency=measured,
        sparsity=sparsity(features, simulation.result.spikes),
        wall_s=round(simulation.wall_s, 3),
        clocks_per_s=round(simulation.clocks / simulation.wall_s),
        seed=seed,
        configuration_hash=asked.config_hash,
        network_hash=asked.network_hash,
        waves=str(waves_path) if waves_path is not None else None,
    )
    return Cosimulation(not messages, messages, figures, simulation)


def _build(
    config: AcceleratorConfig, build_dir: Path, waves: bool, progress: Progress
) -> CoreModel:
    progress("generating and building the simulation model (the first time takes longest)")
    return build_core(config, build_dir, waves=waves)


def _stem(model: CoreModel, network: Network, seed: int) -> str:
    """Name of a run's log and waveform, by which runs of different networks do not collide."""
    return f"{model.simulation.directory.name}-{network_digest(network)[:8]}-{seed}"


def _waves_path(model: CoreModel, build_dir: Path, stem: str) -> Path:
    return (build_dir / "waves" / f"{stem}.{model.simulation.waves}").resolve()


def _repeat_with_waves(
    config: AcceleratorConfig,
    network: Network,
    features: np.ndarray,
    build_dir: Path,
    seed: int,
    progress: Progress,
) -> tuple[Path, list[str]]:
    """The run again with all state compared, up to the first difference: waveform and lines."""
    config = config.replace(trace=True)
    progress("something differs: building a model with waveforms to show it")
    model = build_core(config, build_dir, waves=True)
    network = network.on(config)
    waves_path = _waves_path(model, build_dir, _stem(model, network, seed))
    progress("repeating the run with waveforms")
    repeated = simulate(model, network, features, check="trace", seed=seed, waves_path=waves_path)
    return waves_path, repeated.messages


def _differences(
    counters: dict[str, int],
    expected: dict[str, int],
    measured: dict[str, Latency],
    alone: FrameLatency,
) -> list[str]:
    """Where counters, and the latency of the first frame, are not as the laws say."""
    found = [
        f"counter {name}: expected {expected[name]}, got {value}"
        for name, value in counters.items()
        if value != expected[name]
    ]
    for name, value in (("first_logit", alone.first), ("last_logit", alone.last)):
        if measured and measured[name].frame_0 != value:
            found.append(
                f"latency of frame 0, {name}: expected {value}, got {measured[name].frame_0}"
            )
    return found


def _latency(config: AcceleratorConfig, simulation: Simulation) -> dict[str, Latency]:
    """Clocks from the edge that takes a frame's last feature to its logits' edges.

    Features come as fast as the machine takes them, so a frame also waits for the one before;
    `frame_0` met an idle machine.
    """
    timing = simulation.timing
    taken = timing["frame_in"][:: config.readout_every]
    figures = {}
    for name in ("first_logit", "last_logit"):
        clocks = np.subtract(timing[name], taken[: len(timing[name])])
        if not len(clocks):
            return {}
        figures[name] = Latency(
            frame_0=int(clocks[0]), mean=float(clocks.mean()), max=int(clocks.max())
        )
    return figures
