# SPDX-License-Identifier: Apache-2.0
"""Files with NIR graphs: HDF5, as the package nir lays it out."""

import io
from pathlib import Path

import h5py
import nir
import numpy as np

from golden_model.files.writing import atomic_write
from model_zoo.exchange.errors import ConversionError
from model_zoo.exchange.nir_graph.own import to_nir

__all__ = ["MOST_BYTES", "read", "to_bytes", "write"]

MOST_BYTES = 1 << 30  # of all values: as many weights as 16 layers of 2,048 neurons have
MOST_ENTRIES = 100_000
MOST_DEPTH = 32
_MOST_SHOWN = 80
# What h5py raises for files that are damaged somewhere.
_UNREADABLE = (OSError, RuntimeError, TypeError, ValueError, KeyError, OverflowError, MemoryError)


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
            content = _Content().of(file)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from error
    except _UNREADABLE as error:
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


class _Content:
    """What groups of an HDF5 file hold, as dictionaries; sizes are checked before values are read.

    A file of a few bytes can promise any number of values (they need not be stored), and groups
    can hold each other in a circle.
    """

    def __init__(self):
        self._bytes = 0
        self._entries = 0

    def of(self, group, depth=0):
        """The content of a group, at a depth below the file."""
        if depth > MOST_DEPTH:
            raise ConversionError(f"its groups are more than {MOST_DEPTH} deep")
        found = {}
        for key in group:
            self._entries += 1
            if self._entries > MOST_ENTRIES:
                raise ConversionError(f"it has more than {MOST_ENTRIES:,} groups and fields")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ConversionError(f"{key!r} is a link to another place: it must be the value")
            item = group[key]
            if isinstance(item, h5py.Group):
                found[key] = self.of(item, depth + 1)
            elif isinstance(item, h5py.Dataset):
                found[key] = self._value(item)
        return found

    def _value(self, item):
        self._bytes += item.size * item.dtype.itemsize if item.size else 0
        if self._bytes > MOST_BYTES:
            raise ConversionError(
                f"its values have more than the {MOST_BYTES:,} bytes that are read at most: "
                f"{item.name!r} has the shape {list(item.shape)}"
            )
        value = item[()]
        return value.decode("utf-8") if isinstance(value, bytes) else value


def _made_graph(content, where):
    """A graph of what a file holds, subgraphs too."""
    kind = _kind(content, where)
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
            raise ConversionError(f"node {name!r} is {_shown(part)}: it must be a group of fields")
        kind = _kind(part, f"node {name!r}")
        if kind == "NIRGraph":
            nodes[name] = _made_graph(part, f"node {name!r}")
            continue
        try:
            # What nir infers on reading is checked later, with messages that name the rule.
            nodes[name] = nir.dict2NIRNode(part)
        except (
            *(AssertionError, AttributeError, IndexError, KeyError),
            *(NotImplementedError, TypeError, ValueError),
        ) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise ConversionError(
                f"node {name!r} is {kind!r}, and nir cannot make one of its fields "
                f"{', '.join(sorted(set(part) - {'type'})) or '(none)'}: "
                f"{reason or 'it knows no such node'}"
            ) from error
    given = np.asarray(content.get("edges", []))
    if not given.ndim:
        raise ConversionError(f"{where}: its edges are {_shown(given)}: they must be a list")
    edges = [_edge(number, edge) for number, edge in enumerate(given)]
    return nir.NIRGraph(nodes, edges, content.get("metadata", {}), type_check=False)


def _kind(content, where):
    """The type of a node, or of a graph."""
    kind = content.get("type")
    if not isinstance(kind, str):
        raise ConversionError(f"{where} has the type {_shown(kind)}: it must be a text")
    return kind


def _shown(value):
    """A value from a file, for a message: in one line of bounded length."""
    text = " ".join(str(value).split())
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."


def _edge(number, edge):
    ends = np.asarray(edge).tolist()
    try:
        source, target = (end.decode() if isinstance(end, bytes) else end for end in ends)
    except (TypeError, ValueError) as error:
        raise ConversionError(
            f"edge {number} is {_shown(ends)}: it must be the names of two nodes"
        ) from error
    return source, target
