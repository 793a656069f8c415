"""A reward tried on rows: what is said where it will not do."""

from __future__ import annotations

import pytest

from t2app.data import trial
from t2app.tasks import own
from t2app.tasks.base import Problem
from t2app.tasks.rewards import REWARDS


def problems(golds: list[str], **more: object) -> list[Problem]:
    return [
        Problem("t", f"q{i}", gold, gold, gold, number=i + 1, row=(("answer", gold),), **more)
        for i, gold in enumerate(golds)
    ]


LONG = [f"{n} is what it is because of how it came to be and what {n} made of it" for n in range(9)]
LABELS = ["fine"] * 9 + ["fraud"]


@pytest.mark.parametrize(
    ("reward", "golds", "problem", "words"),
    [
        ("exact", LABELS * 3, None, "Always answering 'fine' gets 90%: that is the bar to beat."),
        ("exact", ["a", "b", "c"], None, ""),
        ("exact", LONG, "the answers have about 18 words and differ", ""),
        ("numeric", ["1", "2", "3.5"], None, ""),
        ("numeric", [f"5 {x}" for x in ("km", "miles", "yards", "feet")], "hardly tells right", ""),
        ("contains", ["Rome", "Paris"], None, ""),
        ("contains", ["a", "a b", "a b c"], None, ""),
        ("overlap", LONG, None, "The answers are alike: that of another row already gets 0.8"),
        ("overlap", ["one two", "three four"], None, ""),
        ("regex", [".*", "a*"], "met by the empty answer, which gets 1.00", ""),
        ("regex", ["^a$", "^b$"], None, ""),
    ],
)
def test_rewards_that_come_with_the_app(
    reward: str, golds: list[str], problem: str | None, words: str
) -> None:
    found = trial.run(REWARDS[reward], problems(golds))
    assert found.failure is None
    assert (found.problem is None) if problem is None else (problem in str(found.problem))
    assert words in found.words()
    assert found.words().startswith("It will not do: ") is (problem is not None)


def test_the_figures() -> None:
    found = trial.run(REWARDS["exact"], problems(LABELS))
    assert (found.rows, found.own, found.other, found.empty) == (10, 1, 0, 0)
    assert (found.most, found.common) == ("fine", pytest.approx(0.9))
    assert found.to_dict()["own"] == 1


def test_choices_by_letter() -> None:
    hidden = (("A", "dog"), ("B", "cat"))
    found = trial.run(REWARDS["choice"], problems(["A", "B"] * 5, hidden=hidden))
    assert (found.own, found.other, found.empty, found.common) == (1, 0, 0, 0.5)


def test_programs_and_their_own_tests() -> None:
    right = "def f(x):\n    return x + 1"
    rows = [Problem("t", f"q{i}", f"f({i}) -> {i + 1}", right, right, number=i) for i in range(12)]
    assert trial.run(REWARDS["code"], rows).own == 1
    one_wrong = [*rows[:11], Problem("t", "q", "f(1) -> 3", right, right, number=12)]
    found = trial.run(REWARDS["code"], one_wrong)
    assert found.problem is None
    assert "1 of 12 given programs fail their own tests (first: row 12)." in found.words()
    all_wrong = [Problem("t", f"q{i}", "f(1) -> 3", right, right, number=i) for i in range(1, 9)]
    assert "the given answers themselves get 0.00 on average" in str(
        trial.run(REWARDS["code"], all_wrong).problem
    )
    untold = [Problem("t", f"q{i}", "f(1) -> 3", "", "", number=i) for i in range(9)]
    found = trial.run(REWARDS["code"], untold)
    assert (found.own, found.problem, found.empty) == (None, None, 0)


def own_trial(body: str, golds: list[str] | None = None) -> trial.Trial:
    source = f"def reward(answer, row):\n    {body}\n"
    return trial.run(own.find("my.py", {"my.py": source}), problems(golds or LABELS))


@pytest.mark.parametrize(
    ("body", "problem", "words"),
    [
        ("return answer == row['answer']", None, "Always answering 'fine'"),
        ("return 1 - min(1, len(answer) / 100)", "this reward is met by the empty answer", ""),
        ("return 0.5", "this reward is met by the empty answer, which gets 0.50", ""),
        ("return len(answer) > 2", "hardly tells right from wrong", ""),
        ("return 0.3 * (len(answer) > 2)", "it does not tell right from wrong", ""),
        ("return 0.5 * (answer == row['answer'])", None, "The given answers get 0.50 on average."),
        (
            "return 0.1 + 0.9 * (answer == row['answer'])",
            None,
            "The empty answer gets 0.10 on average.",
        ),
        (
            "print('hm'); return answer == row['answer']",
            None,
            "my.py, row 1: the function prints 'hm'; only what it returns counts.",
        ),
    ],
)
def test_functions_of_the_users(body: str, problem: str | None, words: str) -> None:
    found = own_trial(body)
    assert found.failure is None
    assert (found.problem is None) if problem is None else (problem in str(found.problem))
    assert words in found.words()


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ("return float(answer)", "my.py, row 1, answer 'fine': the function fails: ValueError"),
        ("return 'good'", "returns the text 'good'"),
        # It does well on every right answer, but not on what a model may say.
        ("return 1 / (answer != '42')", "answer '42': the function fails: ZeroDivisionError"),
        ("return answer.index('f') + 0", "answer ''"),
    ],
)
def test_functions_that_fail(body: str, failure: str) -> None:
    found = own_trial(body)
    assert failure in str(found.failure)
    assert "\n" not in str(found.failure)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = problems([str(n) for n in range(400)])
    assert trial.run(REWARDS["numeric"], rows) == trial.run(REWARDS["numeric"], rows[::-1])


def test_long_texts_take_no_time() -> None:
    rows = problems([f"word{n} " * 3000 for n in range(50)])
    assert trial.run(REWARDS["overlap"], rows).own == 1


def test_no_rows() -> None:
    assert trial.run(REWARDS["exact"], []) == trial.Trial("exact", 0)
