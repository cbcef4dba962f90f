# SPDX-License-Identifier: Apache-2.0
"""`plosive demo`: a spoken sentence through features, network, golden model and Verilog."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from flows import tables
from flows.cosimulate import cosimulate
from flows.cycles import expected_figures
from flows.errors import PlosiveError
from flows.inputs import audio_features, default_network, fitting_features
from flows.progress import Progress, silent
from flows.transcribe import phones_of
from golden_model import Network
from hw.config import PRESETS

__all__ = ["Demo", "demo", "report"]

_MOST_FRAMES = 300
_CORPORA = ("kathleen", "slt", "bdl")  # may be redistributed, the first one there is taken
_SECONDS = (1.5, 2.8)


@dataclass(frozen=True)
class Demo:
    """What the demo showed: whether everything agreed, what differed, and all figures."""

    passed: bool
    messages: list[str]
    figures: dict[str, Any]


def demo(
    *,
    build_dir: Path,
    audio: Path | None = None,
    network_file: Path | None = None,
    data: Path | None = None,
    progress: Progress = silent,
) -> Demo:
    """Run a sentence through the whole ladder.

    Parameters
    ----------
    build_dir
        Folder of Verilog and models.
    audio
        A 16 kHz mono recording; None takes a short sentence that was held out of training.
    network_file
        None takes the shipped network.
    data
        Folder of the data sets, see `model_zoo.data.find_data`.

    Raises
    ------
    PlosiveError
        There is no recording, or a tool is missing.
    """
    started = time.perf_counter()
    network = Network.load(network_file if network_file is not None else default_network())
    recording, words = (audio, None) if audio is not None else _held_out_sentence(data)
    progress("computing features")
    features = fitting_features(network.config, audio_features(recording, network.header))
    all_frames = len(features)
    features = features[:_MOST_FRAMES]
    run = cosimulate(
        network.config,
        network,
        features,
        build_dir=build_dir,
        check="trace",
        keep_logits=True,
        progress=progress,
    )
    heard = phones_of(run.simulation.logits, network) if run.passed else []
    figures = {
        "recording": str(recording),
        "words": words,
        "frames_of_recording": all_frames,
        "phones": heard,
        "simulation": run.figures,
        "torch": _torch_agrees(network, features),
        "reference": {
            name: expected_figures(PRESETS[name])
            for name in ("paper-t2", "paper-t2-unmerged", "paper-t1")
        },
        "seconds": round(time.perf_counter() - started, 1),
    }
    messages = list(run.messages)
    if figures["torch"] and figures["torch"]["mismatches"]:
        messages.append("the torch network and the golden model differ")
    return Demo(not messages, messages, figures)


def _held_out_sentence(data: Path | None) -> tuple[Path, str]:
    """A recording that the shipped network was not trained on, and its words."""
    import soundfile

    from model_zoo.data import DataError, read

    problem = None
    for corpus in _CORPORA:
        try:
            utterances = read(corpus, data)
        except DataError as error:
            problem = problem or error
            continue
        for utterance in utterances:
            seconds = soundfile.info(utterance.path).duration
            if utterance.split == "test" and _SECONDS[0] <= seconds <= _SECONDS[1]:
                return utterance.path, utterance.text
    raise PlosiveError(f"no sentence to play: {problem}; or give a recording with --audio")


def _torch_agrees(network: Network, features: np.ndarray) -> dict[str, int] | None:
    """The same frames through the torch network, every integer compared; None without torch."""
    try:
        import torch

        from model_zoo.export import from_network
    except ImportError:
        return None
    with torch.no_grad():
        model = from_network(network)
        logits, spikes, membranes = model(torch.from_numpy(features.astype(np.float32))[None])
    golden = network.run(features)
    pairs = [(logits, golden.logits[np.newaxis])]
    for ours, theirs in ((spikes, golden.spikes), (membranes, golden.membranes)):
        pairs += [(a, b[np.newaxis]) for a, b in zip(ours, theirs, strict=True)]
    return {
        "compared_values": sum(b.size for _, b in pairs),
        "mismatches": sum(int((a.numpy() != b).sum()) for a, b in pairs),
    }


def report(shown: Demo) -> list[RenderableType]:
    """The demo's figures as text and tables."""
    figures = shown.figures
    run = figures["simulation"]
    said = f': "{figures["words"]}"' if figures["words"] else ""
    lines: list[RenderableType] = [f"recording  {figures['recording']}{said}"]
    if run["frames"] < figures["frames_of_recording"]:
        lines.append(
            f"The first {run['frames']} of {figures['frames_of_recording']} frames were run, to "
            "keep the demo short."
        )
    lines += [_ladder(figures), tables.simulation_table(run)]
    phones = " ".join(phone["phone"] for phone in figures["phones"])
    lines.append(f"heard      {phones or '(nothing: the Verilog differs)'}")
    if figures["words"]:
        lines.append(f"said       {figures['words']}")
    lines.append("")
    lines.append(tables.comparison_table(run, figures["reference"]))
    lines.append(f"{figures['seconds']} s in all.")
    return lines


def _ladder(figures: dict[str, Any]) -> RenderableType:
    run, torch = figures["simulation"], figures["torch"]
    rows = []
    if torch is not None:
        rows.append(
            (
                "torch, 4-bit weights = golden model",
                f"{torch['compared_values']:,} spikes, membranes, logits",
                torch["mismatches"],
            )
        )
    rows.append(
        (
            "golden model = Verilog, all state",
            f"{run['compared_clocks']:,} clocks, {run['compared_bits']:,} bits",
            run["mismatches"],
        )
    )
    unequal = sum(run["counters"][name] != value for name, value in run["counters_by_laws"].items())
    rows.append(("cycle laws = counters", f"{len(run['counters'])} counters", unequal))
    return tables.ladder_table(rows)
