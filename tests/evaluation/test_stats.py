"""Intervals against published and simulated figures."""

from __future__ import annotations

import random

import pytest

from t2app.evaluation.stats import over_draws, paired_difference, wilson


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # Newcombe 1998, table I, score method without continuity correction.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0000),
        (5, 10, 0.2366, 0.7634),
    ],
)
def test_wilson_against_published_values(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=6e-5)


def test_wilson_without_data_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_holds_the_truth_nearly_always():
    r = random.Random(0)
    held = 0
    for _ in range(1000):
        p, n = r.uniform(0.02, 0.98), r.choice((20, 60, 200))
        low, high = wilson(sum(r.random() < p for _ in range(n)), n)
        assert 0 <= low < high <= 1
        held += low <= p <= high
    assert 0.93 <= held / 1000 <= 0.98


def test_paired_difference_by_hand():
    mean, low, high = paired_difference((1, 1, 0, 1), (0, 1, 0, 0))
    assert mean == 0.5
    # Differences 1, 0, 0, 1: standard deviation sqrt(1/3), so 1.96 sqrt(1/3) / 2 on each side.
    assert (high - low) / 2 == pytest.approx(1.959964 * (1 / 3) ** 0.5 / 2)
    assert (low + high) / 2 == pytest.approx(mean)


def test_paired_difference_uses_the_pairs():
    """The same rows, always one point better, leave no doubt."""
    assert paired_difference((1, 1, 1), (0, 0, 0)) == (1, 1, 1)
    assert paired_difference((1,), (1,)) == (0, 0, 0)
    with pytest.raises(ValueError, match="zip"):
        paired_difference((1, 1), (1,))


def test_over_draws_counts_both_rows_and_draws():
    mean, low, high = over_draws([[1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    assert mean == pytest.approx(0.625)
    assert 0 <= low < mean < high <= 1
    same = over_draws([[1.0, 0.0, 1.0, 1.0]] * 2)
    apart = over_draws([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    assert same[0] == apart[0] == 0.75
    assert apart[2] - apart[1] > 0
    assert over_draws([[1.0, 1.0]] * 3) == (1.0, 1.0, 1.0)
