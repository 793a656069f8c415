"""Holding an expert to the base where it has no business: on general questions.

An expert sees only its own rows, and nothing there holds it back elsewhere. So each step also takes
the KL divergence of expert from base, exact over the vocabulary, at the tokens of the base's own
answers to a few general questions, and pays for it. It is the same figure as that of
``evaluation.harm``, on other questions. (The KL term of the paper, section 3.1, is taken on the
expert's own rows, where it is meant to differ.)
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from torch import Tensor

from t2app.config import ROOT
from t2app.engine import Engine, Prompt
from t2app.engine.scoring import BASE
from t2app.evaluation import harm

QUESTIONS = ROOT / "assets" / "general-for-training.jsonl"
# Questions of a step: few, as every step has others.
ROWS = 4


@dataclass(frozen=True)
class Anchor:
    """General questions as the base reads them, and its greedy answers."""

    prompts: tuple[Prompt, ...]
    answers: tuple[Prompt, ...]

    @classmethod
    def of(cls, engine: Engine) -> Anchor:
        """The project's general questions for training; those the model has no room for left out.

        The answers are decoded once for each model, and kept on disk.
        """
        with QUESTIONS.open(encoding="utf-8") as lines:
            questions = [json.loads(line)["question"] for line in lines]
        prompts = [ids for _, ids in harm.prompts_for(engine, questions)]
        answers = harm.greedy(engine, prompts)
        said = [(p, a) for p, a in zip(prompts, answers, strict=True) if a]
        return cls(tuple(p for p, _ in said), tuple(a for _, a in said))

    def gradient(
        self, engine: Engine, delta: Tensor, price: float, seed: str, rank: int = 0, size: int = 1
    ) -> tuple[float, int]:
        """Add this process's share of ``price`` x the mean KL of a token to ``delta.grad``.

        ``seed`` decides the step's questions, which ``size`` processes deal out. Gives the sum of
        the KL over this process's tokens, in nats, and their number.
        """
        rows = random.Random(seed).sample(range(len(self.prompts)), min(ROWS, len(self.prompts)))
        whole = sum(len(self.answers[i]) for i in rows)
        mine = rows[rank::size]
        prompts = [self.prompts[i] for i in mine]
        answers = [self.answers[i] for i in mine]
        total, tokens = 0.0, 0
        for part in engine.scoring_batches(prompts, answers):
            with engine.turns.turn():
                group = [prompts[i] for i in part], [answers[i] for i in part]
                scores = engine.score(*group, delta, reference=BASE)
                kl = scores.kl.sum()
                (price * kl / whole).backward()
            total, tokens = total + kl.item(), tokens + scores.tokens
        return total, tokens
