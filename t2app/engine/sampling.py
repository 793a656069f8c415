"""Tokens from logits: greedy or drawn, each row by its own temperature and its own seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Stands for the token of a row whose logits are not finite.
NOT_FINITE = -1
# So that no temperature overflows.
LOWEST = 1e-6


def draws(seed: int | None, count: int) -> list[float]:
    """Uniform numbers, made on the CPU: the same ones for every device and every batch."""
    if seed is None:
        return torch.rand(count).tolist()
    # Any whole number is a seed, also one that needs more than 64 bits.
    generator = torch.Generator().manual_seed(seed % 2**63)
    return torch.rand(count, generator=generator).tolist()


def row_seeds(seed: int | Sequence[int] | None, rows: int) -> Sequence[int | None]:
    """A seed for each row: one number stands for those that follow it."""
    if seed is None:
        return [None] * rows
    return [seed + i for i in range(rows)] if isinstance(seed, int) else seed


def nucleus(scaled: Tensor, top_p: Tensor) -> Tensor:
    """Logits (B, V) without the tokens beyond the likeliest that have ``top_p`` (B,) of the
    probability. The token that crosses the share stays, so at least one does.
    """
    ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
    shares = ordered.softmax(-1)
    beyond = shares.cumsum(-1) - shares >= top_p[:, None]
    return scaled.masked_fill(beyond.scatter(-1, order, beyond), -torch.inf)


def pick(
    logits: Tensor,
    temperature: Tensor | None = None,
    draw: Tensor | None = None,
    top_p: Tensor | None = None,
) -> Tensor:
    """The token at which ``draw`` (B,) falls, or the likeliest: logits (B, V) to tokens (B,).

    The likeliest where ``temperature`` (B,) is 0, and without one. ``NOT_FINITE`` for a row that
    holds NaN, or infinity as its largest value. ``top_p`` (B,) as in ``nucleus``. Nothing here
    waits for the device.
    """
    highest, likeliest = logits.max(-1)
    broken = ~highest.isfinite()
    if temperature is None or draw is None:
        return likeliest.masked_fill(broken, NOT_FINITE)
    # From 0 downwards, so that no temperature overflows.
    scaled = (logits - highest[:, None]) / temperature.clamp(min=LOWEST)[:, None]
    if top_p is not None:
        scaled = nucleus(scaled, top_p)
    heights = scaled.softmax(-1).cumsum(-1)
    top = heights[:, -1:]
    # Below the top also after rounding, so that no token of probability 0 is ever picked.
    at = torch.minimum(draw[:, None] * top, torch.nextafter(top, torch.zeros_like(top)))
    drawn = torch.searchsorted(heights, at, right=True)[:, 0]
    return torch.where(temperature > 0, drawn, likeliest).masked_fill(broken, NOT_FINITE)


def logprob(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability (B,) of the picked tokens, at temperature 1."""
    chosen = logits.gather(1, tokens.clamp(min=0)[:, None])[:, 0]
    return chosen - logits.logsumexp(1)
