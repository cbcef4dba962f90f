# SPDX-License-Identifier: Apache-2.0
"""The serial bridge against the protocol's reference."""

from cocotb_tests.serial.serial_blocks import bench_verilog, run_serial_bench


def test_bridge_follows_the_protocol(build_root, seed):
    verilog = bench_verilog("bridge")
    result = run_serial_bench("bridge", verilog, build_root=build_root, seed=seed)
    assert result.tests == 6
