"""Experts that were trained on another quantisation of the same model: are they, and of what use?

The same name without what tells the packing, and nearly the same largest singular value of every
matrix: packing in 4 bit moves these by 0.2 %, another model differs by far more. Not covered:
experts that carry no such values; they fit their own weights only.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from t2app.identity import family, same_weights

HEADER = "sigma_max"
# Median over the matrices. See benchmarks/requantised.py.
MOST = 0.02
KNOWN = (
    "on the built-in model, experts kept their accuracy to within 3 points when its weights were "
    "packed in 4 bit (docs/LOG.md); how much is lost here is not known until it is measured"
)


def tops(sigma: Mapping[str, Tensor]) -> dict[str, float]:
    """The largest singular value of each matrix, from all of them (r,) by falling size."""
    return {name: round(float(values[0]), 5) for name, values in sigma.items()}


def is_kin(header: Mapping[str, Any], base: str, own: Mapping[str, float]) -> bool:
    """Whether the expert of this header was trained on other numbers of the same model.

    ``own`` are this model's ``tops``.
    """
    there = header.get(HEADER)
    if family(str(header.get("base"))) != family(base) or not isinstance(there, dict):
        return False
    if not own or set(there) != set(own):
        return False
    try:
        return statistics.median(abs(there[n] / own[n] - 1) for n in own) <= MOST
    except (TypeError, ZeroDivisionError):
        return False


def line(header: Mapping[str, Any], base: str) -> str | None:
    """What is known of using an expert on ``base``; None where that is what it was trained on."""
    trained = str(header.get("base"))
    if same_weights(trained, base):
        return None
    packed = header.get("weights") or "other"
    return f"trained on other weights of this model ({trained}, {packed}): {KNOWN}"
