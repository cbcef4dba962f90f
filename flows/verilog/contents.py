# SPDX-License-Identifier: Apache-2.0
"""A network as the hardware holds it: memory contents, and the weight port's requests for them."""

from collections.abc import Iterator

import numpy as np

from golden_model import Network
from golden_model.memory_image import memory_image, packed_rows
from hw.config import AcceleratorConfig
from hw.core.core import Contents
from hw.core.neurons import LayerParameters, layer_parameters
from hw.core.weight_port import Region, regions, weight_request
from hw.errors import PlosiveError
from hw.schedule import WEIGHT_WORD_BITS, Schedule

__all__ = ["contents", "parameter_word", "weight_requests", "window_words"]

_REGIONS = {
    ("input", 0): Region.INPUT,
    ("hidden", 0): Region.HIDDEN_0,
    ("hidden", 1): Region.HIDDEN_1,
    ("readout", 0): Region.READOUT_0,
    ("readout", 1): Region.READOUT_1,
}

_REQUEST_BITS = 63  # of an int64 that is not negative


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
            name: [packed_rows(bank, config.weight_bits) for bank in banks]
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


def window_words(
    config: AcceleratorConfig, network: Network
) -> Iterator[tuple[Region, int, list[int]]]:
    """Each region of the weight port that a network fills: the region, words of a row, all words.

    Raises
    ------
    NetworkError
        The network is for other shapes or formats than the machine.
    """
    held = contents(config, network)
    per_row = -(-config.row_bits // WEIGHT_WORD_BITS)
    mask = (1 << WEIGHT_WORD_BITS) - 1
    for name, banks in held.rows.items():
        for bank, rows in enumerate(banks):
            words = [row >> WEIGHT_WORD_BITS * i & mask for row in rows for i in range(per_row)]
            yield _REGIONS[name, bank], per_row, words
    yield Region.THRESHOLD, config.lanes, [value for row in held.thresholds for value in row]
    yield Region.PARAMETER, 1, [parameter_word(config, layer) for layer in held.parameters]


def weight_requests(config: AcceleratorConfig, network: Network) -> np.ndarray:
    """Write requests that load a network, as payloads of the weight port (int64 [requests]).

    Raises
    ------
    NetworkError
        The network is for other shapes or formats than the machine.
    PlosiveError
        The machine's memories are so deep that a request has more than 63 bits.
    """
    schedule = Schedule(config)
    layout = weight_request(config, schedule)
    if layout.size > _REQUEST_BITS:
        rows = max(rows for rows, _ in regions(config, schedule).values())
        raise PlosiveError(
            f"lanes is {config.lanes!r}: a memory has {rows:,} rows, which takes requests of "
            f"{layout.size} bits on the weight port; they are loaded with {_REQUEST_BITS} bits at "
            "most: more lanes, or fewer neurons or outputs, take fewer rows"
        )
    requests: list[int] = []
    for region, per_row, words in window_words(config, network):
        for index, data in enumerate(words):
            row, word = divmod(index, per_row)
            fields = {"data": data, "word": word, "row": row, "region": region.value, "write": 1}
            requests.append(sum(v << layout[name].offset for name, v in fields.items()))
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
