# SPDX-License-Identifier: Apache-2.0
"""The study of input digits against digits counted one by one, and its command."""

import json
import subprocess
import sys

import numpy as np
import pytest

from cocotb_tests.naf import NON_ADJACENT
from golden_model import Network, cycle_laws
from hw.config import INPUT_DIGITS
from model_zoo import zoo
from model_zoo.studies import input_digits

RECORDING = "flows/speech/sentence/kathleen/arctic_a0040_1592747634.flac"


def form(value):
    """Digits of the non-adjacent form of a change, -255 to 255, that of 2^0 first."""
    digits = []
    while value:
        digit = 0 if value % 2 == 0 else 2 - value % 4
        digits.append(digit)
        value = (value - digit) // 2
    return digits


def counted(x):
    """Cycles of each frame by encoding, feature by feature."""
    for value, digits in NON_ADJACENT.items():
        assert [*form(value), *[0] * 8][:8] == list(digits)
    cycles = {name: [] for name in input_digits.ENCODINGS}
    before = [0] * x.shape[1]
    for frame in x.tolist():
        numbers = [[abs(digit) for digit in form(value)] for value in frame]
        changes = [form(value - last) for value, last in zip(frame, before, strict=True)]
        changes = [sum(map(abs, digits)) for digits in changes]
        sums = [sum(digits) for digits in numbers]
        taken = {
            "bits": [max((v & 15).bit_count(), (v >> 4 & 15).bit_count()) for v in frame],
            "sign_magnitude": [
                max((abs(v) & 15).bit_count(), (abs(v) >> 4).bit_count()) for v in frame
            ],
            "naf": [max(sum(digits[:4]), sum(digits[4:])) for digits in numbers],
            "naf_any_two": [-(-count // 2) for count in sums],
            "naf_balanced": [-(-sum(sums) // 2)],
            "naf_parity": [max(sum(sums[::2]), sum(sums[1::2]))],
            "change_any_two": [-(-count // 2) for count in changes],
            "change_parity": [max(sum(changes[::2]), sum(changes[1::2]))],
        }
        for name, slots in taken.items():
            cycles[name].append(max(1, sum(slots)))
        before = frame
    return cycles


def test_costs_are_those_of_digits_counted_one_by_one(rng):
    x = rng.integers(-128, 128, (60, 7))
    x[:3] = 0
    x[3:6] = [[-128], [127], [-128]]  # changes of 255
    x[6] = x[5]  # no change
    found = input_digits.costs(x.astype(np.int8))
    for name, cycles in counted(x).items():
        assert found[name].cycles.tolist() == cycles, name
    assert found["bits"].rows.tolist() == np.count_nonzero(x, axis=1).tolist()
    assert found["change_parity"].rows[6] == found["change_parity"].additions[6] == 0
    assert found["change_parity"].rows[5] == 7


@pytest.mark.parametrize("digits", INPUT_DIGITS)
def test_what_is_built_costs_what_the_laws_say(digits, rng):
    network = Network.load(zoo.path("speech"))
    config = network.config.replace(input_digits=digits)
    x = rng.integers(-128, 128, (20, config.n_input)).astype(np.int8)
    laws = cycle_laws(config, x, network.run(x).spikes)
    cost = input_digits.costs(x)[digits]
    assert cost.cycles.tolist() == laws.input.tolist()
    assert cost.rows.tolist() == laws.input_rows.tolist()
    found = input_digits.study(network, [x, x[:7]])["encodings"]
    means = np.concatenate([laws.input, laws.input[:7]]).mean()
    assert found[digits]["cycles"] == means
    assert found[digits]["acc_bits"] <= network.on(config).acc_bits_needed
    assert [name for name, of in found.items() if of["built"]] == [*INPUT_DIGITS]


def test_command_prints_the_table_or_json():
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "model_zoo.studies.input_digits", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    found = json.loads(run(RECORDING, "--json").stdout)
    assert found["utterances"] == 1
    assert found["encodings"].keys() == input_digits.ENCODINGS.keys()
    table = run(RECORDING).stdout
    for of in found["encodings"].values():
        assert of["slot"] in table
        assert f"{of['cycles']:.1f}" in table
    missing = run("missing.flac")
    assert missing.returncode == 1
    assert missing.stderr == (
        "missing.flac: no such file; a 16 kHz mono WAV or FLAC file is needed\n"
    )
