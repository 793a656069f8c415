"""Sampled answers, and the gradient of REINFORCE on them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from t2app.training import batches, reinforce
from t2app.training.rollouts import sample
from tests.training.toy import SMALL, TASK, ended


def rollouts(engine, score=ended, samples: int = 3, seed: int = 0):
    task = replace(TASK, score=score)
    problems = task.problems("train", 4, 0)
    return sample(
        engine,
        task,
        problems,
        torch.zeros(engine.svf.layout.total),
        samples=samples,
        temperature=1.0,
        seeds=[seed * 1000 + i * samples for i in range(4)],
    )


def grown(engine, found, settings, monkeypatch=None, tokens: int | None = None) -> torch.Tensor:
    if tokens:
        monkeypatch.setattr("t2app.engine.TOKENS_AT_ONCE", (tokens, tokens))
    delta = torch.full((engine.svf.layout.total,), 0.05, requires_grad=True)
    delta.grad = torch.zeros_like(delta)
    reinforce.backward(engine, found, settings, delta, len(found.completions))
    return delta.grad


# -- rollouts --------------------------------------------------------------------------------


def test_rollouts_keep_the_ids_that_were_sampled(learner):
    seen = []

    def score(problems, answers):
        seen.extend(answers)
        return [float(len(a) % 2) for a in answers]

    found = rollouts(learner, score)
    assert found.rewards.shape == (4, 3)
    assert len(found.prompts) == len(found.completions) == 12
    for prompt, group in zip(found.prompts[::3], range(0, 12, 3), strict=True):
        assert found.prompts[group : group + 3] == [prompt] * 3
    rewards = dict(enumerate(found.rewards.flatten().tolist()))
    ended = [i for i, ids in enumerate(found.completions) if ids[-1] in learner.ends]
    assert seen == [learner.text(found.completions[i]) for i in ended]
    assert [rewards.pop(i) for i in ended] == [2 * (len(answer) % 2) - 1 for answer in seen]
    assert set(rewards.values()) <= {-1}, "what was cut off is wrong"


def test_samples_of_one_prompt_differ(learner):
    found = rollouts(learner, samples=8)
    assert all(len({str(c) for c in found.completions[i : i + 8]}) > 1 for i in range(0, 32, 8))


def test_an_answer_that_was_cut_off_is_wrong(learner):
    learner.ends = set()
    assert (rollouts(learner).rewards == -1).all()


def test_a_seed_decides_the_rollouts(learner):
    assert rollouts(learner).completions == rollouts(learner).completions
    assert rollouts(learner).completions != rollouts(learner, seed=1).completions


def test_how_many_are_sampled_at_once_changes_nothing(learner, monkeypatch):
    together = rollouts(learner).completions
    monkeypatch.setattr(batches, "MOST_ROWS", 5)
    assert rollouts(learner).completions == together


def test_memory_bounds_how_many_are_sampled_at_once(learner, monkeypatch):
    token = batches.cache_bytes(learner)
    assert token == 2 * 2 * 2 * 16 * 4  # keys and values, layers, heads, width, bytes
    monkeypatch.setattr(batches, "total_memory", lambda _: 8 * 30 * token * 10)
    assert batches.rows_to_decode(learner, [[0] * 20, [0] * 5], 10) == 10
    monkeypatch.setattr(batches, "total_memory", lambda _: 1)
    assert batches.rows_to_decode(learner, [[0] * 20], 10) == 1


# -- gradient --------------------------------------------------------------------------------


@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_micro_batches_change_nothing(learner, monkeypatch, kl):
    found, settings = rollouts(learner, seed=1), replace(SMALL, kl=kl)
    whole = grown(learner, found, settings)
    parts = grown(learner, found, settings, monkeypatch, tokens=40)
    assert whole.any()
    torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-6)


def test_equal_rewards_teach_nothing(learner):
    found = rollouts(learner, lambda problems, _: [1.0] * len(problems))
    assert not grown(learner, found, SMALL).any()


def test_the_gradient_is_that_of_the_definition(learner):
    """Minus the mean over answers of advantage times log-probability, differentiated."""
    found = rollouts(learner, seed=1)
    ours = grown(learner, found, replace(SMALL, group_baseline=False))
    delta = torch.full((learner.svf.layout.total,), 0.05, requires_grad=True)
    logprobs, mask = learner.logprobs(found.prompts, found.completions, delta)
    (-(found.rewards.flatten() * (logprobs * mask).sum(1)).mean()).backward()
    torch.testing.assert_close(ours, delta.grad, rtol=1e-3, atol=1e-6)
