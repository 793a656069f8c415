"""REINFORCE on the vectors ``z`` of one expert (paper, section 3.1, equation 2).

``J(z) = E[log p_z(y|x) r(y)] - lambda KL(p_z || p)``. The KL is exact over the vocabulary at every
token of the sampled answers; its gradient is taken at those tokens and leaves out how ``z`` changes
which answers are sampled. Not covered: the loop around it (``loop``).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from t2app.engine import Engine
from t2app.scoring import BASE
from t2app.tasks import Problem, Task
from t2app.training import losses
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
    return found, probe


def backward(
    engine: Engine, rollouts: Rollouts, settings: Settings, delta: Tensor, answers: int
) -> tuple[Tally, Probe]:
    """Add up gradients, divided by ``answers``, over micro-batches; tallies the KL of a token.

    Answers without advantage (all samples of their prompt got the same reward) have no gradient but
    that of the KL, so they are skipped where it does not count. Where it is only to be shown, it is
    that of the first micro-batch.
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
            (loss / answers).backward()
    return found, Probe.of(rollouts.prompts, rollouts.completions)
