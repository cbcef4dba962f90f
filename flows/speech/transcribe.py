# SPDX-License-Identifier: Apache-2.0
"""`plosive transcribe`: the phones of a recording, by the golden model or by the Verilog."""

import os
from pathlib import Path

import numpy as np

from flows.inputs import fitting_features, sample_features, speech_samples
from flows.progress import Progress, silent
from flows.rates import speech_seconds
from flows.simulation.simulate import cosimulate
from flows.speech.figures import Phone, Transcription
from golden_model import Network
from hw.errors import PlosiveError

__all__ = ["check_header", "level_above", "phones_of", "transcribe"]


def transcribe(
    recording: str | os.PathLike[str],
    network: Network,
    *,
    engine: str = "golden",
    gain: float = 0.0,
    build_dir: Path,
    progress: Progress = silent,
) -> Transcription:
    """The phones of a recording.

    Parameters
    ----------
    recording
        16 kHz mono; "-" reads it from standard input.
    network
        Its header has labels and decoder constants.
    engine
        "golden": the functional model; "rtl": the generated Verilog in Verilator, with its logits.
    gain
        Gain applied to the recording, in dB.
    build_dir
        Build folder of the engine "rtl".

    Raises
    ------
    AudioError
        The recording cannot be used, or is silent.
    PlosiveError
        The network has no labels, or the Verilog computed something else.
    """
    check_header(network)
    notes: list[str] = []
    samples = speech_samples(recording, notes.append)
    features = fitting_features(network.config, sample_features(samples, network.header, gain))
    clocks = cycles = None
    if engine == "rtl":
        run = cosimulate(
            network.config,
            network,
            features,
            build_dir=build_dir,
            check="outputs",
            keep_logits=True,
            progress=progress,
        )
        if not run.passed:
            raise PlosiveError(f"the Verilog differs from the golden model: {run.messages[0]}")
        logits = run.simulation.logits
        clocks, cycles = run.figures.clocks, run.figures.cycles.cycles_per_frame
    else:
        progress("running the network")
        logits = network.run(features).logits
    return Transcription(
        recording=str(recording),
        engine=engine,
        gain_db=gain,
        level_db=level_above(samples, network, gain),
        notes=notes,
        clocks=clocks,
        cycles_per_frame=cycles,
        frames=len(features),
        seconds=round(speech_seconds(len(features)), 2),
        phones=phones_of(logits, network, len(features)),
    )


def level_above(samples: np.ndarray, network: Network, gain: float) -> float | None:
    """How far a recording, with a gain, is above its network's level, dB; None if not known."""
    from model_zoo.scoring import evaluate
    from model_zoo.speech import features

    above = evaluate.level_above(network.header, [features.log_mel(samples)])
    return None if above is None else round(above + gain, 1)


def phones_of(logits: np.ndarray, network: Network, frames: int | None = None) -> list[Phone]:
    """Phones with their times in seconds, from the logits of an utterance.

    Parameters
    ----------
    logits
        [readouts, n_output].
    frames
        Frames of the utterance, see `decode.held`.
    """
    from model_zoo.scoring import decode

    check_header(network)
    try:
        every_frame = decode.held(logits, network.config.readout_every, frames)
        segments = decode.decode(every_frame, network.header)
    except (KeyError, TypeError, ValueError) as error:
        raise PlosiveError(f"the logits cannot be decoded: {error}") from error
    return [Phone(phone=s.phone, start=s.start, end=s.end) for s in segments]


def check_header(network: Network, *, best: bool = False) -> None:
    """Refuse a network that does not say phones, or not how to decode them.

    With `best` a frame's best class is taken for its phone, for which labels suffice.
    """
    from model_zoo.scoring import decode

    if "labels" not in network.header:
        raise PlosiveError("the network has no labels in its header: it was not trained for phones")
    if best:
        return
    try:
        decode.check_header(network.header)
    except ValueError as error:
        raise PlosiveError(f"the network's {error}") from error
