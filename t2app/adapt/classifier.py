"""Strategy ``classifier``: the ``dispatch`` expert classifies (paper, section 3.2, B)."""

from __future__ import annotations

from t2app.adapt import labels
from t2app.adapt.result import Adaptation
from t2app.engine import Engine
from t2app.errors import T2Error


def choose(engine: Engine, question: str, *, generate: bool = False) -> Adaptation:
    """Classify with the dispatch expert in effect; T2Error where this model has none."""
    found = [name for name, e in engine.library.experts().items() if e.task == "dispatch"]
    if not found:
        raise T2Error(
            "strategy 'classifier' needs an expert that classifies, and this model has none: "
            "train one (python -m t2app train --task dispatch) or choose the strategy 'prompt'"
        )
    return labels.classify(engine, question, "classifier", engine.delta({found[0]: 1.0}), generate)
