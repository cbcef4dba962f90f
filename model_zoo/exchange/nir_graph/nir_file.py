# SPDX-License-Identifier: Apache-2.0
"""Files with NIR graphs: HDF5, as the package nir lays it out."""

import io
from pathlib import Path

import h5py
import nir
import nir.serialization
import numpy as np

from golden_model.files import atomic_write
from model_zoo.exchange.errors import ConversionError
from model_zoo.exchange.nir_graph.own import to_nir

__all__ = ["read", "to_bytes", "write"]


def to_bytes(network):
    """The content of a .nir file (HDF5) of a network; the same bytes for the same network."""
    buffer = io.BytesIO()
    nir.write(buffer, to_nir(network))
    return buffer.getvalue()


def write(path, network):
    """Write a network to a .nir file, whole or not at all.

    Raises
    ------
    ConversionError
        The header is not JSON.
    PlosiveError
        The file cannot be written.
    """
    atomic_write(path, to_bytes(network))


def read(path):
    """The graph of a .nir file.

    Raises
    ------
    ConversionError
        There is none, or it holds something else, or part of it is broken: the message says what.
    """
    path = Path(path)
    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    try:
        with h5py.File(path, "r") as file:
            content = nir.serialization.hdf2dict(file)
    except (OSError, RuntimeError, TypeError, UnicodeDecodeError, RecursionError) as error:
        reason = (str(error).splitlines() or ["it cannot be read"])[0]
        raise ConversionError(f"{path}: it is not a NIR file: {reason}") from error
    if not isinstance(content.get("node"), dict):
        raise ConversionError(
            f"{path}: it is not a NIR file: an HDF5 file without the group 'node'"
        )
    try:
        return _made_graph(content["node"], "the file")
    except RecursionError as error:
        raise ConversionError(f"{path}: its subgraphs are nested too deep") from error
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from error


def _made_graph(content, where):
    """A graph of what a file holds, subgraphs too."""
    kind = content.get("type")
    if kind != "NIRGraph":
        raise ConversionError(
            f"{where} holds one {kind} node and no graph: it must hold a graph from Input through "
            "Linear and LIF nodes to Output (a single module is written like this: export the "
            "network that it is part of)"
        )
    parts = content.get("nodes")
    if not isinstance(parts, dict):
        raise ConversionError(f"{where} has no nodes: a graph has at least Input, Linear, LIF")
    nodes = {}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ConversionError(f"node {name!r} is {part!r}: it must be a group of fields")
        if part.get("type") == "NIRGraph":
            nodes[name] = _made_graph(part, f"node {name!r}")
            continue
        try:
            # What nir infers on reading is checked later, with messages that name the rule.
            nodes[name] = nir.dict2NIRNode(part)
        except (
            *(AssertionError, AttributeError, IndexError, KeyError),
            *(NotImplementedError, TypeError, ValueError),
        ) as error:
            kind = part.get("type")
            reason = (str(error).splitlines() or [""])[0]
            raise ConversionError(
                f"node {name!r} is {kind!r}, and nir cannot make one of its fields "
                f"{', '.join(sorted(set(part) - {'type'})) or '(none)'}: "
                f"{reason or 'it knows no such node'}"
            ) from error
    edges = [
        _edge(number, edge) for number, edge in enumerate(np.asarray(content.get("edges", [])))
    ]
    return nir.NIRGraph(nodes, edges, content.get("metadata", {}), type_check=False)


def _edge(number, edge):
    ends = np.asarray(edge).tolist()
    try:
        source, target = (end.decode() if isinstance(end, bytes) else end for end in ends)
    except (TypeError, ValueError) as error:
        raise ConversionError(
            f"edge {number} is {ends!r}: it must be the names of two nodes"
        ) from error
    return source, target
