"""A mix as a LoRA: the best of each rank, and what it leaves out."""

from __future__ import annotations

import pytest
import torch

from t2app.svf.hooks import SVF
from t2app.svf.low_rank import cut, pair, rank_for, share_kept
from t2app.svf.merged import merged_weight


@pytest.fixture
def svf(small_factors, small_base):
    svf = SVF(small_base.model, small_factors)
    yield svf
    svf.remove()


@pytest.fixture
def sigma(small_factors):
    return {name: factor.sigma for name, factor in small_factors.items()}


@pytest.fixture
def delta(svf):
    return torch.randn(svf.layout.total, generator=torch.Generator().manual_seed(3)) * 0.5


def test_full_rank_is_the_change_itself(svf, sigma, delta):
    for name, part in svf.layout.split(delta).items():
        layer = svf.layers[name]
        a, b = pair(layer, sigma[name], part, len(part))
        change = merged_weight(layer, part) - layer.module.weight
        torch.testing.assert_close(b @ a, change, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rank", [1, 7, 40])
def test_no_matrix_of_this_rank_is_nearer(svf, sigma, delta, rank):
    """Against torch's own decomposition of the change."""
    for name, part in svf.layout.split(delta).items():
        layer = svf.layers[name]
        a, b = pair(layer, sigma[name], part, rank)
        change = merged_weight(layer, part) - layer.module.weight
        values = torch.linalg.svdvals(change)
        best = values[rank:].square().sum().sqrt()
        torch.testing.assert_close((change - b @ a).norm(), best, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("rank", [3, 64])
def test_a_cut_mix_is_the_adapter(svf, sigma, delta, rank):
    part = cut(svf.layout, sigma, delta, rank)
    for name, mine in svf.layout.split(part).items():
        layer = svf.layers[name]
        a, b = pair(layer, sigma[name], svf.layout.split(delta)[name], rank)
        change = merged_weight(layer, mine) - layer.module.weight
        torch.testing.assert_close(b @ a, change, atol=1e-5, rtol=1e-4)
        assert (mine != 0).sum() <= rank


def test_shares_and_ranks(svf, sigma, delta):
    shares = [
        share_kept(svf.layout, sigma, delta, cut(svf.layout, sigma, delta, rank))
        for rank in (1, 8, 32, 64)
    ]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    for share in (0.5, 0.9, 0.99, 1.0):
        rank = rank_for(svf.layout, sigma, delta, share)
        reached = [
            share_kept(svf.layout, sigma, delta, cut(svf.layout, sigma, delta, r))
            for r in (rank, rank - 1)
        ]
        assert reached[0] >= share - 1e-9
        assert rank == 1 or reached[1] < share
    assert rank_for(svf.layout, sigma, torch.zeros_like(delta), 0.99) == 1


def test_what_is_not_changed_is_zero(svf, sigma, delta):
    name = next(iter(svf.layers))
    a, b = pair(svf.layers[name], sigma[name], torch.zeros(svf.layout.sizes[name]), 4)
    assert a.shape[0] == b.shape[1] == 4
    assert not a.any()
    assert not b.any()
