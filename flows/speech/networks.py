# SPDX-License-Identifier: Apache-2.0
"""`plosive networks`: the networks of the model zoo."""

from typing import Any

from golden_model import Network
from hw.errors import PlosiveError
from model_zoo import cards, zoo

__all__ = ["card", "described", "listed"]


def listed() -> list[dict[str, Any]]:
    """The main figures of every shipped network, JSON-able, see `cards.summary`."""
    return [cards.summary(name, Network.load(zoo.path(name))) for name in zoo.names()]


def described(name: str) -> dict[str, Any]:
    """The main figures and the whole header of one network, JSON-able.

    Raises
    ------
    PlosiveError
        The zoo has no such network.
    """
    network = _held(name)
    return {**cards.summary(name, network), "header": network.header}


def card(name: str) -> str:
    """The model card of one network, Markdown.

    Raises
    ------
    PlosiveError
        The zoo has no such network.
    """
    return cards.card(name, _held(name))


def _held(name: str) -> Network:
    if name not in zoo.names():
        raise PlosiveError(f"{name!r} is no network of the zoo: it has {', '.join(zoo.names())}")
    return Network.load(zoo.path(name))
