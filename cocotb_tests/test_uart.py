# SPDX-License-Identifier: Apache-2.0
"""The serial port against a line that is modelled in time, and the speeds that it refuses."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from cocotb_tests.runner import run_bench
from hw.uart import PHASE_BITS, UartReceiver, UartTransmitter, baud_step
from hw.verilog import component_verilog

QUICK_BUILD = ("--output-split", "0", "-CFLAGS", "-O0")


class _Uart(wiring.Component):
    """Both directions side by side."""

    def __init__(self):
        self._parts = {"receiver": UartReceiver(), "transmitter": UartTransmitter()}
        super().__init__({name: Out(part.signature) for name, part in self._parts.items()})

    def elaborate(self, _platform):
        m = Module()
        for name, part in self._parts.items():
            m.submodules[name] = part
            connect(m, part, flipped(getattr(self, name)))
        return m


def test_uart_bench(build_root, seed):
    result = run_bench(
        component_verilog(_Uart(), "uart"),
        "uart",
        "cocotb_tests.bench_uart",
        build_root=build_root,
        seed=seed,
        extra_args=QUICK_BUILD,
    )
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
