# SPDX-License-Identifier: Apache-2.0
"""A neuron's lane equals its equations (docs/numerics.md, "Neuron"; architecture.md, "X").

The equations are written here as on those pages, in numbers so wide that nothing wraps; the lane
shares a shifter, looks for a carry, and clamps by the bits above the sign.
"""

from __future__ import annotations

from amaranth.hdl import Const, Mux, Shape, Signal, Value, signed

from cocotb_tests.formal.harness import Harness
from hw.config import AcceleratorConfig
from hw.core.lif import DecayForm, LIFLane, Reset, lif_parameters, shift_shape

__all__ = ["lif_lane"]


def lif_lane(config: AcceleratorConfig, **fixed: int) -> Harness:
    """One lane, all inputs free.

    Parameters
    ----------
    config
        The machine.
    fixed
        Values of inputs that are not free, by their names.
    """
    h = Harness()
    m = h.m
    m.submodules.lane = lane = LIFLane(config)

    def given(name: str, shape: Shape | int | range | type) -> Value:
        return Const(fixed[name], shape) if name in fixed else h.free(name, shape)

    acc, bits, frac = config.acc_bits, config.membrane_bits, config.membrane_frac
    low, high = given("low", signed(acc)), given("high", signed(acc))
    membrane, threshold = given("membrane", signed(bits)), given("threshold", bits - 1)
    load, step = given("load", 1), given("step", 1)
    shift = given("shift", shift_shape(config))
    decay_form, reset = given("decay_form", DecayForm), given("reset", Reset)
    h.drive(lane, low=low, high=high, membrane=membrane, threshold=threshold)
    h.drive(lane, load=load, step=step, shift=shift)
    m.d.comb += [lane.parameters.decay_form.eq(decay_form), lane.parameters.reset.eq(reset)]
    assert set(lif_parameters(config).members) == {"decay_shift", "decay_form", "reset"}

    # ---- LIF: 1 <= a <= max_decay_shift, threshold >= 1 ----------------------------------
    allowed = (shift >= 1) & (shift <= config.max_decay_shift) & (threshold >= 1)
    wide = signed(bits + acc + frac + 4)
    i, v = Signal(signed(acc), name="i"), Signal(wide, name="v")
    d, total = Signal(wide, name="d"), Signal(wide, name="total")
    u = Signal(wide, name="u")
    if config.time_steps == 2:
        m.d.comb += i.eq(Mux(step, high, low))
    else:
        m.d.comb += i.eq(low + high)
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    s = h.named("s", v >= threshold)
    m.d.comb += [
        d.eq(Mux(decay_form == DecayForm.LEAK, membrane - (membrane >> shift), membrane >> shift)),
        total.eq(d + (i << frac)),
        v.eq(Mux(total < least, least, Mux(total > most, most, total))),
        u.eq(Mux(s, Mux(reset == Reset.ZERO, 0, v - threshold), v)),
    ]
    lif = ~load & allowed
    h.claim("the spike", ~lif | (lane.spike == s))
    h.claim("the membrane", ~lif | (lane.membrane_next == u))

    # ---- LOAD and MERGE: membrane 0, shift <= max_input_shift ----------------------------
    merge = step if config.merges else Const(0, 1)
    widest = signed(acc + 10 + (1 << config.max_input_shift.bit_length()))
    a, half = Signal(widest, name="a"), Signal(widest, name="half")
    m.d.comb += [
        half.eq(Mux(shift == 0, 0, (1 << shift) >> 1)),
        a.eq(Mux(merge, low + high, (low + (high << 4) + half) >> shift)),
    ]
    loaded = Signal(signed(acc), name="loaded")
    expected = Signal(signed(acc), name="expected")
    m.d.comb += [loaded.eq(lane.load_value + lane.load_round), expected.eq(a)]
    loads = load & (membrane == 0) & (shift <= config.max_input_shift) & (~merge | (shift == 0))
    h.claim("the load", ~loads | (loaded == expected))

    covers = {}
    if fixed.get("load") != 1:
        subtracts = reset == Reset.SUBTRACT
        covers |= {
            "a spike that subtracts, the sum above the range": lif & s & subtracts & (total > most),
            "a sum below the range": lif & (total < least),
            "a spike that clears": lif & s & ~subtracts,
            "a membrane just below its threshold": lif & ~s & (v + 1 == threshold),
        }
    if fixed.get("load") != 0:
        rounds = expected != (low + (high << 4)) >> shift
        covers |= {"a load that rounds up": loads & ~merge & rounds}
        if config.merges:
            covers |= {"a merge": loads & merge}
    for name, happens in covers.items():
        h.cover(name, happens)
    return h
