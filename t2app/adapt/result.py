"""What every strategy returns."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Adaptation:
    """The mix that a first pass chose, and why.

    ``weights`` holds experts only; what is missing to 1 is the base model's share. ``told`` is put
    in front of the question: what the expert with most of the weight was trained to be told.
    """

    strategy: str
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    why: str = ""
    seconds: float = 0.0
    told: str = ""
