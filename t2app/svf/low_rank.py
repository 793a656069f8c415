"""A mix as a LoRA: the best one of a rank, in closed form.

``W(z) - W = U diag(sigma * delta) V^T`` is its own singular value decomposition, so by the theorem
of Eckart and Young its best approximation of rank r keeps the r directions with the largest
``|sigma * delta|``. What is left out is known exactly, and a mix that is cut in this way is a mix
again: the app itself can run it and say what the cut does to answers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from t2app.svf.hooks import Layer
from t2app.svf.merged import full_weight
from t2app.svf.mixing import DeltaLayout

Sigma = Mapping[str, Tensor]


def cut(layout: DeltaLayout, sigma: Sigma, delta: Tensor, rank: int) -> Tensor:
    """``delta`` (R,) with the ``rank`` strongest directions of each matrix alone."""
    parts = []
    for name, part in layout.split(delta).items():
        kept = torch.zeros_like(part)
        strongest = _strength(sigma[name], part).topk(min(rank, len(part))).indices
        kept[strongest] = part[strongest]
        parts.append(kept)
    return torch.cat(parts)


def share_kept(layout: DeltaLayout, sigma: Sigma, delta: Tensor, part: Tensor) -> float:
    """The share of ``||W(z) - W||^2``, over all matrices, that ``part`` has of ``delta``."""
    whole, left = (_energy(layout, sigma, d).sum().item() for d in (delta, part))
    return left / whole if whole else 1.0


def rank_for(layout: DeltaLayout, sigma: Sigma, delta: Tensor, share: float) -> int:
    """The smallest rank, the same for all matrices, that keeps this share of the change."""
    most = max(layout.sizes.values())
    gained = torch.zeros(most, dtype=torch.float64)
    for name, part in layout.split(delta).items():
        energy = _strength(sigma[name], part).square().sort(descending=True).values
        gained[: len(energy)] += energy
    total = gained.sum()
    if total == 0:
        return 1
    # A share that rounding alone keeps from being reached counts as reached.
    enough = gained.cumsum(0) >= share * total * (1 - 1e-12)
    return int(enough.nonzero()[0]) + 1


@torch.no_grad()
def pair(layer: Layer, sigma: Tensor, part: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """``A`` (rank, n) and ``B`` (m, rank) in float32 with ``B A`` the best change of that rank.

    ``part`` (r,) is the layer's part of delta. Both factors have singular values of like size, so
    that rounding them to 16 bits costs as little as it can. Where the change has fewer directions
    the rest is zero.
    """
    strength = _strength(sigma, part)
    chosen = strength.topk(min(rank, len(part))).indices
    chosen = chosen[strength[chosen] > 0]
    weight = full_weight(layer.module).float()
    q = layer.basis.dense_transposed().float()[chosen]  # (r, k): vectors in rows
    root = strength[chosen].sqrt().float()[:, None]
    change = part[chosen].float()[:, None] / root
    if layer.side == "input":
        a, b = q * root, (q @ weight.t()) * change
    else:
        a, b = (q @ weight) * change, q * root
    m, n = weight.shape
    lora_a, lora_b = torch.zeros(rank, n), torch.zeros(m, rank)
    lora_a[: len(chosen)], lora_b[:, : len(chosen)] = a, b.t()
    return lora_a, lora_b


def _energy(layout: DeltaLayout, sigma: Sigma, delta: Tensor) -> Tensor:
    return torch.cat([_strength(sigma[n], part) for n, part in layout.split(delta).items()]) ** 2


def _strength(sigma: Tensor, part: Tensor) -> Tensor:
    """``|sigma * delta|`` in double precision."""
    return (sigma.double() * part.double().to(sigma.device)).abs()
