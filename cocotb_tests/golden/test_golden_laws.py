# SPDX-License-Identifier: Apache-2.0
"""The cycle laws against the counters of the cycle model, and against the published figures."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cocotb_tests.configurations import configurations
from cocotb_tests.naf import NON_ADJACENT
from golden_model import (
    CycleModel,
    Densities,
    Network,
    cycle_laws,
    expected_cycles,
    latency,
    random_features,
)
from golden_model.cycle import COUNTERS
from golden_model.digits import digit_counts, digit_table
from hw.config import HIDDEN_WORK, INPUT_DIGITS, preset
from hw.schedule import Schedule


def counted_by_frame(config, network, features):
    """What each counter gains while a frame is under way, name to [frames]."""
    model = CycleModel(config, network)
    gains = {name: [0] * len(features) for name in COUNTERS}
    idle = Schedule(config).idle
    ran = False  # in the cycle before: counters show a cycle an edge later
    for drive in model.drive(features):
        before, running = model.counters, model.phase != idle
        model.advance(*drive)
        for name, value in model.counters.items():
            if ran:
                gains[name][before["frames"]] += value - before[name]
            else:
                assert value == before[name]
        ran = running
    assert not ran
    return gains


@settings(max_examples=120)
@given(
    st.one_of(configurations(), configurations(output_lanes=1)),
    st.integers(0, 2**31),
    st.sampled_from([0.0, 0.1, 0.8]),
)
def test_laws_equal_the_counters_of_every_frame(config, seed, density):
    network = Network.random(config, seed)
    features = random_features(config, 6, seed, density)
    laws = cycle_laws(config, features, network.run(features).spikes)
    gains = counted_by_frame(config, network, features)
    assert laws.total.tolist() == gains["cycles"]
    assert laws.stalls.tolist() == gains["stalls"]
    assert laws.input_rows.tolist() == gains["input_rows"]
    assert laws.hidden_rows.tolist() == gains["hidden_rows"]
    assert laws.readout_rows.tolist() == gains["readout_rows"]
    assert laws.pe_operations.tolist() == gains["pe_operations"]
    assert laws.skipped_rows.tolist() == gains["skipped_rows"]


@pytest.mark.parametrize("name", ["paper-t2", "paper-t2-unmerged", "paper-t1", "speech"])
@pytest.mark.parametrize("work", HIDDEN_WORK)
@pytest.mark.parametrize("digits", INPUT_DIGITS)
def test_laws_of_the_reference_equal_the_counters(name, work, digits, seed):
    config = preset(name).replace(hidden_work=work, input_digits=digits)
    network = Network.random(config, seed)
    features = random_features(config, 4, seed)
    laws = cycle_laws(config, features, network.run(features).spikes)
    gains = counted_by_frame(config, network, features)
    assert laws.total.tolist() == gains["cycles"]
    assert laws.skipped_rows.tolist() == gains["skipped_rows"]
    # Stalls are no overhead: a pair with few spikes waits for the logits of the pair before it.
    assert (laws.overhead + laws.lif <= 20).all()


def test_a_drain_longer_than_the_frame_reaches_into_the_next(seed):
    """One logit a beat and hardly any work: frames wait for the frame before."""
    config = preset("tiny").replace(
        n_input=1, hidden=[1, 1], lanes=16, n_output=64, output_lanes=1, time_steps=1
    )
    network = Network.random(config, seed)
    features = np.zeros((5, 1), np.int8)
    laws = cycle_laws(config, features, network.run(features).spikes)
    assert laws.total.tolist() == counted_by_frame(config, network, features)["cycles"]
    assert laws.total[2:].tolist() == [64] * 3  # 64 beats a frame; the machine only waits


@pytest.mark.parametrize("n_input", [1, 8, 13, 20, 25, 26, 27, 28, 29, 30, 31, 40])
@pytest.mark.parametrize("n_output", [32, 60])
def test_slow_features_and_slow_logits_share_the_waiting(n_input, n_output, seed):
    """The next frame's features and the last frame's logits are both late, by more or less."""
    config = preset("tiny").replace(
        n_input=n_input, hidden=[1, 1], lanes=16, n_output=n_output, output_lanes=1, time_steps=1
    )
    network = Network.random(config, seed)
    features = np.zeros((5, n_input), np.int8)
    laws = cycle_laws(config, features, network.run(features).spikes)
    gains = counted_by_frame(config, network, features)
    assert laws.total.tolist() == gains["cycles"]
    assert laws.stalls.tolist() == gains["stalls"]


def test_parts_add_up_and_batches_equal_utterances(seed):
    config = preset("tiny").replace(readout_every=2)
    network = Network.random(config, seed)
    features = np.stack([random_features(config, 9, seed + b) for b in range(3)])
    result = network.run(features)
    together = cycle_laws(config, features, result.spikes)
    parts = together.input + together.hidden + together.lif + together.readout
    assert (together.total == parts + together.overhead + together.stalls).all()
    assert not together.readout[:, 1::2].any()
    assert set(together.hidden_matrices) == {("w_rec", 0), ("w_in", 1), ("w_rec", 1)}
    for b in range(3):
        alone = cycle_laws(config, features[b], [spikes[b] for spikes in result.spikes])
        np.testing.assert_array_equal(together.total[b], alone.total)
    none = cycle_laws(config, features[:, :0], [spikes[:, :0] for spikes in result.spikes])
    assert none.total.shape == (3, 0)


@pytest.mark.parametrize("digits", INPUT_DIGITS)
def test_slots_of_features(digits, rng):
    """Against digits counted one by one: a slot takes one of each half, a row serves all."""
    config = preset("tiny").replace(input_digits=digits)
    every = np.arange(-128, 128).reshape(-1, config.n_input)
    features = np.concatenate([0 * every[:1], every, rng.permuted(every)]).astype(np.int8)
    spikes = Network.random(config, 1).run(features).spikes
    laws = cycle_laws(config, features, spikes)
    for t, frame in enumerate(features.tolist()):
        counts = [
            (sum(map(abs, NON_ADJACENT[x][:4])), sum(map(abs, NON_ADJACENT[x][4:])))
            if digits == "naf"
            else ((x & 15).bit_count(), (x >> 4 & 15).bit_count())
            for x in frame
        ]
        assert laws.input[t] == config.tiles(0) * max(1, sum(map(max, counts)))
        assert laws.input_rows[t] == config.tiles(0) * np.count_nonzero(frame)


def test_non_adjacent_form_takes_at_most_two_slots_a_feature():
    assert digit_counts("bits").max(axis=0).tolist() == [4, 4]
    assert digit_counts("naf").max(axis=0).tolist() == [2, 2]
    table = digit_table("naf")
    for x, digits in NON_ADJACENT.items():
        assert tuple(table[x & 255].tolist()) == digits


@pytest.mark.parametrize("work", HIDDEN_WORK[1:])
def test_hidden_work_that_skips_reads_the_union(work, seed):
    config = preset("tiny").replace(hidden_work=work)
    features = random_features(config, 5, seed)
    spikes = Network.random(config, seed).run(features).spikes
    laws = cycle_laws(config, features, spikes)
    as_built = cycle_laws(preset("tiny"), features, spikes)
    assert laws.hidden_rows.tolist() == laws.hidden_rows_if["union_skipping"].tolist()
    assert {way: rows.tolist() for way, rows in laws.hidden_rows_if.items()} == {
        way: rows.tolist() for way, rows in as_built.hidden_rows_if.items()
    }
    assert (laws.hidden < as_built.hidden).all()
    assert (
        laws.skipped_rows + laws.hidden_rows == as_built.skipped_rows + as_built.hidden_rows
    ).all()


def test_slots_of_split_hidden_work(rng):
    """Against sets of inputs, counted one by one: shared ones by bank, then set by set and bank."""
    config = preset("tiny").replace(hidden_work="split", hidden=[13, 6], lanes=16)
    shape = (5, 2)
    spikes = [(rng.random((*shape, n)) < 0.5).astype(np.uint8) for n in config.hidden]
    laws = cycle_laws(config, np.zeros((5, config.n_input), np.int8), spikes)
    for (name, layer), cycles in laws.hidden_matrices.items():
        source = spikes[layer if name == "w_rec" else layer - 1]
        for t in range(5):
            now = t - (name == "w_rec")
            first, second = (
                set(np.flatnonzero(source[now, k])) if now >= 0 else set() for k in (0, 1)
            )
            common = [sum(i % 2 == b for i in first & second) for b in range(2)]
            only = [
                [sum(i % 2 == b for i in s) for b in range(2)]
                for s in (first - second, second - first)
            ]
            exclusive = max(1, only[0][0], only[1][1]) + max(1, only[0][1], only[1][0])
            assert cycles[t] == max(1, *common) + exclusive
    assert (laws.pe_operations[1:] == laws.hidden_rows[1:] + laws.readout_rows[1:]).all()


def test_two_passes_are_the_fewest_cycles_for_exclusive_inputs(rng):
    """No set and no bank takes more than one input a cycle, and one of them is never idle."""
    for e in rng.integers(0, 9, (500, 2, 2)):
        passes = max(e[0, 0], e[1, 1]) + max(e[0, 1], e[1, 0])
        assert passes == max(*e.sum(axis=0), *e.sum(axis=1))


def test_densities_that_no_two_time_steps_have_are_refused():
    config = preset("tiny").replace(hidden_work="split")
    for union in (0.39, 0.81):
        with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
            expected_cycles(config, Densities(steps=0.8, union=union))
        assert str(error.value) == (
            f"union is {union}: it must be from steps / 2 = 0.4 to steps = 0.8"
        )


def test_hidden_rows_of_other_ways_to_work(seed):
    two, one = preset("paper-t2"), preset("paper-t1")
    features = random_features(two, 5, seed)
    network = Network.random(two, seed)
    s0, s1 = network.run(features).spikes
    rows = cycle_laws(two, features, [s0, s1]).hidden_rows_if
    assert rows["parallel"].tolist() == [3 * 128] * 5
    assert rows["serial"].tolist() == [6 * 128] * 5
    before0, before1 = (np.concatenate([0 * s[:1], s[:-1]]) for s in (s0, s1))
    sources = np.concatenate([before0, s0, before1], axis=-1)
    assert rows["serial_skipping"].tolist() == sources.sum(axis=(1, 2)).tolist()
    assert rows["union_skipping"].tolist() == sources.max(axis=1).sum(axis=-1).tolist()
    network = Network.random(one, seed)
    laws = cycle_laws(one, features, network.run(features).spikes)
    assert laws.hidden_rows_if["serial_skipping"].tolist() == laws.hidden_rows.tolist()
    assert laws.hidden_rows_if["union_skipping"].tolist() == laws.hidden_rows.tolist()


@pytest.mark.parametrize(
    ("name", "before_overhead", "total"),
    [("paper-t2", 918, 940), ("paper-t2-unmerged", 1250, 1272), ("paper-t1", 560, 582)],
)
def test_published_densities_give_the_frames_of_the_contract(name, before_overhead, total):
    expected = expected_cycles(preset(name))
    assert expected.before_overhead == pytest.approx(before_overhead, rel=2e-3)
    assert expected.total <= total
    assert expected.input == pytest.approx(90, abs=0.5)


@pytest.mark.parametrize("work", HIDDEN_WORK)
@pytest.mark.parametrize("digits", INPUT_DIGITS)
@pytest.mark.parametrize(
    ("time_steps", "merge", "output_lanes"), [(1, True, 8), (2, True, 1), (2, False, 2)]
)
def test_expectations_equal_means_over_random_spikes(
    time_steps, merge, output_lanes, work, digits, rng
):
    config = preset("tiny").replace(
        time_steps=time_steps,
        merge_readout=merge,
        hidden_work=work,
        input_digits=digits,
        output_lanes=output_lanes,
        lanes=4,
        n_output=18,
        hidden=[9, 13],
        readout_every=2,
    )
    shape = (200, 250)
    density = 0.3
    bits = rng.random((*shape, config.n_input, 8)) < density
    features = np.packbits(bits, axis=-1)[..., 0].view(np.int8)
    spikes = [
        (rng.random((*shape, time_steps, n)) < density).astype(np.uint8) for n in config.hidden
    ]
    laws = cycle_laws(config, features, spikes)
    expected = expected_cycles(
        config,
        Densities(
            input_bits=density, spikes=density, steps=2 * density, union=1 - (1 - density) ** 2
        ),
    )
    # The first frame of an utterance has no recurrent spikes.
    frames = np.s_[:, 2:]
    for part in ("input", "hidden", "lif", "readout", "overhead"):
        mean = getattr(laws, part)[frames].mean()
        assert getattr(expected, part) == pytest.approx(mean, rel=0.01), part
    assert expected.stalls == pytest.approx(laws.stalls[frames].mean(), rel=0.03, abs=0.02)


def test_latency_of_the_presets(seed):
    """Of a frame that meets an idle machine, against what the laws say of its phases."""
    for name in ("tiny", "paper-t1"):
        config = preset(name)
        network = Network.random(config, seed)
        features = random_features(config, 3, seed)
        laws = cycle_laws(config, features, network.run(features).spikes)
        schedule = Schedule(config)
        beats = [schedule.group_beats(group) for group in range(schedule.groups)]
        for t, (first, last) in enumerate(latency(config, network, features)):
            assert first + sum(beats) - 1 <= last
            # One clock to launch, two from the last slot to the capture, then the last beats.
            own_stalls = last - (1 + laws.total[t] - laws.stalls[t] + 2 + beats[-1])
            assert 0 <= own_stalls <= sum(beats)


def test_latency_skips_frames_without_readout(seed):
    config = preset("tiny").replace(readout_every=3)
    network = Network.random(config, seed)
    assert len(latency(config, network, random_features(config, 7, seed))) == 3


def test_wrong_spikes_are_refused(seed):
    config = preset("tiny")
    network = Network.random(config, seed)
    features = random_features(config, 4, seed)
    spikes = network.run(features).spikes
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        cycle_laws(config, features, spikes[:1])
    assert str(error.value) == "spikes has 1 entries: there are 2 layers"
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        cycle_laws(config, features[:3], spikes)
    assert str(error.value) == ("spikes of layer 0 have shape (4, 2, 16): it must be (3, 2, 16)")


def test_speed_of_the_laws(seed):
    """A generous floor: a change that makes them ten times slower is noticed."""
    config = preset("paper-t2")
    network = Network.random(config, seed)
    features = np.stack([random_features(config, 50, seed + b) for b in range(16)])
    spikes = network.run(features).spikes
    begin = time.perf_counter()
    cycle_laws(config, features, spikes)
    assert 16 * 50 / (time.perf_counter() - begin) > 5000
