# SPDX-License-Identifier: Apache-2.0
"""The free header of a network file: what may stand in the entries that Plosive itself reads.

A header may hold any other entry. Those that features, decoding and model cards read are checked
when a network is loaded or saved, so that no program behind that meets a text for a number, a table
that is too short, a NaN, or a label delay that asks for gigabytes.
"""

import math
from collections.abc import Callable
from typing import Any

from golden_model.errors import NetworkError
from hw.config import AcceleratorConfig

__all__ = ["MOST_LABEL_DELAY", "check_header", "provenance"]

MOST_LABEL_DELAY = 1000
"""Frames, which are 10 s: each of them is computed behind every recording."""

_LARGEST = 1e6  # of a logarithm, a weight or a scale; float32 arithmetic stays finite far beyond
_LONGEST = 10_000  # characters of a text
_SHOWN = 60  # of a wrong value in a message

_Check = Callable[[str, Any], None]


def check_header(header: dict[str, Any], config: AcceleratorConfig) -> None:
    """Refuse a header with a wrong value in an entry that Plosive reads.

    Parameters
    ----------
    header : of a network; no entry must be there.
    config : of the same network: labels and priors are as many as its outputs, means and spreads
        of the features as many as its inputs.

    Raises
    ------
    NetworkError : the message names the entry, the value and the rule.
    """
    _entries(header, "header", _rules(config))


def provenance(header: dict[str, Any]) -> dict[str, Any]:
    """Where a network comes from: the entry of a checked header, of which a text is the whole."""
    found = header.get("provenance", {})
    return {"description": found} if isinstance(found, str) else found


def _rules(config: AcceleratorConfig) -> dict[str, _Check]:
    """What each entry must be. See docs/numerics.md, "The network file"."""
    logarithm = _number(-_LARGEST, _LARGEST)
    weight = _number(-_LARGEST, _LARGEST)
    positive = _number(1 / _LARGEST, _LARGEST)
    names = _list(_text)
    score = _object(_FIGURES)
    return {
        "licence": _text,
        "labels": _labels(config.n_output),
        "label_delay": _integer(0, MOST_LABEL_DELAY),
        "scales": _object({"input": positive, "layers": _list(positive), "readout": positive}),
        "readout_bias": _list(weight, config.n_output, "output"),
        "log_priors": _list(logarithm, config.n_output, "output"),
        "log_stay": _list(logarithm),
        "log_leave": _list(logarithm),
        "phone_bigram": _square(logarithm),
        "decoder": _object(
            {
                "acoustic_weight": positive,
                "prior_weight": weight,
                "bigram_weight": weight,
                "phone_score": weight,
                "excluded": names,
            }
        ),
        "features": _object(
            {
                "kind": _text,
                "sample_rate": _integer(1, 10**6),
                "frame_samples": _integer(1, 10**6),
                "hop_samples": _integer(1, 10**6),
                "mean": _list(weight, config.n_input, "input"),
                "std": _list(positive, config.n_input, "input"),
                "scale": positive,
                "automatic_gain": _object(
                    {
                        "target": _number(-1000, 1000),
                        "rise": _SHARE,
                        "fall": _SHARE,
                        "settle": _SHARE,
                        "reach": positive,
                        "headroom": _number(-1000, 1000),
                        "silence": _number(-1000, 1000),
                    }
                ),
            }
        ),
        "provenance": _text_or(
            {
                "description": _text,
                "command": _text,
                "date": _text,
                "threads": _integer(1, 10**6),
                "data": _each(_object({})),
                "gain_db": _each(_number(-1000, 1000)),
                "tools": _each(_text),
                "tested_on": names,
                "tuned_on": names,
                "recipe": _object({"level": _number(-1000, 1000)}),
                "stages": _list(
                    _object({"name": _text, "loss": weight, "dev": score, "test": score})
                ),
            }
        ),
        "scores": _object({"dev": score, "test": score}),
    }


# ---- what a value must be: called with its place, as "header.decoder", and the value -------


def _wrong(place: str, value: Any, rule: str) -> NetworkError:
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return NetworkError(f"{place} is {shown}: it must be {rule}")


def _text(place: str, value: Any) -> None:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise _wrong(place, value, f"a text of at most {_LONGEST:,} characters")


def _integer(least: int, most: int) -> _Check:
    def check(place: str, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _wrong(place, value, f"an integer, {least} to {most}")

    return check


def _number(least: float, most: float) -> _Check:
    def check(place: str, value: Any) -> None:
        real = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not real or not math.isfinite(value) or not least <= value <= most:
            raise _wrong(place, value, f"a number, {least:g} to {most:g}")

    return check


def _optional(check: _Check) -> _Check:
    def check_it(place: str, value: Any) -> None:
        if value is not None:
            check(place, value)

    return check_it


def _list(item: _Check, length: int | None = None, of: str = "") -> _Check:
    def check(place: str, value: Any) -> None:
        if not isinstance(value, (list, tuple)):
            raise _wrong(place, value, "a list")
        if length is not None and len(value) != length:
            raise NetworkError(
                f"{place} has {len(value)} entries: it must have {length}, one for each {of}"
            )
        for index, entry in enumerate(value):
            item(f"{place}[{index}]", entry)

    return check


def _square(item: _Check) -> _Check:
    def check(place: str, value: Any) -> None:
        _list(_list(item))(place, value)
        if any(len(row) != len(value) for row in value):
            raise NetworkError(f"{place} has rows of other lengths than its {len(value)} rows")

    return check


def _labels(count: int) -> _Check:
    def check(place: str, value: Any) -> None:
        _list(_text, count, "output")(place, value)
        seen: set[str] = set()
        for index, label in enumerate(value):
            if label in seen:
                raise NetworkError(f"{place}[{index}] is {label!r}, as an earlier one: they differ")
            seen.add(label)

    return check


def _entries(value: dict[Any, Any], place: str, rules: dict[str, _Check]) -> None:
    for key in value:
        if not isinstance(key, str):
            raise NetworkError(f"{place} has the key {key!r}: a key must be a text")
    for key, rule in rules.items():
        if key in value:
            rule(f"{place}.{key}", value[key])


def _object(rules: dict[str, _Check]) -> _Check:
    def check(place: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise _wrong(place, value, "an object")
        _entries(value, place, rules)

    return check


def _text_or(rules: dict[str, _Check]) -> _Check:
    def check(place: str, value: Any) -> None:
        (_text if isinstance(value, str) else _object(rules))(place, value)

    return check


def _each(rule: _Check) -> _Check:
    """Entries of any name, all of one kind."""

    def check(place: str, value: Any) -> None:
        _object({})(place, value)
        for key, entry in value.items():
            rule(f"{place}[{key!r}]", entry)

    return check


_SHARE = _number(0, 1)
_RATE = _number(0, _LARGEST)  # more phones can be wrong than were said
_FIGURES: dict[str, _Check] = {
    "utterances": _integer(0, 10**9),
    "frames": _integer(0, 10**12),
    "per": _RATE,
    "per_no_silence": _RATE,
    "frame_accuracy": _optional(_SHARE),
    "phone_accuracy": _optional(_SHARE),
    "input_zero_bits": _SHARE,
    "sparsity": _list(_list(_SHARE)),
    "union_density": _list(_SHARE),
    "intersection_density": _list(_SHARE),
}
"""What a part of a corpus was scored with, see `model_zoo.scoring.score.Score`."""
