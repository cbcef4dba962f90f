# SPDX-License-Identifier: Apache-2.0
"""The results page: every table and plot of `docs/results.md`, from measurements kept as JSON.

`python -m model_zoo.studies.results` measures and writes. What `docs/results/results.json` holds is
not measured again while its recipes and networks are the same files, unless `--again` asks for it;
what is kept in the build folder is not trained again. `--draw` writes the page and its
plots from the JSON alone.
"""

import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import tomllib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from golden_model import Network
from golden_model.files.writing import atomic_write
from hw.config import preset
from model_zoo import data, zoo
from model_zoo.scoring import costs, evaluate
from model_zoo.studies import command, plots, robustness
from model_zoo.training import recipe

__all__ = ["FOLDER", "PAGE", "draw", "inputs", "measure", "page"]

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs" / "results.md"
FOLDER = PROJECT / "docs" / "results"
CHAINS = (("ladder", "sparsity"), ("ladder-t1", "ladder-gru"))
"""Recipes that share pre-trained stages run one after the other, chains side by side."""
SOME_FOLDS = {"sparsity": (0, 2, 4)}
"""Folds of the recipes that are not run on all: a curve of five networks a fold takes long."""
LADDERS = {"ladder": "T = 2", "ladder-t1": "T = 1", "ladder-gru": "GRU"}
ROBUST = {"speech": 2, "speech-t1": 1}
"""Networks on the plots over noise and length: neither heard a speaker that is scored there."""
CORPUS = "timit-sample"
_TOOLS = ("torch", "numpy", "kaldi-native-fbank")


def inputs() -> dict[str, str]:
    """What the measurements are of: by part a hash of its recipes' or its network's files.

    Returns
    -------
    dict
        Hashes by "ladder, sparsity" and so on (`CHAINS`), and by the names of the zoo.
    """
    files = {
        ", ".join(chain): [file for name in chain for file in _recipe_files(name)]
        for chain in CHAINS
    }
    files |= {name: [zoo.path(name)] for name in zoo.names()}
    return {
        part: hashlib.sha256(b"".join(file.read_bytes() for file in of)).hexdigest()[:16]
        for part, of in files.items()
    }


def _recipe_files(name: str) -> list[Path]:
    """The file of a shipped recipe, and of those that it is based on."""
    file = recipe.FOLDER / f"{name}.toml"
    base = tomllib.loads(file.read_text(encoding="utf-8")).get("base")
    return [file, *(_recipe_files(base) if base else [])]


def measure(
    folder: str | os.PathLike[str] | None = None,
    build: str | os.PathLike[str] = "build/model_zoo",
    report: Callable[[str], None] = print,
    jobs: int = 2,
    kept: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything on the page, JSON-able.

    Parameters
    ----------
    folder
        Data folder, see `data.find_data`.
    build
        Keeps features, trained stages and the folds' results.
    report
        Takes lines on how far it is.
    jobs
        Processes side by side.
    kept
        Earlier results; parts of them whose `inputs` are the same are taken, unless others are
        measured with other versions of the tools: a page has one set of them.

    Returns
    -------
    dict
        `inputs`, `tools`, `ladders` (by recipe the rungs of `ladder.summary`), `networks` (by name
        the figures of `evaluate.evaluate`), `noise` and `length` (by name, see `robustness`).

    Raises
    ------
    DataError, AudioError, TrainError
    """
    asked = inputs()
    before = (kept or {}).get("inputs", {})
    same = {part for part in asked if before.get(part) == asked[part]}
    tools = {name: importlib.metadata.version(name) for name in _TOOLS}
    if same != set(asked) and tools != (kept or {}).get("tools"):
        same = set()
    found = {part: _kept_part(kept, part) for part in same}
    if same == set(asked):
        report("nothing to measure: recipes and networks are those of the kept results")
        tools = kept["tools"]
    else:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            waiting = {
                part: pool.submit(_measured_part, part, folder, build)
                for part in asked
                if part not in same
            }
            found |= {part: future.result() for part, future in waiting.items()}
        report(f"measured: {'; '.join(waiting)}")
    networks = {name: found[name] for name in zoo.names()}
    return {
        "inputs": asked,
        "tools": tools,
        "ladders": {name: found[", ".join(chain)][name] for chain in CHAINS for name in chain},
        "networks": {name: of["scores"] for name, of in networks.items()},
        "noise": {name: of["noise"] for name, of in networks.items() if of["noise"]},
        "length": {name: of["length"] for name, of in networks.items() if of["length"]},
    }


def _kept_part(kept: dict[str, Any], part: str) -> dict[str, Any]:
    """What `_measured_part` returned, out of earlier results."""
    if part in kept["networks"]:
        parts = {name: kept[name].get(part) for name in ("noise", "length")}
        return {"scores": kept["networks"][part], **parts}
    return {name: kept["ladders"][name] for name in part.split(", ")}


def _measured_part(
    part: str, folder: str | os.PathLike[str] | None, build: str | os.PathLike[str]
) -> dict[str, Any]:
    """A chain of recipes or a network, measured."""
    if part in zoo.names():
        return _network(part, folder, build)
    return _ladders(part.split(", "), folder, build)


def _ladders(
    names: Sequence[str], folder: str | os.PathLike[str] | None, build: str | os.PathLike[str]
) -> dict[str, Any]:
    from model_zoo.studies import ladder

    return {
        name: ladder.summary(
            ladder.cross_validate(
                name, SOME_FOLDS.get(name, range(ladder.FOLDS)), folder, build, _ignored
            )
        )
        for name in names
    }


def _ignored(_line: str) -> None:
    """Lines of processes side by side would mix."""


def _network(
    name: str, folder: str | os.PathLike[str] | None, build: str | os.PathLike[str]
) -> dict[str, Any]:
    """Scores of a shipped network where it was tested, and what noise and length do to it."""
    network = Network.load(zoo.path(name))
    scores = []
    for corpus in network.header["provenance"]["tested_on"]:
        utterances = [u for u in data.read(corpus, folder) if u.split == "test"]
        scores.append({"split": "test", **_scores(network, utterances, build)})
    if name not in ROBUST:
        return {"scores": scores, "noise": None, "length": None}
    unseen = data.read(CORPUS, folder)
    scores.append({"split": "all", **_scores(network, unseen, build)})
    return {
        "scores": scores,
        "noise": robustness.over_snr(
            network, unseen, data.read_noise(folder), cache=build, progress=False
        ),
        "length": robustness.over_length(network, unseen, progress=False),
    }


def _scores(
    network: Network, utterances: Sequence[data.Utterance], build: str | os.PathLike[str]
) -> dict[str, Any]:
    recordings = evaluate.sentences(utterances, build, progress=False)
    corpus = utterances[0].corpus
    gain = evaluate.find_gain(network.header, corpus, [s.log_mel for s in recordings])
    figures = evaluate.evaluate(network, recordings, gain, progress=False)
    del figures["taken"]
    return {"corpus": corpus, "speakers": len({u.speaker for u in utterances}), **figures}


def draw(results: dict[str, Any], folder: str | os.PathLike[str] = FOLDER) -> None:
    """Write the plots of results; the same results give the same bytes.

    Parameters
    ----------
    results
        What `measure` returns.
    folder
        Where the plots go.
    """
    folder = Path(folder)
    ladders = results["ladders"]
    spiking = {LADDERS[name]: ladders[name] for name in ("ladder", "ladder-t1")}
    plots.ladder_plot(spiking, folder / "ladder.svg")
    plots.tradeoff_plot({"T = 2": _curve(ladders["sparsity"])}, folder / "sparsity.svg")
    for name, result in results["noise"].items():
        plots.snr_plot(result, folder / f"noise-{name}.svg")
    plots.length_plot(list(results["length"].values()), folder / "length.svg")


def _limits(rungs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rungs of the sparsity recipe that are points of the curve."""
    return [rung for rung in rungs if rung["precision"] == 4]


def _curve(rungs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "zero_spikes": rung["zero_spikes"],
            "per": rung["per"][0],
            "spread": rung["per"][1] / len(rung["per_folds"]) ** 0.5,
            "name": _limit(rung),
        }
        for rung in _limits(rungs)
    ]


def _limit(rung: dict[str, Any]) -> str:
    return "none" if rung["rate_limit"] >= 1 else f"{100 * rung['rate_limit']:.0f} %"


# ---- the page ------------------------------------------------------------------------------


def page(results: dict[str, Any]) -> str:
    """The text of `docs/results.md`.

    Parameters
    ----------
    results
        What `measure` returns.
    """
    tools = ", ".join(f"{name} {version}" for name, version in results["tools"].items())
    parts = [
        "<!-- Written by `make results` from docs/results/results.json: do not edit. -->",
        "# Results of the model zoo",
        f"`make results` trains, measures and writes this page, which takes hours ({tools}, one "
        "thread per training). `python -m model_zoo.studies.results --draw` only rewrites it from "
        "[results.json](results/results.json). Phone error rates (PER) are over the 39 phones of "
        "Lee and Hon (1989), with silence counted as a phone and without.",
        *_ladder_part(results),
        *_sparsity_part(results),
        *_networks_part(results),
        *_noise_part(results),
        *_length_part(results),
    ]
    return "\n\n".join(parts) + "\n"


def _ladder_part(results: dict[str, Any]) -> list[str]:
    ladders = results["ladders"]
    folds = len(ladders["ladder"][0]["per_folds"])
    wide = preset("paper-t2").replace(hidden=[256, 256])
    rows = []
    for name, label in LADDERS.items():
        for rung in ladders[name]:
            rows.append(
                (
                    label,
                    rung["name"],
                    _kilobytes(rung["bytes"]),
                    _kilobytes(rung["memory_bytes"]),
                    f"{rung['mmac_per_s']:.2f}",
                    _percent(rung["zero_spikes"]),
                    _mean(rung["per"]),
                    _mean(rung["per_no_silence"]),
                    _difference(rung, folds),
                )
            )
    return [
        "## The compression ladder",
        f"Cross-validation over the {2 * folds} speakers of NLTK's TIMIT sample: {folds} folds, "
        "each of which scores one pair of speakers (16 sentences) that is used for nothing else. "
        "The decoder's weights are tuned on another pair, with a network trained on the remaining "
        "ten speakers; the rungs are then trained on twelve. The pre-trained rungs saw no TIMIT "
        "sentence: they are trained on two ARCTIC speakers, Kathleen and synthetic speech, and are "
        "the same in all folds. Recipe settings were chosen on tuning pairs, which other folds "
        "score. One gain for the whole corpus, from the level of ten speakers, serves all folds. "
        "Figures are means over folds with the standard deviation *over folds*, most of which "
        "comes from the speakers. So compare rungs by the paired difference to the same fold's own "
        "float network, which is given with its standard error.",
        _table(
            (
                *("T", "rung", "kB", "kB in memories", "MMAC/s", "zero spikes", "PER"),
                *("PER without silence", "paired difference"),
            ),
            rows,
        ),
        "kB: the weights at their bit width, without pruned ones, as the reference counts its 2.79 "
        "MB and 0.1 MB (`plosive evaluate` and `networks` also leave out weights that rounding to "
        "four bits set to zero). kB in memories: all rows of the machine's weight memories at that "
        "width, including padding and pruned weights. MMAC/s: the accumulations that the actual "
        "spikes and set bits of the features require, without pruned weights, as in the "
        f"reference's 13.86 MMAC/s (its baseline of 145.8 is {costs.dense_mmac_per_s(wide):.1f} by "
        "our count); for a GRU, all its multiplications. These networks have 183 outputs and the "
        "reference 1920, hence fewer kB and MMAC/s. The 8-bit rung exists only in training: the "
        "datapath is built for 4 bits.",
        "![The ladder](results/ladder.svg)",
    ]


def _sparsity_part(results: dict[str, Any]) -> list[str]:
    rungs = _limits(results["ladders"]["sparsity"])
    rows = [
        (
            _limit(rung),
            _percent(rung["zero_spikes"]),
            _percent(rung["least_zero_spikes"]),
            _mean(rung["per"]),
            _mean(rung["per_no_silence"]),
            f"{rung['mmac_per_s']:.2f}",
        )
        for rung in rungs
    ]
    return [
        "## What zeros cost",
        "The recipe `sparsity` trains 4-bit networks with a pruned readout, T = 2, from one "
        "pre-trained network at falling limits of the firing rate (the density of a layer and time "
        f"step above which spikes are penalised), on {len(rungs[0]['per_folds'])} of the folds. "
        "The reference has 60 to 71 % zeros.",
        _table(
            ("limit", "zero spikes", "lowest of a layer", "PER", "PER without silence", "MMAC/s"),
            rows,
        ),
        "![Error rate over zero spikes](results/sparsity.svg)",
        "The bars are the standard error of the mean over folds.",
    ]


def _networks_part(results: dict[str, Any]) -> list[str]:
    rows = []
    for name, parts in results["networks"].items():
        for found in parts:
            rows.append(
                (
                    f"`{name}`",
                    f"{found['corpus']}, {found['split']}",
                    f"{found['utterances']}, {found['speakers']}",
                    _percent(found["per"]),
                    _percent(found["per_no_silence"]),
                    _percent(found["frame_accuracy"]),
                    ", ".join(_percent(zeros) for layer in found["sparsity"] for zeros in layer),
                    f"{found['cycles_per_frame']:.0f}",
                    f"{found['mmac_per_s']:.2f}",
                )
            )
    return [
        "## The shipped networks",
        "The golden model runs on the integers of the file. `speech` and `speech-t1` saw no "
        "speaker of the TIMIT sample in training; their own test sentences are by the three "
        "speakers they were trained on and are scored against dictionary pronunciations. "
        "`timit-sample` and `timit-sample-t1` are the same networks, trained further on ten of the "
        "sample's speakers.",
        _table(
            (
                *("network", "recordings", "sentences, speakers", "PER", "PER without silence"),
                *("frames right", "zero spikes by layer and time step", "cycles/frame", "MMAC/s"),
            ),
            rows,
        ),
    ]


def _noise_part(results: dict[str, Any]) -> list[str]:
    parts = [
        "## Noise",
        "All sentences of the TIMIT sample, in noise that no training used, by class of noise.",
    ]
    for name, result in results["noise"].items():
        rows = [
            (kind.replace("_", " "), *(_percent(point["per"]) for point in points))
            for kind, points in result["noise"].items()
        ]
        snrs = [f"{p['snr_db']} dB" for p in next(iter(result["noise"].values()))]
        parts += [
            f"`{name}` (T = {result['time_steps']}), PER; without noise "
            f"{_percent(result['clean']['per'])}:",
            _table(("noise", *snrs), rows),
            f"![Error rate, sparsity and cycles of {name} in noise](results/noise-{name}.svg)",
        ]
    return parts


def _length_part(results: dict[str, Any]) -> list[str]:
    rows = [
        (
            f"`{name}`",
            f"{point['mean_seconds']:.1f} s",
            str(point["recordings"]),
            _percent(point["per"]),
            _percent(point["per_no_silence"]),
            _percent(point["zero_spikes"]),
            f"{point['cycles_per_frame']:.0f}",
        )
        for name, result in results["length"].items()
        for point in result["lengths"]
    ]
    return [
        "## Length",
        "The same sentences, joined end to end: the network keeps its state, and the decoder gives "
        "one sequence. Where silence counts as a phone, the silences at a joint count once.",
        _table(
            (
                *("network", "mean length", "recordings", "PER", "PER without silence"),
                *("zero spikes", "cycles/frame"),
            ),
            rows,
        ),
        "![Error rate over the length of recordings](results/length.svg)",
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _mean(values: Sequence[float]) -> str:
    return f"{100 * values[0]:.1f} ± {100 * values[1]:.1f} %"


def _difference(rung: dict[str, Any], folds: int) -> str:
    if rung["difference"] is None:
        return "-"
    mean, spread = rung["difference"]
    return f"{100 * mean:+.1f} (± {100 * spread / folds**0.5:.1f})"


def _kilobytes(size: float | None) -> str:
    return "-" if size is None else f"{size / 1000:,.1f}"


def main(
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data sets (or PLOSIVE_DATA).")
    ] = None,
    build: Annotated[Path, typer.Option(help="Keeps what took long.")] = Path("build/model_zoo"),
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side.")] = 2,
    again: Annotated[
        bool, typer.Option("--again", help="Measure what is kept in docs/results again, too.")
    ] = False,
    only_draw: Annotated[
        bool, typer.Option("--draw", help="Measure nothing: write the page from its JSON.")
    ] = False,
) -> None:
    """Measure what docs/results.md shows, and write it."""
    console = Console(stderr=True, markup=False, soft_wrap=True)
    kept = FOLDER / "results.json"
    results = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None
    if not only_draw:
        earlier = None if again else results
        results = json.loads(json.dumps(measure(data_folder, build, console.print, jobs, earlier)))
        atomic_write(kept, f"{json.dumps(results, indent=1)}\n".encode())
    draw(results)
    atomic_write(PAGE, page(results).encode())
    console.print(f"wrote {os.path.relpath(PAGE)}, {os.path.relpath(FOLDER)}")


if __name__ == "__main__":
    command.run(main)
