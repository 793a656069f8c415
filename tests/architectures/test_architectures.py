"""What must hold for every architecture: exactness, mixes by row, padding, gradients, names."""

from __future__ import annotations

import copy

import pytest
import torch

from t2app import models
from t2app.engine import Engine
from t2app.models import checkpoint
from t2app.models.memory import skeleton
from t2app.models.originals import checkpoint_keys
from t2app.svd.cache import dense_weight
from t2app.svd.modules import adapted_modules, unadapted
from t2app.svf.hooks import SVF
from tests.architectures.conftest import ALL, COMMON, MIXTURES, RARER

KINDS = [
    *COMMON,
    *(pytest.param(kind, marks=pytest.mark.slow) for kind in (*RARER, *MIXTURES)),
]
every_kind = pytest.mark.parametrize("kind", KINDS)
PROMPTS = [[5, 60, 7, 9, 80, 33, 41, 4, 17, 18, 90], [100, 4, 12], [7, 8, 9, 250, 11, 12]]
IDS = torch.tensor([[5, 60, 7, 9, 80, 33, 41], [100, 4, 12, 6, 5, 4, 3]])


def random_delta(size: int, rows: int = 0) -> torch.Tensor:
    shape = (rows, size) if rows else (size,)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 0.3


@every_kind
@torch.no_grad()
def test_any_z_is_the_rebuilt_weight(kind, load):
    """With z = 1 bit for bit; with another z as if weights were replaced by U diag(sigma z) V^T."""
    base = load(kind)
    svf = SVF(base.model, models.factors(base))
    delta = random_delta(svf.layout.total)
    plain = base.model(IDS).logits
    with svf.using(torch.zeros(svf.layout.total)):
        assert torch.equal(base.model(IDS).logits, plain)
    with svf.using(delta):
        adapted = base.model(IDS).logits
    assert torch.equal(base.model(IDS).logits, plain)

    svf.remove()
    rebuilt = copy.deepcopy(base.model)
    parts = svf.layout.split(delta)
    for name, module in adapted_modules(rebuilt).items():
        u, sigma, vt = torch.linalg.svd(dense_weight(module).double(), full_matrices=False)
        weight = (u * (sigma * (1 + parts[name]))) @ vt
        dense_weight(module).copy_(weight)
    expected = rebuilt(IDS).logits
    assert not torch.allclose(expected, plain, atol=1e-2)
    torch.testing.assert_close(adapted, expected, atol=2e-4, rtol=2e-4)


@every_kind
def test_rows_with_their_own_mix_and_padding(kind, load, monkeypatch, tmp_path):
    """A padded batch with a mix in each row says what each row says alone."""
    monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path))
    base = load(kind)
    engine = Engine(base, models.factors(base))
    deltas = random_delta(engine.svf.layout.total, rows=len(PROMPTS))
    together = engine.generate(PROMPTS, deltas, max_new_tokens=6)
    alone = [
        engine.generate([prompt], delta, max_new_tokens=6)[0]
        for prompt, delta in zip(PROMPTS, deltas, strict=True)
    ]
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]

    # Rows that join an answer under way, one after the other.
    streams, joined = [], []
    for prompt, delta in zip(PROMPTS, deltas, strict=True):
        streams.append(engine.decode([prompt], delta, max_new_tokens=6))
        joined.append([next(streams[-1])[0]])
        for said, stream in zip(joined[:-1], streams, strict=False):
            said.append(next(stream)[0])
    for said, stream in zip(joined, streams, strict=True):
        said += [tokens[0] for tokens in stream]
    assert joined == [c.token_ids for c in alone]

    answers = [c.token_ids for c in alone]
    values, counted = engine.logprobs(PROMPTS, answers, deltas)
    for row, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True)):
        single, _ = engine.logprobs([prompt], [answer], deltas[row])
        torch.testing.assert_close(values[row][counted[row]], single[0], atol=2e-4, rtol=1e-3)


# int8 passes gradients on in the same way for every architecture, so one is enough to be quick.
quantised = [
    *(pytest.param(kind, "nf4", marks=() if kind in COMMON else pytest.mark.slow) for kind in ALL),
    *(pytest.param(k, "int8", marks=() if k == "gpt2" else pytest.mark.slow) for k in ALL),
]


@pytest.mark.parametrize(("kind", "quant"), quantised)
def test_gradients_reach_every_matrix_of_a_quantised_model(kind, quant, load):
    """After an evaluation too, which must not repack the weights."""
    pytest.importorskip("bitsandbytes")
    base = load(kind, quant)
    svf = SVF(base.model, models.factors(base))
    with torch.no_grad():
        plain = base.model(IDS).logits
        with svf.using(torch.zeros(svf.layout.total)):
            assert torch.equal(base.model(IDS).logits, plain)
    delta = random_delta(svf.layout.total).requires_grad_()
    with svf.using(delta):
        logits = base.model(IDS).logits.float()
    logits.log_softmax(-1)[..., 7].sum().backward()
    still = [name for name, g in svf.layout.split(delta.grad).items() if not g.abs().max() > 0]
    assert still == []
    assert torch.isfinite(delta.grad).all()


@every_kind
def test_every_matrix_is_read_from_the_checkpoint_itself(kind, folder_of):
    """Under whatever name: no second copy of the model is ever needed."""
    folder = folder_of(kind)
    bones = skeleton(checkpoint.read_config(folder))
    tensors = checkpoint.read_headers(checkpoint.weight_files(folder))
    assert list(adapted_modules(bones)) == [
        name for name in adapted_modules(bones) if name in checkpoint_keys(bones, tensors)
    ]


@pytest.mark.parametrize("kind", MIXTURES)
def test_stacked_experts_are_named(kind, load, caplog):
    base = load(kind)
    assert "model.layers.*.mlp.experts.down_proj (2 x)" in base.skipped
    assert "experts cannot adapt" in caplog.text
    assert "mlp.experts.gate_up_proj (2 x)" in caplog.text


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in MIXTURES])
def test_all_that_is_not_adapted_is_a_small_convolution(kind, folder_of):
    bones = skeleton(checkpoint.read_config(folder_of(kind)))
    assert all("conv" in name for name in unadapted(bones))
