# SPDX-License-Identifier: Apache-2.0
"""Figures as tables on the terminal."""

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from flows.fpga.boards import LABELS
from flows.simulation.figures import PHASES

if TYPE_CHECKING:
    from flows.measure.baselines import Comparison

__all__ = [
    "area_table",
    "board_table",
    "comparison_table",
    "conversion_table",
    "cycle_table",
    "delta_table",
    "efficiency_table",
    "energy_table",
    "evaluation_table",
    "facts_table",
    "ladder_table",
    "link_table",
    "memory_table",
    "networks_table",
    "path_table",
    "phone_table",
    "real_time_table",
    "register_table",
    "rows_table",
    "simulation_table",
    "slack_table",
    "throughput_table",
]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}".removesuffix(".0")


def cycle_table(figures: dict[str, Any]) -> Table:
    """Cycles of a frame by phase, beside the published ones where there are any."""
    published = figures.get("published")
    if published is None:
        table = _table("Cycles per frame", "phase", "cycles")
        for phase in PHASES:
            table.add_row(phase, _number(figures["phases"][phase]))
        table.add_section()
        table.add_row("total", _number(figures["cycles_per_frame"]["mean"]))
        return table
    table = _table("Cycles per frame", "phase", "cycles", "published", "difference")
    table.add_column("why", justify="left")
    for entry in published["differences"]:
        table.add_row(
            entry["phase"],
            _number(figures["phases"][entry["phase"]]),
            _number(entry["published"]),
            f"{entry['difference']:+,.1f}".replace(".0", ""),
            entry["why"],
        )
    table.add_section()
    total = figures["cycles_per_frame"]["mean"]
    table.add_row(
        "total",
        _number(total),
        str(published["total"]),
        f"{total - published['total']:+,.1f}",
        "",
    )
    return table


def rows_table(figures: dict[str, Any]) -> Table:
    """Row reads of a frame, and those of other ways to fetch the hidden weights."""
    table = _table("Row reads per frame", "memory", "rows")
    for memory, rows in figures["row_reads"].items():
        table.add_row(memory, _number(rows))
    table.add_section()
    words = {
        "parallel": "hidden, time steps in parallel",
        "serial": "hidden, one step after the other",
        "serial_skipping": "hidden, one after the other, zeros skipped",
        "union_skipping": "hidden, in parallel, zeros of both skipped",
    }
    for way, rows in figures["hidden_row_reads_if"].items():
        table.add_row(words[way], _number(rows))
    return table


def simulation_table(figures: dict[str, Any]) -> Table:
    """What a simulation compared and how fast it was."""
    table = _table("Verilog against the golden model", "what", "figure")
    table.add_row("frames", f"{figures['frames']:,}")
    table.add_row("clocks", f"{figures['clocks']:,}")
    if figures["check"] == "trace":
        table.add_row("clocks compared, all state", f"{figures['compared_clocks']:,}")
        table.add_row("bits compared", f"{figures['compared_bits']:,}")
    table.add_row("beats of logits compared", f"{figures['compared_beats']:,}")
    table.add_row("counters equal to the laws", "yes" if figures["counters_equal"] else "NO")
    table.add_row("mismatches", f"{figures['mismatches']:,}")
    for name, words in (("first_logit", "first"), ("last_logit", "last")):
        if figures["latency"]:
            clocks = figures["latency"][name]["frame_0"]
            table.add_row(f"latency, last feature to {words} logit", f"{clocks:,} clocks")
    zeros = figures["sparsity"]
    table.add_row("zero bits of the features", f"{zeros['input_zero_bits']:.0%}")
    for layer in zeros["layers"]:
        shares = ", ".join(f"{share:.0%}" for share in layer["time_steps"])
        table.add_row(
            f"zero spikes of layer {layer['layer']}, by time step; union",
            f"{shares}; {layer['union']:.0%}",
        )
    table.add_row("speed", f"{figures['clocks_per_s']:,} clocks/s")
    return table


def phone_table(phones: list[dict[str, Any]]) -> Table:
    """Phones and when they were heard."""
    table = _table("Phones", "phone", "from (s)", "to (s)")
    for phone in phones:
        table.add_row(phone["phone"], f"{phone['start']:.3f}", f"{phone['end']:.3f}")
    return table


def ladder_table(rows: list[tuple[str, str, int]]) -> Table:
    """What was compared with what, how much of it, and how much differed."""
    table = _table("Exact comparisons", "what", "compared", "mismatches")
    for what, compared, mismatches in rows:
        table.add_row(what, compared, f"{mismatches:,}")
    return table


def conversion_table(conversion: dict[str, Any]) -> Table:
    """What rounding did to a network of another tool: errors are of the norm of each matrix."""
    table = _table(
        "Rounded to the hardware's numbers",
        *("layer", "weight step", "input shift", "error w_in", "error w_rec", "decay", "taken"),
    )
    for layer in conversion["layers"]:
        table.add_row(
            *(layer["name"], f"{layer['scale']:.4g}", str(layer["input_shift"])),
            *(f"{layer['error_w_in']:.1%}", f"{layer['error_w_rec']:.1%}"),
            *(f"{layer['beta']:.4g}", f"{layer['beta_taken']:.4g}"),
        )
    readout = conversion["readout"]
    table.add_row("readout", f"{readout['scale']:.4g}", "", f"{readout['error']:.1%}", "", "", "")
    return table


def comparison_table(run: dict[str, Any], reference: dict[str, dict[str, Any]]) -> Table:
    """Cycles of a frame by phase: this run, and the reference's shapes beside their totals."""
    table = _table("Cycles per frame", "phase", "this recording", *reference)
    for phase in PHASES:
        expected = (_number(figures["phases"][phase]) for figures in reference.values())
        table.add_row(phase, _number(run["phases"][phase]), *expected)
    table.add_section()
    totals = (_number(figures["cycles_per_frame"]["mean"]) for figures in reference.values())
    table.add_row("total", _number(run["cycles_per_frame"]["mean"]), *totals)
    published = (str(figures["published"]["total"]) for figures in reference.values())
    table.add_row("published", "-", *published)
    table.caption = (
        "The columns of the reference are the laws at its published densities; "
        "`plosive cycles` explains each difference."
    )
    table.caption_justify = "left"
    return table


def evaluation_table(figures: dict[str, Any]) -> Table:
    """Scores of a network on recordings, and what it costs there."""
    noise = f", {figures['noise']} noise at {figures['snr_db']:g} dB" if figures["noise"] else ""
    table = _table(f"{figures['corpus']}, {figures['split']}{noise}", "what", "figure")
    table.add_row("recordings, speakers", f"{figures['utterances']:,}, {figures['speakers']}")
    table.add_row("speech", f"{figures['seconds']:,.1f} s")
    table.add_row("gain", f"{figures['gain_db']:+.1f} dB")
    table.add_section()
    table.add_row("phone error rate, 39 phones", _percent(figures["per"]))
    table.add_row("phone error rate, silence left out", _percent(figures["per_no_silence"]))
    table.add_row("frames right, states; 39 phones", _accuracies(figures))
    table.add_section()
    for layer, zeros in enumerate(figures["sparsity"]):
        union, both = (figures[f"{name}_density"][layer] for name in ("union", "intersection"))
        steps = ", ".join(map(_percent, zeros))
        table.add_row(f"zero spikes of layer {layer}, by time step", steps)
        if len(zeros) > 1:
            table.add_row(
                f"spikes of layer {layer} in any, in all time steps",
                f"{_percent(union)}, {_percent(both)}",
            )
    table.add_row("zero bits of the features", _percent(figures["input_zero_bits"]))
    table.add_row("cycles per frame", _number(figures["cycles_per_frame"]))
    table.add_row("accumulations", f"{figures['mmac_per_s']:.2f} MMAC/s")
    table.add_row("accumulations, nothing skipped", f"{figures['mmac_per_s_dense']:.2f} MMAC/s")
    table.add_row("weights that are not zero", f"{figures['mb']:.3f} MB")
    table.add_row("weight memories", f"{figures['mb_memory']:.3f} MB")
    table.add_section()
    table.add_row("speed", f"{figures['times_real_time']:,.0f} times real time")
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _accuracies(figures: dict[str, Any]) -> str:
    return "; ".join(_percent(figures[name]) for name in ("frame_accuracy", "phone_accuracy"))


def stages_table(stages: list[dict[str, Any]]) -> Table:
    """What each stage of a training came to."""
    table = _table("Stages", "stage", "loss", "dev PER", "test PER", "test frames right", "zeros")
    for stage in stages:
        dev, test = stage.get("dev", {}), stage.get("test", {})
        zeros = [share for layer in test.get("sparsity", []) for share in layer]
        table.add_row(
            stage["name"],
            f"{stage['loss']:.3f}",
            _percent(dev.get("per")),
            _percent(test.get("per")),
            _percent(test.get("frame_accuracy")),
            _percent(sum(zeros) / len(zeros) if zeros else None),
        )
    return table


def networks_table(networks: list[dict[str, Any]]) -> Table:
    """What the zoo holds."""
    table = _table("Networks", "name", "T", "hidden", "outputs", "kB", "PER")
    for column in ("trained on", "licence", "what it is"):
        table.add_column(column, justify="left")
    for network in networks:
        table.add_row(
            network["name"],
            str(network["time_steps"]),
            "+".join(map(str, network["hidden"])),
            f"{network['outputs']:,}",
            f"{1000 * network['mb']:.0f}",
            _percent(network["per"]),
            ", ".join(network["trained_on"]),
            network["licence"],
            network["description"],
        )
    return table


def area_table(figures: dict[str, Any]) -> Table:
    """Blocks with all that is in them, one level indented below another, and their sum."""
    areas = figures["gate_equivalent"] is not None
    what = ("kGE", "logic um2", "flip-flops um2", "clock gates um2", "SRAM um2") if areas else ()
    of = f" of {figures['unit']}" if figures["unit"] else ""
    table = _table(
        f"Area{of}, {figures['library']}" if areas else f"Gates{of}",
        *("block", "cells", "flip-flops", "clock gates"),
        *what,
    )
    for row in figures["blocks"]:
        name = "  " * (row["level"] - 1) + row["block"].rpartition("/")[2]
        table.add_row(name, *_area_cells(row, areas))
    table.add_section()
    table.add_row("total", *_area_cells(figures["total"], areas))
    return table


def _area_cells(row: dict[str, Any], areas: bool) -> list[str]:
    cells = [f"{row[name]:,}" for name in ("cells", "flip_flops", "clock_gates")]
    if areas:
        cells.append(f"{row['logic_kge']:,.2f}")
        names = ("logic_um2", "flip_flops_um2", "clock_gates_um2", "macros_um2")
        cells += [f"{row[name]:,.0f}" for name in names]
    return cells


def memory_table(figures: dict[str, Any]) -> Table:
    """Memories, the macros that they are made of and what a row costs."""
    table = _table("Memories", "memory", "rows x bits")
    table.add_column("macros", justify="left")
    for column in ("um2", "unused bits", "pJ a row read", "pJ a row written", "leakage uW"):
        table.add_column(column, justify="right")
    for name, memory in figures["memories"].items():
        counts: dict[str, int] = {}
        for column in memory["columns"]:
            macro = column["macro"]
            counts[macro] = counts.get(macro, 0) + column["levels"]
        table.add_row(
            name.removeprefix("plosive_"),
            f"{memory['rows']:,} x {memory['bits']}",
            ", ".join(f"{count} {macro}" for macro, count in counts.items()),
            f"{memory['area_um2']:,.0f}",
            f"{memory['unused_bits']:,}",
            *(f"{memory[key]:,.1f}" for key in ("read_pj", "write_pj")),
            f"{memory['leakage_uw']:.2f}",
        )
    for name, memory in figures["memories_without_macros"].items():
        bits = memory["rows"] * memory["bits"]
        table.add_row(
            name.removeprefix("plosive_"),
            f"{memory['rows']:,} x {memory['bits']}",
            f"none: {bits:,} bits, not in the area",
            *["-"] * 5,
        )
    return table


def slack_table(figures: dict[str, Any]) -> Table:
    """What is left of a clock period, for a few clocks."""
    table = _table("Timing", "clock", "period ns", "slack ns", "met")
    for row in figures["clocks"]:
        met = "yes" if row["met"] else "NO"
        table.add_row(
            f"{row['mhz']:,.6g} MHz", f"{row['period_ns']:,.3f}", f"{row['slack_ns']:,.3f}", met
        )
    table.add_section()
    period = figures["least_period_ns"]
    table.add_row(f"{figures['fmax_mhz']:,.1f} MHz, the most", f"{period:,.3f}", "0.000", "yes")
    return table


def register_table(figures: dict[str, Any]) -> Table:
    """The registers that the longest paths end in."""
    table = _table("Longest paths by register", "to", "least period ns")
    for row in figures["endpoints"]:
        table.add_row(row["register"], f"{figures['sized_for_ns'] - row['slack_ns']:.2f}")
    return table


def path_table(path: dict[str, Any]) -> Table:
    """The cells of a path, in order."""
    table = _table(f"Critical path, {path['from']} to {path['to']}", "through", "cell")
    for column in ("delay ns", "time ns"):
        table.add_column(column, justify="right")
    for step in path["steps"]:
        delay, at = (f"{step[key]:.3f}" for key in ("delay_ns", "at_ns"))
        table.add_row(step["pin"], step["cell"], delay, at)
    return table


def energy_table(figures: dict[str, Any]) -> Table:
    """What blocks and memories take for a frame, and in real time with the clock stopped."""
    table = _table(
        f"A frame, {figures['library']}, {figures['frames']} frames",
        *("", "inside cells nJ", "wires' pins nJ", "nJ a frame", "leakage uW", "real time uW"),
    )
    for row in figures["blocks"]:
        values = (row[key] for key in ("internal_nj", "switching_nj", "nj"))
        table.add_row(row["block"], *map(_small, values), *_uw(row))
    energy, leakage = figures["energy_per_frame_nj"], figures["leakage_uw"]
    rate = figures["real_time"]["frames_per_s"] * 1e-3
    clock = energy["clock_pins"]
    table.add_row("pins on the clock", "-", _small(clock), _small(clock), "-", _small(clock * rate))
    table.add_section()
    for row in figures["memories"]:
        table.add_row(f"{row['memory']}, macros", "-", "-", _small(row["nj"]), *_uw(row))
    table.add_section()
    for name, leaks in (("logic", leakage["logic"]), ("memories", leakage["memories"])):
        real_time = energy[name] * rate + leaks
        table.add_row(name, "-", "-", *map(_small, (energy[name], leaks, real_time)))
    stopped = figures["real_time"]["clock_stopped"]
    whole = (energy["total"], stopped["leakage_uw"], stopped["total_uw"])
    table.add_row("total", "-", "-", *map(_small, whole))
    return table


def _uw(row: dict[str, Any]) -> list[str]:
    return [_small(row["leakage_uw"]), _small(row["real_time_uw"])]


def _small(value: float) -> str:
    """Three digits that count, more before the point if need be."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def real_time_table(figures: dict[str, Any]) -> Table:
    """Power at the frame rate, with the clock stopped between frames and not."""
    real_time = figures["real_time"]
    table = _table(
        f"Real time, {real_time['frames_per_s']} frames a second",
        *("clock", "logic uW", "memories uW", "idle clock uW", "leakage uW", "total uW"),
    )
    rows = [("stopped between frames", real_time["clock_stopped"])]
    for row in real_time["clock_running"]:
        rows.append((f"{row['clock_hz'] / 1e3:,.4g} kHz, running", row))
    for name, row in rows:
        keys = ("logic_uw", "memories_uw", "idle_clock_uw", "leakage_uw", "total_uw")
        table.add_row(name, *(_small(row[key]) for key in keys))
    return table


def efficiency_table(figures: dict[str, Any]) -> Table:
    """Operations a second and watt, beside the reference."""
    operations, reference = figures["operations"], figures["reference"]
    table = _table(
        "Efficiency",
        *("", "operations a frame", "TOPS/W in real time", "TOPS/W without leakage"),
    )
    for name, key in (("done", "done"), ("of a dense machine", "dense")):
        table.add_row(
            name,
            f"{operations[f'{key}_per_frame']:,.0f}",
            _small(operations[f"tops_per_w_{key}"]),
            _small(operations[f"tops_per_w_{key}_without_leakage"]),
        )
    table.caption = (
        f"The reference, {reference['process']}: {reference['real_time_uw']} uW in real time, "
        f"{reference['tops_per_w']} TOPS/W at {reference['tops_per_w_hz'] / 1e6:g} MHz."
    )
    table.caption_justify = "left"
    return table


def board_table(figures: dict[str, Any]) -> Table:
    """What a design takes of a board's chip, its clock, and how fast it is."""
    interface = figures.get("interface")
    columns = ["", "used", "of", "%"]
    if interface:
        columns.append("core alone")
    table = _table(f"{figures['title']}, {figures['configuration']['lanes']} lanes", *columns)
    for name, entry in figures["resources"].items():
        share = 100 * entry["used"] / entry["available"]
        row = [LABELS[name], _number(entry["used"]), _number(entry["available"]), _number(share)]
        if interface:
            row.append(_number(interface[name]["core_alone"]))
        table.add_row(*row)
    table.add_section()
    rates = figures["real_time_factor"]
    seeds = figures["fmax_mhz"]["seeds"]
    each = ", ".join(f"{value:.1f}" for value in seeds.values())
    rows = [
        ("clock, MHz", _number(figures["clock_mhz"])),
        (f"fastest clock, MHz, median of {each}", _number(figures["fmax_mhz"]["median"])),
        (
            f"cycles per frame, {figures['densities']} densities",
            _number(figures["cycles_per_frame"]),
        ),
        ("times faster than speech, at the clock", _number(rates["at_clock"])),
        ("times faster than speech, at the fastest", _number(rates["at_fmax"])),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def facts_table(title: str, facts: dict[str, Any]) -> Table:
    """What is known of something, a line each."""
    table = _table(title, "what", "")
    table.columns[1].justify = "left"
    for name, value in facts.items():
        table.add_row(name, str(value))
    return table


def link_table(figures: dict[str, Any]) -> Table:
    """Errors and rate of a line at each speed."""
    table = _table("Loopback", "baud", "packets", "lost", "bit error rate", "data (bytes/s)")
    for entry in figures["speeds"]:
        if not entry["carried"]:
            table.add_row(f"{entry['baud']:,}", "not carried")
            continue
        errors, bits = entry["errors"], entry["bits"]
        table.add_row(
            *(f"{entry['baud']:,}", f"{entry['packets']:,}", str(errors)),
            f"{errors / bits:.1e}" if errors else f"< {3 / bits:.1e}",
            f"{entry['bytes_per_s']:,.0f}",
        )
    return table


def throughput_table(rows: list[dict[str, Any]]) -> Table:
    """Frames a second through a board."""
    table = _table("Frames a second", "results", "values a frame", "baud", "frames/s")
    own = any(row["board_frames_per_s"] for row in rows)
    if own:
        table.add_column("in the board's time", justify="right")
    for row in rows:
        cells = [row["readout"], str(row["values_a_frame"]), f"{row['baud']:,}"]
        cells.append(_number(row["frames_per_s"]))
        table.add_row(*cells, *([_number(row["board_frames_per_s"])] if own else []))
    return table


def delta_table(comparisons: "list[Comparison]", skipped: dict[str, str]) -> Table:
    """What moved against the baselines; a command whose figures did not move is one row."""
    table = _table("Against the baselines", "figure", "baseline", "now", "change", "tolerance", "")
    table.columns[0].no_wrap = True
    table.columns[-1].justify = "left"
    asks = ("much better", "came or went")
    for comparison in comparisons:
        moved = [delta for delta in comparison.deltas if delta.verdict != "same"]
        same = len(comparison.deltas) - len(moved)
        said = "no baseline" if comparison.missing else f"{same} the same" if same else ""
        table.add_row(comparison.command, *[""] * 4, said)
        for delta in moved:
            values = ("-" if value is None else f"{value:,.6g}" for value in (delta.old, delta.new))
            known = None not in (delta.old, delta.new)
            table.add_row(
                f"  {delta.figure}",
                *values,
                f"{100 * delta.change:+.2f} %" if known else "-",
                f"{100 * delta.tolerance:g} %",
                delta.verdict + (": needs a new baseline" if delta.verdict in asks else ""),
            )
    for command in skipped:
        table.add_row(command, *[""] * 4, "skipped")
    notes = [c.missing for c in comparisons if c.missing] + list(skipped.values())
    table.caption = "\n".join(dict.fromkeys(notes)) or None
    table.caption_justify = "left"
    return table
