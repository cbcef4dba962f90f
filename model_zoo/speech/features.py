# SPDX-License-Identifier: Apache-2.0
"""The host's feature extractor: 40 log-mel energies per 10 ms, as int8.

Every step is causal: a frame depends on its own 25 ms of samples, on constants from the network
file and, where the network has an automatic gain, on the frames before it. So a stream gives the
same integers as the whole recording.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import kaldi_native_fbank
import numpy as np

from model_zoo.speech.audio import FRAME_SAMPLES, SAMPLE_RATE
from model_zoo.speech.automatic_gain import AutomaticGain, Follower

__all__ = [
    "DB",
    "FRAME_SECONDS",
    "HOP_SAMPLES",
    "N_MELS",
    "FeatureStream",
    "LogMelStream",
    "Normalisation",
    "append_delay",
    "extract",
    "log_mel",
    "mean_level",
    "quantised",
]

N_MELS = 40
HOP_SAMPLES = 160
FRAME_SECONDS = HOP_SAMPLES / SAMPLE_RATE
"""Seconds from one frame to the next."""
DB = 10 / np.log(10)
"""Decibels per unit of a log-mel energy, which is a natural logarithm."""


class LogMelStream:
    """Log-mel energies of a stream of samples (Kaldi's filter bank, no dither)."""

    def __init__(self) -> None:
        options = kaldi_native_fbank.FbankOptions()
        options.frame_opts.samp_freq = SAMPLE_RATE
        options.frame_opts.dither = 0.0
        options.frame_opts.frame_length_ms = 1000 * FRAME_SAMPLES / SAMPLE_RATE
        options.frame_opts.frame_shift_ms = 1000 * FRAME_SECONDS
        options.frame_opts.snip_edges = True
        options.mel_opts.num_bins = N_MELS
        options.use_energy = False
        self._bank = kaldi_native_fbank.OnlineFbank(options)
        self._taken = 0

    def accept(self, samples: np.typing.ArrayLike) -> np.ndarray:
        """Take the next samples, give the frames that they complete.

        Parameters
        ----------
        samples
            Any number of samples, full scale 1.0.

        Returns
        -------
        numpy.ndarray
            Natural logarithms of mel energies (of samples in 16-bit units), float32
            `[new frames, 40]`.
        """
        scaled = np.asarray(samples, np.float32) * np.float32(32768)
        if len(scaled):
            self._bank.accept_waveform(SAMPLE_RATE, scaled)
        ready = self._bank.num_frames_ready
        frames = np.empty((ready - self._taken, N_MELS), np.float32)
        for row in range(len(frames)):
            frames[row] = self._bank.get_frame(self._taken + row)
        if len(frames):
            self._bank.pop(len(frames))
        self._taken = ready
        return frames


def log_mel(samples: np.typing.ArrayLike) -> np.ndarray:
    """Log-mel energies, float32 `[frames, 40]`, of a whole recording `[samples]`."""
    return LogMelStream().accept(samples)


def mean_level(log_mels: Sequence[np.ndarray]) -> float:
    """Mean log-mel energy of recordings, a list of float32 `[frames, 40]`."""
    total = sum(float(frames.sum(dtype=np.float64)) for frames in log_mels)
    return total / sum(frames.size for frames in log_mels)


@dataclass(frozen=True)
class Normalisation:
    """The fixed affine map from log-mel energies to int8, the same for every recording.

    Parameters
    ----------
    mean, std
        Reference level and spread of each coefficient, in log-mel units, `[40]`. The reference
        level maps to 0.
    scale
        int8 steps per `std`.
    automatic_gain
        Gain that the energies have already had when the map is applied; None for none.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    # Stages of training are known by the text of this object and by the energies they are given,
    # which have had the gain.
    automatic_gain: AutomaticGain | None = field(default=None, repr=False)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """int8 `[frames, 40]` of log-mel energies `[frames, 40]`; rounds, then clips."""
        mean, std = np.float32(self.mean), np.float32(self.std)
        steps = np.rint((np.asarray(frames, np.float32) - mean) * (np.float32(self.scale) / std))
        return np.clip(steps, -128, 127).astype(np.int8)

    def to_header(self) -> dict[str, Any]:
        """The JSON form that a network file carries as `header["features"]`."""
        entry = {
            "kind": "log_mel",
            "sample_rate": SAMPLE_RATE,
            "frame_samples": FRAME_SAMPLES,
            "hop_samples": HOP_SAMPLES,
            "mean": list(self.mean),
            "std": list(self.std),
            "scale": self.scale,
        }
        if self.automatic_gain is not None:
            entry["automatic_gain"] = self.automatic_gain.to_header()
        return entry

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> "Normalisation":
        """The normalisation of a network file's header.

        Raises
        ------
        ValueError
            The header has no features entry, or one of another kind of features.
        """
        entry = header.get("features")
        if not isinstance(entry, dict):
            raise ValueError(
                "header['features'] is missing; the network file must say how its "
                "inputs are normalised"
            )
        expected = {
            "kind": "log_mel",
            "sample_rate": SAMPLE_RATE,
            "frame_samples": FRAME_SAMPLES,
            "hop_samples": HOP_SAMPLES,
        }
        for name, value in expected.items():
            if entry.get(name) != value:
                raise ValueError(
                    f"header['features'][{name!r}] is {entry.get(name)!r}; this "
                    f"extractor computes {value!r}"
                )
        for name in ("mean", "std"):
            if len(entry[name]) != N_MELS:
                raise ValueError(
                    f"header['features'][{name!r}] has {len(entry[name])} values; "
                    f"it must have {N_MELS}"
                )
        gain = entry.get("automatic_gain")
        return cls(
            tuple(entry["mean"]),
            tuple(entry["std"]),
            float(entry["scale"]),
            None if gain is None else AutomaticGain.from_header(gain),
        )


class FeatureStream:
    """int8 features of a stream of samples.

    Parameters
    ----------
    header
        The header of the network file that the features are for.
    gain
        dB, the turn of a microphone's knob. Level matters to a network without automatic gain;
        one that has it undoes the turn.
    """

    def __init__(self, header: Mapping[str, Any], gain: float = 0.0) -> None:
        self._normalise = Normalisation.from_header(header)
        self._log_mel = LogMelStream()
        self._gain = np.float32(gain / DB)
        automatic = self._normalise.automatic_gain
        self._follower = None if automatic is None else Follower(automatic)

    def accept(self, samples: np.typing.ArrayLike) -> np.ndarray:
        """Take the next samples `[samples]`, give int8 `[new frames, 40]`."""
        return self.accept_log_mel(self._log_mel.accept(samples))

    def accept_log_mel(self, frames: np.ndarray) -> np.ndarray:
        """Take log-mel energies `[new frames, 40]` in place of the next samples."""
        frames = frames + self._gain
        if self._follower is not None:
            frames = self._follower.accept(frames)
        return self._normalise(frames)


def extract(
    samples: np.typing.ArrayLike, header: Mapping[str, Any], gain: float = 0.0
) -> np.ndarray:
    """int8 features `[frames, 40]` of a whole recording, as of one `FeatureStream`."""
    return FeatureStream(header, gain).accept(samples)


def quantised(log_mel: np.ndarray, header: Mapping[str, Any]) -> np.ndarray:
    """What `extract` gives, for a whole recording's log-mel energies `[frames, 40]`."""
    return FeatureStream(header).accept_log_mel(log_mel)


def append_delay(features: np.ndarray, header: Mapping[str, Any]) -> np.ndarray:
    """The features with the zero frames behind them that flush the network's label delay.

    Parameters
    ----------
    features
        int8 `[frames, 40]`.
    header
        The network file's header; `label_delay` D is in frames.

    Returns
    -------
    numpy.ndarray
        int8 `[frames + D, 40]`.
    """
    return np.pad(features, ((0, header.get("label_delay", 0)), (0, 0)))
