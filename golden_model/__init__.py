# SPDX-License-Identifier: Apache-2.0
"""The golden model: what the accelerator must compute, in numpy, from the equations alone.

`Network` is the functional level (docs/numerics.md); `CycleModel` the clock-exact one
(docs/architecture.md); `cycle_laws` counts cycles and traffic without simulating clocks;
`memory_image` is a network as the contents of the machine's memories.
"""

from golden_model.cycle import CycleModel, Drive, trace_shapes
from golden_model.errors import NetworkError, NetworkFileError
from golden_model.laws import (
    PUBLISHED,
    Densities,
    ExpectedCycles,
    FrameCycles,
    FrameLatency,
    cycle_laws,
    expected_cycles,
    latency,
)
from golden_model.layer import Layer
from golden_model.memory_image import memory_image, packed_rows
from golden_model.network import Network, Result
from golden_model.random_network import random_features

__all__ = [
    "PUBLISHED",
    "CycleModel",
    "Densities",
    "Drive",
    "ExpectedCycles",
    "FrameCycles",
    "FrameLatency",
    "Layer",
    "Network",
    "NetworkError",
    "NetworkFileError",
    "Result",
    "cycle_laws",
    "expected_cycles",
    "latency",
    "memory_image",
    "packed_rows",
    "random_features",
    "trace_shapes",
]
