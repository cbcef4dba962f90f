# SPDX-License-Identifier: Apache-2.0
"""Frames per second through a board."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from flows.host.device import Device, DeviceError, best_of
from flows.host.figures import Throughput
from flows.progress import Progress, silent
from flows.rates import frames_per_s
from golden_model import Network, random_features

__all__ = ["throughput"]


def throughput(
    device: Device,
    network: Network,
    *,
    best: bool,
    frames: int = 48,
    seed: int = 1,
    clock: Callable[[], float] | None = None,
    progress: Progress = silent,
) -> Throughput:
    """Send random features to the board, and compare the results with the golden model.

    Parameters
    ----------
    network
        The network that the board has.
    best
        Read the best-N list instead of all logits.
    clock
        A simulated board's own time, in seconds.

    Raises
    ------
    DeviceError
        The board has no best-N list, stops, or its results are wrong.
    """
    features = random_features(device.config, frames, seed)
    logits = network.run(features).logits
    expected = best_of(logits, device.identity.best) if best else logits
    started, before = time.monotonic(), clock() if clock else 0.0
    actual = (device.best if best else device.run)(features, progress)
    seconds, after = time.monotonic() - started, clock() if clock else 0.0
    if not np.array_equal(actual, expected):
        raise DeviceError(f"{device.link.name}: the board computes something else: see selftest")
    return Throughput(
        readout="best" if best else "logits",
        baud=device.link.baud,
        frames=frames,
        values_a_frame=int(actual[0].size) if len(actual) else 0,
        frames_per_s=frames_per_s(frames, seconds),
        board_frames_per_s=frames_per_s(frames, after - before) if clock else None,
    )
