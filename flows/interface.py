# SPDX-License-Identifier: Apache-2.0
"""What `plosive.json` says about a core: ports, layouts, memory map, phase table, hashes."""

import dataclasses
import importlib.metadata
from collections.abc import Iterator
from typing import Any

from amaranth.hdl import Shape, Value
from amaranth.lib import data, enum
from amaranth.lib.wiring import In

from hw.config import AcceleratorConfig
from hw.core import Core
from hw.counters import COUNTERS, counters_layout
from hw.memory import row_words
from hw.neurons import layer_parameters
from hw.schedule import Schedule, half
from hw.stream_buffers import feature_beat, logit_beat
from hw.verilog import TOP
from hw.weight_port import WORD_BITS, regions, weight_request

__all__ = ["describe", "memory_map", "memory_names"]

_PORT_MEANINGS = {
    "clk": "clock, rising edge",
    "rst": "synchronous reset, active high; weights and parameters keep their values",
    "clear_counters": "clears the performance counters",
    "counters": "performance counters, see counters",
    "busy": "a frame is buffered or runs, or logits wait",
    "trace_state": "snapshot of all state at the last clock edge, see trace",
}
_STREAM_MEANINGS = {
    "features": "one feature a beat, n_input beats a frame",
    "logits": "output_lanes logits a beat, output 0 first",
    "weights": "requests to write or read weights, thresholds and parameters; taken between frames",
    "weight_data": "the words that read requests asked for, in order",
}


def memory_names(config: AcceleratorConfig) -> Iterator[tuple[str, str, int]]:
    """(name of the bank in files and module names, memory, bank) of every bank that exists."""
    for name, shape in Schedule(config).memories.items():
        for bank in range(shape.banks if shape.rows else 0):
            yield (f"{name}_{bank}" if shape.banks > 1 else name), name, bank


def describe(config: AcceleratorConfig, core: Core) -> dict[str, Any]:
    """Everything a user of the Verilog needs to know, JSON-able; the same for the same core."""
    schedule = Schedule(config)
    ports = list(_ports(core))
    has_weight_port = any(port["name"].startswith("weights__") for port in ports)
    layouts = {"features": feature_beat(config), "logits": logit_beat(config)}
    if has_weight_port:
        layouts |= {"weights": weight_request(config, schedule), "weight_data": None}
    description = {
        "top": TOP,
        "configuration": config.to_dict(),
        "configuration_hash": config.config_hash,
        "network_hash": config.network_hash,
        "ports": ports,
        "streams": {
            name: {
                "meaning": _STREAM_MEANINGS[name],
                "payload": _fields(layout) if layout else [_field("word", 0, WORD_BITS, False)],
            }
            for name, layout in layouts.items()
        },
        "counters": [
            {**field, "meaning": COUNTERS[field["name"]]}
            for field in _fields(counters_layout(config))
        ],
        "weight_port": _weight_port(config, schedule) if has_weight_port else None,
        "memories": [_memory(config, schedule, *names) for names in memory_names(config)],
        "memory_map": list(memory_map(config)),
        "phases": list(_phases(schedule)),
        "tools": {
            name: importlib.metadata.version(name) for name in ("plosive", "amaranth", "pyosys")
        },
    }
    if core.trace_fields:
        description["trace"] = [dataclasses.asdict(field) for field in core.trace_fields]
    return description


def _ports(core: Core) -> Iterator[dict[str, Any]]:
    yield _port("clk", "input", 1)
    yield _port("rst", "input", 1)
    for path, member, value in core.signature.flatten(core):
        name = "__".join(map(str, path))
        direction = "input" if member.flow is In else "output"
        yield _port(name, direction, len(Value.cast(value)))


def _port(name: str, direction: str, width: int) -> dict[str, Any]:
    port = {"name": name, "direction": direction, "width": width}
    if name in _PORT_MEANINGS:
        port["meaning"] = _PORT_MEANINGS[name]
    return port


def _field(name: str, lsb: int, width: int, signed: bool, **more: Any) -> dict[str, Any]:
    return {"name": name, "msb": lsb + width - 1, "lsb": lsb, "signed": signed, **more}


def _fields(layout: data.Layout, prefix: str = "", offset: int = 0) -> list[dict[str, Any]]:
    """Every scalar of a layout with its bits, lowest first; names as a.b and a[0]."""
    fields: list[dict[str, Any]] = []
    for key, member in layout:
        name = f"{prefix}[{key}]" if isinstance(key, int) else f"{prefix}.{key}".lstrip(".")
        lsb = offset + member.offset
        if isinstance(member.shape, data.Layout):
            fields += _fields(member.shape, name, lsb)
            continue
        shape = Shape.cast(member.shape)
        more = {}
        if isinstance(member.shape, enum.EnumType):
            more["values"] = {entry.name: entry.value for entry in member.shape}
        fields.append(_field(name, lsb, shape.width, shape.signed, **more))
    return fields


def _weight_port(config: AcceleratorConfig, schedule: Schedule) -> dict[str, Any]:
    return {
        "word_bits": WORD_BITS,
        "regions": [
            {"region": region.value, "name": region.name, "rows": rows, "words_per_row": words}
            for region, (rows, words) in regions(config, schedule).items()
        ],
        "weight_word": f"{WORD_BITS // config.weight_bits} weights, lowest lane in the lowest bits",
        "threshold_word": "row: tile, counted over all layers; word: lane; "
        f"value 1 to {(1 << config.membrane_bits - 1) - 1}",
        "parameter_word": _fields(layer_parameters(config)),
    }


def _memory(
    config: AcceleratorConfig, schedule: Schedule, name: str, memory: str, bank: int
) -> dict[str, Any]:
    return {
        "name": name,
        "module": f"{TOP}.{memory}_memory" + (f"_{bank}" if name != memory else ""),
        "bank": bank,
        "rows": max(2, schedule.memories[memory].rows),
        "row_bits": config.row_bits,
        "write_words": row_words(config.row_bits),
        "lane_bits": config.weight_bits,
    }


def memory_map(config: AcceleratorConfig) -> Iterator[dict[str, Any]]:
    """Where every matrix is: `bank` and `row` of input i of a tile, as expressions."""
    schedule = Schedule(config)

    def entry(matrix: str, layer: int | None, memory: str, inputs: int, **place: Any) -> dict:
        return {"matrix": matrix, "layer": layer, "memory": memory, "inputs": inputs, **place}

    yield entry(
        *("w_in", 0, "input", config.n_input),
        tiles=list(range(config.tiles(0))),
        bank="0",
        base=0,
        stride=config.n_input,
        row="base + tile * stride + i",
    )
    for (matrix, layer), base in schedule.matrix_base.items():
        inputs = config.hidden[layer] if matrix == "w_rec" else config.n_source(layer)
        yield entry(
            *(matrix, layer, "hidden", inputs),
            tiles=list(range(config.tiles(layer))),
            bank="i & 1",
            base=base,
            stride=half(inputs),
            row="base + tile * stride + (i >> 1)",
        )
    inputs = config.hidden[-1]
    if schedule.pairs:
        yield entry(
            *("w_out", None, "readout", inputs),
            tiles=list(range(2 * schedule.pairs)),
            bank="tile & 1",
            base=0,
            stride=inputs,
            row="base + (tile >> 1) * stride + i",
        )
    if schedule.odd_tile:
        yield entry(
            *("w_out", None, "readout", inputs),
            tiles=[2 * schedule.pairs],
            bank="i & 1",
            base=schedule.odd_base,
            stride=0,
            row="base + (i >> 1)",
        )


def _phases(schedule: Schedule) -> Iterator[dict[str, Any]]:
    for block in schedule.blocks:
        for index, phase in enumerate(block.phases):
            values = dataclasses.asdict(phase)
            for name in ("kind", "issue", "work"):
                values[name] = values[name].value
            yield {
                "phase": block.first_phase + index,
                "block": block.first_phase,
                "repeated": block.tiles,
                "readout": block.readout,
                **values,
            }
