# SPDX-License-Identifier: Apache-2.0
"""Every block of the design in several sizes, side by side in one module: one model to build.

The ports of block `name` are those of the component, as `name__port`.
"""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from flows.verilog.writer import component_verilog
from hw.config import AcceleratorConfig
from hw.core.counters import Counters
from hw.core.front_end import FeatureFrontEnd, SpikeFrontEnd
from hw.core.lif import LIFLane
from hw.core.memory import RowMemory
from hw.core.pe import PESet
from hw.core.priority import lowest_set
from hw.core.stream_buffers import FeatureBuffer, OutputBuffer
from hw.schedule import MemoryShape, Schedule, Work

__all__ = [
    "CLEARING_PES",
    "COUNTERS",
    "COUNTER_CONFIG",
    "FEATURES",
    "LIFS",
    "MEMORIES",
    "MERGING_LIFS",
    "NAF_FEATURES",
    "OUTPUTS",
    "PES",
    "PRIORITIES",
    "SPIKE_FRONT_ENDS",
    "TOP",
    "blocks_verilog",
    "config",
    "lif_config",
]

TOP = "blocks"


def config(**changes: object) -> AcceleratorConfig:
    """A small configuration; blocks look at some fields of it only."""
    base = {
        "n_input": 3,
        "hidden": (4,),
        "recurrent": (True,),
        "n_output": 8,
        "lanes": 2,
        "output_lanes": 1,
    }
    return AcceleratorConfig(**{**base, **changes})


# name: (accumulator bits, lanes, negates)
PES = {
    "pe_0": (8, 3, False),
    "pe_1": (12, 2, True),
    "pe_2": (8, 1, True),
    "pe_3": (9, 5, True),
    "pe_4": (8, 1, True),
}
CLEARING_PES = {"pe_3", "pe_4"}
"""PE sets in which a load can be of 0."""
# name: (time steps, membrane bits, accumulator bits, membrane_frac, largest decay and input shift);
# total narrower, as wide and wider than the membrane, and the same of the load's sum
LIFS = {
    "lif_0": (2, 16, 12, 4, 7, 7),
    "lif_1": (1, 8, 10, 0, 8, 0),
    "lif_2": (2, 12, 8, 2, 15, 11),
    "lif_3": (1, 10, 9, 7, 3, 12),
    "lif_4": (2, 16, 12, 4, 7, 7),
    "lif_5": (2, 10, 11, 1, 4, 9),
}
MERGING_LIFS = {"lif_4", "lif_5"}
"""LIF lanes of machines with MERGE slots."""
# Features of each, by name.
FEATURES = {"features_1": 1, "features_2": 2, "features_5": 5}
NAF_FEATURES = {"features_n1": 1, "features_n2": 2, "features_n5": 5}
"""Front ends that take the digits of the non-adjacent form."""
# name: (time steps, kinds of work, neurons, neurons of the serial layer)
SPIKE_FRONT_ENDS = {
    "spikes_b1": (1, (Work.SPIKES,), 1, 1),
    "spikes_b7": (1, (Work.SPIKES,), 7, 7),
    "spikes_cd1": (2, (Work.ALL, Work.UNION), 1, 1),
    "spikes_cd6": (2, (Work.ALL, Work.UNION), 6, 6),
    "spikes_c7": (2, (Work.UNION,), 7, 7),
    "spikes_cs5": (2, (Work.UNION, Work.SERIAL), 5, 3),
    "spikes_x1": (2, (Work.UNION, Work.COMMON, Work.STRAIGHT, Work.CROSSED), 1, 1),
    "spikes_x7": (2, (Work.UNION, Work.COMMON, Work.STRAIGHT, Work.CROSSED), 7, 7),
    "spikes_xs6": (2, (Work.SERIAL, Work.COMMON, Work.STRAIGHT, Work.CROSSED), 6, 3),
    "spikes_s5": (2, (Work.ALL, Work.SERIAL), 5, 5),
    "spikes_s7": (2, (Work.ALL, Work.SERIAL), 7, 2),
}
# name: (rows, bits, word bits, initial rows, ROM)
MEMORIES = {
    "memory_wide": (5, 75, 32, None, False),
    "memory_odd": (3, 9, 32, None, False),
    "memory_one": (1, 4, 4, None, False),
    "memory_lanes": (6, 33, 11, [0x1_2345_6789, 7], False),
    "memory_rom": (5, 18, 32, [1, 2, 0x3FFFF], True),
}
# name: configuration of an output buffer: odd last tile; pairs with a short last group; one beat
OUTPUTS = {
    "output_odd": config(n_output=9, acc_bits=9),
    "output_pairs": config(n_output=13, lanes=4, output_lanes=2, acc_bits=8),
    "output_beat": config(n_output=5, lanes=2, output_lanes=4, acc_bits=8),
}
COUNTER_CONFIG = config(counter_bits=4)
# Counters of the same machine, by name, and whether it has low activity.
COUNTERS = {"counters": False, "counters_low_activity": True}
PRIORITIES = {f"lowest_{size}": size for size in range(1, 11)}


class _LowestSet(wiring.Component):
    """`lowest_set` with two payloads as a module."""

    def __init__(self, size: int) -> None:
        super().__init__(
            {
                "flags": In(size),
                "payload_0": In(size),
                "payload_1": In(size),
                "found": Out(1),
                "index": Out(4),
                "carried": Out(2),
            }
        )

    def elaborate(self, _platform: object) -> Elaboratable:
        m = Module()
        found, index, carried = lowest_set(m, self.flags, [self.payload_0, self.payload_1])
        m.d.comb += [
            self.found.eq(found),
            self.index.eq(index),
            self.carried[0].eq(carried[0]),
            self.carried[1].eq(carried[1]),
        ]
        return m


def lif_config(name: str) -> AcceleratorConfig:
    """The configuration of a LIF lane."""
    steps, membrane, acc, frac, decay, shift = LIFS[name]
    return config(
        time_steps=steps,
        membrane_bits=membrane,
        acc_bits=acc,
        membrane_frac=frac,
        max_decay_shift=decay,
        max_input_shift=shift,
        hidden_work="split" if name in MERGING_LIFS else "all",
    )


def _components() -> dict[str, wiring.Component]:
    parts: dict[str, wiring.Component] = {}
    for name, (bits, lanes, negates) in PES.items():
        shape = config(acc_bits=bits, lanes=lanes)
        parts[name] = PESet(shape, negates=negates, clears=name in CLEARING_PES)
    for name in LIFS:
        parts[name] = LIFLane(lif_config(name))
    for name, n_input in FEATURES.items():
        parts[name] = FeatureFrontEnd(config(n_input=n_input))
        parts[f"buffer_{name}"] = FeatureBuffer(config(n_input=n_input))
    for name, n_input in NAF_FEATURES.items():
        parts[name] = FeatureFrontEnd(config(n_input=n_input, input_digits="naf"))
    for name, (steps, works, neurons, serial) in SPIKE_FRONT_ENDS.items():
        parts[name] = SpikeFrontEnd(config(time_steps=steps), works, neurons, serial)
    for name, (rows, width, word_bits, init, constant) in MEMORIES.items():
        shape = MemoryShape(name, max(2, rows), width, word_bits, writable=not constant)
        parts[name] = RowMemory(shape, init=init)
    for name, shape in OUTPUTS.items():
        parts[name] = OutputBuffer(shape, Schedule(shape))
    for name, low_activity in COUNTERS.items():
        shape = COUNTER_CONFIG.replace(low_activity=low_activity)
        parts[name] = Counters(shape, Schedule(shape))
    for name, size in PRIORITIES.items():
        parts[name] = _LowestSet(size)
    return parts


class _Blocks(wiring.Component):
    def __init__(self) -> None:
        self._parts = _components()
        super().__init__({name: Out(part.signature) for name, part in self._parts.items()})

    def elaborate(self, _platform: object) -> Elaboratable:
        m = Module()
        for name, part in self._parts.items():
            m.submodules[name] = part
            connect(m, part, flipped(getattr(self, name)))
        return m


def blocks_verilog() -> str:
    """Verilog of all blocks; the top module is `blocks`."""
    return component_verilog(_Blocks(), TOP)
