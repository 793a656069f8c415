"""Sums and counts of what a step measures, which add up over processes."""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = ("reward", "kl", "loss", "move")


class Tally:
    """A sum and a count for each of ``KINDS``."""

    def __init__(self) -> None:
        self.values: Tensor = torch.zeros(len(KINDS), 2, dtype=torch.float64)

    def add(self, kind: str, total: float, count: int) -> None:
        """Add the sum of ``count`` values."""
        self.values[KINDS.index(kind)] += torch.tensor([total, count], dtype=torch.float64)

    def mean(self, kind: str) -> float | None:
        """None where there is no value."""
        total, count = self.values[KINDS.index(kind)].tolist()
        return total / count if count else None
