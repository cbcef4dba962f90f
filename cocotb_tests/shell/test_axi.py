# SPDX-License-Identifier: Apache-2.0
"""The IP top against AXI's rules, an independent AXI master, and the golden model."""

from __future__ import annotations

import json
import re

import pytest

from cocotb_tests.runner import run_bench
from cocotb_tests.shell.axi_bench import BENCH_ARGS, BENCH_TOP, bench_verilog
from flows.verilog.contents import contents
from golden_model import Network
from hw.config import AcceleratorConfig, preset
from hw.shell.ip_top import IPTop

# By name: the configuration, entries of the best-N list, baked.
SHAPES: dict[str, tuple[AcceleratorConfig, int, bool]] = {
    "tiny": (preset("tiny"), 3, False),
    "odd-t1": (
        AcceleratorConfig(
            n_input=5,
            hidden=(9, 7),
            recurrent=(True, False),
            n_output=13,
            time_steps=1,
            lanes=3,
            output_lanes=3,
            readout_every=2,
            counter_bits=9,
        ),
        2,
        False,
    ),
}


def plan(name: str, seed: int, **more) -> tuple[IPTop, dict]:
    config, best, baked = SHAPES[name]
    network = Network.random(config, seed)
    held = contents(config, network) if baked else None
    top = IPTop(config, held, bake=baked, best=best)
    values = {"config": config.to_dict(), "seed": seed, "best": best, "baked": baked, **more}
    return top, {"PLOSIVE_AXI": json.dumps(values)}


def run(name: str, testcase: str, build_root, seed: int, **more):
    top, env = plan(name, 1, **more)
    return run_bench(
        bench_verilog(top),
        BENCH_TOP,
        "cocotb_tests.shell.bench_axi",
        build_root=build_root,
        seed=seed,
        testcase=testcase,
        env=env,
        extra_args=BENCH_ARGS,
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_life_of_an_ip(shape, build_root, seed):
    run(shape, "life", build_root, seed)


@pytest.mark.parametrize("bench", ["pace", "answers_wait"])
def test_masters_at_their_limits(bench, build_root, seed):
    run("tiny", bench, build_root, seed)


@pytest.mark.parametrize("transactions", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_random_transactions_with_back_pressure(transactions, build_root, seed):
    result = run("tiny", "transactions", build_root, seed, transactions=transactions)
    print(re.search(r"transactions: .*", result.log.read_text())[0])
