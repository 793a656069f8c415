"""How far each way to execute a mix is from the exact ``W(z) x``.

Exact is the weight that the original W gives when it is rebuilt from U, S and V in double
precision. What is measured is the output of single layers for random input. Rows are computed from
the original weight, where NF4 means one scale for each 64 weights; those that begin with "loaded"
are the layers of a quantised model as it runs. Not covered: what that does to answers.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from t2app.engine import Engine
from t2app.evaluation.bench import block, variants
from t2app.models import precision
from t2app.svd.factor import factor
from t2app.svf.basis import Basis, correct, keep, rounded
from t2app.svf.hooks import Layer
from t2app.svf.merged import merged_weight

STRENGTH = 0.1  # of delta, as a standard deviation: about that of the built-in experts
LOADED = {"nf4": "loaded NF4 base", "int8": "loaded int8 base"}


@torch.no_grad()
def relative_errors(engine: Engine, originals: Mapping[str, Tensor]) -> dict[str, float]:
    """Median over the layers of the first block of ``|y - exact| / |exact|`` for each way.

    ``originals`` are the weights of these layers that were never quantised.
    """
    generator, per_layer = torch.Generator().manual_seed(0), []
    for layer in block.layers(engine):
        case = _case(originals[layer.name].cpu(), generator)
        errors = _simulated(case, layer.side)
        if engine.base.precision in precision.QUANTISED:
            errors |= _measured(case, layer, engine.model.dtype, LOADED[engine.base.precision])
        per_layer.append(errors)
    return {name: statistics.median(e[name] for e in per_layer) for name in per_layer[0]}


@dataclass(frozen=True)
class _Case:
    """A weight (m, n), a mix (r,) for it, ``mixed``, its exact ``W(z)``, and input (8, n)."""

    weight: Tensor
    delta: Tensor
    mixed: Tensor
    x: Tensor


def _case(weight: Tensor, generator: torch.Generator) -> _Case:
    delta = STRENGTH * torch.randn(min(weight.shape), generator=generator)
    x = torch.randn(8, weight.shape[1], generator=generator).to(weight)
    u, sigma, vt = torch.linalg.svd(weight.double(), full_matrices=False)
    return _Case(weight, delta, (u * (sigma * (1 + delta))) @ vt, x)


def _error(y: Tensor, x: Tensor, weight: Tensor) -> float:
    """How far ``y`` is from the product of ``x`` and ``weight`` in double precision."""
    exact = functional.linear(x.cpu().double(), weight.double())
    return ((y.cpu().double() - exact).norm() / exact.norm()).item()


def _simulated(case: _Case, side: str) -> dict[str, float]:
    """All ways on the original weight, and on what NF4 leaves of it."""
    weight, x, delta = case.weight, case.x, case.delta.to(case.weight)
    q = factor(weight).basis

    def error(y: Tensor) -> float:
        return _error(y, x, case.mixed)

    def factored(w: Tensor, basis: Basis) -> float:
        if side == "input":
            return error(functional.linear(correct(x, basis, delta), w))
        return error(correct(functional.linear(x, w), basis, delta))

    def merged(w: Tensor, round_again: Callable[[Tensor], Tensor] = lambda w: w) -> float:
        # In float32, then rounded: a product in bfloat16 gives the same, where it is not emulated
        # a hundred times slower.
        change = ((q * delta).float() @ q.t().float()).to(w)
        left, right = (w, change) if side == "input" else (change, w)
        mixed = torch.addmm(w.float(), left.float(), right.float()).to(w)
        return error(functional.linear(x, round_again(mixed)))

    nf4 = rounded(weight, "nf4")
    return {
        "factored": factored(weight, keep(q)),
        "factored, factors in int8": factored(weight, keep(q, "int8")),
        "factored, factors in NF4": factored(weight, keep(q, "nf4")),
        "merged": merged(weight),
        "NF4 base without a mix": _error(functional.linear(x, nf4), x, weight),
        "NF4 base, factored": factored(nf4, keep(q)),
        "NF4 base, factored, factors in int8": factored(nf4, keep(q, "int8")),
        "NF4 base, factored, factors in NF4": factored(nf4, keep(q, "nf4")),
        "NF4 base, merged, kept at 16 bits": merged(nf4),
        "NF4 base, merged, rounded to NF4 again": merged(nf4, lambda w: rounded(w, "nf4")),
        "no mix at all": error(functional.linear(x, weight)),
    }


def _measured(case: _Case, layer: Layer, dtype: torch.dtype, name: str) -> dict[str, float]:
    """The quantised layer itself, on its own device, with the factors as they are kept."""
    # A bias may be far larger than the rest, and would then hide its error or add its own.
    bare = variants.without_bias(layer)
    x = case.x.to(layer.place, dtype)
    delta = case.delta.to(layer.place, layer.basis.dtype)
    merged = merged_weight(bare, delta)
    product = functional.linear(x.to(merged), merged).to(dtype)
    return {
        f"{name} without a mix": _error(bare.plain(x), x, case.weight),
        f"{name}, factored": _error(bare.corrected(x, delta), x, case.mixed),
        # 32 where the processor only emulates 16 (``basis.product_dtype``).
        f"{name}, merged, kept at {8 * merged.itemsize} bits": _error(product, x, case.mixed),
    }
