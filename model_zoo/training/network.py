# SPDX-License-Identifier: Apache-2.0
"""The recurrent spiking network in torch: float, with 8-bit weights, or exactly the hardware's.

With `precision` 4 the forward pass computes the integers of `docs/numerics.md` and of the golden
model, held exactly in float32 (they stay below 2^24); only the gradients are approximate: straight
through the rounding of weights and thresholds and through the floors of the shifts, a fast
sigmoid's derivative at the spikes (Zenke and Ganguli, "SuperSpike", Neural Computation 30(6),
2018), and none through the reset. Dropout is the one thing of training that leaves the integers.

With `precision` 8 the same holds for weights, thresholds and membranes with four bits more behind
the point, and with `precision` None nothing is rounded or clamped: weights, thresholds and
membranes are float32. All three have the same parameters in the same units, so a network moves
down the ladder by `load_state_dict` (`model_zoo.training.compress`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from golden_model.digits import half_ranges
from hw.config import AcceleratorConfig

__all__ = ["PRECISIONS", "LayerRule", "SpikingLayer", "SpikingNetwork"]

PRECISIONS = (None, 8, 4)
"""Weight bits; None is float32."""

WEIGHT_LSB = 0.05
"""Latent weight units per step of a 4-bit weight (it sets the learning rate, nothing else)."""


def _straight_through(exact: torch.Tensor, smooth: torch.Tensor) -> torch.Tensor:
    """The value of `exact` with the gradient of `smooth`."""
    return exact.detach() + (smooth - smooth.detach())


@dataclass(frozen=True)
class LayerRule:
    """What the neurons of one layer do, apart from their trained integers.

    Attributes
    ----------
    decay_shift
        The membrane's decay in a time step, as a shift.
    decay_form
        "leak" or "scale".
    reset
        "zero" or "subtract".
    input_shift
        Arithmetic shift of the input term; 0 for all but the first layer.
    """

    decay_shift: int
    decay_form: str
    reset: str
    input_shift: int = 0


class _Scan(torch.autograd.Function):
    """All frames of one layer: input terms to spikes."""

    @staticmethod
    def forward(
        ctx: Any,
        term: torch.Tensor,
        w_rec: torch.Tensor | None,
        threshold: torch.Tensor,
        rule: LayerRule,
        formats: tuple[int | None, int],
        slope: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the layer.

        Parameters
        ----------
        term
            Input terms `[frames, T, batch, n]`, stimulus units.
        w_rec
            Integer recurrent weights `[n, n]`.
        threshold
            Integer thresholds `[n]`, membrane units.
        rule
            How the layer's neurons leak and reset.
        formats
            Membrane bits, membrane fraction bits. Without bits, membranes are real numbers.
        slope
            Slope of the fast sigmoid, per threshold.

        Returns
        -------
        spikes, membranes : torch.Tensor
            `[frames, T, batch, n]`.
        """
        bits, frac = formats
        n_frames, n_steps, n_batch, n = term.shape
        real = bits is None
        low, high = (None, None) if real else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
        fraction = 2.0**-rule.decay_shift
        spikes = torch.zeros_like(term)
        before = torch.empty_like(term)
        membranes = torch.empty_like(term)
        u = term.new_zeros(n_batch, n)
        for t in range(n_frames):
            stimulus = term[t]
            if w_rec is not None and t:
                recurrent = spikes[t - 1].reshape(-1, n) @ w_rec
                stimulus = stimulus + recurrent.view(n_steps, n_batch, n)
            stimulus = stimulus * 2.0**frac
            for k in range(n_steps):
                shifted = u * fraction if real else torch.floor(u * fraction)
                kept = shifted if rule.decay_form == "scale" else u - shifted
                v = torch.add(kept, stimulus[k], out=before[t, k])
                if not real:
                    v.clamp_(low, high)
                s = torch.ge(v, threshold, out=spikes[t, k])
                u = membranes[t, k]
                if rule.reset == "zero":
                    torch.addcmul(v, v, s, value=-1, out=u)
                else:
                    torch.addcmul(v, threshold, s, value=-1, out=u)
        ctx.save_for_backward(before, spikes, threshold, w_rec)
        ctx.rule, ctx.frac, ctx.slope = rule, frac, slope
        ctx.mark_non_differentiable(membranes)
        return spikes, membranes

    @staticmethod
    def backward(
        ctx: Any, grad_spikes: torch.Tensor, _: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        before, spikes, threshold, w_rec = ctx.saved_tensors
        rule = ctx.rule
        n_frames, n_steps, n_batch, n = spikes.shape
        beta = 2.0**-rule.decay_shift
        beta = beta if rule.decay_form == "scale" else 1 - beta
        gain = 2.0**ctx.frac
        surrogate = before.div_(threshold).sub_(1).abs_().mul_(ctx.slope).add_(1)
        surrogate = surrogate.square_().mul_(threshold).reciprocal_()
        grad_term = torch.empty_like(spikes)
        grad_reset = torch.zeros_like(threshold)
        grad_u = spikes.new_zeros(n_batch, n)
        for t in range(n_frames - 1, -1, -1):
            grad_s = grad_spikes[t]
            if w_rec is not None and t + 1 < n_frames:
                back = grad_term[t + 1].reshape(-1, n) @ w_rec.t()
                grad_s = grad_s + back.view(n_steps, n_batch, n)
            grad_s = grad_s * surrogate[t]
            for k in range(n_steps - 1, -1, -1):
                if rule.reset == "zero":
                    grad_v = torch.addcmul(grad_u, grad_u, spikes[t, k], value=-1)
                else:
                    grad_reset -= (grad_u * spikes[t, k]).sum(dim=0)
                    grad_v = grad_u.clone()
                grad_v += grad_s[k]
                torch.mul(grad_v, gain, out=grad_term[t, k])
                grad_u = grad_v.mul_(beta)
            surrogate[t] = grad_s
        grad_threshold = grad_reset - surrogate.sum(dim=(0, 1, 2))
        grad_rec = None
        if w_rec is not None:
            grad_rec = spikes[:-1].reshape(-1, n).t() @ grad_term[1:].reshape(-1, n)
        return grad_term, grad_rec, grad_threshold, None, None, None


class SpikingLayer(nn.Module):
    """One recurrent LIF layer.

    Parameters
    ----------
    n_source, n
        Number of inputs and of neurons.
    recurrent
        Whether the layer has recurrent weights.
    rule
        How the layer's neurons leak and reset.
    membrane
        Membrane bits and fraction bits of the hardware, at 4-bit weights.
    threshold
        First threshold of every neuron, stimulus units of a 4-bit network.
    precision
        One of `PRECISIONS`.
    slope
        Slope of the surrogate gradient.
    """

    def __init__(
        self,
        n_source: int,
        n: int,
        recurrent: bool,
        rule: LayerRule,
        membrane: tuple[int, int],
        threshold: float,
        precision: int | None,
        slope: float,
    ) -> None:
        super().__init__()
        self.rule = rule
        self.slope = slope
        self.precision = precision
        extra = 0 if precision is None else precision - 4
        self.steps = 2.0**extra
        """Weight steps of this precision per step of a 4-bit weight."""
        self.limit = math.inf if precision is None else 2 ** (precision - 1) - 1
        bits, frac = membrane
        self.membrane = (None if precision is None else bits + extra, frac)
        self.unit = threshold * self.steps * 2.0**frac
        self.w_in = nn.Parameter(torch.randn(n_source, n) * 2.2 * WEIGHT_LSB)
        self.w_rec = nn.Parameter(torch.randn(n, n) * 1.5 * WEIGHT_LSB) if recurrent else None
        self.level = nn.Parameter(torch.ones(n))

    def quantised(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights in steps, with straight-through gradients; magnitudes stay symmetric."""
        scaled = weight * (self.steps / WEIGHT_LSB)
        if self.precision is None:
            return scaled
        return torch.fake_quantize_per_tensor_affine(scaled, 1.0, 0, -self.limit, self.limit)

    def threshold(self) -> torch.Tensor:
        """Thresholds `[n]`, membrane units."""
        scaled = self.level * self.unit
        if self.precision is None:
            return scaled
        exact = scaled.round().clamp(1, 2 ** (self.membrane[0] - 1) - 1)
        return _straight_through(exact, scaled)

    def forward(self, operand: torch.Tensor, n_steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Spikes and membranes `[frames, T, batch, n]`.

        Parameters
        ----------
        operand
            Features `[frames, 1, batch, n_source]` for the first layer, else the spikes below
            `[frames, T, batch, n_source]`.
        n_steps
            Time steps of a frame, T.
        """
        term = operand @ self.quantised(self.w_in)
        shift = self.rule.input_shift
        if shift:
            scaled = term * 2.0**-shift
            if self.precision is None:
                term = scaled
            else:
                exact = torch.floor((term + 2 ** (shift - 1)) * 2.0**-shift)
                term = _straight_through(exact, scaled)
        if term.shape[1] != n_steps:
            term = term.expand(-1, n_steps, -1, -1)
        w_rec = None if self.w_rec is None else self.quantised(self.w_rec)
        return _Scan.apply(term, w_rec, self.threshold(), self.rule, self.membrane, self.slope)


class SpikingNetwork(nn.Module):
    """Recurrent spiking layers and a readout, for an accelerator configuration.

    Parameters
    ----------
    config
        Shapes and number formats.
    rules
        How the neurons of each layer leak and reset.
    thresholds
        First thresholds, stimulus units, one per layer.
    precision
        Weight bits out of `PRECISIONS`; 4 is what the hardware runs.
    slope
        Slope of the surrogate gradient, per threshold.
    dropout
        Share of spikes hidden from the next layer and the readout while training.

    Attributes
    ----------
    readout_kept
        1 where a readout weight is kept, 0 where it is pruned, `[n, n_output]`.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        rules: Sequence[LayerRule],
        thresholds: Sequence[float],
        precision: int | None = 4,
        slope: float = 5.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.config = config
        self.precision = precision
        membrane = (config.membrane_bits, config.membrane_frac)
        sources = (config.n_input, *config.hidden[:-1])
        self.layers = nn.ModuleList(
            SpikingLayer(n_source, n, recurrent, rule, membrane, threshold, precision, slope)
            for n_source, n, recurrent, rule, threshold in zip(
                sources, config.hidden, config.recurrent, rules, thresholds, strict=True
            )
        )
        shape = (config.hidden[-1], config.n_output)
        self.w_out = nn.Parameter(torch.randn(shape) * 1.5 * WEIGHT_LSB)
        self.register_buffer("readout_kept", torch.ones(shape))
        self.log_scale = nn.Parameter(torch.tensor(-3.0))
        self.dropout = nn.Dropout(dropout)

    def quantised_readout(self) -> torch.Tensor:
        """Readout weights in steps `[n, n_output]`."""
        return self.layers[-1].quantised(self.w_out) * self.readout_kept

    def logit_scale(self) -> torch.Tensor:
        """Natural log units per unit of a logit."""
        return self.log_scale.exp() / self.layers[-1].steps

    def forward(
        self, features: torch.Tensor, readout_every: int | None = None
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Run utterances from their beginning.

        Parameters
        ----------
        features
            Integers of int8 range in float32, `[batch, frames, n_input]`.
        readout_every
            Frames from one readout to the next; None for the configuration's.

        Returns
        -------
        logits : torch.Tensor
            `[batch, readouts, n_output]`, integers (but for dropout and without precision);
            readout r is that of frame r * readout_every.
        spikes, membranes : list of torch.Tensor
            `[batch, frames, T, n]` per layer.
        """
        operand = features.transpose(0, 1).unsqueeze(1)
        spikes, membranes = [], []
        for layer in self.layers:
            fired, u = layer(operand, self.config.time_steps)
            spikes.append(fired.permute(2, 0, 1, 3))
            membranes.append(u.permute(2, 0, 1, 3))
            operand = self.dropout(fired)
        every = readout_every or self.config.readout_every
        merged = operand[::every].sum(dim=1).transpose(0, 1)
        return merged @ self.quantised_readout(), spikes, membranes

    @torch.no_grad()
    def project_(self) -> None:
        """Shrink the weights of every sum that could overflow an accumulator, until none can.

        Training calls this after each step, so that the trained network is the exported one.
        """
        for layer in self.layers:
            layer.level.clamp_(min=1 / layer.unit)
        if self.precision is None:
            return
        for layer in self.layers:
            edge = (layer.limit + 0.49) * WEIGHT_LSB / layer.steps
            matrices = [layer.w_in] if layer.w_rec is None else [layer.w_in, layer.w_rec]
            for matrix in matrices:
                matrix.clamp_(-edge, edge)
            while (over := self._overflows(layer)).any():
                for matrix in matrices:
                    matrix[:, over] *= 0.95
        self.w_out.clamp_(-edge, edge)
        while (over := self._readout_overflows()).any():
            self.w_out[:, over] *= 0.95

    def _outside(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        edge = 2 ** (self.config.acc_bits + self.precision - 5)
        return (low < -edge) | (high > edge - 1)

    def _overflows(self, layer: SpikingLayer) -> torch.Tensor:
        """Neurons of a layer with a sum whose worst case leaves the accumulator, bool `[n]`."""
        positive, negative = _signed_sums(layer.quantised(layer.w_in))
        shift = layer.rule.input_shift
        over = torch.zeros_like(positive, dtype=torch.bool)
        if layer is self.layers[0]:
            for least, most in half_ranges(self.config.input_digits):
                over |= self._outside(
                    least * positive - most * negative, most * positive - least * negative
                )
            half = 2 ** (shift - 1) if shift else 0
            low = torch.floor((-(128 * positive + 127 * negative) + half) * 2.0**-shift)
            high = torch.floor((127 * positive + 128 * negative + half) * 2.0**-shift)
        else:
            low, high = -negative, positive
        if layer.w_rec is not None:
            positive, negative = _signed_sums(layer.quantised(layer.w_rec))
            low, high = low - negative, high + positive
        return over | self._outside(low, high)

    def _readout_overflows(self) -> torch.Tensor:
        positive, negative = _signed_sums(self.quantised_readout())
        steps = self.config.time_steps
        return self._outside(-steps * negative, steps * positive)


def _signed_sums(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the positive weights and of the magnitudes of the negative ones, per column."""
    return weights.clamp(min=0).sum(dim=0), (-weights).clamp(min=0).sum(dim=0)
