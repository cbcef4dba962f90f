# SPDX-License-Identifier: Apache-2.0
"""`plosive simulate --beside`: a network on two machines, each checked, and their ratios."""

import json
from pathlib import Path

import pytest

from flows.cli import app as cli
from flows.simulation.machines import other_machine, shaped_for
from golden_model import Network
from hw.config import ConfigError, preset

SMALL = preset("tiny").replace(n_input=3, hidden=[4, 4], n_output=5, lanes=2, output_lanes=2)
SMALL_OPTIONS = (
    *("--preset", "tiny", "--set", "n_input=3", "--set", "hidden=[4, 4]", "--set", "n_output=5"),
    *("--set", "lanes=2", "--set", "output_lanes=2"),
)
PARTS = ("input", "hidden", "lif", "readout", "overhead", "stalls")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks that differ in their outputs."""
    folder = tmp_path_factory.mktemp("networks")
    for name, outputs in (("first", 5), ("second", 3)):
        Network.random(SMALL.replace(n_output=outputs), 2).save(folder / f"{name}.safetensors")
    return [folder / "first.safetensors", folder / "second.safetensors"]


def run(*arguments: object, status: int = 0) -> None:
    assert cli.run(["simulate", *map(str, arguments)]) == status


def test_two_networks_on_two_machines(networks, build_root, capsys) -> None:
    common = ("--frames", "8", "--build", build_root, "--json")
    machine = ("--preset", "tiny", "--set", "lanes=2", "--set", "output_lanes=2")
    split = ("--set", "hidden_work=split")
    files = ("--network", networks[0], "--network", networks[1])
    run(*machine, *split, *files, "--beside", "hidden_work=all", *common)
    found = json.loads(capsys.readouterr().out)["networks"]
    assert [one["network"] for one in found] == ["first", "second"]
    for one, outputs in zip(found, (5, 3), strict=True):
        ours, others = one["machine"], one["beside"]
        assert ours["machine"] == "tiny, lanes=2, output_lanes=2, hidden_work=split"
        assert others["machine"] == "hidden_work=all"
        assert ours["configuration"]["hidden_work"] == "split"
        assert others["configuration"] == {**ours["configuration"], "hidden_work": "all"}
        assert ours["configuration"]["n_output"] == outputs
        for side in (ours, others):
            assert side["passed"] is True
            assert side["compared_clocks"] == side["clocks"]
            assert side["counters"] == side["counters_by_laws"]
            assert set(side["phases"]) == set(PARTS)
            assert sum(side["phases"].values()) == side["counters"]["cycles"] / 8
            read = [side["counters"][f"{name}_rows"] for name in ("input", "hidden", "readout")]
            assert side["rows"] == pytest.approx(sum(read) / 8)
        cycles = [side["counters"]["cycles"] for side in (ours, others)]
        assert one["cycles_ratio"] == pytest.approx(cycles[0] / cycles[1])
        assert one["rows_ratio"] == pytest.approx(ours["rows"] / others["rows"])
        assert ours["mmac_per_s"] < others["mmac_per_s"] == one["mmac_per_s"]


def test_a_run_is_the_one_that_the_machine_makes_alone(networks, build_root, capsys) -> None:
    common = ("--network", networks[0], "--frames", "8", "--build", build_root, "--json")
    run(*SMALL_OPTIONS, *common)
    alone = json.loads(capsys.readouterr().out)
    run(*SMALL_OPTIONS, *common, "--beside", "hidden_work=union")
    beside = json.loads(capsys.readouterr().out)["networks"][0]["machine"]
    measured = {"wall_s", "clocks_per_s"}
    assert {name: beside[name] for name in alone.keys() - measured} == {
        name: value for name, value in alone.items() if name not in measured
    }


def test_table_of_a_random_network(build_root, capsys) -> None:
    options = ("--random", "1", "--frames", "4", "--check", "outputs", "--build", build_root)
    run(*SMALL_OPTIONS, *options, "--beside", "hidden_work=union")
    shown = capsys.readouterr().out
    assert "random 1, 4 frames" in shown
    for part in PARTS:
        assert f"cycles, {part}" in shown
    assert shown.count("beats of logits, 0 mismatches") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--beside", "tiny", "--beside", "speech"),
            "--beside names tiny and speech: it takes",
        ),
        (("--beside", "nothing"), "preset is 'nothing': the presets are"),
        (("--beside", "nothing=1"), "nothing is not a field: the fields are"),
        (("--beside", "n_output=7"), "the network is for another machine: n_output 5 instead of 7"),
        (
            ("--beside", "tiny", "--waves"),
            "--beside is for the Verilog: leave --netlist",
        ),
        (("--network", "speech"), "--network is given 2 times: it needs --beside, too"),
        (("--beside", "tiny", "--random", "1"), "give either --network FILE or --random SEED"),
    ],
)
def test_options_that_do_not_fit(options, message, networks, build_root, capsys) -> None:
    common = ("--network", networks[0], "--frames", "2", "--build", build_root)
    run("--preset", "tiny", *common, *options, status=1)
    assert capsys.readouterr().err.startswith(f"plosive: {message}")


def test_a_machine_that_differs_fails_the_run(monkeypatch, build_root, capsys) -> None:
    from flows.simulation import simulate as module

    real = module.laws_counters

    def wrong_for_union(laws, config):
        wrong = {"skipped_rows": 1_000_000} if config.hidden_work == "union" else {}
        return {**real(laws, config), **wrong}

    monkeypatch.setattr(module, "laws_counters", wrong_for_union)
    options = ("--random", "1", "--frames", "2", "--check", "outputs", "--build", build_root)
    run(*SMALL_OPTIONS, *options, "--beside", "hidden_work=union", "--json", status=1)
    shown = capsys.readouterr()
    found = json.loads(shown.out)["networks"][0]
    assert (found["machine"]["passed"], found["beside"]["passed"]) == (True, False)
    got = found["beside"]["counters"]["skipped_rows"]
    assert shown.err.splitlines()[-1] == (  # behind lines of progress, if it is slow
        "plosive: random 1 on hidden_work=union: the Verilog differs: counter skipped_rows: "
        f"expected 1000000, got {got}"
    )


def test_machines_take_the_shape_of_the_network() -> None:
    network = Network.random(SMALL, 1)
    fitted = shaped_for(preset("paper-t2"), network)
    assert fitted == preset("paper-t2").replace(n_input=3, hidden=[4, 4], n_output=5)
    assert other_machine(fitted, ["lanes=4", "output_lanes=8"], network) == fitted.replace(
        lanes=4, output_lanes=8
    )
    assert other_machine(fitted, ["tiny", "lanes=4"], network) == SMALL.replace(
        lanes=4, output_lanes=4
    )
    with pytest.raises(ConfigError, match=r"^lanes is 0: it must be an integer, 1 to 1024$"):
        other_machine(fitted, ["lanes=0"], network)
