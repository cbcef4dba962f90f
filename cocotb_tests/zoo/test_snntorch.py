# SPDX-License-Identifier: Apache-2.0
"""From snnTorch to Verilog: what each setting means, what is exactly equal, what is refused."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("snntorch", reason="snnTorch needs the extra: pip install -e .[exchange]")

import snntorch
import torch
from snntorch.export_nir import export_to_nir
from torch import nn
from torch.nn.utils import prune

from flows.cli import app as cli
from golden_model import Network, random_features
from golden_model.layer import Layer
from hw.config import AcceleratorConfig, preset
from model_zoo.exchange.errors import ConversionError, ConversionWarning
from model_zoo.exchange.export import from_network
from model_zoo.exchange.fidelity import describe, membrane_steps
from model_zoo.exchange.from_snntorch import (
    IntegerTwin,
    check_snntorch,
    freeze_biases,
    from_snntorch,
)
from model_zoo.exchange.nir_graph import from_nir

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "bring-your-own-network.md"
TINY = preset("tiny")


@pytest.fixture(autouse=True)
def _seeded(seed):
    torch.manual_seed(seed)


# --- integers in snnTorch ---------------------------------------------------------------------


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("form", ["leak", "scale"])
@pytest.mark.parametrize(
    "config",
    [
        TINY,
        TINY.replace(time_steps=1, hidden=[13, 7], recurrent=[True, False]),
        AcceleratorConfig(
            n_input=3,
            hidden=(5, 1, 9),
            recurrent=(False, True, False),
            n_output=11,
            lanes=4,
            output_lanes=4,
            membrane_bits=11,
            membrane_frac=2,
            readout_every=3,
        ),
    ],
    ids=["two steps", "one step", "three layers, narrow membranes"],
)
def test_integers_in_snntorch_equal_the_golden_model(config, form, reset, seed):
    network = Network.random(config, seed % 1000)
    layers = [
        Layer(**{**vars(layer), "reset": reset, "decay_form": form, "decay_shift": 2})
        for layer in network.layers
    ]
    network = Network(config, layers, network.w_out)
    features = np.stack([random_features(config, 40, s) for s in range(3)])
    result = network.run(features)
    logits, spikes = IntegerTwin(network)(torch.from_numpy(features))
    for found, expected in zip(spikes, result.spikes, strict=True):
        assert 0 < expected.mean() < 1
        assert np.array_equal(found.numpy(), expected)
    assert np.array_equal(logits.numpy(), result.logits)


def test_the_rounding_of_decays_is_all_that_an_unrounded_twin_lacks(seed):
    network = Network.random(TINY, seed % 1000)
    layers = [
        Layer(**{**vars(layer), "decay_form": "leak", "decay_shift": 3, "reset": "subtract"})
        for layer in network.layers
    ]
    network = Network(TINY, layers, network.w_out)
    features = np.stack([random_features(TINY, 100, s) for s in range(4)])
    _, spikes = IntegerTwin(network, rounding=False)(torch.from_numpy(features))
    for found, expected in zip(spikes, network.run(features).spikes, strict=True):
        agree = (found.numpy() == expected).mean()
        assert 0.8 < agree < 1


# --- what snnTorch's settings mean ------------------------------------------------------------


def integer_parts(rng, neurons, sizes=(4, 24, 24)) -> list[nn.Module]:
    """Linears with small integers and the given neurons in turn, then a readout."""
    parts = []
    for n_source, n, neuron in zip(sizes, sizes[1:], neurons, strict=False):
        linear = nn.Linear(n_source, n, bias=False)
        linear.weight.data = torch.from_numpy(rng.integers(-7, 8, (n, n_source))).float()
        if len(parts) == 0:
            linear.weight.data /= 16  # features are int8
        parts += [linear, neuron]
        recurrent = getattr(neuron, "recurrent", None)
        if isinstance(recurrent, nn.Linear):
            recurrent.weight.data = torch.from_numpy(rng.integers(-1, 2, (n, n))).float()
            recurrent.weight.data[0, 1], recurrent.weight.data[1, 0] = 7, -7  # 1 is the step
            recurrent.bias.data.zero_()
    readout = nn.Linear(sizes[-1], 3, bias=False)
    readout.weight.data = torch.from_numpy(rng.integers(-7, 8, (3, sizes[-1]))).float()
    return [*parts, readout]


def run_parts(parts, features, *, rounded=None) -> list[np.ndarray]:
    """Spikes [frames, n] of the neurons, as snnTorch computes them.

    With `rounded`, the network, membranes are rounded up to its membrane steps (the hardware's
    "leak") and the input sum to its weight steps (its input shift), so that only the meaning of
    the settings is compared.
    """
    neurons = parts[1::2]
    if rounded is not None:
        steps = [torch.from_numpy(values).float() for values in membrane_steps(rounded)]
        for neuron, step in zip(neurons, steps, strict=True):
            neuron.state_quant = lambda v, step=step: torch.ceil(v / step - 0.01) * step
        whole = steps[0] * 2.0**rounded.config.membrane_frac
    states = [neuron.reset_mem() for neuron in neurons]
    record = [[] for _ in neurons]
    with torch.no_grad():
        for x in torch.from_numpy(features).float():
            spikes = x[np.newaxis]
            for number, neuron in enumerate(neurons):
                current = parts[2 * number](spikes)
                if number == 0 and rounded is not None and rounded.layers[0].input_shift:
                    current = torch.floor(current / whole + 0.51) * whole
                state = states[number]
                state = state if isinstance(state, tuple) else (state,)
                state = neuron(current, *(part for part in state if part.numel()))
                states[number] = state if isinstance(neuron, snntorch.RLeaky) else state[1:]
                spikes = state[0]
                record[number].append(spikes[0].numpy())
    for neuron in neurons:
        neuron.state_quant = False
    return [np.array(spikes) for spikes in record]


def at_or_above(distance):
    return (distance >= 0).to(distance.dtype)


def rleaky(n=24, **changes):
    return snntorch.RLeaky(**{"beta": 0.875, "linear_features": n, "threshold": 16.0, **changes})


def leaky(**changes):
    return snntorch.Leaky(**{"beta": 0.875, "threshold": 16.0, **changes})


ZERO = {"reset_mechanism": "zero", "reset_delay": False}


@pytest.mark.parametrize(
    ("make", "folded"),
    [
        (lambda: [rleaky(**ZERO), rleaky(**ZERO)], False),
        (lambda: [rleaky(**ZERO), leaky(**ZERO)], False),
        # Leaky clears the membrane before its next step: the same spikes.
        (lambda: [rleaky(**ZERO), leaky(reset_mechanism="zero")], False),
        # The defaults: a reset one step late, by subtraction.
        (lambda: [rleaky(spike_grad=at_or_above), rleaky(spike_grad=at_or_above)], True),
        (lambda: [rleaky(spike_grad=at_or_above), leaky(spike_grad=at_or_above)], True),
    ],
    ids=["RLeaky zero", "Leaky zero", "Leaky zero late", "RLeaky defaults", "Leaky defaults"],
)
def test_settings_mean_the_hardwares_equations(make, folded, rng):
    parts = integer_parts(rng, make())
    network = from_snntorch(parts)
    for layer, neuron in zip(network.layers, parts[1::2], strict=True):
        assert layer.reset == neuron.reset_mechanism
    about = network.header["conversion"]["layers"]
    assert [layer["late_subtract_folded"] for layer in about] == [folded, folded]
    assert {layer["error_w_in"] + layer["error_w_rec"] for layer in about} == {0}
    # Each neuron's step divides the 1 that its weights are multiples of.
    for steps in membrane_steps(network):
        inverse = 1 / (steps * 2.0**network.config.membrane_frac)
        assert np.allclose(inverse, np.rint(inverse))
    if folded:
        assert (network.layers[0].w_rec.diagonal() <= -1).all()  # -16 / 8, and -1 to 1
    features = random_features(network.config, 300, seed=1)
    result = network.run(features)
    for found, expected in zip(
        run_parts(parts, features, rounded=network), result.spikes, strict=True
    ):
        assert 0.02 < expected.mean() < 0.98
        assert np.array_equal(found, expected[:, 0])


def test_one_to_one_recurrence_is_a_diagonal(rng):
    parts = integer_parts(rng, [rleaky(linear_features=None, all_to_all=False, V=-3.0, **ZERO)] * 2)
    network = from_snntorch(parts)
    off = network.layers[0].w_rec[~np.eye(24, dtype=bool)]
    assert not off.any()
    features = random_features(network.config, 100, seed=1)
    parts[3] = rleaky(linear_features=None, all_to_all=False, V=-3.0, **ZERO)  # states of its own
    for found, expected in zip(
        run_parts(parts, features, rounded=None), network.run(features).spikes, strict=True
    ):
        assert (found == expected[:, 0]).mean() > 0.9


def test_immediate_subtraction_is_equal_up_to_twice_the_threshold():
    """Above that, snnTorch takes the reset of the step before for one of this step."""

    def spikes(first: float) -> tuple[list, list]:
        neuron = leaky(beta=0.5, threshold=1.0, reset_delay=False, spike_grad=at_or_above)
        linear = nn.Linear(1, 1, bias=False)
        linear.weight.data.fill_(1.0)
        network = from_snntorch([linear, neuron], fields={"max_input_shift": 0})
        features = np.array([[first], [0], [0]], np.int8)
        theirs = run_parts([linear, neuron], features, rounded=None)[0]
        return theirs[:, 0].tolist(), network.run(features).spikes[0][:, 0, 0].tolist()

    assert spikes(2) == ([1, 0, 0], [1, 0, 0])
    assert spikes(4) == ([1, 0, 0], [1, 1, 0])


def test_nir_of_snntorch_gives_the_same_integers_where_nir_can_say_it(rng):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(integer_parts(rng, [rleaky(**ZERO), rleaky(**ZERO)]))

        def forward(self, x):
            fc1, lif1, fc2, lif2, out = self.parts
            return out(lif2(fc2(lif1(fc1(x))[0]))[0])

    net = Net()
    direct = from_snntorch(net)
    with pytest.warns(DeprecationWarning, match="extract_nir_graph is being deprecated"):
        graph = export_to_nir(net, torch.zeros(1, 4), ignore_dims=[0])
    found = from_nir(graph)
    for a, b in zip(found.layers, direct.layers, strict=True):
        for name in ("w_in", "w_rec", "threshold"):
            assert (getattr(a, name) == getattr(b, name)).all()
        assert (a.decay_shift, a.decay_form, a.reset) == (b.decay_shift, b.decay_form, b.reset)
    assert (found.w_out == direct.w_out).all()


# --- what is refused --------------------------------------------------------------------------


def parts_with(neuron, **linear):
    return [nn.Linear(3, 4, bias=False, **linear), neuron, nn.Linear(4, 2)]


def quiet(neuron):
    """A RLeaky without the bias that it is made with."""
    neuron.recurrent.bias.data.zero_()
    return neuron


def _switched():
    neuron = leaky()
    neuron.reset_mechanism = "zero"
    return neuron


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: parts_with(quiet(rleaky(4, reset_mechanism="zero"))),
            "layer 0 ('1'): reset_mechanism is 'zero' and reset_delay True: RLeaky then ignores "
            "all input of the step after a spike, which the hardware does not: train with "
            "reset_delay=False",
        ),
        (
            lambda: parts_with(leaky(reset_mechanism="none")),
            "layer 0 ('1'): reset_mechanism is 'none': it must be 'zero' or 'subtract'",
        ),
        (
            lambda: parts_with(_switched()),
            "layer 0 ('1'): reset_mechanism was changed to 'zero' after the neuron was made, which "
            "snnTorch only half follows: make it with reset_mechanism",
        ),
        (
            lambda: parts_with(leaky(state_quant=torch.round)),
            "layer 0 ('1'): state_quant is set: the hardware rounds in its own way, leave it out",
        ),
        (
            lambda: parts_with(leaky(graded_spikes_factor=0.5)),
            "layer 0 ('1'): graded_spikes_factor is not 1: spikes are 0 or 1",
        ),
        (
            lambda: parts_with(leaky(spike_grad=torch.sigmoid)),
            "layer 0 ('1'): spike_grad gives [",
        ),
        (
            lambda: parts_with(leaky(beta=torch.tensor([0.5, 0.5, 0.75, 0.5]))),
            "layer 0 ('1'): decay beta is 0.5 to 0.75, of which 0.75 is farthest from any that "
            "would do for all: the layer has one decay, a time constant of 4 time steps: ",
        ),
        (
            lambda: parts_with(leaky(beta=0.65)),
            "layer 0 ('1'): decay beta is 0.65, a time constant of 2.85714 time steps: the "
            "hardware has 1 - 2^-a and 2^-a, a = 1 to 15, the nearest 0.5 (2 steps, 1 - beta +43%) "
            "and 0.75 (4 steps, 1 - beta -29%), and 1 - beta must be within 1%: train with a decay "
            "of the hardware, or take the nearest with nearest (--nearest)",
        ),
        (
            lambda: parts_with(leaky(threshold=torch.ones(3))),
            "layer 0 ('1'): threshold has 3 values: it must have 4",
        ),
        (
            lambda: parts_with(leaky(threshold=-1.0, **ZERO)),
            "layer 0 ('1'), neuron 0: threshold is -1: it must be positive",
        ),
        (
            lambda: parts_with(rleaky(5)),
            "layer 0 ('1'): linear_features is 5: it must be 4, as it gets values",
        ),
        (
            lambda: parts_with(rleaky(None, conv2d_channels=1, kernel_size=3)),
            "layer 0 ('1'): its recurrent weights are Conv2d: it must be Linear (linear_features)",
        ),
        (
            lambda: parts_with(snntorch.Synaptic(alpha=0.5, beta=0.5)),
            "'1' is Synaptic: it must be Linear, Leaky or RLeaky",
        ),
        (lambda: [nn.Conv1d(1, 1, 1)], "'0' is Conv1d: it must be Linear, Leaky or RLeaky"),
        (lambda: [leaky()], "'0' is Leaky: a Linear must come before"),
        (
            lambda: [nn.Linear(2, 3), nn.Linear(3, 2)],
            "'1' is Linear and follows '0': a neuron must lie between",
        ),
        (lambda: [nn.Linear(2, 3)], "the network has no LIF layer: the hardware needs one to 16"),
    ],
)
def test_what_the_hardware_cannot_run_is_refused_with_the_reason(make, message):
    with pytest.raises(ConversionError) as caught:
        from_snntorch(make())
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_biases_are_kept_or_frozen():
    """Those of Linear and RLeaky's recurrent Linear add up; integers are exact in snnTorch."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 4), rleaky(4, **ZERO), nn.Linear(4, 2))
    network = from_snntorch(model)
    assert network.config.bias == (True,)
    step = np.array(membrane_steps(network)[0]) * 2.0**network.config.membrane_frac
    real = (model[0].bias + model[1].recurrent.bias).detach().numpy()
    np.testing.assert_allclose(network.layers[0].bias * step, real, atol=step.max() / 2)
    features = random_features(network.config, 40, seed=5)
    logits, spikes = IntegerTwin(network)(torch.from_numpy(features[np.newaxis]))
    golden = network.run(features)
    np.testing.assert_array_equal(spikes[0][0].numpy(), golden.spikes[0])
    np.testing.assert_array_equal(logits[0].numpy(), golden.logits)
    with pytest.raises(ValueError, match=r"^layer 0 has a bias; networks to train have none$"):
        from_network(network)
    freeze_biases(model)
    network = from_snntorch(model)
    assert network.config.bias == ()
    step = network.header["scales"]["readout"]
    kept = torch.tensor(network.header["readout_bias"]).float() * step
    assert torch.allclose(kept, model[2].bias.detach())
    assert model[2].bias.requires_grad
    assert not model[0].bias.requires_grad


def test_a_late_reset_that_no_weight_holds_is_refused():
    model = parts_with(leaky(beta=0.5, threshold=100.0))
    with torch.no_grad():
        model[0].weight.copy_(torch.randint(-7, 8, (4, 3)) / 32)
    found = from_snntorch(model)  # coarse weights: the diagonal of -50 sets their step
    assert found.header["conversion"]["layers"][0]["error_w_rec"] < 0.2
    with pytest.raises(ConversionError) as caught:
        from_snntorch(model, fields={"time_steps": 2})
    assert str(caught.value) == (
        "layer 0 ('1'): its reset acts one time step late: with time_steps 2 the hardware has no "
        "equal for that: train with reset_delay=False"
    )


# --- models as they run -----------------------------------------------------------------------


class Net(nn.Module):
    """Two layers and a readout; `change` makes another network of the same parts."""

    def __init__(self, change=None, *, time_first=False):
        super().__init__()
        self.change, self.time_first = change, time_first
        self.out = nn.Linear(6, 2, bias=False)  # not in the order in which they run
        self.lif2 = leaky(threshold=0.2, **ZERO)
        self.fc1 = nn.Linear(4, 6, bias=False)
        self.lif1 = leaky(threshold=0.5, **ZERO)
        self.fc2 = nn.Linear(6, 6, bias=False)
        self.unused = nn.Linear(6, 6)

    def forward(self, x):
        change = self.change
        frames = x if self.time_first else x.transpose(0, 1)
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        outputs = []
        for frame in frames:
            frame = frame * 2 if change == "scaled" else frame
            current = self.fc1(frame)
            current = torch.relu(current) if change == "activation" else current
            s1, mem1 = self.lif1(current, mem1)
            s2, mem2 = self.lif2(self.fc2(s1), mem=mem2)
            if change == "forgets":
                mem1 = torch.zeros_like(mem1)
            if change == "twice":
                s2, mem2 = self.lif2(self.fc2(s2), mem2)
            outputs.append(self.out(s2 + s1 if change == "skip" else s2))
        if change == "extra":
            self.fc1(x)
        return torch.stack(outputs)


@pytest.mark.parametrize("time_first", [False, True])
def test_parts_are_taken_as_they_run_and_not_as_they_are_listed(time_first):
    net = Net(time_first=time_first)
    wanted = from_snntorch([net.fc1, net.lif1, net.fc2, net.lif2, net.out], input_scale=1 / 16)
    found = from_snntorch(net, input_scale=1 / 16)
    assert found.config.hidden == (6, 6)
    for a, b in zip(found.layers, wanted.layers, strict=True):
        assert np.array_equal(a.w_in, b.w_in)
        assert np.array_equal(a.threshold, b.threshold)
    features = random_features(found.config, 200, seed=1)
    figures = check_snntorch(net, found, features)
    # A list is run by us, frame by frame: the same spikes.
    parts = [net.fc1, net.lif1, net.fc2, net.lif2, net.out]
    assert figures == check_snntorch(parts, found, features)
    for layer in figures["layers"]:
        assert layer["spikes_real"] > 100
        assert layer["spikes_equal"] > 0.85
    assert net.training
    assert describe(figures).startswith("real numbers beside integers, 200 frames\nlayer 0: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("scaled", "'fc1' gets other values than the features of its frame: what the model does "),
        ("activation", "'lif1' gets other values than 'fc1' gives: what lies between two parts "),
        ("skip", "'out' gets other values than 'lif2' gives: what lies between two parts must "),
        ("forgets", "'lif1' gets other membranes than its own of the time step before (0 in "),
        ("extra", "in 8 frames its parts are called unequally often ('fc1' 9, 'lif1' 8, 'fc2' 8, "),
        ("twice", "'lif2' gets other membranes than its own of the time step before (0 in "),
    ],
)
def test_what_a_list_of_parts_cannot_tell_is_refused(change, message):
    with pytest.raises(ConversionError) as caught:
        from_snntorch(Net(change), input_scale=1 / 16)
    assert str(caught.value).startswith(message)


def test_a_model_that_cannot_be_run_says_what_to_give():
    net = Net()
    net.forward = lambda _x, _state: None
    with pytest.raises(ConversionError) as caught:
        from_snntorch(net)
    assert str(caught.value).startswith(
        "Net cannot be run on features of shape (8, 8, 6) to see in which order its parts run: "
    )
    assert str(caught.value).endswith(
        ": give run, a function that runs it on features [1, frames, n_input], or a list of its "
        "parts in the order in which they run"
    )
    other = Net()
    run = lambda x: Net.forward(other, x)  # noqa: E731
    assert from_snntorch(other, run=run).config.hidden == (6, 6)


def test_a_shared_neuron_loses_no_layer():
    shared = leaky(init_hidden=True, **ZERO)
    first, second = (nn.Linear(8, 8, bias=False) for _ in range(2))
    with pytest.raises(ConversionError) as caught:
        from_snntorch(nn.Sequential(first, shared, second, shared))
    assert str(caught.value) == (
        "'3' is the same neuron as '1', and with init_hidden both places share one membrane, which "
        "the hardware's layers do not: make a neuron for each"
    )
    # Without a membrane inside it is only its numbers that are shared, and weights always are.
    shared = leaky(**ZERO)
    network = from_snntorch(nn.Sequential(first, shared, first, shared))
    assert network.config.hidden == (8, 8)
    assert network.config.n_output == 8


@pytest.mark.parametrize("how", ["pruned", "weight_norm", "parametrized"])
def test_stale_weights_are_not_converted(how):
    def make(seed):
        torch.manual_seed(seed)
        parts = [nn.Linear(8, 8, bias=False), leaky(**ZERO), nn.Linear(8, 4, bias=False)]
        for linear in parts[::2]:
            if how == "pruned":
                prune.l1_unstructured(linear, "weight", 0.4)
            elif how == "weight_norm":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)
                    nn.utils.weight_norm(linear)
            else:
                nn.utils.parametrizations.weight_norm(linear)
        return nn.Sequential(*parts)

    trained, again = make(1), make(2)
    again.load_state_dict(trained.state_dict())
    wanted, found = from_snntorch(trained), from_snntorch(again)
    assert np.array_equal(found.layers[0].w_in, wanted.layers[0].w_in)
    assert np.array_equal(found.w_out, wanted.w_out)
    if how == "pruned":
        assert (found.layers[0].w_in == 0).mean() >= 0.4


def test_a_linear_that_computes_something_else_is_refused():
    class Binary(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, self.weight.sign())

    with pytest.raises(ConversionError) as caught:
        from_snntorch([Binary(4, 4, bias=False), leaky(**ZERO)])
    assert str(caught.value) == (
        "'0' is Binary and does not give its weights times inputs plus its bias: the hardware has "
        "nothing else"
    )


def test_the_nearest_decay_is_warned_of():
    parts = [nn.Linear(4, 4, bias=False), leaky(beta=0.95, **ZERO)]
    with pytest.warns(
        ConversionWarning, match=r"^layer 0 \('1'\): decay, a time constant of 20 ti"
    ):
        from_snntorch(parts, nearest=True)


def test_two_time_steps_a_frame_are_measured_as_the_hardware_runs_them(rng):
    parts = integer_parts(rng, [rleaky(**ZERO), leaky(**ZERO)])
    network = from_snntorch(parts, fields={"time_steps": 2})
    figures = check_snntorch(parts, network, random_features(network.config, 200, seed=1))
    assert [layer["spikes_equal"] > 0.9 for layer in figures["layers"]] == [True, True]
    assert figures["layers"][0]["spikes_real"] > 500


# --- the documented path ----------------------------------------------------------------------


def test_the_documented_path_to_verilog_runs_as_written(tmp_path, monkeypatch, build_root, capsys):
    """The Python of the document, then each plosive command after it, the Verilog too."""
    text = DOCUMENT.read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    printed = re.search(r"```text\n(.*?)```", text, re.DOTALL)[1].splitlines()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    shown = result.stdout.splitlines()
    assert shown[0] == printed[0]
    # Trained numbers differ a little between machines.
    assert [re.sub(r"[\d.,]+", "#", line) for line in shown[1:]] == [
        re.sub(r"[\d.,]+", "#", line) for line in printed[1:]
    ]
    commands = re.findall(r"^plosive (.*)$", text, re.MULTILINE)
    assert [command.split()[0] for command in commands] == [
        *("simulate", "generate", "export", "export"),
    ]
    for command in commands:
        arguments = command.split()
        if arguments[0] == "simulate":
            arguments += ["--build", str(build_root)]
        assert cli.run(arguments) == 0, capsys.readouterr().err
    assert (tmp_path / "mine" / "plosive.v").is_file()
    assert (tmp_path / "back.safetensors").read_bytes() == (
        tmp_path / "mine.safetensors"
    ).read_bytes()
