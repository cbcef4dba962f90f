# SPDX-License-Identifier: Apache-2.0
"""From a pytest test to a bench inside the simulator: the one call that the pytest files make."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.tools import verilator

__all__ = ["run_bench"]


def run_bench(
    component_verilog: str | Path,
    top: str,
    bench_module: str,
    *,
    build_root: Path,
    seed: int,
    testcase: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 600,
    waves: bool = False,
    extra_args: Sequence[str] = (),
    check: bool = True,
) -> verilator.RunResult:
    """Build a component, or find it built, and run a bench in it.

    Parameters
    ----------
    component_verilog
        Verilog text, or the path of a Verilog file.
    top
        Name of its top module.
    bench_module
        Python module of the bench, as "cocotb_tests.blocks.bench_pe".
    build_root
        Folder of models and logs (the fixture `build_root`).
    seed
        Seed of the bench (the fixture `seed`).
    testcase
        One test of the bench, or None for all.
    env
        Variables for the bench: how a pytest parameter reaches it.
    timeout_s
        Wall-clock limit of the simulation in seconds.
    waves
        Write a waveform beside the log.
    extra_args
        More options of Verilator.
    check
        Raise if the bench fails; False returns the result of a bench that is meant to.

    Raises
    ------
    AssertionError
        The bench failed: every message, the log and what reproduces it.
    PlosiveError
        The component does not build.
    """
    env = dict(env or {})
    if isinstance(component_verilog, Path):
        model = verilator.build(
            [component_verilog], top, build_root, waves=waves, extra_args=extra_args
        )
    else:
        with tempfile.TemporaryDirectory(prefix="plosive-bench-") as folder:
            source = Path(folder, f"{top}.v")
            source.write_text(component_verilog)
            model = verilator.build([source], top, build_root, waves=waves, extra_args=extra_args)
    # All that tells this run from others of the same model, so that their logs do not collide.
    run = json.dumps([bench_module, testcase, seed, env], sort_keys=True)
    stem = f"{bench_module.rpartition('.')[2]}-{hashlib.sha256(run.encode()).hexdigest()[:12]}"
    log = build_root / "logs" / f"{model.directory.name}-{stem}.log"
    waves_path = log.with_suffix(f".{model.waves}") if model.waves is not None else None
    result = model.run(
        bench_module,
        testcase,
        env=env,
        seed=seed,
        timeout_s=timeout_s,
        log_path=log,
        waves_path=waves_path,
    )
    if check and not result.passed:
        shown = "\n".join(result.messages)
        raise AssertionError(f"{run} failed:\n{shown}\nlog: {log}, waveform: {waves_path}")
    return result
