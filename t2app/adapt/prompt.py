"""Strategy ``prompt``: the base model classifies the question (paper, section 3.2, A)."""

from __future__ import annotations

from t2app.adapt import labels
from t2app.adapt.result import Adaptation
from t2app.engine import Engine


def choose(engine: Engine, question: str, *, generate: bool = False) -> Adaptation:
    """Classify with no expert in effect."""
    return labels.classify(engine, question, "prompt", None, generate)
