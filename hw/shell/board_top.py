# SPDX-License-Identifier: Apache-2.0
"""What stands around a board's core in an FPGA: clock, reset after power-up, and the pins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Const,
    Elaboratable,
    Instance,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["LED_PORTS", "BoardTop", "XilinxPLL"]

LED_PORTS = ("led_idle", "led_busy", "led_error")
_RESET_SECONDS = 15e-6  # block RAMs of the iCE40 read wrong for a few microseconds after start-up


@dataclass(frozen=True)
class XilinxPLL:
    """Settings of a PLLE2_BASE of the 7 series: input * multiply / divide.

    Its oscillator, input * multiply, must be 800 to 1600 MHz (DS181, speed grade 1).

    Raises
    ------
    ValueError
        It is not.
    """

    input_hz: int
    multiply: int
    divide: int

    def __post_init__(self) -> None:
        oscillator = self.input_hz * self.multiply
        if not 800_000_000 <= oscillator <= 1_600_000_000:
            raise ValueError(f"multiply is {self.multiply}: its {oscillator} Hz are out of range")

    @property
    def output_hz(self) -> int:
        return self.input_hz * self.multiply // self.divide


class BoardTop(wiring.Component):
    """The top of an FPGA: a core on the clock of a pin or of a PLL behind it.

    The core is held in reset for 15 us after configuration, and until the PLL has locked.

    Parameters
    ----------
    core
        The component to clock; it has `rx` (In), `tx` (Out) and `leds` (Out, 3 bits: idle, busy,
        error).
    clock_hz
        Clock frequency of the core, which sets how many cycles the reset lasts.
    pll
        The PLL between the pin and the core; None connects them directly.
    divide
        2 to halve the clock (behind the PLL) with a flip-flop, 1 to leave it.
    inverted
        LED ports that light when low.

    Attributes
    ----------
    clk
        In, the oscillator.
    rx
        In, the serial line from the host.
    tx
        Out, the serial line to it.
    led_idle, led_busy, led_error
        Out, the LEDs.
    """

    def __init__(
        self,
        core: wiring.Component,
        *,
        clock_hz: float,
        pll: XilinxPLL | None = None,
        divide: int = 1,
        inverted: Iterable[str] = (),
    ) -> None:
        if divide not in (1, 2):
            raise ValueError(f"divide is {divide}: it must be 1 or 2")
        self._core = core
        self._pll = pll
        self._divide = divide
        self._inverted = frozenset(inverted)
        self._reset_cycles = max(2, round(_RESET_SECONDS * clock_hz))
        super().__init__(
            {"clk": In(1), "rx": In(1), "tx": Out(1), **{port: Out(1) for port in LED_PORTS}}
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.domains.sync = ClockDomain()
        # The same clock without a reset: counts the reset's cycles.
        m.domains.start = ClockDomain(reset_less=True)
        clock = self.clk
        ready: Signal | Const = Const(1)
        if self._pll is not None:
            clock, locked = Signal(), Signal()
            self._instantiate_pll(m, self._pll, clock, locked)
            ready = Signal()
            m.submodules.lock = FFSynchronizer(locked, ready, o_domain="start")
        if self._divide == 2:
            m.domains.fast = ClockDomain(reset_less=True, local=True)
            m.d.comb += ClockSignal("fast").eq(clock)
            clock = Signal()
            m.d.fast += clock.eq(~clock)
        m.d.comb += [ClockSignal("sync").eq(clock), ClockSignal("start").eq(clock)]

        count = Signal(range(self._reset_cycles + 1))
        running = Signal()
        m.d.start += running.eq(count == self._reset_cycles)
        with m.If(~ready):
            m.d.start += count.eq(0)
        with m.Elif(count != self._reset_cycles):
            m.d.start += count.eq(count + 1)

        m.submodules.core = core = self._core
        m.d.comb += [
            ResetSignal("sync").eq(~running),
            core.rx.eq(self.rx),
            self.tx.eq(core.tx),
            *(
                getattr(self, port).eq(~core.leds[i] if port in self._inverted else core.leds[i])
                for i, port in enumerate(LED_PORTS)
            ),
        ]
        return m

    def _instantiate_pll(self, m: Module, pll: XilinxPLL, clock: Signal, locked: Signal) -> None:
        feedback, output = Signal(), Signal()
        m.submodules.pll = Instance(
            "PLLE2_BASE",
            p_CLKIN1_PERIOD=1e9 / pll.input_hz,
            p_CLKFBOUT_MULT=pll.multiply,
            p_CLKOUT0_DIVIDE=pll.divide,
            p_DIVCLK_DIVIDE=1,
            i_CLKIN1=self.clk,
            i_CLKFBIN=feedback,
            i_RST=Const(0),
            i_PWRDWN=Const(0),
            o_CLKFBOUT=feedback,
            o_CLKOUT0=output,
            o_LOCKED=locked,
        )
        m.submodules.buffer = Instance("BUFG", i_I=output, o_O=clock)
