# SPDX-License-Identifier: Apache-2.0
"""Liberty files, read strictly: the groups and attributes of a cell library.

The grammar is small, and the parsers on PyPI are under the GPL or years old, so it is read here:
12 MB in a third of a second, tables left as text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hw.errors import PlosiveError

__all__ = ["Group", "read_liberty", "truth_table"]

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# A closing brace, `name (arguments) {`, `name (arguments);` or `name : value;`. The semicolon after
# a value may be missing at the end of a line: the SRAM files of IHP have such lines.
_STATEMENT = re.compile(
    r"""\s*(?: (?P<close>\}) | ; | (?P<name>[A-Za-z_]\w*)\s*
    (?: \((?P<arguments>(?:"[^"]*"|[^()"])*)\)\s*(?P<open>\{)?
    | :\s*(?P<value>"[^"]*"|[^;{}\n"]+) ))""",
    re.VERBOSE,
)

_KEPT = ("values", "index_1", "index_2", "capacitive_load_unit")  # of `name (arguments);`


@dataclass
class Group:
    """A group of a Liberty file, as `cell (name) { ... }`.

    Attributes
    ----------
    kind
        What it describes, for example "cell" or "pin".
    name
        What stands in the parentheses, without quotes.
    attributes
        Values of `name : value` as text without quotes; of `name (arguments);` those of tables.
    groups
        The groups inside, in order.
    """

    kind: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list["Group"] = field(default_factory=list)

    def of(self, kind: str) -> Iterator["Group"]:
        """The groups of one kind directly inside."""
        return (group for group in self.groups if group.kind == kind)

    def number(self, attribute: str, default: float | None = None) -> float:
        """An attribute as a number.

        Raises
        ------
        PlosiveError
            It is missing and has no default, or is no number.
        """
        text = self.attributes.get(attribute)
        if text is None and default is not None:
            return default
        try:
            return float(text or "")
        except ValueError:
            raise PlosiveError(
                f"{self.kind} {self.name}: {attribute} is {text!r}, it must be a number"
            ) from None


def read_liberty(path: Path) -> Group:
    """The library group of a Liberty file.

    Raises
    ------
    PlosiveError
        The file cannot be read, is no Liberty file, or ends in the middle.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise PlosiveError(f"cannot read {path}: {error.strerror or error}") from error
    text = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text)
    root = Group("file", path.name)
    opened = [root]
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _STATEMENT.match(text, position)
        if found is None or (found["close"] and len(opened) == 1):
            line = text.count("\n", 0, position) + 1
            raise PlosiveError(f"{path}: line {line} is not Liberty, or the file is cut off there")
        position = found.end()
        if found["open"]:
            group = Group(found["name"], _bare(found["arguments"]))
            opened[-1].groups.append(group)
            opened.append(group)
        elif found["close"]:
            opened.pop()
        elif found["value"] is not None:
            opened[-1].attributes[found["name"]] = _bare(found["value"])
        elif found["name"] in _KEPT:
            opened[-1].attributes[found["name"]] = _bare(found["arguments"])
    if len(opened) > 1:
        inside = opened[-1]
        raise PlosiveError(f"{path}: the file is cut off inside {inside.kind} {inside.name}")
    libraries = list(root.of("library"))
    if len(libraries) != 1:
        raise PlosiveError(f"{path}: it holds no library, so it is not a Liberty file")
    return libraries[0]


def _bare(text: str) -> str:
    return text.strip().strip('"').strip()


def truth_table(expression: str, names: Sequence[str]) -> int:
    """A Boolean expression of a Liberty file as a table.

    Parameters
    ----------
    expression
        It may have `!` and `'`, `^`, `*` and `&` (or nothing between two factors), `+` and `|`.
    names
        Its variables, at most six that count.

    Returns
    -------
    int
        Bit i is the value where variable k is bit k of i.

    Raises
    ------
    PlosiveError
        It is no such expression, or has another variable.
    """
    reader = _Expression(expression, names)
    table = reader.sums()
    if reader.token:
        raise reader.wrong()
    return table


class _Expression:
    """A Boolean expression while it is read: a method for each level, as tables of its values."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        size = 1 << len(names)
        self._text, self._names = text, names
        self._ones = (1 << size) - 1
        self._values = {
            name: sum(1 << index for index in range(size) if index >> place & 1)
            for place, name in enumerate(names)
        } | {"0": 0, "1": self._ones}
        self._left = [*re.findall(r"[A-Za-z_]\w*|[01]|\S", text), ""][::-1]

    @property
    def token(self) -> str:
        """What comes next; empty at the end."""
        return self._left[-1]

    def wrong(self) -> PlosiveError:
        return PlosiveError(f"{self._text!r} is no Boolean expression of {', '.join(self._names)}")

    def sums(self) -> int:
        value = self._product()
        while self.token in ("+", "|"):
            self._left.pop()
            value |= self._product()
        return value

    def _product(self) -> int:
        value = self._exclusive()
        while self.token in ("*", "&", "!", "(") or self.token in self._values:
            if self.token in ("*", "&"):
                self._left.pop()
            value &= self._exclusive()
        return value

    def _exclusive(self) -> int:
        value = self._factor()
        while self.token == "^":
            self._left.pop()
            value ^= self._factor()
        return value

    def _factor(self) -> int:
        if not self.token:
            raise self.wrong()
        token = self._left.pop()
        if token == "!":
            return self._ones ^ self._factor()
        if token == "(":
            value = self.sums()
            if self.token != ")":
                raise self.wrong()
            self._left.pop()
        elif token in self._values:
            value = self._values[token]
        else:
            raise self.wrong()
        while self.token == "'":
            self._left.pop()
            value ^= self._ones
        return value
