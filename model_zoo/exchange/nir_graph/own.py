# SPDX-License-Identifier: Apache-2.0
"""Graphs that Plosive writes: a network as nodes and metadata, and its exact integers back."""

import json

import nir
import numpy as np

from golden_model import Layer, Network
from hw.config import AcceleratorConfig, ConfigError
from model_zoo.exchange.errors import ConversionError
from model_zoo.exchange.nir_graph.nodes import DT, per_neuron, reals, weight_of

__all__ = ["exact_network", "is_own", "to_nir"]

_KEY = "plosive"
_FORMAT_VERSION = 1
_LAYER_PARAMETERS = ("decay_shift", "decay_form", "reset", "input_shift")


def to_nir(network):
    """The graph of a network.

    Parameters
    ----------
    network : golden_model.Network

    Returns
    -------
    nir.NIRGraph
        input, then per layer `layer<l>.w_in`, `layer<l>.lif` and, if it is recurrent,
        `layer<l>.w_rec` in a cycle with it, then `readout` and output.

    Raises
    ------
    ConversionError
        The header is not JSON.
    """
    config = network.config
    nodes = {"input": nir.Input(np.array([config.n_input]))}
    edges = []
    before = "input"
    for number, layer in enumerate(network.layers):
        w_in, lif, w_rec = (f"layer{number}.{part}" for part in ("w_in", "lif", "w_rec"))
        # Powers of two: exact in float32. The stimulus is then in the unit of w_rec.
        nodes[w_in] = _linear(layer.w_in * 2.0**-layer.input_shift, layer.bias)
        nodes[lif] = _lif(layer, config.membrane_frac)
        edges += [(before, w_in), (w_in, lif)]
        if layer.w_rec is not None:
            nodes[w_rec] = _linear(layer.w_rec)
            edges += [(lif, w_rec), (w_rec, lif)]
        before = lif
    nodes["readout"] = _linear(network.w_out)
    nodes["output"] = nir.Output(np.array([config.n_output]))
    edges += [(before, "readout"), ("readout", "output")]
    content = {
        "format_version": _FORMAT_VERSION,
        "config": config.to_dict(),
        "network_hash": config.network_hash,
        "layers": [
            {name: getattr(layer, name) for name in _LAYER_PARAMETERS} for layer in network.layers
        ],
        "header": network.header,
    }
    try:
        text = json.dumps(content, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConversionError(f"the network's header is not JSON: {error}") from error
    return nir.NIRGraph(nodes, edges, metadata={_KEY: text})


def _linear(weights, bias=None):
    weight = np.ascontiguousarray(weights.T, dtype=np.float32)
    if bias is None:
        return nir.Linear(weight=weight)
    return nir.Affine(weight=weight, bias=bias.astype(np.float32))


def _beta(layer):
    fraction = 2.0**-layer.decay_shift
    return 1 - fraction if layer.decay_form == "leak" else fraction


def _lif(layer, frac):
    n = len(layer.threshold)
    tau = DT / (1 - _beta(layer))
    # NIR spikes above the threshold, the hardware at or above it: half a membrane step between.
    threshold = (layer.threshold - 0.5) / 2.0**frac
    return nir.LIF(
        tau=np.full(n, tau),
        r=np.full(n, tau / DT),  # so that the input's factor, r dt / tau, is 1
        v_leak=np.zeros(n),
        v_threshold=threshold,
        v_reset=np.zeros(n),
    )


def is_own(graph):
    """Whether a graph has the metadata with which the exact integers come back."""
    return _KEY in (graph.metadata or {})


def exact_network(graph, layers, readout, fields):
    """The integers of a graph that `to_nir` made, checked against its metadata.

    Parameters
    ----------
    graph : nir.NIRGraph
    layers, readout
        The graph as `chain` returns it.
    fields : dict or None
        Fields of `AcceleratorConfig` that differ from those in the metadata: the machine's only.

    Returns
    -------
    golden_model.Network

    Raises
    ------
    ConversionError
        The metadata is broken, or the graph was changed since.
    NetworkError, ConfigError
        The configuration or the network breaks a rule.
    """
    where = f"metadata {_KEY!r}"
    try:
        content = json.loads(graph.metadata[_KEY])
        version = content["format_version"]
        config = AcceleratorConfig.from_dict(content["config"])
        parameters, header = content["layers"], content["header"]
        stored_hash = content["network_hash"]
    except ConfigError as error:
        raise ConversionError(f"{where}: its configuration is wrong: {error}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ConversionError(f"{where}: it is not what plosive writes: {error}") from error
    if version != _FORMAT_VERSION or stored_hash != config.network_hash:
        raise ConversionError(
            f"{where}: format_version is {version!r}, network_hash {stored_hash!r}: this program "
            f"reads {_FORMAT_VERSION}, {config.network_hash!r}"
        )
    if len(layers) != config.n_layers or len(parameters) != config.n_layers or readout is None:
        raise ConversionError(
            f"{where}: it is for {config.n_layers} layers and a readout, the graph differs: "
            "remove the metadata to quantise it"
        )
    integers = []
    for number, (layer, values) in enumerate(zip(layers, parameters, strict=True)):
        if not isinstance(values, dict) or sorted(values) != sorted(_LAYER_PARAMETERS):
            raise ConversionError(
                f"{where}: layer {number} must have exactly {', '.join(_LAYER_PARAMETERS)}"
            )
        try:
            integers.append(_exact_layer(config, layer, values))
        except (TypeError, OverflowError) as error:
            raise ConversionError(f"{where}: layer {number}: {error}") from error
    network = Network(config, integers, _integer_weights(*readout), header)
    return network.on(config.replace(**fields)) if fields else network


def _exact_layer(config, layer, values):
    """The integers of one layer; `values` are those of its parameters that NIR has no word for."""
    w_in, (name, node), w_rec = layer
    biased = hasattr(w_in[1], "bias")
    made = Layer(
        w_in=_integers(w_in[0], "weight", weight_of(*w_in).T * 2.0 ** values["input_shift"]),
        bias=_integers(w_in[0], "bias", reals(w_in[0], "bias", w_in[1].bias)) if biased else None,
        w_rec=None if w_rec is None else _integer_weights(*w_rec),
        threshold=_integer_threshold(name, node, config.membrane_frac),
        **values,
    )
    beta = _beta(made)
    if not np.allclose(1 - DT / np.asarray(node.tau, float), beta, rtol=0, atol=1e-6):
        raise ConversionError(
            f"node {name!r}: tau was changed after the export (decay {beta:g}): remove the "
            f"metadata {_KEY!r} to quantise the graph"
        )
    return made


def _integer_weights(name, node):
    """The weights of a node that the export wrote without a bias."""
    if np.any(getattr(node, "bias", 0)):
        raise ConversionError(
            f"node {name!r}: bias was added after the export: remove the metadata {_KEY!r} to "
            "quantise the graph"
        )
    return _integers(name, "weight", weight_of(name, node).T)


def _integers(name, field, values):
    if not np.array_equal(values, np.rint(values)):
        raise ConversionError(
            f"node {name!r}: {field} was changed after the export, to values that are no integers: "
            f"remove the metadata {_KEY!r} to quantise the graph"
        )
    return values.astype(np.int64)


def _integer_threshold(name, node, frac):
    real = per_neuron(name, node, "v_threshold", np.size(node.v_threshold))
    return np.floor(real * 2.0**frac).astype(np.int64) + 1
