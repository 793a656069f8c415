"""Which reward fits, and how it is said."""

from __future__ import annotations

import pytest

from t2app.data.suggest import describe, is_number, suggest


@pytest.mark.parametrize(
    ("golds", "reward", "objective", "words"),
    [
        (["1", "20", "-3.5"] * 5, "numeric", "rl", "numbers from -3.5 to 20"),
        (["$5", "1,200 km", "12 %", "3 ± 0.1"], "numeric", "rl", "its last number"),
        (["First 2 + 2 = 4. #### 4", "So the answer is 5."], "numeric", "rl", "from 4 to 5"),
        (["A", "B", "c", "(D)"], "choice", "rl", "right letter"),
        (["spam", "ham"] * 10, "exact", "rl", "2 different texts that repeat"),
        (["Hello there, what can I do for you today?"] * 8, "exact", "rl", "1 different"),
        (["Paris", "Rome", "New York"], "exact", "rl", "short (e.g. 'Rome')"),
        ([f"A long answer of many words number {'x' * n} here" for n in range(9)], "overlap", "sft",
         "about 9 words"),
    ],
)  # fmt: skip
def test_answers(golds: list[str], reward: str, objective: str, words: str) -> None:
    found = suggest(golds)
    assert (found.reward, found.objective) == (reward, objective)
    assert words in found.why
    assert found.why.endswith(".")


def test_columns_decide_first() -> None:
    assert suggest(["1", "2"], options=True).reward == "choice"
    assert suggest(["1", "2"], tests=True).reward == "code"
    assert suggest([]).reward == "exact"


def test_a_few_odd_answers_do_not_matter() -> None:
    assert suggest(["1"] * 19 + ["unknown"]).reward == "numeric"
    assert suggest(["1"] * 3 + ["unknown"]).reward == "exact"


@pytest.mark.parametrize(
    ("gold", "number"),
    [("12", True), ("12 years", True), ("€ 12", True), ("about 12", False), ("12 or 13", False)],
)
def test_numbers(gold: str, number: bool) -> None:
    assert is_number(gold) is number


def test_descriptions() -> None:
    questions = ["What is the capital of France?", "And the capital of Italy?", "Name a river."]
    assert describe(questions, "exact") == "questions with a short answer: capital"
    assert describe(["Why?"], "numeric") == "questions answered by a number"
