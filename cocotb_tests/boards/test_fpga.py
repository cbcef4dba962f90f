# SPDX-License-Identifier: Apache-2.0
"""FPGA boards: memories, pins, tops, place and route of small designs, what is refused."""

import dataclasses
import gc
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from amaranth.back import verilog as amaranth_verilog
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import io
from hypothesis import given, settings
from hypothesis import strategies as st

from cocotb_tests.boards.board_tops import TOPS, TOPS_TOP, SmallCore, board_tops_verilog
from cocotb_tests.netlist.memory_bench import wrong_words
from cocotb_tests.plain_bench import BenchRun, icarus_or_skip, run_icarus
from cocotb_tests.runner import run_bench
from flows.cli import app as cli
from flows.fpga import boards as fpga_boards
from flows.fpga import build as fpga
from flows.fpga import vivado as fpga_vivado
from flows.fpga.boards import BOARDS, Board
from flows.fpga.memory import (
    SPRAM_WORDS,
    block_ram_count,
    choose_sprams,
    inferred_memory,
    spram_count,
    spram_wrapper,
)
from flows.host import Device, Link
from flows.host.link import BusError
from flows.host.ports import open_port
from flows.host.simulated import SIMULATED_CLOCK_HZ, SimulatedBoard, build_board
from flows.inputs import audio_features, network_file
from flows.simulation.cycles import measured_figures
from flows.tools import toolchain
from flows.tools.yosys import run_yosys, share_folder
from flows.verilog import testbench
from flows.verilog.writer import TOP, component_verilog
from golden_model import Network
from hw.config import PRESETS, preset
from hw.core.core import Core
from hw.errors import PlosiveError
from hw.schedule import MemoryShape, machine_memories
from hw.shell.board_top import LED_PORTS, BoardTop, XilinxPLL
from hw.shell.registers import register

TINY = preset("tiny")
OPEN = [name for name, board in BOARDS.items() if board.family != "xilinx"]
ICEBREAKER, ULX3S = BOARDS["icebreaker"], BOARDS["ulx3s-85f"]


@pytest.fixture
def figures(capsys):
    """Runs `plosive fpga --json`; its standard output must be JSON and nothing else."""

    def run(*arguments: object) -> dict:
        status = cli.run(["fpga", *map(str, arguments), "--json"])
        read = capsys.readouterr()
        assert status == 0, read.err
        return json.loads(read.out)

    return run


@pytest.fixture
def refusal(capsys):
    """Runs `plosive fpga`, which must fail with one line; that line."""

    def run(*arguments: object) -> str:
        assert cli.run(["fpga", *map(str, arguments)]) == 1
        read = capsys.readouterr()
        assert read.out == ""
        (line,) = read.err.splitlines()
        return line.removeprefix("plosive: ")

    return run


# ---- memories -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        MemoryShape("one_word", 5, 9, 9, True),
        MemoryShape("short_last_word", 37, 75, 32, True),
        MemoryShape("power_of_two", 64, 32, 16, True),
    ],
    ids=lambda shape: shape.name,
)
@pytest.mark.parametrize("filled", [None, 3, "all"])
def test_inferred_memories_do_what_the_memory_does(shape, filled, seed, rng, tmp_path):
    count = {None: 0, 3: 3, "all": shape.rows}[filled]
    rows = [int.from_bytes(rng.bytes(10)) % 2**shape.bits for _ in range(count)]
    text = inferred_memory(shape, rows)
    assert wrong_words(shape, [text], seed, tmp_path, rows=None if filled is None else rows) == 0


def test_the_comparison_of_contents_can_fail(seed, tmp_path):
    shape = MemoryShape("m", 37, 75, 32, True)
    assert wrong_words(shape, [inferred_memory(shape, [1])], seed, tmp_path, rows=[3]) > 0


def ice40_models() -> str:
    """Yosys' own models of the cells of an iCE40."""
    return (share_folder() / "ice40" / "cells_sim.v").read_text()


def spram_model() -> str:
    """Yosys' own model of the chip's memory: its output is undefined after a write."""
    (text,) = re.findall(
        r"^module SB_SPRAM256KA.*?^endmodule$", ice40_models(), re.MULTILINE | re.DOTALL
    )
    return text


SPRAM_SHAPES = [
    MemoryShape("narrow", 200, 8, 8, True),
    MemoryShape("nibbles", 100, 16, 4, True),
    MemoryShape("columns", 64, 40, 32, True),
    MemoryShape("levels", 2 * SPRAM_WORDS + 100, 12, 12, True),
]


@pytest.mark.parametrize("shape", SPRAM_SHAPES, ids=lambda shape: shape.name)
def test_spram_wrappers_do_what_the_memory_does(shape, seed, tmp_path):
    sources = [spram_wrapper(shape), spram_model()]
    assert wrong_words(shape, sources, seed, tmp_path, write_undefines=True) == 0


@pytest.mark.parametrize(
    ("shape", "old", "new"),
    [
        (SPRAM_SHAPES[3], "shown == ", "level == "),
        (SPRAM_SHAPES[1], "{write[3], write[2]", "{write[2], write[3]"),
        (SPRAM_SHAPES[2], ".CHIPSELECT(access", ".CHIPSELECT(1'b1"),
    ],
    ids=["level", "mask", "held"],
)
def test_a_wrong_spram_wrapper_is_found(shape, old, new, seed, tmp_path):
    text = spram_wrapper(shape)
    broken = text.replace(old, new)
    assert broken != text
    assert wrong_words(shape, [broken, spram_model()], seed, tmp_path, write_undefines=True) > 0


@pytest.mark.parametrize(
    "shape", [MemoryShape("m", 64, 32, 32, False), MemoryShape("m", 64, 30, 15, True)]
)
def test_sprams_hold_no_constants_and_are_written_by_nibbles(shape):
    message = "m: SPRAMs are written by nibbles and hold no constants"
    with pytest.raises(PlosiveError, match=message):
        spram_wrapper(shape)


def test_chosen_sprams_leave_what_fits_the_block_rams():
    shapes = machine_memories(ICEBREAKER.config)
    for sprams, blocks in ((4, 24), (4, 40), (3, 24), (0, 24), (4, 1000)):
        chosen = choose_sprams(shapes, sprams, blocks)
        assert sum(map(spram_count, chosen)) <= sprams
        left = [shape for shape in shapes if shape not in chosen]
        if blocks == 1000:
            assert chosen == []
        elif sprams == 4:
            assert sum(map(block_ram_count, left)) <= blocks
            # Not one more than are needed.
            last = min(chosen, key=lambda shape: shape.rows * shape.bits)
            assert sum(map(block_ram_count, [*left, last])) > blocks


def test_block_rams_are_counted_as_yosys_builds_them(tmp_path):
    shapes = [
        MemoryShape("a", 256, 16, 16, True),
        MemoryShape("b", 257, 16, 16, True),
        MemoryShape("c", 1500, 8, 8, True),
        MemoryShape("d", 2048, 2, 2, True),
        MemoryShape("e", 300, 40, 32, True),
        MemoryShape("f", 128, 60, 15, True),
    ]
    (tmp_path / "m.v").write_text("\n".join(map(inferred_memory, shapes)))
    script = ["read_verilog m.v"]
    for shape in shapes:
        script += [
            "design -push-copy",
            f"synth_ice40 -run begin:map_ffram -top {shape.name}",
            f"tee -q -o {shape.name}.json stat -json",
            "design -pop",
        ]
    (tmp_path / "synthesis.ys").write_text("\n".join(script) + "\n")
    run_yosys(tmp_path / "synthesis.ys", failing="yosys fails")
    for shape in shapes:
        counted = json.loads((tmp_path / f"{shape.name}.json").read_text())
        cells = counted["design"]["num_cells_by_type"]
        assert cells["SB_RAM40_4K"] == block_ram_count(shape), shape


# ---- whole cores, on the boards' memories ---------------------------------------------------


def icarus_bench(folder: Path, sources: list[str], network: Network | None) -> BenchRun:
    """The self-checking bench on a core; without a network it loads one through the port."""
    icarus_or_skip()
    made = testbench.files(TINY, network, preloaded=network is not None, bake=False)
    for name, data in made.items():
        (folder / name).write_bytes(data)
    (folder / "plosive.v").write_text("\n".join(sources))
    return run_icarus(folder)


def test_a_core_runs_on_sprams(tmp_path):
    """Every weight memory in SPRAMs, which start undefined and lose their output at a write."""
    core = Core(TINY)
    large = [m.name for m in core.memory_instances if m.shape.bits == TINY.row_bits]
    assert len(large) == 5
    design = fpga.sources(TOP, core, core, large)
    run = icarus_bench(tmp_path, [design.verilog, design.memories, spram_model()], None)
    assert run.passed, run.output


@pytest.mark.parametrize("board", ["ulx3s-85f", "arty-a7-35"])
def test_a_network_is_in_the_board_memories(board, tmp_path):
    network = Network.random(TINY, 5)
    design = fpga.core_sources(BOARDS[board], TINY, network)
    run = icarus_bench(tmp_path, [design.verilog, design.memories], network)
    assert run.passed, run.output


@pytest.mark.slow
def test_a_chip_computes_what_the_network_computes(build_root, tmp_path):
    """The netlist in the iCE40's own cells, with the network in its block memories."""
    network = Network.random(TINY, 6)
    blocks = {name: n for name, n in ICEBREAKER.has.items() if name != "large_memories"}
    board = dataclasses.replace(ICEBREAKER, has=blocks)
    synthesis = fpga.synthesize(board, fpga.core_sources(board, TINY, network), build_root)
    assert synthesis.used["block_memories"] >= 7
    shutil.copy(synthesis.folder / "design.json", tmp_path)
    script = tmp_path / "netlist.ys"
    script.write_text("read_json design.json\nwrite_verilog netlist.v\n")
    run_yosys(script, failing="yosys fails")
    netlist = (tmp_path / "netlist.v").read_text()
    # Standard Verilog has no ports with a value of their own.
    models = "`define NO_ICE40_DEFAULT_ASSIGNMENTS\n" + ice40_models()
    run = icarus_bench(tmp_path, [netlist, models], network)
    assert run.passed, run.output


# ---- boards -------------------------------------------------------------------------------


class Blink(Elaboratable):
    """A design of Amaranth's own build system that uses the pins of a board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        uart = platform.request("uart", 0, dir={s.name: "-" for s in platform.lookup("uart").ios})
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.sync += tx.o.eq(rx.i)
        for name, number in self._board.leds:
            led = io.Buffer("o", platform.request(name, number, dir="-"))
            m.submodules[f"{name}_{number}"] = led
            m.d.sync += led.o.eq(rx.i)
        return m


def amaranth_constraints(board: Board, monkeypatch) -> tuple[dict[str, str], str]:
    """Site and attributes by our port's name, as Amaranth's build of the same pins has them."""
    monkeypatch.setattr(amaranth_verilog, "_convert_rtlil_text", lambda *_a, **_k: ("", {}))
    plan = board.platform.build(Blink(board), do_build=False, debug_verilog=False)
    (text,) = [text for name, text in plan.files.items() if name.endswith((".lpf", ".pcf", ".xdc"))]
    text = text.decode() if isinstance(text, bytes) else text
    names = {f"{board.platform.default_clk}_0__io": "clk"}
    names |= {f"uart_0__{port}__io": port for port in ("rx", "tx")}
    leds = zip(board.leds, LED_PORTS, strict=True)
    names |= {f"{name}_{number}__io": port for (name, number), port in leds}
    for theirs, ours in names.items():
        text = re.sub(rf"\b{theirs}\b", ours, text)
    return text


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-85f", "ulx3s-45f"])
def test_pins_are_those_of_amaranths_own_build(name, monkeypatch):
    board = BOARDS[name]
    theirs = amaranth_constraints(board, monkeypatch)
    write = {"ecp5": fpga_boards.lpf, "ice40": fpga_boards.pcf}[board.family]
    ours = write(board.pins, board.oscillator_hz)
    ports = ("clk", "rx", "tx", *LED_PORTS)
    for port in ports:
        pattern = (
            rf'^(?:LOCATE COMP|IOBUF PORT) "{port}".*;$'
            if board.family == "ecp5"
            else rf"^set_io (?:-pullup yes )?{port} .*$"
        )
        found = [re.findall(pattern, text, re.MULTILINE) for text in (ours, theirs)]
        # Amaranth sets the iCE40's pull-ups in the pin's buffer.
        first, second = ([line.replace("-pullup yes ", "") for line in lines] for lines in found)
        assert first == second
        assert len(first) == (2 if board.family == "ecp5" else 1)
    assert set(re.findall(r'^(?:LOCATE COMP "|set_io (?:-pullup yes )?)(\w+)', ours, re.M)) == set(
        ports
    )
    clock = re.search(r"(?:FREQUENCY PORT \"clk\"|set_frequency clk) ([\d.]+)( HZ)?", theirs)
    assert float(clock[1]) * (1 if clock[2] else 1e6) == board.oscillator_hz


@pytest.mark.parametrize("name", ["arty-a7-35", "arty-a7-100"])
def test_xilinx_constraints_are_complete(name, monkeypatch):
    board = BOARDS[name]
    theirs = amaranth_constraints(board, monkeypatch)
    expected = {port: {} for port in ("clk", "rx", "tx", *LED_PORTS)}
    for attribute, value, port in re.findall(
        r'^set_property (\w+) "?([^" ]+)"? \[get_ports "(\w+)"\]$', theirs, re.MULTILINE
    ):
        if port in expected:
            expected[port][attribute] = value
    ours = fpga_boards.xdc(board.pins, board.oscillator_hz)
    found = {}
    for values, port in re.findall(
        r"^set_property -dict \{ (.*) \} \[get_ports (\w+)\]$", ours, re.MULTILINE
    ):
        words = values.split()
        found[port] = dict(zip(words[::2], words[1::2], strict=True))
    loc = {port: attributes.pop("LOC") for port, attributes in expected.items()}
    assert {port: attributes.pop("PACKAGE_PIN") for port, attributes in found.items()} == loc
    assert found == expected
    assert all("IOSTANDARD" in attributes for attributes in found.values())
    for line in re.findall(r"^ *(set_property \w+ \S+ \[current_design\])$", theirs, re.MULTILINE):
        assert line in ours.splitlines()
    assert f"create_clock -name clk -period {1e9 / board.oscillator_hz:.3f}" in ours
    assert "set_false_path -from [get_ports { rx }]" in ours
    assert "set_false_path -to [get_ports { tx led_idle led_busy led_error }]" in ours


def test_inverted_leds_are_lit_by_a_low_level():
    inverted = {name: [pin.port for pin in BOARDS[name].pins if pin.inverted] for name in OPEN}
    # The iCEBreaker's red and green LEDs beside the chip are active low, its LED board's are not.
    assert inverted["icebreaker"] == ["led_idle", "led_error"]
    assert inverted["ulx3s-85f"] == []


def test_board_tops_start_run_and_show_their_state(build_root, seed):
    result = run_bench(
        board_tops_verilog(),
        TOPS_TOP,
        "cocotb_tests.boards.bench_board_top",
        build_root=build_root,
        seed=seed,
        env={"PLOSIVE_TOPS": json.dumps(TOPS)},
        extra_args=("--output-split", "0", "-CFLAGS", "-O0"),
    )
    assert result.tests == 3


@pytest.mark.xdist_group("host")  # its model is built there, too
def test_leds_show_what_the_board_does(build_root):
    def lit(wanted: int) -> int:
        """What the LEDs show, when it is what is wanted or after a second."""
        until = time.monotonic() + 1
        while board.leds != wanted and time.monotonic() < until:
            time.sleep(0.01)
        return board.leds

    idle, busy, error = 1, 2, 4
    with SimulatedBoard(build_board(TINY, build_root)) as board:
        port = open_port(board.terminal)
        try:
            link = Link(port, timeout_s=20)
            link.connect(SIMULATED_CLOCK_HZ // 4)
            device = Device(link)
            device.load(Network.random(TINY, 1))
            assert lit(idle) == idle
            with pytest.raises(BusError):
                link.read(0xFFFC)
            assert lit(idle | error) == idle | error
            device.write("ERRORS", **dict.fromkeys(device.errors(), 1))
            assert lit(idle) == idle
            # Results that nobody takes hold the machine up.
            device.begin()
            device.write("FRAME_FLAGS", start=1)
            words = [0x55555555] * 3 * device.identity.feature_words
            taken = link.write_fixed(register("FEATURES").offset, words)
            assert lit(busy) == busy
            device.reset()
            assert lit(idle) == idle
            assert taken == len(words)
        finally:
            port.close()


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_a_clock_out_of_range_is_refused():
    with pytest.raises(ValueError, match="divide is 3: it must be 1 or 2"):
        BoardTop(SmallCore(), clock_hz=1e6, divide=3)
    gc.collect()  # Amaranth warns of the unused component when it goes
    with pytest.raises(ValueError, match="multiply is 7: its 700000000 Hz are out of range"):
        XilinxPLL(100_000_000, multiply=7, divide=28)
    assert XilinxPLL(100_000_000, multiply=10, divide=40).output_hz == 25_000_000


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_has_a_configuration_of_its_own(name):
    board = BOARDS[name]
    config = board.config
    assert config == board.folded(config)
    assert config.n_output == preset(board.preset).n_output
    if not board.zynq:
        assert board.clock_hz * (board.divide if board.pll is None else 1) in (
            board.oscillator_hz,
            board.pll.output_hz if board.pll else 0,
        )


@given(
    st.sampled_from(sorted(BOARDS)),
    st.sampled_from(sorted(PRESETS)),
    st.integers(1, 300),
    st.integers(1, 40),
)
@settings(max_examples=100)
def test_folding_changes_no_result_and_always_works(board, name, lanes, beats):
    divisors = [n for n in range(1, 2 * lanes + 1) if 2 * lanes % n == 0]
    config = preset(name).replace(lanes=lanes, output_lanes=divisors[beats % len(divisors)])
    target = BOARDS[board]
    folded = target.folded(config)
    assert folded.network_hash == config.network_hash
    assert folded.lanes == min(lanes, target.fold["lanes"])
    assert folded.output_lanes <= target.fold["output_lanes"]
    assert folded.output_lanes <= config.output_lanes
    if target.fold["output_lanes"] >= config.output_lanes and folded.lanes == lanes:
        assert folded.output_lanes == config.output_lanes


# ---- place and route ----------------------------------------------------------------------


def small_design(board: Board, *_: object) -> fpga.Sources:
    """A board's top around a core of two flip-flops."""
    top = BoardTop(
        SmallCore(),
        clock_hz=board.clock_hz,
        divide=board.divide,
        inverted=[pin.port for pin in board.pins if pin.inverted],
    )
    return fpga.Sources(fpga.FPGA_TOP, component_verilog(top, fpga.FPGA_TOP), "", ())


@pytest.mark.parametrize(
    "name",
    ["icebreaker", *(pytest.param(f"ulx3s-{size}f", marks=pytest.mark.slow) for size in (45, 85))],
)
def test_the_tools_make_the_same_bitstream_on_every_run(name, tmp_path):
    board = BOARDS[name]
    packed = []
    for run in ("first", "second"):
        synthesis = fpga.synthesize(board, small_design(board), tmp_path / run)
        placement = fpga.place(board, synthesis, 1)
        packed.append(fpga.pack(board, placement).read_bytes())
        again = fpga.place(board, synthesis, 1)  # found, not run
        assert again == placement
    assert packed[0] == packed[1]
    # The chip is the one that the board's definition names, and what it has is what nextpnr finds.
    for resource, available in placement.available.items():
        assert available == board.has[resource], resource
    assert placement.used["luts"] >= 4
    assert placement.fmax_mhz > board.clock_hz / 1e6
    other = fpga.place(board, synthesis, 2)
    assert other.folder != placement.folder


def test_an_interrupted_packer_leaves_no_bitstream(tmp_path, monkeypatch):
    """Half a bitstream would be taken for the whole one by the next run."""
    placement = fpga.Placement(1, tmp_path / "seed-1", 20.0, {}, {}, {}, 1.0)
    placement.folder.mkdir()

    def interrupted(command, folder, *_):
        (folder / command[-1]).write_bytes(b"half")
        raise KeyboardInterrupt

    def whole(command, folder, *_):
        assert (folder / command[-2]).resolve() == placement.folder / "routed"
        (folder / command[-1]).write_bytes(b"whole")

    monkeypatch.setattr(fpga, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fpga.pack(ICEBREAKER, placement)
    monkeypatch.setattr(fpga, "_run", whole)
    assert fpga.pack(ICEBREAKER, placement).read_bytes() == b"whole"
    monkeypatch.setattr(fpga, "_run", interrupted)  # found, not run
    assert fpga.pack(ICEBREAKER, placement).read_bytes() == b"whole"


def test_two_runs_at_a_time_synthesise_and_place_once(tmp_path, monkeypatch):
    """The second waits, and does not replace the folder under the first."""
    design = small_design(ICEBREAKER)
    ran = []

    def synthesis(script, **_):
        ran.append("yosys")
        time.sleep(0.5)
        (script.parent / "cells.json").write_text('{"design": {"num_cells_by_type": {}}}')

    def placement(_command, folder, *_):
        ran.append("nextpnr")
        time.sleep(0.5)
        used = {name: {"used": 0, "available": 0} for name in fpga._TOOLS["ice40"].bels.values()}
        fmax = {"clk": {"achieved": 20.0}}
        report = {"fmax": fmax, "utilization": used, "critical_paths": []}
        (folder / "report.json").write_text(json.dumps(report))

    def build() -> int:
        synthesised = fpga.synthesize(ICEBREAKER, design, tmp_path)
        return fpga.place(ICEBREAKER, synthesised, 1).folder.stat().st_ino

    monkeypatch.setattr(fpga, "run_yosys", synthesis)
    monkeypatch.setattr(fpga, "_run", placement)
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(build) for _ in range(2))
        assert first.result() == second.result()
    assert ran == ["yosys", "nextpnr"]


BLOCKS = """
module {top} (input clk, rx, output tx, led_idle, led_busy, led_error);
  wire [31:0] shown;
  genvar i;
  generate for (i = 0; i < 31; i = i + 1) begin : block
    reg data;
    (* no_rw_check *) reg rows [0:4095];
    reg [11:0] row = 0;
    always @(posedge clk) begin
      row <= row + i + 1;
      data <= rows[row];
      if (rx) rows[row ^ 12'd77] <= shown[i];
    end
    assign shown[i + 1] = data;
  end endgenerate
  assign shown[0] = rx;
  assign tx = shown[31], led_idle = shown[7], led_busy = 0, led_error = 1;
endmodule
"""


def test_what_does_not_fit_is_said_by_synthesis_and_by_placement(tmp_path):
    design = fpga.Sources("blocks", BLOCKS.format(top="blocks"), "", ())
    synthesis = fpga.synthesize(ICEBREAKER, design, tmp_path)
    assert synthesis.used["block_memories"] == 31
    line = (
        "the design does not fit icebreaker: it needs 31 block memories, the chip has 30; fewer "
        "lanes (--set lanes=N) need less logic, a smaller network less memory"
    )
    with pytest.raises(PlosiveError, match=f"^{re.escape(line)}$"):
        fpga.check_fit(ICEBREAKER, synthesis.used, "the design")
    with pytest.raises(PlosiveError, match=f"^{re.escape(line)}$"):
        fpga.place(ICEBREAKER, synthesis, 1)
    # The lock stays: removing it would part those who wait for it.
    assert [p.name for p in synthesis.folder.glob("*seed*") if p.suffix != ".lock"] == []


def test_the_resource_that_is_most_overdrawn_is_named():
    used = dict.fromkeys(ULX3S.has, 0) | {"luts": 90_000, "block_memories": 417}
    with pytest.raises(PlosiveError, match="it needs 417 block memories, the chip has 208;"):
        fpga.check_fit(ULX3S, used, "the design")
    fpga.check_fit(ULX3S, ULX3S.has, "the design")


def test_a_pin_that_the_chip_has_not(tmp_path, monkeypatch):
    pins = [dataclasses.replace(pin, site="999") for pin in ICEBREAKER.pins]
    text = fpga_boards.pcf(pins, 12_000_000)
    monkeypatch.setattr(fpga_boards, "pcf", lambda *_: text)
    synthesis = fpga.synthesize(ICEBREAKER, small_design(ICEBREAKER), tmp_path)
    with pytest.raises(PlosiveError, match=r"^nextpnr-ice40 fails: ERROR: .*'999'"):
        fpga.place(ICEBREAKER, synthesis, 1)


# ---- the command --------------------------------------------------------------------------


def test_figures_are_complete_and_add_up(figures, monkeypatch, tmp_path):
    """The command on a small design: what it reports, and that the bitstream is the fastest's."""
    monkeypatch.setattr(fpga, "board_sources", small_design)
    monkeypatch.setattr(fpga, "core_sources", small_design)
    made = figures("--board", "icebreaker", "--core", "-o", tmp_path)
    assert set(made["resources"]) == set(ICEBREAKER.has)
    for name, entry in made["resources"].items():
        assert entry["available"] == ICEBREAKER.has[name]
        assert 0 <= entry["used"] <= entry["available"]
    assert made["resources"]["flip_flops"]["used"] > 2
    assert made["clock_mhz"] == 6
    seeds = made["fmax_mhz"]["seeds"]
    assert list(seeds) == ["1", "2", "3"]
    assert made["fmax_mhz"]["median"] == sorted(seeds.values())[1]
    assert made["meets_clock"] is True
    fastest = str(made["bitstream"]["seed"])
    assert seeds[fastest] == max(seeds.values())
    cycles = made["cycles_per_frame"]
    assert made["densities"] == "published"
    assert made["frames_per_second"]["at_clock"] == pytest.approx(6e6 / cycles)
    assert made["real_time_factor"]["at_clock"] == pytest.approx(6e4 / cycles)
    assert made["real_time_factor"]["at_fmax"] == pytest.approx(
        1e4 * made["fmax_mhz"]["median"] / cycles
    )
    data = Path(made["bitstream"]["file"]).read_bytes()
    assert len(data) == made["bitstream"]["bytes"]
    assert hashlib.sha256(data).hexdigest() == made["bitstream"]["sha256"]
    assert (
        made["bitstream"]["load"]
        == f"openFPGALoader -b ice40_generic {tmp_path}/fpga/icebreaker.bin"
    )
    assert made["interface"]["luts"]["with"] == made["interface"]["luts"]["core_alone"]
    assert made["critical_path"]["logic_ns"] > 0


def test_the_table_says_the_same(capsys, figures, monkeypatch, tmp_path):
    monkeypatch.setattr(fpga, "board_sources", small_design)
    arguments = ("--board", "icebreaker", "--seeds", 1, "-o", tmp_path)
    made = figures(*arguments)
    assert cli.run(["fpga", *map(str, arguments)]) == 0
    shown = capsys.readouterr().out
    for name, entry in made["resources"].items():
        label = re.escape(fpga_boards.LABELS[name])
        assert re.search(rf"{label} +{entry['used']:,} +{entry['available']:,} ", shown), name
    assert f"{made['real_time_factor']['at_clock']:.1f}" in shown
    assert shown.endswith(f"the host loads the weights\n{made['bitstream']['load']}\n")


def test_cycles_of_a_recording(figures, monkeypatch, tmp_path):
    """With a network and a recording the cycles of a frame are this network's on it."""
    monkeypatch.setattr(fpga, "board_sources", small_design)
    wav = tmp_path / "a.wav"
    soundfile.write(wav, 0.1 * np.random.default_rng(1).standard_normal(16_000), 16_000)
    made = figures(
        *("--board", "icebreaker", "--network", "speech-t1", "--audio", wav),
        *("--seeds", 1, "-o", tmp_path),
    )
    network = Network.load(network_file("speech-t1"))
    config = ICEBREAKER.folded(network.config)
    counted = measured_figures(config, network.on(config), audio_features(wav, network.header))
    assert made["densities"] == "measured"
    assert made["cycles_per_frame"] == counted.cycles.cycles_per_frame.mean
    assert made["configuration"] == config.to_dict()
    assert made["network_in_bitstream"] is True  # the small design has no large memories


def test_a_clock_that_is_missed_makes_no_bitstream(refusal, monkeypatch, tmp_path):
    monkeypatch.setattr(fpga, "board_sources", small_design)
    monkeypatch.setattr(Board, "clock_hz", 10**9)
    line = refusal("--board", "icebreaker", "--seeds", 1, "-o", tmp_path)
    assert re.fullmatch(
        r"the design does not reach the clock of icebreaker: [\d.]+ MHz of 1000 MHz, on the path "
        r"from \S+ to \S+; fewer lanes \(--set lanes=N\) are faster",
        line,
    )
    assert not list(tmp_path.rglob("*.bin"))


def test_an_unknown_board_is_named(refusal):
    assert refusal("--board", "de10") == (
        "--board is 'de10': the boards are ulx3s-85f, ulx3s-45f, icebreaker, arty-a7-35, "
        "arty-a7-100, arty-z7-20"
    )


def test_a_network_too_large_for_the_chip_is_refused_at_once(refusal, tmp_path):
    line = refusal("--board", "icebreaker", "--preset", "paper-t2", "-o", tmp_path)
    assert re.fullmatch(
        r"the design does not fit icebreaker: it needs \d+ block memories, the chip has 30; fewer "
        r"lanes \(--set lanes=N\) need less logic, a smaller network less memory",
        line,
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("board", ["ulx3s-85f", "icebreaker"])
def test_a_missing_tool_is_named_before_synthesis(board, refusal, monkeypatch, tmp_path):
    family = {"ulx3s-85f": "ECP5", "icebreaker": "iCE40"}[board]
    wheel, folder_of = f"yowasp_nextpnr_{family.lower()}", toolchain._package_folder
    monkeypatch.setattr(
        toolchain, "_package_folder", lambda name: None if name == wheel else folder_of(name)
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    toolchain.find.cache_clear()
    try:
        line = refusal("--board", board, "-o", tmp_path / "build")
    finally:
        toolchain.find.cache_clear()
    assert line == (
        f"nextpnr-{family.lower()} was not found: it is needed to place and route designs of "
        f"{family} boards; install the Python package {wheel.replace('_', '-')} (run `make setup`)"
    )
    assert not (tmp_path / "build").exists()


def test_missing_board_definitions_are_named(refusal, monkeypatch, tmp_path):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "amaranth_boards" else find_spec(name, *rest),
    )
    monkeypatch.setattr(fpga_boards, "BOARDS", {"mine": dataclasses.replace(ULX3S, name="mine")})
    assert refusal("--board", "mine", "-o", tmp_path / "build") == (
        "amaranth-boards was not found: it is needed to know the pins of a board; install the "
        "Python package amaranth-boards (run `make setup`)"
    )
    assert not (tmp_path / "build").exists()


def test_audio_needs_a_network(refusal, tmp_path):
    assert refusal("--board", "icebreaker", "--audio", tmp_path / "a.wav") == (
        "--audio needs a network, to count its spikes; give --network"
    )


# ---- Vivado projects ----------------------------------------------------------------------

VIVADO_COMMANDS = {
    *("create_project", "add_files", "set_property", "current_fileset", "update_compile_order"),
    *("launch_runs", "wait_on_run", "get_property", "get_runs", "open_run", "report_utilization"),
    *("report_timing_summary", "get_board_parts", "current_project", "update_ip_catalog"),
    *("create_bd_design", "create_bd_cell", "apply_bd_automation", "get_bd_intf_pins"),
    *("get_bd_cells", "get_bd_nets", "get_bd_pins", "connect_bd_net", "validate_bd_design"),
    *("save_bd_design", "make_wrapper", "get_files", "write_hw_platform", "close_project"),
    *("ipx::package_project", "ipx::current_core", "ipx::get_bus_interfaces"),
    *("ipx::infer_bus_interface", "ipx::get_bus_parameters", "ipx::add_bus_parameter"),
    *("ipx::associate_bus_interfaces", "ipx::create_xgui_files", "ipx::update_checksums"),
    *("ipx::check_integrity", "ipx::save_core"),
}
"""Commands of UG835 and UG1118 that the scripts may use."""


class Vivado:
    """A Tcl interpreter in which Vivado's commands are noted, and answer as a good run's do.

    Attributes
    ----------
    calls
        Each command with its arguments.
    answers
        What a property is, or which names exist for a command.
    """

    def __init__(self, **answers: object) -> None:
        tkinter = pytest.importorskip("tkinter", reason="Python's tkinter is missing")
        self.calls: list[tuple[str, ...]] = []
        self.answers = {"PROGRESS": "100%", "STATS.WNS": "0.5", "interfaces": set()} | answers
        self._tcl = tkinter.Tcl()
        self._tcl.createcommand("vivado", self._command)
        self._tcl.eval("proc unknown args { return [vivado {*}$args] }; proc puts args {}")

    def run(self, script: Path) -> list[tuple[str, ...]]:
        self._tcl.eval(f"source {{{script}}}")
        return self.calls

    def named(self, command: str) -> list[tuple[str, ...]]:
        """Arguments of each call of a command."""
        return [call[1:] for call in self.calls if call[0] == command]

    def _command(self, name: str, *arguments: str) -> str:
        self.calls.append((name, *arguments))
        if name == "get_property":
            return self.answers[arguments[0]]
        if name == "ipx::get_bus_interfaces":
            wanted = next(text for text in arguments if text != "-quiet")
            return wanted if wanted in self.answers["interfaces"] else ""
        if name == "ipx::infer_bus_interface":
            self.answers["interfaces"].add(arguments[0])
        if name in ("ipx::get_bus_parameters", "get_bd_nets", "get_board_parts"):
            return ""
        # An object of Vivado is its name here.
        names = [text for text in arguments if not text.startswith("-")]
        return names[-1] if names else name


def module_ports(verilog: str, top: str) -> dict[str, int]:
    """Widths of a module's ports."""
    (body,) = re.findall(rf"^module {top}\(.*?^endmodule$", verilog, re.MULTILINE | re.DOTALL)
    ports = re.findall(r"^  (?:input|output) (?:\[(\d+):0\] )?(\w+);$", body, re.MULTILINE)
    return {name: int(high or 0) + 1 for high, name in ports}


def compiles(folder: Path, top: str) -> None:
    """The project's Verilog is Verilog, whole but for the chip's own cells."""
    compiler = icarus_or_skip()
    cells = folder.parent / "cells.v"
    cells.write_text(
        "module PLLE2_BASE #(parameter CLKIN1_PERIOD = 0.0, CLKFBOUT_MULT = 5, CLKOUT0_DIVIDE = 1,"
        " DIVCLK_DIVIDE = 1) (input CLKIN1, CLKFBIN, RST, PWRDWN, output CLKFBOUT, CLKOUT0, LOCKED)"
        "; endmodule\nmodule BUFG (input I, output O); endmodule\n"
    )
    files = [cells, folder / "design.v", folder / "memories.v"]
    command = [compiler, "-g2005-sv", "-t", "null", "-s", top, *map(str, files)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def projects(tmp_path_factory) -> dict[str, Path]:
    """Vivado projects of tiny."""
    build = tmp_path_factory.mktemp("vivado")
    return {
        name: Path(
            fpga_vivado.write_project(
                BOARDS[name], BOARDS[name].folded(TINY), build_dir=build
            ).folder
        )
        for name in ("arty-a7-35", "arty-z7-20")
    }


def test_the_vivado_project_of_a_board(projects, tmp_path):
    folder = projects["arty-a7-35"]
    (tmp_path / "plosive_fpga.bit").write_bytes(b"bits")
    vivado = Vivado(DIRECTORY=str(tmp_path))
    vivado.run(folder / "build.tcl")
    assert {call[0] for call in vivado.calls} <= VIVADO_COMMANDS
    assert vivado.named("create_project")[0][-2:] == ("-part", "xc7a35ticsg324-1L")
    files = [call[-1] for call in vivado.named("add_files")]
    assert files == [str(folder / name) for name in ("design.v", "memories.v", "board.xdc")]
    assert all(Path(file).is_file() for file in files)
    ports = module_ports((folder / "design.v").read_text(), "plosive_fpga")
    assert ports == dict.fromkeys(("clk", "rx", "tx", *LED_PORTS), 1)
    constrained = re.findall(
        r"^set_property -dict .* \[get_ports (\w+)\]$",
        (folder / "board.xdc").read_text(),
        re.MULTILINE,
    )
    assert set(constrained) == set(ports)
    assert ("top", "plosive_fpga", "current_fileset") in vivado.named("set_property")
    steps = [call for call in vivado.calls if call[0] in ("launch_runs", "wait_on_run")]
    assert [call[1] for call in steps] == ["synth_1", "synth_1", "impl_1", "impl_1"]
    assert (folder / "arty-a7-35.bit").read_bytes() == b"bits"
    compiles(folder, "plosive_fpga")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"PROGRESS": "40%"}, "synthesis failed: see project/plosive.runs/synth_1/runme.log"),
        ({"STATS.WNS": "-1.25"}, "the design misses its clock by 1.25 ns: see timing.rpt"),
    ],
)
def test_the_vivado_project_says_what_failed(projects, answers, message, tmp_path):
    vivado = Vivado(DIRECTORY=str(tmp_path), **answers)
    with pytest.raises(Exception, match=message):
        vivado.run(projects["arty-a7-35"] / "build.tcl")


AXI_LITE = {
    **dict.fromkeys(("awvalid", "awready", "wvalid", "wready", "bvalid", "bready"), 1),
    **dict.fromkeys(("arvalid", "arready", "rvalid", "rready"), 1),
    **dict.fromkeys(("wdata", "rdata"), 32),
    **{"wstrb": 4, "bresp": 2, "rresp": 2},
}
"""Widths of the signals that every AXI4-Lite interface has; AWPROT and ARPROT may be left out."""


def inferred_interfaces(ports: dict[str, int]) -> set[str]:
    """The AXI interfaces that an IP integrator finds by the names of ports."""
    streams = {n.removesuffix("_tvalid") for n in ports if n.endswith("_tvalid")}
    found = {n for n in streams if {f"{n}_tready", f"{n}_tdata", f"{n}_tlast"} <= set(ports)}
    for name in {n.removesuffix("_awvalid") for n in ports if n.endswith("_awvalid")}:
        if all(ports.get(f"{name}_{signal}") == width for signal, width in AXI_LITE.items()) and (
            ports[f"{name}_awaddr"] == ports[f"{name}_araddr"]
        ):
            found.add(name)
    return found


def test_the_ip_and_system_of_a_zynq(projects):
    folder = projects["arty-z7-20"]
    ports = module_ports((folder / "design.v").read_text(), "plosive_axi")
    interfaces = inferred_interfaces(ports)
    assert interfaces == {"s_axi_ctrl", "s_axis_features", "m_axis_logits"}
    package = Vivado(interfaces=set(interfaces))
    package.run(folder / "package.tcl")
    assert {call[0] for call in package.calls} <= VIVADO_COMMANDS
    assert package.named("create_project")[0][-2:] == ("-part", "xc7z020clg400-1")
    for call in package.named("add_files"):
        assert Path(call[-1]).is_file()
    bound = {
        call[1]: call[3]
        for call in package.named("ipx::associate_bus_interfaces")
        if call[0] == "-busif"
    }
    assert bound == dict.fromkeys(interfaces, "clk")
    named = {call[0]: call[1] for call in package.named("ipx::infer_bus_interface")}
    assert named == {
        "clk": "xilinx.com:signal:clock_rtl:1.0",
        "rst": "xilinx.com:signal:reset_rtl:1.0",
        "irq": "xilinx.com:signal:interrupt_rtl:1.0",
    }
    # Every port belongs to one interface.
    assert {name for name in ports if not name.startswith(tuple(interfaces))} == set(named)
    assert ("value", "ACTIVE_HIGH", "rst") in package.named("set_property")
    assert package.calls[-2:] == [("ipx::save_core", "ipx::current_core"), ("close_project",)]
    compiles(folder, "plosive_axi")

    system = Vivado()
    system.run(folder / "system.tcl")
    assert {call[0] for call in system.calls} <= VIVADO_COMMANDS
    cells = {call[-1]: call[-2] for call in system.named("create_bd_cell")}
    properties = {call[0]: call[1] for call in package.named("set_property")}
    assert cells["plosive"] == f"plosive:user:{properties['name']}"
    ip = package.named("ipx::package_project")[0]
    assert dict(zip(ip[::2], ip[1::2], strict=False))["-vendor"] == "plosive"
    assert ("ip_repo_paths", ip[1], "current_project") in system.named("set_property")
    pins = [pin for call in system.named("get_bd_pins") for pin in call]
    pins += [pin for call in system.named("get_bd_intf_pins") for pin in call]
    ours = {pin.removeprefix("plosive/") for pin in pins if pin.startswith("plosive/")}
    assert ours <= set(ports) | interfaces
    assert ours >= {"s_axi_ctrl", "rst", "irq"}
    assert system.named("write_hw_platform")[0][-1] == str(folder / "arty-z7-20.xsa")


def test_the_package_script_refuses_an_ip_without_an_interface(projects):
    vivado = Vivado(interfaces={"s_axi_ctrl", "m_axis_logits"})
    with pytest.raises(Exception, match="the interface s_axis_features was not inferred"):
        vivado.run(projects["arty-z7-20"] / "package.tcl")


def test_projects_are_the_same_on_every_run_and_not_called_built(projects, figures, tmp_path):
    for name, folder in projects.items():
        made = figures("--board", name, "--preset", "tiny", "-o", tmp_path)
        assert made["built"] is False
        assert made["run"][0].startswith("vivado -mode batch -source ")
        again = Path(made["folder"])
        assert {p.name: p.read_bytes() for p in again.iterdir()} == {
            p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".bit"
        }
