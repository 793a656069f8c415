"""The built-in tasks by name. A task never sees a model: it draws problems and scores answers."""

from __future__ import annotations

import random

from t2app.tasks import code, dispatch, loose, math, other, reasoning
from t2app.tasks.base import Problem, Split, Task, split_of
from t2app.tasks.noise import dress

BUILT_IN: dict[str, Task] = {
    "math": Task(
        "math",
        "word problems and calculations with numbers",
        math.draw,
        math.score,
        96,
        reward="numeric",
    ),
    "code": Task(
        "code",
        "writing or completing a program function",
        code.draw,
        code.score,
        160,
        reward="code",
    ),
    "reasoning": Task(
        "reasoning",
        "multiple choice questions with options A B C D",
        reasoning.draw,
        reasoning.score,
        96,
        reward="choice",
    ),
    "other": Task("other", dispatch.OTHER_DESCRIPTION, other.draw, other.score, 96),
}
SISTERS: dict[str, Task] = {
    "math-hard": Task(
        "math-hard",
        "unknowns, percentages, two persons",
        math.draw_hard,
        math.score,
        96,
        reward="numeric",
    ),
    "code-hard": Task(
        "code-hard",
        "completing a signature with a docstring",
        code.draw_hard,
        code.score,
        200,
        reward="code",
    ),
    "reasoning-hard": Task(
        "reasoning-hard",
        "multiple choice that needs two facts",
        reasoning.draw_hard,
        reasoning.score,
        96,
        reward="choice",
    ),
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


DISPATCH = Task(
    "dispatch",
    "naming the category of a question",
    _draw_dispatch,
    dispatch.score,
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
