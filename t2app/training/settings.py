"""What decides an expert besides its rows: objective, sizes, rates, seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from t2app.errors import T2Error

OBJECTIVES = {
    "auto": "chosen by how often the base model is right",
    "rl": "reinforcement learning",
    "sft": "next-token training",
    "sft+rl": "next-token training, then reinforcement learning",
}
MODULES = {
    "both": "attention and MLP matrices",
    "attention": "attention matrices only",
    "mlp": "MLP matrices only",
}
HELP = {
    "objective": "what is learned from: sampled answers and their reward, the given answers, or "
    "first the one and then the other",
    "steps": "optimizer steps, those of both stages together; 0: from the rows and the time",
    "minutes": "what the whole run may take, where the steps are not set",
    "prompts": "rows in each step",
    "samples": "sampled answers to each row of a step (reinforcement learning)",
    "learning_rate": "the highest; steps are shorter where they would move the answers too far",
    "kl": "how much distance from the base model costs (reinforcement learning)",
    "leave_alone": "how much it costs to change the answers to general questions",
    "modules": "the matrices whose singular values are scaled",
    "seed": "decides the split of the rows, their order and the sampled answers",
    "temperature": "of the sampled answers",
    "clip": "longest gradient",
    "step_kl": "how far the first step moves the policy: KL of a whole answer, in nats; it falls "
    "to 0 along a cosine",
    "group_baseline": "compare each sampled answer with the others to the same row",
    "answer_tokens": "the longest answer, in tokens; 0: from the given answers and the base's own",
    "validation": "rows, at most, that choose the best step",
    "validate_every": "steps from one validation to the next; 0: an eighth of all, 6 to 24",
    "harm_check": "after training, look at what the expert does to questions that are not its own",
}


@dataclass(frozen=True)
class Settings:
    """Everything that can be set. ``HELP`` has a line on each. T2Error for impossible values.

    ``auto`` and 0 steps are decided before a run (``plan``), which needs to see the model.
    """

    objective: str = "auto"
    steps: int = 0
    minutes: float = 15.0
    prompts: int = 16
    samples: int = 6
    learning_rate: float = 0.1
    kl: float = 0.0
    leave_alone: float = 0.0
    modules: str = "both"
    seed: int = 0
    temperature: float = 1.0
    clip: float = 1e-3
    step_kl: float = 0.2
    group_baseline: bool = True
    answer_tokens: int = 0
    validation: int = 96
    validate_every: int = 0
    harm_check: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _typed(field, getattr(self, field.name)))
        _one_of(OBJECTIVES, "objective", self.objective)
        _one_of(MODULES, "modules", self.modules)
        for name in ("prompts", "samples", "validation"):
            if getattr(self, name) < 1:
                raise T2Error(f"{name} is {getattr(self, name)}: it must be at least 1")
        for name in ("steps", "validate_every", "answer_tokens"):
            if getattr(self, name) < 0:
                raise T2Error(f"{name} is {getattr(self, name)}: it must not be below 0")
        for name in ("minutes", "learning_rate", "temperature", "clip", "step_kl"):
            if not 0 < getattr(self, name) < math.inf:
                raise T2Error(f"{name} is {getattr(self, name)}: it must be above 0")
        for name in ("kl", "leave_alone"):
            if not 0 <= getattr(self, name) < math.inf:
                raise T2Error(f"{name} is {getattr(self, name)}: it must not be below 0")
        if self.objective == "sft+rl" and self.steps == 1:
            raise T2Error("steps is 1: two stages need at least 2")

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """From ``to_dict``; T2Error for what is no setting."""
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise T2Error(f"unknown setting {name!r}: choose from {', '.join(sorted(known))}")
        return cls(**values)

    @property
    def between(self) -> int:
        """Steps from one validation to the next."""
        return self.validate_every or min(24, max(6, self.steps // 8))

    def stages(self) -> list[tuple[str, int]]:
        """Objective and steps of each stage, in order; both must have been chosen."""
        if self.objective == "sft+rl":
            first = self.steps // 2
            return [("sft", first), ("rl", self.steps - first)]
        return [(self.objective, self.steps)]


def _typed(field: Any, value: Any) -> Any:
    """The value as its field's type; whole floats (from a form) are whole numbers."""
    kind = type(field.default)
    fits = {
        bool: isinstance(value, bool),
        str: isinstance(value, str),
        float: isinstance(value, int | float) and not isinstance(value, bool),
        int: isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value == int(value),
    }[kind]
    if not fits:
        what = {bool: "true or false", str: "text", float: "a number", int: "a whole number"}[kind]
        raise T2Error(f"{field.name} is {value!r}: it must be {what}")
    return kind(value)


def _one_of(known: Mapping[str, str], name: str, value: str) -> None:
    if value not in known:
        raise T2Error(f"{name} is {value!r}: choose from {', '.join(known)}")
