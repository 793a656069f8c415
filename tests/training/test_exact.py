"""The exact gradient of the expected reward of closed answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from t2app.data import build, check, table_from_cells
from t2app.evaluation import choosing
from t2app.tasks.closed import Closed
from t2app.training import exact, formats, loop, plan
from t2app.training.settings import Settings
from tests.training.toy import SMALL

WORDS = ("fox", "dog", "lazy dog")


@pytest.fixture
def task():
    cells = [[f"the quick brown {n} jumps over {n + 1}", WORDS[n % 3]] for n in range(60)]
    return build(check(table_from_cells(["question", "answer"], cells)))


@pytest.fixture
def options():
    cells = [[f"the quick {n}?", "AB"[n % 2], "the fox", "the dog"] for n in range(60)]
    return build(check(table_from_cells(["question", "answer", "A", "B"], cells)))


def expected_reward(engine, task, problems, delta) -> torch.Tensor:
    """From the probability of every choice, one at a time."""
    total = torch.zeros(())
    for problem in problems:
        prompt = engine.prompt_ids(task.messages(problem))
        for choice in task.closed.choices(problem):
            logprobs, mask = engine.logprobs([prompt], [engine.answer_ids(choice)], delta)
            total = total + (logprobs * mask).sum().exp() * 2 * task.score([problem], [choice])[0]
    return total / len(problems) - 1


def test_it_is_the_gradient_of_the_expected_reward(learner, task):
    problems = task.problems("train", 5, 0)
    delta = torch.full((learner.svf.layout.total,), 0.01, requires_grad=True)
    expected = expected_reward(learner, task, problems, delta)
    (wanted,) = torch.autograd.grad(-expected, delta)
    delta.grad = torch.zeros_like(delta)
    found, probe = exact.gradient(learner, task, SMALL, delta, problems, len(problems))
    torch.testing.assert_close(delta.grad, wanted, rtol=1e-3, atol=1e-7)
    assert found.mean("reward") == pytest.approx(expected.item(), abs=1e-5)
    assert probe.moved(learner, delta.detach(), delta.detach()) == (0.0, 5)


def test_every_choice_that_pays_is_scored(learner, task):
    half = replace(task, score=lambda problems, answers: [0.5 * (a != "fox") for a in answers])
    problems = task.problems("train", 4, 0)
    rows, choices, worth = exact.paying(half, problems)
    assert rows == [0, 0, 1, 1, 2, 2, 3, 3]
    assert set(choices) == {"dog", "lazy dog"}
    assert worth == [1.0] * 8


def test_kl_to_the_base_is_a_term(learner, task):
    problems = task.problems("train", 3, 0)
    grads = []
    for kl in (0.0, 10.0):
        delta = torch.full((learner.svf.layout.total,), 0.05, requires_grad=True)
        delta.grad = torch.zeros_like(delta)
        exact.gradient(learner, task, replace(SMALL, kl=kl), delta, problems, 3)
        grads.append(delta.grad)
    assert not torch.allclose(*grads)


@pytest.mark.parametrize("objective", ["rl", "sft"])
def test_labels_are_learned(learner, task, objective):
    settings = replace(SMALL, objective=objective, steps=12, step_kl=1.0, learning_rate=1.0)
    curve = list(loop.train(learner, task, settings, None))
    measure = "reward" if objective == "rl" else "loss"
    found = [getattr(p, measure) for p in curve if getattr(p, measure) is not None]
    better = found[-1] - found[0] if objective == "rl" else found[0] - found[-1]
    assert better > 0


def test_the_likeliest_choice_is_that_of_the_highest_probability(learner, task):
    problems = task.problems("train", 6, 1)
    found = choosing.likeliest(learner, task, problems)
    for problem, choice in zip(problems, found, strict=True):
        shares = learner.label_probabilities(task.messages(problem), task.closed.choices(problem))
        assert choice == max(shares, key=shares.__getitem__)


def test_options_are_answered_in_the_way_that_the_base_is_best_at(learner, options, monkeypatch):
    def right(share):
        return lambda engine, task, problems: share[task.closed.format]

    for shares, way in (
        ({"letters": 0.2, "texts": 0.6}, "texts"),
        ({"letters": 0.6, "texts": 0.2}, "letters"),
    ):
        monkeypatch.setattr(formats, "right", right(shares))
        found, why = formats.choose(learner, options, Settings())
        assert found.closed == Closed(way)
        assert f"answers with {formats.NAMES[way]}" in why
    perfect = replace(options, score=lambda problems, answers: [1.0] * len(problems))
    monkeypatch.setattr(formats, "right", right({"letters": 0.6, "texts": 0.2}))
    found, why = formats.choose(learner, perfect, Settings())
    assert found.closed is None
    assert "in its own words" in why
    assert formats.answered_by(options, formats.way_of(found)).closed is None


def test_answers_that_are_worked_out_and_right_stay_free(learner, options, monkeypatch):
    monkeypatch.setattr(formats, "right", lambda engine, task, problems: 0.4)
    for scores, free in (([1.0] * 9 + [0.0], True), ([1.0, 0.0, 0.0, 0.0] * 4, False), ([], False)):
        monkeypatch.setattr(formats, "_worked_out", lambda *given, scores=scores: scores)
        found, why = formats.choose(learner, options, Settings())
        assert (found.closed is None) == free
        assert ("9 are right" in why) == free


def test_labels_have_one_way(learner, task):
    assert formats.choose(learner, task, Settings()) == (task, "")


def test_the_report_has_the_base_that_is_told_and_scored(learner, task, finish, new_run):
    run = new_run(task=task, name="colours", settings=replace(SMALL, objective="auto", steps=4))
    report = finish(run).report
    assert report["objective"] == "sft"
    assert set(report["baselines"]) >= {
        "the base's likeliest choice",
        "the base that is not told the choices",
    }
    header = learner.library.get("colours").header
    assert header["told"] == "Answer with one of: dog, fox, lazy dog."
    assert all("Answer with" not in question for question in header["examples"])


# -- how long ------------------------------------------------------------------------------------


def test_steps_follow_from_the_rows(learner, task):
    found = plan.make(learner, task, Settings(minutes=1e6), test=5)
    assert found.settings.objective == "sft"
    assert found.settings.steps == plan.FEWEST_STEPS
    many = replace(task, rows={**task.rows, "train": task.rows["train"] * 20})
    found = plan.make(learner, many, Settings(minutes=1e6), test=5)
    assert found.settings.steps == -(-plan.PASSES * len(many.rows["train"]) // 16)


def test_steps_that_do_not_fit_into_the_time_are_left_out_and_said(learner, task):
    many = replace(task, rows={**task.rows, "train": task.rows["train"] * 20})
    found = plan.make(learner, many, Settings(minutes=1e-4), test=5)
    assert found.settings.steps == plan.LEAST_STEPS
    assert "more would take longer than 0.0001 minutes" in found.why


def test_an_interrupted_run_keeps_its_plan(learner, task, new_run, finish, monkeypatch):
    run = new_run(task=task, name="kept", settings=replace(SMALL, objective="auto", steps=0))
    finish(run, stop=lambda: True)
    kept = run.get("plan.json")
    assert kept["settings"]["steps"] > 0
    assert kept["answered"] == "labels"
    monkeypatch.setattr(plan, "make", None)  # not planned again
    assert finish(run).state == "finished"
