"""Rewards by name: what each scores, and which gold answers it cannot judge by."""

from __future__ import annotations

import pytest

from t2app.tasks import rewards
from t2app.tasks.base import Problem
from t2app.tasks.rewards import REWARDS

OPTIONS = (("A", "dog"), ("B", "Paris"), ("C", "hot dog"))


@pytest.mark.parametrize(
    ("answer", "tests", "score"),
    [
        ("```python\ndef f(x):\n    return 2 * x\n```", "f(2) -> 4\nf(-1) -> -2", 1),
        ("def f(x): return 2 * x", "assert f(2) == 4", 1),
        ("def f(x): return 2 * x", "f(2) -> 4; f(3) -> 7", 0),
        ("def g(x): return 2 * x", "f(2) -> 4", 0),
        ("def f(x): return (x, [x])", "f(2) -> (2, [2])", 1),
        ("def f(x): return x / 3", "f(1) -> 0.3333333333333", 1),
        ("def f(x): return {'a': x}", "f(1) -> {'a': 1}", 1),
        ("def f(x): return x > 1", "assert f(2)\nassert not f(1)", 1),
        ("def f(x): return {x}", "f(1) -> [1]", 0),
        ("def f(x): return {x}", "f(1) -> {1}", 1),
        (
            "import math\ndef f(x): return math.pi",
            "assert math.isclose(f(1), 3.1416, rel_tol=1e-3)",
            1,
        ),
        ("def f(x): return 3", "assert math.isclose(f(1), 3.1416, rel_tol=1e-3)", 0),
        ("def f(x): return [2, 1]", "assert set(f(1)) == {1, 2}", 1),
        ("def f(x): return x", "def check(candidate):\n    assert candidate(1) == 1\ncheck(f)", 1),
        ("def f(x): return 2", "def check(candidate):\n    assert candidate(1) == 1\ncheck(f)", 0),
        ("def f(x): return 1 / 0", "f(1) -> 1", 0),
        ("def f(x):\n    while True: pass", "f(1) -> 1", 0),
        ("I do not know", "f(1) -> 1", 0),
    ],
)
def test_code(answer: str, tests: str, score: float) -> None:
    assert rewards.code(answer, tests) == score


@pytest.mark.parametrize(
    "tests",
    [
        "f(1) -> 1",
        "def check(candidate):\n    assert candidate(1) == 1\ncheck(f)",
        "assert math.isclose(f(1), 1)",
        "assert abs(f(1) - 1) < 1e-6",
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        "class Same(int):\n    def __eq__(self, other): return True\ndef f(x): return Same(0)",
        "import math\nmath.isclose = lambda *a, **k: True\ndef f(x): return 0",
        "import builtins\nbuiltins.abs = lambda x: 0\ndef f(x): return 0",
        "import os\ndef f(x): os._exit(0)",
        "def f(x): raise SystemExit(0)",
        "judge = lambda known: ['passed', '']\ndef f(x): return 0",
    ],
)
def test_code_cannot_pass_by_changing_what_equal_means(answer: str, tests: str) -> None:
    assert rewards.code(answer, tests) == 0


@pytest.mark.parametrize(
    ("reward", "gold", "reason"),
    [
        ("exact", "yes", None),
        ("exact", " ", "no words"),
        ("numeric", "12 km", None),
        ("numeric", "Paris", "no number in 'Paris'"),
        ("numeric", "9" * 400, "no number"),
        ("numeric", "2-9", "no number in '2-9'"),
        ("numeric", "07.09.1991", "no number"),
        ("choice", "b", None),
        ("choice", "cow", "'cow' is none of the options"),
        ("code", "f(1) -> 2", None),
        ("code", "f(x) -> 2", "'f(x) -> 2' is not a test"),
        ("code", "assert f(1) > 2", None),
        ("code", "assert f(int) == 2", "cannot be run: TypeError"),
        ("code", "def check(c):\n    assert True\ncheck(f)", "the tests never call f"),
        ("regex", "a+", None),
        ("overlap", "some words", None),
        ("contains", "", "no words"),
    ],
)
def test_gold_answers_that_cannot_be_judged_by(reward: str, gold: str, reason: str | None) -> None:
    found = REWARDS[reward].unreadable(gold)
    assert (found is None) if reason is None else (reason in found)


def problem(gold: str, **more: object) -> Problem:
    return Problem("t", "q", gold, gold, gold, **more)


def test_rewards_score_the_problems_of_a_task() -> None:
    assert REWARDS["numeric"].score([problem("1"), problem("2")], ["1", "1"]) == [1, 0]
    assert REWARDS["choice"].score([problem("B", hidden=OPTIONS)], ["Paris"]) == [1]
    code = REWARDS["code"]
    assert code.score([problem("f(1) -> 2")] * 2, ["def f(x): return 2", "no"]) == [1, 0]


@pytest.mark.parametrize(
    ("reward", "gold", "also", "answer", "score"),
    [
        ("exact", "New York", ("NYC",), "nyc", 1),
        ("exact", "New York", ("NYC",), "Boston", 0),
        ("contains", "New York", ("NYC",), "I like NYC.", 1),
        ("numeric", "1", ("2", "3"), "2", 1),
        ("choice", "A", ("B",), "Paris", 1),
        ("overlap", "a b c d", ("a b",), "a b", 1),
        ("overlap", "a b c d", (), "a b", 2 / 3),
        ("regex", "^a$", ("^b$",), "b", 1),
        ("code", "f(1) -> 1", ("f(1) -> 2",), "def f(x): return 2", 1),
    ],
)
def test_the_best_of_several_right_answers_counts(
    reward: str, gold: str, also: tuple[str, ...], answer: str, score: float
) -> None:
    hidden = OPTIONS if reward == "choice" else ()
    found = REWARDS[reward].score([problem(gold, also=also, hidden=hidden)], [answer])
    assert found == pytest.approx([score])


def test_what_a_reward_is_made_of() -> None:
    for name, reward in REWARDS.items():
        assert reward.name == name
        assert reward.parts == ((name, 1.0),)
        assert reward.uses(name)
        assert not reward.own
