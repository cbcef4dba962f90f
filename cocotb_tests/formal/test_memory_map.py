# SPDX-License-Identifier: Apache-2.0
"""The memory map is a bijection: each weight has a place of its own, and each place one weight.

From a weight's names (matrix, layer, input, lane of a tile) to an address of the weight port
(region, row, word) and bits of its word. The map is inverted here by a search through the matrices,
written from docs/architecture.md, "Memory map", and not from `hw/schedule.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cocotb_tests.configurations import configurations
from flows.verilog.contents import weight_requests
from golden_model import Network
from hw.config import AcceleratorConfig
from hw.core.weight_port import Region, regions, weight_request
from hw.schedule import WEIGHT_WORD_BITS, Schedule

# Matrix, layer, input, and neuron or output; of a bias, its half (0 low, 1 high) as the input.
Weight = tuple[str, int, int, int]
Place = tuple[Region, int, int]  # region, row, lane
_BANKS = {
    "hidden": (Region.HIDDEN_0, Region.HIDDEN_1),
    "readout": (Region.READOUT_0, Region.READOUT_1),
}


@st.composite
def shapes(draw: st.DrawFn) -> AcceleratorConfig:
    """Configurations of any sizes that a test can count through."""
    size = st.integers(1, 40)
    layers = draw(st.integers(1, 4))
    lanes = draw(st.integers(1, 24))
    return AcceleratorConfig(
        n_input=draw(size),
        hidden=draw(st.lists(size, min_size=layers, max_size=layers)),
        recurrent=draw(st.lists(st.booleans(), min_size=layers, max_size=layers)),
        bias=draw(st.lists(st.booleans(), min_size=layers, max_size=layers)),
        n_output=draw(st.integers(1, 100)),
        time_steps=draw(st.sampled_from([1, 2])),
        lanes=lanes,
        output_lanes=draw(st.sampled_from([1, 2, lanes, 2 * lanes])),
    )


def places(config: AcceleratorConfig, schedule: Schedule) -> Iterator[tuple[Weight, Place]]:
    """Every weight and where the schedule puts it."""
    for layer, neurons in enumerate(config.hidden):
        sources = {"w_in": config.n_source(layer)}
        if config.recurrent[layer]:
            sources["w_rec"] = neurons
        for matrix, n_source in sources.items():
            for neuron in range(neurons):
                tile, lane = divmod(neuron, config.lanes)
                for i in range(n_source):
                    if (matrix, layer) == ("w_in", 0):
                        region, row = Region.INPUT, schedule.input_row(tile, i)
                    else:
                        bank, row = schedule.hidden_row(matrix, layer, tile, i)
                        region = _BANKS["hidden"][bank]
                    yield (matrix, layer, i, neuron), (region, row, lane)
        for neuron in range(neurons if config.has_bias(layer) else 0):
            tile, lane = divmod(neuron, config.lanes)
            for half, region in enumerate(_BANKS["hidden"]):
                yield ("bias", layer, half, neuron), (region, schedule.bias_row(layer, tile), lane)
    for output in range(config.n_output):
        tile, lane = divmod(output, config.lanes)
        for i in range(config.hidden[-1]):
            bank, row = schedule.readout_row(tile, i)
            yield ("w_out", config.n_layers, i, output), (_BANKS["readout"][bank], row, lane)


def weight_at(config: AcceleratorConfig, place: Place) -> Weight | None:
    """Which weight stands at a place, as architecture.md says; None where none does."""
    region, row, lane = place
    last = config.hidden[-1]

    def named(matrix: str, layer: int, tile: int, i: int, n_source: int, n: int) -> Weight | None:
        neuron = tile * config.lanes + lane
        return (matrix, layer, i, neuron) if i < n_source and neuron < n else None

    if region is Region.INPUT:
        tile, i = divmod(row, config.n_input)
        return named("w_in", 0, tile, i, config.n_input, config.hidden[0])
    if region in _BANKS["hidden"]:
        bank = _BANKS["hidden"].index(region)
        for layer, neurons in enumerate(config.hidden):
            for matrix in ("w_in", "w_rec"):
                if matrix == "w_in" and layer == 0:
                    continue
                if matrix == "w_rec" and not config.recurrent[layer]:
                    continue
                n_source = neurons if matrix == "w_rec" else config.hidden[layer - 1]
                stride = (n_source + 1) // 2
                tiles = -(-neurons // config.lanes)
                if row < tiles * stride:
                    tile, j = divmod(row, stride)
                    return named(matrix, layer, tile, 2 * j + bank, n_source, neurons)
                row -= tiles * stride
            if config.has_bias(layer):
                tiles = -(-neurons // config.lanes)
                if row < tiles:
                    return named("bias", layer, row, bank, 2, neurons)
                row -= tiles
        return None
    bank = _BANKS["readout"].index(region)
    tiles = -(-config.n_output // config.lanes)
    pair, i = divmod(row, last)
    if pair < tiles // 2:
        return named("w_out", config.n_layers, 2 * pair + bank, i, last, config.n_output)
    j = row - tiles // 2 * last
    return named("w_out", config.n_layers, tiles - 1, 2 * j + bank, last, config.n_output)


def check_bijection(config: AcceleratorConfig) -> None:
    schedule = Schedule(config)
    sizes = regions(config, schedule)
    used: dict[Place, Weight] = {}
    for weight, place in places(config, schedule):
        region, row, lane = place
        rows, words = sizes[region]
        assert 0 <= row < rows, f"{weight} is beyond its memory: {place}"
        assert lane * config.weight_bits // WEIGHT_WORD_BITS < words
        assert place not in used, f"{weight} and {used.get(place)} are both at {place}"
        used[place] = weight
        assert weight_at(config, place) == weight
    for region, (rows, _) in sizes.items():
        if region in (Region.THRESHOLD, Region.PARAMETER):
            continue
        for row in range(rows):
            for lane in range(config.lanes):
                found = weight_at(config, (region, row, lane))
                assert found == used.get((region, row, lane))


@settings(max_examples=50)
@given(shapes())
def test_each_weight_has_one_place_and_each_place_one_weight(config):
    check_bijection(config)


def _banks_not_told_apart(schedule: Schedule, matrix: str, layer: int, tile: int, i: int):
    return 0, HIDDEN_ROW(schedule, matrix, layer, tile, i)[1]


def _odd_tile_in_one_bank(schedule: Schedule, tile: int, i: int):
    return tile & 1, READOUT_ROW(schedule, tile, i)[1]


HIDDEN_ROW, READOUT_ROW = Schedule.hidden_row, Schedule.readout_row
BROKEN = {
    "input_row": lambda _schedule, _tile, i: i,  # tiles on top of each other
    "hidden_row": _banks_not_told_apart,
    "readout_row": _odd_tile_in_one_bank,
}


@pytest.mark.parametrize("method", BROKEN)
def test_a_broken_map_is_found(monkeypatch, method):
    config = AcceleratorConfig(
        n_input=3, hidden=(5, 4), recurrent=(True, True), n_output=5, lanes=2, output_lanes=1
    )
    check_bijection(config)
    monkeypatch.setattr(Schedule, method, BROKEN[method])
    with pytest.raises(AssertionError):
        check_bijection(config)


@settings(max_examples=20)
@given(configurations(), st.integers(0, 2**16))
def test_the_weight_ports_requests_write_each_word_once_and_hold_the_network(config, seed):
    """Weights read back out of the words, by the places of this file, are the network's."""
    network = Network.random(config, seed)
    layout = weight_request(config, Schedule(config))
    words: dict[tuple[int, int, int], int] = {}
    for request in weight_requests(config, network):
        fields = layout.from_bits(int(request))
        address = int(fields.region.value), int(fields.row), int(fields.word)
        assert fields.write == 1
        assert address not in words
        words[address] = int(fields.data)
    biases = {}
    matrices = {("w_out", config.n_layers): network.w_out}
    for index, layer in enumerate(network.layers):
        matrices["w_in", index] = layer.w_in
        if config.recurrent[index]:
            matrices["w_rec", index] = layer.w_rec
        if config.has_bias(index):
            biases[index] = layer.bias
    found = {key: np.zeros_like(matrix) for key, matrix in matrices.items()}
    found |= {("bias", layer): np.zeros((2, len(bias)), int) for layer, bias in biases.items()}
    count = 0
    for (region, row, word), value in words.items():
        if Region(region) in (Region.THRESHOLD, Region.PARAMETER):
            continue
        for nibble in range(8):
            lane = 8 * word + nibble
            weight = weight_at(config, (Region(region), row, lane)) if lane < config.lanes else None
            bits = value >> 4 * nibble & 15
            if weight is None:
                assert bits == 0
            else:
                matrix, layer, i, neuron = weight
                found[matrix, layer][i, neuron] = bits - 16 * (bits >> 3)
                count += 1
    assert count == sum(matrix.size for matrix in found.values())
    for layer, bias in biases.items():
        low, high = found["bias", layer]
        np.testing.assert_array_equal(low + 8 * high, bias)
    for key, matrix in matrices.items():
        np.testing.assert_array_equal(found[key], matrix)
