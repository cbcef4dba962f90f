# SPDX-License-Identifier: Apache-2.0
"""Plosive from Python: a network from numpy arrays, its Verilog, and what it costs.

The functions are named after the commands of `plosive` and do the same; docs/from-python.md teaches
them. A network and its hardware come from `network`, `load` or `preset`. What a function measures
it returns as a frozen dataclass, whose `to_dict` is what the command prints with `--json`. Whatever
the caller can mend is a `PlosiveError`, whose message is one line.
"""

from importlib.metadata import version

from golden_model import Layer, Network, random_features
from hw.config import AcceleratorConfig, preset
from hw.errors import PlosiveError
from plosive.costs import area, power, timing
from plosive.machine import cycles, generate, simulate
from plosive.networks import FeaturesError, load, network, speech_features

__all__ = [
    "AcceleratorConfig",
    "FeaturesError",
    "Layer",
    "Network",
    "PlosiveError",
    "__version__",
    "area",
    "cycles",
    "generate",
    "load",
    "network",
    "power",
    "preset",
    "random_features",
    "simulate",
    "speech_features",
    "timing",
]

__version__ = version("plosive")
"""The version of the installed package, as `plosive --version` prints it."""
