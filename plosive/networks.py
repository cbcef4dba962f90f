# SPDX-License-Identifier: Apache-2.0
"""Networks and features: from numpy arrays, files and recordings."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from flows.inputs import audio_features, network_file
from golden_model import Layer, Network, NetworkError
from golden_model.network import checked_features
from hw.config import AcceleratorConfig
from hw.errors import PlosiveError

__all__ = ["FeaturesError", "checked", "load", "network", "speech_features"]

_MOST_OUTPUT_LANES = 16  # the default of a configuration, where it divides 2 * lanes


class FeaturesError(PlosiveError, ValueError):
    """Features have another shape, type or range than the network takes."""


def network(
    layers: Sequence[Layer],
    w_out: np.ndarray,
    *,
    header: dict[str, Any] | None = None,
    **fields: Any,
) -> Network:
    """A network from numpy arrays, and the hardware for it.

    Parameters
    ----------
    layers
        One `Layer` for each hidden layer, first to last.
    w_out
        Weights of the readout, integers from -8 to 7, [neurons of the last layer, n_output].
    header
        JSON-able information to keep in the network's file, such as its licence.
    **fields
        Fields of `AcceleratorConfig` that the arrays do not give: `lanes`, `time_steps`,
        `acc_bits`, and so on. Without `output_lanes`, an output beat has as many logits as 16 and
        twice the lanes allow.

    Returns
    -------
    Network
        Its `config` is the hardware; `on` gives the same network for other lanes, `save` writes
        its file, and `run` computes what the hardware will.

    Raises
    ------
    ConfigError
        A field is unknown, or its value breaks its rule.
    NetworkError
        A shape, type or value is wrong, or a sum does not fit `acc_bits`.
    """
    shapes = [_shape(f"layer {index}", "w_in", layer.w_in) for index, layer in enumerate(layers)]
    outputs = _shape("readout", "w_out", w_out)[1]
    lanes = fields.get("lanes")
    if isinstance(lanes, int) and "output_lanes" not in fields:
        fields["output_lanes"] = math.gcd(_MOST_OUTPUT_LANES, 2 * lanes)
    config = AcceleratorConfig.from_dict(
        {
            "n_input": shapes[0][0] if shapes else 0,
            "hidden": [neurons for _, neurons in shapes],
            "recurrent": [layer.w_rec is not None for layer in layers],
            "bias": [layer.bias is not None for layer in layers],
            "n_output": outputs,
            **fields,
        }
    )
    return Network(config, list(layers), w_out, header)


def _shape(place: str, name: str, weights: Any) -> tuple[int, int]:
    """Rows and columns of a matrix."""
    try:
        shape = np.shape(weights)
    except ValueError:  # rows of different lengths
        raise NetworkError(f"{place}: {name} is not a matrix: its rows differ in length") from None
    if len(shape) != 2:
        raise NetworkError(
            f"{place}: {name} has shape {shape}: it must be a matrix, a row for each input"
        )
    return shape


def load(network: str | os.PathLike[str]) -> Network:
    """The network of a file, or a shipped one.

    Parameters
    ----------
    network
        A `.safetensors` file that `Network.save` or `plosive train` wrote, or a name that
        `plosive networks` lists, such as "speech".

    Raises
    ------
    PlosiveError
        There is neither such a file nor such a name.
    NetworkFileError
        The file is wrong.
    """
    return Network.load(network_file(network))


def speech_features(
    recording: str | os.PathLike[str], network: Network, gain_db: float = 0.0
) -> np.ndarray:
    """The features of a recording as a speech network takes them, int8 [frames, 40].

    Parameters
    ----------
    recording
        A 16 kHz mono recording, WAV or FLAC.
    network
        Its header says how features are normalised. A network without that information gets the
        features of the network "speech".
    gain_db
        Gain applied to the recording, dB.

    Raises
    ------
    AudioError
        The recording cannot be used.
    """
    return audio_features(recording, network.header, gain_db)


def checked(network: Network, features: np.ndarray) -> np.ndarray:
    """One utterance of features for a network, int8 [frames, n_input].

    Raises
    ------
    FeaturesError
        The features have another shape, type or range, or there is no frame.
    """
    try:
        found = checked_features(network.config, features)
    except ValueError as error:
        raise FeaturesError(str(error)) from error
    if found.ndim != 2 or len(found) == 0:
        raise FeaturesError(
            f"features have shape {found.shape}: it must be [frames, {network.config.n_input}], "
            "one utterance of at least one frame"
        )
    return found
