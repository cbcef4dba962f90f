# SPDX-License-Identifier: Apache-2.0
"""Every theorem is proved, none is empty, and broken designs are refuted.

The quick theorems and some broken designs run every time, all in `make test-all`.
"""

import collections
import itertools

import pytest

from cocotb_tests.formal import exhaustion
from cocotb_tests.formal.harness import INVARIANT
from cocotb_tests.formal.theorems import THEOREMS, prove_broken, prove_theorem
from cocotb_tests.mutation.engine import mutated_sources

MUTANTS = [(name, mutant) for name, theorem in THEOREMS.items() for mutant in theorem.mutants]
NAMED = {"ids": lambda value: getattr(value, "name", "")}
QUICK = (
    "feature front end, 2 features",
    "spike front end, T = 2, 7 neurons",
    "LIF lane, 8 bits, T = 2",
    "output buffer, odd last tile, 2 logits a beat",
    "AXI4-Stream results, soft resets",
    "AXI4-Lite and the control bus",
    "serial transmitter, any speed",
)
QUICK_MUTANTS = [(name, THEOREMS[name].mutants[0]) for name in QUICK]


def marked(name: str) -> object:
    return pytest.param(name, marks=[pytest.mark.slow] if THEOREMS[name].slow else [])


@pytest.mark.parametrize("name", [marked(name) for name in THEOREMS])
def test_theorem_is_proved_and_its_covers_are_reached(name):
    proof = prove_theorem(name)
    assert proof.proved, f"{proof.how}\n{proof.trace}"
    never = [cover for cover, clock in proof.reached.items() if clock is None]
    assert never == []
    assert proof.reached or not THEOREMS[name].cover_clocks


def check_refuted(name, mutant):
    refutation = prove_broken(name, mutant)
    assert not refutation.proved
    # Not just what helps to prove: a run breaks what is claimed of the design.
    assert [claim for claim in refutation.broken if not claim.startswith(INVARIANT)]
    assert refutation.trace.startswith("broken: ")


@pytest.mark.parametrize(
    ("name", "mutant"), QUICK_MUTANTS, ids=lambda value: getattr(value, "name", "")
)
def test_broken_design_is_refuted(name, mutant):
    check_refuted(name, mutant)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mutant"),
    [entry for entry in MUTANTS if entry not in QUICK_MUTANTS],
    **NAMED,
)
def test_every_broken_design_is_refuted(name, mutant):
    check_refuted(name, mutant)


def test_names_of_broken_designs_differ():
    names = collections.Counter(mutant.name for _, mutant in MUTANTS)
    assert names.most_common(1)[0][1] == 1


@pytest.mark.parametrize("mutant", [m for _, m in MUTANTS], ids=lambda mutant: mutant.name)
def test_mutant_still_has_its_place_in_the_design(mutant, tmp_path):
    mutated_sources(mutant, tmp_path)


# ---- the evaluation of all inputs --------------------------------------------------------


def conjunction(bits: int, ones: int) -> str:
    """An AIGER file: 1 for the one input whose bits are those of `ones`."""
    literals = [2 * (i + 1) ^ (not ones >> i & 1) for i in range(bits)]
    gates, value = [], literals[0]
    for number, literal in enumerate(literals[1:]):
        target = 2 * (bits + 1 + number)
        gates.append(f"{target} {value} {literal}")
        value = target
    most = bits + len(gates)
    inputs = [str(2 * (i + 1)) for i in range(bits)]
    symbols = [f"i{i} word[{i}]" for i in range(bits)]
    return "\n".join([f"aag {most} {bits} 0 1 {len(gates)}", *inputs, str(value), *gates, *symbols])


@pytest.mark.parametrize(("bits", "place"), [*itertools.product((2, 5, 6, 7, 20, 22), range(3))])
def test_exhaustion_finds_the_only_input(bits, place):
    ones = (0, (1 << bits) - 1, 2 ** (bits - 1) + 1)[place]
    assert exhaustion.try_all(conjunction(bits, ones)) == (bits, {"word": ones})


@pytest.mark.parametrize("bits", [2, 6, 21])
def test_exhaustion_finds_nothing_where_nothing_is(bits):
    text = conjunction(bits, 1)
    lines = text.splitlines()
    lines[1 + bits] = "0"  # the output is constant
    assert exhaustion.try_all("\n".join(lines)) == (bits, None)
