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
    """Mean of ``after - before`` on the same rows, with its 95 % interval; scores are 0 to 1.

    The interval is Wald's with one row more that got better and one that got worse (Bonett and
    Price 2012): a few rows that all agree do not prove anything.
    """
    differences = [a - b for a, b in zip(after, before, strict=True)]
    mean = sum(differences) / len(differences)
    more = [*differences, 1.0, -1.0]
    centre = sum(more) / len(more)
    half = Z95 * math.sqrt((sum(d * d for d in more) / len(more) - centre**2) / len(more))
    return mean, max(-1.0, centre - half), min(1.0, centre + half)


def sign_test(after: Sequence[float], before: Sequence[float]) -> float:
    """Two-sided p-value of ``after`` and ``before`` being as good, on the same rows.

    Exact, from the rows that became better and those that became worse; for scores of 0 and 1 it is
    McNemar's test (1947).
    """
    pairs = list(zip(after, before, strict=True))
    better, worse = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    changed = better + worse
    tail = sum(math.comb(changed, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / 2**changed)


def over_draws(scores: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Mean of scores (draws, rows) with its 95 % interval, for other draws and other rows.

    Variances of the rows' means and of the draws' means add up; each holds a little of the other,
    so the interval is rather too wide (normal).
    """
    rows = [sum(column) / len(column) for column in zip(*scores, strict=True)]
    draws = [sum(row) / len(row) for row in scores]
    mean = sum(rows) / len(rows)
    half = Z95 * math.sqrt(_of_mean(rows) + _of_mean(draws))
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def _of_mean(values: Sequence[float]) -> float:
    """Variance of the mean."""
    n = len(values)
    mean = sum(values) / n
    return sum((v - mean) ** 2 for v in values) / max(1, n - 1) / n


def interval_of_mean(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean with its 95 % interval (normal); of one value the interval is that value."""
    mean = sum(values) / len(values)
    half = Z95 * math.sqrt(_of_mean(values))
    return mean, mean - half, mean + half
