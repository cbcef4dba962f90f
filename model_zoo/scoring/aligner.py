# SPDX-License-Identifier: Apache-2.0
"""Forced alignment of read sentences by a network: its logits score the states of each frame."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from golden_model import Network
from hw.errors import PlosiveError
from model_zoo import zoo
from model_zoo.scoring import decode
from model_zoo.scoring.gain import find_gain
from model_zoo.scoring.score import run_batches
from model_zoo.speech import align, features

__all__ = ["AlignError", "Aligner"]


class AlignError(PlosiveError, ValueError):
    """A network that cannot align recordings; one line that says why."""


class Aligner:
    """A network, asked where in a recording the states of its sentence lie.

    Parameters
    ----------
    name
        A network of the zoo, or a network file. It was trained for phones: its header has all that
        decoding needs.

    Attributes
    ----------
    key
        A hash of the network's file.

    Raises
    ------
    AlignError
        There is no such network, its header lacks something, or is for other features than this
        program computes.
    NetworkError
        The file is damaged.
    """

    def __init__(self, name: str) -> None:
        path = Path(name) if Path(name).suffix else zoo.path(name)
        if not path.is_file():
            raise AlignError(
                f"align is {name!r}: it must be a network file, or one of {', '.join(zoo.names())}"
            )
        self._network = Network.load(path)
        self._header = self._network.header
        try:
            features.Normalisation.from_header(self._header)
            decode.check_header(self._header)
        except (KeyError, TypeError, ValueError) as error:
            raise AlignError(f"align is {name!r}: the network's {error}") from error
        self.key = hashlib.sha256(path.read_bytes()).hexdigest()

    def __call__(
        self,
        corpus: str,
        texts: Sequence[str],
        log_mels: Sequence[np.ndarray],
        progress: bool = True,
    ) -> align.Alignment:
        """Align the recordings of a corpus: by the network, then refined, see `align.refine`.

        Parameters
        ----------
        corpus
            Its name: the network's file may have a gain for it, see `find_gain`.
        texts
            The sentences; every word must have a pronunciation.
        log_mels
            Log-mel energies `[frames, 40]` of each recording.
        progress
            Draw a progress bar.
        """
        durations = np.array(self._header["log_stay"]), np.array(self._header["log_leave"])
        scores = self._scores(corpus, log_mels)
        return align.refine(texts, log_mels, scores, durations, progress=progress)

    def _scores(self, corpus: str, log_mels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Log likelihoods of the states, float32 `[frames, 183]`, of each recording."""
        gain = find_gain(self._header, corpus, log_mels)
        fed = [features.quantised(gain(frames), self._header) for frames in log_mels]
        # All of the prior goes: a sentence says which phones come, not how often they do.
        weights = {**self._header["decoder"], "acoustic_weight": 1.0, "prior_weight": 1.0}
        header = {**self._header, "decoder": weights}
        scores: list[np.ndarray] = [np.empty(0)] * len(fed)
        for numbers, outputs in run_batches(self._network.run, fed, header):
            for number, output in zip(numbers, outputs, strict=True):
                posteriors = decode.state_log_posteriors(output.logits, header)
                found = decode.emission_scores(posteriors, header)
                # A phone that the network never heard is as likely as its least likely one.
                known = np.isfinite(found)
                scores[number] = np.where(known, found, found[known].min()).astype(np.float32)
        return scores
