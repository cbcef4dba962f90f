# SPDX-License-Identifier: Apache-2.0
"""Spike front ends: combinational searches for the next piece of work ("zero skipping").

A front end sees the operand vector and the position reached (registers of the sequencer) and says
what to issue in this cycle, where the position moves, and whether this is the phase's last slot.
See docs/architecture.md, "F".
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.priority import lowest_set
from hw.schedule import Work, half

__all__ = ["FeatureFrontEnd", "SpikeFrontEnd", "spike_positions"]


class FeatureFrontEnd(wiring.Component):
    """Type A: the digits of both halves of the nonzero features, lowest first.

    The digits are the feature's bits, or those of its non-adjacent form (`input_digits`).

    Attributes
    ----------
    features
        In, int8 [n_input].
    pointer
        In, features below it are done.
    taken
        In, 4 bits [2]: digits of the current feature's low and high half already issued.
    index
        Out, the current feature; 0 if none is left.
    read
        Out, whether the feature's row is to be read (first slot of the feature).
    enable, shift
        Out [2]: per half, whether a digit is issued and which; 0 if none.
    negate
        Out, the high half's digit is the sign bit (weighs -8). With "naf" 2 bits: per half, the
        digit is -1.
    last
        Out, no work after this slot.
    pointer_next, taken_next
        Out, position after this slot.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._n_input = config.n_input
        self._signed = config.signed_digits
        pointer = range(config.n_input + 1)
        super().__init__(
            {
                "features": In(data.ArrayLayout(signed(8), config.n_input)),
                "pointer": In(pointer),
                "taken": In(data.ArrayLayout(4, 2)),
                "index": Out(pointer),
                "read": Out(1),
                "enable": Out(2),
                "shift": Out(data.ArrayLayout(2, 2)),
                "negate": Out(2 if self._signed else 1),
                "last": Out(1),
                "pointer_next": Out(pointer),
                "taken_next": Out(data.ArrayLayout(4, 2)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        n = self._n_input
        words = Array(self.features[i].as_unsigned() for i in range(n))
        left = Signal(n)
        m.d.comb += left.eq(
            Cat(word.any() for word in words) & (Const((1 << n) - 1, n) << self.pointer)[:n]
        )
        found, index, _ = lowest_set(m, left)
        m.d.comb += self.index.eq(index)
        feature = Signal(8)
        m.d.comb += feature.eq(Mux(found, words[index], 0))
        digits = feature  # where they are not 0
        if self._signed:
            digits, minus = _non_adjacent_form(m, feature)

        more = []
        for b in range(2):
            rest = Signal(4, name=f"rest_{b}")
            issued = Signal(4, name=f"issued_{b}")
            signs = [minus.word_select(b, 4)] if self._signed else []
            _, place, sign = lowest_set(m, rest, signs)
            m.d.comb += [
                rest.eq(digits.word_select(b, 4) & ~self.taken[b]),
                issued.eq(rest & -rest),  # the lowest set bit alone
                self.enable[b].eq(rest.any()),
                self.shift[b].eq(place),
            ]
            if self._signed:
                m.d.comb += self.negate[b].eq(sign[0])
            more.append((rest ^ issued).any())
            m.d.comb += self.taken_next[b].eq(self.taken[b] | issued)
        if not self._signed:
            m.d.comb += self.negate.eq(self.enable[1] & (self.shift[1] == 3))
        m.d.comb += [
            self.read.eq(found & ~Value.cast(self.taken).any()),
            self.pointer_next.eq(self.pointer),
        ]
        done = ~Cat(more).any()
        with m.If(done):
            m.d.comb += [self.pointer_next.eq(index + found), self.taken_next.eq(0)]
        # Anything left but the current feature itself: clear its bit and look.
        m.d.comb += self.last.eq(done & ~(left & (left - 1)).any())
        return m


def _non_adjacent_form(m: Module, feature: Signal) -> tuple[Signal, Signal]:
    """Digits of an int8 feature's non-adjacent form: where they are not 0, and where they are -1.

    That of x is the difference, bit by bit, of x + floor(x / 2) and floor(x / 2): the sum of both
    is x, and where neither or both have a bit the digit is 0 (H. Prodinger, "On binary
    representations of integers with digits -1, 0, 1", Integers 0, 2000). 8 bits hold it: an int8
    value has no digit above 2^7, and a carry out of the sum is no digit.
    """
    halved = Signal(8)
    total = Signal(8)
    digits = Signal(8)
    minus = Signal(8)
    m.d.comb += [
        halved.eq(feature.as_signed() >> 1),
        total.eq(feature + halved),
        digits.eq(total ^ halved),
        minus.eq(halved & digits),
    ]
    return digits, minus


def spike_positions(works: tuple[Work, ...], neurons: int, serial_neurons: int) -> int:
    """Positions of a half of the `SpikeFrontEnd` with these parameters."""
    if Work.SERIAL in works:
        return max(half(neurons), 2 * half(serial_neurons))
    return half(neurons)


class SpikeFrontEnd(wiring.Component):
    """Types B, C, D and those of one time step: the inputs with work, split by parity over the two
    halves (banks).

    Position p of half b is input 2p + b; with Work.SERIAL, positions from ceil(n/2) on are the
    inputs again for time step 1.

    Parameters
    ----------
    neurons
        Inputs of the largest source layer.
    works
        The kinds of work that the schedule asks for.
    serial_neurons
        Inputs of the layer that Work.SERIAL reads.

    Attributes
    ----------
    spikes
        In, [time_steps][neurons], 0 in missing inputs.
    exists
        In, [neurons], the inputs that the phase has (for Work.ALL).
    work
        In, index into `works`.
    joint
        In, one slot serves one half (the lowest position) rather than both.
    pointer
        In [2], positions below it are done.
    serve
        Out, 2 bits: the halves that this slot serves.
    index
        Out [2], position / input pair j of each half's candidate, 0 if none.
    spike
        Out [2], per half: the candidate's spikes, one bit a time step; without meaning for
        Work.SERIAL.
    last
        Out, no work after this slot.
    pointer_next
        Out [2].
    """

    def __init__(
        self, config: AcceleratorConfig, works: tuple[Work, ...], neurons: int, serial_neurons: int
    ) -> None:
        self.works = works
        self._neurons = neurons
        self._serial_half = half(serial_neurons)
        self._time_steps = config.time_steps
        self.positions = spike_positions(works, neurons, serial_neurons)
        pointer = range(self.positions + 1)
        super().__init__(
            {
                "spikes": In(data.ArrayLayout(neurons, config.time_steps)),
                "exists": In(neurons),
                "work": In(range(max(2, len(works)))),
                "joint": In(1),
                "pointer": In(data.ArrayLayout(pointer, 2)),
                "serve": Out(2),
                "index": Out(data.ArrayLayout(range(max(2, half(neurons))), 2)),
                "spike": Out(data.ArrayLayout(config.time_steps, 2)),
                "last": Out(1),
                "pointer_next": Out(data.ArrayLayout(pointer, 2)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        positions = self.positions
        found, candidate, more = [], [], []
        for b in range(2):
            # Per time step, the half's bits as one vector over the positions.
            steps = [Cat(self.spikes[k][b : self._neurons : 2]) for k in range(self._time_steps)]
            has_work = Signal(positions, name=f"has_work_{b}")
            with m.Switch(self.work):
                for code, work in enumerate(self.works):
                    with m.Case(code):
                        if work is Work.ALL:
                            m.d.comb += has_work.eq(self.exists[b : self._neurons : 2])
                        elif work is Work.SPIKES:
                            m.d.comb += has_work.eq(steps[0])
                        elif work is Work.UNION:
                            m.d.comb += has_work.eq(steps[0] | steps[1])
                        elif work is Work.COMMON:
                            m.d.comb += has_work.eq(steps[0] & steps[1])
                        elif work is Work.STRAIGHT:
                            m.d.comb += has_work.eq(steps[b] & ~steps[1 - b])
                        elif work is Work.CROSSED:
                            m.d.comb += has_work.eq(steps[1 - b] & ~steps[b])
                        else:
                            h = self._serial_half
                            m.d.comb += has_work.eq(Cat(_padded(steps[0], h), _padded(steps[1], h)))
            left = Signal(positions, name=f"left_{b}")
            mask = (Const((1 << positions) - 1, positions) << self.pointer[b])[:positions]
            m.d.comb += left.eq(has_work & mask)
            any_left, position, carried = lowest_set(
                m, left, [_padded(s, positions) for s in steps]
            )
            found.append(any_left)
            candidate.append(position)
            more.append((left & (left - 1)).any())
            m.d.comb += [self.index[b].eq(position), self.spike[b].eq(Cat(carried))]
            if Work.SERIAL in self.works:
                with m.If(self.work == self.works.index(Work.SERIAL)):
                    second = position >= self._serial_half
                    m.d.comb += self.index[b].eq(
                        Mux(second, position - self._serial_half, position)
                    )
        with m.If(self.joint):
            even_first = found[0] & (~found[1] | (candidate[0] <= candidate[1]))
            m.d.comb += [
                self.serve.eq(Cat(even_first, found[1] & ~even_first)),
                self.last.eq(~Mux(even_first, more[0] | found[1], found[0] | more[1])),
            ]
        with m.Else():
            m.d.comb += [
                self.serve.eq(Cat(found)),
                self.last.eq(~(more[0] | more[1])),
            ]
        for b in range(2):
            m.d.comb += self.pointer_next[b].eq(
                Mux(self.serve[b], candidate[b] + 1, self.pointer[b])
            )
        return m


def _padded(vector: Value, width: int) -> Value:
    """`vector` cut or zero-extended to `width` bits."""
    if len(vector) >= width:
        return vector[:width]
    return Cat(vector, Const(0, width - len(vector)))
