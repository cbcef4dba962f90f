# SPDX-License-Identifier: Apache-2.0
"""The commands of `plosive host`, one module each, as those in `flows.cli.commands`."""

HELP_ORDER = (
    *("probe", "load", "selftest", "transcribe", "stream"),
    *("counters", "link", "bench", "simulate"),
)
"""Order of the commands in `plosive host --help`: first contact first, then speech, then tools."""
