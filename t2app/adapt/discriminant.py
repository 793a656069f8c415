"""Linear discriminant analysis: classes by their means, seen through one shared covariance.

The covariance is shrunk towards a multiple of the identity, as there are fewer questions than
hidden units. Everything that is fitted beside it (the scale of the probabilities, the thresholds)
uses leave-one-out scores: each row is judged by a classifier that has not seen it, in closed form.
Pure tensors; not covered: where the states come from (``states``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# The share of the identity. 0.2 to 0.6 did alike on three models (docs/LOG.md).
SHRINKAGE = 0.3
SCALES = [10 ** (step / 20) for step in range(-60, 21)]
# Rows that the scale is fitted to: bounds the cost of many experts.
FITTED_TO = 1024
# Rows of no expert of which at least this share must stay with the base. Above the 95 % that are
# promised, so that chance does not undercut them.
LEFT_ALONE = 0.97


class Classes(NamedTuple):
    """States ``rows`` (N, hidden), the class of each (N,), means (K, hidden), and the numbers (K,)
    of rows that the means were made of: a class may have a mean whose rows are not there.
    """

    rows: Tensor
    of: Tensor
    means: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Discriminant:
    """Scores are ``states @ directions + offsets``; the last class is *other*.

    ``directions`` (hidden, K), ``offsets`` (K,); probabilities are the softmax of ``scale`` times
    the scores. ``thresholds`` (K - 1,) is the probability that each expert has to exceed.
    ``left_out`` (N, K) are leave-one-out probabilities of the rows, for whoever measures.
    """

    directions: Tensor
    offsets: Tensor
    scale: float
    thresholds: Tensor
    left_out: Tensor

    def probabilities(self, states: Tensor) -> Tensor:
        """(B, hidden) to (B, K)."""
        scores = states.double() @ self.directions + self.offsets
        return (self.scale * scores).softmax(-1)

    def chosen(self, probabilities: Tensor) -> Tensor:
        """The class of each row (B, K) to (B,): the likeliest if it exceeds its threshold."""
        return _chosen(probabilities, self.thresholds)


def fit(classes: Classes, left_alone: float = LEFT_ALONE) -> Discriminant:
    """A classifier of at least two classes of one row or more."""
    classes = classes._replace(rows=classes.rows.double(), means=classes.means.double())
    inverse = _inverse_covariance(classes)
    directions = inverse @ classes.means.T
    offsets = -(classes.means.T * directions).sum(0) / 2
    scores = _left_out(classes, inverse, directions)
    scale = _scale(scores, classes.of)
    left_out = (scale * scores).softmax(-1)
    thresholds = _thresholds(left_out, classes.of, left_alone)
    return Discriminant(directions, offsets, scale, thresholds, left_out)


def _freedom(classes: Classes) -> int:
    return max(1, len(classes.rows) - len(classes.of.unique()))


def _inverse_covariance(classes: Classes) -> Tensor:
    apart = classes.rows - classes.means[classes.of]
    covariance = apart.T @ apart / _freedom(classes)
    size = len(covariance)
    # Rows that are all alike leave nothing to measure by: any small number will do.
    mean = (covariance.trace() / size).clamp(min=1e-9)
    covariance.mul_(1 - SHRINKAGE).diagonal().add_(SHRINKAGE * mean)
    return torch.cholesky_inverse(torch.linalg.cholesky(covariance))


def _left_out(classes: Classes, inverse: Tensor, directions: Tensor) -> Tensor:
    """Scores (N, K) of each row by the classifier without it.

    Without a row its class mean moves, and the covariance loses a matrix of rank one, so its
    inverse follows from the whole one (Sherman and Morrison).
    """
    rows, own, means = classes.rows, classes.of, classes.means
    at = torch.arange(len(rows))
    n = classes.counts[own].double()
    apart = rows - means[own]
    turned = apart @ inverse
    lost = (1 - SHRINKAGE) / _freedom(classes) * n / (n - 1).clamp(min=1)
    along = (apart * turned).sum(1)
    gain = lost / (1 - lost * along).clamp(min=1e-9)
    of_row, of_means = (rows * turned).sum(1), turned @ means.T
    linear = rows @ directions + gain[:, None] * of_row[:, None] * of_means
    squares = (means.T * directions).sum(0) + gain[:, None] * of_means**2
    scores = linear - squares / 2
    # The own mean without the row lies a little further away.
    moved, grown = 1 / (n - 1).clamp(min=1), 1 + gain * along
    own_linear = linear[at, own] - moved * of_row * grown
    own_square = squares[at, own] - 2 * moved * of_means[at, own] * grown + moved**2 * along * grown
    scores[at, own] = torch.where(n > 1, own_linear - own_square / 2, scores[at, own])
    return scores


def _scale(scores: Tensor, own: Tensor) -> float:
    """The scale that makes the rows' own classes most likely, each class counting alike.

    As if one more row had been right and one wrong (Laplace), so that rows which are told apart
    without a mistake do not make certain of everything.
    """
    step = math.ceil(len(own) / FITTED_TO)
    scores, own = scores[::step], own[::step]
    weights = 1 / own.bincount(minlength=scores.shape[1])[own]
    sure = (len(own) + 1) / (len(own) + 2)

    def fitting(scale: float) -> float:
        logs = (scale * scores).log_softmax(-1)
        right = logs[torch.arange(len(own)), own]
        wrong = (logs.sum(-1) - right) / (scores.shape[1] - 1)
        return float(((sure * right + (1 - sure) * wrong) * weights).sum())

    return max(SCALES, key=fitting)


def _thresholds(left_out: Tensor, own: Tensor, left_alone: float) -> Tensor:
    """A threshold for each expert (K - 1,) that leaves rows of *other* with the base.

    At most one row too many in ``1 / (1 - left_alone)`` of them may be taken, counted as for a new
    row (conformal). While there are more, the threshold is raised that loses the smallest share of
    an expert's own rows. So an expert whose questions are general ones costs itself, not the rest.
    """
    experts = left_out.shape[1] - 1
    thresholds = torch.zeros(experts, dtype=left_out.dtype)
    others = int((own == experts).sum())
    allowed = others - min(others, math.ceil((others + 1) * left_alone))
    sure, likeliest = left_out.max(1)
    while True:
        chosen = _chosen(left_out, thresholds)
        taken = (own == experts) & (chosen < experts)
        if int(taken.sum()) <= allowed:
            return thresholds
        prices = []
        for expert in chosen[taken].unique().tolist():
            needed = sure[taken & (likeliest == expert)].min()
            right = (own == expert) & (chosen == expert)
            lost = int((right & (sure <= needed)).sum()) / max(1, int((own == expert).sum()))
            prices.append((lost, float(needed), expert))
        _, needed, expert = min(prices)
        thresholds[expert] = needed


def _chosen(probabilities: Tensor, thresholds: Tensor) -> Tensor:
    sure, likeliest = probabilities.max(1)
    needed = torch.cat([thresholds, thresholds.new_zeros(1)])[likeliest]
    return torch.where(sure > needed, likeliest, len(thresholds))
