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
    # Two got better, none worse; with one more of each: (3 - 1) / 6, and (4 / 6 - 1 / 9) / 6.
    half = 1.959964 * ((4 / 6 - 1 / 9) / 6) ** 0.5
    assert (low, high) == pytest.approx((1 / 3 - half, 1 / 3 + half))


def test_paired_difference_uses_the_pairs():
    """What does not change counts for nothing, however much the rows differ."""
    same = [0.0, 1.0] * 50
    mean, low, high = paired_difference(same, same)
    assert mean == 0
    assert high == -low < 0.04
    with pytest.raises(ValueError, match="zip"):
        paired_difference((1, 1), (1,))


def test_a_few_rows_that_agree_prove_nothing():
    assert paired_difference((1.0,), (0.0,))[1] < 0
    mean, low, high = paired_difference((1,) * 10, (0,) * 10)
    assert mean == high == 1
    assert 0.4 < low < 0.6


@pytest.mark.parametrize("n", [10, 30, 100])
def test_a_paired_difference_holds_the_truth_nearly_always(n):
    r = random.Random(n)
    held = 0
    for _ in range(1000):
        better, worse = r.uniform(0, 0.6), r.uniform(0, 0.3)
        rows = [r.choices((1, -1, 0), (better, worse, 1 - better - worse))[0] for _ in range(n)]
        after = [max(d, 0) for d in rows]
        before = [max(-d, 0) for d in rows]
        _, low, high = paired_difference(after, before)
        held += low <= better - worse <= high
    assert 0.93 <= held / 1000 <= 0.99


def test_over_draws_counts_both_rows_and_draws():
    mean, low, high = over_draws([[1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    assert mean == pytest.approx(0.625)
    assert 0 <= low < mean < high <= 1
    same = over_draws([[1.0, 0.0, 1.0, 1.0]] * 2)
    apart = over_draws([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    assert same[0] == apart[0] == 0.75
    assert apart[2] - apart[1] > 0
    assert over_draws([[1.0, 1.0]] * 3) == (1.0, 1.0, 1.0)
