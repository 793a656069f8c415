"""Losses against tables worked out by hand, autograd and simulation."""

from __future__ import annotations

import pytest
import torch

from t2app.training.losses import advantages, policy_gradient


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
    logprobs, advantage = torch.randn(6, 3), torch.randn(6)
    mask = torch.rand(6, 3) > 0.3
    halves = (slice(0, 2), slice(2, 6))
    torch.testing.assert_close(
        sum(policy_gradient(logprobs[h], mask[h], advantage[h]) for h in halves),
        policy_gradient(logprobs, mask, advantage),
    )


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
