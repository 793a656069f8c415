"""Ways to keep a basis: the products, their gradients, what each costs in accuracy and memory."""

from __future__ import annotations

import pytest
import torch

from t2app.errors import T2Error
from t2app.svd.factor import factor
from t2app.svf import basis as module
from t2app.svf.basis import (
    STORAGES,
    can_pack,
    correct,
    keep,
    pack,
    packed_linear,
    product_dtype,
    training_dtype,
)

# Relative error of ``x Q`` against exact arithmetic that each way to keep Q may have.
ALLOWED = {
    ("dense", torch.float32): 1e-6,
    ("dense", torch.bfloat16): 4e-3,
    ("auto", torch.bfloat16): 4e-3,
    ("int8", torch.float32): 0.012,
    ("nf4", torch.float32): 0.11,
}


def orthonormal(k: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(k, k, generator=generator)).Q


def error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return ((actual.double() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("shape", [(48, 20), (20, 48), (32, 32)])
@pytest.mark.parametrize("bias", [False, True])
def test_correction_equals_the_rebuilt_matrix(shape, bias):
    m, n = shape
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(m, n, generator=generator) / n**0.5
    offset = torch.randn(m, generator=generator) if bias else None
    x, delta = torch.randn(5, 7, n, generator=generator), torch.rand(min(m, n)) * 2 - 1
    found = factor(weight)
    if found.side == "input":
        corrected = correct(x, keep(found.basis), delta)
        actual = torch.nn.functional.linear(corrected, weight, offset)
    else:
        y = torch.nn.functional.linear(x, weight, offset)
        actual = correct(y, keep(found.basis), delta, offset)
    u, sigma, vt = torch.linalg.svd(weight.double(), full_matrices=False)
    adapted = (u * (sigma * (1 + delta)) @ vt).float()
    expected = torch.nn.functional.linear(x, adapted, offset)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("k", [20, 64, 130])
@pytest.mark.parametrize(("storage", "dtype"), ALLOWED)
def test_products(storage, dtype, k):
    q = orthonormal(k)
    basis = keep(q.to(dtype), storage)
    x = torch.randn(3, 5, k, generator=torch.Generator().manual_seed(1)).to(dtype)
    exact, allowed = x.double() @ q.double(), ALLOWED[storage, dtype]
    with torch.no_grad():
        assert error(basis.into(x), exact) < allowed
        assert error(basis.back(x), x.double() @ q.double().t()) < allowed
        assert error(basis.onto(x, x), x.double() + x.double() @ q.double().t()) < allowed
        assert torch.equal(basis.onto(x, torch.zeros_like(x)), x)
    assert basis.dense_transposed().shape == (k, k)
    assert basis.dense_transposed().dtype == dtype


def test_int8_and_nf4_save_memory():
    q = orthonormal(256).bfloat16()
    size = {storage: keep(q, storage).nbytes for storage in STORAGES}
    assert size["dense"] == 2 * 256**2
    assert size["auto"] == size["dense"] * (2 if can_pack(q) else 1)
    assert size["int8"] < 0.51 * size["dense"]
    assert size["nf4"] < 0.27 * size["dense"]


def test_packed_products_are_those_of_the_plain_matrix_bit_for_bit():
    q = orthonormal(96).bfloat16()
    if not can_pack(q):
        pytest.skip("this processor has no bfloat16 products of its own")
    dense, packed = keep(q, "dense"), keep(q)
    assert torch.equal(packed.dense_transposed(), dense.dense_transposed())
    for rows in (1, 16, 200):
        x = torch.randn(rows, 96).bfloat16()
        with torch.no_grad():
            assert torch.equal(packed.into(x), dense.into(x))


def test_large_float32_matrices_are_packed_and_give_the_same_products():
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(1024, 512, generator=generator)
    assert can_pack(weight)
    assert not can_pack(weight[:1023])
    packed = pack(weight)
    assert torch.equal(packed.to_dense(), weight)
    bias = torch.randn(1024, generator=generator)
    for rows in ((1,), (2, 3), (200,)):
        x = torch.randn(*rows, 512, generator=generator)
        expected = torch.nn.functional.linear(x, weight, bias)
        actual = packed_linear(x, packed, bias)
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("own", "place", "expected"),
    [
        (torch.float32, "cpu", torch.float32),
        (torch.bfloat16, "cuda", torch.bfloat16),
        (torch.bfloat16, "cpu", torch.float32),
    ],
)
def test_emulated_bfloat16_is_avoided(monkeypatch, own, place, expected):
    monkeypatch.setattr(module, "has_bfloat16_products", lambda: False)
    assert product_dtype(own, torch.device(place)) == expected


def test_the_processors_own_bfloat16_is_used(monkeypatch):
    monkeypatch.setattr(module, "has_bfloat16_products", lambda: True)
    assert product_dtype(torch.bfloat16, torch.device("cpu")) == torch.bfloat16


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("rows", [(), (3, 1)])
def test_gradient_is_that_of_the_plain_formula(storage, rows):
    """Whatever is kept, input and delta get the gradient of what is computed."""
    basis = keep(orthonormal(24).double(), storage)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3, 4, 24, generator=generator, dtype=torch.double, requires_grad=True)
    delta = torch.randn(*rows, 24, generator=generator, dtype=torch.double, requires_grad=True)
    q = basis.dense_transposed().t()
    expected = torch.autograd.grad((x + ((x @ q) * delta) @ q.t()).square().sum(), (x, delta))
    actual = torch.autograd.grad(correct(x, basis, delta).square().sum(), (x, delta))
    torch.testing.assert_close(actual, expected)


def test_packed_gradient():
    q = orthonormal(64).bfloat16()
    delta = torch.rand(64)
    x = torch.randn(2, 3, 64)
    grads = []
    for basis, dtype in ((keep(q), torch.bfloat16), (keep(q.double(), "dense"), torch.double)):
        inputs = [t.to(dtype, copy=True).requires_grad_() for t in (x, delta)]
        correct(inputs[0], basis, inputs[1]).square().sum().backward()
        grads.append([t.grad.double() for t in inputs])
    for actual, expected in zip(*grads, strict=True):
        assert error(actual, expected) < 0.02


def test_unknown_storage():
    with pytest.raises(T2Error, match="unknown way to keep factors 'int4'"):
        keep(orthonormal(4), "int4")


@pytest.mark.parametrize(
    ("amx", "place", "expected"),
    [
        (True, "cpu", torch.bfloat16),
        (False, "cpu", torch.float32),
        (False, "cuda", torch.bfloat16),
    ],
)
def test_training_multiplies_in_what_is_faster_for_many_tokens(monkeypatch, amx, place, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert training_dtype(torch.bfloat16, torch.device(place)) == expected
