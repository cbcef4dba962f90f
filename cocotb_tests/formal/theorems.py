# SPDX-License-Identifier: Apache-2.0
"""Everything that is proved, how, and the broken designs whose proofs must fail."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cocotb_tests.blocks.blocks import config
from cocotb_tests.formal import broken
from cocotb_tests.formal.engine import (
    Built,
    Engine,
    Exhaustion,
    Induction,
    Pdr,
    Proof,
    Sat,
    build,
    prove,
)
from cocotb_tests.formal.front_ends import feature_front_end, spike_front_end
from cocotb_tests.formal.handshakes import axi_lite
from cocotb_tests.formal.harness import Harness
from cocotb_tests.formal.neurons import lif_lane
from cocotb_tests.formal.results import (
    element_packer,
    list_splitter,
    logit_serialiser,
    queue_places,
    queue_words,
    result_output,
)
from cocotb_tests.formal.streams import feature_buffer, feature_words, output_buffer
from cocotb_tests.formal.uarts import uart_pair, uart_transmitter
from cocotb_tests.mutation.engine import mutated_sources, printed_by
from cocotb_tests.mutation.mutants import Mutant
from hw.config import preset
from hw.schedule import Work
from hw.shell.uart import PHASE_BITS

__all__ = ["THEOREMS", "Theorem", "prove_broken", "prove_theorem", "text_of"]

_ONE_CLOCK = Induction()
_TEXT = "import sys; from cocotb_tests.formal.theorems import text_of; print(text_of(sys.argv[1]))"


@dataclass(frozen=True)
class Theorem:
    """A design, what is proved of it, and what shows that the proof could fail.

    Attributes
    ----------
    says
        The property in words, for the table.
    harness
        Makes the harness; its `claims` are the property in full.
    engine
        How it is proved.
    mutants
        Broken versions of the design, each of which must be refuted.
    cover_clocks
        In how many clocks each cover must be reached; 0 where a smaller design shows it.
    slow
        Too slow for `make test`.
    """

    says: str
    harness: Callable[[], Harness]
    engine: Engine = _ONE_CLOCK
    mutants: tuple[Mutant, ...] = ()
    cover_clocks: int = 1
    slow: bool = False


_WORKS = {
    1: (Work.SPIKES,),
    2: (Work.ALL, Work.UNION, Work.COMMON, Work.STRAIGHT, Work.CROSSED, Work.SERIAL),
}

# ---- neurons -----------------------------------------------------------------------------

_SMALL_LIF = {
    "acc_bits": 8,
    "membrane_bits": 8,
    "membrane_frac": 2,
    "max_decay_shift": 3,
    "max_input_shift": 3,
    "hidden_work": "split",
}
_NO_LIF = {"load": 1, "membrane": 0, "threshold": 1, "decay_form": 0, "reset": 0}
_ISSUES = "every digit of every nonzero feature once, nothing else; the row read once, in time"
_DIGITS = "the same of the digits of the non-adjacent form"
_SERVES = "every input with work once (SERIAL: once a spike), nothing else; no slot without work"
_NEURON = "spike and membrane of the equations"


_GROUPS = "each group's beats once, in order, with their flags; captures wait for nothing else"
_KEEPS = "nothing lost, repeated, reordered or withheld; what is offered stays"

THEOREMS: dict[str, Theorem] = {
    "feature front end, 2 features": Theorem(
        _ISSUES,
        lambda: feature_front_end(config(n_input=2)),
        mutants=broken.FEATURE_FRONT_END,
        cover_clocks=6,
    ),
    "feature front end, 40 features": Theorem(
        _ISSUES, lambda: feature_front_end(preset("paper-t2")), cover_clocks=6
    ),
    **{
        f"feature front end, naf, {n} features": Theorem(
            _DIGITS,
            lambda n=n: feature_front_end(config(n_input=n, input_digits="naf")),
            mutants=broken.NON_ADJACENT_FORM if n == 2 else (),
            cover_clocks=6,
            slow=n > 2,
        )
        for n in (2, 40)
    },
    **{
        f"spike front end, T = {steps}, {neurons} neurons": Theorem(
            _SERVES,
            lambda steps=steps, neurons=neurons, serial=serial: spike_front_end(
                config(time_steps=steps), _WORKS[steps], neurons, serial
            ),
            mutants=broken.SPIKE_FRONT_END if (steps, neurons) == (2, 7) else (),
            cover_clocks=4,
            slow=neurons > 100,
        )
        for steps, neurons, serial in ((1, 7, 7), (2, 7, 5), (1, 128, 128), (2, 128, 128))
    },
    **{
        f"LIF lane, 8 bits, time step {step}": Theorem(
            _NEURON,
            lambda step=step, unused=unused: lif_lane(
                config(**_SMALL_LIF), load=0, step=step, **{unused: 0}
            ),
            Exhaustion(),
            slow=True,
        )
        for step, unused in enumerate(("high", "low"))
    },
    "LIF lane, 8 bits, LOAD and MERGE": Theorem(
        "the rounded sum of numerics.md; the plain sum",
        lambda: lif_lane(config(**_SMALL_LIF), **_NO_LIF),
        Exhaustion(),
    ),
    "LIF lane, 8 bits, T = 2": Theorem(
        f"{_NEURON}; LOAD and MERGE",
        lambda: lif_lane(config(**_SMALL_LIF)),
        Sat(),
        mutants=broken.LIF,
    ),
    "LIF lane, 8 bits, T = 1": Theorem(
        f"{_NEURON}; LOAD", lambda: lif_lane(config(**_SMALL_LIF, time_steps=1)), Sat()
    ),
    **{
        f"LIF lane, 16 bits, {name}": Theorem(
            f"{_NEURON}; LOAD", lambda name=name: lif_lane(preset(name)), Sat(), slow=True
        )
        for name in ("paper-t1", "paper-t2")
    },
    **{
        f"output buffer, {name}": Theorem(
            _GROUPS,
            lambda shape=shape: output_buffer(shape),
            mutants=broken.OUTPUT_BUFFER if name == "odd last tile, 2 logits a beat" else (),
            cover_clocks=8,
            slow=name == "32 lanes",
        )
        for name, shape in {
            "pairs, 1 logit a beat": config(n_output=7, lanes=2, output_lanes=1),
            "odd last tile, 2 logits a beat": config(n_output=9, lanes=3, output_lanes=2),
            "tiny": preset("tiny"),
            "32 lanes": preset("paper-t2").replace(lanes=32, n_output=96),
        }.items()
    },
    **{
        f"feature buffer, {n} features": Theorem(
            "every beat in its place, frames whole; none taken while a frame is held",
            lambda n=n: feature_buffer(config(n_input=n)),
            mutants=broken.FEATURE_BUFFER if n == 3 else (),
            cover_clocks=9 if n == 3 else 0,
        )
        for n in (3, 40)
    },
    "words of features, frames of 1 to 11": Theorem(
        _KEEPS,
        lambda: feature_words(11),
        Pdr(),
        mutants=broken.FEATURE_WORDS,
        cover_clocks=10,
    ),
    **{
        f"logits of beats, {name}": Theorem(
            _KEEPS,
            lambda shape=shape: logit_serialiser(shape),
            Pdr(),
            mutants=broken.RESULTS["serialiser"] if name == "3 a beat" else (),
            cover_clocks=18,
            slow=name == "speech",
        )
        for name, shape in {
            "3 a beat": config(n_output=13, lanes=3, output_lanes=3),
            "speech": preset("speech"),
        }.items()
    },
    "words of logits, 12 bits": Theorem(
        _KEEPS,
        lambda: element_packer(preset("tiny")),
        Pdr(),
        mutants=broken.RESULTS["packer"],
        cover_clocks=3,
    ),
    "words of logits, 20 bits": Theorem(
        _KEEPS, lambda: element_packer(config(acc_bits=20)), Pdr(), cover_clocks=3
    ),
    "parts of best-5 lists": Theorem(
        _KEEPS,
        lambda: list_splitter(preset("tiny"), 5, 64),
        Pdr(),
        mutants=broken.RESULTS["splitter"],
        cover_clocks=6,
    ),
    **{
        f"queue of {depth} words, places": Theorem(
            "addresses and flags follow the number of words",
            lambda depth=depth: queue_places(depth),
            Pdr(),
            mutants=broken.RESULTS["queue places"] if depth == 4 else (),
            cover_clocks=depth + 4,
            slow=depth > 4,
        )
        for depth in (4, 16)
    },
    **{
        f"queue of {depth} words": Theorem(
            _KEEPS,
            lambda depth=depth: queue_words(depth),
            mutants=broken.RESULTS["queue"] if depth == 4 else (),
            cover_clocks=depth + 4,
            slow=depth > 4,
        )
        for depth in (4, 16)
    },
    "AXI4-Stream results, soft resets": Theorem(
        "each beat once, in order, or the end of the frame that a soft reset cut; valid and "
        "payload stay until ready",
        lambda: result_output(preset("tiny")),
        Pdr(),
        mutants=broken.RESULTS["output"],
        cover_clocks=5,
    ),
    "AXI4-Lite and the control bus": Theorem(
        "valid and payload stay until ready; each access is asked once and answered once, as the "
        "bus does or SLVERR; reads and writes wait for one another once at most",
        axi_lite,
        Pdr(),
        mutants=broken.AXI_LITE,
        cover_clocks=6,
    ),
    "serial transmitter, any speed": Theorem(
        "each byte a frame of ten bits in order, exactly timed; high between them",
        uart_transmitter,
        mutants=broken.UART_TRANSMITTER,
        cover_clocks=14,
    ),
    "serial line, 4 clocks a bit": Theorem(
        "a byte arrives as it was sent, once, before the next one's start bit ends; none broken",
        lambda: uart_pair(1 << (PHASE_BITS - 2)),
        Pdr(),
        mutants=broken.UART_RECEIVER,
        cover_clocks=44,
        slow=True,
    ),
}
"""By name, in the order of the table."""


def prove_theorem(name: str) -> Proof:
    """Prove one of `THEOREMS`, and reach its covers."""
    theorem = THEOREMS[name]
    return _prove(build(theorem.harness(), theorem.engine), theorem, theorem.cover_clocks)


def text_of(name: str) -> str:
    """The harness of a theorem as JSON, around the designs of the `hw` that Python finds."""
    theorem = THEOREMS[name]
    return json.dumps(vars(build(theorem.harness(), theorem.engine)))


def prove_broken(name: str, mutant: Mutant) -> Proof:
    """Try to prove a theorem of a broken design."""
    with tempfile.TemporaryDirectory(prefix="plosive-broken-") as folder:
        mutated_sources(mutant, Path(folder))
        built = Built(**json.loads(printed_by(_TEXT, Path(folder), name)))
    return _prove(built, THEOREMS[name], 0)


def _prove(built: Built, theorem: Theorem, cover_clocks: int) -> Proof:
    with tempfile.TemporaryDirectory(prefix="plosive-formal-") as folder:
        return prove(built, theorem.engine, Path(folder), cover_clocks=cover_clocks)
