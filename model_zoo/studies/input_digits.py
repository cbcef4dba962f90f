# SPDX-License-Identifier: Apache-2.0
"""What other digits of the features would cost in the input phase, on recordings.

`python -m model_zoo.studies.input_digits RECORDING...` prints the table of
docs/schedule-input-digits.md. The machine has two of these encodings (`input_digits`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from golden_model import Network
from golden_model.digits import half_ranges
from golden_model.fixed_point import bits_needed
from golden_model.layer import sign_sums
from hw.config import INPUT_DIGITS
from model_zoo import zoo
from model_zoo.speech import audio, features
from model_zoo.studies import command

__all__ = ["ENCODINGS", "Cost", "costs", "study"]

ENCODINGS = {
    "bits": "bits of both nibbles",
    "sign_magnitude": "magnitude of both nibbles",
    "naf": "NAF, both halves",
    "naf_any_two": "NAF, two of a feature",
    "naf_balanced": "NAF, two of a frame",
    "naf_parity": "NAF, even and odd features",
    "change_any_two": "changes, two of a feature",
    "change_parity": "changes, even and odd",
}
"""What a slot takes, by encoding: one digit for each PE set.

NAF: digits of the non-adjacent form. Changes: the same of features less those of the last frame.
Even and odd: a set takes those of even features, the other those of odd ones.
"""


@dataclass(frozen=True)
class Cost:
    """What an encoding takes; `cycles`, `rows` and `additions` are [frames].

    Attributes
    ----------
    cycles
        Slots of the input phase for one tile; a frame without work takes one.
    rows
        Rows of the input memory.
    additions
        Digits that are not 0: PE sets that work, summed over slots.
    """

    cycles: np.ndarray
    rows: np.ndarray
    additions: np.ndarray


def _ones(mask: np.ndarray) -> np.ndarray:
    return np.bitwise_count(mask).astype(np.int64)


def _non_adjacent(x: np.ndarray) -> np.ndarray:
    """Bit masks of the places at which the non-adjacent form of x has a digit that is not 0."""
    return (3 * np.abs(x) ^ np.abs(x)) >> 1


def costs(x: np.ndarray) -> dict[str, Cost]:
    """What each of `ENCODINGS` takes for an utterance, features `[frames, n_input]` of int8."""
    x = np.asarray(x, np.int64)
    change = np.diff(x, axis=0, prepend=0)
    digits, digits_of_change = _ones(_non_adjacent(x)), _ones(_non_adjacent(change))

    def cost(slots: np.ndarray, counts: np.ndarray) -> Cost:
        """Of slots and digits of each frame and feature; `slots` may be summed over features."""
        cycles = slots.sum(axis=1) if slots.ndim == 2 else slots
        return Cost(np.maximum(1, cycles), (counts > 0).sum(axis=1), counts.sum(axis=1))

    def by_half(masks: np.ndarray) -> Cost:
        low, high = _ones(masks & 15), _ones(masks >> 4 & 31)
        return cost(np.maximum(low, high), low + high)

    def by_parity(counts: np.ndarray) -> Cost:
        return cost(np.maximum(*(counts[:, b::2].sum(axis=1) for b in range(2))), counts)

    found = {
        "bits": by_half(x & 255),
        "sign_magnitude": by_half(np.abs(x)),
        "naf": by_half(_non_adjacent(x)),
        "naf_any_two": cost((digits + 1) // 2, digits),
        "naf_balanced": cost((digits.sum(axis=1) + 1) // 2, digits),
        "naf_parity": by_parity(digits),
        "change_any_two": cost((digits_of_change + 1) // 2, digits_of_change),
        "change_parity": by_parity(digits_of_change),
    }
    assert found.keys() == ENCODINGS.keys()
    return found


def _accumulator_bits(network: Network) -> dict[str, int]:
    """The least acc_bits of the input sums of a network, by encoding.

    A set that takes one half of each feature holds the sum of these halves. One that takes digits
    of any place holds a part of the input term; added up modulo 2**acc_bits both parts are right if
    the term fits.
    """
    positive, negative = sign_sums(network.layers[0].w_in)

    def bits(least: int, most: int) -> int:
        """Of a sum with inputs in this range."""
        ends = least * positive - most * negative, most * positive - least * negative
        return max(bits_needed(int(end)) for end in (ends[0].min(), ends[1].max()))

    widths = dict.fromkeys(ENCODINGS, bits(-128, 127)) | {"sign_magnitude": bits(-15, 15)}
    for name in INPUT_DIGITS:
        widths[name] = max(bits(*half) for half in half_ranges(name))
    return widths


def study(network: Network, utterances: Sequence[np.ndarray]) -> dict[str, Any]:
    """Means over the frames of all utterances, JSON-able.

    Parameters
    ----------
    network
        Its input weights say how wide the accumulators must be.
    utterances
        Features, int8 `[frames, n_input]` each.

    Returns
    -------
    dict
        `network_hash`, `utterances`, `frames`, and `encodings`: by name `slot` (what it takes),
        `built` (whether it is a value of `input_digits`), the means `cycles`, `rows` and
        `additions` a frame and tile, and `acc_bits`, what the network's input sums need.
    """
    found = [costs(x) for x in utterances]
    widths = _accumulator_bits(network)
    encodings = {}
    for name, slot in ENCODINGS.items():
        parts = [asdict(of[name]) for of in found]
        means = {
            field: float(np.concatenate([part[field] for part in parts]).mean())
            for field in parts[0]
        }
        encodings[name] = {
            "slot": slot,
            "built": name in INPUT_DIGITS,
            **means,
            "acc_bits": widths[name],
        }
    return {
        "network_hash": network.config.network_hash,
        "utterances": len(utterances),
        "frames": sum(map(len, utterances)),
        "encodings": encodings,
    }


def main(
    recordings: Annotated[list[Path], typer.Argument(help="16 kHz mono recordings.")],
    network_name: Annotated[
        str, typer.Option("--network", help="A shipped network, whose features these are.")
    ] = "speech",
    gain: Annotated[float, typer.Option(help="Gain applied to the recordings, in dB.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Compare encodings of features by what the input phase of a tile takes."""
    if network_name not in zoo.names():
        raise typer.BadParameter(
            f"--network is {network_name!r}: it must be one of {', '.join(zoo.names())}"
        )
    network = Network.load(zoo.path(network_name))
    found = study(
        network,
        [features.extract(audio.load(path), network.header, gain) for path in recordings],
    )
    if as_json:
        print(json.dumps(found, indent=1))
        return
    table = Table("a slot takes", "cycles", "rows", "additions", "acc_bits", "built as")
    for name, of in found["encodings"].items():
        figures = (f"{of[field]:.1f}" for field in ("cycles", "rows", "additions"))
        built = name if of["built"] else "-"
        table.add_row(of["slot"], *figures, str(of["acc_bits"]), built)
    console = Console(markup=False, soft_wrap=True)
    console.print(table)
    console.print(f"Means over {found['frames']} frames, recordings: {found['utterances']}.")


if __name__ == "__main__":
    command.run(main)
