"""What each way to keep the factors costs."""

from __future__ import annotations

import pytest
import torch

from t2app.models.kept import kept_as
from t2app.svd.factor import factor


def test_smaller_means_less_exact():
    weight = torch.randn(192, 128, generator=torch.Generator().manual_seed(0))
    costs = kept_as({f"matrix {i}": factor(weight) for i in range(20)}, torch.bfloat16)
    size, error = (
        [costs[storage][key] for storage in ("dense", "int8", "nf4")]
        for key in ("megabytes", "error")
    )
    assert size == sorted(size, reverse=True)
    assert size[0] == round(20 * 128 * 128 * 2 / 2**20, 1)
    assert error == sorted(error)
    assert error == pytest.approx([0.0023, 0.011, 0.13], rel=0.3)
