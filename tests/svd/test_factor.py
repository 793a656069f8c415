"""Factors against torch's own singular value decomposition."""

from __future__ import annotations

import pytest
import torch

from t2app.svd.factor import factor

SHAPES = [(64, 64), (96, 64), (64, 96), (200, 10), (10, 200), (1, 5), (5, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_basis_and_sigma(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = factor(weight)
    k = min(shape)
    assert found.side == ("input" if shape[1] <= shape[0] else "output")
    assert found.basis.shape == (k, k)
    assert found.basis.is_contiguous()
    identity = torch.eye(k, dtype=torch.float64)
    basis = found.basis.double()
    torch.testing.assert_close(basis.t() @ basis, identity, atol=1e-6, rtol=0)
    exact = torch.linalg.svdvals(weight.double())
    torch.testing.assert_close(found.sigma.double(), exact, atol=1e-6 * exact[0], rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_column_is_the_singular_vector_of_its_value(shape):
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = factor(weight)
    operator = weight if found.side == "input" else weight.t()
    lengths = (operator @ found.basis).norm(dim=0)
    torch.testing.assert_close(lengths, found.sigma, atol=1e-10, rtol=1e-10)
    assert (found.sigma.diff() <= 0).all()


def test_directions_survive_a_large_condition_number():
    """Singular values over four decades: in single precision the small directions would be lost."""
    generator = torch.Generator().manual_seed(2)
    u, _ = torch.linalg.qr(torch.randn(80, 80, dtype=torch.float64, generator=generator))
    v, _ = torch.linalg.qr(torch.randn(60, 60, dtype=torch.float64, generator=generator))
    sigma = torch.logspace(0, -4, 60, dtype=torch.float64)
    weight = u[:, :60] * sigma @ v.t()
    overlap = (factor(weight).basis * v).sum(0).abs()
    assert overlap.min() > 1 - 1e-10


@pytest.mark.parametrize("weight", [torch.zeros(6, 4), torch.ones(4, 6), torch.eye(5)])
def test_degenerate_weights_still_give_a_basis(weight):
    found = factor(weight)
    assert torch.isfinite(found.sigma).all()
    k = min(weight.shape)
    torch.testing.assert_close(found.basis.t() @ found.basis, torch.eye(k), atol=1e-6, rtol=0)


def test_dtypes():
    weight = torch.randn(8, 6)
    half = factor(weight.bfloat16())
    assert (half.basis.dtype, half.sigma.dtype) == (torch.bfloat16, torch.float32)
    assert factor(weight).basis.dtype == torch.float32
    assert not factor(weight.requires_grad_()).basis.requires_grad
