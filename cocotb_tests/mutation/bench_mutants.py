# SPDX-License-Identifier: Apache-2.0
"""Runs the core's benches on broken cores, many in one simulation, and writes what each bench says.

A core with a port `mutsel` holds many mutants; the value of the port selects one, 0 none. Before
each job random data is written everywhere with no mutant selected, so that nothing an earlier one
loaded can hide that this one does not load.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import cocotb
from cocotb.triggers import SimTimeoutError, with_timeout

from cocotb_tests.core.bench_weight_port import closed_while_running, exercise, reset, scrub
from flows.simulation.bench import run_job, start_clock
from flows.simulation.job import CoreJob
from golden_model import Network

_CLOCK_NS = 10


@cocotb.test()
async def mutants(dut) -> None:
    """One line of PLOSIVE_MUTANTS' result file for each selection: what caught it, or null."""
    plan = json.loads(Path(os.environ["PLOSIVE_MUTANTS"]).read_text())
    jobs = [CoreJob.read(path) for path in plan["jobs"]]
    start_clock(dut)
    with open(plan["result_path"], "a") as results:
        for selection in plan["selections"]:
            caught = await _regress(dut, jobs, selection, plan["max_clocks"])
            results.write(json.dumps({"selection": selection, "caught": caught}) + "\n")
            results.flush()


async def _regress(dut, jobs: list[CoreJob], selection: int | None, max_clocks: int) -> str | None:
    """The first message of the benches about one mutant."""
    rng = random.Random(cocotb.RANDOM_SEED)
    for job in jobs:
        await _select(dut, job, 0 if selection is not None else None, rng)
        await _select(dut, None, selection, rng)
        try:
            figures = await with_timeout(run_job(dut, job), max_clocks * _CLOCK_NS, "ns")
        except AssertionError as failure:
            return str(failure)
        except SimTimeoutError:
            return f"no end after {max_clocks} clocks"
        if figures["messages"]:
            return figures["messages"][0]
    try:
        await with_timeout(_port(dut, jobs[-1], rng), max_clocks * _CLOCK_NS, "ns")
    except AssertionError as failure:
        return str(failure)
    except SimTimeoutError:
        return f"weight port: no end after {max_clocks} clocks"
    return None


async def _select(dut, job: CoreJob | None, selection: int | None, rng: random.Random) -> None:
    """Choose a mutant; with a job, scrub its machine afterwards."""
    if selection is None:
        return
    dut.mutsel.value = selection
    if job is not None:
        await reset(dut)
        await scrub(dut, job.config, rng)


async def _port(dut, job: CoreJob, rng: random.Random) -> None:
    """Closed while the frames of the job's network run, which is loaded; then everything else."""
    await reset(dut)
    await closed_while_running(dut, job.config, Network.load(job.network_path), rng)
    await exercise(dut, job.config, rng)
