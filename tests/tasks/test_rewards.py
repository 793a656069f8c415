"""Every reward on a table of answers."""

from __future__ import annotations

import time

import pytest

from t2app.errors import T2Error
from t2app.tasks import rewards
from t2app.tasks.base import Problem
from t2app.tasks.rewards import REWARDS

OPTIONS = (("A", "dog"), ("B", "Paris"), ("C", "hot dog"))


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("Yes", "yes", 1),
        (" YES. ", "yes", 1),
        ("new   york!", "New York", 1),
        ("“Paris”.", "paris", 1),
        ("**Paris**", "Paris", 1),
        ("Straße", "STRASSE", 1),
        ("ｆｕｌｌ", "full", 1),
        ("...", "...", 1),
        ("C++", "C", 0),
        ("yes it is", "yes", 0),
        ("", "yes", 0),
        ("-5", "5", 0),
    ],
)
def test_exact(answer: str, gold: str, score: float) -> None:
    assert rewards.exact(answer, gold) == score


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("The answer is 72.", "72", 1),
        ("12 * 6 = 72", "72", 1),
        ("72 apples, not 71", "72", 0),
        ("no number", "72", 0),
        ("", "72", 0),
        ("1,234", "1234", 1),
        ("1234", "1,234.00", 1),
        ("1.234.567", "1234567", 1),
        ("1.234,5", "1234.5", 1),
        ("1'234", "1234", 1),
        ("1\u202f234", "1 234", 1),
        ("12,34,567", "1234567", 1),
        ("2,5", "2.5", 1),
        ("1.234", "1234", 0),
        (".5", "0.5", 1),
        ("1, 2, 3", "3", 1),
        ("1,2,3", "3", 1),
        ("12-3", "3", 1),
        ("it is -3", "-3", 1),
        ("it is −3", "-3", 1),
        ("(-3)", "-3", 1),
        ("$3.20", "3.2", 1),
        ("50 %", "50%", 1),
        ("1e-3", "0.001", 1),
        ("72.0000001", "72", 1),
        ("72.01", "72", 0),
        ("0.3", "0.30000000000000004", 1),
        ("5", "It is 2 and 3, so #### 5", 1),
        ("3.15", "3.14 ± 0.01", 1),
        ("3.16", "3.14 +/- 0.01", 0),
        ("0", "0", 1),
        ("-0", "0", 1),
    ],
)
def test_numeric(answer: str, gold: str, score: float) -> None:
    assert rewards.numeric(answer, gold) == score


def test_numeric_with_a_tolerance() -> None:
    assert rewards.numeric("101", "100", tolerance=0.02) == 1
    assert rewards.numeric("103", "100", tolerance=0.02) == 0


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b)", "B"),
        ("(b)", "B"),
        ("**B**", "B"),
        ("B) Paris", "B"),
        ("B: I know it", "B"),
        ("The answer is B.", "B"),
        ("The answer is (b).", "B"),
        ("Answer: B", "B"),
        ("The answer is A. No, the answer is B.", "B"),
        ("I remember: A) dog: Rome. B) Paris: France. The answer is B.", "B"),
        ("Paris", "B"),
        ("It is paris.", "B"),
        ("Hot dog", "C"),
        ("A dog, I think", "A"),
        ("The answer is a dog", "A"),
        ("either dog or Paris", None),
        ("I can answer a question", None),
        ("e.g. nothing", None),
        ("", None),
    ],
)
def test_chosen_letter(answer: str, letter: str | None) -> None:
    assert rewards.chosen_letter(answer, OPTIONS) == letter


def test_choice() -> None:
    assert rewards.choice("It is Paris", "B", OPTIONS) == 1
    assert rewards.choice("It is Paris", "b") == 0, "no options to tell by"
    assert rewards.choice("So it is vitamin C", "C") == 1
    assert rewards.choice("A cat", "A") == 0, "an article"


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("It is Paris, in France", "paris", 1),
        ("I like new  york!", "New York.", 1),
        ("concatenate", "cat", 0),
        ("York, New", "New York", 0),
        ("答えは東京です", "東京", 1),
        ("", "x", 0),
    ],
)
def test_contains(answer: str, gold: str, score: float) -> None:
    assert rewards.contains(answer, gold) == score


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("order 1234-56 is ready", r"\d{4}-\d{2}", 1),
        ("order 12", r"\d{4}-\d{2}", 0),
        ("Hello", "(?i)^hello$", 1),
        ("a\nb", "(?s)a.b", 1),
    ],
)
def test_regex(answer: str, gold: str, score: float) -> None:
    assert rewards.regex(answer, gold) == score


def test_a_pattern_that_never_ends_is_stopped() -> None:
    began = time.process_time()  # the limit is one of computing time
    assert rewards.regex("a" * 60 + "!", "(a|aa)+$") == 0
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
        rewards.regex("a", pattern)
    assert message in (REWARDS["regex"].unreadable(pattern) or "")


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("the cat sat", "The cat sat.", 1),
        ("the cat", "the cat sat down", 2 / 3),
        ("sat cat the", "the cat sat", 1 / 3),
        ("dog", "cat", 0),
        ("", "cat", 0),
        ("東京", "東京都", 0.8),
    ],
)
def test_overlap(answer: str, gold: str, score: float) -> None:
    assert rewards.overlap(answer, gold) == pytest.approx(score)


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
        ("def f(x): return 1 / 0", "f(1) -> 1", 0),
        ("def f(x):\n    while True: pass", "f(1) -> 1", 0),
        ("I do not know", "f(1) -> 1", 0),
    ],
)
def test_code(answer: str, tests: str, score: float) -> None:
    assert rewards.code(answer, tests) == score


def test_code_cannot_pass_by_changing_what_equal_means() -> None:
    answer = "class Same(int):\n    def __eq__(self, other): return True\ndef f(x): return Same(0)"
    assert rewards.code(answer, "f(1) -> 1") == 0


@pytest.mark.parametrize(
    ("reward", "gold", "reason"),
    [
        ("exact", "yes", None),
        ("exact", " ", "no words"),
        ("numeric", "12 km", None),
        ("numeric", "Paris", "no number in 'Paris'"),
        ("numeric", "9" * 400, "no number"),
        ("choice", "b", None),
        ("choice", "cow", "'cow' is none of the options"),
        ("code", "f(1) -> 2", None),
        ("code", "f(x) -> 2", "'f(x) -> 2' is not a test"),
        ("regex", "a+", None),
        ("overlap", "some words", None),
        ("contains", "", "no words"),
    ],
)
def test_gold_answers_that_cannot_be_judged_by(reward: str, gold: str, reason: str | None) -> None:
    found = REWARDS[reward].unreadable(gold)
    assert (found is None) if reason is None else (reason in found)


def test_rewards_score_the_problems_of_a_task() -> None:
    def problem(gold: str, hidden: tuple = ()) -> Problem:
        return Problem("t", "q", gold, gold, gold, hidden)

    assert REWARDS["numeric"].score([problem("1"), problem("2")], ["1", "1"]) == [1, 0]
    assert REWARDS["choice"].score([problem("B", OPTIONS)], ["Paris"]) == [1]
    code = REWARDS["code"]
    assert code.score([problem("f(1) -> 2")] * 2, ["def f(x): return 2", "no"]) == [1, 0]
