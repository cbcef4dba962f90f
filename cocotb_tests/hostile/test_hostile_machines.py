# SPDX-License-Identifier: Apache-2.0
"""Machines that no tool can build are refused before anything is elaborated."""

import pytest
from amaranth.hdl import Fragment, Value
from amaranth.hdl._ir import build_netlist
from hypothesis import given, settings

from cocotb_tests.configurations import configurations
from hw.config import MOST_VALUE_BITS, AcceleratorConfig, preset
from hw.core.core import Core
from hw.shell.ip_top import IPTop


def widths(top: Core | IPTop) -> dict[str, int]:
    """The widest signal of each name, after elaboration."""
    ports = [(None, Value.cast(value), None) for _, _, value in top.signature.flatten(top)]
    found: dict[str, int] = {}
    for signal in build_netlist(Fragment.get(top, None), ports=ports).signals:
        found[signal.name] = max(len(signal), found.get(signal.name, 0))
    return found


@settings(max_examples=6)
@given(configurations())
def test_the_widths_that_the_rule_counts_are_those_of_the_machine(config):
    found = widths(Core(config))
    assert found["spikes"] == config.time_steps * sum(config.hidden)
    assert found["logits__payload"] == config.output_lanes * config.acc_bits + 2
    if not config.folded:
        assert found["membranes"] == config.n_layers * config.lanes * config.membrane_bits
    element = 16 if config.acc_bits <= 16 else 32
    found = widths(IPTop(config))
    assert found["results__payload"] == config.output_lanes * element + 2


# What grows with lanes, neurons, layers or features; everything else stays narrow.
@pytest.mark.parametrize(
    "changes",
    [
        {"lanes": 64, "output_lanes": 128, "membrane_bits": 32, "acc_bits": 32},
        {"hidden": (512, 512)},
        {"hidden": (8,) * 8, "recurrent": (True,) * 8},
        {"n_input": 256},
    ],
    ids=["lanes", "neurons", "layers", "features"],
)
def test_no_other_value_is_wider_than_the_rule_allows_for(changes):
    config = preset("tiny").replace(**changes)
    counted = {
        "spikes": config.time_steps * sum(config.hidden),
        "beat": config.output_lanes * 32 + 2,
        "membranes": config.n_layers * config.lanes * config.membrane_bits,
        # These stay within the limit at the ends of their fields' ranges.
        "acc": 2 * config.lanes * config.acc_bits,
        "features": 8 * config.n_input,
        "counters": 8 * config.counter_bits,
    }
    name, bits = max(widths(Core(config)).items(), key=lambda item: item[1])
    assert bits <= max(counted.values()), name
    limits = AcceleratorConfig(n_input=4096, hidden=(1,), recurrent=(False,), n_output=1)
    assert 8 * limits.n_input <= MOST_VALUE_BITS
    assert MOST_VALUE_BITS >= 2 * 1024 * 32
