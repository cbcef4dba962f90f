# SPDX-License-Identifier: Apache-2.0
"""The results page says what its measurements say, and folds are summed up rightly."""

import importlib.metadata
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("torch", reason="results need the extra: pip install -e .[train]")
pytest.importorskip("matplotlib", reason="plots need the extra: pip install -e .[train]")

from model_zoo import zoo
from model_zoo.studies import ladder, results


@pytest.fixture(scope="module")
def measured():
    return json.loads((results.FOLDER / "results.json").read_text(encoding="utf-8"))


def test_the_page_is_that_of_its_measurements(measured):
    assert results.PAGE.read_text(encoding="utf-8") == results.page(measured), "make results"


def test_the_plots_are_those_of_the_measurements(measured, tmp_path):
    results.draw(measured, tmp_path)
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in results.FOLDER.glob("*.svg")}
    assert drawn == kept, "python -m model_zoo.studies.results --draw"
    page = results.PAGE.read_text(encoding="utf-8")
    assert all(f"(results/{name})" in page for name in drawn)


def test_the_page_follows_a_changed_measurement(measured):
    changed = json.loads(json.dumps(measured))
    changed["ladders"]["ladder"][-1]["per"] = [0.1234, 0.0321]
    assert "12.3 ± 3.2 %" in results.page(changed)
    assert results.page(changed) != results.page(measured)


def test_only_what_changed_is_measured_again(measured, monkeypatch):
    ran = []

    def part(name, *_):
        ran.append(name)
        if name in zoo.names():
            return {"scores": [name], "noise": None, "length": None}
        return {recipe: [name] for recipe in name.split(", ")}

    def again(kept):
        ran.clear()
        return results.measure(report=lambda _line: None, kept=kept)

    monkeypatch.setattr(results, "_measured_part", part)
    monkeypatch.setattr(results, "ProcessPoolExecutor", lambda jobs, _: ThreadPoolExecutor(jobs))
    here = {name: importlib.metadata.version(name) for name in results._TOOLS}
    same = {**measured, "inputs": results.inputs(), "tools": here}
    assert (again(same), ran) == (same, [])
    assert (again({**same, "tools": {}})["tools"], ran) == ({}, [])  # as they were measured
    changed = {**same, "inputs": {**same["inputs"], "speech": "0"}}
    found = again(changed)
    assert ran == ["speech"]
    assert found["networks"] == {**same["networks"], "speech": ["speech"]}
    assert found["ladders"] == same["ladders"]
    again({**changed, "tools": {}})  # no page of figures of two versions
    assert sorted(ran) == sorted(same["inputs"])
    again(None)
    assert sorted(ran) == sorted(same["inputs"])


def test_a_recipe_is_also_what_it_is_based_on(tmp_path, monkeypatch):
    for file in results.recipe.FOLDER.glob("*.toml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(results.recipe, "FOLDER", tmp_path)
    before = results.inputs()
    (tmp_path / "ladder.toml").write_text((tmp_path / "ladder.toml").read_text() + "# other\n")
    after = results.inputs()
    changed = [part for part in before if before[part] != after[part]]
    assert changed == ["ladder, sparsity", "ladder-t1, ladder-gru"]


def rung(name, per, zeros):
    scores = {
        "per": per,
        "per_no_silence": per + 0.1,
        "frame_accuracy": 0.5,
        "sparsity": [[zeros, zeros], [zeros, zeros - 0.02]],
    }
    about = {"model": "spiking", "precision": 4, "hidden": [8, 8], "pruned": 0.0}
    about |= {"time_steps": 2, "rate_limit": 0.1, "bytes": 10.0, "memory_bytes": 20.0}
    return {"name": name, **about, "mmac_per_s": 10 * per, **scores}


def test_folds_are_summed_up_pairwise():
    folds = [
        {"rungs": [rung("wide", 0.5, 0.8), rung("float-128", a, 0.9), rung("4-bit", b, 0.9)]}
        for a, b in ((0.40, 0.42), (0.50, 0.51), (0.60, 0.66))
    ]
    wide, own, small = ladder.summary(folds)
    assert wide["difference"] is None
    assert own["difference"] is None
    assert own["per"] == pytest.approx((0.5, 0.1))
    assert small["per_folds"] == [0.42, 0.51, 0.66]
    assert small["difference"] == pytest.approx((0.03, 0.026458), abs=1e-5)
    assert small["mmac_per_s"] == pytest.approx(5.3)
    assert small["zero_spikes"] == pytest.approx(0.895)
    assert small["least_zero_spikes"] == pytest.approx(0.88)
    assert small["bytes"] == 10.0
