# SPDX-License-Identifier: Apache-2.0
"""The cycle laws: cycles and memory traffic of frames, counted without simulating clocks.

For features always at hand and logits always taken these are exactly the counters of the machine
(docs/architecture.md, "Cycles of a frame"). `expected_cycles` gives the same for random bits and
spikes of given densities; `latency` asks the cycle model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from golden_model.cycle import CycleModel
from golden_model.digits import digit_counts, value_shares
from golden_model.network import Network, checked_features
from hw.config import AcceleratorConfig
from hw.schedule import Fetch, PhaseKind, Schedule, Work, half

__all__ = [
    "PUBLISHED",
    "Densities",
    "ExpectedCycles",
    "FrameCycles",
    "FrameLatency",
    "cycle_laws",
    "expected_cycles",
    "latency",
]

_OVERHEAD = (PhaseKind.LOAD, PhaseKind.BIAS, PhaseKind.MERGE, PhaseKind.WAIT)


@dataclass(frozen=True, eq=False)
class FrameCycles:
    """What frames cost; every array is [..., frames] int64.

    Attributes
    ----------
    input, lif, readout
        Cycles of these phases; `readout` is 0 on frames without one.
    hidden_matrices
        (matrix, layer), for example ("w_rec", 0), to cycles; `hidden` is their sum.
    overhead
        LOAD, BIAS, MERGE and WAIT cycles.
    stalls
        Cycles that captures waited for the output buffer while a frame was under way. Those
        that the last group of a frame causes after its last slot count for the next frame.
    input_rows, hidden_rows, readout_rows
        Row reads, both banks together.
    pe_operations
        Enabled PE sets, in units of `lanes` PE operations.
    skipped_rows
        Rows that a machine without skipping would have read in addition.
    hidden_rows_if
        Hidden row reads of other ways to work: "parallel" (one fetch serves all time
        steps, nothing skipped), "serial" (a time step after the other, nothing skipped),
        "serial_skipping" (only inputs that spike), "union_skipping" (one fetch for the inputs that
        spike in any time step). For one time step the last two are the same.
    """

    input: np.ndarray
    hidden_matrices: dict[tuple[str, int], np.ndarray]
    lif: np.ndarray
    readout: np.ndarray
    overhead: np.ndarray
    stalls: np.ndarray
    input_rows: np.ndarray
    hidden_rows: np.ndarray
    readout_rows: np.ndarray
    pe_operations: np.ndarray
    skipped_rows: np.ndarray
    hidden_rows_if: dict[str, np.ndarray]

    @property
    def hidden(self) -> np.ndarray:
        return sum(self.hidden_matrices.values(), np.zeros_like(self.input))

    @property
    def total(self) -> np.ndarray:
        """Cycles of the frame, the clocks in which `phase` is not idle."""
        parts = self.input + self.hidden + self.lif + self.readout
        return parts + self.overhead + self.stalls


def cycle_laws(
    config: AcceleratorConfig, features: np.ndarray, spikes: list[np.ndarray]
) -> FrameCycles:
    """Cycles and traffic of each frame of an utterance (or of each of a batch of utterances).

    Parameters
    ----------
    features
        [frames, n_input] or [batch, frames, n_input], int8.
    spikes
        Spikes of each layer [..., frames, T, n], as `Network.run` returns them.

    Raises
    ------
    ValueError
        Features or spikes have another shape than the configuration's.
    """
    x = checked_features(config, features)
    frames = x.shape[-2]
    if len(spikes) != config.n_layers:
        raise ValueError(f"spikes has {len(spikes)} entries: there are {config.n_layers} layers")
    for layer, s in enumerate(spikes):
        shape = (*x.shape[:-1], config.time_steps, config.hidden[layer])
        if s.shape != shape:
            raise ValueError(f"spikes of layer {layer} have shape {s.shape}: it must be {shape}")
    schedule = Schedule(config)
    zero = np.zeros(x.shape[:-1], np.int64)
    reads_readout = np.arange(frames) % config.readout_every == 0
    counted = [_Counts.of(s) for s in spikes]
    before = [counts.frame_before() for counts in counted]

    cycles = dict.fromkeys(PhaseKind, zero)
    rows = dict.fromkeys(schedule.memories, zero)
    rows_if = dict.fromkeys(("parallel", "serial", "serial_skipping", "union_skipping"), zero)
    matrices: dict[tuple[str, int], np.ndarray] = {}
    operations, dense = zero, zero
    slots: dict[Fetch, np.ndarray] = {}
    for block in schedule.blocks:
        runs = np.where(reads_readout, block.tiles, 0) if block.readout else block.tiles
        for phase in block.phases:
            if phase.kind is PhaseKind.INPUT:
                issued, read, worked = _input_law(config, x)
            elif phase.kind is PhaseKind.BIAS:
                issued, read, worked = zero + 1, zero + phase.dense_rows, zero + 2
            elif phase.memory:
                source = before if phase.kind is PhaseKind.RECURRENT else counted
                source = source[phase.source_layer]
                issued, read, worked = _spike_law(phase.fetch, phase.work, phase.n_source, source)
                if phase.kind is PhaseKind.READOUT:
                    slots[phase.fetch] = issued
                else:
                    name = "w_rec" if phase.kind is PhaseKind.RECURRENT else "w_in"
                    matrix = name, phase.layer
                    others = matrix not in matrices  # once for all phases that share a matrix
                    matrices[matrix] = matrices.get(matrix, zero) + issued * runs
                    runs_if = runs if others else 0 * runs
                    dense_fetch = zero + phase.n_source * runs_if
                    rows_if["parallel"] = rows_if["parallel"] + dense_fetch
                    rows_if["serial"] = rows_if["serial"] + config.time_steps * dense_fetch
                    for way, inputs in (
                        ("serial_skipping", source.spikes),
                        ("union_skipping", source.union.sum(axis=-1)),
                    ):
                        rows_if[way] = rows_if[way] + inputs * runs_if
            else:
                issued, read, worked = zero + 1, zero, zero
            cycles[phase.kind] = cycles[phase.kind] + issued * runs
            if phase.memory:
                rows[phase.memory] = rows[phase.memory] + read * runs
            operations = operations + worked * runs
            dense = dense + phase.dense_rows * runs
    total_slots = sum(cycles.values())
    tiles = config.tiles(0)
    # Slots up to the last one of the last INPUT phase: with folding, whole tiles come before it.
    single = sum(
        phase.fetch is Fetch.NONE or phase.kind is PhaseKind.BIAS
        for phase in schedule.blocks[0].phases
    )
    per_tile = single + matrices.get(("w_rec", 0), zero) // tiles
    after_input = cycles[PhaseKind.INPUT] + (tiles - 1) * per_tile
    stalls = _stalls(config, schedule, reads_readout, total_slots, after_input, slots)
    return FrameCycles(
        input=cycles[PhaseKind.INPUT],
        hidden_matrices=matrices,
        lif=cycles[PhaseKind.LIF],
        readout=cycles[PhaseKind.READOUT],
        overhead=sum(cycles[kind] for kind in _OVERHEAD),
        stalls=stalls,
        input_rows=rows["input"],
        hidden_rows=rows["hidden"],
        readout_rows=rows["readout"],
        pe_operations=operations,
        skipped_rows=dense - sum(rows.values()),
        hidden_rows_if=rows_if,
    )


class _Counts(NamedTuple):
    """Spikes of a layer, counted: [..., frames] each, by input parity [..., frames, 2]."""

    steps: np.ndarray  # sum over the time steps, by parity
    union: np.ndarray  # spikes in any time step, by parity
    straight: np.ndarray  # of parity b, spikes in time step b only; 0 if T = 1
    crossed: np.ndarray  # of parity b, spikes in time step 1 - b only; 0 if T = 1

    @property
    def common(self) -> np.ndarray:
        """Spikes in both time steps, by parity."""
        return self.union - self.straight - self.crossed

    @property
    def spikes(self) -> np.ndarray:
        return self.steps.sum(axis=-1)

    @classmethod
    def of(cls, s: np.ndarray) -> _Counts:
        union = s.max(axis=-2)

        def by_parity(values: np.ndarray) -> np.ndarray:
            halves = [values[..., b::2].sum(axis=-1, dtype=np.int64) for b in range(2)]
            return np.stack(halves, axis=-1)

        steps = by_parity(s)
        # Inputs less those that spike in the other time step are those that spike in this one only.
        only = by_parity(union)[..., None, :] - steps[..., ::-1, :]
        ways = [
            np.stack([only[..., b ^ way, b] for b in range(2)], axis=-1)
            if steps.shape[-2] == 2
            else np.zeros_like(only[..., 0, :])
            for way in range(2)
        ]
        return cls(steps.sum(axis=-2), by_parity(union), *ways)

    def frame_before(self) -> _Counts:
        """The counts one frame later; none before the first frame."""

        def later(values: np.ndarray) -> np.ndarray:
            moved = np.zeros_like(values)
            moved[..., 1:, :] = values[..., :-1, :]
            return moved

        return _Counts(*map(later, self))


def _input_law(
    config: AcceleratorConfig, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slots, rows read and PE sets enabled of one INPUT phase."""
    counts = digit_counts(config.input_digits)  # [256, 2], of a feature's low and high half
    features = x.view(np.uint8)
    slots = counts.max(axis=-1)[features].sum(axis=-1)
    worked = counts.sum(axis=-1)[features].sum(axis=-1)
    return np.maximum(1, slots), (x != 0).sum(axis=-1), worked


def _spike_law(
    fetch: Fetch, work: Work, n_source: int, source: _Counts
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slots, rows read and PE sets enabled of one spike phase."""
    if work is Work.ALL:
        sizes = np.array([half(n_source), n_source // 2])
        parities = np.broadcast_to(sizes, source.steps.shape)
    else:
        parities = {
            Work.SPIKES: source.steps,
            Work.UNION: source.union,
            Work.SERIAL: source.steps,
            Work.COMMON: source.common,
            Work.STRAIGHT: source.straight,
            Work.CROSSED: source.crossed,
        }[work]
    inputs = parities.sum(axis=-1)
    slots = parities.max(axis=-1) if fetch.side_by_side else inputs
    # A set takes a broadcast row only if its own time step spikes.
    enabled = {Fetch.BROADCAST: source.spikes, Fetch.PAIR: 2 * inputs}
    return np.maximum(1, slots), fetch.rows * inputs, enabled.get(fetch, inputs)


def _stalls(
    config: AcceleratorConfig,
    schedule: Schedule,
    reads_readout: np.ndarray,
    total_slots: np.ndarray,
    after_input: np.ndarray,
    slots: dict[Fetch, np.ndarray],
) -> np.ndarray:
    """Cycles [..., frames] that frames lose to captures that wait for the output buffer.

    A stall holds everything but the two streams, so time is counted in moves, the clocks without
    stall. A group's capture comes two moves after its last slot, and waits until the beats of the
    group before are out: it stalls max(0, beats of the group before - moves since its capture).
    Within a frame these moves are the group's slots. From one frame to the next they include
    whatever lies between, and also the clocks in which F waits for the features: the buffer takes
    them one a clock from the last INPUT slot on.

    Parameters
    ----------
    total_slots
        Slots of each frame [..., frames].
    after_input
        Slots until the last INPUT slot, inclusive.
    slots
        Slots of a pair of tiles, and of the odd last tile.
    """
    last = Fetch.SPLIT if schedule.odd_tile else Fetch.PAIR
    pair_slots = slots.get(Fetch.PAIR, np.zeros_like(total_slots))
    *batch, frames = total_slots.shape
    rows = [
        values.reshape(math.prod(batch), frames).tolist()
        for values in (total_slots, after_input, pair_slots, slots[last])
    ]
    stalls = [
        _utterance_stalls(config, schedule, reads_readout.tolist(), *utterance)
        for utterance in zip(*rows, strict=True)
    ]
    return np.array(stalls, np.int64).reshape(total_slots.shape)


def _utterance_stalls(
    config: AcceleratorConfig,
    schedule: Schedule,
    reads_readout: list[bool],
    total_slots: list[int],
    after_input: list[int],
    pair_slots: list[int],
    last_slots: list[int],
) -> list[int]:
    """`_stalls` of one utterance; `last_slots` is of the last group, pair or odd tile."""
    groups = schedule.groups
    full_beats = 2 * config.lanes // config.output_lanes
    last_beats = schedule.group_beats(groups - 1)
    stalls = []
    since = 1 << 40  # moves from the last capture to the last slot of the frame before
    # Stalls of the frame before that are due one and two moves after its last slot: its last
    # capture, and the one before if the last group has a single slot.
    one = two = 0
    waits = 0  # clocks F was idle before this frame
    for t, total in enumerate(total_slots):
        # The stalls left over are clocks 1 .. one and one+2 .. one+1+two after the last slot.
        # Those up to `waits` are not the frame's: F is idle.
        left_over = max(0, one - waits)
        left_over += min(max(one + 1 + two - max(waits, one + 1), 0), two)
        idle_moves = waits - (one + two - left_over)
        # The second is after the last INPUT slot if that is the first move after the frame.
        after = two if idle_moves + after_input[t] == 1 else 0
        since += idle_moves + total
        inner = one = two = 0
        if reads_readout[t]:
            pairs, last = pair_slots[t], last_slots[t]
            pair_stall = max(0, full_beats - pairs)
            readout = (groups - 1) * pairs + last
            first = pairs if groups > 1 else last
            first_stall = max(0, last_beats - (since - readout + first + 2))
            if groups == 1:
                two = first_stall
            else:
                two = max(0, full_beats - last)
                if last == 1:
                    one = first_stall if groups == 2 else pair_stall
                inner = first_stall + (groups - 2) * pair_stall - one
            since = -2
        stalls.append(left_over + inner)
        elapsed = total - after_input[t] + after + inner
        waits = max(0, config.n_input + 1 - elapsed)
    return stalls


# ---- expectations ------------------------------------------------------------------------


@dataclass(frozen=True)
class Densities:
    """Probabilities of independent bits and spikes; the defaults are the published densities.

    Attributes
    ----------
    input_bits
        Probability that a bit of a feature is 1.
    spikes
        Probability that a neuron spikes in a time step, for the hidden matrices and the readout of
        a machine with one time step.
    steps
        The sum of the probabilities that a neuron spikes in time step 0 and in time step 1, for a
        readout without merging. Where the time steps are told apart (hidden_work "split"), both
        have half of it.
    union
        Probability that a neuron spikes in either of two time steps, for a readout with merging
        and for hidden work that skips.
    """

    input_bits: float = 0.43
    spikes: float = 0.40
    steps: float = 0.803
    union: float = 0.46

    @property
    def both(self) -> float:
        """That a neuron spikes in both of two time steps."""
        return self.steps - self.union

    @property
    def one(self) -> float:
        """That a neuron spikes in one of two time steps, a given one, and not in the other."""
        return self.union - self.steps / 2

    def of(self, work: Work) -> float:
        """That a phase with this work issues an input, in each of its passes."""
        return {
            Work.ALL: 1.0,
            Work.SPIKES: self.spikes,
            Work.UNION: self.union,
            Work.SERIAL: self.steps / 2,
            Work.COMMON: self.both,
            Work.STRAIGHT: self.one,
            Work.CROSSED: self.one,
        }[work]


PUBLISHED = Densities()


@dataclass(frozen=True)
class ExpectedCycles:
    """Expected cycles of a frame, by part. `stalls` is that of groups within a frame."""

    input: float
    hidden: float
    lif: float
    readout: float
    overhead: float
    stalls: float

    @property
    def before_overhead(self) -> float:
        """Input, hidden and readout phases with their stalls: without LIF and overhead."""
        return self.input + self.hidden + self.readout + self.stalls

    @property
    def total(self) -> float:
        return self.before_overhead + self.lif + self.overhead


def expected_cycles(config: AcceleratorConfig, densities: Densities = PUBLISHED) -> ExpectedCycles:
    """Expected cycles of a frame for independent random bits and spikes.

    Every maximum (of the two halves of a feature, of two banks, with 1, with the beats of the group
    before) is taken in expectation, not of expectations. With readout_every the readout is averaged
    over the frames. That a frame's first group could wait for the frame before is left out: it
    takes a drain longer than all input and hidden phases.

    Raises
    ------
    ValueError
        The time steps are told apart, and no two have these densities.
    """
    if config.merges and not densities.steps / 2 <= densities.union <= densities.steps:
        raise ValueError(
            f"union is {densities.union!r}: it must be from steps / 2 = {densities.steps / 2!r} to "
            f"steps = {densities.steps!r}"
        )
    schedule = Schedule(config)
    parts = dict.fromkeys(PhaseKind, 0.0)
    stalls = 0.0
    full = 2 * config.lanes // config.output_lanes
    for block in schedule.blocks:
        share = block.tiles / config.readout_every if block.readout else block.tiles
        for phase in block.phases:
            if phase.kind is PhaseKind.INPUT:
                feature = _feature_slots(config, densities.input_bits)
                slots = _power(feature, phase.n_source)
            elif phase.memory and phase.kind is not PhaseKind.BIAS:
                slots = _expected_slots(phase.fetch, phase.work, phase.n_source, densities)
            else:
                slots = np.array([0.0, 1.0])
            cycles = _mean_of_max(slots, 1)
            parts[phase.kind] += share * cycles
            if block.readout:
                # All groups but the frame's first wait for the one before.
                first = phase.fetch is Fetch.PAIR or not schedule.pairs
                waiting = (block.tiles - first) / config.readout_every
                stalls += waiting * (_mean_of_max(slots, full) - cycles)
    hidden = parts[PhaseKind.RECURRENT] + parts[PhaseKind.FEEDFORWARD]
    overhead = sum(parts[kind] for kind in _OVERHEAD)
    return ExpectedCycles(
        parts[PhaseKind.INPUT],
        hidden,
        parts[PhaseKind.LIF],
        parts[PhaseKind.READOUT],
        overhead,
        stalls,
    )


def _feature_slots(config: AcceleratorConfig, density: float) -> np.ndarray:
    """Distribution of the slots of a feature whose bits are 1 with this probability, each alone."""
    slots = digit_counts(config.input_digits).max(axis=-1)
    return np.bincount(slots, value_shares(density))


def _expected_slots(fetch: Fetch, work: Work, n_source: int, densities: Densities) -> np.ndarray:
    """Distribution of the issued slots of a spike phase, before the maximum with 1."""
    density = densities.of(work)
    if not fetch.side_by_side:
        return _binomial(work.passes * n_source, density)
    even = _binomial(work.passes * half(n_source), density)
    odd = _binomial(work.passes * (n_source // 2), density)
    return _maximum(even, odd)


def _binomial(n: int, p: float) -> np.ndarray:
    """Probabilities of 0 .. n successes."""
    return _power(np.array([1 - p, p]), n)


def _power(distribution: np.ndarray, n: int) -> np.ndarray:
    """Distribution of the sum of n independent values of a distribution."""
    total = np.array([1.0])
    while n:
        if n & 1:
            total = np.convolve(total, distribution)
        distribution = np.convolve(distribution, distribution)
        n >>= 1
    return total


def _maximum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distribution of the larger of two independent values."""
    size = max(len(a), len(b))
    below = [np.cumsum(np.pad(values, (0, size - len(values)))) for values in (a, b)]
    return np.diff(below[0] * below[1], prepend=0.0)


def _mean_of_max(distribution: np.ndarray, least: int) -> float:
    """Expectation of the larger of a value and `least`."""
    return float(distribution @ np.maximum(least, np.arange(len(distribution))))


# ---- latency -----------------------------------------------------------------------------


class FrameLatency(NamedTuple):
    """Clocks from the edge that takes a frame's last feature to those that take logits."""

    first: int  # its first beat
    last: int  # its last beat


def latency(
    config: AcceleratorConfig, network: Network, features: np.ndarray
) -> list[FrameLatency]:
    """Latency of each frame with a readout, from the cycle model.

    As in use in real time: each frame meets an idle machine, its features come one a clock, and
    logits are taken at once.

    Parameters
    ----------
    features
        [frames, n_input], one utterance.
    """
    model = CycleModel(config, network)
    x = checked_features(config, features).tolist()
    latencies = []
    for t, frame in enumerate(x):
        for value in frame:
            model.advance((value, t == 0, t == len(x) - 1), True)
        clock, beats = 0, []
        while not model.quiet:
            clock += 1
            if model.logits_valid:
                beats.append(clock)
            model.advance(None, True)
        if beats:
            latencies.append(FrameLatency(beats[0], beats[-1]))
    return latencies
