# SPDX-License-Identifier: Apache-2.0
"""The documentation site and its notebook, as far as they can be tested without Sphinx."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
CELLS = json.loads((DOCS / "notebook.ipynb").read_text())["cells"]


def test_every_page_is_in_the_contents() -> None:
    """Sphinx would say so, too, but only `make docs` asks it."""
    index = (DOCS / "index.md").read_text()
    listed = re.findall(r"^([a-z-]+)$", index, re.MULTILINE)
    pages = {path.stem for path in DOCS.iterdir() if path.suffix in (".md", ".ipynb")}
    assert sorted(listed) == sorted(pages - {"index"})


def test_the_citation_names_the_version() -> None:
    version = re.search(r'^version = "(.*)"$', (PROJECT / "pyproject.toml").read_text(), re.M)[1]
    assert f"\nversion: {version}\n" in (PROJECT / "CITATION.cff").read_text()


def test_the_notebook_is_stored_as_it_ran() -> None:
    """Once, from the first cell to the last, without an error."""
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = [output["output_type"] for cell in code for output in cell["outputs"]]
    assert kinds.count("display_data") == 3
    assert "error" not in kinds


@pytest.mark.slow
def test_the_notebook_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build_root: Path
) -> None:
    """Its cells in a row, in plain Python; trained numbers differ a little between machines."""
    pytest.importorskip("snntorch", reason="the notebook needs the extras train and exchange")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").symlink_to(build_root)
    names: dict[str, object] = {}
    for cell in CELLS:
        if cell["cell_type"] != "code":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), "notebook", "exec"), names)
        shown = "".join(
            line
            for output in cell["outputs"]
            if output["output_type"] == "stream" and output["name"] == "stdout"
            for line in output["text"]
        )
        assert re.sub(r"[\d.,]+", "#", printed.getvalue()) == re.sub(r"[\d.,]+", "#", shown)
    assert names["run"].passed
