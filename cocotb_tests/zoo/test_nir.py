# SPDX-License-Identifier: Apache-2.0
"""NIR out and in: the same integers come back, other tools' graphs are rounded or refused."""

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
from model_zoo.exchange.decay import Decay, nearest_decay
from model_zoo.exchange.errors import ConversionError, ConversionWarning
from model_zoo.exchange.nir_graph import from_nir, to_nir
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
    header = {"labels": ["a", "ä"], "scales": {"input": 0.05}, "label_delay": 3, "none": None}
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
    shape = ("n_input", "hidden", "recurrent", "n_output")
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
            _node("rec0", lambda n: nir.Affine(weight=n.weight, bias=np.full(6, 0.25))),
            "node 'rec0', output 0: bias is 0.25: it must be 0, the hardware has none: train "
            "without (the readout may have one, the host adds it)",
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
    graph = chain(rng)
    change(graph)
    with pytest.raises(ConversionError) as caught:
        from_nir(graph)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


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
        "--set, --input-scale, --dt, --reset and --nearest are for --nir: a network file is "
        "written as it is"
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
    monkeypatch.delitem(sys.modules, "model_zoo.exchange.nir_graph")
    monkeypatch.setitem(sys.modules, "nir", None)
    monkeypatch.delattr("model_zoo.exchange.nir_graph", raising=False)
    assert refusal("--nir", graph, "-o", target) == (
        "NIR files need the package nir, which is not installed: pip install 'plosive[exchange]'"
    )
