"""How far each way to execute a mix is from the exact ``W(z) x``.

Exact is the weight that the original W gives when it is rebuilt from U, S and V in double
precision. What is measured is the output of single layers for random input. Quantised here means
NF4 with one scale for each 64 weights. Not covered: what that does to answers.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from t2app.engine import Engine
from t2app.svf.basis import Basis, correct, keep, rounded
from t2app.svf.hooks import Layer
from t2app.svf.merged import full_weight

STRENGTH = 0.1  # of delta, as a standard deviation: about that of the built-in experts


@torch.no_grad()
def relative_errors(engine: Engine) -> dict[str, float]:
    """Median over the layers of the first block of ``|y - exact| / |exact|`` for each way."""
    generator = torch.Generator().manual_seed(0)
    per_layer = [_layer_errors(layer, generator) for layer in first_block(engine)]
    return {name: statistics.median(e[name] for e in per_layer) for name in per_layer[0]}


def first_block(engine: Engine) -> list[Layer]:
    """The adapted layers of the first decoder block."""
    layers = list(engine.svf.layers.values())
    return layers[: len(layers) // engine.model.config.get_text_config().num_hidden_layers]


def _layer_errors(layer: Layer, generator: torch.Generator) -> dict[str, float]:
    weight = full_weight(layer.module).cpu()
    q = layer.basis.dense_transposed().t().to(weight).contiguous()
    delta = STRENGTH * torch.randn(q.shape[0], generator=generator)
    x = torch.randn(8, weight.shape[1], generator=generator).to(weight)
    u, sigma, vt = torch.linalg.svd(weight.double(), full_matrices=False)
    exact = functional.linear(x.double(), (u * (sigma * (1 + delta))) @ vt)
    delta = delta.to(weight)

    def error(y: Tensor) -> float:
        return ((y.double() - exact).norm() / exact.norm()).item()

    def factored(w: Tensor, basis: Basis) -> float:
        if layer.side == "input":
            return error(functional.linear(correct(x, basis, delta), w))
        return error(correct(functional.linear(x, w), basis, delta))

    def merged(w: Tensor, round_again: Callable[[Tensor], Tensor] = lambda w: w) -> float:
        change = (q * delta) @ q.t()
        left, right = (w, change) if layer.side == "input" else (change, w)
        return error(functional.linear(x, round_again(torch.addmm(w, left, right))))

    nf4 = rounded(weight, "nf4")
    exact_base = functional.linear(x.double(), weight.double())
    without = functional.linear(x, nf4).double()
    return {
        "factored": factored(weight, keep(q)),
        "factored, factors in int8": factored(weight, keep(q, "int8")),
        "factored, factors in NF4": factored(weight, keep(q, "nf4")),
        "merged": merged(weight),
        "NF4 base without a mix": ((without - exact_base).norm() / exact_base.norm()).item(),
        "NF4 base, factored": factored(nf4, keep(q)),
        "NF4 base, factored, factors in int8": factored(nf4, keep(q, "int8")),
        "NF4 base, factored, factors in NF4": factored(nf4, keep(q, "nf4")),
        "NF4 base, merged, kept at 16 bits": merged(nf4),
        "NF4 base, merged, rounded to NF4 again": merged(nf4, lambda w: rounded(w, "nf4")),
        "no mix at all": error(functional.linear(x, weight)),
    }
