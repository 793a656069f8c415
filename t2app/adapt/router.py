"""What the expert that classifies is trained on, and whether it still fits the experts there are.

Its problems come from the example questions that experts keep and from general ones, so it can be
trained again, on any model, whenever experts come or go. Not covered: training itself, and
classifying (``classifier``).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence

from t2app.adapt import labels
from t2app.adapt.kept import examples, general
from t2app.data.task import RowsTask
from t2app.svf.expert import Expert
from t2app.tasks import BUILT_IN, DISPATCH, LABELS, Problem, Split, Task, dispatch, split_of
from t2app.tasks.base import Dataset
from t2app.tasks.noise import dress
from t2app.tasks.rewards import REWARDS

# Fewer example questions are not worth training on: they would be learned by heart.
FEWEST_EXAMPLES = 8
SIZES: dict[Split, int] = {"train": 1000, "validation": 200, "test": 500}
REWARD = "exact"


def find(experts: Mapping[str, Expert]) -> str | None:
    """The name of the expert that classifies; None without one."""
    return next((name for name, e in experts.items() if e.task == DISPATCH.name), None)


def out_of_date(experts: Mapping[str, Expert]) -> str | None:
    """What has changed since the classifier was trained, in a line for people; None if nothing.

    Experts with too few example questions to train on do not count.
    """
    name = find(experts)
    if name is None:
        return None
    trained = _trained_on(experts[name])
    added = [label for label in _drawn(experts) if label not in trained]
    gone = [label for label in trained if label not in labels.from_experts(experts)]
    changes = []
    if added:
        changes.append(f"it has not learned {', '.join(added)}")
    if gone:
        changes.append(f"it still knows {', '.join(gone)}")
    return f"expert {name!r} is out of date: {' and '.join(changes)}" if changes else None


def task(experts: Mapping[str, Expert]) -> Task:
    """Naming the category of a question, for exactly these experts.

    Experts of built-in tasks are learned from fresh questions, the others from their examples;
    ``other`` from general questions and from small talk, half of each. An expert that has too few
    examples is listed, as it will be in use, but never the right answer.
    """
    listed = labels.from_experts(experts)
    if {name: _kind(experts, name) for name in listed} == {name: name for name in LABELS}:
        return DISPATCH
    drawn, system = _drawn(experts), dispatch.system_prompt(listed)
    asked = _questions(experts, drawn)
    rows: dict[Split, tuple[Problem, ...]] = {
        split: tuple(
            dispatch.problem(question, label, system)
            for label in drawn
            for question in asked[split, label]
        )
        for split in SIZES
    }
    return RowsTask(
        name=DISPATCH.name,
        description=DISPATCH.description,
        draw=lambda r: r.choice(rows["train"]),
        score=REWARDS[REWARD].score,
        max_new_tokens=max(DISPATCH.max_new_tokens, labels.LABEL_TOKENS),
        reward=REWARD,
        dataset=Dataset(
            "the experts' examples",
            hashlib.sha256(repr(rows).encode()).hexdigest(),
            {**{split: len(found) for split, found in rows.items()}, "rejected": 0},
            {"labels": drawn},
        ),
        rows=rows,
    )


def _trained_on(expert: Expert) -> Sequence[str]:
    """The labels that a classifier learned, as its header says; the built-in ones otherwise."""
    reading = expert.header.get("reading")
    return (reading.get("labels") if isinstance(reading, dict) else None) or list(LABELS)


def _kind(experts: Mapping[str, Expert], label: str) -> str | None:
    """The built-in task that a label stands for, if there is one."""
    name = label if label == dispatch.OTHER else experts[label].task
    return name if name in BUILT_IN else None


def _drawn(experts: Mapping[str, Expert]) -> list[str]:
    """The labels that there are questions for."""
    return [
        name
        for name in labels.from_experts(experts)
        if _kind(experts, name) or len(examples(experts[name])) >= FEWEST_EXAMPLES
    ]


def _questions(
    experts: Mapping[str, Expert], drawn: Sequence[str]
) -> dict[tuple[Split, str], list[str]]:
    """Different questions for each split and label, as many for every label.

    Each example question stays on one side of the split, however it is dressed.
    """
    rng = random.Random("router")
    found: dict[tuple[Split, str], dict[str, None]] = {}
    wanted: dict[tuple[Split, str], int] = {}
    for split, size in SIZES.items():
        for label in drawn:
            pool = found[split, label] = {}
            wanted[split, label] = most = size // len(drawn)
            if label == dispatch.OTHER:
                _dress(rng, split, general(), most // 2, pool)
            elif not _kind(experts, label):
                _dress(rng, split, examples(experts[label]), most, pool)
                del wanted[split, label]
    _draw(rng, experts, found, wanted)
    return {place: list(pool) for place, pool in found.items()}


def _dress(
    rng: random.Random, split: Split, questions: Sequence[str], count: int, pool: dict[str, None]
) -> None:
    """Add so many of the questions of this side of the split, in other words and spellings."""
    kept = [q for q in questions if split_of(q) == split]
    for question in rng.choices(kept, k=count) if kept else ():
        pool.setdefault(dress(rng, question, typos=0.3))


def _draw(
    rng: random.Random,
    experts: Mapping[str, Expert],
    found: Mapping[tuple[Split, str], dict[str, None]],
    wanted: Mapping[tuple[Split, str], int],
) -> None:
    """Fill the pools of built-in kinds with fresh questions, up to what is wanted of each."""
    open_: dict[tuple[Split, str | None], list[tuple[Split, str]]] = {}
    for split, label in wanted:
        if len(found[split, label]) < wanted[split, label]:
            open_.setdefault((split, _kind(experts, label)), []).append((split, label))
    while open_:
        problem = DISPATCH.draw(rng)
        at = split_of(problem.question), problem.gold
        if at not in open_:
            continue
        place = open_[at].pop(0)
        found[place].setdefault(problem.question)
        if len(found[place]) < wanted[place]:
            open_[at].append(place)
        elif not open_[at]:
            del open_[at]
