"""Accuracy of mixes and of strategies, on a random model."""

from __future__ import annotations

import random

import pytest
import torch

from t2app import adapt
from t2app.evaluation import measure
from t2app.evaluation.measure import Accuracy
from t2app.evaluation.stats import wilson
from t2app.tasks import TASKS
from t2app.tasks.base import Problem, Task
from t2app.tasks.judging import Answer


def draw(r: random.Random) -> Problem:
    return Problem("math", f"the fox has {r.randint(0, 9999)} dogs", "", "", "")


def score_by_text(problems, answers) -> list[float]:
    """Anything that says different things about different answers and questions."""
    pairs = zip(problems, answers, strict=True)
    return [float((len(p.question) + sum(map(ord, a))) % 2) for p, a in pairs]


TASK = Task("math", "toy", draw, score_by_text, 6)


def test_accuracy_of_scores():
    found = Accuracy((1.0, 0.0, 1.0, 1.0))
    assert found.n == 4
    assert found.accuracy == 0.75
    low, high = wilson(3, 4)
    assert found.to_dict() == {
        "accuracy": 0.75,
        "n": 4,
        "ci95": [pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4)],
    }
    assert Accuracy(()).accuracy == 0


def test_answers_are_greedy_and_in_order(engine):
    problems = TASK.problems("test", 5, 0)
    delta = engine.delta({"math": 1.0})
    found = measure.answers(engine, TASK, problems, delta)
    for problem, answer in zip(problems, found, strict=True):
        prompt = engine.prompt_ids([{"role": "user", "content": problem.question}])
        said = engine.generate([prompt], delta, max_new_tokens=6)[0]
        assert answer == (said.text, said.finished)


def test_answers_that_were_cut_off_are_wrong(engine, monkeypatch):
    problems = TASK.problems("test", 4, 0)
    said = [Answer("a"), Answer("b"), Answer("a", False), Answer("b", False)]
    monkeypatch.setattr(measure, "answers", lambda *given: said)
    whole = score_by_text(problems[:2], ["a", "b"])
    assert measure.accuracy(engine, TASK, problems, None).scores == (*whole, 0, 0)


def test_the_system_prompt_of_a_task_is_used(engine):
    task = TASKS["dispatch"]
    [prompt] = measure.prompts_for(engine, task, task.problems("test", 1, 0))
    assert "To which category" in engine.tokenizer.decode(prompt)


def test_a_strategy_answers_every_problem_with_its_own_mix(engine):
    problems = TASK.problems("test", 5, 0)
    found = measure.strategy(engine, TASK, problems, "prompt")
    chosen = [adapt.choose(engine, p.question, "prompt") for p in problems]
    assert found.labels == tuple(c.label for c in chosen)
    single = [
        measure.accuracy(engine, TASK, [p], engine.delta(c.weights)).scores[0]
        for p, c in zip(problems, chosen, strict=True)
    ]
    assert found.scores.scores == tuple(single)


def test_off_measures_the_base(engine):
    problems = TASK.problems("test", 5, 0)
    found = measure.strategy(engine, TASK, problems, "off")
    assert found.scores == measure.accuracy(engine, TASK, problems, None)
    assert set(found.labels) == {None}


def test_one_mix_a_row(engine):
    rows = measure.stack(engine, [{"math": 1.0}, {}, {"code": 0.5}])
    assert rows.shape == (3, engine.svf.layout.total)
    assert torch.equal(rows[0], engine.delta({"math": 1.0}))
    assert rows[1].eq(0).all()
    assert torch.equal(rows[2], engine.delta({"code": 0.5}))


def test_the_oracle_takes_the_expert_of_the_kind(engine):
    assert measure.oracle_weights(engine, TASKS["math"]) == {"math": 1.0}
    assert measure.oracle_weights(engine, TASKS["math-hard"]) == {"math": 1.0}
    assert measure.oracle_weights(engine, TASKS["other"]) == {}
    engine.library.delete("math")
    assert measure.oracle_weights(engine, TASKS["math"]) == {}
