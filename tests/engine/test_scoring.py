"""Scores of given tokens: the same alone and in a batch, exact KL, the model's own head."""

from __future__ import annotations

import copy

import pytest
import torch

from t2app.engine import Engine
from t2app.engine.scoring import BASE, Head

PROMPTS = [[5, 9, 20, 31, 8, 7, 6, 5, 4, 40, 41], [5, 9, 20, 31, 8, 7, 6, 5, 4, 50], [5, 9, 33]]
ANSWERS = [[60, 61], [70, 71, 72, 73], [80]]


def mix(engine: Engine, seed: int = 0, rows: int | None = None) -> torch.Tensor:
    torch.manual_seed(seed)
    shape = (engine.svf.layout.total,) if rows is None else (rows, engine.svf.layout.total)
    return torch.randn(shape) * 0.3


def distributions(engine: Engine, row: int, delta: torch.Tensor | None) -> torch.Tensor:
    """Log-probabilities (tokens, V) before each token of an answer, by a plain forward pass."""
    ids = torch.tensor([PROMPTS[row] + ANSWERS[row]])
    with torch.no_grad(), engine.svf.using(delta):
        logits = engine.model(ids).logits[0]
    return logits.float().log_softmax(-1)[len(PROMPTS[row]) - 1 : -1]


def test_the_head_is_what_the_model_does_after_its_decoder(engine):
    head = Head.on(engine.model)
    ids = torch.tensor([PROMPTS[0]])
    with torch.no_grad():
        ours = head.logits(head.hidden(ids)[0])
        assert torch.equal(ours, engine.model(ids).logits[0].float())
    assert Head.on(engine.model) is head


def test_a_copy_of_the_model_has_a_head_of_its_own(engine):
    ids = torch.tensor([PROMPTS[0]])
    expected = engine.model(ids).logits
    other = copy.deepcopy(engine.model)
    with torch.no_grad():
        engine.model.get_output_embeddings().weight.neg_()
        try:
            head = Head.on(other)
            assert head is not Head.on(engine.model)
            assert torch.equal(head.logits(head.hidden(ids)[0]), expected[0].float())
        finally:
            engine.model.get_output_embeddings().weight.neg_()


@pytest.mark.parametrize("rows", [slice(0, 2), slice(0, 3)], ids=["shared beginning", "none"])
def test_a_batch_scores_as_single_rows(engine, rows):
    delta = mix(engine)
    together = engine.score(PROMPTS[rows], ANSWERS[rows], delta, reference=BASE)
    for i, (prompt, answer) in enumerate(zip(PROMPTS[rows], ANSWERS[rows], strict=True)):
        alone = engine.score([prompt], [answer], delta, reference=BASE)
        n = len(answer)
        for name in ("logprobs", "kl", "entropy"):
            ours, theirs = getattr(together, name)[i], getattr(alone, name)[0]
            torch.testing.assert_close(ours[:n], theirs, atol=1e-5, rtol=1e-4)
            assert not ours[n:].any()


def test_the_kl_is_exact_and_from_the_mix_to_the_base(engine):
    delta = mix(engine, rows=3)
    found = engine.score(PROMPTS, ANSWERS, delta, reference=BASE)
    for row, answer in enumerate(ANSWERS):
        policy, base = distributions(engine, row, delta[row]), distributions(engine, row, None)
        exact = (policy.exp() * (policy - base)).sum(-1)
        torch.testing.assert_close(found.kl[row, : len(answer)], exact, atol=1e-5, rtol=1e-4)
    mean = found.kl.sum(1) / found.mask.sum(1)
    torch.testing.assert_close(engine.divergence(PROMPTS, ANSWERS, delta), mean)


def test_a_mix_has_no_distance_from_itself(engine):
    delta = mix(engine)
    assert engine.divergence(PROMPTS, ANSWERS, None).eq(0).all()
    assert engine.divergence(PROMPTS, ANSWERS, delta, delta).abs().max() < 1e-6


def test_the_gradient_of_the_kl_is_that_of_its_definition(engine):
    delta = mix(engine).requires_grad_()
    engine.score(PROMPTS, ANSWERS, delta, reference=BASE).kl.sum().backward()
    direction = torch.nn.functional.normalize(mix(engine, seed=1), dim=0)

    def total(step: float) -> float:
        with torch.no_grad():
            moved = delta + step * direction
            return engine.score(PROMPTS, ANSWERS, moved, reference=BASE).kl.double().sum().item()

    numeric = (total(0.01) - total(-0.01)) / 0.02
    assert (delta.grad @ direction).item() == pytest.approx(numeric, rel=0.02, abs=0.02)


def test_among_allowed_tokens(engine):
    allowed = [[5, 3, 17], [7], [3, 4]]
    found = engine.among(PROMPTS, allowed, None)
    for row, ids in enumerate(allowed):
        logs = distributions(engine, row, None)[0]
        expected = (logs[ids] - logs[ids].logsumexp(0)).tolist()
        assert found[row] == pytest.approx(expected, abs=1e-4)


def test_chunks_of_logits_change_nothing(engine, monkeypatch):
    delta = mix(engine).requires_grad_()
    whole = engine.score(PROMPTS, ANSWERS, delta, reference=BASE)
    (whole.logprobs.sum() + whole.kl.sum()).backward()
    gradient, delta.grad = delta.grad, None
    monkeypatch.setattr("t2app.engine.scoring.CHUNK_LOGITS", 1)
    parts = engine.score(PROMPTS, ANSWERS, delta, reference=BASE)
    (parts.logprobs.sum() + parts.kl.sum()).backward()
    torch.testing.assert_close(parts.logprobs, whole.logprobs, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(delta.grad, gradient, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("rows", [None, 3])
def test_the_training_form_is_the_same_function(engine, rows):
    delta = (mix(engine, rows=rows) * 0.3).requires_grad_()
    plain = engine.score(PROMPTS, ANSWERS, delta)
    plain.logprobs.sum().backward()
    gradient, delta.grad = delta.grad, None
    with engine.training_form():
        trained = engine.score(PROMPTS, ANSWERS, delta)
        trained.logprobs.sum().backward()
    torch.testing.assert_close(trained.logprobs, plain.logprobs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(delta.grad, gradient, atol=2e-3, rtol=1e-2)


def test_rows_are_padded_on_the_right_and_without_a_mask(engine):
    seen = []
    decoder = engine.model.get_decoder()
    handle = decoder.register_forward_pre_hook(lambda *a: seen.append(a[2]), with_kwargs=True)
    engine.score([PROMPTS[0], PROMPTS[2]], [ANSWERS[0], ANSWERS[2]])
    handle.remove()
    reads = [kwargs for kwargs in seen if kwargs["input_ids"].shape[0] == 2]
    assert len(reads) == 1
    assert "attention_mask" not in reads[0]
    assert reads[0]["input_ids"][1, :4].tolist() == [*PROMPTS[2], *ANSWERS[2]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("width", [64, 192, 704])
def test_a_padded_batch_has_a_finite_gradient_in_bfloat16_on_a_gpu(make_model, width):
    """The widths at which cuDNN's attention gives NaN when it is handed a mask (pytorch 196678)."""
    from t2app.engine.scoring import Scorer
    from t2app.svd.factor import factor
    from t2app.svd.modules import adapted_modules
    from t2app.svf.hooks import SVF

    model = make_model(max_position_embeddings=1024).to("cuda", torch.bfloat16)
    factors = {n: factor(m.weight.float()) for n, m in adapted_modules(model).items()}
    svf = SVF(model, factors)
    scorer = Scorer(Head.on(model), svf.using, 0)
    delta = torch.zeros(svf.layout.total, device="cuda", requires_grad=True)
    prompts = [[1] * (width - 4), [2] * (width - 40)]
    found = scorer.score(prompts, [[3] * 4, [4] * 4], delta, reference=BASE)
    (found.logprobs.sum() + found.kl.sum()).backward()
    assert delta.grad.isfinite().all()
