"""The hooks: the mathematics, and that one request never sees another's delta."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from t2app.errors import T2Error
from t2app.svd.factor import Factor, factor
from t2app.svd.modules import adapted_modules
from t2app.svf.hooks import SVF, Layer
from t2app.svf.mixing import mix


def factors_of(model) -> dict[str, Factor]:
    return {name: factor(module.weight) for name, module in adapted_modules(model).items()}


def rebuilt(model, svf: SVF, delta: torch.Tensor):
    """A copy of the model with every weight replaced by ``U diag(sigma * z) V^T``."""
    other = type(model)(model.config).eval()
    other.load_state_dict(model.state_dict())
    for name, part in svf.layout.split(delta.double()).items():
        module = other.get_submodule(name)
        u, sigma, vt = torch.linalg.svd(module.weight.double(), full_matrices=False)
        module.weight.data = (u * (sigma * (1 + part)) @ vt).float()
    return other


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def svf(model):
    return SVF(model, factors_of(model))


@pytest.fixture
def ids():
    return torch.randint(0, 300, (4, 9), generator=torch.Generator().manual_seed(5))


def random_delta(svf: SVF, *rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*rows, svf.layout.total, generator=generator) * 0.3


def logits(model, ids) -> torch.Tensor:
    with torch.no_grad():
        return model(ids).logits


def test_layout_covers_every_matrix_in_order(model, svf):
    assert svf.layout.names == tuple(adapted_modules(model))
    # q, k, v, o, gate, up, down: the smaller side of each, in two layers.
    assert svf.layout.total == 2 * (64 + 32 + 32 + 64 + 64 + 64 + 64)


def test_no_delta_is_the_base_bit_for_bit(make_model, model, svf, ids):
    expected = logits(make_model(), ids)
    assert torch.equal(logits(model, ids), expected)
    with svf.using(None):
        assert torch.equal(logits(model, ids), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [(), (4,)])
def test_z_of_ones_is_the_base_bit_for_bit(make_model, ids, dtype, rows):
    model = make_model().to(dtype)
    expected = logits(model, ids)
    svf = SVF(model, factors_of(model))
    with svf.using(torch.zeros(*rows, svf.layout.total)):
        assert torch.equal(logits(model, ids), expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_any_mix_equals_the_rebuilt_weights(make_model, ids, bias, seed):
    model = make_model(seed=seed, attention_bias=bias, mlp_bias=bias)
    svf = SVF(model, factors_of(model))
    stacked = random_delta(svf, 3, seed=seed)
    delta = mix(stacked, torch.tensor([0.5, 0.2, 0.3]))
    with svf.using(delta):
        actual = logits(model, ids)
    expected = logits(rebuilt(model, svf, delta), ids)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    assert (actual - logits(model, ids)).abs().max() > 0.01


def test_one_hot_mix_equals_the_expert(model, svf, ids):
    stacked = random_delta(svf, 3)
    for k in range(3):
        with svf.using(stacked[k]):
            alone = logits(model, ids)
        with svf.using(mix(stacked, torch.eye(3)[k])):
            assert torch.equal(logits(model, ids), alone)


def test_rows_with_different_deltas_equal_single_runs(model, svf, ids):
    deltas = random_delta(svf, 4)
    deltas[2] = 0
    with svf.using(deltas):
        together = logits(model, ids)
    for row in range(4):
        with svf.using(deltas[row]):
            alone = logits(model, ids[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)
    assert torch.equal(together[2], logits(model, ids)[2])


def test_generation_with_a_cache(model, svf, ids):
    """Token by token behind a key-value cache gives what one full pass gives."""
    delta = random_delta(svf)
    with torch.no_grad(), svf.using(delta):
        full = model(ids).logits
        first = model(ids[:, :5], use_cache=True)
        second = model(ids[:, 5:], cache=first.cache)
    torch.testing.assert_close(second.logits, full[:, 5:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_wrong_number_of_rows(model, svf, ids, rows):
    with svf.using(random_delta(svf, rows)), pytest.raises(T2Error, match=f"{rows} rows"):
        logits(model, ids)


def test_wrong_length(svf):
    with pytest.raises(T2Error, match="delta has shape"), svf.using(torch.zeros(3)):
        pass


def test_gradient_reaches_delta_and_is_right(make_model, ids):
    model = make_model().double()
    svf = SVF(model, factors_of(model))

    def loss(delta):
        with svf.using(delta):
            return model(ids).logits.log_softmax(-1)[..., 3].sum()

    delta = random_delta(svf).double().requires_grad_()
    loss(delta).backward()
    assert all(part.abs().max() > 0 for part in svf.layout.split(delta.grad).values())
    # The model's norms and positions are computed in float32, so the step cannot be tiny.
    direction = delta.grad / delta.grad.norm()
    step = 1e-3 * direction
    with torch.no_grad():
        slope = (loss(delta + step) - loss(delta - step)) / 2e-3
    torch.testing.assert_close(slope, delta.grad.norm(), rtol=1e-4, atol=0)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradient_by_row_reaches_only_that_row(model, svf, ids):
    deltas = random_delta(svf, 4).requires_grad_()
    with svf.using(deltas):
        model(ids).logits[1].sum().backward()
    lengths = deltas.grad.norm(dim=1)
    assert lengths[1] > 0
    assert (lengths[[0, 2, 3]] == 0).all()


def test_nesting_restores_each_level(model, svf, ids):
    outer, inner = random_delta(svf, seed=1), random_delta(svf, seed=2)
    base = logits(model, ids)
    with svf.using(outer):
        with_outer = logits(model, ids)
        with svf.using(inner):
            with_inner = logits(model, ids)
            with svf.using(None):
                assert torch.equal(logits(model, ids), base)
            assert torch.equal(logits(model, ids), with_inner)
        assert torch.equal(logits(model, ids), with_outer)
    assert torch.equal(logits(model, ids), base)
    assert not torch.equal(with_outer, with_inner)


def test_restored_after_exceptions(model, svf, ids):
    base = logits(model, ids)
    for error in (RuntimeError, KeyboardInterrupt, GeneratorExit):
        with suppress(error), svf.using(random_delta(svf)):
            raise error
        assert torch.equal(logits(model, ids), base)
    with pytest.raises(T2Error), svf.using(random_delta(svf, 7)):
        logits(model, ids)
    assert torch.equal(logits(model, ids), base)


def test_threads_never_see_each_others_mix(model, svf, ids):
    """Two mixes and the base at once, in step, many times over: each always gets its own result."""
    deltas = [random_delta(svf, seed=1), random_delta(svf, 4, seed=2), None]
    expected = []
    for delta in deltas:
        with svf.using(delta):
            expected.append(logits(model, ids))
    rounds, wrong = 150, []
    barrier = threading.Barrier(len(deltas), timeout=60)

    def ask(index: int) -> None:
        for _ in range(rounds):
            barrier.wait()
            with svf.using(deltas[index]):
                if not torch.equal(logits(model, ids), expected[index]):
                    wrong.append(index)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(deltas))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not barrier.broken
    assert wrong == []


def test_thread_started_inside_a_mix_sees_the_base(model, svf, ids):
    base, seen = logits(model, ids), []
    with svf.using(random_delta(svf)):
        thread = threading.Thread(target=lambda: seen.append(logits(model, ids)))
        thread.start()
        thread.join()
    assert torch.equal(seen[0], base)


def test_weights_are_never_written(make_model, model, svf, ids):
    with svf.using(random_delta(svf)):
        logits(model, ids)
    for left, right in zip(make_model().parameters(), model.parameters(), strict=True):
        assert torch.equal(left, right)


def test_remove(model, svf, ids):
    base = logits(model, ids)
    svf.remove()
    with svf.using(random_delta(svf)):
        assert torch.equal(logits(model, ids), base)
    assert not any("forward" in vars(module) for module in adapted_modules(model).values())


def test_remove_keeps_a_forward_that_was_there_before(make_model, ids):
    """Libraries that place a model on several devices put a forward of their own on its layers."""
    model = make_model()
    module = model.get_submodule("model.layers.0.mlp.up_proj")
    calls = []
    module.forward = lambda x, plain=module.forward: calls.append(x.shape) or plain(x)
    placed = module.forward
    svf = SVF(model, factors_of(model))
    with svf.using(random_delta(svf)):
        logits(model, ids)
    assert calls == [(4, 9, 64)]
    svf.remove()
    assert module.forward is placed


def test_a_layer_that_the_mix_leaves_alone_is_not_touched(model, svf, ids, monkeypatch):
    """Experts for a part of the matrices (the reference's have the MLP only) cost no more."""
    name = "model.layers.1.mlp.down_proj"
    delta = torch.zeros(3, svf.layout.total)
    svf.layout.split(delta)[name][1, -1] = 0.5
    assert svf.touched(delta) == [name]
    ran = []
    monkeypatch.setattr(
        "t2app.svf.hooks.Layer.corrected",
        lambda layer, x, part, run=Layer.corrected: ran.append(layer.name) or run(layer, x, part),
    )
    base = logits(model, ids[:3])
    with svf.using(delta):
        adapted = logits(model, ids[:3])
    assert ran == [name]
    assert torch.equal(adapted[0], base[0])
    assert not torch.equal(adapted[1], base[1])


def test_a_prepared_mix_is_what_its_delta_is(svf, model, ids):
    for delta in (random_delta(svf), random_delta(svf, 4)):
        with svf.using(delta):
            expected = logits(model, ids)
        ready = svf.factored(delta)
        for _ in range(2):
            with svf.using(ready):
                assert torch.equal(logits(model, ids), expected)
    assert svf.factored(torch.zeros(svf.layout.total)) is None
    # A gradient is wanted at z = 1 too: that is where training begins.
    assert svf.factored(torch.zeros(svf.layout.total, requires_grad=True)) is not None


def test_bfloat16_stays_close_to_the_rebuilt_weights(make_model, ids):
    exact = make_model()
    exact_svf = SVF(exact, factors_of(exact))
    delta = random_delta(exact_svf)
    expected = logits(rebuilt(exact, exact_svf, delta), ids)
    model = make_model().bfloat16()
    svf = SVF(model, factors_of(exact))
    with svf.using(delta):
        actual = logits(model, ids).float()
    assert (actual - expected).norm() / expected.norm() < 0.03


def test_wider_bases_than_the_model(make_model, ids):
    model = make_model().bfloat16()
    svf = SVF(model, factors_of(model), dtype=torch.float32)
    with svf.using(random_delta(svf)):
        assert logits(model, ids).dtype == torch.bfloat16


def test_bases_are_packed_only_where_there_is_room(make_model):
    model = make_model().bfloat16()
    found = factors_of(model)
    dense = SVF(model, found, storage="dense").nbytes
    assert SVF(model, found, room=2 * dense - 1).nbytes == dense
    assert SVF(model, found, room=2 * dense).nbytes == SVF(model, found).nbytes


# -- frozen weights in the CPU's own layout --------------------------------------------------


@pytest.fixture(scope="module")
def large():
    """A model whose MLP is large enough to be packed, and its factors."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=512,
        intermediate_size=1024,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_bias=True,
        mlp_bias=True,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    return model, factors_of(model)


def test_packed_weights_answer_as_the_layers_do(large, ids):
    model, found = large
    ids = ids % 64
    base = logits(model, ids)
    svf = SVF(model, found)
    delta = random_delta(svf)
    try:
        assert svf.packed_bytes == 3 * 4 * 512 * 1024
        torch.testing.assert_close(logits(model, ids), base, atol=1e-5, rtol=1e-4)
        packed = logits(model, ids)
        with svf.using(torch.zeros(svf.layout.total)):
            assert torch.equal(logits(model, ids), packed)
        expected = logits(rebuilt(model, svf, delta), ids)
        with svf.using(delta):
            torch.testing.assert_close(logits(model, ids), expected, atol=1e-4, rtol=1e-4)
    finally:
        svf.remove()
    assert torch.equal(logits(model, ids), base)


def test_packed_weights_pass_gradients_on(large, ids):
    model, found = large
    ids = ids % 64
    grads = []
    for storage in ("auto", "dense"):
        svf = SVF(model, found, storage=storage)
        delta = random_delta(svf).requires_grad_()
        with svf.using(delta):
            model(ids).logits.square().mean().backward()
        grads.append(delta.grad)
        svf.remove()
    assert torch.equal(*grads)


def test_weights_are_packed_only_where_there_is_room(large):
    model, found = large
    one = 4 * 512 * 1024
    for room, packed in ((0, 0), (one - 1, 0), (2 * one, 2 * one)):
        dense = SVF(model, found, storage="dense")
        bases = dense.nbytes
        dense.remove()
        svf = SVF(model, found, room=bases + room)
        assert svf.packed_bytes == packed
        svf.remove()


@pytest.mark.parametrize("change", ["missing", "side", "size"])
def test_factors_of_another_model_are_refused(make_model, change):
    model = make_model()
    found = factors_of(model)
    name = "model.layers.1.mlp.down_proj"
    if change == "missing":
        del found[name]
    elif change == "side":
        found[name] = Factor("input", found[name].basis, found[name].sigma)
    else:
        found[name] = factor(torch.randn(10, 20))
    with pytest.raises(T2Error, match="down_proj"):
        SVF(model, found)
