# SPDX-License-Identifier: Apache-2.0
"""The parts of a torch model as they run, not as they are listed.

A list of modules, an `nn.Sequential` or an `nn.ModuleList` says itself in which order they run.
Any other module is run on a few frames, with hooks that record which part is called with what:
every value must come from the part before, every membrane and recurrent spike from the time step
before, or the model is not a chain of layers and is refused.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import snntorch
import torch
from torch import nn

from model_zoo.exchange.errors import ConversionError

__all__ = ["Call", "parts_of", "record", "spikes_of", "stepped"]

_PASSED_OVER = (nn.Dropout, nn.Flatten, nn.Identity)  # nothing in evaluation, or between vectors
_NEURONS = (snntorch.Leaky, snntorch.RLeaky)
_LISTS = (nn.Sequential, nn.ModuleList)
_TRACED_FRAMES = 8


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a part: its name, the module, what it got and gave, its membrane after."""

    name: str
    module: nn.Module
    given: tuple
    gave: torch.Tensor
    membrane: torch.Tensor | None


def listed(model):
    """(name, module) of Linears and neurons in the order in which a list says that they run.

    Raises
    ------
    ConversionError
        Some other module is among them.
    """
    found = []

    def add(name, module):
        if isinstance(module, (nn.Linear, *_NEURONS)):
            found.append((name, module))
        elif isinstance(module, _LISTS):
            # Not named_children(): it leaves out a module that is there twice.
            for part, child in module._modules.items():
                add(f"{name}.{part}" if name else part, child)
        elif not isinstance(module, _PASSED_OVER):
            raise ConversionError(_unknown(name, module))

    if isinstance(model, nn.Module):
        add("", model)
    else:
        for number, module in enumerate(model):
            add(str(number), module)
    _refuse_shared_state(found)
    return found


def is_list(model):
    """Whether a model says itself in which order its parts run."""
    return not isinstance(model, nn.Module) or isinstance(model, _LISTS)


def _unknown(name, module):
    kind = type(module).__name__
    if list(module.children()) and not isinstance(module, snntorch.SpikingNeuron):
        return (
            f"{name!r} is {kind}, whose parts run in an order that a list cannot tell: give its "
            "parts in its place"
        )
    return f"{name!r} is {kind}: it must be Linear, Leaky or RLeaky"


def _refuse_shared_state(parts):
    first = {}
    for name, module in parts:
        if isinstance(module, _NEURONS) and id(module) in first and module.init_hidden:
            raise ConversionError(
                f"{name!r} is the same neuron as {first[id(module)]!r}, and with init_hidden both "
                "places share one membrane, which the hardware's layers do not: make a neuron for "
                "each"
            )
        first.setdefault(id(module), name)


def parts_of(model, *, run=None, time_steps=1, input_scale=1.0):
    """(name, module) of Linears and neurons of a model in the order in which they run.

    Parameters
    ----------
    model : torch.nn.Module or sequence of torch.nn.Module
    run : callable, optional
        Runs the model on features `[1, frames, n_input]`; `model` itself if left out.
    time_steps : int
        Evaluations a frame.
    input_scale : float

    Raises
    ------
    ConversionError
        It is not a chain of layers, or cannot be run to find out.
    """
    if is_list(model):
        return listed(model)
    linears = [module for _, module in _leaves(model) if isinstance(module, nn.Linear)]
    if not linears:
        raise ConversionError("the model has no Linear: it must be Linear and neurons in turn")
    failure = None
    for n_input in dict.fromkeys(linear.in_features for linear in linears):
        # As many utterances as frames, so that models with time first run as well.
        shape = (1 if run else _TRACED_FRAMES, _TRACED_FRAMES, n_input)
        features = torch.randint(-128, 128, shape, generator=torch.Generator().manual_seed(1))
        x = features.to(linears[0].weight) * input_scale
        try:
            calls = record(model, lambda x=x: (run or model)(x))
        except ConversionError:
            raise
        except Exception as error:  # whatever the user's own code raises
            failure = failure or (error, tuple(shape))
        else:
            return _chain(calls, x, time_steps)
    error, shape = failure
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    raise ConversionError(
        f"{type(model).__name__} cannot be run on features of shape {shape} to see in which order "
        f"its parts run: {reason}: give run, a function that runs it on features [1, frames, "
        "n_input], or a list of its parts in the order in which they run"
    ) from error


def _leaves(model):
    """(name, module) of the parts that compute; what a neuron is made of is part of it."""
    found, inside = [], set()
    for name, module in model.named_modules():
        if id(module) in inside:
            continue
        if isinstance(module, (nn.Linear, snntorch.SpikingNeuron)):
            inside.update(id(part) for part in module.modules())
            found.append((name, module))
        elif not list(module.children()):
            found.append((name, module))
    return found


@contextmanager
def _evaluating(model):
    """No dropout and no gradients meanwhile; membranes kept in neurons begin at 0."""
    modules = list(model.modules())
    flags = [module.training for module in modules]
    for module in modules:
        module.training = False
        if isinstance(module, _NEURONS):
            module.reset_mem()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, flag in zip(modules, flags, strict=True):
            module.training = flag


def record(model, run):
    """Every call of the parts of a model while `run()` runs it.

    Returns
    -------
    list of Call
    """
    calls, handles = [], []
    names = {id(module): name for name, module in _leaves(model)}

    def hook(module, given, named, gave):
        if isinstance(module, _PASSED_OVER):
            return
        if not isinstance(module, (nn.Linear, *_NEURONS)):
            raise ConversionError(_unknown(names[id(module)], module))
        membrane = module.mem.clone() if isinstance(module, _NEURONS) else None
        gave = gave[0] if isinstance(gave, tuple) else gave
        given = (*given, *(named[name] for name in ("input_", "spk", "mem") if name in named))
        kept = tuple(g.clone() if isinstance(g, torch.Tensor) else g for g in given)
        calls.append(Call(names[id(module)], module, kept, gave.clone(), membrane))

    try:
        for _, module in _leaves(model):
            handles.append(module.register_forward_hook(hook, with_kwargs=True))
        with _evaluating(model):
            run()
    finally:
        for handle in handles:
            handle.remove()
    return calls


def period(calls, frames, time_steps):
    """Calls of one time step and how many time steps there were, as they repeat."""
    for steps in (frames * time_steps, time_steps, 1):
        each, rest = divmod(len(calls), steps)
        pattern = [id(call.module) for call in calls[:each]]
        if calls and not rest and pattern * steps == [id(call.module) for call in calls]:
            return each, steps
    return len(calls), 1


def _chain(calls, x, time_steps):
    """The parts of one time step; refused unless each gets what the one before gave."""
    each, steps = period(calls, _TRACED_FRAMES, time_steps)
    parts = [(call.name, call.module) for call in calls[:each]]
    counts = {name: sum(call.name == name for call in calls) for name, _ in parts}
    if steps == 1 and len(set(counts.values())) > 1:
        shown = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        raise ConversionError(
            f"in {_TRACED_FRAMES} frames its parts are called unequally often ({shown}): each time "
            "step must call every part once: give a list of the parts in the order in which they "
            "run"
        )
    _refuse_shared_state(parts)
    for number, call in enumerate(calls):
        step, place = divmod(number, each)
        before = calls[number - 1] if place else None
        if before is None:
            _check_features(call, x, step // time_steps, whole=steps == time_steps)
        elif not _same(call.given[0], before.gave):
            raise ConversionError(
                f"{call.name!r} gets other values than {before.name!r} gives: what lies between "
                "two parts must be nothing that the hardware lacks (a sum, a factor, an activation)"
            )
        if isinstance(call.module, _NEURONS) and len(call.given) > 1:
            _check_state(calls, number, each, time_steps)
    return parts


def _check_features(call, x, frame, *, whole):
    choices = [x] if whole else []
    choices += [x[:, frame], x[frame]] if frame < len(x) else [x[:, frame]]
    if not any(_same(call.given[0], choice) for choice in choices):
        raise ConversionError(
            f"{call.name!r} gets other values than the features of its frame: what the model does "
            "to them first must be done before the hardware, and a constant factor is input_scale"
        )


def _check_state(calls, number, each, time_steps):
    """Refuse membranes and recurrent spikes that are not the neuron's own of the step before."""
    call = calls[number]
    recurrent = isinstance(call.module, snntorch.RLeaky)
    wanted = {len(call.given) - 1: ("membranes", 1)}
    if recurrent and len(call.given) > 2:
        wanted[1] = ("spikes", time_steps)
    for place, (what, back) in wanted.items():
        given = call.given[place]
        if given is None or not given.numel():
            continue
        earlier = number - back * each
        if earlier < 0:
            expected = torch.zeros_like(given)
        else:
            expected = calls[earlier].membrane if what == "membranes" else calls[earlier].gave
        if not _same(given, expected.expand_as(given) if expected.numel() == 1 else expected):
            since = "the frame before, same time step" if back > 1 else "the time step before"
            raise ConversionError(
                f"{call.name!r} gets other {what} than its own of {since} (0 in the first frame)"
                ": the hardware keeps them from frame to frame"
            )


def _same(first, second):
    return first.numel() == second.numel() and torch.equal(
        first.reshape(-1), second.reshape(-1).to(first.dtype)
    )


def stepped(parts, features, time_steps=1):
    """Run parts in their order, frame by frame, as the hardware does.

    Parameters
    ----------
    parts : list of (str, torch.nn.Module)
    features : torch.Tensor
        `[frames, n_input]`, as the model was trained.
    time_steps : int

    Returns
    -------
    list of Call
        One call per part and time step.
    """
    membranes, spikes, calls = {}, {}, []
    for x in features:
        for k in range(time_steps):
            value = x[np.newaxis]
            for place, (name, module) in enumerate(parts):
                given = (value,)
                if isinstance(module, nn.Linear):
                    value, membrane = module(value), None
                elif module.init_hidden:
                    value = module(value)
                    value = value[0] if isinstance(value, tuple) else value
                    membrane = module.mem
                else:
                    state = membranes.get(place, torch.zeros_like(value))
                    if isinstance(module, snntorch.RLeaky):
                        own = spikes.get((place, k), torch.zeros_like(value))
                        value, membrane = module(value, own, state)
                        spikes[place, k] = value
                    else:
                        value, membrane = module(value, state)
                    membranes[place] = membrane
                calls.append(Call(name, module, given, value, membrane))
    return calls


def run_list(model, features, time_steps):
    """`stepped` of a model that is a list, in evaluation."""
    parts = listed(model)
    with _evaluating(nn.ModuleList(module for _, module in parts)):
        return stepped(parts, features, time_steps)


def spikes_of(calls, each, frames, time_steps):
    """Spikes and membranes `[frames, T, n]` of each neuron, and what the last part gave.

    Returns
    -------
    spikes, membranes : list of numpy.ndarray
    last : numpy.ndarray
        `[frames, T, n]`.
    """

    def put(tensors):
        stacked = np.stack(
            [tensor.detach().cpu().double().reshape(-1).numpy() for tensor in tensors]
        )
        return stacked.reshape(frames, time_steps, -1)

    places = [p for p in range(each) if isinstance(calls[p].module, _NEURONS)]
    return (
        [put([call.gave for call in calls[place::each]]) for place in places],
        [put([call.membrane for call in calls[place::each]]) for place in places],
        put([call.gave for call in calls[each - 1 :: each]]),
    )
