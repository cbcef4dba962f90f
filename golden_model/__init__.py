# SPDX-License-Identifier: Apache-2.0
"""The golden model: what the accelerator must compute, in numpy, from the equations alone.

`Network` is the functional level (docs/numerics.md); `CycleModel` the clock-exact one
(docs/architecture.md); `cycle_laws` counts cycles and traffic without simulating clocks.
"""

from .errors import NetworkError, NetworkFileError
from .network import Layer, Network, Result, random_features

__all__ = [
    "Layer",
    "Network",
    "NetworkError",
    "NetworkFileError",
    "Result",
    "random_features",
]
