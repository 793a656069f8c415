"""Which candidates still have to answer which examples, for the best of them to be known.

What a candidate can come to is bounded from both sides as soon as it has answered a few examples.
One that can no longer be among the best, nor solve more examples than any other, need not answer
the rest: a race (Maron and Moore, 1994), but with certain bounds, so that the best are those that
would be found if every candidate answered everything. Pure functions of tensors. Not covered: what
an answer is worth (``judge``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Cell = tuple[int, int]  # a candidate, an example

# Sums of floats that should be equal differ by less.
ROUNDING = 1e-9


def bounds(before: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the most that each candidate can come to, both (P,).

    ``before`` (P,) is what it has without any answer; ``right`` (P, n) holds scores between 0 and
    1, and nan where it has not answered. It comes to ``before`` plus its mean score.
    """
    return before + right.nan_to_num(0.0).mean(1), before + right.nan_to_num(1.0).mean(1)


def undecided(before: Tensor, right: Tensor, places: int) -> list[int]:
    """Candidates that have examples left and may be among the ``places`` best, or the fittest.

    Fittest is the one with the highest mean score, whatever it has ``before``. Those with the
    highest bound come first.
    """
    least, most = bounds(before, right)
    last_place = least.sort(descending=True).values[places - 1]
    fittest = (least - before).max()
    may_win = (most >= last_place - ROUNDING) | (most - before > fittest + ROUNDING)
    still = (right.isnan().any(1) & may_win).tolist()
    return [i for i in most.argsort(descending=True, stable=True).tolist() if still[i]]


def to_answer(
    before: Tensor, right: Tensor, places: int, hardest: Sequence[int], rows: int
) -> list[Cell]:
    """What has to be answered next; nothing where the best are known.

    At first the most promising quarter answers everything. The others then meet it with the
    examples that are ``hardest`` (all of them, in that order) and as many at a time as makes
    ``rows`` answers: one that fails these is out.
    """
    open_ = undecided(before, right, places)
    missing = right.isnan().tolist()
    if len(right) - sum(map(any, missing)) < places:
        first = open_[: max(places, len(right) // 4)]
        return [(i, j) for i in first for j in hardest if missing[i][j]]
    each = max(1, rows // max(1, len(open_)))
    return [(i, j) for i in open_ for j in [j for j in hardest if missing[i][j]][:each]]


def order(right: Tensor) -> list[int]:
    """Examples from the hardest on, by the mean of the scores (P, n) that are known of each."""
    return torch.nan_to_num(right.nanmean(0), 1.0).argsort(stable=True).tolist()
