# SPDX-License-Identifier: Apache-2.0
"""Modules run as commands, as `python -m model_zoo.studies.ladder`: a mistake is one line."""

import sys
from collections.abc import Callable

import typer

from hw.errors import PlosiveError

__all__ = ["run"]


def run(main: Callable[..., None]) -> None:
    """Run a typer function as a command and leave Python; the exit status is 1 for a mistake."""
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    try:
        app()
    except PlosiveError as error:
        sys.exit(" ".join(str(error).split()))
