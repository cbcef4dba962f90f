# SPDX-License-Identifier: Apache-2.0
"""What is proved about a design: a module around it that says what may happen and what holds."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable

from amaranth.back import rtlil
from amaranth.hdl import (
    ClockDomain,
    Instance,
    Module,
    Shape,
    ShapeCastable,
    Signal,
    Value,
    ValueCastable,
)
from amaranth.lib import wiring

__all__ = ["ANY_CONSTANT", "BAD", "INVARIANT", "TOP", "WRONG", "Harness", "broken", "covered"]

TOP = "harness"
ANY_CONSTANT = "any_constant"
"""The cell that stands for yosys' $anyconst, which Amaranth cannot name."""
BAD = "bad"
"""The output that is high where any claim is broken."""
WRONG = "wrong"
"""The output that is high where a claim other than an invariant is broken."""
INVARIANT = "invariant: "
"""How the names of claims begin that only help to prove the others."""


def broken(index: int) -> str:
    """The output that is high where the claim of this number is broken."""
    return f"broken_{index}"


def covered(index: int) -> str:
    """The output that is high where the cover of this number is reached."""
    return f"covered_{index}"


class Harness:
    """A module around a design under proof.

    A claim counts in every clock up to which all assumptions held: an environment that has once
    broken its part of a contract has lost the other one. There is no reset; a proof begins with
    the registers' initial values.

    Attributes
    ----------
    m
        The module; designs are its submodules.
    claims, covers
        What is claimed, and what must be reachable for the claims to mean something.
    peeks
        Signals inside designs: inputs to which an engine connects them, and their paths.
    """

    def __init__(self) -> None:
        self.m = Module()
        self.m.domains.sync = self._domain = ClockDomain("sync", reset_less=True)
        self.claims: list[str] = []
        self.covers: list[str] = []
        self.peeks: dict[str, str] = {}
        self._inputs: list[Value] = []
        self._assumed: list[Value] = []
        self._claimed: list[Value] = []
        self._covered: list[Value] = []

    # ---- values --------------------------------------------------------------------------

    def free(self, name: str, shape: Shape | ShapeCastable | int | range) -> Signal:
        """An input: any value in any clock."""
        signal = Signal(shape, name=name)
        self._inputs.append(Value.cast(signal))
        return signal

    def constant(self, name: str, shape: Shape | ShapeCastable | int | range) -> Signal:
        """Any value, the same in all clocks."""
        signal = Signal(shape, name=name)
        bits = Value.cast(signal)
        self.m.submodules += Instance(ANY_CONSTANT, p_WIDTH=len(bits), o_Y=bits)
        return signal

    def peek(self, path: str, shape: Shape | ShapeCastable | int | range) -> Signal:
        """A signal inside a design, by its path as "buffer.read": for invariants only."""
        signal = self.free(f"peek_{len(self.peeks)}", shape)
        self.peeks[signal.name] = path
        return signal

    def named(self, name: str, value: Value) -> Value:
        """A value under a name that counterexamples show."""
        signal = Signal(Value.cast(value).shape(), name=name)
        self.m.d.comb += signal.eq(value)
        return signal

    def past(self, value: Value, init: int = 0) -> Value:
        """The value in the clock before; `init` in the first."""
        signal = Signal(Value.cast(value).shape(), init=init, name="past")
        self.m.d.sync += signal.eq(value)
        return signal

    def drive(self, component: wiring.Component, **values: Value) -> None:
        """Connect inputs of a component; `request__valid` is the valid of its stream `request`."""
        for name, value in values.items():
            port = functools.reduce(getattr, name.split("__"), component)
            if isinstance(port, ValueCastable):
                port, value = port.as_value(), Value.cast(value)
            self.m.d.comb += port.eq(value)

    # ---- statements ----------------------------------------------------------------------

    def assume(self, *conditions: Value) -> None:
        """Count only runs in which these hold in every clock."""
        self._assumed += [Value.cast(condition).bool() for condition in conditions]

    def claim(self, name: str, condition: Value) -> None:
        """State what holds in every clock."""
        self.claims.append(name)
        self._claimed.append(Value.cast(condition).bool())

    def cover(self, name: str, condition: Value) -> None:
        """State what can happen."""
        self.covers.append(name)
        self._covered.append(Value.cast(condition).bool())

    def rtlil(self, *, combinational: bool = False) -> str:
        """The module in yosys' own language; then the harness is done.

        Parameters
        ----------
        combinational
            The design has no registers, and none is added.
        """
        m = self.m
        lawful = Signal()
        m.d.comb += lawful.eq(_all(self._assumed))
        if not combinational:
            before = Signal(init=1, name="lawful_before")
            m.d.sync += before.eq(before & _all(self._assumed))
            m.d.comb += lawful.eq(before & _all(self._assumed))
        bad, wrong = Signal(name=BAD), Signal(name=WRONG)
        outputs = [bad, wrong]
        stated = [
            condition
            for name, condition in zip(self.claims, self._claimed, strict=True)
            if not name.startswith(INVARIANT)
        ]
        m.d.comb += [
            bad.eq(lawful & ~_all(self._claimed)),
            wrong.eq(lawful & ~_all(stated)),
        ]
        for index, condition in enumerate(self._claimed):
            outputs.append(Signal(name=broken(index)))
            m.d.comb += outputs[-1].eq(lawful & ~condition)
        for index, condition in enumerate(self._covered):
            outputs.append(Signal(name=covered(index)))
            m.d.comb += outputs[-1].eq(lawful & condition)
        clock = [] if combinational else [self._domain.clk]  # without a port it would never tick
        return rtlil.convert(m, TOP, ports=[*clock, *self._inputs, *outputs], emit_src=False)


def _all(conditions: Iterable[Value]) -> Value:
    return functools.reduce(operator.and_, conditions, Value.cast(1))
