# SPDX-License-Identifier: Apache-2.0
"""The root of all errors that a user can cause."""

__all__ = ["PlosiveError"]


class PlosiveError(Exception):
    """What the user asked for cannot be done; the message says what and why, in one line.

    The command line prints it and ends with status 1. Every error that a user can cause derives
    from this class; anything else that escapes is a fault of the program.
    """
