# SPDX-License-Identifier: Apache-2.0
"""The engines prove what holds, refute what does not, and show an empty proof for what it is."""

import pytest
from amaranth.hdl import Elaboratable, Module, Signal

from cocotb_tests.formal.engine import Exhaustion, Induction, Pdr, Sat, build, prove
from cocotb_tests.formal.harness import Harness

SEQUENTIAL = [Induction(), Pdr()]
COMBINATIONAL = [Sat(), Exhaustion()]


class Counter(Elaboratable):
    """Counts to 5 and begins again."""

    def __init__(self) -> None:
        self.count = Signal(3)
        self.go = Signal()

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        ticks = Signal(3)
        with m.If(self.go):
            m.d.sync += ticks.eq(ticks + 1)
            with m.If(ticks == 5):
                m.d.sync += ticks.eq(0)
        m.d.comb += self.count.eq(ticks)
        return m


def counting() -> tuple[Harness, Counter]:
    h = Harness()
    h.m.submodules.counter = counter = Counter()
    h.m.d.comb += counter.go.eq(h.free("go", 1))
    return h, counter


@pytest.mark.parametrize("engine", SEQUENTIAL)
def test_what_holds_in_reachable_states_is_proved(engine, tmp_path):
    h, counter = counting()
    h.claim("it stays in range", counter.count <= 5)
    h.cover("it comes to the end", counter.count == 5)
    h.cover("it goes beyond", counter.count == 6)
    proof = prove(build(h, engine), engine, tmp_path, cover_clocks=8)
    assert proof.proved
    assert proof.reached == {"it comes to the end": 6, "it goes beyond": None}


@pytest.mark.parametrize("engine", SEQUENTIAL)
def test_what_does_not_hold_is_refuted_by_the_shortest_run(engine, tmp_path):
    h, counter = counting()
    h.claim("it is no 7", counter.count != 7)
    h.claim("it stays below 3", counter.count < 3)
    proof = prove(build(h, engine), engine, tmp_path)
    assert not proof.proved
    assert proof.broken == ("it stays below 3",)
    assert proof.how == "run of 4 clocks"
    lines = [line.split() for line in proof.trace.splitlines()]
    assert lines[1] == ["clock", "1", "2", "3", "4"]
    assert ["counter.ticks", "0", "1", "2", "3"] in lines


def test_what_holds_but_is_not_inductive_is_neither(tmp_path):
    h, counter = counting()
    h.claim("it is no 7", counter.count != 7)  # 6 is never reached, but nobody says so
    with pytest.raises(RuntimeError, match=r"^not proved, and not refuted in 12 clocks$"):
        prove(build(h, Induction()), Induction(), tmp_path)


def test_an_invariant_helps_and_may_look_inside(tmp_path):
    h, counter = counting()
    h.claim("it is no 7", counter.count != 7)
    h.claim("invariant: the register", h.peek("counter.ticks", 3) <= 5)
    assert prove(build(h, Induction()), Induction(), tmp_path).proved


@pytest.mark.parametrize("engine", SEQUENTIAL)
def test_a_claim_holds_only_as_long_as_what_is_assumed(engine, tmp_path):
    for conditions, proved in ((lambda go: [~go], True), (lambda _go: [], False)):
        h = Harness()
        h.m.submodules.counter = counter = Counter()
        go = h.free("go", 1)
        h.m.d.comb += counter.go.eq(go)
        h.assume(*conditions(go))
        h.claim("it does not move", counter.count == 0)
        assert prove(build(h, engine), engine, tmp_path).proved is proved


def test_a_proof_from_a_contradiction_reaches_no_cover(tmp_path):
    h, counter = counting()
    go = h.free("again", 1)
    h.assume(go, ~go)
    h.claim("anything", counter.count == 6)
    h.cover("anything happens", counter.count == 0)
    proof = prove(build(h, Induction()), Induction(), tmp_path, cover_clocks=3)
    assert proof.proved
    assert proof.reached == {"anything happens": None}


@pytest.mark.parametrize("engine", COMBINATIONAL)
def test_all_inputs_are_tried(engine, tmp_path):
    for unlike, proved in ((12345, False), (None, True)):
        h = Harness()
        word = h.free("word", 16)
        doubled = word + word
        if unlike is not None:
            h.claim("one value apart", (doubled == word << 1) & (word != unlike))
        else:
            h.claim("twice is a shift", doubled == word << 1)
        proof = prove(build(h, engine), engine, tmp_path)
        assert proof.proved is proved
        assert proved or ["word", "12345"] in [line.split() for line in proof.trace.splitlines()]
