# SPDX-License-Identifier: Apache-2.0
"""Commands in documents: where they stand, what they should print, and whether they do.

A block of the language `console` is a session: lines that begin with `$ ` are commands, and what
follows is what they print, on standard output and standard error together. A line `...` stands for
any lines, and `...` in a line for any text; blanks at the ends of lines do not count.
"""

import re
from dataclasses import dataclass

__all__ = ["Command", "commands", "differences", "sessions"]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PROGRESS = re.compile(r"plosive: .* \(\d+ s\)")


@dataclass(frozen=True)
class Command:
    """A command of a session, and the lines that it should print."""

    text: str
    printed: tuple[str, ...]


def sessions(document: str) -> list[list[Command]]:
    """The commands of each block `console`."""
    found = []
    for language, text in _FENCED.findall(document):
        if language != "console":
            continue
        session: list[tuple[str, list[str]]] = []
        for line in text.splitlines():
            if line.startswith("$ "):
                session.append((line[2:], []))
            else:
                session[-1][1].append(line)
        found.append([Command(command, tuple(printed)) for command, printed in session])
    return found


def commands(document: str) -> list[str]:
    """Each `plosive` command of a document, in a block or indented, without what it prints."""
    shell = _FENCED.sub(lambda m: m[2] if m[1] in ("", "console", "sh") else "", document)
    shell = re.sub(r"\\\n *", "", shell)  # a command that goes on in the next line
    lines = re.findall(r"^(?:    )?(?:\$ )?(plosive [a-z].*)$", shell, re.MULTILINE)
    return [re.split(r" (?:#|&&|\||<|>) ?", line)[0].strip() for line in lines]


def differences(command: Command, printed: str) -> str:
    """What a command printed and should not have, or the other way round; "" if all is well."""
    lines = [_narrowed(line) for line in printed.splitlines()]
    lines = [line for line in lines if not _PROGRESS.fullmatch(line)]
    wanted = [_narrowed(line) for line in command.printed]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in wanted
    )
    if re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)):
        return ""
    return "\n".join([f"$ {command.text}", *lines, "--- the document:", *wanted])


def _narrowed(line: str) -> str:
    """A line without what the width of a table changes, which follows from figures like a speed."""
    return re.sub("([ ─])\\1+", r"\1", line.rstrip())
