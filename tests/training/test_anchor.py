"""The price of changing answers to general questions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from t2app.adapt import kept
from t2app.training import loop
from t2app.training.anchor import Anchor
from tests.training.toy import SMALL, TASK

FEW = 12


@pytest.fixture
def anchor(learner) -> Anchor:
    """A few of the questions: every step draws from them."""
    whole = Anchor.of(learner)
    return Anchor(whole.prompts[:FEW], whole.answers[:FEW])


def gradient(learner, anchor, delta, price=1.0, seed="0/0", processes=1):
    """Mean KL of a token, and the gradient of all processes together."""
    delta = delta.clone().requires_grad_()
    delta.grad = torch.zeros_like(delta)
    found = [
        anchor.gradient(learner, delta, price, seed, rank, processes) for rank in range(processes)
    ]
    return sum(kl for kl, _ in found) / sum(tokens for _, tokens in found), delta.grad


def moved(learner) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.2 * torch.randn(learner.svf.layout.total, generator=generator)


def test_the_questions_are_not_those_of_the_check(learner):
    anchor = Anchor.of(learner)
    checked = [learner.prompt_ids([{"role": "user", "content": q}]) for q in kept.general()]
    assert len(anchor.prompts) > 50
    assert not set(map(tuple, anchor.prompts)) & set(map(tuple, checked))


def test_the_base_pays_nothing(learner, anchor):
    kl, grad = gradient(learner, anchor, torch.zeros(learner.svf.layout.total))
    assert kl == pytest.approx(0, abs=1e-5)
    assert grad.norm() < 1e-3


def test_the_gradient_is_that_of_the_mean_divergence(learner, anchor):
    delta = moved(learner)
    _, grad = gradient(learner, anchor, delta, price=2.0)
    direction = torch.nn.functional.normalize(grad, dim=0)
    ends = [gradient(learner, anchor, delta + step * direction)[0] for step in (0.01, -0.01)]
    assert grad.norm().item() == pytest.approx(2 * (ends[0] - ends[1]) / 0.02, rel=0.05)


def test_processes_share_the_questions_of_a_step(learner, anchor):
    delta = moved(learner)
    alone, together = (gradient(learner, anchor, delta, processes=n) for n in (1, 3))
    assert together[0] == pytest.approx(alone[0], rel=1e-4)
    torch.testing.assert_close(together[1], alone[1], atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("objective", ["rl", "sft"])
def test_what_is_paid_for_is_changed_less(learner, anchor, monkeypatch, objective):
    monkeypatch.setattr(Anchor, "of", lambda engine: anchor)
    settings = replace(SMALL, objective=objective, steps=10, learning_rate=1.0, step_kl=1.0)

    def changed(price: float) -> float:
        *_, last = loop.train(learner, TASK, replace(settings, leave_alone=price), None)
        return last.general

    assert changed(1e4) < 0.5 * changed(1e-9)


def test_without_a_price_the_questions_are_not_read(learner, monkeypatch):
    monkeypatch.setattr(Anchor, "of", lambda engine: pytest.fail("read"))
    *_, last = loop.train(learner, TASK, SMALL, None)
    assert last.general is None
