# SPDX-License-Identifier: Apache-2.0
"""The neurons of all layers: LIF lanes, their parameters, membranes and spike registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import AcceleratorConfig
from .lif import LIFLane, lif_parameters
from .memory import MemoryInstance
from .pe import accumulators
from .sequencer import Operation, address, slot_layout, spike_layout

__all__ = ["LayerParameters", "Neurons", "layer_parameters"]


@dataclass(frozen=True)
class LayerParameters:
    """Run-time parameters of a layer, as integers; `input_shift` is used by layer 0 only.

    decay_form : 0 leak, 1 scale. reset : 0 zero, 1 subtract.
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
    """Stage X of an LIF slot, and the state it works on.

    Parameters
    ----------
    parameters : initial layer parameters, or None.
    thresholds : initial thresholds [tiles of all layers][lanes], or None.
    constant : parameters and thresholds are constants; no write ports.

    Attributes
    ----------
    slot, execute : In, the slot in X, and whether it is executed at this edge (no stall).
    start : In, membranes count as 0 (first frame of an utterance).
    clear : In, clear the spike registers at this edge (wins over a write).
    acc : In, accumulators of both PE sets.
    state_row, state_read : In, the tile whose membranes and thresholds the next LIF slot needs.
    spikes : Out, spike registers.
    input_shift : Out, of layer 0.
    parameter_layer, parameter_write, parameter_write_data : In, parameter_data : Out; the
        parameter word of a layer.
    threshold_row, threshold_read, threshold_write, threshold_write_data : In, threshold_data : Out;
        one write enable a lane, data one cycle after the read.
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
        self._rows = sum(config.tiles(layer) for layer in range(config.n_layers))
        self._parameters = parameters or [LayerParameters()] * config.n_layers
        self._threshold_bits = config.membrane_bits - 1
        highest = (1 << self._threshold_bits) - 1
        self._thresholds = thresholds or [[highest] * config.lanes] * self._rows
        self.membrane_row = data.ArrayLayout(signed(config.membrane_bits), config.lanes)
        self.held_layout = data.ArrayLayout(
            config.lanes * (max(config.tiles(i) for i in range(config.n_layers)) - 1),
            config.time_steps,
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
            "input_shift": Out(range(config.max_input_shift + 1)),
        }
        if config.folded:
            ports |= {
                "held": Out(self.held_layout),
                "membrane_write": Out(1),
                "membrane_write_row": Out(address(self._rows)),
                "membrane_write_data": Out(self.membrane_row),
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
                "threshold_read": In(1),
                "threshold_write": In(config.lanes),
                "threshold_write_data": In(self._threshold_bits),
                "threshold_data": Out(self._threshold_bits * config.lanes),
            }
        self.memories = self._make_memories() if config.folded else []
        super().__init__(ports)

    def _make_memories(self) -> list[MemoryInstance]:
        """Membranes and thresholds of a folded machine, one row a tile."""
        config, bits = self._config, self._threshold_bits
        width = config.lanes * config.membrane_bits
        rows = [sum(v << (bits * i) for i, v in enumerate(row)) for row in self._thresholds]
        self._membrane_memory = MemoryInstance(
            "plosive_membrane_memory", self._rows, width, word_bits=width
        )
        self._threshold_memory = MemoryInstance(
            "plosive_threshold_memory",
            self._rows,
            config.lanes * bits,
            word_bits=bits,
            init=rows,
            constant=self._constant,
        )
        return [self._membrane_memory, self._threshold_memory]

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        config = self._config
        slot = self.slot
        fire = Signal()
        m.d.comb += fire.eq(self.execute & (slot.op == Operation.LIF))

        parameters = self._parameter_registers(m)
        m.d.comb += self.input_shift.eq(parameters[0].input_shift)
        lif = Signal(lif_parameters(config))
        with m.Switch(slot.layer):
            for layer in range(config.n_layers):
                with m.Case(layer):
                    m.d.comb += lif.eq(parameters[layer].lif)

        membrane = Signal(self.membrane_row)
        membrane_next = Signal(self.membrane_row)
        threshold = Signal(data.ArrayLayout(self._threshold_bits, config.lanes))
        spikes = Signal(config.lanes)
        for lane in range(config.lanes):
            if config.time_steps == 2:
                stimulus = Mux(slot.step, self.acc[1][lane], self.acc[0][lane])
            else:
                total = self.acc[0][lane] + self.acc[1][lane]
                stimulus = total[: config.acc_bits].as_signed()
            m.submodules[f"lane_{lane}"] = neuron = LIFLane(config)
            m.d.comb += [
                neuron.stimulus.eq(stimulus),
                neuron.membrane.eq(membrane[lane]),
                neuron.threshold.eq(threshold[lane]),
                neuron.parameters.eq(lif),
                membrane_next[lane].eq(neuron.membrane_next),
                spikes[lane].eq(neuron.spike),
            ]

        begins = Signal()  # the membrane before is that of no frame
        m.d.comb += begins.eq(self.start & (slot.step == 0))
        if config.folded:
            self._folded_state(m, fire, begins, membrane, membrane_next, threshold)
        else:
            self._register_state(m, fire, begins, membrane, membrane_next, threshold)
        self._spike_registers(m, fire, spikes)
        return m

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

    # ---- membranes and thresholds --------------------------------------------------------

    def _register_state(self, m, fire, begins, membrane, membrane_next, threshold) -> None:
        """Unfolded: one tile a layer, everything in registers, selected by the layer."""
        config = self._config
        bits = self._threshold_bits
        if not self._constant:
            # Same timing as the memory of a folded machine: data after the read, then held.
            fetched = Signal.like(self.threshold_row)
            with m.If(self.threshold_read):
                m.d.sync += fetched.eq(self.threshold_row)
        for layer in range(config.n_layers):
            init = self._thresholds[layer]
            if self._constant:
                stored = Cat(Const(value, bits) for value in init)
            else:
                registers = [
                    Signal(bits, init=value, reset_less=True, name=f"threshold_{layer}_{lane}")
                    for lane, value in enumerate(init)
                ]
                stored = Cat(registers)
                with m.If(self.threshold_row == layer):
                    for lane, register in enumerate(registers):
                        with m.If(self.threshold_write[lane]):
                            m.d.sync += register.eq(self.threshold_write_data)
                with m.If(fetched == layer):
                    m.d.comb += self.threshold_data.eq(stored)
            with m.If(self.slot.layer == layer):
                m.d.comb += [
                    threshold.eq(stored),
                    membrane.eq(Mux(begins, 0, self.membranes[layer].as_value())),
                ]
                with m.If(fire):
                    m.d.sync += self.membranes[layer].eq(membrane_next)

    def _folded_state(self, m, fire, begins, membrane, membrane_next, threshold) -> None:
        """Folded: one memory row a tile, fetched by F one cycle ahead, written back by X."""
        config = self._config
        m.submodules.membranes = store = self._membrane_memory
        row = Signal(address(self._rows))  # of the LIF slot in X
        with m.If(self.state_read):
            m.d.sync += row.eq(self.state_row)
        previous = Mux(begins, 0, store.data)
        if config.time_steps == 2:
            last_step = self.slot.step == 1
            previous = Mux(last_step, self.membrane_work.as_value(), previous)
            with m.If(fire & ~last_step):
                m.d.sync += self.membrane_work.eq(membrane_next)
        else:
            last_step = Const(1)
        m.d.comb += [
            membrane.eq(previous),
            store.row.eq(Mux(self.membrane_write, row, self.state_row)),
            store.read.eq(self.state_read),
            store.write.eq(self.membrane_write),
            store.write_data.eq(membrane_next),
            self.membrane_write.eq(fire & last_step),
            self.membrane_write_row.eq(row),
            self.membrane_write_data.eq(membrane_next),
        ]

        m.submodules.thresholds = store = self._threshold_memory
        m.d.comb += threshold.eq(store.data)
        if self._constant:
            m.d.comb += [store.row.eq(self.state_row), store.read.eq(self.state_read)]
        else:
            m.d.comb += [
                store.row.eq(Mux(self.state_read, self.state_row, self.threshold_row)),
                store.read.eq(self.state_read | self.threshold_read),
                store.write.eq(self.threshold_write),
                store.write_data.eq(self.threshold_write_data.replicate(config.lanes)),
                self.threshold_data.eq(store.data),
            ]

    # ---- spikes --------------------------------------------------------------------------

    def _spike_registers(self, m: Module, fire: Signal, spikes: Signal) -> None:
        """New spikes are held until the layer's last tile, then all of them are committed."""
        config = self._config
        lanes = config.lanes
        for layer, neurons in enumerate(config.hidden):
            final = config.tiles(layer) - 1
            for step in range(config.time_steps):
                register = self.spikes[f"l{layer}"][step]
                mine = (self.slot.layer == layer) & (self.slot.step == step)
                with m.If(fire & mine):
                    with m.Switch(self.slot.tile):
                        for tile in range(final):
                            with m.Case(tile):
                                m.d.sync += self.held[step][tile * lanes : (tile + 1) * lanes].eq(
                                    spikes
                                )
                        with m.Case(final):
                            held = self.held[step][: final * lanes] if final else Const(0, 0)
                            m.d.sync += register.eq(Cat(held, spikes)[:neurons])
        with m.If(self.clear):
            m.d.sync += self.spikes.eq(0)
