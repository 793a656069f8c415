"""Strategy ``auto``: what measured best on three models (docs/LOG.md).

That is ``prototype``. Experts that keep no example questions are invisible to it, so where it would
leave a question to the base, the model is asked, and may name one of those.
"""

from __future__ import annotations

from dataclasses import replace

from t2app.adapt import prompt, prototype
from t2app.adapt.result import Adaptation
from t2app.engine import Engine
from t2app.tasks import dispatch

NAME = "auto"


def choose(engine: Engine, question: str, *, generate: bool = False) -> Adaptation:
    """Choose by likeness; with ``generate`` the model says a label, which likeness cannot."""
    if generate:
        return replace(prompt.choose(engine, question, generate=True), strategy=NAME)
    found = prototype.choose(engine, question)
    unseen = prototype.missing(engine)
    if found.label == dispatch.OTHER and unseen:
        asked = prompt.choose(engine, question)
        if asked.label in unseen or not found.weights:
            found = asked
    return replace(found, strategy=NAME)
