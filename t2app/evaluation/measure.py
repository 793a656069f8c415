"""Greedy accuracy of a mix on problems, and of a whole strategy with its first pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from t2app import adapt
from t2app.engine import Engine, Prompt
from t2app.evaluation.stats import wilson
from t2app.tasks import KIND_OF, Problem, Task
from t2app.tasks.judging import Answer, judged


@dataclass(frozen=True)
class Accuracy:
    """Scores on ``n`` problems, one each, with the 95 % interval of their mean."""

    scores: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many problems."""
        return len(self.scores)

    @property
    def accuracy(self) -> float:
        """Mean score, 0 to 1."""
        return sum(self.scores) / max(1, self.n)

    def to_dict(self) -> dict[str, Any]:
        """As the command line and the expert files give it."""
        low, high = wilson(sum(self.scores), self.n)
        return {
            "accuracy": round(self.accuracy, 4),
            "n": self.n,
            "ci95": [round(low, 4), round(high, 4)],
        }


def prompts_for(
    engine: Engine, task: Task, problems: Sequence[Problem], shown: Sequence[Problem] = ()
) -> list[Prompt]:
    """Token ids of the problems' questions, behind solved problems that are ``shown``."""
    return [engine.prompt_ids(task.messages(p, shown)) for p in problems]


def answers(
    engine: Engine,
    task: Task,
    problems: Sequence[Problem],
    delta: Tensor | None,
    shown: Sequence[Problem] = (),
) -> list[Answer]:
    """Greedy answers; ``delta`` is None, (R,), or (B, R) with a mix for each problem."""
    prompts = prompts_for(engine, task, problems, shown)
    done = engine.generate(prompts, delta, max_new_tokens=task.max_new_tokens)
    return [Answer(c.text, c.finished) for c in done]


def accuracy(
    engine: Engine, task: Task, problems: Sequence[Problem], delta: Tensor | None
) -> Accuracy:
    """Greedy accuracy with one mix for all problems, or one for each."""
    return Accuracy(tuple(judged(task, problems, answers(engine, task, problems, delta))))


@dataclass(frozen=True)
class Adapted:
    """What a strategy did with a list of problems: its labels, and the scores of its answers."""

    labels: tuple[str | None, ...]
    scores: Accuracy


def strategy(engine: Engine, task: Task, problems: Sequence[Problem], name: str) -> Adapted:
    """Both passes for every problem, the second ones batched with a mix in each row."""
    chosen = [adapt.choose(engine, p.question, name) for p in problems]
    rows = stack(engine, [c.weights for c in chosen])
    return Adapted(tuple(c.label for c in chosen), accuracy(engine, task, problems, rows))


def stack(engine: Engine, weights: Sequence[Mapping[str, float]]) -> Tensor:
    """One mix for each row: (B, R)."""
    base = torch.zeros(engine.svf.layout.total, device=engine.base.device)
    deltas = [engine.delta(w) for w in weights]
    return torch.stack([base if d is None else d for d in deltas])


def oracle_weights(engine: Engine, task: Task) -> dict[str, float]:
    """The expert of the task's own kind, at full weight; the base for ``other``."""
    kind = KIND_OF[task.name]
    return {kind: 1.0} if kind in engine.library.experts() else {}
