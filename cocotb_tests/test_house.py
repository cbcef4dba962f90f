# SPDX-License-Identifier: Apache-2.0
"""The house rules: imports run one way, folders and files stay small, one root of errors."""

import ast
import importlib
import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from hw.errors import PlosiveError

PROJECT = Path(__file__).resolve().parents[1]

# Packages, and the rooms of `flows`, from the ground up. A file imports only from its own room and
# from those below.
FLOORS = (
    ("hw",),
    ("golden_model",),
    ("model_zoo",),
    ("flows", "flows.inputs", "flows.progress"),
    ("flows.tools",),
    ("flows.verilog",),
    ("flows.simulation",),
    ("flows.asic", "flows.fpga"),
    ("flows.speech",),
    ("flows.host",),
    ("flows.report",),
    ("flows.measure",),
    ("flows.cli",),
    ("plosive",),
    ("cocotb_tests",),
)
MOST_FILES = 15  # side by side in a folder, packages' own __init__.py not counted


def modules(project: Path) -> dict[str, Path]:
    """Every module of the project, by its dotted name."""
    packages = {name.split(".")[0] for floor in FLOORS for name in floor}
    found = {}
    for package in packages:
        for path in (project / package).rglob("*.py"):
            parts = path.relative_to(project).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(project: Path) -> dict[str, set[str]]:
    """Which of the project's modules each one imports, anywhere in its text."""
    known = modules(project)
    found = {}
    for name, path in known.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        taken = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                taken |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                source = node.module or ""
                if node.level:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    source = ".".join([*above, source] if source else above)
                for alias in node.names:
                    inside = f"{source}.{alias.name}"
                    taken.add(inside if inside in known else source)
        found[name] = {module for module in taken if module in known and module != name}
    return found


def floor(module: str) -> int:
    """The floor of a module: that of its longest prefix in `FLOORS`."""
    prefixes = {name: number for number, names in enumerate(FLOORS) for name in names}
    while module not in prefixes:
        module = module.rpartition(".")[0]
    return prefixes[module]


def wrong_imports(project: Path) -> list[str]:
    """Imports that run up, and circles."""
    graph = imports(project)
    wrong = [
        f"{name} imports {other}, which stands above it"
        for name, others in graph.items()
        for other in others
        if floor(other) > floor(name)
    ]
    # A package's __init__ hands names of its modules on: only modules make circles.
    modules_only = {n: {o for o in others if o not in PACKAGES} for n, others in graph.items()}
    try:
        TopologicalSorter(modules_only).prepare()
    except CycleError as error:
        wrong.append("circle: " + " -> ".join(error.args[1]))
    return sorted(wrong)


PACKAGES = {name for name, path in modules(PROJECT).items() if path.name == "__init__.py"}


def test_imports_run_one_way():
    assert wrong_imports(PROJECT) == []


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("hw/core/pe.py", "from golden_model import laws", "hw.core.pe imports golden_model.laws"),
        ("flows/tools/verilator.py", "import cocotb_tests.runner", "imports cocotb_tests.runner"),
        ("flows/cli/app.py", "import plosive", "flows.cli.app imports plosive"),
        ("hw/config.py", "from .core import core", "circle: "),
    ],
)
def test_a_wrong_import_is_found(tmp_path, file, line, message):
    for name, path in modules(PROJECT).items():
        copy = tmp_path / path.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text()
        copy.write_text(f"{text}\n{line}\n" if name == file[:-3].replace("/", ".") else text)
    assert any(message in found for found in wrong_imports(tmp_path))


def test_folders_stay_small():
    files = subprocess.run(
        ["git", "ls-files", "hw", "golden_model", "flows", "model_zoo", "plosive", "cocotb_tests"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    folders: dict[Path, int] = {}
    for file in map(Path, files):
        folders[file.parent] = folders.get(file.parent, 0) + (file.name != "__init__.py")
    assert {str(f): count for f, count in folders.items() if count > MOST_FILES} == {}


def test_what_a_user_can_cause_derives_from_one_class():
    """Every exception that the product defines, but for those listed with a reason."""
    for name, path in modules(PROJECT).items():
        if name.startswith("cocotb_tests"):
            continue
        classes = [
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
        ]
        for each in classes:
            found = getattr(importlib.import_module(name), each)
            assert issubclass(found, PlosiveError), f"{name}.{each}"
