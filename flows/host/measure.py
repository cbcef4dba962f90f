# SPDX-License-Identifier: Apache-2.0
"""What a link carries: its errors and best speed, and frames a second through a board."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flows.host.device import Device, DeviceError, best_of
from flows.host.link import DEFAULT_BAUD, Link, LinkError
from flows.progress import Progress, silent
from golden_model import Network, random_features

__all__ = ["SPEEDS", "link_quality", "throughput"]

SPEEDS = (115_200, 230_400, 460_800, 921_600, 1_000_000, 1_500_000, 2_000_000, 3_000_000)
"""What is tried: the usual ones, as far as USB adapters go."""
_PACKET_BITS = 2 * 10 * (126 * 4 + 10)  # on the line, there and back, before escapes


def link_quality(
    link: Link,
    speeds: Sequence[int] = SPEEDS,
    *,
    packets: int = 50,
    seed: int = 1,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Send random packets to a board and back at each speed, and count what the cable breaks.

    Speeds that the board's clock does not allow are left out. The link ends at the best speed.

    Returns
    -------
    JSON-able: "speeds", each with "baud", "packets" tried, "lost" (a way there or back that a
    packet was damaged on), "bit_errors_below" (with 95 % confidence, where none was lost),
    "bytes_per_s" of data one way; and "best_baud", the fastest of those that lost none, or that
    which carries most.

    Raises
    ------
    LinkError : the board no longer answers at any speed.
    """
    assert link.hello is not None, "connect first"
    most = link.hello.clock_hz // 4
    measured = []
    for baud in sorted(speed for speed in speeds if speed <= most):
        progress(f"{packets} packets at {baud:,} baud")
        measured.append(_measured(link, baud, packets, random.Random(seed)))
    good = [entry for entry in measured if entry["lost"] == 0]
    best = good[-1] if good else max(measured, key=lambda entry: entry["bytes_per_s"], default=None)
    best_baud = best["baud"] if best else link.baud
    if not link.set_baud(best_baud):
        best_baud = link.baud
    return {"speeds": measured, "best_baud": best_baud}


def _measured(link: Link, baud: int, packets: int, rng: random.Random) -> dict[str, Any]:
    before = link.statistics.retries
    done = data_bytes = 0
    started = time.monotonic()
    try:
        usable = link.set_baud(baud)
        started = time.monotonic()
        while usable and done < packets:
            words = [rng.getrandbits(32) for _ in range(link.most_words)]
            if link.echo(words) != words:
                raise LinkError(f"{link.name}: a packet with a right CRC holds other words")
            if link.baud != baud:  # the link fell back to the default speed
                break
            done += 1
            data_bytes += 4 * len(words)
    except LinkError:
        link.connect(DEFAULT_BAUD)
    seconds = time.monotonic() - started
    lost = link.statistics.retries - before + (packets - done)
    return {
        "baud": baud,
        "packets": packets,
        "lost": lost,
        # None of n bits wrong: less than 3 / n of all are, with 95 % confidence.
        "bit_errors_below": None if lost else 3 / (packets * _PACKET_BITS),
        "bytes_per_s": round(data_bytes / seconds) if seconds else 0,
    }


def throughput(
    device: Device,
    *,
    best: bool,
    frames: int = 48,
    seed: int = 1,
    clock: Callable[[], float] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Frames a second: features to the board and its results back, compared with the golden model.

    Parameters
    ----------
    best : the best-N list is read, otherwise all logits.
    clock : the board's own time in seconds, of a simulated one.

    Raises
    ------
    DeviceError : the board has no best-N list, stops, or its results are wrong.
    """
    network = Network.random(device.config, seed)
    device.prepare(network, progress)
    features = random_features(device.config, frames, seed)
    logits = network.run(features).logits
    expected = best_of(logits, device.identity.best) if best else logits
    started, before = time.monotonic(), clock() if clock else 0.0
    actual = (device.best if best else device.run)(features, progress)
    seconds, after = time.monotonic() - started, clock() if clock else 0.0
    if not np.array_equal(actual, expected):
        raise DeviceError(f"{device.link.name}: the board computes something else: see selftest")
    return {
        "readout": "best" if best else "logits",
        "baud": device.link.baud,
        "frames": frames,
        "values_a_frame": int(actual[0].size) if len(actual) else 0,
        "frames_per_s": round(frames / seconds, 1),
        "board_frames_per_s": round(frames / (after - before), 1) if clock else None,
    }
