# SPDX-License-Identifier: Apache-2.0
"""Trained torch networks to network files of the golden model, and back.

Nothing is changed on the way: the integers that training computed with are the integers in the
file. A network whose sums do not fit the configuration is refused by the golden model's check.
"""

import numpy as np
import torch

from golden_model import Layer, Network
from model_zoo.training.network import WEIGHT_LSB, LayerRule, SpikingNetwork

__all__ = ["export", "from_network"]


def _integers(tensor):
    return tensor.detach().cpu().numpy().astype(np.int64)


@torch.no_grad()
def export(model, header):
    """The golden model's network of a trained one.

    Parameters
    ----------
    model : SpikingNetwork
    header : dict
        Plain JSON values that travel in the file: scales, labels, normalisation, provenance.

    Returns
    -------
    golden_model.Network

    Raises
    ------
    ValueError
        Some sum's worst case leaves the accumulator, or a parameter its range: see
        `docs/numerics.md`.
    """
    layers = []
    for layer in model.layers:
        rule = layer.rule
        w_rec = None
        if layer.w_rec is not None:
            w_rec = _integers(layer.quantised(layer.w_rec)).astype(np.int8)
        layers.append(
            Layer(
                w_in=_integers(layer.quantised(layer.w_in)).astype(np.int8),
                w_rec=w_rec,
                threshold=_integers(layer.threshold()),
                decay_shift=rule.decay_shift,
                decay_form=rule.decay_form,
                reset=rule.reset,
                input_shift=rule.input_shift,
            )
        )
    w_out = _integers(model.quantised_readout()).astype(np.int8)
    return Network(model.config, layers, w_out, header)


@torch.no_grad()
def from_network(network, slope=5.0, dropout=0.0):
    """A torch network with the integers of a network file, to evaluate or to train on.

    Parameters
    ----------
    network : golden_model.Network
    slope, dropout : float
        See `SpikingNetwork`.

    Returns
    -------
    SpikingNetwork
        The network, in evaluation mode.

    Raises
    ------
    ValueError
        A weight is the most negative integer, which training's symmetric weights do not have, or
        a layer has a bias.
    """
    config = network.config
    rules = [
        LayerRule(layer.decay_shift, layer.decay_form, layer.reset, layer.input_shift)
        for layer in network.layers
    ]
    model = SpikingNetwork(config, rules, [1.0] * len(rules), slope=slope, dropout=dropout)
    lowest = -(2 ** (config.weight_bits - 1))

    def put(parameter, integers, what):
        if np.min(integers) == lowest:
            raise ValueError(
                f"{what} holds {lowest}; weights to train must lie in [{lowest + 1}, {-lowest - 1}]"
            )
        parameter.copy_(torch.from_numpy(np.asarray(integers, np.float32) * WEIGHT_LSB))

    for number, (layer, source) in enumerate(zip(model.layers, network.layers, strict=True)):
        if source.bias is not None:
            raise ValueError(f"layer {number} has a bias; networks to train have none")
        put(layer.w_in, source.w_in, f"layer {number} w_in")
        if source.w_rec is not None:
            put(layer.w_rec, source.w_rec, f"layer {number} w_rec")
        threshold = np.broadcast_to(source.threshold, layer.level.shape).astype(np.float32)
        layer.level.copy_(torch.from_numpy(threshold / layer.unit))
    put(model.w_out, network.w_out, "w_out")
    return model.eval()
