# SPDX-License-Identifier: Apache-2.0
"""Memories of SRAM macros: the choice against brute force, the wrappers against our memories."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.netlist import memory_bench
from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic.pdk import Macro, Port
from flows.asic.sram import Tiling, macro_model, tile, wrapper
from hw.config import preset
from hw.errors import PlosiveError
from hw.schedule import MemoryShape, machine_memories


def macro(words: int, bits: int, area: float, energy: float, *, bit_mask: bool = True) -> Macro:
    address = (words - 1).bit_length()
    inputs = [("A_CLK", 1), ("A_MEN", 1), ("A_WEN", 1), ("A_REN", 1), ("A_DLY", 1)]
    buses = [("A_ADDR", address), ("A_DIN", bits), *([("A_BM", bits)] if bit_mask else [])]
    ports = [Port(name, "input", width, False) for name, width in inputs]
    ports += [Port(name, "input", width, True) for name, width in buses]
    ports += [Port("A_BIST_EN", "input", 1, False), Port("A_DOUT", "output", bits, True)]
    shape = f"sram_{words}x{bits}" + ("" if bit_mask else "_whole")
    return Macro(
        shape, words, bits, area, 1e-9, energy, energy, 3.0, bit_mask, tuple(ports), Path(shape)
    )


MACROS = (
    macro(16, 8, 10.0, 3.0),
    macro(16, 16, 17.0, 5.5),
    macro(32, 8, 16.0, 4.0),
    macro(32, 32, 50.0, 11.0),
    macro(64, 16, 48.0, 8.5),
    macro(64, 8, 20.0, 6.0, bit_mask=False),
)


def brute_force(memory: MemoryShape, goal: str) -> float:
    """The least cost over all multisets of columns that are wide enough."""
    least = float("inf")
    usable = [one for one in MACROS if one.bit_mask]
    for columns in range(1, -(-memory.bits // 8) + 1):
        for chosen in itertools.combinations_with_replacement(usable, columns):
            if sum(one.bits for one in chosen) >= memory.bits:
                levels = [-(-memory.rows // one.words) for one in chosen]
                area = sum(one.area * n for one, n in zip(chosen, levels, strict=True))
                energy = sum(one.read_energy for one in chosen)
                least = min(least, area if goal == "area" else energy)
    return least


@pytest.mark.parametrize("goal", ["area", "energy"])
def test_nothing_is_cheaper(goal: str, rng: np.random.Generator) -> None:
    for _ in range(60):
        shape = MemoryShape(
            "m", int(rng.integers(2, 200)), int(rng.integers(1, 49)), word_bits=15, writable=True
        )
        tiling = tile(shape, MACROS, goal)
        cost = tiling.area if goal == "area" else tiling.read_energy
        assert cost == pytest.approx(brute_force(shape, goal))
        check_covered(tiling)


def check_covered(tiling: Tiling) -> None:
    """Every bit in one column, every row in the column's levels; and the count of unused bits."""
    bits = [bit for column in tiling.columns for bit in range(column.low, column.low + column.bits)]
    assert bits == list(range(tiling.memory.bits))
    for column in tiling.columns:
        assert column.bits <= column.macro.bits
        assert 0 <= column.levels * column.macro.words - tiling.memory.rows < column.macro.words
    built = sum(c.levels * c.macro.words * c.macro.bits for c in tiling.columns)
    assert tiling.unused_bits == built - tiling.memory.rows * tiling.memory.bits >= 0


def test_macros_without_bit_mask_hold_parts_of_one_word() -> None:
    whole = [one for one in MACROS if not one.bit_mask]
    tiling = tile(MemoryShape("m", 64, 32, 16, True), whole)
    assert [column.low for column in tiling.columns] == [0, 8, 16, 24]
    with pytest.raises(PlosiveError, match="no SRAM macro of the PDK can be written by words"):
        tile(MemoryShape("m", 64, 32, 12, True), whole)
    with pytest.raises(PlosiveError, match="no SRAM macros of the PDK make rows of its width"):
        tile(MemoryShape("m", 64, 20, 16, True), whole)


def test_memories_of_a_folded_machine() -> None:
    shapes = {shape.name: shape for shape in machine_memories(preset("tiny"))}
    assert len(shapes) == 7
    membranes = shapes["plosive_membrane_memory"]
    assert (membranes.rows, membranes.bits, membranes.words) == (4, 128, 2)  # a part each
    thresholds = shapes["plosive_threshold_memory"]
    assert (thresholds.rows, thresholds.bits, thresholds.words) == (4, 120, 8)


def wrong_words(shape: MemoryShape, tiling: Tiling, seed: int, folder: Path) -> int:
    """Cycles in which the wrapper's output differs from that of the memory it replaces."""
    used = {column.macro for column in tiling.columns}
    models = [macro_model(one) for one in sorted(used, key=lambda one: one.name)]
    return memory_bench.wrong_words(shape, [wrapper(tiling), *models], seed, folder)


SHAPES = [
    MemoryShape("one_column", 16, 8, 8, True),
    MemoryShape("many_columns", 24, 53, 15, True),
    MemoryShape("many_levels", 101, 32, 32, True),
    MemoryShape("deep_and_wide", 150, 40, 10, True),
]


@pytest.mark.parametrize("goal", ["area", "energy"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_wrappers_do_what_the_memory_does(shape, goal, seed, tmp_path) -> None:
    assert wrong_words(shape, tile(shape, MACROS, goal), seed, tmp_path) == 0


def test_wrapper_of_whole_words(seed: int, tmp_path: Path) -> None:
    shape = MemoryShape("whole", 100, 48, 16, True)
    tiling = tile(shape, [one for one in MACROS if not one.bit_mask])
    assert wrong_words(shape, tiling, seed, tmp_path) == 0


def test_the_comparison_can_fail(seed: int, tmp_path: Path, monkeypatch) -> None:
    """Without the register of the level that was read last, the output moves with the row."""
    text = wrapper(tile(SHAPES[2], MACROS))
    broken = re.sub(r"\{(\w+)_shown\[(\d+)\]\}", r"{\1_\2_here}", text)
    assert broken != text
    monkeypatch.setattr("cocotb_tests.netlist.test_sram.wrapper", lambda _: broken)
    assert wrong_words(SHAPES[2], tile(SHAPES[2], MACROS), seed, tmp_path) > 0


@pytest.mark.filterwarnings("ignore:.*created but never used")
@pytest.mark.parametrize("goal", ["area", "energy"])
def test_paper_memories_of_ihp_macros(goal: str) -> None:
    pdk = pdk_or_skip("ihp-sg13g2")
    other = "energy" if goal == "area" else "area"
    for shape in machine_memories(preset("paper-t2")):
        tiling, rival = (tile(shape, pdk.macros, chosen) for chosen in (goal, other))
        check_covered(tiling)
        assert tiling.memory.bits == 512
        if goal == "area":
            assert tiling.area <= rival.area
        else:
            assert tiling.read_energy <= rival.read_energy
