"""Strategy ``classifier``: the ``dispatch`` expert classifies (paper, section 3.2, B)."""

from __future__ import annotations

from dataclasses import replace

from t2app.adapt import labels, router
from t2app.adapt.result import Adaptation
from t2app.engine import Engine
from t2app.errors import T2Error


def choose(engine: Engine, question: str, *, generate: bool = False) -> Adaptation:
    """Classify with the dispatch expert in effect; T2Error where this model has none."""
    experts = engine.library.experts()
    name = router.find(experts)
    if name is None:
        raise T2Error(
            "strategy 'classifier' needs an expert that classifies, and this model has none: "
            "train one (python -m t2app train --task dispatch) or choose the strategy 'prompt'"
        )
    delta = engine.delta({name: 1.0})
    found = labels.classify(engine, question, "classifier", delta, generate)
    stale = router.out_of_date(experts)
    return replace(found, why=f"{found.why}; {stale}") if stale else found
