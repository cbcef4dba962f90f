# SPDX-License-Identifier: Apache-2.0
"""What every board has below its clock and pins: the shell, the serial bridge, and three LEDs."""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from hw.config import AcceleratorConfig
from hw.core.core import Contents
from hw.core.memory import MemoryInstance
from hw.shell.serial_bridge import SerialBridge
from hw.shell.shell import Shell

__all__ = ["BOARD_TOP", "BoardCore"]

BOARD_TOP = "plosive_board"


class BoardCore(wiring.Component):
    """An accelerator on a serial line.

    Parameters
    ----------
    config, contents, bake, best, result_depth
        Passed on to the `Shell`.
    clock_hz, baud, hold_bits
        Passed on to the `SerialBridge`; baud is the speed after a reset.

    Attributes
    ----------
    shell, bridge
        The two parts.
    memory_instances
        The memories, each a module of its own.
    rx
        In, the serial line from the host.
    tx
        Out, the serial line to it.
    leds
        Out, bit 0: idle, 1: busy, 2: a bit of the register ERRORS is set.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        contents: Contents | None = None,
        *,
        clock_hz: int,
        baud: int = 115_200,
        bake: bool = False,
        best: int = 0,
        result_depth: int = 16,
        hold_bits: int = 24,
    ) -> None:
        self.shell = Shell(
            config, contents, bake=bake, best=best, streams=False, result_depth=result_depth
        )
        self.bridge = SerialBridge(clock_hz, baud, hold_bits=hold_bits)
        super().__init__({"rx": In(1), "tx": Out(1, init=1), "leds": Out(3)})

    @property
    def memory_instances(self) -> list[MemoryInstance]:
        return self.shell.memory_instances

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.shell = shell = self.shell
        m.submodules.bridge = bridge = self.bridge
        connect(m, bridge.bus, shell.bus)
        m.d.comb += [
            bridge.rx.eq(self.rx),
            self.tx.eq(bridge.tx),
            self.leds[0].eq(~shell.busy),
            self.leds[1].eq(shell.busy),
            self.leds[2].eq(shell.error),
        ]
        return m
