# SPDX-License-Identifier: Apache-2.0
"""The benches of IP top and serial bridge are proved by broken designs, like those of the core.

A few run every time, all of them in `make test-all`.
"""

import collections
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from cocotb_tests.mutation.engine import mutated_sources
from cocotb_tests.mutation.mutants import Mutant
from cocotb_tests.serial import serial_mutants
from cocotb_tests.shell import shell_mutants

pytestmark = pytest.mark.xdist_group("mutants")


class Design(NamedTuple):
    """Broken versions of a design, what a bench says of one, and what catches the quick ones."""

    mutants: Sequence[Mutant]
    caught_by: Callable[[Mutant, Path], str]
    quick: dict[str, str]


DESIGNS = {
    # One that breaks a rule of AXI, one of the stream's words, one that only the register map's
    # bench sees.
    "shell": Design(
        shell_mutants.MUTANTS,
        shell_mutants.caught_by,
        {
            "write answer withdrawn": "rule ",
            "row bound": "cocotb_tests.shell.bench_axi.",
            "high addresses answered": "cocotb_tests.shell.bench_registers.every_address: ",
        },
    ),
    # What the serial protocol stands on.
    "serial": Design(
        serial_mutants.MUTANTS,
        serial_mutants.caught_by,
        {"repeat carried out again": "cocotb_tests.serial.bench_serial_bridge."},
    ),
}


@pytest.fixture(scope="module")
def mutant_root(build_root):
    return build_root / "mutants"


@pytest.fixture(params=DESIGNS)
def design(request):
    return DESIGNS[request.param]


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant, id=f"{name}: {mutant.name}")
        for name, design in DESIGNS.items()
        for mutant in design.mutants
    ],
)
def test_mutant_still_has_its_place_in_the_design(mutant, tmp_path):
    mutated_sources(mutant, tmp_path)


def test_names_of_mutants_differ(design):
    names = collections.Counter(mutant.name for mutant in design.mutants)
    assert names.most_common(1)[0][1] == 1
    assert set(design.quick) <= set(names)


@pytest.mark.parametrize(
    ("key", "name"), [(key, name) for key, design in DESIGNS.items() for name in design.quick]
)
def test_bench_catches_mutant(key, name, mutant_root):
    design = DESIGNS[key]
    mutant = next(mutant for mutant in design.mutants if mutant.name == name)
    assert design.caught_by(mutant, mutant_root).startswith(design.quick[name])


@pytest.mark.slow
def test_benches_catch_all_mutants(design, mutant_root, capsys):
    """Every one; prints what caught each."""
    escaped = []
    with capsys.disabled(), ThreadPoolExecutor(2) as pool:
        print()
        messages = pool.map(lambda mutant: design.caught_by(mutant, mutant_root), design.mutants)
        for mutant, message in zip(design.mutants, messages, strict=True):
            print(f"{mutant.name}: {message[:90] or 'ESCAPED'}", flush=True)
            if not message:
                escaped.append(mutant.name)
        print(f"{len(design.mutants) - len(escaped)} of {len(design.mutants)} caught")
    assert not escaped
