# SPDX-License-Identifier: Apache-2.0
"""A network as the contents of the machine's memories (docs/architecture.md, "Memory map")."""

from __future__ import annotations

from typing import Any

import numpy as np

from golden_model.fixed_point import signed_range
from golden_model.layer import bias_rows
from golden_model.network import Network
from hw.config import AcceleratorConfig
from hw.schedule import Schedule

__all__ = ["memory_image", "packed_rows", "padded_thresholds", "tile_columns"]


def tile_columns(config: AcceleratorConfig, values: np.ndarray, tile: int, fill: int) -> np.ndarray:
    """The columns of a tile, [..., lanes], of `values` [..., n]; missing lanes hold `fill`."""
    part = values[..., tile * config.lanes : (tile + 1) * config.lanes]
    padded = np.full((*part.shape[:-1], config.lanes), fill, values.dtype)
    padded[..., : part.shape[-1]] = part
    return padded


def padded_thresholds(config: AcceleratorConfig, network: Network) -> np.ndarray:
    """Thresholds [tiles of all layers, lanes]; missing lanes have the largest, and never spike."""
    most = signed_range(config.membrane_bits)[1]
    return np.stack(
        [
            tile_columns(config, parameters.threshold, tile, most)
            for layer, parameters in enumerate(network.layers)
            for tile in range(config.tiles(layer))
        ]
    )


def memory_image(config: AcceleratorConfig, network: Network) -> dict[str, Any]:
    """What to write into a machine of this configuration so that it computes this network.

    Returns
    -------
    "input", "hidden", "readout"
        Per bank, lane values [rows, lanes] int8; missing lanes and
        unused rows are 0.
    "thresholds"
        [tiles of all layers, lanes] int32, layer 0's tiles first.

    Raises
    ------
    NetworkError
        The network is for other shapes or formats, or its shifts are too large.
    """
    network = network.on(config)
    schedule = Schedule(config)
    image: dict[str, Any] = {
        name: [np.zeros((shape.rows, config.lanes), np.int8) for _ in range(shape.banks)]
        for name, shape in schedule.memories.items()
    }
    for layer, parameters in enumerate(network.layers):
        for tile in range(config.tiles(layer)):
            for matrix in ("w_in", "w_rec"):
                weights = getattr(parameters, matrix)
                if weights is None:
                    continue
                for i, row in enumerate(tile_columns(config, weights, tile, 0)):
                    if matrix == "w_in" and layer == 0:
                        image["input"][0][schedule.input_row(tile, i)] = row
                    else:
                        bank, address = schedule.hidden_row(matrix, layer, tile, i)
                        image["hidden"][bank][address] = row
            if parameters.bias is not None:
                for bank, row in enumerate(bias_rows(parameters.bias)):
                    columns = tile_columns(config, row, tile, 0)
                    image["hidden"][bank][schedule.bias_row(layer, tile)] = columns
    for tile in range(config.output_tiles):
        for i, row in enumerate(tile_columns(config, network.w_out, tile, 0)):
            bank, address = schedule.readout_row(tile, i)
            image["readout"][bank][address] = row
    image["thresholds"] = padded_thresholds(config, network)
    return image


def packed_rows(values: np.ndarray, width: int) -> list[int]:
    """Rows [rows, lanes] packed: `width` bits a lane, lane j in bits width*j + width-1 .. width*j.

    Negative values are two's complement. Returns one Python int per row.
    """
    bits = (values[..., np.newaxis].astype(np.int64) >> np.arange(width)) & 1
    bits = bits.astype(np.uint8).reshape(len(values), values.shape[1] * width)
    packed = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
