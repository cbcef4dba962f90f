# SPDX-License-Identifier: Apache-2.0
"""LEF files, read for what a placement needs: sites, layers, outlines, pins and obstructions.

There is no maintained LEF parser on PyPI that comes without a whole place-and-route tool; what is
needed is small, and is read strictly: a file that is cut off is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from golden_model.files.reading import read_text
from hw.errors import PlosiveError

__all__ = ["Layer", "Lef", "Outline", "Pin", "Rectangle", "Site", "read_lef"]

_TOKEN = re.compile(r'"[^"]*"|[^\s"]+')
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Site:
    """The unit of a row: width and height in um."""

    name: str
    width: float
    height: float


@dataclass(frozen=True)
class Layer:
    """A routing layer.

    Attributes
    ----------
    direction
        "HORIZONTAL" or "VERTICAL".
    width
        Of a wire, um.
    ohm_per_um
        Sheet resistance over the width.
    ff_per_um
        fF of a wire with no neighbour: `CPERSQDIST` under it and `EDGECAPACITANCE` on both sides.
    """

    name: str
    direction: str
    width: float
    ohm_per_um: float
    ff_per_um: float


@dataclass(frozen=True)
class Rectangle:
    """A shape on a layer; corners in um from the cell's lower left."""

    layer: str
    left: float
    bottom: float
    right: float
    top: float


@dataclass(frozen=True)
class Pin:
    """A pin.

    Attributes
    ----------
    direction, use
        As "INPUT" and "SIGNAL".
    shapes
        Where wires may end.
    """

    name: str
    direction: str
    use: str
    shapes: tuple[Rectangle, ...] = field(repr=False)

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the box around all shapes: where the wire is taken to end, um."""
        return (
            (min(s.left for s in self.shapes) + max(s.right for s in self.shapes)) / 2,
            (min(s.bottom for s in self.shapes) + max(s.top for s in self.shapes)) / 2,
        )


@dataclass(frozen=True)
class Outline:
    """A cell or macro.

    Attributes
    ----------
    kind
        As "CORE" or "BLOCK".
    width, height
        um.
    site
        Name of its site; "" for a block.
    pins
        By name, without supplies.
    obstructions
        Where other wires may not go.
    """

    name: str
    kind: str
    width: float
    height: float
    site: str
    pins: dict[str, Pin] = field(repr=False)
    obstructions: tuple[Rectangle, ...] = field(repr=False)


@dataclass(frozen=True)
class Lef:
    """What a file holds, by name."""

    sites: dict[str, Site]
    layers: dict[str, Layer]
    cells: dict[str, Outline]


def read_lef(path: Path) -> Lef:
    """Read a technology, cells or a macro.

    Raises
    ------
    PlosiveError
        The file cannot be read, ends in the middle, or holds something that is no LEF.
    """
    text = re.sub(r"#.*", "", read_text(path, most_bytes=_MOST_BYTES))
    return _Reader(path, text).file()


class _Reader:
    """Statements end with a semicolon, but for blocks, which end with END and mostly a name."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._tokens = _TOKEN.finditer(text)
        self._at = 0

    def _wrong(self, what: str) -> PlosiveError:
        line = self._text.count("\n", 0, self._at) + 1
        return PlosiveError(f"{self._path}: line {line}: {what}")

    def _next(self) -> str:
        found = next(self._tokens, None)
        if found is None:
            raise self._wrong("the file is cut off here, or is not LEF")
        self._at = found.start()
        return found[0]

    def _statement(self) -> list[str]:
        """What is left up to the semicolon."""
        words = []
        while (word := self._next()) != ";":
            words.append(word)
        return words

    def _numbers(self, words: list[str]) -> list[float]:
        try:
            return [float(word) for word in words]
        except ValueError:
            raise self._wrong(f"numbers were expected, not {' '.join(words)!r}") from None

    def _statements(self, name: str | None) -> Iterator[str]:
        """The first word of each statement of a block, until its end."""
        while (word := self._next()) != "END":
            yield word
        if name is not None and (ended := self._next()) != name:
            raise self._wrong(f"END {ended} inside {name}")

    def _skip(self, name: str) -> None:
        """Pass over a block, to the END that names it."""
        last = self._next()
        while (last, word := self._next()) != ("END", name):
            last = word

    def file(self) -> Lef:
        lef = Lef({}, {}, {})
        for found in self._tokens:
            word, self._at = found[0].upper(), found.start()
            if word == "END":
                self._next()  # LIBRARY
                break
            if word == "MACRO":
                cell = self._macro(self._next())
                lef.cells[cell.name] = cell
            elif word == "SITE":
                site = self._site(self._next())
                lef.sites[site.name] = site
            elif word == "LAYER":
                layer = self._layer(self._next())
                if layer is not None:
                    lef.layers[layer.name] = layer
            elif word in ("VIA", "VIARULE", "NONDEFAULTRULE"):
                self._skip(self._next())
            elif word in ("UNITS", "PROPERTYDEFINITIONS", "SPACING"):
                self._skip(word)
            elif word.isalpha():
                self._statement()
            else:
                raise self._wrong(f"{found[0]!r} begins no statement of LEF")
        if not (lef.cells or lef.layers or lef.sites):
            raise PlosiveError(f"{self._path}: it holds no layer, site or cell, so it is not LEF")
        return lef

    def _site(self, name: str) -> Site:
        size = [0.0, 0.0]
        for word in self._statements(name):
            words = self._statement()
            if word == "SIZE":
                size = self._numbers([words[0], words[-1]])
        if min(size) <= 0:
            raise self._wrong(f"site {name} has no size")
        return Site(name, *size)

    def _layer(self, name: str) -> Layer | None:
        """A routing layer; None for another."""
        values = {"WIDTH": 0.0, "RPERSQ": 0.0, "CPERSQDIST": 0.0, "EDGECAPACITANCE": 0.0}
        kind = direction = ""
        for word in self._statements(name):
            words = self._statement()
            if word == "TYPE":
                kind = words[0]
            elif word == "DIRECTION":
                direction = words[0]
            elif word in ("WIDTH", "EDGECAPACITANCE"):
                (values[word],) = self._numbers(words)
            elif word in ("RESISTANCE", "CAPACITANCE") and words[0] in values:
                (values[words[0]],) = self._numbers(words[1:])
        if kind != "ROUTING":
            return None
        width = values["WIDTH"]
        if width <= 0:
            raise self._wrong(f"routing layer {name} has no width")
        picofarads = width * values["CPERSQDIST"] + 2 * values["EDGECAPACITANCE"]
        return Layer(name, direction, width, values["RPERSQ"] / width, picofarads * 1e3)

    def _macro(self, name: str) -> Outline:
        kind, site, size = "", "", [0.0, 0.0]
        pins: dict[str, Pin] = {}
        obstructions: list[Rectangle] = []
        for word in self._statements(name):
            if word == "PIN":
                pin = self._pin(self._next())
                if pin.use not in ("POWER", "GROUND"):
                    pins[pin.name] = pin
            elif word == "OBS":
                obstructions += self._shapes()
            else:
                words = self._statement()
                if word == "CLASS":
                    kind = words[0]
                elif word == "SITE":
                    site = words[0]
                elif word == "SIZE":
                    size = self._numbers([words[0], words[-1]])
                elif word == "ORIGIN" and any(self._numbers(words)):
                    raise self._wrong(f"{name}: an ORIGIN other than 0 0 is not provided for")
        if min(size) <= 0:
            raise self._wrong(f"{name} has no SIZE")
        return Outline(name, kind, *size, site, pins, tuple(obstructions))

    def _pin(self, name: str) -> Pin:
        direction, use = "", "SIGNAL"
        shapes: list[Rectangle] = []
        for word in self._statements(name):
            if word == "PORT":
                shapes += self._shapes()
                continue
            words = self._statement()
            if word == "DIRECTION":
                direction = words[0]
            elif word == "USE":
                use = words[0]
        if not shapes:
            raise self._wrong(f"pin {name} has no rectangle")
        return Pin(name, direction, use, tuple(shapes))

    def _shapes(self) -> list[Rectangle]:
        """The rectangles of PORT or OBS."""
        layer, shapes = "", []
        for word in self._statements(None):
            words = self._statement()
            if word == "LAYER":
                layer = words[0]
            elif word == "RECT":
                corners = self._numbers(words)
                if len(corners) != 4:
                    raise self._wrong("RECT has not four numbers")
                shapes.append(Rectangle(layer, *corners))
        return shapes
