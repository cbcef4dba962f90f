# SPDX-License-Identifier: Apache-2.0
"""Every command that a document shows can be given, and prints what the document says."""

import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import soundfile
import typer

from cocotb_tests.front.sessions import Command, commands, differences, sessions
from flows.cli import app as cli
from flows.cli import commands as core_commands
from flows.cli.host import commands as host_commands
from flows.cli.host import group as host_group

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in PROJECT.glob("docs/*.md"))]
SENTENCE = next((PROJECT / "flows/speech/sentence").rglob("*.flac"))

SLOW = ("make demo",)  # sessions that begin so take minutes


def _cases(slow: bool) -> list[pytest.param]:
    """The sessions of all documents, those that take minutes or the others."""
    return [
        pytest.param(session, id=f"{document}: {session[0].text}")
        for document in DOCUMENTS
        for session in sessions((PROJECT / document).read_text())
        if session[0].text.startswith(SLOW) == slow
    ]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a stranger has it: a copy with no data and no PDK beside it."""
    folder = tmp_path_factory.mktemp("stranger") / "plosive"
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return folder


def _run(session: list[Command], clone: Path, folder: Path, build_root: Path) -> None:
    (folder / "build").symlink_to(build_root)
    samples, rate = soundfile.read(SENTENCE, dtype="int16")
    soundfile.write(folder / "hello.wav", samples, rate)
    programs = folder / "bin"
    programs.mkdir()
    plosive = programs / "plosive"
    plosive.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m plosive "$@"\n')
    plosive.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(clone),
    }
    for name in ("PDK_ROOT", "PLOSIVE_DATA"):
        env.pop(name, None)
    for command in session:
        result = subprocess.run(
            ["bash", "-c", re.sub("^make demo$", "plosive demo", command.text)],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert result.returncode == 0, f"$ {command.text}\n{result.stdout}"
        different = differences(command, result.stdout)
        assert not different, different


@pytest.mark.parametrize("session", _cases(slow=False))
def test_a_session_prints_what_the_document_shows(
    session: list[Command], clone: Path, tmp_path: Path, build_root: Path
) -> None:
    _run(session, clone, tmp_path, build_root)


@pytest.mark.slow
@pytest.mark.parametrize("session", _cases(slow=True))
def test_a_long_session_prints_what_the_document_shows(
    session: list[Command], clone: Path, tmp_path: Path, build_root: Path
) -> None:
    _run(session, clone, tmp_path, build_root)


def test_make_demo_is_what_the_test_takes_it_for() -> None:
    assert re.search(
        r"^demo: .*\n\t\$\(BIN\)/plosive demo$", (PROJECT / "Makefile").read_text(), re.M
    )


def test_readme_shows_sessions_and_the_script_of_the_page_from_python() -> None:
    readme = (PROJECT / "README.md").read_text()
    page = (PROJECT / "docs/from-python.md").read_text()
    assert len(sessions(readme)) >= 3
    for language in ("python", "text"):  # cocotb_tests/front/test_from_python.py runs the page's
        shown = re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)
        assert shown == re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)[:1]


def _parse(text: str) -> None:
    """Give a command line to the parser, without running it."""
    group, arguments = typer.main.get_command(cli.app), shlex.split(text)[1:]
    context = group.make_context("plosive", arguments)
    while hasattr(group, "resolve_command"):  # a group of commands
        left = [*context._protected_args, *context.args]
        name, group, arguments = group.resolve_command(context, left)
        context = group.make_context(name, arguments, parent=context)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_parser_takes_each_command(document: str) -> None:
    for command in commands((PROJECT / document).read_text()):
        _parse(command)


def test_the_shell_completes_commands_options_and_names() -> None:
    def complete(*words: str) -> list[str]:
        result = subprocess.run(
            [sys.executable, "-m", "plosive"],
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "_PLOSIVE_COMPLETE": "complete_bash",
                "COMP_WORDS": " ".join(words),
                "COMP_CWORD": str(len(words) - 1),
            },
            capture_output=True,
            text=True,
        )
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout.split()

    assert complete("plosive", "sim") == ["simulate"]
    assert complete("plosive", "simulate", "--fra") == ["--frames"]
    assert complete("plosive", "host", "se") == ["selftest"]
    assert complete("plosive", "area", "--preset", "paper-t2") == ["paper-t2", "paper-t2-unmerged"]
    assert complete("plosive", "area", "--network", "timit") == ["timit-sample", "timit-sample-t1"]


def _examples() -> list[str]:
    """Each example of the help texts."""
    found = re.findall(r"^ *- `(plosive [^`]+)`", host_group.options.__doc__, re.MULTILINE)
    for package in (core_commands, host_commands):
        for module in pkgutil.iter_modules(package.__path__):
            text = getattr(import_module(f"{package.__name__}.{module.name}"), module.name).__doc__
            examples = re.findall(r"^ *- `(?:.*\| )?(plosive [^`|<]+)", text, re.MULTILINE)
            assert examples, f"plosive {module.name} --help has no examples"
            found += examples
    return found


@pytest.mark.parametrize("example", _examples())
def test_the_parser_takes_each_example_of_the_help(example: str) -> None:
    _parse(example)


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [
        (["a 1", "..."], "a 1\nb\nc\n", True),
        (["a 1", "..."], "a 1\n", True),
        (["a 1", "..."], "a 2\nb\n", False),
        (["...", "c"], "plosive: building (10 s)\na\nb\nc  \n", True),
        (["a ... bytes"], "a 17 bytes\n", True),
        (["a ... bytes"], "a 17 bits\n", False),
        (["a"], "a\nb\n", False),
        (["a   9 b", " ──"], "a  9 b\n ───\n", True),
        (["a 9 b"], "a9 b\n", False),
        (["a", "b"], "a\n", False),
    ],
)
def test_a_changed_figure_is_seen(shown: list[str], printed: str, equal: bool) -> None:
    assert (differences(Command("x", tuple(shown)), printed) == "") == equal


def test_a_wrong_option_is_seen() -> None:
    with pytest.raises(typer.TyperException, match="No such option"):
        _parse("plosive simulate --preset tiny --nope")
