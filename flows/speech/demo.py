# SPDX-License-Identifier: Apache-2.0
"""`plosive demo`: a spoken sentence through features, network, golden model and Verilog."""

import os
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import soundfile

from flows.asic import machine_costs
from flows.inputs import default_network, fitting_features, sample_features, speech_samples
from flows.progress import Progress, silent
from flows.simulation.cycles import expected_figures
from flows.simulation.run import Simulation
from flows.simulation.simulate import cosimulate
from flows.speech import record
from flows.speech.figures import ComparedWithTorch, DemoFigures, DemoNetwork, MemoryRows
from flows.speech.reference import reference_phones
from flows.speech.transcribe import check_header, phones_of
from flows.tools import toolchain
from golden_model import Network
from golden_model.files.escape import terminal
from golden_model.files.header import provenance
from hw.config import PRESETS, AcceleratorConfig
from hw.errors import PlosiveError
from hw.schedule import Schedule
from model_zoo.data import DataError, Utterance, read

__all__ = ["Demo", "demo", "sentence", "shipped_sentence"]

_CORPORA = ("kathleen", "slt", "bdl")  # may be redistributed; the first one installed is played
_SHIPPED = Path(__file__).resolve().parent / "sentence"  # laid out as a data folder
_SECONDS = (1.5, 2.8)  # of a sentence
_MOST_FRAMES = 300  # of a recording
_PUBLISHED = ("paper-t2", "paper-t2-unmerged", "paper-t1")  # presets that the reference has too


@dataclass(frozen=True)
class Demo:
    """Outcome of a demo: whether everything agreed, what differed, and all figures."""

    passed: bool
    messages: list[str]
    figures: DemoFigures


def demo(
    *,
    build_dir: Path,
    audio: Path | None = None,
    network_file: Path | None = None,
    data: Path | None = None,
    costs: bool = False,
    progress: Progress = silent,
) -> Demo:
    """Run a sentence through every representation of the network and compare them exactly.

    The build folder keeps `demo.json` and `demo.npz`, from which `plosive report` draws its page.

    Parameters
    ----------
    build_dir
        Folder for Verilog, simulation models and results.
    audio
        A 16 kHz mono recording; None plays a short held-out sentence, see `sentence`.
    network_file
        None takes the shipped network.
    data
        Folder of the data sets, see `model_zoo.data.find_data`.
    costs
        Also measure area and power of the machine while the simulation runs, and keep them as
        `area.json` and `power.json`, see `flows.asic.machine_costs`.

    Raises
    ------
    PlosiveError
        A named data folder has no sentence, the recording cannot be used, or a tool is missing.
    """
    started, date = time.perf_counter(), _date()
    network_file = network_file if network_file is not None else default_network()
    network = Network.load(network_file)
    check_header(network)
    played = sentence(data) if audio is None else None
    recording = played.path if played else audio
    words = played.text if played else None
    gain = _gain(network, played)
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
        measured_costs = measured.result(progress) if measured else None
    arrays, posteriors = _arrays(samples, network, run.simulation)
    torch, torch_missing = _torch(network, features)
    messages = list(run.messages)
    if torch is not None and torch.mismatches:
        messages.append("the torch network and the golden model differ")
    figures = DemoFigures(
        date=date,
        tools={
            **{name: version(name) for name in ("plosive", "amaranth", "cocotb", "numpy")},
            **toolchain.versions(),
        },
        network=_described(network, network_file),
        configuration=network.config,
        memories=_memories(network.config),
        recording=terminal(recording),
        words=words,
        frames_of_recording=all_frames,
        phones=(phones_of(run.simulation.logits, network, len(features)) if run.passed else []),
        reference_phones=reference_phones(recording, words, posteriors, network.header),
        simulation=run.figures,
        gain_db=gain,
        torch=torch,
        torch_missing=torch_missing,
        reference={name: expected_figures(PRESETS[name]) for name in _PUBLISHED},
        costs=measured_costs,
        seconds=round(time.perf_counter() - started, 1),
        passed=not messages,
        messages=messages,
    )
    record.write(build_dir, record.Record(figures, arrays))
    return Demo(not messages, messages, figures)


def sentence(data: Path | None = None) -> Utterance:
    """A short recording that the shipped network was not trained on.

    It comes from the data folder (see `model_zoo.data.find_data`). Where there is none, and neither
    `data` nor the environment's PLOSIVE_DATA names one, it is the sentence that Plosive ships with.

    Raises
    ------
    PlosiveError
        The named folder has no such recording.
    """
    try:
        return _held_out(data)
    except DataError as error:
        if data is not None or os.environ.get("PLOSIVE_DATA"):
            raise PlosiveError(
                f"no sentence to play: {error}; or give a recording with --audio"
            ) from error
        return shipped_sentence()


def shipped_sentence() -> Utterance:
    """The sentence that Plosive ships with."""
    return _held_out(_SHIPPED)


def _held_out(data: Path | None) -> Utterance:
    problems = []
    for corpus in _CORPORA:
        try:
            utterances = read(corpus, data)
        except DataError as error:
            problems.append(error)
            continue
        for utterance in utterances:
            seconds = soundfile.info(utterance.path).duration
            if utterance.split == "test" and _SECONDS[0] <= seconds <= _SECONDS[1]:
                return utterance
        problems.append(
            DataError(f"corpus {corpus!r} has no test sentence of {_SECONDS[0]} to {_SECONDS[1]} s")
        )
    raise problems[0]


def _gain(network: Network, played: Utterance | None) -> float:
    """Decibels that bring the sentence's corpus to the network's level; 0 for other recordings."""
    gains = provenance(network.header).get("gain_db", {})
    return gains.get(played.corpus, 0.0) if played else 0.0


def _described(network: Network, network_file: Path) -> DemoNetwork:
    return DemoNetwork(
        name=Path(network_file).stem,
        description=provenance(network.header).get("description"),
        licence=network.header.get("licence"),
        label_delay=network.header["label_delay"],
    )


def _memories(config: AcceleratorConfig) -> dict[str, MemoryRows]:
    return {
        name: MemoryRows(banks=shape.banks, rows=shape.rows, row_bits=config.row_bits)
        for name, shape in Schedule(config).memories.items()
    }


def _date() -> str:
    """Time of the run, or SOURCE_DATE_EPOCH where it is set, so that runs can be repeated."""
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
    """The arrays that a report draws, and the log posteriors of the phone states."""
    from model_zoo.scoring import decode
    from model_zoo.speech import features, phones

    spikes = simulation.result.spikes
    logits = decode.held(simulation.result.logits, network.config.readout_every, len(spikes[0]))
    log_mel = features.log_mel(samples)[: len(logits)]
    posteriors = decode.state_log_posteriors(logits, network.header)
    by_phone = np.exp(posteriors).reshape(len(posteriors), len(phones.PHONES), phones.N_STATES)
    arrays = {
        "log_mel": log_mel,
        "posteriors": by_phone.sum(axis=-1).astype(np.float32),
        **{f"spikes_{layer}": s.astype(np.uint8) for layer, s in enumerate(spikes)},
    }
    return arrays, posteriors


def _torch(network: Network, features: np.ndarray) -> tuple[ComparedWithTorch | None, str | None]:
    """Every integer of the torch network compared on the same frames, or why there is none."""
    try:
        import torch

        from model_zoo.exchange.export import from_network

        model = from_network(network)
    except ImportError:
        return None, "torch is not installed here"
    except ValueError as error:
        return None, f"torch cannot train these weights: {error}"
    with torch.no_grad():
        logits, spikes, membranes = model(torch.from_numpy(features.astype(np.float32))[None])
    golden = network.run(features)
    pairs = [(logits, golden.logits[np.newaxis])]
    for ours, theirs in ((spikes, golden.spikes), (membranes, golden.membranes)):
        pairs += [(a, b[np.newaxis]) for a, b in zip(ours, theirs, strict=True)]
    compared = ComparedWithTorch(
        compared_values=sum(b.size for _, b in pairs),
        mismatches=sum(int((a.numpy() != b).sum()) for a, b in pairs),
    )
    return compared, None
