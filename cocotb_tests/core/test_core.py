# SPDX-License-Identifier: Apache-2.0
"""The core against the golden model: all state at every clock edge, in shapes that hurt."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.simulation.run import CoreModel, Simulation, build_core, simulate
from golden_model import Layer, Network, random_features
from hw.config import HIDDEN_WORK, INPUT_DIGITS, LIF_LANES, PRESETS, AcceleratorConfig, preset

# Configurations whose shapes hurt, small enough to build in seconds.
SHAPES: dict[str, AcceleratorConfig] = {
    "tiny": preset("tiny"),
    "tiny-t1": preset("tiny").replace(time_steps=1),
    "tiny-unmerged": preset("tiny").replace(merge_readout=False, counter_bits=5),
    "one-of-everything": AcceleratorConfig(
        n_input=1, hidden=(1,), recurrent=(True,), n_output=1, lanes=1, output_lanes=1
    ),
    "one-lane-t1": AcceleratorConfig(
        n_input=3,
        hidden=(3, 2),
        recurrent=(True, False),
        n_output=5,
        time_steps=1,
        lanes=1,
        output_lanes=2,
    ),
    "just-over-and-under-a-tile": AcceleratorConfig(
        n_input=5, hidden=(5, 3), recurrent=(True, True), n_output=9, lanes=4, output_lanes=8
    ),
    "just-over-and-under-a-tile-t1": AcceleratorConfig(
        n_input=5,
        hidden=(9, 7),
        recurrent=(True, True),
        n_output=17,
        lanes=8,
        time_steps=1,
        output_lanes=1,
    ),
    "plain-layers": AcceleratorConfig(
        n_input=4,
        hidden=(6, 5, 4),
        recurrent=(False, False, True),
        n_output=7,
        lanes=3,
        output_lanes=3,
        readout_every=3,
        merge_readout=False,
    ),
    "unfolded": AcceleratorConfig(
        n_input=6, hidden=(8, 7), recurrent=(True, True), n_output=40, lanes=8, output_lanes=2
    ),
    "unfolded-t1-wide-formats": AcceleratorConfig(
        n_input=6,
        hidden=(7, 8),
        recurrent=(True, True),
        n_output=16,
        time_steps=1,
        lanes=8,
        output_lanes=16,
        acc_bits=17,
        membrane_bits=19,
        membrane_frac=6,
        readout_every=2,
    ),
}
_PLAIN = tuple(SHAPES)
# Each way of hidden work in shapes of one and of two tiles, odd sizes, one layer, plain layers,
# a merged and a serial readout, and frames without one.
SHAPES |= {
    f"{work}-{name}": SHAPES[name].replace(hidden_work=work, **changes)
    for work in HIDDEN_WORK[1:]
    for name, changes in {
        "tiny": {},
        "tiny-unmerged": {"hidden": (13,), "recurrent": (True,)},
        "one-of-everything": {},
        "just-over-and-under-a-tile": {},
        "plain-layers": {},
        "unfolded": {},
    }.items()
}
# Bias with one and two time steps, with and without a MERGE, in all layers and in some.
SHAPES |= {
    "bias-tiny": SHAPES["tiny"].replace(bias=(True, True)),
    "bias-split-plain": SHAPES["plain-layers"].replace(
        bias=(True, False, True), hidden_work="split"
    ),
    "bias-split": SHAPES["unfolded"].replace(bias=(False, True), hidden_work="split"),
    "bias-t1": SHAPES["just-over-and-under-a-tile-t1"].replace(bias=(True, True)),
    "bias-plain-t1": SHAPES["one-lane-t1"].replace(
        bias=(True,) * len(SHAPES["one-lane-t1"].hidden)
    ),
}
# Digits of the non-adjacent form with each way of hidden work and one time step, folded and not,
# with odd sizes, one lane, an odd last tile, plain layers, bias and frames without a readout.
SHAPES |= {
    f"naf-{name}": SHAPES[name].replace(input_digits="naf")
    for name in (
        *("tiny", "one-of-everything", "one-lane-t1", "unfolded-t1-wide-formats"),
        *("just-over-and-under-a-tile", "just-over-and-under-a-tile-t1"),
        *("union-unfolded", "union-plain-layers"),
        *("split-tiny-unmerged", "split-just-over-and-under-a-tile", "split-one-of-everything"),
        "bias-split-plain",
    )
}
# Folded and not, both numbers of time steps, layers of different tiles, with and without MERGE.
SHAPES |= {
    f"low-activity-{name}": SHAPES[name].replace(low_activity=True)
    for name in (
        "tiny",
        "split-tiny",
        "one-of-everything",
        "plain-layers",
        "just-over-and-under-a-tile-t1",
        "unfolded",
    )
}

# A tile's neurons in one slot, folded and not, with one and two time steps; last as in `fast`.
SHAPES |= {
    f"all-{name}": SHAPES[name].replace(lif_lanes="all")
    for name in (
        *("tiny", "unfolded-t1-wide-formats", "just-over-and-under-a-tile-t1", "plain-layers"),
        *("naf-bias-split-plain", "naf-split-just-over-and-under-a-tile"),
    )
}

BURSTS = {"on": [1, 4], "off": [1, 4]}
LATE = {"on": [1, 3], "off": [1, 60]}
LONG_STALL = {"on": [1, 6], "off": [100, 400]}


def _built(request: pytest.FixtureRequest, build_root: Path) -> CoreModel:
    return build_core(SHAPES[request.param].replace(trace=True), build_root)


# On every run, shapes without options take all the tests below, and those with options the one that
# asks for most.
shape = pytest.fixture(
    _built,
    params=[*_PLAIN, *(pytest.param(n, marks=pytest.mark.slow) for n in SHAPES if n not in _PLAIN)],
    scope="module",
    name="shape",
)
every_shape = pytest.fixture(_built, params=SHAPES, scope="module", name="every_shape")


def check(simulation: Simulation, frames: int) -> Simulation:
    """The run agreed, and it was really compared."""
    assert simulation.messages == []
    assert simulation.mismatches == 0
    assert simulation.compared_clocks >= simulation.clocks > 0
    assert simulation.compared_bits > 0
    assert simulation.frames == frames
    return simulation


def alive(simulation: Simulation, config: AcceleratorConfig) -> None:
    """Each layer spikes and is not saturated, so the comparison means something."""
    for layer, spikes in enumerate(simulation.result.spikes):
        rate = float(spikes.mean())
        assert 0.02 < rate < 0.98, f"layer {layer} of {config} spikes at {rate:.2f}"


def test_free_running(shape: CoreModel, seed: int) -> None:
    """Features and output always ready; the weights are read back first."""
    network = Network.random(shape.config, seed)
    features = random_features(shape.config, 40, seed)
    run = check(simulate(shape, network, features, seed=seed, readback=True), 40)
    alive(run, shape.config)


def test_back_pressure_late_features_and_utterances(every_shape: CoreModel, seed: int) -> None:
    network = Network.random(every_shape.config, seed + 1)
    run = simulate(
        every_shape,
        network,
        random_features(every_shape.config, 40, seed),
        starts=(0, 17, 18),
        seed=seed,
        feature_pattern={**LATE, "seed": seed},
        ready_pattern={**BURSTS, "seed": seed + 1},
        clear_at=333,
    )
    check(run, 40)


def test_output_stalled_for_long(shape: CoreModel, seed: int) -> None:
    network = Network.random(shape.config, seed + 2)
    run = simulate(
        shape,
        network,
        random_features(shape.config, 8, seed),
        starts=(0, 3),
        seed=seed,
        ready_pattern={**LONG_STALL, "seed": seed, "off_first": True},
    )
    check(run, 8)


@pytest.mark.parametrize("part", [0.3, 0.7])
def test_reset_in_mid_frame(shape: CoreModel, seed: int, part: float) -> None:
    """After the reset the utterance starts again and gives the same logits."""
    network = Network.random(shape.config, seed)
    features = random_features(shape.config, 6, seed)
    whole = check(simulate(shape, network, features, seed=seed), 6)
    run = simulate(
        shape,
        network,
        features,
        seed=seed,
        reset_at=int(whole.clocks * part),
        ready_pattern={**BURSTS, "seed": seed},
    )
    check(run, 6)


@pytest.mark.parametrize("inputs", ["zero", "least", "most", "both", "one", "alternating"])
def test_extreme_features(shape: CoreModel, seed: int, inputs: str) -> None:
    config = shape.config
    network = Network.random(config, seed)
    rng = np.random.default_rng(seed)
    shape_of = (12, config.n_input)
    features = {
        "zero": np.zeros(shape_of),
        "least": np.full(shape_of, -128),
        "most": np.full(shape_of, 127),
        "both": rng.choice([-128, 127, 0], shape_of),
        "one": rng.choice([1 << bit for bit in range(7)] + [-1, -128], shape_of),
        # Every second bit, and so as many digits of the non-adjacent form as there can be.
        "alternating": rng.choice([85, -85, -86, 86, 42, 0, -128, 127], shape_of),
    }[inputs].astype(np.int8)
    check(simulate(shape, network, features, starts=(0, 7), seed=seed), 12)


@pytest.mark.parametrize("rate", [0, 1])
def test_none_or_all_spike(shape: CoreModel, seed: int, rate: int) -> None:
    """No spikes: each phase still takes a slot. All spikes: nothing is skipped."""
    config = shape.config
    network = constant_network(config, 1 if rate else -1)
    features = np.full((10, config.n_input), 127, np.int8)
    run = check(simulate(shape, network, features, seed=seed), 10)
    assert all((spikes == rate).all() for spikes in run.result.spikes)


def constant_network(config: AcceleratorConfig, weight: int) -> Network:
    """All weights alike: with positive features every neuron always spikes (1) or never (-1)."""
    layers = [
        Layer(
            np.full((config.n_source(layer), neurons), weight, np.int8),
            np.full((neurons, neurons), weight, np.int8) if config.recurrent[layer] else None,
            threshold=1,
            decay_shift=1,
            bias=np.full(neurons, weight, np.int8) if config.has_bias(layer) else None,
        )
        for layer, neurons in enumerate(config.hidden)
    ]
    return Network(config, layers, np.full((config.hidden[-1], config.n_output), weight, np.int8))


@st.composite
def configurations(draw: st.DrawFn) -> AcceleratorConfig:
    """Any small configuration."""
    n_layers = draw(st.integers(1, 3))
    lanes = draw(st.integers(1, 9))
    divisors = [d for d in range(1, 2 * lanes + 1) if 2 * lanes % d == 0]
    return AcceleratorConfig(
        n_input=draw(st.integers(1, 9)),
        hidden=tuple(draw(st.integers(1, 13)) for _ in range(n_layers)),
        recurrent=tuple(draw(st.booleans()) for _ in range(n_layers)),
        bias=draw(st.sampled_from([(), tuple(draw(st.booleans()) for _ in range(n_layers))])),
        n_output=draw(st.integers(1, 30)),
        time_steps=draw(st.sampled_from([1, 2])),
        lanes=lanes,
        acc_bits=draw(st.sampled_from([10, 12, 14])),
        membrane_bits=draw(st.sampled_from([12, 16, 18])),
        membrane_frac=draw(st.sampled_from([0, 4, 7])),
        merge_readout=draw(st.booleans()),
        hidden_work=draw(st.sampled_from(HIDDEN_WORK)),
        input_digits=draw(st.sampled_from(INPUT_DIGITS)),
        lif_lanes=draw(st.sampled_from(LIF_LANES)),
        output_lanes=draw(st.sampled_from(divisors)),
        readout_every=draw(st.sampled_from([1, 1, 2, 3])),
        max_input_shift=draw(st.sampled_from([0, 3, 7])),
        max_decay_shift=draw(st.sampled_from([1, 3, 7])),
        counter_bits=draw(st.sampled_from([4, 12, 32])),
        low_activity=draw(st.booleans()),
        trace=True,
    )


def any_configuration(build_root: Path, config: AcceleratorConfig, seed: int) -> None:
    print(f"seed {seed}: {config}")
    model = build_core(config, build_root)
    network = Network.random(config, seed)
    features = random_features(config, 25, seed)
    check(simulate(model, network, features, seed=seed, starts=(0, 9)), 25)
    run = simulate(
        model,
        network,
        features,
        seed=seed,
        starts=(0, 4, 5),
        feature_pattern={**LATE, "seed": seed},
        ready_pattern={**BURSTS, "seed": seed},
        reset_at=150,
        clear_at=300,
        readback=True,
    )
    check(run, 25)


# Every value of an option that is not its default, in a machine with folded layers of odd sizes.
_OPTIONS = (
    *({"hidden_work": work} for work in HIDDEN_WORK[1:]),
    *({"input_digits": digits} for digits in INPUT_DIGITS[1:]),
    *({"lif_lanes": lanes} for lanes in LIF_LANES[1:]),
    {"bias": (True, True)},
    {"merge_readout": False},
    {"readout_every": 2},
    {"low_activity": True},
    {"time_steps": 1},
)
_PAIRS = [
    {**one, **other}
    for one, other in itertools.combinations(_OPTIONS, 2)
    if one.keys() != other.keys()
]


@pytest.mark.slow
@pytest.mark.parametrize("options", _PAIRS, ids=str)
def test_every_pair_of_options(build_root: Path, seed: int, options: dict) -> None:
    config = SHAPES["just-over-and-under-a-tile"].replace(**options, trace=True)
    any_configuration(build_root, config, seed)


_EXAMPLES = {"suppress_health_check": list(HealthCheck), "print_blob": True}


@given(config=configurations(), seed=st.integers(0, 2**31))
@settings(max_examples=4, **_EXAMPLES)
def test_any_configuration(build_root: Path, config: AcceleratorConfig, seed: int) -> None:
    any_configuration(build_root, config, seed)


@pytest.mark.slow
@given(config=configurations(), seed=st.integers(0, 2**31))
@settings(max_examples=60, **_EXAMPLES)
def test_many_configurations(build_root: Path, config: AcceleratorConfig, seed: int) -> None:
    any_configuration(build_root, config, seed)


@pytest.mark.parametrize("name", ["tiny", "unfolded-t1-wide-formats"])
def test_baked_weights(build_root: Path, seed: int, name: str) -> None:
    """ROMs and constants in place of the weight port."""
    config = SHAPES[name].replace(trace=True)
    network = Network.random(config, seed)
    model = build_core(config, build_root, baked=network)
    check(simulate(model, network, random_features(config, 20, seed), seed=seed), 20)


def test_outputs_only_without_trace(build_root: Path, seed: int) -> None:
    """The product has no trace port; the stream and the counters are compared."""
    config = preset("tiny")
    model = build_core(config, build_root)
    network = Network.random(config, seed)
    features = random_features(config, 40, seed)
    run = simulate(model, network, features, check="outputs", seed=seed)
    assert run.messages == []
    assert run.compared_beats == 40 * config.n_output // config.output_lanes
    assert run.counters["frames"] == 40


def test_a_wrong_network_is_seen(build_root: Path, seed: int) -> None:
    """The bench can fail: a baked machine that holds one weight more is caught."""
    config = SHAPES["unfolded"].replace(trace=True)
    network = Network.random(config, seed)
    w_out = network.w_out.copy()
    w_out[0, 0] = -1 if w_out[0, 0] >= 0 else 1
    other = Network(config, network.layers, w_out)
    model = build_core(config, build_root, baked=other)
    run = simulate(model, network, random_features(config, 20, seed), seed=seed)
    assert run.mismatches > 0
    assert run.messages[0].startswith("clock ")
    signals = [message.split(": ")[1].split("[")[0] for message in run.messages]
    assert signals[0] == "readout_data"  # what the memory puts out, before any sum of it


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"tiny"}))
def test_presets_in_full_size(build_root: Path, seed: int, name: str) -> None:
    config = preset(name).replace(trace=True)
    model = build_core(config, build_root)
    network = Network.random(config, seed)
    run = check(simulate(model, network, random_features(config, 20, seed), seed=seed), 20)
    alive(run, config)
