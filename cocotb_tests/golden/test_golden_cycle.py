# SPDX-License-Identifier: Apache-2.0
"""The cycle model against the functional model, and against docs/architecture.md."""

import dataclasses
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cocotb_tests.configurations import configurations
from golden_model import (
    CycleModel,
    Drive,
    Network,
    NetworkError,
    memory_image,
    packed_rows,
    random_features,
    trace_shapes,
)
from golden_model.cycle import COUNTERS
from golden_model.fixed_point import wrap
from golden_model.layer import bias_rows
from hw.config import PRESETS, AcceleratorConfig, preset
from hw.schedule import PhaseKind, Schedule

ARCHITECTURE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


def recorded(model, features, **patterns):
    """The trace of a run as arrays [clocks, ...]."""
    drives = []
    for drive in model.drive(features, **patterns):
        model.advance(*drive)
        drives.append(drive)
    drives += [(None, True)] * 3  # what the last slots leave becomes visible
    model.reset()
    beats = [beat or (0, False, False) for beat, _ in drives]
    value, start, end = (np.array(column) for column in zip(*beats, strict=True))
    valid = np.array([beat is not None for beat, _ in drives])
    ready = np.array([taken for _, taken in drives])
    trace = model.trace_chunk(Drive(valid, value, start, end, ready))
    return trace, ready


def taken_logits(config, trace, ready):
    """Logits [readouts, n_output], `last` and `end` flags [beats] of the beats taken."""
    schedule = Schedule(config)
    taken = (trace["out_valid"] == 1) & ready
    beats = trace["beat_logits"][taken]
    per_readout = sum(schedule.group_beats(group) for group in range(schedule.groups))
    assert len(beats) % per_readout == 0
    logits = beats.reshape(-1, per_readout * config.output_lanes)
    assert not logits[:, config.n_output :].any()
    return logits[:, : config.n_output], trace["beat_last"][taken], trace["beat_end"][taken]


def neurons_of(config, trace):
    """Spikes and membranes [layer][frames, T, n] as X's LIF slots leave them.

    The last slot of a layer and time step makes its spikes visible, one clock later; membranes
    are read part by part of each tile.
    """
    spikes = [[] for _ in config.hidden]
    membranes = [[] for _ in config.hidden]
    lif = (trace["x_op"] == 3) & (trace["stall"] == 0)
    for clock in np.flatnonzero(lif):
        layer, tile, step, part = (
            int(trace[f"x_{name}"][clock]) for name in ("layer", "tile", "step", "part")
        )
        first = part * config.neuron_lanes
        lanes = slice(first, min(first + config.neuron_lanes, config.lanes))
        if not config.folded:
            u = trace["membranes"][clock + 1, layer, lanes]
        elif step == config.time_steps - 1:
            assert trace["membrane_write"][clock] == 1
            rows = config.first_tile(layer) + tile
            assert trace["membrane_row"][clock] == rows
            u = trace["membrane_data"][clock, : lanes.stop - lanes.start]
        else:
            u = trace["membrane_work"][clock + 1, lanes]
        place = tile * config.lanes + first
        if place < config.hidden[layer]:
            membranes[layer].append((step, place, u[: config.hidden[layer] - place]))
        if tile == config.tiles(layer) - 1 and part == config.parts - 1:
            spikes[layer].append((step, trace[f"spikes_{layer}"][clock + 1, step]))
    for layer, n in enumerate(config.hidden):
        steps = config.time_steps
        by_part = []
        for place in sorted({place for _, place, _ in membranes[layer]}):
            of_part = [(step, u) for step, first, u in membranes[layer] if first == place]
            frames = len(of_part) // steps
            assert [step for step, _ in of_part] == list(range(steps)) * frames
            by_part.append(np.stack([u for _, u in of_part]).reshape(frames, steps, -1))
        membranes[layer] = np.concatenate(by_part, axis=-1)
        assert [step for step, _ in spikes[layer]] == list(range(steps)) * frames
        spikes[layer] = np.stack([s for _, s in spikes[layer]]).reshape(-1, steps, n)
    return spikes, membranes


@st.composite
def patterns(draw):
    """When features are offered and logits taken: always, rarely, in bursts."""
    bits = st.lists(st.booleans(), min_size=1, max_size=9).filter(any)
    return {
        "feature_valid": draw(st.one_of(st.just(True), bits)),
        "logits_ready": draw(st.one_of(st.just(True), bits)),
    }


@settings(max_examples=80)
@given(configurations(), st.integers(0, 2**31), patterns(), st.sampled_from([0.0, 0.2, 0.8]))
def test_cycle_model_equals_functional_model(config, seed, pressure, density):
    network = Network.random(config, seed)
    features = random_features(config, 5, seed + 1, density)
    trace, ready = recorded(CycleModel(config, network), features, **pressure)
    result = network.run(features)
    logits, last, end = taken_logits(config, trace, ready)
    np.testing.assert_array_equal(logits, result.logits)
    per_readout = len(last) // len(logits)
    assert last.tolist() == ([0] * (per_readout - 1) + [1]) * len(logits)
    ends = [readout * config.readout_every == 4 for readout in range(len(logits))]
    assert end.tolist() == np.repeat(ends, per_readout).astype(int).tolist()
    spikes, membranes = neurons_of(config, trace)
    for layer in range(config.n_layers):
        np.testing.assert_array_equal(spikes[layer], result.spikes[layer])
        np.testing.assert_array_equal(membranes[layer], result.membranes[layer])


@settings(max_examples=30)
@given(configurations(), st.integers(0, 2**31), st.lists(st.booleans(), min_size=5, max_size=5))
def test_start_flags_begin_a_new_utterance(config, seed, starts):
    network = Network.random(config, seed)
    features = random_features(config, 5, seed + 1)
    trace, ready = recorded(CycleModel(config, network), features, starts=starts)
    begins = [0] + [frame for frame in range(1, 5) if starts[frame]] + [5]
    expected = [
        network.run(features[begin:end]).logits for begin, end in itertools.pairwise(begins)
    ]
    np.testing.assert_array_equal(taken_logits(config, trace, ready)[0], np.concatenate(expected))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_equal_the_functional_model(name, seed):
    config = PRESETS[name]
    network = Network.random(config, seed)
    features = random_features(config, 3, seed)
    trace, ready = recorded(CycleModel(config, network), features)
    result = network.run(features)
    np.testing.assert_array_equal(taken_logits(config, trace, ready)[0], result.logits)
    spikes, membranes = neurons_of(config, trace)
    for layer in range(config.n_layers):
        np.testing.assert_array_equal(spikes[layer], result.spikes[layer])
        np.testing.assert_array_equal(membranes[layer], result.membranes[layer])


def with_thresholds(network, threshold):
    """The same network with one threshold for all neurons."""
    layers = [dataclasses.replace(layer, threshold=threshold) for layer in network.layers]
    return Network(network.config, layers, network.w_out)


@pytest.mark.parametrize("name", ["tiny", "speech"])
@pytest.mark.parametrize("time_steps", [1, 2])
@pytest.mark.parametrize("value", [-128, -1, 0, 127])
@pytest.mark.parametrize("threshold", [1, 32767], ids=["easy", "never"])
def test_extreme_features_and_spike_rates(name, time_steps, value, threshold, seed):
    config = PRESETS[name].replace(time_steps=time_steps)
    network = with_thresholds(Network.random(config, seed), threshold)
    features = np.full((3, config.n_input), value, np.int8)
    trace, ready = recorded(CycleModel(config, network), features)
    result = network.run(features)
    np.testing.assert_array_equal(taken_logits(config, trace, ready)[0], result.logits)
    spikes, _ = neurons_of(config, trace)
    np.testing.assert_array_equal(spikes[1], result.spikes[1])


def test_blocked_logits_stop_the_machine_and_lose_nothing(seed):
    config = preset("tiny")
    network = Network.random(config, seed)
    features = random_features(config, 4, seed)
    trace, ready = recorded(
        CycleModel(config, network), features, logits_ready=lambda clock: clock > 1500
    )
    assert trace["stall"][1000:1500].all()
    assert trace["full"][1499] == 1
    np.testing.assert_array_equal(
        taken_logits(config, trace, ready)[0], network.run(features).logits
    )


def replayed_accumulators(config, network, image, trace):
    """Acc [clocks, 2, lanes] from the trace's reads and PE controls and the memories' rows."""
    acc = np.zeros((2, config.lanes), np.int64)
    out = {name: [np.zeros(config.lanes, np.int64)] * 2 for name in ("input", "hidden", "readout")}
    names = ["input", "hidden", "readout"]
    shift = network.layers[0].input_shift
    accs = []
    for clock in range(len(trace["phase"])):
        accs.append(acc)
        if not trace["stall"][clock]:
            op, memory = trace["x_op"][clock], names[trace["x_memory"][clock]]
            if op == 1:
                rows = out[memory]
                if memory == "input":
                    rows = [rows[0], rows[0]]
                elif memory == "hidden" and config.time_steps == 2:
                    bank = trace["x_bank"][clock]
                    split = config.hidden_work == "split"  # the sets take different banks
                    rows = [rows[bank], rows[1 - bank if split else bank]]
                acc = np.zeros_like(acc) if trace["x_first"][clock] else acc.copy()
                for b in range(2):
                    if trace["x_enable"][clock, b]:
                        negate = np.atleast_1d(trace["x_negate"][clock])  # of set 1, or of both
                        sign = -1 if (negate[b] if len(negate) > 1 else b and negate[0]) else 1
                        acc[b] += sign * (rows[b] << trace["x_shift"][clock, b])
            elif op == 2:
                a = acc[0] + 16 * acc[1]
                if shift:
                    a = (a + 2 ** (shift - 1)) // 2**shift
                merged_later = config.hidden_work == "split" and (
                    config.recurrent[0] or config.bias[:1] == (True,)
                )
                other = a if config.time_steps == 2 and not merged_later else 0 * a
                if trace["x_step"][clock]:  # a MERGE
                    a = other = acc[0] + acc[1]
                part = np.arange(config.lanes) // config.neuron_lanes == trace["x_part"][clock]
                acc = np.where(part, [a, other], acc)
            acc = wrap(acc, config.acc_bits)
        for name in names:
            if f"{name}_read" not in trace:
                continue
            read, row = trace[f"{name}_read"][clock], trace[f"{name}_row"][clock]
            for b in range(len(image[name])):
                if np.atleast_1d(read)[b]:
                    out[name] = list(out[name])
                    out[name][b] = image[name][b][np.atleast_1d(row)[b]].astype(np.int64)
                else:
                    assert np.atleast_1d(row)[b] == 0
    return np.stack(accs)


@settings(max_examples=40)
@given(configurations(), st.integers(0, 2**31), patterns())
def test_memory_image_and_addresses_give_the_same_sums(config, seed, pressure):
    """Rows that the trace addresses, taken from the image, lead to the accumulators it shows."""
    network = Network.random(config, seed)
    trace, _ = recorded(CycleModel(config, network), random_features(config, 3, seed), **pressure)
    accs = replayed_accumulators(config, network, memory_image(config, network), trace)
    np.testing.assert_array_equal(trace["acc"], accs)


def test_swapped_banks_are_noticed(seed):
    config = preset("tiny")
    network = Network.random(config, seed)
    trace, _ = recorded(CycleModel(config, network), random_features(config, 3, seed))
    for name in ("hidden", "readout"):
        image = memory_image(config, network)
        image[name] = image[name][::-1]
        accs = replayed_accumulators(config, network, image, trace)
        assert (accs != trace["acc"]).any()


@settings(max_examples=40)
@given(configurations(), st.integers(0, 2**31), patterns())
def test_counters_are_what_the_trace_shows(config, seed, pressure):
    network = Network.random(config, seed)
    model = CycleModel(config, network)
    trace, _ = recorded(model, random_features(config, 4, seed), **pressure)
    schedule = Schedule(config)
    moving = (trace["stall"] == 0) & (trace["phase"] != schedule.idle)
    counters = model.counters
    assert counters["cycles"] == (trace["phase"] != schedule.idle).sum()
    assert counters["stalls"] == ((trace["phase"] != schedule.idle) & (trace["stall"] == 1)).sum()
    assert counters["frames"] == 4
    for name in ("input", "hidden", "readout"):
        reads = trace[f"{name}_read"].sum() if f"{name}_read" in trace else 0
        assert counters[f"{name}_rows"] == reads
    # An enabled set is in X one move later; X keeps a slot while the machine stalls.
    in_x = trace["x_enable"].sum(axis=1)[trace["stall"] == 0]
    assert counters["pe_operations"] == in_x.sum()
    phases = [schedule.phases[phase] for phase in trace["phase"][moving]]
    tiles = config.state_rows
    parts = 1 if config.lanes == 1 or config.lif_lanes == "all" else 2
    lif = sum(phase.kind is PhaseKind.LIF for phase in phases)
    assert lif == 4 * parts * config.time_steps * tiles
    dense = 0
    for block in schedule.blocks:
        readouts = -(-4 // config.readout_every) if block.readout else 4
        dense += readouts * block.tiles * sum(phase.dense_rows for phase in block.phases)
    rows = sum(counters[f"{name}_rows"] for name in ("input", "hidden", "readout"))
    assert counters["skipped_rows"] == dense - rows


@settings(max_examples=30)
@given(configurations(output_lanes=1), st.integers(0, 2**31), patterns())
def test_a_stall_holds_the_machine_and_beats_wait(config, seed, pressure):
    network = Network.random(config, seed)
    trace, ready = recorded(
        CycleModel(config, network), random_features(config, 4, seed), **pressure
    )
    held = [name for name in trace if name.startswith(("x_", "capture", "acc", "membranes"))]
    held += [name for name in trace if name.startswith(("membrane_work", "held"))]
    held += ["pointer", "taken"]
    stalled = np.flatnonzero(trace["stall"][:-1])
    for name in held:
        np.testing.assert_array_equal(trace[name][stalled + 1], trace[name][stalled], name)
    idle = Schedule(config).idle
    busy = stalled[trace["phase"][stalled] != idle]
    for name in ("phase", "tile", "start", "end", "frame_index"):
        np.testing.assert_array_equal(trace[name][busy + 1], trace[name][busy], name)
    for name in ("input_read", "hidden_read", "readout_read", "membrane_write"):
        if name in trace:
            assert not trace[name][stalled].any()
    waiting = np.flatnonzero((trace["out_valid"][:-1] == 1) & ~ready[:-1])
    for name in ("out_valid", "beat_logits", "beat_last", "beat_end", "out_beat"):
        np.testing.assert_array_equal(trace[name][waiting + 1], trace[name][waiting], name)


# ---- the interface of the model ----------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "paper-t1"])
def test_steps_and_chunks_show_the_same_trace(name, seed):
    config = PRESETS[name].replace(n_output=30)
    network = Network.random(config, seed)
    features = random_features(config, 2, seed)
    trace, _ = recorded(CycleModel(config, network), features, logits_ready=[True, False])
    stepped = list(CycleModel(config, network).run(features, logits_ready=[True, False]))
    assert set(stepped[0]) == set(trace) == set(trace_shapes(config))
    for field, shape in trace_shapes(config).items():
        values = np.stack([snapshot[field] for snapshot in stepped])
        assert values.shape[1:] == shape
        np.testing.assert_array_equal(values, trace[field][: len(stepped)], field)


@pytest.mark.parametrize("folded", [False, True])
def test_trace_has_the_names_of_the_contract(folded):
    config = preset("tiny") if folded else preset("speech")
    table = ARCHITECTURE.read_text().split("## The trace")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    contract = set()
    for row in rows:
        _, names, _, remark, _ = row.split("|")
        only_folded = "folded" in remark.replace("unfolded only", "")
        if ("unfolded only" in remark and folded) or (only_folded and not folded):
            continue
        contract |= set(re.findall(r"`(\w+)`", names))
    layers = {name for name in trace_shapes(config) if name.startswith("spikes_")}
    assert set(trace_shapes(config)) - layers == contract - {"spikes_0", "spikes_1"}
    assert layers == {"spikes_0", "spikes_1"}


def test_after_reset_the_machine_waits_for_features(seed):
    config = preset("tiny")
    model = CycleModel(config, Network.random(config, seed))
    for _ in range(3):
        snapshot = model.step(None, True)
        assert model.features_ready
        assert not model.logits_valid
    nonzero = {name for name, value in snapshot.items() if np.any(value)}
    assert nonzero == {"phase", "fresh"}
    assert snapshot["phase"] == Schedule(config).idle
    assert model.quiet


def test_reset_in_mid_frame_forgets_everything(seed):
    config = preset("tiny")
    network = Network.random(config, seed)
    features = random_features(config, 4, seed)
    fresh, _ = recorded(CycleModel(config, network), features)
    used = CycleModel(config, network)
    for clock, drive in enumerate(used.drive(features)):
        used.advance(*drive)
        if clock == 301:
            break
    assert not used.quiet
    used.reset()
    again, _ = recorded(used, features)
    for name, values in fresh.items():
        np.testing.assert_array_equal(again[name], values, name)


def test_an_offered_feature_is_held_until_accepted(seed):
    config = preset("tiny")
    model = CycleModel(config, Network.random(config, seed))
    features = random_features(config, 3, seed)
    accepted, before = [], None
    for beat, ready in model.drive(features, feature_valid=lambda clock: clock % 3 == 0):
        if before is not None:
            assert beat == before
        if beat is not None and model.features_ready:
            accepted.append(beat)
        before = None if model.features_ready else beat
        model.advance(beat, ready)
    assert [value for value, *_ in accepted] == features.ravel().tolist()
    assert [start for _, start, _ in accepted] == [True] * 8 + [False] * 16
    assert [end for *_, end in accepted] == [False] * 16 + [True] * 8


def test_counters_clear_and_wrap(seed):
    config = preset("tiny").replace(counter_bits=4)
    wide = preset("tiny")
    network = Network.random(config, seed)
    features = random_features(config, 3, seed)
    narrow_model, wide_model = CycleModel(config, network), CycleModel(wide, network)
    for drive in wide_model.drive(features):
        narrow_model.advance(*drive)
        wide_model.advance(*drive)
    assert set(wide_model.counters) == set(COUNTERS)
    for name, value in wide_model.counters.items():
        assert narrow_model.counters[name] == value % 16
    wide_model.advance(None, True, clear_counters=True)
    assert set(wide_model.counters.values()) == {0}


def test_clearing_wins_over_counting(seed):
    config = preset("tiny")
    model = CycleModel(config, Network.random(config, seed))
    for beat, ready in model.drive(random_features(config, 1, seed)):
        model.advance(beat, ready, clear_counters=True)
        assert set(model.counters.values()) == {0}


def test_a_network_of_another_machine_is_refused(seed):
    network = Network.random(preset("tiny"), seed)
    message = "the network is for another machine: n_output 24 instead of 23"
    other = preset("tiny").replace(n_output=23)
    for use in (CycleModel, memory_image):
        with pytest.raises(NetworkError) as error:
            use(other, network)
        assert str(error.value) == message


# ---- memory images -----------------------------------------------------------------------


def test_packed_rows_put_lane_0_lowest():
    values = np.array([[1, -1, 7, -8], [0, 0, 0, 2]], np.int8)
    assert packed_rows(values, 4) == [0x87F1, 0x2000]
    assert packed_rows(np.array([[-1, 2]]), 16) == [0x0002FFFF]
    assert packed_rows(np.zeros((0, 4), np.int8), 4) == []


def test_memory_image_of_the_reference_has_the_published_size():
    config = preset("paper-t2")
    image = memory_image(config, Network.random(config, 1))
    banks = [bank for name in ("input", "hidden", "readout") for bank in image[name]]
    assert [bank.shape for bank in banks] == [(48, 128), *[(192, 128)] * 2, *[(960, 128)] * 2]
    assert sum(bank.size for bank in banks) * config.weight_bits // 8 == 150_528
    assert not image["input"][0][40:].any()
    assert image["thresholds"].shape == (2, 128)


@settings(max_examples=30)
@given(configurations(), st.integers(0, 2**31))
def test_memory_image_holds_every_weight_once(config, seed):
    network = Network.random(config, seed)
    image = memory_image(config, network)
    stored = [bank for name in ("input", "hidden", "readout") for bank in image[name]]
    held = [layer.w_in for layer in network.layers] + [network.w_out]
    held += [layer.w_rec for layer in network.layers if layer.w_rec is not None]
    for layer in network.layers:
        if layer.bias is not None:
            low, high = bias_rows(layer.bias)
            np.testing.assert_array_equal(low + 8 * high, layer.bias)
            held += [low, high]
    for value in range(-8, 8):
        if value:
            assert sum((bank == value).sum() for bank in stored) == sum(
                (matrix == value).sum() for matrix in held
            )
    thresholds = image["thresholds"].ravel().tolist()
    missing = [2 ** (config.membrane_bits - 1) - 1] * (len(thresholds) - sum(config.hidden))
    own = [int(value) for layer in network.layers for value in layer.threshold]
    assert sorted(thresholds) == sorted(own + missing)


def test_missing_lanes_never_spike():
    config = AcceleratorConfig(
        n_input=1, hidden=(1,), recurrent=(True,), n_output=1, lanes=4, output_lanes=8
    )
    trace, _ = recorded(
        CycleModel(config, Network.random(config, 1)), random_features(config, 20, 2)
    )
    assert not trace["membranes"][:, :, 1:].any()
