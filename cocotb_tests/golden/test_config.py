# SPDX-License-Identifier: Apache-2.0
"""The configuration: every rule with its full message, hashes, presets."""

import dataclasses
import itertools
import json
import math

import pytest
from hypothesis import given

from cocotb_tests.configurations import configurations
from hw.config import CHOICES, PRESETS, AcceleratorConfig, ConfigError, preset

RANGES = {
    "n_input": (1, 4096),
    "n_output": (1, 65536),
    "time_steps": (1, 2),
    "lanes": (1, 1024),
    "acc_bits": (8, 32),
    "membrane_bits": (8, 32),
    "membrane_frac": (0, 16),
    "output_lanes": (1, 2048),
    "readout_every": (1, 256),
    "max_input_shift": (0, 15),
    "max_decay_shift": (1, 15),
    "counter_bits": (4, 32),
}
# Changed fields that keep the network: the integers do not depend on them.
MACHINE_ONLY = {
    "lanes": 4,
    "merge_readout": False,
    "hidden_work": "union",
    "input_digits": "naf",
    "lif_lanes": "all",
    "output_lanes": 2,
    "max_input_shift": 5,
    "max_decay_shift": 5,
    "counter_bits": 20,
    "low_activity": True,
    "trace": True,
}
A_FLAG_EACH = "it must be empty, or hold true or false for each of the 2 layers of hidden"
OF_THE_NETWORK = {
    "n_input": 9,
    "hidden": (16, 15),
    "recurrent": (True, False),
    "n_output": 25,
    "time_steps": 1,
    "acc_bits": 13,
    "membrane_bits": 15,
    "membrane_frac": 3,
    "readout_every": 2,
    "bias": (True, False),
}


def refused(message, **changes):
    with pytest.raises(ConfigError) as error:
        preset("tiny").replace(**changes)
    assert str(error.value) == message
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("field", RANGES)
@pytest.mark.parametrize("wrong", ["below", "above", "float", "bool", "text", "none"])
def test_integers_outside_their_range_are_refused(field, wrong):
    least, most = RANGES[field]
    value = {
        "below": least - 1,
        "above": most + 1,
        "float": float(least),
        "bool": True,
        "text": str(least),
        "none": None,
    }[wrong]
    refused(f"{field} is {value!r}: it must be an integer, {least} to {most}", **{field: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": 16}, "hidden is 16: it must be a list, one entry per layer"),
        ({"recurrent": True}, "recurrent is True: it must be a list, one entry per layer"),
        ({"input_bits": 7}, "input_bits is 7: the datapath is built for 8"),
        ({"weight_bits": True}, "weight_bits is True: the datapath is built for 4"),
        ({"merge_readout": 1}, "merge_readout is 1: it must be true or false"),
        (
            {"bias": [True]},
            f"bias is [True]: {A_FLAG_EACH}",
        ),
        (
            {"bias": (1, 0)},
            f"bias is (1, 0): {A_FLAG_EACH}",
        ),
        ({"bias": True}, "bias is True: it must be a list, empty or one entry per layer"),
        ({"low_activity": "yes"}, "low_activity is 'yes': it must be true or false"),
        ({"hidden_work": "both"}, "hidden_work is 'both': it must be one of all, union, split"),
        ({"hidden_work": 1}, "hidden_work is 1: it must be one of all, union, split"),
        ({"hidden_work": None}, "hidden_work is None: it must be one of all, union, split"),
        (
            {"hidden_work": ["union"]},
            "hidden_work is ['union']: it must be one of all, union, split",
        ),
        ({"input_digits": "nibbles"}, "input_digits is 'nibbles': it must be one of bits, naf"),
        ({"input_digits": 1}, "input_digits is 1: it must be one of bits, naf"),
        ({"input_digits": None}, "input_digits is None: it must be one of bits, naf"),
        ({"input_digits": ["naf"]}, "input_digits is ['naf']: it must be one of bits, naf"),
        ({"trace": "yes"}, "trace is 'yes': it must be true or false"),
        ({"hidden": []}, "hidden is (): it must name 1 to 16 layers"),
        ({"hidden": [1] * 17}, f"hidden is {(1,) * 17}: it must name 1 to 16 layers"),
        ({"hidden": [16, 0]}, "hidden is (16, 0): each layer must have 1 to 4096 neurons"),
        ({"hidden": [4097, 1]}, "hidden is (4097, 1): each layer must have 1 to 4096 neurons"),
        ({"hidden": [16, 1.0]}, "hidden is (16, 1.0): each layer must have 1 to 4096 neurons"),
        (
            {"recurrent": [True]},
            "recurrent is (True,): it must hold true or false for each of the 2 layers of hidden",
        ),
        (
            {"recurrent": [1, 0]},
            "recurrent is (1, 0): it must hold true or false for each of the 2 layers of hidden",
        ),
        (
            {"output_lanes": 3},
            "output_lanes is 3: it must divide 2 * lanes = 16, the logits of a pair of tiles",
        ),
        (
            {"acc_bits": 8, "max_input_shift": 12},
            "max_input_shift is 12: it must be at most acc_bits + 3 = 11, so that the rounding "
            "term fits the sum of both halves",
        ),
        (
            {"membrane_bits": 8, "membrane_frac": 7},
            "membrane_frac is 7: it must be less than membrane_bits - 1 = 7",
        ),
        (
            {"lanes": 1024, "output_lanes": 2048, "acc_bits": 17},
            "output_lanes is 2048: a beat of logits would be a value of 65,538 bits, and the tools "
            "take 65,536",
        ),
        (
            {"hidden": [4096] * 9, "recurrent": [True] * 9},
            f"hidden is {(4096,) * 9}: the spikes of a frame would be a value of 73,728 bits, and "
            "the tools take 65,536",
        ),
        (
            {"hidden": [8] * 3, "recurrent": [True] * 3, "lanes": 1024, "membrane_bits": 32},
            f"hidden is {(8,) * 3}: all membranes of 1024 lanes would be a value of 98,304 bits, "
            "and the tools take 65,536",
        ),
    ],
)
def test_broken_rules_are_named(changes, message):
    refused(message, **changes)


def test_limits_are_allowed():
    for field, limits in RANGES.items():
        for value in limits:
            changes = {field: value}
            if field == "membrane_frac":
                changes["membrane_bits"] = 32
            if field == "membrane_bits":
                changes["membrane_frac"] = 0
            if field == "output_lanes":
                changes["lanes"] = 1024
            if field == "lanes":
                changes["output_lanes"] = 1
            if field == "acc_bits":
                changes["max_input_shift"] = 7
            assert getattr(preset("tiny").replace(**changes), field) == value


def test_dictionaries_of_fields():
    config = preset("tiny")
    text = json.dumps(config.to_dict())
    assert AcceleratorConfig.from_dict(json.loads(text)) == config
    with pytest.raises(ConfigError) as error:
        AcceleratorConfig.from_dict([1])
    assert str(error.value) == "configuration is [1]: it must be a table of fields"
    names = ", ".join(field.name for field in dataclasses.fields(config))
    refused(f"lane is not a field: the fields are {names}", lane=3)
    values = config.to_dict()
    del values["hidden"]
    with pytest.raises(ConfigError) as error:
        AcceleratorConfig.from_dict(values)
    assert str(error.value) == "hidden is missing: it has no default"


@given(configurations())
def test_every_configuration_comes_back_from_its_dictionary(config):
    again = AcceleratorConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.config_hash == config.config_hash


def test_the_configuration_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset("tiny").lanes = 4


def test_hashes_cover_what_they_claim():
    tiny = preset("tiny")
    fields = {field.name for field in dataclasses.fields(tiny)}
    # input_bits and weight_bits are in the network hash, but have one legal value.
    assert set(MACHINE_ONLY) | set(OF_THE_NETWORK) | {"input_bits", "weight_bits"} == fields
    hashes = {tiny.config_hash}
    for field, value in MACHINE_ONLY.items():
        changed = tiny.replace(**{field: value})
        assert changed.network_hash == tiny.network_hash, field
        hashes.add(changed.config_hash)
    networks = {tiny.network_hash}
    for field, value in OF_THE_NETWORK.items():
        changed = tiny.replace(**{field: value})
        networks.add(changed.network_hash)
        hashes.add(changed.config_hash)
    assert len(networks) == 1 + len(OF_THE_NETWORK)
    assert len(hashes) == 1 + len(OF_THE_NETWORK) + len(MACHINE_ONLY)
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in networks | hashes)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("paper-t2", "75f27b1e421c29ea"),
        ("paper-t2-unmerged", "83f13f490de6de24"),
        ("paper-t1", "7633b6070d08f22c"),
        ("speech", "ba44a7abd8dd8de8"),
        ("tiny", "bd2e7606752e7730"),
    ],
)
def test_later_fields_leave_older_hashes_and_files_as_they_were(name, digest):
    """The hashes are those of the first version, without the fields that came later."""
    config = preset(name)
    assert config.config_hash == digest
    later = CHOICES
    older = config.to_dict()
    for field, words in later.items():
        assert older.pop(field) == words[0]
    assert older.pop("bias") == []
    assert older.pop("low_activity") is False
    assert AcceleratorConfig.from_dict(older) == config
    others = {
        config.replace(**dict(zip(later, words, strict=True))).config_hash
        for words in itertools.product(*later.values())
    }
    assert digest in others
    others.add(config.replace(low_activity=True).config_hash)
    assert len(others) == math.prod(map(len, CHOICES.values())) + 1


def test_presets():
    assert preset("paper-t2") is PRESETS["paper-t2"]
    names = ", ".join(PRESETS)
    with pytest.raises(ConfigError) as error:
        preset("paper")
    assert str(error.value) == f"preset is 'paper': the presets are {names}"
    reference = preset("paper-t2")
    assert (reference.n_input, reference.hidden, reference.n_output) == (40, (128, 128), 1920)
    assert preset("paper-t1") == reference.replace(time_steps=1)
    assert preset("paper-t2-unmerged") == reference.replace(merge_readout=False)
    tiny = preset("tiny")
    assert (tiny.n_input, tiny.hidden, tiny.n_output, tiny.lanes) == (8, (16, 16), 24, 8)


def test_derived_sizes():
    config = preset("tiny").replace(hidden=[16, 5], lanes=8, n_output=25)
    assert config.n_layers == 2
    assert [config.n_source(layer) for layer in range(2)] == [8, 16]
    assert [config.tiles(layer) for layer in range(2)] == [2, 1]
    assert config.output_tiles == 4
    assert config.folded
    assert not preset("paper-t2").folded
    assert preset("paper-t2").row_bits == 512
