"""The first pass as a task (``dispatch``): name the category that a question belongs to.

The prompt lists the labels with their descriptions, so one more expert is one more label (paper,
section 3.2, figure 3). ``other`` stands for the base model and is always there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from t2app.tasks.base import Problem

OTHER = "other"
OTHER_DESCRIPTION = "small talk and anything else"
_HEAD = "To which category does the question belong? Reply with its name only."


def listed(descriptions: Mapping[str, str]) -> dict[str, str]:
    """Labels in the order of the list: by name, ``other`` last."""
    names = sorted(name for name in descriptions if name != OTHER)
    return {**{name: descriptions[name] for name in names}, OTHER: OTHER_DESCRIPTION}


def system_prompt(labels: Mapping[str, str]) -> str:
    """The list of categories; ``labels`` maps each name to its description."""
    return "\n".join([_HEAD, *(f"- {name}: {description}" for name, description in labels.items())])


def messages(labels: Mapping[str, str], question: str) -> list[dict[str, str]]:
    """The conversation of the first pass, up to where the label is to be said."""
    return [
        {"role": "system", "content": system_prompt(labels)},
        {"role": "user", "content": question},
    ]


def parse_label(text: str, labels: Sequence[str]) -> str:
    """The first known label in a generated answer; ``other`` without one (paper, appendix).

    Where two begin at the same place (``math`` and ``math-hard``), the longer one was said.
    """
    found = [
        (m.start(), -len(name), name)
        for name in labels
        if (m := re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE))
    ]
    return min(found)[2] if found else OTHER


def problem(question: str, label: str, system: str | None = None) -> Problem:
    """A question with its category as the gold answer; ``system`` holds a list of its own."""
    return Problem("dispatch", question, label, label, label, system=system)
