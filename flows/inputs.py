# SPDX-License-Identifier: Apache-2.0
"""What the commands are given, checked: a configuration, a network, features."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from golden_model import Network
from golden_model.files.reading import parse_json, read_json
from hw.config import AcceleratorConfig, ConfigError, preset
from hw.errors import PlosiveError
from model_zoo import zoo

__all__ = [
    "DEFAULT_NETWORK",
    "audio_features",
    "changed_fields",
    "configuration",
    "default_network",
    "fitting_features",
    "network_file",
    "sample_features",
    "speech_samples",
]

DEFAULT_NETWORK = zoo.path("speech")
"""The shipped speech network."""


def configuration(
    name: str | None,
    file: str | os.PathLike[str] | None,
    changes: Sequence[str] = (),
    network: str | os.PathLike[str] | None = None,
) -> AcceleratorConfig:
    """The configuration of a preset's name or of a JSON file, with `field=value` changes.

    Without both it is that in the network's file, if there is one.

    Raises
    ------
    PlosiveError
        Neither or both were given, the file cannot be read, or a change is no `field=value`.
    ConfigError
        A value breaks its rule.
    NetworkFileError
        The network's configuration is asked for and its file is wrong.
    """
    if name is None and file is None and network is not None:
        config = Network.load(network).config
    elif (name is None) == (file is None):
        raise PlosiveError("give either --preset or --config: one of them names the hardware")
    else:
        config = preset(name) if name is not None else _read_configuration(Path(file))
    values = changed_fields(changes)
    return config.replace(**values) if values else config


def changed_fields(changes: Sequence[str]) -> dict[str, Any]:
    """Names and values of `field=value` texts.

    Raises
    ------
    PlosiveError
        One is not of that form.
    """
    values = {}
    for change in changes:
        field, separator, text = change.partition("=")
        if not separator:
            raise PlosiveError(f"--set {change!r}: it must be field=value, for example lanes=64")
        values[field.strip()] = _value(text)
    return values


def _value(text: str) -> object:
    """A JSON value, or the text itself, which the configuration will refuse by name."""
    try:
        return parse_json(text)
    except ValueError:
        return text


def _read_configuration(path: Path) -> AcceleratorConfig:
    values = read_json(path)
    if isinstance(values, dict) and "configuration" in values:  # a plosive.json
        values = values["configuration"]
    try:
        return AcceleratorConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def default_network() -> Path:
    """Where the shipped network is.

    Raises
    ------
    PlosiveError
        This installation has none.
    """
    if not DEFAULT_NETWORK.is_file():
        raise PlosiveError(f"{DEFAULT_NETWORK}: the shipped network is missing; give --network")
    return DEFAULT_NETWORK


def network_file(name: str | os.PathLike[str]) -> Path:
    """The file of a network that is given as a path, or as a name of the zoo.

    A file of that name comes before the zoo's network.

    Raises
    ------
    PlosiveError
        It is neither.
    """
    path = Path(name)
    if path.exists() or path.suffix:
        return path
    if str(name) in zoo.names():
        return zoo.path(name)
    raise PlosiveError(
        f"{path}: there is no such file; by name the zoo has {', '.join(zoo.names())}"
    )


def audio_features(
    path: str | os.PathLike[str], header: dict[str, Any], gain: float = 0.0
) -> np.ndarray:
    """Features [frames, 40] int8 of a recording, with the zero frames of the label delay behind.

    Parameters
    ----------
    path
        A 16 kHz mono recording.
    header
        The network's header says how features are normalised. A network without that (a random
        one) gets the shipped network's features.
    gain
        Gain applied to the recording, in dB.

    Raises
    ------
    AudioError
        The recording cannot be used.
    PlosiveError
        The header is for other features than this program computes.
    """
    from model_zoo.speech import audio

    return sample_features(audio.load(path), header, gain)


def sample_features(samples: np.ndarray, header: dict[str, Any], gain: float = 0.0) -> np.ndarray:
    """What `audio_features` gives, for samples (`[samples]`, 16 kHz, full scale 1.0)."""
    from model_zoo.speech import features

    if "features" not in header:
        header = Network.load(default_network()).header
    try:
        return features.append_delay(features.extract(samples, header, gain), header)
    except (KeyError, TypeError, ValueError) as error:
        raise PlosiveError(f"the network's header is wrong: {error}") from error


def speech_samples(
    path: str | os.PathLike[str], note: Callable[[str], None] | None = None
) -> np.ndarray:
    """The samples of a recording that somebody is to be heard in, float32 `[samples]`.

    Hardware may be fed with silence to see what that costs; phones in it would be heard from
    nothing.

    Parameters
    ----------
    path
        A 16 kHz mono recording, or "-" for standard input.
    note
        Takes a line on a recording whose header does not say its length, see `audio.decode`.

    Raises
    ------
    AudioError
        The recording cannot be used, or is silent.
    """
    from model_zoo.speech import audio

    samples = audio.load(path, note)
    silence = audio.silence(samples)
    if silence is not None:
        raise audio.AudioError(f"{audio.name_of(path)}: {silence}")
    return samples


def fitting_features(config: AcceleratorConfig, features: np.ndarray) -> np.ndarray:
    """The features, if the hardware takes as many a frame.

    Raises
    ------
    PlosiveError
        It does not.
    """
    if features.shape[1] != config.n_input:
        raise PlosiveError(
            f"the recording has {features.shape[1]} features a frame, the hardware takes n_input "
            f"{config.n_input}: choose a preset with n_input {features.shape[1]}"
        )
    return features
