# SPDX-License-Identifier: Apache-2.0
"""The documentation site: `make docs` builds it with Sphinx, and takes its warnings as errors."""

import re
from pathlib import Path

from sphinx.application import Sphinx

import plosive

project = "Plosive"
author = project_copyright = "The authors of Plosive"
version = release = plosive.__version__
html_title = f"Plosive {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 4  # links to sections are checked, too

# The notebook runs on each build: one that no longer runs breaks it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_in_temp = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_copy_source = False

linkcheck_timeout = 20


def _from_the_root(_app: Sphinx, _path: Path, _parent: str, content: list[str]) -> None:
    """README's links, as they would stand in `docs`."""
    content[0] = re.sub(r"\]\((?!docs/|https?:|#)", "](../", content[0])
    _out_of_the_site(_app, _parent, content)


def _out_of_the_site(_app: Sphinx, _page: str, content: list[str]) -> None:
    """Links out of `docs`, to files that no page of the site shows: they become downloads."""
    content[0] = content[0].replace("](../", "](path:../")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("include-read", _from_the_root)
    app.connect("source-read", _out_of_the_site)
