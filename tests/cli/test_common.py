"""Progress on standard error: a line that changes on a terminal, few lines in a log file."""

from __future__ import annotations

import io
import sys

import pytest

from t2app.cli import common


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """``clock[0]`` is what time it is."""
    now = [100.0]
    monkeypatch.setattr(common.time, "monotonic", lambda: now[0])
    return now


def test_a_log_file_gets_the_first_line_one_in_ten_seconds_and_the_last(capsys, clock) -> None:
    line = common.Line()
    for second in range(25):
        clock[0] = 100.0 + second
        line.show(f"second {second}")
    line.end()
    line.end()
    assert capsys.readouterr().err.splitlines() == [f"second {n}" for n in (0, 10, 20, 24)]
    line.show("anew")
    assert capsys.readouterr().err == "anew\n"


def test_a_line_that_is_cleared_stays_in_a_log_file(capsys, clock) -> None:
    line = common.Line()
    line.show("first")
    line.show("last")
    line.clear()
    assert capsys.readouterr().err == "first\nlast\n"


def test_a_terminal_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    line = common.Line()
    line.show("first")
    line.show("second")
    line.end()
    line.show("third")
    line.clear()
    line.clear()
    erased = common.ERASE
    shown = f"{erased}first{erased}second\n{erased}third{erased}{erased}"
    assert terminal.getvalue() == shown


def test_factoring_does_not_flood_a_log_file(capsys, clock) -> None:
    report = common.loading()
    report("reading the weights", 0, 0)
    report("downloading", 10**9, 2 * 10**9)
    for done in range(1, 169):
        clock[0] += 0.25
        report("factoring", done, 168)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "downloading 1.0 GB of 2.0 GB"
    assert lines[1].startswith("factoring matrix 1 of 168")
    assert lines[-1] == "factoring matrix 168 of 168"
    assert len(lines) == 1 + 5 + 1


def test_factoring_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    report = common.loading()
    for done in (1, 2, 3):
        report("factoring", done, 3)
    assert terminal.getvalue().count(common.ERASE) == 3
    assert terminal.getvalue().endswith("factoring matrix 3 of 3\n")
