"""Sampled answers with their token ids and rewards.

The ids are what the model sampled, never text that was encoded again. Not covered: gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from t2app.engine import Engine, Prompt
from t2app.evaluation.measure import prompts_for
from t2app.tasks import Problem, Task
from t2app.tasks.judging import judged
from t2app.training import batches


@dataclass(frozen=True)
class Rollouts:
    """Answers, flat and prompt by prompt; ``rewards`` is (prompts, samples).

    ``finished`` says which answers were not cut off at the limit of their length.
    """

    prompts: list[Prompt]
    completions: list[list[int]]
    rewards: Tensor
    texts: list[str]
    finished: list[bool]


def sample(
    engine: Engine,
    task: Task,
    problems: Sequence[Problem],
    delta: Tensor,
    *,
    samples: int,
    temperature: float,
    seeds: Sequence[int],
) -> Rollouts:
    """Answer every problem ``samples`` times and score the answers: +1 right, -1 wrong (paper).

    ``seeds`` has one number for each problem; its samples draw from those that follow it.
    """
    repeated = [p for p in problems for _ in range(samples)]
    prompts = [p for p in prompts_for(engine, task, problems) for _ in range(samples)]
    done = engine.generate(
        prompts,
        delta,
        max_new_tokens=task.max_new_tokens,
        temperature=temperature,
        seed=[seed + i for seed in seeds for i in range(samples)],
        batch_size=batches.rows_to_decode(engine, prompts, task.max_new_tokens),
    )
    scores = torch.tensor(judged(task, repeated, done))
    return Rollouts(
        prompts,
        [c.token_ids for c in done],
        (2 * scores - 1).view(len(problems), samples),
        [c.text for c in done],
        [c.finished for c in done],
    )
