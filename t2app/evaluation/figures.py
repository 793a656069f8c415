"""Data behind two figures of the paper: which experts were chosen, and how often rightly.

Numbers only; how they are drawn is up to whoever shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BASE = "base"


def contributions(weights: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Share of each expert in the mix of each question (figure 7); the base has the rest.

    ``weights`` are those of one ``Adaptation`` a question. ``rows`` are in their order, ``experts``
    name the columns, ``mean`` is over the questions.
    """
    experts = sorted({name for row in weights for name in row})
    rows = [[row.get(name, 0.0) for name in experts] for row in weights]
    rows = [[round(share, 4) for share in (*row, 1 - sum(row))] for row in rows]
    columns = list(zip(*rows, strict=True))
    mean = [round(sum(column) / len(column), 4) for column in columns]
    return {"experts": [*experts, BASE], "rows": rows, "mean": mean}


def confusion(kinds: Sequence[str], labels: Sequence[str | None]) -> dict[str, Any]:
    """How often questions of each kind got each label (figure 6).

    ``counts`` has a row for each of ``kinds`` and a column for each of ``labels``; a kind's own
    label has the same place in both.
    """
    said = [str(label) for label in labels]
    rows = sorted(set(kinds))
    columns = [*rows, *sorted(set(said) - set(rows))]
    counts = [[0] * len(columns) for _ in rows]
    for kind, label in zip(kinds, said, strict=True):
        counts[rows.index(kind)][columns.index(label)] += 1
    return {"kinds": rows, "labels": columns, "counts": counts}
