# SPDX-License-Identifier: Apache-2.0
"""Networks as graphs of the Neuromorphic Intermediate Representation (NIR), and back.

Written for the package `nir` 1.0 (https://neuroir.org). A network goes out as Linear and LIF nodes
that compute, up to the rounding of shifts, what the hardware computes with one time step a frame;
what NIR has no word for (resets by subtraction, shifts, two time steps, number formats, the
header) travels in the graph's metadata, and a graph that has it comes back with the same integers.
Any other graph is quantised (`model_zoo.exchange.quantise`). docs/bring-your-own-network.md shows
the mapping.
"""

import io
import json
from pathlib import Path

import h5py
import nir
import nir.serialization
import numpy as np

from golden_model import Layer, Network
from golden_model.files import atomic_write
from hw.config import AcceleratorConfig, ConfigError
from model_zoo.exchange.errors import ConversionError, ConversionWarning
from model_zoo.exchange.fidelity import compare, membrane_steps
from model_zoo.exchange.interpreter import run_graph
from model_zoo.exchange.quantise import RealLayer, quantise, warn

__all__ = [
    "DT",
    "ConversionError",
    "ConversionWarning",
    "check_graph",
    "from_nir",
    "is_own",
    "read",
    "to_bytes",
    "to_nir",
    "write",
]

DT = 1e-4
"""Seconds of a time step: NIR has time constants. This is what snnTorch and SpikingJelly assume."""

_NOISE = 1e-6  # of float32, in a decay
_KEY = "plosive"
_FORMAT_VERSION = 1
_LAYER_PARAMETERS = ("decay_shift", "decay_form", "reset", "input_shift")
_WHY_NOT = {
    "Conv1d": "the hardware has no convolutions",
    "Conv2d": "the hardware has no convolutions",
    "AvgPool2d": "the hardware has no pooling",
    "SumPool2d": "the hardware has no pooling",
    "CubaLIF": "the hardware's neurons have no synaptic current beside the membrane",
    "CubaLI": "the hardware has no leaky integrators that do not spike",
    "LI": "the hardware has no leaky integrators that do not spike",
    "I": "the hardware has no integrators that do not spike",
    "IF": "the hardware's neurons leak: the longest decay is 1 - 2^-max_decay_shift",
    "Delay": "the hardware has no delays but that of the recurrent weights",
}


# ---- out -------------------------------------------------------------------------------------


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
        nodes[w_in] = _linear(layer.w_in * 2.0**-layer.input_shift)
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


def _linear(weights):
    return nir.Linear(weight=np.ascontiguousarray(weights.T, dtype=np.float32))


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


def to_bytes(network):
    """The content of a .nir file (HDF5) of a network; the same bytes for the same network."""
    buffer = io.BytesIO()
    nir.write(buffer, to_nir(network))
    return buffer.getvalue()


def write(path, network):
    """Write a network to a .nir file, whole or not at all.

    Raises
    ------
    ConversionError
        The header is not JSON.
    PlosiveError
        The file cannot be written.
    """
    atomic_write(path, to_bytes(network))


# ---- in --------------------------------------------------------------------------------------


def read(path):
    """The graph of a .nir file.

    Raises
    ------
    ConversionError
        There is none, or it holds something else, or part of it is broken: the message says what.
    """
    path = Path(path)
    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    try:
        with h5py.File(path, "r") as file:
            content = nir.serialization.hdf2dict(file)
    except (OSError, RuntimeError, TypeError, UnicodeDecodeError, RecursionError) as error:
        reason = (str(error).splitlines() or ["it cannot be read"])[0]
        raise ConversionError(f"{path}: it is not a NIR file: {reason}") from error
    if not isinstance(content.get("node"), dict):
        raise ConversionError(
            f"{path}: it is not a NIR file: an HDF5 file without the group 'node'"
        )
    try:
        return _made_graph(content["node"], "the file")
    except RecursionError as error:
        raise ConversionError(f"{path}: its subgraphs are nested too deep") from error
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from error


def _made_graph(content, where):
    """A graph of what a file holds, subgraphs too."""
    kind = content.get("type")
    if kind != "NIRGraph":
        raise ConversionError(
            f"{where} holds one {kind} node and no graph: it must hold a graph from Input through "
            "Linear and LIF nodes to Output (a single module is written like this: export the "
            "network that it is part of)"
        )
    parts = content.get("nodes")
    if not isinstance(parts, dict):
        raise ConversionError(f"{where} has no nodes: a graph has at least Input, Linear, LIF")
    nodes = {}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ConversionError(f"node {name!r} is {part!r}: it must be a group of fields")
        if part.get("type") == "NIRGraph":
            nodes[name] = _made_graph(part, f"node {name!r}")
            continue
        try:
            # What nir infers on reading is checked later, with messages that name the rule.
            nodes[name] = nir.dict2NIRNode(part)
        except (
            *(AssertionError, AttributeError, IndexError, KeyError),
            *(NotImplementedError, TypeError, ValueError),
        ) as error:
            kind = part.get("type")
            reason = (str(error).splitlines() or [""])[0]
            raise ConversionError(
                f"node {name!r} is {kind!r}, and nir cannot make one of its fields "
                f"{', '.join(sorted(set(part) - {'type'})) or '(none)'}: "
                f"{reason or 'it knows no such node'}"
            ) from error
    edges = [
        _edge(number, edge) for number, edge in enumerate(np.asarray(content.get("edges", [])))
    ]
    return nir.NIRGraph(nodes, edges, content.get("metadata", {}), type_check=False)


def _edge(number, edge):
    ends = np.asarray(edge).tolist()
    try:
        source, target = (end.decode() if isinstance(end, bytes) else end for end in ends)
    except (TypeError, ValueError) as error:
        raise ConversionError(
            f"edge {number} is {ends!r}: it must be the names of two nodes"
        ) from error
    return source, target


def is_own(graph):
    """Whether a graph has the metadata with which the exact integers come back."""
    return _KEY in (graph.metadata or {})


def from_nir(graph, *, fields=None, input_scale=1.0, dt=DT, reset="zero", nearest=False):
    """The network of a graph: the exact integers of our own, quantised ones of any other.

    Parameters
    ----------
    graph : nir.NIRGraph
        Input, then Linear or Affine and LIF nodes in turn, then a Linear or Affine or nothing,
        then Output. A LIF may have a Linear or Affine from itself to itself. Subgraphs of these
        are dissolved.
    fields : dict, optional
        Fields of `AcceleratorConfig`. For our own graphs those of the machine (lanes, ...) only.
    input_scale, nearest
        As for `quantise`; for graphs of other tools.
    dt : float
        Seconds of a time step: beta = 1 - dt / tau, and the input's factor is r dt / tau.
    reset : str
        "zero", or "subtract" where the tool that wrote the graph meant that: NIR cannot say it.

    Returns
    -------
    golden_model.Network

    Raises
    ------
    ConversionError
        The hardware cannot run it: node, field, value and rule.
    NetworkError, ConfigError
        As `golden_model.Network` and `AcceleratorConfig` raise them.
    """
    if reset not in ("zero", "subtract"):
        raise ConversionError(f"reset is {reset!r}: it must be 'zero' or 'subtract'")
    if not (np.isfinite(dt) and dt > 0):
        raise ConversionError(f"dt is {dt!r}: it must be a positive number of seconds")
    layers, readout = _chain(*_dissolved(graph))
    if is_own(graph):
        return _exact(graph, layers, readout, fields)
    real = [_real_layer(number, *layer, dt, reset) for number, layer in enumerate(layers)]
    w_out, bias = None, None
    if readout is not None:
        w_out = _weight(*readout).T
        if hasattr(readout[1], "bias"):
            bias = _reals(readout[0], "bias", readout[1].bias)
    header = {"source": {"format": "NIR", "dt": dt, "reset": reset}}
    network = quantise(
        real,
        w_out,
        fields=fields,
        input_scale=input_scale,
        nearest=nearest,
        header=header,
        readout_bias=bias,
    )
    warn(network)
    return network


def check_graph(graph, network, features, *, input_scale=1.0, dt=DT, reset="zero"):
    """What is left of a graph in the network that `from_nir` made of it.

    The graph runs in real numbers (`model_zoo.exchange.interpreter`), the network in integers.

    Parameters
    ----------
    graph : nir.NIRGraph
    network : golden_model.Network
    features : numpy.ndarray
        `[frames, n_input]`, int8.
    input_scale, dt, reset
        As for `from_nir`. For a graph of our own the first two do not count and its layers say
        how they reset.

    Returns
    -------
    dict
        As `model_zoo.exchange.fidelity.compare` returns it.
    """
    nodes, after = _dissolved(graph)
    layers, _ = _chain(nodes, after)
    own = is_own(graph)
    config = network.config
    real = run_graph(
        nodes,
        after,
        features * (1.0 if own else input_scale),
        lifs=[name for _, (name, _), _ in layers],
        dt=DT if own else dt,
        resets=[layer.reset for layer in network.layers] if own else [reset] * len(layers),
        time_steps=config.time_steps,
        readout_every=config.readout_every,
    )
    readout_step, bias = 1.0, 0.0
    if own:
        steps = [np.full(n, 2.0**-config.membrane_frac) for n in config.hidden]
    else:
        steps = membrane_steps(network)
        readout_step = network.header["scales"]["readout"]
        bias = config.time_steps * np.array(network.header.get("readout_bias", 0.0))
    return compare(network, features, real, steps, readout_step, bias)


def _exact(graph, layers, readout, fields):
    """The integers of a graph that `to_nir` made, checked against its metadata."""
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
        (w_in, lif, w_rec) = layer
        if not isinstance(values, dict) or sorted(values) != sorted(_LAYER_PARAMETERS):
            raise ConversionError(
                f"{where}: layer {number} must have exactly {', '.join(_LAYER_PARAMETERS)}"
            )
        try:
            made = Layer(
                w_in=_integer_weights(*w_in, 2.0 ** values["input_shift"]),
                w_rec=None if w_rec is None else _integer_weights(*w_rec, 1.0),
                threshold=_integer_threshold(*lif, config.membrane_frac),
                **values,
            )
            beta = _beta(made)
        except (TypeError, OverflowError) as error:
            raise ConversionError(f"{where}: layer {number}: {error}") from error
        name, node = lif
        if not np.allclose(1 - DT / np.asarray(node.tau, float), beta, rtol=0, atol=1e-6):
            raise ConversionError(
                f"node {name!r}: tau was changed after the export (decay {beta:g}): remove the "
                f"{where} to quantise the graph"
            )
        integers.append(made)
    network = Network(config, integers, _integer_weights(*readout, 1.0), header)
    return network.on(config.replace(**fields)) if fields else network


def _integer_weights(name, node, factor):
    if np.any(getattr(node, "bias", 0)):
        raise ConversionError(_bias_message(name, node))
    scaled = _weight(name, node).T * factor
    if not np.array_equal(scaled, np.rint(scaled)):
        raise ConversionError(
            f"node {name!r}: weight was changed after the export, to values that are no integers: "
            f"remove the metadata {_KEY!r} to quantise the graph"
        )
    return scaled.astype(np.int64)


def _integer_threshold(name, node, frac):
    real = _per_neuron(name, node, "v_threshold", np.size(node.v_threshold))
    return np.floor(real * 2.0**frac).astype(np.int64) + 1


def _real_layer(number, w_in, lif, w_rec, dt, reset):
    name, node = lif
    place = f"layer {number} ({name!r})"
    weights = _weight(*w_in)
    n = weights.shape[0]
    for which in (w_in, w_rec):
        if which is not None and np.any(_reals(which[0], "bias", getattr(which[1], "bias", 0))):
            raise ConversionError(_bias_message(*which))
    tau, r, leak, threshold, back = (
        _per_neuron(name, node, field, n)
        for field in ("tau", "r", "v_leak", "v_threshold", "v_reset")
    )
    for field, values in (("v_leak", leak), ("v_reset", back)):
        if values.any():
            neuron = int(values.nonzero()[0][0])
            raise ConversionError(
                f"{place}, neuron {neuron}: {field} is {values[neuron]:g}: it must be 0"
            )
    for field, values in (("tau", tau), ("r", r)):
        if (values <= 0).any():
            neuron = int((values <= 0).argmax())
            raise ConversionError(
                f"{place}, neuron {neuron}: {field} is {values[neuron]:g}: it must be positive"
            )
    beta = 1 - dt / tau
    if (beta < -_NOISE).any():
        neuron = int(beta.argmin())
        raise ConversionError(
            f"{place}, neuron {neuron}: tau is {tau[neuron]:g} s, {tau[neuron] / dt:.3g} time "
            f"steps of dt {dt:g} s: it must be at least one time step: say how long "
            "one was in training with dt (--dt)"
        )
    beta = np.where(np.abs(beta) < _NOISE, 0.0, beta)
    gain = r * dt / tau
    gain = np.where(np.isclose(gain, 1, rtol=1e-6), 1.0, gain)
    longest = tau.max()
    return RealLayer(
        name=place,
        w_in=(weights * gain[:, np.newaxis]).T,
        w_rec=None if w_rec is None else (_weight(*w_rec) * gain[:, np.newaxis]).T,
        threshold=threshold,
        beta=np.round(beta, 9) if longest < 1e4 * dt else beta,
        reset=reset,
        help_=f"; tau is {_span(tau)} s and dt {dt:g} s"
        + (
            ": if tau is in time steps, as sinabs writes it, give dt 1 (--dt 1)"
            if longest >= 0.5 and dt < 0.1
            else ""
        ),
    )


def _span(values):
    least, most = values.min(), values.max()
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"


def _bias_message(name, node):
    bias = np.asarray(node.bias).ravel()
    neuron = int(bias.nonzero()[0][0])
    return (
        f"node {name!r}, output {neuron}: bias is {bias[neuron]:g}: it must be 0, the hardware has "
        "none: train without (the readout may have one, the host adds it)"
    )


def _reals(name, field, values):
    """A field of a node as float64: numbers, real and finite."""
    array = np.asarray(values)
    if np.iscomplexobj(array):
        raise ConversionError(
            f"node {name!r}: {field} has the type {array.dtype}: it must hold real numbers"
        )
    try:
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ConversionError(f"node {name!r}: {field} holds no numbers") from error
    wrong = ~np.isfinite(array)
    if wrong.any():
        where = [int(index) for index in np.argwhere(wrong)[0]]
        raise ConversionError(
            f"node {name!r}: {field}{where} is {array[tuple(where)]}: it must be a finite number"
        )
    return array


def _weight(name, node):
    weight = _reals(name, "weight", node.weight)
    if weight.ndim != 2:
        raise ConversionError(f"node {name!r}: weight has shape {weight.shape}: it must be 2D")
    return weight


def _per_neuron(name, node, field, n):
    """A parameter of a LIF as `[n]` float64; tools write it as a scalar too."""
    values = _reals(name, field, getattr(node, field))
    try:
        return np.broadcast_to(values.reshape(-1) if values.size == 1 else values, (n,))
    except ValueError as error:
        raise ConversionError(
            f"node {name!r}: {field} has shape {values.shape}: it must be one number or {n}"
        ) from error


# ---- the graph as a chain of layers ----------------------------------------------------------


def _dissolved(graph):
    """Nodes and successors of a graph without subgraphs.

    Returns
    -------
    nodes : dict of str to nir.NIRNode
    after : dict of str to list of str
    """
    nodes, edges, passes = {}, [], set()

    def add(part, prefix):
        inner = {}
        for name, node in part.nodes.items():
            full = f"{prefix}{name}"
            if isinstance(node, nir.NIRGraph):
                add(node, f"{full}.")
                inner[name] = [_only(node, kind, full) for kind in (nir.Input, nir.Output)]
            else:
                nodes[full] = node
                inner[name] = [full, full]
                if prefix and isinstance(node, (nir.Input, nir.Output)):
                    passes.add(full)
        for source, target in part.edges:
            for end in (source, target):
                if end not in inner:
                    raise ConversionError(f"edge {source!r} to {target!r}: no node {end!r}")
            edges.append((inner[source][1], inner[target][0]))

    add(graph, "")
    after = {name: [] for name in nodes}
    for source, target in edges:
        if target in after[source]:
            raise ConversionError(f"edge {source!r} to {target!r}: it is there twice")
        after[source].append(target)

    def through(name, seen):
        """Successors, seen through the Inputs and Outputs of subgraphs."""
        for target in after[name]:
            if target not in passes:
                yield target
            elif target not in seen:
                yield from through(target, seen | {target})

    return (
        {name: node for name, node in nodes.items() if name not in passes},
        {name: list(through(name, frozenset())) for name in nodes if name not in passes},
    )


def _only(graph, kind, where):
    names = [name for name, node in graph.nodes.items() if isinstance(node, kind)]
    if len(names) != 1:
        raise ConversionError(
            f"subgraph {where!r}: it has {len(names)} {kind.__name__} nodes: it must have one"
        )
    return f"{where}.{names[0]}"


def _chain(nodes, after):
    """The layers [(name, node) of w_in, of the LIF, of w_rec or None] and the readout or None."""
    nodes, after = _without_flatten(nodes, after)
    for name, node in nodes.items():
        if not isinstance(node, (nir.Input, nir.Output, nir.Linear, nir.Affine, nir.LIF)):
            kind = type(node).__name__
            why = _WHY_NOT.get(kind, "it must be Linear, Affine or LIF")
            raise ConversionError(f"node {name!r} is {kind}: {why}")
    ends = []
    for kind in (nir.Input, nir.Output):
        names = [name for name, node in nodes.items() if isinstance(node, kind)]
        if len(names) != 1:
            raise ConversionError(
                f"the graph has {len(names)} {kind.__name__} nodes: it must have one"
            )
        ends.append(names[0])
    before = {name: [] for name in nodes}
    for name, targets in after.items():
        for target in targets:
            before[target].append(name)

    def linear(name):
        return isinstance(nodes[name], (nir.Linear, nir.Affine))

    def recurrent(name, lif):
        return linear(name) and before[name] == [lif] and after[name] == [lif]

    used = set(ends)
    layers, readout, here = [], None, ends[0]
    while True:
        if here in after[here]:
            raise ConversionError(
                f"node {here!r}: an edge leads from it to itself: it needs a Linear between"
            )
        ahead = [name for name in after[here] if not recurrent(name, here)]
        if len(ahead) != 1:
            raise ConversionError(
                f"node {here!r}: it leads to {_names(ahead)}: beside its own recurrent weights it "
                "must lead to one node"
            )
        weights = ahead[0]
        if weights == ends[1]:
            break
        if not linear(weights):
            raise ConversionError(
                f"node {weights!r}: it follows {here!r} directly: it needs a Linear between"
            )
        if before[weights] != [here] or len(after[weights]) != 1:
            raise ConversionError(
                f"node {weights!r}: it lies between {_names(before[weights])} and "
                f"{_names(after[weights])}: it must lie between two nodes"
            )
        used.add(weights)
        lif = after[weights][0]
        if lif == ends[1]:
            readout = weights, nodes[weights]
            break
        if not isinstance(nodes[lif], nir.LIF):
            raise ConversionError(
                f"node {lif!r} is {type(nodes[lif]).__name__} and follows {weights!r}: after "
                "weights comes a LIF, or the output"
            )
        own = [name for name in before[lif] if recurrent(name, lif)]
        others = [name for name in before[lif] if name not in (weights, lif, *own)]
        if others or len(own) > 1:
            raise ConversionError(
                f"node {lif!r}: it gets {_names(before[lif])}: the weights of the layer before "
                "and one matrix from itself is all that the hardware has"
            )
        used.update([lif, *own])
        layers.append(
            ((weights, nodes[weights]), (lif, nodes[lif]), (own[0], nodes[own[0]]) if own else None)
        )
        here = lif
    if left := sorted(set(nodes) - used):
        raise ConversionError(f"node {left[0]!r}: it is not between the input and the output")
    if not layers:
        raise ConversionError("the graph has no LIF node: the hardware needs one layer or more")
    _check_shapes(layers, readout, *(nodes[end] for end in ends))
    return layers, readout


def _without_flatten(nodes, after):
    """The graph without Flatten nodes: of a vector, one is the vector."""
    flat = {name for name, node in nodes.items() if isinstance(node, nir.Flatten)}
    for name in flat:
        shape = nodes[name].input_type["input"]
        if shape is not None and np.size(shape) and np.max(shape) != np.prod(shape):
            sizes = tuple(int(size) for size in np.ravel(shape))
            raise ConversionError(
                f"node {name!r} is Flatten of shape {sizes}: it must be of one vector, as the "
                "hardware's features and layers are"
            )

    def through(name, seen):
        for target in after[name]:
            if target not in flat:
                yield target
            elif target not in seen:
                yield from through(target, seen | {target})

    return (
        {name: node for name, node in nodes.items() if name not in flat},
        {name: list(through(name, frozenset())) for name in nodes if name not in flat},
    )


def _names(names):
    return " and ".join(repr(name) for name in names) or "nothing"


def _check_shapes(layers, readout, first, last):
    width, source = _width(first.input_type, "the input"), "the input"
    matrices = [(layer[0], layer[2]) for layer in layers]
    if readout is not None:
        matrices.append((readout, None))
    for (name, node), w_rec in matrices:
        rows, columns = _weight(name, node).shape
        if columns != width:
            raise ConversionError(
                f"node {name!r}: weight has shape {(rows, columns)}: it must have {width} columns, "
                f"as {source} has values"
            )
        bias = getattr(node, "bias", None)
        if bias is not None and np.shape(bias) != (rows,):
            raise ConversionError(
                f"node {name!r}: bias has shape {np.shape(bias)}: it must be {(rows,)}"
            )
        width, source = rows, f"node {name!r}"
        if w_rec is not None and _weight(*w_rec).shape != (width, width):
            raise ConversionError(
                f"node {w_rec[0]!r}: weight has shape {_weight(*w_rec).shape}: it must be "
                f"{(width, width)}"
            )
    given = _width(last.output_type, "the output")
    if given != width:
        raise ConversionError(
            f"the output has {given} values: it must have {width}, as {source} has"
        )


def _width(kind, what):
    """Values of the graph's input or output."""
    shape = np.ravel(next(iter(kind.values())))
    if len(shape) != 1 or shape[0] is None:
        sizes = tuple(None if size is None else int(size) for size in shape)
        raise ConversionError(f"{what} has shape {sizes}: it must be one vector")
    return int(shape[0])
