"""Figures about experts that people look at: how far they go from the base, and how alike they are.

Pure functions of expert vectors. Not covered: what experts do to answers (``evaluation``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from t2app.svf.expert import Expert


def numbers(expert: Expert) -> int:
    """How many numbers an expert is made of."""
    return sum(z.numel() for z in expert.z.values())


def strength(expert: Expert) -> dict[str, float]:
    """Mean ``|z - 1|`` of each matrix: how much the expert changes it."""
    return {name: (z - 1).abs().mean().item() for name, z in expert.z.items()}


def similarity(experts: Mapping[str, Expert], names: Sequence[str]) -> Tensor:
    """Cosine similarity (K, K) of the experts' ``z - 1`` over all matrices ``names``.

    ``z - 1`` and not ``z``: the base, which all start from, is 0 then. An expert that changes
    nothing is like no other: 0, and 1 to itself.
    """
    rows = torch.stack([e.delta(names) for e in experts.values()]).double()
    return _cosine(rows, rows).fill_diagonal_(1.0)


def similarity_by_matrix(one: Expert, other: Expert) -> dict[str, float]:
    """Cosine similarity of two experts' ``z - 1``, matrix by matrix."""
    return {
        name: _cosine((z - 1)[None].double(), (other.z[name] - 1)[None].double()).item()
        for name, z in one.z.items()
    }


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """(K, R) and (L, R) to (K, L); 0 where a vector is 0."""
    a, b = (x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (a, b))
    return (a @ b.t()).clamp(-1, 1)


def place(name: str) -> tuple[str, str]:
    """Layer and module of an adapted matrix: ``model.layers.3.mlp.up_proj`` -> ``3, mlp.up_proj``.

    Two numbers in a name mean that the module holds several: the first counts the layers.
    """
    parts = name.split(".")
    layer = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    if layer is None:
        return "", name
    return parts[layer], ".".join(parts[layer + 1 :])
