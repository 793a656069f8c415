"""Which of its choices a model finds likeliest, without letting it say anything else.

A small model may know the right option and not manage to say it, so an expert has to beat the base
that is scored in this way as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from t2app.engine import Engine, Prompt
from t2app.evaluation.measure import prompts_for
from t2app.tasks import Problem, Task

# Problems whose choices are scored at a time.
AT_ONCE = 16


@torch.no_grad()
def likeliest(
    engine: Engine, task: Task, problems: Sequence[Problem], delta: Tensor | None = None
) -> list[str]:
    """For each problem the choice of the highest probability, given that it is one of them.

    The probability of a choice is the product over its tokens, each among the tokens that some
    choice allows there. The task's answers must be closed.
    """
    assert task.closed is not None, "only for answers that are chosen among a few"
    found: list[str] = []
    for start in range(0, len(problems), AT_ONCE):
        part = problems[start : start + AT_ONCE]
        choices = [task.closed.choices(p) for p in part]
        scores = _scores(engine, prompts_for(engine, task, part), choices, delta)
        found += [c[max(range(len(s)), key=s.__getitem__)]
                  for c, s in zip(choices, scores, strict=True)]  # fmt: skip
    return found


def _scores(
    engine: Engine,
    prompts: Sequence[Prompt],
    choices: Sequence[Sequence[str]],
    delta: Tensor | None,
) -> list[list[float]]:
    """Log-probability of every choice of every prompt, among its choices."""
    pairs = [(i, k) for i, row in enumerate(choices) for k in range(len(row))]
    spelled = [[engine.answer_ids(text) for text in row] for row in choices]
    rows = [prompts[i] for i, _ in pairs], [spelled[i][k] for i, k in pairs]
    allowed = [_allowed(spelled[i], spelled[i][k]) for i, k in pairs]
    found = [[0.0] * len(row) for row in choices]
    for part in engine.scoring_batches(*rows):
        scores = engine.score(
            [rows[0][n] for n in part],
            [rows[1][n] for n in part],
            delta,
            allowed=[allowed[n] for n in part],
        )
        for n, total in zip(part, scores.logprobs.sum(1).tolist(), strict=True):
            i, k = pairs[n]
            found[i][k] = total
    return found


def _allowed(spelled: Sequence[Sequence[int]], chosen: Sequence[int]) -> list[list[int]]:
    """Before each token of a choice, the tokens that some choice goes on with."""
    return [
        sorted({ids[at] for ids in spelled if len(ids) > at and ids[:at] == chosen[:at]})
        for at in range(len(chosen))
    ]
