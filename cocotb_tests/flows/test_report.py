# SPDX-License-Identifier: Apache-2.0
"""`plosive report`: the page shows the run's own figures, needs nothing else, and fits a phone.

The runs are those of small networks in the golden model, which stands for the simulator here.
"""

import base64
import dataclasses
import html
import io
import json
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image

from cocotb_tests.netlist.pdks import pdk_or_skip
from flows.asic import machine_costs
from flows.cli import app as cli
from flows.cli.commands.demo import demo_lines
from flows.inputs import default_network
from flows.report import drawings, report
from flows.simulation.figures import SimulationFigures, cycle_figures, laws_counters, sparsity
from flows.simulation.simulate import Cosimulation
from flows.speech import demo, record
from flows.speech.reference import forced_alignment, reference_phones
from golden_model import Network, cycle_laws, random_features
from hw.config import AcceleratorConfig, preset
from hw.errors import PlosiveError
from model_zoo.data import corpus
from model_zoo.speech import phones

SMALL = AcceleratorConfig(
    n_input=40, hidden=(24, 16), recurrent=(True, True), n_output=183, lanes=16, output_lanes=8
)
FIGURES = ["spectrogram", "posteriors", "recognised", "figure-zeros", "figure-cycles"]
FIGURES += ["figure-traffic"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


# --- a build folder without a simulator ---------------------------------------------------------


def _golden(config, network, features, **_options) -> Cosimulation:
    """What `cosimulate` returns when everything agrees."""
    result = network.run(features)
    laws = cycle_laws(config, features, result.spikes)
    counters = laws_counters(laws, config)
    clocks = int(laws.total.sum()) + 40
    figures = SimulationFigures(
        passed=True,
        check="trace",
        frames=len(features),
        clocks=clocks,
        compared_clocks=clocks,
        compared_bits=1000 * clocks,
        compared_beats=23 * len(features),
        mismatches=0,
        messages=[],
        warnings=[],
        cycles=cycle_figures(laws),
        counters=counters,
        counters_by_laws=dict(counters),
        counters_equal=True,
        latency={},
        sparsity=sparsity(features, result.spikes),
        wall_s=1.0,
        clocks_per_s=1000,
        seed=1,
        configuration_hash=config.config_hash,
        network_hash=config.network_hash,
        waves=None,
    )
    return Cosimulation(True, [], figures, SimpleNamespace(result=result, logits=result.logits))


def _voice(path: Path) -> Path:
    """Something like a voice, longer than a phone is wide."""
    t = np.arange(25_600) / 16_000
    tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    soundfile.write(path, 0.1 * tone * np.sin(2 * np.pi * 4 * t), 16_000)
    return path


@pytest.fixture(scope="session")
def network_files(tmp_path_factory) -> dict[int, Path]:
    """Random networks for one and two time steps, with the shipped network's labels."""
    folder = tmp_path_factory.mktemp("networks")
    header = Network.load(default_network()).header
    files = {}
    for steps in (1, 2):
        random = Network.random(SMALL.replace(time_steps=steps), 7)
        files[steps] = folder / f"small-t{steps}.safetensors"
        layers = [  # torch trains weights from -7
            dataclasses.replace(layer, w_in=layer.w_in.clip(-7), w_rec=layer.w_rec.clip(-7))
            for layer in random.layers
        ]
        Network(random.config, layers, random.w_out.clip(-7), header).save(files[steps])
    return files


@pytest.fixture
def build(request, tmp_path, monkeypatch, network_files) -> Path:
    """A build folder as `plosive demo` leaves it; T by indirect parameter, 2 without."""
    steps = getattr(request, "param", 2)
    monkeypatch.setattr(demo, "cosimulate", _golden)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    folder = tmp_path / "build"
    voice = _voice(tmp_path / "voice.wav")
    (tmp_path / "voice.phn").write_text("0 4000 h#\n4000 9000 iy\n9000 16000 h#\n")
    shown = demo.demo(build_dir=folder, audio=voice, network_file=network_files[steps])
    assert shown.passed
    return folder


def test_a_network_that_torch_cannot_hold_is_shown_without_that_rung(
    tmp_path, monkeypatch, network_files
):
    pytest.importorskip("torch", reason="training needs the extra: pip install -e .[train]")
    held = Network.load(network_files[2])
    w_out = held.w_out.copy()
    w_out[0, 0] = -8
    odd = tmp_path / "odd.safetensors"
    Network(held.config, held.layers, w_out, held.header).save(odd)
    monkeypatch.setattr(demo, "cosimulate", _golden)
    folder = tmp_path / "build"
    voice = _voice(tmp_path / "voice.wav")
    assert demo.demo(build_dir=folder, audio=voice, network_file=odd).passed
    assert cli.run(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "torch cannot train these weights: w_out holds -8" in page


@pytest.fixture
def nothing_beside(tmp_path, monkeypatch) -> Path:
    """A working directory without speech data and PDKs, as beside a fresh clone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLOSIVE_DATA", raising=False)
    monkeypatch.setattr(corpus, "PROJECT", tmp_path / "plosive")
    monkeypatch.setenv("PDK_ROOT", str(tmp_path / "no-pdks"))
    return tmp_path


def test_a_demo_with_nothing_beside_it_ends_with_a_report(
    nothing_beside, monkeypatch, network_files, capsys
):
    monkeypatch.setattr(demo, "cosimulate", _golden)
    assert cli.run(["demo", "--network", str(network_files[2])]) == 0
    lines = capsys.readouterr().out.splitlines()
    words = "I suppose you wonder why she is coming up here."
    assert f"said       {words}" in lines
    [area] = [line for line in lines if line.startswith("area ")]
    assert re.fullmatch(r"area       [\d,]+ generic gates and [\d,]+ bits of memory", area)
    assert "power      not measured: the PDK ihp-sg13g2 is not installed" in lines
    assert lines[-1] == "report: build/report.html"
    page = _Page((nothing_beside / "build" / "report.html").read_text())
    assert words in page.text
    assert "reference" in page.figures  # its words are known, so its phones are placed


@pytest.mark.usefixtures("nothing_beside")
def test_the_shipped_sentence_is_held_out_of_training_and_says_its_licence():
    shipped = demo.shipped_sentence()
    assert shipped.split == "test"
    assert "CC0 1.0" in (shipped.path.parent / "README.md").read_text()
    assert shipped.path.stat().st_size < 100_000
    assert 2 < soundfile.info(shipped.path).duration < 4


def test_a_data_folder_comes_before_the_shipped_sentence(nothing_beside, monkeypatch):
    own = nothing_beside / "shared" / "data" / "kathleen"
    own.mkdir(parents=True)
    _voice(own / "arctic_a0020.wav")
    (own / "prompts.tsv").write_text("arctic_a0020\tOne more sentence.\n")
    assert demo.sentence(None).text == "One more sentence."  # found beside the project
    elsewhere = own.parent.rename(nothing_beside / "elsewhere")
    assert demo.sentence(None) == demo.shipped_sentence()
    assert demo.sentence(elsewhere).text == "One more sentence."
    monkeypatch.setenv("PLOSIVE_DATA", str(elsewhere))
    assert demo.sentence(None).text == "One more sentence."
    # What the user names is never replaced in silence.
    monkeypatch.setenv("PLOSIVE_DATA", str(nothing_beside / "gone"))
    with pytest.raises(PlosiveError, match=r"no sentence to play: data folder '.*gone' does not"):
        demo.sentence(None)


def _change(folder: Path, change) -> None:
    """Rewrite the folder's figures as `change` alters their JSON in place."""
    figures = _json(folder)
    change(figures)
    (folder / "demo.json").write_text(json.dumps(figures))


def _json(folder: Path) -> dict:
    """The figures of a folder's run as `plosive demo --json` prints them, and a digest."""
    return json.loads((folder / "demo.json").read_text())


# --- reading the page ---------------------------------------------------------------------------


class _Page(HTMLParser):
    """Figures, tables, scripts, headings, ids and every attribute of a page."""

    VOID = ("meta", "link", "br", "hr", "img", "input")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.attributes: list[tuple[str, str, str]] = []
        self.figures: dict[str, dict] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.scoped = True
        self.scripts: list[tuple[dict, str]] = []
        self.headings: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self._figure = self._table = self._caption = None
        self.feed(text)
        self.close()
        assert self._open == [], self._open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        held = dict(attrs)
        if "id" in held:
            self.ids.append(held["id"])
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "figure":
            self._figure = self.figures[held["id"]] = {"caption": "", "pictures": [], "paths": []}
        elif tag == "svg" and self._figure is not None and held.get("role") == "img":
            self._figure["pictures"].append(held["aria-label"])
        elif tag == "path" and self._figure is not None:
            self._figure["paths"].append(held["d"])
        elif tag == "table":
            self._table, self._caption = [], ""
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")
            self.scoped &= tag == "td" or held.get("scope") in ("row", "col")
        elif tag == "script":
            self.scripts.append((held, ""))
        elif re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "figure":
            self._figure = None
        elif tag == "table":
            self.tables[self._caption.strip()] = self._table
            self._table = None

    def handle_data(self, data):
        if "script" in self._open:
            held, text = self.scripts[-1]
            self.scripts[-1] = (held, text + data)
        elif "style" not in self._open:
            self.text += data
            if "figcaption" in self._open:
                self._figure["caption"] += data
            elif "caption" in self._open:
                self._caption += data
            elif self._table and self._table[-1] and {"td", "th"} & set(self._open):
                self._table[-1][-1] += data

    def rows(self, caption: str) -> dict[str, list[str]]:
        """The rows of the table whose caption begins so, by their first cell."""
        [table] = [rows for words, rows in self.tables.items() if words.startswith(caption)]
        return {first: rest for first, *rest in table}


def _read(folder: Path) -> _Page:
    return _Page(report.write(folder).read_text())


def _one_decimal(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")


# --- what the page shows ------------------------------------------------------------------------


@pytest.mark.parametrize("build", [1, 2], indirect=True)
def test_every_figure_is_there_with_caption_and_name(build):
    page = _read(build)
    steps = record.read(build).figures.configuration.time_steps
    spikes = [f"spikes-{layer}-{step}" for layer in range(2) for step in range(steps)]
    assert sorted(page.figures) == sorted([*FIGURES, *spikes, "reference"])
    for name, figure in page.figures.items():
        assert len(figure["caption"].split()) > 3, name
        assert figure["pictures"], name
        assert all(figure["pictures"]), name
    assert page.scoped
    assert page.headings[0] == "h1"
    assert page.headings.count("h1") == 1
    assert len(set(page.ids)) == len(page.ids)


@pytest.mark.parametrize("build", [1, 2], indirect=True)
def test_rasters_are_the_spikes(build):
    page, held = _read(build), record.read(build)
    for layer in range(2):
        spikes = held.arrays[f"spikes_{layer}"]
        for step in range(spikes.shape[1]):
            [path] = page.figures[f"spikes-{layer}-{step}"]["paths"]
            drawn = np.zeros_like(spikes[:, step])
            x = y = 0
            for kind, numbers in re.findall(r"([Mmh])([-\d. ]+)", path):
                if kind == "h":
                    drawn[x : x + int(numbers), int(y)] += 1
                    x += int(numbers)
                else:
                    a, b = map(float, numbers.split())
                    x, y = (int(a), b) if kind == "M" else (x + int(a), y + b)
            assert (drawn == spikes[:, step]).all()
            assert drawn.any()


def test_spectrogram_is_the_recording(build):
    page, held = report.write(build).read_text(), record.read(build)
    [data] = re.findall(r'href="data:image/png;base64,([^"]+)"', page)
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    levels = np.asarray(picture)[::-1]
    log_mel = held.arrays["log_mel"].T
    assert levels.shape == log_mel.shape
    # The levels fall and rise with the energies, which are clipped at both ends.
    inside = (levels > 0) & (levels < 255)
    assert np.corrcoef(levels[inside], log_mel[inside])[0, 1] > 0.999


@pytest.mark.parametrize("build", [1, 2], indirect=True)
def test_tables_are_the_figures_of_the_run(build):
    page, held = _read(build), record.read(build)
    figures = _json(build)
    run = figures["simulation"]
    cycles = page.rows("Cycles per frame by phase")
    assert cycles.pop("Phase")[0] == "This recording"
    for phase, value in run["phases"].items():
        expected = [value]
        for reference in figures["reference"].values():
            expected += [reference["phases"][phase], reference["published"]["phases"].get(phase)]
        assert cycles[phase] == ["-" if v is None else _one_decimal(v) for v in expected]
    assert cycles["total"][0] == _one_decimal(run["cycles_per_frame"]["mean"])
    assert cycles["total"][2::2] == ["895", "1,224", "574"]

    zeros = page.rows("Zeros by layer")
    assert zeros["Input features, zero bits"] == [
        f"{100 * run['sparsity']['input_zero_bits']:.1f} %",
        "57 %",
    ]
    for layer in run["sparsity"]["layers"]:
        for step, share in enumerate(layer["time_steps"]):
            row = zeros[f"Layer {layer['layer']}, time step {step}"]
            assert row == [f"{100 * share:.1f} %", "60 to 71 %"]
        both = {name: row for name, row in zeros.items() if f"Layer {layer['layer']}, no" in name}
        if len(layer["time_steps"]) == 2:
            shown = [row[0] for row in both.values()]
            spikes = held.arrays[f"spikes_{layer['layer']}"]
            shares = (1 - spikes.max(axis=1).mean(), 1 - spikes.min(axis=1).mean())
            assert shown == [f"{100 * share:.1f} %" for share in shares]
        else:
            assert not both

    traffic = page.rows("Weight memories")
    for name, reads in run["row_reads"].items():
        shape = figures["memories"][name]
        assert traffic[name] == [
            f"{shape['banks']} x {shape['rows']} x {shape['row_bits']} bit",
            f"{shape['banks'] * shape['rows']:,}",
            _one_decimal(reads),
            f"{reads * shape['row_bits'] / 8:,.0f}",
            f"{run['counters'][name + '_rows']:,}",
        ]

    counters = page.rows("Performance counters")
    for name, value in run["counters"].items():
        assert counters[name.replace("_", " ")] == [f"{value:,}", f"{value:,}"]

    rungs = page.rows("Rungs")
    assert rungs["golden model = Verilog, all state"] == [
        f"{run['compared_clocks']:,} clocks, {run['compared_bits']:,} bits",
        "0: equal",
    ]
    torch = [what for what in rungs if what.startswith("torch")]
    assert bool(torch) == (figures["torch"] is not None)

    made = page.rows("The run")
    assert made["Date"] == ["2023-11-14T22:13:20+00:00"]
    assert made["Network hash"] == [run["network_hash"]]
    assert made["Configuration hash"] == [run["configuration_hash"]]
    configuration = page.rows("Configuration")
    assert configuration["hidden"] == ["24, 16"]
    assert page.rows("Tools")["verilator"] == [figures["tools"]["verilator"]]


@pytest.mark.parametrize(
    ("machine", "built", "reads"),
    [
        ({"time_steps": 2, "hidden_work": "all"}, "One fetch for both steps", 4),
        ({"time_steps": 2, "hidden_work": "union"}, "One fetch, skipped where neither spikes", 1),
        ({"time_steps": 2, "hidden_work": "split"}, "One fetch, skipped where neither spikes", 1),
        ({"time_steps": 1, "hidden_work": "union"}, "Zeros skipped", 3),
    ],
)
def test_the_first_bar_is_the_schedule_as_built(machine, built, reads):
    ways = {"parallel": 4, "serial": 8, "serial_skipping": 3, "union_skipping": 1}
    rows = report._ways(preset("tiny").replace(**machine), ways)
    assert rows[0] == (f"{built}, as built", reads)
    assert sum("as built" in text for text, _ in rows) == 1
    assert len(rows) == (4 if machine["time_steps"] == 2 else 2)


def test_bars_are_as_long_as_their_values(build):
    text = report.write(build).read_text()
    reads = record.read(build).figures.simulation.cycles.hidden_row_reads_if
    figure = text.split('id="figure-traffic"')[1].split("</figure>")[0]
    widths = [
        float(w) for w in re.findall(r'class="part \w+" x="0%" y="\d+" width="([\d.]+)%', figure)
    ]
    ways = ("parallel", "serial", "serial_skipping", "union_skipping")
    assert widths == pytest.approx([100 * reads[way] / reads["serial"] for way in ways], rel=1e-3)


def test_a_failed_run_says_so_in_words(build):
    def fail(figures):
        figures["passed"] = False
        figures["messages"] = ["clock 7: layer0.acc lane 3: expected 1, got 2"]
        figures["phones"] = []
        figures["simulation"]["mismatches"] = 1

    _change(build, fail)
    page = _read(build)
    assert "Failed." in page.text
    assert "Passed." not in page.text
    assert "clock 7: layer0.acc lane 3" in page.text
    assert "No phones were decoded" in page.text
    assert page.rows("Rungs")["golden model = Verilog, all state"][1] == "1: differs"
    assert "recognised" not in page.figures


# --- reference phones ---------------------------------------------------------------------------


def _posteriors(spoken: list[tuple[str, int]]) -> np.ndarray:
    """Log posteriors of a network that is nearly sure of each phone for a number of frames."""
    shares = np.full((sum(n for _, n in spoken), len(phones.LABELS)), 1e-4)
    first = 0
    for phone, frames in spoken:
        for frame in range(frames):
            state = phones.label_index(phone, frame * phones.N_STATES // frames)
            shares[first + frame, state] = 1
        first += frames
    return np.log(shares / shares.sum(axis=1, keepdims=True))


def test_forced_alignment_finds_the_phones_and_leaves_out_what_was_not_said():
    header = Network.load(default_network()).header
    said = [("h#", 9), ("k", 6), ("ae", 12), ("tcl", 6), ("s", 9), ("h#", 15)]
    sequence = [("h#", False), ("k", False), ("ae", False), ("tcl", False), ("t", True)]
    sequence += [("pau", True), ("s", False), ("h#", False)]
    found = forced_alignment(sequence, _posteriors(said), header)
    assert [one.phone for one in found] == [phone for phone, _ in said]
    lengths = [round(100 * (one.end - one.start)) for one in found]
    assert lengths == [frames for _, frames in said]
    assert forced_alignment(sequence, _posteriors([("h#", 14)]), header) == []


def test_a_recording_without_reference_is_said_to_have_none(build, tmp_path):
    header = Network.load(default_network()).header
    known = reference_phones(tmp_path / "no.wav", "read in 1984", _posteriors([("h#", 90)]), header)
    assert known.phones == []
    assert "1984" in known.source

    def forget(figures):
        figures["words"] = "read in 1984"
        figures["reference_phones"] = known.to_dict()

    _change(build, forget)
    page = _read(build)
    assert "reference" not in page.figures
    assert known.source in page.text
    assert "Filled cells" not in page.text


def test_labels_beside_the_recording_come_first(build, tmp_path):
    found = record.read(build).figures.reference_phones
    assert [one.phone for one in found.phones] == ["h#", "iy", "h#"]
    assert found.phones[1].to_dict() == {"phone": "iy", "start": 0.25, "end": 0.5625}
    (tmp_path / "voice.phn").write_text("0 4000\n")
    broken = reference_phones(tmp_path / "voice.wav", None, _posteriors([("h#", 9)]), {})
    assert broken.phones == []
    assert "label line 1" in broken.source


# --- one file, whatever is in it ----------------------------------------------------------------


def _part(block: str, level: int, logic: float, macros: float) -> dict:
    return {
        **{"block": block, "level": level, "cells": round(logic / 10), "combinational": 4},
        **{"flip_flops": 7, "clock_gates": 0},
        **{"logic_um2": logic, "logic_kge": logic / 7257.6, "combinational_um2": logic},
        **{"flip_flops_um2": 0.0, "clock_gates_um2": 0.0, "macros": int(macros > 0)},
        **{"macros_um2": macros, "um2": logic + macros},
    }


def _area() -> dict:
    """As `plosive area --pdk ihp-sg13g2 --json` writes it."""
    return {
        "configuration_hash": "0123456789abcdef",
        "network_hash": "0123456789abcdef",
        "pdk": "ihp-sg13g2",
        "library": "typ",
        "corner": "typ_1p20V_25C",
        "gate_equivalent": {"cell": "nand2", "um2": 7.2576},
        "clock_gating": {
            **{"inserted": False, "clock_gates": 0, "flip_flops": 7, "flip_flops_gated": 0},
        },
        "unit": None,
        "interface": None,
        "memories": {},
        "memories_without_macros": {},
        "memory_bits": 4096,
        "netlist": "netlist.v",
        "cpu_s": 1.0,
        "wall_s": 1.0,
        "versions": {"yosys": "0.70"},
        "total": _part("", 0, 160_000, 240_000),
        "blocks": [
            _part("hidden_memory_0", 1, 100, 240_000),
            _part("neurons", 1, 119_900, 0),
            _part("neurons/lanes", 2, 80_000, 0),
            _part("<img src=x onerror=alert(1)>", 1, 30_000, 0),
            _part("own", 1, 10_000, 0),
        ],
    }


def test_the_page_needs_nothing_else(build):
    page = _read(build)
    for tag, name, value in page.attributes:
        if name in (
            "src",
            "href",
            "xlink:href",
            "data",
            "poster",
            "action",
            "srcset",
            "formaction",
        ):
            assert value.startswith(("#", "data:")), (tag, name, value)
        if name == "href" and value.startswith("#"):
            assert value[1:] in page.ids, value
    text = report.write(build).read_text()
    assert not re.search(r"https?:|url\(|@import|//[a-z]", text)
    assert len(text.encode()) < 2_000_000


def test_hostile_names_are_only_text(build):
    evil = "</script><script>alert(1)</script><!--"

    def rename(figures):
        figures["recording"] = f"/recordings/a{evil.replace('/', '')}.wav"
        figures["words"] = figures["network"]["name"] = evil
        figures["messages"] = [evil]
        figures["phones"][0]["phone"] = evil
        figures["reference_phones"]["phones"][0]["phone"] = '"><script>alert(2)</script>'

    _change(build, rename)
    (build / "area.json").write_text(json.dumps(_area()))
    page = _read(build)
    [(attributes, data)] = page.scripts
    assert attributes["type"] == "application/json"
    assert json.loads(data) == record.read(build).figures.to_dict()
    assert evil in page.text
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert not any(tag == "img" for tag, _, _ in page.attributes)


def test_the_same_run_gives_the_same_bytes(build):
    first = report.write(build).read_bytes()
    other = build.parent / "elsewhere.html"
    assert report.write(build, other) == other
    assert other.read_bytes() == first


# --- mistakes -----------------------------------------------------------------------------------


def _refusal(capsys, *arguments: object) -> str:
    assert cli.run([*map(str, arguments)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    return shown.err


def test_mistakes_are_one_line_and_leave_no_page(build, capsys, tmp_path):
    assert "there is no demo.json" in _refusal(capsys, "report", tmp_path / "nothing")
    good = {name: (build / name).read_bytes() for name in ("demo.json", "demo.npz")}

    def restore():
        for name, data in good.items():
            (build / name).write_bytes(data)

    (build / "demo.json").write_bytes(good["demo.json"][:100])
    assert "it is not JSON" in _refusal(capsys, "report", build)
    (build / "demo.json").write_text("[1]")
    assert "not a JSON object" in _refusal(capsys, "report", build)
    restore()
    (build / "demo.npz").write_bytes(good["demo.npz"][:-1])
    assert "damaged, or of another run" in _refusal(capsys, "report", build)
    (build / "demo.npz").unlink()
    assert "cannot read" in _refusal(capsys, "report", build)
    restore()
    _change(build, lambda figures: figures["simulation"].pop("phases"))
    assert "no 'phases'" in _refusal(capsys, "report", build)
    restore()
    (build / "area.json").write_text('{"blocks": []}')
    assert "area.json: it is damaged" in _refusal(capsys, "report", build)
    assert not (build / report.PAGE).exists()
    (build / "area.json").unlink()
    assert cli.run(["report", str(build), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["bytes"] == (build / report.PAGE).stat().st_size


def test_a_wrong_date_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(PlosiveError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        demo.demo(build_dir=tmp_path, audio=_voice(tmp_path / "voice.wav"))


# --- area and power -----------------------------------------------------------------------------


def test_area_is_drawn_where_it_was_measured(build):
    absent = _read(build)
    assert "figure-area" not in absent.figures
    assert "plosive area" in absent.text
    (build / "area.json").write_text(json.dumps(_area()))
    page = _read(build)
    assert "Of another configuration" in page.text
    rows = page.rows("Area by block")
    blocks = [block for block in _area()["blocks"] if block["level"] == 1]
    names = [block["block"].replace("_", " ").replace("own", "top level") for block in blocks]
    assert list(rows) == ["Block", *names, "total"]
    for name, block in zip([*names, "total"], [*blocks, _area()["total"]], strict=True):
        assert rows[name] == [
            f"{block['um2']:,.0f}",
            f"{block['logic_kge']:,.2f}",
            f"{block['macros_um2']:,.0f}",
            f"{block['flip_flops']:,}",
            f"{block['cells']:,}",
        ]
    figure = report.write(build).read_text().split('id="figure-area"')[1].split("</figure>")[0]
    size = r'<rect class="tile \w+" x="\S+" y="\S+" width="([\d.]+)%" height="([\d.]+)%"/>'
    shares = [float(w) * float(h) / 1e4 for w, h in re.findall(size, figure)]
    parts = [part for block in blocks for part in (block["logic_um2"], block["macros_um2"]) if part]
    assert shares == pytest.approx([part / 400_000 for part in sorted(parts)[::-1]], rel=1e-3)
    assert "<title>hidden memory 0: 60.0 %</title>" in figure


def test_the_netlist_is_a_rung_where_it_was_compared(build):
    assert "plosive simulate --netlist" in _read(build).text
    run = _json(build)["simulation"]
    run |= {"check": "outputs", "netlist": {"pdk": "ihp-sg13g2", "file": "netlist.v"}}
    (build / "netlist.json").write_text(json.dumps(run))
    page = _read(build)
    assert page.rows("Rungs")["golden model = netlist in ihp-sg13g2 cells"] == [
        f"{run['frames']} frames, {run['compared_beats']:,} beats of logits, 8 counters",
        "0: equal",
    ]
    assert "of another configuration" not in page.text
    run |= {"mismatches": 2, "configuration_hash": "0123", "counters": {**run["counters"]}}
    run["counters"]["cycles"] += 1
    (build / "netlist.json").write_text(json.dumps(run))
    page = _read(build)
    assert page.rows("Rungs")["golden model = netlist in ihp-sg13g2 cells"][1] == "3: differs"
    assert "of another configuration than this run's: 0123" in page.text


def test_area_without_process_is_in_cells(build, capsys, tmp_path):
    """What the command writes itself is shown: gates without sizes."""
    command = ["area", "--preset", "tiny", "--pdk", "generic", "--build", str(tmp_path), "--json"]
    assert cli.run(command) == 0
    text = capsys.readouterr().out
    (build / "area.json").write_text(text)
    page = _read(build)
    rows = page.rows("Area by block")
    assert rows["Block"] == ["Flip-flops", "Cells"]
    total = json.loads(text)["total"]
    assert rows["total"] == [f"{total['flip_flops']:,}", f"{total['cells']:,}"]
    assert f"{total['cells']:,} generic gates" in page.text


def _demo(folder, network_file, **options) -> demo.Demo:
    return demo.demo(
        build_dir=folder,
        audio=_voice(folder.parent / "voice.wav"),
        network_file=network_file,
        **options,
    )


def test_without_a_pdk_the_demo_counts_gates(monkeypatch, tmp_path, network_files):
    monkeypatch.setattr(demo, "cosimulate", _golden)
    monkeypatch.setenv("PDK_ROOT", str(tmp_path / "none"))
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "power.json").write_text("of an earlier run")
    shown = _demo(folder, network_files[2], costs=True)
    page = _read(folder)
    assert "figure-area" in page.figures
    assert "figure-power" not in page.figures
    assert "Of another configuration" not in page.text
    cells = shown.figures.costs.area.total.cells
    assert f"{cells:,} generic gates, of no process in particular" in page.text
    lines = demo_lines(shown.figures)
    assert any(f"area       {cells:,} generic gates" in str(line) for line in lines)
    assert any(
        "power      not measured: the PDK ihp-sg13g2 is not installed" in str(line)
        for line in lines
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        *("area.json", "demo.json", "demo.npz", "report.html", "synthesis")
    ]


def test_with_a_pdk_the_demo_measures_area_and_power(build_root):
    pdk_or_skip("ihp-sg13g2")
    if shutil.which("sta") is None:
        pytest.skip("sta is missing: install Debian's package opensta")
    network = Network.random(preset("tiny"), 1)
    features = random_features(network.config, 6, 1)
    found = machine_costs.measure(network, features, build_root)
    area, power = (json.loads((build_root / f"{n}.json").read_text()) for n in ("area", "power"))
    assert area["configuration_hash"] == power["configuration_hash"] == network.config.config_hash
    assert (power["warm_up_frames"], power["frames"]) == (3, 3)
    words = (found.area.line, found.power.line)
    assert words[0].startswith(f"{area['total']['um2'] / 1e6:.2f} mm2 in ihp-sg13g2: ")
    total = power["real_time"]["clock_stopped"]["total_uw"]
    assert words[1].startswith(f"{total:.3g} uW in real time")


def test_a_demo_whose_costs_fail_says_so(monkeypatch, tmp_path, network_files):
    monkeypatch.setattr(demo, "cosimulate", _golden)
    broken = tmp_path / "ihp-sg13g2/libs.ref/sg13g2_stdcell/lib/sg13g2_stdcell_typ_1p20V_25C.lib"
    broken.parent.mkdir(parents=True)
    broken.write_text("library (cut")
    monkeypatch.setenv("PDK_ROOT", str(tmp_path))
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "area.json").write_text(json.dumps(_area()))
    shown = _demo(folder, network_files[2], costs=True)
    assert shown.passed
    assert str(broken) in shown.figures.costs.area.missing
    assert any(
        f"area       not measured: {broken}" in str(line) for line in demo_lines(shown.figures)
    )
    assert "figure-area" not in _read(folder).figures


def test_a_demo_that_fails_leaves_nothing_running(monkeypatch, tmp_path, network_files):
    class Failure(Exception):
        pass

    def cosimulate(*_arguments, **_options):
        time.sleep(0.5)
        raise Failure

    started = []
    popen = subprocess.Popen

    def sleeping(_command, **options):
        started.append(popen([sys.executable, "-c", "import time; time.sleep(300)"], **options))
        return started[0]

    monkeypatch.setattr(demo, "cosimulate", cosimulate)
    monkeypatch.setattr(machine_costs.subprocess, "Popen", sleeping)
    began = time.monotonic()
    with pytest.raises(Failure):
        _demo(tmp_path / "build", network_files[2], costs=True)
    assert time.monotonic() - began < 60  # it was not waited for
    assert started[0].returncode is not None
    assert list((tmp_path / "build").iterdir()) == []


_HASHES = {"configuration_hash": "0123", "network_hash": "4567"}


def _power(hashes: dict[str, str]) -> dict:
    """What `plosive power --json` prints; sums are not read."""
    stopped = {"logic_uw": 3.0, "memories_uw": 2.0, "idle_clock_uw": 0.0}
    stopped |= {"logic_leakage_uw": 2.75, "memories_leakage_uw": 1.5}
    running = {**stopped, "clock_hz": 1e6, "idle_clock_uw": 120.0}
    operations = {"done_per_frame": 20_000.0, "dense_per_frame": 100_000.0}
    for key, value in (("done", 0.216), ("dense", 1.08)):
        operations[f"tops_per_w_{key}"] = value
        operations[f"tops_per_w_{key}_without_leakage"] = 2 * value
    return {
        "pdk": "ihp-sg13g2",
        "library": "sg13g2_stdcell_typ_1p20V_25C",
        "corner": "typ_1p20V_25C",
        "frames": 40,
        "warm_up_frames": 10,
        "clocks_per_frame": 900.0,
        "cycles_per_frame": 890.0,
        "sparsity": {"input_zero_bits": 0.5, "layers": []},
        "idle_pj_per_clock": 1.0,
        "blocks": [
            {"block": block, "internal_nj": nj, "switching_nj": 0.0, "nj": nj, "leakage_uw": uw}
            for block, nj, uw in (
                *(("own", 1.0, 0.5), ("pe_set_0", 24.0, 2.0), ("readout_memory_0", 4.0, 0.25)),
            )
        ],
        "memories": [
            {
                **{"memory": "readout_memory_0", "reads": 2.0, "writes": 0.0},
                **{"read_nj": 15.0, "write_nj": 0.0, "pins_nj": 5.0, "leakage_uw": 1.5},
            }
        ],
        "energy_per_frame_nj": {"logic": 30.0, "clock_pins": 1.0, "memories": 20.0},
        "leakage_uw": {"logic": 2.75, "memories": 1.5},
        "real_time": {
            "frames_per_s": 100,
            "least_clock_hz": 90e3,
            "clock_stopped": stopped,
            "clock_running": [running],
        },
        "operations": operations,
        "reference": {
            "source": "arXiv 2503.21337",
            "process": "28 nm",
            "real_time_uw": 71.2,
            "real_time_hz": 100e3,
            "tops_per_w": 28.41,
            "tops_per_w_hz": 500e6,
        },
        "constants": [{"name": "supply", "value": 1.2, "unit": "V", "source": "the library"}],
        "notes": ["an estimate", "not comparable"],
        "netlist": "netlist.v",
        "versions": {"yosys": "0.70"},
        **hashes,
    }


def test_power_is_drawn_where_it_was_measured(build):
    assert "plosive power" in _read(build).text
    run = _json(build)["simulation"]
    hashes = {name: run[name] for name in ("configuration_hash", "network_hash")}
    (build / "power.json").write_text(json.dumps(_power(hashes)))
    page = _read(build)
    assert {"figure-power", "figure-clocks"} <= page.figures.keys()
    assert page.rows("Power by block") == {
        "Block": ["nJ per frame", "Dynamic, uW", "Leakage, uW", "Total, uW"],
        "pe set 0": ["24", "2.4", "2", "4.4"],
        "readout memory 0": ["24", "2.4", "1.75", "4.15"],  # its macros and what is around them
        "top level": ["1", "0.1", "0.5", "0.6"],
        "pins on the clock": ["1", "0.1", "0", "0.1"],
        "total": ["50", "5", "4.25", "9.25"],
    }
    assert page.rows("Power in real time") == {
        "Clock": ["Logic", "Memories", "Idle clock", "Leakage", "Total"],
        "Stopped between frames": ["3", "2", "0", "4.25", "9.25"],
        "1 MHz, always running": ["3", "2", "120", "4.25", "129"],
    }
    assert page.rows("Accumulations")["of a dense machine"] == ["100,000", "1.08", "2.16"]
    assert "Note: an estimate; not comparable." in page.text
    assert "of another configuration" not in page.text.lower()
    # Its run is one of the netlist, whose logits were compared.
    rung = page.rows("Rungs")["golden model = netlist in ihp-sg13g2 cells"]
    assert rung == ["50 frames, all logits", "0: equal"]
    figure = report.write(build).read_text().split('id="figure-clocks"')[1].split("</figure>")[0]
    ends = [
        float(x) + float(width)
        for x, width in re.findall(
            r'<rect class="part \w+" x="(\S+)%" y="\S+" width="(\S+)%"', figure
        )
    ]
    assert ends[3] == pytest.approx(100 * 9.25 / 129.25, rel=1e-3)
    assert ends[7] == pytest.approx(100, rel=1e-3)
    assert ends[8] == pytest.approx(100 * 71.2 / 129.25, rel=1e-3)


def test_power_of_another_machine_is_said_to_be_one(build):
    (build / "power.json").write_text(json.dumps(_power(_HASHES)))
    text = _read(build).text
    assert "Of another configuration than this run's: 0123" in text
    assert "It is of another configuration" in text


_WIRES = {
    **{"method": "placed", "source": "a trial placement", "wire_m": 1.0, "clock_wire_m": 0.1},
    "cases": [
        {"name": name, "ff_per_um": farads, "ohm_per_um": 0.5, "wire_pf": 1.0, "source": "a file"}
        for name, farads in (("low", 0.1), ("high", 0.2))
    ],
}


def test_the_placement_is_shown(build):
    """Inside the page, pixel by pixel; without it if the picture has gone."""
    picture = build / "placement.png"
    held = {**_power(_HASHES), "wires": {**_WIRES, "picture": str(picture)}}
    (build / "power.json").write_text(json.dumps(held))
    assert "figure-placement" not in _read(build).figures
    drawn = Image.new("RGB", (5, 3), "#0072b2")
    drawn.save(picture)
    page = _read(build)
    assert "colours of their blocks" in page.figures["figure-placement"]["caption"]
    (source,) = (
        value
        for tag, name, value in page.attributes
        if (tag, name) == ("img", "src")
        if base64.b64decode(value.partition("base64,")[2]) == picture.read_bytes()
    )
    assert source.startswith("data:image/png;base64,")
    picture.write_text("no picture")
    with pytest.raises(PlosiveError, match=r"placement\.png: it is no PNG; run `plosive pow"):
        report.write(build)


def test_what_the_power_command_prints_is_drawn(build, build_root, capsys):
    pdk_or_skip("ihp-sg13g2")
    if shutil.which("sta") is None:
        pytest.skip("sta is missing: install Debian's package opensta")
    command = ["power", "--preset", "tiny", "--random", "1", "--frames", "2", "--warm-up", "1"]
    assert cli.run([*command, "--build", str(build_root), "--json"]) == 0
    text = capsys.readouterr().out
    (build / "power.json").write_text(text)
    rows = _read(build).rows("Power by block")
    found = json.loads(text)
    whole = found["real_time"]["clock_stopped"]["total_uw"]
    assert float(rows["total"][-1]) == pytest.approx(whole, rel=0.01)
    parts = [float(row[-1]) for name, row in rows.items() if name not in ("Block", "total")]
    assert sum(parts) == pytest.approx(whole, rel=0.01)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_tiles_fill_the_figure_in_proportion(count, rng):
    values = np.sort(rng.uniform(0.01, 1, count))[::-1].tolist()
    found = drawings._squares(values)
    areas = [w * h for _, _, w, h in found]
    assert areas == pytest.approx([value / sum(values) for value in values])
    canvas = np.zeros((1000, 1000), int)
    for x, y, w, h in found:
        left, right, top, bottom = (round(1000 * v) for v in (x, x + w, y, y + h))
        canvas[top:bottom, left:right] += 1
    assert (canvas == 1).all()


# --- in a browser -------------------------------------------------------------------------------


def _chromium(folder: Path, page: Path) -> tuple[str, str]:
    """The page's document once its scripts have run, and the browser's log."""
    result = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--v=0", f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000"),
            *("--window-size=1300,900", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return result.stdout, result.stderr


_MEASURE = """<!DOCTYPE html><meta charset="utf-8"><body><pre id="found"></pre>
<iframe width="{width}" height="800" style="border:0" srcdoc="{page}"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {{
  const page = frame.contentDocument, root = page.documentElement;
  const box = (e) => {{ const b = e.getBoundingClientRect(); return [b.left, b.right, b.height]; }};
  const outside = [...page.querySelectorAll("body *:not(.scroll *):not(.table *):not(svg *)")]
    .filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1).map((e) => e.tagName);
  document.getElementById("found").textContent = JSON.stringify({{
    width: root.clientWidth, scroll: root.scrollWidth, outside,
    figures: Object.fromEntries([...page.querySelectorAll("figure")].map(
      (f) => [f.id, [...f.querySelectorAll("svg[role=img]")].map(box)])),
    overlaps: [...page.querySelectorAll("figure svg[role=img]")].flatMap((picture) => {{
      const texts = [...picture.querySelectorAll("text")].filter((e) => e.getClientRects().length);
      const boxes = texts.map((e) => e.getBoundingClientRect());
      return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => a.left < b.right - 1
        && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
        .map(() => texts[i].textContent));
    }}),
    sheet: [...page.querySelectorAll(".sheet svg[role=img]")].map(box),
    caption: box(page.querySelector("figcaption")),
    swipe: box(page.querySelector(".swipe")),
  }});
}});
</script></body>
"""


@pytest.fixture
def browser() -> str:
    if CHROMIUM is None:
        pytest.skip(
            "no chromium: install the Debian package chromium to test the page in a browser"
        )
    return CHROMIUM


@pytest.mark.usefixtures("browser")
def test_no_console_error(build, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<!DOCTYPE html><script>nowhere()</script>")
    assert "CONSOLE" in _chromium(tmp_path, bad)[1]
    (build / "area.json").write_text(json.dumps(_area()))
    (build / "power.json").write_text(json.dumps(_power(_HASHES)))
    document, log = _chromium(tmp_path, report.write(build))
    assert 'id="made"' in document
    assert "CONSOLE" not in log


@pytest.mark.usefixtures("browser")
@pytest.mark.parametrize("width", [360, 390, 1200])
def test_the_page_fits_and_every_figure_has_a_size(build, tmp_path, width):
    _change(build, lambda figures: figures.update(recording="/long/" + 80 * "x" + ".wav"))
    (build / "area.json").write_text(json.dumps(_area()))
    (build / "power.json").write_text(json.dumps(_power(_HASHES)))
    text = report.write(build).read_text()
    outer = tmp_path / "outer.html"
    outer.write_text(_MEASURE.format(width=width, page=html.escape(text)))
    document, _ = _chromium(tmp_path, outer)
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', document)[1]))
    assert found["width"] <= width
    assert found["scroll"] <= found["width"]
    assert found["outside"] == []
    assert found["overlaps"] == []
    assert found["figures"].keys() == _Page(text).figures.keys()
    for name, boxes in found["figures"].items():
        assert boxes, name
        for left, right, height in boxes:
            assert right - left > 200, name
            assert height >= 20, name
    # One time axis: all pictures of the sentence begin and end at the same place.
    assert len({(round(left), round(right)) for left, right, _ in found["sheet"]}) == 1
    assert found["caption"][1] <= width
    # That the sentence's pictures scroll is said where they do, and only there.
    least = float(re.search(r"--least: (\d+)px", text)[1])
    scrolls = found["sheet"][0][1] > width
    assert scrolls == (least > width - 32)
    assert (found["swipe"][2] > 0) == scrolls
    assert found["swipe"][1] <= width
