"""The cross-entropy method (Rubinstein and Kroese, 2004), as few-shot adaptation uses it.

Candidates are drawn from a normal distribution with independent coordinates, cut off to [0, 1];
mean and spread of the best ones make the next distribution. Pure functions of tensors. Not covered:
what a candidate is worth (``few_shot``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Distribution:
    """Mean and standard deviation of every coordinate, both of the shape of a candidate."""

    mean: Tensor
    spread: Tensor


def begin(shape: tuple[int, int], value: float) -> Distribution:
    """All coordinates at ``value``, with half the range as their spread (the reference's)."""
    return Distribution(torch.full(shape, value), torch.full(shape, 0.5))


def draw(distribution: Distribution, count: int, generator: torch.Generator) -> Tensor:
    """``count`` candidates: (count, *shape), between 0 and 1."""
    noise = torch.randn(count, *distribution.mean.shape, generator=generator)
    return (distribution.mean + distribution.spread * noise).clamp(0, 1)


def update(elite: Tensor) -> Distribution:
    """The distribution of the best candidates (E, *shape), where E is at least 2."""
    return Distribution(elite.mean(0), elite.std(0))
