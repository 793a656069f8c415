"""The expected reward of answers that are chosen among a few, with its exact gradient.

``E[r] = sum_k p(k|x) r(k)`` over the choices ``k`` of a question ``x``; whatever else the model may
say is wrong and gets -1, so ``E[r] = sum_k p(k|x) (r(k) + 1) - 1``. Choices that get -1 drop out:
where one label is right it alone is scored, in one pass and without sampling. REINFORCE (paper,
section 3.1, equation 2) estimates the same gradient from samples. Not covered: the loop around it
(``loop``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from t2app.engine import Engine
from t2app.engine.scoring import BASE
from t2app.evaluation.measure import prompts_for
from t2app.tasks import Problem, Task
from t2app.training import look
from t2app.training.moves import Probe
from t2app.training.settings import Settings
from t2app.training.tally import Tally


def gradient(
    engine: Engine,
    task: Task,
    settings: Settings,
    delta: Tensor,
    problems: Sequence[Problem],
    whole: int,
) -> tuple[Tally, Probe]:
    """Add the problems' share of a step's gradient to ``delta.grad``.

    ``whole`` is how many problems the step has in all processes together. The second result is to
    measure by how far the step moves the policy.
    """
    rows, choices, worth = paying(task, problems)
    asked = prompts_for(engine, task, problems)
    prompts, answers = [asked[i] for i in rows], [engine.answer_ids(text) for text in choices]
    found = Tally()
    total, logs = 0.0, [0.0] * len(answers)
    for number, part in enumerate(engine.scoring_batches(prompts, answers)):
        measured = settings.kl > 0 or number == 0
        group = [prompts[i] for i in part], [answers[i] for i in part]
        with engine.turns.turn():
            scores = engine.score(*group, delta, reference=BASE if measured else None)
            log = scores.logprobs.sum(1)
            likely = log.exp()
            expected = (likely * torch.tensor([worth[i] for i in part]).to(likely)).sum()
            loss = -expected
            if scores.kl is not None:
                loss = loss + settings.kl * scores.kl.sum()
                found.add("kl", scores.kl.sum().item(), scores.tokens)
            (loss / whole).backward()
        found.add("entropy", scores.entropy.sum().item(), scores.tokens)
        for i, value in zip(part, log.tolist(), strict=True):
            logs[i] = value
        total += expected.item()
    found.add("reward", total - len(problems), len(problems))
    found.add("length", sum(map(len, answers)), len(answers))
    found.rows = [
        look.given(problems[rows[i]], choices[i], len(ids), -logs[i] / len(ids))
        for i, ids in enumerate(answers)
    ]
    return found, Probe.of(prompts, answers)


def paying(task: Task, problems: Sequence[Problem]) -> tuple[list[int], list[str], list[float]]:
    """The choices that get more than the least reward.

    For each: the number of its problem, the choice, and ``r + 1``, above 0 and at most 2.
    """
    assert task.closed is not None, "only for answers that are chosen among a few"
    pairs = [(i, choice) for i, p in enumerate(problems) for choice in task.closed.choices(p)]
    scores = task.score([problems[i] for i, _ in pairs], [choice for _, choice in pairs])
    kept = [(i, choice, 2 * s) for (i, choice), s in zip(pairs, scores, strict=True) if s > 0]
    return [i for i, _, _ in kept], [c for _, c, _ in kept], [w for _, _, w in kept]
