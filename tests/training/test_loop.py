"""The loop on a random model: learning, the best so far, stages, resuming exactly."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from t2app.errors import T2Error
from t2app.evaluation import measure
from t2app.svd.modules import kind_of
from t2app.tasks import Task
from t2app.training import loop
from t2app.training.rollouts import sample
from tests.training.toy import SMALL, TASK


@pytest.fixture
def train(learner):
    """``train(run)``: to the end; every progress."""
    return lambda run: list(loop.train(learner, run.task(), run.spec().settings, run))


@pytest.mark.parametrize(
    "changes",
    [{}, {"group_baseline": False}, {"kl": 0.05}, {"temperature": 1.5}],
    ids=["default", "no baseline", "KL", "temperature"],
)
def test_training_raises_the_reward(learner, new_run, train, changes):
    problems = TASK.problems("test", 100, 0)

    def reward(delta: torch.Tensor) -> float:
        found = sample(
            learner, TASK, problems, delta, samples=4, temperature=1.0, seeds=range(0, 400, 4)
        )
        return found.rewards.mean().item()

    more = {"steps": 25, "prompts": 12, "samples": 8, "learning_rate": 0.1, "validate_every": 25}
    run = new_run(settings=replace(SMALL, **more, **changes))
    train(run)
    delta = run.load()["delta"]
    assert reward(delta) > reward(torch.zeros_like(delta)) + 0.2


def test_progress(new_run, train):
    progress = train(new_run())
    assert [p.step for p in progress] == list(range(10))
    assert {p.steps for p in progress} == {9}
    assert [p.step for p in progress if p.validation is not None] == [0, 3, 6, 9]
    best = progress[0].validation
    for p in progress:
        best = max(best, best if p.validation is None else p.validation)
        assert p.best == best
    assert all(-1 <= p.reward <= 1 and p.loss is None for p in progress[1:])
    assert all(a.seconds <= b.seconds for a, b in pairwise(progress))


def test_the_last_step_of_each_stage_is_validated(new_run, train):
    progress = train(new_run(settings=replace(SMALL, objective="sft+rl", steps=5)))
    assert [p.step for p in progress if p.validation is not None] == [0, 2, 3, 5]
    assert [p.objective for p in progress[1:]] == ["sft"] * 2 + ["rl"] * 3
    assert [p.loss is None for p in progress[1:]] == [False] * 2 + [True] * 3
    assert [p.reward is None for p in progress[1:]] == [True] * 2 + [False] * 3


def test_the_distance_to_the_base_is_reported(new_run, train):
    progress = train(new_run())
    assert progress[1].kl == pytest.approx(0, abs=1e-6)
    assert progress[-1].kl > 1e-3


def test_a_penalty_keeps_the_policy_near_the_base(new_run, train):
    def distance(name: str, kl: float) -> float:
        return sum(p.kl or 0 for p in train(new_run(name, replace(SMALL, kl=kl, steps=15))))

    assert distance("held", 2.0) < 0.7 * distance("free", 0.0)


@pytest.mark.parametrize("modules", ["attention", "mlp"])
def test_only_the_chosen_matrices_are_trained(learner, new_run, train, modules):
    run = new_run(settings=replace(SMALL, modules=modules, steps=3))
    train(run)
    for name, part in learner.svf.layout.split(run.load()["delta"]).items():
        assert bool(part.any()) == (kind_of(name) == modules), name


def test_a_model_without_such_matrices_is_refused(learner, new_run, train, monkeypatch):
    monkeypatch.setattr(loop, "kind_of", lambda _: "attention")
    with pytest.raises(T2Error, match="small has no mlp matrices: train both"):
        train(new_run(settings=replace(SMALL, modules="mlp")))


# -- the best so far -------------------------------------------------------------------------


def scripted(monkeypatch, *scores: float) -> list[torch.Tensor | None]:
    """Validation gives these accuracies, the base's first; the vectors it was asked about."""
    values, deltas, real = iter(scores), [], measure.accuracy

    def accuracy(engine, task, problems, delta):
        deltas.append(None if delta is None else delta.clone())
        return replace(real(engine, task, problems[:1], delta), scores=(next(values),))

    monkeypatch.setattr(measure, "accuracy", accuracy)
    return deltas


def test_the_best_vectors_are_kept_not_the_last(learner, new_run, train, monkeypatch):
    deltas, run = scripted(monkeypatch, 0.1, 0.2, 0.9, 0.9), new_run()
    train(run)
    assert run.load()["best"] == 0.9
    assert torch.equal(loop.settle(learner, TASK, SMALL, run), deltas[2])


def test_an_expert_that_never_beats_the_base_is_the_base(learner, new_run, train, monkeypatch):
    scripted(monkeypatch, 0.5, 0.2, 0.5, 0.4)
    run = new_run()
    train(run)
    assert not loop.settle(learner, TASK, SMALL, run).any()


@pytest.mark.parametrize(("last", "kept"), [(0.9, "last"), (0.3, "best")])
def test_a_run_stopped_between_validations_counts_the_last_step(
    learner, new_run, monkeypatch, last, kept
):
    scripted(monkeypatch, 0.1, 0.5, last)
    run = new_run()
    steps = loop.train(learner, TASK, SMALL, run)
    for _ in range(6):  # the base's and five steps
        next(steps)
    steps.close()
    saved = run.load()
    found = loop.settle(learner, TASK, SMALL, run)
    assert torch.equal(found, saved["delta" if kept == "last" else "best_delta"])
    assert run.load()["best"] == 0.5, "a resumed run goes on as if it had not been stopped"


def test_a_second_stage_begins_with_the_best_of_the_first(learner, new_run, train, monkeypatch):
    deltas = scripted(monkeypatch, 0.1, 0.9, 0.2, 0.3, 0.3)
    run = new_run(settings=replace(SMALL, objective="sft+rl", steps=8, learning_rate=1e-9))
    train(run)
    # Validated after step 3 (best), 4 (end of the first stage), 6 and 8.
    torch.testing.assert_close(deltas[3], deltas[1], rtol=0, atol=1e-7)
    assert not torch.equal(deltas[2], deltas[1])


def test_a_run_that_has_not_begun_has_nothing(learner, new_run):
    assert not loop.settle(learner, TASK, SMALL, new_run()).any()


# -- what is left alone, what is drawn -------------------------------------------------------


def test_training_leaves_the_model_as_it_was(learner, new_run, train):
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    train(new_run(settings=replace(SMALL, steps=2)))
    after = learner.model.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert all(p.grad is None for p in learner.model.parameters())


def test_problems_come_from_their_splits(learner, new_run, monkeypatch):
    drawn = {"train": [], "validation": []}
    problems = Task.problems

    def noted(task, split, *rest):
        found = problems(task, split, *rest)
        drawn[split].append({p.question for p in found})
        return found

    monkeypatch.setattr(Task, "problems", noted)
    list(loop.train(learner, TASK, SMALL, new_run()))
    validation, training = drawn["validation"], drawn["train"]
    # One of the draws from the rows to train on is for what the empty answer gets.
    assert (len(validation), len(training)) == (4, 10)
    assert all(questions == validation[0] for questions in validation)
    assert not validation[0] & set.union(*training)
    assert len(set.union(*training)) > 30, "every step should draw new problems"


# -- repeating and resuming ------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["rl", "sft", "sft+rl"])
def test_a_run_is_repeatable_bit_for_bit(new_run, train, objective):
    settings = replace(SMALL, objective=objective, steps=6)
    runs = [new_run(f"toy{i}", settings) for i in range(2)]
    for run in runs:
        train(run)
    assert torch.equal(runs[0].load()["delta"], runs[1].load()["delta"])
    other = new_run("toy2", replace(settings, seed=4))
    train(other)
    assert not torch.equal(runs[0].load()["delta"], other.load()["delta"])


@pytest.mark.parametrize("objective", ["rl", "sft+rl"])
@pytest.mark.parametrize("stop", [0, 1, 3, 4, 5, 9])
def test_a_stopped_run_continues_exactly(learner, new_run, train, stop, objective):
    settings = replace(SMALL, objective=objective)
    whole, parts = new_run("whole", settings), new_run("parts", settings)
    train(whole)
    first = loop.train(learner, TASK, settings, parts)
    for _ in range(stop + 1):
        next(first)
    first.close()
    assert [p.step for p in train(parts)] == list(range(stop + 1, 10))
    for key in ("delta", "best_delta"):
        assert torch.equal(parts.load()[key], whole.load()[key])
    curves = [
        [(r["step"], r["reward"], r["loss"], r["validation"]) for r in run.curve()]
        for run in (whole, parts)
    ]
    assert curves[0] == curves[1]


def test_a_finished_run_has_nothing_left_to_do(new_run, train):
    run = new_run()
    train(run)
    assert train(run) == []
