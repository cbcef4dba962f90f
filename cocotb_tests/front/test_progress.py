# SPDX-License-Identifier: Apache-2.0
"""Progress where there is no terminal: lines of long work, and none of quick work."""

import re
import time

import pytest

from flows import progress


def test_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.on_terminal() as show:
        show("computing")
    assert capsys.readouterr() == ("", "")


def test_long_work_is_told_in_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ever more rarely: after 0.2 s, 0.4 s, 0.8 s; with what is done then."""
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.2)
    with progress.on_terminal() as show:
        for number in range(100):
            show(f"frame {number}\x1b[2J")
            time.sleep(0.01)
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert 2 <= len(lines) <= 4  # a loaded machine takes longer than a second
    for line in lines:
        assert re.fullmatch(r"plosive: frame \d+\\x1b\[2J \(\d+ s\)", line), line
    numbers = [int(re.search(r"frame (\d+)", line)[1]) for line in lines]
    assert numbers == sorted(set(numbers))


def test_a_failure_ends_the_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.05)

    def fail() -> None:
        with progress.on_terminal() as show:
            show("computing")
            raise KeyError("work")

    with pytest.raises(KeyError, match="work"):
        fail()
    capsys.readouterr()
    time.sleep(0.15)
    assert capsys.readouterr().err == ""
