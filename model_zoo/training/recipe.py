# SPDX-License-Identifier: Apache-2.0
"""Recipes: what a network is trained on, how, and in which stages, as a short TOML file.

A recipe has the keys of `Recipe`, a table `[network]` with those of `NetworkSettings`, a table
`[training]` with those of `Training` that hold for all stages, a table `[corpora.NAME]` with those
of `OwnCorpus` for each folder of one's own, and a table `[[stage]]` for each rung: the keys of
`Stage`, and any of `Training` that are different there. With `base = "NAME"` a recipe has all of
another one that it does not say itself: keys and keys of tables one by one, the stages as a whole.
`model_zoo/training/recipes` holds the ones that Plosive is shipped with.
"""

import dataclasses
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_origin

from golden_model.files.header import MOST_LABEL_DELAY
from golden_model.files.reading import InputError, read_toml
from hw.config import PRESETS
from hw.errors import PlosiveError
from model_zoo.speech.phones import LABELS

__all__ = [
    "FOLDER",
    "NetworkSettings",
    "OwnCorpus",
    "Recipe",
    "RecipeError",
    "Stage",
    "Training",
    "load",
    "names",
]

FOLDER = Path(__file__).resolve().parent / "recipes"
PRECISIONS = {"float": None, "8-bit": 8, "4-bit": 4}
MODELS = ("spiking", "gru")
_Table = TypeVar("_Table")
_KINDS = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    tuple: "an array",
}

_MOST_BYTES = 1 << 20  # of a recipe; the shipped ones are below 4 kB
_MOST_BASES = 8  # recipes that stand on each other
_LONGEST = 10_000  # characters of a text, as in a network's header
# Stages, recipes and corpora give their names to files.
_NAME = re.compile(r"\w[\w .+-]{0,63}")


class RecipeError(PlosiveError, ValueError):
    """A recipe that cannot be followed; the message names the file, the key and the rule."""


@dataclass(frozen=True)
class NetworkSettings:
    """What all stages of a recipe share about the network.

    Attributes
    ----------
    preset
        Hardware that the network is for: inputs, outputs and number formats.
    time_steps
        T, 1 or 2.
    label_delay
        Frames that targets come later than their features.
    readout_every
        Frame subsampling m: the readout runs on every m-th frame, and stands for m frames.
    feature_scale
        int8 steps per standard deviation of a coefficient.
    input_shift
        Input shift of the first layer.
    decay_shift, decay_form, reset
        One entry per layer.
    threshold
        First thresholds, stimulus units, one entry per layer.
    surrogate_slope
        Slope of the fast sigmoid, per threshold.
    """

    preset: str = "speech"
    time_steps: int = 2
    label_delay: int = 3
    readout_every: int = 1
    feature_scale: float = 20.0
    input_shift: int = 5
    decay_shift: tuple[int, ...] = (1, 1)
    decay_form: tuple[str, ...] = ("leak", "leak")
    reset: tuple[str, ...] = ("zero", "zero")
    threshold: tuple[float, ...] = (16.0, 10.0)
    surrogate_slope: float = 5.0


@dataclass(frozen=True)
class Training:
    """The constants of training, of which each stage may have its own.

    Attributes
    ----------
    epochs
        Passes over the data.
    learning_rate, weight_decay, clip_norm
        AdamW, with a cosine decay to zero over the stage; gradient norm limit.
    batch, chunk
        Chunks per step; frames per chunk.
    warm_up
        First frames of a chunk that count for nothing: the state starts at zero there.
    loss_every
        Of how many readouts the loss counts one: neighbouring frames say much the same, and a
        large readout costs more than all layers.
    dropout
        Share of spikes hidden from the next layer and the readout.
    rate_limit, rate_weight
        Spike density that costs nothing, and the price of the square of what is above it.
    speed
        Largest relative change of speed of an utterance.
    gain, tilt, warp
        Augmentation of each chunk: standard deviation of the level and of the slope over all
        coefficients (natural log units), largest relative warp of the mel axis.
    noise_share
        Share of chunks with noise: a recorded one where there are any, else a flat floor.
    noise_snr
        Lowest and highest signal-to-noise ratio, dB.
    time_mask, band_mask
        Longest masked stretch of frames and of coefficients.
    """

    epochs: int = 20
    learning_rate: float = 8e-3
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    batch: int = 32
    chunk: int = 120
    warm_up: int = 6
    loss_every: int = 1
    dropout: float = 0.1
    rate_limit: float = 0.13
    rate_weight: float = 20.0
    speed: float = 0.1
    gain: float = 0.7
    tilt: float = 0.5
    warp: float = 0.1
    noise_share: float = 0.3
    noise_snr: tuple[float, float] = (5.0, 25.0)
    time_mask: int = 10
    band_mask: int = 5


@dataclass(frozen=True)
class OwnCorpus:
    """Recordings of one's own that a recipe knows by a name.

    Attributes
    ----------
    path
        Their folder; in the file relative to the recipe's folder.
    licence
        What those who get the network must know, for its header.
    format
        How the folder is laid out, a key of `data.FORMATS`.
    source
        What they are, for the header.
    tier, phone_map : str
        How their labels are read, see `data.read_folder`; empty for as usual. The map's file is
        in the file relative to the recipe's folder.
    """

    path: str
    licence: str
    format: str = "folder"
    source: str = "a folder of one's own"
    tier: str = ""
    phone_map: str = ""


@dataclass(frozen=True)
class Stage:
    """One rung of the ladder.

    Attributes
    ----------
    name
        Name of the files it leaves.
    hidden
        Neurons of each layer; fewer than in the stage before means structured pruning.
    data
        Corpora, and the share of each that an epoch sees.
    precision
        Weight bits: 8 or 4; None ("float" in the file) is float32.
    pruned
        Share of the readout's weights that are zero.
    model
        "spiking", or "gru" for the yardstick.
    start
        The earlier stage whose network this one begins with; empty for the one just before.
    training
        Constants of this stage's training.
    """

    name: str
    hidden: tuple[int, ...]
    data: tuple[tuple[str, float], ...]
    precision: int | None = 4
    pruned: float = 0.0
    model: str = "spiking"
    start: str = ""
    training: Training = Training()


@dataclass(frozen=True)
class Recipe:
    """A network from data to file.

    Attributes
    ----------
    name
        Name of the recipe file.
    description, licence
        Entries of the network's header and of its model card.
    stages
        Stages in the order in which they are trained.
    network
        What all stages share about the network.
    seed
        Seed of everything random.
    start
        Name of a network of the zoo, or a network file, that the first stage begins with; empty
        for a new one. Its normalisation of the features is kept.
    level
        Mean log-mel energy (natural log, samples in 16-bit units) that each training corpus is
        brought to, by one gain per corpus.
    automatic_gain
        Bring every recording to that level by the automatic gain that the host runs, instead of
        one gain per corpus; its constants go into the network file, and any level will then do.
        A network to start from keeps the one it has.
    align
        Name of a network of the zoo, or a network file, that aligns the corpora without phone
        times; empty to align each from a flat start.
    tied_states
        Outputs that are context-dependent tied states; 0 for the 183 states of 61 phones.
    tune, test
        Corpora whose `dev` part the decoder's weights are tuned on, and whose `test` part is
        scored.
    sentences
        Sentences of synthetic speech, where a stage uses the corpus "espeak".
    noise
        Take recorded noise (its training half) for the noisy chunks.
    corpora
        Recordings of one's own, by the names that stages, `tune` and `test` use.
    """

    name: str
    description: str
    licence: str
    stages: tuple[Stage, ...]
    network: NetworkSettings = field(default_factory=NetworkSettings)
    seed: int = 1
    start: str = ""
    level: float = 12.5
    automatic_gain: bool = False
    align: str = ""
    tied_states: int = 0
    tune: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    sentences: int = 3000
    noise: bool = True
    corpora: tuple[tuple[str, OwnCorpus], ...] = ()


# What numbers, and those in lists, may be; both ends are allowed.
_RANGES = {
    NetworkSettings: {
        "time_steps": (1, 2),
        "label_delay": (0, MOST_LABEL_DELAY),
        "readout_every": (1, 256),
        "feature_scale": (1e-3, 1e4),
        "input_shift": (0, 15),
        "decay_shift": (1, 15),
        "threshold": (1e-3, 1e6),
        "surrogate_slope": (1e-3, 1e4),
    },
    Training: {
        "epochs": (1, 100_000),
        "learning_rate": (1e-9, 10.0),
        "weight_decay": (0.0, 10.0),
        "clip_norm": (1e-6, 1e6),
        "batch": (1, 65_536),
        "chunk": (2, 100_000),
        "warm_up": (0, 100_000),
        "loss_every": (1, 100),
        "dropout": (0.0, 0.99),
        "rate_limit": (0.0, 1.0),
        "rate_weight": (0.0, 1e6),
        "speed": (0.0, 0.9),
        "gain": (0.0, 20.0),
        "tilt": (0.0, 20.0),
        "warp": (0.0, 0.9),
        "noise_share": (0.0, 1.0),
        "noise_snr": (-100.0, 100.0),
        "time_mask": (0, 100_000),
        "band_mask": (0, 40),
    },
    Stage: {"hidden": (1, 4096), "pruned": (0.0, 0.999)},
    Recipe: {
        "seed": (0, 2**32 - 1),
        "level": (-50.0, 50.0),
        "tied_states": (0, 65_536),
        "sentences": (1, 1_000_000),
    },
}
_WORDS = {
    NetworkSettings: {"decay_form": ("leak", "scale"), "reset": ("zero", "subtract")},
}
_TEXTS = {Recipe: ("tune", "test")}
_NAMES = {Recipe: ("name",), Stage: ("name",)}


def names() -> list[str]:
    """Names of the recipes that Plosive is shipped with."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str | os.PathLike[str]) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name
        A name out of `names()`, or a TOML file.

    Returns
    -------
    Recipe

    Raises
    ------
    RecipeError
        There is no such recipe, or a key or value is wrong.
    """
    path, values = _read(name)
    try:
        return _recipe(path.stem, values)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def _read(
    name: str | os.PathLike[str], above: tuple[Path, ...] = ()
) -> tuple[Path, dict[str, Any]]:
    """The file of a recipe, and its values with those of its base."""
    path = Path(name)
    if str(name) in names():
        path = FOLDER / f"{name}.toml"
    elif path.suffix != ".toml":
        raise RecipeError(
            f"recipe {str(name)!r}: it must be one of {', '.join(names())}, or a .toml file"
        )
    try:
        values = read_toml(path, most_bytes=_MOST_BYTES)
    except InputError as error:
        raise RecipeError(str(error)) from error
    for own in _tables(values, "corpora").values():
        for key in ("path", "phone_map"):
            if isinstance(own.get(key), str) and (own[key] or key == "path"):
                own[key] = str(path.resolve().parent / own[key])
    base = values.pop("base", None)
    if base is None:
        return path, values
    above = (*above, path.resolve())
    if not isinstance(base, str):
        raise RecipeError(f"{path}: base is {base!r}: it must be another recipe's name or file")
    other = path.parent / base if base.endswith(".toml") else Path(base)
    if other.resolve() in above:
        raise RecipeError(f"{path}: base is {base!r}: it must be another recipe's name or file")
    if len(above) > _MOST_BASES:
        raise RecipeError(f"{path}: base is {base!r}: at most {_MOST_BASES} stand on each other")
    _, merged = _read(other, above)
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            value = {**merged[key], **value}
        merged[key] = value
    return path, merged


def _tables(values: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """The tables of a table, by name."""
    tables = values.get(key, {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise RecipeError(f"{key} is {tables!r}: it must be tables [{key}.NAME]")
    return tables


def _recipe(name: str, values: dict[str, Any]) -> Recipe:
    own = _tables(values, "corpora")
    for key in own:
        _check_name("corpora", key)
    corpora = [(key, _make(OwnCorpus, f"corpora.{key}", table)) for key, table in own.items()]
    network = _make(NetworkSettings, "network", values.pop("network", {}))
    common = values.pop("training", {})
    training = _make(Training, "training", common)
    stages = values.pop("stage", [])
    if not isinstance(stages, list) or not stages:
        raise RecipeError("stage is missing: a recipe needs one [[stage]] or more")
    made = tuple(_stage(number, stage, training) for number, stage in enumerate(stages))
    for key in ("name", "stages"):
        if key in values:
            raise RecipeError(f"{key} is not a key of a recipe: {_keys(Recipe)}")
    given = {"name": name, "network": network, "stages": made, "corpora": corpora}
    recipe = _make(Recipe, "", {**values, **given})
    _check(recipe)
    return recipe


def _stage(number: int, values: Any, common: Training) -> Stage:
    where = f"stage {number + 1}"
    if not isinstance(values, dict):
        raise RecipeError(f"{where} is {values!r}: it must be a table")
    own = {f.name for f in dataclasses.fields(Training)}
    changes = {key: value for key, value in values.items() if key in own}
    _make(Training, where, changes)
    training = dataclasses.replace(common, **_plain(changes))
    rest = {key: value for key, value in values.items() if key not in own}
    precision = rest.get("precision", "4-bit")
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise RecipeError(
            f"{where}: precision is {precision!r}: it must be one of {', '.join(PRECISIONS)}"
        )
    data = rest.get("data", {})
    if not isinstance(data, dict) or not data:
        raise RecipeError(f"{where}: data is {data!r}: it must name corpora and their shares")
    for corpus, share in data.items():
        _check_name(f"{where}: data", corpus)
        if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 < share <= 1:
            raise RecipeError(f"{where}: data.{corpus} is {share!r}: it must be above 0, at most 1")
    stage = _make(
        Stage,
        where,
        {
            **rest,
            "precision": PRECISIONS[precision],
            "data": [tuple(item) for item in data.items()],
            "training": training,
        },
    )
    if stage.model not in MODELS:
        raise RecipeError(
            f"{where}: model is {stage.model!r}: it must be one of {', '.join(MODELS)}"
        )
    if stage.model == "gru" and (stage.precision or stage.pruned):
        raise RecipeError(
            f'{where}: model is "gru": its precision must be "float" and nothing is pruned'
        )
    return stage


def _check(recipe: Recipe) -> None:
    if recipe.network.preset not in PRESETS:
        raise RecipeError(
            f"network.preset is {recipe.network.preset!r}: it must be one of {', '.join(PRESETS)}"
        )
    layers = len(PRESETS[recipe.network.preset].hidden)
    for key in ("decay_shift", "decay_form", "reset", "threshold"):
        if len(getattr(recipe.network, key)) != layers:
            raise RecipeError(f"network.{key} must have {layers} entries, one per layer")
    before = None
    seen = {}
    for number, stage in enumerate(recipe.stages, 1):
        _check_training(f"stage {number}", stage.training, recipe.network.label_delay)
        if len(stage.hidden) != layers:
            raise RecipeError(f"stage {number}: hidden must have {layers} entries, one per layer")
        if stage.name in seen:
            raise RecipeError(f"stage {number}: name is {stage.name!r}, as an earlier stage's")
        if stage.start and stage.start not in seen:
            raise RecipeError(
                f"stage {number}: start is {stage.start!r}: it must be the name of an earlier stage"
            )
        seen[stage.name] = stage
        before = seen.get(stage.start, before)
        if before and any(n > m for n, m in zip(stage.hidden, before.hidden, strict=True)):
            raise RecipeError(
                f"stage {number}: hidden is {stage.hidden!r}: a stage may not have more neurons "
                f"than the one it starts from, {before.hidden!r}"
            )
        before = stage
    if 0 < recipe.tied_states < len(LABELS):
        raise RecipeError(
            f"tied_states is {recipe.tied_states!r}: it must be 0, or at least the {len(LABELS)} "
            "states of phones"
        )
    outputs = PRESETS[recipe.network.preset].n_output
    if recipe.tied_states > outputs:
        raise RecipeError(
            f"tied_states is {recipe.tied_states!r}: it must be at most the {outputs} outputs of "
            f"preset {recipe.network.preset!r}"
        )


def _check_training(where: str, training: Training, label_delay: int) -> None:
    """Rules that need two values."""
    snr = training.noise_snr
    if len(snr) != 2 or snr[0] > snr[1]:
        raise RecipeError(f"{where}: noise_snr is {snr!r}: it must be the lowest and the highest")
    lost = max(training.warm_up, label_delay)
    if training.chunk <= lost:
        raise RecipeError(
            f"{where}: chunk is {training.chunk!r}: it must be more than the {lost} frames of "
            "warm_up and label_delay, which count for nothing"
        )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}


def _keys(kind: type) -> str:
    return "the keys are " + ", ".join(f.name for f in dataclasses.fields(kind))


def _make(kind: type[_Table], where: str, values: Any) -> _Table:
    """A dataclass of a table's values, each of the type that the field has."""
    prefix = f"{where}: " if where else ""
    if not isinstance(values, dict):
        raise RecipeError(f"{where} is {values!r}: it must be a table")
    known = {f.name: f for f in dataclasses.fields(kind)}
    for key in values:
        if key not in known:
            raise RecipeError(f"{prefix}{key} is not a key: {_keys(kind)}")
    for key, f in known.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and key not in values:
            raise RecipeError(f"{prefix}{key} is missing: it has no default")
    made = _plain(values)
    for key, value in made.items():
        wanted = get_origin(known[key].type) or known[key].type
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            made[key] = float(value)
        elif wanted in _KINDS and type(value) is not wanted:
            raise RecipeError(f"{prefix}{key} is {value!r}: it must be {_KINDS[wanted]}")
        elif wanted is str and len(value) > _LONGEST:
            raise RecipeError(f"{prefix}{key} has more than {_LONGEST:,} characters")
    for key, (least, most) in _RANGES.get(kind, {}).items():
        _check_range(f"{prefix}{key}", made.get(key, least), least, most)
    for key, words in _WORDS.get(kind, {}).items():
        for word in made.get(key, ()):
            if word not in words:
                raise RecipeError(f"{prefix}{key} has {word!r}: it must be {' or '.join(words)}")
    for key in _TEXTS.get(kind, ()):
        for name in made.get(key, ()):
            _check_name(f"{prefix}{key}", name)
    for key in _NAMES.get(kind, ()):
        _check_name(f"{prefix}{key}", made[key])
    return kind(**made)


def _check_range(what: str, value: Any, least: float, most: float) -> None:
    """Refuse a number, or a list with one, that is outside a range or is none."""
    kinds, rule = (int, "an integer") if isinstance(least, int) else ((int, float), "a number")
    for each in value if isinstance(value, tuple) else (value,):
        right = isinstance(each, kinds) and not isinstance(each, bool)
        if not right or not math.isfinite(each) or not least <= each <= most:
            has = "has" if isinstance(value, tuple) else "is"
            raise RecipeError(f"{what} {has} {each!r}: it must be {rule}, {least:g} to {most:g}")


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RecipeError(
            f"{what} is {name!r}: a name must be 1 to 64 letters, digits, blanks, '.', '_', '+' "
            "and '-', and begin with a letter or a digit"
        )
