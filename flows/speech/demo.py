# SPDX-License-Identifier: Apache-2.0
"""`plosive demo`: a spoken sentence through features, network, golden model and Verilog."""

import os
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from flows.asic import machine_costs
from flows.cli import tables
from flows.inputs import default_network, fitting_features, sample_features, speech_samples
from flows.progress import Progress, silent
from flows.simulation.cycles import expected_figures
from flows.simulation.figures import ladder
from flows.simulation.run import Simulation
from flows.simulation.simulate import cosimulate
from flows.speech import record
from flows.speech.reference import reference_phones
from flows.speech.transcribe import check_header, phones_of
from flows.tools import toolchain
from golden_model import Network
from hw.config import PRESETS
from hw.errors import PlosiveError
from hw.schedule import Schedule

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
    costs: bool = False,
    progress: Progress = silent,
) -> Demo:
    """Run a sentence through the whole ladder, and leave what a report needs in the folder.

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
    costs
        Also leave `area.json` and `power.json` of the machine, see `flows.asic.machine_costs`; they
        are measured beside the simulation.

    Raises
    ------
    PlosiveError
        There is no recording, or a tool is missing.
    """
    started, date = time.perf_counter(), _date()
    network_file = network_file if network_file is not None else default_network()
    network = Network.load(network_file)
    check_header(network)
    corpus = words = None
    if audio is None:
        audio, words, corpus = _held_out_sentence(data)
    recording = audio
    gain = network.header.get("provenance", {}).get("gain_db", {}).get(corpus, 0.0)
    progress("computing features")
    samples = speech_samples(recording)
    features = fitting_features(network.config, sample_features(samples, network.header, gain))
    all_frames = len(features)
    features = features[:_MOST_FRAMES]
    measuring = machine_costs.beside(network_file, features, build_dir) if costs else nullcontext()
    with measuring as measured:
        run = cosimulate(
            network.config,
            network,
            features,
            build_dir=build_dir,
            check="trace",
            keep_logits=True,
            progress=progress,
        )
        found = measured.result(progress) if measured else None
    heard = phones_of(run.simulation.logits, network) if run.passed else []
    config = network.config
    arrays, posteriors = _arrays(samples, network, run.simulation)
    figures = {
        "date": date,
        "tools": {
            **{name: version(name) for name in ("plosive", "amaranth", "cocotb", "numpy")},
            **toolchain.versions(),
        },
        "network": {
            "name": Path(network_file).stem,
            "description": network.header.get("provenance", {}).get("description"),
            "licence": network.header.get("licence"),
            "label_delay": network.header["label_delay"],
        },
        "configuration": config.to_dict(),
        "memories": {
            name: {"banks": shape.banks, "rows": shape.rows, "row_bits": config.row_bits}
            for name, shape in Schedule(config).memories.items()
        },
        "recording": str(recording),
        "words": words,
        "frames_of_recording": all_frames,
        "phones": heard,
        "reference_phones": reference_phones(recording, words, posteriors, network.header),
        "simulation": run.figures,
        "gain_db": gain,
        **_torch(network, features),
        "reference": {
            name: expected_figures(PRESETS[name])
            for name in ("paper-t2", "paper-t2-unmerged", "paper-t1")
        },
        "costs": found,
        "seconds": round(time.perf_counter() - started, 1),
    }
    messages = list(run.messages)
    if figures["torch"] and figures["torch"]["mismatches"]:
        messages.append("the torch network and the golden model differ")
    figures |= {"passed": not messages, "messages": messages}
    record.write(build_dir, record.Record(figures, arrays))
    return Demo(not messages, messages, figures)


def _date() -> str:
    """The time of the run, or that of SOURCE_DATE_EPOCH, which makes runs repeatable."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        seconds = time.time() if given is None else int(given)
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        raise PlosiveError(
            f"SOURCE_DATE_EPOCH is {given!r}: it must be seconds since 1970"
        ) from None


def _arrays(
    samples: np.ndarray, network: Network, simulation: Simulation
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What a report draws, and the log posteriors of the phones' states."""
    from model_zoo.scoring import decode
    from model_zoo.speech import features, phones

    logits, spikes = simulation.result.logits, simulation.result.spikes
    log_mel = features.log_mel(samples)[: len(logits)]
    posteriors = decode.state_log_posteriors(logits, network.header)
    by_phone = np.exp(posteriors).reshape(len(posteriors), len(phones.PHONES), phones.N_STATES)
    arrays = {
        "log_mel": log_mel,
        "posteriors": by_phone.sum(axis=-1).astype(np.float32),
        **{f"spikes_{layer}": s.astype(np.uint8) for layer, s in enumerate(spikes)},
    }
    return arrays, posteriors


def _held_out_sentence(data: Path | None) -> tuple[Path, str, str]:
    """A recording that the shipped network was not trained on, its words, and its corpus."""
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
                return utterance.path, utterance.text, corpus
    raise PlosiveError(f"no sentence to play: {problem}; or give a recording with --audio")


def _torch(network: Network, features: np.ndarray) -> dict[str, Any]:
    """The same frames through the torch network, every integer compared; else why not."""
    try:
        import torch

        from model_zoo.exchange.export import from_network

        model = from_network(network)
    except ImportError:
        return {"torch": None, "torch_missing": "torch is not installed here"}
    except ValueError as error:
        return {"torch": None, "torch_missing": f"torch cannot train these weights: {error}"}
    with torch.no_grad():
        logits, spikes, membranes = model(torch.from_numpy(features.astype(np.float32))[None])
    golden = network.run(features)
    pairs = [(logits, golden.logits[np.newaxis])]
    for ours, theirs in ((spikes, golden.spikes), (membranes, golden.membranes)):
        pairs += [(a, b[np.newaxis]) for a, b in zip(ours, theirs, strict=True)]
    compared = {
        "compared_values": sum(b.size for _, b in pairs),
        "mismatches": sum(int((a.numpy() != b).sum()) for a, b in pairs),
    }
    return {"torch": compared, "torch_missing": None}


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
    lines += [tables.ladder_table(ladder(figures)), tables.simulation_table(run)]
    phones = " ".join(phone["phone"] for phone in figures["phones"])
    lines.append(f"heard      {phones or '(nothing: the Verilog differs)'}")
    if figures["words"]:
        lines.append(f"said       {figures['words']}")
    if figures["costs"]:
        area, power = machine_costs.words(figures["costs"])
        lines += [f"area       {area}", f"power      {power}"]
    lines.append("")
    lines.append(tables.comparison_table(run, figures["reference"]))
    lines.append(f"{figures['seconds']} s in all.")
    return lines
