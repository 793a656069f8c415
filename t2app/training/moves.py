"""How far a step moves the policy, and steps that are cut back where they move it too far.

One learning rate cannot serve a model with seven thousand singular values and one with a million,
so a step is judged by what it does: the KL divergence, for each token of the step's own answers, of
the policy after it from the policy before it. Beyond ``settings.step_kl`` the step is shortened;
the KL grows with the square of the step, which tells by how much. Not covered: the step itself
(``loop``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from t2app.engine import Engine, Prompt
from t2app.scoring import Hidden, TokenScores

# Micro-batches of a step whose answers are scored again: more would double the cost of a step.
MEASURED = 2
# A step that is still too long after so many cuts is not made at all.
CUTS = 4
# The KL grows a little faster than its second-order estimate, so a cut goes a little below.
MARGIN = 0.9


@dataclass
class Scored:
    """Some answers of a step as they were scored before it."""

    prompts: list[Sequence[Prompt]] = field(default_factory=list)
    answers: list[Sequence[Prompt]] = field(default_factory=list)
    before: list[Hidden] = field(default_factory=list)

    def keep(
        self, prompts: Sequence[Prompt], answers: Sequence[Prompt], found: TokenScores
    ) -> None:
        """Remember a micro-batch, as long as few are."""
        if len(self.before) < MEASURED:
            self.prompts.append(prompts)
            self.answers.append(answers)
            self.before.append(found.hidden)

    @torch.no_grad()
    def moved(self, engine: Engine, delta: Tensor) -> tuple[float, int]:
        """KL(policy with ``delta`` || policy before) in nats, summed over tokens; the tokens."""
        total, tokens = 0.0, 0
        for prompts, answers, before in zip(self.prompts, self.answers, self.before, strict=True):
            found = engine.score(prompts, answers, delta, reference=before)
            total += found.kl.sum().item()
            tokens += found.tokens
        return total, tokens


def shorter(moved: float, most: float) -> float:
    """By what a step that moved the policy by ``moved`` nats a token must be multiplied.

    1 where it is within ``most``; 1/10 where ``moved`` is not finite.
    """
    if not math.isfinite(moved):
        return 0.1
    return 1.0 if moved <= most else max(0.1, MARGIN * math.sqrt(most / moved))
