# SPDX-License-Identifier: Apache-2.0
"""The benches of the IP top are proved by broken designs: a few on every run, all in test-all."""

import collections

import pytest

from cocotb_tests.mutation.engine import mutated_sources
from cocotb_tests.shell.shell_mutants import MUTANTS, caught, caught_by

pytestmark = pytest.mark.xdist_group("mutants")

# One that breaks a rule of AXI, one of the stream's words, one that only the register map's bench
# sees; and what catches each.
QUICK = {
    "write answer withdrawn": "rule ",
    "row bound": "cocotb_tests.shell.bench_axi.",
    "high addresses answered": "cocotb_tests.shell.bench_registers.every_address: ",
}


@pytest.fixture(scope="module")
def mutant_root(build_root):
    return build_root / "mutants"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_still_has_its_place_in_the_design(mutant, tmp_path):
    mutated_sources(mutant, tmp_path)


def test_names_of_mutants_differ():
    names = collections.Counter(mutant.name for mutant in MUTANTS)
    assert names.most_common(1)[0][1] == 1
    assert set(QUICK) <= set(names)


@pytest.mark.parametrize("name", QUICK)
def test_bench_catches_mutant(name, mutant_root):
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    assert caught_by(mutant, mutant_root).startswith(QUICK[name])


@pytest.mark.slow
def test_benches_catch_all_mutants(mutant_root, capsys):
    """Every one; prints what caught each."""
    with capsys.disabled():
        print()
        found = caught(mutant_root, progress=lambda name, message: print(f"{name}: {message[:90]}"))
        escaped = [name for name, message in found.items() if not message]
        print(f"{len(found) - len(escaped)} of {len(found)} caught")
    assert not escaped
