# SPDX-License-Identifier: Apache-2.0
"""`plosive export`: network files to NIR graphs and the C driver's images, and graphs to ours."""

import os
from pathlib import Path
from typing import Any

from flows.verilog import network_image
from golden_model import Network, NetworkError
from golden_model.files import atomic_write, make_directory
from hw.config import AcceleratorConfig
from hw.errors import PlosiveError

__all__ = ["export_graph", "export_image", "import_graph"]


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
) -> dict[str, Any]:
    """Write a NIR graph as a network file.

    Parameters
    ----------
    graph
        A .nir file.
    output
        The .safetensors network file; written whole or not at all.
    fields, input_scale, dt, reset, nearest
        As for `model_zoo.exchange.nir_graph.from_nir`; dt None is its default.

    Returns
    -------
    dict
        JSON-able summary; `exact` tells whether the graph was ours, `conversion` what was rounded.

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
    try:
        held = module.from_nir(
            found,
            fields=fields,
            input_scale=input_scale,
            dt=module.DT if dt is None else dt,
            reset=reset,
            nearest=nearest,
        )
    except (module.ConversionError, NetworkError) as error:
        raise PlosiveError(f"{graph}: {error}") from error
    make_directory(output.parent)
    held.save(output)
    return _summary(held, output, exact=module.is_own(found))


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
