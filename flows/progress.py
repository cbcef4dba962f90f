# SPDX-License-Identifier: Apache-2.0
"""Progress of long work: flows tell what they do, the command line shows it to who waits."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from golden_model.files.escape import terminal

__all__ = ["FIRST_LINE_S", "Progress", "on_terminal", "silent"]

Progress = Callable[[str], None]
"""Called with what is being done now, as "building the simulation model"."""

FIRST_LINE_S = 10.0
"""Where there is no terminal, what takes longer than this is told in a line."""


def silent(_what: str) -> None:
    """Tell nobody."""


@contextmanager
def on_terminal() -> Iterator[Progress]:
    """Show on standard error what is done now, and for how long.

    On a terminal this is one line that changes. In a pipe or a file, such as the log of a server,
    it is a line after `FIRST_LINE_S` seconds, and another whenever that time has doubled: nothing
    of quick work, and little of hours.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        with _in_lines() as show:
            yield show
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = None

        def show(what: str) -> None:
            nonlocal task
            if task is not None:
                bar.remove_task(task)
            task = bar.add_task(terminal(what), total=None)

        yield show


@contextmanager
def _in_lines() -> Iterator[Progress]:
    """Lines from a thread of their own, because the work does not return while it goes on."""
    began = time.monotonic()
    ended = threading.Event()
    now = ""

    def show(what: str) -> None:
        nonlocal now
        now = what

    def tell() -> None:
        due = FIRST_LINE_S
        while not ended.wait(began + due - time.monotonic()):
            if now:
                with suppress(OSError, ValueError):  # closed: nobody listens
                    line = f"plosive: {terminal(now)} ({time.monotonic() - began:.0f} s)"
                    print(line, file=sys.stderr, flush=True)
            due *= 2

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield show
    finally:
        ended.set()
        teller.join()
