# SPDX-License-Identifier: Apache-2.0
"""The core's bench: runs a job of `flows.simulation.job` in the simulator and compares.

With check "trace" every field of the trace at every clock edge is compared with the cycle model;
with both checks the output stream is compared with the functional model, and the counters at the
end with the cycle laws (by the caller). One wake-up a clock, at the falling edge: registers are
stable there, and what is driven there counts at the next rising edge.
"""

from __future__ import annotations

import os
import time

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from flows.simulation.comparison import TraceComparison
from flows.simulation.job import CoreJob, Pattern
from flows.verilog.beats import feature_payload, feature_values, logits_of
from golden_model import Network
from golden_model.cycle import CycleModel
from hw.config import AcceleratorConfig

_CHUNK = 512  # clocks that are compared at a time
_ANSWER_CLOCKS = 4  # clocks that the weight port may take to answer a read
_ENOUGH_MISMATCHES = 20  # beats that differ before a run is given up
_QUIET = 8  # clocks without a beat after the end, to see that none is left


class _Ports:
    """The core's ports under short names, and the fastest way to read them.

    `_handle` is cocotb's own handle: a bit as an int costs a fifth of what `.value` does, and a
    wide vector comes as text without an object around it.
    """

    def __init__(self, dut) -> None:
        self.clk, self.rst = dut.clk, dut.rst
        self.feature, self.feature_valid = dut.features__payload, dut.features__valid
        self.logits_ready, self.clear_counters = dut.logits__ready, dut.clear_counters
        self.read_feature_ready = dut.features__ready._handle.get_signal_val_long
        self.read_logits_valid = dut.logits__valid._handle.get_signal_val_long
        self.read_logits = dut.logits__payload._handle.get_signal_val_binstr
        self.read_busy = dut.busy._handle.get_signal_val_long
        self.read_counters = dut.counters._handle.get_signal_val_binstr


class _FeatureDriver:
    """Offers the features beat by beat; an offered beat stays until it is accepted."""

    def __init__(self, ports: _Ports, job: CoreJob) -> None:
        self._ports = ports
        self._beats = feature_values(job.features, job.starts)
        self._payloads = [feature_payload(*beat) for beat in self._beats]
        self._pattern = Pattern(job.feature_pattern)
        self.total = len(self._beats)
        self._line = 0  # level of the valid line
        self.restart()

    def restart(self) -> None:
        """Offer the first beat next."""
        self.accepted = 0
        self._waiting = False

    def offer(self) -> tuple[int, int, int] | None:
        """Drive the lines for the next edge; returns the beat offered, (value, start, end)."""
        if not self._waiting and self.accepted < self.total and self._pattern.next():
            self._ports.feature.value = self._payloads[self.accepted]
            self._waiting = True
        if self._line != self._waiting:
            self._line = int(self._waiting)
            self._ports.feature_valid.value = self._line
        return self._beats[self.accepted] if self._waiting else None

    def take(self) -> None:
        """The offered beat was accepted."""
        self.accepted += 1
        self._waiting = False


async def _load(dut, job: CoreJob) -> None:
    """Write all words through the weight port; with `readback`, read every one again."""
    words = np.load(job.words_path)
    payload, valid, ready = dut.weights__payload, dut.weights__valid, dut.weights__ready
    for value in words:
        payload.value = int(value)
        valid.value = 1
        await FallingEdge(dut.clk)
        assert ready.value, "weights.ready is low in an idle machine"
    valid.value = 0
    if not job.readback:
        return
    dut.weight_data__ready.value = 1
    for value in words:
        request = int(value)
        payload.value = request & ~(1 << (len(payload) - 1))
        valid.value = 1
        await FallingEdge(dut.clk)
        valid.value = 0
        waited = 0
        while not dut.weight_data__valid.value:
            assert waited < _ANSWER_CLOCKS, f"no answer to read request {request:#x}"
            waited += 1
            await FallingEdge(dut.clk)
        read = int(dut.weight_data__payload.value)
        assert read == request & 0xFFFFFFFF, (
            f"read back {read:#x} for request {request:#x}: wrote {request & 0xFFFFFFFF:#x}"
        )
        await FallingEdge(dut.clk)


class _Outputs:
    """Checks the beats of the output stream against the functional model."""

    def __init__(self, job: CoreJob, network: Network) -> None:
        config = job.config
        self._lanes, self._bits = config.output_lanes, config.acc_bits
        self._expected = job.expected_beats(network)
        self.taken = 0
        self.payloads: list[int] | None = [] if job.logits_path else None
        self.mismatches: list[str] = []

    @property
    def total(self) -> int:
        return len(self._expected)

    def take(self, clock: int, payload: int) -> None:
        if self.taken >= self.total:
            self.mismatches.append(f"clock {clock}: beat {self.taken}: none was expected")
        else:
            expected = self._expected[self.taken]
            if payload != expected:
                self.mismatches.append(
                    f"clock {clock}: beat {self.taken}: {self._explain(expected, payload)}"
                )
        self.taken += 1
        if self.payloads is not None:
            self.payloads.append(payload)

    def _explain(self, expected: int, actual: int) -> str:
        mask = (1 << self._bits) - 1
        for lane in range(self._lanes):
            a, b = (value >> (lane * self._bits) & mask for value in (expected, actual))
            if a != b:
                sign = 1 << (self._bits - 1)
                return f"logits lane {lane}: expected {(a ^ sign) - sign}, got {(b ^ sign) - sign}"
        flags = self._lanes * self._bits
        return f"flags (last, end): expected {expected >> flags:#b}, got {actual >> flags:#b}"


@cocotb.test()
async def core(dut) -> None:
    """Run the job of PLOSIVE_JOB; write the figures; fail on any mismatch."""
    job = CoreJob.read(os.environ["PLOSIVE_JOB"])
    start_clock(dut)
    figures = await run_job(dut, job)
    job.write_result(figures)
    assert not figures["messages"], figures["messages"][0]


def start_clock(dut) -> None:
    """Run the clock until the end of the test."""
    Clock(dut.clk, 10, unit="ns", impl="gpi").start(start_high=False)


async def run_job(dut, job: CoreJob) -> dict:
    """Reset the core, load the network and run the features of a job; returns the figures.

    The clock runs already. Several jobs can follow each other in one simulation.
    """
    network = Network.load(job.network_path)
    ports = _Ports(dut)
    for port in (ports.feature, ports.feature_valid, ports.logits_ready, ports.clear_counters):
        port.value = 0
    if not job.baked:
        dut.weights__valid.value = 0
        dut.weight_data__ready.value = 0
    ports.rst.value = 1
    await FallingEdge(ports.clk)
    await FallingEdge(ports.clk)
    ports.rst.value = 0
    if not job.baked:
        await _load(dut, job)
        assert not ports.read_busy(), "busy after loading weights"
    return await _run(dut, ports, job, network)


async def _run(dut, ports: _Ports, job: CoreJob, network: Network) -> dict:
    config = job.config
    outputs = _Outputs(job, network)
    driver = _FeatureDriver(ports, job)
    trace = _Trace(dut, job, network) if job.check == "trace" else None
    ready_pattern = Pattern(job.ready_pattern)
    ready_line = -1
    timing = _Timing(config)
    falling = FallingEdge(ports.clk)
    clock = quiet = 0
    started = time.perf_counter()
    while clock < job.max_clocks and quiet < _QUIET:
        # What counts at the next edge, and which handshakes it completes.
        resets, clears = clock == job.reset_at, clock == job.clear_at
        if resets:
            ports.rst.value = 1
        if clears or clock == job.clear_at + 1:
            ports.clear_counters.value = int(clears)
        beat = driver.offer()
        ready = ready_pattern.next()
        if ready != ready_line:
            ports.logits_ready.value = ready_line = int(ready)
        accepted = beat is not None and ports.read_feature_ready()
        if ready and ports.read_logits_valid():
            payload = int(ports.read_logits(), 2)
            outputs.take(clock, payload)
            timing.logits(clock, payload)

        await falling

        if accepted:
            driver.take()
            timing.feature(clock)
        if trace is not None:
            trace.take((beat, ready, clears))
            if resets:
                trace.compare()
            if trace.comparison.mismatches:
                break
        if resets:  # everything from the start again
            ports.rst.value = 0
            driver.restart()
            outputs, timing = _Outputs(job, network), _Timing(config)
            if trace is not None:
                trace.model.reset()
        clock += 1
        if len(outputs.mismatches) > _ENOUGH_MISMATCHES:
            break
        if driver.accepted == driver.total and outputs.taken >= outputs.total:
            quiet = 0 if ports.read_busy() else quiet + 1
    if trace is not None:
        trace.compare()
    wall_s = time.perf_counter() - started
    if outputs.payloads is not None and outputs.taken == outputs.total:
        np.save(job.logits_path, logits_of(config, outputs.payloads))
    return {
        "clocks": clock,
        "wall_s": wall_s,
        **_compared(trace and trace.comparison, outputs, driver, clock),
        "counters": _counters(ports.read_counters(), config.counter_bits, job.counter_names),
        "timing": timing.clocks,
    }


def _compared(
    comparison: TraceComparison | None, outputs: _Outputs, driver: _FeatureDriver, clock: int
) -> dict:
    """What was compared, what differed, and what is missing at the last clock."""
    messages = [] if comparison is None else list(comparison.mismatches)
    messages += outputs.mismatches
    if driver.accepted < driver.total:
        messages.append(
            f"clock {clock}: only {driver.accepted} of {driver.total} features were accepted"
        )
    if outputs.taken < outputs.total:
        messages.append(f"clock {clock}: only {outputs.taken} of {outputs.total} beats came")
    return {
        "compared_clocks": comparison.clocks if comparison is not None else 0,
        "compared_bits": comparison.bits if comparison is not None else 0,
        "compared_beats": outputs.taken,
        "mismatches": (comparison.count if comparison is not None else 0) + len(outputs.mismatches),
        "messages": messages,
    }


class _Trace:
    """The trace after every clock edge, compared with the cycle model some clocks at a time."""

    def __init__(self, dut, job: CoreJob, network: Network) -> None:
        self._read = dut.trace_state._handle.get_signal_val_binstr
        self.model = CycleModel(job.config, network)
        self.comparison = TraceComparison(job.fields, self.model)
        self._snapshots: list[str] = []
        self._stimuli: list[tuple] = []

    def take(self, stimulus: tuple) -> None:
        """Keep the state that a stimulus led to."""
        self._snapshots.append(self._read())
        self._stimuli.append(stimulus)
        if len(self._snapshots) == _CHUNK:
            self.compare()

    def compare(self) -> None:
        """Compare what was kept since the last time."""
        self.comparison.compare(self._snapshots, self._stimuli)
        self._snapshots, self._stimuli = [], []


class _Timing:
    """Clocks at which frames were complete in the buffer, and their first and last logits left."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self._n_input = config.n_input
        self._last_bit = config.output_lanes * config.acc_bits
        self._features = 0
        self._first_is_next = True
        self.clocks: dict[str, list[int]] = {"frame_in": [], "first_logit": [], "last_logit": []}

    def feature(self, clock: int) -> None:
        self._features += 1
        if self._features % self._n_input == 0:
            self.clocks["frame_in"].append(clock)

    def logits(self, clock: int, payload: int) -> None:
        if self._first_is_next:
            self.clocks["first_logit"].append(clock)
        self._first_is_next = bool(payload >> self._last_bit & 1)
        if self._first_is_next:
            self.clocks["last_logit"].append(clock)


def _counters(text: str, bits: int, names: list[str]) -> dict[str, int]:
    value, mask = int(text, 2), (1 << bits) - 1
    return {name: value >> (index * bits) & mask for index, name in enumerate(names)}
