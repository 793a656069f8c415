"""What the name of a model in a request stands for.

``base`` is the plain model and ``auto`` the two passes; the name of an expert or of a saved mix is
that one alone; ``math=0.7,code=0.3`` is a mix made on the spot. An expert that is itself called
``auto`` goes by ``auto=1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from t2app import adapt
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.server.errors import Refused
from t2app.svf.expert import Expert
from t2app.svf.mixing import check_weights, parse_weights, unknown_expert

BASE, AUTO = "base", "auto"


@dataclass(frozen=True)
class Choice:
    """How a question is answered: a strategy of ``adapt``, and the weights of ``manual``."""

    name: str
    strategy: str
    weights: dict[str, float] = field(default_factory=dict)


def find(engine: Engine, name: str) -> Choice:
    """The choice that ``name`` stands for; ``Refused`` (404) where it stands for none."""
    if name == BASE:
        return Choice(name, "off")
    if name == AUTO:
        return Choice(name, adapt.DEFAULT)
    known = engine.library.experts()
    try:
        if "=" in name:
            return Choice(name, "manual", check_weights(parse_weights(name), known))
        if name not in known:
            raise T2Error(unknown_expert(name, [*known, BASE, AUTO]).replace("expert", "model", 1))
    except T2Error as error:
        raise Refused(str(error), 404, param="model", code="model_not_found") from None
    return Choice(name, "manual", {name: 1.0})


def listed(engine: Engine) -> list[dict[str, Any]]:
    """Every name that has one, as ``/v1/models`` lists them."""
    experts = engine.library.experts()
    return [
        card(BASE, f"{engine.base.name}, the plain model"),
        card(AUTO, adapt.STRATEGIES[adapt.DEFAULT]),
        *(card(name, e.description, e) for name, e in experts.items() if name not in (BASE, AUTO)),
    ]


def card(name: str, description: str, expert: Expert | None = None) -> dict[str, Any]:
    """One model as ``/v1/models`` describes it."""
    return {
        "id": name,
        "object": "model",
        "created": _seconds(expert),
        "owned_by": "t2app",
        "description": description,
    }


def described(engine: Engine, name: str) -> dict[str, Any]:
    """One model, also a mix that is in no list; ``Refused`` (404) where there is none."""
    choice = find(engine, name)
    for found in listed(engine):
        if found["id"] == name:
            return found
    return card(name, "a mix of " + ", ".join(f"{k} {w:g}" for k, w in choice.weights.items()))


def _seconds(expert: Expert | None) -> int:
    """When it was made, since 1970; 0 where its file does not say so."""
    try:
        return int(datetime.fromisoformat(str(expert.header["created"])).timestamp())
    except (AttributeError, KeyError, ValueError, OverflowError):
        return 0
