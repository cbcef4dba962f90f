# SPDX-License-Identifier: Apache-2.0
"""How the command line begins and ends as a process: streams, signals, exit status.

Whatever happens ends in one line on standard error and a status: 0, 1 for what the user can mend,
2 for a wrong option, 70 for a fault of the program (sysexits' EX_SOFTWARE), and 128 and the number
of a signal. A fault leaves its traceback in a file.
"""

import contextlib
import importlib.metadata
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import typer

from flows.cli.console import say
from hw.errors import PlosiveError

__all__ = ["FAULT", "FAULTS_FOLDER", "prepare", "status_of"]

FAULT = 70
"""Exit status of a fault of the program."""

FAULTS_FOLDER = "PLOSIVE_FAULTS"
"""Environment variable: the folder for the tracebacks of faults, instead of the temporary one."""


_INTERRUPTED = 128 + signal.SIGINT
_signal = signal.SIGINT  # that has asked this process to end, if one has


def prepare() -> None:
    """Make streams and signals of this process what the rest of the program expects."""
    _open_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        # What a script has set to be ignored (`nohup`) stays ignored.
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)


def _open_streams() -> None:
    """Give closed standard streams a descriptor, and let no text break one.

    Otherwise the next file that is opened would be standard output to every tool that is started.
    Writing to standard output still fails if it was closed; messages go nowhere then.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            # This takes the lowest descriptor that is free, which is the closed one.
            os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # another kind of stream, of a test
            stream.reconfigure(errors="backslashreplace")


def _stop(number: int, _frame: FrameType | None) -> None:
    """End this process as Ctrl-C does, which a terminal also sends to all children."""
    for child in _descendants(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGTERM)
    global _signal
    _signal = signal.Signals(number)
    raise KeyboardInterrupt


def _descendants(process: int) -> Iterator[int]:
    """Children of a process and theirs, where the system tells."""
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                yield from _descendants(child)
                yield child


def status_of(action: Callable[[], object], arguments: list[str]) -> int:
    """Run the command line's work, and turn whatever it raises into one line and a status.

    Parameters
    ----------
    action
        Returns the status, if it is a number.
    arguments
        Arguments of the command line, for the file that describes a fault.
    """
    try:
        status = action()
        sys.stdout.flush()
    except typer.TyperException as error:
        message = error.format_message()
        if not message:  # no arguments: the help was shown
            return error.exit_code
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "plosive"
        _say(f"{_joined(message).rstrip('.')} (see {path} --help)")
        return error.exit_code
    except PlosiveError as error:
        _say(_joined(str(error)))
        return 1
    except BrokenPipeError:  # the reader went away (`plosive ... | head`): nothing is left to say
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        named = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        _say(_joined(f"{named}{error.strerror or error}"))
        return 1
    except MemoryError as error:
        _say(_joined(f"out of memory: {error}").rstrip(": "))
        return 1
    except (typer.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    except Exception as error:
        _say(_fault(error, arguments))
        return FAULT
    if status == _INTERRUPTED:  # typer makes this number of Ctrl-C
        _say("interrupted" if _signal == signal.SIGINT else f"ended by {_signal.name}")
        return 128 + _signal
    return status if isinstance(status, int) else 0


def _fault(error: Exception, arguments: list[str]) -> str:
    """Leave the traceback of a fault in a file; the line to say."""
    from golden_model.files.escape import shell_word

    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    line = f"a fault of the program: {_joined(what)}"
    command = " ".join(shell_word(part) for part in ["plosive", *arguments])
    about = f"plosive {importlib.metadata.version('plosive')}, Python {sys.version}\n{command}\n\n"
    text = about + "".join(traceback.format_exception(error))
    try:
        descriptor, path = tempfile.mkstemp(
            ".log", "plosive-fault-", os.environ.get(FAULTS_FOLDER) or None
        )
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as problem:
        return f"{line}; its traceback cannot be kept: {problem.strerror or problem}"
    return f"{line}; please report it with {path}"


def _drop_output() -> None:
    """Send what standard output still holds nowhere: Python flushes it again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # standard error is closed: nobody listens
        say(line)


_MOST_SHOWN = 2000  # characters of a message


def _joined(text: str) -> str:
    """Lines of a message as one, not longer than people read."""
    from golden_model.files.escape import one_line

    lines = (one_line(line) for line in text.splitlines())
    shown = "; ".join(line for line in lines if line)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
