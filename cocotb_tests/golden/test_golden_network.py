# SPDX-License-Identifier: Apache-2.0
"""The functional golden model against the equations written as loops, its checks, its bounds."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cocotb_tests.configurations import configurations
from cocotb_tests.naf import NON_ADJACENT
from golden_model import Layer, Network, NetworkError, random_features
from golden_model.fixed_point import bits_needed, clamp, round_shift, signed_range, wrap
from golden_model.layer import DECAY_FORMS, RESETS
from hw.config import INPUT_DIGITS, PRESETS, AcceleratorConfig, preset


def reference(config, network, features):
    """The equations of docs/numerics.md, neuron by neuron, in Python integers.

    Returns
    -------
    logits [readouts][n_output], spikes and membranes [layer][frames][T][n].
    """
    steps, sizes = config.time_steps, config.hidden
    most = 2 ** (config.membrane_bits - 1) - 1
    layers = [
        (
            layer,
            layer.w_in.tolist(),
            None if layer.w_rec is None else layer.w_rec.tolist(),
            layer.threshold.tolist(),
        )
        for layer in network.layers
    ]
    w_out = network.w_out.tolist()
    u = [[0] * n for n in sizes]
    s_before = [[[0] * n for _ in range(steps)] for n in sizes]
    all_spikes = [[] for _ in sizes]
    all_membranes = [[] for _ in sizes]
    logits = []
    for t, x in enumerate(features.tolist()):
        s_now = [[None] * steps for _ in sizes]
        u_now = [[None] * steps for _ in sizes]
        for k in range(steps):
            for number, (layer, w_in, w_rec, threshold) in enumerate(layers):
                source = s_now[number - 1][k] if number else x
                spikes, membranes = [], []
                for j in range(sizes[number]):
                    i = sum(w_in[m][j] * value for m, value in enumerate(source))
                    if number == 0 and layer.input_shift:
                        i = (i + 2 ** (layer.input_shift - 1)) // 2**layer.input_shift
                    if w_rec is not None:
                        i += sum(w_rec[m][j] * s for m, s in enumerate(s_before[number][k]))
                    if layer.bias is not None:
                        i += int(layer.bias[j])
                    decayed = u[number][j] // 2**layer.decay_shift
                    if layer.decay_form == "leak":
                        decayed = u[number][j] - decayed
                    v = min(max(decayed + i * 2**config.membrane_frac, -most - 1), most)
                    spikes.append(int(v >= threshold[j]))
                    if spikes[-1]:
                        v = 0 if layer.reset == "zero" else v - threshold[j]
                    membranes.append(v)
                u[number] = membranes
                s_now[number][k], u_now[number][k] = spikes, membranes
        for number in range(len(sizes)):
            s_before[number] = s_now[number]
            all_spikes[number].append(s_now[number])
            all_membranes[number].append(u_now[number])
        if t % config.readout_every == 0:
            merged = [sum(column) for column in zip(*s_now[-1], strict=True)]
            logits.append(
                [
                    sum(w * s for w, s in zip(column, merged, strict=True))
                    for column in zip(*w_out, strict=True)
                ]
            )
    return logits, all_spikes, all_membranes


def small(**changes):
    """A plain configuration whose networks can be written by hand."""
    values = {
        "n_input": 2,
        "hidden": (2,),
        "recurrent": (False,),
        "n_output": 2,
        "lanes": 2,
        "output_lanes": 2,
    }
    return AcceleratorConfig(**(values | changes))


def by_hand(config, **changes):
    """A network of ones for a configuration, with one field of the first layer changed."""
    layers = []
    for index, n in enumerate(config.hidden):
        values = {
            "w_in": np.ones((config.n_source(index), n), np.int8),
            "w_rec": np.ones((n, n), np.int8) if config.recurrent[index] else None,
            "threshold": 16,
            "decay_shift": 1,
        }
        layers.append(Layer(**(values | (changes if index == 0 else {}))))
    return config, layers, np.ones((config.hidden[-1], config.n_output), np.int8)


# ---- fixed point -------------------------------------------------------------------------


@given(st.integers(-(2**40), 2**40), st.integers(1, 33))
def test_wrap_is_modulo_and_in_range(value, bits):
    wrapped = wrap(value, bits)
    assert (wrapped - value) % 2**bits == 0
    assert -(2 ** (bits - 1)) <= wrapped < 2 ** (bits - 1)
    assert wrap(np.array([value]), bits)[0] == wrapped
    assert (-(2 ** (bits - 1)) <= value < 2 ** (bits - 1)) == (wrapped == value)


@given(st.integers(-(2**20), 2**20), st.integers(0, 15))
def test_round_shift_is_nearest_with_ties_up(value, shift):
    rounded = round_shift(value, shift)
    # 2 * value - 2 * rounded * 2**shift lies in [-unit, unit): nearest, a tie goes up.
    assert -(2**shift) <= 2 * (value - rounded * 2**shift) < max(1, 2**shift)
    assert round_shift(np.array([value]), shift)[0] == rounded


def test_round_shift_of_ties():
    assert [round_shift(value, 1) for value in (-3, -1, 1, 3)] == [-1, 0, 1, 2]
    assert [round_shift(value, 2) for value in (-6, -2, 2, 6)] == [-1, 0, 1, 2]


@given(st.integers(-(2**40), 2**40), st.integers(1, 33))
def test_clamp_and_bits_needed(value, bits):
    least, most = signed_range(bits)
    assert clamp(value, bits) == min(max(value, least), most)
    assert clamp(np.array([value]), bits)[0] == clamp(value, bits)
    needed = bits_needed(value)
    assert wrap(value, needed) == value
    assert needed == 1 or wrap(value, needed - 1) != value


# ---- the equations -----------------------------------------------------------------------


@settings(max_examples=60)
@given(configurations(), st.integers(0, 2**31))
def test_network_equals_the_equations_written_as_loops(config, seed):
    network = Network.random(config, seed)
    features = random_features(config, 7, seed + 1)
    result = network.run(features)
    logits, spikes, membranes = reference(config, network, features)
    assert result.logits.shape == (-(-7 // config.readout_every), config.n_output)
    np.testing.assert_array_equal(result.logits, logits)
    for layer in range(config.n_layers):
        np.testing.assert_array_equal(result.spikes[layer], spikes[layer])
        np.testing.assert_array_equal(result.membranes[layer], membranes[layer])


@pytest.mark.parametrize(
    ("form", "reset", "time_steps"), list(itertools.product(DECAY_FORMS, RESETS, (1, 2)))
)
def test_every_kind_of_neuron_equals_the_loops(form, reset, time_steps, seed):
    config = preset("tiny").replace(time_steps=time_steps, membrane_bits=10)
    for decay_shift in range(1, config.max_decay_shift + 1):
        drawn = Network.random(config, seed + decay_shift)
        layers = [
            dataclasses.replace(layer, decay_form=form, reset=reset, decay_shift=decay_shift)
            for layer in drawn.layers
        ]
        network = Network(config, layers, drawn.w_out)
        features = random_features(config, 9, seed)
        result = network.run(features)
        logits, spikes, membranes = reference(config, network, features)
        np.testing.assert_array_equal(result.logits, logits)
        for layer in range(2):
            np.testing.assert_array_equal(result.spikes[layer], spikes[layer])
            np.testing.assert_array_equal(result.membranes[layer], membranes[layer])


@pytest.mark.parametrize(
    "value", [-128, 0, 127, 1, -1], ids=["least", "zero", "most", "one", "minus-one"]
)
def test_constant_features_equal_the_loops(value, seed):
    config = preset("tiny").replace(membrane_bits=10)
    network = Network.random(config, seed)
    features = np.full((12, config.n_input), value, np.int8)
    result = network.run(features)
    logits, spikes, _ = reference(config, network, features)
    np.testing.assert_array_equal(result.logits, logits)
    np.testing.assert_array_equal(result.spikes[1], spikes[1])


def test_membrane_clamps_at_both_ends():
    config = small(n_input=1, hidden=(1,), n_output=1, membrane_bits=10, max_decay_shift=15)
    layer = Layer(np.array([[7]]), None, 511, 15)
    network = Network(config, [layer], np.array([[1]]))
    least = network.run(np.full((1, 1), -128, np.int8))
    most = network.run(np.full((1, 1), 127, np.int8))
    assert least.membranes[0].min() == -512
    assert not least.spikes[0].any()
    assert most.spikes[0].all()  # 511 is reached: the clamp lies at the threshold, not below


def test_a_leak_stops_short_of_zero():
    """Form "leak" never decays a positive membrane below 2**a - 1."""
    config = small(n_input=1, hidden=(1,), n_output=1)
    layer = Layer(np.array([[1]]), None, 32767, 3)
    x = np.zeros((200, 1), np.int8)
    x[0] = 100
    u = Network(config, [layer], np.array([[1]])).run(x).membranes[0]
    assert u[-1, -1, 0] == 2**3 - 1


def test_batch_equals_utterances_one_by_one(seed):
    config = preset("tiny").replace(readout_every=2)
    network = Network.random(config, seed)
    features = np.stack([random_features(config, 11, seed + b) for b in range(5)])
    together = network.run(features)
    assert together.logits.shape == (5, 6, 24)
    assert together.spikes[1].shape == together.membranes[1].shape == (5, 11, 2, 16)
    for b in range(5):
        alone = network.run(features[b])
        np.testing.assert_array_equal(together.logits[b], alone.logits)
        for layer in range(2):
            np.testing.assert_array_equal(together.spikes[layer][b], alone.spikes[layer])
            np.testing.assert_array_equal(together.membranes[layer][b], alone.membranes[layer])


def test_no_frames_give_no_logits(seed):
    config = preset("tiny")
    result = Network.random(config, seed).run(np.zeros((0, 8), np.int8))
    assert result.logits.shape == (0, 24)
    assert result.spikes[0].shape == (0, 2, 16)
    assert Network.random(config, seed).run(np.zeros((3, 0, 8), np.int8)).logits.shape == (3, 0, 24)


def test_readout_every_takes_every_mth_frame(seed):
    every = preset("tiny")
    third = every.replace(readout_every=3)
    network = Network.random(third, seed)
    same = Network(every, network.layers, network.w_out)
    features = random_features(every, 10, seed)
    np.testing.assert_array_equal(network.run(features).logits, same.run(features).logits[::3])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            np.zeros((3, 7), np.int8),
            "features have shape (3, 7): it must be [frames, 8] or [batch, frames, 8]",
        ),
        (
            np.zeros(8, np.int8),
            "features have shape (8,): it must be [frames, 8] or [batch, frames, 8]",
        ),
        (np.zeros((3, 8)), "features have dtype float64: it must be an integer type"),
        (
            np.full((3, 8), 128),
            "features reach from 128 to 128: they must be -128 to 127",
        ),
    ],
)
def test_wrong_features_are_refused(features, message, seed):
    network = Network.random(preset("tiny"), seed)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        network.run(features)
    assert str(error.value) == message


def test_wider_integers_are_taken_if_they_fit(seed):
    network = Network.random(preset("tiny"), seed)
    features = random_features(preset("tiny"), 5, seed)
    np.testing.assert_array_equal(
        network.run(features).logits, network.run(features.astype(np.int64)).logits
    )


# ---- random networks ---------------------------------------------------------------------


@settings(max_examples=60)
@given(configurations(), st.integers(0, 2**31))
def test_random_networks_fit_and_every_layer_spikes(config, seed):
    network = Network.random(config, seed)
    # As many frames as the thresholds are tuned on: a slow leak may not have settled by then.
    features = np.stack([random_features(config, 40, seed + b) for b in range(8)])
    for layer, spikes in enumerate(network.run(features).spikes):
        assert 0.2 <= spikes.mean() <= 0.6, f"layer {layer}"


def test_random_networks_cover_the_parameters():
    config = AcceleratorConfig(
        n_input=4, hidden=(9, 9), recurrent=(True, False), n_output=3, lanes=4, output_lanes=4
    )
    networks = [Network.random(config, seed) for seed in range(60)]
    first = [network.layers[0] for network in networks]
    assert {layer.decay_form for layer in first} == set(DECAY_FORMS)
    assert {layer.reset for layer in first} == set(RESETS)
    assert {layer.decay_shift for layer in first} == set(range(1, 8))
    assert {layer.input_shift for layer in first} == set(range(8))
    assert any(len(set(layer.threshold.tolist())) > 1 for layer in first)
    weights = np.concatenate([layer.w_rec.ravel() for layer in first])
    weights = np.concatenate([weights, *(network.w_out.ravel() for network in networks)])
    assert set(weights.tolist()) == set(range(-8, 8))


def test_a_random_network_is_the_same_for_the_same_seed():
    one, two, other = (Network.random(preset("tiny"), seed) for seed in (5, 5, 6))
    for layer_one, layer_two in zip(one.layers, two.layers, strict=True):
        for name, value in vars(layer_one).items():
            np.testing.assert_array_equal(value, getattr(layer_two, name))
    np.testing.assert_array_equal(one.w_out, two.w_out)
    assert (one.w_out != other.w_out).any()


@pytest.mark.parametrize("name", PRESETS)
def test_random_networks_of_the_presets_spike(name):
    config = PRESETS[name]
    network = Network.random(config, 3)
    for spikes in network.run(random_features(config, 50, 4)).spikes:
        assert 0.2 <= spikes.mean() <= 0.6


def test_random_features_hold_zeros_and_extremes():
    features = random_features(preset("paper-t2"), 200, 1)
    assert features.dtype == np.int8
    assert features.shape == (200, 40)
    assert set(features.ravel().tolist()) == set(range(-128, 128))
    assert 0.19 < (features == 0).mean() < 0.22
    assert (features == -128).mean() > 0.02
    assert (features == 127).mean() > 0.02
    assert not random_features(preset("paper-t2"), 20, 1, density=0).any()


# ---- what is refused ---------------------------------------------------------------------


def refused(config, layers, w_out, message):
    with pytest.raises(NetworkError) as error:
        Network(config, layers, w_out)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"w_in": np.ones((3, 2), int)},
            "layer 0: w_in has shape (3, 2): it must be (2, 2)",
        ),
        (
            {"w_in": np.ones((2, 2))},
            "layer 0: w_in has dtype float64: it must be an integer type",
        ),
        (
            {"w_in": np.ones((2, 2), bool)},
            "layer 0: w_in has dtype bool: it must be an integer type",
        ),
        (
            {"w_in": np.array([[0, 1], [8, 2]])},
            "layer 0, neuron 0: w_in[1] is 8: a weight must be -8 to 7",
        ),
        (
            {"w_in": np.array([[0, -9], [1, 2]])},
            "layer 0, neuron 1: w_in[0] is -9: a weight must be -8 to 7",
        ),
        (
            {"w_rec": np.ones((2, 2), int)},
            "layer 0: w_rec is given: the layer is not recurrent",
        ),
        (
            {"threshold": np.ones(3, int)},
            "layer 0: threshold has shape (3,): it must be (2,) or ()",
        ),
        (
            {"threshold": 1.5},
            "layer 0: threshold has dtype float64: it must be an integer type",
        ),
        (
            {"threshold": np.array([5, 0])},
            "layer 0, neuron 1: threshold is 0: it must be 1 to 32767",
        ),
        ({"threshold": 32768}, "layer 0, neuron 0: threshold is 32768: it must be 1 to 32767"),
        ({"threshold": 2**40}, f"layer 0, neuron 0: threshold is {2**40}: it must be 1 to 32767"),
        ({"decay_shift": 0}, "layer 0: decay_shift is 0: it must be an integer, 1 to 7"),
        ({"decay_shift": 8}, "layer 0: decay_shift is 8: it must be an integer, 1 to 7"),
        ({"decay_shift": 1.0}, "layer 0: decay_shift is 1.0: it must be an integer, 1 to 7"),
        ({"decay_shift": True}, "layer 0: decay_shift is True: it must be an integer, 1 to 7"),
        ({"decay_form": "exp"}, "layer 0: decay_form is 'exp': it must be 'leak' or 'scale'"),
        ({"reset": "none"}, "layer 0: reset is 'none': it must be 'zero' or 'subtract'"),
        ({"input_shift": 8}, "layer 0: input_shift is 8: it must be an integer, 0 to 7"),
        ({"input_shift": -1}, "layer 0: input_shift is -1: it must be an integer, 0 to 7"),
    ],
)
def test_wrong_layers_are_refused(changes, message):
    refused(*by_hand(small(), **changes), message)


def test_wrong_networks_are_refused():
    config, layers, w_out = by_hand(small())
    refused(config, [], w_out, "layers has 0 entries: the configuration has 1 layers")
    refused(config, layers, w_out[:1], "readout: w_out has shape (1, 2): it must be (2, 2)")
    refused(config, layers, w_out * 9, "readout, output 0: w_out[0] is 9: a weight must be -8 to 7")
    recurrent = small(recurrent=(True,))
    refused(recurrent, layers, w_out, "layer 0: w_rec is missing: the layer is recurrent")
    refused(
        small(bias=(True,)),
        layers,
        w_out,
        "layer 0: bias is missing: the configuration has one for the layer",
    )
    ones = np.ones(2, np.int8)
    refused(
        *by_hand(small(), bias=ones),
        "layer 0: bias is given: the layer has none in the configuration",
    )
    biased = small(bias=(True,))
    for bias, message in (
        (ones[:1], "layer 0: bias has shape (1,): it must be (2,)"),
        (ones * 0.5, "layer 0: bias has dtype float64: it must be an integer type"),
        ([1, 64], "layer 0, neuron 1: bias is 64: it must be -72 to 63"),
        ([-73, 1], "layer 0, neuron 0: bias is -73: it must be -72 to 63"),
    ):
        refused(*by_hand(biased, bias=bias), message)
    refused(
        *by_hand(small(bias=(True,), acc_bits=9), bias=[0, 2]),
        "layer 0, neuron 1: the layer sum can reach 256, beyond 255 of acc_bits 9: acc_bits 10 "
        "would be enough for this network",
    )
    deep = small(hidden=(2, 2), recurrent=(False, False))
    _, layers, w_out = by_hand(deep)
    layers[1] = dataclasses.replace(layers[1], input_shift=2)
    refused(deep, layers, w_out, "layer 1: input_shift is 2: only layer 0 has one, it must be 0")


def test_a_network_keeps_its_own_read_only_arrays():
    w_in = np.ones((2, 2), np.int64)
    config, layers, w_out = by_hand(small(), w_in=w_in)
    network = Network(config, layers, w_out)
    w_in[0, 0] = 5
    assert network.layers[0].w_in[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        network.layers[0].w_in[0, 0] = 5
    np.testing.assert_array_equal(network.layers[0].threshold, [16, 16])


def test_a_network_moves_to_machines_of_its_shape_only():
    network = Network.random(preset("tiny"), 2)
    moved = network.on(preset("tiny").replace(lanes=4, output_lanes=1, merge_readout=False))
    assert moved.config.lanes == 4
    np.testing.assert_array_equal(moved.layers[0].w_in, network.layers[0].w_in)
    with pytest.raises(NetworkError) as error:
        network.on(preset("tiny").replace(time_steps=1, n_output=9))
    assert str(error.value) == (
        "the network is for another machine: n_output 24 instead of 9; time_steps 2 instead of 1"
    )


# ---- accumulators ------------------------------------------------------------------------


def half_sums(input_digits):
    """The names of the sums of a feature's halves, and what each half of 0 .. 255 (int8) counts."""
    if input_digits == "bits":
        x = np.arange(256).astype(np.int8).astype(int)
        return {"low-nibble sum": x & 15, "high-nibble sum": x >> 4}
    halves = np.zeros((256, 2), int)
    for value, digits in NON_ADJACENT.items():
        halves[value] = [
            sum(digit << place for place, digit in enumerate(half))
            for half in (digits[:4], digits[4:])
        ]
    return {"low-digit sum": halves[:, 0], "high-digit sum": halves[:, 1]}


@settings(max_examples=15)
@given(st.data(), st.sampled_from([1, 2]), st.sampled_from(INPUT_DIGITS))
def test_bounds_are_what_the_worst_inputs_reach(data, time_steps, input_digits):
    """Every bound equals the extreme over all inputs, tried one by one."""
    config = small(
        hidden=(2, 1),
        recurrent=(True, False),
        n_output=1,
        time_steps=time_steps,
        input_digits=input_digits,
        acc_bits=16,
    )
    weights = st.integers(-8, 7)
    shift = data.draw(st.integers(0, 7))

    def matrix(rows, columns):
        values = data.draw(st.lists(weights, min_size=rows * columns, max_size=rows * columns))
        return np.array(values).reshape(rows, columns)

    w_in, w_rec, w_in1, w_out = matrix(2, 2), matrix(2, 2), matrix(2, 1), matrix(1, 1)
    layers = [
        Layer(w_in, w_rec, 1, 1, input_shift=shift),
        Layer(w_in1, None, 1, 1),
    ]
    bounds = Network(config, layers, w_out).sum_bounds()
    x = np.array(list(itertools.product(range(-128, 128), repeat=2)))
    spikes = np.array(list(itertools.product((0, 1), repeat=2)))
    rounded = round_shift(x @ w_in, shift)
    layer_sum = (rounded[:, None] + (spikes @ w_rec)[None]).reshape(-1, 2)
    tried = [
        *(("layer 0", name, half[x] @ w_in) for name, half in half_sums(input_digits).items()),
        ("layer 0", "layer sum", layer_sum),
        ("layer 1", "layer sum", spikes @ w_in1),
        ("readout", "readout sum", np.arange(time_steps + 1)[:, None] @ w_out),
    ]
    assert [(bound.place, bound.name) for bound in bounds] == [case[:2] for case in tried]
    for bound, (*_, sums) in zip(bounds, tried, strict=True):
        np.testing.assert_array_equal(bound.least, sums.min(axis=0))
        np.testing.assert_array_equal(bound.most, sums.max(axis=0))


def one_neuron(weights, recurrent_weight=None, input_shift=4, input_digits="bits"):
    """A network with one neuron of these input weights and acc_bits 8, -128 .. 127."""
    config = AcceleratorConfig(
        n_input=len(weights),
        hidden=(1,),
        recurrent=(recurrent_weight is not None,),
        n_output=1,
        lanes=1,
        output_lanes=1,
        acc_bits=8,
        input_digits=input_digits,
    )
    w_rec = None if recurrent_weight is None else np.array([[recurrent_weight]])
    layer = Layer(np.array(weights)[:, None], w_rec, 1, 1, input_shift=input_shift)
    return config, [layer], np.array([[1]])


def one_output(weights, time_steps):
    """A network with one output of these weights and acc_bits 8."""
    n = len(weights)
    config = small(hidden=(n,), n_output=1, acc_bits=8, time_steps=time_steps)
    layer = Layer(np.ones((2, n), np.int8), None, 1, 1, input_shift=4)
    return config, [layer], np.array(weights)[:, None]


@pytest.mark.parametrize(
    ("fits_just", "beyond", "message"),
    [
        (
            one_neuron([7, 1]),
            one_neuron([7, 2]),
            "layer 0, neuron 0: the low-nibble sum can reach 135, beyond 127 of acc_bits 8",
        ),
        (
            one_neuron([-8]),
            one_neuron([-8, -1]),
            "layer 0, neuron 0: the low-nibble sum can reach -135, beyond -128 of acc_bits 8",
        ),
        (
            one_neuron([7, -5], input_digits="naf"),
            one_neuron([7, -6], input_digits="naf"),
            "layer 0, neuron 0: the low-digit sum can reach 130, beyond 127 of acc_bits 8",
        ),
        (
            one_neuron([7, 1, -7], recurrent_weight=7),  # (127 * 8 + 128 * 7 + 8 >> 4) + 7 = 127
            one_neuron([7, 1, -8]),
            "layer 0, neuron 0: the layer sum can reach 128, beyond 127 of acc_bits 8",
        ),
        (
            one_neuron([7, 1, -7], recurrent_weight=-8),  # (-(128 * 8 + 127 * 7) + 8 >> 4) - 8
            one_neuron([7, -7], recurrent_weight=-8, input_shift=3),
            "layer 0, neuron 0: the layer sum can reach 223, beyond 127 of acc_bits 8",
        ),
        (
            one_output([7] * 9, 2),
            one_output([7] * 9 + [1], 2),
            "readout, output 0: the readout sum can reach 128, beyond 127 of acc_bits 8",
        ),
        (
            one_output([-8] * 8, 2),
            one_output([-8] * 8 + [-1], 2),
            "readout, output 0: the readout sum can reach -130, beyond -128 of acc_bits 8",
        ),
        (
            one_output([7] * 18 + [1], 1),
            one_output([7] * 18 + [2], 1),
            "readout, output 0: the readout sum can reach 128, beyond 127 of acc_bits 8",
        ),
    ],
    ids=[
        *("low-most", "low-least", "low-digits", "layer", "layer-least"),
        *("readout", "readout-least", "one-step"),
    ],
)
def test_sums_at_the_limit_fit_and_beyond_are_refused(fits_just, beyond, message):
    assert Network(*fits_just).acc_bits_needed == 8
    refused(*beyond, f"{message}: acc_bits 9 would be enough for this network")
    config, layers, w_out = beyond
    assert Network(config.replace(acc_bits=9), layers, w_out).acc_bits_needed == 9


def test_a_high_nibble_sum_fits_where_the_low_one_does():
    """15 P and 15 N within range imply 7 P + 8 N and 8 P + 7 N: the low nibble is named first."""
    for most, least in ((127, 128), (255, 256), (2047, 2048)):
        positive, negative = np.meshgrid(np.arange(most // 15 + 1), np.arange(least // 15 + 1))
        assert (7 * positive + 8 * negative <= most).all()
        assert (8 * positive + 7 * negative <= least).all()
