"""The discriminant: leave-one-out in closed form, the scale, and what thresholds promise."""

from __future__ import annotations

import pytest
import torch

from t2app.adapt import discriminant
from t2app.adapt.discriminant import Classes


def classes(rows, own) -> Classes:
    counts = own.bincount()
    means = torch.stack([rows[own == k].mean(0) for k in range(len(counts))])
    return Classes(rows, own, means, counts)


def clouds(n: int = 60, kinds: int = 3, size: int = 40, apart: float = 1.0, seed: int = 0):
    """Rows of ``kinds`` classes around centres that are ``apart`` from each other."""
    random = torch.Generator().manual_seed(seed)
    own = torch.arange(n) % kinds
    centres = apart * torch.randn(kinds, size, generator=random)
    return centres[own] + torch.randn(n, size, generator=random), own


@pytest.mark.parametrize("row", [0, 7, 31])
def test_leave_one_out_is_a_fit_without_the_row(row):
    rows, own = clouds()
    whole = classes(rows.double(), own)
    inverse = discriminant._inverse_covariance(whole)
    found = discriminant._left_out(whole, inverse, inverse @ whole.means.T)[row]
    # The same by hand; the identity's share and the degrees of freedom are those of all rows.
    rest = torch.arange(len(own)) != row
    fewer = classes(rows[rest].double(), own[rest])

    def covariance(of: Classes):
        apart = of.rows - of.means[of.of]
        return apart.T @ apart / discriminant._freedom(whole)

    size = rows.shape[1]
    identity = covariance(whole).trace() / size * torch.eye(size, dtype=torch.float64)
    share = discriminant.SHRINKAGE
    turned = torch.linalg.inv((1 - share) * covariance(fewer) + share * identity)
    x, means = whole.rows[row], fewer.means
    expected = means @ turned @ x - (means @ turned * means).sum(1) / 2
    torch.testing.assert_close(found, expected)


def test_classes_far_apart_are_told_apart():
    rows, own = clouds(apart=3.0)
    judge = discriminant.fit(classes(rows[:45], own[:45]))
    assert judge.probabilities(rows[45:]).argmax(1).tolist() == own[45:].tolist()
    assert judge.chosen(judge.probabilities(rows[45:])).tolist() == own[45:].tolist()


def test_ease_does_not_make_certain():
    rows, own = clouds(apart=10.0)
    judge = discriminant.fit(classes(rows, own))
    assert judge.left_out.max() < 0.999


def test_noise_gives_even_shares():
    rows, own = clouds(n=300, apart=0.0)
    assert discriminant.fit(classes(rows, own)).left_out.max() < 0.6


@pytest.mark.parametrize("left_alone", [0.0, 0.9, 0.97])
def test_thresholds_leave_general_rows_with_the_base(left_alone):
    rows, own = clouds(n=600, apart=0.15)
    judge = discriminant.fit(classes(rows, own), left_alone)
    chosen = judge.chosen(judge.left_out)
    assert (chosen[own == 2] == 2).double().mean() >= left_alone
    if not left_alone:
        assert not judge.thresholds.any()


def test_an_expert_of_general_questions_costs_itself_alone():
    """Class 0 cannot be told from *other*, class 1 can: only the first gets a threshold."""
    random = torch.Generator().manual_seed(1)
    rows = torch.randn(300, 20, generator=random)
    own = torch.arange(300) % 3
    rows[own == 1] += 4.0
    judge = discriminant.fit(classes(rows, own))
    chosen = judge.chosen(judge.left_out)
    assert (chosen[own == 1] == 1).double().mean() > 0.97
    assert (chosen[own == 2] == 2).double().mean() >= discriminant.LEFT_ALONE
    assert judge.thresholds[0] > 0
    assert judge.thresholds[1] == 0


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_row_or_two_of_a_class_are_enough(n):
    rows = torch.nn.functional.normalize(torch.randn(n, 8, generator=torch.Generator()))
    judge = discriminant.fit(classes(rows, torch.arange(n) % 2))
    assert judge.probabilities(rows).isfinite().all()


def test_rows_that_are_all_alike_do_no_harm():
    judge = discriminant.fit(classes(torch.ones(6, 4), torch.arange(6) % 2))
    assert judge.probabilities(torch.ones(1, 4))[0].tolist() == pytest.approx([0.5, 0.5])
