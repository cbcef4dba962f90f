# SPDX-License-Identifier: Apache-2.0
"""The serial port against a line that is modelled in time, and the speeds that it refuses."""

import pytest

from cocotb_tests.serial.serial_blocks import bench_verilog, run_serial_bench
from hw.shell.uart import PHASE_BITS, baud_step


def test_uart_bench(build_root, seed):
    result = run_serial_bench("uart", bench_verilog("uart"), build_root=build_root, seed=seed)
    assert result.tests == 5


@pytest.mark.parametrize("clock", [12_000_000, 25_000_000, 48_000_000, 100_000_000])
@pytest.mark.parametrize("baud", [115_200, 1_000_000, 2_000_000, 3_000_000])
def test_speeds_are_as_documented(clock, baud):
    actual = clock * baud_step(clock, baud) / 2**PHASE_BITS
    assert abs(actual / baud - 1) < 0.0066


@pytest.mark.parametrize(("clock", "baud"), [(12_000_000, 3_000_001), (100_000_000, 300)])
def test_speeds_out_of_reach_are_refused(clock, baud):
    with pytest.raises(ValueError, match=f"baud is {baud}"):
        baud_step(clock, baud)
