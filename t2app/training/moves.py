"""How far a step moves the policy, and how long steps are so that they move it by what was set.

One learning rate cannot serve a model with seven thousand singular values and one with a million,
nor the first step of a run and its last: a policy that is sure of its answers takes far longer
steps. So a step is judged by what it does: the KL divergence, summed over the tokens of one of the
step's own answers, of the policy after it from the policy before it. It is that of a whole answer
and not of a token, for an answer gets one reward: how much more likely it becomes is what a sample
can tell, whether it has five tokens or two hundred. The KL grows with the square of a step's
length, which tells how long the next one has to be. One that moves the policy much too far is
shortened at once. Not covered: the step itself (``loop``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from t2app.engine import Engine, Prompt

# Answers of a step that are scored twice more: all of them would double the cost of a step.
MEASURED = 8
# The first step is tried with this share of the highest learning rate.
FIRST = 0.01
# A step that is still too long after so many tries is not made at all.
TRIES = 5
# The KL grows a little faster than its second-order estimate, so a cut goes a little below.
MARGIN = 0.9
# A step may move the policy by so many times what was set before it is shortened: answers differ
# from step to step.
SLACK = 2.0
# Steps get longer, or shorter, by at most so much from one to the next.
LONGER, SHORTER = 1.5, 0.3


@dataclass(frozen=True)
class Probe:
    """Some answers of a step, by which is measured how far it moves the policy."""

    prompts: tuple[Prompt, ...] = ()
    answers: tuple[Prompt, ...] = ()

    @classmethod
    def of(cls, prompts: Sequence[Prompt], answers: Sequence[Prompt]) -> Probe:
        """``MEASURED`` of a step's answers at most, evenly spread."""
        stride = max(1, -(-len(answers) // MEASURED))
        return cls(tuple(prompts[::stride]), tuple(answers[::stride]))

    def moved(self, engine: Engine, after: Tensor, before: Tensor) -> tuple[float, int]:
        """KL(policy after || policy before) in nats, summed over answers; their number.

        Both are computed as in decoding, or with the two products of training where those are in
        float32. In bfloat16 their rounding alone comes to half a nat an answer (SmolLM2, labels of
        eight tokens).
        """
        if not self.answers:
            return 0.0, 0
        per_token = engine.divergence(self.prompts, self.answers, after, reference=before)
        lengths = torch.tensor([len(answer) for answer in self.answers])
        return (per_token * lengths).sum().item(), len(self.answers)


def fitted(moved: float, wanted: float, first: bool = False) -> float:
    """By what a step that moved the policy by ``moved`` nats an answer must be multiplied.

    1 where that is at most ``SLACK`` times what was wanted, and for the ``first`` step of a run at
    least a share of it; 1/10 where it is not finite.
    """
    if not math.isfinite(moved):
        return 0.1
    if moved > SLACK * wanted:
        return max(0.1, MARGIN * math.sqrt(wanted / moved))
    if first and moved < wanted / SLACK**2:
        return min(10.0, MARGIN * math.sqrt(wanted / max(moved, 1e-12)))
    return 1.0


def next_length(length: float, moved: float, wanted: float) -> float:
    """How long the next step should be, from what one of ``length`` did."""
    if moved <= 0:
        return LONGER * length
    return length * min(LONGER, max(SHORTER, math.sqrt(wanted / moved)))
