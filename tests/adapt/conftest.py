"""Examples that a random model can be right about: an answer counts by its text alone.

A random model hardly ever ends an answer, and what was cut off is wrong; so with these examples
every second token is an end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from t2app.adapt.shots import Shots
from t2app.engine import Engine
from t2app.tasks.base import Problem, Task


def draw(r: random.Random) -> Problem:
    text = f"the fox has {r.randint(0, 9999)} dogs"
    return Problem("toy", text, "lazy dog", "lazy dog", "the lazy dog")


def by_text(problems: Sequence[Problem], answers: Sequence[str]) -> list[float]:
    """Different things about different answers and questions."""
    pairs = zip(problems, answers, strict=True)
    return [float((len(p.question) + sum(map(ord, a))) % 2) for p, a in pairs]


@pytest.fixture
def toy_shots(empty_engine: Engine) -> Callable[..., Shots]:
    """``toy_shots(n, score=by_text)``: ``n`` solved examples, 6 tokens an answer."""

    def make(n: int = 3, score: Callable = by_text) -> Shots:
        task = Task("toy", "foxes", draw, score, 6)
        return Shots(task, tuple(task.problems("train", n, 0)))

    empty_engine.ends = set(range(0, len(empty_engine.tokenizer), 2))
    return make
