"""A task that a random model learns within seconds: to end an answer within two tokens."""

from __future__ import annotations

import random

from t2app.tasks.base import Problem, Task
from t2app.training.settings import Settings

SMALL = Settings(
    objective="rl",
    steps=9,
    prompts=4,
    samples=3,
    learning_rate=0.05,
    validation=8,
    validate_every=3,
    seed=3,
    harm_check=False,
    leave_alone=0.0,
)
TEST = 12


def draw(r: random.Random) -> Problem:
    """A question; what is asked does not matter."""
    return Problem("toy", f"fox {r.randint(0, 99999)}", "", "ab", "")


def ended(problems, answers) -> list[float]:
    """Right is whatever has an end."""
    return [float(bool(a)) for _, a in zip(problems, answers, strict=True)]


TASK = Task("toy", "ending early", draw, ended, 2)
