# SPDX-License-Identifier: Apache-2.0
"""Text of a user, a file or a path, made harmless where it is written: one function a language.

A network's licence may end in a C comment, a model card, a table on the terminal and a page of
HTML, and a folder's name in a line to copy into a shell. Whatever the text is, it is shown there
and never becomes part of the language. HTML is not here: Jinja's autoescape and `markupsafe` do
it. Nor are scripts of tools: they name files of their own folder only.
"""

import re
import shlex

__all__ = [
    "c_comment",
    "markdown",
    "markdown_code",
    "one_line",
    "shell_path",
    "shell_word",
    "string",
    "template_word",
    "terminal",
]


def _visible(letter: str) -> str:
    r"""A character that cannot be seen, as Python writes it: `\\x1b`, `\\u202e`."""
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def terminal(text: object) -> str:
    """Text for a terminal: line feeds stay, everything else that is no glyph is spelled out.

    So no text moves the cursor, colours or hides what follows, writes from right to left, or
    holds bytes of a file's name that are not UTF-8.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _visible(c) for c in text)


def one_line(text: object) -> str:
    """Text in one line: white space of all kinds is one blank, other invisible characters are
    spelled out.
    """
    return terminal(" ".join(str(text).split()))


def c_comment(text: object) -> str:
    """Text inside a C comment: one line in which no comment begins or ends.

    Without line ends there are no line splices, and a trigraph for one (`??/`) has nothing to
    splice; the blank before the comment's own end is the caller's.
    """
    return re.sub(r"(?<=\*)/|(?<=/)\*", r" \g<0>", one_line(text))


def string(text: object) -> str:
    """Text as a quoted string of C, Verilog and SystemRDL, in ASCII.

    What is not ASCII is spelled out, since their escapes for it differ; question marks are kept
    apart, since C reads `??/` as a backslash.
    """
    plain = one_line(text).encode("ascii", "backslashreplace").decode("ascii")
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"\?(?=\?)", "? ", quoted) + '"'


def shell_word(text: object) -> str:
    r"""Text as one word of a shell, to be shown and copied: what cannot be seen as `$'\\x1b'`."""
    text = str(text)
    if text.isprintable():
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    data = escaped.encode("utf-8", "surrogateescape")
    if escaped.isascii() or any("\ud800" <= c <= "\udfff" for c in escaped):
        shown = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in data)
    else:
        shown = "".join(
            c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in c.encode())
            for c in escaped
        )
    return f"$'{shown}'"


def shell_path(path: object) -> str:
    """A path as one word of a shell that no command takes for an option."""
    path = str(path)
    return shell_word(f"./{path}" if path.startswith("-") else path)


def markdown(text: object) -> str:
    """Text in a line or a table's cell of Markdown: no markup, HTML, link or new cell."""
    plain = re.sub(r"[\\`*_\[\]<>|~$]|&(?=[#\w])|!(?=\[)", r"\\\g<0>", one_line(text))
    # Where it begins a line it is no heading, list, quote or rule, and ends no heading.
    plain = re.sub(r"^(\d{1,9})([.)])(?= |$)", r"\1\\\2", plain)
    plain = re.sub(r"^(?:#|[-+](?= |$)|[-=](?=[-= ]*$))|#$", r"\\\g<0>", plain)
    return _LINK.sub(lambda found: found[0].replace(":", "\\:").replace(".", "\\."), plain)


# What some renderers make a link without being asked.
_LINK = re.compile(r"\b(?:https?|ftp|mailto):|\bwww\.", re.IGNORECASE)


def markdown_code(text: object) -> str:
    """Text as a code span in a line or a table's cell of Markdown."""
    plain = one_line(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", plain)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if plain.startswith("`") or plain.endswith("`") or not plain else ""
    return f"{fence}{blank}{plain}{blank}{fence}"


def template_word(value: object) -> object:
    """What a template of Verilog or Tcl may insert: a number, or plain words of the program.

    Nothing a user wrote goes through these templates; this holds it.

    Raises
    ------
    ValueError
        It is anything else.
    """
    if isinstance(value, (int, float)) or re.fullmatch(r"[\w .,():/+-]*", str(value), re.ASCII):
        return value
    raise ValueError(f"{value!r} is not to stand in a template: it is not plain words")
