"""A race ends with the best that there would be without one, and asks for less."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from t2app.adapt import race

ROUND = 6


def run(
    before: Tensor, truth: Tensor, places: int, hardest: list[int] | None = None
) -> tuple[Tensor, list[int]]:
    """What is known at the end (P, n), and how many answers each round asked for."""
    known, rounds = torch.full_like(truth, torch.nan), []
    while cells := race.to_answer(before, known, places, hardest or race.order(known), ROUND):
        assert len(set(cells)) == len(cells)
        for i, j in cells:
            assert known[i, j].isnan()
            known[i, j] = truth[i, j]
        rounds.append(len(cells))
    return known, rounds


@st.composite
def races(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    candidates, examples = draw(st.integers(2, 12)), draw(st.integers(1, 6))
    score = st.sampled_from([0.0, 0.25, 1.0])
    rows = st.lists(score, min_size=examples, max_size=examples)
    truth = draw(st.lists(rows, min_size=candidates, max_size=candidates))
    before = draw(
        st.lists(st.sampled_from([0.0, 0.1, 0.4, 2.0]), min_size=candidates, max_size=candidates)
    )
    places = draw(st.integers(1, candidates))
    return torch.tensor(before).double(), torch.tensor(truth).double(), places


@given(races())
def test_the_best_and_the_fittest_are_those_of_a_whole_comparison(drawn) -> None:
    before, truth, places = drawn
    known, _ = run(before, truth, places)
    worth, whole = before + truth.mean(1), ~known.isnan().any(1)
    best = worth.sort(descending=True).values[:places]
    assert torch.equal(worth[whole].sort(descending=True).values[:places], best)
    # Of candidates that tie for the last place, all are known: something else may decide.
    assert whole[worth > best[-1] - race.ROUNDING].all()
    assert truth[whole].mean(1).max() == truth.mean(1).max()


def test_promising_candidates_that_are_right_end_it_at_once() -> None:
    before = torch.linspace(1, 0, 32).double()
    truth = torch.ones(32, 5).double()
    known, rounds = run(before, truth, 6)
    assert rounds == [8 * 5]
    assert not known[:8].isnan().any()
    assert known[8:].isnan().all()


def test_who_fails_the_hardest_examples_is_out() -> None:
    before, truth = torch.zeros(8).double(), torch.ones(8, 3).double()
    truth[2:, 1] = 0
    known, rounds = run(before, truth, 2, hardest=[1, 0, 2])
    assert known[2:].isnan().sum() == 6 * 2  # one answer of each was enough
    assert rounds == [6, 6]


def test_ties_are_answered_to_the_end() -> None:
    known, _ = run(torch.zeros(8).double(), torch.ones(8, 3).double(), 2)
    assert not known.isnan().any()


def test_bounds() -> None:
    right = torch.tensor([[1.0, torch.nan], [0.0, 0.0]])
    least, most = race.bounds(torch.tensor([0.1, 0.2]), right)
    assert least.tolist() == torch.tensor([0.6, 0.2]).tolist()
    assert most.tolist() == torch.tensor([1.1, 0.2]).tolist()


def test_order_puts_what_nobody_solves_first_and_what_nobody_tried_last() -> None:
    nan = torch.nan
    assert race.order(torch.tensor([[1.0, nan, 0.0], [0.0, nan, 0.0]])) == [2, 0, 1]
