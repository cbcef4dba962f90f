# SPDX-License-Identifier: Apache-2.0
"""Random networks and features for tests and benches.

The networks always fit their configuration, and every layer really spikes.
"""

from __future__ import annotations

import numpy as np

from golden_model.fixed_point import round_shift, signed_range
from golden_model.layer import DECAY_FORMS, RESETS, Layer, product, run_layer, sign_sums
from hw.config import AcceleratorConfig

__all__ = ["draw", "random_features"]

_BATCH, _FRAMES = 12, 40  # of the features that thresholds are tuned on
_SEARCH_STEPS, _LEAST_STEPS = 10, 5
_ATTEMPTS = 8
_RATE = 0.42  # the middle of what is wanted; a little high, since small layers can only lose


def draw(config: AcceleratorConfig, seed: int) -> tuple[list[Layer], np.ndarray]:
    """Layers and w_out of a random network for a configuration; the same for the same seed.

    Weights cover the whole of -8 .. 7 as far as the accumulators allow, decays, resets and shifts
    are drawn per layer, and each neuron's threshold is searched so that its layer spikes at 20 to
    60 % on `random_features`. A layer that cannot be made to (a slow leak that only ever sees
    inhibition) is drawn again, in the end with the fastest decay.
    """
    rng = np.random.default_rng(seed)
    x = np.stack(
        [random_features(config, _FRAMES, int(rng.integers(1 << 31))) for _ in range(_BATCH)],
        axis=1,
    )
    source = x  # [frames, batch, n_input], then spikes [frames, T, batch, n]
    layers = []
    for index in range(config.n_layers):
        best, best_error = None, np.inf
        for attempt in range(_ATTEMPTS):
            layer, stimulus = _draw_layer(config, index, source, rng, attempt)
            layer, spikes = _tune(config, layer, stimulus, rng)
            # The first and the second half apart: a slow leak may take long to settle.
            halves = spikes[: _FRAMES // 2].mean(), spikes[_FRAMES // 2 :].mean()
            error = max(abs(rate - _RATE) for rate in halves)
            if error < best_error:
                best, best_error = (layer, spikes), error
            if error < 0.1:
                break
        layer, source = best
        layers.append(layer)
    most = signed_range(config.acc_bits)[1]
    w_out = _draw_weights(
        rng, config.hidden[-1], config.n_output, np.full(config.n_output, most // config.time_steps)
    )
    return layers, w_out


def random_features(
    config: AcceleratorConfig, frames: int, seed: int, density: float = 0.8
) -> np.ndarray:
    """Features [frames, n_input] int8: uniform, with zeros and both extremes among them.

    Parameters
    ----------
    config
        For the number of features of a frame.
    frames
        How many frames.
    seed
        The same seed gives the same features.
    density
        The share of the features that are drawn; the others are 0. A twentieth of the drawn ones
        are -128 or 127.
    """
    rng = np.random.default_rng(seed)
    shape = (frames, config.n_input)
    x = rng.integers(-128, 128, shape)
    x = np.where(rng.random(shape) < 0.05, rng.choice([-128, 127], shape), x)
    return np.where(rng.random(shape) < density, x, 0).astype(np.int8)


def _draw_weights(rng: np.random.Generator, n_source: int, n: int, limit: np.ndarray) -> np.ndarray:
    """Weights [n_source, n] whose magnitudes sum to at most `limit` [n] in each column."""
    spread = rng.choice([1.0, 3.0, 8.0])
    w = np.clip(np.rint(rng.normal(0.5, spread, (n_source, n))), -8, 7).astype(np.int64)
    order = rng.permutation(n_source)
    # The first input of the order always has a weight that fits, so that no neuron is deaf.
    least = np.minimum(limit, 1 + rng.integers(0, 7, n))
    w[order[0]] = np.where(np.abs(w[order[0]]) > limit, least, w[order[0]])
    w[order[0]] = np.where(w[order[0]] == 0, least, w[order[0]])
    total = np.abs(w[order]).cumsum(axis=0)
    kept = np.empty_like(w)
    kept[order] = np.where(total <= limit, w[order], 0)
    return kept


def _draw_layer(
    config: AcceleratorConfig,
    index: int,
    source: np.ndarray,
    rng: np.random.Generator,
    attempt: int,
) -> tuple[Layer, np.ndarray]:
    """A layer without thresholds, and its stimulus [frames, T or 1, batch, n] from `source`."""
    n_source, n = config.n_source(index), config.hidden[index]
    least, most = signed_range(config.acc_bits)
    form = DECAY_FORMS[rng.integers(2)]
    decay_shift = int(rng.integers(1, config.max_decay_shift + 1))
    if attempt >= _ATTEMPTS // 2:
        form, decay_shift = "scale", 1
    shift = 0
    share = most if not config.recurrent[index] else most // 2
    if attempt >= _ATTEMPTS // 4:  # keep the stimulus from driving the membrane to its clamp
        share = max(1, min(share, 1 << (config.membrane_bits - 2) >> config.membrane_frac))
    if index == 0:
        # Nibble sums reach 15 (P + N) at most. The input term, about 128 (P + N) >> shift and its
        # rounding, gets its share of the layer sum.
        shift = int(rng.integers(0, config.max_input_shift + 1))
        limit = min(most // 15, ((share - 1) << shift) // 128)
        w_in = _draw_weights(rng, n_source, n, np.full(n, max(limit, 0)))
        if limit < 1:  # 127 * 1 and -128 * 1 fit in any acc_bits
            w_in[rng.integers(n_source, size=n), np.arange(n)] = 1
    else:
        w_in = _draw_weights(rng, n_source, n, np.full(n, share))
    # A neuron that inputs on the whole inhibit would never spike: turn its weights round.
    stimulus = product(source, w_in)
    if index:
        down = stimulus.mean(axis=(0, 1, 2)) <= 0
    else:
        down = stimulus.mean(axis=(0, 1)) < 0
        # Only +1, not -1, fits at the limit.
        down &= limit >= 1
    w_in = np.where(down, np.clip(-w_in, -8, 7), w_in)
    stimulus = product(source, w_in)
    positive, negative = sign_sums(w_in)
    if index == 0:
        stimulus = round_shift(stimulus, shift)[:, np.newaxis]
        high = round_shift(127 * positive + 128 * negative, shift)
        low = round_shift(-(128 * positive + 127 * negative), shift)
    else:
        high, low = positive, -negative
    w_rec = None
    if config.recurrent[index]:
        # Kept below the drive from the inputs, so that the recurrence does not lock the layer.
        room = np.minimum(np.minimum(most - high, low - least), 1 + np.maximum(high, -low) // 2)
        w_rec = _draw_weights(rng, n, n, np.maximum(room, 0))
    reset = RESETS[rng.integers(2)]
    bias = None
    if config.has_bias(index):
        if w_rec is not None:
            recurrent = sign_sums(w_rec)
            high, low = high + recurrent[0], low - recurrent[1]
        # Both signs, and the ends of its range where the inputs are as strong, and have left room.
        room = 1 + np.maximum(high, -low) // 4
        bias = np.clip(rng.choice([-72, -9, -8, -4, -1, 0, 1, 3, 4, 7, 8, 63], n), -room, room)
        bias = np.clip(bias, np.minimum(least - low, 0), np.maximum(most - high, 0))
    return Layer(w_in, w_rec, 1, decay_shift, form, reset, shift, bias), stimulus


def _tune(
    config: AcceleratorConfig, layer: Layer, stimulus: np.ndarray, rng: np.random.Generator
) -> tuple[Layer, np.ndarray]:
    """The layer with a threshold per neuron near its own target rate, and its spikes."""
    n = layer.w_in.shape[1]
    spread = 0.15 if n >= 8 else 0.05
    target = _RATE + rng.uniform(-spread, spread, n)
    low = np.zeros(n)  # log2 of the threshold: too many spikes here, too few at `high`
    high = np.full(n, config.membrane_bits - 1.0)
    most = signed_range(config.membrane_bits)[1]

    def tried(exponent: np.ndarray) -> tuple[Layer, np.ndarray]:
        threshold = np.clip(np.rint(2.0**exponent), 1, most).astype(np.int32)
        values = {**vars(layer), "threshold": threshold}
        candidate = Layer(**values)
        return candidate, run_layer(config, candidate, stimulus)[0]

    best, best_error = None, np.inf
    for step in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        candidate, spikes = tried(middle)
        rate = spikes.mean(axis=(0, 1, 2))
        error = abs(rate.mean() - target.mean())
        if error < best_error:
            best, best_error = (candidate, spikes), error
        if step >= _LEAST_STEPS and error < 0.01:
            break
        # Neurons move each other: leave a little room on the side that is cut off.
        low = np.where(rate > target, middle - 0.1 * (high - low), low).clip(0)
        high = np.where(rate > target, high, middle + 0.1 * (high - low))
    return best
