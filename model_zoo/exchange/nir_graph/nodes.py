# SPDX-License-Identifier: Apache-2.0
"""The parameters of NIR nodes as arrays, checked on the way."""

import numpy as np

from model_zoo.exchange.errors import ConversionError

__all__ = ["DT", "per_neuron", "reals", "weight_of"]

DT = 1e-4
"""Seconds of a time step: NIR has time constants. This is what snnTorch and SpikingJelly assume."""


def reals(name, field, values):
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


def weight_of(name, node):
    weight = reals(name, "weight", node.weight)
    if weight.ndim != 2:
        raise ConversionError(f"node {name!r}: weight has shape {weight.shape}: it must be 2D")
    return weight


def per_neuron(name, node, field, n):
    """A parameter of a LIF as `[n]` float64; tools write it as a scalar too."""
    values = reals(name, field, getattr(node, field))
    try:
        return np.broadcast_to(values.reshape(-1) if values.size == 1 else values, (n,))
    except ValueError as error:
        raise ConversionError(
            f"node {name!r}: {field} has shape {values.shape}: it must be one number or {n}"
        ) from error
