# SPDX-License-Identifier: Apache-2.0
"""Running OpenSTA: Tcl commands over a few files, in a process of its own."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.tools import toolchain
from flows.tools.process import run_child
from hw.errors import PlosiveError

__all__ = ["run_opensta"]


def run_opensta(
    setup: Sequence[str],
    commands: Sequence[str],
    files: Mapping[str, Path],
    *,
    messages: Path | None = None,
) -> str:
    """Run commands, and return what they print.

    Parameters
    ----------
    setup
        Tcl, a command a line, that reads `files` by their names; what it prints is dropped.
    commands
        Tcl, a command a line, whose output is wanted.
    files
        Where each file is. The names are plain words: Tcl gives a meaning to blanks, braces and
        backslashes, and the folders of the files may be named anyhow.
    messages
        Receives standard error, where `set_debug` writes: that may be too large for a text.

    Raises
    ------
    ToolError
        OpenSTA is missing.
    PlosiveError
        A command fails; the message ends with OpenSTA's own error.
    """
    program = toolchain.find("sta").path
    with tempfile.TemporaryDirectory(prefix="plosive-sta-") as scratch:
        work = Path(scratch)
        for name, path in files.items():
            (work / name).symlink_to(path.resolve())
        script = [*setup, "puts BEGIN", *commands, "puts DONE"]
        (work / "script.tcl").write_text("\n".join(script) + "\n")
        printed, log = work / "printed", messages or work / "messages"
        with open(printed, "wb") as stdout, open(log, "wb") as stderr:
            status = run_child(
                [program, "-no_init", "-exit", "script.tcl"],
                work,
                stdout=stdout,
                stderr=stderr,
            )
        text = printed.read_text(errors="replace")
        told = "" if messages else log.read_text(errors="replace")
    before, begun, rest = text.partition("BEGIN\n")
    shown, done, _ = rest.partition("DONE\n")
    lines = (before + rest + told).splitlines()
    error = next((line for line in lines if line.startswith("Error:")), None)
    if error or status != 0 or not begun or not done:
        raise PlosiveError(f"OpenSTA fails: {error or 'no output'}")
    return shown
