# SPDX-License-Identifier: Apache-2.0
"""`plosive networks`: what the model zoo holds."""

from typing import Any

from golden_model import Network
from hw.errors import PlosiveError
from model_zoo import cards, zoo

__all__ = ["card", "described", "listed"]


def listed() -> list[dict[str, Any]]:
    """Every shipped network in a few figures, JSON-able, see `cards.summary`."""
    return [cards.summary(name, Network.load(zoo.path(name))) for name in zoo.names()]


def described(name: str) -> dict[str, Any]:
    """One network's figures and its whole header, JSON-able."""
    network = _held(name)
    return {**cards.summary(name, network), "header": network.header}


def card(name: str) -> str:
    """One network's model card, Markdown."""
    return cards.card(name, _held(name))


def _held(name: str) -> Network:
    if name not in zoo.names():
        raise PlosiveError(f"{name!r} is no network of the zoo: it has {', '.join(zoo.names())}")
    return Network.load(zoo.path(name))
