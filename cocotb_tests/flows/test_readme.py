# SPDX-License-Identifier: Apache-2.0
"""What the README and the documents say can be done is done here as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text()


def _run(*command: str, folder: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_your_own_network(tmp_path: Path) -> None:
    """The Python block, then the two commands that follow it."""
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert _run(sys.executable, "-c", code, folder=tmp_path) == "(100, 5)\n"
    fields = re.search(r"\(`(\{[^`]*\})`\)", README)[1]
    (tmp_path / "mine.json").write_text(fields)
    commands = re.findall(r"^plosive (.*mine\.json.*)$", README, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        _run(sys.executable, "-m", "flows.cli", *command.split(), folder=tmp_path)
    assert (tmp_path / "mine" / "plosive.v").is_file()


@pytest.mark.parametrize(
    "document", ["README.md", *(f"docs/{p.name}" for p in (PROJECT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(document: str) -> None:
    path = PROJECT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{document}: {target}"
