# SPDX-License-Identifier: Apache-2.0
"""Performance counters: what the machine did, for the host to read."""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.schedule import Schedule

__all__ = ["COUNTERS", "Counters", "counters_layout"]

COUNTERS = {
    "cycles": "clock cycles in which a frame ran, stalls included",
    "stalls": "of these, cycles in which the machine waited for the output buffer",
    "frames": "frames finished",
    "input_rows": "rows read from the input memory",
    "hidden_rows": "rows read from the hidden memory, both banks",
    "readout_rows": "rows read from the readout memory, both banks",
    "pe_operations": "accumulations of a PE set; one is `lanes` PE operations",
    "skipped_rows": "rows that zero skipping saved; exact between frames",
}


def counters_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of all counters, modulo 2**counter_bits each."""
    return data.StructLayout(dict.fromkeys(COUNTERS, config.counter_bits))


class Counters(wiring.Component):
    """Counts events, a cycle after they happen; cleared by reset and by `clear`, which wins.

    Attributes
    ----------
    clear
        In, sets all counters to 0.
    running, stall, frame_last, phase_last
        In, as in docs/architecture.md, "Counters".
    input_rows (1 bit), hidden_rows, readout_rows, pe_operations (2 bits)
        In, one bit an event.
    dense_rows
        In, rows of the phase without skipping, valid with `phase_last`.
    values
        Out, the counters.
    counting
        Out, what happened in the cycle before is not in `values` yet.
    """

    def __init__(self, config: AcceleratorConfig, schedule: Schedule) -> None:
        self._gated = config.low_activity
        super().__init__(
            {
                "clear": In(1),
                "running": In(1),
                "stall": In(1),
                "frame_last": In(1),
                "phase_last": In(1),
                "input_rows": In(1),
                "hidden_rows": In(2),
                "readout_rows": In(2),
                "pe_operations": In(2),
                "dense_rows": In(range(1 + schedule.most_dense_rows)),
                "values": Out(counters_layout(config)),
                "counting": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        values = self.values
        rows = Signal(2)
        m.d.comb += rows.eq(
            self.input_rows
            + (self.hidden_rows[0] + self.hidden_rows[1])
            + (self.readout_rows[0] + self.readout_rows[1])
        )
        dense = Signal.like(self.dense_rows)
        with m.If(self.phase_last):
            m.d.comb += dense.eq(self.dense_rows)
        increments = {
            "cycles": self.running,
            "stalls": self.running & self.stall,
            "frames": self.frame_last,
            "input_rows": self.input_rows,
            "hidden_rows": self.hidden_rows[0] + self.hidden_rows[1],
            "readout_rows": self.readout_rows[0] + self.readout_rows[1],
            "pe_operations": self.pe_operations[0] + self.pe_operations[1],
            "skipped_rows": dense - rows,
        }
        # The front ends find late in a cycle what a slot does: what it counts is added in the next.
        m.d.sync += self.counting.eq(self.running)
        for name, increment in increments.items():
            step = Signal(Value.cast(increment).shape(), name=f"{name}_step")
            total = values[name].eq(values[name] + step)
            m.d.sync += step.eq(increment)
            if self._gated:
                with m.If(step.any()):
                    m.d.sync += total
            else:
                m.d.sync += total
            with m.If(self.clear):
                m.d.sync += [step.eq(0), values[name].eq(0)]
        return m
