# SPDX-License-Identifier: Apache-2.0
"""The level of recordings beside that of a network: one gain for all, if it has none of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from golden_model.files.header import provenance
from model_zoo.speech import features

__all__ = ["Gain", "find_gain", "level_above"]


@dataclass(frozen=True)
class Gain:
    """One gain for all recordings, the turn of a microphone's knob; and where it is from."""

    db: float
    source: str

    def __call__(self, log_mel: np.ndarray) -> np.ndarray:
        """Log-mel energies `[frames, 40]` at the gain."""
        return log_mel + np.float32(self.db / features.DB)


def find_gain(header: dict[str, Any], corpus: str, log_mels: Sequence[np.ndarray]) -> Gain:
    """The gain that brings recordings to the level that the network was trained at.

    The network's normalisation is fixed, so level matters. A corpus that its recipe names has a
    gain in the file; another gets one gain for all its recordings, to the same mean energy. A
    network with an automatic gain needs none of this.

    Parameters
    ----------
    header
        Header of the network file.
    corpus
        Name of the corpus.
    log_mels
        Log-mel energies of the recordings without added noise.

    Returns
    -------
    Gain
    """
    if _is_automatic(header):
        return Gain(0.0, "none: the network file has an automatic gain")
    known = provenance(header).get("gain_db", {}).get(corpus)
    if known is not None:
        return Gain(float(known), "the network file's, of this corpus")
    above = level_above(header, log_mels)
    if above is None:
        return Gain(0.0, "none: the network file does not say its level")
    return Gain(round(-above, 1), "one for all these recordings, to its level")


def _is_automatic(header: dict[str, Any]) -> bool:
    return "automatic_gain" in header.get("features", {})


def level_above(header: dict[str, Any], log_mels: Sequence[np.ndarray]) -> float | None:
    """How far recordings are above the level that a network was trained at, dB.

    None where the network's file does not say its level, or has an automatic gain.
    """
    if _is_automatic(header):
        return None
    level = provenance(header).get("recipe", {}).get("level")
    if level is None:
        return None
    return (features.mean_level(log_mels) - level) * features.DB
