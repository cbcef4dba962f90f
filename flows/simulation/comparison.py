# SPDX-License-Identifier: Apache-2.0
"""Compares trace words of the simulator with the cycle model, a chunk of clocks at a time."""

from __future__ import annotations

import numpy as np

from golden_model.cycle import CycleModel, Drive

__all__ = ["TraceComparison"]


class TraceComparison:
    """Counts what was compared and keeps the first mismatches.

    Parameters
    ----------
    fields : [name, offset, width, signed, shape] of each field of the trace word.
    model : stepped along with the simulator, edge by edge.

    Attributes
    ----------
    clocks, bits : compared so far. count : elements that differed. mismatches : lines that name
        clock, signal, lane, expected and actual value; of the first differing clock.
    """

    def __init__(self, fields: list[list], model: CycleModel) -> None:
        self._fields = fields
        self._model = model
        self._bits = sum(width * int(np.prod(shape)) for _, _, width, _, shape in fields)
        self.clocks = self.bits = self.count = 0
        self.mismatches: list[str] = []

    def compare(self, snapshots: list[str], stimuli: list[tuple]) -> None:
        """Compare a chunk: trace words as binary text, and the stimulus of each edge."""
        if not snapshots:
            return
        expected = self._model.trace_chunk(_drive(stimuli))
        text = np.frombuffer("".join(snapshots).encode(), np.uint8)
        text = text.reshape(len(snapshots), self._bits)
        names = {name for name, *_ in self._fields}
        if names != set(expected):
            raise AssertionError(f"trace fields differ: {sorted(names ^ set(expected))}")
        differing = []
        for name, offset, width, signed, shape in self._fields:
            count = int(np.prod(shape))
            # The text has the highest bit first.
            part = text[:, self._bits - offset - width * count : self._bits - offset]
            actual = _integers(part.reshape(len(snapshots), count, width), signed)
            actual = actual[:, ::-1].reshape(len(snapshots), *shape)
            wanted = np.asarray(expected[name]).reshape(actual.shape)
            wrong = actual != wanted
            if wrong.any():
                self.count += int(wrong.sum())
                differing.append((name, wrong, wanted, actual))
        if differing and not self.mismatches:
            first = min(
                int(wrong.reshape(len(wrong), -1).any(1).argmax()) for _, wrong, *_ in differing
            )
            for name, wrong, wanted, actual in differing:
                for index in np.argwhere(wrong[first])[:1]:
                    place = tuple(int(i) for i in index)
                    lane = "".join(f"[{i}]" for i in place)
                    self.mismatches.append(
                        f"clock {self.clocks + first}: {name}{lane}: "
                        f"expected {wanted[first][place]}, got {actual[first][place]}"
                    )
        self.clocks += len(snapshots)
        self.bits += len(snapshots) * self._bits


def _drive(stimuli: list[tuple]) -> Drive:
    """What the ports were driven with: (feature beat or None, logits ready, clear) per clock."""
    beats = np.array([beat or (0, 0, 0) for beat, *_ in stimuli])
    valid = np.array([beat is not None for beat, *_ in stimuli])
    _, ready, clear = zip(*stimuli, strict=True)
    return Drive(valid, *beats.T, np.array(ready), np.array(clear))


def _integers(text: np.ndarray, signed: bool) -> np.ndarray:
    """Characters "0" and "1" [..., width], highest bit first, as integers."""
    width = text.shape[-1]
    if width == 1:
        return (text[..., 0] - ord("0")).astype(np.int8) * (-1 if signed else 1)
    weights = 2.0 ** np.arange(width - 1, -1, -1)
    if signed:
        weights[0] *= -1
    # BLAS makes the sum fast. It is exact: a character is below 2**6, so no partial sum leaves
    # the 24 bits of float32, or the 53 of float64 (widths are 32 at most).
    dtype, result = (np.float32, np.int32) if width <= 17 else (np.float64, np.int64)
    sums = text.astype(dtype) @ weights.astype(dtype)
    return (sums - ord("0") * weights.sum()).astype(result)
