# SPDX-License-Identifier: Apache-2.0
"""The network file: what comes back, the same bytes, nothing half-written, every message."""

import copy
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from cocotb_tests.configurations import configurations
from flows.host.speech import BestPhones
from flows.speech import transcribe
from golden_model import Network, NetworkError, NetworkFileError
from golden_model.files import network_file
from golden_model.files.header import check_header
from hw.config import AcceleratorConfig, preset
from model_zoo import cards, zoo
from model_zoo.scoring import evaluate
from model_zoo.speech import features


@cache
def random_tiny():
    return Network.random(preset("tiny"), 3)


@pytest.fixture
def network():
    drawn = Network.random(preset("tiny"), 3)
    labels = [f"label {number}" for number in range(drawn.config.n_output)]
    header = {"labels": labels, "scales": {"readout": 0.25}, "licence": "CC0-1.0", "ä": None}
    return Network(drawn.config, drawn.layers, drawn.w_out, header)


@pytest.fixture
def path(network, tmp_path):
    path = tmp_path / "network.safetensors"
    network.save(path)
    return path


def contents(path):
    """(tensors, JSON header) of a file, to be changed and written again with `rewrite`."""
    with safetensors.safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["plosive"])


def rewrite(path, tensors, header):
    text = header if isinstance(header, str) else json.dumps(header)
    path.write_bytes(safetensors.numpy.save(tensors, metadata={"plosive": text}))


def refused(path, message, expect=None):
    with pytest.raises(NetworkFileError) as error:
        Network.load(path, expect)
    assert str(error.value) == f"{path}: {message}"
    assert isinstance(error.value, NetworkError)
    assert isinstance(error.value, ValueError)


def assert_same(one, other):
    for layer, again in zip(one.layers, other.layers, strict=True):
        for name, value in vars(layer).items():
            np.testing.assert_array_equal(value, getattr(again, name), name)
    np.testing.assert_array_equal(one.w_out, other.w_out)
    assert one.header == other.header


# ---- what comes back ---------------------------------------------------------------------


@settings(max_examples=20)
@given(configurations(), st.integers(0, 2**31))
def test_a_saved_network_comes_back(tmp_path_factory, config, seed):
    path = tmp_path_factory.mktemp("network") / "a.safetensors"
    network = Network.random(config, seed)
    network.save(path)
    again = Network.load(path)
    assert again.config == config
    assert_same(network, again)


def test_the_free_header_comes_back(network, path):
    assert Network.load(path).header == network.header


def test_the_same_network_gives_the_same_bytes(network, path, tmp_path):
    reordered = dict(reversed(network.header.items()))
    other = tmp_path / "other.safetensors"
    Network(network.config, network.layers, network.w_out, reordered).save(str(other))
    assert other.read_bytes() == path.read_bytes()
    Network.load(other).save(other)
    assert other.read_bytes() == path.read_bytes()


def test_a_file_loads_for_other_hardware_of_its_network(network, path):
    hardware = preset("tiny").replace(lanes=4, output_lanes=8, merge_readout=False, trace=True)
    loaded = Network.load(path, hardware)
    assert loaded.config == hardware
    assert_same(network, loaded)


def test_a_file_for_other_hardware_names_the_fields(path):
    hardware = preset("tiny").replace(hidden=[16], recurrent=[True], time_steps=1, lanes=4)
    refused(
        path,
        "it is for another network than the hardware's: hidden [16, 16] instead of [16]; "
        "recurrent [True, True] instead of [True]; time_steps 2 instead of 1",
        hardware,
    )


def test_a_file_whose_shifts_the_hardware_lacks_is_refused(network, path):
    shift = max(layer.decay_shift for layer in network.layers)
    layer = [layer.decay_shift for layer in network.layers].index(shift)
    least = shift - 1
    assert least >= 1
    refused(
        path,
        f"layer {layer}: decay_shift is {shift}: it must be an integer, 1 to {least}",
        preset("tiny").replace(max_decay_shift=least),
    )


# ---- files that are none -----------------------------------------------------------------


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "none", "there is no such file")


def test_a_directory_is_refused(tmp_path):
    refused(tmp_path, "it is a directory, not a network file")


def test_a_device_is_refused():
    refused("/dev/null", "it is not a regular file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_refused(path):
    path.chmod(0)
    refused(path, "cannot be read: Permission denied")


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_a_truncated_file_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(NetworkFileError) as error:
        Network.load(path)
    assert str(error.value).startswith(f"{path}: it is not a whole .safetensors file: ")
    assert "\n" not in str(error.value)


def check_loads_or_is_refused(path: Path) -> None:
    """A damaged file loads, or is refused in one line that names it."""
    message = f"{path}: "
    try:
        Network.load(path)
    except NetworkFileError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


@settings(max_examples=60)
@given(position=st.integers(0, 4000), value=st.integers(0, 255))
def test_a_changed_byte_loads_or_is_refused_in_one_line(tmp_path_factory, position, value):
    path = tmp_path_factory.mktemp("network") / "a.safetensors"
    random_tiny().save(path)
    data = bytearray(path.read_bytes())
    data[position % len(data)] = value
    path.write_bytes(data)
    check_loads_or_is_refused(path)


def test_a_pipe_and_a_huge_file_are_refused_at_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(pipe, "it is not a regular file")
    huge = tmp_path / "huge"
    with open(huge, "wb") as file:
        file.truncate(1 << 40)
    refused(huge, "has more than the 1,073,741,824 bytes that are read at most")
    with open(huge, "wb") as file:
        file.write((50 << 20).to_bytes(8, "little"))
        file.truncate(100 << 20)
    refused(huge, "its header has 52,428,800 bytes: at most 8,388,608 are read")


@pytest.mark.slow
@settings(max_examples=3000)
@given(
    st.lists(
        st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8)),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 9000),
)
def test_a_file_with_changed_and_missing_bytes_loads_or_is_refused_in_one_line(
    tmp_path_factory, changes, cut
):
    path = tmp_path_factory.mktemp("network") / "a.safetensors"
    random_tiny().save(path)
    data = bytearray(path.read_bytes())
    for position, content in changes:
        position %= len(data)
        data[position : position + len(content)] = content
    path.write_bytes(data[: cut or None])
    check_loads_or_is_refused(path)


def test_another_safetensors_file_is_refused(path):
    path.write_bytes(safetensors.numpy.save({"weight": np.zeros(3)}))
    refused(path, "it has no 'plosive' header: not a network file")


# ---- headers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "{",
            "its header is not JSON: Expecting property name enclosed in double quotes: line 1 "
            "column 2 (char 1)",
        ),
        ("[1]", "its header is not a JSON object"),
        ("{}", "format_version is None: this program reads 1"),
        ('{"format_version": 2}', "format_version is 2: this program reads 1"),
        ('{"format_version": true}', "format_version is True: this program reads 1"),
        ('{"format_version": 1}', "its header has no 'config'"),
    ],
)
def test_wrong_headers_are_refused(path, header, message):
    rewrite(path, contents(path)[0], header)
    refused(path, message)


def change_header(path, change):
    tensors, header = contents(path)
    change(header)
    rewrite(path, tensors, header)


# What decoding, features and cards read of a header, right for the preset `tiny`.
RIGHT = {
    "licence": "CC0-1.0",
    "labels": [f"label {number}" for number in range(24)],
    "label_delay": 3,
    "scales": {"input": 0.05, "layers": [0.1, 0.2], "readout": 0.25},
    "readout_bias": [0.5] * 24,
    "log_priors": [-3.0] * 24,
    "log_stay": [-0.1] * 5,
    "log_leave": [-2.0] * 5,
    "phone_bigram": [[-1.0, -2.0], [-0.5, -1]],
    "decoder": {
        "acoustic_weight": 1.0,
        "prior_weight": 0.5,
        "bigram_weight": 1,
        "phone_score": 0.0,
        "excluded": ["q"],
    },
    "features": {
        "kind": "log_mel",
        "sample_rate": 16000,
        "frame_samples": 400,
        "hop_samples": 160,
        "mean": [8.0] * 8,
        "std": [3.0] * 8,
        "scale": 20.0,
    },
    "provenance": {
        "description": "a test",
        "command": "plosive train",
        "date": "2026-01-01",
        "threads": 1,
        "data": {"bdl": {"hours": 1.5}},
        "gain_db": {"bdl": -3.5},
        "tools": {"numpy": "2"},
        "tested_on": ["bdl"],
        "tuned_on": [],
        "recipe": {"level": 12.5, "name": "speech"},
        "stages": [{"name": "float", "loss": 2.5, "dev": {"per": 0.4}, "test": {}}],
    },
    "scores": {"dev": {"per": 0.4, "frame_accuracy": None, "sparsity": [[0.9, 0.8]]}},
    "anything": {"else": [1, None, "x"]},
}
NAN = float("nan")
WRONG_ENTRIES = [
    ("licence", 3, "header.licence is 3: it must be a text of at most 10,000 characters"),
    ("labels", ["a"], "header.labels has 1 entries: it must have 24, one for each output"),
    ("labels", "abc", "header.labels is 'abc': it must be a list"),
    (
        "labels",
        ["a"] * 24,
        "header.labels[1] is 'a', as an earlier one: they differ",
    ),
    ("labels.3", None, "header.labels[3] is None: it must be a text of at most 10,000 characters"),
    (
        "label_delay",
        10**9,
        "header.label_delay is 1000000000: it must be an integer, 0 to 1000",
    ),
    ("label_delay", -1, "header.label_delay is -1: it must be an integer, 0 to 1000"),
    ("label_delay", 3.0, "header.label_delay is 3.0: it must be an integer, 0 to 1000"),
    ("label_delay", True, "header.label_delay is True: it must be an integer, 0 to 1000"),
    ("scales", [], "header.scales is []: it must be an object"),
    ("scales.readout", 0, "header.scales.readout is 0: it must be a number, 1e-06 to 1e+06"),
    ("scales.layers.1", "x", "header.scales.layers[1] is 'x': it must be a number, 1e-06 to 1e+06"),
    (
        "log_priors",
        [-3.0] * 23,
        "header.log_priors has 23 entries: it must have 24, one for each output",
    ),
    ("log_stay.4", 1e300, "header.log_stay[4] is 1e+300: it must be a number, -1e+06 to 1e+06"),
    ("phone_bigram.1", [0.5], "header.phone_bigram has rows of other lengths than its 2 rows"),
    ("phone_bigram.1", 0.5, "header.phone_bigram[1] is 0.5: it must be a list"),
    (
        "decoder.acoustic_weight",
        "1",
        "header.decoder.acoustic_weight is '1': it must be a number, 1e-06 to 1e+06",
    ),
    (
        "decoder.excluded.0",
        7,
        "header.decoder.excluded[0] is 7: it must be a text of at most 10,000 characters",
    ),
    (
        "features.mean",
        [1.0] * 9,
        "header.features.mean has 9 entries: it must have 8, one for each input",
    ),
    ("features.std.2", 0.0, "header.features.std[2] is 0.0: it must be a number, 1e-06 to 1e+06"),
    (
        "features.hop_samples",
        0,
        "header.features.hop_samples is 0: it must be an integer, 1 to 1000000",
    ),
    ("provenance", 5, "header.provenance is 5: it must be an object"),
    (
        "provenance.gain_db.bdl",
        None,
        "header.provenance.gain_db['bdl'] is None: it must be a number, -1000 to 1000",
    ),
    ("provenance.data.bdl", 1, "header.provenance.data['bdl'] is 1: it must be an object"),
    (
        "provenance.recipe.level",
        [],
        "header.provenance.recipe.level is []: it must be a number, -1000 to 1000",
    ),
    ("provenance.stages.0", "x", "header.provenance.stages[0] is 'x': it must be an object"),
    ("scores.dev.per", "x", "header.scores.dev.per is 'x': it must be a number, 0 to 1e+06"),
    (
        "scores.dev.frame_accuracy",
        2,
        "header.scores.dev.frame_accuracy is 2: it must be a number, 0 to 1",
    ),
    (
        "licence",
        "x" * 10_001,
        f"header.licence is '{'x' * 59}...: it must be a text of at most 10,000 characters",
    ),
]


def with_entry(place, value):
    """A right header with another value at a place, as "scales.layers.1"."""
    header = copy.deepcopy(RIGHT)
    holder = header
    *outer, last = [int(key) if key.isdecimal() else key for key in place.split(".")]
    for key in outer:
        holder = holder[key]
    holder[last] = value
    return header


def test_a_right_header_comes_back(network, tmp_path):
    path = tmp_path / "a.safetensors"
    Network(network.config, network.layers, network.w_out, RIGHT).save(path)
    assert Network.load(path).header == RIGHT


@pytest.mark.parametrize(("place", "value", "message"), WRONG_ENTRIES)
def test_a_wrong_entry_is_refused_when_loaded_and_when_saved(network, path, place, value, message):
    header = with_entry(place, value)
    change_header(path, lambda content: content.update(header=header))
    refused(path, message)
    other = path.with_name("b.safetensors")
    with pytest.raises(NetworkFileError) as error:
        Network(network.config, network.layers, network.w_out, header).save(other)
    assert str(error.value) == f"{other}: {message}"
    assert not other.exists()


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("place", ["decoder.phone_score", "features.mean.0", "log_leave.1"])
def test_a_number_that_is_none_is_refused(network, path, place, value):
    header = with_entry(place, value)
    change_header(path, lambda content: content.update(header=header))
    name = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    refused(path, f"its header is not JSON: {name} is not a number of JSON")
    with pytest.raises(
        NetworkFileError, match=r"b: header\.\S+ is -?(nan|inf): it must be a number"
    ):
        Network(network.config, network.layers, network.w_out, header).save(path.with_name("b"))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def places(value, place=()):
    """Every place in a JSON value, outermost first; of a list the first three."""
    yield place
    if isinstance(value, dict):
        inner = value.items()
    else:
        inner = enumerate(value[:3] if isinstance(value, list) else ())
    for key, entry in inner:
        yield from places(entry, (*place, key))


@cache
def speaking():
    """A small network with the shipped one's header."""
    config = AcceleratorConfig(n_input=40, hidden=(4,), recurrent=(False,), n_output=183, lanes=8)
    drawn = Network.random(config, 1)
    header = {**Network.load(zoo.path("speech")).header, "readout_bias": [0.0] * 183}
    return Network(config, drawn.layers, drawn.w_out, header)


PLACES = [place for place in places(speaking().header) if place]


def check_any_value(place, value):
    """A header with a value at a place is refused, or taken by all who read it."""
    network = speaking()
    header = copy.deepcopy(network.header)
    holder = header
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    try:
        check_header(header, network.config)
        network = Network(network.config, network.layers, network.w_out, header)
        cards.card("x", network).encode()
        json.dumps(cards.summary("x", network))
        evaluate.check(network)
    except NetworkError as error:
        assert str(error).startswith("header")  # noqa: PT017
        return
    except evaluate.EvaluationError as error:
        assert str(error).startswith("the network's ")  # noqa: PT017
        return
    log_mel = np.zeros((3, 40), np.float32)
    assert np.isfinite(evaluate.find_gain(header, "bdl", [log_mel]).db)
    inputs = features.append_delay(features.extract(np.zeros(800, np.float32), header), header)
    assert transcribe.phones_of(network.run(inputs).logits, network)
    assert list(BestPhones(network).add(np.zeros((1005, 1, 2), np.int64))) == []


@settings(max_examples=100)
@given(st.sampled_from(PLACES), JSON_VALUES)
def test_any_value_anywhere_in_a_header_is_taken_by_all_who_read_it_or_refused(place, value):
    check_any_value(place, value)


@pytest.mark.slow
@settings(max_examples=5000)
@given(st.sampled_from(PLACES), JSON_VALUES)
def test_many_values_everywhere_in_a_header_are_taken_by_all_who_read_it_or_refused(place, value):
    check_any_value(place, value)


def test_a_wrong_configuration_is_refused(path):
    change_header(path, lambda header: header["config"].update(time_steps=3))
    refused(path, "its configuration is wrong: time_steps is 3: it must be an integer, 1 to 2")


def test_a_changed_configuration_is_refused(path):
    was = preset("tiny").network_hash
    now = preset("tiny").replace(membrane_frac=3).network_hash
    change_header(path, lambda header: header["config"].update(membrane_frac=3))
    refused(
        path, f"network_hash is {was!r}, but its configuration's is {now!r}: the header was changed"
    )


def test_wrong_layer_parameters_are_refused(path):
    change_header(path, lambda header: header["layers"].pop())
    refused(path, "layers of its header must be a list of 2 objects")
    change_header(path, lambda header: header.update(layers=[{}, {}]))
    refused(
        path,
        "layer 0 of its header must have exactly decay_shift, decay_form, reset, input_shift",
    )


def test_a_layer_parameter_out_of_range_is_refused(path):
    change_header(path, lambda header: header["layers"][1].update(reset="soft"))
    refused(path, "layer 1: reset is 'soft': it must be 'zero' or 'subtract'")


def test_a_free_header_that_is_no_object_is_refused(path):
    change_header(path, lambda header: header.update(header=3))
    refused(path, "header of its header must be a JSON object")


# ---- tensors -----------------------------------------------------------------------------


def change_tensors(path, change):
    tensors, header = contents(path)
    change(tensors)
    rewrite(path, tensors, header)


def test_a_missing_tensor_is_refused(path):
    change_tensors(path, lambda tensors: tensors.pop("layers.1.w_rec"))
    refused(path, "tensor layers.1.w_rec is missing")


def test_an_unknown_tensor_is_refused(path):
    change_tensors(path, lambda tensors: tensors.update(bias=np.zeros(3, np.int8)))
    refused(path, "tensor bias is unknown")


def test_a_wrong_shape_is_refused(path):
    change_tensors(path, lambda tensors: tensors.update(w_out=tensors["w_out"].T.copy()))
    refused(path, "tensor w_out has shape (24, 16): it must be (16, 24)")


@pytest.mark.parametrize(
    ("dtype", "name"), [(np.int16, "I16"), (np.int32, "int32"), (np.float32, "F32")]
)
def test_a_wrong_type_is_refused(path, dtype, name):
    change_tensors(path, lambda tensors: tensors.update(w_out=tensors["w_out"].astype(dtype)))
    refused(path, f"tensor w_out has dtype {name}: it must be int8")


def test_a_weight_beyond_4_bits_is_refused(path):
    def change(tensors):
        tensors["layers.1.w_in"][5, 2] = 8

    change_tensors(path, change)
    refused(path, "layer 1, neuron 2: w_in[5] is 8: a weight must be -8 to 7")


def test_sums_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    config = preset("tiny").replace(acc_bits=8)
    Network.random(config, 1).save(path)
    change_tensors(path, lambda tensors: tensors["w_out"].fill(7))
    refused(
        path,
        "readout, output 0: the readout sum can reach 224, beyond 127 of acc_bits 8: "
        "acc_bits 9 would be enough for this network",
    )


# ---- writing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({1, 2}, "Object of type set is not JSON serializable"),
        (float("nan"), "Out of range float values are not JSON compliant"),
    ],
)
def test_a_header_that_is_not_json_is_refused(network, tmp_path, value, reason):
    path = tmp_path / "a.safetensors"
    network.header["x"] = value
    with pytest.raises(NetworkFileError) as error:
        network.save(path)
    assert str(error.value).startswith(f"{path}: the header is not JSON: {reason}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named(network, tmp_path):
    path = tmp_path / "none" / "a.safetensors"
    with pytest.raises(NetworkFileError) as error:
        network.save(path)
    assert str(error.value) == f"{path}: cannot be written: No such file or directory"


def test_a_directory_is_not_replaced(network, tmp_path):
    with pytest.raises(NetworkFileError) as error:
        network.save(tmp_path)
    assert str(error.value) == f"{tmp_path}: cannot be written: Is a directory"
    assert [path.name for path in tmp_path.parent.iterdir() if ".tmp" in path.name] == []


def test_a_failed_write_leaves_the_old_file(network, path, monkeypatch):
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(network_file.os, "fsync", full)
    network.header["more"] = "x"
    with pytest.raises(NetworkFileError) as error:
        network.save(path)
    assert str(error.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
