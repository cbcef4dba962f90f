# SPDX-License-Identifier: Apache-2.0
"""Faults of the link: none is lost silently, and a driver or bridge that loses one is found out."""

import dataclasses
import struct
import zlib

import pytest

from cocotb_tests.serial import serial_reference as reference
from cocotb_tests.serial.link_faults import (
    CLOCK_HZ,
    FAST,
    KINDS,
    TIMEOUT_S,
    Cable,
    Spoiling,
    build_model,
    crc_facts,
    report_lines,
    run_kind,
)
from cocotb_tests.serial.serial_mutants import MUTANTS, mutant_verilog
from flows.host.link import DEFAULT_BAUD, Link, LinkError, SpeedError
from flows.host.link_quality import best_speed, measure

pytestmark = pytest.mark.xdist_group("link")

BROKEN_BRIDGE = (
    "from cocotb_tests.serial.link_faults import bridge_verilog; print(bridge_verilog())"
)


@pytest.fixture(scope="module")
def model(build_root):
    return build_model(build_root / "link")


@pytest.fixture
def cable(model, seed):
    with Cable(model, seed) as cable:
        yield cable


@pytest.fixture
def link(cable):
    link = Link(cable, timeout_s=TIMEOUT_S, clock=cable)
    link.connect(DEFAULT_BAUD)
    return link


# ---- every kind ----------------------------------------------------------------------------


def _accounted(report):
    """Nothing wrong, and no campaign that proves nothing."""
    assert report.passed, report
    outcomes, faults = report.outcomes, report.faults
    assert report.dropped + report.broken > 0
    match report.kind:
        case "power lost":
            assert outcomes["reported"] == faults
        case "adapter unplugged" | "host killed":
            assert outcomes["reported"] == faults
            assert report.sessions >= faults
        case _:
            assert outcomes["repeated"] >= faults / 10


@pytest.mark.parametrize("kind", KINDS)
def test_no_fault_is_lost_silently(model, seed, kind):
    report = run_kind(model, kind, 60, seed)
    assert report.faults >= 60
    _accounted(report)


@pytest.mark.slow
def test_of_a_thousand_of_each_none_is_lost_silently(model, capsys):
    reports = [run_kind(model, kind, 1000) for kind in KINDS]
    with capsys.disabled():
        print("", *report_lines(reports, crc_facts()), sep="\n")
    for report in reports:
        assert report.faults >= 1000
        _accounted(report)


# ---- the campaign is proved by what is broken ------------------------------------------------


def _lax(parse):
    def parse_anything(self, content):
        if content is not None and len(content) >= 8 and len(content) % 4 == 0:
            content = content[:-4] + struct.pack("<I", zlib.crc32(content[:-4]))
        return parse(self, content)

    return parse_anything


def _renumbering(send):
    def send_as_new(self, request, *rest):
        content = next(reference.unframe(request.packet))
        self._sequence = (self._sequence + 1) % 256
        content = reference.packet(bytes([self._sequence]) + content[1:-4])
        new = dataclasses.replace(request, packet=reference.frame(content), sequence=self._sequence)
        return send(self, new, *rest)

    return send_as_new


def _forgiving(send):
    def send_and_greet(self, request, *rest):
        answer = send(self, request, *rest)
        if answer is not None and answer.status == reference.NO_SESSION:
            send(self, self._request(reference.HELLO), *rest)
            answer = send(self, request, *rest)
        return answer

    return send_and_greet


@pytest.mark.parametrize(
    ("method", "breakage", "kind"),
    [
        ("_parse", _lax, "bits flipped"),
        ("_try", _renumbering, "bytes lost"),
        ("_try", _forgiving, "power lost"),
    ],
    ids=["CRC not checked", "repeats are new requests", "greets a board that was reset"],
)
def test_campaign_finds_a_broken_driver(model, monkeypatch, method, breakage, kind):
    monkeypatch.setattr(Link, method, breakage(getattr(Link, method)))
    report = run_kind(model, kind, 400)
    assert report.wrong
    assert not report.passed


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CRC not checked", "bits flipped"),
        pytest.param("repeat carried out again", "bytes lost", marks=pytest.mark.slow),
        pytest.param("no session needed", "power lost", marks=pytest.mark.slow),
    ],
)
def test_campaign_finds_a_broken_bridge(build_root, name, kind):
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    model = build_model(build_root / "mutants", mutant_verilog(mutant, BROKEN_BRIDGE))
    report = run_kind(model, kind, 400)
    assert report.wrong
    assert not report.passed


def test_crc_facts_are_those_published():
    # Koopman, "32-Bit Cyclic Redundancy Codes for Internet Applications", DSN 2002: Hamming
    # distance 5 up to 2,974 data bits, 4 beyond.
    assert crc_facts(2974 + 32)["patterns"] == 0
    assert crc_facts(2975 + 32)["patterns"] > 0
    facts = crc_facts()
    assert facts["least"] == 4
    assert facts["undetected"] < 2**-32


# ---- the quality of a link -------------------------------------------------------------------


def test_good_link_has_no_errors_and_the_rate_of_its_line(link):
    link.set_baud(FAST)
    quality = measure(link, 0.2, seed=1)
    assert (quality.baud, quality.carried, quality.errors) == (FAST, True, 0)
    assert quality.packets > 4
    assert quality.payload_bytes == quality.packets * 4 * 126
    # Ten bits a byte there and back again; packets have 8 bytes more, and bytes that are escaped.
    assert 0.9 * FAST / 20 < quality.bytes_per_s < FAST / 20
    assert quality.bits == pytest.approx(20 * quality.payload_bytes, rel=0.1)


def test_error_rate_of_a_bad_link_is_that_of_its_cable(cable, link):
    cable.spoiling = Spoiling(flips=1e-4)
    quality = measure(link, 8, words=8, seed=1)
    assert quality.errors > 60
    assert quality.error_rate == pytest.approx(1e-4, rel=0.35)
    assert quality.dropped > 0
    assert quality.broken > 0


def test_best_speed_is_the_fastest_that_the_cable_carries(cable, link):
    cable.spoiling, cable.spoilt_above = Spoiling(flips=0.01), 2 * DEFAULT_BAUD
    best, qualities = best_speed(link, (FAST, 2 * DEFAULT_BAUD, CLOCK_HZ), 0.1)
    assert best == link.baud == 2 * DEFAULT_BAUD
    # The board's clock has no speed of a clock a bit.
    assert [quality.baud for quality in qualities] == [DEFAULT_BAUD, 2 * DEFAULT_BAUD, FAST]
    assert not qualities[-1].carried
    assert link.echo([1, 2, 3]) == [1, 2, 3]


def test_losing_speed_is_worth_less_than_a_slower_one(cable, link):
    cable.spoiling, cable.spoilt_above = Spoiling(flips=3e-4), 2 * DEFAULT_BAUD
    best, qualities = best_speed(link, (2 * DEFAULT_BAUD, FAST), 0.5)
    assert best == 2 * DEFAULT_BAUD
    assert qualities[-1].bytes_per_s < qualities[-2].bytes_per_s


def test_speed_that_the_port_has_not_is_named_and_changes_nothing(cable, link, monkeypatch):
    def refuse(self, baud):
        if baud == FAST:
            raise ValueError(f"Failed to set custom baud rate ({baud})")
        self.__dict__["baud"] = baud

    monkeypatch.setattr(
        Cable, "baudrate", property(lambda self: self.__dict__["baud"], refuse), raising=False
    )
    cable.baudrate = DEFAULT_BAUD
    with pytest.raises(SpeedError, match=f"^--baud is {FAST}: the simulated cable cannot be set"):
        link.set_baud(FAST)
    assert link.baud == DEFAULT_BAUD
    assert link.echo([7]) == [7]


def test_reset_is_told_by_all_that_asks_within_a_session(cable, link):
    asks = (
        lambda: link.echo([1]),
        link.greet,
        lambda: link.set_baud(FAST),
        lambda: measure(link, 0.1),
        lambda: best_speed(link, (FAST,), 0.1),
    )
    for ask in asks:
        link.connect(DEFAULT_BAUD)
        cable.reset_board(0, 100)
        cable.sleep(0.001)
        with pytest.raises(LinkError, match="the board was reset or lost power"):
            ask()
