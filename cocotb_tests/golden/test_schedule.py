# SPDX-License-Identifier: Apache-2.0
"""The phase table and the memory map: the reference's sizes, and no row used twice or wasted."""

from collections import Counter

import pytest
from hypothesis import given

from cocotb_tests.configurations import configurations
from hw.config import PRESETS, AcceleratorConfig, preset
from hw.schedule import Fetch, PhaseKind, Schedule, WeightMemory, Work, half


@pytest.mark.parametrize("name", ["paper-t2", "paper-t2-unmerged", "paper-t1"])
def test_memories_of_the_reference_have_the_published_sizes(name):
    config = PRESETS[name]
    memories = Schedule(config).memories
    assert memories == {
        "input": WeightMemory(48, 1),
        "hidden": WeightMemory(192, 2),
        "readout": WeightMemory(960, 2),
    }
    bits = sum(shape.rows * shape.banks for shape in memories.values()) * config.row_bits
    assert bits // 8 == 150_528


@given(configurations())
def test_rows_never_collide_and_fill_the_memories(config):
    schedule = Schedule(config)
    used = {name: Counter() for name in schedule.memories}
    for layer, neurons in enumerate(config.hidden):
        for tile in range(config.tiles(layer)):
            for i in range(config.n_source(layer)):
                if layer == 0:
                    used["input"][0, schedule.input_row(tile, i)] += 1
                else:
                    used["hidden"][schedule.hidden_row("w_in", layer, tile, i)] += 1
            for i in range(neurons if config.recurrent[layer] else 0):
                used["hidden"][schedule.hidden_row("w_rec", layer, tile, i)] += 1
            for bank in range(2 if config.has_bias(layer) else 0):
                used["hidden"][bank, schedule.bias_row(layer, tile)] += 1
    for tile in range(config.output_tiles):
        for i in range(config.hidden[-1]):
            used["readout"][schedule.readout_row(tile, i)] += 1
    matrices = sum((layer > 0) + rec for layer, rec in enumerate(config.recurrent))
    for name, shape in schedule.memories.items():
        rows = used[name]
        assert max(rows.values(), default=1) == 1
        assert all(bank in range(shape.banks) for bank, _ in rows)
        assert all(row in range(shape.rows) for _, row in rows)
        empty = shape.rows * shape.banks - len(rows)
        # Empty: the rest of 16 rows; the missing input of an odd matrix, in every tile.
        limit = {"input": 15, "hidden": matrices * config.most_tiles, "readout": 1}[name]
        assert 0 <= empty <= limit
        odd = config.hidden[-1] % 2
        if name == "readout":
            assert empty == (odd if schedule.odd_tile else 0)


@given(configurations())
def test_phases_address_the_rows_of_the_memory_map(config):
    """Base + tile * stride + position of each phase is the row that the memory map gives."""
    schedule = Schedule(config)
    for block in schedule.blocks:
        for phase in block.phases:
            for tile in range(block.tiles if phase.memory else 0):
                row = phase.base + tile * phase.stride
                for i in range(phase.n_source):
                    if phase.kind is PhaseKind.INPUT:
                        assert schedule.input_row(tile, i) == row + i
                    elif phase.kind is not PhaseKind.READOUT:
                        name = "w_rec" if phase.kind is PhaseKind.RECURRENT else "w_in"
                        place = schedule.hidden_row(name, phase.layer, tile, i)
                        assert place == (i & 1, row + i // 2)
                    elif phase.fetch is Fetch.PAIR:
                        assert schedule.readout_row(2 * tile, i) == (0, row + i)
                        assert schedule.readout_row(2 * tile + 1, i) == (1, row + i)
                    else:
                        place = schedule.readout_row(config.output_tiles - 1, i)
                        assert place == (i & 1, row + i // 2)


def kinds(config):
    return [
        ([phase.kind.name for phase in block.phases], block.tiles)
        for block in Schedule(config).blocks
    ]


def test_phase_table_of_the_reference():
    assert kinds(preset("paper-t2")) == [
        (["INPUT", *2 * ["LOAD"], "RECURRENT", *4 * ["LIF"]], 1),
        (["RECURRENT", "FEEDFORWARD", *4 * ["LIF"]], 1),
        (["WAIT"], 1),
        (["READOUT"], 7),
        (["READOUT"], 1),
    ]


def test_phase_table_of_plain_layers_and_tiles():
    config = AcceleratorConfig(
        n_input=3,
        hidden=(5, 4),
        recurrent=(False, False),
        n_output=2,
        lanes=4,
        time_steps=1,
        output_lanes=1,
    )
    assert kinds(config) == [
        (["INPUT", "LOAD", "LOAD", "LIF", "LIF"], 2),
        (["WAIT"], 1),
        (["FEEDFORWARD", "LIF", "LIF"], 1),
        (["WAIT"], 1),
        (["READOUT"], 1),
    ]
    assert Schedule(config).memories["hidden"] == WeightMemory(3, 2)
    assert Schedule(config.replace(hidden=[5], recurrent=[False])).memories["hidden"].rows == 0


# How the inputs of a hidden matrix are issued for T = 2, in order.
HIDDEN_WAYS = {
    "all": [(Fetch.BROADCAST, Work.ALL)],
    "union": [(Fetch.BROADCAST, Work.UNION)],
    "split": [
        (Fetch.SPLIT, Work.COMMON),
        (Fetch.SPLIT, Work.STRAIGHT),
        (Fetch.CROSSED, Work.CROSSED),
    ],
}


def test_phases_of_split_hidden_work():
    """Two tiles a layer; layer 1 recurrent, then plain."""
    config = preset("tiny").replace(hidden_work="split")
    exclusive = ["RECURRENT"] * 2 + ["FEEDFORWARD"] * 2
    assert kinds(config)[:2] == [
        (["INPUT", *["LOAD"] * 2, "RECURRENT", *["MERGE"] * 2, *exclusive[:2], *["LIF"] * 4], 2),
        (["RECURRENT", "FEEDFORWARD", *["MERGE"] * 2, *exclusive, *["LIF"] * 4], 2),
    ]
    assert kinds(config.replace(recurrent=[False, False]))[:3] == [
        (["INPUT", *["LOAD"] * 2, *["LIF"] * 4], 2),
        (["WAIT"], 1),
        (["FEEDFORWARD", *["MERGE"] * 2, *exclusive[2:], *["LIF"] * 4], 2),
    ]
    biased = config.replace(bias=[True, False], recurrent=[False, True])
    assert kinds(biased)[0] == (["INPUT", *["LOAD"] * 2, "BIAS", *["MERGE"] * 2, *["LIF"] * 4], 2)
    biased = config.replace(bias=[True, False], hidden_work="union")
    assert kinds(biased)[0] == (
        ["INPUT", *["LOAD"] * 2, "RECURRENT", "BIAS", "BIAS", *["LIF"] * 4],
        2,
    )
    merges = [phase for phase in Schedule(config).phases if phase.kind is PhaseKind.MERGE]
    assert [(phase.layer, phase.part) for phase in merges] == [(0, 0), (0, 1), (1, 0), (1, 1)]


@given(configurations())
def test_every_hidden_matrix_has_each_way_of_its_work_once(config):
    schedule = Schedule(config)
    ways = HIDDEN_WAYS[config.hidden_work] if config.time_steps == 2 else None
    for block in schedule.blocks:
        of_layer = [phase for phase in block.phases if phase.memory == "hidden"]
        hidden = [phase for phase in of_layer if phase.kind is not PhaseKind.BIAS]
        for base in {phase.base for phase in hidden}:
            of_matrix = [phase for phase in hidden if phase.base == base]
            found = [(phase.fetch, phase.work) for phase in of_matrix]
            assert found == (ways or [(Fetch.SPLIT, Work.SPIKES)])
            assert sum(phase.dense_rows for phase in of_matrix) == of_matrix[0].n_source
        merges = [index for index, p in enumerate(block.phases) if p.kind is PhaseKind.MERGE]
        assert len(merges) == (config.parts if of_layer and config.merges else 0)
        for index, phase in enumerate(block.phases):
            if merges and phase.memory == "hidden":
                first = phase.work is Work.COMMON or phase.kind is PhaseKind.BIAS
                assert (index < merges[0]) == first


@given(configurations())
def test_phases_follow_the_rules(config):
    schedule = Schedule(config)
    assert schedule.idle == len(schedule.phases)
    position = 0
    for block in schedule.blocks:
        assert block.first_phase == position
        position += len(block.phases)
        assert block.readout == (block.phases[0].kind is PhaseKind.READOUT)
        summing = [phase for phase in block.phases if phase.memory]
        # The accumulators start from 0 in the first summing phase of a block, and only there.
        assert [phase.first for phase in summing] == [True] * bool(summing) + [False] * (
            len(summing) - 1
        )
    assert position == schedule.idle
    for phase in schedule.phases:
        two = config.time_steps == 2
        if phase.kind in (PhaseKind.RECURRENT, PhaseKind.FEEDFORWARD):
            ways = HIDDEN_WAYS[config.hidden_work] if two else [(Fetch.SPLIT, Work.SPIKES)]
            assert (phase.fetch, phase.work) in ways
            assert phase.source_layer == phase.layer - (phase.kind is PhaseKind.FEEDFORWARD)
            first_way = (phase.fetch, phase.work) == ways[0]
            assert phase.dense_rows == (phase.n_source if first_way else 0)
        elif phase.kind is PhaseKind.READOUT:
            merged = Work.UNION if config.merge_readout else Work.SERIAL
            assert phase.work is (merged if two else Work.SPIKES)
            passes = 2 if phase.work is Work.SERIAL else 1
            banks = 2 if phase.fetch is Fetch.PAIR else 1
            assert phase.dense_rows == passes * banks * config.hidden[-1]
            assert phase.source_layer == config.n_layers - 1
        elif phase.kind is PhaseKind.BIAS:
            assert config.has_bias(phase.layer)
            broadcast = two and not config.merges
            assert phase.fetch is (Fetch.BROADCAST if broadcast else Fetch.SPLIT)
            assert phase.dense_rows == (1 if broadcast else 2)
        elif phase.kind is PhaseKind.INPUT:
            assert phase.dense_rows == phase.n_source == config.n_input
        else:
            assert not phase.memory
            assert phase.dense_rows == 0


@given(configurations())
def test_groups_and_beats_hold_every_output_once(config):
    schedule = Schedule(config)
    outputs = [schedule.group_outputs(group) for group in range(schedule.groups)]
    assert sum(outputs) == config.n_output
    assert all(count == 2 * config.lanes for count in outputs[:-1])
    assert 1 <= outputs[-1] <= 2 * config.lanes
    assert schedule.odd_tile == (outputs[-1] <= config.lanes)
    for group, count in enumerate(outputs):
        beats = schedule.group_beats(group)
        assert (beats - 1) * config.output_lanes < count <= beats * config.output_lanes


def test_half_is_the_larger_half():
    assert [half(n) for n in range(5)] == [0, 1, 1, 2, 2]
