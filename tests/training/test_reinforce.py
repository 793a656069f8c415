"""The RL loop on a random model: rollouts, learning, resuming, settings."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from t2app.errors import T2Error
from t2app.evaluation import measure
from t2app.tasks.base import Problem, Task
from t2app.training import reinforce
from t2app.training.reinforce import Settings
from t2app.training.rollouts import sample
from t2app.training.runs import Run

SMALL = Settings(
    steps=12, prompts=6, samples=4, learning_rate=0.05, validation=16, validate_every=4, seed=3
)


def draw(r: random.Random) -> Problem:
    return Problem("toy", f"fox {r.randint(0, 99999)}", "", "", "")


def ended(problems, answers) -> list[float]:
    return [float(bool(a)) for _, a in zip(problems, answers, strict=True)]


# To be learnt: to end an answer within two tokens.
TASK = Task("toy", "ending early", draw, ended, 2)


@pytest.fixture
def learner(engine):
    """An engine in which one token of four ends an answer."""
    engine.ends = set(range(0, 300, 4))
    return engine


def run_in(folder, settings: Settings = SMALL) -> Run:
    return Run(folder, {"lr": settings.learning_rate})


def train(engine, run: Run, settings: Settings = SMALL, task: Task = TASK) -> list:
    return list(reinforce.train(engine, task, settings, run))


# -- rollouts --------------------------------------------------------------------------------


def rollouts(engine, score=ended, samples: int = 3, seed: int = 0):
    task = replace(TASK, score=score)
    problems = task.problems("train", 4, 0)
    delta = torch.zeros(engine.svf.layout.total)
    return sample(engine, task, problems, delta, samples=samples, temperature=1.0, seed=seed)


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
    for ids, answer, reward in zip(found.completions, seen, found.rewards.flatten(), strict=True):
        finished = ids[-1] in learner.ends
        assert answer == (learner.text(ids) if finished else "")
        assert reward == 2 * (len(answer) % 2) - 1


def test_samples_of_one_prompt_differ(learner):
    found = rollouts(learner, samples=8)
    assert all(len({str(c) for c in found.completions[i : i + 8]}) > 1 for i in range(0, 32, 8))


def test_an_answer_that_was_cut_off_is_wrong(learner):
    learner.ends = set()
    assert (
        rollouts(learner, lambda _, answers: [float(bool(a)) for a in answers]).rewards == -1
    ).all()


def test_a_seed_decides_the_rollouts(learner):
    assert rollouts(learner).completions == rollouts(learner).completions
    assert rollouts(learner).completions != rollouts(learner, seed=1).completions


# -- learning --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{}, {"group_baseline": False}, {"kl": 0.05}, {"temperature": 1.5}],
    ids=["default", "no baseline", "KL", "temperature"],
)
def test_training_raises_the_reward(learner, tmp_path, changes):
    problems = TASK.problems("test", 100, 0)

    def reward(delta: torch.Tensor) -> float:
        found = sample(learner, TASK, problems, delta, samples=4, temperature=1.0, seed=0)
        return found.rewards.mean().item()

    settings = replace(
        SMALL, steps=25, prompts=12, samples=8, learning_rate=0.1, validate_every=25, **changes
    )
    run = run_in(tmp_path)
    train(learner, run, settings)
    delta = run.load()["delta"]
    assert reward(delta) > reward(torch.zeros_like(delta)) + 0.3


def test_progress(learner, tmp_path):
    progress = train(learner, run_in(tmp_path))
    assert [p.step for p in progress] == list(range(1, 13))
    assert {p.steps for p in progress} == {12}
    measured = [p.step for p in progress if p.validation is not None]
    assert measured == [4, 8, 12]
    best = progress[0].best  # what the base has
    for p in progress:
        best = max(best, best if p.validation is None else p.validation)
        assert p.best == best
    assert all(-1 <= p.reward <= 1 for p in progress)
    assert all(a.seconds <= b.seconds for a, b in pairwise(progress))


def test_the_last_step_is_validated_too(learner, tmp_path):
    progress = train(learner, run_in(tmp_path), replace(SMALL, steps=5))
    assert [p.step for p in progress if p.validation is not None] == [4, 5]


def test_the_distance_to_the_base_is_reported(learner, tmp_path):
    progress = train(learner, run_in(tmp_path), replace(SMALL, steps=6))
    assert progress[0].kl == pytest.approx(0, abs=1e-6)
    assert progress[-1].kl > 1e-3


def test_a_penalty_keeps_the_policy_near_the_base(learner, tmp_path):
    free = train(learner, run_in(tmp_path / "free"))[-1].kl
    held = train(learner, run_in(tmp_path / "held"), replace(SMALL, kl=1.0))[-1].kl
    assert held < free / 2


def test_the_best_vectors_are_kept_not_the_last(learner, tmp_path, monkeypatch):
    scores = iter([0.1, 0.2, 0.9, 0.9])  # the base comes first
    real, deltas = measure.accuracy, []

    def scripted(engine, task, problems, delta):
        deltas.append(None if delta is None else delta.clone())
        return replace(real(engine, task, problems[:1], delta), scores=(next(scores),))

    monkeypatch.setattr(measure, "accuracy", scripted)
    run = run_in(tmp_path)
    train(learner, run)
    assert run.load()["best"] == 0.9
    assert torch.equal(run.load()["best_delta"], deltas[2])


def test_an_expert_that_never_beats_the_base_is_the_base(learner, tmp_path, monkeypatch):
    scores = iter([0.5, 0.2, 0.5, 0.4])
    real = measure.accuracy

    def scripted(engine, task, problems, delta):
        return replace(real(engine, task, problems[:1], delta), scores=(next(scores),))

    monkeypatch.setattr(measure, "accuracy", scripted)
    run = run_in(tmp_path)
    train(learner, run)
    assert run.load()["best"] == 0.5
    assert not run.load()["best_delta"].any()


def test_training_leaves_the_model_as_it_was(learner, tmp_path):
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    train(learner, run_in(tmp_path), replace(SMALL, steps=2))
    after = learner.model.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert all(p.grad is None for p in learner.model.parameters())


def test_problems_come_from_their_splits(learner, tmp_path):
    drawn = []

    def score(problems, answers):
        drawn.append({p.question for p in problems})
        return ended(problems, answers)

    train(learner, run_in(tmp_path), task=replace(TASK, score=score))
    # The base is validated, steps 1 to 4 train, then comes the validation, and so on.
    validation = [questions for i, questions in enumerate(drawn) if i % 5 == 0]
    training = [questions for i, questions in enumerate(drawn) if i % 5 != 0]
    assert len(training) == 12
    assert validation[0] == validation[1] == validation[2] == validation[3]
    assert not validation[0] & set.union(*training)
    assert len(set.union(*training)) > 60, "every step should draw new problems"


def test_micro_batches_change_nothing(learner):
    found = rollouts(learner)
    grads = []
    for size in (3, 48):
        delta = torch.full((learner.svf.layout.total,), 0.05, requires_grad=True)
        reinforce._backward(learner, found, replace(SMALL, kl=0.1), delta, micro_batch=size)
        grads.append(delta.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-3, atol=1e-6)


def test_equal_rewards_teach_nothing(learner):
    found = rollouts(learner, lambda problems, _: [1.0] * len(problems))
    delta = torch.zeros(learner.svf.layout.total, requires_grad=True)
    reinforce._backward(learner, found, SMALL, delta)
    assert delta.grad.eq(0).all()


# -- resuming --------------------------------------------------------------------------------


def test_a_run_is_repeatable(learner, tmp_path):
    a, b = run_in(tmp_path / "a"), run_in(tmp_path / "b")
    train(learner, a), train(learner, b)
    assert torch.equal(a.load()["delta"], b.load()["delta"])
    c = run_in(tmp_path / "c")
    train(learner, c, replace(SMALL, seed=4))
    assert not torch.equal(a.load()["delta"], c.load()["delta"])


@pytest.mark.parametrize("stop", [1, 4, 6, 8, 12])
def test_a_stopped_run_continues_exactly(learner, tmp_path, stop):
    whole, parts = run_in(tmp_path / "whole"), run_in(tmp_path / "parts")
    train(learner, whole)
    first = reinforce.train(learner, TASK, SMALL, parts)
    for _ in range(stop):
        next(first)
    first.close()
    rest = train(learner, run_in(tmp_path / "parts"))
    assert [p.step for p in rest] == list(range(stop // 4 * 4 + 1, 13))
    for key in ("delta", "best_delta"):
        assert torch.equal(parts.load()[key], whole.load()[key])
    assert parts.load()["best"] == whole.load()["best"]
    curves = [
        [(r["step"], r["reward"], r["validation"]) for r in x.curve()] for x in (whole, parts)
    ]
    assert curves[0] == curves[1]


def test_a_finished_run_has_nothing_left_to_do(learner, tmp_path):
    run = run_in(tmp_path)
    train(learner, run)
    assert train(learner, run) == []


# -- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("prompts", -1),
        ("samples", 0),
        ("validation", 0),
        ("validate_every", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("temperature", 0.0),
        ("temperature", float("inf")),
        ("clip", -1.0),
        ("kl", -0.1),
        ("kl", float("nan")),
    ],
)
def test_impossible_settings_are_named(name, value):
    with pytest.raises(T2Error, match=f"{name} is {value}"):
        Settings(**{name: value})
