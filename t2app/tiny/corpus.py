"""The text that the built-in model is trained on: conversations of every task, drawn from a seed.

Every batch is a pure function of (seed, step), so training resumes without keeping any state.
Only questions of the training split are drawn (``tasks.base.split_of``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from t2app.tasks import BUILT_IN, LABELS, SISTERS, Task, code, dispatch, loose, other, split_of
from t2app.tasks.facts import RELATIONS
from t2app.tasks.noise import dress
from t2app.tasks.reasoning import fill, recalled

Message = dict[str, str]

# How often each kind of exchange is drawn. Stories hold too few sums to learn them by, so there is
# a drill of sums.
KINDS = {
    "math": 24,
    "code": 20,
    "reasoning": 32,
    "other": 8,
    "fact": 4,
    "math-hard": 2,
    "code-hard": 2,
    "reasoning-hard": 2,
    "sums": 14,
    "dispatch": 16,
}
# How often a kind is answered step by step. Facts are learned from worked answers, so reasoning
# has more of these until the step ``LATER``; then fewer, or they would be said by default.
STEPS = {
    "math": 0.3,
    "code": 0.3,
    "reasoning": 0.4,
    "other": 0.5,
    "math-hard": 0.3,
    "code-hard": 0.3,
    "reasoning-hard": 0.4,
}
LATER = 1800
LATER_STEPS = {**STEPS, "reasoning": 0.2, "reasoning-hard": 0.2}
TYPOS = {"math": 0.12, "other": 0.12, "math-hard": 0.1}
_TASKS: dict[str, Task] = {
    **BUILT_IN,
    **SISTERS,
    "code": replace(BUILT_IN["code"], draw=code.draw_varied),
}
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


def _exchange(r: random.Random, kind: str, steps: dict[str, float]) -> list[Message]:
    if kind == "fact":
        return _fact(r)
    problem = _TASKS[kind].sample(r, "train")
    question = (
        dress(r, problem.question, TYPOS.get(kind, 0.0))
        if kind != "code-hard"
        else problem.question
    )
    answer = problem.steps if r.random() < steps[kind] else problem.fast
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _fact(r: random.Random) -> list[Message]:
    """A question without options, answered by the fact."""
    relation = r.choice(list(RELATIONS.values()))
    key = r.choice(list(relation.facts))
    value = relation.facts[key]
    return [
        {"role": "user", "content": fill(r.choice(relation.ask_value), key, value)},
        {"role": "assistant", "content": f"I remember: {recalled(relation, key)}."},
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
    a, b = r.randint(2, r.choice((40, 200, 500))), r.randint(1, 99)
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


def _labels(r: random.Random) -> dict[str, str]:
    """The list of categories: mostly the four as they are, else reworded, shuffled, with others."""
    if r.random() < 0.5:
        return LABELS
    names = [n for n in LABELS if n == dispatch.OTHER or r.random() < 0.95]
    labels = {n: LABELS[n] if r.random() < 0.4 else r.choice(_DESCRIPTIONS[n]) for n in names}
    for topic in r.sample(other.KNOWN_TOPICS, r.choice((0, 1, 1, 2, 3))):
        labels[topic] = other.TOPICS[topic].description
    items = list(labels.items())
    r.shuffle(items)
    return dict(items)


def _dispatch(r: random.Random) -> list[Message]:
    labels = _labels(r)
    extra = [name for name in labels if name in other.TOPICS]
    name = r.choice(extra if extra and r.random() < 0.4 else list(LABELS))
    question = _of_training(lambda: _question(r, name, extra))
    label = name if name in labels else dispatch.OTHER
    return [
        *dispatch.messages(labels, dress(r, question, typos=0.3)),
        {"role": "assistant", "content": label},
    ]


def _of_training(draw: Callable[[], str]) -> str:
    while split_of(question := draw()) != "train":
        pass
    return question


def _question(r: random.Random, label: str, extra: list[str]) -> str:
    """Something that belongs to ``label``; topics in ``extra`` are categories of their own."""
    if label in extra:
        return other.topic_question(r, label)
    if label == dispatch.OTHER:
        return other.anything(r, [t for t in other.KNOWN_TOPICS if t not in extra])
    if r.random() < 0.45:
        return loose.question(r, label)
    return r.choice([_TASKS[label], _TASKS[label], _TASKS[f"{label}-hard"]]).draw(r).question


def conversation(r: random.Random, steps: dict[str, float]) -> list[Message]:
    """One conversation: a drill, a first pass, or one to four exchanges."""
    kind = r.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "sums":
        return _sums(r)
    if kind == "dispatch":
        return _dispatch(r)
    turns = r.choices((1, 2, 3, 4), (80, 12, 5, 3))[0]
    kinds = [
        kind,
        *(r.choice(("math", "code", "reasoning", "other", "other")) for _ in range(turns - 1)),
    ]
    r.shuffle(kinds)
    return [message for k in kinds for message in _exchange(r, k, steps)]


def conversations(seed: int, step: int) -> Iterator[list[Message]]:
    """Endless conversations of one training step."""
    r = random.Random(f"{seed}/{step}")
    steps = STEPS if step < LATER else LATER_STEPS
    while True:
        yield conversation(r, steps)
