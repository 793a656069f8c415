"""The form of a layer in training: the same function, small changes kept, one thread only."""

from __future__ import annotations

import threading

import pytest
import torch
from transformers import LlamaForCausalLM

from t2app.svd.factor import factor
from t2app.svd.modules import adapted_modules
from t2app.svf.hooks import MANY_TOKENS, SVF
from t2app.svf.two_products import TwoProducts

ROOM = 2.0**30


@pytest.mark.parametrize(("m", "n"), [(48, 32), (32, 48)])
def test_a_small_change_of_z_is_not_rounded_away(m: int, n: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, x = torch.randn(m, n, generator=generator), torch.randn(512, n, generator=generator)
    side = "input" if n <= m else "output"
    basis = factor(weight).basis.T
    layer = TwoProducts.of(weight, basis, side, None, torch.float32)
    delta = torch.full((min(m, n),), 0.001, dtype=torch.bfloat16)
    change = (layer(x, delta) - layer(x, torch.zeros_like(delta))).double()
    # z is 1.001 everywhere: the output grows by a thousandth of itself.
    plain = torch.nn.functional.linear(x, weight).double()
    assert (change * plain).sum() / (plain * plain).sum() == pytest.approx(0.001, rel=0.2)


@pytest.fixture
def trained(make_model) -> tuple[SVF, LlamaForCausalLM]:
    """A model in bfloat16 as if on a processor without AMX, and what adapts it."""
    model = make_model().bfloat16()
    factors = {
        name: factor(module.weight.float()) for name, module in adapted_modules(model).items()
    }
    return SVF(model, factors), model


def test_long_passes_of_the_training_thread_use_the_products(trained, monkeypatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    svf, model = trained
    calls: list[int] = []
    own = TwoProducts.__call__
    monkeypatch.setattr(
        TwoProducts, "__call__", lambda self, x, d: calls.append(1) or own(self, x, d)
    )
    delta = torch.full((svf.layout.total,), 0.1)

    def run(tokens: int) -> int:
        calls.clear()
        with torch.no_grad(), svf.using(delta):
            model(torch.ones(1, tokens, dtype=torch.long))
        return len(calls)

    with svf.training_form(ROOM):
        assert run(MANY_TOKENS) == len(svf.layers)
        assert run(MANY_TOKENS - 1) == 0
        elsewhere: list[int] = []
        thread = threading.Thread(target=lambda: elsewhere.append(run(MANY_TOKENS)))
        thread.start()
        thread.join()
        assert elsewhere == [0]
    assert run(MANY_TOKENS) == 0
