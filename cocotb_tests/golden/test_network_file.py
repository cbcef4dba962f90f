# SPDX-License-Identifier: Apache-2.0
"""The network file: what comes back, the same bytes, nothing half-written, every message."""

import json
import os

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from cocotb_tests.configurations import configurations
from golden_model import Network, NetworkError, NetworkFileError, network_file
from hw.config import preset


@pytest.fixture
def network():
    drawn = Network.random(preset("tiny"), 3)
    header = {"labels": ["a", "b"], "scales": {"w_out": 0.25}, "licence": "CC0-1.0", "ä": None}
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


@settings(max_examples=60)
@given(position=st.integers(0, 4000), value=st.integers(0, 255))
def test_a_changed_byte_loads_or_is_refused_in_one_line(tmp_path_factory, position, value):
    path = tmp_path_factory.mktemp("network") / "a.safetensors"
    Network.random(preset("tiny"), 3).save(path)
    data = bytearray(path.read_bytes())
    data[position % len(data)] = value
    path.write_bytes(data)
    message = f"{path}: "
    try:
        Network.load(path)
    except NetworkFileError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


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
