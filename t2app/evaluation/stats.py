"""The statistics behind every number shown; pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z95 = 1.959963984540054


def wilson(correct: float, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927): stays inside [0, 1] and holds near its ends."""
    if n == 0:
        return 0.0, 1.0
    p = correct / n
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_difference(
    after: Sequence[float], before: Sequence[float]
) -> tuple[float, float, float]:
    """Mean of ``after - before`` on the same rows, with its 95 % interval (normal)."""
    n = len(after)
    differences = [a - b for a, b in zip(after, before, strict=True)]
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / max(1, n - 1)
    half = Z95 * math.sqrt(variance / n)
    return mean, mean - half, mean + half
