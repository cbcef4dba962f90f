# SPDX-License-Identifier: Apache-2.0
"""A NIR graph in real numbers: its equations, as the NIR paper has them, in float64.

It shares nothing with the conversion but the walk that dissolves subgraphs. The differential
equation of a LIF, tau dv/dt = v_leak - v + r i, is taken with forward Euler, as the tools do that
write these graphs; it spikes above `v_threshold`, and an edge that closes a cycle brings what its
source gave a time step before. Pedersen et al., Neuromorphic intermediate representation, Nature
Communications 15, 8122 (2024).
"""

from graphlib import TopologicalSorter

import nir
import numpy as np

from model_zoo.exchange.errors import ConversionError
from model_zoo.exchange.fidelity import RealRun

__all__ = ["run_graph"]


def run_graph(nodes, after, inputs, *, lifs, dt, resets, time_steps=1, readout_every=1):
    """Run a graph in real numbers.

    Parameters
    ----------
    nodes : dict of str to nir.NIRNode
        One Input, one Output, Linear, Affine, Flatten and LIF nodes; no subgraphs.
    after : dict of str to list of str
        The edges: successors of each node.
    inputs : numpy.ndarray
        `[frames, n_input]`, real.
    lifs : list of str
        Names of the LIF nodes, in the order of the layers.
    dt : float
        Seconds of a time step.
    resets : list of str
        How each of `lifs` resets: "zero" (to `v_reset`) or "subtract".
    time_steps : int
        How often a frame is given; recurrent edges then bring what their source gave in the same
        time step of the frame before, as in hardware.
    readout_every : int

    Returns
    -------
    RealRun
    """
    order, delayed = _order(nodes, after)
    before = {name: [] for name in nodes}
    for source, targets in after.items():
        for target in targets:
            before[target].append(source)
    membranes = dict.fromkeys(lifs, 0.0)
    reset_of = dict(zip(lifs, resets, strict=True))
    last = [{} for _ in range(time_steps)]  # of the frame before, per time step
    spikes = {name: [] for name in lifs}
    record = {name: [] for name in lifs}
    outputs = []
    for x in np.asarray(inputs, float):
        output = 0.0
        for k in range(time_steps):
            values = {}
            for name in order:
                given = 0.0
                for source in before[name]:
                    if (source, name) in delayed:
                        given = given + last[k].get(source, 0.0)
                    else:
                        given = given + values[source]
                node = nodes[name]
                if isinstance(node, nir.Input):
                    values[name] = x
                elif isinstance(node, nir.Output):
                    output = output + given
                elif isinstance(node, nir.LIF):
                    values[name], membranes[name] = _lif(
                        node, membranes[name], given, dt, reset_of[name]
                    )
                    spikes[name].append(values[name])
                    record[name].append(membranes[name])
                else:
                    values[name] = _stateless(name, node, given)
            last[k] = values
        outputs.append(np.broadcast_to(output, np.shape(output)))
    shape = (len(inputs), time_steps, -1)
    return RealRun(
        [np.array(spikes[name]).reshape(shape) for name in lifs],
        [np.array(record[name]).reshape(shape) for name in lifs],
        np.array(outputs)[::readout_every],
    )


def _order(nodes, after):
    """The order of evaluation, and the edges that close cycles."""
    delayed, seen, path = set(), set(), set()
    start = [name for name, node in nodes.items() if isinstance(node, nir.Input)]

    def visit(name):
        seen.add(name)
        path.add(name)
        for target in after[name]:
            if target in path:
                delayed.add((name, target))
            elif target not in seen:
                visit(target)
        path.discard(name)

    for name in start:
        visit(name)
    graph = {
        name: [
            source for source in nodes if name in after[source] and (source, name) not in delayed
        ]
        for name in nodes
    }
    return list(TopologicalSorter(graph).static_order()), delayed


def _lif(node, v, current, dt, reset):
    tau, r, leak, threshold, back = (
        np.asarray(getattr(node, field), float)
        for field in ("tau", "r", "v_leak", "v_threshold", "v_reset")
    )
    v = v + dt / tau * (leak - v + r * current)
    s = v > threshold
    return s.astype(float), np.where(s, v - threshold if reset == "subtract" else back, v)


def _stateless(name, node, given):
    if isinstance(node, nir.Linear):
        return np.asarray(node.weight, float) @ given
    if isinstance(node, nir.Affine):
        return np.asarray(node.weight, float) @ given + np.asarray(node.bias, float)
    if isinstance(node, nir.Flatten):
        return np.ravel(given)
    raise ConversionError(f"node {name!r} is {type(node).__name__}: it has no equation here")
