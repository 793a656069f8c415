"""Loose questions fill themselves in."""

from __future__ import annotations

import random

import pytest

from t2app.tasks import loose


@pytest.mark.parametrize("label", ["math", "code", "reasoning"])
def test_loose_questions_can_be_filled(label):
    r = random.Random(0)
    questions = {loose.question(r, label) for _ in range(300)}
    assert len(questions) > 200
    assert not any("{" in q or "<|" in q for q in questions)
