# SPDX-License-Identifier: Apache-2.0
"""The benches are proved by broken designs: a few on every run, all of them in `make test-all`."""

import collections

import pytest

from cocotb_tests.mutation.engine import (
    NETLISTS,
    TARGET,
    mutated_sources,
    run,
    run_hand,
    run_netlist,
)
from cocotb_tests.mutation.mutants import CONFIGS, MUTANTS

pytestmark = pytest.mark.xdist_group("mutants")

# One of each part of the design, each in the smallest machine that shows it.
QUICK = (
    "rounding term dropped",
    "threshold must be passed",
    "odd input first at a draw",
    "spikes survive an utterance",
    "stalls while the last beat leaves",
    "parameter layer not held",
)


@pytest.fixture(scope="module")
def mutant_root(build_root):
    return build_root / "mutants"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_still_has_its_place_in_the_design(mutant, tmp_path):
    mutated_sources(mutant, tmp_path)
    assert set(mutant.configs) <= set(CONFIGS)


def test_names_of_mutants_differ():
    names = collections.Counter(mutant.name for mutant in MUTANTS)
    assert names.most_common(1)[0][1] == 1
    assert set(QUICK) <= set(names)


# Of the ten that the quick test takes: neither caught nor proved equivalent. After a change of the
# netlist they are others.
ESCAPE = {"t2-16", "t2-76"}


@pytest.mark.parametrize("name", QUICK)
def test_bench_catches_hand_written_mutant(name, mutant_root):
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    verdict = run_hand(mutant, mutant_root)
    assert verdict.status == "caught", verdict


def test_bench_catches_some_mutations_of_the_netlist(mutant_root):
    verdicts = run_netlist("t2", mutant_root, 10)
    assert len(verdicts) == 10
    assert {v.name for v in verdicts if v.status == "escaped"} <= ESCAPE, verdicts


@pytest.mark.slow
def test_benches_catch_mutants(mutant_root, capsys):
    """At least 95 % of all mutants that are not proved equivalent; prints what escaped."""
    report = run(mutant_root)
    with capsys.disabled():
        print("", *report.lines(), sep="\n")
    assert len(report.of("hand")) >= 40
    assert len(report.of("netlist")) == sum(count for count, _ in NETLISTS.values()) >= 200
    assert report.share_caught >= TARGET
