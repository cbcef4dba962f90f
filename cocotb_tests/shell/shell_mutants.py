# SPDX-License-Identifier: Apache-2.0
"""Broken versions of the shell and the IP top, and what runs the benches on them."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from cocotb_tests.mutation.engine import mutated_sources, printed_by
from cocotb_tests.mutation.mutants import Mutant
from cocotb_tests.runner import run_bench
from cocotb_tests.shell.axi_bench import BENCH_ARGS, BENCH_TOP
from hw.config import AcceleratorConfig
from hw.shell.registers import feature_words

__all__ = ["MUTANTS", "caught_by"]

_CONFIG = AcceleratorConfig(
    n_input=6,
    hidden=(5, 4),
    recurrent=(True, True),
    n_output=11,
    lanes=4,
    output_lanes=4,
    acc_bits=10,
    membrane_bits=12,
    counter_bits=12,
)
_BEST = 3
# The Verilog of each of the two benches, from the `hw` of the folder that it runs in.
_GENERATE = """
import json, sys
from cocotb_tests.shell.axi_bench import bench_verilog
from hw.config import AcceleratorConfig
from hw.shell.ip_top import IPTop
from hw.shell.shell import Shell
from flows.verilog.writer import to_verilog
config = AcceleratorConfig.from_dict(json.loads(sys.argv[1]))
best = int(sys.argv[3])
if sys.argv[2] == "axi":
    print(bench_verilog(IPTop(config, best=best)))
else:
    print(to_verilog(Shell(config, best=best), "shell"))
"""

MUTANTS: tuple[Mutant, ...] = tuple(
    Mutant(*entry)
    for entry in (
        # ---- AXI4-Lite -------------------------------------------------------------------
        (
            "written without data",
            "shell/axi.py",
            "has_write = has_address & has_data",
            "has_write = has_address",
        ),
        ("address not held", "shell/axi.py", "with m.If(~has_address):", "with m.If(axi.awvalid):"),
        ("data not held", "shell/axi.py", "with m.If(~has_data):", "with m.If(axi.wvalid):"),
        (
            "read address not held",
            "shell/axi.py",
            "with m.If(~has_read):",
            "with m.If(axi.arvalid):",
        ),
        (
            "part of a word written",
            "shell/axi.py",
            "whole.eq(axi.wstrb.all())",
            "whole.eq(axi.wstrb.any())",
        ),
        (
            "write answer withdrawn",
            "shell/axi.py",
            "axi.bvalid.eq(response.valid & writing)",
            "axi.bvalid.eq(response.valid & writing & (axi.bready | ~axi.arvalid))",
        ),
        (
            "read answer withdrawn",
            "shell/axi.py",
            "axi.rvalid.eq(response.valid & ~writing)",
            "axi.rvalid.eq(response.valid & ~writing & (axi.rready | ~axi.awvalid))",
        ),
        (
            "write answered twice",
            "shell/axi.py",
            "[has_address.eq(0), has_data.eq(0)]\n                    with m.Else():",
            "[has_address.eq(0), has_data.eq(axi.wvalid)]\n                    with m.Else():",
        ),
        (
            "read answered twice",
            "shell/axi.py",
            "m.d.sync += has_read.eq(0)",
            "m.d.sync += has_read.eq(axi.arvalid)",
        ),
        ("error not answered", "shell/axi.py", "error.eq(response.payload.error)", "error.eq(0)"),
        (
            "strobe error not answered",
            "shell/axi.py",
            "error.eq(1), axi.bvalid.eq(1)",
            "error.eq(0), axi.bvalid.eq(1)",
        ),
        # ---- the result stream -----------------------------------------------------------
        (
            "beat overwritten",
            "shell/axi.py",
            "free = ~self.valid | self.ready",
            "free = ~self.valid | self.ready | self.beats.valid",
        ),
        (
            "beat lost",
            "shell/axi.py",
            "self.beats.ready.eq(free & ~cut)",
            "self.beats.ready.eq((free | beat.last) & ~cut)",
        ),
        (
            "beat repeated",
            "shell/axi.py",
            "self.beats.ready.eq(free & ~cut)",
            "self.beats.ready.eq(free & self.ready & ~cut)",
        ),
        (
            "cut frame has no end",
            "shell/axi.py",
            "cut.eq((cut | self.abort) & now_open)",
            "cut.eq(0)",
        ),
        (
            "whole frame ends twice",
            "shell/axi.py",
            "cut.eq((cut | self.abort) & now_open)",
            "cut.eq(self.abort | (cut & now_open))",
        ),
        ("cut not told", "shell/axi.py", "self.aborted.eq(cut)", "self.aborted.eq(0)"),
        (
            "soft reset withdraws a beat",
            "shell/ip_top.py",
            "output.abort.eq(shell.soft_reset),",
            "output.abort.eq(0),",
        ),
        (
            "last on the first beat",
            "shell/results.py",
            "beat.last.eq(logits.payload.last)",
            "beat.last.eq(1)",
        ),
        (
            "stream not sign-extended",
            "shell/results.py",
            "beat.elements[lane].eq(logits.payload.logits[lane])",
            "beat.elements[lane].eq(logits.payload.logits[lane].as_unsigned())",
        ),
        (
            "end flag of the stream lost",
            "shell/ip_top.py",
            "self.m_axis_logits_tuser[0].eq(output.end)",
            "self.m_axis_logits_tuser[0].eq(0)",
        ),
        (
            "start and end exchanged",
            "shell/ip_top.py",
            "feature.start.eq(self.s_axis_features_tuser[0])",
            "feature.start.eq(self.s_axis_features_tuser[1])",
        ),
        # ---- the bus ---------------------------------------------------------------------
        (
            "unaligned answered",
            "shell/shell.py",
            "(request.payload.address[:2] == 0)",
            "(request.payload.address[:1] == 0)",
        ),
        (
            "high addresses answered",
            "shell/shell.py",
            "(request.payload.address[2 + _INDEX_BITS : ADDRESS_BITS] == 0)",
            "(request.payload.address[3 + _INDEX_BITS : ADDRESS_BITS] == 0)",
        ),
        ("constants take writes", "shell/shell.py", "refused.eq(write),", "refused.eq(0),"),
        (
            "access error forgotten",
            "shell/shell.py",
            "[refused.eq(1), machine.access_error.eq(1)]",
            "[refused.eq(1), machine.access_error.eq(0)]",
        ),
        (
            "value of a refused read",
            "shell/shell.py",
            "Mux(write | refused, 0, value)",
            "Mux(write, 0, value)",
        ),
        (
            "control answers reads",
            "shell/shell.py",
            "[refused.eq(~write), machine.access_error.eq(~write)]",
            "[refused.eq(0), machine.access_error.eq(~write)]",
        ),
        (
            "soft reset by any write",
            "shell/shell.py",
            "target.eq(write & request.payload.data[control.field(name).lsb])",
            "target.eq(write)",
        ),
        (
            "counters not cleared",
            "shell/shell.py",
            "core.clear_counters.eq(self.clear_counters)",
            "core.clear_counters.eq(0)",
        ),
        (
            "core outlives the soft reset",
            "shell/shell.py",
            'm.submodules.machine = ResetInserter({"sync": self.soft_reset})(machine)',
            "m.submodules.machine = machine",
        ),
        # ---- states ----------------------------------------------------------------------
        (
            "mode changes while busy",
            "shell/shell.py",
            "possible = ~self.busy",
            "possible = Const(1)",
        ),
        (
            "errors cleared together",
            "shell/shell.py",
            "(state.errors & ~state.clear_errors)",
            "(state.errors & ~state.clear_errors.any().replicate(3))",
        ),
        (
            "errors do not stay",
            "shell/shell.py",
            "(state.errors & ~state.clear_errors)\n                | Cat",
            "(state.errors & ~state.clear_errors & 0)\n                | Cat",
        ),
        (
            "not yet is an error",
            "shell/shell.py",
            "(self.access & self.refused & ~self.wait & ~state.not_yet)",
            "(self.access & self.refused & ~self.wait)",
        ),
        (
            "early tlast unseen",
            "shell/shell.py",
            "(beat.last != window.frame_ends)",
            "(~beat.last & window.frame_ends)",
        ),
        (
            "missing tlast unseen",
            "shell/shell.py",
            "(beat.last != window.frame_ends)",
            "(beat.last & ~window.frame_ends)",
        ),
        (
            "interrupts not masked",
            "shell/shell.py",
            "self.irq.eq(irq_status.any())",
            "self.irq.eq(irq_enable.any())",
        ),
        (
            "flags stay",
            "shell/shell.py",
            "(window.frame_begins):\n                    m.d.sync += state.flags.eq(0)",
            "(window.frame_begins):\n                    m.d.sync += state.flags.eq(state.flags)",
        ),
        (
            "flags of every word",
            "shell/features.py",
            "with m.If(self.frame_begins):",
            "with m.If(1):",
        ),
        (
            "start flag lost",
            "shell/features.py",
            "self.features.payload.start.eq(start)",
            "self.features.payload.start.eq(0)",
        ),
        (
            "end flag lost",
            "shell/features.py",
            "self.features.payload.end.eq(end)",
            "self.features.payload.end.eq(0)",
        ),
        (
            "padding is a feature",
            "shell/features.py",
            "m.d.sync += left.eq(0)",
            "m.d.sync += left.eq(left >> 1)",
        ),
        (
            "highest byte first",
            "shell/features.py",
            "self.features.payload.value.eq(word[:8])",
            "self.features.payload.value.eq(word[24:])",
        ),
        ("busy without the list", "shell/shell.py", "core.busy | results.busy", "core.busy"),
        # ---- words of results ------------------------------------------------------------
        (
            "filler of a beat is a logit",
            "shell/results.py",
            "self.beats.ready.eq(self.elements.ready & (last_lane | element.last))",
            "self.beats.ready.eq(self.elements.ready & last_lane)",
        ),
        (
            "first and second exchanged",
            "shell/results.py",
            "Cat(extended, value)",
            "Cat(value, extended)",
        ),
        ("rest of a word not 0", "shell/results.py", "value.as_unsigned())", "value)"),
        ("pairs across frames", "shell/results.py", "half.eq(~complete)", "half.eq(~half)"),
        (
            "word lost",
            "shell/results.py",
            "self.input.ready.eq((written ^ read) != self._depth)",
            "self.input.ready.eq(1)",
        ),
        ("front word lost", "shell/results.py", "(~self.output.valid | self.output.ready)", "1"),
        ("word twice", "shell/results.py", "with m.Elif(self.output.ready):", "with m.Elif(0):"),
        ("word without last", "shell/results.py", "word.last.eq(element.last)", "word.last.eq(0)"),
        # ---- best-N ----------------------------------------------------------------------
        (
            "later of equals",
            "shell/best.py",
            "element.value > entries[k].score",
            "element.value >= entries[k].score",
        ),
        (
            "unsigned scores",
            "shell/best.py",
            "(element.value > entries[k].score)",
            "(element.value.as_unsigned() > entries[k].score.as_unsigned())",
        ),
        ("list keeps the last frame", "shell/best.py", "[done.eq(0), held.eq(0)]", "[done.eq(0)]"),
        (
            "entry does not move down",
            "shell/best.py",
            "entries[k].score.eq(Mux(pushed, above.score, element.value))",
            "entries[k].score.eq(element.value)",
        ),
        (
            "class does not move down",
            "shell/best.py",
            "Mux(pushed, above.index, element.index)",
            "element.index",
        ),
        (
            "first part again",
            "shell/results.py",
            "place.eq(Mux(part.last, 0, place + 1))",
            "place.eq(0)",
        ),
        # ---- weight window ---------------------------------------------------------------
        ("row bound", "shell/shell.py", "(row < rows)", "(row <= rows)"),
        ("word bound", "shell/shell.py", "(word < words)", "(word <= words)"),
        ("row does not move on", "shell/shell.py", "[word.eq(0), row.eq(row + 1)]", "[word.eq(0)]"),
        (
            "last word",
            "shell/shell.py",
            "self.last_word.eq(word == words - 1)",
            "self.last_word.eq(word == words)",
        ),
        (
            "large row wraps",
            "shell/shell.py",
            "Cat(value[:low], value[low:].any())",
            "Cat(value[:low], 0)",
        ),
        (
            "weights written while busy",
            "shell/shell.py",
            "self.refused.eq(Mux(asked, ~answer.valid, ~inside | ~port.ready))",
            "self.refused.eq(Mux(asked, ~answer.valid, ~inside))",
        ),
        (
            "region's high bit",
            "shell/shell.py",
            "window.region.eq(self.data[16:19])",
            "window.region.eq(self.data[16:18])",
        ),
        ("refused moves on", "shell/shell.py", "with m.Elif(~self.refused):", "with m.Else():"),
    )
)


def caught_by(mutant: Mutant, build_root: Path) -> str:
    """What says that a mutant is broken: the first message, or the assertion; "" if nothing does.

    The IP top's benches run first, then that of the register map.
    """
    axi = {
        "config": _CONFIG.to_dict(),
        "seed": 1,
        "best": _BEST,
        "baked": False,
        "transactions": 300,
    }
    shell = {
        "config": _CONFIG.to_dict(),
        "baked": False,
        "best": _BEST,
        "build_hash": 0,
        "feature_words": feature_words(_CONFIG),
    }
    with tempfile.TemporaryDirectory(prefix="plosive-mutant-") as folder:
        mutated_sources(mutant, Path(folder))
        for name, top, plan in (("axi", BENCH_TOP, axi), ("registers", "shell", shell)):
            outcome = run_bench(
                printed_by(
                    _GENERATE, Path(folder), json.dumps(_CONFIG.to_dict()), name, str(_BEST)
                ),
                top,
                f"cocotb_tests.shell.bench_{name}",
                build_root=build_root,
                seed=1,
                env={"PLOSIVE_AXI" if plan is axi else "PLOSIVE_SHELL": json.dumps(plan)},
                extra_args=BENCH_ARGS,
                timeout_s=120,
                check=False,
            )
            if not outcome.passed:
                rule = re.search(r"Assertion failed in (\S+):", outcome.log.read_text())
                message = outcome.messages[0] if outcome.messages else "it does not end"
                return f"rule {rule[1]}" if rule else message
    return ""
