# SPDX-License-Identifier: Apache-2.0
"""A board as its driver sees it: who it is, its network, frames in and logits out, its counters.

It knows registers by their names (`hw.shell.registers`) and the board by a `Link`; whether that
ends in a cable or in a simulation makes no difference.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.host.figures import Difference, SelfTest
from flows.host.link import BusError, Link
from flows.progress import Progress, silent
from flows.verilog.contents import contents, window_words
from golden_model import Network, random_features
from golden_model.files.network_file import differing_fields
from hw.config import AcceleratorConfig, ConfigError
from hw.errors import PlosiveError
from hw.shell.registers import (
    CONSTANTS,
    COUNTER_REGISTERS,
    MAGIC,
    MAP_VERSION,
    config_of_constants,
    element_bits,
    register,
    result_words,
)
from hw.shell.shell import build_hash

__all__ = ["Device", "DeviceError", "Identity", "best_of"]

_STALL_S = 10.0  # without a word taken or given, after which a machine counts as hung
_PIECE_WORDS = 1008  # eight of the longest packets
_RESULTS_AHEAD = 1  # frames under way where the result buffer holds less than one


class DeviceError(PlosiveError):
    """The board is not what was expected, or does not do what it should: one line."""


@dataclass(frozen=True)
class Identity:
    """What a board's constant registers tell.

    Attributes
    ----------
    config
        The accelerator's configuration, as rebuilt from the registers.
    version
        Version of the register map.
    build_hash
        Hash of the network that it was built with, 0 for none.
    baked
        Whether the network is constant, so that none can be loaded.
    best
        Entries of the best-N list, 0 for none.
    result_depth
        Words of results that can wait for the host.
    feature_words
        Words of a frame of features.
    """

    config: AcceleratorConfig
    version: tuple[int, int, int]
    build_hash: int
    baked: bool
    best: int
    result_depth: int
    feature_words: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "register_map": ".".join(map(str, self.version)),
            "configuration_hash": self.config.config_hash,
            "network_hash": self.config.network_hash,
            "build_hash": f"{self.build_hash:08x}",
            "baked": self.baked,
            "best": self.best,
            "result_depth": self.result_depth,
            "configuration": self.config.to_dict(),
        }


@dataclass(frozen=True)
class _Region:
    """Words of a region of the weight window, row by row."""

    name: str
    row_words: int
    words: list[int]

    def __str__(self) -> str:
        return f"{self.name}, {4 * len(self.words):,} bytes"

    def place(self, word: int) -> str:
        """Where a word is."""
        return f"{self.name}, row {word // self.row_words}, word {word % self.row_words}"


def _offset(name: str) -> int:
    return register(name).offset


class Device:
    """A connected board.

    Parameters
    ----------
    link
        A connected link to the board.

    Attributes
    ----------
    identity
        See `Identity`; read when the device is made.

    Raises
    ------
    DeviceError
        There is a bridge, but no Plosive that this program knows behind it.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.identity = self._identify()
        self.config = self.identity.config

    # ---- who it is -------------------------------------------------------------------------

    def _identify(self) -> Identity:
        try:
            values = self.link.read(CONSTANTS[0].offset, len(CONSTANTS))
        except BusError as error:
            raise DeviceError(f"{self.link.name}: {error}: this is no Plosive bitstream") from error
        words = dict(zip((entry.name for entry in CONSTANTS), values, strict=True))
        if words["ID"] != MAGIC:
            raise DeviceError(
                f"{self.link.name}: register ID is {words['ID']:#010x}, not {MAGIC:#010x}: "
                "this is no Plosive bitstream"
            )
        version = register("VERSION").unpack(words["VERSION"])
        if version["major"] != MAP_VERSION[0]:
            raise DeviceError(
                f"{self.link.name}: the bitstream has version {version['major']} of the register "
                f"map, this program knows version {MAP_VERSION[0]}: build it again, or use the "
                "program that it was built with"
            )
        try:
            config = config_of_constants(words)
        except ConfigError as error:
            raise DeviceError(
                f"{self.link.name}: the bitstream's configuration is wrong: {error}"
            ) from error
        told = f"{words['CONFIG_HASH_0']:08x}{words['CONFIG_HASH_1']:08x}"
        if told != config.config_hash:
            raise DeviceError(
                f"{self.link.name}: the bitstream says configuration {told}, its registers make "
                f"{config.config_hash}: it was built by another version of Plosive"
            )
        build = register("BUILD").unpack(words["BUILD"])
        return Identity(
            config=config,
            version=(version["major"], version["minor"], version["patch"]),
            build_hash=words["BUILD_HASH"],
            baked=bool(build["baked"]),
            best=build["best"],
            result_depth=build["result_depth"],
            feature_words=register("FEATURE_FORMAT").unpack(words["FEATURE_FORMAT"])["frame_words"],
        )

    def expect(self, config: AcceleratorConfig) -> None:
        """Refuse a board of another configuration: a wrong bitstream.

        Raises
        ------
        DeviceError
            The message names the fields that differ.
        """
        if config.config_hash == self.config.config_hash:
            return
        there, wanted = self.config.to_dict(), config.to_dict()
        fields = ", ".join(
            f"{name} {there[name]} (not {wanted[name]})"
            for name in wanted
            if there[name] != wanted[name]
        )
        raise DeviceError(
            f"{self.link.name}: wrong bitstream: configuration {self.config.config_hash}, "
            f"not {config.config_hash}: {fields}"
        )

    def fit(self, network: Network) -> Network:
        """The network on this board's configuration.

        A board with more outputs runs it too: the weights of those that are missing are 0.

        Raises
        ------
        DeviceError
            The board is for other networks.
        """
        outputs = self.config.n_output
        if network.config.n_output < outputs:
            wide = network.config.replace(n_output=outputs)
            if wide.network_hash == self.config.network_hash:
                w_out = np.pad(network.w_out, ((0, 0), (0, outputs - network.config.n_output)))
                network = Network(wide, network.layers, w_out, network.header)
        if differences := differing_fields(network.config, self.config):
            raise DeviceError(
                f"{self.link.name}: wrong bitstream: it is for networks of hash "
                f"{self.config.network_hash}, this one has {network.config.network_hash}: "
                f"{differences}"
            )
        return network.on(self.config)

    # ---- state -----------------------------------------------------------------------------

    def read(self, name: str) -> int:
        """A register by its name."""
        return self.link.read(_offset(name))[0]

    def write(self, name: str, **fields: int) -> None:
        """The fields of a register by their names; the others become 0."""
        self.link.write(_offset(name), [register(name).pack(**fields)])

    def status(self) -> dict[str, int]:
        """The fields of STATUS."""
        return register("STATUS").unpack(self.read("STATUS"))

    def errors(self) -> list[str]:
        """Names of the bits of ERRORS that are set."""
        held = register("ERRORS").unpack(self.read("ERRORS"))
        return [name for name, value in held.items() if value]

    def reset(self) -> None:
        """Soft reset: whatever was under way is dropped; weights stay."""
        self.write("CONTROL", soft_reset=1)

    def counters(self) -> dict[str, int]:
        """The performance counters, by the names of docs/architecture.md."""
        values = self.link.read(_offset(COUNTER_REGISTERS[0]), len(COUNTER_REGISTERS))
        names = (name.removeprefix("COUNTER_").lower() for name in COUNTER_REGISTERS)
        return dict(zip(names, values, strict=True))

    def clear_counters(self) -> None:
        """All counters to 0."""
        self.write("CONTROL", clear_counters=1)

    # ---- the network -----------------------------------------------------------------------

    def load(self, network: Network, progress: Progress = silent) -> dict[str, int]:
        """Write a network and read it back; words and bytes that were written.

        Raises
        ------
        DeviceError
            The weights are constants, the network is for another machine, or what was read differs
            from what was written.
        """
        network = self.fit(network)
        if self.identity.baked:
            raise DeviceError(
                f"{self.link.name}: the bitstream's weights are constants: nothing can be loaded"
            )
        self.reset()
        words = 0
        for region in self._regions(network):
            progress(f"writing {region}")
            self._select(region.name)
            done = self.link.write_fixed(_offset("WEIGHT_DATA"), region.words)
            if done < len(region.words):
                raise DeviceError(f"{self.link.name}: the board refuses {region.place(done)}")
            words += done
        if difference := self._difference(network, progress):
            raise DeviceError(
                f"{self.link.name}: {difference}: the board's memory does not hold the network"
            )
        return {"words": words, "bytes": 4 * words}

    def holds(self, network: Network, progress: Progress = silent) -> bool:
        """Whether the board has this network, by reading it, or its hash if it is constant.

        Raises
        ------
        DeviceError
            The board is for other networks.
        """
        network = self.fit(network)
        if self.identity.baked:
            held = contents(self.config, network)
            return self.identity.build_hash == build_hash(held, bake=True, best=self.identity.best)
        self.reset()
        return self._difference(network, progress) is None

    def prepare(self, network: Network, progress: Progress = silent) -> bool:
        """Load a network unless the board has it; whether it was loaded.

        Raises
        ------
        DeviceError
            `load` fails, or the weights are constants and another network's.
        """
        if self.holds(network, progress):
            return False
        if self.identity.baked:
            raise DeviceError(
                f"{self.link.name}: the bitstream's weights are constants, and of another network "
                f"(BUILD_HASH {self.identity.build_hash:08x})"
            )
        self.load(network, progress)
        return True

    def _difference(self, network: Network, progress: Progress) -> str | None:
        """The first word of the board that is not the network's, in words."""
        for region in self._regions(network):
            progress(f"checking {region}")
            self._select(region.name)
            # In pieces, so that another network is noticed at once.
            for start in range(0, len(region.words), _PIECE_WORDS):
                wanted = region.words[start : start + _PIECE_WORDS]
                held = self.link.read_fixed(_offset("WEIGHT_DATA"), len(wanted))
                if held != wanted:
                    pairs = enumerate(zip(held, wanted, strict=False))
                    place = next((i for i, (a, b) in pairs if a != b), len(held))
                    read = f"{held[place]:#x}" if place < len(held) else "nothing"
                    where = region.place(start + place)
                    return f"{where}: read {read}, not {wanted[place]:#x}"
        return None

    def _select(self, region: str) -> None:
        values = dict(register("WEIGHT_ADDRESS").field("region").values)
        self.write("WEIGHT_ADDRESS", region=values[region], word=0)
        self.write("WEIGHT_ROW", row=0)

    def _regions(self, network: Network) -> Iterator[_Region]:
        """What the weight window holds."""
        for region, row_words, words in window_words(self.config, network):
            yield _Region(region.name.lower(), row_words, words)

    # ---- frames ----------------------------------------------------------------------------

    def run(self, features: np.ndarray, progress: Progress = silent) -> np.ndarray:
        """The logits [readouts, n_output] int32 of one utterance, features int8 [frames, n_input].

        Raises
        ------
        DeviceError
            The machine stops taking features or giving results.
        """
        rows = list(self.results(features, progress=progress))
        return np.array(rows, np.int32).reshape(len(rows), self.config.n_output)

    def best(self, features: np.ndarray, progress: Progress = silent) -> np.ndarray:
        """The best classes and their scores, [readouts, best, 2] int32, of one utterance.

        Raises
        ------
        DeviceError
            The hardware has no best-N list, or stops.
        """
        if not self.identity.best:
            raise DeviceError(
                f"{self.link.name}: the bitstream has no best-N list (BUILD.best is 0)"
            )
        rows = list(self.results(features, best=True, progress=progress))
        return np.array(rows, np.int32).reshape(len(rows), self.identity.best, 2)

    def results(
        self, features: np.ndarray, *, best: bool = False, progress: Progress = silent
    ) -> Iterator[np.ndarray]:
        """Result elements, int32, of each readout of an utterance, while it is still under way."""
        self.begin(best=best)
        frames = len(features)
        given = 0
        while given < frames:
            now = features[given : given + self.batch(best)]
            progress(f"frame {given} of {frames}")
            yield from self.feed(now, start=given == 0, end=given + len(now) == frames)
            given += len(now)
        yield from self.rest()

    def begin(self, *, best: bool = False) -> None:
        """Drop what was under way, and wait for an utterance's frames."""
        self.reset()
        self.write("MODE", readout=int(best), source=1)
        self._words_per_frame = result_words(self.config, self.identity.best if best else 0)
        self._per_element = element_bits(self.config)
        self._frames_in = 0  # of the utterance
        self._words: list[int] = []  # of a frame that is not whole yet
        self._elements = 2 * self.identity.best if best else self.config.n_output
        self._readouts_out = 0

    def batch(self, best: bool = False) -> int:
        """Frames that can be given at once, so that their results find room."""
        words = result_words(self.config, self.identity.best if best else 0)
        room = self.identity.result_depth // words * self.config.readout_every
        packet = max(1, self.link.most_words // self.identity.feature_words)
        return max(1, min(room, packet))

    def feed(self, features: np.ndarray, *, start: bool, end: bool) -> Iterator[np.ndarray]:
        """Give the next frames of an utterance, and yield what has come out meanwhile.

        Parameters
        ----------
        features
            int8 [frames, n_input]; at most `batch` of them.
        start, end
            The first begins, the last ends the utterance.
        """
        parts = [features]
        if end and len(features) > 1:  # flags go with one frame, the next that is written
            parts = [features[:-1], features[-1:]]
        for index, part in enumerate(parts):
            flags = {
                "start": int(start and index == 0),
                "end": int(end and index == len(parts) - 1),
            }
            if any(flags.values()):
                self.write("FRAME_FLAGS", **flags)
            yield from self._give(part)
        yield from self._take(self._due() - _RESULTS_AHEAD if self._slow() else self._due())

    def rest(self) -> Iterator[np.ndarray]:
        """What is still to come of the frames given."""
        yield from self._take(self._due())

    def _slow(self) -> bool:
        """Whether the machine can run ahead of what the result buffer holds."""
        return self._words_per_frame > self.identity.result_depth

    def _due(self) -> int:
        """Readouts of the frames given."""
        return -(-self._frames_in // self.config.readout_every)

    def _give(self, features: np.ndarray) -> Iterator[np.ndarray]:
        width = 4 * self.identity.feature_words
        padded = np.zeros((len(features), width), np.int8)
        padded[:, : features.shape[1]] = features
        words = np.frombuffer(padded.tobytes(), "<u4").tolist()
        deadline = time.monotonic() + _STALL_S
        while words:
            taken = self.link.write_fixed(_offset("FEATURES"), words)
            del words[:taken]
            if words:  # the machine waits for its results to be taken
                before = self._readouts_out, len(self._words)
                yield from self._take(0, wait=False)
                if taken or before != (self._readouts_out, len(self._words)):
                    deadline = time.monotonic() + _STALL_S
                elif time.monotonic() > deadline:
                    raise DeviceError(self._hung("takes no features"))
        self._frames_in += len(features)

    def _take(self, until: int, *, wait: bool = True) -> Iterator[np.ndarray]:
        """Results until so many readouts are out; without `wait`, what there is."""
        deadline = time.monotonic() + _STALL_S
        while not wait or self._readouts_out < until:
            readouts = max(1, until - self._readouts_out)
            missing = readouts * self._words_per_frame - len(self._words)
            got = self.link.read_fixed(_offset("RESULTS"), missing)
            self._words += got
            while len(self._words) >= self._words_per_frame:
                frame = self._words[: self._words_per_frame]
                del self._words[: self._words_per_frame]
                self._readouts_out += 1
                yield self._unpack(frame)
            if not wait:
                return
            if got:
                deadline = time.monotonic() + _STALL_S
            elif time.monotonic() > deadline:
                raise DeviceError(self._hung("gives no results"))

    def _unpack(self, words: list[int]) -> np.ndarray:
        kind = "<i2" if self._per_element == 16 else "<i4"
        elements = np.frombuffer(np.array(words, "<u4").tobytes(), kind).astype(np.int32)
        return elements[: self._elements]

    def _hung(self, what: str) -> str:
        errors = self.errors()
        state = ", ".join(name for name, value in self.status().items() if value) or "nothing"
        noted = f"; ERRORS: {', '.join(errors)}" if errors else ""
        return f"{self.link.name}: the machine {what} (STATUS: {state}{noted})"

    # ---- does it work? ---------------------------------------------------------------------

    def selftest(
        self, *, networks: int = 3, frames: int = 16, seed: int = 1, progress: Progress = silent
    ) -> SelfTest:
        """Random networks and features on the board and in the golden model, bit for bit.

        Returns
        -------
        What was compared, and the first difference.

        Raises
        ------
        DeviceError
            The weights are constants, or the board stops.
        """
        compared, difference = 0, None
        for index in range(networks):
            network = Network.random(self.config, seed + index)
            self.load(network, lambda what, n=index: progress(f"network {n}: {what}"))
            features = random_features(self.config, frames, seed + index)
            expected = network.run(features).logits
            actual = self.run(features, progress)
            compared += actual.size
            wrong = np.argwhere(actual != expected)
            if len(wrong) and difference is None:
                readout, output = map(int, wrong[0])
                difference = Difference(
                    network=seed + index,
                    readout=readout,
                    output=output,
                    expected=int(expected[readout, output]),
                    actual=int(actual[readout, output]),
                )
            if difference is None and self.identity.best:
                difference = self._compare_best(features, expected, seed + index)
                compared += 2 * self.identity.best * len(expected)
        return SelfTest(
            networks=networks,
            frames=networks * frames,
            values_compared=compared,
            passed=difference is None,
            first_difference=difference,
            port=self.link.name,
        )

    def _compare_best(
        self, features: np.ndarray, logits: np.ndarray, seed: int
    ) -> Difference | None:
        expected = best_of(logits, self.identity.best)
        actual = self.best(features)
        wrong = np.argwhere(actual != expected)
        if not len(wrong):
            return None
        readout, place, part = map(int, wrong[0])
        return Difference(
            network=seed,
            readout=readout,
            place=place,
            value=("class", "score")[part],
            expected=int(expected[readout, place, part]),
            actual=int(actual[readout, place, part]),
        )


def best_of(logits: np.ndarray, count: int) -> np.ndarray:
    """The best `count` classes and scores, [readouts, count, 2]; the lower class of equal ones."""
    order = np.argsort(-logits.astype(np.int64), axis=1, kind="stable")[:, :count]
    return np.stack([order, np.take_along_axis(logits, order, axis=1)], axis=2).astype(np.int32)
