"""In which way a model can answer questions with options: with letters, with texts, or freely.

A small model may be at chance with letters and not with the options' texts; one that works answers
out does best left alone. So each way is tried on a few validation rows before anything is trained.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from t2app.engine import Engine
from t2app.evaluation import choosing, measure
from t2app.evaluation.stats import wilson
from t2app.tasks import Problem, Task
from t2app.training import rollouts
from t2app.training.settings import Settings

TRIED = 48
# Rows and samples that show whether answers are worked out: LONGER times the longest choice.
ROWS, SAMPLES, LONGER = 16, 4, 2
# Rows whose choices are measured, and room beyond the longest of them, in tokens.
MEASURED, MARGIN = 200, 16
NAMES = {"letters": "the letter", "texts": "the option's text"}


def choose(engine: Engine, task: Task, settings: Settings) -> tuple[Task, str]:
    """The task answered in the way that the base is best at, and why; other tasks as they are."""
    if task.closed is None or len(task.closed.formats()) == 1:
        return task, ""
    problems = task.problems("validation", min(TRIED, settings.validation), settings.seed)
    free = measure.accuracy(engine, replace(task, closed=None), problems, None).accuracy
    ways = {way: answered_by(task, way) for way in task.closed.formats()}
    found = {way: right(engine, other, problems) for way, other in ways.items()}
    # Of equals the texts, which say what they mean.
    best = max(reversed(found), key=found.__getitem__)
    shares = ", ".join(f"with {NAMES[way]} {share:.0%}" for way, share in found.items())
    tried = f"The base gets {free:.0%} of {len(problems)} right in its own words, {shares}"
    if free > found[best]:
        return replace(task, closed=None), f"{tried}, so it answers in its own words."
    worked = _worked_out(engine, task, settings)
    if wilson(sum(worked), len(worked))[0] > found[best]:
        return replace(task, closed=None), (
            f"{tried}; but of {len(worked)} sampled answers that are worked out {sum(worked):.0f} "
            "are right, so it answers in its own words."
        )
    chosen = ways[best]
    room = min(task.max_new_tokens, _longest(engine, chosen) + MARGIN)
    return replace(chosen, max_new_tokens=room), f"{tried}, so it answers with {NAMES[best]}."


def answered_by(task: Task, way: str) -> Task:
    """The task with closed answers given in another way; ``free`` for none."""
    if task.closed is None or way == "free":
        return replace(task, closed=None)
    return replace(task, closed=task.closed.answered_by(way))


def way_of(task: Task) -> str:
    """How the answers of a task are given: the name that ``answered_by`` takes."""
    return task.closed.format if task.closed else "free"


def _worked_out(engine: Engine, task: Task, settings: Settings) -> list[float]:
    """Scores of sampled answers that are much longer than any choice, in the base's own words.

    Few answers of a model may be worked out, and nearly all of those right: that can be reinforced,
    and would be lost if the bare choice were learned.
    """
    assert task.closed is not None, "only for answers that are chosen among a few"
    problems = task.problems("train", ROWS, f"{settings.seed}/formats")
    done = rollouts.sample(
        engine,
        replace(task, closed=None),
        problems,
        torch.zeros(engine.svf.layout.total, device=engine.base.device),
        samples=SAMPLES,
        temperature=settings.temperature,
        seeds=[-(2 + settings.seed) * ROWS * SAMPLES + i * SAMPLES for i in range(len(problems))],
    )
    options = task.closed.answered_by("texts")
    longest = [max(len(engine.answer_ids(c)) for c in options.choices(p)) for p in problems]
    scores = ((done.rewards + 1) / 2).flatten().tolist()
    return [
        score
        for i, score in enumerate(scores)
        if len(done.completions[i]) > LONGER * longest[i // SAMPLES]
    ]


def _longest(engine: Engine, task: Task) -> int:
    """Tokens of the longest choice of some problems to train on."""
    assert task.closed is not None, "only for answers that are chosen among a few"
    problems = task.problems("train", MEASURED, "longest")
    return max(len(engine.answer_ids(c)) for p in problems for c in task.closed.choices(p))


def right(engine: Engine, task: Task, problems: list[Problem]) -> float:
    """The share of problems of which the base finds the right choice the likeliest."""
    said = choosing.likeliest(engine, task, problems)
    return sum(task.score(problems, said)) / max(1, len(problems))
