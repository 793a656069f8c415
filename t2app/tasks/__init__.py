"""The built-in tasks by name. A task never sees a model: it draws problems and scores answers.

Each is scored by the reward that it names, the same that the rows of a file are scored by.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from t2app.tasks import code, dispatch, loose, math, other, reasoning
from t2app.tasks.base import Problem, Split, Task, split_of
from t2app.tasks.noise import dress
from t2app.tasks.rewards import REWARDS


def _task(
    name: str,
    description: str,
    draw: Callable[[random.Random], Problem],
    reward: str,
    max_new_tokens: int,
    system: str | None = None,
) -> Task:
    score = REWARDS[reward].score
    return Task(name, description, draw, score, max_new_tokens, system, reward)


BUILT_IN: dict[str, Task] = {
    task.name: task
    for task in (
        _task("math", "word problems and calculations with numbers", math.draw, "numeric", 96),
        _task("code", "writing or completing a program function", code.draw, "code", 160),
        _task(
            "reasoning",
            "multiple choice questions with options A B C D",
            reasoning.draw,
            "choice",
            96,
        ),
        _task("other", dispatch.OTHER_DESCRIPTION, other.draw, "exact", 96),
    )
}
SISTERS: dict[str, Task] = {
    task.name: task
    for task in (
        _task("math-hard", "unknowns, percentages, two persons", math.draw_hard, "numeric", 96),
        _task("code-hard", "completing a signature with a docstring", code.draw_hard, "code", 200),
        _task(
            "reasoning-hard",
            "multiple choice that needs two facts",
            reasoning.draw_hard,
            "choice",
            96,
        ),
    )
}
KIND_OF = {name: name.removesuffix("-hard") for name in (*BUILT_IN, *SISTERS)}
LABELS = dispatch.listed({name: task.description for name, task in BUILT_IN.items()})


def _draw_dispatch(r: random.Random) -> Problem:
    """The four categories, half the time with one or two more that pretraining never listed."""
    extra = r.sample(other.NEW_TOPICS, r.choice((0, 0, 1, 2)))
    labels = dispatch.listed({**LABELS, **{t: other.TOPICS[t].description for t in extra}})
    label = r.choice(list(labels))
    if label in extra:
        question = other.topic_question(r, label)
    elif label == dispatch.OTHER:
        question = other.anything(r, [t for t in other.TOPICS if t not in extra])
    elif r.random() < 0.5:
        question = loose.question(r, label)
    else:
        question = BUILT_IN[label].draw(r).question
    return dispatch.problem(dress(r, question, typos=0.3), label, dispatch.system_prompt(labels))


DISPATCH = _task(
    "dispatch",
    "naming the category of a question",
    _draw_dispatch,
    "exact",
    8,
    dispatch.system_prompt(LABELS),
)
TASKS: dict[str, Task] = {**BUILT_IN, **SISTERS, "dispatch": DISPATCH}

__all__ = [
    "BUILT_IN",
    "DISPATCH",
    "KIND_OF",
    "LABELS",
    "SISTERS",
    "TASKS",
    "Problem",
    "Split",
    "Task",
    "split_of",
]
