"""The verdict: what is said of which held-out scores."""

from __future__ import annotations

import pytest

from t2app.training.outcome import HeldOut, changed_first, judge


def scores(gained: int, lost: int, same: int = 0) -> tuple[list[float], list[float]]:
    before = [0.0] * gained + [1.0] * lost + [0.0] * same
    after = [1.0] * gained + [0.0] * lost + [0.0] * same
    return before, after


@pytest.mark.parametrize(
    ("gained", "lost", "same", "verdict"),
    [
        (30, 2, 40, "helps"),
        (2, 30, 40, "hurts"),
        (0, 0, 50, "makes no difference"),
        (10, 8, 50, "makes no difference"),
        (6, 0, 0, "helps"),  # exact test: 0.03
        (5, 0, 0, "makes no difference"),  # 0.06, although the interval is far from 0
    ],
)
def test_the_verdict(gained, lost, same, verdict):
    found = judge(*scores(gained, lost, same))
    assert found["verdict"] == verdict
    assert (found["gained"], found["lost"]) == (gained, lost)
    assert found["verdict_words"].lower().startswith(verdict)
    assert found["gain"]["low"] <= found["gain"]["mean"] <= found["gain"]["high"]


def test_what_is_said():
    words = judge(*scores(30, 2, 40))["verdict_words"]
    assert words == (
        "Helps: of 72 held-out rows, 30 became right and 2 wrong "
        "(3% before, 42% after: +39 points, 95 % interval +25 to +51)."
    )


def test_graded_scores_become_better_not_right():
    found = judge([0.2] * 20, [0.5] * 19 + [0.1])
    assert "19 became better and 1 worse" in found["verdict_words"]
    assert found["verdict"] == "helps"


def test_changed_rows_come_first():
    same = HeldOut("a", "1", "x", "x", 1.0, 1.0)
    other_words = HeldOut("b", "1", "x", "y", 0.0, 0.0)
    gained = HeldOut("c", "1", "x", "1", 0.0, 1.0)
    lost = HeldOut("d", "1", "1", "x", 1.0, 0.0)
    assert changed_first([same, other_words, gained, lost]) == [gained, lost, other_words, same]
    assert [row.change for row in (same, gained, lost)] == ["same", "gained", "lost"]
