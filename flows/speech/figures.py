# SPDX-License-Identifier: Apache-2.0
"""Figures of speech: phones, transcriptions, scores, trainings, and the demo."""

from dataclasses import dataclass
from typing import Any

from flows.asic.machine_costs import MachineCosts
from flows.figures import Figures, inline, optional
from flows.simulation.cycles import FrameFigures
from flows.simulation.figures import CyclesPerFrame, SimulationFigures
from hw.config import AcceleratorConfig

__all__ = [
    "ComparedWithTorch",
    "DemoFigures",
    "DemoNetwork",
    "Evaluation",
    "MemoryRows",
    "Phone",
    "ReferencePhones",
    "Rung",
    "Scores",
    "Stage",
    "StageScores",
    "Training",
    "Transcription",
]


@dataclass(frozen=True, kw_only=True)
class Phone(Figures):
    """A phone, and its times in seconds."""

    phone: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class ReferencePhones(Figures):
    """The phones that were said, or none, and a sentence on where they are from."""

    phones: list[Phone]
    source: str


@dataclass(frozen=True, kw_only=True)
class Transcription(Figures):
    """The phones of a recording.

    Attributes
    ----------
    recording
        File of the recording.
    engine
        What computed it: "golden" or "rtl".
    gain_db
        Applied to the recording.
    level_db
        How far the recording, with that gain, is above the level that the network was trained at;
        None where its file does not say.
    notes
        Remarks on the recording, a line each.
    clocks, cycles_per_frame
        Clocks that the Verilog took; None for the golden model.
    frames, seconds
        Length of the recording.
    phones
        What was heard.
    """

    recording: str
    engine: str
    gain_db: float
    level_db: float | None
    notes: list[str]
    clocks: int | None = optional()
    cycles_per_frame: CyclesPerFrame | None = optional()
    frames: int
    seconds: float
    phones: list[Phone]


@dataclass(frozen=True, kw_only=True)
class Scores(Figures):
    """How often a network is right and how sparse it is, see `model_zoo.scoring.score.Scores`."""

    utterances: int
    frames: int
    per: float
    per_no_silence: float
    frame_accuracy: float | None
    phone_accuracy: float | None
    sparsity: list[list[float]]
    union_density: list[float]
    intersection_density: list[float]
    input_zero_bits: float


@dataclass(frozen=True, kw_only=True)
class Evaluation(Figures):
    """A network scored on recordings.

    Attributes
    ----------
    network
        File of the network.
    corpus, format, split, speakers
        Where the recordings are from.
    snr_db, noise, noise_seed
        Noise that was added; None without.
    scores
        How often it is right and how sparse it is.
    mmac_per_s, mmac_per_s_enabled, mmac_per_s_dense
        Accumulations, in millions per second of speech: of weights that are not zero, of all that
        the PEs add, and with nothing skipped.
    cycles_per_frame
        Mean cycles of a frame, by the laws.
    mb, mb_memory
        Megabytes of weights that are not zero, and of the weight memories.
    seconds
        Seconds of speech.
    network_hash
        Hash of the fields that a network must fit.
    label_delay, decoder
        The entries of the network's header.
    gain_db, gain_is
        Gain of the recordings, and where it is from.
    notes
        What the scores do not say, a line each.
    taken
        Wall-clock seconds by step, and in all.
    times_real_time
        Seconds of speech scored per second.
    """

    network: str
    corpus: str
    format: str | None
    split: str
    speakers: int
    snr_db: float | None
    noise: str | None
    noise_seed: int | None
    scores: Scores = inline()
    mmac_per_s: float
    mmac_per_s_enabled: float
    mmac_per_s_dense: float
    cycles_per_frame: float
    mb: float
    mb_memory: float
    seconds: float
    network_hash: str
    label_delay: int
    decoder: dict[str, Any]
    gain_db: float
    gain_is: str
    notes: list[str]
    taken: dict[str, float]
    times_real_time: float


@dataclass(frozen=True, kw_only=True)
class StageScores(Figures):
    """Scores of the sentences that a stage was tuned on and of those it was not; None without."""

    dev: Scores | None = optional()
    test: Scores | None = optional()


@dataclass(frozen=True, kw_only=True)
class Stage(Figures):
    """A stage of a training: its name, its last loss, and its scores."""

    name: str
    loss: float
    scores: StageScores = inline()


@dataclass(frozen=True, kw_only=True)
class Training(Figures):
    """A trained network, its model card, and the stages it went through."""

    network: str
    card: str
    stages: list[Stage]


@dataclass(frozen=True, kw_only=True)
class DemoNetwork(Figures):
    """The network that a demo ran: what its file says."""

    name: str
    description: str | None
    licence: str | None
    label_delay: int


@dataclass(frozen=True, kw_only=True)
class MemoryRows(Figures):
    """The shape of a weight memory: rows of each bank, and their width."""

    banks: int
    rows: int
    row_bits: int


@dataclass(frozen=True, kw_only=True)
class ComparedWithTorch(Figures):
    """How many integers of the trained network were compared, and how many differed."""

    compared_values: int
    mismatches: int


@dataclass(frozen=True, kw_only=True)
class Rung:
    """An exact comparison: what was compared, how much of it, and how much differed."""

    what: str
    compared: str
    mismatches: int


@dataclass(frozen=True, kw_only=True)
class DemoFigures(Figures):
    """A spoken sentence from sound to phones.

    Attributes
    ----------
    date
        When the demo ran, in ISO 8601.
    tools
        Versions; None for a tool that is not there.
    network, configuration, memories
        What ran, and the shapes of the weight memories.
    recording, words, frames_of_recording
        The sentence; its words where they are known, and all its frames.
    phones, reference_phones
        Phones that were heard, and those that were said.
    simulation
        The Verilog beside the golden model.
    gain_db
        Applied to the recording.
    torch, torch_missing
        The trained network beside the golden model, or why it was not compared.
    reference
        The laws for the reference's shapes, by preset.
    costs
        Area and power; None unless asked for.
    seconds
        What the demo took.
    passed, messages
        Whether nothing differed, and the first differences.
    """

    date: str
    tools: dict[str, str | None]
    network: DemoNetwork
    configuration: AcceleratorConfig
    memories: dict[str, MemoryRows]
    recording: str
    words: str | None
    frames_of_recording: int
    phones: list[Phone]
    reference_phones: ReferencePhones
    simulation: SimulationFigures
    gain_db: float
    torch: ComparedWithTorch | None
    torch_missing: str | None
    reference: dict[str, FrameFigures]
    costs: MachineCosts | None
    seconds: float
    passed: bool
    messages: list[str]

    @property
    def ladder(self) -> list[Rung]:
        """The exact comparisons, from the trained network to the Verilog."""
        run, rungs = self.simulation, []
        if self.torch is not None:
            rungs.append(
                Rung(
                    what="torch, 4-bit weights = golden model",
                    compared=f"{self.torch.compared_values:,} spikes, membranes, logits",
                    mismatches=self.torch.mismatches,
                )
            )
        return [
            *rungs,
            Rung(
                what="golden model = Verilog, all state",
                compared=f"{run.compared_clocks:,} clocks, {run.compared_bits:,} bits",
                mismatches=run.mismatches,
            ),
            Rung(
                what="cycle laws = counters",
                compared=f"{len(run.counters)} counters",
                mismatches=run.unequal_counters,
            ),
        ]
