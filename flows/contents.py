# SPDX-License-Identifier: Apache-2.0
"""A network as the hardware holds it: memory contents, and the weight port's requests for them."""

import numpy as np

from golden_model import Network
from golden_model.memory_image import memory_image, row_words
from hw.config import AcceleratorConfig
from hw.core import Contents
from hw.neurons import LayerParameters, layer_parameters
from hw.schedule import Schedule
from hw.weight_port import WORD_BITS, Region, weight_request

__all__ = ["contents", "parameter_word", "weight_requests"]

_REGIONS = {
    ("input", 0): Region.INPUT,
    ("hidden", 0): Region.HIDDEN_0,
    ("hidden", 1): Region.HIDDEN_1,
    ("readout", 0): Region.READOUT_0,
    ("readout", 1): Region.READOUT_1,
}


def contents(config: AcceleratorConfig, network: Network) -> Contents:
    """What a network puts into the memories and registers of a machine.

    Raises
    ------
    NetworkError
        The network is for other shapes or formats than the machine.
    """
    image = memory_image(config, network)
    return Contents(
        rows={
            name: [row_words(bank, config.weight_bits) for bank in banks]
            for name, banks in image.items()
            if name in ("input", "hidden", "readout") and len(banks[0])
        },
        thresholds=image["thresholds"].tolist(),
        parameters=[
            LayerParameters(
                input_shift=layer.input_shift,
                decay_shift=layer.decay_shift,
                decay_form=int(layer.decay_form == "scale"),
                reset=int(layer.reset == "subtract"),
            )
            for layer in network.layers
        ],
    )


def weight_requests(config: AcceleratorConfig, network: Network) -> np.ndarray:
    """Write requests that load a network, as payloads of the weight port (int64 [requests])."""
    held = contents(config, network)
    layout = weight_request(config, Schedule(config))
    requests: list[int] = []

    def write(region: Region, row: int, word: int, value: int) -> None:
        fields = {"data": value, "word": word, "row": row, "region": region.value, "write": 1}
        requests.append(sum(v << layout[name].offset for name, v in fields.items()))

    mask = (1 << WORD_BITS) - 1
    for name, banks in held.rows.items():
        for bank, rows in enumerate(banks):
            for row, value in enumerate(rows):
                for word in range(-(-config.row_bits // WORD_BITS)):
                    write(_REGIONS[name, bank], row, word, value >> (word * WORD_BITS) & mask)
    for row, thresholds in enumerate(held.thresholds):
        for lane, threshold in enumerate(thresholds):
            write(Region.THRESHOLD, row, lane, threshold)
    for row, layer in enumerate(held.parameters):
        write(Region.PARAMETER, row, 0, parameter_word(config, layer))
    return np.array(requests, np.int64)


def parameter_word(config: AcceleratorConfig, layer: LayerParameters) -> int:
    """The parameters of a layer as the weight port takes them."""
    value = layer_parameters(config).const(
        {
            "lif": {
                "decay_shift": layer.decay_shift,
                "decay_form": layer.decay_form,
                "reset": layer.reset,
            },
            "input_shift": layer.input_shift,
        }
    )
    return value.as_value().value
