# SPDX-License-Identifier: Apache-2.0
"""Broken versions of the designs that are proved: each makes its proof fail."""

from __future__ import annotations

from cocotb_tests.mutation.mutants import Mutant

__all__ = [
    "AXI_LITE",
    "FEATURE_BUFFER",
    "FEATURE_FRONT_END",
    "FEATURE_WORDS",
    "LIF",
    "NON_ADJACENT_FORM",
    "OUTPUT_BUFFER",
    "RESULTS",
    "SPIKE_FRONT_END",
    "UART_RECEIVER",
    "UART_TRANSMITTER",
]


def _mutants(file: str, *entries: tuple[str, str, str]) -> tuple[Mutant, ...]:
    """Broken versions of a file of `hw/`: name, text, and what replaces it."""
    return tuple(Mutant(name, file, old, new) for name, old, new in entries)


# ---- front ends --------------------------------------------------------------------------

FEATURE_FRONT_END = _mutants(
    "core/front_end.py",
    ("feature: a digit is issued again", "self.taken[b] | issued", "self.taken[b]"),
    ("feature: a bit is passed over", "more.append((rest ^ issued).any())", "more.append(0)"),
    ("feature: ends with the first one", "done & ~(left & (left - 1)).any()", "done"),
    ("feature: every slot reads", "found & ~Value.cast(self.taken).any()", "found"),
    (
        "feature: the next one is passed over",
        "self.pointer_next.eq(index + found)",
        "self.pointer_next.eq(index + 2 * found)",
    ),
)
NON_ADJACENT_FORM = _mutants(
    "core/front_end.py",
    ("naf: no digit is negative", "minus.eq(halved & digits)", "minus.eq(0)"),
    (
        "naf: half of an unsigned value",
        "halved.eq(feature.as_signed() >> 1)",
        "halved.eq(feature >> 1)",
    ),
)
SPIKE_FRONT_END = _mutants(
    "core/front_end.py",
    (
        "spikes: an input twice",
        "Mux(self.serve[b], candidate[b] + 1, self.pointer[b])",
        "Mux(self.serve[b], candidate[b], self.pointer[b])",
    ),
    (
        "spikes: ends with a half left",
        "self.last.eq(~(more[0] | more[1]))",
        "self.last.eq(~more[0])",
    ),
    (
        "spikes: a joint slot moves both",
        "found[1] & ~even_first",
        "found[1]",
    ),
    ("spikes: the other one's straight ones", "steps[b] & ~steps[1 - b]", "steps[1 - b]"),
    ("spikes: union is common", "steps[0] | steps[1]", "steps[0] & steps[1]"),
    ("spikes: serial has one step", "_padded(steps[1], h)", "_padded(steps[0], h)"),
    ("spikes: time step 1 reads elsewhere", "position - self._serial_half", "position"),
)
LIF = _mutants(
    "core/lif.py",
    (
        "lif: no spike at the threshold itself",
        "self.spike.eq(~excess[-1])",
        "self.spike.eq(excess > 0)",
    ),
    ("lif: leak and scale exchanged", "== DecayForm.SCALE", "== DecayForm.LEAK"),
    ("lif: wraps below", "(~self.spike & clamps, least)", "(~self.spike & clamps, total[:bits])"),
    (
        "lif: subtracts from a sum that is not clamped",
        "(subtracts & clamps, ~self.threshold)",
        "(subtracts & clamps, excess[:bits])",
    ),
    ("lif: clamps one bit late", "total[bits - 1 :] != total[-1]", "total[bits:] != total[-1]"),
    (
        "lif: the threshold is for the wrapped sum",
        "excess.eq(total - self.threshold)",
        "excess.eq(total[:bits].as_signed() - self.threshold)",
    ),
    ("lif: no rounding", "self.load_round.eq(shifted[0])", "self.load_round.eq(0)"),
    (
        "lif: the stimulus of the other step",
        "Mux(self.step, self.high, self.low)",
        "Mux(self.step, self.low, self.high)",
    ),
)
# ---- streams -----------------------------------------------------------------------------

OUTPUT_BUFFER = _mutants(
    "core/stream_buffers.py",
    (
        "output: a new group before the last beat is out",
        "free.eq(~valid | (self.stream.ready & final_beat))",
        "free.eq(~valid | final_beat)",
    ),
    (
        "output: a beat goes on without its reader",
        "with m.Elif(valid & self.stream.ready):",
        "with m.Elif(valid):",
    ),
    (
        "output: the first group is as short as the last",
        "self._full_beats - 1)",
        "self._last_beats - 1)",
    ),
    ("output: last with every group", "self.last_group & final_beat", "final_beat"),
    (
        "output: halves of the odd tile apart",
        "beats[1][lane] = beats[1].get(lane, Const(0)) | (now & odd)",
        "pass",
    ),
)
FEATURE_BUFFER = _mutants(
    "core/stream_buffers.py",
    ("features: taken while full", "self.stream.ready.eq(~self.full)", "self.stream.ready.eq(1)"),
    (
        "features: flags of the first beat",
        "with m.If(self.count == self._n_input - 1):",
        "with m.If(self.count == 0):",
    ),
    (
        "features: place 0 is passed over",
        "self.count.eq(0),\n                    self.full",
        "self.count.eq(1),\n                    self.full",
    ),
)
FEATURE_WORDS = _mutants(
    "shell/features.py",
    ("words: the rest of a frame's last word stays", "left.eq(0)", "left.eq(left >> 1)"),
    (
        "words: highest byte first",
        "self.features.payload.value.eq(word[:8])",
        "self.features.payload.value.eq(word[24:])",
    ),
    (
        "words: a word over the last feature",
        "self.words.ready.eq(~left[0])",
        "self.words.ready.eq(~left[1])",
    ),
    ("words: flags of every word", "with m.If(self.frame_begins):", "with m.If(1):"),
)
RESULTS = {
    "serialiser": _mutants(
        "shell/results.py",
        (
            "serialiser: a beat leaves with its first logit",
            "self.elements.ready & (last_lane | element.last)",
            "self.elements.ready",
        ),
        ("serialiser: the last beat's filling too", "(last_lane | element.last)),", "last_lane),"),
    ),
    "packer": _mutants(
        "shell/results.py",
        (
            "packer: every logit waits for the word",
            "self.words.ready | ~complete",
            "self.words.ready",
        ),
        ("packer: a lone last logit is lost", "complete = half | element.last", "complete = half"),
        ("packer: not extended", "Cat(extended, value)", "Cat(low, value)"),
    ),
    "splitter": _mutants(
        "shell/results.py",
        (
            "splitter: a list leaves with its first part",
            "self.parts.ready & part.last",
            "self.parts.ready",
        ),
        (
            "splitter: goes on without its reader",
            "with m.If(self.parts.valid & self.parts.ready):",
            "with m.If(self.parts.valid):",
        ),
    ),
    "queue places": _mutants(
        "shell/results.py",
        ("queue: one too many", "(written ^ read) != self._depth", "1"),
        ("queue: a word twice", "read.eq(read + 1)", "read.eq(read + self.output.valid)"),
        (
            "queue: the word in front is overwritten",
            "(~self.output.valid | self.output.ready)",
            "1",
        ),
    ),
    "queue": _mutants(
        "shell/results.py",
        (
            "queue: written at its front",
            "write_port.addr.eq(written[:bits])",
            "write_port.addr.eq(0)",
        ),
        (
            "queue: the word in front is withdrawn",
            "with m.Elif(self.output.ready):",
            "with m.Else():",
        ),
    ),
    "output": _mutants(
        "shell/axi.py",
        ("result: overwritten while it waits", "free = ~self.valid | self.ready", "free = 1"),
        ("result: a cut frame has no end", "cut.eq((cut | self.abort) & now_open)", "cut.eq(0)"),
        (
            "result: the next frame before the cut's end",
            "self.beats.ready.eq(free & ~cut)",
            "self.beats.ready.eq(free)",
        ),
        (
            "result: a cut between frames",
            "(cut | self.abort) & now_open",
            "cut & now_open | self.abort",
        ),
    ),
}

# ---- handshakes --------------------------------------------------------------------------

AXI_LITE = _mutants(
    "shell/axi.py",
    (
        "axi: a write's answer waits for ready",
        "axi.bvalid.eq(response.valid & writing)",
        "axi.bvalid.eq(response.valid & writing & axi.bready)",
    ),
    ("axi: a new address over the old one", "with m.If(~has_address):", "with m.If(1):"),
    (
        "axi: a write without its word",
        "has_write = has_address & has_data",
        "has_write = has_address",
    ),
    ("axi: parts of words are written", "with m.If(~whole):", "with m.If(0):"),
    ("axi: writes go first, always", "has_write & ~(writing & has_read)", "has_write"),
    ("axi: an access is asked twice", "m.d.sync += has_read.eq(0)", "pass"),
    ("axi: the refusal is withdrawn", "with m.If(axi.bready):", "with m.If(1):"),
)
UART_TRANSMITTER = _mutants(
    "shell/uart.py",
    ("uart: no stop bit", "left.eq(_DATA_BITS + 2)]", "left.eq(_DATA_BITS + 1)]"),
    (
        "uart: the phase goes on between bytes",
        "m.d.sync += phase.eq(0)",
        "m.d.sync += phase.eq(following)",
    ),
    (
        "uart: ready a bit too early",
        "self.stream.ready.eq(left == 0)",
        "self.stream.ready.eq(left <= 1)",
    ),
)
UART_RECEIVER = _mutants(
    "shell/uart.py",
    ("uart: highest bit first", "Cat(self.data[1:], level)", "Cat(level, self.data[:-1])"),
)
