# SPDX-License-Identifier: Apache-2.0
"""docs/schedule.md: its pictures, its worked frame, its bounds and the savings that it weighs."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from flows.cli import app as cli
from flows.measure import pages, schedule_page
from flows.measure.schedule_page import DRAWN, worked_frame
from flows.simulation.bounds import expected_least_cycles, least_cycles
from flows.simulation.overlap import drawn_spikes, savings
from flows.simulation.slots import Slot, frame_slots
from golden_model import PUBLISHED, Densities, Network, cycle_laws, random_features
from hw.config import HIDDEN_WORK, PRESETS, AcceleratorConfig, preset
from hw.schedule import Fetch, PhaseKind, Work

SMALL = AcceleratorConfig(
    n_input=5, hidden=(7, 10), recurrent=(True, True), n_output=21, lanes=4, output_lanes=8
)
SHAPES = {
    **{f"folded, {work}": SMALL.replace(hidden_work=work) for work in HIDDEN_WORK},
    "not merged": SMALL.replace(merge_readout=False, lanes=7, output_lanes=7),
    "one step": SMALL.replace(time_steps=1, lanes=16),
    "plain layers": SMALL.replace(recurrent=(False, False), hidden_work="split"),
    "every second readout": SMALL.replace(readout_every=2, hidden_work="union"),
    "bias": SMALL.replace(bias=(True, False)),
    "bias, split": SMALL.replace(bias=(True, True), hidden_work="split"),
    "other digits": SMALL.replace(input_digits="naf", hidden_work="split"),
    "stalls": SMALL.replace(output_lanes=1),
}


def test_the_page_and_its_pictures_are_those_of_the_models() -> None:
    text = schedule_page.PAGE.read_text(encoding="utf-8")
    for name, inside in schedule_page.blocks().items():
        assert text == pages.with_block(text, name, inside), f"{name}: make schedule"
    kept = {path.name: path.read_text("utf-8") for path in schedule_page.FOLDER.iterdir()}
    assert kept == schedule_page.pictures(), "make schedule"
    for name in kept:
        assert f"](schedule/{name})" in text


@pytest.mark.parametrize("name", DRAWN)
def test_the_frame_by_hand_takes_the_cycles_of_the_laws(name: str) -> None:
    config = schedule_page.small_machine(name)
    network, features = schedule_page.small_network(config)
    frame = schedule_page.FRAME
    laws = cycle_laws(config, features, network.run(features).spikes)
    by_hand = worked_frame(config)
    cycles = {label: count for label, (_, count) in by_hand.parts.items()}
    for (matrix, layer), counted in laws.hidden_matrices.items():
        assert cycles[f"{matrix} of layer {layer}"] == counted[frame]
    assert cycles["input"] == laws.input[frame]
    assert cycles["w_out, pair"] + cycles["w_out, odd tile"] == laws.readout[frame]
    assert cycles["LIF"] == laws.lif[frame]
    assert cycles["overhead"] == laws.overhead[frame]
    assert by_hand.total == laws.total[frame]
    assert by_hand.total == len(frame_slots(config, network, features, frame))


def test_what_is_written_out_by_hand_adds_up() -> None:
    """Each sum on the page is what its own text says."""
    for name in DRAWN:
        for text, cycles in worked_frame(schedule_page.small_machine(name)).parts.values():
            shown = re.sub(r" (LOAD|MERGE|WAIT)", "", text).replace("x", "*").replace("ma*", "max")
            assert eval(shown, {"max": max}) == cycles, text


# ---- slots -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_slots_are_the_frame(name: str, seed: int) -> None:
    """Rows and additions are the counters', and add up to the features and the logits."""
    config = SHAPES[name]
    network = Network.random(config, seed)
    features = random_features(config, 6, seed)
    result = network.run(features)
    laws = cycle_laws(config, features, result.spikes)
    for frame in range(6):
        slots = frame_slots(config, network, features, frame)
        assert len(slots) == laws.total[frame]
        assert sum(slot.stall for slot in slots) == laws.stalls[frame]
        for memory in ("input", "hidden", "readout"):
            read = [read for slot in slots for read in slot.reads if read.memory == memory]
            assert len(read) == getattr(laws, f"{memory}_rows")[frame]
        added = [one for slot in slots for one in slot.additions if one is not None]
        assert len(added) == laws.pe_operations[frame]
        for tile in range(config.tiles(0)):
            assert _features(config, slots, tile).tolist() == features[frame].tolist()
        if frame % config.readout_every == 0:
            logits = result.logits[frame // config.readout_every]
            assert _logits(config, network, slots).tolist() == logits.tolist()


def _features(config: AcceleratorConfig, slots: list[Slot], tile: int) -> np.ndarray:
    total = np.zeros(config.n_input, int)
    for slot in slots:
        if slot.phase.kind is PhaseKind.INPUT and slot.tile == tile:
            for one in filter(None, slot.additions):
                total[one.read.input] += (-1 if one.negative else 1) << one.place
    return total


def _logits(config: AcceleratorConfig, network: Network, slots: list[Slot]) -> np.ndarray:
    lanes, tiles = config.lanes, config.output_tiles
    w_out = np.zeros((config.hidden[-1], tiles * lanes), int)
    w_out[:, : config.n_output] = network.w_out
    total = np.zeros(tiles * lanes, int)
    for slot in slots:
        if slot.phase.kind is PhaseKind.READOUT:
            pair = slot.phase.fetch is Fetch.PAIR
            for b, one in enumerate(slot.additions):
                if one is not None:
                    tile = 2 * slot.tile + b if pair else tiles - 1
                    columns = slice(tile * lanes, (tile + 1) * lanes)
                    total[columns] += w_out[one.read.input, columns] << one.place
    return total[: config.n_output]


def test_a_picture_has_a_cell_for_each_row_and_addition() -> None:
    for name, picture in schedule_page.pictures().items():
        config = schedule_page.small_machine(name.removesuffix(".svg"))
        slots = frame_slots(config, *schedule_page.small_network(config), schedule_page.FRAME)
        told = [one.text for one in ElementTree.fromstring(picture).iter() if "title" in one.tag]
        assert sum(text.startswith("row ") for text in told) == sum(len(s.reads) for s in slots)
        added = [one for slot in slots for one in slot.additions if one is not None]
        assert sum(text.startswith("adds ") for text in told) == len(added)
        from_banks = [one for one in added if one.read.memory != "input"]
        for b in range(2):
            expected = sum(one.read.bank == b for one in from_banks)
            assert sum(text.endswith(f"from bank {b}") for text in told) == expected


def test_a_user_s_frame_is_drawn(tmp_path, capsys) -> None:
    path = tmp_path / "frame.svg"
    command = ["cycles", "--preset", "tiny", "--random", "1", "--frames", "3", "--json"]
    assert cli.run([*command, "--timeline", str(path)]) == 0
    longest = json.loads(capsys.readouterr().out)["cycles_per_frame"]["max"]
    title = next(e.text for e in ElementTree.parse(path).iter() if e.get("class") == "t")
    assert re.fullmatch(rf"Frame [012]: {longest} clocks", title)
    command = ["cycles", "--preset", "tiny", "--densities", "published", "--timeline", str(path)]
    assert cli.run(command) == 1
    assert "--densities stands alone" in capsys.readouterr().err


# ---- bounds ----------------------------------------------------------------------------------


def test_no_digits_are_fewer_than_those_of_the_bound() -> None:
    fewest = np.full(256, 9)
    for digits in np.ndindex(*(3,) * 8):
        value = sum((digit - 1) << place for place, digit in enumerate(digits))
        if -128 <= value < 128:
            fewest[value] = min(fewest[value], sum(digit != 1 for digit in digits))
    config = SMALL.replace(n_input=1)
    spikes = [np.zeros((1, 2, n), np.uint8) for n in config.hidden]
    for value in range(-128, 128):
        least = least_cycles(config, np.array([[value]], np.int8), spikes)
        assert (least.input, least.total) == (config.tiles(0) * fewest[value] / 2,) * 2


@pytest.mark.parametrize("name", SHAPES)
def test_no_machine_is_faster_than_its_bound(name: str, seed: int) -> None:
    config = SHAPES[name]
    network = Network.random(config, seed)
    features = random_features(config, 50, seed)
    spikes = network.run(features).spikes
    least = least_cycles(config, features, spikes)
    laws = cycle_laws(config, features, spikes)
    assert least.input <= laws.input.mean()
    assert least.readout <= laws.readout.mean()
    assert least.hidden <= (laws.hidden + laws.overhead).mean()  # of which a bias is part
    # These digits, "split" and a merged readout do just these additions, each once.
    if config.merge_readout and (config.merges or config.time_steps == 1):
        laws = cycle_laws(config.replace(input_digits="naf"), features, spikes)
        assert least.total == pytest.approx(laws.pe_operations.mean() / 2)


@pytest.mark.parametrize("name", PRESETS)
def test_the_expected_bound_is_that_of_random_frames(name: str) -> None:
    config = PRESETS[name]
    densities = Densities(0.43, 0.4, 0.8, 1 - 0.6**2)
    rng = np.random.default_rng(1)
    features = np.packbits(rng.random((800, config.n_input, 8)) < 0.43, axis=-1)[..., 0]
    spikes = [rng.random((800, config.time_steps, n)) < 0.4 for n in config.hidden]
    counted = least_cycles(config, features.view(np.int8), [s.astype(np.uint8) for s in spikes])
    expected = expected_least_cycles(config, densities)
    for part in ("input", "hidden", "readout"):
        assert getattr(expected, part) == pytest.approx(getattr(counted, part), rel=0.02)


# ---- overlap ---------------------------------------------------------------------------------


@pytest.mark.parametrize("work", [*HIDDEN_WORK, "T = 1"])
def test_savings_of_joined_passes_are_those_of_two_queues(work: str, rng) -> None:
    changes = {"time_steps": 1} if work == "T = 1" else {"hidden_work": work}
    config = preset("tiny").replace(lanes=16, **changes)
    spikes = [
        (rng.random((40, config.time_steps, n)) < 0.4).astype(np.uint8) for n in config.hidden
    ]
    found = savings(config, spikes)
    saved = under = together = 0
    for frame in range(40):
        old = spikes[1][frame - 1] if frame else np.zeros_like(spikes[1][0])
        operands = old, spikes[0][frame]
        saved += sum(
            _apart(config, w, operands) - _joined(config, w, operands) for w in _WORKS[work]
        )
        first = _WORKS[work][0]
        lif = config.time_steps * 2
        under += max(0, min(_apart(config, first, operands[:1]) - 2, lif))
        early = _early(config, *(_queues(first, operand) for operand in operands), lif + 2)
        together += max(0, lif + _joined(config, first, operands) - early)
    assert found.joined == pytest.approx(saved / 40)
    assert found.lif_under_recurrent == pytest.approx(under / 40)
    assert found.together == pytest.approx((saved + together) / 40)
    assert found.lif_under_recurrent <= found.together
    assert found.lif_under_input == config.time_steps * 2 + 1


_WORKS = {
    "all": (Work.ALL,),
    "union": (Work.UNION,),
    "split": (Work.COMMON, Work.STRAIGHT, Work.CROSSED),
    "T = 1": (Work.SPIKES,),
}


def _wanted(work: Work, operand: np.ndarray, i: int) -> bool:
    """Whether a phase with this work issues input i of an operand [T, n]."""
    steps = operand[:, i].tolist()
    if work is Work.ALL:
        return True
    if work in (Work.SPIKES, Work.UNION):
        return any(steps)
    if work is Work.COMMON:
        return all(steps)
    alone = [s and not other for s, other in zip(steps, steps[::-1], strict=True)]
    return bool(alone[i % 2 if work is Work.STRAIGHT else 1 - i % 2])


def _queues(work: Work, operand: np.ndarray) -> list[int]:
    issued = [i for i in range(operand.shape[1]) if _wanted(work, operand, i)]
    return [sum(i % 2 == b for i in issued) for b in range(2)]


def _clocks(config: AcceleratorConfig, queues: list[int]) -> int:
    clocks = 0
    while any(queues) or not clocks:
        one_a_bank = config.merges or config.time_steps == 1
        for b in range(2) if one_a_bank else [0 if queues[0] else 1]:
            queues[b] = max(0, queues[b] - 1)
        clocks += 1
    return clocks


def _apart(config: AcceleratorConfig, work: Work, operands) -> int:
    return sum(_clocks(config, _queues(work, operand)) for operand in operands)


def _joined(config: AcceleratorConfig, work: Work, operands) -> int:
    both = [_queues(work, operand) for operand in operands]
    return _clocks(config, [sum(queue) for queue in zip(*both, strict=True)])


def _early(config: AcceleratorConfig, old: list[int], new: list[int], there: int) -> int:
    """Clocks of two matrices as one phase, of which the second may be read from a clock on."""
    one_a_bank = config.merges or config.time_steps == 1
    if not one_a_bank:
        old, new = [sum(old)], [sum(new)]
    clocks = 0
    while any(old) or any(new) or not clocks:
        for b in range(len(old)):
            if old[b]:
                old[b] -= 1
            elif new[b] and clocks >= there:
                new[b] -= 1
        clocks += 1
    return clocks


@pytest.mark.parametrize("name", ["paper-t2", "paper-t1"])
def test_drawn_spikes_have_their_densities(name: str) -> None:
    config = preset(name)
    for spikes in drawn_spikes(config, PUBLISHED, 5000):
        if config.time_steps == 1:
            assert spikes.mean() == pytest.approx(PUBLISHED.spikes, abs=0.005)
        else:
            assert spikes.mean() == pytest.approx(PUBLISHED.steps / 2, abs=0.005)
            assert spikes.max(axis=1).mean() == pytest.approx(PUBLISHED.union, abs=0.005)
