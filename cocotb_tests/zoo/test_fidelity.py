# SPDX-License-Identifier: Apache-2.0
"""Conversions keep what they say: random networks in real numbers beside their integers."""

import warnings

import nir
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from golden_model import random_features
from model_zoo.exchange import nir_graph
from model_zoo.exchange.account import percent
from model_zoo.exchange.decay import DECAY_TOLERANCE, Decay, decays
from model_zoo.exchange.errors import ConversionError, ConversionWarning
from model_zoo.exchange.fidelity import membrane_steps
from model_zoo.exchange.interpreter import run_graph
from model_zoo.exchange.nir_graph import from_nir
from model_zoo.exchange.nir_graph.chain import dissolved
from model_zoo.exchange.quantise import RealLayer, quantise

DT = 1e-4


def drawn(rng, betas, n_input=5, n=7, *, on_grid=False):
    """A graph of recurrent layers; weights of many sizes, thresholds that inputs reach."""
    nodes = {"input": nir.Input(np.array([n_input]))}
    edges = []
    before, width = "input", n_input
    for number, beta in enumerate(betas):
        size = 0.02 if number == 0 else 1.0
        w_in, w_rec = rng.normal(size=(n, width)) * size, rng.normal(size=(n, n)) * 0.3
        if on_grid:
            w_in, w_rec = np.rint(w_in / size * 3).clip(-7, 7) / 64, np.rint(w_rec * 3).clip(-7, 7)
        gain = 1 - beta
        tau = DT / gain
        threshold = rng.uniform(0.2, 3, n) * np.abs(w_in).sum(axis=1).mean()
        threshold *= (40 if number == 0 else 1) * rng.uniform(0.05, 0.5) / np.sqrt(gain)
        scale = np.exp(rng.normal(size=n))  # r: a gain and a threshold of its own for each neuron
        lif = nir.LIF(
            tau=np.full(n, tau),
            r=scale * tau / DT,
            v_leak=np.zeros(n),
            v_threshold=threshold * scale,
            v_reset=np.zeros(n),
        )
        names = f"fc{number}", f"lif{number}", f"rec{number}"
        nodes |= dict(zip(names, (nir.Linear(w_in), lif, nir.Linear(w_rec)), strict=True))
        edges += [(before, names[0]), (names[0], names[1])]
        edges += [(names[1], names[2]), (names[2], names[1])]
        before, width = names[1], n
    nodes["out"] = nir.Linear(rng.normal(size=(3, n)))
    nodes["output"] = nir.Output(np.array([3]))
    edges += [(before, "out"), ("out", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def before_reset(graph, number, real, features):
    """Membranes [frames, n] of a layer before resets, from what `run_graph` kept."""
    source = features.astype(float) if number == 0 else real.spikes[number - 1][:, 0]
    lif = graph.nodes[f"lif{number}"]
    spikes = real.spikes[number][:, 0]
    current = source @ graph.nodes[f"fc{number}"].weight.T
    current[1:] += spikes[:-1] @ graph.nodes[f"rec{number}"].weight.T
    v = np.zeros_like(current)
    v[1:] = real.membranes[number][:-1, 0]
    return v * (1 - DT / lif.tau) + current * lif.r * DT / lif.tau


@settings(max_examples=120)
@given(
    seed=st.integers(0, 2**32 - 1),
    decays_=st.lists(
        st.one_of(st.sampled_from([d.beta for d in decays(9)]), st.floats(0, 0.998)),
        min_size=1,
        max_size=3,
    ),
    reset=st.sampled_from(["zero", "subtract"]),
    on_grid=st.booleans(),
)
def test_spikes_differ_only_within_the_bound_that_the_report_states(seed, decays_, reset, on_grid):
    rng = np.random.default_rng(seed)
    graph = drawn(rng, decays_, on_grid=on_grid)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConversionWarning)
        network = from_nir(graph, reset=reset, nearest=True, fields={"acc_bits": 14})
    about = network.header["conversion"]["layers"]
    features = random_features(network.config, 150, seed=seed % 1000)
    nodes, after = dissolved(graph)
    lifs = [f"lif{number}" for number in range(len(decays_))]
    real = run_graph(
        nodes, after, features, lifs=lifs, dt=DT, resets=[reset] * len(lifs), time_steps=1
    )
    result = network.run(features)
    steps = membrane_steps(network)
    different = [
        (mine != theirs).any(axis=(1, 2))
        for mine, theirs in zip(result.spikes, real.spikes, strict=True)
    ]
    first = [int(d.argmax()) if d.any() else len(features) for d in different]
    until = min(first)
    for number, layer in enumerate(about):
        threshold = graph.nodes[lifs[number]].v_threshold
        limit = 2.0 ** (network.config.membrane_bits - 1) * steps[number]
        membranes = before_reset(graph, number, real, features)
        assume((np.abs(membranes) < limit).all())
        mine = result.membranes[number][:, 0] * steps[number]
        off = np.abs(mine - real.membranes[number][:, 0])[:until] / threshold
        assert (off <= layer["membrane_bound"] * (1 + 1e-9) + 1e-9).all()
        if first[number] == until < len(features) and number == first.index(until):
            here = result.spikes[number][until, 0] != real.spikes[number][until, 0]
            near = np.abs(membranes[until] - threshold) / threshold
            assert (near[here] <= layer["membrane_bound"] * (1 + 1e-9) + 1e-9).all()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), shift=st.integers(1, 8), reset=st.sampled_from(["zero"]))
def test_what_lies_on_the_hardwares_grid_keeps_nearly_every_spike(seed, shift, reset):
    """Decays and weights of the hardware: only the leak and input sums round."""
    rng = np.random.default_rng(seed)
    graph = drawn(rng, [1 - 2.0**-shift], on_grid=True)
    network = from_nir(graph, reset=reset, fields={"acc_bits": 16})
    about = network.header["conversion"]
    assert about["layers"][0]["error_w_in"] == about["layers"][0]["error_w_rec"] == 0
    assert {"layer 0 ('lif0'): weights", "layer 0 ('lif0'): range of membranes"} & set(
        about["exact"]
    )
    features = random_features(network.config, 200, seed=seed % 1000)
    figures = nir_graph.check_graph(graph, network, features)
    layer = figures["layers"][0]
    assert layer["spikes_equal"] > 0.95
    assert abs(layer["spikes_hardware"] - layer["spikes_real"]) <= 0.1 * layer["spikes_real"] + 5


@given(beta=st.floats(0, 1), most=st.integers(1, 15))
def test_a_decay_is_taken_within_its_tolerance_or_refused(beta, most):
    layer = RealLayer("it", np.ones((1, 1)), None, np.ones(1), beta)
    known = [decay.error(beta) for decay in decays(most)]
    within = min(abs(float(error)) for error in known) <= DECAY_TOLERANCE
    try:
        network = quantise([layer], None, fields={"max_decay_shift": most})
    except ConversionError:
        # A leak of 2^-15 leaves a threshold of 16 steps no room: refused for that.
        assert not within or beta > 0.999
    else:
        assert within
        taken = network.header["conversion"]["layers"][0]["beta_taken"]
        assert abs(float(Decay(taken, 1, "leak").error(beta))) <= DECAY_TOLERANCE


def test_the_report_says_what_is_exact_and_what_is_not():
    layers = [
        RealLayer("first", np.array([[7.0, 3.0]]) / 64, None, np.ones(2), 0.75),
        RealLayer("second", np.array([[1.0], [0.37]]), None, np.ones(1), 0.7519),
    ]
    about = quantise(layers, np.array([[1.0, 0.5, 0.3]])).header["conversion"]
    assert about["exact"] == [
        "first: weights",
        "first: decay, a time constant of 4 time steps",
        "first: range of membranes",
        "second: range of membranes",
    ]
    assert [line.split(",")[0] for line in about["approximated"]] == [
        "first: leak",
        "second: weights",
        "second: decay",
        "second: leak",
        "readout: weights by 2.88 % of their norm",
    ]
    assert about["approximated"][2] == (
        "second: decay, a time constant of 4.03063 time steps as 4, 1 - beta by +0.766 %"
    )
    assert about["warnings"] == []
    assert percent(0.12345) == "12.3 %"


def test_each_neuron_has_a_scale_of_its_own(rng):
    """A gain for each neuron, over its whole w_in and w_rec, costs nothing."""
    w_in, w_rec = rng.integers(-7, 8, (6, 9)) / 64.0, rng.integers(-7, 8, (9, 9)) * 1.0
    w_in[0], w_rec[0] = 7 / 64, 7
    gains = np.exp(rng.normal(size=9) * 2)
    layer = RealLayer("it", w_in * gains, w_rec * gains, gains, 0.875)
    plain = RealLayer("it", w_in, w_rec, np.ones(9), 0.875)
    found, wanted = (quantise([one], None) for one in (layer, plain))
    assert np.array_equal(found.layers[0].w_in, wanted.layers[0].w_in)
    assert np.array_equal(found.layers[0].w_rec, wanted.layers[0].w_rec)
    assert np.array_equal(found.layers[0].threshold, wanted.layers[0].threshold)
    assert found.header["conversion"]["layers"][0]["error_worst_neuron"] == 0


def test_figures_of_two_runs_that_are_the_same(rng):
    graph = drawn(rng, [0.5])
    network = from_nir(graph)
    features = random_features(network.config, 50, seed=1)
    figures = nir_graph.check_graph(graph, network, features)
    assert figures["layers"][0]["spikes_hardware"] == network.run(features).spikes[0].sum()
    silent = nir_graph.check_graph(graph, network, np.zeros_like(features))
    assert silent["layers"][0] == {
        "spikes_real": 0,
        "spikes_hardware": 0,
        "spikes_equal": 1.0,
        "spikes_shared": None,
        "first_difference": None,
        "membrane_error": 0.0,
    }
    assert silent["readout"] == {"error": 0.0, "same_answer": 1.0}
    assert pytest.approx(figures["layers"][0]["spikes_equal"], abs=0.2) == 1
