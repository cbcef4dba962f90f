# SPDX-License-Identifier: Apache-2.0
"""Bench of the IP top, driven by cocotbext-axi with random pauses on every channel.

The handshake rules are assertions in the simulated module (`axi_rules.sv`); here is what the words
mean: registers, networks loaded and read back, and results equal to the golden model's.
"""

from __future__ import annotations

import json
import os
import random
from itertools import pairwise

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiStreamFrame

from cocotb_tests.blocks.block_ports import start
from cocotb_tests.shell.axi_host import AxiHost, best_elements, pauses, weight_rows
from golden_model import Network, cycle_laws, random_features
from hw.config import AcceleratorConfig
from hw.shell.registers import (
    CONSTANTS,
    COUNTER_REGISTERS,
    IRQ_SOURCES,
    MAGIC,
    REGISTERS,
    config_of_constants,
    feature_words,
    register,
    result_words,
)

_ACCESS, _FEATURE_LAST, _OVERRUN = 1, 2, 4  # of ERRORS


class Plan:
    """What the test asked for."""

    def __init__(self) -> None:
        values = json.loads(os.environ["PLOSIVE_AXI"])
        self.config = AcceleratorConfig.from_dict(values["config"])
        self.seed: int = values["seed"]
        self.best: int = values["best"]
        self.baked: bool = values["baked"]
        self.transactions: int = values.get("transactions", 0)
        self.network = Network.random(self.config, self.seed)


async def _begin(dut, **options) -> tuple[Plan, AxiHost]:
    plan = Plan()
    host = AxiHost(dut, plan.config, plan.best)
    await host.start(**options)
    return plan, host


# ---- many transactions -----------------------------------------------------------------------


@cocotb.test()
async def transactions(dut) -> None:
    """Reads and writes at the same time, features and results beside; each counted, none wrong."""
    plan, host = await _begin(dut)
    rng = host.rng
    await host.load(plan.network, check=False)
    features = random_features(plan.config, max(2, plan.transactions // 40), plan.seed)
    expected = plan.network.run(features).logits
    frames = cocotb.start_soon(_streams(host, features, expected))
    # Two of each, so that a channel holds the next one while one is answered.
    tasks = [frames]
    quarter = plan.transactions // 4
    for name in ("IRQ_ENABLE", "FRAME_FLAGS"):
        tasks.append(cocotb.start_soon(_reads(host, rng.random(), quarter)))
        tasks.append(cocotb.start_soon(_writes(host, rng.random(), quarter, name)))
    for task in tasks:
        await task
    # Nothing lost, nothing twice: what the masters did is what the rules counted.
    await ClockCycles(dut.clk, 3)
    assert int(dut.count_writes.value) == host.writes >= 2 * quarter
    assert int(dut.count_reads.value) == host.reads >= 2 * quarter
    assert int(dut.count_features.value) == features.size
    assert await host.read("COUNTER_FRAMES") == len(features)
    # The window moves on with each word: one too many or too few, and all that follow are wrong.
    await host.until("busy", 0)
    regions = dict(weight_rows(plan.config, Network.random(plan.config, plan.seed + 1)))
    written = {}
    for region in rng.sample(sorted(regions), 3):
        written[region] = words = [word for row in regions[region] for word in row]
        await host.point(region)
        for word in words:
            await host.write("WEIGHT_DATA", word)
    for region, words in written.items():
        await host.point(region)
        assert [await host.read("WEIGHT_DATA") for _ in words] == words
        await host.refuses("WEIGHT_DATA")  # behind the last row
    assert host.writes + host.reads >= plan.transactions
    beats = f"{features.size} features, {int(dut.count_logits.value)} beats of logits"
    cocotb.log.warning("transactions: %d writes, %d reads, %s", host.writes, host.reads, beats)


async def _streams(host: AxiHost, features: np.ndarray, expected: np.ndarray) -> None:
    host.stream(features)
    for index, logits in enumerate(expected):
        elements, user = await host.streamed()
        assert elements[: len(logits)] == logits.tolist(), f"readout {index}"
        assert not any(elements[len(logits) :])
        assert user == (index == len(expected) - 1)


async def _reads(host: AxiHost, seed: float, count: int) -> None:
    rng = random.Random(seed)
    constants = {}
    for _ in range(count):
        kind = rng.randrange(4)
        if kind == 0:
            entry = rng.choice(CONSTANTS)
            word = await host.read(entry.name)
            assert constants.setdefault(entry.name, word) == word
        elif kind == 1:
            await host.refuses(rng.choice(["CONTROL", "FEATURES", "WEIGHT_ADDRESS", "WEIGHT_ROW"]))
        elif kind == 2:
            address = rng.choice(
                [
                    rng.randrange(4 * len(REGISTERS), 1 << 16),
                    rng.randrange(64) * 4 + rng.randrange(1, 4),
                ]
            )
            assert await host.access_read(address) is None, f"{address:#x} answers"
        else:
            name = rng.choice(["STATUS", "ERRORS", "IRQ_STATUS", *COUNTER_REGISTERS])
            await host.read(name)


async def _writes(host: AxiHost, seed: float, count: int, name: str) -> None:
    """Writes of all kinds; only this task writes the register `name`."""
    mask = sum(field.mask for field in register(name).fields)
    held = 0
    rng = random.Random(seed)
    for _ in range(count):
        kind = rng.randrange(4)
        word = rng.getrandbits(32)
        if kind == 0:
            await host.refuses(rng.choice(CONSTANTS).name, word)
        elif kind == 1:
            assert not await host.access_write(rng.randrange(4 * len(REGISTERS), 1 << 16), word)
        elif kind == 2:
            # Only whole words are taken.
            size = rng.randrange(1, 5)
            took = await host.access_write(register(name).offset, word, size)
            assert took == (size == 4), f"{name}, {size} bytes"
            held = word & mask if took else held
            assert await host.read(name) == held
        else:
            await host.write(name, word)
            held = word & mask
            assert await host.read(name) == held


# ---- masters at their limits -----------------------------------------------------------------

_READ, _WRITE = (("ar",), "r"), (("aw", "w"), "b")  # channels of an access, and of its answer


async def _begin_bare(dut):
    """No masters: the bench drives the channels of AXI4-Lite itself, all to the same register."""
    for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
        getattr(dut, f"s_axi_ctrl_{name}").value = 0
    dut.s_axis_features_tvalid.value = 0
    dut.m_axis_logits_tready.value = 0
    address = register("IRQ_ENABLE").offset
    dut.s_axi_ctrl_araddr.value = dut.s_axi_ctrl_awaddr.value = address
    dut.s_axi_ctrl_wdata.value = 0
    dut.s_axi_ctrl_wstrb.value = 15
    edge = await start(dut)
    await edge  # the first in which a valid may rise
    return edge


async def _offer(dut, edge, channel: str) -> None:
    """Hold a channel's valid until it is taken."""
    valid, ready = (getattr(dut, f"s_axi_ctrl_{channel}{name}") for name in ("valid", "ready"))
    valid.value = 1
    taken = False
    while not taken:
        taken = int(ready.value)  # at the rising edge that comes now
        await edge
    valid.value = 0


@cocotb.test()
async def pace(dut) -> None:
    """With a master that is never late, a read takes five clocks and a write five."""
    edge = await _begin_bare(dut)
    for channels, answer in (_READ, _WRITE):
        for name in channels:
            getattr(dut, f"s_axi_ctrl_{name}valid").value = 1
        getattr(dut, f"s_axi_ctrl_{answer}ready").value = 1
        answers = []
        for clock in range(60):
            await edge
            if int(getattr(dut, f"s_axi_ctrl_{answer}valid").value):
                answers.append(clock)
        assert {after - before for before, after in pairwise(answers)} == {5}, answer
        # What is offered now is taken, and answered.
        for offer in [cocotb.start_soon(_offer(dut, edge, name)) for name in channels]:
            await offer
        await ClockCycles(dut.clk, 12)


@cocotb.test()
async def answers_wait(dut) -> None:
    """An answer that is not taken stays (a rule says so), whatever comes; each is given once."""
    edge = await _begin_bare(dut)
    rng = random.Random(cocotb.RANDOM_SEED)
    offered = {"ar": 0, "aw": 0, "w": 0}
    for _ in range(20):
        channels, answer = rng.choice((_READ, _WRITE))
        # An access of the other kind comes meanwhile, and perhaps one more of the same.
        others = [name for name in offered if name not in channels]
        others += channels if rng.random() < 0.5 else ()
        offers = [cocotb.start_soon(_offer(dut, edge, name)) for name in channels]
        valid = getattr(dut, f"s_axi_ctrl_{answer}valid")
        while not int(valid.value):
            await edge
        for name in rng.sample(others, len(others)):
            offers.append(cocotb.start_soon(_offer(dut, edge, name)))
            for _ in range(rng.randrange(4)):
                await edge
        for name in (*channels, *others):
            offered[name] += 1
        for name in rng.sample("rb", 2):
            getattr(dut, f"s_axi_ctrl_{name}ready").value = 1
            await ClockCycles(dut.clk, rng.randrange(1, 20))
        for offer in offers:
            await offer
        await ClockCycles(dut.clk, 20)
        await edge
        for name in "rb":
            getattr(dut, f"s_axi_ctrl_{name}ready").value = 0
    assert int(dut.count_reads.value) == offered["ar"]
    assert int(dut.count_writes.value) == offered["aw"] == offered["w"]


# ---- a whole life ----------------------------------------------------------------------------


@cocotb.test()
async def life(dut) -> None:
    """Probe, load, run in every mode, be reset in the midst, fail and recover."""
    plan, host = await _begin(dut)
    await _probe(plan, host)
    if plan.baked:
        for name in ("WEIGHT_ADDRESS", "WEIGHT_ROW", "WEIGHT_DATA"):
            await host.refuses(name, 0)
        await host.refuses("WEIGHT_DATA")
        await host.write("ERRORS", _ACCESS)
    else:
        await host.load(plan.network)
    modes = [(r, s) for r in ("logits", "best") for s in ("streams", "registers")]
    modes = [mode for mode in modes if plan.best or mode[0] == "logits"]
    host.rng.shuffle(modes)
    for mode in modes:
        await host.mode(*mode)
        await _run(plan, host, *mode)
    if not plan.best:
        await host.refuses("MODE", register("MODE").pack(readout=1))
    for source in ("streams", "registers"):
        await _reset_in_the_midst(plan, host, source)
    await _reset_in_an_open_frame(plan, host)
    if plan.best:
        await _list_waits(plan, host)
    await _interrupts(plan, host)
    await _errors(plan, host)
    await _run(plan, host, "logits", "streams")
    await _window_bounds(plan, host)
    await host.until("busy", 0)


async def _probe(plan: Plan, host: AxiHost) -> None:
    words = {entry.name: await host.read(entry.name) for entry in CONSTANTS}
    assert words["ID"] == MAGIC == int.from_bytes(b"PLSV", "little")
    assert config_of_constants(words) == plan.config
    digest = f"{words['CONFIG_HASH_0']:08x}{words['CONFIG_HASH_1']:08x}"
    assert digest == plan.config.config_hash
    digest = f"{words['NETWORK_HASH_0']:08x}{words['NETWORK_HASH_1']:08x}"
    assert digest == plan.config.network_hash
    build = register("BUILD").unpack(words["BUILD"])
    assert (build["baked"], build["streams"], build["best"]) == (plan.baked, 1, plan.best)
    assert bool(words["BUILD_HASH"]) == plan.baked
    assert words["FEATURE_FORMAT"] == feature_words(plan.config)
    formats = register("RESULT_FORMAT").unpack(words["RESULT_FORMAT"])
    assert formats["element_bits"] == host.bits
    assert formats["logits_words"] == result_words(plan.config)
    assert formats["best_words"] == (result_words(plan.config, plan.best) if plan.best else 0)


async def _run(plan: Plan, host: AxiHost, readout: str, source: str) -> None:
    """Two utterances in a mode: results, flags, and counters as the laws say."""
    config = plan.config
    await host.until("busy", 0)
    await host.write("CONTROL", register("CONTROL").pack(clear_counters=1))
    laws = []
    for _ in range(2):
        seed = host.rng.randrange(1 << 30)
        features = random_features(config, host.rng.randrange(1, 5), seed)
        result = plan.network.run(features)
        laws.append(cycle_laws(config, features, result.spikes))
        expected = result.logits if readout == "logits" else best_elements(result.logits, plan.best)
        if source == "streams":
            host.stream(features)
        else:
            putting = cocotb.start_soon(_put_all(host, features))
        for index, elements in enumerate(expected):
            is_end = int(index * config.readout_every == len(features) - 1)
            if source == "streams":
                got, user = await host.streamed()
                assert not any(got[len(elements) :])
                assert user == is_end
                got = got[: len(elements)]
            else:
                got, flags = await host.take(len(elements))
                last_word = [0] * (len(flags) - 1) + [1]
                assert flags == [(last, is_end) for last in last_word]
            assert got == elements.tolist(), f"{readout}, {source}, readout {index}"
        if source == "registers":
            await putting
    await host.until("busy", 0)
    counters = await host.counters()
    mask = (1 << config.counter_bits) - 1
    for name in ("input_rows", "hidden_rows", "readout_rows", "pe_operations", "skipped_rows"):
        total = sum(int(getattr(law, name).sum()) for law in laws)
        assert counters[name] == total & mask, f"{name}: {counters[name]}, the law says {total}"
    assert counters["frames"] == sum(law.input.size for law in laws) & mask
    # The laws' stalls are those of a reader that always takes; here there are more.
    total = sum(int((law.total - law.stalls).sum()) for law in laws)
    assert counters["cycles"] - counters["stalls"] & mask == total & mask
    assert await host.read("ERRORS") & ~_OVERRUN == 0
    await host.write("ERRORS", _OVERRUN)
    assert not await host.status("results_ready")


async def _put_all(host: AxiHost, features: np.ndarray) -> None:
    for index, row in enumerate(features):
        await host.put(row, start=index == 0, end=index == len(features) - 1)


async def _reset_in_the_midst(plan: Plan, host: AxiHost, source: str) -> None:
    """A soft reset at a random clock of a running utterance; then everything works."""
    config, dut = plan.config, host.dut
    for _ in range(3):
        await host.mode("logits", source)
        await host.write("IRQ_ENABLE", 0xF)
        features = random_features(config, host.rng.randrange(1, 4), host.rng.randrange(1 << 30))
        if source == "streams":
            host.stream(features)
            await host.features.wait()
        else:
            for index, row in enumerate(features[:-1]):
                await host.put(row, start=index == 0, end=False)
                if index % config.readout_every == 0:
                    await host.take(config.n_output)
            # A part of a frame.
            await host.write("FEATURES", host.rng.getrandbits(32))
        await ClockCycles(dut.clk, host.rng.randrange(1, 200))
        await host.write("CONTROL", register("CONTROL").pack(soft_reset=1))
        for name, word in (("MODE", 0), ("IRQ_ENABLE", 0), ("FRAME_FLAGS", 0), ("ERRORS", 0)):
            assert await host.read(name) == word, f"{name} after a soft reset"
        assert not any((await host.counters()).values())
        status = register("STATUS").unpack(await host.read("STATUS"))
        assert not status["busy"]
        assert not status["results_ready"]
        if source == "streams":
            await _frames_of_a_reset(plan, host, features)
        await _run(plan, host, "logits", "streams")


async def _frames_of_a_reset(plan: Plan, host: AxiHost, features: np.ndarray) -> None:
    """What came before the reset is right; a frame that was cut is whole, and says so."""
    await ClockCycles(host.dut.clk, 200)
    expected = plan.network.run(features).logits
    count = 0
    while host.logits.count():
        elements, user = await host.streamed()
        wanted = expected[count].tolist()
        if user & 2:
            lanes = plan.config.output_lanes
            kept = elements[:-lanes][: len(wanted)]
            assert kept == wanted[: len(kept)]
            assert not any(elements[-lanes:])
            assert not host.logits.count()
        else:
            assert elements[: len(wanted)] == wanted
        count += 1


async def _reset_in_an_open_frame(plan: Plan, host: AxiHost) -> None:
    """A soft reset behind the first beat of a frame: the frame ends at once, and is told apart."""
    config, dut = plan.config, host.dut

    def all_but_one_beat():
        while not int(dut.m_axis_logits_tvalid.value):
            yield True
        yield False
        while True:
            yield True

    await host.mode("logits", "streams")
    host.logits.set_pause_generator(all_but_one_beat())
    features = random_features(config, 2, host.rng.randrange(1 << 30))
    before = int(dut.count_logits.value)
    host.stream(features)
    await host.features.wait()
    while int(dut.count_logits.value) == before:
        await ClockCycles(dut.clk, 1)
    await host.write("CONTROL", register("CONTROL").pack(soft_reset=1))
    host.logits.set_pause_generator(pauses(random.Random(host.rng.random())))
    elements, user = await with_timeout(host.streamed(), 10, "us")
    assert user & 2, "a frame that was cut off looks whole"
    kept, rest = elements[: -config.output_lanes], elements[-config.output_lanes :]
    assert kept
    assert kept == plan.network.run(features).logits[0].tolist()[: len(kept)]
    assert not any(rest)
    await _run(plan, host, "logits", "streams")


async def _list_waits(plan: Plan, host: AxiHost) -> None:
    """A best-N list that nobody takes keeps the machine busy, so MODE as it is."""
    await host.mode("best", "streams")
    host.logits.clear_pause_generator()
    host.logits.pause = True
    features = random_features(plan.config, 1, host.rng.randrange(1 << 30))
    host.stream(features)
    await host.features.wait()
    await ClockCycles(host.dut.clk, 500)
    assert 2 * plan.best > plan.config.output_lanes, "a list of one beat waits outside"
    assert await host.status("busy")
    await host.refuses("MODE", 0)
    await host.write("ERRORS", _ACCESS)
    host.logits.set_pause_generator(pauses(random.Random(host.rng.random())))
    elements, user = await host.streamed()
    expected = best_elements(plan.network.run(features).logits, plan.best)[0].tolist()
    assert elements[: len(expected)] == expected
    assert user == 1
    await host.until("busy", 0)


async def _interrupts(plan: Plan, host: AxiHost) -> None:
    """Each state raises irq if it is enabled, and no other does."""
    seen = set()

    async def look(**expected: int) -> None:
        await ClockCycles(host.dut.clk, 500)  # until nothing moves
        for name in IRQ_SOURCES:
            enable = register("IRQ_ENABLE").pack(**{name: 1})
            await host.write("IRQ_ENABLE", enable)
            up = expected.get(name, 0)
            assert await host.read("IRQ_STATUS") == enable * up, name
            assert int(host.dut.irq.value) == up, name
            seen.add((name, up))
        await host.write("IRQ_ENABLE", 0)

    reset = register("CONTROL").pack(soft_reset=1)
    await host.write("CONTROL", reset)
    await look(idle=1)
    await host.mode("logits", "registers")
    await look(idle=1, features=1)
    await host.refuses("ID", 1)
    await look(idle=1, features=1, error=1)
    await host.write("ERRORS", _ACCESS)
    # Frames whose results nobody takes, until they block the machine.
    for index, row in enumerate(random_features(plan.config, 20, host.rng.randrange(1 << 30))):
        await host.put(row, start=index == 0, end=False)
        await ClockCycles(host.dut.clk, 300)
        if await host.status("blocked"):
            break
    await host.write("ERRORS", _OVERRUN)
    await look(results=1, features=1)
    await host.write("CONTROL", reset)
    await look(idle=1)
    assert len(seen) == 2 * len(IRQ_SOURCES)
    await host.write("CONTROL", reset)


async def _errors(plan: Plan, host: AxiHost) -> None:
    """Each error is seen, stays, raises irq if asked to, and is cleared alone."""
    config, dut = plan.config, host.dut
    assert await host.read("ERRORS") == 0
    enable = register("IRQ_ENABLE").pack(error=1)
    await host.write("IRQ_ENABLE", enable)
    assert not int(dut.irq.value)
    await host.refuses("ID", 5)
    await _misplaced_last(plan, host)
    assert await host.read("ERRORS") & ~_OVERRUN == _ACCESS | _FEATURE_LAST
    assert await host.read("IRQ_STATUS") == enable
    await ClockCycles(dut.clk, 2)
    assert int(dut.irq.value)
    await host.write("ERRORS", _FEATURE_LAST)
    assert await host.read("ERRORS") & ~_OVERRUN == _ACCESS
    assert int(dut.irq.value)
    await host.write("ERRORS", 7)
    assert await host.read("ERRORS") == 0
    await ClockCycles(dut.clk, 2)
    assert not int(dut.irq.value)
    # Results that nobody takes: the machine waits, features are refused, and that is said.
    await host.write("CONTROL", register("CONTROL").pack(soft_reset=1))
    await ClockCycles(dut.clk, 100)
    while host.logits.count():
        await host.logits.recv()
    await host.mode("logits", "registers")
    await host.refuses("RESULTS")
    assert await host.read("ERRORS") == 0, "an empty RESULTS is no error"
    sent = 0
    while not await host.read("ERRORS"):
        sent += 1
        assert sent < 20_000 // feature_words(config)
        for _ in range(feature_words(config)):
            word = host.rng.getrandbits(32)
            for _ in range(300):
                if await host.access_write(register("FEATURES").offset, word):
                    break
                if await host.read("ERRORS"):
                    break
    assert await host.read("ERRORS") == _OVERRUN
    assert await host.status("blocked")
    assert not await host.status("weights_ready")
    if not plan.baked:
        await host.point(0)
        await host.refuses("WEIGHT_DATA")
        await host.refuses("WEIGHT_DATA", 1)
        assert await host.read("ERRORS") == _OVERRUN, "a busy machine is no error"
    await host.refuses("MODE", 2)
    assert await host.read("ERRORS") == _OVERRUN | _ACCESS
    await host.write("CONTROL", register("CONTROL").pack(soft_reset=1))


async def _misplaced_last(plan: Plan, host: AxiHost) -> None:
    """A tlast that comes early, and one that does not come: each an error, and no feature lost."""
    config = plan.config
    await host.mode("logits", "streams")
    frames = random_features(config, 2, host.rng.randrange(1 << 30))
    both = frames.ravel()
    size = config.n_input
    early = [both[:1], both[1:size], both[size:]]
    for packets in ([both], early) if size > 1 else ([both],):
        await host.write("ERRORS", _FEATURE_LAST)
        # Start on the first frame's last feature, end on the second one's.
        users = [0] * both.size
        users[size - 1], users[-1] = 1, 2
        for packet in packets:
            data = bytes(int(value) & 0xFF for value in packet)
            host.features.send_nowait(AxiStreamFrame(data, tuser=users[: len(data)]))
            del users[: len(data)]
        for logits in plan.network.run(frames).logits:
            elements, _ = await host.streamed()
            assert elements[: len(logits)] == logits.tolist()
        await host.until("busy", 0)
        assert await host.read("ERRORS") & _FEATURE_LAST


async def _window_bounds(plan: Plan, host: AxiHost) -> None:
    """Words that the machine has not: refused, and nothing moves on or is written."""
    if plan.baked:
        return
    for region, rows in weight_rows(plan.config, plan.network):
        words = len(rows[0])
        for row, word in (
            (len(rows), 0),
            (0, words),
            (1 << 31, 0),
            (0, 0xFFFF),
            (len(rows) - 1 | 1 << 30, words - 1),
        ):
            await host.point(region, row, word)
            await host.refuses("WEIGHT_DATA", host.rng.getrandbits(32))
            await host.refuses("WEIGHT_DATA")
    await host.point(7)
    await host.refuses("WEIGHT_DATA", 1)
    for region, rows in weight_rows(plan.config, plan.network):
        await host.point(region)
        for word in (word for row in rows for word in row):
            assert await host.read("WEIGHT_DATA") == word
