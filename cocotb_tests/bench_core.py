# SPDX-License-Identifier: Apache-2.0
"""The core's bench: runs a job of `cocotb_tests.core_job` in the simulator and compares.

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

from cocotb_tests.compare import TraceComparison
from cocotb_tests.core_job import CoreJob, Pattern, stream_logits
from golden_model import Network
from golden_model.cycle import CycleModel

_CHUNK = 512  # clocks that are compared at a time
_ANSWER_CLOCKS = 4  # clocks that the weight port may take to answer a read
_QUIET = 8  # clocks without a beat after the end, to see that none is left


class _Ports:
    """The core's ports under short names."""

    def __init__(self, dut) -> None:
        self.clk, self.rst = dut.clk, dut.rst
        self.feature, self.feature_valid = dut.features__payload, dut.features__valid
        self.feature_ready = dut.features__ready
        self.logits, self.logits_valid = dut.logits__payload, dut.logits__valid
        self.logits_ready = dut.logits__ready
        self.counters, self.clear_counters = dut.counters, dut.clear_counters
        self.busy = dut.busy


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
        assert not ports.busy.value, "busy after loading weights"
    return await _run(dut, ports, job, network)


async def _run(dut, ports: _Ports, job: CoreJob, network: Network) -> dict:
    config = job.config
    outputs = _Outputs(job, network)
    trace = comparison = model = None
    if job.check == "trace":
        trace = dut.trace_state
        model = CycleModel(config, network)
        comparison = TraceComparison(job.fields, model)
    beats = job.feature_beats()  # payloads in order
    values = job.feature_values()  # the same for the cycle model: (value, start, end)
    total_beats = len(beats)
    feature_pattern, ready_pattern = Pattern(job.feature_pattern), Pattern(job.ready_pattern)
    ready_always = ready_pattern.always
    offered = accepted = 0  # beats offered (valid is high for `offered - 1`), accepted
    feature_valid = 0
    logits_ready = -1
    quiet = 0
    clock = 0
    reset_at, clear_at = job.reset_at, job.clear_at
    started = time.perf_counter()
    snapshots: list[str] = []
    stimuli: list[tuple] = []
    falling = FallingEdge(ports.clk)
    feature_ready, logits_valid = ports.feature_ready, ports.logits_valid
    timing: dict[str, list[int]] = {"frame_in": [], "first_logit": [], "last_logit": []}
    last_shift = config.output_lanes * config.acc_bits
    n_input = config.n_input
    expect_first = True
    while clock < job.max_clocks:
        # -- decide what is driven for the next edge
        if clock == reset_at:
            ports.rst.value = 1
        if not feature_valid and offered < total_beats and feature_pattern.next():
            ports.feature.value = beats[offered]
            ports.feature_valid.value = feature_valid = 1
            offered += 1
        clear = clock == clear_at
        if clear or clock == clear_at + 1:
            ports.clear_counters.value = int(clear)
        ready = 1 if ready_always else int(ready_pattern.next())
        if ready != logits_ready:
            ports.logits_ready.value = logits_ready = ready
        if trace is not None:
            stimuli.append((values[offered - 1] if feature_valid else None, ready, clear))
        # -- what happens at the next edge: handshakes
        feature_taken = feature_valid and feature_ready.value
        beat_waits = logits_valid.value
        if beat_waits and ready:
            payload = int(ports.logits.value)
            outputs.take(clock, payload)
            if expect_first:
                timing["first_logit"].append(clock)
            expect_first = bool(payload >> last_shift & 1)
            if expect_first:
                timing["last_logit"].append(clock)
        await falling
        if trace is not None:
            snapshots.append(str(trace.value))
        if feature_taken:
            accepted += 1
            if accepted % n_input == 0:
                timing["frame_in"].append(clock)
            feature_valid = 0
            if offered < total_beats and feature_pattern.next():
                ports.feature.value = beats[offered]
                offered += 1
                feature_valid = 1
            else:
                ports.feature_valid.value = 0
        if clock == reset_at:
            # Everything from the start again: utterance, expectations, model.
            ports.rst.value = 0
            ports.feature_valid.value = 0
            offered = accepted = feature_valid = 0
            outputs = _Outputs(job, network)
            expect_first = True
            timing = {name: [] for name in timing}
            if comparison is not None:
                comparison.compare(snapshots, stimuli)
                snapshots, stimuli = [], []
                model.reset()
        clock += 1
        if len(snapshots) == _CHUNK:
            comparison.compare(snapshots, stimuli)
            snapshots, stimuli = [], []
            if comparison.mismatches:
                break
        if len(outputs.mismatches) > 20:
            break
        if accepted == total_beats and outputs.taken >= outputs.total:
            quiet = 0 if ports.busy.value else quiet + 1
            if quiet == _QUIET:
                break
    if comparison is not None and snapshots:
        comparison.compare(snapshots, stimuli)
    wall = time.perf_counter() - started
    if outputs.payloads is not None and outputs.taken == outputs.total:
        np.save(job.logits_path, stream_logits(config, outputs.payloads))
    messages = list(comparison.mismatches if comparison is not None else [])
    messages += outputs.mismatches
    if accepted < total_beats:
        messages.append(f"clock {clock}: only {accepted} of {total_beats} features were accepted")
    if outputs.taken < outputs.total:
        messages.append(f"clock {clock}: only {outputs.taken} of {outputs.total} beats came")
    return {
        "clocks": clock,
        "wall_s": wall,
        "compared_clocks": comparison.clocks if comparison is not None else 0,
        "compared_bits": comparison.bits if comparison is not None else 0,
        "compared_beats": outputs.taken,
        "mismatches": (comparison.count if comparison is not None else 0) + len(outputs.mismatches),
        "messages": messages,
        "counters": _counters(int(ports.counters.value), config.counter_bits, job.counter_names),
        "timing": timing,
    }


def _counters(value: int, bits: int, names: list[str]) -> dict[str, int]:
    mask = (1 << bits) - 1
    return {name: value >> (index * bits) & mask for index, name in enumerate(names)}
