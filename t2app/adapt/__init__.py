"""Strategies: how the mix of experts for a question is chosen (paper, section 3.2).

One small file each; each returns an ``Adaptation``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from t2app.adapt import auto, classifier, mixes, prompt, prototype
from t2app.adapt.result import Adaptation
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.svf.mixing import check_weights

STRATEGIES = {
    "auto": "the expert whose questions are most like yours, else the plain model",
    "prompt": "the plain model classifies the question",
    "classifier": "the dispatch expert classifies the question",
    "prototype": "the expert whose example questions are most like the question",
    "few-shot": "a mix that was found on solved examples",
    "manual": "you set the weights",
    "off": "the plain model answers, in one pass",
}
# What measured best over three models (docs/LOG.md), and in need of nothing.
DEFAULT = "auto"


def choose(
    engine: Engine,
    question: str,
    strategy: str = DEFAULT,
    *,
    weights: Mapping[str, float] | None = None,
    generate: bool = False,
    mix: str | None = None,
) -> Adaptation:
    """Run the first pass.

    ``weights`` are those of ``manual``, ``mix`` names that of ``few-shot`` (default: the newest);
    ``generate`` says the label aloud instead of scoring every one.
    Raises T2Error for an unknown strategy, unknown experts and impossible weights.
    """
    began = time.perf_counter()
    if strategy == "off":
        found = Adaptation("off", why="adaptation is off")
    elif strategy == "manual":
        checked = check_weights(weights or {}, engine.library.experts())
        found = Adaptation("manual", weights=checked, why="the weights were set by hand")
    elif strategy == "few-shot":
        found = mixes.choose(engine, mix)
    elif strategy == "auto":
        found = auto.choose(engine, question, generate=generate)
    elif strategy == "prototype":
        found = prototype.choose(engine, question)
    elif strategy == "prompt":
        found = prompt.choose(engine, question, generate=generate)
    elif strategy == "classifier":
        found = classifier.choose(engine, question, generate=generate)
    else:
        raise T2Error(f"unknown strategy {strategy!r}: choose from {', '.join(STRATEGIES)}")
    return replace(found, seconds=time.perf_counter() - began)


__all__ = ["DEFAULT", "STRATEGIES", "Adaptation", "choose"]
