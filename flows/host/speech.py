# SPDX-License-Identifier: Apache-2.0
"""Speech through a board: a recording, or a stream of samples while it goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from flows.host.device import Device, DeviceError, best_of
from flows.host.figures import BoardTranscription, Streamed
from flows.inputs import default_network, fitting_features, sample_features, speech_samples
from flows.progress import Progress, silent
from flows.rates import FRAMES_PER_S, frames_per_s, speech_seconds
from flows.speech.figures import Phone
from flows.speech.transcribe import check_header, level_above, phones_of
from golden_model import Network
from hw.errors import PlosiveError

__all__ = ["BestPhones", "LogitPhones", "phones_of_best", "stream", "transcribe"]

_SHORTEST = 3  # frames; a run of a class that is shorter is no phone
_LAG_S = 0.4  # what lies further back is no longer changed
_PAUSE_S = 0.2  # of silence, at which the search begins anew
_LONGEST_S = 10.0  # that is searched again with each new frame


def transcribe(
    device: Device,
    recording: str | os.PathLike[str],
    network: Network,
    *,
    gain: float = 0.0,
    best: bool = False,
    check: bool = False,
    clock: Callable[[], float] | None = None,
    progress: Progress = silent,
) -> BoardTranscription:
    """The phones of a recording; the network is loaded unless the board has it.

    Parameters
    ----------
    best
        Only the best class of each frame comes back, for slow links: no search, so worse phones.
    check
        Compare with the golden model, bit for bit.
    clock
        The board's own time in seconds, of a simulated one.

    Raises
    ------
    AudioError
        The recording cannot be used.
    PlosiveError
        The network has no labels, is for another machine, the board stops, or computed something
        else.
    """
    check_header(network, best=best)
    samples = speech_samples(recording)
    features = fitting_features(device.config, sample_features(samples, network.header, gain))
    fitted = device.fit(network)
    loaded = device.prepare(network, progress)
    started, before = time.monotonic(), clock() if clock else 0.0
    results = (device.best if best else device.run)(features, progress)
    seconds, after = time.monotonic() - started, clock() if clock else 0.0
    if check:
        _compare(device, fitted, features, results, best)
    outputs = network.config.n_output
    phones = (
        phones_of_best(results, network)
        if best
        else phones_of(results[:, :outputs], network, len(features))
    )
    return BoardTranscription(
        recording=str(recording),
        readout="best" if best else "logits",
        gain_db=gain,
        level_db=level_above(samples, network, gain),
        network_loaded=loaded,
        baud=device.link.baud,
        frames=len(features),
        seconds=round(speech_seconds(len(features)), 2),
        frames_per_s=frames_per_s(len(features), seconds),
        board_frames_per_s=frames_per_s(len(features), after - before) if clock else None,
        values_compared=int(results.size) if check else 0,
        counters=device.counters(),
        phones=phones,
    )


def _compare(
    device: Device, network: Network, features: np.ndarray, results: np.ndarray, best: bool
) -> None:
    logits = network.run(features).logits
    expected = best_of(logits, device.identity.best) if best else logits
    wrong = np.argwhere(results != expected)
    if len(wrong):
        place = tuple(map(int, wrong[0]))
        raise DeviceError(
            f"{device.link.name}: the board differs from the golden model in {len(wrong):,} of "
            f"{expected.size:,} values: at frame {place[0]}, place {place[1:]}, it is "
            f"{results[place]}, not {expected[place]}"
        )


def phones_of_best(best: np.ndarray, network: Network) -> list[Phone]:
    """Phones with their times in seconds from the best classes [readouts, N, 2].

    A phone is a run of frames whose best class is one of its states.
    """
    tracker = BestPhones(network)
    return [*tracker.add(best), *tracker.finish()]


class BestPhones:
    """Phones from the best class of each readout, as they come."""

    def __init__(self, network: Network) -> None:
        check_header(network, best=True)
        self._phones = [label.split(".")[0] for label in network.header["labels"]]
        self._delay = network.header.get("label_delay", 0)
        self._every = network.config.readout_every
        self._frame = -self._delay  # that the next result belongs to
        self._start = 0
        self._run: tuple[str, int] | None = None  # a phone that may still be too short
        self._phone: str | None = None

    def add(self, best: Iterable[np.ndarray]) -> list[Phone]:
        """Phones that end with these results, each class, score, class, ..."""
        from model_zoo.scoring import decode

        found = []
        for entries in decode.held(list(best), self._every):
            frame, self._frame = self._frame, self._frame + 1
            if frame < 0:
                continue
            classes = np.reshape(entries, (-1, 2))[:, 0]
            label = next((int(c) for c in classes if c < len(self._phones)), None)
            phone = self._phones[label] if label is not None else self._phone
            if phone == self._phone or phone is None:
                self._run = None
                continue
            if self._run is None or self._run[0] != phone:
                self._run = (phone, frame)
            if frame - self._run[1] + 1 >= _SHORTEST or self._phone is None:
                found += self._close(self._run[1])
                self._phone, self._start = self._run
                self._run = None
        return found

    def finish(self) -> list[Phone]:
        """The phone that was still going on."""
        return self._close(max(0, self._frame))

    def _close(self, end: int) -> list[Phone]:
        if self._phone is None or end <= self._start:
            return []
        return [_segment(self._phone, self._start, end)]


def _segment(phone: str, start: int, end: int) -> Phone:
    """A phone in frames start to end - 1; each stands for 10 ms around its window's middle."""
    from model_zoo.speech.audio import FRAME_SAMPLES, SAMPLE_RATE
    from model_zoo.speech.features import FRAME_SECONDS

    lead = (FRAME_SAMPLES / SAMPLE_RATE - FRAME_SECONDS) / 2
    first, last = (round(frame * FRAME_SECONDS + lead, 4) for frame in (start, end))
    return Phone(phone=phone, start=first, end=last)


class LogitPhones:
    """Phones from logits, as they come, by the decoder of whole recordings.

    It searches again with each new frame, from the last pause on, and holds what lies `_LAG_S`
    back for final: so a phone now and then differs from what it would be in a whole recording.
    """

    def __init__(self, network: Network) -> None:
        check_header(network)
        self._network = network
        self._header = {**network.header, "label_delay": 0}
        self._skip = network.header.get("label_delay", 0)
        self._first = 0  # frame of the first posteriors
        self._posteriors = np.zeros((0, 0))
        self._said_s = 0.0

    def add(self, rows: Iterable[np.ndarray]) -> list[Phone]:
        """Phones that have become final with these logits."""
        from model_zoo.scoring import decode

        config = self._network.config
        rows = decode.held([row[: config.n_output] for row in rows], config.readout_every)
        skipped = min(self._skip, len(rows))
        self._skip -= skipped
        if len(rows) == skipped:
            return []
        new = decode.state_log_posteriors(rows[skipped:], self._header)
        self._posteriors = np.concatenate([self._posteriors, new]) if self._count else new
        return self._search(_LAG_S)

    def finish(self) -> list[Phone]:
        """All phones that are left."""
        return self._search(0.0) if self._count else []

    @property
    def _count(self) -> int:
        return len(self._posteriors)

    def _search(self, lag_s: float) -> list[Phone]:
        from model_zoo.scoring import decode
        from model_zoo.speech import phones

        (segments,) = decode.decode_posteriors([self._posteriors], self._header)
        offset = speech_seconds(self._first)
        now_s = offset + speech_seconds(self._count)
        found = []
        cut = None
        for segment in segments:
            start, end = segment.start + offset, segment.end + offset
            if end > now_s - lag_s and lag_s:
                break
            if (start + end) / 2 > self._said_s:
                found.append(Phone(phone=segment.phone, start=round(start, 4), end=round(end, 4)))
                self._said_s = end
            silent = phones.fold([segment.phone]) == [phones.SILENCE]
            silent_long = silent and end - start > _PAUSE_S
            if silent_long or self._count > FRAMES_PER_S * _LONGEST_S:
                at = (start + end) / 2 if silent_long else start
                cut = round(FRAMES_PER_S * at) - self._first
        if cut is not None and 0 < cut < self._count:
            self._posteriors = self._posteriors[cut:]
            self._first += cut
        return found


def stream(
    device: Device,
    network: Network,
    chunks: Iterable[np.ndarray],
    *,
    gain: float = 0.0,
    best: bool = False,
    done: Callable[[Streamed], None] | None = None,
) -> Iterator[Phone]:
    """Phones of samples, as they come; the board must have the network.

    Parameters
    ----------
    chunks
        Samples at 16 kHz, full scale 1.0, any number at a time.
    done
        Receives the figures of the stream when it ends.

    Raises
    ------
    PlosiveError
        The network has no labels, or the board stops.
    """
    from model_zoo.speech import features

    header = network.header
    if "features" not in header:
        header = Network.load(default_network()).header
    try:
        extractor = features.FeatureStream(header, gain)
    except (KeyError, TypeError, ValueError) as error:
        raise PlosiveError(f"the network's header is wrong: {error}") from error
    tracker = BestPhones(network) if best else LogitPhones(network)
    feeder = _Feeder(device, best)
    try:
        for samples in chunks:
            frames = extractor.accept(samples)
            if len(frames):
                fitting_features(device.config, frames)
                yield from tracker.add(feeder.give(frames, last=False))
        delay = network.header.get("label_delay", 0)
        if feeder.frames:
            silence = np.zeros((delay, device.config.n_input), np.int8)
            yield from tracker.add(feeder.give(silence, last=True))
            yield from tracker.finish()
    finally:
        if done is not None:
            done(feeder.figures())


class _Feeder:
    """Frames into a board in batches, and how long the board takes for them."""

    def __init__(self, device: Device, best: bool) -> None:
        device.begin(best=best)
        self._device, self._batch = device, device.batch(best)
        self.frames, self._busy_s = 0, 0.0

    def give(self, frames: np.ndarray, last: bool) -> list[np.ndarray]:
        """Send frames, and what came back; with `last` the utterance ends."""
        started = time.monotonic()
        rows: list[np.ndarray] = []
        for place in range(0, len(frames), self._batch):
            now = frames[place : place + self._batch]
            end = last and place + len(now) == len(frames)
            rows += self._device.feed(now, start=self.frames == 0, end=end)
            self.frames += len(now)
        if last:
            rows += self._device.rest()
        self._busy_s += time.monotonic() - started
        return rows

    def figures(self) -> Streamed:
        return Streamed(frames=self.frames, frames_per_s=frames_per_s(self.frames, self._busy_s))
