# SPDX-License-Identifier: Apache-2.0
"""What the README and the documents say can be done is done here as written."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
COMMANDS = (PROJECT / "docs" / "commands.md").read_text()
DOCUMENTS = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("CHANGELOG.md", "LICENSES/README.md", "model_zoo/checkpoints/README.md"),
    *sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md")),
]
ROOMS = ("cocotb_tests", "docs", "flows", "golden_model", "hw", "model_zoo", "plosive")


def _run(*command: str, folder: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_your_own_network(tmp_path: Path) -> None:
    """The Python block, then the two commands that follow it."""
    code = re.search(r"```python\n(.*?)```", COMMANDS, re.DOTALL)[1]
    assert _run(sys.executable, "-c", code, folder=tmp_path) == "(100, 5)\n"
    fields = re.search(r"\(`(\{[^`]*\})`\)", COMMANDS)[1]
    (tmp_path / "mine.json").write_text(fields)
    commands = re.findall(r"^plosive (.*mine\.json.*)$", COMMANDS, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        _run(sys.executable, "-m", "flows.cli", *command.split(), folder=tmp_path)
    assert (tmp_path / "mine" / "plosive.v").is_file()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    path = PROJECT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{document}: {target}"


def _sources() -> dict[str, Path]:
    """The project's own files, by their path in it."""
    found = [path for room in ROOMS for path in (PROJECT / room).rglob("*") if path.is_file()]
    return {str(path.relative_to(PROJECT)): path for path in found if path.suffix != ".pyc"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_a_document_names_are_there(document: str) -> None:
    """Paths below a room, names of sources, and modules to run, in backticks or indented."""
    text = (PROJECT / document).read_text()
    sources = _sources()
    names = {path.name for path in (*sources.values(), *PROJECT.iterdir())}
    for word in re.findall(r"`([^`\s]+)`", text):
        if "<" in word:
            continue  # stands for several
        if word.split("/")[0] in ROOMS and "/" in word:
            found = word in sources or (PROJECT / word).is_dir()
            assert found, f"{document} names {word!r}, which does not exist"
        elif re.fullmatch(r"[\w/]+\.(py|sv|toml)", word):
            assert Path(word).name in names, f"{document} names {word!r}: no source is called so"
    for module in re.findall(r"-m ((?:flows|model_zoo|cocotb_tests)[\w.]*)", text):
        spec = importlib.util.find_spec(module)
        assert spec is not None, f"{document} runs {module!r}, which does not exist"


def test_names_that_the_page_on_verification_gives_are_in_the_code() -> None:
    text = (PROJECT / "docs/verification.md").read_text()
    code = "\n".join(
        path.read_text() for name, path in _sources().items() if name.endswith((".py", ".sv"))
    )
    names = {Path(name).stem for name in _sources()}
    for word in re.findall(r"`([a-zA-Z]+(?:_[a-zA-Z0-9]+)+)`", text):
        assert word in names or word in code, f"docs/verification.md names {word!r}"


def test_the_table_of_rooms_names_every_room() -> None:
    """Each folder with code stands in the table, by itself or by a folder above it."""
    table = (PROJECT / "CONTRIBUTING.md").read_text().partition("## Where things are")[2]
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*)`", table)
    folders = {
        str(Path(name).parent)
        for name in _sources()
        if name.endswith(".py") and not name.endswith("__init__.py")
    }
    split = {str(Path(name).parent) for name in named}  # these name their rooms one by one
    for folder in folders - {"flows", "model_zoo"}:
        above = next((p for p in (folder, *map(str, Path(folder).parents)) if p in named), None)
        assert above is not None, f"the table has no room {folder!r}"
        assert folder == above or above not in split, f"the table has no room {folder!r}"
