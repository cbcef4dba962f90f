# SPDX-License-Identifier: Apache-2.0
"""Beats of the core's two streams: features and logits, packed and unpacked."""

from collections.abc import Sequence

import numpy as np

from golden_model import Network
from hw.config import AcceleratorConfig
from hw.schedule import Schedule

__all__ = ["feature_payload", "feature_values", "logit_payloads", "logits_of"]


def feature_values(features: np.ndarray, starts: Sequence[int]) -> list[tuple[int, int, int]]:
    """Beats of the features stream, unpacked.

    Parameters
    ----------
    features
        int8 [frames, n_input].
    starts
        Frames that begin an utterance, the first one 0.

    Returns
    -------
    list of (int, int, int)
        Value, start flag and end flag of each beat; the flags stand on every beat of their frame.
    """
    firsts, lasts = set(starts), {start - 1 for start in [*starts[1:], len(features)]}
    return [
        (int(value), int(frame in firsts), int(frame in lasts))
        for frame, row in enumerate(features)
        for value in row
    ]


def feature_payload(value: int, start: int, end: int) -> int:
    """A beat of the features stream as `hw.core.stream_buffers.feature_beat` lays it out."""
    return value & 0xFF | start << 8 | end << 9


def logit_payloads(
    config: AcceleratorConfig, network: Network, features: np.ndarray, starts: list[int]
) -> list[int]:
    """Beats of the logits stream, from the functional model.

    Parameters
    ----------
    config
        The hardware.
    network
        What it computes.
    features
        int8 [frames, n_input].
    starts
        Frames that begin an utterance, the first one 0.

    Returns
    -------
    list of int
        Payloads as `hw.core.stream_buffers.logit_beat` lays them out.
    """
    schedule = Schedule(config)
    lanes = config.output_lanes
    mask = (1 << config.acc_bits) - 1
    payloads = []
    for first, end in zip(starts, [*starts[1:], len(features)], strict=True):
        logits = network.run(features[first:end]).logits
        for readout, row in enumerate(logits):
            is_end = readout * config.readout_every == end - first - 1
            for group in range(schedule.groups):
                offset = group * 2 * config.lanes
                outputs = row[offset : offset + schedule.group_outputs(group)]
                beats = schedule.group_beats(group)
                for beat in range(beats):
                    part = outputs[beat * lanes : (beat + 1) * lanes]
                    word = 0
                    for lane, logit in enumerate(part):
                        word |= (int(logit) & mask) << (lane * config.acc_bits)
                    last = group == schedule.groups - 1 and beat == beats - 1
                    flags = int(last) | int(is_end) << 1
                    payloads.append(word | flags << (lanes * config.acc_bits))
    return payloads


def logits_of(config: AcceleratorConfig, payloads: list[int]) -> np.ndarray:
    """Logits int64 [readouts, n_output] of the payloads of whole readouts, as `logit_payloads`."""
    schedule = Schedule(config)
    lanes, bits = config.output_lanes, config.acc_bits
    sign = 1 << (bits - 1)
    values = [
        ((payload >> (lane * bits) & ((1 << bits) - 1)) ^ sign) - sign
        for payload in payloads
        for lane in range(lanes)
    ]
    beats = [schedule.group_beats(group) for group in range(schedule.groups)]
    table = np.array(values, np.int64).reshape(-1, sum(beats) * lanes)
    kept = []
    for group, first in enumerate(np.cumsum([0, *beats[:-1]]) * lanes):
        kept.append(table[:, first : first + schedule.group_outputs(group)])
    return np.concatenate(kept, axis=1)
