# SPDX-License-Identifier: Apache-2.0
"""Text that a user, a file or a path brings is shown where it is written, and never followed.

One property a language: whatever the text, the language's own reader sees one comment, string,
word or cell, with that text in it.
"""

import re
import subprocess
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flows.report import drawings
from flows.tools import verilator
from flows.verilog import network_image
from golden_model import Network
from golden_model.files import escape
from hw.config import preset
from model_zoo import cards

# What the languages make something of, alone and in pieces; random text finds the rest.
PIECES = [
    *("*/", "/*", "*", "/", "//", "\\", "\\\n", "\\\r\n", "??/", "??/\n", "?", "*\\\n/", '"', "'"),
    *(
        "\n",
        "\r",
        "\t",
        "\x0b",
        "\x0c",
        "\x1b[31m",
        "\x1b]8;;x\x07",
        "\x07",
        "\x00",
        "\x7f",
        "\x9b",
    ),
    *("\u2028", "\u2029", "\x85", "\u202e", "\u2066", "\ufeff", "\udc80", "\U0001f600", "é"),
    *("[red]", "[/]", "[", "]", "[link=x]", ":warning:", "{", "}", "$x", "$(touch x)", "`touch x`"),
    *("[exec touch x]", ";", "#", "&", "&lt;", "&#33;", "<b>", "</td>", "<script>", "]]>", "-->"),
    *("|", "---", "- ", "+ ", "1. ", "> ", "# ", "_a_", "**b**", "~~c~~", "![i](u)", "[l](u)"),
    *("https://x.y", "www.x.y", "%s", "{{ 1 }}", "{% raw %}", "\\u000a", "a", " ", "  ", "`", "``"),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)
# A file's name has no null character; a text that a decoder made has no halves of characters.
NAMES = TEXTS.map(lambda text: text.replace("\0", ""))
PLAIN = NAMES.map(lambda text: text.encode("utf-8", "ignore").decode())


def run(command: list, text: bytes | str = b"", **options) -> bytes:
    data = text if isinstance(text, bytes) else text.encode()
    result = subprocess.run(command, input=data, capture_output=True, **options)
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    assert result.stderr == b"", result.stderr.decode(errors="replace")
    return result.stdout


# --- C, SystemRDL and Verilog -------------------------------------------------------------------

GCC = ("gcc", "-std=c99", "-trigraphs", "-Wall", "-Wextra", "-Wno-unused", "-Werror", "-x", "c")


@settings(max_examples=12)
@given(st.lists(TEXTS, min_size=10, max_size=60))
@example(["*\\\n/ int evil; /*", "*??/\n/", "*/", "/*", "*/*/", "/*/", "\\", "??/", "\u202e"])
def test_a_text_in_a_c_comment_neither_ends_nor_continues_it(texts):
    lines = [f"/* {escape.c_comment(t)} */\nint marker_{n};" for n, t in enumerate(texts)]
    left = run([*GCC, "-E", "-P", "-"], "\n".join(lines) + "\n")
    assert left.decode().split() == " ".join(f"int marker_{n};" for n in range(len(texts))).split()
    run([*GCC, "-fsyntax-only", "-"], "\n".join(lines) + "\n")


@settings(max_examples=12)
@given(st.lists(TEXTS, min_size=10, max_size=60))
@example(['"', "\\", '\\"', "??/", "????/", "\\\n", '??/"', "%s"])
def test_a_text_in_a_string_stays_in_it(texts):
    lines = [f"static const char s{n}[] = {escape.string(t)};" for n, t in enumerate(texts)]
    assert all(line.isascii() and line.isprintable() for line in lines)
    run([*GCC, "-fsyntax-only", "-"], "\n".join(lines) + "\n")


def test_a_text_in_a_string_of_verilog_stays_in_it(tmp_path):
    texts = [*PIECES, "".join(PIECES)]
    lines = [f"  localparam TEXT_{n} = {escape.string(t)};" for n, t in enumerate(texts)]
    path = tmp_path / "strings.v"
    path.write_text("\n".join(["module strings;", *lines, "endmodule", ""]))
    verilator.lint(path, "strings")


def test_the_licence_of_a_network_stays_in_the_comment_of_its_image(tmp_path):
    drawn = Network.random(preset("tiny"), 1)
    for number, licence in enumerate(["*\\\n/ int evil; /*", "*/ int evil; /*", "".join(PIECES)]):
        licence = licence.encode("utf-8", "ignore").decode()
        network = Network(drawn.config, drawn.layers, drawn.w_out, {"licence": licence})
        path = tmp_path / f"image_{number}.h"
        network_image.write_image(network.config, network, path)
        left = run([*GCC, "-E", "-P", str(path)]).decode()
        assert re.findall(r"\bevil\b", left) == []
        run([*GCC, "-fsyntax-only", str(path)])


# --- the shell ----------------------------------------------------------------------------------


@settings(max_examples=12)
@given(st.lists(NAMES, min_size=10, max_size=60))
@example(["a b", "'; touch x; '", "$(touch x)", "\x1b[31m", "\udc80'\\", "é\x1b", "", "-n", "\n"])
def test_a_text_in_a_line_to_copy_is_one_word_of_the_shell(texts):
    words = []
    for text in texts:
        text = "".join(
            c for c in text if not "\ud800" <= c <= "\udfff" or "\udc80" <= c <= "\udcff"
        )
        words.append(text)
    line = "printf '%s\\0' " + " ".join(map(escape.shell_word, words))
    assert line.isprintable()
    shown = run(["bash", "-c", line], env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    assert shown == b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)


def test_a_path_in_a_line_to_copy_is_no_option():
    assert escape.shell_path("-a b") == "'./-a b'"
    assert escape.shell_path("/-a") == "/-a"


# --- Markdown, HTML and the terminal ------------------------------------------------------------

MARKDOWN = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"])


def inline_text(token) -> str:
    assert {child.type for child in token.children} <= {"text", "text_special"}, token.content
    return "".join(child.content for child in token.children)


@settings(max_examples=300)
@given(TEXTS)
def test_a_text_in_markdown_is_a_line_a_heading_and_a_cell(text):
    shown = escape.one_line(text)
    written = escape.markdown(text)
    page = f"# A {written}\n\n| a | b |\n|---|---|\n| {written} | {escape.markdown_code(text)} |\n"
    tokens = MARKDOWN.parse(page)
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 5, page
    assert inline_text(cells[0]) == f"A {shown}".rstrip()
    assert inline_text(cells[3]) == shown
    (code,) = cells[4].children
    assert (code.type, code.content.strip()) == ("code_inline", shown.strip())
    if shown:
        assert [token.type for token in MARKDOWN.parse(written)] == [
            *("paragraph_open", "inline", "paragraph_close"),
        ]


def test_a_card_shows_what_a_hostile_header_says():
    nasty = "".join(piece for piece in PIECES if piece.isprintable())
    drawn = Network.random(preset("tiny"), 1)
    header = {
        "licence": nasty,
        "provenance": {
            "description": nasty,
            "command": nasty,
            "date": nasty,
            "tools": {nasty: nasty},
            "data": {nasty: {"source": nasty, "licence": nasty, "hours": [1, "|"]}},
            "tested_on": [nasty],
            "stages": [{"name": nasty, "loss": 1.0}],
        },
        "scores": {"test": {"per": 0.3}},
    }
    network = Network(drawn.config, drawn.layers, drawn.w_out, header)
    plain = {
        **header,
        "licence": "x",
        "provenance": {
            "description": "x",
            "command": "x",
            "date": "x",
            "tools": {"x": "x"},
            "data": {"x": {"source": "x", "licence": "x", "hours": [1, "x"]}},
            "tested_on": ["x"],
            "stages": [{"name": "x", "loss": 1.0}],
        },
    }
    like = Network(drawn.config, drawn.layers, drawn.w_out, plain)
    page, expected = (MARKDOWN.parse(cards.card("x", one)) for one in (network, like))
    assert [token.type for token in page] == [token.type for token in expected]
    for token in page:
        if token.type == "inline":
            assert {child.type for child in token.children} <= {
                "text",
                "text_special",
                "code_inline",
            }


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.shown: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data):
        self.shown.append(data)

    def handle_comment(self, _data):
        raise AssertionError("a comment")

    handle_decl = handle_pi = unknown_decl = handle_comment


@settings(max_examples=100)
@given(PLAIN)
def test_a_text_in_a_drawing_is_no_tag_and_no_attribute(text):
    def page(word: str) -> _Tags:
        cell = drawings.Cell(0.1, 0.2, word, "plain")
        part = drawings.Part(0.0, 0.5, "zeros", word)
        return _Tags(
            drawings.strip(word, [cell])
            + drawings.bars(word, [drawings.Bar(word, word, [part])])
            + drawings.time_axis([(0.5, word)])
            + drawings.tiles(word, {word: (1.0, word, "logic")}, 40)
        )

    found, plain = page(text), page("x" * len(text))
    assert [tag for tag in found.tags if tag[0] != "text"] == [
        tag for tag in plain.tags if tag[0] != "text"
    ]
    assert text.replace("\r\n", "\n").replace("\r", "\n") in "".join(found.shown).replace(
        "\r\n", "\n"
    ).replace("\r", "\n")


@settings(max_examples=200)
@given(TEXTS)
def test_a_text_on_the_terminal_is_shown_as_it_is(text):
    for shown in (escape.terminal(text), escape.one_line(text)):
        assert all(c.isprintable() or c == "\n" for c in shown)
        shown.encode()
    assert "\n" not in escape.one_line(text)
    if text.isprintable():
        assert escape.terminal(text) == text


def test_what_templates_insert_is_plain():
    assert escape.template_word(12) == 12
    assert escape.template_word("Digilent Arty A7-35T") == "Digilent Arty A7-35T"
    for text in ("a\nb", "[exec x]", "$x", "{", '"', "\\", ";", "é"):
        with pytest.raises(ValueError, match="is not to stand in a template"):
            escape.template_word(text)
