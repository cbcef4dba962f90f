# SPDX-License-Identifier: Apache-2.0
"""`plosive report`: the results of a demo as one self-contained HTML page.

The page is drawn from `demo.json` and `demo.npz` in the build folder and, where they exist, from
`netlist.json`, `area.json` and `power.json`. The same files give the same bytes.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from flows.asic.area import AreaFigures
from flows.asic.power_figures import Power, PowerFigures, Reference
from flows.figures import Hashes, inline
from flows.rates import real_time_uw, speech_seconds
from flows.report import drawings
from flows.report.drawings import Bar, Cell, Part
from flows.simulation.figures import PHASES, SimulatedNetlist, SimulationFigures, Sparsity
from flows.speech import record
from flows.speech.figures import DemoFigures, Phone, Rung
from flows.speech.record import Record
from flows.terminal import number, percent, significant
from golden_model.files.writing import atomic_write
from hw.config import AcceleratorConfig
from hw.errors import PlosiveError
from hw.schedule import Schedule, Work

__all__ = ["PAGE", "page", "write"]

PAGE = "report.html"
"""Name of the page in the build folder."""

# arXiv 2503.21337: zero bits of the inputs; zero spikes over layers and time steps.
_PUBLISHED_INPUT = 0.57
_PUBLISHED_SPIKES = (0.60, 0.71)

_PNG = b"\x89PNG\r\n\x1a\n"
_LEAD_S = 0.0075  # from the start of the recording to the 10 ms that frame 0 stands for
_PHONE_ROWS = 24  # rows of the posteriors at most
_RASTER = (
    " Each of the {} rows is a neuron and each mark is a spike in one frame; empty places are work "
    "that can be skipped."
)
_STRONG = 0.5  # posterior from which a phone gets a row even if it is never the strongest


def write(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a build folder to `report.html` in it, or to `output`.

    Raises
    ------
    PlosiveError
        The folder holds no demo, a file in it is damaged, or the page cannot be written.
    """
    held = record.read(folder)
    sections = {}
    for name, kind, writer in _SECTIONS:
        path = folder / f"{name}.json"
        if path.exists():
            sections[name] = record.read_figures(path, kind, writer)
    with _complete(folder, "plosive demo"):
        text = page(held, **sections)
    path = output if output is not None else folder / PAGE
    atomic_write(path, text.encode())
    return path


@dataclass(frozen=True, kw_only=True)
class _NetlistRun(SimulationFigures):
    """A simulation of a netlist."""

    netlist: SimulatedNetlist


@dataclass(frozen=True, kw_only=True)
class _Area(AreaFigures):
    """Area with what it is of."""

    of: Hashes = inline()


@dataclass(frozen=True, kw_only=True)
class _Power(PowerFigures):
    """Power with what it is of."""

    of: Hashes = inline()


_SECTIONS = (
    ("netlist", _NetlistRun, "plosive simulate --netlist PDK --json"),
    ("area", _Area, "plosive area --json"),
    ("power", _Power, "plosive power --json"),
)
"""Files of the build folder that a page shows if they are there: name, figures, command."""


@contextmanager
def _complete(path: Path, writer: str) -> Iterator[None]:
    """Report a missing or malformed array as one line that names the folder."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, jinja2.UndefinedError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise PlosiveError(
            f"{path}: it is damaged or of another version of Plosive ({reason}); "
            f"run `{writer}` again"
        ) from error


def page(
    held: Record,
    netlist: _NetlistRun | None = None,
    area: _Area | None = None,
    power: _Power | None = None,
) -> str:
    """The page as HTML; None for a part that was not measured."""
    figures = held.figures
    run = figures.simulation
    compared = None
    if netlist is not None:
        compared = _netlist(netlist)
    elif power is not None:
        compared = _power_rung(power)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flows.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "small": significant}
    axis = _Axis(run.frames)
    phones = _phones(figures)
    return environment.get_template("report.html.j2").render(
        figures=figures,
        run=run,
        recording=Path(figures.recording).name,
        ladder=[*figures.ladder, *([compared["rung"]] if compared else [])],
        netlist=compared,
        axis=axis,
        lanes=_lanes(held, axis, phones),
        phones=phones,
        sparsity=_sparsity(run.sparsity),
        cycles=_cycles(figures),
        phases=PHASES,
        traffic=_traffic(figures),
        area=_area(area) if area else None,
        power=_power(power) if power else None,
    )


def _frequency(hertz: float) -> str:
    return f"{hertz / 1e6:.4g} MHz" if hertz >= 1e6 else f"{hertz / 1e3:.4g} kHz"


# --- the sentence on one time axis --------------------------------------------------------------


class _Axis:
    """Time as a share of the width, from the start of frame 0 to the end of the last frame."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.seconds = speech_seconds(frames)
        step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 600) if self.seconds / s <= 12)
        count = int((self.seconds + _LEAD_S) / step)
        marks = [step * n for n in range(1, count + 1)]
        self.ticks = [(self.at(s), f"{s:g} s") for s in marks if self.at(s) < 0.985]
        self.grid = [x for x, _ in self.ticks]
        self.picture = drawings.time_axis(self.ticks)
        # Wide enough for the names of the phones; a narrower window scrolls.
        self.least = round(max(280 * self.seconds, 320))

    def at(self, second: float) -> float:
        return min(max((second - _LEAD_S) / self.seconds, 0.0), 1.0)


def _phones(figures: DemoFigures) -> dict[str, Any]:
    """Recognised and reference phones; each recognised one says whether the reference agrees."""
    from model_zoo.speech.phones import fold

    def class_of(phone: str) -> str:
        try:
            return (fold([phone]) or [phone])[0]
        except KeyError:
            return phone

    heard, reference = figures.phones, figures.reference_phones.phones
    same = [
        any(
            class_of(one.phone) == class_of(other.phone)
            and min(one.end, other.end) > max(one.start, other.start)
            for other in reference
        )
        for one in heard
    ]
    return {
        "heard": heard,
        "same": same if reference else None,
        "reference": reference,
        "source": figures.reference_phones.source,
    }


def _lanes(held: Record, axis: _Axis, phones: dict[str, Any]) -> list[dict[str, Any]]:
    """The pictures on the time axis: id, name, caption, labels on the left and the picture."""
    return [
        _spectrogram(held, axis),
        *_rasters(held, axis),
        _posteriors(held, axis),
        *_phone_strips(axis, phones),
    ]


def _spectrogram(held: Record, axis: _Axis) -> dict[str, Any]:
    log_mel = held.arrays["log_mel"]
    return {
        "id": "spectrogram",
        "name": "Spectrogram",
        "caption": f"What the network hears: the energy in {log_mel.shape[1]} mel bands every "
        "10 ms, low frequencies at the bottom; brighter is louder.",
        "beside": ["high", "low"],
        "picture": drawings.heat(
            "Log-mel spectrogram of the recording", log_mel.T, axis.frames, 140, axis.grid
        ),
    }


def _rasters(held: Record, axis: _Axis) -> list[dict[str, Any]]:
    """A raster of spikes for each layer and time step; the first caption explains them all."""
    steps = held.figures.configuration.time_steps
    found = []
    for layer, zeros in enumerate(held.figures.simulation.sparsity.layers):
        spikes = held.arrays[f"spikes_{layer}"]
        neurons = spikes.shape[2]
        for step in range(steps):
            caption = f"No spike in {percent(zeros.time_steps[step])} of the places."
            found.append(
                {
                    "id": f"spikes-{layer}-{step}",
                    "name": f"Spikes of layer {layer}, time step {step}",
                    "caption": caption if found else caption + _RASTER.format(neurons),
                    "beside": ["neuron 0", f"{neurons - 1}"],
                    "picture": drawings.raster(
                        f"Spike raster of layer {layer}, time step {step}",
                        spikes[:, step],
                        min(max(neurons, 64), 160),
                        axis.grid,
                    ),
                }
            )
    return found


def _posteriors(held: Record, axis: _Axis) -> dict[str, Any]:
    rows, left_out = _strongest(held.arrays["posteriors"])
    more = f" {left_out} weaker phones are not shown." if left_out else ""
    return {
        "id": "posteriors",
        "name": "Phone posteriors",
        "caption": "How sure the network is of each phone: the height of a curve is the "
        f"phone's probability, and a full row is certainty.{more}",
        "beside": [name for name, _ in rows],
        "picture": drawings.curves(
            "Posterior probability of the strongest phones over time",
            np.stack([shares for _, shares in rows]),
            axis.frames,
            18,
            axis.grid,
        ),
    }


def _phone_strips(axis: _Axis, phones: dict[str, Any]) -> list[dict[str, Any]]:
    """Recognised and reference phones, each where there are any."""
    strips = []
    if phones["heard"]:
        caption = "What the decoder made of the logits."
        if phones["reference"]:
            caption += (
                f" Filled cells ({sum(phones['same'])} of {len(phones['heard'])}) agree with the "
                "reference at that time on which of the 39 scored phones it is; dashed cells do "
                "not."
            )
        strips.append(
            _strip(
                *("recognised", "Recognised phones", caption, axis),
                *(phones["heard"], phones["same"]),
            )
        )
    if phones["reference"]:
        strips.append(
            _strip("reference", "Reference phones", phones["source"], axis, phones["reference"])
        )
    return strips


def _strip(
    name: str,
    title: str,
    caption: str,
    axis: _Axis,
    found: list[Phone],
    same: list[bool] | None = None,
) -> dict[str, Any]:
    """Phones on the time axis; `same` says of each whether the reference agrees."""
    kinds = ["plain"] * len(found) if same is None else ["same" if s else "other" for s in same]
    cells = [
        Cell(axis.at(one.start), axis.at(one.end), one.phone, kind)
        for one, kind in zip(found, kinds, strict=True)
        if axis.at(one.end) > axis.at(one.start)
    ]
    return {
        "id": name,
        "name": title,
        "caption": caption,
        "beside": [],
        "picture": drawings.strip(f"{title} over time", cells),
    }


def _strongest(posteriors: np.ndarray) -> tuple[list[tuple[str, np.ndarray]], int]:
    """The strongest phones in the order of their peaks, and how many others were strong enough."""
    from model_zoo.speech.phones import PHONES

    winners = np.unique(posteriors.argmax(axis=1))
    strong = np.flatnonzero(posteriors.max(axis=0) >= _STRONG)
    chosen = np.union1d(winners, strong)
    kept = chosen[np.argsort(-posteriors[:, chosen].sum(axis=0), kind="stable")][:_PHONE_ROWS]
    kept = kept[np.argsort(posteriors[:, kept].argmax(axis=0), kind="stable")]
    return [(PHONES[i], posteriors[:, i]) for i in kept], len(chosen) - len(kept)


# --- sparsity, cycles, traffic ------------------------------------------------------------------


def _sparsity(zeros: Sparsity) -> dict[str, Any]:
    """Rows (name, share, published range) and their figure."""
    rows = [("Input features, zero bits", zeros.input_zero_bits, (_PUBLISHED_INPUT,) * 2)]
    for layer in zeros.layers:
        name = f"Layer {layer.layer}"
        rows += [
            (f"{name}, time step {step}", share, _PUBLISHED_SPIKES)
            for step, share in enumerate(layer.time_steps)
        ]
        if len(layer.time_steps) > 1:
            rows += [
                (f"{name}, no spike in any time step (union)", layer.union, None),
                (f"{name}, not in all time steps (intersection)", layer.intersection, None),
            ]
    bars = [
        Bar(name, percent(share), [Part(0, share, "zeros" if band else "zeros both")], band)
        for name, share, band in rows
    ]
    return {"rows": rows, "picture": drawings.bars("Share of zeros, with published values", bars)}


def _cycles(figures: DemoFigures) -> dict[str, Any]:
    """Cycles by phase, a column for this recording and for each reference, and their figure."""
    run = figures.simulation.cycles
    columns = [("This recording", run.phases, run.cycles_per_frame.mean)]
    for name, expected in figures.reference.items():
        laws, published = expected.cycles, expected.published
        columns.append((f"{name}, laws", laws.phases, laws.cycles_per_frame.mean))
        columns.append((f"{name}, published", published.phases, published.total))
    most = max(total for _, _, total in columns)
    bars = []
    for name, phases, total in columns:
        parts, start = [], 0.0
        for phase in PHASES:
            share = phases.get(phase, 0.0) / most
            if share:
                text = f"{phases[phase]:.0f}" if share > 0.06 else ""
                parts.append(Part(start, start + share, phase, text))
            start += share
        bars.append(Bar(name, f"{number(total)} cycles", parts))
    return {
        "columns": columns,
        "picture": drawings.bars("Cycles per frame by phase", bars),
        "colours": [(phase, phase) for phase in PHASES],
        "why": figures.reference["paper-t2"].published.differences,
    }


_WAYS = {
    Work.ALL: "parallel",
    Work.UNION: "union_skipping",
    Work.COMMON: "union_skipping",  # then the others, so all of the union
    Work.SPIKES: "serial_skipping",
}
"""Ways to fetch hidden rows, as the laws name them, by what a machine issues first."""


def _ways(config: AcceleratorConfig, reads: dict[str, float]) -> list[tuple[str, float]]:
    """Names and row reads of the ways to fetch hidden rows, the machine's own first."""
    if config.time_steps > 1:
        words = {
            "parallel": "One fetch for both steps",
            "serial": "One time step after the other",
            "serial_skipping": "One after the other, zeros skipped",
            "union_skipping": "One fetch, skipped where neither spikes",
        }
    else:
        words = {"serial_skipping": "Zeros skipped", "parallel": "Nothing skipped"}
    works = (phase.work for phase in Schedule(config).phases if phase.memory == "hidden")
    built = next((_WAYS[work] for work in works if work in _WAYS), "parallel")
    own = (f"{words.pop(built)}, as built", reads[built])
    return [own, *((text, reads[way]) for way, text in words.items())]


def _traffic(figures: DemoFigures) -> dict[str, Any]:
    """Row reads and writes by memory, and hidden row reads under other schedules."""
    run = figures.simulation
    reads = run.cycles.row_reads
    memories = [
        {
            "name": name,
            "shape": f"{shape.banks} x {shape.rows} x {shape.row_bits} bit",
            "writes": shape.banks * shape.rows,
            "reads": reads[name],
            "bytes": reads[name] * shape.row_bits / 8,
            "total": run.counters[f"{name}_rows"],
        }
        for name, shape in figures.memories.items()
    ]
    rows = _ways(figures.configuration, run.cycles.hidden_row_reads_if)
    most = max(count for _, count in rows) or 1
    bars = [
        Bar(name, f"{number(count)} rows", [Part(0, count / most, "built" if not n else "if")])
        for n, (name, count) in enumerate(rows)
    ]
    return {
        "memories": memories,
        "rows": rows,
        "picture": drawings.bars("Row reads of the hidden memory per frame", bars),
    }


# --- netlist, area and power ----------------------------------------------------------------------


def _netlist(run: _NetlistRun) -> dict[str, Any]:
    """The comparison of `plosive simulate --netlist PDK --json` as a rung of the ladder."""
    rung = Rung(
        what=f"golden model = netlist in {run.netlist.pdk} cells",
        compared=f"{run.frames:,} frames, {run.compared_beats:,} beats of logits, "
        f"{len(run.counters)} counters",
        mismatches=run.mismatches + run.unequal_counters,
    )
    of = Hashes(configuration_hash=run.configuration_hash, network_hash=run.network_hash)
    return {"rung": rung, "of": of}


def _area(area: _Area) -> dict[str, Any]:
    """The result of `plosive area --json`, in um2 or, without a PDK, in cells."""
    blocks = [(_block_name(block.block), block.size) for block in area.top_blocks]
    blocks = blocks or [(_block_name(area.unit), area.total)]
    total, drawn = area.total, {}
    measured = total.um2 is not None
    for name, size in blocks:
        if not measured:
            drawn[name] = (size.cells, f"{size.cells:,} cells", "logic")
            continue
        # The larger part has the block's name.
        for part, um2 in (("logic", size.logic_um2), ("SRAM", size.macros_um2)):
            words = name if um2 == max(size.logic_um2, size.macros_um2) else f"{name}, {part}"
            drawn[words] = (um2, percent(um2 / total.um2), part.lower())
    return {
        "figures": area,
        "blocks": blocks,
        "total": total,
        "measured": measured,
        "picture": drawings.tiles("Area by block", drawn, 320),
    }


def _block_name(block: str) -> str:
    """Name of a block in words; "own" in the figures is what belongs to no block."""
    return "top level" if block == "own" else block.replace("_", " ")


def _power(power: _Power) -> dict[str, Any]:
    """The result of `plosive power --json`, by block and memory, and by clock."""
    rows = _power_rows(power)
    most = max(dynamic + leakage for _, _, dynamic, leakage in rows)
    bars = [
        Bar(
            name,
            f"{significant(dynamic + leakage)} uW",
            [
                Part(0, dynamic / most, "dynamic"),
                Part(dynamic / most, (dynamic + leakage) / most, "leakage"),
            ],
        )
        for name, _, dynamic, leakage in rows
    ]
    stopped, done = power.real_time.clock_stopped, power.operations
    clocks = [("Stopped between frames", stopped)] + [
        (f"{_frequency(clock.clock_hz)}, always running", clock.power)
        for clock in power.real_time.clock_running
    ]
    return {
        "figures": power,
        "rows": rows,
        "stopped": stopped,
        "clocks": [
            (name, [*(size for _, size in _clock_parts(row)), row.total_uw]) for name, row in clocks
        ],
        "operations": [
            (
                *("done", done.done_per_frame, done.tops_per_w_done),
                done.tops_per_w_done_without_leakage,
            ),
            (
                *("of a dense machine", done.dense_per_frame, done.tops_per_w_dense),
                done.tops_per_w_dense_without_leakage,
            ),
        ],
        "picture": drawings.bars("Power by block", bars),
        "clock_picture": _clock_picture(clocks, power.reference),
        "placement": _placement(power),
        "kinds": _CLOCK_PARTS,
    }


def _placement(power: _Power) -> Markup | None:
    """The picture of the placement whose wires the power has, if it is still there."""
    path = Path(power.wires.picture) if power.wires and power.wires.picture else None
    if path is None or not path.is_file():
        return None
    data = path.read_bytes()
    if not data.startswith(_PNG):
        raise PlosiveError(f"{path}: it is no PNG; run `plosive power` again")
    encoded = base64.b64encode(data).decode()
    words = "Where the cells and memories of each block stand; a legend is below them"
    return Markup(f'<img src="data:image/png;base64,{encoded}" alt="{words}">')


def _power_rows(power: _Power) -> list[tuple[str, float, float, float]]:
    """Each part with its nJ a frame, its uW for that and its leakage, the largest first."""
    spent: dict[str, tuple[float, float]] = {}
    parts = [
        *((_block_name(block.block), block.nj, block.leakage_uw) for block in power.blocks),
        ("pins on the clock", power.energy_per_frame_nj.clock_pins, 0.0),
        # A memory is its macros plus the wrapper logic, which is the block of the same name.
        *(
            (memory.memory.replace("_", " "), memory.nj, memory.leakage_uw)
            for memory in power.memories
        ),
    ]
    for name, nj, leakage_uw in parts:
        energy, leakage = spent.get(name, (0.0, 0.0))
        spent[name] = (energy + nj, leakage + leakage_uw)
    return sorted(
        ((name, nj, real_time_uw(nj), leakage) for name, (nj, leakage) in spent.items()),
        key=lambda row: -(row[2] + row[3]),
    )


_CLOCK_PARTS = (
    ("logic", "logic, active"),
    ("sram", "memories, active"),
    ("idle", "idle clock"),
    ("leakage", "leakage"),
)
"""Components of power for one clock: colour, label."""


def _clock_parts(power: Power) -> list[tuple[str, float]]:
    """The components of power with their colours."""
    parts = (power.logic_uw, power.memories_uw, power.idle_clock_uw, power.leakage_uw)
    return [(kind, part) for (kind, _), part in zip(_CLOCK_PARTS, parts, strict=True)]


def _clock_picture(clocks: list[tuple[str, Power]], reference: Reference) -> Markup:
    """Power in real time by clock; the last bar is what the reference publishes."""
    published = reference.real_time_uw
    most = max(published, *(power.total_uw for _, power in clocks))
    bars = []
    for name, power in clocks:
        parts, start = [], 0.0
        for kind, size in _clock_parts(power):
            end = start + size / most
            parts.append(Part(start, end, kind))
            start = end
        bars.append(Bar(name, f"{significant(power.total_uw)} uW", parts))
    name = f"Published, {reference.process}, {_frequency(reference.real_time_hz)}"
    bars.append(Bar(name, f"{published:g} uW", [Part(0, published / most, "if")]))
    return drawings.bars("Power in real time by clock", bars)


def _power_rung(power: _Power) -> dict[str, Any]:
    """The netlist run of `plosive power`, which prints no figures unless every logit is right."""
    rung = Rung(
        what=f"golden model = netlist in {power.pdk} cells",
        compared=f"{power.warm_up_frames + power.frames:,} frames, all logits",
        mismatches=0,
    )
    return {"rung": rung, "of": power.of}
