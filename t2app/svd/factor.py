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


# Rows taken into double precision at a time: the whole matrix never is.
ROWS = 2048
COLUMN_BLOCKS = 4


@torch.no_grad()
def factor(weight: Tensor, dtype: torch.dtype | None = None) -> Factor:
    """Factor ``weight`` (m, n) through the eigenvectors of its smaller Gram matrix.

    Always in double precision: squaring the matrix squares its condition number, and in single
    precision the directions of small singular values come out turned, by different angles on
    different machines, so an expert would not carry over. ``basis`` comes back in ``dtype`` (by
    default that of the weight), ``sigma`` in float32 (at least).
    """
    m, n = weight.shape
    side: Literal["input", "output"] = "input" if n <= m else "output"
    gram = _gram(weight.detach() if side == "input" else weight.detach().t())
    values, vectors = torch.linalg.eigh(gram)
    sigma = values.clamp_min(0).sqrt().flip(0)
    if dtype is None:
        dtype = weight.dtype if weight.is_floating_point() else torch.float32
    basis = vectors.flip(1).to(dtype).contiguous()
    return Factor(side, basis, sigma.to(torch.promote_types(dtype, torch.float32)))


def _gram(w: Tensor) -> Tensor:
    """``W^T W`` in double precision for a tall ``w`` (m, n); what is above the diagonal is not set.

    ``eigh`` reads the lower triangle only, and leaving out most of the rest saves a third.
    """
    n = w.shape[1]
    gram = torch.zeros(n, n, dtype=torch.float64, device=w.device)
    step = -(-n // COLUMN_BLOCKS)
    for start in range(0, w.shape[0], ROWS):
        rows = w[start : start + ROWS].double()
        for left in range(0, n, step):
            columns = rows[:, left : left + step]
            gram[left:, left : left + step].addmm_(rows[:, left:].t(), columns)
    return gram


def working_bytes(m: int, n: int) -> int:
    """Memory to factor a matrix (m, n): what is held in double precision, at its peak."""
    k = min(m, n)
    # Gram matrix and eigenvectors, which take its place, and what LAPACK's divide and conquer asks
    # for beside them; then a block of rows.
    return 8 * (4 * k * k + min(max(m, n), ROWS) * k)
