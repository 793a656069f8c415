"""Losses against tables worked out by hand, autograd and simulation."""

from __future__ import annotations

import math

import pytest
import torch

from t2app.training.losses import advantages, kl_to_base, policy_gradient


def tensor(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        # Each reward minus the mean of the others of its row.
        (tensor([1, -1]), tensor([2, -2])),
        (tensor([1, 1, -1]), tensor([1, 1, -2])),
        (tensor([1, -1, -1, -1]), tensor([2, -2 / 3, -2 / 3, -2 / 3])),
        (tensor([1, 1, 1], [-1, -1, -1]), tensor([0, 0, 0], [0, 0, 0])),
    ],
)
def test_advantages_by_hand(rewards, expected):
    torch.testing.assert_close(advantages(rewards, True), expected)


def test_without_a_baseline_rewards_stay():
    rewards = tensor([1, -1, 1])
    assert torch.equal(advantages(rewards, False), rewards)
    single = tensor([1], [-1])
    assert torch.equal(advantages(single, True), single)


def test_policy_gradient_by_hand():
    logprobs = tensor([-1, -2, -3], [-0.5, -0.25, -4])
    mask = torch.tensor([[False, True, True], [True, True, True]])
    found = policy_gradient(logprobs, mask, torch.tensor([2.0, -1.0]))
    # -(2 * (-2 - 3) - 1 * (-0.5 - 0.25 - 4))
    assert found.item() == pytest.approx(10 - 4.75)


def test_gradient_of_the_policy_is_the_advantage():
    logprobs = torch.randn(3, 4, requires_grad=True)
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]]).bool()
    advantage = torch.tensor([0.5, -2.0, 0.0])
    policy_gradient(logprobs, mask, advantage).backward()
    torch.testing.assert_close(logprobs.grad, -advantage[:, None] * mask)


def test_micro_batches_add_up():
    logprobs, base, advantage = torch.randn(6, 3), torch.randn(6, 3), torch.randn(6)
    mask = torch.rand(6, 3) > 0.3
    halves = (slice(0, 2), slice(2, 6))
    torch.testing.assert_close(
        sum(policy_gradient(logprobs[h], mask[h], advantage[h]) for h in halves),
        policy_gradient(logprobs, mask, advantage),
    )
    torch.testing.assert_close(
        sum(kl_to_base(logprobs[h], base[h], mask[h]) for h in halves),
        kl_to_base(logprobs, base, mask),
    )


def test_kl_by_hand():
    # d = base - policy: 1 and -1; e - 2 and 1/e.
    found = kl_to_base(tensor([-2, -1]), tensor([-1, -2]), torch.ones(1, 2, dtype=torch.bool))
    assert found.item() == pytest.approx((math.e - 2) + 1 / math.e)


def test_kl_is_zero_at_equality_and_never_negative():
    mask = torch.rand(50, 7) > 0.4
    logprobs = -torch.rand(50, 7) * 5
    assert kl_to_base(logprobs, logprobs, mask).item() == 0
    for _ in range(20):
        assert kl_to_base(logprobs, -torch.rand(50, 7) * 5, mask).item() >= 0


def test_masked_tokens_do_not_count():
    mask = torch.tensor([[False, True]])
    other = kl_to_base(tensor([-9, -2]), tensor([-1, -1]), mask)
    assert other.item() == kl_to_base(tensor([0, -2]), tensor([0, -1]), mask).item()


def test_kl_estimates_the_kl():
    """On samples of the policy its mean is the divergence of the two distributions."""
    torch.manual_seed(0)
    policy = torch.tensor([0.5, 0.3, 0.2]).log()
    base = torch.tensor([0.4, 0.2, 0.4]).log()
    drawn = torch.multinomial(policy.exp(), 40_000, replacement=True)[:, None]
    ones = torch.ones_like(drawn, dtype=torch.bool)
    estimate = kl_to_base(policy[drawn], base[drawn], ones).item() / len(drawn)
    exact = (policy.exp() * (policy - base)).sum().item()
    assert estimate == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("group_baseline", [False, True])
def test_the_gradient_is_unbiased(group_baseline):
    """Its mean over many steps is that of the expected reward; with a baseline it varies less."""
    torch.manual_seed(1)
    theta = torch.zeros(4, requires_grad=True)
    reward = torch.tensor([1.0, 1.0, -1.0, -1.0]) + 0.7
    (theta.softmax(0) @ reward).backward()
    exact = theta.grad.clone()
    steps, samples = 4000, 4
    drawn = torch.multinomial(theta.detach().softmax(0), steps * samples, replacement=True)
    advantage = advantages(reward[drawn].view(steps, samples), group_baseline)
    # Gradient of log p(y) in theta: one-hot of y minus p.
    score = torch.nn.functional.one_hot(drawn, 4) - theta.detach().softmax(0)
    each = (advantage.flatten()[:, None] * score).view(steps, samples, 4).mean(1)
    error = each.std(0) / steps**0.5
    assert ((each.mean(0) - exact).abs() < 4 * error).all()
    if group_baseline:
        plain = (reward[drawn][:, None] * score).view(steps, samples, 4).mean(1)
        assert each.var(0).sum() < plain.var(0).sum()
