# SPDX-License-Identifier: Apache-2.0
"""Figures of work on a board: self-tests, throughput, transcriptions."""

from dataclasses import dataclass

from flows.figures import Figures, optional
from flows.speech.figures import Phone

__all__ = ["BoardTranscription", "Difference", "SelfTest", "Streamed", "Throughput"]


@dataclass(frozen=True, kw_only=True)
class Difference(Figures):
    """The first value that differed from the golden model's.

    Attributes
    ----------
    network
        Seed of the network.
    readout
        Number of the frame's results.
    output
        Which logit; None in a list of best classes.
    place, value
        The place in a list of best classes, and "class" or "score"; None for logits.
    expected, actual
        The golden model's value and the board's.
    """

    network: int
    readout: int
    output: int | None = optional()
    place: int | None = optional()
    value: str | None = optional()
    expected: int
    actual: int


@dataclass(frozen=True, kw_only=True)
class SelfTest(Figures):
    """Random networks on a board, compared with the golden model.

    Attributes
    ----------
    networks, frames
        How many were run, frames of all networks together.
    values_compared
        How many results were compared.
    passed, first_difference
        Whether nothing differed; None if so.
    port
        Where the board is.
    """

    networks: int
    frames: int
    values_compared: int
    passed: bool
    first_difference: Difference | None
    port: str


@dataclass(frozen=True, kw_only=True)
class Throughput(Figures):
    """Frames per second through a board.

    Attributes
    ----------
    readout
        What was read back: "best" or "logits".
    baud
        Speed of the line.
    frames, values_a_frame
        Sent, and results of each.
    frames_per_s
        Frames per second of wall-clock time.
    board_frames_per_s
        Rate in the time of a simulated board; None on a real one.
    """

    readout: str
    baud: int
    frames: int
    values_a_frame: int
    frames_per_s: float | None
    board_frames_per_s: float | None


@dataclass(frozen=True, kw_only=True)
class BoardTranscription(Figures):
    """The phones of a recording, by way of a board.

    Attributes
    ----------
    recording
        File of the recording.
    readout
        What was read back: "best" or "logits".
    gain_db, level_db
        See `flows.speech.figures.Transcription`.
    network_loaded
        False if the board had it.
    baud
        Speed of the line.
    frames, seconds
        Length of the recording.
    frames_per_s, board_frames_per_s
        See `Throughput`.
    values_compared
        How many values were compared with the golden model; 0 unless asked for.
    counters
        The board's, by name.
    phones
        What was heard.
    """

    recording: str
    readout: str
    gain_db: float
    level_db: float | None
    network_loaded: bool
    baud: int
    frames: int
    seconds: float
    frames_per_s: float | None
    board_frames_per_s: float | None
    values_compared: int
    counters: dict[str, int]
    phones: list[Phone]


@dataclass(frozen=True, kw_only=True)
class Streamed(Figures):
    """Frames that a stream had, and the rate that board and line carry (None without frames)."""

    frames: int
    frames_per_s: float | None
