# SPDX-License-Identifier: Apache-2.0
"""The two ends of the core: the feature buffer (a frame in) and the output buffer (logits)."""

from __future__ import annotations

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.choose import choose
from hw.core.pe import accumulators
from hw.schedule import Schedule

__all__ = ["FeatureBuffer", "OutputBuffer", "feature_beat", "logit_beat"]


def feature_beat(config: AcceleratorConfig) -> data.StructLayout:
    """One feature; the flags of the frame's last beat count.

    `value` is int8, `start` says that the frame begins an utterance, `end` that it ends one.
    """
    return data.StructLayout({"value": signed(config.input_bits), "start": 1, "end": 1})


def logit_beat(config: AcceleratorConfig) -> data.StructLayout:
    """output_lanes logits (0 past the last output); last: ends a frame; end: of an utterance."""
    return data.StructLayout(
        {
            "logits": data.ArrayLayout(signed(config.acc_bits), config.output_lanes),
            "last": 1,
            "end": 1,
        }
    )


class FeatureBuffer(wiring.Component):
    """Collects the features of one frame, one a beat.

    Attributes
    ----------
    stream
        In, beats of `feature_beat`.
    done
        In, the running frame needs the features no more: take the next frame.
    features
        Out, int8 [n_input].
    count, full, next_start, next_end
        Out, the buffered frame's state and flags.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._n_input = config.n_input
        super().__init__(
            {
                "stream": In(stream.Signature(feature_beat(config))),
                "done": In(1),
                "features": Out(data.ArrayLayout(signed(8), config.n_input)),
                "count": Out(range(max(2, config.n_input))),
                "full": Out(1),
                "next_start": Out(1),
                "next_end": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        beat = self.stream.payload
        m.d.comb += self.stream.ready.eq(~self.full)
        with m.If(self.stream.valid & self.stream.ready):
            m.d.sync += [
                self.features[self.count].eq(beat.value),
                self.count.eq(self.count + 1),
            ]
            with m.If(self.count == self._n_input - 1):
                m.d.sync += [
                    self.count.eq(0),
                    self.full.eq(1),
                    self.next_start.eq(beat.start),
                    self.next_end.eq(beat.end),
                ]
        with m.If(self.done):
            m.d.sync += self.full.eq(0)
        return m


class OutputBuffer(wiring.Component):
    """Holds a finished readout group while the next one runs, and sends it beat by beat.

    The two sums of the odd tile are added as they leave: output_lanes adders, and not lanes.

    Attributes
    ----------
    capture, capture_last, capture_end
        In, a group is final in `acc`; the frame's last; flag.
    acc
        In, accumulators of both PE sets.
    stall
        Out, a capture is due and the buffer is not free.
    stream
        Out, beats of `logit_beat`.
    data, beat, last_group, end
        Out, the buffer and its state (trace).
    """

    def __init__(self, config: AcceleratorConfig, schedule: Schedule) -> None:
        self._config = config
        self._full_beats = 2 * config.lanes // config.output_lanes
        self._last_beats = schedule.group_beats(schedule.groups - 1)
        self._odd_tile = schedule.odd_tile
        super().__init__(
            {
                "capture": In(1),
                "capture_last": In(1),
                "capture_end": In(1),
                "acc": In(data.ArrayLayout(accumulators(config), 2)),
                "stall": Out(1),
                "stream": Out(stream.Signature(logit_beat(config))),
                "data": Out(data.ArrayLayout(signed(config.acc_bits), 2 * config.lanes)),
                "beat": Out(range(max(2, self._full_beats))),
                "last_group": Out(1),
                "end": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self._config
        valid = Signal()
        final_beat = Signal()
        free = Signal()
        m.d.comb += [
            final_beat.eq(
                self.beat == Mux(self.last_group, self._last_beats - 1, self._full_beats - 1)
            ),
            free.eq(~valid | (self.stream.ready & final_beat)),
            self.stall.eq(self.capture & ~free),
            self.stream.valid.eq(valid),
            self.stream.payload.last.eq(self.last_group & final_beat),
            self.stream.payload.end.eq(self.end),
        ]
        for place in range(config.output_lanes):
            m.d.comb += self.stream.payload.logits[place].eq(self._logit(place))
        with m.If(self.capture & free):
            m.d.sync += [
                valid.eq(1),
                self.beat.eq(0),
                self.last_group.eq(self.capture_last),
                self.end.eq(self.capture_end),
            ]
            m.d.sync += self.data.eq(self.acc)
        with m.Elif(valid & self.stream.ready):
            m.d.sync += self.beat.eq(self.beat + 1)
            with m.If(final_beat):
                m.d.sync += [valid.eq(0), self.beat.eq(0)]
        return m

    def _logit(self, place: int) -> Value:
        """A logit of the beat: of a pair from either half of the buffer, of the odd tile both."""
        lanes, output_lanes = self._config.lanes, self._config.output_lanes
        odd = self.last_group if self._odd_tile else Const(0)
        beats: list[dict[int, Value]] = [{}, {}]  # for each half, its lane and when it leaves
        for beat in range(self._full_beats):
            now = self.beat == beat
            half, lane = divmod(beat * output_lanes + place, lanes)
            beats[half][lane] = beats[half].get(lane, Const(0)) | (now if half == 0 else now & ~odd)
            if half == 0 and self._odd_tile:
                beats[1][lane] = beats[1].get(lane, Const(0)) | (now & odd)
        return sum(
            choose(*((when, self.data[half * lanes + lane]) for lane, when in times.items()))
            for half, times in enumerate(beats)
            if times
        )
