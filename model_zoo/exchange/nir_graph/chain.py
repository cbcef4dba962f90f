# SPDX-License-Identifier: Apache-2.0
"""A NIR graph as what the hardware has: layers one after the other, and a readout."""

import nir
import numpy as np

from model_zoo.exchange.errors import ConversionError
from model_zoo.exchange.nir_graph.nodes import weight_of

__all__ = ["chain", "dissolved"]

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


def dissolved(graph):
    """The nodes of a graph and its subgraphs, and the edges between them.

    Returns
    -------
    nodes : dict of str to nir.NIRNode
        A node of a subgraph is named `subgraph.node`.
    after : dict of str to list of str
        The successors of each node.

    Raises
    ------
    ConversionError
        An edge leads nowhere or is there twice, or a subgraph has not one Input and one Output.
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


def chain(nodes, after):
    """The layers and the readout of a graph without subgraphs.

    Parameters
    ----------
    nodes : dict of str to nir.NIRNode
    after : dict of str to list of str
        The successors of each node.

    Returns
    -------
    layers : list of tuple
        Each layer's `w_in`, LIF and `w_rec` as (name, node); `w_rec` may be None.
    readout : tuple of str and nir.NIRNode, or None

    Raises
    ------
    ConversionError
        The graph is not a chain that the hardware can run: node and rule.
    """
    nodes, after = _without_flatten(nodes, after)
    for name, node in nodes.items():
        if not isinstance(node, (nir.Input, nir.Output, nir.Linear, nir.Affine, nir.LIF)):
            kind = type(node).__name__
            why = _WHY_NOT.get(kind, "it must be Linear, Affine or LIF")
            raise ConversionError(f"node {name!r} is {kind}: {why}")
    first, last = _only_end(nodes, nir.Input), _only_end(nodes, nir.Output)
    walk = _Walk(nodes, after)
    used = {first, last}
    layers, readout, here = [], None, first
    while (weights := walk.weights_after(here, last)) is not None:
        used.add(weights)
        target = after[weights][0]
        if target == last:
            readout = weights, nodes[weights]
            break
        own = walk.recurrent_weights(weights, target)
        used.update([target, *own])
        layers.append(
            (
                (weights, nodes[weights]),
                (target, nodes[target]),
                (own[0], nodes[own[0]]) if own else None,
            )
        )
        here = target
    if left := sorted(set(nodes) - used):
        raise ConversionError(f"node {left[0]!r}: it is not between the input and the output")
    if not layers:
        raise ConversionError("the graph has no LIF node: the hardware needs one layer or more")
    _check_shapes(layers, readout, nodes[first], nodes[last])
    return layers, readout


def _only_end(nodes, kind):
    names = [name for name, node in nodes.items() if isinstance(node, kind)]
    if len(names) != 1:
        raise ConversionError(f"the graph has {len(names)} {kind.__name__} nodes: it must have one")
    return names[0]


class _Walk:
    """Steps from one layer to the next, each checked against what the hardware has."""

    def __init__(self, nodes, after):
        self.nodes, self.after = nodes, after
        self.before = {name: [] for name in nodes}
        for name, targets in after.items():
            for target in targets:
                self.before[target].append(name)

    def _linear(self, name):
        return isinstance(self.nodes[name], (nir.Linear, nir.Affine))

    def _recurrent(self, name, lif):
        return self._linear(name) and self.before[name] == [lif] and self.after[name] == [lif]

    def weights_after(self, here, last):
        """The weights that follow a LIF or the input; None where the output follows."""
        if here in self.after[here]:
            raise ConversionError(
                f"node {here!r}: an edge leads from it to itself: it needs a Linear between"
            )
        ahead = [name for name in self.after[here] if not self._recurrent(name, here)]
        if len(ahead) != 1:
            raise ConversionError(
                f"node {here!r}: it leads to {_names(ahead)}: beside its own recurrent weights it "
                "must lead to one node"
            )
        weights = ahead[0]
        if weights == last:
            return None
        if not self._linear(weights):
            raise ConversionError(
                f"node {weights!r}: it follows {here!r} directly: it needs a Linear between"
            )
        if self.before[weights] != [here] or len(self.after[weights]) != 1:
            raise ConversionError(
                f"node {weights!r}: it lies between {_names(self.before[weights])} and "
                f"{_names(self.after[weights])}: it must lie between two nodes"
            )
        return weights

    def recurrent_weights(self, weights, lif):
        """The recurrent weights of the LIF that follows `weights`, in a list of one or none."""
        node = self.nodes[lif]
        if not isinstance(node, nir.LIF):
            raise ConversionError(
                f"node {lif!r} is {type(node).__name__} and follows {weights!r}: after "
                "weights comes a LIF, or the output"
            )
        own = [name for name in self.before[lif] if self._recurrent(name, lif)]
        others = [name for name in self.before[lif] if name not in (weights, lif, *own)]
        if others or len(own) > 1:
            raise ConversionError(
                f"node {lif!r}: it gets {_names(self.before[lif])}: the weights of the layer "
                "before and one matrix from itself is all that the hardware has"
            )
        return own


def _without_flatten(nodes, after):
    """The graph without Flatten nodes: a vector, flattened, is the same vector."""
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
        rows, columns = weight_of(name, node).shape
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
        if w_rec is not None and weight_of(*w_rec).shape != (width, width):
            raise ConversionError(
                f"node {w_rec[0]!r}: weight has shape {weight_of(*w_rec).shape}: it must be "
                f"{(width, width)}"
            )
    given = _width(last.output_type, "the output")
    if given != width:
        raise ConversionError(
            f"the output has {given} values: it must have {width}, as {source} has"
        )


def _width(kind, what):
    """Values of the graph's input or output."""
    shape = np.ravel(next(iter(kind.values()))).tolist()
    if not all(size is None or isinstance(size, int) for size in shape):
        raise ConversionError(f"{what} has a shape that is no list of integers")
    if len(shape) != 1 or shape[0] is None:
        raise ConversionError(f"{what} has shape {tuple(shape)}: it must be one vector")
    return shape[0]
