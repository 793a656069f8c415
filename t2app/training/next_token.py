"""Next-token training on given answers, the paper's other objective (section 3.1, equation 1).

Not covered: the loop around it (``loop``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from t2app.data.task import RowsTask
from t2app.engine import Engine, Prompt
from t2app.engine.scoring import BASE
from t2app.evaluation.measure import prompts_for
from t2app.tasks import Problem, Task
from t2app.training import look, losses
from t2app.training.moves import Probe
from t2app.training.tally import Tally

# Answers whose KL to the base is measured in each step, only to be shown.
SHOWN = 4


def gradient(
    engine: Engine, task: Task, delta: Tensor, problems: Sequence[Problem], tokens: int
) -> tuple[Tally, Probe]:
    """Add the problems' share of a step's gradient to ``delta.grad``.

    ``tokens`` are those of the answers of all processes together. The second result is to measure
    by how far the step moves the policy.
    """
    prompts = prompts_for(engine, task, problems)
    answers = [answer_ids(engine, task, problem) for problem in problems]
    found = Tally()
    lost: dict[int, float] = {}
    for part in engine.scoring_batches(prompts, answers):
        with engine.turns.turn():
            rows = [prompts[i] for i in part], [answers[i] for i in part]
            scores = engine.score(*rows, delta)
            loss = losses.next_token(scores.logprobs, scores.mask)
            (loss / tokens).backward()
            found.add("loss", loss.item(), scores.tokens)
            found.add("entropy", scores.entropy.sum().item(), scores.tokens)
            lost.update(zip(part, (-scores.logprobs.detach().sum(1)).tolist(), strict=True))
    found.add("length", sum(map(len, answers)), len(answers))
    _show(engine, prompts, answers, delta, found)
    found.rows = [
        look.given(p, task.answer(p), len(ids), lost[i] / max(1, len(ids)))
        for i, (p, ids) in enumerate(zip(problems, answers, strict=True))
    ]
    return found, Probe.of(prompts, answers)


@torch.no_grad()
def _show(
    engine: Engine,
    prompts: Sequence[Prompt],
    answers: Sequence[Prompt],
    delta: Tensor,
    found: Tally,
) -> None:
    """Tally the KL of a token to the base, of a few answers."""
    scores = engine.score(prompts[:SHOWN], answers[:SHOWN], delta, reference=BASE)
    found.add("kl", scores.kl.sum().item(), scores.tokens)


def answer_ids(engine: Engine, task: Task, problem: Problem) -> Prompt:
    """The given answer as the model would say it."""
    return engine.answer_ids(task.answer(problem))


def has_answers(task: Task) -> bool:
    """Whether every row to train on has an answer, not only tests."""
    rows = task.rows["train"] if isinstance(task, RowsTask) else ()
    return all(row.steps or row.fast for row in rows)
