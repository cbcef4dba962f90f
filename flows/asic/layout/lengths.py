# SPDX-License-Identifier: Apache-2.0
"""How long the wire of a net will be, from where its pins are: an estimate without routing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flows.asic.layout.placement import Placement

__all__ = ["WireTree", "placed_trees", "star", "wire_tree"]

_FEW = 24  # pins, up to which plain Python is faster than numpy


@dataclass(frozen=True)
class WireTree:
    """The wire of a net.

    Attributes
    ----------
    edges
        From node to node, and the um between them. The nodes are the net's pins in order, and after
        them one where a wire branches.
    """

    edges: tuple[tuple[int, int, float], ...]

    @property
    def length(self) -> float:
        """Of the whole wire, um."""
        return sum(length for _, _, length in self.edges)


def wire_tree(places: Sequence[tuple[float, float]]) -> WireTree:
    """The wire between places, with sides that run along the axes.

    Two places are joined directly and three at the point in the middle of both coordinates: the
    length is half the perimeter of the box around them, which no wire can beat. More are joined by
    the shortest tree whose branches are at pins (Prim); a tree that may branch anywhere is up to a
    third shorter, and commonly a tenth, which a router's detours take back.

    Parameters
    ----------
    places
        um, of each pin; the driver first.
    """
    count = len(places)
    if count < 2:
        return WireTree(())
    if count == 2:
        return WireTree(((0, 1, _between(*places)),))
    if count == 3:
        middle = (sorted(x for x, _ in places)[1], sorted(y for _, y in places)[1])
        return WireTree(tuple((n, 3, _between(place, middle)) for n, place in enumerate(places)))
    return WireTree(tuple(_prim(places) if count <= _FEW else _prim_of_many(places)))


def _between(one: tuple[float, float], other: tuple[float, float]) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _prim(places: Sequence[tuple[float, float]]) -> list[tuple[int, int, float]]:
    x, y = places[0]
    waiting = {n: (abs(a - x) + abs(b - y), 0) for n, (a, b) in enumerate(places) if n}
    edges = []
    while waiting:
        nearest = min(waiting, key=lambda n: (waiting[n][0], n))
        length, joined = waiting.pop(nearest)
        edges.append((joined, nearest, length))
        x, y = places[nearest]
        for n, (before, _) in waiting.items():
            a, b = places[n]
            now = abs(a - x) + abs(b - y)
            if now < before:
                waiting[n] = (now, nearest)
    return edges


def _prim_of_many(places: Sequence[tuple[float, float]]) -> list[tuple[int, int, float]]:
    points = np.array(places)
    least = np.full(len(points), np.inf)
    joined = np.zeros(len(points), int)
    inside = np.zeros(len(points), bool)
    edges, newest = [], 0
    for _ in range(len(points) - 1):
        inside[newest] = True
        now = np.abs(points - points[newest]).sum(axis=1)
        closer = ~inside & (now < least)
        least[closer], joined[closer] = now[closer], newest
        newest = int(np.argmin(np.where(inside, np.inf, least)))
        edges.append((int(joined[newest]), newest, float(least[newest])))
    return edges


def star(sinks: int, length: float) -> WireTree:
    """A wire of a known length whose places are not known: as long to each of the sinks."""
    return WireTree(tuple((0, sink, length / sinks) for sink in range(1, sinks + 1)))


def placed_trees(placement: Placement) -> list[WireTree | None]:
    """The wire of each net; None where there is none, and for constants, which do not switch."""
    circuit = placement.circuit
    return [
        wire_tree([placement.at(pin) for pin in pins])
        if pins and net not in circuit.constant
        else None
        for net, pins in enumerate(circuit.nets)
    ]
