# SPDX-License-Identifier: Apache-2.0
"""The core's bench on mapped netlists: outputs and counters, from random state; and mutants."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic.gate_level import MAKE_ARGS, build_netlist, models
from flows.asic.pdk import find_pdk
from flows.asic.synthesis import Netlist, synthesize
from flows.cli import app as cli
from flows.inputs import audio_features, default_network
from flows.simulation.figures import laws_counters
from flows.simulation.run import CoreModel, Simulation, simulate
from flows.tools import verilator
from flows.verilog.writer import TOP
from golden_model import Network, cycle_laws, random_features
from hw.config import preset
from hw.errors import PlosiveError

TINY = preset("tiny")
FRAMES = 12


@pytest.fixture(scope="module")
def ihp(build_root: Path) -> Netlist:
    return synthesize(TINY, pdk_or_skip("ihp-sg13g2"), build_dir=build_root)


def run(model: CoreModel, seed: int, **options) -> Simulation:
    """Two utterances, with stalls on both sides, and all weights read back."""
    return simulate(
        model,
        Network.random(TINY, 1),
        random_features(TINY, FRAMES, seed),
        check="outputs",
        starts=(0, 5),
        seed=seed,
        readback=True,
        feature_pattern={"on": [1, 20], "off": [0, 9], "seed": seed},
        ready_pattern={"on": [1, 9], "off": [0, 4], "seed": seed},
        **options,
    )


def check(model: CoreModel, seed: int) -> None:
    for state in (seed, seed + 1):  # of power-up, and of everything else
        simulation = run(model, state)
        assert simulation.messages == []
        assert simulation.compared_beats == FRAMES * TINY.n_output // TINY.output_lanes


def test_netlist_of_ihp_cells_and_macros(ihp: Netlist, build_root: Path, seed: int) -> None:
    check(build_netlist(ihp, build_root), seed)


def test_netlist_of_generic_gates(build_root: Path, seed: int) -> None:
    netlist = synthesize(TINY, find_pdk("generic"), build_dir=build_root)
    check(build_netlist(netlist, build_root), seed)


# Each mutant is one instance whose cell is a module that is wrong when it is told to be. All are in
# one model, which runs without a mutant first.
MUTANTS = """
module wrong_nand2 (A, B, Y);
  input A, B;
  output Y;
  reg on;
  initial on = $test$plusargs("nand2");
  assign Y = on ? ~(A | B) : ~(A & B);
endmodule
module wrong_flip_flop (CLK, D, RESET_B, Q);
  input CLK, D, RESET_B;
  output reg Q;
  reg on;
  initial on = $test$plusargs("flip_flop");
  always @(posedge CLK) Q <= on ? ~D : D;
endmodule
module wrong_gate (CLK, GATE, GCLK);
  input CLK, GATE;
  output GCLK;
  reg on, open;
  initial on = $test$plusargs("gate");
  always @* if (!CLK) open = GATE | on;
  assign GCLK = CLK & open;
endmodule
"""


def replaced(text: str, module: str, cell: str, mutant: str) -> str:
    """The netlist with the middle instance of a cell in a module replaced."""
    start = re.search(rf"^module \\?{re.escape(module)}(?:\$\d+)?\s*\(", text, re.MULTILINE).start()
    end = text.index("endmodule", start)
    instances = [start + m.start() for m in re.finditer(rf"^  {cell} ", text[start:end], re.M)]
    place = instances[len(instances) // 2]
    return text[:place] + text[place:].replace(cell, mutant, 1)


def test_mutants_are_found(ihp: Netlist, build_root: Path, seed: int, tmp_path: Path) -> None:
    text = ihp.verilog.read_text()
    text = replaced(text, "plosive.pe_set_0", "sg13g2_nand2_1", "wrong_nand2")
    text = replaced(text, "plosive.sequencer", "sg13g2_dfrbpq_1", "wrong_flip_flop")
    text = replaced(text, "plosive.output_buffer", "sg13g2_lgcp_1", "wrong_gate")
    source = tmp_path / "mutants.v"
    source.write_text(text + MUTANTS)
    built = verilator.build(
        [source, models(ihp)], TOP, build_root, random_state=True, make_args=MAKE_ARGS
    )
    model = CoreModel(TINY, [], built, baked=False)
    assert run(model, seed).messages == []
    for mutant in ("nand2", "flip_flop", "gate"):
        simulation = run(model, seed, plusargs=[f"+{mutant}"])
        assert simulation.messages, f"{mutant} was not found"


def test_a_cell_without_function_is_an_error(ihp: Netlist) -> None:
    # IHP's clock gate has a table and no function: as a plain cell it cannot be simulated.
    broken = dataclasses.replace(ihp, pdk=dataclasses.replace(ihp.pdk, clock_gate=None))
    with pytest.raises(PlosiveError, match=r"the cell sg13g2_lgcp_1 has no function there$"):
        models(broken)
    models(ihp)


def test_command_line(build_root: Path, capsys) -> None:
    arguments = ["simulate", "--preset", "tiny", "--random", "3", "--frames", "4"]
    arguments += ["--netlist", "generic", "--build", str(build_root)]
    assert cli.run(arguments) == 1
    assert capsys.readouterr().err == (
        "plosive: --netlist has no trace of its state: give --check outputs\n"
    )
    assert cli.run([*arguments, "--check", "outputs", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["passed"]
    assert figures["counters_equal"]
    assert figures["netlist"]["pdk"] == "generic"
    assert figures["compared_beats"] > 0


@pytest.mark.slow
def test_shipped_network_on_speech(build_root: Path, data_dir: Path) -> None:
    network = Network.load(default_network())
    netlist = synthesize(network.config, pdk_or_skip("ihp-sg13g2"), build_dir=build_root)
    recording = sorted((data_dir / "timit-sample").rglob("*.wav"))[0]
    features = audio_features(recording, network.header)
    features = np.ascontiguousarray(features[:60])
    simulation = simulate(
        build_netlist(netlist, build_root), network, features, check="outputs", timeout_s=3000
    )
    assert simulation.messages == []
    laws = cycle_laws(network.config, features, simulation.result.spikes)
    assert simulation.counters == laws_counters(laws, network.config)
