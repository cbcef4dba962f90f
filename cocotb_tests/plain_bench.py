# SPDX-License-Identifier: Apache-2.0
"""Running the plain Verilog bench of `plosive generate --testbench` in two simulators."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.tools import toolchain, verilator
from flows.tools.toolchain import ToolError
from flows.verilog.testbench import BENCH

__all__ = ["BenchRun", "icarus_or_skip", "lint_by_default", "run_icarus", "run_verilator"]


@dataclass(frozen=True)
class BenchRun:
    """What a run of the bench gave: whether it passed, and what it printed."""

    passed: bool
    output: str


def icarus_or_skip() -> Path:
    """The compiler of Icarus Verilog; the test skips, saying what to install, without it."""
    try:
        return toolchain.find("iverilog").path
    except ToolError as error:
        pytest.skip(str(error))


def lint_by_default(*options: str | Path) -> str:
    """What Verilator's `--lint-only`, with no rule turned on or off, has against Verilog."""
    command = [toolchain.find("verilator").path, "--lint-only", *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode == 0) == (result.stderr == ""), result.stderr
    return result.stderr


def run_icarus(folder: Path, timeout_s: float = 600) -> BenchRun:
    """Run the bench of a folder in Icarus Verilog; the test skips without it."""
    compiler = icarus_or_skip()
    runtime = compiler.with_name("vvp")
    with tempfile.TemporaryDirectory(prefix="plosive-icarus-") as work:
        program = Path(work, "tb")
        sources = [folder / BENCH, folder / "plosive.v"]
        run = _run([compiler, "-g2005", "-o", program, *sources], folder, timeout_s)
        if run.passed:
            run = _run([runtime, "-n", program], folder, timeout_s)
    return run


def run_verilator(folder: Path, timeout_s: float = 600) -> BenchRun:
    """Build and run the bench of a folder in Verilator."""
    with tempfile.TemporaryDirectory(prefix="plosive-verilator-") as work:
        sources = [folder / BENCH, folder / "plosive.v"]
        program = verilator.build_program(sources, "plosive_tb", Path(work))
        return _run([program], folder, timeout_s)


def _run(command: Sequence[str | Path], folder: Path, timeout_s: float) -> BenchRun:
    result = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    return BenchRun(result.returncode == 0, result.stdout + result.stderr)
