# SPDX-License-Identifier: Apache-2.0
"""What a conversion raises, and what it warns of."""

from hw.errors import PlosiveError

__all__ = ["ConversionError", "ConversionWarning"]


class ConversionError(PlosiveError, ValueError):
    """A network that the hardware cannot run: one line with place, field, value and rule."""


class ConversionWarning(UserWarning):
    """A conversion that the user asked for and that is another network than the trained one."""
