# SPDX-License-Identifier: Apache-2.0
"""The commands end to end: their help, their JSON, their exit status when the Verilog is wrong."""

import dataclasses
import importlib.metadata
import itertools
import json
import pkgutil
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

from flows.cli import app as cli
from flows.cli import commands
from flows.cli.discovery import add_commands
from flows.cli.host import commands as host_commands
from flows.inputs import DEFAULT_NETWORK
from flows.measure import baselines, bench
from flows.simulation.run import _source_key, network_digest
from flows.simulation.simulate import cosimulate
from flows.verilog.writer import to_verilog
from golden_model import Network, random_features
from hw.config import HIDDEN_WORK, PRESETS, preset
from hw.core.core import Core
from hw.schedule import Schedule

TINY = preset("tiny")
# Builds in a third of the time of tiny.
SMALL = TINY.replace(n_input=3, hidden=[4, 4], n_output=5, lanes=2, output_lanes=2)
SMALL_OPTIONS = (
    *("--preset", "tiny", "--set", "n_input=3", "--set", "hidden=[4, 4]", "--set", "n_output=5"),
    *("--set", "lanes=2", "--set", "output_lanes=2"),
)
COMMANDS = ("generate", "simulate", "cycles", "transcribe", "demo", "export")
COMMANDS += ("evaluate", "networks", "report", "train", "area", "timing")
PHASES = {"input", "hidden", "lif", "readout", "overhead", "stalls"}


@pytest.fixture
def figures(capsys):
    """Runs a command line with --json; its standard output must be JSON and nothing else."""

    def run(*arguments: object, status: int = 0) -> dict:
        assert cli.run([*map(str, arguments), "--json"]) == status
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def models(build_root) -> Path:
    return build_root


@pytest.fixture
def speech(tmp_path) -> Path:
    """Half a second of something like a voice."""
    t = np.arange(8000) / 16_000
    tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    path = tmp_path / "speech.wav"
    soundfile.write(path, 0.1 * tone * np.sin(2 * np.pi * 4 * t), 16_000)
    return path


# --- help -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_examples(command, capsys):
    assert cli.run([command, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert len(re.findall(rf"plosive {command}", shown.out)) >= 3  # the usage, and two examples


def test_version(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"plosive {importlib.metadata.version('plosive')}\n"


@pytest.mark.parametrize("command", [[], ["simulate"], ["host", "transcribe"]])
def test_help_does_not_load_what_it_does_not_need(command):
    code = (
        f"import sys; from flows.cli import app; status = app.run([*{command}, '--help']); "
        "slow = {'amaranth', 'cocotb', 'numpy', 'soundfile', 'torch'} & set(sys.modules); "
        "print(sorted(slow), file=sys.stderr); sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "[]\n")


@pytest.mark.parametrize("package", [commands, host_commands])
def test_every_command_has_a_place_in_the_help(package):
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert modules == set(package.HELP_ORDER)
    assert len(package.HELP_ORDER) == len(modules)


def test_a_command_is_found_by_its_file_and_listed_after_those_with_a_place(monkeypatch, tmp_path):
    for name in ("zeta", "alpha", "first"):
        (tmp_path / f"{name}.py").write_text(
            f'def {name}():\n    """Say."""\n    print("{name}")\n'
        )
    package = types.ModuleType("some_commands")
    package.__path__ = [str(tmp_path)]
    package.HELP_ORDER = ("first",)
    monkeypatch.setitem(sys.modules, "some_commands", package)
    group = typer.Typer()
    add_commands(group, package)
    listed = typer.main.get_command(group).commands
    assert list(listed) == ["first", "alpha", "zeta"]


def test_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.simulation.cycles.expected_figures", interrupted)
    assert cli.run(["cycles", "--preset", "tiny", "--densities", "published"]) == 130
    shown = capsys.readouterr()
    assert shown.err in ("", "plosive: interrupted\n")
    assert "Traceback" not in shown.err


# --- simulate ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "options", "config"),
    [("trace", ("--preset", "tiny"), TINY), ("outputs", SMALL_OPTIONS, SMALL)],
    ids=["trace", "outputs"],
)
def test_simulate_compares_and_reports(check, options, config, figures, models):
    command = ("simulate", *options, "--random", "1", "--frames", "6", "--build", models)
    found = figures(*command, "--check", check)
    assert found["frames"] == 6
    assert found["mismatches"] == 0
    assert found["messages"] == []
    assert found["passed"] is True
    assert found["compared_clocks"] == (found["clocks"] if check == "trace" else 0)
    assert (found["compared_bits"] > 1000 * found["clocks"]) == (check == "trace")
    schedule = Schedule(config)
    assert found["compared_beats"] == 6 * sum(map(schedule.group_beats, range(schedule.groups)))
    assert found["counters"] == found["counters_by_laws"]
    assert found["counters_equal"] is True
    assert found["counters"]["cycles"] == 6 * found["cycles_per_frame"]["mean"]
    assert found["cycles_per_frame"]["max"] >= found["cycles_per_frame"]["mean"]
    assert set(found["phases"]) == PHASES
    assert sum(found["phases"].values()) == pytest.approx(found["cycles_per_frame"]["mean"])
    for memory in ("input", "hidden", "readout"):
        assert found["counters"][f"{memory}_rows"] == pytest.approx(6 * found["row_reads"][memory])
    assert found["hidden_row_reads_if"]["parallel"] == found["row_reads"]["hidden"]
    assert found["hidden_row_reads_if"]["serial"] == 2 * found["row_reads"]["hidden"]
    assert set(found["latency"]) == {"first_logit", "last_logit"}
    assert 0 < found["sparsity"]["input_zero_bits"] < 1
    for layer in found["sparsity"]["layers"]:
        assert len(layer["time_steps"]) == 2
        assert 0 < layer["union"] <= min(layer["time_steps"]) < 1
    assert found["wall_s"] > 0
    assert found["clocks_per_s"] > 0
    assert found["seed"] == 1
    assert found["configuration_hash"] == config.config_hash
    assert found["waves"] is None


def test_silent_and_saturated_layers_are_said(models):
    network = Network.random(SMALL, 1)
    layers = list(network.layers)
    for index, threshold in ((0, 2**15 - 1), (1, 1)):
        values = {**vars(layers[index]), "threshold": threshold, "decay_shift": 1}
        if index == 1:
            values["w_in"] = np.zeros_like(layers[1].w_in)
            values["w_rec"] = np.zeros_like(layers[1].w_rec)
        layers[index] = type(layers[index])(**values)
    silent = Network(SMALL, layers, network.w_out)
    zeros = np.zeros((2, SMALL.n_input), np.int8)
    run = cosimulate(SMALL, silent, zeros, build_dir=models, check="outputs")
    assert run.passed
    assert run.figures.warnings == [
        f"layer {layer}, time step {k}, never spikes: this run proves little about it"
        for layer in range(2)
        for k in range(2)
    ]


def test_logs_of_two_networks_do_not_collide(models):
    features = np.zeros((1, SMALL.n_input), np.int8)
    networks = [Network.random(SMALL, seed) for seed in (1, 2)]
    for network in networks:
        cosimulate(SMALL, network, features, build_dir=models, check="outputs", seed=7)
    stems = {network_digest(network.on(SMALL))[:8] for network in networks}
    assert len(stems) == 2
    for stem in stems:
        assert list((models / "logs").glob(f"*-{stem}-7.log")), stem


@pytest.fixture(scope="module")
def broken_models(build_root) -> Path:
    """A build folder in which the core's Verilog has one neuron that compares wrongly."""
    folder = build_root / "cli-broken"
    folder.mkdir(exist_ok=True)
    runtime = folder / "runtime"
    if not runtime.exists():
        runtime.symlink_to(build_root / "runtime", target_is_directory=True)
    config = SMALL.replace(trace=True)
    core = Core(config)
    text, count = re.subn(r"(assign spike = )~ (excess\[)", r"\1\2", to_verilog(core), count=1)
    assert count == 1
    key = _source_key(config, None)
    (folder / f"plosive-{key}.v").write_text(text)
    fields = [list(dataclasses.astuple(field)) for field in core.trace_fields]
    (folder / f"plosive-{key}.json").write_text(json.dumps(fields))
    return folder


def test_wrong_verilog_is_located_and_leaves_a_waveform(broken_models, capsys):
    command = ["simulate", *SMALL_OPTIONS, "--random", "1", "--frames", "3"]
    assert cli.run([*command, "--build", str(broken_models), "--json"]) == 1
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["passed"] is False
    assert found["mismatches"] > 0
    line = found["messages"][0]
    assert re.fullmatch(r"clock \d+: \w+(\[\d+\])*: expected -?\d+, got -?\d+", line)
    waves = Path(found["waves"])
    assert waves.stat().st_size > 10_000
    assert shown.err.splitlines()[-1] == (
        f"plosive: the Verilog differs: {line} (waveform: {waves})"
    )


def test_counters_that_differ_from_the_laws_fail_the_run(monkeypatch, capsys, models):
    from flows.simulation import simulate as module

    real = module.laws_counters
    monkeypatch.setattr(module, "laws_counters", lambda *a: {**real(*a), "skipped_rows": 1_000_000})
    command = ["simulate", *SMALL_OPTIONS, "--random", "1", "--frames", "2"]
    options = ["--check", "outputs", "--build", str(models), "--json"]
    assert cli.run([*command, *options]) == 1
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["counters_equal"] is False
    assert found["mismatches"] == 0
    got = found["counters"]["skipped_rows"]
    assert shown.err == (
        f"plosive: the Verilog differs: counter skipped_rows: expected 1000000, got {got}\n"
    )


# --- cycles -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "published", "most"),
    [("paper-t2", 895, 940), ("paper-t2-unmerged", 1224, 1272), ("paper-t1", 574, 582)],
)
def test_cycles_at_published_densities(name, published, most, figures):
    found = figures("cycles", "--preset", name, "--densities", "published")
    total = found["cycles_per_frame"]["mean"]
    assert total <= most
    assert sum(found["phases"].values()) == pytest.approx(total)
    beside = found["published"]
    assert beside["total"] == published
    assert sum(beside["phases"].values()) == pytest.approx(published)
    assert {entry["phase"] for entry in beside["differences"]} == PHASES
    assert all(entry["why"] for entry in beside["differences"])
    differences = sum(entry["difference"] for entry in beside["differences"])
    assert differences == pytest.approx(total - published)


def test_cycles_of_hidden_weights_fetched_in_other_ways(figures):
    found = figures("cycles", "--preset", "paper-t2", "--densities", "published")
    assert found["row_reads"]["hidden"] == 384
    assert found["hidden_row_reads_if"] == {
        "parallel": 384,
        "serial": 768,
        "serial_skipping": pytest.approx(384 * 0.803),
        "union_skipping": pytest.approx(384 * 0.46),
    }


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("name", [*PRESETS])
@pytest.mark.parametrize("work", HIDDEN_WORK)
def test_expected_row_reads_are_those_of_random_spikes(name, work, bias):
    """The closed forms equal what the laws count on frames of such densities."""
    from flows.simulation.cycles import expected_figures
    from golden_model import Densities, cycle_laws

    config = PRESETS[name].replace(hidden_work=work, bias=[bias, bias])
    rng = np.random.default_rng(1)
    frames = 400
    bits = rng.random((frames, config.n_input, 8)) < 0.43
    features = np.packbits(bits, axis=-1)[..., 0].view(np.int8)
    spikes = [rng.random((frames, config.time_steps, n)) < 0.4 for n in config.hidden]
    laws = cycle_laws(config, features, [s.astype(np.uint8) for s in spikes])
    expected = expected_figures(config, Densities(0.43, 0.4, 0.8, 1 - 0.6**2)).cycles
    for memory in ("input", "hidden", "readout"):
        counted = getattr(laws, f"{memory}_rows")[1:].mean()
        assert expected.row_reads[memory] == pytest.approx(counted, rel=0.03)
    for way, rows in expected.hidden_row_reads_if.items():
        assert rows == pytest.approx(laws.hidden_rows_if[way][1:].mean(), rel=0.03)


def test_frames_have_a_default(figures):
    network = ("--preset", "tiny", "--random", "1")
    assert figures("cycles", *network) == figures("cycles", *network, "--frames", "20")
    assert figures("cycles", *network)["frames"] == 20


def test_cycles_equal_what_simulate_counts(figures, models):
    same = (*SMALL_OPTIONS, "--random", "1", "--frames", "6")
    laws = figures("cycles", *same)
    counted = figures("simulate", *same, "--check", "outputs", "--build", models)
    for key in ("phases", "row_reads", "cycles_per_frame", "hidden_row_reads_if", "sparsity"):
        assert laws[key] == counted[key]
    assert counted["counters_equal"]


def test_cycles_of_a_recording(figures, speech):
    options = ("--preset", "speech", "--network", DEFAULT_NETWORK, "--audio", speech)
    found = figures("cycles", *options)
    delay = Network.load(DEFAULT_NETWORK).header["label_delay"]
    assert found["frames"] == 1 + (8000 - 400) // 160 + delay
    assert found["published"] is None
    assert found["latency"]["first_logit"]["mean"] > 384


def test_tables_are_printed_without_json(capsys, models, speech):
    command = ["simulate", *SMALL_OPTIONS, "--random", "1", "--frames", "2"]
    assert cli.run([*command, "--check", "outputs", "--build", str(models)]) == 0
    shown = capsys.readouterr().out
    assert "counters equal to the laws" in shown
    assert "Row reads per frame" in shown
    assert cli.run(["cycles", "--preset", "paper-t2", "--densities", "published"]) == 0
    assert re.search(r"total\s+929\.3\s+895", capsys.readouterr().out)
    assert cli.run(["transcribe", str(speech)]) == 0
    assert "phone" in capsys.readouterr().out


# --- transcribe and demo ----------------------------------------------------------------------


def test_transcription_is_phones_in_order(figures, speech):
    found = figures("transcribe", speech)
    assert found["engine"] == "golden"
    phones = found["phones"]
    assert phones
    assert all(one["start"] < one["end"] for one in phones)
    assert all(a["end"] == b["start"] for a, b in itertools.pairwise(phones))


@pytest.mark.slow
def test_both_engines_hear_the_same(figures, speech, models):
    golden = figures("transcribe", speech)
    rtl = figures("transcribe", speech, "--engine", "rtl", "--build", models)
    assert rtl["phones"] == golden["phones"]
    assert rtl["clocks"] > 384 * rtl["frames"]


@pytest.mark.slow
def test_demo_compares_everything(figures, speech, models):
    found = figures("demo", "--audio", speech, "--no-costs", "--build", models)
    assert found["simulation"]["mismatches"] == 0
    assert found["simulation"]["compared_clocks"] == found["simulation"]["clocks"]
    assert found["torch"]["mismatches"] == 0
    assert found["phones"]
    published = [one["published"]["total"] for one in found["reference"].values()]
    assert published == [895, 1224, 574]
    assert "Passed." in (models / "report.html").read_text()


def test_hardware_logits_are_those_of_the_network(models):
    network = Network.random(SMALL, 1)
    features = random_features(SMALL, 4, 3)
    run = cosimulate(SMALL, network, features, build_dir=models, check="outputs", keep_logits=True)
    assert (run.simulation.logits == network.run(features).logits).all()


# --- bench ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_quick_bench_measures_everything(models, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--json", "--build", str(models)])
    bench.main()
    found = json.loads(capsys.readouterr().out)
    assert json.loads((models / "bench.json").read_text()) == found
    assert set(found["golden"]) == {
        "functional_frames_per_s",
        "laws_frames_per_s",
        "cycle_model_clocks_per_s",
    }
    assert {"elaborate_ratio", "build_ratio"} <= set(found["lanes"][1])
    assert found["generate"]["peak_mb"] > 10
    assert set(found["baselines"]) == {job.command for job in baselines.jobs(["tiny"])}
