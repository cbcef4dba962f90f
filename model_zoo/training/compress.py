# SPDX-License-Identifier: Apache-2.0
"""Down the ladder: fewer neurons, fewer weight bits, fewer readout weights; or other outputs.

Each function takes a trained network and gives a new one that training goes on with.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch.nn.utils import prune

from hw.config import AcceleratorConfig
from model_zoo.training.network import WEIGHT_LSB, SpikingNetwork

__all__ = ["at_precision", "narrowed", "prune_readout", "with_outputs"]


def _like(
    model: SpikingNetwork, config: AcceleratorConfig, precision: int | None
) -> SpikingNetwork:
    """A new network with the neurons' rules of another one."""
    return SpikingNetwork(
        config,
        [layer.rule for layer in model.layers],
        [layer.unit / (layer.steps * 2.0 ** layer.membrane[1]) for layer in model.layers],
        precision,
        model.layers[0].slope,
        model.dropout.p,
    )


@torch.no_grad()
def narrowed(
    model: SpikingNetwork, config: AcceleratorConfig, features: torch.Tensor
) -> SpikingNetwork:
    """Structured pruning: the neurons that matter most to what comes behind them.

    A neuron's importance is the spread of its spikes on `features` times the norm of its outgoing
    weights (to the layer itself and to the next one): the share of the next stimulus' variance
    that would be lost with it.

    Parameters
    ----------
    model
        What was trained; it is left as it is.
    config
        The same network with fewer neurons.
    features
        Training features `[batch, frames, n_input]`.

    Returns
    -------
    SpikingNetwork
    """
    spikes = model.eval()(features)[1]
    kept = []
    for number, (layer, fired) in enumerate(zip(model.layers, spikes, strict=True)):
        last = number + 1 == len(model.layers)
        outgoing = model.w_out if last else model.layers[number + 1].w_in
        norm = outgoing.square().sum(dim=1)
        if layer.w_rec is not None:
            norm = norm + layer.w_rec.square().sum(dim=1)
        importance = fired.sum(dim=2).flatten(0, 1).var(dim=0) * norm
        chosen = importance.topk(config.hidden[number]).indices
        kept.append(chosen.sort().values)
    small = _like(model, config, model.precision)
    source = None
    for layer, wide, chosen in zip(small.layers, model.layers, kept, strict=True):
        w_in = wide.w_in[:, chosen]
        layer.w_in.copy_(w_in if source is None else w_in[source])
        if layer.w_rec is not None:
            layer.w_rec.copy_(wide.w_rec[chosen][:, chosen])
        layer.level.copy_(wide.level[chosen])
        source = chosen
    small.w_out.copy_(model.w_out[source])
    small.readout_kept.copy_(model.readout_kept[source])
    small.log_scale.copy_(model.log_scale)
    return small


@torch.no_grad()
def with_outputs(
    model: SpikingNetwork, config: AcceleratorConfig, source: Sequence[int]
) -> SpikingNetwork:
    """A copy of a network with other outputs, each of which begins as a copy of an old one.

    Parameters
    ----------
    model
        What was trained; it is left as it is.
    config
        The same network with other outputs, or with another `readout_every`.
    source
        For each new output the number of the old one.

    Returns
    -------
    SpikingNetwork
    """
    new = _like(model, config, model.precision)
    kept = model.state_dict()
    for name in ("w_out", "readout_kept"):
        kept[name] = kept[name][:, torch.as_tensor(source)]
    new.load_state_dict(kept)
    return new.train(model.training)


def _best_factor(matrices: Iterable[torch.Tensor]) -> float:
    """The factor by which weights fill the 4-bit range with the least relative square error."""
    weights = torch.cat([matrix.flatten() for matrix in matrices]) / WEIGHT_LSB
    factors = 7 / float(weights.abs().max()) * np.geomspace(1, 12, 60)
    errors = [
        float(((weights * f).round().clamp(-7, 7) / f - weights).square().sum()) for f in factors
    ]
    return float(factors[int(np.argmin(errors))])


@torch.no_grad()
def at_precision(model: SpikingNetwork, precision: int | None) -> SpikingNetwork:
    """A copy of a network with weights of `precision` bits.

    A real-valued network that is quantised is first scaled, layer by layer, to fill the range of
    the weights: a layer whose weights and thresholds are all multiplied by one factor spikes as
    before.

    Parameters
    ----------
    model
        What was trained; it is left as it is.
    precision
        One of `network.PRECISIONS`.

    Returns
    -------
    SpikingNetwork
    """
    new = _like(model, model.config, precision)
    new.load_state_dict(model.state_dict())
    if model.precision is None and precision is not None:
        for layer in new.layers:
            weights = [layer.w_in] if layer.w_rec is None else [layer.w_in, layer.w_rec]
            factor = _best_factor(weights)
            for matrix in weights:
                matrix.mul_(factor)
            layer.level.mul_(factor)
        factor = _best_factor([new.w_out])
        new.w_out.mul_(factor)
        new.log_scale.sub_(float(np.log(factor)))
    new.project_()
    return new


@torch.no_grad()
def prune_readout(model: SpikingNetwork, share: float) -> None:
    """Unstructured pruning: the smallest readout weights become zero and stay so.

    Parameters
    ----------
    model
        Its `readout_kept` is set.
    share
        Share of the readout weights that become zero, 0 to 1.
    """
    method = prune.L1Unstructured(amount=share)
    model.readout_kept.copy_(method.compute_mask(model.w_out, torch.ones_like(model.w_out)))
    model.w_out.mul_(model.readout_kept)
