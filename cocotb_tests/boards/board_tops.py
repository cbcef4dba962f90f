# SPDX-License-Identifier: Apache-2.0
"""Board tops around a small core, and all of them side by side for their bench."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from flows.verilog.writer import component_verilog
from hw.shell.board_top import BoardTop, XilinxPLL

__all__ = ["TOPS", "TOPS_TOP", "SmallCore", "board_tops_verilog"]

TOPS_TOP = "tops"
_PLL = XilinxPLL(100_000_000, multiply=10, divide=40)
# Clocks in which the model of the PLL is locked: not before a start, and once not in between.
_LOCKED = [(37, 500), (540, 1000)]

# name: what the top is made with, and from when to when its clock is good.
TOPS: dict[str, dict[str, Any]] = {
    "plain": {"clock_hz": 12e6, "divide": 1, "inverted": [], "locked": [(0, 1000)]},
    "halved": {
        "clock_hz": 6e6,
        "divide": 2,
        "inverted": ["led_idle", "led_error"],
        "locked": [(0, 1000)],
    },
    "locked": {"clock_hz": 4e6, "divide": 1, "inverted": ["led_busy"], "locked": _LOCKED},
    "both": {"clock_hz": 4e6, "divide": 2, "inverted": [], "locked": _LOCKED},
}

_MODELS = """
module PLLE2_BASE #(
  parameter CLKIN1_PERIOD = 0.0, CLKFBOUT_MULT = 5, CLKOUT0_DIVIDE = 1, DIVCLK_DIVIDE = 1
) (input CLKIN1, CLKFBIN, RST, PWRDWN, output CLKFBOUT, CLKOUT0, LOCKED);
  reg [10:0] count = 0;
  always @(posedge CLKIN1) count <= count + 1;
  assign CLKFBOUT = CLKIN1;
  assign CLKOUT0 = CLKIN1;
  assign LOCKED = !RST && !PWRDWN && CLKFBIN == CLKFBOUT && ({locked});
endmodule
module BUFG (input I, output O);
  assign O = I;
endmodule
"""


class SmallCore(wiring.Component):
    """What a board top needs of a core, in four flip-flops.

    Attributes
    ----------
    rx, tx : In, Out; the one is the other.
    leds : Out, bit 0: out of reset, 1: changes with every clock, 2: rx is low.
    """

    def __init__(self) -> None:
        super().__init__({"rx": In(1), "tx": Out(1), "leds": Out(3)})

    def elaborate(self, _platform: object) -> Elaboratable:
        m = Module()
        running, clocks = Signal(), Signal()
        m.d.sync += [running.eq(1), clocks.eq(~clocks)]
        m.d.comb += [
            self.tx.eq(self.rx),
            self.leds[0].eq(running),
            self.leds[1].eq(clocks),
            self.leds[2].eq(~self.rx),
        ]
        return m


def board_tops_verilog() -> str:
    """Verilog of every top, and of one module with them all; ports of a top as `name_port`."""
    windows = " || ".join(f"count >= {first} && count < {last}" for first, last in _LOCKED)
    texts = [_MODELS.replace("{locked}", windows)]
    ports = ["input clk", "input rx"]
    instances = []
    for name, top in TOPS.items():
        pll = _PLL if top["locked"] is _LOCKED else None
        component = BoardTop(
            SmallCore(),
            clock_hz=top["clock_hz"],
            pll=pll,
            divide=top["divide"],
            inverted=top["inverted"],
        )
        texts.append(component_verilog(component, f"top_{name}"))
        outputs = ("tx", "led_idle", "led_busy", "led_error")
        ports += [f"output {name}_{port}" for port in outputs]
        wires = ", ".join(f".{port}({name}_{port})" for port in outputs)
        instances.append(f"  top_{name} {name} (.clk(clk), .rx(rx), {wires});")
    texts.append("\n".join([f"module {TOPS_TOP} ({', '.join(ports)});", *instances, "endmodule"]))
    return "\n".join(texts)
