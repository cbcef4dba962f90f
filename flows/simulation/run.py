# SPDX-License-Identifier: Apache-2.0
"""Run a network on the generated Verilog in Verilator and compare with the golden model."""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flows.simulation.job import CoreJob
from flows.tools import verilator
from flows.verilog.contents import contents, weight_requests
from flows.verilog.writer import TOP, generator_hash, to_verilog
from golden_model import Network
from golden_model.files.writing import atomic_write, make_directory
from golden_model.network import Result
from hw.config import AcceleratorConfig
from hw.core.core import Core
from hw.core.counters import COUNTERS
from hw.errors import PlosiveError
from hw.schedule import Schedule

__all__ = ["CoreModel", "Simulation", "build_core", "network_digest", "simulate"]

# Clocks given before a run counts as hung, on top of what the frames can take at the worst.
_SLACK_CLOCKS = 20_000


@dataclass(frozen=True)
class CoreModel:
    """A core built into a simulation model.

    Attributes
    ----------
    config
        Configuration of the core; `trace` tells whether state can be compared.
    fields
        Places in the trace word: [name, offset, width, signed, shape].
    simulation
        The Verilator model.
    baked
        Whether the weights are constants.
    """

    config: AcceleratorConfig
    fields: list[list]
    simulation: verilator.SimModel
    baked: bool


@dataclass
class Simulation:
    """Figures of one run; `messages` is empty if everything agreed.

    Attributes
    ----------
    frames, clocks, compared_clocks, compared_bits, compared_beats, mismatches
        What ran and what was compared (bits of the trace; beats of the logits stream).
    counters
        The hardware's performance counters at the end.
    timing
        Clocks at which frames were complete in the feature buffer (`frame_in`), and at which the
        first and last logit beat of a frame left.
    wall_s
        Seconds of the comparison itself, without building and loading.
    logits
        What came out of the hardware, int64 [readouts, n_output], if it was asked for.
    """

    frames: int
    clocks: int
    compared_clocks: int
    compared_bits: int
    compared_beats: int
    mismatches: int
    messages: list[str]
    counters: dict[str, int]
    timing: dict[str, list[int]]
    wall_s: float
    result: Result = field(repr=False)
    logits: np.ndarray | None = field(default=None, repr=False)


def build_core(
    config: AcceleratorConfig,
    build_dir: Path,
    *,
    waves: bool = False,
    baked: Network | None = None,
) -> CoreModel:
    """Generate the Verilog of a configuration and build its simulation model, or find it built.

    Parameters
    ----------
    config
        Shape of the core.
    build_dir
        Folder of Verilog and models.
    waves
        Whether runs can write waveforms.
    baked
        Make the weights of this network constants.
    """
    make_directory(build_dir)
    held = contents(config, baked) if baked is not None else None
    key = _source_key(config, baked)
    source = build_dir / f"plosive-{key}.v"
    fields_path = build_dir / f"plosive-{key}.json"
    if not (source.is_file() and fields_path.is_file()):
        core = Core(config, held, bake=baked is not None)
        fields = [list(dataclasses.astuple(place)) for place in core.trace_fields]
        atomic_write(source, to_verilog(core).encode())
        atomic_write(fields_path, json.dumps(fields).encode())
    fields = json.loads(fields_path.read_text())
    simulation = verilator.build([source], TOP, build_dir, waves=waves)
    return CoreModel(config, fields, simulation, baked is not None)


def _source_key(config: AcceleratorConfig, baked: Network | None) -> str:
    """Name of a core: its configuration, its constants, and what generates the Verilog."""
    digest = hashlib.sha256(f"{config.config_hash} {generator_hash()}".encode())
    if baked is not None:
        digest.update(network_digest(baked).encode())
    return digest.hexdigest()[:16]


def network_digest(network: Network) -> str:
    """SHA-256 of all integers of a network, in hexadecimal digits."""
    digest = hashlib.sha256()
    for layer in network.layers:
        for values in dataclasses.astuple(layer):
            digest.update(np.asarray(values).tobytes() if values is not None else b"-")
        digest.update(f"{layer.decay_form} {layer.reset}".encode())
    digest.update(network.w_out.tobytes())
    return digest.hexdigest()


def simulate(
    model: CoreModel,
    network: Network,
    features: np.ndarray,
    *,
    check: str = "trace",
    starts: Sequence[int] = (0,),
    seed: int = 1,
    feature_pattern: dict | None = None,
    ready_pattern: dict | None = None,
    reset_at: int = -1,
    clear_at: int = -1,
    readback: bool = False,
    keep_logits: bool = False,
    log_path: Path | None = None,
    waves_path: Path | None = None,
    plusargs: Sequence[str] = (),
    timeout_s: float = 3600,
) -> Simulation:
    """Run features through a core and compare.

    Parameters
    ----------
    model
        A model that `build_core` made; with `check` "trace" its configuration has `trace` set.
    network
        Loaded through the weight port (a baked core has it already).
    features
        int8 [frames, n_input].
    check
        "trace": all state at every clock edge; "outputs": the logits stream only.
    starts
        First frames of the utterances.
    feature_pattern, ready_pattern
        When features are offered and logits taken; see `flows.simulation.job.Pattern`.
    reset_at, clear_at
        Clock of a reset, after which the features start again; of a counter clear; -1: none.
    readback
        Read all weights back before the run.
    keep_logits
        Return the logits that came out.
    waves_path
        Write a waveform of the whole run.
    plusargs
        See `flows.tools.verilator.SimModel.run`.
    """
    with tempfile.TemporaryDirectory(prefix="plosive-core-") as folder:
        work = Path(folder)
        job = CoreJob(
            config=model.config,
            network_path=str(work / "network.safetensors"),
            features_path=str(work / "features.npy"),
            words_path=str(work / "words.npy"),
            result_path=str(work / "result.json"),
            starts=list(starts),
            check=check,
            fields=model.fields,
            counter_names=list(COUNTERS),
            max_clocks=_max_clocks(model.config, len(features), feature_pattern, ready_pattern),
            feature_pattern=feature_pattern,
            ready_pattern=ready_pattern,
            reset_at=reset_at,
            clear_at=clear_at,
            readback=readback,
            logits_path=str(work / "logits.npy") if keep_logits else "",
            baked=model.baked,
        )
        network.save(job.network_path)
        np.save(job.features_path, features)
        if not model.baked:
            np.save(job.words_path, weight_requests(model.config, network))
        job_path = work / "job.json"
        job.write(job_path)
        run = model.simulation.run(
            "flows.simulation.bench",
            "core",
            env={"PLOSIVE_JOB": str(job_path)},
            seed=seed,
            timeout_s=timeout_s,
            log_path=log_path or work / "core.log",
            waves_path=waves_path,
            plusargs=plusargs,
        )
        result_path = Path(job.result_path)
        if not result_path.is_file():
            raise PlosiveError("\n".join(run.messages) or "the bench wrote no result")
        figures = json.loads(result_path.read_text())
        assert run.passed == (not figures["messages"]), run.messages
        logits = None
        if keep_logits and Path(job.logits_path).is_file():
            logits = np.load(job.logits_path)
        return Simulation(
            frames=len(features), result=network.run(features), logits=logits, **figures
        )


def _max_clocks(
    config: AcceleratorConfig, frames: int, feature_pattern: dict | None, ready_pattern: dict | None
) -> int:
    """A bound on the clocks of a run that is not hung."""
    schedule = Schedule(config)
    phases = sum(
        block.tiles * sum(max(1, 8 * p.dense_rows) for p in block.phases)
        for block in schedule.blocks
    )
    beats = sum(schedule.group_beats(group) for group in range(schedule.groups))
    feature_slowness = _slowness(feature_pattern)
    return _SLACK_CLOCKS + (frames + 2) * (
        phases + feature_slowness * config.n_input + _slowness(ready_pattern) * beats
    )


def _slowness(pattern: dict | None) -> int:
    """Clocks per beat at the worst."""
    return 1 if pattern is None else 1 + pattern["off"][1]
