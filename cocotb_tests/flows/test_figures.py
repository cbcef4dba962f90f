# SPDX-License-Identifier: Apache-2.0
"""Figures: their JSON, and what is refused when it is read."""

import json
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest

from flows import rates
from flows.figures import Derived, Figures, FiguresError, Hashes, inline, named, optional
from flows.measure import baselines, hardware_results, measurements
from flows.simulation.cycles import FrameFigures, expected_figures, measured_figures
from golden_model import Network, random_features
from hw.config import AcceleratorConfig, preset
from model_zoo.speech.features import FRAME_SECONDS

TINY = preset("tiny")


@dataclass(frozen=True, kw_only=True)
class Path(Figures):
    """A path."""

    start: str = named("from")
    length: float


@dataclass(frozen=True, kw_only=True)
class Sizes(Figures):
    """Two sizes and their sum."""

    logic: float
    memories: float

    @Derived
    def total(self) -> float:
        """Both."""
        return self.logic + self.memories


@dataclass(frozen=True, kw_only=True)
class All(Figures):
    """A field of each kind."""

    of: Hashes | None = inline(default=None)
    count: int
    passed: bool
    name: str | None
    waves: str | None = optional()
    sizes: Sizes = inline()
    paths: list[Path]
    seeds: dict[str, float]
    result: Path | Sizes
    value: float | str
    config: AcceleratorConfig | None = None
    anything: dict[str, Any]


FIGURES = All(
    of=Hashes.of(TINY),
    count=3,
    passed=True,
    name=None,
    sizes=Sizes(logic=1.5, memories=2),
    paths=[Path(start="a", length=1.0)],
    seeds={"1": 2.5},
    result=Sizes(logic=0.0, memories=1.0),
    value="none",
    config=TINY,
    anything={"deep": [1, None]},
)


def test_what_is_written_is_read_back() -> None:
    values = json.loads(json.dumps(FIGURES.to_dict()))
    assert All.from_dict(values) == FIGURES
    assert All.from_dict(values).to_dict() == values


def test_json_has_the_keys_that_fields_ask_for() -> None:
    values = FIGURES.to_dict()
    assert values["configuration_hash"] == TINY.config_hash
    assert {"of", "sizes", "waves"}.isdisjoint(values)
    assert (values["logic"], values["memories"], values["total"]) == (1.5, 2, 3.5)
    assert values["name"] is None
    assert values["paths"] == [{"from": "a", "length": 1.0}]
    assert values["config"] == TINY.to_dict()


def test_figures_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        FIGURES.count = 4


def test_what_is_derived_is_not_read() -> None:
    assert Sizes.from_dict({"logic": 1, "memories": 2, "total": 99}).total == 3


def test_inlined_figures_may_be_absent() -> None:
    values = FIGURES.to_dict()
    del values["configuration_hash"], values["network_hash"]
    assert All.from_dict(values).of is None


def _without(key: str) -> dict:
    return {name: value for name, value in FIGURES.to_dict().items() if name != key}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], "it is [1]: it must be an object"),
        (_without("count"), "no 'count'"),
        (_without("logic"), "no 'logic'"),
        (_without("network_hash"), "no 'network_hash'"),
        (FIGURES.to_dict() | {"count": 1.5}, "count is 1.5: it must be an integer"),
        (FIGURES.to_dict() | {"count": True}, "count is True: it must be an integer"),
        (FIGURES.to_dict() | {"passed": 1}, "passed is 1: it must be true or false"),
        (FIGURES.to_dict() | {"name": 1}, "name is 1: it must be a text"),
        (FIGURES.to_dict() | {"logic": "1"}, "logic is '1': it must be a number"),
        (FIGURES.to_dict() | {"paths": {}}, "paths is {}: it must be a list"),
        (FIGURES.to_dict() | {"paths": [{"from": "a"}]}, "paths[0] has no 'length'"),
        (FIGURES.to_dict() | {"seeds": [1.0]}, "seeds is [1.0]: it must be an object"),
        (FIGURES.to_dict() | {"seeds": {"1": None}}, "seeds.1 is None: it must be a number"),
        (FIGURES.to_dict() | {"result": {}}, "result has no 'from'"),
        (
            FIGURES.to_dict() | {"config": {"lanes": 1}},
            "config: n_input is missing: it has no default",
        ),
        (
            FIGURES.to_dict() | {"name": 50 * [1]},
            f"name is {'[' + 12 * '1, '}...: it must be a text",
        ),
    ],
)
def test_a_wrong_shape_is_one_clear_line(values: Any, message: str) -> None:
    with pytest.raises(FiguresError) as error:
        All.from_dict(values)
    assert str(error.value) == message


def test_frames_from_the_laws_are_read_back() -> None:
    network = Network.random(TINY, 1)
    counted = measured_figures(TINY, network, random_features(TINY, 4, 1), Hashes.of(TINY))
    for figures in (counted, expected_figures(TINY), expected_figures(preset("paper-t1"))):
        values = json.loads(json.dumps(figures.to_dict()))
        assert FrameFigures.from_dict(values) == figures


def test_files_of_the_project_are_read_and_written_alike(tmp_path) -> None:
    copy = tmp_path / "copy.json"
    baselines.update(baselines.load(), [], copy)
    assert copy.read_text() == baselines.FILE.read_text()
    measurements.write(copy, measurements.read(hardware_results.KEPT))
    assert copy.read_text() == hardware_results.KEPT.read_text()


def test_the_rate_of_frames_is_that_of_the_features() -> None:
    assert rates.speech_seconds(1) == FRAME_SECONDS
    assert rates.frames_per_s(25, 0.3) == 83.3
    assert rates.frames_per_s(0, 0.0) is None
    assert rates.real_time_uw(1.0) == pytest.approx(0.1)  # a nJ a hundred times a second
