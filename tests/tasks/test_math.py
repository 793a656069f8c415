"""Word problems: both styles are right, the sums are right, wrong answers are wrong."""

from __future__ import annotations

import random
import re

import pytest

from t2app.tasks import TASKS

NAMES = ("math", "math-hard")


def drawn(name: str, n: int, seed: int = 0) -> list:
    r = random.Random(seed)
    return [TASKS[name].draw(r) for _ in range(n)]


@pytest.mark.parametrize("name", NAMES)
def test_both_styles_are_right(name):
    problems = drawn(name, 600)
    assert TASKS["math"].score(problems, [p.fast for p in problems]) == [1.0] * 600
    assert TASKS["math"].score(problems, [p.steps for p in problems]) == [1.0] * 600


@pytest.mark.parametrize("name", NAMES)
def test_every_sum_is_right_and_the_last_one_is_the_answer(name):
    for problem in drawn(name, 600, seed=1):
        sums = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", problem.steps)
        assert sums, problem.steps
        for a, op, b, result in sums:
            a, b, result = int(a), int(b), int(result)
            exact = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else None}[op]
            assert exact == result, problem.steps
        assert sums[-1][-1] == problem.gold


@pytest.mark.parametrize("name", NAMES)
def test_every_sum_uses_what_was_said_or_worked_out(name):
    """No number falls from the sky: each is in the question, a result, or counts something."""
    implied = {"2", "3", "4", "5", "10"}  # half, doubled, tripled, a quarter, a fifth, a tenth
    for problem in drawn(name, 400, seed=2):
        known = set(re.findall(r"\d+", problem.question)) | implied
        for a, _, b, result in re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", problem.steps):
            assert {a, b} <= known, (problem.question, problem.steps)
            known.add(result)


def test_most_stories_have_two_to_four_sums():
    counts = [p.steps.count(" = ") for p in drawn("math", 600)]
    assert sum(1 < n < 5 for n in counts) > 500
    assert min(counts) >= 1
    assert max(counts) <= 6


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_small_whole_numbers(name):
    assert all(0 <= int(p.gold) <= 999 for p in drawn(name, 600))


@pytest.mark.parametrize("name", NAMES)
def test_wrong_answers_score_nothing(name):
    problems = drawn(name, 100)
    for change in (1, -1, 10, 1000):
        wrong = [f"The answer is {int(p.gold) + change}." for p in problems]
        assert TASKS["math"].score(problems, wrong) == [0.0] * 100
    assert TASKS["math"].score(problems, [""] * 100) == [0.0] * 100
    assert TASKS["math"].score(problems, ["I do not know."] * 100) == [0.0] * 100
    assert (
        TASKS["math"].score(problems, [f"-{p.gold}" for p in problems if p.gold != "0"][:1] * 100)
        == [0.0] * 100
    )
