# SPDX-License-Identifier: Apache-2.0
"""The networks that Plosive is shipped with, by name."""

from pathlib import Path

__all__ = ["FOLDER", "names", "path"]

FOLDER = Path(__file__).resolve().parent / "checkpoints"
"""Where they lie."""


def names() -> list[str]:
    """Names of the shipped networks, `speech` first, the others in alphabetical order."""
    return sorted((p.stem for p in FOLDER.glob("*.safetensors")), key=lambda n: (n != "speech", n))


def path(name: str) -> Path:
    """The file of a network of that name, whether it is there or not."""
    return FOLDER / f"{name}.safetensors"
