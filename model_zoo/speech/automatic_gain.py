# SPDX-License-Identifier: Apache-2.0
"""A slow automatic gain: recordings of any level become those that a network was trained on.

It works on log-mel energies, where a gain is a sum, and is causal: a frame's gain depends on that
frame and on those before it, never on the recording as a whole. With e(t) the mean over the
coefficients of frame t, a follower L keeps to the louder sounds:

    L <- L + rise (e - L)                   where e > L
         L - fall min(L - e, reach)         otherwise

and `target - L` is added to all coefficients of the frame. It rises within a syllable, and falls so
slowly that pauses hardly matter. A recording mostly begins with the background, so L begins
`headroom` above the first frame. Until a first frame exceeds it, it is a guess, and falls by the
larger share `settle`: a recording that begins in the middle of a word is soon loud enough. Frames
below `silence` (zeros of a file or of a muted microphone) leave L where it is.

All is relative to the recording: the features of a recording and of its copy at another level are
the same, but for what the copy lost to its 16 bits or gained by clipping.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

__all__ = ["AutomaticGain", "Follower"]

_ABOVE_MEAN = 2.2
"""How far the follower is above the mean energy of a recording, natural log: with the constants
below, in ARCTIC's and Kathleen's recordings. With longer pauses, as in LibriSpeech, it is up to 4.
"""


@dataclass(frozen=True)
class AutomaticGain:
    """The constants of the gain, in natural log units of energy and shares per frame of 10 ms.

    Attributes
    ----------
    target
        Energy that the follower is brought to.
    rise, fall, settle
        Shares of the way that the follower goes in a frame: up, down, and down as long as nothing
        has exceeded it.
    reach
        What is further below the follower than this pulls it down no more than this.
    headroom
        How far above the first frame the follower begins.
    silence
        Energy below which a frame is no sound at all.
    """

    target: float
    rise: float = 0.06
    fall: float = 0.002
    settle: float = 0.015
    reach: float = 3.0
    headroom: float = 6.5
    silence: float = 0.0

    @classmethod
    def to_level(cls, level: float) -> "AutomaticGain":
        """The gain that brings recordings to a mean log-mel energy, as far as it can be known."""
        return cls(round(level + _ABOVE_MEAN, 4))

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """A whole recording's log-mel energies `[frames, 40]` with the gain, as of a stream."""
        return Follower(self).accept(frames)

    def to_header(self) -> dict[str, float]:
        """The JSON form, which a network file has as `header["features"]["automatic_gain"]`."""
        return asdict(self)

    @classmethod
    def from_header(cls, entry: Mapping[str, Any]) -> "AutomaticGain":
        """The gain of a network file.

        Raises
        ------
        ValueError
            A constant is missing, or none that this program knows.
        """
        known = [f.name for f in fields(cls)]
        for name in known:
            if name not in entry:
                raise ValueError(f"header['features']['automatic_gain'] has no {name!r}")
        for name in entry:
            if name not in known:
                raise ValueError(
                    f"header['features']['automatic_gain'] has {name!r}, which this program does "
                    f"not know; it knows {', '.join(known)}"
                )
        return cls(**{name: float(entry[name]) for name in known})


class Follower:
    """An automatic gain while it runs: takes frames as they come."""

    def __init__(self, constants: AutomaticGain) -> None:
        self._constants = constants
        self._level: float | None = None  # none before the first sound
        self._exceeded = False

    def accept(self, frames: np.ndarray) -> np.ndarray:
        """Log-mel energies `[new frames, 40]` with the gain, float32."""
        frames = np.asarray(frames, np.float32)
        energies = frames.sum(axis=1, dtype=np.float64) / frames.shape[1]
        gains = np.array([self._gain(energy) for energy in energies.tolist()], np.float32)
        return frames + gains[:, None]

    def _gain(self, energy: float) -> float:
        """The gain of the next frame, from its mean energy."""
        by = self._constants
        if energy >= by.silence and math.isfinite(energy):
            if self._level is None:
                self._level = energy + by.headroom
            way = energy - self._level
            self._exceeded |= way > 0
            down = by.fall if self._exceeded else by.settle
            self._level += by.rise * way if way > 0 else down * max(way, -by.reach)
        level = by.silence + by.headroom if self._level is None else self._level
        return by.target - level
