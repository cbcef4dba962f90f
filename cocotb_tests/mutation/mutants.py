# SPDX-License-Identifier: Apache-2.0
"""Broken versions of the design, written by hand, and the small machines that they are tried on."""

from __future__ import annotations

from dataclasses import dataclass

from hw.config import AcceleratorConfig

__all__ = ["CONFIGS", "MUTANTS", "Mutant"]

_SMALL = {"max_input_shift": 7, "max_decay_shift": 4, "counter_bits": 6, "trace": True}

# Small enough to build in seconds; between them every mechanism of the machine.
CONFIGS = {
    # T = 2, folded, merged spikes, odd last tile.
    "t2": AcceleratorConfig(
        n_input=5,
        hidden=(5, 3),
        recurrent=(True, True),
        n_output=9,
        time_steps=2,
        lanes=2,
        acc_bits=10,
        membrane_bits=12,
        membrane_frac=3,
        output_lanes=1,
        **_SMALL,
    ),
    # T = 1, unfolded, a plain layer, frame subsampling, rows of two words.
    "t1": AcceleratorConfig(
        n_input=4,
        hidden=(9, 10),
        recurrent=(True, False),
        n_output=13,
        time_steps=1,
        lanes=10,
        acc_bits=11,
        membrane_bits=12,
        membrane_frac=2,
        output_lanes=4,
        readout_every=2,
        **_SMALL,
    ),
    # T = 2, unfolded, one time step after the other in the readout, a plain first layer, two pairs.
    "serial": AcceleratorConfig(
        n_input=3,
        hidden=(4, 5),
        recurrent=(False, True),
        n_output=18,
        time_steps=2,
        lanes=5,
        acc_bits=10,
        membrane_bits=11,
        membrane_frac=4,  # sums far beyond the membrane: the clamp works on both sides
        merge_readout=False,
        output_lanes=5,
        readout_every=3,
        **_SMALL,
    ),
    # T = 2, folded, only inputs that spike, one time step after the other in the readout.
    "union": AcceleratorConfig(
        n_input=3,
        hidden=(5, 4),
        recurrent=(True, True),
        n_output=9,
        time_steps=2,
        lanes=3,
        acc_bits=10,
        membrane_bits=12,
        membrane_frac=3,
        merge_readout=False,
        hidden_work="union",
        output_lanes=2,
        **_SMALL,
    ),
    # T = 1, folded, an odd last tile.
    "t1-folded": AcceleratorConfig(
        n_input=3,
        hidden=(5, 4),
        recurrent=(True, True),
        n_output=9,
        time_steps=1,
        lanes=3,
        acc_bits=10,
        membrane_bits=12,
        membrane_frac=3,
        output_lanes=2,
        **_SMALL,
    ),
}


@dataclass(frozen=True)
class Mutant:
    """A line of `hw/` replaced by a wrong one.

    Attributes
    ----------
    file : in hw/. old, new : its text, which stands there once, and what replaces it.
    configs : where it shows, the likeliest first.
    """

    name: str
    file: str
    old: str
    new: str
    configs: tuple[str, ...] = ("t2", "t1")


MUTANTS: tuple[Mutant, ...] = tuple(
    Mutant(*entry)
    for entry in (
        # ---- PE sets ---------------------------------------------------------------------
        ("shift ignored", "core/pe.py", "(digit << self.shift)", "(digit << self.shift[0])"),
        ("weight unsigned", "core/pe.py", "bits].as_signed()", "bits]"),
        ("digit never negated", "core/pe.py", "Mux(self.negate, -weight, weight)", "weight"),
        (
            "first ignored",
            "core/pe.py",
            "(~(self.first | load), self.acc[lane])",
            "(~load, self.acc[lane])",
        ),
        (
            "first only with work",
            "core/pe.py",
            "self.execute & (self.first | self.enable)",
            "self.execute & self.enable",
        ),
        ("enable ignored", "core/pe.py", "weight = Mux(self.enable, weight, 0)", "weight = weight"),
        (
            "dropped carry into the top bit",
            "core/pe.py",
            "self.acc[lane].eq(base + addend)",
            "self.acc[lane].eq((base + addend) & 15 | ((base >> 4) + (addend >> 4) << 4))",
        ),
        (
            "load ignored",
            "core/pe.py",
            "with m.If(work | load):",
            "with m.If(work | (load & self.first)):",
        ),
        (
            "load added",
            "core/pe.py",
            "(~(self.first | load), self.acc[lane])",
            "(~self.first, self.acc[lane])",
        ),
        (
            "load of the other part",
            "core/pe.py",
            "load = self.load[part]",
            "load = self.load[-1 - part]",
        ),
        ("rounding term dropped", "core/pe.py", "(load & self.load_round[place])", "0"),
        (
            "rounding by the wrong bit",
            "core/lif.py",
            "self.load_round.eq(shifted[0])",
            "self.load_round.eq(shifted[1])",
        ),
        (
            "high nibble weighs 8",
            "core/lif.py",
            "self.low + (self.high << 4)",
            "self.low + (self.high << 3)",
        ),
        (
            "shifted logically",
            "core/lif.py",
            "Cat(0, operand).as_signed() >> self.shift",
            "Cat(0, operand) >> self.shift",
        ),
        (
            "input sum a bit short",
            "core/lif.py",
            "join_bits = config.acc_bits + 5",
            "join_bits = config.acc_bits + 1",
        ),
        # ---- LIF lane --------------------------------------------------------------------
        (
            "load shifted like a decay",
            "core/neurons.py",
            "Mux(load, parameters[0].input_shift, lif.decay_shift)",
            "lif.decay_shift",
        ),
        ("load with a membrane", "core/neurons.py", " | ~lif_slot)", ")", ("t1", "serial")),
        ("decay forms swapped", "core/lif.py", "== DecayForm.SCALE", "== DecayForm.LEAK"),
        (
            "threshold must be passed",
            "core/lif.py",
            "self.spike.eq(~excess[-1])",
            "self.spike.eq(excess > 0)",
        ),
        ("resets swapped", "core/lif.py", "== Reset.SUBTRACT", "== Reset.ZERO"),
        (
            "no clamp",
            "core/lif.py",
            "clamps.eq(total[bits - 1 :] != ",
            "clamps.eq(0 & total[bits - 1 :] != ",
            ("serial", "t2"),
        ),
        (
            "no clamp below",
            "core/lif.py",
            "(~self.spike & clamps, least)",
            "(~self.spike & clamps, total[:bits])",
        ),
        (
            "no clamp above",
            "core/lif.py",
            "(subtracts & clamps, ~self.threshold)",
            "(subtracts & clamps, excess[:bits])",
            ("serial",),
        ),
        (
            "clamp one too high below",
            "core/lif.py",
            "Const(1 << (bits - 1), bits)",
            "Const((1 << (bits - 1)) + 1, bits)",
        ),
        (
            "clamp misses a bit",
            "core/lif.py",
            "clamps.eq(total[bits - 1 :] != total[-1].replicate(total_bits - bits + 1))",
            "clamps.eq(total[bits:] != total[-1].replicate(total_bits - bits))",
        ),
        (
            "stimulus not scaled",
            "core/lif.py",
            "stimulus << config.membrane_frac",
            "stimulus << (config.membrane_frac - 1)",
        ),
        (
            "spike leaves the membrane",
            "core/lif.py",
            "(~self.spike & ~clamps, total[:bits])",
            "(~subtracts & ~clamps, total[:bits])",
        ),
        # ---- front ends ------------------------------------------------------------------
        (
            "sign of the high nibble missed",
            "core/front_end.py",
            "(self.shift[1] == 3)",
            "(self.shift[1] == 4)",
        ),
        (
            "sign without a bit",
            "core/front_end.py",
            "self.enable[1] & (self.shift[1] == 3)",
            "self.shift[1][1]",
        ),
        (
            "stale taken",
            "core/front_end.py",
            "self.pointer_next.eq(index + found), self.taken_next.eq(0)",
            "self.pointer_next.eq(index + found)",
        ),
        (
            "feature row read in every slot",
            "core/front_end.py",
            "self.read.eq(found & ~Value.cast(self.taken).any())",
            "self.read.eq(found)",
        ),
        (
            "feature row read by the low nibble only",
            "core/front_end.py",
            "found & ~Value.cast(self.taken).any()",
            "found & ~self.taken[0].any()",
        ),
        ("feature pointer stays", "core/front_end.py", "self.pointer_next.eq(index + found), ", ""),
        (
            "features end a slot early",
            "core/front_end.py",
            "self.last.eq(done & ~(left & (left - 1)).any())",
            "self.last.eq(~(left & (left - 1)).any())",
        ),
        (
            "pointer mask off by one",
            "core/front_end.py",
            "(Const((1 << n) - 1, n) << self.pointer)[:n]",
            "(Const((1 << n) - 2, n) << self.pointer)[:n]",
        ),
        (
            "odd input first at a draw",
            "core/front_end.py",
            "candidate[0] <= candidate[1]",
            "candidate[0] < candidate[1]",
        ),
        (
            "spike pointer stays",
            "core/front_end.py",
            "candidate[b] + 1, self.pointer[b]",
            "candidate[b], self.pointer[b]",
        ),
        (
            "both pointers move",
            "core/front_end.py",
            "Mux(self.serve[b], candidate[b] + 1, self.pointer[b])",
            "candidate[b] + 1",
        ),
        (
            "split ends with the first half",
            "core/front_end.py",
            "self.last.eq(~(more[0] | more[1])),",
            "self.last.eq(~(more[0] & more[1])),",
            ("t1", "t2"),
        ),
        (
            "joint forgets the other half",
            "core/front_end.py",
            "~Mux(even_first, more[0] | found[1], found[0] | more[1])",
            "~Mux(even_first, more[0], more[1])",
        ),
        (
            "union is an intersection",
            "core/front_end.py",
            "has_work.eq(steps[0] | steps[1])",
            "has_work.eq(steps[0] & steps[1])",
        ),
        (
            "union of one step",
            "core/front_end.py",
            "has_work.eq(steps[0] | steps[1])",
            "has_work.eq(steps[0])",
        ),
        (
            "hidden union of one step",
            "core/front_end.py",
            "m.d.comb += has_work.eq(steps[0] | steps[1])",
            "m.d.comb += has_work.eq(steps[1])",
            ("union",),
        ),
        (
            "hidden union skips nothing",
            "schedule.py",
            'work = Work.UNION if config.hidden_work == "union" else Work.ALL',
            "work = Work.ALL",
            ("union",),
        ),
        (
            "both sets take a row that one step needs",
            "core/sequencer.py",
            "slot.enable.eq(Mux(served_odd, spike_end.spike[1], spike_end.spike[0])),",
            "slot.enable.eq(spike_end.serve.any().replicate(2)),",
            ("union", "t2"),
        ),
        (
            "serial index not taken back",
            "core/front_end.py",
            "Mux(second, position - self._serial_half, position)",
            "position",
            ("serial",),
        ),
        (
            "serial half off by one",
            "core/front_end.py",
            "second = position >= self._serial_half",
            "second = position > self._serial_half",
            ("serial",),
        ),
        (
            "skipping in Type D",
            "core/front_end.py",
            "m.d.comb += has_work.eq(self.exists[b : self._neurons : 2])",
            "m.d.comb += has_work.eq(steps[0])",
        ),
        (
            "lowest set: odd wins",
            "core/priority.py",
            "only_odd = named(odd & ~even)",
            "only_odd = named(odd)",
        ),
        (
            "lowest set: payloads mixed",
            "core/priority.py",
            "carried = [named(bits[0::2] | (bits[1::2] & only_odd)) for bits in carried]",
            "carried = [named(bits[0::2] | bits[1::2]) for bits in carried]",
        ),
        # ---- memories --------------------------------------------------------------------
        ("read always on", "core/memory.py", "read_port.en.eq(self.read)", "read_port.en.eq(1)"),
        (
            "write mask ignored",
            "core/memory.py",
            "write_port.en.eq(self.write[low // bits :])",
            "write_port.en.eq(self.write.any().replicate(self.words))",
            ("t1", "t2"),
        ),
        (
            "write row off by one",
            "core/memory.py",
            "write_port.addr.eq(self.row)",
            "write_port.addr.eq(self.row ^ 1)",
        ),
        # ---- neurons ---------------------------------------------------------------------
        (
            "time steps swapped",
            "core/lif.py",
            "Mux(self.step, self.high, self.low)",
            "Mux(self.step, self.low, self.high)",
        ),
        (
            "second set forgotten",
            "core/lif.py",
            "stimulus.eq(self.low + self.high)",
            "stimulus.eq(self.low)",
            ("t1", "t1-folded"),
        ),
        (
            "membranes survive an utterance",
            "core/neurons.py",
            "(self.start & (slot.step == 0)) | ~lif_slot",
            "~lif_slot",
            ("t2", "t1"),
        ),
        (
            "second step begins again",
            "core/neurons.py",
            "self.start & (slot.step == 0)",
            "self.start",
            ("serial", "t2"),
        ),
        (
            "parameters of layer 0 for all",
            "core/neurons.py",
            "m.d.comb += lif.eq(parameters[layer].lif)",
            "m.d.comb += lif.eq(parameters[0].lif)",
        ),
        (
            "thresholds of the wrong layer",
            "core/neurons.py",
            "Mux(lif_slot, layer, fetched)",
            "fetched",
            ("t1", "serial"),
        ),
        ("thresholds of the wrong part", "core/neurons.py", "Mux(lif_slot, part, upper)", "upper"),
        (
            "thresholds read from the lower part",
            "core/neurons.py",
            "Mux(lif_slot, part, upper)",
            "Mux(lif_slot, part, 0)",
        ),
        (
            "threshold of the wrong lane read",
            "core/neurons.py",
            "self.threshold_lane - Mux(upper, config.neuron_lanes, 0)",
            "self.threshold_lane - Mux(upper, config.neuron_lanes - 1, 0)",
            ("t1", "t2"),
        ),
        (
            "sums of the other part",
            "core/neurons.py",
            "slot.part == part for part in range(config.parts)]\n        for b",
            "slot.part != part for part in range(config.parts)]\n        for b",
        ),
        (
            "membrane of both parts written",
            "core/neurons.py",
            "Mux(self.membrane_write, 1 << slot.part, 0)",
            "self.membrane_write.replicate(config.parts)",
        ),
        (
            "membranes of both parts written",
            "core/neurons.py",
            "with m.If(fire & mine):\n                    m.d.sync += stored",
            "with m.If(fire & (slot.layer == layer)):\n                    m.d.sync += stored",
            ("t1", "serial"),
        ),
        (
            "working membranes of both parts written",
            "core/neurons.py",
            "with m.If(fire & ~last_step & mine):",
            "with m.If(fire & ~last_step):",
            ("t2",),
        ),
        (
            "thresholds of the wrong row",
            "core/neurons.py",
            "Mux(self.state_read, self.state_row, self.threshold_row)",
            "Mux(self.state_read, self.state_row ^ 1, self.threshold_row)",
        ),
        (
            "membrane row not held",
            "core/neurons.py",
            "store.row.eq(Mux(self.membrane_write, row, self.state_row))",
            "store.row.eq(self.state_row)",
        ),
        (
            "membrane written by the first step",
            "core/neurons.py",
            "self.membrane_write.eq(fire & last_step)",
            "self.membrane_write.eq(fire)",
        ),
        (
            "held spikes of the wrong tile",
            "core/neurons.py",
            "with m.Case(tile):\n",
            "with m.Case(final - 1 - tile):\n",
        ),
        (
            "spikes not held",
            "core/neurons.py",
            "m.d.sync += register[: final * lanes].eq(held)",
            "m.d.sync += register[: final * lanes].eq(0)",
        ),
        (
            "spikes of both parts alike",
            "core/neurons.py",
            "place = slice(final * lanes + first, final * lanes + last)",
            "place = slice(final * lanes, final * lanes + last)",
        ),
        (
            "spikes survive an utterance",
            "core/neurons.py",
            "with m.If(self.clear):\n            m.d.sync += self.spikes.eq(0)",
            "with m.If(0 & self.clear):\n            m.d.sync += self.spikes.eq(0)",
        ),
        (
            "spikes cleared in a layer",
            "core/neurons.py",
            "m.d.sync += self.spikes.eq(0)",
            "m.d.sync += self.spikes.l0.eq(0)",
            ("t2", "serial"),
        ),
        # ---- sequencer -------------------------------------------------------------------
        (
            "first in every slot",
            "core/sequencer.py",
            "slot.first.eq(fresh_phase if phase.first else 0)",
            "slot.first.eq(1 if phase.first else 0)",
        ),
        (
            "first forgets taken",
            "core/sequencer.py",
            "~(Value.cast(self.pointer).any() | Value.cast(self.taken).any())",
            "~Value.cast(self.pointer).any()",
        ),
        (
            "first of the even half only",
            "core/sequencer.py",
            "~(Value.cast(self.pointer).any() |",
            "~(self.pointer[0].any() |",
        ),
        (
            "F runs in a stall",
            "core/sequencer.py",
            "go.eq(~self.idle & ~self.stall)",
            "go.eq(~self.idle)",
        ),
        ("rows read in a stall", "core/sequencer.py", "run = ~self.stall", "run = ~self.stall | 1"),
        (
            "taken not cleared",
            "core/sequencer.py",
            "self.pointer.eq(0),\n                    self.taken.eq(0),",
            "self.pointer.eq(0),",
        ),
        (
            "features kept for another tile",
            "core/sequencer.py",
            "self.tile == config.tiles(0) - 1",
            "self.tile == 0",
            ("t2", "t1-folded"),
        ),
        (
            "row of the first tile",
            "core/sequencer.py",
            "phase.base + self.tile * phase.stride if phase.stride else phase.base",
            "phase.base + 0 * self.tile",
        ),
        (
            "rows without their base",
            "core/sequencer.py",
            "phase.base + self.tile * phase.stride if phase.stride",
            "self.tile * phase.stride if phase.stride",
        ),
        (
            "banks swapped",
            "core/sequencer.py",
            "slot.bank.eq(served_odd)",
            "slot.bank.eq(~served_odd)",
        ),
        (
            "merged spikes not doubled",
            "core/sequencer.py",
            "slot.shift[b].eq(served & both)",
            "slot.shift[b].eq(0)",
        ),
        (
            "capture in every slot",
            "core/sequencer.py",
            "slot.capture.eq(spike_end.last)",
            "slot.capture.eq(1)",
        ),
        (
            "last group too early",
            "core/sequencer.py",
            "self.tile == self._schedule.pairs - 1",
            "1",
            ("serial", "t1"),
        ),
        (
            "end flag in every slot",
            "core/sequencer.py",
            "slot.end.eq(spike_end.last & self.end)",
            "slot.end.eq(self.end)",
        ),
        ("fresh stays", "core/sequencer.py", "self.fresh.eq(0),", "self.fresh.eq(self.fresh),"),
        (
            "frame after reset is no start",
            "core/sequencer.py",
            "self.frame_start | self.fresh",
            "self.frame_start",
        ),
        (
            "flags of the next frame",
            "core/sequencer.py",
            "self.end.eq(self.frame_end)",
            "self.end.eq(self.frame_start)",
        ),
        (
            "frame index survives an utterance",
            "core/sequencer.py",
            "self.launch_start | (self.frame_index",
            "(self.frame_index",
            ("t1", "serial"),
        ),
        (
            "readout a frame late",
            "core/sequencer.py",
            "readout_due = self.frame_index == 0",
            "readout_due = self.frame_index == 1",
            ("t1",),
        ),
        (
            "subsampling off by one",
            "core/sequencer.py",
            "self._config.readout_every - 1)",
            "self._config.readout_every)",
            ("serial", "t1"),
        ),
        (
            "launch waits for idle",
            "core/sequencer.py",
            "self.frame_ready & (self.idle | self.frame_last)",
            "self.frame_ready & self.idle",
        ),
        (
            "tile not counted",
            "core/sequencer.py",
            "next_tile.eq(self.tile + 1)",
            "next_tile.eq(self.tile)",
            ("t2", "t1-folded"),
        ),
        (
            "a tile too few",
            "core/sequencer.py",
            "with m.If(self.tile == block.tiles - 1):",
            "with m.If(self.tile == max(0, block.tiles - 2)):",
            ("t2", "t1-folded"),
        ),
        # ---- stream buffers --------------------------------------------------------------
        (
            "feature buffer overwritten",
            "core/stream_buffers.py",
            "self.stream.ready.eq(~self.full)",
            "self.stream.ready.eq(1)",
        ),
        (
            "flags of the first beat",
            "core/stream_buffers.py",
            "self._n_input - 1):",
            "self._n_input - 2):",
        ),
        (
            "start taken for end",
            "core/stream_buffers.py",
            "self.next_end.eq(beat.end)",
            "self.next_end.eq(beat.start)",
        ),
        (
            "buffer stays full",
            "core/stream_buffers.py",
            "with m.If(self.done):\n            m.d.sync += self.full.eq(0)",
            "with m.If(self.done & ~self.stream.valid):\n            m.d.sync += self.full.eq(0)",
        ),
        (
            "no stall",
            "core/stream_buffers.py",
            "self.stall.eq(self.capture & ~free)",
            "self.stall.eq(0)",
        ),
        (
            "free a beat early",
            "core/stream_buffers.py",
            "free.eq(~valid | (self.stream.ready & final_beat))",
            "free.eq(~valid | final_beat)",
        ),
        (
            "stalls while the last beat leaves",
            "core/stream_buffers.py",
            "free.eq(~valid | (self.stream.ready & final_beat))",
            "free.eq(~valid)",
        ),
        (
            "full beats in the last group",
            "core/stream_buffers.py",
            "self._last_beats - 1, self._full_beats - 1",
            "self._full_beats - 1, self._full_beats - 1",
            ("t2", "t1"),
        ),
        (
            "last in every group",
            "core/stream_buffers.py",
            "self.stream.payload.last.eq(self.last_group & final_beat)",
            "self.stream.payload.last.eq(final_beat)",
            ("t2", "serial"),
        ),
        (
            "beat not reset by a capture",
            "core/stream_buffers.py",
            "valid.eq(1),\n                self.beat.eq(0),",
            "valid.eq(1),",
        ),
        (
            "odd tile not summed",
            "core/stream_buffers.py",
            "beats[1].get(lane, Const(0)) | (now & odd)",
            "beats[1].get(lane, Const(0))",
            ("t2", "t1-folded"),
        ),
        (
            "odd tile leaves the second half",
            "core/stream_buffers.py",
            "(now if half == 0 else now & ~odd)",
            "now",
            ("t2", "t1-folded"),
        ),
        (
            "beat taken without ready",
            "core/stream_buffers.py",
            "with m.Elif(valid & self.stream.ready):",
            "with m.Elif(valid):",
        ),
        # ---- core ------------------------------------------------------------------------
        (
            "X runs in a stall",
            "core/core.py",
            "with m.If(~stall):\n            m.d.sync += [",
            "with m.If(1):\n            m.d.sync += [",
        ),
        (
            "MAC in a stall",
            "core/core.py",
            "(x.op == Operation.MAC) & ~stall",
            "x.op == Operation.MAC",
        ),
        (
            "capture ignores the end",
            "core/core.py",
            "self.capture_end.eq(x.end)",
            "self.capture_end.eq(0)",
        ),
        (
            "set 1 loaded with T = 1",
            "core/core.py",
            "if b == 0 or config.time_steps == 2:",
            "if b == 0 or config.time_steps >= 1:",
            ("t1", "t1-folded"),
        ),
        (
            "set 1 not loaded with T = 2",
            "core/core.py",
            "if b == 0 or config.time_steps == 2:",
            "if b == 0:",
            ("t2", "serial"),
        ),
        ("set 1 reads bank 0", "core/core.py", 'rows["readout"][b]', 'rows["readout"][0]'),
        (
            "hidden banks swapped",
            "core/core.py",
            "(hidden & (x.bank == bank), row)",
            "(hidden & (x.bank != bank), row)",
        ),
        (
            "set 1 shifts like set 0",
            "core/core.py",
            "pe_set.shift.eq(x.shift[b])",
            "pe_set.shift.eq(x.shift[0])",
        ),
        (
            "PE operations counted in a stall",
            "core/core.py",
            "Mux(stall, 0, sequencer.slot.enable)",
            "sequencer.slot.enable",
        ),
        (
            "busy without the stream",
            "core/core.py",
            "                | self.capture\n                | output_buffer.stream.valid",
            "                | self.capture",
        ),
        (
            "parameter layer not held",
            "core/core.py",
            "Mux(parameter.select, port.row, parameter_layer)",
            "port.row",
        ),
        (
            "thresholds written by reads",
            "core/core.py",
            "neurons.threshold_write.eq(threshold.write_words)",
            "neurons.threshold_write.eq(Mux(threshold.select, 1 << port.word, 0))",
        ),
        (
            "weights written while reading",
            "core/core.py",
            "bank.write.eq(access.write_words)",
            "bank.write.eq(Mux(access.select, 1 << port.word, 0))",
        ),
        (
            "port open with a frame buffered",
            "core/core.py",
            "            & ~self.feature_buffer.full\n",
            "",
        ),
        # ---- counters --------------------------------------------------------------------
        (
            "stalls not in cycles",
            "core/counters.py",
            '"cycles": self.running,',
            '"cycles": self.running & ~self.stall,',
        ),
        (
            "stalls of an idle machine",
            "core/counters.py",
            "self.running & self.stall",
            "self.stall",
        ),
        (
            "one bank's rows",
            "core/counters.py",
            '"hidden_rows": self.hidden_rows[0] + self.hidden_rows[1]',
            '"hidden_rows": self.hidden_rows.any()',
            ("t1", "t1-folded"),
        ),
        (
            "skipped rows without reads",
            "core/counters.py",
            '"skipped_rows": dense - rows',
            '"skipped_rows": dense',
        ),
        (
            "clear loses",
            "core/counters.py",
            "with m.If(self.clear):",
            "with m.If(self.clear & ~self.running):",
        ),
        (
            "clear spares what waits",
            "core/counters.py",
            "[step.eq(0), values[name].eq(0)]",
            "[values[name].eq(0)]",
        ),
        # ---- weight port -----------------------------------------------------------------
        (
            "row bound off by one",
            "core/weight_port.py",
            "(request.row < rows)",
            "(request.row <= rows)",
        ),
        (
            "word bound missing",
            "core/weight_port.py",
            " & (request.word < words)",
            "",
            ("t1", "t1-folded"),
        ),
        (
            "answer of the wrong word",
            "core/core.py",
            "bank.data.word_select(port.read_word,",
            "bank.data.word_select(port.word,",
        ),
        (
            "answer without back-pressure",
            "core/weight_port.py",
            "with m.Elif(self.answers.ready):",
            "with m.Else():",
        ),
        (
            "request taken with an answer waiting",
            "core/weight_port.py",
            "self.idle & ~fetching & ~valid",
            "self.idle & ~fetching",
        ),
        (
            "answer of another region",
            "core/weight_port.py",
            "zip(selected, words, strict=True)",
            "zip(self.select, words, strict=True)",
        ),
    )
)
