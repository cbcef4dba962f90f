# SPDX-License-Identifier: Apache-2.0
"""Everything that is proved, how, and the broken designs whose proofs must fail."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cocotb_tests.blocks.blocks import config
from cocotb_tests.formal.engine import (
    Built,
    Engine,
    Exhaustion,
    Induction,
    Proof,
    Sat,
    build,
    prove,
)
from cocotb_tests.formal.front_ends import feature_front_end, spike_front_end
from cocotb_tests.formal.harness import Harness
from cocotb_tests.formal.neurons import lif_lane
from cocotb_tests.mutation.engine import mutated_sources, printed_by
from cocotb_tests.mutation.mutants import Mutant
from hw.config import preset
from hw.schedule import Work

__all__ = ["THEOREMS", "Theorem", "prove_broken", "prove_theorem", "text_of"]

_ONE_CLOCK = Induction()
_TEXT = "import sys; from cocotb_tests.formal.theorems import text_of; print(text_of(sys.argv[1]))"


@dataclass(frozen=True)
class Theorem:
    """A design, what is proved of it, and what shows that the proof could fail.

    Attributes
    ----------
    says
        The property in words, for the table.
    harness
        Makes the harness; its `claims` are the property in full.
    engine
        How it is proved.
    mutants
        Broken versions of the design, each of which must be refuted.
    cover_clocks
        In how many clocks each cover must be reached.
    slow
        Too slow for `make test`.
    """

    says: str
    harness: Callable[[], Harness]
    engine: Engine = _ONE_CLOCK
    mutants: tuple[Mutant, ...] = ()
    cover_clocks: int = 1
    slow: bool = False


def _mutants(file: str, *entries: tuple[str, str, str]) -> tuple[Mutant, ...]:
    """Broken versions of a file of `hw/`: name, text, and what replaces it."""
    return tuple(Mutant(name, file, old, new) for name, old, new in entries)


# ---- front ends --------------------------------------------------------------------------

_FEATURE_MUTANTS = _mutants(
    "core/front_end.py",
    ("feature: a digit is issued again", "self.taken[b] | issued", "self.taken[b]"),
    ("feature: a bit is passed over", "more.append((rest ^ issued).any())", "more.append(0)"),
    ("feature: ends with the first one", "done & ~(left & (left - 1)).any()", "done"),
    ("feature: every slot reads", "found & ~Value.cast(self.taken).any()", "found"),
    (
        "feature: the next one is passed over",
        "self.pointer_next.eq(index + found)",
        "self.pointer_next.eq(index + 2 * found)",
    ),
)
_SPIKE_MUTANTS = _mutants(
    "core/front_end.py",
    (
        "spikes: an input twice",
        "Mux(self.serve[b], candidate[b] + 1, self.pointer[b])",
        "Mux(self.serve[b], candidate[b], self.pointer[b])",
    ),
    (
        "spikes: ends with a half left",
        "self.last.eq(~(more[0] | more[1]))",
        "self.last.eq(~more[0])",
    ),
    (
        "spikes: a joint slot moves both",
        "found[1] & ~even_first",
        "found[1]",
    ),
    ("spikes: the other one's straight ones", "steps[b] & ~steps[1 - b]", "steps[1 - b]"),
    ("spikes: union is common", "steps[0] | steps[1]", "steps[0] & steps[1]"),
    ("spikes: serial has one step", "_padded(steps[1], h)", "_padded(steps[0], h)"),
    ("spikes: time step 1 reads elsewhere", "position - self._serial_half", "position"),
)
_WORKS = {
    1: (Work.SPIKES,),
    2: (Work.ALL, Work.UNION, Work.COMMON, Work.STRAIGHT, Work.CROSSED, Work.SERIAL),
}

# ---- neurons -----------------------------------------------------------------------------

_LIF_MUTANTS = _mutants(
    "core/lif.py",
    (
        "lif: no spike at the threshold itself",
        "self.spike.eq(~excess[-1])",
        "self.spike.eq(excess > 0)",
    ),
    ("lif: leak and scale exchanged", "== DecayForm.SCALE", "== DecayForm.LEAK"),
    ("lif: wraps below", "(~self.spike & clamps, least)", "(~self.spike & clamps, total[:bits])"),
    (
        "lif: subtracts from a sum that is not clamped",
        "(subtracts & clamps, ~self.threshold)",
        "(subtracts & clamps, excess[:bits])",
    ),
    ("lif: clamps one bit late", "total[bits - 1 :] != total[-1]", "total[bits:] != total[-1]"),
    (
        "lif: the threshold is for the wrapped sum",
        "excess.eq(total - self.threshold)",
        "excess.eq(total[:bits].as_signed() - self.threshold)",
    ),
    ("lif: no rounding", "self.load_round.eq(shifted[0])", "self.load_round.eq(0)"),
    (
        "lif: the stimulus of the other step",
        "Mux(self.step, self.high, self.low)",
        "Mux(self.step, self.low, self.high)",
    ),
)
_SMALL_LIF = {
    "acc_bits": 8,
    "membrane_bits": 8,
    "membrane_frac": 2,
    "max_decay_shift": 3,
    "max_input_shift": 3,
    "hidden_work": "split",
}
_NO_LIF = {"load": 1, "membrane": 0, "threshold": 1, "decay_form": 0, "reset": 0}
_ISSUES = "every digit of every nonzero feature once, nothing else; the row read once, in time"
_SERVES = "every input with work once (SERIAL: once a spike), nothing else; no slot without work"
_NEURON = "spike and membrane of the equations"

THEOREMS: dict[str, Theorem] = {
    "feature front end, 2 features": Theorem(
        _ISSUES,
        lambda: feature_front_end(config(n_input=2)),
        mutants=_FEATURE_MUTANTS,
        cover_clocks=6,
    ),
    "feature front end, 40 features": Theorem(
        _ISSUES, lambda: feature_front_end(preset("paper-t2")), cover_clocks=6
    ),
    **{
        f"spike front end, T = {steps}, {neurons} neurons": Theorem(
            _SERVES,
            lambda steps=steps, neurons=neurons, serial=serial: spike_front_end(
                config(time_steps=steps), _WORKS[steps], neurons, serial
            ),
            mutants=_SPIKE_MUTANTS if (steps, neurons) == (2, 7) else (),
            cover_clocks=4,
            slow=neurons > 100,
        )
        for steps, neurons, serial in ((1, 7, 7), (2, 7, 5), (1, 128, 128), (2, 128, 128))
    },
    **{
        f"LIF lane, 8 bits, time step {step}": Theorem(
            _NEURON,
            lambda step=step, unused=unused: lif_lane(
                config(**_SMALL_LIF), load=0, step=step, **{unused: 0}
            ),
            Exhaustion(),
            slow=step == 0,
        )
        for step, unused in enumerate(("high", "low"))
    },
    "LIF lane, 8 bits, LOAD and MERGE": Theorem(
        "the rounded sum of numerics.md; the plain sum",
        lambda: lif_lane(config(**_SMALL_LIF), **_NO_LIF),
        Exhaustion(),
    ),
    "LIF lane, 8 bits, T = 2": Theorem(
        f"{_NEURON}; LOAD and MERGE",
        lambda: lif_lane(config(**_SMALL_LIF)),
        Sat(),
        mutants=_LIF_MUTANTS,
    ),
    "LIF lane, 8 bits, T = 1": Theorem(
        f"{_NEURON}; LOAD", lambda: lif_lane(config(**_SMALL_LIF, time_steps=1)), Sat()
    ),
    **{
        f"LIF lane, 16 bits, {name}": Theorem(
            f"{_NEURON}; LOAD", lambda name=name: lif_lane(preset(name)), Sat(), slow=True
        )
        for name in ("paper-t1", "paper-t2")
    },
}
"""By name, in the order of the table."""


def prove_theorem(name: str) -> Proof:
    """Prove one of `THEOREMS`, and reach its covers."""
    theorem = THEOREMS[name]
    return _prove(build(theorem.harness(), theorem.engine), theorem, theorem.cover_clocks)


def text_of(name: str) -> str:
    """The harness of a theorem as JSON, around the designs of the `hw` that Python finds."""
    theorem = THEOREMS[name]
    return json.dumps(vars(build(theorem.harness(), theorem.engine)))


def prove_broken(name: str, mutant: Mutant) -> Proof:
    """Try to prove a theorem of a broken design."""
    with tempfile.TemporaryDirectory(prefix="plosive-broken-") as folder:
        mutated_sources(mutant, Path(folder))
        built = Built(**json.loads(printed_by(_TEXT, Path(folder), name)))
    return _prove(built, THEOREMS[name], 0)


def _prove(built: Built, theorem: Theorem, cover_clocks: int) -> Proof:
    with tempfile.TemporaryDirectory(prefix="plosive-formal-") as folder:
        return prove(built, theorem.engine, Path(folder), cover_clocks=cover_clocks)
