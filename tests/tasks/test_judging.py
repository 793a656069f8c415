"""Answers that were cut off are wrong, everywhere."""

from __future__ import annotations

from t2app.tasks import TASKS
from t2app.tasks.base import Problem
from t2app.tasks.judging import Answer, cut_off, judged
from t2app.tasks.rewards import REWARDS

PROBLEM = Problem("math", "2 + 2?", "4", "4", "4")


def test_a_right_answer_that_was_cut_off_is_wrong() -> None:
    answers = [Answer("4"), Answer("4", False), Answer("5"), Answer("")]
    assert judged(TASKS["math"], [PROBLEM] * 4, answers) == [1, 0, 0, 0]


def test_even_where_the_empty_answer_would_be_right() -> None:
    task = TASKS["math"].__class__("t", "t", lambda r: PROBLEM, REWARDS["regex"].score)
    anything = Problem("t", "q", ".*", "", "")
    assert judged(task, [anything] * 2, [Answer("x", False), Answer("")]) == [0, 1]


def test_the_share_that_was_cut_off() -> None:
    assert cut_off([True, False, True, False]) == 0.5
    assert cut_off([]) == 0
