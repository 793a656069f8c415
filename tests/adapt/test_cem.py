"""The cross-entropy method by itself, on functions whose best point is known."""

from __future__ import annotations

import pytest
import torch

from t2app.adapt import cem


def test_candidates_stay_between_0_and_1():
    generator = torch.Generator().manual_seed(0)
    drawn = cem.draw(cem.begin((1, 3), 0.5), 200, generator)
    assert drawn.shape == (200, 1, 3)
    assert drawn.min() == 0
    assert drawn.max() == 1


def test_the_first_distribution_is_that_of_the_reference():
    first = cem.begin((2, 4), 0.25)
    assert first.mean.eq(0.25).all()
    assert first.spread.eq(0.5).all()


def test_the_elite_makes_the_next_distribution():
    elite = torch.tensor([[[0.0, 1.0]], [[0.5, 1.0]]])
    found = cem.update(elite)
    assert found.mean.tolist() == [[0.25, 1.0]]
    assert found.spread.tolist() == [[pytest.approx(0.5 / 2**0.5), 0.0]]


def test_the_same_seed_draws_the_same():
    draws = [
        cem.draw(cem.begin((1, 2), 0.5), 8, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("best", [[0.2, 0.7, 0.1], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
def test_it_finds_the_best_point(best):
    generator, now = torch.Generator().manual_seed(0), cem.begin((1, 3), 1 / 3)
    for _ in range(30):
        drawn = cem.draw(now, 32, generator)
        order = (drawn - torch.tensor(best)).square().sum((1, 2)).argsort()
        now = cem.update(drawn[order[:6]])
    assert now.mean[0].tolist() == pytest.approx(best, abs=0.05)
    assert now.spread.max() < 0.05
