# SPDX-License-Identifier: Apache-2.0
"""Rates of frames: how fast speech is, and how fast something processed it."""

__all__ = ["FRAMES_PER_S", "frames_per_s", "real_time_uw", "speech_seconds"]

FRAMES_PER_S = 100
"""Frames per second of speech: the step of the features is 10 ms."""


def frames_per_s(frames: int, seconds: float) -> float | None:
    """Frames processed per second, to one decimal; None if no time passed."""
    return round(frames / seconds, 1) if seconds else None


def speech_seconds(frames: int) -> float:
    """How long the speech of so many frames is."""
    return frames / FRAMES_PER_S


def real_time_uw(frame_nj: float) -> float:
    """Power of an energy that is spent in each frame of speech."""
    return frame_nj * 1e-3 * FRAMES_PER_S
