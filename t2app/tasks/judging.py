"""The one rule for answers that were cut off: they are wrong, whatever they say so far.

It holds in training, on validation and held-out rows, in few-shot search and in every table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from t2app.tasks.base import Problem, Task


class Said(Protocol):
    """An answer of a model, and whether it came to its end by itself."""

    @property
    def text(self) -> str:
        """What it says."""

    @property
    def finished(self) -> bool:
        """Whether the model ended it."""


class Answer(NamedTuple):
    """An answer without its tokens."""

    text: str
    finished: bool = True


def judged(task: Task, problems: Sequence[Problem], answers: Sequence[Said]) -> list[float]:
    """Scores by the task's reward, 0 for what was cut off."""
    whole = [i for i, answer in enumerate(answers) if answer.finished]
    scores = [0.0] * len(answers)
    found = task.score([problems[i] for i in whole], [answers[i].text for i in whole])
    for i, score in zip(whole, found, strict=True):
        scores[i] = score
    return scores


def cut_off(finished: Sequence[bool]) -> float:
    """The share of answers that were cut off; 0 of none."""
    return 1 - sum(finished) / len(finished) if finished else 0.0
