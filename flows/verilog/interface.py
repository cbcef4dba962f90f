# SPDX-License-Identifier: Apache-2.0
"""What `plosive.json` says about a top: ports, layouts, memory map, phase table, hashes."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from amaranth.hdl import Shape, Value
from amaranth.lib import data, enum
from amaranth.lib.wiring import In

from flows.verilog import register_map
from flows.verilog.writer import TOP, tool_versions
from hw.config import AcceleratorConfig
from hw.core.core import Core
from hw.core.counters import COUNTERS, counters_layout
from hw.core.neurons import layer_parameters
from hw.core.stream_buffers import feature_beat, logit_beat
from hw.core.weight_port import regions, weight_request
from hw.schedule import WEIGHT_WORD_BITS, Schedule, half, memory_banks
from hw.shell.features import feature_input
from hw.shell.ip_top import AXI_TOP, IPTop
from hw.shell.registers import register
from hw.shell.results import result_beat

__all__ = ["describe", "memory_map", "memory_names"]

_CORE_PORTS = {
    "clk": "clock, rising edge",
    "rst": "synchronous reset, active high; weights and parameters keep their values",
    "clear_counters": "clears the performance counters",
    "counters": "performance counters, see counters",
    "busy": "a frame is buffered or runs, or logits wait",
    "trace_state": "snapshot of all state at the last clock edge, see trace",
}
_AXI_PORTS = {
    "clk": "clock of all interfaces, rising edge",
    "rst": "synchronous reset, active high; weights and parameters keep their values",
    "irq": "interrupt, level, active high: an enabled state of IRQ_STATUS holds",
}
_STREAM_MEANINGS = {
    "features": "one feature a beat, n_input beats a frame",
    "logits": "output_lanes logits a beat, output 0 first",
    "weights": "requests to write or read weights, thresholds and parameters; taken between frames",
    "weight_data": "the words that read requests asked for, in order",
}
_AXI_STREAMS = {
    "s_axis_features": "one feature a beat; tlast ends a frame; tuser counts on that beat",
    "m_axis_logits": "output_lanes result elements a beat, lowest first; tlast ends a frame",
}


def memory_names(config: AcceleratorConfig) -> Iterator[tuple[str, str, int]]:
    """(name of the bank in files and module names, memory, bank) of every bank that exists."""
    memories = memory_banks(config)
    for name in Schedule(config).memories:
        banks = memories.get(name, ())
        for bank in range(len(banks)):
            yield (f"{name}_{bank}" if len(banks) > 1 else name), name, bank


def describe(top: Core | IPTop) -> dict[str, Any]:
    """Everything a user of the Verilog needs to know, JSON-able; the same for the same top."""
    interface = _axi(top) if isinstance(top, IPTop) else _core(top)
    core = top.core if isinstance(top, IPTop) else top
    config, schedule = core.config, core.schedule
    path = f"{AXI_TOP}.shell.machine.core" if isinstance(top, IPTop) else TOP
    has_weights = "weights" in core.signature.members
    description = {
        "top": AXI_TOP if isinstance(top, IPTop) else TOP,
        "configuration": config.to_dict(),
        "configuration_hash": config.config_hash,
        "network_hash": config.network_hash,
        **interface,
        "weight_port": _weight_port(config, schedule) if has_weights else None,
        "memories": [_memory(config, path, *names) for names in memory_names(config)],
        "memory_map": list(memory_map(config)),
        "phases": list(_phases(schedule)),
        "tools": tool_versions(),
    }
    if top is core and core.trace_fields:
        description["trace"] = [dataclasses.asdict(field) for field in core.trace_fields]
    return description


def _core(core: Core) -> dict[str, Any]:
    """Ports, streams and counters of the core."""
    config = core.config
    layouts = {"features": feature_beat(config), "logits": logit_beat(config)}
    if "weights" in core.signature.members:
        layouts |= {"weights": weight_request(config, core.schedule), "weight_data": None}
    return {
        "ports": list(_ports(core, _CORE_PORTS)),
        "streams": {
            name: {
                "meaning": _STREAM_MEANINGS[name],
                "payload": _fields(layout)
                if layout
                else [_field("word", 0, WEIGHT_WORD_BITS, False)],
            }
            for name, layout in layouts.items()
        },
        "counters": [
            {**field, "meaning": COUNTERS[field["name"]]}
            for field in _fields(counters_layout(config))
        ],
    }


def _axi(top: IPTop) -> dict[str, Any]:
    """Ports, AXI interfaces and registers of the AXI top."""
    feature, beat = feature_input(top.config), result_beat(top.config)
    payloads = {
        "s_axis_features": {
            "tdata": [_shape_field("value", 0, feature["value"].shape)],
            "tuser": [_field("start", 0, 1, False), _field("end", 1, 1, False)],
        },
        "m_axis_logits": {
            "tdata": _fields(beat["elements"].shape),
            "tuser": [_field("end", 0, 1, False), _field("aborted", 1, 1, False)],
        },
    }
    constants = top.shell.constants
    return {
        "ports": list(_ports(top, _AXI_PORTS)),
        "control": {
            "prefix": "s_axi_ctrl",
            "protocol": "AXI4-Lite",
            "address_bits": len(top.s_axi_ctrl_awaddr),
            "data_bits": len(top.s_axi_ctrl_wdata),
        },
        "streams": {
            name: {"protocol": "AXI4-Stream", "meaning": _AXI_STREAMS[name], **payload}
            for name, payload in payloads.items()
        },
        "build": register("BUILD").unpack(constants["BUILD"]),
        "constants": constants,
        "register_map": register_map.describe(),
    }


def _ports(top: Core | IPTop, meanings: dict[str, str]) -> Iterator[dict[str, Any]]:
    ports = [("clk", "input", 1), ("rst", "input", 1)]
    for path, member, value in top.signature.flatten(top):
        direction = "input" if member.flow is In else "output"
        ports.append(("__".join(map(str, path)), direction, len(Value.cast(value))))
    for name, direction, width in ports:
        meaning = {"meaning": meanings[name]} if name in meanings else {}
        yield {"name": name, "direction": direction, "width": width, **meaning}


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
        fields.append(_shape_field(name, lsb, member.shape))
    return fields


def _shape_field(name: str, lsb: int, like: Any) -> dict[str, Any]:
    shape = Shape.cast(like)
    more = {}
    if isinstance(like, enum.EnumType):
        more["values"] = {entry.name: entry.value for entry in like}
    return _field(name, lsb, shape.width, shape.signed, **more)


def _weight_port(config: AcceleratorConfig, schedule: Schedule) -> dict[str, Any]:
    return {
        "word_bits": WEIGHT_WORD_BITS,
        "regions": [
            {"region": region.value, "name": region.name, "rows": rows, "words_per_row": words}
            for region, (rows, words) in regions(config, schedule).items()
        ],
        "weight_word": f"{WEIGHT_WORD_BITS // config.weight_bits} weights, "
        "lowest lane in the lowest bits",
        "threshold_word": "row: tile, counted over all layers; word: lane; "
        f"value 1 to {(1 << config.membrane_bits - 1) - 1}",
        "parameter_word": _fields(layer_parameters(config)),
    }


def _memory(
    config: AcceleratorConfig, path: str, name: str, memory: str, bank: int
) -> dict[str, Any]:
    shape = memory_banks(config)[memory][bank]
    return {
        "name": name,
        "module": f"{path}.{memory}_memory" + (f"_{bank}" if name != memory else ""),
        "bank": bank,
        "rows": shape.rows,
        "row_bits": shape.bits,
        "write_words": shape.words,
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
            for name in ("kind", "fetch", "work"):
                values[name] = values[name].value
            yield {
                "phase": block.first_phase + index,
                "block": block.first_phase,
                "repeated": block.tiles,
                "readout": block.readout,
                **values,
            }
