"""Asking the model itself what kind of question it has: the first pass of two strategies.

Labels and descriptions come from the experts that are there; ``other`` is the base model.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from t2app.adapt.result import Adaptation
from t2app.engine import Engine
from t2app.svf.expert import Expert
from t2app.tasks import dispatch

# Enough for the longest name of an expert, even letter by letter.
LABEL_TOKENS = 48


def takes_part(expert: Expert) -> bool:
    """Whether a first pass may choose the expert: not one that classifies, not a saved mix."""
    return expert.task != "dispatch" and "mix" not in expert.header


def from_experts(experts: Mapping[str, Expert]) -> dict[str, str]:
    """Label -> description, by name, for every expert that takes part; ``other`` comes last."""
    found = {
        name: " ".join(e.description.split()) or name
        for name, e in experts.items()
        if takes_part(e)
    }
    return dispatch.listed(found)


def classify(
    engine: Engine, question: str, strategy: str, delta: Tensor | None, generate: bool
) -> Adaptation:
    """Probability of each label, by scoring it (default) or by generating one as in the paper.

    The probabilities are the mixing weights; that of ``other`` stays with the base.
    """
    labels = from_experts(engine.library.experts())
    messages = dispatch.messages(labels, question)
    if generate:
        said = engine.generate([engine.prompt_ids(messages)], delta, max_new_tokens=LABEL_TOKENS)[
            0
        ].text
        label = dispatch.parse_label(said, list(labels))
        probabilities = {name: float(name == label) for name in labels}
        why = f"the model said {said.strip()!r}"
    else:
        probabilities = engine.label_probabilities(messages, list(labels), delta)
        label = max(probabilities, key=probabilities.__getitem__)
        why = f"the model finds {label!r} most likely ({probabilities[label]:.0%})"
    weights = {name: p for name, p in probabilities.items() if name != dispatch.OTHER}
    return Adaptation(strategy, label, probabilities, weights, why)
