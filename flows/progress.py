# SPDX-License-Identifier: Apache-2.0
"""Progress of long work: flows tell what they do, the command line shows it on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from golden_model.files.escape import terminal

__all__ = ["Progress", "on_terminal", "silent"]

Progress = Callable[[str], None]
"""Called with what is being done now, as "building the simulation model"."""


def silent(_what: str) -> None:
    """Tell nobody."""


@contextmanager
def on_terminal() -> Iterator[Progress]:
    """Show what is done now, and for how long, on standard error if that is a terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = None

        def show(what: str) -> None:
            nonlocal task
            if task is not None:
                bar.remove_task(task)
            task = bar.add_task(terminal(what), total=None)

        yield show
