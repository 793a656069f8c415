"""Losses as pure functions of tensors (paper, section 3.1, equations 1 and 2)."""

from __future__ import annotations

from torch import Tensor


def advantages(rewards: Tensor, group_baseline: bool) -> Tensor:
    """Rewards (prompts, samples) minus the mean of the other samples of the same prompt.

    Leave-one-out, so that the baseline of a sample does not depend on it and the gradient stays
    unbiased. Without ``group_baseline``, or with one sample each, the rewards themselves as in the
    paper.
    """
    samples = rewards.shape[1]
    if not group_baseline or samples == 1:
        return rewards
    return (rewards - rewards.mean(1, keepdim=True)) * samples / (samples - 1)


def policy_gradient(logprobs: Tensor, mask: Tensor, advantage: Tensor) -> Tensor:
    """REINFORCE: minus the advantage-weighted log-probability of each answer, summed over answers.

    ``logprobs`` and ``mask`` are (B, T), ``advantage`` is (B,). The caller divides by the number of
    answers of the whole step, so that micro-batches add up.
    """
    return -(advantage * (logprobs * mask).sum(1)).sum()


def next_token(logprobs: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of given answers, summed over their tokens: the paper's other objective.

    ``logprobs`` and ``mask`` are (B, T). The caller divides by the number of tokens of the whole
    step, so that micro-batches add up.
    """
    return -(logprobs * mask).sum()
