# SPDX-License-Identifier: Apache-2.0
"""NIR out and in: the same integers come back, other tools' graphs are rounded or refused."""

import itertools
import json
import re
import sys
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from flows.cli import app as cli
from golden_model import Network, NetworkError, random_features
from golden_model.layer import Layer
from hw.config import AcceleratorConfig, ConfigError, preset
from model_zoo.exchange import nir_graph
from model_zoo.exchange.beta_sweep import sweep
from model_zoo.exchange.decay import Decay, nearest_decay
from model_zoo.exchange.errors import ConversionError, ConversionWarning
from model_zoo.exchange.nir_graph import check_graph, from_nir, to_nir
from model_zoo.exchange.quantise import RealLayer, quantise

TINY = preset("tiny")
UGLY = (
    TINY,
    TINY.replace(time_steps=1),
    TINY.replace(hidden=[1, 1], n_input=1, n_output=1, recurrent=[True, True]),
    TINY.replace(hidden=[13, 7, 3], recurrent=[False, True, False], n_output=5),
    AcceleratorConfig(
        n_input=3,
        hidden=(5, 1, 9),
        recurrent=(False, True, False),
        n_output=11,
        lanes=4,
        output_lanes=4,
        acc_bits=14,
        membrane_bits=20,
        membrane_frac=0,
        readout_every=3,
    ),
)


def same_bytes(first: Network, second: Network, folder: Path) -> bool:
    """Whether two networks are the same file: integers, configuration and header."""
    paths = [folder / "first.safetensors", folder / "second.safetensors"]
    for network, path in zip((first, second), paths, strict=True):
        network.save(path)
    return paths[0].read_bytes() == paths[1].read_bytes()


def drawn(config: AcceleratorConfig, seed: int) -> Network:
    """A random network with both resets, both forms, the extreme weights and a header."""
    network = Network.random(config, seed)
    layers = []
    for number, layer in enumerate(network.layers):
        values = {**vars(layer), "reset": ("subtract", "zero")[number % 2]}
        values["decay_form"] = ("leak", "scale")[(number + seed) % 2]
        values["w_in"] = layer.w_in.copy()
        values["w_in"][0, 0] = -8
        layers.append(Layer(**values))
    labels = [f"ä{number}" for number in range(config.n_output)]
    header = {"labels": labels, "scales": {"input": 0.05}, "label_delay": 3, "none": None}
    return Network(config, layers, network.w_out, header)


# --- out and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(UGLY)))
def test_round_trip_keeps_every_integer_and_the_header(number, tmp_path):
    network = drawn(UGLY[number], number)
    path = tmp_path / "network.nir"
    nir_graph.write(path, network)
    assert path.read_bytes() == nir_graph.to_bytes(network)
    back = from_nir(nir_graph.read(path))
    assert same_bytes(network, back, tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".tmp")] == []


@pytest.mark.parametrize("number", [0, 1, 3, 4])  # one weight alone (2) is on every grid
def test_integers_are_found_again_without_the_metadata(number):
    # A tool that drops metadata leaves floats on a 4-bit grid: rounding finds the grid.
    config = UGLY[number]
    network = drawn(config, number)
    graph = to_nir(network)
    graph.metadata = {}
    shape = ("n_input", "hidden", "recurrent", "bias", "n_output")
    fields = {name: value for name, value in config.to_dict().items() if name not in shape}
    for name in ("membrane_frac", "membrane_bits"):
        del fields[name]  # random networks have thresholds that leaks round away
    found = from_nir(graph, fields=fields)
    for layer, before in zip(found.layers, network.layers, strict=True):
        # Each neuron takes the finest step that fits: whole multiples of what it had.
        shift = 2.0 ** (layer.input_shift - before.input_shift)
        whole = np.abs(layer.w_in).max(axis=0) / np.maximum(np.abs(before.w_in).max(axis=0), 1)
        assert (whole[before.w_in.any(axis=0)] > 0).all()
        assert np.allclose(layer.w_in, before.w_in * whole, rtol=0, atol=1e-6)
        if layer.w_rec is not None:
            assert np.allclose(layer.w_rec, before.w_rec * whole / shift, rtol=0, atol=1e-6)
        assert (layer.decay_shift, layer.decay_form) == (before.decay_shift, before.decay_form)
    assert (found.w_out == network.w_out).all()
    about = found.header["conversion"]
    assert {layer["error_w_in"] + layer["error_w_rec"] for layer in about["layers"]} == {0}
    assert about["readout"]["error"] == 0


def test_another_machine_may_be_asked_for_but_not_another_network(tmp_path):
    network = drawn(TINY, 1)
    graph = to_nir(network)
    assert from_nir(graph, fields={"lanes": 16, "trace": True}).config == TINY.replace(
        lanes=16, trace=True
    )
    with pytest.raises(NetworkError, match=r"another machine: time_steps 2 instead of 1$"):
        from_nir(graph, fields={"time_steps": 1})
    assert same_bytes(from_nir(graph), network, tmp_path)


def test_graph_is_what_other_tools_understand():
    """In snnTorch our plain layers run; the rounding of decays is all that may differ."""
    torch = pytest.importorskip(
        "torch", reason="snnTorch needs the extra: pip install -e .[exchange]"
    )
    from snntorch.import_nir import import_from_nir

    config = TINY.replace(
        time_steps=1, recurrent=[False, False], n_input=5, hidden=[6, 7], n_output=4
    )
    drawn_network = Network.random(config, 3)
    # No input shift, which rounds; snnTorch has one threshold a layer.
    layers = []
    for layer in drawn_network.layers:
        shared = {"threshold": int(np.median(layer.threshold)), "input_shift": 0, "reset": "zero"}
        layers.append(Layer(**{**vars(layer), **shared, "decay_shift": 1, "decay_form": "leak"}))
    network = Network(config, layers, drawn_network.w_out)
    theirs = import_from_nir(to_nir(network))
    features = random_features(config, 200, seed=1)
    state, outputs = None, []
    for frame in torch.from_numpy(features).float():
        output, state = theirs(frame[np.newaxis], state)
        outputs.append(output.detach().numpy())
    result = network.run(features)
    assert all(0.05 < spikes.mean() < 0.95 for spikes in result.spikes)
    assert (np.concatenate(outputs) == result.logits).mean() > 0.95


def changed(network: Network, change) -> nir.NIRGraph:
    graph = to_nir(network)
    content = json.loads(graph.metadata["plosive"])
    change(graph, content)
    graph.metadata["plosive"] = json.dumps(content)
    return graph


def _half_weight(graph, _):
    graph.nodes["layer0.w_rec"].weight[0, 0] += 0.5


def _slower(graph, _):
    graph.nodes["layer1.lif"].tau *= 2


def _version(_, content):
    content["format_version"] = 2


def _less(_, content):
    del content["layers"]


def _parameter(_, content):
    content["layers"][0]["extra"] = 1


def _text(_, content):
    content["layers"][0]["input_shift"] = "two"


def _heavy(graph, _):
    graph.nodes["readout"].weight[0, 0] = 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_half_weight, "node 'layer0.w_rec': weight was changed after the export, to values that"),
        (_slower, "node 'layer1.lif': tau was changed after the export (decay "),
        (_version, "metadata 'plosive': format_version is 2, network_hash "),
        (_less, "metadata 'plosive': it is not what plosive writes: 'layers'"),
        (_parameter, "metadata 'plosive': layer 0 must have exactly decay_shift, decay_form, "),
        (_text, "metadata 'plosive': layer 0: "),
        (_heavy, "readout, output 0: w_out[0] is 9: a weight must be -8 to 7"),
    ],
)
def test_a_graph_of_ours_that_was_changed_is_refused(change, message):
    with pytest.raises((ConversionError, NetworkError)) as caught:
        from_nir(changed(drawn(TINY, 1), change))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


# --- graphs of other tools --------------------------------------------------------------------


def lif(n: int, beta: float = 0.75, dt: float = 1e-4, **changes) -> nir.LIF:
    """As snnTorch writes it: r = tau / dt."""
    tau = dt / (1 - beta)
    values = {"tau": tau, "r": tau / dt, "v_leak": 0, "v_threshold": 1, "v_reset": 0, **changes}
    return nir.LIF(**{name: np.broadcast_to(float(1) * v, (n,)) for name, v in values.items()})


def chain(rng, *, n_input=4, hidden=(6, 5), n_output=3, **changes) -> nir.NIRGraph:
    """input, fc0, lif0 with rec0, fc1, lif1, out, output; nodes may be replaced."""
    first, second = hidden

    def matrix(rows, columns, size):
        return nir.Linear(weight=rng.normal(size=(rows, columns)) * size)

    nodes = {
        "input": nir.Input(np.array([n_input])),
        "fc0": matrix(first, n_input, 0.01),
        "lif0": lif(first),
        "rec0": matrix(first, first, 0.3),
        "fc1": matrix(second, first, 0.5),
        "lif1": lif(second),
        "out": matrix(n_output, second, 0.2),
        "output": nir.Output(np.array([n_output])),
    }
    nodes.update(changes)
    edges = [
        *(("input", "fc0"), ("fc0", "lif0"), ("lif0", "rec0"), ("rec0", "lif0")),
        *(("lif0", "fc1"), ("fc1", "lif1"), ("lif1", "out"), ("out", "output")),
    ]
    return nir.NIRGraph(nodes, edges, type_check=False)


def check_refused(rng, change, message: str) -> None:
    """A chain with a change is refused in one line that begins like this."""
    graph = chain(rng)
    change(graph)
    with pytest.raises(ConversionError) as caught:
        from_nir(graph)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def simulated(graph: nir.NIRGraph, features: np.ndarray, dt: float = 1e-4) -> np.ndarray:
    """Spikes [frames, n] of lif1 of a `chain`, in real numbers from NIR's equations."""
    nodes = graph.nodes

    def step(node, v, i):
        v = v + dt / node.tau * (node.v_leak - v + node.r * i)
        s = v > node.v_threshold
        return np.where(s, node.v_reset, v), s

    v = [np.zeros(nodes[name].tau.shape) for name in ("lif0", "lif1")]
    s0 = np.zeros(v[0].shape)
    spikes = []
    for x in features:
        v[0], s0 = step(nodes["lif0"], v[0], nodes["fc0"].weight @ x + nodes["rec0"].weight @ s0)
        v[1], s1 = step(nodes["lif1"], v[1], nodes["fc1"].weight @ s0)
        spikes.append(s1)
    return np.array(spikes)


def test_a_foreign_graph_spikes_nearly_as_it_did(rng):
    graph = chain(rng, n_input=8, hidden=(32, 32))
    graph.nodes["rec0"].weight *= 0.3
    graph.nodes["fc1"].weight *= 0.7
    network = from_nir(graph)
    assert network.config.time_steps == 1
    features = random_features(network.config, 500, seed=1)
    expected = simulated(graph, features)
    found = network.run(features).spikes[1][:, 0]
    assert 0.05 < expected.mean() < 0.95
    # 4-bit weights: docs/bring-your-own-network.md says what to expect, and of what.
    assert (found == expected).mean() > 0.8
    for layer in network.header["conversion"]["layers"]:
        assert 0.02 < layer["error_w_in"] < 0.2


def test_conventions_of_time_constants_give_the_same_integers(seed):
    wanted = from_nir(chain(np.random.default_rng(seed)))
    # Norse: r is 1 and a time step a millisecond, so that dt / tau scales the input.
    norse = {name: lif(n, dt=1e-3, r=1, v_threshold=0.25) for name, n in (("lif0", 6), ("lif1", 5))}
    found = from_nir(chain(np.random.default_rng(seed), **norse), dt=1e-3)
    for a, b in zip(found.layers, wanted.layers, strict=True):
        assert (a.w_in == b.w_in).all()
        assert (a.threshold == b.threshold).all()
        assert (a.decay_shift, a.decay_form) == (b.decay_shift, b.decay_form)
    assert (found.layers[0].w_rec == wanted.layers[0].w_rec).all()


def test_a_resistance_per_neuron_scales_its_weights(seed):
    factors = np.linspace(1, 2, 6)
    scaled = chain(np.random.default_rng(seed), lif0=lif(6, r=4 * factors))
    plain = chain(np.random.default_rng(seed))
    for name in ("fc0", "rec0"):
        plain.nodes[name].weight = plain.nodes[name].weight * factors[:, np.newaxis]
    for name in ("w_in", "w_rec", "threshold"):
        found, wanted = (getattr(from_nir(g).layers[0], name) for g in (scaled, plain))
        assert (found == wanted).all()


def test_subgraphs_are_dissolved(rng, tmp_path):
    flat = chain(rng)
    wanted = from_nir(flat)
    inner = nir.NIRGraph(
        {
            "input": nir.Input(np.array([6])),
            "lif": flat.nodes["lif0"],
            "w_rec": flat.nodes["rec0"],
            "output": nir.Output(np.array([6])),
        },
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    nodes = {name: node for name, node in flat.nodes.items() if name not in ("lif0", "rec0")}
    edges = [
        *(("input", "fc0"), ("fc0", "rnn"), ("rnn", "fc1"), ("fc1", "lif1")),
        *(("lif1", "out"), ("out", "output")),
    ]
    nested = nir.NIRGraph({**nodes, "rnn": inner}, edges)
    nir.write(tmp_path / "nested.nir", nested)
    found = from_nir(nir_graph.read(tmp_path / "nested.nir"))
    found.header["conversion"] = wanted.header["conversion"]  # names of the nodes differ
    assert same_bytes(found, wanted, tmp_path)


def test_without_a_readout_the_spikes_are_the_outputs(rng):
    graph = chain(rng)
    del graph.nodes["out"]
    graph.nodes["output"] = nir.Output(np.array([5]))
    graph.edges = [edge for edge in graph.edges if "out" not in edge] + [("lif1", "output")]
    network = from_nir(graph)
    result = network.run(random_features(network.config, 100, seed=1))
    assert (result.logits == result.spikes[1][:, 0]).all()


def test_biases_are_kept(rng):
    """On the grid of the weights they are exact; those of both matrices of a layer add up."""

    def graph(bias_in, bias_rec):
        made = chain(rng)
        for name, bias, step in (("fc0", bias_in, 1 / 512), ("rec0", bias_rec, 1 / 8)):
            weight = rng.integers(-7, 8, made.nodes[name].weight.shape) * step
            weight[:, 0] = 7 * step  # one scale for all
            made.nodes[name] = nir.Affine(weight=weight, bias=np.full(6, bias))
        made.nodes["lif0"] = lif(6, v_threshold=20)
        return made

    def real_bias(network):
        steps = np.array(network.header["conversion"]["layers"][0]["membrane_steps"])
        return network.layers[0].bias * steps * 2.0**network.config.membrane_frac

    network = from_nir(graph(3 / 8, -1 / 8))
    assert network.config.bias == (True, False)
    np.testing.assert_allclose(real_bias(network), 2 / 8)
    assert "layer 0 ('lif0'): bias" in network.header["conversion"]["exact"]
    assert from_nir(graph(1 / 8, -1 / 8)).config.bias == ()
    # Far beyond the range at the scale of the weights: a coarser scale.
    large = from_nir(graph(20.0, 0.0))
    np.testing.assert_allclose(real_bias(large), 20, rtol=0.01)
    features = random_features(network.config, 60, seed=1)
    other = graph(3 / 8, -1 / 8)
    found = check_graph(other, from_nir(other), features)
    assert found["layers"][0]["spikes_equal"] > 0.99


def test_a_bias_comes_back_from_our_own_graph(tmp_path):
    config = preset("tiny").replace(bias=[True, True])
    network = Network.random(config, 4)
    assert same_bytes(from_nir(to_nir(network)), network, tmp_path)
    graph = to_nir(network)
    graph.nodes["layer1.w_in"].bias[2] += 0.5
    with pytest.raises(ConversionError) as caught:
        from_nir(graph)
    assert str(caught.value).startswith(
        "node 'layer1.w_in': bias was changed after the export, to values that are no integers"
    )


def test_a_bias_of_the_readout_goes_to_the_host(rng):
    bias = np.array([0.5, 0.0, -1.0])
    weight = rng.normal(size=(3, 5))
    network = from_nir(chain(rng, out=nir.Affine(weight=weight, bias=bias)))
    assert np.allclose(
        np.array(network.header["readout_bias"]) * network.header["scales"]["readout"], bias
    )
    silent = from_nir(chain(rng, out=nir.Affine(weight=weight, bias=0 * bias)))
    assert "readout_bias" not in silent.header


def _edge(*edges):
    def change(graph):
        graph.edges = [*graph.edges, *edges]

    return change


def _node(name, make):
    def change(graph):
        graph.nodes[name] = make(graph.nodes[name])

    return change


def _field(name, field, value):
    def change(graph):
        values = np.array(getattr(graph.nodes[name], field), float)
        values[1] = value
        setattr(graph.nodes[name], field, values)

    return change


def _conv(_):
    one = np.ones((1, 1, 1))
    return nir.Conv1d(3, one, stride=1, padding=0, dilation=1, groups=1, bias=np.zeros(1))


def _cuba(node):
    names = ("r", "v_leak", "v_threshold", "v_reset")
    values = {name: getattr(node, name) for name in names}
    return nir.CubaLIF(tau_syn=node.tau, tau_mem=node.tau, **values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_node("fc1", _conv), "node 'fc1' is Conv1d: the hardware has no convolutions"),
        (
            _node("lif1", _cuba),
            "node 'lif1' is CubaLIF: the hardware's neurons have no synaptic current beside the "
            "membrane",
        ),
        (
            _node("lif1", lambda n: nir.IF(r=n.r, v_threshold=n.v_threshold)),
            "node 'lif1' is IF: the hardware's neurons leak: the longest decay is 1 - "
            "2^-max_decay_shift",
        ),
        (
            _node("out", lambda _: nir.Threshold(threshold=np.ones(5))),
            "node 'out' is Threshold: it must be Linear, Affine or LIF",
        ),
        (
            _edge(("lif0", "lif0")),
            "node 'lif0': an edge leads from it to itself: it needs a Linear ",
        ),
        (_edge(("lif1", "fc1")), "node 'fc1': it lies between 'lif0' and 'lif1' and 'lif1': it mu"),
        (_edge(("lif0", "out")), "node 'lif0': it leads to 'fc1' and 'out': beside its own recurr"),
        (_edge(("lif0", "fc1")), "edge 'lif0' to 'fc1': it is there twice"),
        (_edge(("lif0", "nowhere")), "edge 'lif0' to 'nowhere': no node 'nowhere'"),
        (
            _field("lif1", "v_leak", 0.5),
            "layer 1 ('lif1'), neuron 1: v_leak is 0.5: it must be 0",
        ),
        (
            _field("lif0", "v_reset", -0.5),
            "layer 0 ('lif0'), neuron 1: v_reset is -0.5: it must be 0",
        ),
        (
            _field("lif0", "v_threshold", 0),
            "layer 0 ('lif0'), neuron 1: threshold is 0: it must be positive",
        ),
        (
            _field("lif0", "tau", 2e-4),
            "layer 0 ('lif0'): decay beta is 0.5 to 0.75, of which 0.75 is farthest from any that "
            "would do for all: the layer has one decay, a time constant of 4 time steps: the "
            "hardware has 1 - 2^-a and 2^-a, a = 1 to 15, the nearest 0.75 (4 steps, 1 - beta +0%) "
            "and 0.875 (8 steps, 1 - beta -50%), and 1 - beta must be within 1%: train with a "
            "decay of the hardware, or take the nearest with nearest (--nearest); tau is 0.0002 to "
            "0.0004 s and dt 0.0001 s",
        ),
        (_field("lif0", "tau", -1), "layer 0 ('lif0'), neuron 1: tau is -1: it must be positive"),
        (_field("lif0", "r", -1), "layer 0 ('lif0'), neuron 1: r is -1: it must be positive"),
        (_field("lif0", "r", np.nan), "node 'lif0': r[1] is nan: it must be a finite number"),
        (
            _node("lif1", lambda n: lif(len(n.tau), beta=0.6)),
            "layer 1 ('lif1'): decay beta is 0.6, a time constant of 2.5 time steps: the hardware "
            "has 1 - 2^-a and 2^-a, a = 1 to 15, the nearest 0.5 (2 steps, 1 - beta +25%) and 0.75 "
            "(4 steps, 1 - beta -38%), and 1 - beta must be within 1%: train with a decay of the "
            "hardware, or take the nearest with nearest (--nearest); tau is 0.00025 s and dt "
            "0.0001 s",
        ),
        (
            _node("rec0", lambda n: nir.Affine(weight=n.weight, bias=np.full(6, np.inf))),
            "node 'rec0': bias[0] is inf: it must be a finite number",
        ),
        (
            _node("fc1", lambda _: nir.Linear(weight=np.ones((5, 7)))),
            "node 'fc1': weight has shape (5, 7): it must have 6 columns, as node 'fc0' has values",
        ),
        (
            _node("fc1", lambda _: nir.Linear(weight=np.full((5, 6), "x"))),
            "node 'fc1': weight holds no numbers",
        ),
        (
            _node("rec0", lambda _: nir.Linear(weight=np.ones((6, 7)))),
            "node 'rec0': weight has shape (6, 7): it must be (6, 6)",
        ),
        (
            _node("lif1", lambda _: lif(4)),
            "node 'lif1': tau has shape (4,): it must be one number or 5",
        ),
        (
            _node("input", lambda _: nir.Input(np.array([2, 2]))),
            "the input has shape (2, 2): it must be one vector",
        ),
        (
            lambda graph: graph.nodes.update(more=nir.Input(np.array([1]))),
            "the graph has 2 Input nodes: it must have one",
        ),
        (
            lambda graph: graph.nodes.update(lost=nir.Linear(weight=np.ones((1, 1)))),
            "node 'lost': it is not between the input and the output",
        ),
    ],
)
def test_what_the_hardware_cannot_run_is_refused_with_the_reason(change, message, rng):
    check_refused(rng, change, message)


def test_feedback_to_an_earlier_layer_is_refused(rng):
    graph = chain(rng, back=nir.Linear(weight=np.ones((6, 5))))
    graph.edges += [("lif1", "back"), ("back", "lif0")]
    with pytest.raises(
        ConversionError, match=r"^node 'lif0': it gets 'fc0' and 'rec0' and 'back': "
    ):
        from_nir(graph)


def test_options_are_checked(rng):
    for options, message in (
        ({"reset": "none"}, "reset is 'none': it must be 'zero' or 'subtract'"),
        ({"dt": 0.0}, "dt is 0.0: it must be a positive number of seconds"),
        ({"input_scale": -1.0}, "input_scale is -1.0: it must be a positive number"),
        ({"fields": {"hidden": [3]}}, "hidden is given: it follows from the network, leave it out"),
        ({"fields": {"time_steps": 3}}, "time_steps is 3: it must be an integer, 1 to 2"),
        ({"fields": {"lanes": "x"}}, "lanes is 'x': it must be an integer, 1 to 1024"),
    ):
        with pytest.raises((ConversionError, ConfigError)) as caught:
            from_nir(chain(rng), **options)
        assert str(caught.value) == message


# --- kinds of faults: another network in silence, or a refusal for an untrue reason -------------


def constant_drive(beta: float, drive: float, frames: int, **options) -> tuple[int, int]:
    """Spikes of one neuron under a constant drive: in real numbers, and of its conversion."""
    layer = RealLayer("it", np.array([[drive]]), None, np.ones(1), beta)
    network = quantise([layer], None, **options)
    v, spikes = 0.0, 0
    for _ in range(frames):
        v = beta * v + drive
        if v > 1:
            v, spikes = 0.0, spikes + 1
    return spikes, int(network.run(np.ones((frames, 1), np.int8)).spikes[0].sum())


@pytest.mark.parametrize(
    ("beta", "drive", "steps", "choices"),
    [
        (0.95, 0.055, "20", "0.9375 (16 steps, 1 - beta +25%) and 0.96875 (32 steps, "),
        (0.9, 0.11, "10", "0.875 (8 steps, 1 - beta +25%) and 0.9375 (16 steps, "),
        (0.99, 0.0085, "100", "0.984375 (64 steps, 1 - beta +56%) and 0.992188 (128 steps, "),
        (1.0, 0.001, "infinitely many", "0.999969 (32,768 steps, "),
    ],
)
def test_decay_tolerance(beta, drive, steps, choices):
    """5 % of beta was 25 % of 1 - beta: of the gain, and of the time constant."""
    with pytest.raises(ConversionError) as caught:
        constant_drive(beta, drive, 100)
    text = str(caught.value)
    assert text.startswith(f"it: decay beta is {beta:g}, a time constant of {steps} time steps: ")
    assert choices in text
    assert text.endswith("or take the nearest with nearest (--nearest)")


@pytest.mark.parametrize("tau", [1e6, 1e3])
def test_no_leak_is_refused_as_an_integrator_is(tau, rng):
    with pytest.raises(ConversionError, match=r"^layer 1 \('lif1'\): decay beta is 1 - 1e-\d+, a "):
        from_nir(chain(rng, lif1=nir.LIF(*np.full((4, 5), [[tau], [1], [0], [1]]), np.zeros(5))))


def test_spikes_under_constant_drive_are_right_or_refused():
    taken = 0
    betas = [*np.linspace(0.5, 0.999, 41), *(1 - 2.0 ** -np.arange(1, 10)), 0.9376, 0.0, 0.25]
    for one in itertools.chain(*sweep(betas)):
        assert one.spikes > 30
        if one.refused is not None:
            assert "1 - beta must be within 1%" in one.refused
            continue
        taken += 1
        assert abs(one.hardware - one.spikes) <= 0.1 * one.spikes, (one.beta, one.above)
    assert taken >= 3 * 12


def test_every_decay_of_the_hardware_is_taken():
    for shift in range(1, 16):
        layer = RealLayer("it", np.ones((1, 1)), None, np.ones(1), 1 - 2.0**-shift)
        network = quantise([layer], None)
        assert (network.layers[0].decay_shift, network.layers[0].decay_form) == (shift, "leak")
        assert network.config.max_decay_shift == max(7, shift)


def test_beta_zero_within_the_noise_of_float32(rng):
    # snnTorch writes Leaky(beta=0) as tau = dt in float32, which gave a beta of -2.5e-08.
    tau = np.full(5, 1e-4, np.float32)
    assert 1 - 1e-4 / tau.astype(float)[0] < 0
    other = nir.LIF(tau=tau, r=np.ones(5), v_leak=np.zeros(5), v_threshold=np.full(5, 20.0))
    graph = chain(rng, lif1=other)
    graph.nodes["fc1"].weight = rng.integers(-7, 8, (5, 6)) * 4.0
    network = from_nir(graph)
    features = random_features(network.config, 500, seed=1)
    result = network.run(features)
    # No memory: the spikes of layer 1 are those of its weights alone.
    alone = result.spikes[0][:, 0] @ graph.nodes["fc1"].weight.T > 20
    assert 0.02 < alone.mean() < 0.98
    assert np.array_equal(result.spikes[1][:, 0], alone)


def test_tau_in_steps_and_tau_below_dt_name_the_option(rng):
    steps = {
        name: nir.LIF(*np.full((4, n), [[20.0], [20], [0], [1]]), np.zeros(n))
        for name, n in (("lif0", 6), ("lif1", 5))
    }
    with pytest.raises(ConversionError) as caught:
        from_nir(chain(rng, **steps))
    assert str(caught.value).endswith(
        "; tau is 20 s and dt 0.0001 s: if tau is in time steps, as sinabs writes it, give dt 1 "
        "(--dt 1)"
    )
    with pytest.raises(
        ConversionError, match=r"decay beta is 0\.95, a time constant of 20 time st"
    ):
        from_nir(chain(rng, **steps), dt=1)
    with pytest.raises(ConversionError) as caught:
        from_nir(chain(rng), dt=1e-3)
    assert str(caught.value) == (
        "layer 0 ('lif0'), neuron 0: tau is 0.0004 s, 0.4 time steps of dt 0.001 s: it must be at "
        "least one time step: say how long one was in training with dt (--dt)"
    )
    for node in steps.values():
        node.tau = node.r = np.full_like(node.tau, 16)
    network = from_nir(chain(rng, **steps), dt=1)
    assert [layer["steps"] for layer in network.header["conversion"]["layers"]] == [[16, 16]] * 2


def test_leak_dead_zone(rng):
    """A threshold of few membrane steps never leaked: eleven spikes where there are four."""
    n = 32
    weights = rng.integers(-1, 2, (n, n)).astype(float)
    layers = [
        RealLayer("relay", 2 * np.eye(n) / 64, None, np.ones(n), 0.5),
        RealLayer("ternary", weights, None, np.full(n, 3.0), 0.9375),
    ]
    features = np.where(rng.random((2000, n)) < 0.005, 64, 0).astype(np.int8)
    network = quantise(layers, None)
    about = network.header["conversion"]["layers"][1]
    assert about["error_w_in"] == 0
    assert about["threshold_ratio"] >= 128
    assert np.abs(network.layers[1].w_in).max() == 7  # the finest of the steps without error
    result = network.run(features)
    v, wanted = np.zeros(n), 0
    for s in result.spikes[0][:, 0]:
        v = 0.9375 * v + s @ weights
        wanted += (v > 3).sum()
        v[v > 3] = 0
    assert wanted > 40
    assert result.spikes[1].sum() == pytest.approx(wanted, rel=0.03)
    # The fields may be given; then too small a ratio is said.
    narrow = quantise(layers, None, fields={"membrane_frac": 0})
    (warning,) = narrow.header["conversion"]["warnings"][-1:]
    assert warning.startswith("ternary: the least threshold is 1.31 times 2^a, a = 4: a positive ")
    assert warning.endswith(": leave out or raise membrane_frac")


def test_a_gain_per_neuron_costs_no_weight_error(rng):
    factors = rng.uniform(0.5, 2, 6)
    weights = rng.integers(-7, 8, (6, 4)) / 64
    weights[:, 0] = 7 / 64
    graph = chain(rng, lif0=lif(6, r=4 * factors), fc0=nir.Linear(weight=weights))
    recurrent = rng.integers(-7, 8, (6, 6)).astype(float)
    recurrent[:, 0] = 7
    graph.nodes["rec0"] = nir.Linear(weight=recurrent)
    layer = from_nir(graph).header["conversion"]["layers"][0]
    assert (layer["error_w_in"], layer["error_w_rec"]) == (0, 0)
    assert "layer 0 ('lif0'): weights" in from_nir(graph).header["conversion"]["exact"]


@pytest.mark.parametrize("own", [True, False])
def test_a_graph_in_real_numbers_beside_its_network(own, rng):
    graph = to_nir(drawn(TINY.replace(time_steps=1), 1)) if own else chain(rng)
    network = from_nir(graph)
    features = random_features(network.config, 200, seed=1)
    figures = nir_graph.check_graph(graph, network, features)
    assert figures["frames"] == 200
    for layer in figures["layers"]:
        assert layer["spikes_real"] > 20
        assert 0.7 < layer["spikes_equal"] < 1
    if not own:
        real = simulated(graph, features)
        assert figures["layers"][1]["spikes_real"] == real.sum()
        equal = (network.run(features).spikes[1][:, 0] == real).mean()
        assert figures["layers"][1]["spikes_equal"] == pytest.approx(equal)


def rewritten(tmp_path, graph, change) -> Path:
    """A .nir file with something changed in it that `nir` would not write."""
    path = tmp_path / "changed.nir"
    nir.write(path, graph)
    with h5py.File(path, "r+") as file:
        change(file["node"])
    return path


def _no_such_end(node):
    edges = node["edges"][()]
    del node["edges"]
    edges[0, 1] = b"nowhere"
    node.create_dataset("edges", data=edges)


def _triples(node):
    del node["edges"]
    node.create_dataset("edges", data=np.array([[b"a", b"b", b"c"]]))


def _no_threshold(node):
    del node["nodes/lif0/v_threshold"]


def _new_kind(node):
    del node["nodes/lif0/type"]
    node["nodes/lif0"]["type"] = "Spike"


def _lone(node):
    for name in list(node):
        del node[name]
    node["type"] = "LIF"
    for field in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
        node[field] = np.ones(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_such_end, "edge 'input' to 'nowhere': no node 'nowhere'"),
        (_triples, "edge 0 is [b'a', b'b', b'c']: it must be the names of two nodes"),
        (_no_threshold, "node 'lif0' is 'LIF', and nir cannot make one of its fields r, tau, v_le"),
        (_new_kind, "node 'lif0' is 'Spike', and nir cannot make one of its fields "),
        (
            _lone,
            "the file holds one LIF node and no graph: it must hold a graph from Input through "
            "Linear and LIF nodes to Output (a single module is written like this: export the "
            "network that it is part of)",
        ),
    ],
)
def test_a_broken_file_is_refused_for_what_is_broken(change, message, rng, tmp_path):
    path = rewritten(tmp_path, chain(rng), change)
    with pytest.raises(ConversionError) as caught:
        from_nir(nir_graph.read(path))
    assert str(caught.value).removeprefix(f"{path}: ").startswith(message)
    assert "not a NIR file" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flatten_of_a_vector_is_the_vector(rng, tmp_path):
    wanted = chain(rng)
    graph = chain(rng)
    graph.nodes = {**wanted.nodes, "flat": nir.Flatten({"input": np.array([4])}, 0, -1)}
    graph.edges = [("flat" if e[0] == "input" else e[0], e[1]) for e in wanted.edges]
    graph.edges.append(("input", "flat"))
    assert same_bytes(from_nir(graph), from_nir(wanted), tmp_path)
    graph.nodes["flat"] = nir.Flatten({"input": np.array([2, 2])}, 0, -1)
    with pytest.raises(ConversionError) as caught:
        from_nir(graph)
    assert str(caught.value) == (
        "node 'flat' is Flatten of shape (2, 2): it must be of one vector, as the hardware's "
        "features and layers are"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _node("fc0", lambda n: nir.Linear(weight=n.weight + 0.5j)),
            "node 'fc0': weight has the type complex128: it must hold real numbers",
        ),
        (
            _node("fc0", lambda n: nir.Linear(weight=np.where(n.weight > 0, np.inf, 0))),
            "node 'fc0': weight[",
        ),
        (
            _node("output", lambda _: nir.Output(np.array([7]))),
            "the output has 7 values: it must have 3, as node 'out' has",
        ),
        (
            _node("out", lambda n: nir.Affine(weight=n.weight, bias=np.ones(2))),
            "node 'out': bias has shape (2,): it must be (3,)",
        ),
        (
            _node("out", lambda n: nir.Affine(weight=n.weight, bias=np.full(3, np.nan))),
            "node 'out': bias[0] is nan: it must be a finite number",
        ),
    ],
)
def test_values_that_are_no_real_numbers_are_refused(change, message, rng):
    check_refused(rng, change, message)


def test_tiny_weights_do_not_underflow(seed):
    """Everything times 1e-200 is the same network."""
    wanted = from_nir(chain(np.random.default_rng(seed)))
    graph = chain(np.random.default_rng(seed))
    for name in ("fc0", "rec0", "fc1"):
        graph.nodes[name].weight = graph.nodes[name].weight * 1e-200
    for name in ("lif0", "lif1"):
        graph.nodes[name].v_threshold = graph.nodes[name].v_threshold * 1e-200
    found = from_nir(graph)
    for a, b in zip(found.layers, wanted.layers, strict=True):
        assert np.array_equal(a.w_in, b.w_in)
        assert np.abs(a.threshold - b.threshold).max() <= 1


# --- rounding ---------------------------------------------------------------------------------


def test_nearest_decay():
    assert nearest_decay(0.5, 7) == Decay(0.5, 1, "leak")
    assert nearest_decay(0.9, 7) == Decay(0.875, 3, "leak")
    assert nearest_decay(0.3, 7) == Decay(0.25, 2, "scale")
    assert nearest_decay(1.0, 7) == Decay(1 - 2**-7, 7, "leak")
    assert nearest_decay(0.0, 7) == Decay(2**-7, 7, "scale")


def test_a_far_decay_is_taken_when_told(rng):
    graph = chain(rng, lif1=lif(5, beta=0.6))
    with pytest.warns(
        ConversionWarning,
        match=r"^layer 1 \('lif1'\): decay, a time constant of 2\.5 time steps as 2, 1 - beta by "
        r"\+25 %: the nearest that the hardware has was asked for, and it is another network: ",
    ):
        network = from_nir(graph, nearest=True)
    about = network.header["conversion"]["layers"][1]
    assert (about["beta"], about["beta_taken"]) == (pytest.approx([0.6, 0.6]), 0.5)
    assert (about["steps"], about["steps_taken"]) == (pytest.approx([2.5, 2.5]), 2)
    assert (network.layers[1].decay_shift, network.layers[1].decay_form) == (1, "leak")


def real(w_in, w_rec=None, threshold=1.0, **changes) -> RealLayer:
    n = w_in.shape[1]
    return RealLayer("it", w_in, w_rec, np.full(n, threshold), 0.5, **changes)


def test_threshold_compares_as_the_real_one_does():
    # Above the threshold: the least integer above. At or above: the threshold itself.
    weights = np.array([[7.0, 1.0]])  # the second neuron's step is finer by 7
    fields = {"membrane_frac": 6}
    for strict, more in ((True, 1), (False, 0)):
        layer = real(weights, threshold=3.0, strict=strict)
        network = quantise([layer], None, fields=fields)
        assert network.layers[0].input_shift == 0
        assert (network.layers[0].w_in == [[7, 7]]).all()
        assert (network.layers[0].threshold == [3 * 64 + more, 7 * 3 * 64 + more]).all()


def test_narrow_accumulators_coarsen_the_weights_and_then_refuse(rng):
    weights = np.abs(rng.normal(size=(60, 4)))
    wide = quantise([real(weights, threshold=500.0)], None, fields={"acc_bits": 16})
    assert wide.header["conversion"]["layers"][0]["least_error_taken"]
    some = quantise([real(weights, threshold=500.0)], None, fields={"acc_bits": 12})
    assert some.acc_bits_needed <= 12
    about = [n.header["conversion"]["layers"][0] for n in (wide, some)]
    assert about[1]["error_w_in"] > about[0]["error_w_in"]
    assert not about[1]["least_error_taken"]
    with pytest.raises(ConversionError) as caught:
        quantise([real(weights, threshold=500.0)], None, fields={"acc_bits": 8, "lanes": 8})
    assert re.match(r"it, neuron \d: at its best scale, ", str(caught.value))
    assert " a weight step, its sums need acc_bits " in str(caught.value)
    assert " and the configuration has 8; of the " in str(caught.value)
    needed = int(str(caught.value).split("least need is ")[1].split(":")[0])
    quantise([real(weights, threshold=500.0)], None, fields={"acc_bits": needed, "lanes": 8})


def test_a_readout_that_is_too_wide_is_refused(rng):
    layer = real(rng.normal(size=(2, 300)))
    with pytest.raises(ConversionError, match=r"^readout: at its best scale, .* need acc_bits 1\d"):
        quantise([layer], np.ones((300, 2)), fields={"acc_bits": 8})


def test_a_threshold_that_no_membrane_holds_is_refused():
    narrow = {"membrane_bits": 8}
    with pytest.raises(ConversionError) as caught:
        quantise([real(np.ones((2, 3)), np.ones((3, 3)), threshold=16.0)], None, fields=narrow)
    assert str(caught.value) == (
        "it, neuron 0: threshold is 16 and its largest weight 1: no weight step keeps half of the "
        "weights' squares and the threshold at 7.875 weight steps or less, which the membrane "
        "holds (membrane_bits, membrane_frac)"
    )


def test_a_threshold_that_no_input_reaches_is_never_reached(seed):
    # Tiny weights, whose squares underflow, and large thresholds: the neuron never spikes.
    for size in (1e-200, 1e-9, 1.0):
        layer = real(np.full((2, 3), size), np.full((3, 3), size), threshold=1e6)
        network = quantise([layer], None)
        assert not network.run(random_features(network.config, 200, seed=seed)).spikes[0].any()
        assert network.header["conversion"]["exact"][-2].startswith("it: 3 neurons that no input")


def test_layers_without_weights_are_no_special_case():
    layer = real(np.zeros((2, 3)), np.zeros((3, 3)))
    network = quantise([layer], np.zeros((3, 1)))
    assert not network.layers[0].w_in.any()
    assert not network.run(random_features(network.config, 5, seed=1)).spikes[0].any()


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def refusal(capsys):
    def run(*arguments) -> str:
        assert cli.run(["export", *map(str, arguments)]) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        (line,) = shown.err.splitlines()
        return line.removeprefix("plosive: ")

    return run


def test_command_there_and_back(tmp_path, capsys):
    before, graph, after = (tmp_path / name for name in ("a.safetensors", "a.nir", "b.safetensors"))
    network = drawn(TINY, 2)
    network.save(before)
    assert cli.run(["export", "--network", str(before), "-o", str(graph)]) == 0
    assert capsys.readouterr().out.endswith(" bytes, the same integers\n")
    assert cli.run(["export", "--nir", str(graph), "-o", str(after), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": str(after),
        "bytes": after.stat().st_size,
        "exact": True,
        "n_input": 8,
        "hidden": [16, 16],
        "recurrent": [True, True],
        "n_output": 24,
        "time_steps": 2,
        "acc_bits": 12,
        "acc_bits_needed": network.acc_bits_needed,
        "configuration_hash": TINY.config_hash,
        "network_hash": TINY.network_hash,
        "conversion": None,
        "dt": 1e-4,
        "fidelity": None,
    }
    assert before.read_bytes() == after.read_bytes()


def test_command_shows_what_was_rounded_and_the_hardware_follows_the_file(rng, tmp_path, capsys):
    graph, target = tmp_path / "a.nir", tmp_path / "deep" / "a.safetensors"
    nir.write(graph, chain(rng))
    command = ["export", "--nir", str(graph), "-o", str(target), "--set", "lanes=4"]
    assert cli.run([*command, "--set", "output_lanes=4", "--reset", "subtract"]) == 0
    shown = capsys.readouterr().out
    assert "layer 0 ('lif0')" in shown
    assert shown.endswith(" bytes, rounded as shown\n")
    network = Network.load(target)
    assert network.config.lanes == 4
    assert {layer.reset for layer in network.layers} == {"subtract"}
    assert cli.run(["generate", "--network", str(target), "-o", str(tmp_path / "out")]) == 0
    described = json.loads((tmp_path / "out" / "plosive.json").read_text())
    assert described["configuration_hash"] == network.config.config_hash


def test_command_measures_the_conversion(rng, tmp_path, capsys):
    graph, target, given = (tmp_path / n for n in ("a.nir", "a.safetensors", "x.npy"))
    nir.write(graph, chain(rng))
    np.save(given, random_features(TINY.replace(n_input=4), 60, seed=3))
    command = ["export", "--nir", str(graph), "-o", str(target)]
    assert cli.run([*command, "--check", str(given), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    features = np.load(given)
    assert figures["fidelity"] == nir_graph.check_graph(
        nir_graph.read(graph), Network.load(target), features
    )
    assert cli.run([*command, "--random", "50"]) == 0
    shown = capsys.readouterr().out
    assert "Real numbers beside integers, 50 frames" in shown
    assert "A time step of the graph is dt = 0.0001 s (--dt)." in shown
    assert "exact: layer 0 ('lif0'): decay, a time constant of 4 time steps" in shown
    assert "approximated: layer 0 ('lif0'): weights, w_in by " in shown


def test_the_nearest_decay_is_loud_and_measured(rng, tmp_path, capsys):
    graph, target = tmp_path / "a.nir", tmp_path / "a.safetensors"
    nir.write(graph, chain(rng, lif1=lif(5, beta=0.95)))
    assert cli.run(["export", "--nir", str(graph), "-o", str(target), "--nearest"]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith(
        "plosive: warning: layer 1 ('lif1'): decay, a time constant of 20 time steps as 16, 1 - "
        "beta by +25 %: "
    )
    assert "Real numbers beside integers, 500 frames" in shown.out


def test_features_to_check_with_are_checked(rng, tmp_path, refusal):
    graph, target, given = (tmp_path / n for n in ("a.nir", "a.safetensors", "x.npy"))
    nir.write(graph, chain(rng))
    command = ["--nir", graph, "-o", target, "--check", given]
    assert refusal(*command) == f"{given}: No such file or directory"
    given.write_text("no array")
    assert refusal(*command) == f"{given}: it is not a .npy file of numbers"
    np.save(given, np.zeros(4, np.int8))
    assert refusal(*command) == (
        f"{given}: it must hold one array of features, int8 [frames, n_input], one frame or more"
    )
    np.save(given, np.zeros((3, 5), np.int8))
    assert refusal(*command).startswith(f"{given}: ")
    assert refusal(*command, "--random", 5) == (
        "give either --check FEATURES or --random N: one of them is run"
    )
    assert not target.exists()


def test_command_refuses_in_one_line(rng, tmp_path, refusal, monkeypatch):
    ours, graph, target = (tmp_path / name for name in ("a.safetensors", "a.nir", "b.safetensors"))
    drawn(TINY, 2).save(ours)
    nir.write(graph, chain(rng, lif1=lif(5, v_leak=1)))
    one_of = "give either --network FILE or --nir FILE: one of them is converted"
    assert refusal("-o", target) == one_of
    assert refusal("--network", ours, "--nir", graph, "-o", target) == one_of
    assert refusal("--network", ours, "-o", tmp_path / "a.onnx") == (
        f"-o {tmp_path}/a.onnx: with --network it is a .nir file, so name it *.nir"
    )
    assert refusal("--network", ours, "--nearest", "-o", graph) == (
        "--set, --input-scale, --dt, --reset, --nearest, --check and --random are for --nir: a "
        "network file is written as it is"
    )
    assert refusal("--nir", tmp_path / "none.nir", "-o", target) == (
        f"{tmp_path}/none.nir: there is no such file"
    )
    assert refusal("--nir", ours, "-o", target).startswith(f"{ours}: it is not a NIR file: ")
    empty = tmp_path / "empty.nir"
    with h5py.File(empty, "w"):
        pass
    assert refusal("--nir", empty, "-o", target).startswith(f"{empty}: it is not a NIR file: ")
    assert refusal("--nir", graph, "-o", target) == (
        f"{graph}: layer 1 ('lif1'), neuron 0: v_leak is 1: it must be 0"
    )
    assert not target.exists()
    for module in [name for name in sys.modules if name.startswith("model_zoo.exchange.nir_graph")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "nir", None)
    monkeypatch.delattr("model_zoo.exchange.nir_graph", raising=False)
    assert refusal("--nir", graph, "-o", target) == (
        "NIR files need the package nir, which is not installed: pip install 'plosive[exchange]'"
    )
