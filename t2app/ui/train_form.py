"""Settings on the page: what each is called, and a ``Settings`` from what the form holds."""

from __future__ import annotations

from typing import Any

from t2app.errors import T2Error
from t2app.training.settings import Settings

# The settings that the form shows, in the order in which it gives their values.
FIELDS = (
    "objective",
    "steps",
    "minutes",
    "prompts",
    "samples",
    "step_kl",
    "kl",
    "leave_alone",
    "modules",
    "harm_check",
    "seed",
)
LABELS = {
    "objective": "Objective",
    "steps": "Steps",
    "minutes": "Minutes",
    "prompts": "Rows per step",
    "samples": "Answers per row",
    "learning_rate": "Learning rate",
    "kl": "KL weight",
    "leave_alone": "Leave other questions alone (weight)",
    "modules": "Matrices",
    "seed": "Seed",
    "temperature": "Temperature",
    "clip": "Gradient clip",
    "step_kl": "Length of a step (KL)",
    "group_baseline": "Group baseline",
    "answer_tokens": "Longest answer",
    "validation": "Validation rows",
    "validate_every": "Validate every",
    "harm_check": "Check other questions",
}


def settings_from(*given: Any) -> Settings:
    """Settings from the values of ``FIELDS``; T2Error for an empty or impossible one."""
    values = dict(zip(FIELDS, given, strict=True))
    for name, value in values.items():
        if value is None:
            raise T2Error(
                f"{LABELS[name]} is empty: write a value, or {getattr(Settings(), name)}, the usual"
            )
    return Settings(**values)
