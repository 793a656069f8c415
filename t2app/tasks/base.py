"""What a task is: fresh problems with two correct answer styles, and a score.

Problems are split by a hash of their question, so a test problem can never have been trained on,
whatever seed drew it. Tasks made of the rows of a file have their own split (``data.task``).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from t2app.tasks.closed import Closed, in_front

Split = Literal["train", "validation", "test"]
SPLIT = 2


@dataclass(frozen=True)
class Problem:
    """One question with what is needed to judge an answer.

    ``fast`` answers at once, ``steps`` works the answer out; both are correct. ``gold`` is what
    ``Task.score`` compares with, the tests where a program is asked for; ``also`` holds other right
    answers. ``hidden`` holds the options (letter, text) of a choice. ``system`` replaces the task's
    system prompt. ``row`` and ``number`` are the cells (column, text) and the number of the row of
    a file, where a reward of the user's own reads them.
    """

    task: str
    question: str
    gold: str
    fast: str
    steps: str
    hidden: tuple[tuple[Any, Any], ...] = ()
    system: str | None = None
    also: tuple[str, ...] = ()
    row: tuple[tuple[str, str], ...] = ()
    number: int = 0


@dataclass(frozen=True)
class Dataset:
    """The file that a task's problems come from, as an expert's header records it.

    ``rows`` counts those of each split and the rejected ones; ``reading`` says how the file was
    read: columns, encoding and the like.
    """

    file: str
    sha256: str
    rows: dict[str, int]
    reading: dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A kind of problem: how to draw one, how to score answers to many (each 0.0 to 1.0).

    ``reward`` names the way of scoring: ``score`` is that of ``REWARDS[reward]``. ``dataset`` is
    None where problems are generated, ``closed`` where answers are free.
    """

    name: str
    description: str
    draw: Callable[[random.Random], Problem]
    score: Callable[[Sequence[Problem], Sequence[str]], list[float]]
    max_new_tokens: int = 128
    system: str | None = None
    reward: str = "exact"
    dataset: Dataset | None = None
    closed: Closed | None = None

    def sample(self, rng: random.Random, split: Split) -> Problem:
        """Draw problems until one falls into the split."""
        while True:
            problem = self.draw(rng)
            if split_of(problem.question) == split:
                return problem

    def problems(self, split: Split, n: int, seed: int | str) -> list[Problem]:
        """``n`` different problems of a split, from a seed (fewer where there are fewer)."""
        rng = random.Random(f"{self.name}/{split}/{seed}")
        found: dict[str, Problem] = {}
        for _ in range(50 * n):
            problem = self.sample(rng, split)
            found.setdefault(problem.question, problem)
            if len(found) == n:
                break
        return list(found.values())

    def messages(self, problem: Problem, shown: Sequence[Problem] = ()) -> list[dict[str, str]]:
        """The conversation in which the task asks the question of a problem.

        Problems that are ``shown`` come before it, with their answers.
        """
        prompt = problem.system or self.system
        turns = [{"role": "system", "content": prompt}] if prompt else []
        for solved in shown:
            turns.append({"role": "user", "content": in_front(self.instruction, solved.question)})
            turns.append({"role": "assistant", "content": self.answer(solved)})
        asked = in_front(self.instruction, problem.question)
        return [*turns, {"role": "user", "content": asked}]

    @property
    def instruction(self) -> str:
        """What stands in front of every question; empty for most tasks."""
        return self.closed.instruction if self.closed else ""

    def answer(self, problem: Problem) -> str:
        """The given answer as it is to be said; worked out, where a problem has two."""
        if self.closed:
            return self.closed.right(problem)
        return problem.steps or problem.fast


def split_of(question: str) -> Split:
    """80 % of all questions train, 10 % choose checkpoints, 10 % test; the text alone decides.

    ``SPLIT`` names the division: the test questions of the first one were looked at while the tasks
    were designed.
    """
    bucket = hashlib.sha256(f"{SPLIT}/{question}".encode()).digest()[0]
    if bucket < 205:
        return "train"
    return "validation" if bucket < 230 else "test"


def a_or_an(noun: str) -> str:
    """``apple`` -> ``an apple``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
