# SPDX-License-Identifier: Apache-2.0
"""The network file: one .safetensors with the integer tensors and one JSON header. No pickles.

The tensors of a file are `layers.<l>.w_in`, `layers.<l>.w_rec` (recurrent layers only),
`layers.<l>.bias` (layers with one only), `layers.<l>.threshold` and `w_out`. The metadata holds one
entry, `plosive`: a JSON object with `format_version`, `config` (every field of AcceleratorConfig),
`network_hash`, `layers` (one object a layer: decay_shift, decay_form, reset, input_shift) and
`header` (scales, labels, feature normalisation, provenance, licence, and anything else;
`golden_model.files.header` checks what Plosive reads of it). See docs/numerics.md, "The network
file".
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from golden_model.errors import NetworkError, NetworkFileError
from golden_model.files.header import check_header
from golden_model.files.reading import InputError, open_regular, parse_json
from golden_model.files.writing import atomic_write
from hw.config import NETWORK_FIELDS, AcceleratorConfig, ConfigError
from hw.errors import PlosiveError

__all__ = [
    "FORMAT_VERSION",
    "LAYER_PARAMETERS",
    "differing_fields",
    "read",
    "tensor_shapes",
    "write",
]

FORMAT_VERSION = 1
METADATA_KEY = "plosive"
LAYER_PARAMETERS = ("decay_shift", "decay_form", "reset", "input_shift")
_KEYS = ("format_version", "config", "network_hash", "layers", "header")
_DTYPES = {"I8": "int8", "I32": "int32"}
# The largest network that a configuration allows has 0.9 GB of weights.
_MOST_BYTES = 1 << 30
# Of names, shapes and the JSON header. The shipped networks' are below 0.1 MB.
_MOST_HEADER_BYTES = 8 << 20


def tensor_shapes(config: AcceleratorConfig) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name to (shape, dtype) of every tensor in a file for this configuration."""
    shapes: dict[str, tuple[tuple[int, ...], str]] = {}
    for layer, neurons in enumerate(config.hidden):
        shapes[f"layers.{layer}.w_in"] = ((config.n_source(layer), neurons), "int8")
        if config.recurrent[layer]:
            shapes[f"layers.{layer}.w_rec"] = ((neurons, neurons), "int8")
        if config.has_bias(layer):
            shapes[f"layers.{layer}.bias"] = ((neurons,), "int8")
        shapes[f"layers.{layer}.threshold"] = ((neurons,), "int32")
    shapes["w_out"] = ((config.hidden[-1], config.n_output), "int8")
    return shapes


def write(
    path: str | os.PathLike[str],
    config: AcceleratorConfig,
    layers: list[dict[str, Any]],
    tensors: dict[str, np.ndarray],
    header: dict[str, Any],
) -> None:
    """Write a network file: the same bytes for the same content, whole or not at all.

    Parameters
    ----------
    path
        Where; an existing file is replaced in one step.
    layers
        `LAYER_PARAMETERS` of each layer.
    tensors
        The tensors that `tensor_shapes` lists.
    header
        Free, JSON-able.

    Raises
    ------
    NetworkFileError
        The header is not JSON-able or one that `read` would refuse, or the file
        cannot be written.
    """
    path = Path(path)
    try:
        check_header(header, config)
    except NetworkError as error:
        raise NetworkFileError(f"{path}: {error}") from error
    content = {
        "format_version": FORMAT_VERSION,
        "config": config.to_dict(),
        "network_hash": config.network_hash,
        "layers": layers,
        "header": header,
    }
    try:
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        parse_json(text)  # nests too deep, or holds half a character: `read` would refuse it
    except (TypeError, ValueError, RecursionError) as error:
        raise NetworkFileError(f"{path}: the header is not JSON: {error}") from error
    data = safetensors.numpy.save(
        {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
        metadata={METADATA_KEY: text},
    )
    try:
        atomic_write(path, data, parents=False)
    except PlosiveError as error:
        raise NetworkFileError(f"{path}: cannot be written: {_reason(error.__cause__)}") from error


def read(
    path: str | os.PathLike[str], expect: AcceleratorConfig | None = None
) -> tuple[AcceleratorConfig, list[dict[str, Any]], dict[str, np.ndarray], dict[str, Any]]:
    """Read a network file: (configuration, layer parameters, tensors, free header).

    Names, shapes and types of the tensors are checked here, before any is read, and so is the
    header; the tensors' values are checked where the Network is made. With `expect`, a file for
    another network hash is refused, and the configuration returned is `expect`.

    Raises
    ------
    NetworkFileError
        One line with the path and what is wrong.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise NetworkFileError(f"{path}: it is a directory, not a network file")
        if not path.exists():
            raise NetworkFileError(f"{path}: there is no such file")
        if not path.is_file():
            raise NetworkFileError(f"{path}: it is not a regular file")
        _check_sizes(path)
        with safetensors.safe_open(path, framework="np") as file:
            config, layers, header = _parse(path, file.metadata())
            if expect is not None:
                if differences := differing_fields(config, expect):
                    raise NetworkFileError(
                        f"{path}: it is for another network than the hardware's: {differences}"
                    )
                config = expect
            tensors = _read_tensors(path, file, tensor_shapes(config))
    except NetworkFileError:
        raise
    except safetensors.SafetensorError as error:
        raise NetworkFileError(
            f"{path}: it is not a whole .safetensors file: {_reason(error)}"
        ) from error
    except (OSError, ValueError) as error:
        raise NetworkFileError(f"{path}: cannot be read: {_reason(error)}") from error
    return config, layers, tensors, header


def _check_sizes(path: Path) -> None:
    """Refuse a file that is too large before the library reads its header into memory."""
    try:
        with open_regular(path, _MOST_BYTES) as file:
            length = int.from_bytes(file.read(8), "little")
    except InputError as error:
        opened = not isinstance(error.__cause__, OSError)
        said = error.reason if opened else f"cannot be read: {error.reason}"
        raise NetworkFileError(f"{path}: {said}") from error
    if length > _MOST_HEADER_BYTES and length <= path.stat().st_size:
        raise NetworkFileError(
            f"{path}: its header has {length:,} bytes: at most {_MOST_HEADER_BYTES:,} are read"
        )


def _reason(error: Exception) -> str:
    """The first line of an error, without errno and path."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.splitlines()[0] if text else type(error).__name__


def _parse(
    path: Path, metadata: dict[str, str] | None
) -> tuple[AcceleratorConfig, list[dict[str, Any]], dict[str, Any]]:
    if not metadata or METADATA_KEY not in metadata:
        raise NetworkFileError(f"{path}: it has no {METADATA_KEY!r} header: not a network file")
    try:
        content = parse_json(metadata[METADATA_KEY])
    except ValueError as error:
        raise NetworkFileError(f"{path}: its header is not JSON: {_reason(error)}") from error
    if not isinstance(content, dict):
        raise NetworkFileError(f"{path}: its header is not a JSON object")
    # The version first: another version may have other keys.
    version = content.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, (bool, float)):
        raise NetworkFileError(
            f"{path}: format_version is {version!r}: this program reads {FORMAT_VERSION}"
        )
    for key in _KEYS:
        if key not in content:
            raise NetworkFileError(f"{path}: its header has no {key!r}")
    try:
        config = AcceleratorConfig.from_dict(content["config"])
    except ConfigError as error:
        raise NetworkFileError(f"{path}: its configuration is wrong: {error}") from error
    if content["network_hash"] != config.network_hash:
        raise NetworkFileError(
            f"{path}: network_hash is {content['network_hash']!r}, but its configuration's is "
            f"{config.network_hash!r}: the header was changed"
        )
    layers, header = content["layers"], content["header"]
    if not isinstance(layers, list) or len(layers) != config.n_layers:
        raise NetworkFileError(
            f"{path}: layers of its header must be a list of {config.n_layers} objects"
        )
    for index, layer in enumerate(layers):
        if not isinstance(layer, dict) or sorted(layer) != sorted(LAYER_PARAMETERS):
            raise NetworkFileError(
                f"{path}: layer {index} of its header must have exactly "
                f"{', '.join(LAYER_PARAMETERS)}"
            )
    if not isinstance(header, dict):
        raise NetworkFileError(f"{path}: header of its header must be a JSON object")
    try:
        check_header(header, config)
    except NetworkError as error:
        raise NetworkFileError(f"{path}: {error}") from error
    return config, layers, header


def differing_fields(config: AcceleratorConfig, expect: AcceleratorConfig) -> str:
    """The fields of the network hash in which two configurations differ, in words; "" for none."""
    have, want = config.to_dict(), expect.to_dict()
    return "; ".join(
        f"{name} {have[name]!r} instead of {want[name]!r}"
        for name in NETWORK_FIELDS
        if have[name] != want[name]
    )


def _read_tensors(
    path: Path, file: Any, shapes: dict[str, tuple[tuple[int, ...], str]]
) -> dict[str, np.ndarray]:
    names = set(file.keys())
    for name in shapes:
        if name not in names:
            raise NetworkFileError(f"{path}: tensor {name} is missing")
    for name in sorted(names):
        if name not in shapes:
            raise NetworkFileError(f"{path}: tensor {name} is unknown")
    tensors = {}
    for name, (shape, dtype) in shapes.items():
        view = file.get_slice(name)
        have_shape, have_dtype = tuple(view.get_shape()), view.get_dtype()
        if have_shape != shape:
            raise NetworkFileError(
                f"{path}: tensor {name} has shape {have_shape}: it must be {shape}"
            )
        if _DTYPES.get(have_dtype) != dtype:
            raise NetworkFileError(
                f"{path}: tensor {name} has dtype {_DTYPES.get(have_dtype, have_dtype)}: "
                f"it must be {dtype}"
            )
        tensors[name] = file.get_tensor(name)
    return tensors
