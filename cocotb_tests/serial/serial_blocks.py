# SPDX-License-Identifier: Apache-2.0
"""The serial port and the bridge as their benches have them, and the run of each bench."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from cocotb_tests.runner import run_bench
from flows.tools.verilator import RunResult
from flows.verilog.writer import component_verilog
from hw.shell.serial_bridge import SerialBridge
from hw.shell.uart import UartReceiver, UartTransmitter

__all__ = ["BLOCKS", "bench_verilog", "run_serial_bench"]

_QUICK_BUILD = ("--output-split", "0", "-CFLAGS", "-O0")
_CLOCK, _CLOCKS_PER_BIT, _HOLD_BITS, _PATIENCE_BITS = 12_000_000, 8, 15, 11
BLOCKS = ("uart", "bridge")


class _Uart(wiring.Component):
    """Both directions side by side."""

    def __init__(self) -> None:
        self._parts = {"receiver": UartReceiver(), "transmitter": UartTransmitter()}
        super().__init__({name: Out(part.signature) for name, part in self._parts.items()})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        for name, part in self._parts.items():
            m.submodules[name] = part
            connect(m, part, flipped(getattr(self, name)))
        return m


def bench_verilog(block: str) -> str:
    """Verilog of "uart" or "bridge"."""
    if block == "uart":
        return component_verilog(_Uart(), block)
    bridge = SerialBridge(
        _CLOCK, _CLOCK // _CLOCKS_PER_BIT, hold_bits=_HOLD_BITS, patience_bits=_PATIENCE_BITS
    )
    return component_verilog(bridge, block)


def run_serial_bench(
    block: str,
    verilog: str,
    *,
    build_root: Path,
    seed: int,
    requests: int = 40,
    check: bool = True,
) -> RunResult:
    """Run the bench of "uart" or "bridge" on Verilog of it.

    Parameters
    ----------
    requests : random ones, and as many damaged ones.
    check : as for `run_bench`.
    """
    plan = {
        "clocks_per_bit": _CLOCKS_PER_BIT,
        "hold_bits": _HOLD_BITS,
        "patience_bits": _PATIENCE_BITS,
        "hello": [1 | 126 << 8 | 16 << 16 | _HOLD_BITS << 24, _CLOCK],
        "requests": requests,
    }
    environment: Mapping[str, str] = {"PLOSIVE_SERIAL": json.dumps(plan)}
    return run_bench(
        verilog,
        block,
        "cocotb_tests.serial.bench_uart"
        if block == "uart"
        else "cocotb_tests.serial.bench_serial_bridge",
        build_root=build_root,
        seed=seed,
        env={} if block == "uart" else environment,
        extra_args=_QUICK_BUILD,
        timeout_s=300,
        check=check,
    )
