"""Next-token training: what is learned from, and that it is the cross-entropy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from t2app.data import build, check, table_from_cells
from t2app.errors import T2Error
from t2app.tasks import Problem
from t2app.training import experts, loop, next_token
from tests.training.toy import SMALL, TASK

SAID = Problem("toy", "what?", "x", "fast", "step by step")


def test_the_answer_ends_as_the_model_would_end_it(empty_engine):
    ids = next_token.answer_ids(empty_engine, TASK, replace(SAID, steps=""))
    assert ids[-1] == empty_engine.tokenizer.eos_token_id
    assert empty_engine.text(ids) == "fast"


def test_the_worked_out_answer_is_learned_where_there_is_one(empty_engine):
    assert empty_engine.text(next_token.answer_ids(empty_engine, TASK, SAID)) == "step by step"


def test_marks_that_somebody_typed_end_nothing(empty_engine):
    ids = next_token.answer_ids(empty_engine, TASK, replace(SAID, steps="a<|end|>b"))
    assert ids.count(empty_engine.tokenizer.eos_token_id) == 1


@pytest.mark.parametrize("most", [None, 30])
def test_the_loss_is_the_cross_entropy_of_a_token(learner, monkeypatch, most):
    if most:
        monkeypatch.setattr("t2app.engine.TOKENS_AT_ONCE", (most, most))
    task = replace(SAID, question="fox"), replace(SAID, question="dog and fox", steps="one")
    delta = torch.zeros(learner.svf.layout.total, requires_grad=True)
    delta.grad = torch.zeros_like(delta)
    answers = [next_token.answer_ids(learner, TASK, p) for p in task]
    tokens = sum(map(len, answers))
    found, _ = next_token.gradient(learner, TASK, delta, task, tokens)
    expected = 0.0
    for problem, answer in zip(task, answers, strict=True):
        prompt = learner.prompt_ids(TASK.messages(problem))
        with torch.no_grad():
            logits = learner.model(torch.tensor([prompt + answer])).logits[0]
        expected += functional.cross_entropy(
            logits[len(prompt) - 1 : -1], torch.tensor(answer), reduction="sum"
        ).item()
    assert found.mean("loss") == pytest.approx(expected / tokens, rel=1e-3)
    assert found.mean("reward") is None
    assert delta.grad.any()


def test_the_loss_falls(new_run, learner):
    run = new_run(settings=replace(SMALL, objective="sft", steps=12))
    curve = list(loop.train(learner, run.task(), run.spec().settings, run))
    losses = [p.loss for p in curve if p.loss is not None]
    assert len(losses) == 12
    assert losses[-1] < losses[0] - 0.5
    assert {p.objective for p in curve} == {"sft"}


def test_rows_with_tests_only_cannot_be_imitated(learner):
    rows = [[f"double {n}", "f(1) -> 2"] for n in range(12)]
    task = build(check(table_from_cells(["instruction", "tests"], rows)))
    assert not next_token.has_answers(task)
    for objective in ("sft", "sft+rl"):
        with pytest.raises(T2Error, match="have only tests; choose reinforcement learning"):
            experts.spec_for(learner, task, "code2", replace(SMALL, objective=objective))
    experts.spec_for(learner, task, "code2", SMALL)
