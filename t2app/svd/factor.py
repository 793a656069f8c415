"""One orthonormal basis and the singular values of a weight matrix.

``W = U diag(sigma) V^T``, of which SVF needs only the smaller square factor. Not covered: the other
factor, and randomised or truncated decompositions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Factor:
    """The side that SVF corrects, its basis and the singular values, for ``W`` of shape (m, n).

    ``side`` is ``"input"`` (``basis`` is V, n <= m) or ``"output"`` (``basis`` is U, m < n).
    ``basis`` is ``(k, k)`` with ``k = min(m, n)``, singular vectors in columns by falling singular
    value; ``sigma`` is ``(k,)``.
    """

    side: Literal["input", "output"]
    basis: Tensor
    sigma: Tensor


@torch.no_grad()
def factor(weight: Tensor) -> Factor:
    """Factor ``weight`` (m, n) through the eigenvectors of its smaller Gram matrix.

    Always in double precision: squaring the matrix squares its condition number, and in single
    precision the directions of small singular values come out turned, by different angles on
    different machines, so an expert would not carry over. ``basis`` comes back in the dtype of the
    weight, ``sigma`` in float32 (at least).
    """
    m, n = weight.shape
    side: Literal["input", "output"] = "input" if n <= m else "output"
    w = weight.detach().double()
    gram = w.t() @ w if side == "input" else w @ w.t()
    values, vectors = torch.linalg.eigh(gram)
    sigma = values.clamp_min(0).sqrt().flip(0)
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    basis = vectors.flip(1).to(dtype).contiguous()
    return Factor(side, basis, sigma.to(torch.promote_types(dtype, torch.float32)))
