"""Strategy ``auto``: what measured best on three models (docs/LOG.md).

That is ``prototype``. Experts that keep no example questions are invisible to it, so where it would
leave a question to the base, the model is asked, and may name one of those. The built-in model was
trained to sort questions, so there it is asked in the first place.
"""

from __future__ import annotations

from dataclasses import replace

from t2app.adapt import prompt, prototype
from t2app.adapt.result import Adaptation
from t2app.config import TINY
from t2app.engine import Engine
from t2app.tasks import dispatch

NAME = "auto"


def means(engine: Engine, strategy: str) -> str:
    """The strategy that decides in place of ``auto`` on this model; any other stands for itself."""
    if strategy != NAME:
        return strategy
    return "prompt" if engine.base.name == TINY else "prototype"


def choose(engine: Engine, question: str, *, generate: bool = False) -> Adaptation:
    """Choose; with ``generate`` the model says a label, which likeness cannot."""
    if generate or means(engine, NAME) == "prompt":
        return replace(prompt.choose(engine, question, generate=generate), strategy=NAME)
    found = prototype.choose(engine, question)
    unseen = prototype.missing(engine)
    if found.label == dispatch.OTHER and unseen:
        asked = prompt.choose(engine, question)
        if asked.label in unseen or not found.weights:
            found = asked
    return replace(found, strategy=NAME)
