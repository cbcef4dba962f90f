# SPDX-License-Identifier: Apache-2.0
"""What a readout of changes would save and cost, from spikes and macros made up by hand."""

from pathlib import Path

import numpy as np
import pytest

from flows.asic.pdk import Macro
from flows.measure import delta_readout
from hw.config import AcceleratorConfig

CONFIG = AcceleratorConfig(
    n_input=8, hidden=(4,), recurrent=(False,), n_output=40, lanes=16, output_lanes=4
)
MACRO = Macro("m", 16, 64, 1000.0, 2e-9, 3e-12, 5e-12, 1.0, True, (), Path("m.lib"))


def spikes(*merged):
    """One utterance of one layer, [frames, 2, 4], with these sums over both time steps."""
    merged = np.array(merged)
    return np.stack([merged > 0, merged > 1], axis=1).astype(np.uint8)


def test_spikes_and_changes_are_counted_from_each_utterance_s_first_readout():
    first = spikes([1, 0, 2, 0], [1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1])
    second = spikes([2, 2, 2, 2], [2, 2, 2, 2])
    found = delta_readout.counted(CONFIG, [first, second])
    assert found == delta_readout.Counted(6, 16 / 6, (2 + 1 + 2 + 0 + 4 + 0) / 6)
    rare = CONFIG.replace(readout_every=2)
    found = delta_readout.counted(rare, [first, second])
    assert found == delta_readout.Counted(3, 8 / 3, (2 + 3 + 4) / 3)


@pytest.mark.parametrize("slices", [1, 3])
def test_rows_saved_are_set_against_the_memory_of_logits(slices):
    inputs = delta_readout.Counted(10, 3.0, 1.0)
    found = delta_readout.energy(CONFIG.replace(readout_every=2), inputs, [MACRO], "area", slices)
    # 40 outputs are 3 tiles of 16 lanes; a weight row is one macro wide, the logits of a tile
    # (16 x 12 bits) are three. Three slices lie in one macro, one above the other.
    assert found.rows_saved == 3 * 2
    assert found.rows_pj == pytest.approx(6 * 3)
    assert found.access_pj == pytest.approx(3 * 3 * (3 + 5))
    macros = 3 // slices
    assert found.leakage_pj == pytest.approx(macros * 2e-9 * 0.02 * 1e12)
    assert found.area_um2 == 1000 * macros
    assert found.gain_pj == found.rows_pj - found.access_pj - found.leakage_pj < 0
