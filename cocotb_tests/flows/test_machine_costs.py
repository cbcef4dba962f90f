# SPDX-License-Identifier: Apache-2.0
"""Measuring a machine beside other work: two runs in one build folder keep apart."""

import sys
from pathlib import Path

import numpy as np
import pytest

from flows.asic import machine_costs


def test_two_runs_side_by_side_measure_their_own_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, build, python = tmp_path / "start", tmp_path / "build", tmp_path / "python"
    program = tmp_path / "program.py"
    program.write_text(
        "import json, sys, numpy\n"
        "said = {'missing': f'features {numpy.load(sys.argv[1])[0]}'}\n"
        "print(json.dumps({'area': said, 'power': said}))\n"
    )
    python.write_text(
        f"#!/bin/sh\nwhile [ ! -e {start} ]; do sleep 0.05; done\n"
        f'exec {sys.executable} {program} "$4"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(machine_costs.sys, "executable", str(python))
    with machine_costs.beside("first", np.array([1]), build) as first:
        with machine_costs.beside("second", np.array([2]), build):
            pass
        start.touch()
        assert first.result().area.missing == "features 1"
    assert list(build.iterdir()) == []
