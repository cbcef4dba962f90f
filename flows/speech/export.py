# SPDX-License-Identifier: Apache-2.0
"""`plosive export`: network files to NIR graphs and the C driver's images, and graphs to ours."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from flows.verilog import network_image
from golden_model import Network, NetworkError, random_features
from golden_model.files.writing import atomic_write, make_directory
from golden_model.network import checked_features
from hw.config import AcceleratorConfig
from hw.errors import PlosiveError

__all__ = ["export_graph", "export_image", "import_graph"]

_DOUBTFUL_FRAMES = 500  # run on where a conversion has warnings


def _nir_graph() -> Any:
    """The module that needs the package nir."""
    try:
        from model_zoo.exchange import nir_graph
    except ModuleNotFoundError as error:
        if error.name not in ("nir", "h5py"):
            raise
        raise PlosiveError(
            "NIR files need the package nir, which is not installed: "
            "pip install 'plosive[exchange]'"
        ) from error
    return nir_graph


def _check_suffix(path: Path, suffix: str, option: str) -> None:
    if path.suffix != suffix:
        raise PlosiveError(f"-o {path}: with {option} it is a {suffix} file, so name it *{suffix}")


def export_graph(network: str | os.PathLike[str], output: str | os.PathLike[str]) -> dict[str, Any]:
    """Write a network file as a NIR graph.

    Parameters
    ----------
    network
        A .safetensors network file.
    output
        The .nir file; written whole or not at all.

    Returns
    -------
    dict
        JSON-able summary.

    Raises
    ------
    PlosiveError, NetworkError
        A file cannot be read or written, or the header is not JSON.
    """
    output = Path(output)
    _check_suffix(output, ".nir", "--network")
    module = _nir_graph()
    held = Network.load(network)
    try:
        data = module.to_bytes(held)
    except module.ConversionError as error:
        raise PlosiveError(f"{network}: {error}") from error
    atomic_write(output, data)
    return _summary(held, output, exact=True)


def export_image(
    config: AcceleratorConfig, network: str | os.PathLike[str], output: str | os.PathLike[str]
) -> dict[str, Any]:
    """Write a network file as the image that the C driver loads.

    Parameters
    ----------
    config
        The hardware: the image is in the layout of its memories.
    network
        A .safetensors network file.
    output
        The .bin or .h file; written whole or not at all.

    Returns
    -------
    dict
        JSON-able summary.

    Raises
    ------
    PlosiveError, NetworkError
        A file cannot be read or written, or the network is for other hardware.
    """
    output = Path(output)
    held = Network.load(network, config)
    words = network_image.write_image(config, held, output)
    return {**_summary(held, output, exact=True), "words": words}


def import_graph(
    graph: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    fields: dict[str, Any] | None = None,
    input_scale: float = 1.0,
    dt: float | None = None,
    reset: str = "zero",
    nearest: bool = False,
    check: str | os.PathLike[str] | None = None,
    random_frames: int | None = None,
    seed: int = 1,
) -> dict[str, Any]:
    """Write a NIR graph as a network file, and run both beside each other.

    Parameters
    ----------
    graph
        A .nir file.
    output
        The .safetensors network file; written whole or not at all.
    fields, input_scale, dt, reset, nearest
        See `model_zoo.exchange.nir_graph.from_nir`; dt None is its default.
    check
        A .npy file of features, int8 `[frames, n_input]`, to run graph and network on.
    random_frames
        Run both on that many frames of random features. Without `check` and `random_frames` they
        run, on 500, only if the conversion has warnings.
    seed
        Seed of the random features.

    Returns
    -------
    dict
        JSON-able summary; `exact` tells whether the graph was ours, `conversion` what was rounded,
        `dt` the time step that was used and `fidelity` what both runs have in common, as
        `model_zoo.exchange.fidelity.compare` returns it, or None.

    Raises
    ------
    PlosiveError, NetworkError
        The file cannot be read or written, or the hardware cannot run the network.
    ConfigError
        A field breaks its rule.
    """
    graph, output = Path(graph), Path(output)
    _check_suffix(output, ".safetensors", "--nir")
    module = _nir_graph()
    try:
        found = module.read(graph)
    except module.ConversionError as error:
        raise PlosiveError(str(error)) from error
    dt = module.DT if dt is None else dt
    meaning = {"input_scale": input_scale, "dt": dt, "reset": reset}
    try:
        with warnings.catch_warnings():
            # They are in the header, and the command prints them.
            warnings.simplefilter("ignore", module.ConversionWarning)
            held = module.from_nir(found, fields=fields, nearest=nearest, **meaning)
    except (module.ConversionError, NetworkError) as error:
        raise PlosiveError(f"{graph}: {error}") from error
    exact = module.is_own(found)
    doubtful = not exact and bool(held.header["conversion"]["warnings"])
    features = None
    if check is not None:
        features = _features(Path(check), held)
    elif random_frames is not None or doubtful:
        features = random_features(held.config, random_frames or _DOUBTFUL_FRAMES, seed)
    fidelity = None
    if features is not None:
        fidelity = module.check_graph(found, held, features, **meaning)
    make_directory(output.parent)
    held.save(output)
    return {**_summary(held, output, exact=exact), "dt": dt, "fidelity": fidelity}


def _features(path: Path, network: Network) -> np.ndarray:
    """Features of a .npy file that fit a network."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a .npy file of numbers"
        raise PlosiveError(f"{path}: {reason}") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or not len(values):
        raise PlosiveError(
            f"{path}: it must hold one array of features, int8 [frames, n_input], one frame or more"
        )
    try:
        return checked_features(network.config, values)
    except ValueError as error:
        raise PlosiveError(f"{path}: {error}") from error


def _summary(network: Network, output: Path, *, exact: bool) -> dict[str, Any]:
    config = network.config
    return {
        "file": str(output),
        "bytes": output.stat().st_size,
        "exact": exact,
        "n_input": config.n_input,
        "hidden": list(config.hidden),
        "recurrent": list(config.recurrent),
        "n_output": config.n_output,
        "time_steps": config.time_steps,
        "acc_bits": config.acc_bits,
        "acc_bits_needed": network.acc_bits_needed,
        "configuration_hash": config.config_hash,
        "network_hash": config.network_hash,
        "conversion": None if exact else network.header["conversion"],
    }
