# SPDX-License-Identifier: Apache-2.0
"""Figures: what a flow measured, as frozen dataclasses that know their JSON.

A class of figures derives from `Figures`. Its fields are numbers, texts, other figures, and lists
and dictionaries of these; `to_dict` gives what `--json` prints and files hold, and `from_dict`
reads it back. Reports, tables and baselines read fields, never keys of JSON.
"""

import types
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from hw.config import AcceleratorConfig, ConfigError
from hw.errors import PlosiveError

__all__ = [
    "Derived",
    "Figures",
    "FiguresError",
    "Hashes",
    "inline",
    "named",
    "optional",
]


class FiguresError(PlosiveError, ValueError):
    """JSON that is not what `to_dict` of a class of figures writes; one line on the first flaw."""


class Derived(property):
    """A property of figures that `to_dict` includes; `from_dict` does not read it."""


_INLINE, _KEY, _OPTIONAL = "inline", "key", "optional"


def inline(**options: Any) -> Any:
    """A field of figures whose keys stand in the JSON of the figures around it."""
    return field(metadata={_INLINE: True}, **options)


def named(key: str) -> Any:
    """A field with another key in the JSON, such as a Python keyword."""
    return field(metadata={_KEY: key})


def optional(default: None = None) -> Any:
    """A field that is absent from the JSON when it is None."""
    return field(default=default, metadata={_OPTIONAL: True})


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Base of all figures."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: the fields in order, then what is derived from them."""
        values: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.metadata.get(_INLINE):
                values |= value.to_dict() if value is not None else {}
            elif value is not None or not one.metadata.get(_OPTIONAL):
                values[_key(one)] = _plain(value)
        for name in _derived(type(self)):
            values[name] = _plain(getattr(self, name))
        return values

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Figures from what `to_dict` wrote, for example out of a JSON file.

        Keys that the class does not know are ignored.

        Raises
        ------
        FiguresError
            A key is missing, or its value has another type.
        """
        return _read(cls, values, "")


@dataclass(frozen=True, kw_only=True)
class Hashes(Figures):
    """What was measured.

    Attributes
    ----------
    configuration_hash
        Hash of the hardware's configuration.
    network_hash
        Hash of the fields that a network must fit.
    """

    configuration_hash: str
    network_hash: str

    @classmethod
    def of(cls, config: AcceleratorConfig) -> "Hashes":
        """The hashes of a configuration."""
        return cls(configuration_hash=config.config_hash, network_hash=config.network_hash)


def _key(one: Field) -> str:
    return one.metadata.get(_KEY, one.name)


@cache
def _derived(cls: type) -> list[str]:
    """Names of the derived properties, a base class's first."""
    found = {
        name: None
        for base in reversed(cls.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, Derived)
    }
    return list(found)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _plain(value: Any) -> Any:
    if isinstance(value, Figures | AcceleratorConfig):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _read(cls: type[Figures], values: Any, place: str) -> Any:
    """Figures of a class; `place` is where they are in the whole, "" for the whole."""
    if not isinstance(values, dict):
        raise FiguresError(f"{place or 'it'} is {_shown(values)}: it must be an object")
    found = {}
    for one in fields(cls):
        kind, key = _hints(cls)[one.name], _key(one)
        inside = f"{place}.{key}" if place else key
        if one.metadata.get(_INLINE):
            known = next(part for part in _options(kind) if part is not type(None))
            if type(None) in _options(kind) and not _keys(known) & values.keys():
                found[one.name] = None
            else:
                found[one.name] = _read(known, values, place)
        elif key in values:
            found[one.name] = _value(kind, values[key], inside)
        elif one.metadata.get(_OPTIONAL):
            found[one.name] = None
        else:
            raise FiguresError(f"{place} has no {key!r}" if place else f"no {key!r}")
    return cls(**found)


@cache
def _keys(cls: type[Figures]) -> frozenset[str]:
    """The keys of a class's JSON, without those inlined."""
    return frozenset(_key(one) for one in fields(cls) if not one.metadata.get(_INLINE))


def _options(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the type alone."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


_PLAIN = {str: "a text", bool: "true or false", int: "an integer", float: "a number"}


def _value(kind: Any, value: Any, place: str) -> Any:
    options = _options(kind)
    if len(options) > 1:
        if value is None and type(None) in options:
            return None
        first, *others = (option for option in options if option is not type(None))
        for option in others:
            try:
                return _value(option, value, place)
            except FiguresError:
                continue
        return _value(first, value, place)
    if kind is Any:
        return value
    if kind is AcceleratorConfig:
        try:
            return AcceleratorConfig.from_dict(value)
        except ConfigError as error:
            raise FiguresError(f"{place}: {error}") from error
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise FiguresError(f"{place} is {_shown(value)}: it must be a list")
        read = [_value(arguments[0], one, f"{place}[{n}]") for n, one in enumerate(value)]
        return read if origin is list else tuple(read)
    if origin is dict:
        if not isinstance(value, dict):
            raise FiguresError(f"{place} is {_shown(value)}: it must be an object")
        return {key: _value(arguments[1], one, f"{place}.{key}") for key, one in value.items()}
    if issubclass(kind, Figures):
        return _read(kind, value, place)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise FiguresError(f"{place} is {_shown(value)}: it must be {_PLAIN[kind]}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
