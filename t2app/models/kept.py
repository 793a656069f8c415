"""What each way to keep the factors in memory costs: bytes, and error against those on disk."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from t2app.svd.factor import Factor
from t2app.svf.basis import keep

# Matrices whose error is measured: a large one takes about a second.
SAMPLE = 8


def kept_as(found: Mapping[str, Factor], dtype: torch.dtype) -> dict[str, dict[str, float]]:
    """Memory and error of each way to keep the factors beside a model of type ``dtype``.

    The error is that of ``Q diag(delta) Q^T`` for a random delta, relative to the factors on disk,
    averaged over some matrices from first to last.
    """
    chosen = list(found.values())[:: max(1, len(found) // SAMPLE)]
    numbers = sum(value.basis.numel() for value in found.values())
    costs = {}
    for storage in ("dense", "int8", "nf4"):
        size, errors = 0, []
        for value in chosen:
            kept = keep(value.basis.to(dtype), storage)
            size += kept.nbytes
            errors.append(_error(value.basis.float(), kept.dense_transposed().float()))
        share = sum(value.basis.numel() for value in chosen) / numbers
        costs[storage] = {
            "megabytes": round(size / share / 2**20, 1),
            "error": round(sum(errors) / len(errors), 5),
        }
    return costs


def _error(basis: torch.Tensor, transposed: torch.Tensor) -> float:
    delta = torch.randn(len(basis), generator=torch.Generator().manual_seed(0))
    exact, kept = (basis * delta) @ basis.t(), (transposed.t() * delta) @ transposed
    return ((kept - exact).norm() / exact.norm()).item()
