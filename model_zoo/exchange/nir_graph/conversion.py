# SPDX-License-Identifier: Apache-2.0
"""The network of a NIR graph, and the graph in real numbers beside it."""

import numpy as np

from model_zoo.exchange.errors import ConversionError
from model_zoo.exchange.fidelity import compare, membrane_steps
from model_zoo.exchange.interpreter import run_graph
from model_zoo.exchange.nir_graph.chain import chain, dissolved
from model_zoo.exchange.nir_graph.nodes import DT, per_neuron, reals, weight_of
from model_zoo.exchange.nir_graph.own import exact_network, is_own
from model_zoo.exchange.quantise import RealLayer, quantise, warn

__all__ = ["check_graph", "from_nir"]

_NOISE = 1e-6  # of float32, in a decay


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
        See `quantise`; they count for graphs of other tools only.
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
        The network or the configuration breaks a rule.
    """
    if reset not in ("zero", "subtract"):
        raise ConversionError(f"reset is {reset!r}: it must be 'zero' or 'subtract'")
    if not (np.isfinite(dt) and dt > 0):
        raise ConversionError(f"dt is {dt!r}: it must be a positive number of seconds")
    layers, readout = chain(*dissolved(graph))
    if is_own(graph):
        return exact_network(graph, layers, readout, fields)
    real = [_real_layer(number, *layer, dt, reset) for number, layer in enumerate(layers)]
    w_out, bias = None, None
    if readout is not None:
        w_out = weight_of(*readout).T
        if hasattr(readout[1], "bias"):
            bias = reals(readout[0], "bias", readout[1].bias)
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
        See `from_nir`. For a graph of our own the first two do not count and its layers say
        how they reset.

    Returns
    -------
    dict
        What `model_zoo.exchange.fidelity.compare` returns.
    """
    nodes, after = dissolved(graph)
    layers, _ = chain(nodes, after)
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


def _real_layer(number, w_in, lif, w_rec, dt, reset):
    name, node = lif
    place = f"layer {number} ({name!r})"
    weights = weight_of(*w_in)
    n = weights.shape[0]
    bias = sum(
        np.broadcast_to(reals(matrix, "bias", getattr(part, "bias", 0.0)), (n,))
        for matrix, part in (which for which in (w_in, w_rec) if which is not None)
    )
    tau, r, leak, threshold, back = (
        per_neuron(name, node, field, n)
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
        w_rec=None if w_rec is None else (weight_of(*w_rec) * gain[:, np.newaxis]).T,
        bias=bias * gain,
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
