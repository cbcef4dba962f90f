# SPDX-License-Identifier: Apache-2.0
"""The neurons of all layers: LIF lanes, their parameters, membranes and spike registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.choose import choose
from hw.core.lif import LIFLane, lif_parameters, shift_shape
from hw.core.memory import MemoryInstance
from hw.core.pe import accumulators
from hw.core.sequencer import Operation, address, slot_layout, spike_layout
from hw.schedule import memory_banks

__all__ = ["LayerParameters", "Neurons", "layer_parameters"]


@dataclass(frozen=True)
class LayerParameters:
    """Run-time parameters of a layer, as integers.

    Attributes
    ----------
    input_shift
        Shift of the input sum; only layer 0 uses it.
    decay_shift
        Shift a of the decay.
    decay_form
        0 for a leak, 1 for a scale (`DecayForm`).
    reset
        0 for zero, 1 for subtract (`Reset`).
    """

    input_shift: int = 0
    decay_shift: int = 1
    decay_form: int = 0
    reset: int = 0


def layer_parameters(config: AcceleratorConfig) -> data.StructLayout:
    """Layout of a layer's parameter word on the weight port."""
    return data.StructLayout(
        {"lif": lif_parameters(config), "input_shift": range(config.max_input_shift + 1)}
    )


class Neurons(wiring.Component):
    """Stage X of LIF and LOAD slots, for one part of a tile, and the state it works on.

    Parameters
    ----------
    parameters
        Initial layer parameters, or None.
    thresholds
        Initial thresholds [tiles of all layers][lanes], or None.
    constant
        Parameters and thresholds are constants; no write ports.

    Attributes
    ----------
    slot, execute
        In, the slot in X, and whether it is executed at this edge (there is no stall).
    start
        In, membranes count as 0 (first frame of an utterance).
    clear
        In, clear the spike registers at this edge (wins over a write).
    acc
        In, accumulators of both PE sets.
    state_row, state_read
        In, the tile whose membranes and thresholds the next LIF slot needs.
    spikes
        Out, spike registers.
    load_value, load_round
        Out, for each lane of the part that a LOAD slot is for; the load is their sum.
    parameter_layer, parameter_write, parameter_write_data
        In, the layer whose parameter word is meant, and a write of it.
    parameter_data
        Out, that layer's parameter word.
    threshold_row, threshold_read, threshold_write, threshold_write_data
        In, a read or a write of thresholds, with one write enable for each lane.
    threshold_lane
        In, the lane whose threshold a read in the clock before asked for.
    threshold_data
        Out, that threshold.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        parameters: Sequence[LayerParameters] | None = None,
        thresholds: Sequence[Sequence[int]] | None = None,
        constant: bool = False,
    ) -> None:
        self._config = config
        self._constant = constant
        self._rows = config.state_rows
        self._parameters = parameters or [LayerParameters()] * config.n_layers
        self._threshold_bits = config.threshold_bits
        highest = (1 << self._threshold_bits) - 1
        self._thresholds = thresholds or [[highest] * config.lanes] * self._rows
        self.membrane_row = data.ArrayLayout(signed(config.membrane_bits), config.lanes)
        self._membrane_part = data.ArrayLayout(signed(config.membrane_bits), config.neuron_lanes)
        self.held_layout = data.ArrayLayout(
            config.lanes * (config.most_tiles - 1), config.time_steps
        )
        layer = range(max(2, config.n_layers))
        ports = {
            "slot": In(slot_layout(config)),
            "execute": In(1),
            "start": In(1),
            "clear": In(1),
            "acc": In(data.ArrayLayout(accumulators(config), 2)),
            "state_row": In(address(self._rows)),
            "state_read": In(1),
            "spikes": Out(spike_layout(config)),
            "load_value": Out(data.ArrayLayout(signed(config.acc_bits), config.neuron_lanes)),
            "load_round": Out(config.neuron_lanes),
        }
        if config.folded:
            ports |= {
                "held": Out(self.held_layout),
                "membrane_write": Out(1),
                "membrane_write_row": Out(address(self._rows)),
                "membrane_write_data": Out(self._membrane_part),
            }
            if config.time_steps == 2:
                ports["membrane_work"] = Out(self.membrane_row)
        else:
            ports["membranes"] = Out(data.ArrayLayout(self.membrane_row, config.n_layers))
        if not constant:
            ports |= {
                "parameter_layer": In(layer),
                "parameter_write": In(1),
                "parameter_write_data": In(layer_parameters(config)),
                "parameter_data": Out(layer_parameters(config)),
                "threshold_row": In(address(self._rows)),
                "threshold_lane": In(range(max(2, config.lanes))),
                "threshold_read": In(1),
                "threshold_write": In(config.lanes),
                "threshold_write_data": In(self._threshold_bits),
                "threshold_data": Out(self._threshold_bits),
            }
        self.memories = self._make_memories() if config.folded else []
        super().__init__(ports)

    def _make_memories(self) -> list[MemoryInstance]:
        """Membranes and thresholds of a folded machine, one row a tile."""
        bits = self._threshold_bits
        rows = [sum(v << (bits * i) for i, v in enumerate(row)) for row in self._thresholds]
        shapes = memory_banks(self._config, constant=self._constant)
        self._membrane_memory = MemoryInstance(*shapes["membrane"])
        self._threshold_memory = MemoryInstance(*shapes["threshold"], init=rows)
        return [self._membrane_memory, self._threshold_memory]

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self._config
        slot = self.slot
        fire = Signal()
        m.d.comb += fire.eq(self.execute & (slot.op == Operation.LIF))

        load = Signal()
        m.d.comb += load.eq(slot.op == Operation.LOAD)

        parameters = self._parameter_registers(m)
        lif = Signal(lif_parameters(config))
        with m.Switch(slot.layer):
            for layer in range(config.n_layers):
                with m.Case(layer):
                    m.d.comb += lif.eq(parameters[layer].lif)
        shift = Signal(shift_shape(config))
        load_shift = parameters[0].input_shift
        if config.merges:
            load_shift = Mux(slot.step, 0, load_shift)
        m.d.comb += shift.eq(Mux(load, load_shift, lif.decay_shift))

        membrane = Signal(self._membrane_part)
        membrane_next = Signal(self._membrane_part)
        threshold = Signal(data.ArrayLayout(self._threshold_bits, config.neuron_lanes))
        spikes = Signal(config.neuron_lanes)
        sums = [Signal(data.ArrayLayout(signed(config.acc_bits), len(spikes))) for _ in range(2)]
        parts = [slot.part == part for part in range(config.parts)]
        if config.low_activity:  # sums that no slot asks for do not reach the lanes
            parts = [part & (load | (slot.op == Operation.LIF)) for part in parts]
        for b in range(2):
            rows = zip(parts, self._parts(self.acc[b].as_value()), strict=True)
            m.d.comb += sums[b].as_value().eq(choose(*rows))
        for lane in range(config.neuron_lanes):
            m.submodules[f"lane_{lane}"] = neuron = LIFLane(config)
            m.d.comb += [
                neuron.load.eq(load),
                neuron.low.eq(sums[0][lane]),
                neuron.high.eq(sums[1][lane]),
                neuron.step.eq(slot.step),
                neuron.membrane.eq(membrane[lane]),
                neuron.threshold.eq(threshold[lane]),
                neuron.parameters.eq(lif),
                neuron.shift.eq(shift),
                membrane_next[lane].eq(neuron.membrane_next),
                spikes[lane].eq(neuron.spike),
                self.load_value[lane].eq(neuron.load_value),
                self.load_round[lane].eq(neuron.load_round),
            ]

        lif_slot = slot.op == Operation.LIF
        # The membrane before is that of no frame. 0 also without an LIF slot, as a load wants it.
        begins = Signal()
        m.d.comb += begins.eq((self.start & (slot.step == 0)) | ~lif_slot)
        state = self._folded_state if config.folded else self._register_state
        state(m, fire, begins, membrane.as_value(), membrane_next.as_value())
        self._select_threshold(m, lif_slot, threshold)
        self._spike_registers(m, fire, spikes)
        return m

    def _parts(self, row: Value) -> list[Value]:
        """A row of all lanes, cut into the parts of a tile; what the last one lacks is 0."""
        config = self._config
        width = len(row) // config.lanes * config.neuron_lanes
        return [row[part * width : (part + 1) * width] for part in range(config.parts)]

    # ---- parameters ----------------------------------------------------------------------

    def _parameter_registers(self, m: Module) -> list:
        """Layer parameters: constants, or registers that keep their value through a reset."""
        layout = layer_parameters(self._config)
        registers = []
        for layer, values in enumerate(self._parameters):
            init = {
                "lif": {
                    "decay_shift": values.decay_shift,
                    "decay_form": values.decay_form,
                    "reset": values.reset,
                },
                "input_shift": values.input_shift,
            }
            if self._constant:
                registers.append(layout.const(init))
                continue
            register = Signal(layout, init=init, reset_less=True, name=f"parameters_{layer}")
            registers.append(register)
            with m.If(self.parameter_layer == layer):
                m.d.comb += self.parameter_data.eq(register)
                with m.If(self.parameter_write):
                    m.d.sync += register.eq(self.parameter_write_data)
        return registers

    # ---- membranes -----------------------------------------------------------------------

    def _register_state(
        self, m: Module, fire: Signal, begins: Signal, membrane: Value, membrane_next: Value
    ) -> None:
        """Unfolded: one tile a layer, membranes in registers."""
        slot = self.slot
        choices = []
        for layer in range(self._config.n_layers):
            for part, stored in enumerate(self._parts(self.membranes[layer].as_value())):
                mine = (slot.layer == layer) & (slot.part == part)
                choices.append((mine & ~begins, stored))
                with m.If(fire & mine):
                    m.d.sync += stored.eq(membrane_next)
        m.d.comb += membrane.eq(choose(*choices))

    def _folded_state(
        self, m: Module, fire: Signal, begins: Signal, membrane: Value, membrane_next: Value
    ) -> None:
        """Folded: one memory row a tile, fetched by F one cycle ahead, written back by X."""
        config, slot = self._config, self.slot
        written = membrane_next
        if config.low_activity:  # the memory's data pins rest but when they are written
            written = Mux(self.membrane_write, membrane_next, 0)
        m.submodules.membranes = store = self._membrane_memory
        row = Signal(address(self._rows))  # of the LIF slot in X
        with m.If(self.state_read):
            m.d.sync += row.eq(self.state_row)
        first_step = slot.step == 0
        stored = self._parts(store.data)
        choices = [
            (~begins & first_step & (slot.part == part), value) for part, value in enumerate(stored)
        ]
        if config.time_steps == 2:
            last_step = slot.step == 1
            for part, work in enumerate(self._parts(self.membrane_work.as_value())):
                mine = slot.part == part
                choices.append((~begins & last_step & mine, work))
                with m.If(fire & ~last_step & mine):
                    m.d.sync += work.eq(membrane_next)
        else:
            last_step = Const(1)
        m.d.comb += [
            membrane.eq(choose(*choices)),
            store.row.eq(Mux(self.membrane_write, row, self.state_row)),
            store.read.eq(self.state_read),
            store.write.eq(Mux(self.membrane_write, 1 << slot.part, 0)),
            store.write_data.eq(written.replicate(config.parts)),
            self.membrane_write.eq(fire & last_step),
            self.membrane_write_row.eq(row),
            self.membrane_write_data.eq(membrane_next),
        ]

    # ---- thresholds ----------------------------------------------------------------------

    def _select_threshold(self, m: Module, lif_slot: Value, threshold: data.View) -> None:
        """Those of the LIF slot in X, or of the row that the weight port has read.

        Unfolded they are registers, folded a memory with one row a tile; both with the timing of a
        memory: data after the read, then held.
        """
        config, bits = self._config, self._threshold_bits
        layer, part = self.slot.layer, self.slot.part
        if not self._constant:
            fetched = Signal.like(self.threshold_row)
            with m.If(self.threshold_read):
                m.d.sync += fetched.eq(self.threshold_row)
            upper = self.threshold_lane >= config.neuron_lanes
            layer, part = Mux(lif_slot, layer, fetched), Mux(lif_slot, part, upper)
            place = self.threshold_lane - Mux(upper, config.neuron_lanes, 0)
            place = place[: len(self.threshold_lane)]
            m.d.comb += self.threshold_data.eq(threshold.as_value().word_select(place, bits))
        rows = self._threshold_memory_row(m) if config.folded else self._threshold_registers(m)
        choices = []
        for index, row in enumerate(rows):
            for p, stored in enumerate(self._parts(row)):
                mine = part == p
                choices.append((mine & (layer == index) if len(rows) > 1 else mine, stored))
        m.d.comb += threshold.as_value().eq(choose(*choices))

    def _threshold_registers(self, m: Module) -> list[Value]:
        """Rows of registers, one a layer, written by the weight port."""
        bits = self._threshold_bits
        if self._constant:
            return [Cat(Const(value, bits) for value in row) for row in self._thresholds]
        rows = []
        for layer, init in enumerate(self._thresholds):
            registers = [
                Signal(bits, init=value, reset_less=True, name=f"threshold_{layer}_{lane}")
                for lane, value in enumerate(init)
            ]
            rows.append(Cat(registers))
            with m.If(self.threshold_row == layer):
                for lane, register in enumerate(registers):
                    with m.If(self.threshold_write[lane]):
                        m.d.sync += register.eq(self.threshold_write_data)
        return rows

    def _threshold_memory_row(self, m: Module) -> list[Value]:
        """The row that F has fetched with the membranes, or that the weight port has read."""
        m.submodules.thresholds = store = self._threshold_memory
        if self._constant:
            m.d.comb += [store.row.eq(self.state_row), store.read.eq(self.state_read)]
        else:
            m.d.comb += [
                store.row.eq(Mux(self.state_read, self.state_row, self.threshold_row)),
                store.read.eq(self.state_read | self.threshold_read),
                store.write.eq(self.threshold_write),
                store.write_data.eq(self.threshold_write_data.replicate(self._config.lanes)),
            ]
        return [store.data]

    # ---- spikes --------------------------------------------------------------------------

    def _hold(self, m: Module, fire: Signal, spikes: Signal) -> None:
        """`held` as a register for each part of a tile, with one enable.

        In one register that every layer writes by pieces, synthesis finds no enables, and the clock
        of all of it runs all the time.
        """
        config, slot = self._config, self.slot
        pieces = []
        for step in range(config.time_steps):
            for tile, part in product(range(config.most_tiles - 1), range(config.parts)):
                width = min(config.neuron_lanes, config.lanes - part * config.neuron_lanes)
                piece = Signal(width, name=f"held_{step}_{tile}_{part}")
                pieces.append(piece)
                layers = [n for n in range(config.n_layers) if tile < config.tiles(n) - 1]
                here = Cat(slot.layer == layer for layer in layers).any() & (slot.tile == tile)
                with m.If(fire & here & (slot.step == step) & (slot.part == part)):
                    m.d.sync += piece.eq(spikes)
        m.d.comb += self.held.as_value().eq(Cat(pieces))

    def _spike_registers(self, m: Module, fire: Signal, spikes: Signal) -> None:
        """New spikes are held until the layer's last tile, then all of them are committed."""
        config = self._config
        lanes = config.lanes
        holds_apart = config.folded and config.low_activity
        if holds_apart:
            self._hold(m, fire, spikes)
        for layer in range(config.n_layers):
            final = config.tiles(layer) - 1
            for step, part in product(range(config.time_steps), range(config.parts)):
                register = self.spikes[f"l{layer}"][step]
                mine = (self.slot.layer == layer) & (self.slot.step == step)
                first = part * config.neuron_lanes
                last = min(first + config.neuron_lanes, lanes)
                with m.If(fire & mine & (self.slot.part == part)):
                    with m.Switch(self.slot.tile):
                        for tile in range(0 if holds_apart else final):
                            place = slice(tile * lanes + first, tile * lanes + last)
                            with m.Case(tile):
                                m.d.sync += self.held[step][place].eq(spikes)
                        with m.Case(final):
                            place = slice(final * lanes + first, final * lanes + last)
                            m.d.sync += register[place].eq(spikes)
                            if part == 0:
                                held = self.held[step][: final * lanes] if final else Const(0, 0)
                                m.d.sync += register[: final * lanes].eq(held)
        with m.If(self.clear):
            m.d.sync += self.spikes.eq(0)
