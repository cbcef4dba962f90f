# SPDX-License-Identifier: Apache-2.0
"""Networks trained with snnTorch to networks of the hardware, and integer networks in snnTorch.

Written for the neurons of snnTorch 1.0 (`Leaky`, `RLeaky`). What its settings mean in the
hardware's equations, which are refused, and what is exactly equal:
docs/bring-your-own-network.md.
"""

import numpy as np
import snntorch
import torch
from torch import nn

from golden_model.fixed_point import signed_range
from model_zoo.exchange import torch_parts
from model_zoo.exchange.errors import ConversionError
from model_zoo.exchange.fidelity import RealRun, compare, membrane_steps
from model_zoo.exchange.quantise import RealLayer, quantise, warn

__all__ = ["IntegerTwin", "check_snntorch", "freeze_biases", "from_snntorch"]

_RESETS = {"subtract": "_base_sub", "zero": "_base_zero"}


def freeze_biases(model):
    """Set the biases of all but the last Linear to 0 and keep training from changing them.

    For a network that is to be trained on in integers, which knows none, or that should do without
    the slot and the rows that a layer's bias costs. `RLeaky` makes its recurrent weights with one.

    Parameters
    ----------
    model : torch.nn.Module
        A model of Linear, Leaky and RLeaky; changed in place.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else list(model)
    modules = [m for m in modules if isinstance(m, (nn.Linear, snntorch.Leaky, snntorch.RLeaky))]
    inside = {id(getattr(module, "recurrent", None)) for module in modules}
    modules = [module for module in modules if id(module) not in inside]
    for number, module in enumerate(modules):
        linear = getattr(module, "recurrent", module)
        last = number == len(modules) - 1
        if isinstance(linear, nn.Linear) and linear.bias is not None and not last:
            linear.bias.requires_grad_(False)
            linear.bias.zero_()


@torch.no_grad()
def from_snntorch(model, *, input_scale=1.0, fields=None, nearest=False, header=None, run=None):
    """The integers of a trained snnTorch model.

    Parameters
    ----------
    model : torch.nn.Module or sequence of torch.nn.Module
        Linear and Leaky or RLeaky in turn, and perhaps a last Linear, the readout. A list or a
        Sequential is taken in its order. Any other module is run on a few frames of random
        features, and its parts are taken as they are called; membranes that neurons keep
        (`init_hidden`) are set to 0 before.
    input_scale : float
        Value, as the model was trained, of one step of the int8 features.
    fields : dict, optional
        Fields of `AcceleratorConfig`: time_steps, acc_bits, lanes ...
    nearest : bool
        Take the nearest decay that the hardware has, however far.
    header : dict, optional
        Goes into the network's: labels, provenance, licence ...
    run : callable, optional
        Runs the model on features `[1, frames, n_input]` (real numbers); `model` itself if left
        out, with `[frames, frames, n_input]`, so that either of batch and time may come first.

    Returns
    -------
    golden_model.Network

    Raises
    ------
    ConversionError
        The hardware cannot run it: part, field, value and rule.
    ConfigError
        A field breaks its rule.

    Warns
    -----
    ConversionWarning
        The network is another than the model: the header's `conversion` says how, and
        `check_snntorch` measures it.
    """
    time_steps = (fields or {}).get("time_steps", 1)
    if time_steps not in (1, 2):
        time_steps = 1  # refused later, with the field's own rule
    modules = torch_parts.parts_of(model, run=run, time_steps=time_steps, input_scale=input_scale)
    layers, waiting = [], None
    for name, module in modules:
        if isinstance(module, nn.Linear):
            if waiting is not None:
                raise ConversionError(
                    f"{name!r} is Linear and follows {waiting[0]!r}: a neuron must lie between"
                )
            waiting = name, module
            continue
        if waiting is None:
            raise ConversionError(f"{name!r} is {type(module).__name__}: a Linear must come before")
        place = f"layer {len(layers)} ({name!r})"
        weight, bias = _effective(*waiting)
        layers.append(_real_layer(place, weight, bias, module))
        waiting = None
    w_out, bias = None, None
    if waiting is not None:
        weight, bias = _effective(*waiting)
        w_out = weight.T
    source = {"source": {"format": "snnTorch", "version": snntorch.__version__}}
    network = quantise(
        layers,
        w_out,
        fields=fields,
        input_scale=input_scale,
        nearest=nearest,
        header={**source, **(header or {})},
        readout_bias=bias,
    )
    warn(network)
    return network


def check_snntorch(model, network, features, *, run=None):
    """What is left of a model in the network that `from_snntorch` made of it.

    The model runs as it is, the network in integers.

    Parameters
    ----------
    model : torch.nn.Module or sequence of torch.nn.Module
    network : golden_model.Network
    features : numpy.ndarray
        `[frames, n_input]`, int8.
    run : callable, optional
        See `from_snntorch`; without, the model gets `[1, frames, n_input]`, or
        `[frames, 1, n_input]` if it takes time first.

    Returns
    -------
    dict
        What `model_zoo.exchange.fidelity.compare` returns; `describe` there puts it in words.

    Raises
    ------
    ConversionError
        The model does not run every part once in every time step.
    """
    config = network.config
    frames, steps = len(features), config.time_steps
    x = torch.from_numpy(np.asarray(features) * network.header["scales"]["input"])
    parts = model if not isinstance(model, nn.Module) else model.modules()
    x = x.to(next(part.weight.dtype for part in parts if isinstance(part, nn.Linear)))
    if torch_parts.is_list(model):
        calls = torch_parts.run_list(model, x, steps)
    else:
        calls = torch_parts.record(model, lambda: (run or model)(x[np.newaxis]))
        if run is None and torch_parts.period(calls, frames, steps)[1] != frames * steps:
            calls = torch_parts.record(model, lambda: model(x[:, np.newaxis]))
    each, found = torch_parts.period(calls, frames, steps)
    if found != frames * steps:
        raise ConversionError(
            f"with {frames} frames its parts are called {len(calls)} times, which is not the same "
            f"{'once' if steps == 1 else 'twice'} a frame: give run, a function that runs the "
            "model on features [1, frames, n_input] frame by frame"
        )
    spikes, membranes, last = torch_parts.spikes_of(calls, each, frames, steps)
    outputs = last.sum(axis=1)[:: config.readout_every]
    bias = steps * np.array(network.header.get("readout_bias", 0.0))
    real = RealRun(spikes, membranes, outputs)
    readout = network.header["scales"]["readout"]
    return compare(network, features, real, membrane_steps(network), readout, bias)


def _numbers(tensor):
    return tensor.detach().cpu().double().numpy()


def _effective(name, linear):
    """Weight `[n_out, n_in]` and bias `[n_out]` with which a Linear computes.

    A pruned or weight-normed Linear (torch.nn.utils) computes its weight in a hook before each
    call, and until then the attribute holds an old one: so it is called first, and what it gives
    must be what its weight says.
    """
    if isinstance(linear.weight, nn.parameter.UninitializedParameter):
        raise ConversionError(f"{name!r} has no weights yet: run the model once")
    like = {"dtype": linear.weight.dtype, "device": linear.weight.device}
    training = linear.training
    linear.eval()
    try:
        inputs = torch.cat(
            [
                torch.eye(linear.in_features, **like),
                torch.linspace(-1, 1, linear.in_features, **like)[np.newaxis],
            ]
        )
        given = _numbers(linear(inputs))
    finally:
        linear.train(training)
    weight = _numbers(linear.weight)
    bias = np.zeros(len(weight)) if linear.bias is None else _numbers(linear.bias)
    expected = _numbers(inputs) @ weight.T + bias
    size = np.abs(weight).max(initial=0) + np.abs(bias).max(initial=0)
    if np.isfinite(size) and not np.allclose(given, expected, rtol=1e-3, atol=1e-3 * size):
        raise ConversionError(
            f"{name!r} is {type(linear).__name__} and does not give its weights times inputs plus "
            "its bias: the hardware has nothing else"
        )
    return weight, bias


def _real_layer(place, weight, bias, neuron):
    recurrent = isinstance(neuron, snntorch.RLeaky)
    _check_neuron(place, neuron)
    n = len(weight)
    beta = _numbers(neuron.beta).clip(0, 1).reshape(-1)  # as its forward pass does
    if len(beta) not in (1, n):
        raise ConversionError(f"{place}: beta has {len(beta)} values: it must have {n}")
    threshold = _numbers(neuron.threshold).reshape(-1)
    if len(threshold) not in (1, n):
        raise ConversionError(f"{place}: threshold has {len(threshold)} values: it must have {n}")
    late = neuron.reset_delay
    reset = neuron.reset_mechanism
    if late and reset == "zero":
        if recurrent:
            raise ConversionError(
                f"{place}: reset_mechanism is 'zero' and reset_delay True: RLeaky then ignores all "
                "input of the step after a spike, which the hardware does not: train with "
                "reset_delay=False"
            )
        late = False  # Leaky sets the membrane to zero before its next step: the same spikes
    w_rec = None
    if recurrent:
        w_rec, more = _recurrent_weights(place, neuron, n)
        bias = bias + more
    return RealLayer(
        name=place,
        w_in=weight.T,
        w_rec=w_rec,
        bias=bias,
        threshold=np.broadcast_to(threshold, (n,)),
        beta=np.round(beta, 7),  # float32
        reset=reset,
        strict=not bool(neuron.spike_grad(torch.zeros(1))),
        late_subtract=late,
    )


def _check_neuron(place, neuron):
    reset = neuron.reset_mechanism
    if reset not in _RESETS:
        raise ConversionError(
            f"{place}: reset_mechanism is {reset!r}: it must be 'zero' or 'subtract'"
        )
    if neuron.state_function.__name__ != _RESETS[reset]:
        raise ConversionError(
            f"{place}: reset_mechanism was changed to {reset!r} after the neuron was made, which "
            "snnTorch only half follows: make it with reset_mechanism"
        )
    if neuron.inhibition:
        raise ConversionError(
            f"{place}: inhibition is True: the hardware's neurons are independent"
        )
    if neuron.state_quant:
        raise ConversionError(
            f"{place}: state_quant is set: the hardware rounds in its own way, leave it out"
        )
    if torch.any(neuron.graded_spikes_factor != 1):
        raise ConversionError(f"{place}: graded_spikes_factor is not 1: spikes are 0 or 1")
    spikes = neuron.spike_grad(torch.tensor([-1.0, 1.0]))
    if spikes.tolist() != [0.0, 1.0]:
        raise ConversionError(
            f"{place}: spike_grad gives {spikes.tolist()} for -1 and 1: it must give 0 and 1"
        )


def _recurrent_weights(place, neuron, n):
    """Weights `[n, n]` and bias `[n]` of a neuron's recurrent part."""
    part = neuron.recurrent
    if not neuron.all_to_all:
        return np.diag(np.broadcast_to(_numbers(part.V).reshape(-1), (n,))), np.zeros(n)
    if not isinstance(part, nn.Linear):
        raise ConversionError(
            f"{place}: its recurrent weights are {type(part).__name__}: it must be Linear "
            "(linear_features)"
        )
    if part.out_features != n:
        raise ConversionError(
            f"{place}: linear_features is {part.out_features}: it must be {n}, as it gets values"
        )
    weight, bias = _effective(f"{place}.recurrent", part)
    return weight.T, bias


# ---- integers in snnTorch --------------------------------------------------------------------


def _at_or_above(distance):
    """Spikes of the hardware, as a `spike_grad` of snnTorch."""
    return (distance >= 0).to(distance.dtype)


class _Membrane:
    """The hardware's rounding and clamp, as a `state_quant` of snnTorch.

    beta u + i, rounded: u - (u >>> a) is the ceiling of (1 - 2^-a) u, u >>> a the floor of
    2^-a u, and the stimulus is an integer.
    """

    def __init__(self, form, bits):
        self.round = torch.ceil if form == "leak" else torch.floor
        self.range = signed_range(bits)

    def __call__(self, membrane):
        return self.round(membrane).clamp(*self.range)


class IntegerTwin(nn.Module):
    """A network's integers in snnTorch's own neurons, to compare with.

    Membranes are in membrane steps (1 / 2^membrane_frac of a weight step), float64, which holds
    all of them exactly. With `rounding` its spikes and logits equal the golden model's; without,
    decays are real products, and the rounding of the decay and the clamp are all that differs.

    Resets by subtraction are done outside the neuron (`reset_mechanism="none"`): with
    `reset_delay=False`, snnTorch's own compares membranes above twice the threshold otherwise.

    Parameters
    ----------
    network : golden_model.Network
    rounding : bool
    """

    def __init__(self, network, rounding=True):
        super().__init__()
        self.config = network.config
        self.shift = network.layers[0].input_shift
        self.linears = nn.ModuleList(_linear(layer.w_in) for layer in network.layers)
        self.neurons = nn.ModuleList(self._neuron(layer, rounding) for layer in network.layers)
        self.biases = [
            torch.from_numpy(np.zeros(n) if layer.bias is None else layer.bias.astype(np.float64))
            for layer, n in zip(network.layers, network.config.hidden, strict=True)
        ]
        self.readout = _linear(network.w_out)

    def _neuron(self, layer, rounding):
        fraction = 2.0**-layer.decay_shift
        n = len(layer.threshold)
        shared = {
            "beta": torch.tensor(
                1 - fraction if layer.decay_form == "leak" else fraction, dtype=torch.float64
            ),
            "threshold": torch.from_numpy(layer.threshold.astype(np.float64)),
            "spike_grad": _at_or_above,
            "reset_mechanism": "zero" if layer.reset == "zero" else "none",
            "reset_delay": False,
        }
        if rounding:
            shared["state_quant"] = _Membrane(layer.decay_form, self.config.membrane_bits)
        if layer.w_rec is None:
            return snntorch.Leaky(**shared)
        neuron = snntorch.RLeaky(linear_features=n, **shared)
        neuron.recurrent = _linear(layer.w_rec * 2.0**self.config.membrane_frac)
        return neuron

    @torch.no_grad()
    def forward(self, features):
        """Run utterances from their beginning.

        Parameters
        ----------
        features : torch.Tensor
            Integers of int8 range, `[batch, frames, n_input]`.

        Returns
        -------
        logits : torch.Tensor
            `[batch, readouts, n_output]` float64.
        spikes : list of torch.Tensor
            `[batch, frames, T, n]` per layer.
        """
        steps, gain = self.config.time_steps, 2.0**self.config.membrane_frac
        batch, frames, _ = features.shape
        # A spike vector for each time step of a frame: the recurrent operand is that of the
        # same time step of the frame before. The membrane goes from time step to time step.
        spikes = [
            [torch.zeros(batch, linear.out_features, dtype=torch.float64)] * steps
            for linear in self.linears
        ]
        membranes = [spike[0] for spike in spikes]
        record = [[] for _ in self.linears]
        for t in range(frames):
            term = self.linears[0](features[:, t].double())
            if self.shift:
                term = torch.floor((term + 2.0 ** (self.shift - 1)) / 2.0**self.shift)
            for k in range(steps):
                stimulus = term + self.biases[0]
                for number, neuron in enumerate(self.neurons):
                    if number:
                        stimulus = self.linears[number](spikes[number - 1][k])
                        stimulus = stimulus + self.biases[number]
                    spike, membrane = self._step(
                        neuron, stimulus * gain, spikes[number][k], membranes[number]
                    )
                    spikes[number][k], membranes[number] = spike, membrane
                    record[number].append(spike)
        kept = [torch.stack(r, 1).unflatten(1, (frames, steps)) for r in record]
        return self.readout(kept[-1][:, :: self.config.readout_every].sum(2)), kept

    @staticmethod
    def _step(neuron, stimulus, spike, membrane):
        if isinstance(neuron, snntorch.RLeaky):
            spike, membrane = neuron(stimulus, spike, membrane)
        else:
            spike, membrane = neuron(stimulus, membrane)
        if neuron.reset_mechanism == "none":
            membrane = membrane - spike * neuron.threshold
        return spike, membrane


def _linear(weights):
    linear = nn.Linear(*weights.shape, bias=False, dtype=torch.float64)
    linear.weight = nn.Parameter(
        torch.from_numpy(np.ascontiguousarray(weights.T, dtype=np.float64)), requires_grad=False
    )
    return linear
