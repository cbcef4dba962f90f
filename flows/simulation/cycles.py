# SPDX-License-Identifier: Apache-2.0
"""`plosive cycles`: cycles and traffic of a frame from the laws, beside the published figures."""

from dataclasses import asdict, dataclass

import numpy as np

from flows.figures import Figures, Hashes, inline, optional
from flows.simulation.figures import (
    PHASES,
    CycleFigures,
    CyclesPerFrame,
    Latency,
    Sparsity,
    cycle_figures,
    silent_layers,
    sparsity,
)
from golden_model import PUBLISHED, Densities, Network, cycle_laws, expected_cycles, latency
from hw.config import PRESETS, AcceleratorConfig
from hw.schedule import Fetch, PhaseKind, Schedule

__all__ = [
    "Difference",
    "FrameFigures",
    "InputDensities",
    "Published",
    "expected_figures",
    "measured_figures",
    "published_figures",
]

# arXiv 2503.21337, cycles per frame.
_PUBLISHED_TOTALS = {"paper-t2": 895, "paper-t2-unmerged": 1224, "paper-t1": 574}
_LATENCY_FRAMES = 20


@dataclass(frozen=True, kw_only=True)
class Difference(Figures):
    """A phase beside the reference's.

    Attributes
    ----------
    phase
        Name of the phase.
    published
        Cycles in the reference; None if it has no such phase.
    difference
        What it takes more here.
    why
        Reason for the difference.
    """

    phase: str
    published: float | None
    difference: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Published(Figures):
    """What the reference publishes for a shape.

    Attributes
    ----------
    preset
        The shape's name here.
    total
        Cycles of a frame.
    phases
        The total split by phase, see `published_figures`.
    differences
        Difference in each phase here.
    """

    preset: str
    total: int
    phases: dict[str, float]
    differences: list[Difference]


@dataclass(frozen=True, kw_only=True)
class InputDensities(Figures):
    """Shares of ones, as in `golden_model.Densities`."""

    input_bits: float
    spikes: float
    steps: float
    union: float


@dataclass(frozen=True, kw_only=True)
class FrameFigures(Figures):
    """Cycles and traffic of a frame from the laws, without a simulation.

    Attributes
    ----------
    of
        The hardware; None where the figures stand beside their configuration.
    frames
        How many were counted; None if expected, as are latency, sparsity and warnings.
    cycles
        Cycles and traffic.
    densities
        Assumed; None if counted.
    latency
        Latency of the "first_logit" and of the "last_logit", each frame taken alone.
    sparsity
        Shares of zeros in features and spikes.
    warnings
        What the frames cannot show, a line each.
    published
        The reference's; None for other shapes.
    """

    of: Hashes | None = inline(default=None)
    frames: int | None = optional()
    cycles: CycleFigures = inline()
    densities: InputDensities | None = optional()
    latency: dict[str, Latency] | None = optional()
    sparsity: Sparsity | None = optional()
    warnings: list[str] | None = optional()
    published: Published | None


def expected_figures(
    config: AcceleratorConfig, densities: Densities = PUBLISHED, of: Hashes | None = None
) -> FrameFigures:
    """Expected figures of a frame for independent bits and spikes of given densities."""
    cycles = expected_cycles(config, densities)
    reads, hidden_if = _expected_reads(config, densities)
    phases = {phase: getattr(cycles, phase) for phase in PHASES}
    return FrameFigures(
        of=of,
        cycles=CycleFigures(
            cycles_per_frame=CyclesPerFrame(
                mean=cycles.total, before_overhead=cycles.before_overhead
            ),
            phases=phases,
            row_reads=reads,
            hidden_row_reads_if=hidden_if,
        ),
        densities=InputDensities(**asdict(densities)),
        published=published_figures(config, phases),
    )


def measured_figures(
    config: AcceleratorConfig,
    network: Network,
    features: np.ndarray,
    of: Hashes | None = None,
) -> FrameFigures:
    """Figures of an utterance, counted by the laws from what the network computes.

    Parameters
    ----------
    config
        The hardware.
    network
        What runs on it.
    features
        int8 [frames, n_input].
    of
        Hashes to keep with the figures.
    """
    network = network.on(config)
    result = network.run(features)
    cycles = cycle_figures(cycle_laws(config, features, result.spikes))
    alone = latency(config, network, features[:_LATENCY_FRAMES])
    return FrameFigures(
        of=of,
        frames=len(features),
        cycles=cycles,
        latency={
            name: Latency(
                mean=float(np.mean([getattr(one, field) for one in alone])),
                max=max(getattr(one, field) for one in alone),
            )
            for name, field in (("first_logit", "first"), ("last_logit", "last"))
        },
        sparsity=sparsity(features, result.spikes),
        warnings=silent_layers(result.spikes),
        published=published_figures(config, cycles.phases),
    )


def _expected_reads(
    config: AcceleratorConfig, densities: Densities
) -> tuple[dict[str, float], dict[str, float]]:
    """Row reads of a frame by memory, and hidden row reads of other ways to work."""
    schedule = Schedule(config)
    two_steps = config.time_steps == 2
    steps = densities.steps if two_steps else densities.spikes
    union = densities.union if two_steps else densities.spikes
    reads = {"input": 0.0, "hidden": 0.0, "readout": 0.0}
    dense = 0
    for block in schedule.blocks:
        runs = block.tiles / (config.readout_every if block.readout else 1)
        for phase in block.phases:
            if not phase.memory:
                continue
            if phase.kind is PhaseKind.BIAS:
                reads[phase.memory] += runs * phase.dense_rows
                continue
            if phase.fetch is Fetch.FEATURES:  # those that are not 0
                issued = 1 - (1 - densities.input_bits) ** config.input_bits
            else:
                issued = densities.of(phase.work) * phase.work.passes
            reads[phase.memory] += runs * phase.n_source * issued * phase.fetch.rows
            if phase.memory == "hidden":
                dense += block.tiles * phase.dense_rows
    return reads, {
        "parallel": float(dense),
        "serial": float(config.time_steps * dense),
        "serial_skipping": dense * steps,
        "union_skipping": dense * union,
    }


def published_figures(config: AcceleratorConfig, phases: dict[str, float]) -> Published | None:
    """The reference's frame by phase, and a line on each difference; None for other shapes.

    Published are the totals. The split is the one that reproduces them: 40 features x 4 bits x
    0.43, and for two time steps 3 x 128 hidden rows, the rest readout; for one time step 7.5 tile
    pairs x 128 x 0.40 readout, the rest hidden.
    """
    name = next(
        (
            name
            for name in _PUBLISHED_TOTALS
            if PRESETS[name] == config.replace(trace=False, counter_bits=PRESETS[name].counter_bits)
        ),
        None,
    )
    if name is None:
        return None
    total = _PUBLISHED_TOTALS[name]
    inputs = 40 * 4 * 0.43
    if config.time_steps == 2:
        hidden = 3 * 128.0
        readout = total - inputs - hidden
    else:
        readout = 7.5 * 128 * 0.40
        hidden = total - inputs - readout
    reference = {"input": inputs, "hidden": hidden, "readout": readout}
    return Published(
        preset=name,
        total=total,
        phases=reference,
        differences=[
            Difference(
                phase=phase,
                published=reference.get(phase),
                difference=value - reference.get(phase, 0.0),
                why=_why(config, phase),
            )
            for phase, value in phases.items()
        ],
    )


def _why(config: AcceleratorConfig, phase: str) -> str:
    """Why a phase takes other cycles than in the reference's total."""
    two_steps = config.time_steps == 2
    return {
        "input": "a feature takes the larger bit count of its two nibbles; the published total "
        "takes their mean",
        "hidden": "every row, none skipped, as published"
        if two_steps
        else "the bank with more spikes counts; what the published total leaves for hidden is more",
        "lif": "one cycle a layer and time step; not itemised in the published total",
        "readout": "seven pairs as published; the odd fifteenth tile is split over both banks and "
        "takes the one with more work",
        "overhead": "LOAD of the input sums, and one empty cycle before the readout; not itemised "
        "in the published total",
        "stalls": "cycles in which a pair waits for the 16 beats of the pair before",
    }[phase]
