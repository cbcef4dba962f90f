# SPDX-License-Identifier: Apache-2.0
"""The serial bridge against the protocol's reference, and broken bridges that the bench catches."""

import collections

import pytest

from cocotb_tests.mutation.engine import mutated_sources
from cocotb_tests.serial.serial_blocks import bench_verilog, run_serial_bench
from cocotb_tests.serial.serial_mutants import MUTANTS, caught_by

# What the protocol stands on, on every run.
QUICK = ("repeat carried out again",)


def test_bridge_follows_the_protocol(build_root, seed):
    verilog = bench_verilog("bridge")
    result = run_serial_bench("bridge", verilog, build_root=build_root, seed=seed)
    assert result.tests == 6


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_still_has_its_place_in_the_design(mutant, tmp_path):
    mutated_sources(mutant, tmp_path)


def test_names_of_mutants_differ():
    names = collections.Counter(mutant.name for mutant in MUTANTS)
    assert names.most_common(1)[0][1] == 1
    assert set(QUICK) <= set(names)


@pytest.mark.parametrize("name", QUICK)
def test_bench_catches_mutant(name, build_root):
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    assert caught_by(mutant, build_root / "mutants")


@pytest.mark.slow
def test_benches_catch_all_mutants(build_root, capsys):
    """Every one; prints what caught each."""
    escaped = []
    with capsys.disabled():
        print()
        for mutant in MUTANTS:
            message = caught_by(mutant, build_root / "mutants")
            print(f"{mutant.name}: {message[:90] or 'ESCAPED'}", flush=True)
            if not message:
                escaped.append(mutant.name)
    assert not escaped
