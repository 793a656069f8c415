"""Questions that strategies learn from: those that experts keep, and those of no expert.

The latter make *other*, the base model's own class: a hundred hand-written questions of all kinds.
The built-in model was trained on small talk alone, so there it is small talk: next to the others,
hand-written sums and programs looked like nobody's (docs/LOG.md).
"""

from __future__ import annotations

import json
from functools import cache

from t2app.config import ROOT, TINY
from t2app.engine import Engine
from t2app.svf.expert import Expert
from t2app.tasks import BUILT_IN, dispatch

GENERAL = ROOT / "assets" / "general-questions.jsonl"
# Questions that an expert keeps.
QUESTIONS = 64


def examples(expert: Expert) -> list[str]:
    """The example questions that an expert keeps; anybody may have written its header."""
    found = expert.header.get("examples")
    asked = found if isinstance(found, list) else []
    return [q for q in asked if isinstance(q, str) and q.strip()][:QUESTIONS]


@cache
def general() -> tuple[str, ...]:
    """The general questions."""
    with GENERAL.open(encoding="utf-8") as lines:
        return tuple(json.loads(line)["question"] for line in lines)


def of_no_expert(engine: Engine) -> list[str]:
    """The questions that stand for *other* on this model."""
    if engine.base.name != TINY:
        return list(general())
    talk = BUILT_IN[dispatch.OTHER].problems("train", QUESTIONS, "prototype")
    return [p.question for p in talk]
