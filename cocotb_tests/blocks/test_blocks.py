# SPDX-License-Identifier: Apache-2.0
"""The benches of the blocks, all in one simulation model, and the weight port in the core."""

import numpy as np
import pytest

from cocotb_tests.blocks.blocks import TOP, blocks_verilog
from cocotb_tests.mutation.mutants import CONFIGS
from cocotb_tests.runner import run_bench
from flows.simulation.job import CoreJob
from flows.simulation.run import build_core
from flows.verilog.contents import weight_requests
from golden_model import Network

BENCHES = {
    "counters": ["counts_and_wraps"],
    "feature_front_end": ["walks"],
    "lif": ["joins_nibbles", "merges", "updates"],
    "memory": ["reads_writes_holds"],
    "pe": ["accumulates", "reset_clears"],
    "priority": ["finds_the_lowest"],
    "spike_front_end": ["walks"],
    "stream_buffers": ["collects_features", "sends_groups"],
}
# Building takes longer than all benches: it should be small, and one worker should do it once.
QUICK_BUILD = ("--output-split", "0", "-CFLAGS", "-O0")

pytestmark = pytest.mark.xdist_group("blocks")


@pytest.fixture(scope="module")
def verilog() -> str:
    return blocks_verilog()


@pytest.mark.parametrize("block", BENCHES)
def test_block_follows_the_documents(block, verilog, build_root, seed):
    result = run_bench(
        verilog,
        TOP,
        f"cocotb_tests.blocks.bench_{block}",
        build_root=build_root,
        seed=seed,
        extra_args=QUICK_BUILD,
    )
    assert result.tests == len(BENCHES[block])


def test_weight_port_reaches_every_word_and_nothing_else(build_root, seed, tmp_path):
    config = CONFIGS["t1"]
    model = build_core(config, build_root)
    job = CoreJob(
        config=config,
        network_path=str(tmp_path / "network.safetensors"),
        features_path="",
        words_path=str(tmp_path / "words.npy"),
        result_path="",
        starts=[0],
        check="outputs",
        fields=[],
        counter_names=[],
        max_clocks=0,
    )
    network = Network.random(config, seed)
    network.save(job.network_path)
    np.save(job.words_path, weight_requests(config, network))
    job.write(tmp_path / "job.json")
    result = model.simulation.run(
        "cocotb_tests.core.bench_weight_port",
        "weight_port",
        env={"PLOSIVE_JOB": str(tmp_path / "job.json")},
        seed=seed,
        timeout_s=600,
        log_path=tmp_path / "weight_port.log",
    )
    assert result.passed, result.messages
