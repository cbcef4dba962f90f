# SPDX-License-Identifier: Apache-2.0
"""A layer of the network: its parameters, and what its neurons compute.

From the equations of docs/numerics.md and with their names. `golden_model.network` puts layers
together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from golden_model.fixed_point import clamp
from hw.config import AcceleratorConfig

__all__ = [
    "DECAY_FORMS",
    "RESETS",
    "Layer",
    "bias_rows",
    "lif_step",
    "membrane_dtype",
    "product",
    "run_layer",
    "sign_sums",
]

DECAY_FORMS = ("leak", "scale")
RESETS = ("zero", "subtract")


@dataclass(frozen=True, eq=False)
class Layer:
    """Parameters of one recurrent LIF layer of n neurons.

    Attributes
    ----------
    w_in
        [n_source, n] int4, the weights of the features (layer 0) or of the layer before.
    w_rec
        [n, n] int4, the weights of the layer's own spikes of the frame before; None for a plain
        layer.
    threshold
        [n], or one value for all neurons, in membrane units (scaled by 2**membrane_frac).
    decay_shift
        The a of the decay, 1 to max_decay_shift.
    decay_form
        "leak" for beta = 1 - 2**-a, "scale" for beta = 2**-a.
    reset
        What a spike does to the membrane: "zero" or "subtract".
    input_shift
        The shift of the input sum; layer 0 only, 0 elsewhere.
    bias
        [n], -72 to 63, added to the stimulus of every time step; None for a layer without.
    """

    w_in: np.ndarray
    w_rec: np.ndarray | None
    threshold: np.ndarray | int
    decay_shift: int
    decay_form: str = "leak"
    reset: str = "zero"
    input_shift: int = 0
    bias: np.ndarray | None = None


def lif_step(
    config: AcceleratorConfig, layer: Layer, u_prev: np.ndarray, i: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One time step of the neurons: (spikes, membranes after it).

    Parameters
    ----------
    config
        For the number formats.
    layer
        The neurons' parameters.
    u_prev
        Membranes before the time step, of a type from `membrane_dtype`.
    i
        The stimulus, of the same type.
    """
    leak = u_prev >> layer.decay_shift
    d = u_prev - leak if layer.decay_form == "leak" else leak
    v = clamp(d + (i << config.membrane_frac), config.membrane_bits)
    s = v >= layer.threshold
    u = np.where(s, 0 if layer.reset == "zero" else v - layer.threshold, v)
    return s, u


def membrane_dtype(config: AcceleratorConfig) -> type[np.signedinteger]:
    """int32 where the sum before the clamp fits it, otherwise int64."""
    bits = max(config.membrane_bits, config.acc_bits + config.membrane_frac) + 1
    return np.int32 if bits <= 32 else np.int64


def run_layer(
    config: AcceleratorConfig, layer: Layer, stimulus: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and membranes [frames, T, batch, n] from the stimulus without recurrence and bias.

    `stimulus` is [frames, T, batch, n], or [frames, 1, batch, n] if the same for every time step.
    """
    frames, _, batch, n = stimulus.shape
    steps = config.time_steps
    dtype = membrane_dtype(config)
    spikes = np.empty((frames, steps, batch, n), np.uint8)
    membranes = np.empty((frames, steps, batch, n), dtype)
    if layer.bias is not None:
        stimulus = stimulus + layer.bias.astype(dtype)
    w_rec = None if layer.w_rec is None else layer.w_rec.astype(np.float32)
    u = np.zeros((batch, n), dtype)
    s_prev = np.zeros((steps * batch, n), np.float32)
    for t in range(frames):
        i = stimulus[t]
        if w_rec is not None:
            i = i + (s_prev @ w_rec).astype(dtype).reshape(steps, batch, n)
        elif i.dtype != dtype:
            i = i.astype(dtype)
        for k in range(steps):
            spikes[t, k], u = lif_step(config, layer, u, i[k if len(i) > 1 else 0])
            membranes[t, k] = u
        s_prev[...] = spikes[t].reshape(steps * batch, n)
    return spikes, membranes


def bias_rows(bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of a bias, both of the range of a weight, with bias = low + 8 * high."""
    high = np.clip((bias.astype(np.int32) + 4) >> 3, -8, 7)
    return bias - 8 * high, high


def product(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`values` [..., n_source] times `weights` [n_source, n], int32 and exact.

    float32 holds every integer up to 2**24, and no partial sum in any order is larger than
    4096 inputs * 128 * 8 = 2**22 (features; 4096 * 2 * 8 = 2**16 for spikes), so BLAS in float32
    is exact whatever its order, and fast. 4096 is the configuration's limit of inputs.
    """
    rows = values.reshape(-1, values.shape[-1])
    matrix = weights.astype(np.float32)
    product = np.empty((len(rows), weights.shape[1]), np.int32)
    block = 512  # rows at a time: the float copies stay in the cache
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        product[part] = rows[part].astype(np.float32) @ matrix
    return product.reshape(*values.shape[:-1], weights.shape[1])


def sign_sums(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per column: P, the sum of the positive weights, N, of the magnitudes of the negative ones."""
    wide = w.astype(np.int64)
    return np.maximum(wide, 0).sum(axis=0), np.maximum(-wide, 0).sum(axis=0)
