"""Questions as people type them: still the same question, with the same numbers."""

from __future__ import annotations

import random
import re

import pytest

from t2app.tasks import TASKS
from t2app.tasks.noise import dress, typo

TEXT = "Anna bought 12 apples yesterday and gave 3 of them to Farid. How many are left?"


def test_a_typo_changes_a_few_letters_inside_words():
    r = random.Random(0)
    for _ in range(300):
        changed = typo(r, TEXT)
        pairs = list(zip(TEXT.split(" "), changed.split(" "), strict=True))
        [(before, after)] = [(a, b) for a, b in pairs if a != b] or [("same", "same")]
        assert abs(len(before) - len(after)) <= 1
        assert before[0] == after[0]
        assert set(after) <= set(before)


def test_numbers_are_left_alone():
    r = random.Random(0)
    for _ in range(300):
        problem = TASKS["math"].draw(r)
        dressed = dress(r, problem.question, typos=1.0)
        assert re.findall(r"\d+", dressed) == re.findall(r"\d+", problem.question)


@pytest.mark.parametrize("text", ["", "a", "12 34", "hi you", "x\n\ny"])
def test_short_texts_survive(text):
    r = random.Random(0)
    for _ in range(100):
        typo(r, text, 3)
        assert text.lower() in dress(r, text, typos=1.0).lower()


def test_without_typos_the_question_is_still_there():
    r = random.Random(0)
    seen = {dress(r, TEXT) for _ in range(300)}
    assert all(TEXT.lower() in text.lower() for text in seen)
    assert TEXT in seen
    assert len(seen) > 10


def test_line_breaks_and_their_capitals_stay():
    r = random.Random(0)
    text = "Which is a Bird?\nA) Owl\nB) Cat"
    assert all(text in dress(r, text) for _ in range(300))


def test_a_seed_decides():
    assert dress(random.Random(5), TEXT, 1.0) == dress(random.Random(5), TEXT, 1.0)
