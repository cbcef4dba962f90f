# SPDX-License-Identifier: Apache-2.0
"""A job for the core's bench: everything it needs to know, as one JSON file beside its arrays."""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flows.verilog.beats import logit_payloads
from golden_model import Network
from hw.config import AcceleratorConfig

__all__ = ["CoreJob", "Pattern"]


class Pattern:
    """A seeded handshake pattern: alternating runs of clocks that are on and off.

    Parameters
    ----------
    spec : None for always on, or {"on": [least, most], "off": [least, most], "seed": int}, lengths
        in clocks; the first run is off if "off_first" is true.
    """

    def __init__(self, spec: dict[str, Any] | None) -> None:
        self.always = spec is None
        if spec is not None:
            self._lengths = spec["off"], spec["on"]
            self._random = random.Random(spec["seed"])
            self._state = int(not spec.get("off_first", False))
            self._left = self._draw()

    def _draw(self) -> int:
        return self._random.randint(*self._lengths[self._state])

    def next(self) -> bool:
        """Whether the next clock is on."""
        if self.always:
            return True
        while not self._left:
            self._state ^= 1
            self._left = self._draw()
        self._left -= 1
        return bool(self._state)


@dataclass
class CoreJob:
    """What to run, what to compare with, and how the environment behaves.

    Attributes
    ----------
    config : of the hardware in the simulator.
    network_path, features_path, words_path : files: the network, int8 [frames, n_input], and the
        weight port's requests that load it.
    starts : frames that begin an utterance; each utterance's last frame carries the end flag.
    check : "trace" or "outputs".
    fields : places in the trace, [name, offset, width, signed, shape].
    counter_names : in the order of the counters port.
    feature_pattern, ready_pattern : see `Pattern`.
    reset_at : clock of a one-clock reset, after which the features start again; -1: none.
    clear_at : clock at which the counters are cleared; -1: never.
    readback : read all weights back and compare.
    logits_path : file for the logits that came, int64 [readouts, n_output]; "" for none.
    baked : the weights are constants; nothing is loaded.
    max_clocks : give up there.
    """

    config: AcceleratorConfig
    network_path: str
    features_path: str
    words_path: str
    result_path: str
    starts: list[int]
    check: str
    fields: list[list]
    counter_names: list[str]
    max_clocks: int
    feature_pattern: dict | None = None
    ready_pattern: dict | None = None
    reset_at: int = -1
    clear_at: int = -1
    readback: bool = False
    logits_path: str = ""
    baked: bool = False
    _features: np.ndarray | None = field(default=None, repr=False)

    def write(self, path: Path) -> None:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del values["_features"]
        values["config"] = self.config.to_dict()
        path.write_text(json.dumps(values))

    @classmethod
    def read(cls, path: str | Path) -> CoreJob:
        values = json.loads(Path(path).read_text())
        values["config"] = AcceleratorConfig.from_dict(values["config"])
        return cls(**values)

    def write_result(self, figures: dict) -> None:
        Path(self.result_path).write_text(json.dumps(figures))

    # ---- stimulus ------------------------------------------------------------------------

    @property
    def features(self) -> np.ndarray:
        """int8 [frames, n_input]."""
        if self._features is None:
            self._features = np.load(self.features_path)
        return self._features

    # ---- expectation ---------------------------------------------------------------------

    def expected_beats(self, network: Network) -> list[int]:
        """Payloads of the logits stream, from the functional model."""
        return logit_payloads(self.config, network, self.features, self.starts)
