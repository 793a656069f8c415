"""Mixing expert vectors: weights that people type, and the arithmetic on flat vectors.

Pure functions of numbers and tensors. Not covered: where experts come from (``library``) and how a
mix reaches the model (``hooks``).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from t2app.errors import T2Error

Weights = Mapping[str, float]

# Weights of many experts that were rounded to six places must still be accepted.
SUM_TOLERANCE = 1e-5


def unknown_expert(name: str, known: Iterable[str]) -> str:
    """The line that tells a user that there is no expert ``name``, with the nearest names."""
    names = sorted(known)
    if not names:
        return f"unknown expert {name!r}: there are no experts for this model yet"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"unknown expert {name!r}: did you mean {', '.join(close)}?"
    return f"unknown expert {name!r}: choose from {', '.join(names)}"


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise T2Error(f"weight of {name!r} is {value!r}: give a number between 0 and 1") from None
    if not math.isfinite(number) or number < 0:
        raise T2Error(f"weight of {name!r} is {value!r}: give a number between 0 and 1")
    return number


def check_weights(weights: Weights, known: Iterable[str]) -> dict[str, float]:
    """Weights as plain floats, or a ``T2Error`` that names what is wrong with them.

    The base model takes the rest, ``1 - sum``, which is the paper's convex combination of experts
    (section 3.2) with the base as one more expert, so the sum must not be above 1.
    """
    names = list(known)
    checked = {}
    for name, value in weights.items():
        if name not in names:
            raise T2Error(unknown_expert(str(name), names))
        checked[name] = _number(name, value)
    total = sum(checked.values())
    if total > 1 + SUM_TOLERANCE:
        raise T2Error(
            f"weights sum to {total:.6g}: divide each by {total:.6g} to normalise them; "
            "what is left below 1 goes to the base model"
        )
    return checked


def parse_weights(text: str) -> dict[str, float]:
    """``"math=0.7,code=0.3"`` as a dict; ``T2Error`` when malformed or when a name comes twice."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise T2Error(f"cannot read weights {text!r}: write NAME=NUMBER,NAME=NUMBER")
        if name in weights:
            raise T2Error(f"expert {name!r} comes twice in weights {text!r}: give it once")
        weights[name] = _number(name, value)
    return weights


class DeltaLayout:
    """Where the vector of each adapted matrix lies in one flat vector of length ``R``.

    ``sizes`` maps module name to ``r = min(m, n)``, in model order.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.names = tuple(self.sizes)
        self.total = sum(self.sizes.values())

    def flatten(self, vectors: Mapping[str, Tensor]) -> Tensor:
        """One vector ``(r,)`` for each name, joined to ``(R,)``; ``T2Error`` if one misfits."""
        for name, size in self.sizes.items():
            if name not in vectors:
                raise T2Error(f"no vector for {name}: the expert does not fit this model")
            if vectors[name].shape != (size,):
                shape = tuple(vectors[name].shape)
                raise T2Error(f"vector for {name} has shape {shape}, this model needs ({size},)")
        return torch.cat([vectors[name] for name in self.names])

    def check(self, flat: Tensor) -> None:
        """``T2Error`` unless a flat vector (R,), or one for each row (B, R), has the right size."""
        if flat.dim() not in (1, 2) or flat.shape[-1] != self.total:
            shape = tuple(flat.shape)
            raise T2Error(f"delta has shape {shape}, this model needs ({self.total},) or (B, ..)")

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """Views by name: ``(R,)`` is split into vectors ``(r,)``, ``(B, R)`` into ``(B, r)``."""
        self.check(flat)
        parts = flat.split(list(self.sizes.values()), dim=-1)
        return dict(zip(self.names, parts, strict=True))


def mix(stacked: Tensor, alpha: Tensor) -> Tensor:
    """``delta_mix = sum_k alpha_k delta_k``, the paper's mix of expert vectors (section 3.2).

    ``stacked`` is ``(K, R)``; ``alpha`` ``(K,)`` gives ``(R,)``, ``(B, K)`` gives ``(B, R)``: one
    mix for each row of a batch. Differentiable in both.
    """
    return alpha.to(stacked) @ stacked
