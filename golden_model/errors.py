# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with networks and their files."""

from hw.errors import PlosiveError

__all__ = ["NetworkError", "NetworkFileError"]


class NetworkError(PlosiveError, ValueError):
    """A network breaks a rule; the message names the layer, the neuron, the value and the rule."""


class NetworkFileError(NetworkError):
    """A network file cannot be read, written or used; the message begins with its path."""
