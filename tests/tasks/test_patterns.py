"""Regular expressions from a file."""

from __future__ import annotations

import time

import pytest

from t2app.errors import T2Error
from t2app.tasks.patterns import matches
from t2app.tasks.rewards import REWARDS


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("order 1234-56 is ready", r"\d{4}-\d{2}", 1),
        ("order 12", r"\d{4}-\d{2}", 0),
        ("Hello", "(?i)^hello$", 1),
        ("a\nb", "(?s)a.b", 1),
    ],
)
def test_matches(answer: str, gold: str, score: float) -> None:
    assert matches(answer, gold) == score


def test_a_pattern_that_never_ends_is_stopped() -> None:
    began = time.process_time()  # the limit is one of computing time
    assert matches("a" * 60 + "!", "(a|aa)+$") == 0
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is not a regular expression"),
        ("[", "is not a regular expression"),
        ("a" * 501, "more than 500 characters"),
        ("((a{1000}){1000}){1000}", "repeats too much"),
        ("(?:a{1,500}){1,500}", "repeats too much"),
        ("a{99999}", "repeats too much"),
    ],
)
def test_patterns_that_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(T2Error, match=message):
        matches("a", pattern)
    assert message in (REWARDS["regex"].unreadable(pattern) or "")
