# SPDX-License-Identifier: Apache-2.0
"""The trace port: a snapshot of all architectural state at each clock edge, for verification only.

The names and shapes are those of the table in docs/architecture.md, "The trace".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hw.core.counters import COUNTERS

if TYPE_CHECKING:
    from hw.core.core import Core

__all__ = ["Trace", "TraceField"]


@dataclass(frozen=True)
class TraceField:
    """Where a field stands in the trace word, lowest bit first.

    Attributes
    ----------
    offset : its lowest bit. width, signed : of one element. shape : of the array; (): one number.
    """

    name: str
    offset: int
    width: int
    signed: bool
    shape: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Bits of the whole field."""
        return self.width * math.prod(self.shape)


class Trace(wiring.Component):
    """Registers what the core's state was just before each clock edge.

    Attributes
    ----------
    snapshot : Out, all fields, one after the other.
    fields, bits : their places, and the width of all.
    """

    def __init__(self, core: Core) -> None:
        self.fields: list[TraceField] = []
        self._reads: list[Value] = []  # per memory bank, the sequencer's
        self._values: list[Value] = []
        self.bits = 0
        self._collect(core)
        super().__init__({"snapshot": Out(self.bits)})

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        # Not reset: the snapshot at an edge with reset shows the state that the reset ends.
        register = Signal(self.bits, reset_less=True)
        m.d.sync += [register.eq(Cat(self._values)), self._seen.eq(self._seen | Cat(self._reads))]
        m.d.comb += self.snapshot.eq(register)
        return m

    # ---- fields --------------------------------------------------------------------------

    def _add(self, name: str, value: object, shape: tuple[int, ...] | None = None) -> None:
        """Append a signal or view; array layouts give the shape unless it is given."""
        layout = value.shape() if isinstance(value, data.View) else Value.cast(value).shape()
        if shape is None:
            shape = ()
            while isinstance(layout, data.ArrayLayout):
                shape += (layout.length,)
                layout = layout.elem_shape
            element = Shape.cast(layout)
        else:
            element = Shape(len(Value.cast(value)) // math.prod(shape), signed=False)
        field = TraceField(name, self.bits, element.width, element.signed, shape)
        assert field.bits == len(Value.cast(value)), name
        self.fields.append(field)
        self._values.append(Value.cast(value))
        self.bits += field.bits

    def _collect(self, core: Core) -> None:
        config = core.config
        sequencer, neurons = core.sequencer, core.neurons
        inputs, outputs, x = core.feature_buffer, core.output_buffer, core.x
        for name in ("phase", "tile", "pointer", "taken"):
            self._add(name, getattr(sequencer, name))
        self._add("stall", outputs.stall)
        self._add_memories(core)
        for name in ("op", "first", "negate", "memory", "bank", "layer", "tile", "step", "part"):
            self._add(f"x_{name}", Value.cast(x[name]))
        for name in ("capture", "capture_last", "end"):
            self._add(f"x_{name}", x[name])
        self._add("x_enable", x.enable, (2,))
        self._add("x_shift", x.shift)
        self._add("capture", core.capture)
        self._add("capture_last", core.capture_last)
        self._add("capture_end", core.capture_end)
        self._add("acc", neurons.acc)
        if config.folded:
            if config.time_steps == 2:
                self._add("membrane_work", neurons.membrane_work)
            write = neurons.membrane_write
            self._add("membrane_write", write)
            self._add("membrane_row", Mux(write, neurons.membrane_write_row, 0))
            gated = data.View(
                neurons.membrane_write_data.shape(),
                Mux(write, neurons.membrane_write_data.as_value(), 0),
            )
            self._add("membrane_data", gated)
            self._add("held", neurons.held.as_value(), _bit_shape(neurons.held_layout))
        else:
            self._add("membranes", neurons.membranes)
        for layer, n in enumerate(config.hidden):
            spikes = neurons.spikes[f"l{layer}"].as_value()
            self._add(f"spikes_{layer}", spikes, (config.time_steps, n))
        self._add("features", inputs.features)
        for name in ("count", "full", "next_start", "next_end"):
            self._add(name, getattr(inputs, name))
        for name in ("start", "end", "fresh", "frame_index"):
            self._add(name, getattr(sequencer, name))
        valid, beat = outputs.stream.valid, outputs.stream.payload
        self._add("out_valid", valid)
        self._add("out_beat", outputs.beat)
        self._add("out_last_group", outputs.last_group)
        self._add("out_end", outputs.end)
        self._add("out_data", outputs.data)
        logits = beat.logits
        self._add("beat_logits", data.View(logits.shape(), Mux(valid, logits.as_value(), 0)))
        self._add("beat_last", valid & beat.last)
        self._add("beat_end", valid & beat.end)
        for name in COUNTERS:
            self._add(f"counter_{name}", core.performance.values[name])

    def _add_memories(self, core: Core) -> None:
        """Reads and rows at the memories' own ports, and what the memories put out.

        The output of a bank that no frame has read since the reset counts as 0: before, it holds
        what the weight port has read, or nothing.
        """
        self._seen = Signal(sum(len(banks) for banks in core.memories.values()))
        for name, banks in core.memories.items():
            reads = [bank.read for bank in banks]
            rows = [Mux(bank.read, bank.row, 0) for bank in banks]
            lanes = data.ArrayLayout(signed(core.config.weight_bits), core.config.lanes)
            outputs = []
            issued = Value.cast(getattr(core.sequencer, f"{name}_read"))
            for index, bank in enumerate(banks):
                outputs.append(Mux(self._seen[len(self._reads)], bank.data, 0))
                self._reads.append(issued[index])
            if len(banks) == 1:
                self._add(f"{name}_read", reads[0])
                self._add(f"{name}_row", rows[0])
                self._add(f"{name}_data", data.View(lanes, outputs[0]))
            else:
                self._add(f"{name}_read", Cat(reads), (len(banks),))
                self._add(f"{name}_row", Cat(rows), (len(banks),))
                layout = data.ArrayLayout(lanes, len(banks))
                self._add(f"{name}_data", data.View(layout, Cat(outputs)))


def _bit_shape(layout: data.ArrayLayout) -> tuple[int, int]:
    """An array of bit vectors as an array of bits."""
    return layout.length, Shape.cast(layout.elem_shape).width
