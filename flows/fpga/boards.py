# SPDX-License-Identifier: Apache-2.0
"""FPGA boards: their chips, what those have, pins and clocks as amaranth-boards defines them.

Pins are never written down here. Each comes from the board's definition in the Python package
amaranth-boards, which its users have tried on the boards.
"""

import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from flows.tools.toolchain import ToolError
from hw.config import AcceleratorConfig, preset
from hw.errors import PlosiveError
from hw.shell.board_top import LED_PORTS, XilinxPLL

__all__ = ["BOARDS", "LABELS", "Board", "Pin", "board", "lpf", "pcf", "xdc"]

Family = Literal["ecp5", "ice40", "xilinx"]

LABELS = {
    "luts": "LUTs",
    "flip_flops": "flip-flops",
    "block_memories": "block memories",
    "large_memories": "large memories (SPRAM)",
    "multipliers": "multipliers",
}
"""What chips have, in words."""


@dataclass(frozen=True)
class Pin:
    """A port of the board's top and where it is.

    Attributes
    ----------
    port
        A port of the top: clk, rx, tx, led_idle, led_busy or led_error.
    site
        The chip's pin.
    inverted
        A low level means 1.
    attributes
        Settings of the pin's buffer, from the board's definition: {"IOSTANDARD": "LVCMOS33"}.
    """

    port: str
    site: str
    inverted: bool
    attributes: dict[str, str]


@dataclass(frozen=True)
class Board:
    """A board that the flow knows.

    Attributes
    ----------
    name
        The name that `--board` takes.
    title
        Its full name.
    family
        Which tools it needs.
    definition
        "module:class" in amaranth_boards.
    leds
        Resources (name, number) that show idle, busy and error; empty if the top has no LEDs.
    has
        What the chip has, by the names of `LABELS`; empty for a chip that is not built for here.
    preset, shape
        The network's shape that is built for when none is asked for: a preset, and changes to it.
    fold
        The most lanes, logits a beat and counter bits that the chip takes.
    best
        Entries of the best-N list: for hosts on a slow line. 0 where the chip has no room.
    loader
        The board's name for openFPGALoader.
    place
        Options of nextpnr that name the chip.
    pll, divide
        Make the core's clock of the board's: a PLL or None, and a division by 1 or 2.
    zynq
        The chip has a processor of its own: the accelerator is packaged as an AXI peripheral.
    """

    name: str
    title: str
    family: Family
    definition: str
    leds: tuple[tuple[str, int], ...]
    has: dict[str, int]
    preset: str
    fold: dict[str, int]
    shape: dict[str, Any] = field(default_factory=dict)
    best: int = 1
    loader: str = ""
    place: tuple[str, ...] = ()
    pll: XilinxPLL | None = None
    divide: int = 1
    zynq: bool = False

    @property
    def config(self) -> AcceleratorConfig:
        """The hardware that is built when none is asked for."""
        return self.folded(preset(self.preset).replace(**self.shape))

    def folded(self, config: AcceleratorConfig) -> AcceleratorConfig:
        """A configuration with no more lanes than the chip takes."""
        fields = {name: min(most, getattr(config, name)) for name, most in self.fold.items()}
        pair = 2 * fields["lanes"]  # the logits a beat divide it
        fields["output_lanes"] = max(
            n for n in range(1, fields["output_lanes"] + 1) if pair % n == 0
        )
        return config.replace(**fields)

    @cached_property
    def platform(self) -> Any:
        """The board's definition.

        Raises
        ------
        ToolError
            amaranth-boards is missing.
        """
        if importlib.util.find_spec("amaranth_boards") is None:
            raise ToolError(
                "amaranth-boards was not found: it is needed to know the pins of a board; "
                "install the Python package amaranth-boards (run `make setup`)"
            )
        module, _, name = self.definition.partition(":")
        platform = getattr(importlib.import_module(f"amaranth_boards.{module}"), name)()
        # The iCEBreaker's button and LED board, which comes attached.
        if hasattr(platform, "break_off_pmod"):
            platform.add_resources(platform.break_off_pmod)
        return platform

    @property
    def part(self) -> str:
        """The chip with package and speed grade, as the definition has it."""
        fields = (self.platform.device, self.platform.package, getattr(self.platform, "speed", ""))
        return "-".join(value for value in fields if value)

    @property
    def oscillator_hz(self) -> int:
        """The board's clock."""
        platform = self.platform
        return round(platform.resources[platform.default_clk, 0].clock.frequency)

    @property
    def clock_hz(self) -> int:
        """The core's clock."""
        if self.zynq:
            return _ZYNQ_CLOCK_HZ
        before = self.pll.output_hz if self.pll is not None else self.oscillator_hz
        return before // self.divide

    @property
    def pins(self) -> list[Pin]:
        """Every port of the top."""
        platform = self.platform
        uart = platform.resources["uart", 0]
        lines = {signal.name: signal.ios[0] for signal in uart.ios}
        clock = platform.resources[platform.default_clk, 0]
        pins = [
            self._pin("clk", clock, clock.ios[0]),
            self._pin("rx", uart, lines["rx"]),
            self._pin("tx", uart, lines["tx"]),
        ]
        for port, key in zip(LED_PORTS, self.leds, strict=True):
            led = platform.resources[key]
            pins.append(self._pin(port, led, led.ios[0]))
        return pins

    def _pin(self, port: str, resource: Any, pins: Any) -> Pin:
        (site,) = pins.map_names(self.platform._conn_pins, resource)
        attributes = {name: str(value) for name, value in resource.attrs.items()}
        return Pin(port, site, pins.invert, attributes)


_ZYNQ_CLOCK_HZ = 25_000_000  # of the processor's FCLK0, as safe as that of the Artix boards
_LEDS = (("led", 0), ("led", 1), ("led", 2))
# 100 MHz to 25 MHz: no timing is known here, and a quarter of the oscillator is safe.
_ARTY_PLL = XilinxPLL(100_000_000, multiply=10, divide=40)

BOARDS: dict[str, Board] = {
    each.name: each
    for each in (
        Board(
            "ulx3s-85f",
            "Radiona ULX3S with LFE5U-85F",
            "ecp5",
            "ulx3s:ULX3S_85F_Platform",
            _LEDS,
            # FPGA-DS-02012, table 1.1; a LUT4 each, 156 18x18 multipliers, 208 blocks of 18 kbit.
            {"luts": 83640, "flip_flops": 83640, "block_memories": 208, "multipliers": 156},
            "paper-t2",
            {"lanes": 64, "output_lanes": 8},
            loader="ulx3s",
            place=("--85k", "--package", "CABGA381", "--speed", "6"),
        ),
        Board(
            "ulx3s-45f",
            "Radiona ULX3S with LFE5U-45F",
            "ecp5",
            "ulx3s:ULX3S_45F_Platform",
            _LEDS,
            {"luts": 43848, "flip_flops": 43848, "block_memories": 108, "multipliers": 72},
            "paper-t2",
            {"lanes": 32, "output_lanes": 4},
            loader="ulx3s",
            place=("--45k", "--package", "CABGA381", "--speed", "6"),
        ),
        Board(
            "icebreaker",
            "1BitSquared iCEBreaker with iCE40UP5K",
            "ice40",
            "icebreaker:ICEBreakerPlatform",
            (("led_g", 0), ("led", 2), ("led_r", 0)),
            # FPGA-DS-02008, table 2.1: a LUT4 and a flip-flop in each of 5280 logic cells.
            {
                "luts": 5280,
                "flip_flops": 5280,
                "block_memories": 30,
                "large_memories": 4,
                "multipliers": 8,
            },
            "speech",
            {"lanes": 2, "output_lanes": 1, "counter_bits": 16},
            {"time_steps": 1},
            best=0,
            loader="ice40_generic",
            place=("--up5k", "--package", "sg48"),
            divide=2,
        ),
        Board(
            "arty-a7-35",
            "Digilent Arty A7-35T",
            "xilinx",
            "arty_a7:ArtyA7_35Platform",
            _LEDS,
            {},
            "paper-t2",
            {"lanes": 32, "output_lanes": 4},
            loader="arty_a7_35t",
            pll=_ARTY_PLL,
        ),
        Board(
            "arty-a7-100",
            "Digilent Arty A7-100T",
            "xilinx",
            "arty_a7:ArtyA7_100Platform",
            _LEDS,
            {},
            "paper-t2",
            {"lanes": 64, "output_lanes": 8},
            loader="arty_a7_100t",
            pll=_ARTY_PLL,
        ),
        Board(
            "arty-z7-20",
            "Digilent Arty Z7-20 with Zynq XC7Z020",
            "xilinx",
            "arty_z7:ArtyZ720Platform",
            (),
            {},
            "paper-t2",
            {"lanes": 64, "output_lanes": 8},
            zynq=True,
        ),
    )
}
"""Every board, by name."""


def board(name: str) -> Board:
    """The board of that name.

    Raises
    ------
    PlosiveError
        There is none; the line lists the names.
    """
    if name not in BOARDS:
        raise PlosiveError(f"--board is {name!r}: the boards are {', '.join(BOARDS)}")
    return BOARDS[name]


def lpf(pins: Iterable[Pin], oscillator_hz: int) -> str:
    """Pins and clock for nextpnr-ecp5."""
    lines = [f'FREQUENCY PORT "clk" {oscillator_hz / 1e6:g} MHZ;']
    for pin in pins:
        lines.append(f'LOCATE COMP "{pin.port}" SITE "{pin.site}";')
        options = " ".join(f"{name}={value}" for name, value in pin.attributes.items())
        lines.append(f'IOBUF PORT "{pin.port}" {options};')
    return "\n".join(lines) + "\n"


def pcf(pins: Iterable[Pin], oscillator_hz: int) -> str:
    """Pins and clock for nextpnr-ice40."""
    lines = []
    for pin in pins:
        pull_up = "-pullup yes " if pin.attributes.get("PULLUP") == "1" else ""
        lines.append(f"set_io {pull_up}{pin.port} {pin.site}")
    lines.append(f"set_frequency clk {oscillator_hz / 1e6:g}")
    return "\n".join(lines) + "\n"


def xdc(pins: Iterable[Pin], oscillator_hz: int) -> str:
    """Pins and clock for Vivado; the supply of the configuration's pins is 3.3 V."""
    lines = [
        "set_property CFGBVS VCCO [current_design]",
        "set_property CONFIG_VOLTAGE 3.3 [current_design]",
        f"create_clock -name clk -period {1e9 / oscillator_hz:.3f} [get_ports clk]",
    ]
    for pin in pins:
        options = {"PACKAGE_PIN": pin.site, **pin.attributes}
        text = " ".join(f"{name} {value}" for name, value in options.items())
        lines.append(f"set_property -dict {{ {text} }} [get_ports {pin.port}]")
    # The serial line and the LEDs belong to no clock.
    outputs = " ".join(pin.port for pin in pins if pin.port not in ("clk", "rx"))
    lines.append("set_false_path -from [get_ports { rx }]")
    lines.append(f"set_false_path -to [get_ports {{ {outputs} }}]")
    return "\n".join(lines) + "\n"
