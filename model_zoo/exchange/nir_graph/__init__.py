# SPDX-License-Identifier: Apache-2.0
"""Networks as graphs of the Neuromorphic Intermediate Representation (NIR), and back.

Written for the package `nir` 1.0 (https://neuroir.org). A network goes out as Linear and LIF nodes
that compute, up to the rounding of shifts, what the hardware computes with one time step a frame;
what NIR has no word for (resets by subtraction, shifts, two time steps, number formats, the
header) travels in the graph's metadata, and a graph that has it comes back with the same integers.
Any other graph is quantised (`model_zoo.exchange.quantise`). docs/bring-your-own-network.md shows
the mapping.
"""

from model_zoo.exchange.errors import ConversionError, ConversionWarning
from model_zoo.exchange.nir_graph.conversion import check_graph, from_nir
from model_zoo.exchange.nir_graph.nir_file import read, to_bytes, write
from model_zoo.exchange.nir_graph.nodes import DT
from model_zoo.exchange.nir_graph.own import is_own, to_nir

__all__ = [
    "DT",
    "ConversionError",
    "ConversionWarning",
    "check_graph",
    "from_nir",
    "is_own",
    "read",
    "to_bytes",
    "to_nir",
    "write",
]
