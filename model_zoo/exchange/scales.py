# SPDX-License-Identifier: Apache-2.0
"""Weights in real numbers to 4-bit integers: one scale a neuron.

A neuron compares the weighted sum of its inputs with its own threshold. Divide its weights and its
threshold by the same number and it spikes as before; spikes are 0 or 1, so nothing of the scale
reaches the next layer. Each neuron j therefore has a weight step s_j of its own, which its columns
of `w_in` and `w_rec` share; in layer 0 the column of `w_in` has s_j / 2^input_shift, with one shift
for the layer. Outputs of the readout are compared with each other and share one step.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from golden_model import Layer, Network
from golden_model.fixed_point import bits_needed
from model_zoo.exchange.errors import ConversionError

__all__ = ["Rounded", "choose_readout", "choose_scales", "layer_bounds"]

_LEAST, _MOST = -8, 7
_LEAST_BIAS, _MOST_BIAS = -72, 63  # of the hardware, in weight steps
_WIDEST_ACC = 32
# Weight steps over the largest weight: around the one that puts the largest weight at 7, from a
# third of it, which clips the tail, to four times it, which leaves integers -2 to 2; and those of
# weights that lie on a grid already, which leave no error at all.
_STEPS = np.unique(np.concatenate([2.0 ** (np.arange(-26, 33) / 16) / 7, 1 / np.arange(1.0, 8)]))
# -7 to 7, as training has them, so that a converted network can be trained on; -8 only where
# weights are on a grid that has it.
_TRIED = [(step, -_MOST) for step in _STEPS] + [(1 / 8, _LEAST)]
_TINY = np.finfo(float).tiny
_FAINT = 1e-4  # of the mean square of a matrix
_FAR = 2.0**14  # weight steps; a threshold beyond it that cannot be reached needs no membrane
_MOST_ERROR = 0.5  # squared, over the squared norm: beyond, it is another neuron


@dataclass(frozen=True, eq=False)
class Rounded:
    """The weights of a layer in integers.

    Attributes
    ----------
    w_in, w_rec : numpy.ndarray
        int8; `w_rec` is None for a plain layer.
    bias : numpy.ndarray or None
        int8 `[n]`; None where the configuration has none for the layer.
    scale : numpy.ndarray
        `[n]`, the value of one step of `w_rec` and of the stimulus.
    input_shift : int
    coarsened : numpy.ndarray
        `[n]`, whether the step of least error was not taken because its sums or threshold do not
        fit.
    silent : numpy.ndarray
        `[n]`, whether no input can lift the neuron to its threshold, so that it has no weights.
    """

    w_in: np.ndarray
    w_rec: np.ndarray | None
    bias: np.ndarray | None
    scale: np.ndarray
    input_shift: int
    coarsened: np.ndarray
    silent: np.ndarray


def choose_scales(config, number, layer, beta, most_threshold):
    """The integers of a layer with the least weight error whose sums and thresholds fit.

    Parameters
    ----------
    config : AcceleratorConfig
    number : int
        Number of the layer.
    layer : RealLayer
        The layer in real numbers; layer 0 per int8 step of the features.
    beta : float
        The decay.
    most_threshold : float
        The largest threshold, in weight steps, that the membrane holds.

    Returns
    -------
    Rounded

    Raises
    ------
    ConversionError
        No step that was tried fits.
    """
    best, refusals = None, []
    for shift in range(config.max_input_shift + 1) if number == 0 else (0,):
        candidates = _Candidates(number, layer, shift, most_threshold)
        try:
            made, error = candidates.choose(config, number, beta)
        except ConversionError as error:
            refusals.append(error)
            continue
        # Of equal errors the smaller shift: it rounds less.
        error = round(float(error.mean()), 12)
        if best is None or error < best[0]:
            best = error, made
    if best is None:
        raise min(refusals, key=lambda refusal: refusal.bits)
    return best[1]


class _Candidates:
    """The weight steps of each neuron that are worth trying at one input shift."""

    def __init__(self, number, layer, shift, most_threshold):
        self.layer, self.shift, self.most_threshold = layer, shift, most_threshold
        n = layer.w_in.shape[1]
        recurrent = layer.w_rec if layer.w_rec is not None else np.zeros((0, n))
        self.parts = [_Part(layer.w_in), _Part(recurrent)]
        factors = (2.0**-shift, 1.0)  # a part's step is the neuron's times this
        # A step at which a far threshold and the bias just fit; and for neurons without weights.
        floor = np.maximum(layer.threshold / most_threshold, _bias_floor(layer.bias))
        scales, leasts = [np.maximum(floor, _TINY) * (1 + 1e-9)], [-_MOST]
        for part, factor in zip(self.parts, factors, strict=True):
            if part.top.any():
                scales += [part.top * step / factor for step, _ in _TRIED]
                leasts += [least for _, least in _TRIED]
        self.scales = np.array(scales)  # [tried, n]
        errors = np.array(
            [
                [
                    part.error(scale * factor, least)
                    for part, factor in zip(self.parts, factors, strict=True)
                ]
                for scale, least in zip(scales, leasts, strict=True)
            ]
        )  # [tried, 2, n]
        self.leasts = np.array(leasts)
        error = self._weighed(number, errors).round(12)
        # -8 only where nothing is lost by it.
        error[(self.leasts == _LEAST)[:, np.newaxis] & (error > 0)] = np.inf
        error[error > _MOST_ERROR] = np.inf
        error[(self.scales < floor) | (self.scales == 0)] = np.inf
        if layer.late_subtract:
            steps = np.diagonal(layer.w_rec) / np.maximum(self.scales, _TINY)
            error[steps < self.leasts[:, np.newaxis] - 0.5] = np.inf
        # Of equal errors the finest step: thresholds are then as far as can be from what the
        # leak rounds away, and input sums are rounded least.
        self.error = error
        self.order = np.lexsort((self.scales, error), axis=0)
        self.wanted = np.isfinite(np.take_along_axis(error, self.order[:1], 0)[0])

    def _weighed(self, number, errors):
        """One figure a neuron [tried, n] of the squared errors of both parts [tried, 2, n]."""
        tops = np.array([part.top for part in self.parts])
        norms = np.array([part.norm for part in self.parts])
        if number:  # both parts weigh spikes: 0 or 1
            share = tops / np.where(tops.max(0), tops.max(0), 1)
            total = (norms * share**2).sum(0)
            return (errors * share**2).sum(1) / np.where(total, total, 1)
        # Features and spikes have no common size: each part counts as a share of itself, but
        # weights that are nothing beside those of the other neurons count as nothing.
        energy = norms * np.square(tops / np.maximum(tops.max(1, keepdims=True), _TINY))
        mean = np.maximum(energy.mean(1, keepdims=True), _TINY)
        weight = np.minimum(energy / (_FAINT * mean), 1)
        return (errors / np.where(norms, norms, 1) * weight).sum(1)

    def choose(self, config, number, beta):
        """The best candidates whose sums fit, and their errors [n]."""
        layer, n = self.layer, self.scales.shape[1]
        columns = np.arange(n)
        rank = np.zeros(n, int)
        tops = np.maximum(self.parts[0].top, self.parts[1].top)
        far = layer.threshold * _MOST > _FAR * tops
        silent = (tops == 0) & (layer.bias <= 0) | (far & _unreachable(number, layer, beta))
        least_bits = np.full(n, 99)
        first_bits = None
        while True:
            taken = self.order[rank, columns]
            scale, error = self.scales[taken, columns], self.error[taken, columns]
            out = np.isinf(error) & ~silent
            if out.any():
                raise self._refusal(config, int(out.argmax()), first_bits, least_bits)
            scale = np.where(silent, layer.threshold, scale)
            made = self._made(config, number, scale, self.leasts[taken], silent)
            made = dataclasses.replace(made, coarsened=(rank > 0) & ~silent)
            bits = _column_bits(config, number, made)
            first_bits = bits if first_bits is None else first_bits
            least_bits = np.minimum(least_bits, np.where(silent, 99, bits))
            wide = bits > config.acc_bits
            if not wide.any():
                return made, np.where(silent, 0, error)
            if (rank[wide] + 1 == len(self.order)).any():
                neuron = int((wide & (rank + 1 == len(self.order))).argmax())
                raise self._refusal(config, neuron, first_bits, least_bits)
            rank[wide] += 1

    def _made(self, config, number, scale, leasts, silent):
        w_in = self.parts[0].rounded(scale * 2.0**-self.shift, leasts)
        w_in[:, silent] = 0
        w_rec = None
        if self.layer.w_rec is not None:
            w_rec = self.parts[1].rounded(scale, leasts)
            w_rec[:, silent] = 0
        bias = None
        if config.has_bias(number):
            bias = np.rint(np.where(silent, 0, self.layer.bias / scale)).astype(np.int64)
            bias = np.clip(bias, _LEAST_BIAS, _MOST_BIAS).astype(np.int8)
        return Rounded(w_in, w_rec, bias, scale, self.shift, np.zeros_like(silent), silent)

    def _refusal(self, config, neuron, first_bits, least_bits):
        layer = self.layer
        if first_bits is not None and least_bits[neuron] < 99 and self.wanted[neuron]:
            scale = self.scales[self.order[0, neuron], neuron]
            tried = int(np.isfinite(self.error[:, neuron]).sum())
            error = ConversionError(
                f"{layer.name}, neuron {neuron}: at its best scale, {scale:.4g} a weight step, its "
                f"sums need acc_bits {first_bits[neuron]} and the configuration has "
                f"{config.acc_bits}; of the {tried} scales tried the least need is "
                f"{least_bits[neuron]}: set acc_bits to that, or train smaller weights"
            )
            error.bits = int(least_bits[neuron])
            return error
        top = max(part.top[neuron] for part in self.parts)
        diagonal = 0 if layer.w_rec is None else layer.w_rec[neuron, neuron]
        if layer.late_subtract and -diagonal >= top:
            text = (
                f"its late reset becomes a weight of {diagonal:.4g} from the neuron to itself, "
                f"beside which the others are too small: train with reset_delay=False"
            )
        else:
            text = (
                f"threshold is {layer.threshold[neuron]:.6g} and its largest weight {top:.6g}: no "
                "weight step keeps half of the weights' squares and the threshold at "
                f"{self.most_threshold:.6g} weight steps or less, which the membrane holds "
                "(membrane_bits, membrane_frac)"
            )
            if layer.bias[neuron]:
                text += (
                    f", and the bias, {layer.bias[neuron]:.6g}, at {_LEAST_BIAS} to {_MOST_BIAS}"
                )
        error = ConversionError(f"{layer.name}, neuron {neuron}: {text}")
        error.bits = 98
        return error


class _Part:
    """`w_in` or `w_rec` of a layer, each column over its largest weight: squares cannot underflow.

    Attributes
    ----------
    top : numpy.ndarray
        `[n]`, the largest magnitude.
    norm : numpy.ndarray
        `[n]`, sum of squares over `top`^2; 0 for a column of zeros.
    """

    def __init__(self, weights):
        self.top = np.abs(weights).max(axis=0, initial=0)
        self.relative = weights / np.where(self.top, self.top, 1)
        self.norm = np.square(self.relative).sum(axis=0)

    def _steps(self, scale):
        with np.errstate(divide="ignore", over="ignore"):
            steps = np.where(self.top > 0, scale / np.where(self.top, self.top, 1), 1)
        return np.clip(steps, 1e-30, 1e30)

    def rounded(self, scale, leasts):
        """int8 integers at `scale` [n] a step."""
        return np.clip(np.rint(self.relative / self._steps(scale)), leasts, _MOST).astype(np.int8)

    def error(self, scale, least):
        """Squared error [n] at `scale`, over `top`^2."""
        steps = self._steps(scale)
        near = np.clip(np.rint(self.relative / steps), least, _MOST) * steps
        return np.square(near - self.relative).sum(axis=0)


def _unreachable(number, layer, beta):
    """Neurons [n] that no input can lift to their threshold."""
    positive = np.maximum(layer.w_in, 0).sum(axis=0)
    negative = np.maximum(-layer.w_in, 0).sum(axis=0)
    most = positive if number else 127 * positive + 128 * negative
    if layer.w_rec is not None:
        most = most + np.maximum(layer.w_rec, 0).sum(axis=0)
    most = most + layer.bias
    return most < layer.threshold * (1 - max(beta, float(np.max(layer.beta)))) * (1 - 1e-9)


def _bias_floor(bias):
    """The least weight step `[n]` at which a bias is in its range."""
    return np.maximum(bias / (_MOST_BIAS + 0.49), bias / (_LEAST_BIAS - 0.49))


def layer_bounds(config, number, rounded):
    """Bounds of the sums of one layer, by the golden model."""
    wide = config.replace(acc_bits=_WIDEST_ACC)
    layers = [
        Layer(
            np.zeros((config.n_source(i), n), np.int8),
            np.zeros((n, n), np.int8) if config.recurrent[i] else None,
            1,
            1,
            bias=np.zeros(n, np.int8) if config.has_bias(i) else None,
        )
        for i, n in enumerate(config.hidden)
    ]
    layers[number] = Layer(
        rounded.w_in,
        rounded.w_rec,
        1,
        1,
        input_shift=rounded.input_shift,
        bias=rounded.bias,
    )
    zeros = np.zeros((config.hidden[-1], config.n_output), np.int8)
    place = f"layer {number}"
    return [b for b in Network(wide, layers, zeros).sum_bounds() if b.place == place]


def _column_bits(config, number, made):
    """acc_bits [n] that the sums of each neuron need."""
    ends = [
        end for bound in layer_bounds(config, number, made) for end in (bound.least, bound.most)
    ]
    worst = np.abs(np.where(np.array(ends) < 0, ~np.array(ends), np.array(ends))).max(axis=0)
    return np.array([bits_needed(int(value)) for value in worst])


def choose_readout(config, w_out):
    """The readout's integers, the value of one step of a logit, and what was done.

    Raises
    ------
    ConversionError
        No step that was tried fits.
    """
    part = _Part(w_out.reshape(-1, 1))  # one step for all
    top = float(part.top[0])
    if not top:
        made = np.zeros(w_out.shape, np.int8)
        return made, 1.0, {"scale": 1.0, "error": 0.0, "least_error_taken": True}
    tried = []
    for step, least in _TRIED:
        error = round(float(part.error(np.array([top * step]), least)[0] / part.norm[0]), 12)
        if least == -_MOST or error == 0:
            tried.append((error, step, least))
    tried.sort(key=lambda one: (one[0], -one[1]))
    bits_of = []
    for rank, (error, step, least) in enumerate(tried):
        made = part.rounded(np.array([top * step]), least).reshape(w_out.shape)
        positive = np.maximum(made, 0).sum(axis=0, dtype=np.int64).max()
        negative = np.minimum(made, 0).sum(axis=0, dtype=np.int64).min()
        steps = config.time_steps
        bits = max(bits_needed(steps * int(positive)), bits_needed(steps * int(negative)))
        if bits <= config.acc_bits:
            about = {
                "scale": float(top * step),
                "error": round(float(np.sqrt(error)), 4),
                "least_error_taken": rank == 0,
            }
            return made, float(top * step), about
        bits_of.append(bits)
    raise ConversionError(
        f"readout: at its best scale, {tried[0][1] * top:.4g} a weight step, its sums need "
        f"acc_bits {bits_of[0]} and the configuration has {config.acc_bits}; of the {len(tried)} "
        f"scales tried the least need is {min(bits_of)}: set acc_bits to that"
    )
