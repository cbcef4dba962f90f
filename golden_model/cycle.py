# SPDX-License-Identifier: Apache-2.0
"""The machine clock by clock: every architectural register and decision at each clock edge.

Cycle level of the golden model, written from docs/architecture.md and with its names. It takes the
weights from the network's matrices and not from a memory image, so a row in the wrong bank of the
RTL shows as a difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from golden_model.digits import digit_table
from golden_model.fixed_point import round_shift, wrap
from golden_model.layer import bias_rows, lif_step, membrane_dtype
from golden_model.memory_image import padded_thresholds, tile_columns
from golden_model.network import Network, checked_features
from hw.config import AcceleratorConfig
from hw.schedule import Fetch, Phase, PhaseKind, Schedule, Work, half

__all__ = ["COUNTERS", "CycleModel", "Drive", "trace_shapes"]

COUNTERS = (
    "cycles",
    "stalls",
    "frames",
    "input_rows",
    "hidden_rows",
    "readout_rows",
    "pe_operations",
    "skipped_rows",
)

_NO_STEPS = (0,) * len(COUNTERS)

_OP_NONE, _OP_MAC, _OP_LOAD, _OP_LIF = range(4)
_OPS = {
    PhaseKind.WAIT: _OP_NONE,
    PhaseKind.LOAD: _OP_LOAD,
    PhaseKind.MERGE: _OP_LOAD,
    PhaseKind.LIF: _OP_LIF,
}
_MEMORY_NAMES = ("input", "hidden", "readout")
_MEMORIES = {"": 0} | {name: index for index, name in enumerate(_MEMORY_NAMES)}

# When something is offered: a constant, values that repeat, or a function of the clock.
Pattern = bool | Sequence[bool] | np.ndarray | Callable[[int], bool]
# (value, start, end) of a beat of the features stream.
Beat = tuple[int, bool, bool]


@dataclass
class _Slot:
    """What F issues in a clock: X's registers of the next one, reads, and F's next pointers."""

    op: int = _OP_NONE
    first: int = 0
    enable: tuple[int, int] = (0, 0)
    shift: tuple[int, int] = (0, 0)
    negate: tuple[int, int] = (0, 0)
    memory: int = 0
    bank: int = 0
    layer: int = 0
    tile: int = 0
    step: int = 0
    part: int = 0
    capture: int = 0
    capture_last: int = 0
    end: int = 0
    read: tuple[int, int] = (0, 0)  # per bank, of `memory`
    row: tuple[int, int] = (0, 0)
    weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None)  # new rows for the sets
    pointer: tuple[int, int] = (0, 0)
    taken: tuple[int, int] = (0, 0)
    last: bool = True


_NO_SLOT = _Slot()


@dataclass(frozen=True, eq=False)
class Drive:
    """What a bench does to the core's ports, one entry per clock; see `CycleModel.trace_chunk`.

    Attributes
    ----------
    valid, value, start, end
        [clocks], the features stream as offered; only where valid.
    ready
        [clocks], of the logits stream.
    clear_counters
        [clocks], or None for never.
    """

    valid: np.ndarray
    value: np.ndarray
    start: np.ndarray
    end: np.ndarray
    ready: np.ndarray
    clear_counters: np.ndarray | None = None


@dataclass(frozen=True)
class _TraceLayout:
    """Where the fields of the trace are kept: small ones as columns of one table, others apart."""

    columns: dict[str, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    arrays: dict[str, tuple[int, ...]] = field(default_factory=dict)


def trace_shapes(config: AcceleratorConfig) -> dict[str, tuple[int, ...]]:
    """Every field of the trace of this configuration, name to shape (() for an integer)."""
    layout = _trace_layout(config)
    return {name: shape for name, (_, shape) in layout.columns.items()} | layout.arrays


def _trace_layout(config: AcceleratorConfig) -> _TraceLayout:
    layout = _TraceLayout()
    lanes, steps = config.lanes, config.time_steps
    names: list[tuple[str, tuple[int, ...]]] = [
        ("phase", ()),
        ("tile", ()),
        ("pointer", (2,)),
        ("taken", (2,)),
        ("stall", ()),
        ("input_read", ()),
        ("input_row", ()),
    ]
    if Schedule(config).memories["hidden"].rows:
        names += [("hidden_read", (2,)), ("hidden_row", (2,))]
    names += [("readout_read", (2,)), ("readout_row", (2,))]
    names += [(f"x_{name}", ()) for name in ("op", "first")]
    names.append(("x_negate", (2,) if config.signed_digits else ()))
    names += [(f"x_{name}", ()) for name in ("memory", "bank")]
    names += [(f"x_{name}", ()) for name in ("layer", "tile", "step", "part")]
    names += [(f"x_{name}", ()) for name in ("capture", "capture_last", "end")]
    names += [("x_enable", (2,)), ("x_shift", (2,))]
    names += [(name, ()) for name in ("capture", "capture_last", "capture_end")]
    names += [(name, ()) for name in ("count", "full", "next_start", "next_end")]
    names += [(name, ()) for name in ("start", "end", "fresh", "frame_index")]
    names += [(name, ()) for name in ("out_valid", "out_beat", "out_last_group", "out_end")]
    names += [("beat_last", ()), ("beat_end", ())]
    names += [(f"counter_{name}", ()) for name in COUNTERS]
    if config.folded:
        names += [("membrane_write", ()), ("membrane_row", ())]
    column = 0
    for name, shape in names:
        layout.columns[name] = column, shape
        column += 2 if shape else 1
    for name, memory in Schedule(config).memories.items():
        if memory.rows:
            banks = (memory.banks,) if memory.banks > 1 else ()
            layout.arrays[f"{name}_data"] = (*banks, lanes)
    layout.arrays["acc"] = (2, lanes)
    if config.folded:
        if steps == 2:
            layout.arrays["membrane_work"] = (lanes,)
        layout.arrays["membrane_data"] = (config.neuron_lanes,)
        layout.arrays["held"] = (steps, lanes * (config.most_tiles - 1))
    else:
        layout.arrays["membranes"] = (config.n_layers, lanes)
    for layer, neurons in enumerate(config.hidden):
        layout.arrays[f"spikes_{layer}"] = (steps, neurons)
    layout.arrays["features"] = (config.n_input,)
    layout.arrays["out_data"] = (2 * lanes,)
    layout.arrays["beat_logits"] = (config.output_lanes,)
    return layout


class _Recorder:
    """Preallocated arrays [clocks, ...] that the model writes its trace into."""

    def __init__(self, layout: _TraceLayout, clocks: int) -> None:
        width = sum(2 if shape else 1 for _, shape in layout.columns.values())
        self.table = np.zeros((clocks, width), np.int64)
        self.arrays = {
            name: np.zeros((clocks, *shape), np.int32) for name, shape in layout.arrays.items()
        }
        self.index = 0
        self.fields: dict[str, np.ndarray] = {}
        for name, (column, shape) in layout.columns.items():
            self.fields[name] = (
                self.table[:, column : column + 2] if shape else self.table[:, column]
            )
        self.fields |= self.arrays


class CycleModel:
    """The machine of a configuration with a network in its memories.

    Parameters
    ----------
    config
        Configuration of the machine; it must have the network's shapes and formats.
    network
        The integer network.

    Attributes
    ----------
    features_ready
        What the core answers to a feature offered at the coming clock edge.
    logits_valid
        Whether the core offers a beat of logits at the coming clock edge.
    counters
        Name to value, before the coming clock edge.

    Raises
    ------
    NetworkError
        The network is for other shapes or formats, or its shifts are too large.

    The source is docs/architecture.md.
    """

    def __init__(self, config: AcceleratorConfig, network: Network) -> None:
        network = network.on(config)
        self.config = config
        self.network = network
        self.schedule = schedule = Schedule(config)
        self._layout = _trace_layout(config)
        self._folded = config.folded
        self._phases = schedule.phases
        # What both time steps of layer 0 share is added up in both sets.
        self._merges_first = config.merges and (config.recurrent[0] or config.has_bias(0))
        self._block_of = [block for block in schedule.blocks for _ in block.phases]
        self._weights = [self._phase_weights(phase) for phase in self._phases]
        self._dtype = np.int32 if config.acc_bits <= 24 else np.int64
        self._digits = [_half_digits(row) for row in digit_table(config.input_digits).tolist()]
        self._full_beats = 2 * config.lanes // config.output_lanes
        self._last_beats = schedule.group_beats(schedule.groups - 1)
        self._counter_mask = (1 << config.counter_bits) - 1
        # Layers as one tile sees them, thresholds padded to the lanes.
        thresholds = padded_thresholds(config, network)
        self._first_tile = [config.first_tile(layer) for layer in range(config.n_layers)]
        self._tile_layers = [
            [
                dataclasses.replace(
                    parameters, threshold=thresholds[self._first_tile[layer] + tile]
                )
                for tile in range(config.tiles(layer))
            ]
            for layer, parameters in enumerate(network.layers)
        ]
        self._total_tiles = len(thresholds)
        self.reset()

    def _phase_weights(self, phase: Phase) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per tile of the block, [n_source, lanes] for PE set 0 and for PE set 1."""
        config, network = self.config, self.network
        if phase.kind is PhaseKind.READOUT:
            matrix = network.w_out
            if phase.fetch is Fetch.PAIR:
                pairs = [(2 * pair, 2 * pair + 1) for pair in range(self.schedule.pairs)]
            else:
                pairs = [(2 * self.schedule.pairs,) * 2]
        elif phase.kind is PhaseKind.BIAS:
            matrix = np.stack(bias_rows(network.layers[phase.layer].bias))
            pairs = [(tile, tile) for tile in range(config.tiles(phase.layer))]
        elif phase.memory:
            layer = network.layers[phase.layer]
            matrix = layer.w_rec if phase.kind is PhaseKind.RECURRENT else layer.w_in
            pairs = [(tile, tile) for tile in range(config.tiles(phase.layer))]
        else:
            return []
        matrix = matrix.astype(np.int32 if config.acc_bits <= 24 else np.int64)
        return [tuple(tile_columns(config, matrix, tile, 0) for tile in pair) for pair in pairs]

    def reset(self) -> None:
        """All registers as after reset."""
        config = self.config
        lanes, steps = config.lanes, config.time_steps
        self.phase, self.tile = self.schedule.idle, 0
        self.pointer = self.taken = (0, 0)
        self._x = _NO_SLOT
        self._rows: list[np.ndarray | None] = [None, None]  # what the PE sets are given
        # What the banks of the weight memories put out; 0 until the first read.
        self._bank_data = np.zeros((len(_MEMORY_NAMES), 2, lanes), np.int32)
        self.capture = self.capture_last = self.capture_end = 0
        self.acc = np.zeros((2, lanes), self._dtype)
        dtype = membrane_dtype(config)
        # Unfolded these are the membrane registers (one tile a layer), folded the memory's rows.
        self._membranes = np.zeros((self._total_tiles, lanes), dtype)
        self._membrane_work = np.zeros(lanes, dtype)
        self._held = np.zeros((steps, lanes * (config.most_tiles - 1)), np.uint8)
        self.spikes = [np.zeros((steps, neurons), np.uint8) for neurons in config.hidden]
        # The spikes again, per time step and input parity, as bit masks of positions.
        self._halves = [[(0, 0)] * steps for _ in config.hidden]
        self._x_buffer = [0] * config.n_input
        self._nonzero = 0  # bit i is set where x[i] != 0
        self.count = self.full = self.next_start = self.next_end = 0
        self.start = self.end = self.frame_index = 0
        self.fresh = 1
        self.out_valid = self.out_beat = self.out_last_group = self.out_end = 0
        self._out_data = np.zeros(2 * lanes, self._dtype)
        self._counts = self._steps = _NO_STEPS

    @property
    def features_ready(self) -> bool:
        return not self.full

    @property
    def logits_valid(self) -> bool:
        return bool(self.out_valid)

    @property
    def counters(self) -> dict[str, int]:
        return dict(zip(COUNTERS, self._counts, strict=True))

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way: frame, slot, capture, logits to take, events to count."""
        idle = self.phase == self.schedule.idle and not self.full and self._steps is _NO_STEPS
        return idle and not (self._x.op or self._x.capture or self.capture or self.out_valid)

    # ---- what a user calls ---------------------------------------------------------------

    def step(
        self, feature: Beat | None, logits_ready: bool, clear_counters: bool = False
    ) -> dict[str, Any]:
        """One clock edge; returns the trace, name to int or array, as of before the edge.

        Parameters
        ----------
        feature
            (value, start, end) offered at this edge, or None. It is accepted if
            `features_ready`.
        logits_ready
            Whether a beat of logits is taken at this edge, if there is one.
        """
        recorder = _Recorder(self._layout, 1)
        self._edge(feature, logits_ready, clear_counters, recorder)
        return {
            name: values[0] if values.ndim > 1 else int(values[0])
            for name, values in recorder.fields.items()
        }

    def advance(
        self, feature: Beat | None, logits_ready: bool, clear_counters: bool = False
    ) -> None:
        """`step` without the trace, faster."""
        self._edge(feature, logits_ready, clear_counters, None)

    def trace_chunk(self, drive: Drive) -> dict[str, np.ndarray]:
        """The trace of many clock edges: name to array [clocks, ...], for the ports as driven."""
        clocks = len(drive.valid)
        valid, ready = np.asarray(drive.valid).tolist(), np.asarray(drive.ready).tolist()
        beats = list(
            zip(
                np.asarray(drive.value).tolist(),
                np.asarray(drive.start).tolist(),
                np.asarray(drive.end).tolist(),
                strict=True,
            )
        )
        if drive.clear_counters is None:
            clear = [False] * clocks
        else:
            clear = np.asarray(drive.clear_counters).tolist()
        recorder = _Recorder(self._layout, clocks)
        for clock in range(clocks):
            feature = beats[clock] if valid[clock] else None
            self._edge(feature, ready[clock], clear[clock], recorder)
        return recorder.fields

    def drive(
        self,
        features: np.ndarray,
        *,
        feature_valid: Pattern = True,
        logits_ready: Pattern = True,
        starts: Sequence[bool] | None = None,
        ends: Sequence[bool] | None = None,
    ) -> Iterator[tuple[Beat | None, bool]]:
        """What to offer at each clock edge, (feature, logits_ready), until all is computed.

        Take one pair, clock the model with it (`step`, `advance`), take the next.

        Parameters
        ----------
        features
            [frames, n_input].
        feature_valid, logits_ready
            When; a feature once offered is held until it is accepted.
        starts, ends
            Per frame; by default the frames are one utterance.
        """
        x = checked_features(self.config, features)
        frames, n_input = x.shape
        starts = [frame == 0 for frame in range(frames)] if starts is None else starts
        ends = [frame == frames - 1 for frame in range(frames)] if ends is None else ends
        beats = [
            (value, bool(start), bool(end))
            for frame, start, end in zip(x.tolist(), starts, ends, strict=True)
            for value in frame
        ]
        may_offer, may_take = _pattern(feature_valid), _pattern(logits_ready)
        clock = position = 0
        offered = False
        while position < frames * n_input or not self.quiet:
            offered = position < len(beats) and (offered or may_offer(clock))
            accepted = offered and self.features_ready
            yield (beats[position] if offered else None), may_take(clock)
            clock += 1
            if accepted:
                position += 1
                offered = False

    def run(self, features: np.ndarray, **patterns: Any) -> Iterator[dict[str, Any]]:
        """Run frames through the machine: the trace of each clock edge until all is computed.

        The parameters are those of `drive`.
        """
        for feature, ready in self.drive(features, **patterns):
            yield self.step(feature, ready)

    # ---- F: the front end ----------------------------------------------------------------

    def _issue(self) -> _Slot:
        """The slot that F issues in this clock."""
        phase = self._phases[self.phase]
        if phase.fetch is Fetch.NONE:
            slot = _Slot(_OPS[phase.kind], part=phase.part)
            if slot.op == _OP_LIF:
                slot.layer, slot.tile, slot.step = phase.layer, self.tile, phase.step
            elif phase.kind is PhaseKind.MERGE:
                slot.step = 1
            return slot
        if phase.kind is PhaseKind.BIAS:
            return self._issue_bias(phase)
        issue = {
            Fetch.FEATURES: self._issue_feature,
            Fetch.BROADCAST: self._issue_one_input,
            Fetch.PAIR: self._issue_one_input,
            Fetch.SPLIT: self._issue_split,
            Fetch.CROSSED: self._issue_split,
        }[phase.fetch]
        slot = issue(phase)
        slot.op = _OP_MAC
        slot.memory = _MEMORIES[phase.memory]
        if phase.first and self.pointer == (0, 0) and self.taken == (0, 0):
            slot.first = 1
        if slot.last:
            slot.pointer = slot.taken = (0, 0)
            if phase.kind is PhaseKind.READOUT:
                slot.capture = 1
                slot.capture_last = int(self._next_phase()[0] == self.schedule.idle)
                slot.end = self.end
        return slot

    def _issue_feature(self, phase: Phase) -> _Slot:
        """Type A: the lowest digit not yet taken of each half of the lowest nonzero feature."""
        x = self._x_buffer
        ahead = self._nonzero >> self.pointer[0]
        if not ahead:
            return _Slot()
        i = self.pointer[0] + _lowest(ahead)
        halves, minus = self._digits[x[i] & 255]
        enable, shift, negate, taken = [0, 0], [0, 0], [0, 0], list(self.taken)
        for b in range(2):
            rest = halves[b] & ~self.taken[b]
            if rest:
                enable[b], shift[b] = 1, _lowest(rest)
                negate[b] = minus[b] >> shift[b] & 1
                taken[b] |= 1 << shift[b]
        slot = _Slot(enable=tuple(enable), shift=tuple(shift), negate=tuple(negate))
        if self.taken == (0, 0):
            slot.read = 1, 0
            slot.row = phase.base + self.tile * phase.stride + i, 0
            w0, w1 = self._weights[self.phase][self.tile]
            slot.weights = w0[i], w1[i]
        if tuple(taken) == halves:
            slot.pointer, slot.taken = (i + 1, 0), (0, 0)
            slot.last = not self._nonzero >> (i + 1)
        else:
            slot.pointer, slot.taken = self.pointer, tuple(taken)
            slot.last = False
        return slot

    def _issue_bias(self, phase: Phase) -> _Slot:
        """The bias of a tile: the rows of both banks, or (T = 2 without MERGE) one after the other.

        The row of bank 1 counts eightfold.
        """
        row = phase.base + self.tile
        (w0, w1), bank = self._weights[self.phase][self.tile], phase.part
        slot = _Slot(_OP_MAC, enable=(1, 1), memory=_MEMORIES["hidden"], bank=bank)
        if phase.fetch is Fetch.SPLIT:
            slot.read, slot.row = (1, 1), (row, row)
            slot.shift, slot.weights = (0, 3), (w0[0], w1[1])
        else:
            slot.read = (0, 1) if bank else (1, 0)
            slot.row = (0, row) if bank else (row, 0)
            slot.shift, slot.weights = (3 * bank,) * 2, (w0[bank], w1[bank])
        return slot

    def _work(self, phase: Phase) -> list[int]:
        """Per input parity, a bit mask of the positions that have work."""
        h = half(phase.n_source)
        if phase.work is Work.ALL:
            return [(1 << h) - 1, (1 << (phase.n_source // 2)) - 1]
        halves = self._halves[phase.source_layer]
        if phase.work is Work.SPIKES:
            return list(halves[0])
        if phase.work is Work.UNION:
            return [halves[0][b] | halves[1][b] for b in range(2)]
        if phase.work is Work.COMMON:
            return [halves[0][b] & halves[1][b] for b in range(2)]
        if phase.work is Work.STRAIGHT:
            return [halves[b][b] & ~halves[1 - b][b] for b in range(2)]
        if phase.work is Work.CROSSED:
            return [halves[1 - b][b] & ~halves[b][b] for b in range(2)]
        return [halves[0][b] | halves[1][b] << h for b in range(2)]

    def _candidates(self, work: list[int]) -> tuple[int | None, int | None]:
        """Per input parity, the lowest position at or above the pointer that has work."""
        return tuple(
            self.pointer[b] + _lowest(work[b] >> self.pointer[b])
            if work[b] >> self.pointer[b]
            else None
            for b in range(2)
        )

    def _input_shift(self, phase: Phase, b: int, position: int) -> int:
        """1 for an input that spikes in both time steps of merged work, otherwise 0."""
        if phase.work is not Work.UNION:
            return 0
        step0, step1 = self._halves[phase.source_layer]
        return (step0[b] & step1[b]) >> position & 1

    def _issue_one_input(self, phase: Phase) -> _Slot:
        """The lowest input with work: its one row for both PE sets, or a row for each of them."""
        work = self._work(phase)
        candidates = self._candidates(work)
        waiting = [(candidates[b], b) for b in range(2) if candidates[b] is not None]
        if not waiting:
            return _Slot()
        position, parity = min(waiting)
        h = half(phase.n_source)
        j = position - h if position >= h else position
        i = 2 * j + parity
        pointer = list(self.pointer)
        pointer[parity] = position + 1
        w0, w1 = self._weights[self.phase][self.tile]
        slot = _Slot(
            weights=(w0[i], w1[i]),
            pointer=tuple(pointer),
            last=not any(work[b] >> pointer[b] for b in range(2)),
        )
        base = phase.base + self.tile * phase.stride
        if phase.fetch is Fetch.PAIR:
            slot.enable, slot.read, slot.row = (1, 1), (1, 1), (base + i, base + i)
            slot.shift = (self._input_shift(phase, parity, position),) * 2
        else:
            step0, step1 = self._halves[phase.source_layer]
            slot.enable = step0[parity] >> j & 1, step1[parity] >> j & 1
            slot.bank = parity
            slot.read = (1, 0) if parity == 0 else (0, 1)
            slot.row = (base + j, 0) if parity == 0 else (0, base + j)
        return slot

    def _issue_split(self, phase: Phase) -> _Slot:
        """Each bank serves the inputs of its parity to its own PE set or, crossed, to the other."""
        work = self._work(phase)
        candidates = self._candidates(work)
        h = half(phase.n_source)
        base = phase.base + self.tile * phase.stride
        crossed = int(phase.fetch is Fetch.CROSSED)
        enable, shift, read, row = [0, 0], [0, 0], [0, 0], [0, 0]
        pointer = list(self.pointer)
        weights: list[np.ndarray | None] = [None, None]
        for b, position in enumerate(candidates):
            if position is None:
                continue
            j = position - h if position >= h else position
            k = b ^ crossed
            enable[k], read[b], row[b] = 1, 1, base + j
            shift[k] = self._input_shift(phase, b, position)
            weights[k] = self._weights[self.phase][self.tile][k][2 * j + b]
            pointer[b] = position + 1
        return _Slot(
            enable=tuple(enable),
            shift=tuple(shift),
            bank=crossed,
            read=tuple(read),
            row=tuple(row),
            weights=tuple(weights),
            pointer=tuple(pointer),
            last=not any(work[b] >> pointer[b] for b in range(2)),
        )

    def _next_phase(self) -> tuple[int, int]:
        """(phase, tile) after the last slot of the present phase; idle after the frame's last."""
        block = self._block_of[self.phase]
        if self.phase + 1 < block.first_phase + len(block.phases):
            return self.phase + 1, self.tile
        if self.tile + 1 < block.tiles:
            return block.first_phase, self.tile + 1
        after = self.phase + 1
        if after < self.schedule.idle and self._block_of[after].readout and self.frame_index:
            after = self.schedule.idle
        return after, 0

    # ---- X: accumulators and neurons -----------------------------------------------------

    def _accumulate(self) -> np.ndarray:
        """The accumulators after an op 1 or op 2 slot."""
        x, config = self._x, self.config
        if x.op == _OP_LOAD:
            acc = self.acc.astype(np.int64)
            if x.step:  # MERGE
                a = wrap(acc[0] + acc[1], config.acc_bits)
                both = True
            else:
                shift = self.network.layers[0].input_shift
                a = wrap(round_shift(acc[0] + (acc[1] << 4), shift), config.acc_bits)
                both = config.time_steps == 2 and not self._merges_first
            loaded = np.stack([a, a if both else 0 * a])
            acc[:, self._part()] = loaded[:, self._part()]
            return acc.astype(self._dtype)
        if not (x.first or x.enable[0] or x.enable[1]):
            return self.acc
        acc = np.zeros_like(self.acc) if x.first else self.acc.copy()
        for b in range(2):
            if x.enable[b]:
                term = self._rows[b] << x.shift[b] if x.shift[b] else self._rows[b]
                if x.negate[b]:
                    acc[b] -= term
                else:
                    acc[b] += term
        return wrap(acc, config.acc_bits)

    def _part(self) -> slice:
        """The lanes of the slot in X, op 2 or 3."""
        first = self._x.part * self.config.neuron_lanes
        return slice(first, min(first + self.config.neuron_lanes, self.config.lanes))

    def _fire(self) -> tuple[np.ndarray, np.ndarray]:
        """(spikes, membranes) of an op 3 slot: [lanes], of which its part counts."""
        x, config = self._x, self.config
        if x.step:
            before = self._membrane_work if self._folded else self._membranes[x.layer]
        elif self.start:
            before = np.zeros_like(self._membrane_work)
        else:
            before = self._membranes[self._first_tile[x.layer] + x.tile]
        if config.time_steps == 2:
            stimulus = self.acc[x.step]
        else:
            stimulus = wrap(self.acc[0] + self.acc[1], config.acc_bits)
        tile_layer = self._tile_layers[x.layer][x.tile]
        return lif_step(config, tile_layer, before, stimulus.astype(before.dtype))

    def _write_neurons(self, s: np.ndarray, u: np.ndarray) -> None:
        x, config = self._x, self.config
        part = self._part()
        if self._folded and x.step < config.time_steps - 1:
            self._membrane_work[part] = u[part]
        else:
            self._membranes[self._first_tile[x.layer] + x.tile, part] = u[part]
        place = x.tile * config.lanes
        if x.tile < config.tiles(x.layer) - 1:
            self._held[x.step, place + part.start : place + part.stop] = s[part]
            return
        spikes = self.spikes[x.layer][x.step]
        if x.part == 0:
            spikes[:place] = self._held[x.step, :place]
        there = spikes[place + part.start : place + part.stop]  # short where the layer ends
        there[:] = s[part][: len(there)]
        self._halves[x.layer][x.step] = _mask(spikes[0::2]), _mask(spikes[1::2])

    # ---- one clock edge ------------------------------------------------------------------

    def _edge(
        self,
        feature: Beat | None,
        logits_ready: bool,
        clear_counters: bool,
        recorder: _Recorder | None,
    ) -> None:
        idle = self.schedule.idle
        beats = self._last_beats if self.out_last_group else self._full_beats
        group_leaves = self.out_valid and logits_ready and self.out_beat == beats - 1
        stall = bool(self.capture and self.out_valid and not group_leaves)
        issues = self.phase != idle and not stall
        slot = self._issue() if issues else _NO_SLOT
        x = self._x
        fired = self._fire() if x.op == _OP_LIF and not stall else None
        if recorder is not None:
            self._record(recorder, slot, stall, fired)

        # Output buffer; X's accumulators are still those of the captured group.
        if self.capture and not stall:
            self._load_output()
        elif self.out_valid and logits_ready:
            self.out_beat += 1
            if group_leaves:
                self.out_valid = self.out_beat = 0

        # Counters.
        rows = sum(slot.read)
        memory_rows = [rows if slot.memory == memory else 0 for memory in range(3)]
        frame_ends = issues and slot.last and self._next_phase()[0] == idle
        if self._steps is not _NO_STEPS:  # what the cycle before did
            self._counts = tuple(
                (count + step) & self._counter_mask
                for count, step in zip(self._counts, self._steps, strict=True)
            )
        self._steps = _NO_STEPS
        if clear_counters:
            self._counts = _NO_STEPS
        elif self.phase != idle:
            dense = self._phases[self.phase].dense_rows if issues and slot.last else 0
            self._steps = (1, stall, frame_ends, *memory_rows, sum(slot.enable), dense - rows)

        # X and capture.
        if not stall:
            if x.op in (_OP_MAC, _OP_LOAD):
                self.acc = self._accumulate()
            elif fired is not None:
                self._write_neurons(*fired)
            self.capture, self.capture_last, self.capture_end = x.capture, x.capture_last, x.end
            self._x = slot
            for b in range(2):
                if slot.weights[b] is not None:
                    self._rows[b] = slot.weights[b]
                if slot.read[b]:
                    # Set b has bank b's row, or in a crossed phase the other's.
                    self._bank_data[slot.memory, b] = slot.weights[b ^ slot.bank]

        # Feature buffer: filling and emptying exclude each other.
        was_full = self.full
        if issues and slot.last and self._last_input_phase():
            self.full = 0
        if feature is not None and not was_full:
            self._take_feature(*feature)

        # F.
        if issues:
            self.pointer, self.taken = slot.pointer, slot.taken
            if slot.last:
                self.phase, self.tile = self._next_phase()
        if self.phase == idle and was_full:  # from idle even in a stall
            self._launch()

    def _last_input_phase(self) -> bool:
        kind = self._phases[self.phase].kind
        return kind is PhaseKind.INPUT and self.tile == self.config.tiles(0) - 1

    def _take_feature(self, value: int, start: bool, end: bool) -> None:
        self._x_buffer[self.count] = value
        self._nonzero &= ~(1 << self.count)
        self._nonzero |= (value != 0) << self.count
        self.count += 1
        if self.count == self.config.n_input:
            self.count, self.full = 0, 1
            self.next_start, self.next_end = int(start), int(end)

    def _load_output(self) -> None:
        self._out_data = self.acc.flatten()
        self.out_valid, self.out_beat = 1, 0
        self.out_last_group, self.out_end = self.capture_last, self.capture_end

    def _logits(self) -> np.ndarray:
        """What the output buffer's beats carry: of the odd tile, the sum of both halves."""
        if not (self.out_last_group and self.schedule.odd_tile):
            return self._out_data
        low, high = self._out_data.reshape(2, -1)
        total = wrap(low + high, self.config.acc_bits)
        return np.concatenate([total, np.zeros_like(total)])

    def _launch(self) -> None:
        self.phase = self.tile = 0
        self.start, self.end = int(self.next_start or self.fresh), self.next_end
        self.fresh = 0
        if self.start:
            self.frame_index = 0
            for layer, spikes in enumerate(self.spikes):
                spikes[...] = 0
                self._halves[layer] = [(0, 0)] * self.config.time_steps
        else:
            self.frame_index = (self.frame_index + 1) % self.config.readout_every

    def _record(
        self,
        recorder: _Recorder,
        slot: _Slot,
        stall: bool,
        fired: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        config, x, index = self.config, self._x, recorder.index
        recorder.index += 1
        input_bus, hidden_bus, readout_bus = (
            (*slot.read, *slot.row) if slot.memory == memory else (0, 0, 0, 0)
            for memory in range(3)
        )
        out_lanes = config.output_lanes
        beats = self._last_beats if self.out_last_group else self._full_beats
        beat_last = self.out_valid and self.out_last_group and self.out_beat == beats - 1
        written = fired is not None and x.step == config.time_steps - 1 if self._folded else False
        # In the order of _trace_layout.
        row = [
            self.phase,
            self.tile,
            *self.pointer,
            *self.taken,
            stall,
            input_bus[0],
            input_bus[2],
            *(hidden_bus if "hidden_read" in recorder.fields else ()),
            *readout_bus,
            *(x.op, x.first),
            *(x.negate if config.signed_digits else x.negate[1:]),
            *(x.memory, x.bank),
            *(x.layer, x.tile, x.step, x.part),
            *(x.capture, x.capture_last, x.end),
            *x.enable,
            *x.shift,
            *(self.capture, self.capture_last, self.capture_end),
            *(self.count, self.full, self.next_start, self.next_end),
            *(self.start, self.end, self.fresh, self.frame_index),
            *(self.out_valid, self.out_beat, self.out_last_group, self.out_end),
            beat_last,
            self.out_valid and self.out_end,
            *self._counts,
        ]
        arrays = recorder.arrays
        if self._folded:
            row += [written, self._first_tile[x.layer] + x.tile if written else 0]
            if written:
                of_part = fired[1][self._part()]
                arrays["membrane_data"][index, : len(of_part)] = of_part
            if config.time_steps == 2:
                arrays["membrane_work"][index] = self._membrane_work
            arrays["held"][index] = self._held
        else:
            arrays["membranes"][index] = self._membranes
        recorder.table[index] = row
        for name, banks in zip(_MEMORY_NAMES, self._bank_data, strict=True):
            if f"{name}_data" in arrays:
                arrays[f"{name}_data"][index] = banks if name != "input" else banks[0]
        arrays["acc"][index] = self.acc
        for layer, spikes in enumerate(self.spikes):
            arrays[f"spikes_{layer}"][index] = spikes
        arrays["features"][index] = self._x_buffer
        arrays["out_data"][index] = self._out_data
        if self.out_valid:
            first = self.out_beat * out_lanes
            arrays["beat_logits"][index] = self._logits()[first : first + out_lanes]


def _half_digits(digits: list[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Bit masks of a feature's digits, low and high half: those that are not 0, those that are -1.

    Parameters
    ----------
    digits
        Eight digits, that of 2^0 first.
    """
    halves = digits[:4], digits[4:]
    return (
        tuple(sum((digit != 0) << i for i, digit in enumerate(half)) for half in halves),
        tuple(sum((digit < 0) << i for i, digit in enumerate(half)) for half in halves),
    )


def _lowest(mask: int) -> int:
    """Index of the lowest set bit of a mask that is not 0."""
    return (mask & -mask).bit_length() - 1


def _mask(bits: np.ndarray) -> int:
    """A bit mask with bit j set where bits[j] is."""
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def _pattern(pattern: Pattern) -> Callable[[int], bool]:
    if callable(pattern):
        return lambda clock: bool(pattern(clock))
    if isinstance(pattern, (bool, np.bool_)):
        return lambda _: bool(pattern)
    values = [bool(value) for value in pattern]
    return lambda clock: values[clock % len(values)]
