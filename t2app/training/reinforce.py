"""REINFORCE on the vectors ``z`` of one expert (paper, section 3.1, equation 2).

``J(z) = E[log p_z(y|x) r(y)] - lambda KL(p_z || p)``. Not covered: the loop around it (``loop``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from t2app.engine import Engine, Prompt
from t2app.tasks import Problem, Task
from t2app.training import batches, losses
from t2app.training.rollouts import Rollouts, sample
from t2app.training.settings import Settings
from t2app.training.tally import Tally

# Answers whose distance from the base is taken where it is only shown.
SHOWN = 16


def gradient(
    engine: Engine,
    task: Task,
    settings: Settings,
    delta: Tensor,
    problems: Sequence[Problem],
    seeds: Sequence[int],
    whole: int,
) -> Tally:
    """Sample answers and add their share of a step's gradient to ``delta.grad``.

    ``whole`` is how many problems the step has in all processes together.
    """
    rollouts = sample(
        engine,
        task,
        problems,
        delta.detach(),
        samples=settings.samples,
        temperature=settings.temperature,
        seeds=seeds,
    )
    found = backward(engine, rollouts, settings, delta, whole * settings.samples)
    found.add("reward", rollouts.rewards.sum().item(), rollouts.rewards.numel())
    return found


def backward(
    engine: Engine, rollouts: Rollouts, settings: Settings, delta: Tensor, answers: int
) -> Tally:
    """Add up gradients, divided by ``answers``, over micro-batches; tallies the KL.

    Answers without advantage (all samples of their prompt got the same reward) have no gradient but
    that of the KL, so they are skipped where it does not count. Where it is only to be shown, it is
    that of a few answers.
    """
    advantage = losses.advantages(rollouts.rewards, settings.group_baseline).flatten()
    advantage = advantage.to(delta.device)
    total = len(rollouts.completions)
    chosen = [i for i in range(total) if settings.kl > 0 or advantage[i] != 0]
    found = Tally()
    groups = batches.micro_batches(engine, rollouts.prompts, rollouts.completions, chosen)
    for number, part in enumerate(groups):
        prompts = [rollouts.prompts[i] for i in part]
        completions = [rollouts.completions[i] for i in part]
        with engine.turns.turn():
            logprobs, mask = engine.logprobs(prompts, completions, delta, settings.temperature)
            loss = losses.policy_gradient(logprobs, mask, advantage[part])
            rows = len(part) if settings.kl > 0 else SHOWN * (number == 0)
            if rows:
                kl = _kl(engine, prompts[:rows], completions[:rows], logprobs[:rows], settings)
                loss = loss + settings.kl * kl if settings.kl > 0 else loss
                found.add("kl", kl.item(), len(prompts[:rows]))
            (loss / answers).backward()
    return found


def _kl(
    engine: Engine,
    prompts: Sequence[Prompt],
    completions: Sequence[Prompt],
    logprobs: Tensor,
    settings: Settings,
) -> Tensor:
    """Distance of answers from the base, summed; ``logprobs`` (B, T) are right-aligned."""
    with torch.no_grad():
        base, mask = engine.logprobs(prompts, completions, None, settings.temperature)
    return losses.kl_to_base(logprobs[:, -base.shape[1] :], base, mask)
