"""Merged weights: the same mix, seen by nobody else, and when they are made."""

from __future__ import annotations

import gc
import threading

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from t2app import models
from t2app.errors import T2Error
from t2app.svd.cache import dense_weight
from t2app.svd.factor import factor
from t2app.svd.modules import adapted_modules
from t2app.svf import merged
from t2app.svf.hooks import SVF, Factored
from t2app.svf.merged import Execution, Merged, full_weight, merged_weight

PROMPT = [{"role": "user", "content": "the quick brown fox"}]


def adapted(model) -> SVF:
    found = {name: factor(dense_weight(m)) for name, m in adapted_modules(model).items()}
    return SVF(model, found)


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def svf(model):
    return adapted(model)


@pytest.fixture
def ids():
    return torch.randint(0, 300, (4, 9), generator=torch.Generator().manual_seed(5))


def random_delta(svf: SVF, seed: int = 0) -> torch.Tensor:
    return torch.randn(svf.layout.total, generator=torch.Generator().manual_seed(seed)) * 0.3


def logits(model, ids) -> torch.Tensor:
    with torch.no_grad():
        return model(ids).logits


# -- the weights -----------------------------------------------------------------------------


def test_merged_weight_is_the_rebuilt_one(svf):
    delta = random_delta(svf)
    for name, part in svf.layout.split(delta.double()).items():
        layer = svf.layers[name]
        u, sigma, vt = torch.linalg.svd(layer.module.weight.double(), full_matrices=False)
        expected = (u * (sigma * (1 + part))) @ vt
        torch.testing.assert_close(
            merged_weight(layer, part).double(), expected, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("bias", [False, True])
def test_merged_answers_as_factored(make_model, ids, bias):
    model = make_model(attention_bias=bias, mlp_bias=bias)
    svf = adapted(model)
    delta = random_delta(svf)
    with svf.using(delta):
        expected = logits(model, ids)
    with svf.using(Merged(svf, delta)):
        torch.testing.assert_close(logits(model, ids), expected, atol=1e-5, rtol=1e-5)


def test_transposed_weights(ids):
    """GPT-2's layers hold their weights as (n, m)."""
    torch.manual_seed(0)
    config = GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=300, n_positions=64)
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    svf = adapted(model)
    delta = random_delta(svf)
    with svf.using(delta):
        expected = logits(model, ids)
    with svf.using(Merged(svf, delta)):
        torch.testing.assert_close(logits(model, ids), expected, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_as_exact_as_factored(make_model, ids):
    """Against the model with rebuilt float32 weights; also where weights are packed."""
    exact = make_model()
    exact_svf = adapted(exact)
    delta = random_delta(exact_svf)
    with exact_svf.using(delta):
        expected = logits(exact, ids)
    model = make_model().bfloat16()
    svf = SVF(model, {n: factor(m.weight) for n, m in adapted_modules(exact).items()})
    error = {}
    for name, effect in (("factored", delta), ("merged", Merged(svf, delta))):
        with svf.using(effect):
            error[name] = (logits(model, ids).float() - expected).norm() / expected.norm()
    assert error["merged"] < 0.02
    assert error["merged"] < 1.5 * error["factored"]


def test_only_what_the_mix_changes_is_copied(model, svf, ids):
    delta = torch.zeros(svf.layout.total)
    svf.layout.split(delta)["model.layers.0.mlp.up_proj"].fill_(0.5)
    effect = Merged(svf, delta)
    assert list(effect._weights) == ["model.layers.0.mlp.up_proj"]
    assert merged.merged_bytes(svf, delta) == 96 * 64 * 4
    with svf.using(delta):
        expected = logits(model, ids)
    with svf.using(effect):
        torch.testing.assert_close(logits(model, ids), expected, atol=1e-5, rtol=1e-5)


def test_the_model_is_never_written_to(make_model, model, svf, ids):
    base = logits(model, ids)
    effect = Merged(svf, random_delta(svf))
    with svf.using(effect):
        assert not torch.equal(logits(model, ids), base)
        with svf.using(None):
            assert torch.equal(logits(model, ids), base)
    assert torch.equal(logits(model, ids), base)
    for left, right in zip(make_model().parameters(), model.parameters(), strict=True):
        assert torch.equal(left, right)


def test_threads_with_other_mixes_never_see_it(model, svf, ids):
    """Two merged mixes, a factored one and the base, in step, many times over."""
    effects = [
        Merged(svf, random_delta(svf, 1)),
        Merged(svf, random_delta(svf, 2)),
        svf.factored(random_delta(svf, 3)),
        None,
    ]
    expected = []
    for effect in effects:
        with svf.using(effect):
            expected.append(logits(model, ids))
    wrong, barrier = [], threading.Barrier(len(effects), timeout=60)

    def ask(index: int) -> None:
        for _ in range(60):
            barrier.wait()
            with svf.using(effects[index]):
                if not torch.equal(logits(model, ids), expected[index]):
                    wrong.append(index)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(effects))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not barrier.broken
    assert wrong == []


@pytest.mark.parametrize("quant", ["nf4", "int8"])
def test_on_a_quantised_base_the_merged_weights_are_not_rounded_again(checkpoint, ids, quant):
    pytest.importorskip("bitsandbytes")
    base = models.load(str(checkpoint), quant=quant, device="cpu")
    svf = SVF(base.model, models.factors(base))
    delta = random_delta(svf)
    with torch.no_grad():
        base.model(ids)  # int8 layers move their scales at the first pass
    for name, part in svf.layout.split(delta).items():
        layer = svf.layers[name]
        weight = full_weight(layer.module)
        assert weight.shape == (layer.module.out_features, layer.module.in_features)
        q = layer.basis.dense_transposed().t().double()
        turn = torch.eye(len(part)) + (q * part) @ q.t()
        w = weight.double()
        expected = w @ turn if layer.side == "input" else turn @ w
        found = merged_weight(layer, part)
        assert found.dtype == svf.dtype
        assert (found - expected).norm() / expected.norm() < 0.005
    with svf.using(delta):
        factored = logits(base.model, ids).float()
    with svf.using(Merged(svf, delta)):
        actual = logits(base.model, ids).float()
    plain = logits(base.model, ids).float()
    assert (actual - factored).norm() < 0.1 * (plain - factored).norm()


# -- when ------------------------------------------------------------------------------------


def test_auto_never_merges_by_itself(svf):
    assert isinstance(Execution(svf).effect(random_delta(svf)), Factored)


def test_choices(svf):
    delta = random_delta(svf)
    assert isinstance(Execution(svf, "factored").effect(delta), Factored)
    assert isinstance(Execution(svf, "merged").effect(delta), Merged)
    with pytest.raises(T2Error, match="unknown execution 'fused'"):
        Execution(svf, "fused")


@pytest.mark.parametrize("choice", merged.EXECUTIONS)
def test_the_base_rows_and_gradients_are_never_merged(svf, choice):
    execution, delta = Execution(svf, choice), random_delta(svf)
    assert execution.effect(None) is None
    assert execution.effect(torch.zeros_like(delta)) is None
    assert isinstance(execution.effect(delta.expand(2, -1)), Factored)
    assert isinstance(execution.effect(delta.clone().requires_grad_()), Factored)


def test_requests_share_a_mix_and_the_last_one_is_kept(svf):
    execution = Execution(svf, "merged")
    first, second = random_delta(svf, 1), random_delta(svf, 2)
    held = execution.effect(first)
    other = execution.effect(second)
    assert other is not held
    assert execution.effect(first.clone()) is held
    assert execution.effect(second) is other
    del held, other
    gc.collect()
    # The second was merged last; the first went with the request that used it.
    assert len(execution._alive) == 1


def test_too_little_memory(svf):
    delta = random_delta(svf)
    needed = merged.merged_bytes(svf, delta)
    assert needed == 4 * sum(layer.module.weight.numel() for layer in svf.layers.values())
    assert isinstance(Execution(svf, "merged", lambda: needed).effect(delta), Merged)
    with pytest.raises(T2Error, match="--execution factored"):
        Execution(svf, "merged", lambda: needed - 1).effect(delta)


def test_answers_are_the_same_whatever_the_execution(engine):
    """Greedy, in float32: merged or not."""
    engine.ends = set()
    delta = random_delta(engine.svf)
    prompt = engine.prompt_ids(PROMPT)
    said = {}
    for choice in merged.EXECUTIONS:
        engine.means.execution = Execution(engine.svf, choice)
        assert engine.status()["execution"] == choice
        said[choice] = engine.generate([prompt] * 2, delta, max_new_tokens=12)[0].token_ids
        # Rows with mixes of their own, one of them the base.
        rows = torch.stack([delta, torch.zeros_like(delta)])
        both = engine.generate([prompt] * 2, rows, max_new_tokens=12)
        assert both[0].token_ids == said[choice]
        assert both[1].token_ids == engine.generate([prompt], max_new_tokens=12)[0].token_ids
    assert said["auto"] == said["merged"] == said["factored"]


def test_merged_and_other_answers_share_a_batch(engine):
    """Requests taking turns token by token: each says what it says alone."""
    engine.ends = set()
    engine.means.execution = Execution(engine.svf, "merged")
    prompt = engine.prompt_ids(PROMPT)
    deltas = [random_delta(engine.svf, 1), random_delta(engine.svf, 2), None]
    alone = [engine.generate([prompt], d, max_new_tokens=10)[0].token_ids for d in deltas]
    streams = [engine.decode([prompt], d, max_new_tokens=10) for d in deltas]
    steps = [[tokens[0] for tokens in step] for step in zip(*streams, strict=True)]
    together = [list(row) for row in zip(*steps, strict=True)]
    assert together == alone
