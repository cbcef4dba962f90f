# SPDX-License-Identifier: Apache-2.0
"""The serial bridge against the protocol's reference, and broken bridges that the bench catches."""

import json
from pathlib import Path

from cocotb_tests.runner import run_bench
from hw.serial_bridge import SerialBridge
from hw.verilog import component_verilog

QUICK_BUILD = ("--output-split", "0", "-CFLAGS", "-O0")
CLOCK, CLOCKS_PER_BIT, HOLD_BITS, PATIENCE_BITS = 12_000_000, 8, 15, 11


def _plan(requests: int) -> dict:
    return {
        "clocks_per_bit": CLOCKS_PER_BIT,
        "hold_bits": HOLD_BITS,
        "patience_bits": PATIENCE_BITS,
        "hello": [1 | 126 << 8 | 16 << 16 | HOLD_BITS << 24, CLOCK],
        "requests": requests,
    }


def _run(verilog: str, build_root: Path, seed: int, requests: int, check: bool = True):
    return run_bench(
        verilog,
        "bridge",
        "cocotb_tests.bench_serial_bridge",
        build_root=build_root,
        seed=seed,
        env={"PLOSIVE_SERIAL": json.dumps(_plan(requests))},
        extra_args=QUICK_BUILD,
        timeout_s=300,
        check=check,
    )


def _bridge(**options):
    return SerialBridge(
        CLOCK, CLOCK // CLOCKS_PER_BIT, hold_bits=HOLD_BITS, patience_bits=PATIENCE_BITS, **options
    )


def test_bridge_follows_the_protocol(build_root, seed):
    result = _run(component_verilog(_bridge(), "bridge"), build_root, seed, 40)
    assert result.tests == 6
