# SPDX-License-Identifier: Apache-2.0
"""Figures as tables on the terminal."""

from typing import Any

from rich import box
from rich.table import Table

from flows.figures import PHASES

__all__ = [
    "comparison_table",
    "conversion_table",
    "cycle_table",
    "evaluation_table",
    "ladder_table",
    "networks_table",
    "phone_table",
    "rows_table",
    "simulation_table",
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
