# SPDX-License-Identifier: Apache-2.0
"""Recipes with numbers that are none, names that are paths, and anything else, are refused."""

import os
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.training import recipe
from model_zoo.training.recipe import RecipeError

HEAD = "description = 'd'\nlicence = 'l'\n"
STAGE = "[[stage]]\nname = 'a'\nhidden = [8, 8]\ndata = { bdl = 1 }\n"
NAME = (
    "a name must be 1 to 64 letters, digits, blanks, '.', '_', '+' and '-', and begin with a "
    "letter or a digit"
)


def message(path) -> str | None:
    """What is said of a recipe, without its path; None if it is read."""
    try:
        recipe.load(path)
    except RecipeError as error:
        text = str(error)
        assert "\n" not in text
        return text.replace(str(path), "FILE")
    return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[training]\nlearning_rate = nan\n" + STAGE,
            "training: learning_rate is nan: it must be a number, 1e-09 to 10",
        ),
        (
            STAGE + "learning_rate = inf\n",
            "stage 1: learning_rate is inf: it must be a number, 1e-09 to 10",
        ),
        (
            STAGE + "noise_snr = [5.0, nan]\n",
            "stage 1: noise_snr has nan: it must be a number, -100 to 100",
        ),
        (
            STAGE + "noise_snr = [9.0, 5.0]\n",
            "stage 1: noise_snr is (9.0, 5.0): it must be the lowest and the highest",
        ),
        (
            STAGE + "noise_snr = [9.0]\n",
            "stage 1: noise_snr is (9.0,): it must be the lowest and the highest",
        ),
        (
            STAGE + "chunk = 3\nwarm_up = 3\n",
            "stage 1: chunk is 3: it must be more than the 3 frames of warm_up and label_delay, "
            "which count for nothing",
        ),
        (STAGE.replace("'a'", "'../../evil'"), f"stage 1: name is '../../evil': {NAME}"),
        (STAGE.replace("'a'", "'.'"), f"stage 1: name is '.': {NAME}"),
        (STAGE.replace("'a'", "''"), f"stage 1: name is '': {NAME}"),
        (STAGE.replace("'a'", '"a\\n"'), f"stage 1: name is 'a\\n': {NAME}"),
        (STAGE.replace("'a'", f"'{'a' * 65}'"), f"stage 1: name is '{'a' * 65}': {NAME}"),
        (STAGE.replace("bdl", "'../x'"), f"stage 1: data is '../x': {NAME}"),
        ("test = ['/etc']\n" + STAGE, f"test is '/etc': {NAME}"),
        (STAGE + "[corpora.'..']\npath = 'x'\nlicence = 'l'\n", f"corpora is '..': {NAME}"),
        ("tune = [3]\n" + STAGE, f"tune is 3: {NAME}"),
        (
            STAGE.replace("[8, 8]", "[8, 1000000]"),
            "stage 1: hidden has 1000000: it must be an integer, 1 to 4096",
        ),
        (
            STAGE.replace("[8, 8]", "[true, 8]"),
            "stage 1: hidden has True: it must be an integer, 1 to 4096",
        ),
        (
            STAGE + "precision = ['4-bit']\n",
            "stage 1: precision is ['4-bit']: it must be one of float, 8-bit, 4-bit",
        ),
        (STAGE + "pruned = 1.0\n", "stage 1: pruned is 1.0: it must be a number, 0 to 0.999"),
        (
            "[network]\nlabel_delay = 1000000000\n" + STAGE,
            "network: label_delay is 1000000000: it must be an integer, 0 to 1000",
        ),
        (
            "[network]\ndecay_form = ['leak', 'boil']\n" + STAGE,
            "network: decay_form has 'boil': it must be leak or scale",
        ),
        ("seed = -1\n" + STAGE, "seed is -1: it must be an integer, 0 to 4.29497e+09"),
        ("level = -inf\n" + STAGE, "level is -inf: it must be a number, -50 to 50"),
    ],
)
def test_a_value_that_cannot_be_followed_is_refused(tmp_path, text, expected):
    path = tmp_path / "r.toml"
    path.write_text(HEAD + text)
    assert message(path) == f"FILE: {expected}"


def test_bases_that_go_in_a_circle_are_found_however_they_are_written(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "r.toml").write_text("base = 'sub/s.toml'\n")
    (tmp_path / "sub" / "s.toml").write_text("base = '../sub/../r.toml'\n")
    assert message(tmp_path / "r.toml").endswith(
        "s.toml: base is '../sub/../r.toml': it must be another recipe's name or file"
    )


def test_a_long_line_of_bases_is_refused(tmp_path):
    for number in range(2000):
        (tmp_path / f"{number}.toml").write_text(f"base = '{number + 1}.toml'\n")
    assert message(tmp_path / "0.toml").endswith("base is '9.toml': at most 8 stand on each other")


def test_a_recipe_that_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    assert message(tmp_path / "pipe.toml") == "cannot read FILE: not a file but a pipe"
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    assert message(tmp_path / "zero.toml") == "cannot read FILE: not a file but a device"


NUMBERS = ["nan", "inf", "-1", "0", "1", "3", "0.5", "1e300", "999999999999"]
OTHERS = ["true", "[]", "[1, 2]", "[8, 8]", "[nan, 1.0]", "{}", "[[1]]", "{ bdl = 1 }"]
TEXTS = ["'x'", "'../x'", "''", "['leak', 'leak']"]
VALUES = st.sampled_from([*NUMBERS, *OTHERS, *TEXTS])
KEYS = ["description", "licence", "seed", "start", "level", "tied_states", "tune", "test", "base"]
KEYS += ["sentences", "noise", "network", "training", "stage", "corpora", "name", "x"]
INNER = [*recipe.NetworkSettings.__dataclass_fields__, *recipe.Training.__dataclass_fields__]
INNER += [*recipe.Stage.__dataclass_fields__, *recipe.OwnCorpus.__dataclass_fields__]
TABLES = ["network", "training", "corpora.mine", "[stage]", "corpora", "x"]


@st.composite
def recipes(draw) -> str:
    """A recipe in which a few things are wrong."""
    lines = [HEAD if draw(st.integers(0, 9)) else ""]
    lines += [
        f"{draw(st.sampled_from(KEYS))} = {draw(VALUES)}" for _ in range(draw(st.integers(0, 2)))
    ]
    lines.append(STAGE if draw(st.integers(0, 9)) else "")
    for _ in range(draw(st.integers(0, 3))):
        lines.append(f"{draw(st.sampled_from(INNER))} = {draw(VALUES)}")
        if draw(st.booleans()):
            lines.append(f"[{draw(st.sampled_from(TABLES))}]")
    return "\n".join(lines)


def check_recipe(folder, text: str) -> None:
    path = folder / "r.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="replace"))
    said = message(path)
    if said is None:
        made = recipe.load(path)
        assert all(stage.name.strip("./") for stage in made.stages)
        assert "nan" not in repr(made).replace("nanny", "")
        tomllib.loads(path.read_text())


@settings(max_examples=300)
@given(recipes() | st.binary(max_size=40) | st.text(max_size=40))
def test_any_recipe_is_followed_or_refused_in_one_line(tmp_path_factory, text):
    check_recipe(tmp_path_factory.mktemp("recipe"), text)


@pytest.mark.slow
@settings(max_examples=20_000)
@given(recipes())
def test_many_recipes_are_followed_or_refused_in_one_line(tmp_path_factory, text):
    check_recipe(tmp_path_factory.getbasetemp(), text)
