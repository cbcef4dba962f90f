# SPDX-License-Identifier: Apache-2.0
"""The front ends issue every piece of work exactly once and nothing else (architecture.md, "F").

The operand is any constant vector. One feature, or one input, is watched: any, and the same in all
clocks. What is shown of it holds of all of them.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Mux, Signal, Value, signed
from amaranth.lib import data

from cocotb_tests.formal.harness import Harness
from hw.config import AcceleratorConfig
from hw.core.front_end import FeatureFrontEnd, SpikeFrontEnd
from hw.schedule import Work, half

__all__ = ["feature_front_end", "spike_front_end"]


def feature_front_end(config: AcceleratorConfig) -> Harness:
    """A whole input phase and what follows it: position 0 to the last slot, then the next phase."""
    h = Harness()
    m, n = h.m, config.n_input
    h.m.submodules.front = front = FeatureFrontEnd(config)
    features = h.constant("features", data.ArrayLayout(signed(8), n))
    watched = h.constant("watched", range(n))
    h.assume(watched < n)
    pointer = Signal(range(n + 1))
    taken = Signal(data.ArrayLayout(4, 2))
    h.drive(front, features=features, pointer=pointer, taken=taken)
    with m.If(front.last):
        m.d.sync += [pointer.eq(0), Value.cast(taken).eq(0)]
    with m.Else():
        m.d.sync += [pointer.eq(front.pointer_next), Value.cast(taken).eq(front.taken_next)]

    # What the PEs make of the slots of the watched feature: digits of set b weigh 16**b.
    feature = h.named("feature", Array(features[i] for i in range(n))[watched])
    is_signed = len(front.negate) == 2  # digits of the non-adjacent form
    negate = front.negate if is_signed else Cat(Const(0, 1), front.negate)
    here = (front.index == watched) & front.enable.any()
    digits = []
    for b in range(2):
        digit = Signal(signed(5), name=f"digit_{b}")
        size = Mux(front.enable[b], 1 << front.shift[b], 0)
        m.d.comb += digit.eq(Mux(negate[b], -size, size))
        digits.append(digit)
    issued = Signal(signed(10))  # before this slot
    after = Signal(signed(10))
    slot = h.named("slot", Mux(here, digits[0] + (digits[1] << 4), 0))
    m.d.comb += after.eq(issued + slot)
    m.d.sync += issued.eq(Mux(front.last, 0, after))
    done = [Signal(4, name=f"done_{b}") for b in range(2)]  # the places issued, bit by bit
    for b in range(2):
        place = Mux(here & front.enable[b], 1 << front.shift[b], 0)
        m.d.sync += done[b].eq(Mux(front.last, 0, done[b] | place))
        h.claim(f"no place of half {b} twice", (done[b] & place) == 0)
    rows = Signal(2)
    read = h.named("read", front.read & (front.index == watched))
    m.d.sync += rows.eq(Mux(front.last, 0, Mux(rows == 3, 3, rows + read)))
    row = Signal.like(front.index)  # whose row the memory puts out in the slot's next clock
    m.d.sync += row.eq(Mux(front.read, front.index, row))
    held = Mux(front.read, front.index, row)

    h.claim("all digits of a feature are issued", ~front.last | (after == feature))
    h.claim("each slot but a lone last one issues", front.enable.any() | (pointer == 0))
    h.claim("the row of what is issued is out", ~front.enable.any() | (held == front.index))
    h.claim(
        "a row is read once, and only if its feature is not 0",
        ~front.last | (rows + read == (feature != 0)),
    )
    h.claim("nothing is issued of a feature that is 0", ~(here & (feature == 0)))

    # What makes it inductive: how far the watched feature is, as the position says.
    words = [features[i].as_unsigned() for i in range(n)]
    passed = watched < pointer
    started = Value.cast(taken).any()
    first = Signal(n + 1)  # features from the pointer on that are not 0
    m.d.comb += first.eq(Cat(word.any() for word in words) & (((1 << n) - 1) << pointer)[:n])
    current = h.named("current", front.index == watched)
    in_work = started & current & ~passed
    whole = h.named("whole", Array(words)[watched])
    h.claim("invariant: the pointer stays in range", pointer <= n)
    h.claim("invariant: a started feature is left", ~started | first.any())
    h.claim(
        "invariant: the count of rows",
        rows == Mux(passed, feature != 0, in_work),
    )
    h.claim("invariant: the row of a started feature is out", ~started | (row == front.index))
    h.claim(
        "invariant: what is taken of the watched feature",
        Mux(
            in_work,
            (done[0] == taken[0]) & (done[1] == taken[1]),
            passed | (~Cat(*done).any() & (issued == 0)),
        ),
    )
    digits_set, minus = _digits(whole, is_signed)
    places = Cat(*done)
    value = sum(Mux(places[i], Mux(minus[i], -1 << i, 1 << i), 0) for i in range(8))
    h.claim("no place without its digit", (places & ~digits_set) == 0)
    h.claim("invariant: the value of the places", issued == value)
    h.claim("invariant: all places of a passed feature", ~passed | (places == digits_set))
    h.claim(
        "invariant: what is taken is a part of the current feature",
        ~(started & current)
        | (((Value.cast(taken) & ~digits_set) == 0) & (Value.cast(taken) != digits_set)),
    )
    h.cover("the last slot of all bits set", front.last & (after == -1))
    h.cover("a feature's second slot", here & places.any() & front.last)
    return h


def _digits(word: Value, is_signed: bool) -> tuple[Value, Value]:
    """Which of an int8 feature's eight digits are not 0, and which are negative.

    The non-adjacent form is made from the right with a carry, as in textbooks, and not as the
    front end makes it.
    """
    if not is_signed:
        return word, word & 0x80
    bits = [*(word[i] for i in range(8)), word[7], word[7]]
    carry: Value = Const(0, 1)
    digits, minus = [], []
    for i in range(8):
        odd = bits[i] ^ carry
        following = (bits[i] & bits[i + 1]) | (carry & (bits[i] | bits[i + 1]))
        digits.append(odd)
        minus.append(odd & following)
        carry = following
    return Cat(digits), Cat(minus)


def spike_front_end(
    config: AcceleratorConfig,
    works: tuple[Work, ...],
    neurons: int,
    serial_neurons: int,
) -> Harness:
    """A whole spike phase of any kind of work and any way to fetch, and what follows it."""
    h = Harness()
    m = h.m
    front = SpikeFrontEnd(config, works, neurons, serial_neurons)
    m.submodules.front = front
    steps = config.time_steps
    spikes = h.constant("spikes", data.ArrayLayout(neurons, steps))
    exists = h.constant("exists", neurons)
    work = h.constant("work", range(max(2, len(works))))
    joint = h.constant("joint", 1)
    half_, place = h.constant("watched_half", 1), h.constant("watched_place", range(half(neurons)))
    pointers = [Signal(range(front.positions + 1), name=f"pointer_{b}") for b in range(2)]
    h.drive(front, spikes=spikes, exists=exists, work=work, joint=joint)
    for b in range(2):
        m.d.comb += front.pointer[b].eq(pointers[b])
        m.d.sync += pointers[b].eq(Mux(front.last, 0, front.pointer_next[b]))
    h.assume(
        work < len(works),
        # A source may be smaller than the front end: inputs 0 .. n-1 exist, the others are silent.
        *((spikes[k] & ~exists) == 0 for k in range(steps)),
        *(~exists[i + 1] | exists[i] for i in range(neurons - 1)),
        2 * place + half_ < neurons,
    )

    watched = 2 * place + half_
    s = [spikes[k].bit_select(watched, 1) for k in range(steps)]
    here = exists.bit_select(watched, 1)
    passed = h.named("passed", Mux(half_, pointers[1], pointers[0]) > place)
    again = Value.cast(0)
    due, owed = Signal(2), Signal(2)  # slots of the watched input: in the phase, up to here
    with m.Switch(work):
        for code, kind in enumerate(works):
            with m.Case(code):
                if kind is Work.SERIAL:
                    h_serial = half(serial_neurons)
                    inputs = (1 << serial_neurons) - 1
                    h.assume((work != code) | ((exists & ~inputs) == 0))
                    again = Mux(half_, pointers[1], pointers[0]) > place + h_serial
                    m.d.comb += [due.eq(s[0] + s[1]), owed.eq((passed & s[0]) + (again & s[1]))]
                else:
                    rule = {
                        Work.ALL: here,
                        Work.SPIKES: s[0],
                        Work.UNION: s[0] | s[-1],
                        Work.COMMON: s[0] & s[-1],
                        Work.STRAIGHT: Mux(half_, s[-1] & ~s[0], s[0] & ~s[-1]),
                        Work.CROSSED: Mux(half_, s[0] & ~s[-1], s[-1] & ~s[0]),
                    }[kind]
                    m.d.comb += [due.eq(rule), owed.eq(passed & rule)]
    serves = Mux(half_, front.serve[1], front.serve[0])
    index = Mux(half_, front.index[1], front.index[0])
    hit = h.named("hit", serves & (index == place))
    count, after = Signal(2), Signal(3)
    m.d.comb += after.eq(count + hit)
    m.d.sync += count.eq(Mux(front.last, 0, after))
    moved = [pointers[b] != 0 for b in range(2)]
    serial = work == works.index(Work.SERIAL) if Work.SERIAL in works else Value.cast(0)

    h.claim("never more often than there is work", after <= due)
    h.claim("by the last slot as often as there is work", ~front.last | (after == due))
    h.claim("a slot that serves nothing is the only one", front.serve.any() | ~Cat(*moved).any())
    h.claim("a joint slot serves one half", ~joint | ~front.serve.all())
    for k in range(steps):
        spike = Mux(half_, front.spike[1][k], front.spike[0][k])
        h.claim(f"the spike of time step {k} goes along", ~hit | serial | (spike == s[k]))
    # A half that has work at or above its pointer: only then does a split phase go on.
    other = Mux(half_, front.serve[0], front.serve[1])
    h.claim(
        "a half with work left never waits, but for the other half in a joint slot",
        serves | (joint & other) | (due == after),
    )
    # (A serial phase does not show which time step a position is of.)
    other_index = Mux(half_, front.index[0], front.index[1])
    h.claim(
        "a joint slot takes the lowest position of both",
        ~joint
        | serial
        | ~other
        | (count == due)
        | (other_index < place)
        | ((other_index == place) & half_),
    )
    h.claim("invariant: as often as the pointer has passed it", count == owed)
    for b in range(2):
        h.claim(f"invariant: pointer {b} stays in range", pointers[b] <= front.positions)
    for code, kind in enumerate(works):
        h.cover(
            f"{kind.name}, split, both halves at once",
            (work == code) & ~joint & hit & front.serve.all(),
        )
        h.cover(
            f"{kind.name}, joint, a second slot", (work == code) & joint & hit & Cat(*moved).any()
        )
    return h
