# SPDX-License-Identifier: Apache-2.0
"""Requests that load a network, of shapes at the edge of what a configuration allows."""

import pytest

from flows.verilog.contents import weight_requests
from golden_model import Network
from hw.config import AcceleratorConfig
from hw.errors import PlosiveError


def test_requests_of_more_than_63_bits_are_refused() -> None:
    config = AcceleratorConfig(
        n_input=40,
        hidden=(4096, 4096),
        recurrent=(True, True),
        n_output=65536,
        lanes=1,
        output_lanes=1,
    )
    unfilled = Network.__new__(Network)  # hundreds of millions of weights are not needed
    with pytest.raises(PlosiveError) as caught:
        weight_requests(config, unfilled)
    assert str(caught.value) == (
        "lanes is 1: a memory has 134,217,728 rows, which takes requests of 64 bits on the weight "
        "port; they are loaded with 63 bits at most: more lanes, or fewer neurons or outputs, take "
        "fewer rows"
    )
