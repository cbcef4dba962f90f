# SPDX-License-Identifier: Apache-2.0
"""Random small configurations for hypothesis, of the shapes that hurt."""

from hypothesis import strategies as st

from hw.config import HIDDEN_WORK, INPUT_DIGITS, LIF_LANES, AcceleratorConfig

__all__ = ["configurations"]


@st.composite
def configurations(draw: st.DrawFn, **fixed: object) -> AcceleratorConfig:
    """Configurations of 1 to 3 small layers: more, as many or fewer neurons than lanes, one lane,
    one neuron, both numbers of time steps, plain and recurrent, odd and even output tiles.

    Parameters
    ----------
    fixed : fields that are not drawn.
    """
    layers = draw(st.integers(1, 3))
    lanes = draw(st.sampled_from([1, 2, 3, 4, 8, 16]))
    divisors = [width for width in range(1, 2 * lanes + 1) if 2 * lanes % width == 0]
    values = {
        "n_input": draw(st.sampled_from([1, 2, 5, 11])),
        "hidden": draw(
            st.lists(st.sampled_from([1, 2, 3, 7, 8]), min_size=layers, max_size=layers)
        ),
        "recurrent": draw(st.lists(st.booleans(), min_size=layers, max_size=layers)),
        "bias": draw(
            st.one_of(st.just([]), st.lists(st.booleans(), min_size=layers, max_size=layers))
        ),
        "n_output": draw(st.integers(1, 6 * lanes)),
        "time_steps": draw(st.sampled_from([1, 2])),
        "lanes": lanes,
        "acc_bits": draw(st.sampled_from([8, 9, 12, 16, 32])),
        "membrane_bits": draw(st.sampled_from([10, 16, 32])),
        "membrane_frac": draw(st.sampled_from([0, 4])),
        "merge_readout": draw(st.booleans()),
        "hidden_work": draw(st.sampled_from(HIDDEN_WORK)),
        "input_digits": draw(st.sampled_from(INPUT_DIGITS)),
        "lif_lanes": draw(st.sampled_from(LIF_LANES)),
        "output_lanes": draw(st.sampled_from(divisors)),
        "readout_every": draw(st.sampled_from([1, 1, 2, 3])),
        "max_input_shift": draw(st.sampled_from([0, 3, 7])),
        "max_decay_shift": draw(st.sampled_from([1, 7, 15])),
        "low_activity": draw(st.booleans()),
    }
    return AcceleratorConfig(**(values | fixed))
