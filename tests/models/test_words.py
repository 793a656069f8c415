"""Sizes, times and progress in words."""

from __future__ import annotations

import time

import pytest

from t2app.models.words import Pace, duration, first_line, gigabytes


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0.0 MB"),
        (250_000, "0.2 MB"),
        (41.2e7, "412 MB"),
        (9.99e8, "999 MB"),
        (3.14e9, "3.1 GB"),
    ],
)
def test_sizes(size: float, words: str) -> None:
    assert gigabytes(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1, "1 s"), (40, "40 s"), (100, "2 min"), (3900, "65 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_time_left_counts_only_what_this_run_did(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    pace = Pace()
    assert pace("reading the weights", 0, 0) == "reading the weights"
    # An earlier run had done 90 of 100, so they say nothing about the pace.
    assert pace("factoring", 90, 100) == "factoring matrix 90 of 100"
    clock[0] += 10
    assert pace("factoring", 92, 100) == "factoring matrix 92 of 100, 40 s left"
    clock[0] += 40
    assert pace("factoring", 100, 100) == "factoring matrix 100 of 100"
    assert pace("downloading", 1.2e9, 3.1e9) == "downloading 1.2 GB of 3.1 GB"


def test_errors_in_one_line() -> None:
    assert first_line(ValueError("wrong.\nmore")) == "ValueError: wrong"
    assert first_line(KeyError()) == "KeyError"
