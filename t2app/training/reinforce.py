"""REINFORCE on the vectors ``z`` of one expert (paper, section 3.1, equation 2).

``J(z) = E[log p_z(y|x) r(y)] - lambda KL(p_z || p)``. The KL is exact over the vocabulary at every
token of the sampled answers; its gradient is taken at those tokens and leaves out how ``z`` changes
which answers are sampled. Not covered: the loop around it (``loop``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from t2app.engine import Engine
from t2app.engine.scoring import BASE
from t2app.tasks import Problem, Task
from t2app.training import look, losses
from t2app.training.moves import Probe
from t2app.training.rollouts import Rollouts, sample
from t2app.training.settings import Settings
from t2app.training.tally import Tally


def gradient(
    engine: Engine,
    task: Task,
    settings: Settings,
    delta: Tensor,
    problems: Sequence[Problem],
    seeds: Sequence[int],
    whole: int,
) -> tuple[Tally, Probe]:
    """Sample answers and add their share of a step's gradient to ``delta.grad``.

    ``whole`` is how many problems the step has in all processes together. The second result is to
    measure by how far the step moves the policy.
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
    found, probe = backward(engine, rollouts, settings, delta, whole * settings.samples)
    found.add("reward", rollouts.rewards.sum().item(), rollouts.rewards.numel())
    _describe(found, rollouts)
    worth = losses.advantages(rollouts.rewards, settings.group_baseline)
    found.rows = look.sampled(problems, rollouts, worth)
    return found, probe


def _describe(found: Tally, rollouts: Rollouts) -> None:
    """Add how varied the answers are, how long, and how many were cut off."""
    answers, (prompts, samples) = rollouts.completions, rollouts.rewards.shape
    if samples > 1:
        found.add(
            "same", (rollouts.rewards == rollouts.rewards[:, :1]).all(1).sum().item(), prompts
        )
        texts = [set(rollouts.texts[i : i + samples]) for i in range(0, len(answers), samples)]
        found.add("alike", sum(len(group) == 1 for group in texts), prompts)
    found.add("cut", rollouts.finished.count(False), len(answers))
    found.add("length", sum(map(len, answers)), len(answers))


def backward(
    engine: Engine, rollouts: Rollouts, settings: Settings, delta: Tensor, answers: int
) -> tuple[Tally, Probe]:
    """Add up gradients, divided by ``answers``, over micro-batches.

    Answers without advantage (all samples of their prompt got the same reward) have no gradient but
    that of the KL, so they are skipped where it does not count. Tallies KL and entropy of a token;
    where the KL is only to be shown, it is that of the first micro-batch.
    """
    advantage = losses.advantages(rollouts.rewards, settings.group_baseline).flatten()
    chosen = [i for i, a in enumerate(advantage.tolist()) if settings.kl > 0 or a != 0]
    advantage = advantage.to(delta.device)
    found = Tally()
    groups = engine.scoring_batches(rollouts.prompts, rollouts.completions, chosen)
    for number, part in enumerate(groups):
        rows = [rollouts.prompts[i] for i in part], [rollouts.completions[i] for i in part]
        measured = settings.kl > 0 or number == 0
        with engine.turns.turn():
            scores = engine.score(
                *rows,
                delta,
                temperature=settings.temperature,
                reference=BASE if measured else None,
            )
            loss = losses.policy_gradient(scores.logprobs, scores.mask, advantage[part])
            if scores.kl is not None:
                loss = loss + settings.kl * scores.kl.sum()
                found.add("kl", scores.kl.sum().item(), scores.tokens)
            found.add("entropy", scores.entropy.sum().item(), scores.tokens)
            (loss / answers).backward()
    if not chosen:
        _show(engine, rollouts, settings, delta, found)
    return found, Probe.of(rollouts.prompts, rollouts.completions)


@torch.no_grad()
def _show(
    engine: Engine, rollouts: Rollouts, settings: Settings, delta: Tensor, found: Tally
) -> None:
    """KL and entropy of the first micro-batch of a step that nothing is learned from."""
    part = next(iter(engine.scoring_batches(rollouts.prompts, rollouts.completions)), [])
    scores = engine.score(
        [rollouts.prompts[i] for i in part],
        [rollouts.completions[i] for i in part],
        delta,
        temperature=settings.temperature,
        reference=BASE,
    )
    found.add("kl", scores.kl.sum().item(), scores.tokens)
    found.add("entropy", scores.entropy.sum().item(), scores.tokens)
