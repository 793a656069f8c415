"""The text that the built-in model is trained on: conversations of every task, drawn from a seed.

Every batch is a pure function of (seed, step), so training resumes without keeping any state.
Only questions of the training split are drawn (``tasks.base.split_of``).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from t2app.tasks import BUILT_IN, LABELS, SISTERS, Task, code, dispatch, math, other, reasoning
from t2app.tasks.facts import RELATIONS
from t2app.tasks.noise import dress
from t2app.tasks.reasoning import LETTERS, fill, layout
from t2app.tiny import loose

Message = dict[str, str]

# How often each kind of exchange is drawn, and how often it is answered step by step.
KINDS = {
    "math": 24,
    "code": 20,
    "reasoning": 26,
    "other": 8,
    "fact": 4,
    "math-hard": 2,
    "code-hard": 2,
    "reasoning-hard": 2,
    "dispatch": 16,
}
STEPS = {
    "math": 0.3,
    "code": 0.3,
    "reasoning": 0.4,
    "other": 0.5,
    "math-hard": 0.3,
    "code-hard": 0.3,
    "reasoning-hard": 0.4,
}
TYPOS = {"math": 0.12, "other": 0.12, "math-hard": 0.1}
_TASKS: dict[str, Task] = {**BUILT_IN, **SISTERS}


def _reasoning(style: reasoning.Style) -> dict[str, Task]:
    return {
        "reasoning": replace(_TASKS["reasoning"], draw=partial(reasoning.draw, style=style)),
        "reasoning-hard": replace(
            _TASKS["reasoning-hard"], draw=partial(reasoning.draw_hard, style=style)
        ),
    }


_EARLY_TASKS = {
    **_TASKS,
    "math": replace(_TASKS["math"], draw=partial(math.draw, early=True)),
    "code": replace(_TASKS["code"], draw=partial(code.draw, early=True)),
    **_reasoning("letter"),
}


@dataclass(frozen=True)
class Phase:
    """What is drawn from step ``first`` on."""

    first: int
    kinds: dict[str, int]
    tasks: dict[str, Task]


# Drills train what stories train too thinly: single sums, and the letter of an option. They start
# once the model reads well enough to gain. The third phase has larger constants in code and small
# stories in math; the last draws all tasks as they are used (docs/LOG.md).
_LATE_KINDS = {**KINDS, "reasoning": 36, "other": 7, "dispatch": 12, "sums": 11}
PHASES = (
    Phase(0, KINDS, _EARLY_TASKS),
    Phase(1200, {**KINDS, "sums": 11, "pick": 7}, _EARLY_TASKS),
    Phase(2800, _LATE_KINDS, {**_TASKS, **_reasoning("judged")}),
    Phase(4100, _LATE_KINDS, {**_TASKS, **_reasoning("paired")}),
    Phase(4600, _LATE_KINDS, _TASKS),
)
_DESCRIPTIONS = {
    "math": (
        "word problems and calculations with numbers",
        "sums and arithmetic stories",
        "calculating with numbers",
    ),
    "code": ("writing or completing a program function", "Python functions", "programming"),
    "reasoning": (
        "multiple choice questions with options A B C D",
        "choosing one of several options",
        "questions with answers to choose from",
    ),
    "other": ("small talk and anything else", "anything else", "everything that fits nowhere else"),
}


def _exchange(r: random.Random, kind: str, tasks: dict[str, Task]) -> list[Message]:
    if kind == "fact":
        return _fact(r)
    problem = tasks[kind].sample(r, "train")
    question = (
        dress(r, problem.question, TYPOS.get(kind, 0.0))
        if kind != "code-hard"
        else problem.question
    )
    answer = problem.steps if r.random() < STEPS[kind] else problem.fast
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _fact(r: random.Random) -> list[Message]:
    """A question without options, answered by the fact."""
    relation = r.choice(list(RELATIONS.values()))
    key = r.choice(list(relation.facts))
    value = relation.facts[key]
    stated = fill(relation.state, key, value)
    return [
        {"role": "user", "content": fill(r.choice(relation.ask_value), key, value)},
        {"role": "assistant", "content": f"I remember: {stated[0].lower()}{stated[1:]}."},
    ]


def _sum(r: random.Random) -> tuple[str, int]:
    """One sum of the size that word problems need, and its result."""
    op = r.choice("++--**/")
    if op == "*":
        a, b = r.choice(((r.randint(2, 60), r.randint(2, 6)), (r.randint(2, 20), r.randint(2, 12))))
        return f"{a} * {b}", a * b
    if op == "/":
        b, result = r.randint(2, 9), r.randint(2, 60)
        return f"{b * result} / {b}", result
    a, b = r.randint(2, 200), r.randint(1, 99)
    if op == "-":
        a, b = max(a, b), min(a, b)
        return f"{a} - {b}", a - b
    return f"{a} + {b}", a + b


def _sums(r: random.Random) -> list[Message]:
    """Several sums in a row, written as in a worked solution."""
    drawn = [_sum(r) for _ in range(r.randint(3, 8))]
    worked = ". ".join(f"{text} = {result}" for text, result in drawn)
    asked = ", ".join(text for text, _ in drawn)
    return [
        {"role": "user", "content": f"{r.choice(('Work out', 'Calculate', 'Sums'))}: {asked}"},
        {"role": "assistant", "content": f"Let me work it out. {worked}."},
    ]


def _pick(r: random.Random) -> list[Message]:
    """Find an option that is named: from its text to its letter."""
    relation = r.choice(list(RELATIONS.values()))
    words = sorted(set(r.choice((relation.facts.keys(), relation.facts.values()))))
    options = r.sample(words, min(len(words), r.choice((3, 4, 4, 4, 5))))
    right = r.choice(options)
    letter = LETTERS[options.index(right)]
    stem = r.choice((f"Which option is {right}?", f"Find {right}.", f"Where does it say {right}?"))
    return [
        {"role": "user", "content": layout(r, stem, options)},
        {"role": "assistant", "content": f"That is {letter}) {right}. The answer is {letter}."},
    ]


def _labels(r: random.Random) -> dict[str, str]:
    """The list of categories: mostly the four as they are, else reworded, shuffled, with others."""
    if r.random() < 0.5:
        return LABELS
    names = [n for n in LABELS if n == dispatch.OTHER or r.random() < 0.95]
    labels = {n: LABELS[n] if r.random() < 0.4 else r.choice(_DESCRIPTIONS[n]) for n in names}
    for topic in r.sample(sorted(other.TOPICS), r.choice((0, 1, 1, 2, 3))):
        labels[topic] = other.TOPICS[topic].description
    items = list(labels.items())
    r.shuffle(items)
    return dict(items)


def _dispatch(r: random.Random, tasks: dict[str, Task]) -> list[Message]:
    labels = _labels(r)
    extra = [name for name in labels if name in other.TOPICS]
    if extra and r.random() < 0.4:
        name = r.choice(extra)
        question = other.topic_question(r, name)
    else:
        name = r.choice(list(LABELS))
        question = _any_question(r, name, extra, tasks)
    label = name if name in labels else dispatch.OTHER
    return [
        *dispatch.messages(labels, dress(r, question, typos=0.3)),
        {"role": "assistant", "content": label},
    ]


def _any_question(r: random.Random, label: str, exclude: list[str], tasks: dict[str, Task]) -> str:
    if label == "other":
        topics = [t for t in other.TOPICS if t not in exclude]
        if r.random() < 0.5:
            return other.topic_question(r, r.choice(topics))
        while (problem := BUILT_IN["other"].sample(r, "train")).gold == "beyond":
            pass
        return problem.question
    if r.random() < 0.45:
        return loose.question(r, label)
    fitting = [t for name, t in tasks.items() if name.removesuffix("-hard") == label]
    return r.choice([fitting[0], *fitting]).sample(r, "train").question


def conversation(r: random.Random, phase: Phase = PHASES[0]) -> list[Message]:
    """One conversation: a drill, a first pass, or one to four exchanges."""
    kind = r.choices(list(phase.kinds), list(phase.kinds.values()))[0]
    if kind == "sums":
        return _sums(r)
    if kind == "pick":
        return _pick(r)
    if kind == "dispatch":
        return _dispatch(r, phase.tasks)
    turns = r.choices((1, 2, 3, 4), (80, 12, 5, 3))[0]
    kinds = [
        kind,
        *(r.choice(("math", "code", "reasoning", "other", "other")) for _ in range(turns - 1)),
    ]
    r.shuffle(kinds)
    return [message for k in kinds for message in _exchange(r, k, phase.tasks)]


def conversations(seed: int, step: int) -> Iterator[list[Message]]:
    """Endless conversations of one training step."""
    phase = max((p for p in PHASES if p.first <= max(0, step)), key=lambda p: p.first)
    r = random.Random(f"{seed}/{step}")
    while True:
        yield conversation(r, phase)
