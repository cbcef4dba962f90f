# SPDX-License-Identifier: Apache-2.0
"""Log-mel energies of many recordings, computed once."""

import hashlib
import json
from pathlib import Path

import numpy as np
from rich.progress import track

from model_zoo import features

__all__ = ["cached_log_mel"]


def cached_log_mel(utterances, cache, progress=True):
    """Log-mel energies of many utterances, computed once and kept in `cache`.

    Parameters
    ----------
    utterances : list of Utterance
    cache : path-like
        A build folder. The cache's key is the files' names, sizes, dates and repairs.
    progress : bool
        Draw a progress bar while computing.

    Returns
    -------
    list of numpy.ndarray
        float32 `[frames, 40]`, one per utterance.
    """
    stats = [
        (str(u.path), u.path.stat().st_size, u.path.stat().st_mtime_ns, u.repair)
        for u in utterances
    ]
    key = hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:16]
    path = Path(cache) / f"log_mel-{key}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return np.split(stored["frames"], stored["ends"][:-1])
    frames = [
        features.log_mel(utterance.load())
        for utterance in track(utterances, "log-mel features", disable=not progress)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, frames=np.concatenate(frames), ends=np.cumsum([len(f) for f in frames]))
    partial.replace(path)
    return frames
