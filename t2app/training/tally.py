"""Sums and counts of what a step measures, which add up over processes; its rows to look into."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

KINDS = ("reward", "kl", "loss", "move", "general", "same", "alike", "cut", "length", "entropy")


class Tally:
    """A sum and a count for each of ``KINDS``.

    ``rows`` are those of this process, in order, as ``look`` keeps them.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.values: Tensor = torch.zeros(len(KINDS), 2, dtype=torch.float64)

    def add(self, kind: str, total: float, count: int) -> None:
        """Add the sum of ``count`` values."""
        self.values[KINDS.index(kind)] += torch.tensor([total, count], dtype=torch.float64)

    def mean(self, kind: str) -> float | None:
        """None where there is no value."""
        total, count = self.values[KINDS.index(kind)].tolist()
        return total / count if count else None
